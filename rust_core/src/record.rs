//! One record: where it lies, how it is written, and its value.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::delimited;
use crate::json;
use crate::mds;
use crate::quick::Spare;
use crate::value::{Value, parse_json, parse_json_into};
use crate::webdataset;

/// A byte range of a record stream: the file itself, or the seekable form of a compressed or columnar file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub offset: u64,
    pub length: u64,
}

impl Span {
    /// The bytes of the span, or None where the stream is shorter than it says.
    pub fn of<'a>(&self, stream: &'a [u8]) -> Option<&'a [u8]> {
        let end = self.offset.checked_add(self.length)?;
        stream.get(usize::try_from(self.offset).ok()?..usize::try_from(end).ok()?)
    }
}

/// A record that could not be used: which, where, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    pub record: u64,
    pub offset: u64,
    pub reason: String,
}

/// What a scan comes upon: a record, or what stands where one should be.
pub type Found = std::result::Result<Span, Malformed>;

/// How the bytes of one record are written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Encoding {
    /// One JSON value.
    #[default]
    Json,
    /// `"key": value` inside a JSON object; the key becomes the field `__key`.
    Entry,
    /// One row of a delimited file.
    Row { delimiter: char, quote: bool, columns: Vec<String> },
    /// The members of one WebDataset sample, tar headers included.
    Tar,
    /// One sample of an MDS shard, the lengths of its columns included.
    Mds,
}

/// Whether a JSON text is small enough to be held in memory as values.
pub fn bounded(bytes: &[u8]) -> std::result::Result<(), String> {
    within(bytes, bounds::MAX_RECORD_BYTES)?;
    // A text of no more bytes than that cannot hold more values; longer ones are counted.
    if bytes.len() > bounds::MAX_RECORD_VALUES && json::num_values(bytes) > bounds::MAX_RECORD_VALUES {
        return Err(format!("a record of more than {} values; cut it up", bounds::MAX_RECORD_VALUES));
    }
    Ok(())
}

fn within(bytes: &[u8], limit: usize) -> std::result::Result<(), String> {
    if bytes.len() > limit {
        let (found, most) = (bounds::mebibytes(bytes.len() as u64), bounds::mebibytes(limit as u64));
        return Err(format!("a record of {found}, and one has at most {most}; keep media in files of their own"));
    }
    Ok(())
}

/// The value of one record.
pub fn parse<'a>(bytes: &'a [u8], encoding: &Encoding) -> std::result::Result<Value<'a>, String> {
    parse_into(bytes, encoding, &mut Spare::default())
}

pub(crate) fn parse_into<'a>(
    bytes: &'a [u8],
    encoding: &Encoding,
    spare: &mut Spare<'a>,
) -> std::result::Result<Value<'a>, String> {
    match encoding {
        Encoding::Json | Encoding::Entry => bounded(bytes)?,
        Encoding::Row { .. } => within(bytes, bounds::MAX_RECORD_BYTES)?,
        Encoding::Tar | Encoding::Mds => within(bytes, bounds::MAX_ARCHIVED_BYTES)?,
    }
    match encoding {
        Encoding::Json => Ok(as_map(parse_json_into(bytes, spare)?, None)),
        Encoding::Entry => {
            let key_end = json::string_end(bytes, 0).ok_or("a key that never ends")?;
            let Value::Text(key) = parse_json(&bytes[..key_end])? else {
                return Err("a key that is not a string".to_owned());
            };
            let colon = json::skip_space(bytes, key_end);
            if bytes.get(colon) != Some(&b':') {
                return Err("a key without a colon".to_owned());
            }
            let value = bytes.get(json::skip_space(bytes, colon + 1)..).unwrap_or_default();
            let value = parse_json_into(value, spare)?;
            Ok(as_map(value, Some(key)))
        }
        Encoding::Row { delimiter, quote, columns } => delimited::parse_row(bytes, *delimiter, *quote, columns),
        Encoding::Tar => webdataset::parse_group(bytes, spare),
        Encoding::Mds => mds::parse_sample(bytes),
    }
}

/// A record is a map: a bare value becomes its field `value`, and a key joins as `__key`.
fn as_map<'a>(value: Value<'a>, key: Option<Cow<'a, str>>) -> Value<'a> {
    let mut entries = match value {
        Value::Map(entries) => entries,
        other => vec![(Cow::Borrowed("value"), other)],
    };
    if let Some(key) = key
        && !entries.iter().any(|(name, _)| name == "__key")
    {
        entries.push((Cow::Borrowed("__key"), Value::Text(key)));
    }
    Value::Map(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_carries_its_key() {
        let record = parse(br#""16": {"question": "q"}"#, &Encoding::Entry).unwrap();
        assert_eq!(record.to_json(), r#"{"question":"q","__key":"16"}"#);
        let record = parse(br#""16" : "text""#, &Encoding::Entry).unwrap();
        assert_eq!(record.to_json(), r#"{"value":"text","__key":"16"}"#);
    }

    #[test]
    fn a_span_beyond_the_stream_is_none() {
        assert_eq!(Span { offset: 3, length: 2 }.of(b"abcd"), None);
        assert_eq!(Span { offset: u64::MAX, length: 2 }.of(b"abcd"), None);
        assert_eq!(Span { offset: 2, length: 2 }.of(b"abcd"), Some(&b"cd"[..]));
    }
}
