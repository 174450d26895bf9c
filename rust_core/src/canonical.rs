//! Records that state their sample as it is: those that `recipe materialize` writes.
//!
//! A record is an object with `id`, `source_key`, `messages`, `media` and `tools` (and more, for people and for other
//! software). Nothing is guessed and nothing is cut: every part of every message is where it was. Media are files below
//! a folder (`path`) or bytes beside the record (`member`). The id is the one that was compiled, which bytes in place of
//! a path could not give again; so the record carries a `proof`, a digest of all that is taken from it.

use std::borrow::Cow;

use crate::sample::{Media, MediaKind, Message, Part, Parts, Reference, Role, Sample, SampleId, Stated};
use crate::value::Value;

type Read<T> = std::result::Result<T, String>;

/// The sample that a record states.
pub fn sample<'v>(record: &'v Value<'_>) -> Read<Sample<'v>> {
    let media = list(record, "media")?.iter().map(|item| medium(item, record)).collect::<Read<Vec<_>>>()?;
    let messages = list(record, "messages")?.iter().map(|item| message(item, &media)).collect::<Read<Vec<_>>>()?;
    Ok(Sample {
        key: optional(record, "source_key")?,
        messages,
        media,
        tools: optional(record, "tools")?,
        stated: Some(Stated { id: digest(record, "id")?, proof: digest(record, "proof")? }),
    })
}

/// The proof that belongs into a record which has all but that; `members` are the bytes beside it, in order.
pub fn prove<'a>(mut record: Value<'a>, members: &[&'a [u8]]) -> Read<SampleId> {
    let names = list(&record, "media")?.iter().filter_map(|item| optional(item, "member").transpose());
    let names = names.map(|name| name.map(Cow::into_owned)).collect::<Read<Vec<String>>>()?;
    let Value::Map(entries) = &mut record else {
        return Err("no object".to_owned());
    };
    if names.len() != members.len() {
        return Err(format!("{} members for {} names", members.len(), names.len()));
    }
    entries.push((Cow::Borrowed("proof"), Value::Text(Cow::Borrowed("00000000000000000000000000000000"))));
    entries.extend(
        names.into_iter().zip(members).map(|(name, bytes)| (Cow::Owned(name), Value::Bytes(Cow::Borrowed(*bytes)))),
    );
    let id = digest(&record, "id")?;
    Ok(sample(&record)?.proof(&id))
}

fn message<'v>(value: &'v Value<'_>, media: &[Media<'_>]) -> Read<Message<'v>> {
    let name = text(value, "role")?;
    let role = Role::parse(&name).ok_or_else(|| format!("an unknown role `{name}`"))?;
    let parts = list(value, "content")?.iter().map(|item| part(item, media)).collect::<Read<Parts<'v>>>()?;
    Ok(Message { role, parts })
}

fn part<'v>(value: &'v Value<'_>, media: &[Media<'_>]) -> Read<Part<'v>> {
    let kind = text(value, "type")?;
    if kind == "text" {
        return Ok(Part::Text(text(value, "text")?));
    }
    let Some(Value::Int(index)) = value.get("media") else {
        return Err(format!("a part of type `{kind}` that names no media"));
    };
    match usize::try_from(*index).ok().filter(|index| media.get(*index).is_some_and(|named| named.kind.name() == kind))
    {
        Some(index) => Ok(Part::Media(index)),
        None => Err(format!("a part of type `{kind}` that names media {index} of {}", media.len())),
    }
}

fn medium<'v>(value: &'v Value<'_>, record: &'v Value<'_>) -> Read<Media<'v>> {
    let name = text(value, "kind")?;
    let kind = [MediaKind::Image, MediaKind::Video].into_iter().find(|kind| kind.name() == name);
    let kind = kind.ok_or_else(|| format!("media of an unknown kind `{name}`"))?;
    if let Some(path) = optional(value, "path")? {
        return Ok(Media { kind, reference: Reference::Path(path) });
    }
    let member = text(value, "member")?;
    match record.get(&member) {
        Some(Value::Bytes(bytes)) => Ok(Media { kind, reference: Reference::Bytes(Cow::Borrowed(bytes)) }),
        _ => Err(format!("there is no `{member}` beside the record")),
    }
}

fn list<'v, 'a>(value: &'v Value<'a>, key: &str) -> Read<&'v [Value<'a>]> {
    match value.get(key) {
        Some(Value::List(items)) => Ok(items),
        _ => Err(format!("no list `{key}`")),
    }
}

fn text<'v>(value: &'v Value<'_>, key: &str) -> Read<Cow<'v, str>> {
    optional(value, key)?.ok_or_else(|| format!("no text `{key}`"))
}

fn optional<'v>(value: &'v Value<'_>, key: &str) -> Read<Option<Cow<'v, str>>> {
    match value.get(key) {
        Some(Value::Text(text)) => Ok(Some(Cow::Borrowed(text))),
        None | Some(Value::Null) => Ok(None),
        Some(other) => Err(format!("`{key}` is {}, not text", other.kind())),
    }
}

fn digest(record: &Value<'_>, key: &str) -> Read<SampleId> {
    let digits = text(record, key)?;
    if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(format!("`{key}` is not 32 hexadecimal digits"));
    }
    u128::from_str_radix(&digits, 16).map(u128::to_be_bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::parse_json;

    const RECORD: &str = r#"{"id":"00112233445566778899aabbccddeeff","source_key":null,"messages":[
        {"role":"system","content":[{"type":"text","text":" "}]},
        {"role":"user","content":[{"type":"text","text":"\n<image>"},{"type":"image","media":0}]}],
        "media":[{"kind":"image","path":"a.png"}],"tools":null,"proof":"PROOF"}"#;

    fn proved() -> String {
        let bare = RECORD.replace(r#","proof":"PROOF""#, "");
        let proof = u128::from_be_bytes(prove(parse_json(bare.as_bytes()).unwrap(), &[]).unwrap());
        RECORD.replace("PROOF", &format!("{proof:032x}"))
    }

    #[test]
    fn blanks_and_marks_are_text_and_the_id_is_the_stated_one() {
        let text = proved();
        let record = parse_json(text.as_bytes()).unwrap();
        let sample = sample(&record).unwrap();
        assert_eq!(sample.messages[0].parts[0], Part::Text(" ".into()));
        assert_eq!(sample.messages[1].parts[0], Part::Text("\n<image>".into()));
        assert_eq!(sample.messages[1].parts[1], Part::Media(0));
        assert_eq!(sample.id()[..3], [0x00, 0x11, 0x22]);
    }

    #[test]
    fn a_record_that_was_changed_has_another_id() {
        let id = |text: &str| sample(&parse_json(text.as_bytes()).unwrap()).unwrap().id();
        let whole = id(&proved());
        for (from, to) in
            [("image>", "Image>"), ("a.png", "b.png"), ("null,\"messages", "\"\",\"messages"), ("00112233", "00112234")]
        {
            let changed = proved().replace(from, to);
            assert_ne!(changed, proved());
            assert_ne!(id(&changed), whole);
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (from, to, reason) in [
            ("\"media\":0", "\"media\":1", "names media 1 of 1"),
            ("\"kind\":\"image\"", "\"kind\":\"sound\"", "unknown kind `sound`"),
            ("\"path\":\"a.png\"", "\"member\":\"0.png\"", "no `0.png` beside"),
            ("00112233", "0011223+", "`id` is not 32 hexadecimal digits"),
            ("\"messages\"", "\"turns\"", "no list `messages`"),
        ] {
            let text = proved().replace(from, to);
            let record = parse_json(text.as_bytes()).unwrap();
            let found = sample(&record).unwrap_err();
            assert!(found.contains(reason), "{found}");
        }
    }
}
