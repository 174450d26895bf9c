//! The presets, and how `format: auto` chooses one from the first records of a pool.

use serde_json::{Map, Value as Json, json};

use crate::fields::Fields;
use crate::value::Value;

/// How many records are looked at.
pub const LOOKED_AT: usize = 64;

/// The presets in the order in which `auto` tries them.
pub const PRESETS: [&str; 9] =
    ["openai", "swift", "llava", "sharegpt", "videochat", "alpaca", "qa", "caption", "prompt"];

const KEYS: [&str; 14] = [
    "id",
    "question_id",
    "questionId",
    "qid",
    "uid",
    "sample_id",
    "pid",
    "__key",
    "key",
    "idx",
    "index",
    "uuid",
    "index_id",
    "screen_id",
];
const IMAGES: [&str; 11] = [
    "image",
    "images",
    "image_path",
    "img",
    "img_path",
    "imgname",
    "image_file",
    "picture",
    "Picture",
    "filename",
    "file_name",
];
const VIDEOS: [&str; 3] = ["video", "videos", "video_path"];
const QUESTIONS: [&str; 7] = ["question", "Question", "query", "text", "prompt", "problem", "input"];
const ANSWERS: [&str; 12] = [
    "answer",
    "Answer",
    "answers",
    "gt_answer",
    "gt_answers",
    "ground_truth",
    "label",
    "response",
    "output",
    "solution",
    "target",
    "correct_choice_idx",
];
const CHOICES: [&str; 3] = ["choices", "options", "candidates"];
const CAPTIONS: [&str; 3] = ["caption", "captions", "txt"];
/// Fields that show or sound something wherever they stand; a preset reads them or refuses the record.
const SHOWN: [&str; 4] = ["images", "image", "videos", "video"];
const HEARD: [&str; 2] = ["audios", "audio"];

/// A mapping and the reason for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Detected {
    pub preset: String,
    pub fields: Fields,
    pub why: String,
}

/// Resolves `format` and the user's own `fields` against the first records.
///
/// Own fields that say where the text is stand alone; others (a key, images, columns) are laid over the preset.
pub fn detect(format: &str, own: &Map<String, Json>, records: &[Value<'_>]) -> std::result::Result<Detected, String> {
    if records.is_empty() {
        return Err("holds no record".to_owned());
    }
    let complete = ["turns", "pairs", "user", "assistant"].iter().any(|name| own.contains_key(*name));
    let (preset, fields) = if complete && format == "auto" {
        ("fields".to_owned(), laid(Map::new(), own)?)
    } else {
        choose(format, own, records)?
    };
    let why = format!("{preset}: {} of the first {} records fit", fitting(&fields, records), records.len());
    Ok(Detected { preset, fields, why })
}

/// The preset of that name, or for `auto` the first one, that is built of all records. Where it does not read them all,
/// another is taken that reads more: each is built of those records as well that are alone enough for it.
fn choose(
    format: &str,
    own: &Map<String, Json>,
    records: &[Value<'_>],
) -> std::result::Result<(String, Fields), String> {
    let presets = if format == "auto" { &PRESETS[..] } else { &[format] };
    let look = Look(records.iter().collect());
    let of_all = presets.iter().find_map(|preset| Some((*preset, look.build(preset).ok()?)));
    let mut best = match of_all {
        Some((preset, fields)) => Some((preset, laid(fields, own)?)),
        None => None,
    };
    let mut most = best.as_ref().map_or(0, |(_, fields)| fitting(fields, records));
    for preset in presets.iter().copied() {
        if most == records.len() {
            break;
        }
        let alone = |record: &&Value<'_>| Look(vec![*record]).build(preset).is_ok();
        if let Ok(fields) = Look(records.iter().filter(alone).collect()).build(preset) {
            let fields = laid(fields, own)?;
            let fit = fitting(&fields, records);
            if fit > most {
                (best, most) = (Some((preset, fields)), fit);
            }
        }
    }
    best.map(|(preset, fields)| (preset.to_owned(), fields)).ok_or_else(|| match look.build(format) {
        Err(lacking) if format != "auto" => format!("`format: {format}` needs {lacking}, but {}", look.describe()),
        _ => format!("no preset fits: {}; say what they are with `fields:`", look.describe()),
    })
}

/// How many records can be read so.
fn fitting(fields: &Fields, records: &[Value<'_>]) -> usize {
    records.iter().filter(|record| fields.sample(record).is_ok()).count()
}

/// A preset's mapping with the user's own fields over it.
fn laid(mut fields: Map<String, Json>, own: &Map<String, Json>) -> std::result::Result<Fields, String> {
    for (name, value) in own {
        fields.insert(name.clone(), value.clone());
    }
    if own.contains_key("images") || own.contains_key("videos") {
        // Who names the media has looked at them; sound stays refused.
        fields.insert("unread".to_owned(), json!(HEARD.map(|name| format!("{name}?"))));
    }
    serde_json::from_value(Json::Object(fields)).map_err(|error| error.to_string())
}

struct Look<'r, 'a>(Vec<&'r Value<'a>>);

impl<'a> Look<'_, 'a> {
    fn in_all(&self, name: &str, fits: impl Fn(&Value<'a>) -> bool) -> bool {
        !self.0.is_empty() && self.0.iter().all(|record| record.get(name).is_some_and(&fits))
    }

    fn in_any(&self, name: &str, fits: impl Fn(&Value<'a>) -> bool) -> bool {
        self.0.iter().any(|record| record.get(name).is_some_and(&fits))
    }

    fn first_in_all(&self, names: &[&str], fits: impl Fn(&Value<'a>) -> bool + Copy) -> Option<String> {
        names.iter().find(|name| self.in_all(name, fits)).map(|name| (*name).to_owned())
    }

    /// The item of a list under `name`, in the first record that has one.
    fn item(&self, name: &str) -> Option<&Value<'a>> {
        self.0.iter().find_map(|record| match record.get(name) {
            Some(Value::List(items)) => items.first(),
            _ => None,
        })
    }

    fn build(&self, preset: &str) -> std::result::Result<Map<String, Json>, String> {
        let mut fields = match preset {
            "openai" => self.turns(&["messages"])?,
            "swift" => match self.turns(&["messages"]) {
                Ok(fields) => fields,
                Err(_) => self.swift()?,
            },
            "llava" => {
                let fields = self.turns(&["conversations", "conversation"])?;
                if self.media(&IMAGES).is_empty() && self.media(&VIDEOS).is_empty() {
                    return Err("an image or a video".to_owned());
                }
                fields
            }
            "sharegpt" => self.turns(&["conversations", "conversation", "messages"])?,
            "videochat" => self.videochat()?,
            "alpaca" => self.alpaca()?,
            "qa" => self.question_and_answer()?,
            "caption" => self.caption()?,
            "prompt" => {
                let question = self.first_in_all(&QUESTIONS, is_scalar).ok_or("a question")?;
                object(&json!({"user": [question]}))
            }
            _ => return Err("a preset of that name".to_owned()),
        };
        if let Some(key) = self.first_in_all(&KEYS, is_scalar) {
            fields.insert("key".to_owned(), json!([key]));
        } else if self.in_all("__key", is_scalar) {
            fields.insert("key".to_owned(), json!(["__key"]));
        }
        let is_conversation = matches!(preset, "openai" | "swift" | "llava" | "sharegpt");
        for (name, known) in [("images", &IMAGES[..]), ("videos", &VIDEOS[..])] {
            let mut paths = self.media(known);
            // A conversation may show images in records beyond those looked at.
            if is_conversation && paths.iter().all(|path| SHOWN.contains(&path.trim_end_matches('?'))) {
                paths = vec![format!("{name}?"), format!("{}?", &name[..name.len() - 1])];
            }
            if !paths.is_empty() {
                fields.insert(name.to_owned(), json!(paths));
            }
        }
        if is_conversation {
            fields.insert("tools".to_owned(), json!(["tools?"]));
            fields.insert("system".to_owned(), json!(["system?"]));
        }
        let unread = unread(preset, &fields);
        fields.insert("unread".to_owned(), json!(unread));
        Ok(fields)
    }

    fn turns(&self, names: &[&str]) -> std::result::Result<Map<String, Json>, String> {
        let path = self.first_in_all(names, is_list).ok_or_else(|| format!("a list `{}`", names[0]))?;
        let first = self.item(&path).ok_or_else(|| format!("turns in `{path}`"))?;
        let find = |names: &[&str]| names.iter().find(|name| first.get(name).is_some()).map(|name| (*name).to_owned());
        let role = find(&["role", "from"]).ok_or_else(|| format!("a `role` or `from` in `{path}`"))?;
        let text = find(&["content", "value", "text"]).ok_or_else(|| format!("a `content` or `value` in `{path}`"))?;
        Ok(object(&json!({"turns": {"path": path, "role": role, "text": text}})))
    }

    fn swift(&self) -> std::result::Result<Map<String, Json>, String> {
        if !self.in_all("query", is_scalar) || !self.in_all("response", is_scalar) {
            return Err("`messages`, or `query` and `response`".to_owned());
        }
        Ok(object(&json!({
            "pairs": {"path": "history?", "user": "[0]", "assistant": "[1]"},
            "user": ["query"], "assistant": ["response"],
        })))
    }

    fn videochat(&self) -> std::result::Result<Map<String, Json>, String> {
        let first = self.item("QA").filter(|_| self.in_all("QA", is_list)).ok_or("a list `QA`")?;
        let question = ["q", "Q", "question"].into_iter().find(|name| first.get(name).is_some());
        let answer = ["a", "A", "answer"].into_iter().find(|name| first.get(name).is_some());
        match (question, answer) {
            (Some(user), Some(assistant)) => {
                Ok(object(&json!({"pairs": {"path": "QA", "user": user, "assistant": assistant}})))
            }
            _ => Err("a `q` and an `a` in `QA`".to_owned()),
        }
    }

    fn alpaca(&self) -> std::result::Result<Map<String, Json>, String> {
        let answer = self.first_in_all(&["output", "response"], is_scalar);
        let (true, Some(answer)) = (self.in_all("instruction", is_scalar), answer) else {
            return Err("`instruction` and `output` (or `response`)".to_owned());
        };
        Ok(object(&json!({
            "system": ["system?"], "pairs": {"path": "history?", "user": "[0]", "assistant": "[1]"},
            "user": ["instruction", "input?"], "assistant": [answer],
        })))
    }

    fn question_and_answer(&self) -> std::result::Result<Map<String, Json>, String> {
        let question = self.first_in_all(&QUESTIONS, is_scalar).ok_or("a question")?;
        let is_answer = |value: &Value<'a>| is_scalar(value) || is_list(value);
        let answers: Vec<&str> = ANSWERS.iter().copied().filter(|name| *name != question).collect();
        let answer = self.first_in_all(&answers, is_answer).ok_or("an answer")?;
        let mut fields = object(&json!({"user": [question], "assistant": [answer]}));
        if let Some(name) = CHOICES.iter().find(|name| self.in_any(name, |value| !value.is_null())) {
            fields.insert("choices".to_owned(), json!([format!("{name}?")]));
        } else if self.in_all("A", is_scalar) && self.in_all("B", is_scalar) {
            let letters: Vec<String> = ["A", "B", "C", "D", "E", "F", "G", "H"]
                .iter()
                .filter(|letter| self.in_any(letter, is_scalar))
                .map(|letter| format!("{letter}?"))
                .collect();
            fields.insert("choices".to_owned(), json!(letters));
        }
        Ok(fields)
    }

    fn caption(&self) -> std::result::Result<Map<String, Json>, String> {
        if self.media(&IMAGES).is_empty() && self.media(&VIDEOS).is_empty() {
            return Err("an image".to_owned());
        }
        let caption = self.first_in_all(&CAPTIONS, |value| is_scalar(value) || is_list(value)).ok_or("a caption")?;
        Ok(object(&json!({"assistant": [caption]})))
    }

    /// The fields that refer to media: members of an archive first, then the first known name in use.
    fn media(&self, names: &[&str]) -> Vec<String> {
        if names == IMAGES {
            let mut members: Vec<String> = Vec::new();
            for record in &self.0 {
                let Value::Map(entries) = record else { continue };
                for (name, value) in entries {
                    if matches!(value, Value::Bytes(_)) && is_image_name(name) && !members.contains(&format!("{name}?"))
                    {
                        members.push(format!("{name}?"));
                    }
                }
            }
            if !members.is_empty() {
                members.sort();
                return members;
            }
            let numbered: Vec<String> = (1..=9)
                .map(|number| format!("image_{number}"))
                .filter(|name| self.in_any(name, is_reference))
                .map(|name| format!("{name}?"))
                .collect();
            if !numbered.is_empty() {
                return numbered;
            }
        }
        let known = names.iter().find(|name| {
            let must_look_like_one = name.starts_with("file");
            self.in_any(name, |value| {
                is_reference(value)
                    && (!must_look_like_one || value.scalar_text().is_some_and(|text| is_image_name(&text)))
            })
        });
        known.map(|name| format!("{name}?")).into_iter().collect()
    }

    fn describe(&self) -> String {
        const SHOWN: usize = 12;
        match self.0.first() {
            Some(Value::Map(entries)) => {
                let mut seen: Vec<String> =
                    entries.iter().take(SHOWN).map(|(name, value)| format!("`{name}` ({})", value.kind())).collect();
                if entries.len() > SHOWN {
                    seen.push(format!("{} more", entries.len() - SHOWN));
                }
                format!("the first record has {}", seen.join(", "))
            }
            _ => "the first record has no fields".to_owned(),
        }
    }
}

/// What a preset does not read and must not lose: media, sound, and for questions without answers, answers.
fn unread(preset: &str, fields: &Map<String, Json>) -> Vec<String> {
    let read: Vec<&str> = ["images", "videos", "user", "assistant", "choices"]
        .iter()
        .filter_map(|name| fields.get(*name)?.as_array())
        .flatten()
        .filter_map(|path| path.as_str().map(|path| path.trim_end_matches('?')))
        .collect();
    let answers: &[&str] = if preset == "prompt" { &ANSWERS } else { &[] };
    [&SHOWN[..], &HEARD, answers]
        .concat()
        .into_iter()
        .filter(|name| !read.contains(name))
        .map(|name| format!("{name}?"))
        .collect()
}

fn is_scalar(value: &Value<'_>) -> bool {
    matches!(value, Value::Text(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_))
}

fn is_list(value: &Value<'_>) -> bool {
    matches!(value, Value::List(_))
}

fn is_reference(value: &Value<'_>) -> bool {
    match value {
        Value::Text(text) => !text.is_empty(),
        Value::Bytes(_) | Value::Map(_) => true,
        Value::List(items) => items.iter().any(is_reference),
        _ => false,
    }
}

fn is_image_name(name: &str) -> bool {
    let ending = name.rsplit('.').next().unwrap_or(name).to_ascii_lowercase();
    matches!(ending.as_str(), "jpg" | "jpeg" | "png" | "webp" | "gif" | "bmp" | "tif" | "tiff")
}

fn object(value: &Json) -> Map<String, Json> {
    value.as_object().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::parse_json;

    fn preset(record: &str) -> std::result::Result<String, String> {
        detect("auto", &Map::new(), &[parse_json(record.as_bytes()).unwrap()]).map(|found| found.preset)
    }

    #[test]
    fn auto_knows_the_shapes() {
        for (expected, record) in [
            ("openai", r#"{"messages":[{"role":"user","content":"q"}],"images":[]}"#),
            ("swift", r#"{"query":"q","response":"a"}"#),
            ("llava", r#"{"image":"a.png","conversations":[{"from":"human","value":"q"}]}"#),
            ("sharegpt", r#"{"conversations":[{"from":"human","value":"q"}]}"#),
            ("videochat", r#"{"video":"a.mp4","QA":[{"q":"q","a":"a"}]}"#),
            ("alpaca", r#"{"instruction":"i","input":"","output":"o"}"#),
            ("qa", r#"{"question":"q","choices":["a","b"],"answer":1}"#),
            ("caption", r#"{"image":"a.png","caption":"c"}"#),
            ("prompt", r#"{"question_id":1,"text":"q"}"#),
        ] {
            assert_eq!(preset(record).unwrap(), expected, "{record}");
        }
        assert!(preset(r#"{"img_id":"x","sents":3}"#).unwrap_err().contains("`img_id` (text), `sents` (a number)"));
    }

    #[test]
    fn own_fields_stand_alone_or_lie_over_the_preset() {
        let record = parse_json(br#"{"instruction":"i","output":"o","n":3}"#).unwrap();
        let own = object(&json!({"key": ["n"]}));
        let found = detect("auto", &own, std::slice::from_ref(&record)).unwrap();
        assert_eq!(found.preset, "alpaca");
        assert_eq!(found.fields.sample(&record).unwrap().key.as_deref(), Some("3"));
        let own = object(&json!({"user": ["output"]}));
        assert_eq!(detect("auto", &own, &[record]).unwrap().preset, "fields");
    }

    #[test]
    fn a_few_records_that_lack_something_do_not_choose_the_preset() {
        let all = |texts: &[&'static str], format: &str| {
            let records: Vec<_> = texts.iter().map(|text| parse_json(text.as_bytes()).unwrap()).collect();
            detect(format, &Map::new(), &records).map(|found| found.why)
        };
        let (good, bad) = (r#"{"id":1,"question":"q","answer":"a"}"#, r#"{"id":2,"question":"q","answer":null}"#);
        for format in ["auto", "qa"] {
            assert_eq!(all(&[bad, good, good], format).unwrap(), "qa: 2 of the first 3 records fit");
        }
        assert_eq!(all(&[bad, bad, bad, good], "auto").unwrap(), "prompt: 3 of the first 4 records fit");
        assert_eq!(all(&[bad, bad], "auto").unwrap(), "prompt: 2 of the first 2 records fit");
        let (chat, none) = (r#"{"messages":[{"role":"user","content":"q"}]}"#, r#"{"messages":null}"#);
        assert_eq!(all(&[none, chat, chat], "auto").unwrap(), "openai: 2 of the first 3 records fit");
        assert_eq!(all(&[chat, "[]"], "openai").unwrap(), "openai: 1 of the first 2 records fit");
    }

    #[test]
    fn a_named_preset_that_does_not_fit_says_what_it_needs() {
        let record = parse_json(br#"{"a":1}"#).unwrap();
        let reason = detect("llava", &Map::new(), &[record]).unwrap_err();
        assert!(reason.starts_with("`format: llava` needs a list `conversations`"), "{reason}");
    }
}
