//! The mapping from a record to a sample: which of its fields are turns, questions, answers and media.
//!
//! A preset (`llava`, `alpaca`, ...) is a filled-in [`Fields`]; there is no other way to read a record.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::canonical;
use crate::path::{Names, Path};
use crate::quick::records::Records;
use crate::quick::turns::{self, Turn};
use crate::sample::{Media, MediaKind, Message, Part, Parts, Reference, Role, Room, Sample};
use crate::value::{Value, is_reserved};

mod marks;
mod said;

use marks::{Cutter, place};
use said::{put_turns, read_pairs, read_turns};

/// A list of messages: `conversations` of `from` and `value`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turns {
    pub path: Path,
    pub role: Path,
    pub text: Path,
}

/// A list of exchanges: `history` of a question `[0]` and an answer `[1]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pairs {
    pub path: Path,
    pub user: Path,
    pub assistant: Path,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fields {
    /// The record states its sample as it is, id included; nothing else of a mapping is looked at.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub canonical: bool,
    /// The upstream identity; several paths are joined by `/`.
    pub key: Vec<Path>,
    pub system: Vec<Path>,
    /// Exchanges before the rest.
    pub pairs: Option<Pairs>,
    pub turns: Option<Turns>,
    /// The question; several paths are joined by line breaks, empty ones left out.
    pub user: Vec<Path>,
    /// Options shown below the question, one a line, lettered.
    pub choices: Vec<Path>,
    /// The answer. A list of texts holds alternatives, of which the first is taught; a number that is a position among
    /// the choices becomes its letter.
    pub assistant: Vec<Path>,
    pub images: Vec<Path>,
    pub videos: Vec<Path>,
    pub tools: Vec<Path>,
    /// Fields that this mapping does not read; a record that fills one is refused rather than cut.
    pub unread: Vec<Path>,
    /// Upstream values to carry into the index, by the name recipes use.
    pub columns: BTreeMap<String, Path>,
}

impl Fields {
    /// Maps one record. The reason of a failure names the field.
    pub fn sample<'v>(&self, record: &'v Value<'_>) -> std::result::Result<Sample<'v>, String> {
        self.sample_of((record, Names::ANY), None, Room::default())
    }

    /// What reads records with their turns apart, where nothing else of the mapping can see the list that holds them.
    pub(crate) fn records<'a>(&self) -> Option<Records<'a>> {
        let Self {
            canonical,
            key,
            system,
            pairs,
            user,
            choices,
            assistant,
            images,
            videos,
            tools,
            unread,
            columns,
            ..
        } = self;
        let Turns { path, role, text } = self.turns.as_ref().filter(|_| !canonical)?;
        let (list, role, text) = (path.key()?, role.key()?, text.key()?);
        let of_pairs = pairs.iter().map(|pairs| &pairs.path);
        let lists = [key, system, user, choices, assistant, images, videos, tools, unread];
        let others = lists.into_iter().flatten().chain(of_pairs).chain(columns.values());
        let is_seen = others.into_iter().any(|path| path.begins_with(list));
        let are_plain = role != text && !is_reserved(role) && !is_reserved(text);
        (!is_seen && are_plain).then(|| Records::new(list, turns::Turns::new(role, text)))
    }

    /// Maps one record with these names, the turns of which may stand apart.
    pub(crate) fn sample_of<'v>(
        &self,
        (record, names): (&'v Value<'_>, Names),
        turns: Option<&'v [Turn<'v>]>,
        Room { mut messages, mut media }: Room<'v>,
    ) -> std::result::Result<Sample<'v>, String> {
        if self.canonical {
            return canonical::sample(record);
        }
        for path in &self.unread {
            if path.find_among(record, names).is_some_and(|value| !is_empty(value)) {
                return Err(format!(
                    "has `{}`, which this mapping does not read; say what it is with `fields:`",
                    path.text()
                ));
            }
        }
        for (paths, kind) in [(&self.images, MediaKind::Image), (&self.videos, MediaKind::Video)] {
            for path in paths {
                if let Some(value) = path.require_among(record, names)? {
                    collect_media(value, kind, &mut media).map_err(|reason| format!("`{}`: {reason}", path.text()))?;
                }
            }
        }
        let given = media.len();
        let reads_media = !self.images.is_empty() || !self.videos.is_empty();
        let cutter = Cutter { reads_media, has_media: given > 0 };
        let system = Self::joined(&self.system, record, names)?;
        if !system.is_empty() {
            turn(&mut messages, Role::System).push(Part::Text(system));
        }
        if let Some(pairs) = &self.pairs {
            read_pairs(pairs, record, cutter, &mut messages)?;
        }
        match (turns, &self.turns) {
            (Some(turns), _) => put_turns(turns, cutter, &mut messages),
            (None, Some(list)) => read_turns(list, record, cutter, &mut messages, &mut media)?,
            (None, None) => {}
        }
        if !self.user.is_empty() || !self.choices.is_empty() {
            let mut question = Self::joined(&self.user, record, names)?;
            for line in self.choice_lines(record)? {
                if !question.is_empty() {
                    question.to_mut().push('\n');
                }
                question.to_mut().push_str(&line);
            }
            cutter.cut(question, turn(&mut messages, Role::User));
        }
        if let Some(answer) = self.answer(record)? {
            turn(&mut messages, Role::Assistant).push(Part::Text(answer));
        }
        place(&mut messages, &media[..given])?;
        if messages.is_empty() {
            return Err("no messages".to_owned());
        }
        Ok(Sample { key: self.key(record), messages, media, tools: self.tools(record, names), stated: None })
    }

    /// The columns the mapping carries, in name order.
    pub fn column_values<'v, 'a>(&self, record: &'v Value<'a>) -> Vec<Option<&'v Value<'a>>> {
        self.columns.values().map(|path| path.find(record)).collect()
    }

    /// What an answer is judged by, as JSON: all accepted answers where the record lists alternatives (none for a
    /// conversation, whose last turn is the answer), the lettered options, and the carried columns as text.
    pub fn facts(&self, record: &Value<'_>) -> std::result::Result<String, String> {
        let answers: Vec<Cow<'_, str>> = match self.assistant.as_slice() {
            [path] => match path.require(record)? {
                Some(Value::List(items)) if items.iter().all(|item| matches!(item, Value::Text(_))) => {
                    items.iter().map(Value::text).collect()
                }
                _ => self.answer(record)?.into_iter().collect(),
            },
            _ => self.answer(record)?.into_iter().collect(),
        };
        let options = self.options(record)?;
        let columns: BTreeMap<&str, Option<Cow<'_, str>>> = self
            .columns
            .iter()
            .map(|(name, path)| {
                (name.as_str(), path.find(record).filter(|value| !value.is_null()).map(|value| value.text()))
            })
            .collect();
        Ok(serde_json::json!({"answers": answers, "options": options, "columns": columns}).to_string())
    }

    fn key<'v>(&self, record: &'v Value<'_>) -> Option<Cow<'v, str>> {
        let mut key = None;
        for path in &self.key {
            append(&mut key, path.find(record)?.scalar_text()?, '/');
        }
        key
    }

    fn tools<'v>(&self, record: &'v Value<'_>, names: Names) -> Option<Cow<'v, str>> {
        let text = self.tools.iter().find_map(|path| path.find_among(record, names))?.text();
        (!text.is_empty()).then_some(text)
    }

    fn joined<'v>(paths: &[Path], record: &'v Value<'_>, names: Names) -> std::result::Result<Cow<'v, str>, String> {
        let mut joined = None;
        for path in paths {
            if let Some(value) = path.require_among(record, names)? {
                let text =
                    value.scalar_text().ok_or_else(|| format!("`{}` is {}, not text", path.text(), value.kind()))?;
                if !text.is_empty() {
                    append(&mut joined, text, '\n');
                }
            }
        }
        Ok(joined.unwrap_or_default())
    }

    fn options<'v>(&self, record: &'v Value<'_>) -> std::result::Result<Vec<(String, Cow<'v, str>)>, String> {
        let mut options = Vec::new();
        let letter = |position: usize| {
            char::from_u32(u32::from(b'A') + position as u32)
                .filter(char::is_ascii_uppercase)
                .map_or_else(|| (position + 1).to_string(), |letter| letter.to_string())
        };
        for path in &self.choices {
            let bad = |value: &Value<'_>| format!("`{}` holds {}", path.text(), value.kind());
            match path.require(record)? {
                None => {}
                Some(Value::List(items)) => {
                    for item in items {
                        let text = item.scalar_text().ok_or_else(|| bad(item))?;
                        options.push((letter(options.len()), text));
                    }
                }
                Some(Value::Map(entries)) => {
                    for (name, item) in entries.iter().filter(|(_, item)| !item.is_null()) {
                        options.push((name.to_string(), item.scalar_text().ok_or_else(|| bad(item))?));
                    }
                }
                // Several paths are several columns (A, B, C, D); a single text is shown as it stands.
                Some(value) if self.choices.len() > 1 => {
                    options.push((letter(options.len()), value.scalar_text().ok_or_else(|| bad(value))?));
                }
                Some(value) => options.push((String::new(), value.scalar_text().ok_or_else(|| bad(value))?)),
            }
        }
        Ok(options)
    }

    fn choice_lines(&self, record: &Value<'_>) -> std::result::Result<Vec<String>, String> {
        let options = self.options(record)?;
        let lettered = options.iter().all(|(name, text)| {
            let text = text.trim_start_matches('(');
            text.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(['.', ')', ':']))
        });
        let line = |(name, text): (String, Cow<'_, str>)| {
            if name.is_empty() || lettered { text.into_owned() } else { format!("{name}. {text}") }
        };
        Ok(options.into_iter().map(line).collect())
    }

    fn answer<'v>(&self, record: &'v Value<'_>) -> std::result::Result<Option<Cow<'v, str>>, String> {
        let mut answer = None;
        for path in &self.assistant {
            let Some(value) = path.require(record)? else { continue };
            let text = match value {
                Value::Int(position) if !self.choices.is_empty() => {
                    let options = self.options(record)?;
                    let chosen = usize::try_from(*position).ok().and_then(|position| options.get(position));
                    match chosen {
                        Some((name, _)) if !name.is_empty() => Cow::Owned(name.clone()),
                        _ if options.is_empty() => value.text(),
                        _ => return Err(format!("`{}` is {position} of {} choices", path.text(), options.len())),
                    }
                }
                Value::List(items) if items.iter().all(|item| matches!(item, Value::Text(_))) => {
                    let first = items.first().and_then(Value::scalar_text);
                    first.ok_or_else(|| format!("`{}` is an empty list", path.text()))?
                }
                value if value.kind() == "bytes" => return Err(format!("`{}` is bytes, not text", path.text())),
                value => value.text(),
            };
            append(&mut answer, text, '\n');
        }
        Ok(answer)
    }
}

/// The parts of a new message at the end.
fn turn<'m, 'v>(messages: &'m mut Vec<Message<'v>>, role: Role) -> &'m mut Parts<'v> {
    let position = messages.len();
    messages.push(Message { role, parts: Parts::new() });
    &mut messages[position].parts
}

/// Puts a text behind what is there, with a character between.
fn append<'v>(whole: &mut Option<Cow<'v, str>>, text: Cow<'v, str>, between: char) {
    match whole {
        None => *whole = Some(text),
        Some(whole) => {
            whole.to_mut().push(between);
            whole.to_mut().push_str(&text);
        }
    }
}

fn is_empty(value: &Value<'_>) -> bool {
    match value {
        Value::Null => true,
        Value::Text(text) => text.is_empty(),
        Value::List(items) => items.iter().all(is_empty),
        Value::Map(entries) => entries.is_empty(),
        _ => false,
    }
}

/// A path, a data URI, bytes, `{bytes, path}` or `{url}`, or a list of those.
fn collect_media<'v>(
    value: &'v Value<'_>,
    kind: MediaKind,
    media: &mut Vec<Media<'v>>,
) -> std::result::Result<(), String> {
    if let Some(bytes) = value.embedded_bytes() {
        media.push(Media { kind, reference: Reference::Bytes(bytes?) });
        return Ok(());
    }
    match value {
        Value::Null => Ok(()),
        Value::Text(path) if path.is_empty() => Ok(()),
        Value::Text(path) => {
            media.push(Media { kind, reference: Reference::Path(Cow::Borrowed(path)) });
            Ok(())
        }
        Value::List(items) => items.iter().try_for_each(|item| collect_media(item, kind, media)),
        Value::Map(_) => {
            let inner = ["bytes", "path", "url", "image", "video"]
                .into_iter()
                .find_map(|key| value.get(key).filter(|inner| !inner.is_null()))
                .ok_or("an object with neither bytes, path nor url")?;
            collect_media(inner, kind, media)
        }
        other => Err(format!("{} is no reference to a file", other.kind())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::parse_json;

    fn map(fields: &str, record: &str) -> std::result::Result<String, String> {
        let fields: Fields = serde_json::from_str(fields).unwrap();
        let record = parse_json(record.as_bytes()).unwrap();
        fields.sample(&record).map(|sample| sample.to_json().0)
    }

    const LLAVA: &str =
        r#"{"turns":{"path":"conversations","role":"from","text":"value"},"images":["image?"],"key":["id"]}"#;

    #[test]
    fn marks_become_media_in_order() {
        let sample = map(
            LLAVA,
            r#"{"id":7,"image":["a.png","b.png"],"conversations":[
                {"from":"human","value":"<image>\nleft? <image>"},{"from":"gpt","value":"yes"}]}"#,
        )
        .unwrap();
        assert!(sample.starts_with(r#"{"key":"7","messages":[{"role":"user","content":[{"type":"image","media":0},{"type":"text","text":"left? "},{"type":"image","media":1}]}"#), "{sample}");
    }

    #[test]
    fn media_without_marks_come_first() {
        let sample = map(
            LLAVA,
            r#"{"image":"a.png","conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]}"#,
        );
        assert!(sample.unwrap().contains(r#""content":[{"type":"image","media":0},{"type":"text","text":"q"}]"#));
    }

    #[test]
    fn more_marks_than_images_is_an_error_not_a_guess() {
        let reason = map(LLAVA, r#"{"conversations":[{"from":"human","value":"<image>q"}]}"#).unwrap_err();
        assert_eq!(reason, "1 `<image>` marks for 0 images");
    }

    #[test]
    fn choices_are_lettered_and_a_position_becomes_a_letter() {
        let fields = r#"{"user":["question"],"choices":["choices"],"assistant":["answer"]}"#;
        let sample = map(fields, r#"{"question":"q","choices":["x","y"],"answer":1}"#).unwrap();
        assert!(sample.contains("q\\nA. x\\nB. y") && sample.contains(r#"{"type":"text","text":"B"}"#), "{sample}");
        assert!(map(fields, r#"{"question":"q","choices":["x"],"answer":3}"#).unwrap_err().contains("3 of 1 choices"));
    }

    #[test]
    fn a_list_of_texts_holds_alternatives_and_a_list_of_numbers_is_the_answer() {
        let fields = r#"{"user":["q"],"assistant":["a"]}"#;
        assert!(map(fields, r#"{"q":"q","a":["x","y"]}"#).unwrap().contains(r#""text":"x""#));
        assert!(map(fields, r#"{"q":"q","a":[1,2]}"#).unwrap().contains(r#""text":"[1,2]""#));
        assert!(map(fields, r#"{"q":"q","a":true}"#).unwrap().contains(r#""text":"true""#));
    }

    #[test]
    fn openai_parts_carry_their_own_media() {
        let fields = r#"{"turns":{"path":"messages","role":"role","text":"content"},"images":["images?"]}"#;
        let sample = map(
            fields,
            r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"a.png"}},
                {"type":"text","text":"what?"}]},{"role":"assistant","content":"cat"}]}"#,
        );
        assert!(sample.unwrap().contains(r#"[{"type":"image","media":0},{"type":"text","text":"what?"}]"#));
        let sample = map(
            fields,
            r#"{"images":["a.png"],"messages":[{"role":"user","content":[{"type":"image"},{"type":"text","text":"?"}]}]}"#,
        );
        assert!(sample.unwrap().contains(r#""media":[{"kind":"image","path":"a.png"}]"#));
    }

    #[test]
    fn a_missing_field_is_named() {
        assert_eq!(map(r#"{"user":["question"]}"#, "{}").unwrap_err(), "no `question`");
    }

    #[test]
    fn facts_are_all_answers_the_options_and_the_columns() {
        let fields: Fields = serde_json::from_str(
            r#"{"user":["q"],"choices":["c?"],"assistant":["a"],"columns":{"set":"n","gone":"x?"}}"#,
        )
        .unwrap();
        let facts = |record: &str| fields.facts(&parse_json(record.as_bytes()).unwrap()).unwrap();
        assert_eq!(
            facts(r#"{"q":"?","a":["one","1"],"n":3}"#),
            r#"{"answers":["one","1"],"columns":{"gone":null,"set":"3"},"options":[]}"#
        );
        assert_eq!(
            facts(r#"{"q":"?","c":["x","y"],"a":1}"#),
            r#"{"answers":["B"],"columns":{"gone":null,"set":null},"options":[["A","x"],["B","y"]]}"#
        );
    }

    #[test]
    fn identity_ignores_the_key_and_sees_the_media() {
        let fields: Fields = serde_json::from_str(LLAVA).unwrap();
        let id = |record: &str| {
            let record = parse_json(record.as_bytes()).unwrap();
            fields.sample(&record).unwrap().id()
        };
        let base = r#"{"id":1,"image":"a.png","conversations":[{"from":"human","value":"q"}]}"#;
        assert_eq!(id(base), id(&base.replace("\"id\":1", "\"id\":2")));
        assert_ne!(id(base), id(&base.replace("a.png", "b.png")));
    }
}
