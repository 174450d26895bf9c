//! One record as a tree. JSON, CSV, Parquet and tar records all become a [`Value`], so that a mapping is written once.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::quick::{self, Spare};

/// Text that stands for bytes inside JSON (RFC 2397); the seekable form of a columnar file uses it for binary cells.
const DATA_URI: &str = "data:";
/// What the seekable form writes for a binary cell: no media type, which no data set writes. Such text is no text.
const BINARY_CELL: &str = "data:;base64,";

#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    List(Vec<Value<'a>>),
    Map(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// The member of a map, or None.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        match self {
            Value::Map(entries) => {
                // Most names differ at once from one that is not there, which takes no call to see.
                let first = key.as_bytes().first();
                let is_key = |name: &str| name.len() == key.len() && name.as_bytes().first() == first && name == key;
                entries.iter().find(|(name, _)| is_key(name)).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// A scalar as text: strings as they are, numbers and booleans as JSON writes them.
    pub fn scalar_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Value::Text(text) if is_binary(text) => None,
            Value::Text(text) => Some(Cow::Borrowed(text)),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => Some(Cow::Owned(self.to_json())),
            _ => None,
        }
    }

    /// Any value as text: a scalar as it is, others as JSON.
    pub fn text(&self) -> Cow<'_, str> {
        self.scalar_text().unwrap_or_else(|| Cow::Owned(self.to_json()))
    }

    /// The bytes a value carries, as a binary cell or as a base64 data URI.
    pub fn embedded_bytes(&self) -> Option<std::result::Result<Cow<'_, [u8]>, String>> {
        match self {
            Value::Bytes(bytes) => Some(Ok(Cow::Borrowed(bytes))),
            Value::Text(text) if text.starts_with(DATA_URI) => {
                let Some((_, payload)) = text.split_once(";base64,") else {
                    return Some(Err("a data URI that is not base64".to_owned()));
                };
                Some(STANDARD.decode(payload).map(Cow::Owned).map_err(|error| format!("a broken data URI: {error}")))
            }
            _ => None,
        }
    }

    /// What kind of value this is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Text(text) if is_binary(text) => "bytes",
            Value::Text(_) => "text",
            Value::Bytes(_) => "bytes",
            Value::List(_) => "a list",
            Value::Map(_) => "an object",
        }
    }

    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    /// Compact JSON; bytes become a data URI and a number that JSON lacks becomes its name as text.
    pub fn write_json(&self, out: &mut String) {
        match self {
            Value::Null => out.push_str("null"),
            Value::Bool(true) => out.push_str("true"),
            Value::Bool(false) => out.push_str("false"),
            Value::Int(number) => out.push_str(&number.to_string()),
            Value::Float(number) if number.is_finite() => out.push_str(&shortest(*number)),
            Value::Float(number) => write_json_text(&number.to_string(), out),
            Value::Text(text) => write_json_text(text, out),
            Value::Bytes(bytes) => {
                out.push('"');
                out.push_str(BINARY_CELL);
                STANDARD.encode_string(bytes, out);
                out.push('"');
            }
            Value::List(items) => {
                out.push('[');
                for (position, item) in items.iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    item.write_json(out);
                }
                out.push(']');
            }
            Value::Map(entries) => {
                out.push('{');
                for (position, (key, value)) in entries.iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    write_json_text(key, out);
                    out.push(':');
                    value.write_json(out);
                }
                out.push('}');
            }
        }
    }

    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(flag) => Value::Bool(flag),
            Value::Int(number) => Value::Int(number),
            Value::Float(number) => Value::Float(number),
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::Bytes(bytes) => Value::Bytes(Cow::Owned(bytes.into_owned())),
            Value::List(items) => Value::List(items.into_iter().map(Value::into_owned).collect()),
            Value::Map(entries) => Value::Map(
                entries.into_iter().map(|(key, value)| (Cow::Owned(key.into_owned()), value.into_owned())).collect(),
            ),
        }
    }
}

/// Whether text stands for a binary cell, and so is none.
pub(crate) fn is_binary(text: &str) -> bool {
    text.starts_with(BINARY_CELL)
}

/// The shortest decimal that reads back as the same double; `3.0` keeps its point.
fn shortest(number: f64) -> String {
    format!("{number:?}")
}

pub fn write_json_text(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while !rest.is_empty() {
        let (plain, odd) = rest.split_at(quick::plain(rest.as_bytes()));
        out.push_str(plain);
        let Some(byte) = odd.bytes().next() else { break };
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            _ => out.push_str(&format!("\\u{byte:04x}")),
        }
        rest = &odd[1..];
    }
    out.push('"');
}

/// Parses one JSON text. The reason of a failure names what was found and the byte it was found at.
pub fn parse_json(bytes: &[u8]) -> std::result::Result<Value<'_>, String> {
    parse_json_into(bytes, &mut Spare::default())
}

pub(crate) fn parse_json_into<'a>(bytes: &'a [u8], spare: &mut Spare<'a>) -> std::result::Result<Value<'a>, String> {
    let text = utf8(bytes)?;
    quick::parse(text, spare).map_or_else(|| parse_slowly(text), Ok)
}

/// What is JSON and what is not is for serde_json to say.
pub(crate) fn parse_slowly(text: &str) -> std::result::Result<Value<'_>, String> {
    serde_json::from_str::<Value<'_>>(text).map_err(|error| explain(text.as_bytes(), &error))
}

pub fn utf8(bytes: &[u8]) -> std::result::Result<&str, String> {
    let text = simdutf8::basic::from_utf8(bytes);
    // Only the slower check says where text ends.
    text.or_else(|_| std::str::from_utf8(bytes)).map_err(|error| {
        let at = error.valid_up_to();
        format!(
            "byte {at} (0x{:02x}) is not UTF-8; mend it, or if the whole file is in another encoding, re-encode it, \
             for example with `iconv -f GB18030 -t UTF-8`",
            bytes.get(at).copied().unwrap_or_default()
        )
    })
}

fn explain(bytes: &[u8], error: &serde_json::Error) -> String {
    let line_start = bytes
        .split(|byte| *byte == b'\n')
        .take(error.line().saturating_sub(1))
        .map(|line| line.len() + 1)
        .sum::<usize>();
    let at = (line_start + error.column().saturating_sub(1)).min(bytes.len());
    let around = &bytes[at.saturating_sub(2)..];
    for word in ["NaN", "Infinity"] {
        if around.windows(word.len()).take(4).any(|window| window == word.as_bytes()) {
            return format!("byte {at}: bare {word} is not JSON; write null or a string");
        }
    }
    let message = error.to_string();
    let reason = message.split(" at line ").next().unwrap_or(&message);
    format!("byte {at}: {reason}")
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> std::result::Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> std::result::Result<Value<'de>, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> std::result::Result<Value<'de>, E> {
        Ok(Value::Int(i128::from(number)))
    }

    fn visit_u64<E>(self, number: u64) -> std::result::Result<Value<'de>, E> {
        Ok(Value::Int(i128::from(number)))
    }

    fn visit_f64<E>(self, number: f64) -> std::result::Result<Value<'de>, E> {
        Ok(Value::Float(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> std::result::Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> std::result::Result<Value<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> std::result::Result<Value<'de>, A::Error> {
        let mut entries: Vec<(Cow<'de, str>, Value<'de>)> = Vec::new();
        while let Some(Key(key)) = access.next_key()? {
            if is_reserved(&key) && entries.is_empty() {
                return Ok(number(&access.next_value::<Cow<'de, str>>()?).into_owned());
            }
            entries.push((key, access.next_value()?));
        }
        if let Some(key) = first_duplicate(&entries) {
            return Err(serde::de::Error::custom(format!("the key `{key}` stands twice in one object")));
        }
        Ok(Value::Map(entries))
    }
}

/// How serde_json hands over a number as it was written (`arbitrary_precision`); a test below holds it to that.
const NUMBER: &str = "$serde_json::private::Number";

/// An integer of any practical size, the double that a decimal stands for, or the text of what is neither.
pub(crate) fn number(text: &str) -> Value<'_> {
    let as_written = Value::Text(Cow::Borrowed(text));
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        return text.parse().map_or(as_written, Value::Int);
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Value::Float(number),
        _ => as_written,
    }
}

/// Whether serde_json keeps a key for itself.
pub(crate) fn is_reserved(key: &str) -> bool {
    key == NUMBER
}

/// Whether an object needs a second look: a key twice, or the one that serde_json keeps for itself.
pub(crate) fn is_odd(entries: &[(Cow<'_, str>, Value<'_>)]) -> bool {
    entries.first().is_some_and(|(key, _)| is_reserved(key)) || first_duplicate(entries).is_some()
}

fn first_duplicate<'a>(entries: &'a [(Cow<'_, str>, Value<'_>)]) -> Option<&'a str> {
    const SMALL: usize = 24;
    if entries.len() <= SMALL {
        return entries
            .iter()
            .enumerate()
            .find(|(position, (key, _))| entries[..*position].iter().any(|(earlier, _)| earlier == key))
            .map(|(_, (key, _))| key.as_ref());
    }
    let mut keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_ref()).collect();
    keys.sort_unstable();
    keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> std::result::Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> std::result::Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_shortest_text() {
        for (input, expected) in [
            ("3", "3"),
            ("-3.0", "-3.0"),
            ("0.10", "0.1"),
            ("3e-36", "3e-36"),
            ("-6e+25", "-6e25"),
            ("12345678901234567890123", "12345678901234567890123"),
            ("1e+999", "1e+999"),
        ] {
            assert_eq!(parse_json(input.as_bytes()).unwrap().scalar_text().unwrap(), expected);
        }
    }

    #[test]
    fn texts_are_written_as_serde_writes_them() {
        let all: String = (0..0x3000_u32).filter_map(char::from_u32).chain("a \u{1f600} z".chars()).collect();
        for text in ["", "plain", "\"", "\\n\n", "ends with \u{7f}\u{1}", "ünï\tcode", &all] {
            let mut out = "before".to_owned();
            write_json_text(text, &mut out);
            assert_eq!(out, format!("before{}", serde_json::Value::from(text)));
        }
    }

    #[test]
    fn bad_json_says_what_and_where() {
        assert!(parse_json(b"{\"a\": NaN}").unwrap_err().contains("bare NaN is not JSON"));
        assert!(parse_json(b"{\"a\": 1, \"a\": 2}").unwrap_err().contains("the key `a` stands twice"));
        assert!(parse_json(b"\"\xff\"").unwrap_err().contains("byte 1 (0xff) is not UTF-8"));
        assert!(parse_json(b"{\"a\": 1").unwrap_err().contains("EOF"));
    }

    #[test]
    fn json_round_trips() {
        let text = r#"{"a":[1,2.5,null,true,"x\ny"],"b":{"c":"é"}}"#;
        assert_eq!(parse_json(text.as_bytes()).unwrap().to_json(), text);
    }

    #[test]
    fn bytes_survive_as_data_uri() {
        let text = Value::Bytes(Cow::Borrowed(b"\x00\xff")).to_json();
        let back = parse_json(text.as_bytes()).unwrap();
        assert_eq!(back.embedded_bytes().unwrap().unwrap().as_ref(), b"\x00\xff");
    }
}
