//! Shards of MosaicML Streaming with the columns `media` (bytes) and `record` (JSON), as `recipe materialize` writes them.
//!
//! A shard begins with the number of samples and the place of each (32 bits, little-endian, one more place than samples).
//! A sample begins with the lengths of its columns. The media of a record follow one another in `media`; the record says
//! how long each is and by which name it goes.

use std::borrow::Cow;

use crate::record::{self, Found, Malformed, Span};
use crate::value::{Value, parse_json};

const WORD: usize = 4;

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at.checked_add(WORD)?)?;
    Some(u32::from_le_bytes(word.try_into().ok()?) as usize)
}

/// The byte range of each sample.
pub fn samples(bytes: &[u8]) -> impl Iterator<Item = Found> + '_ {
    let count = word(bytes, 0).unwrap_or_default();
    (0..count).map(move |number| {
        let place = |number: usize| word(bytes, WORD * (1 + number));
        let bounds = place(number).zip(place(number + 1)).filter(|(start, end)| start <= end && *end <= bytes.len());
        let Some((start, end)) = bounds else {
            let reason = "its place is beyond the end; the file is cut short".to_owned();
            return Err(Malformed { record: number as u64, offset: (WORD * (1 + number)) as u64, reason });
        };
        Ok(Span { offset: start as u64, length: (end - start) as u64 })
    })
}

/// One sample as a map: the fields of its record, and each of its media under its name.
pub fn parse_sample(bytes: &[u8]) -> std::result::Result<Value<'_>, String> {
    let cut = || "its columns are longer than it is".to_owned();
    let sizes = word(bytes, 0).zip(word(bytes, WORD)).ok_or_else(cut)?;
    let body = &bytes[2 * WORD..];
    let (mut media, text) = body.split_at_checked(sizes.0).filter(|(_, text)| text.len() == sizes.1).ok_or_else(cut)?;
    record::bounded(text)?;
    let Value::Map(mut entries) = parse_json(text)? else {
        return Err("`record` is no object".to_owned());
    };
    let mut members = Vec::new();
    if let Some((_, Value::List(items))) = entries.iter().find(|(name, _)| name == "media") {
        for item in items {
            let (Some(Value::Text(name)), Some(Value::Int(size))) = (item.get("member"), item.get("bytes")) else {
                return Err("media without a name or a size".to_owned());
            };
            let size = usize::try_from(*size).map_err(|_| cut())?;
            let (content, rest) = media.split_at_checked(size).ok_or_else(cut)?;
            members.push((Cow::Owned(name.to_string()), Value::Bytes(Cow::Borrowed(content))));
            media = rest;
        }
    }
    entries.extend(members);
    Ok(Value::Map(entries))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(samples: &[&[u8]]) -> Vec<u8> {
        let mut bytes = (samples.len() as u32).to_le_bytes().to_vec();
        let mut at = WORD * (2 + samples.len());
        for size in std::iter::once(0).chain(samples.iter().map(|sample| sample.len())) {
            at += size;
            bytes.extend((at as u32).to_le_bytes());
        }
        bytes.extend(samples.concat());
        bytes
    }

    fn encoded(media: &[u8], record: &str) -> Vec<u8> {
        let sizes = [media.len() as u32, record.len() as u32].map(u32::to_le_bytes).concat();
        [&sizes, media, record.as_bytes()].concat()
    }

    #[test]
    fn media_are_cut_by_what_the_record_says() {
        let record = r#"{"q":1,"media":[{"member":"0.jpg","bytes":3},{"member":"1.png","bytes":2}]}"#;
        let bytes = shard(&[&encoded(b"abcde", record), &encoded(b"", "{}")]);
        let found: Vec<Span> = samples(&bytes).map(Result::unwrap).collect();
        let first = parse_sample(found[0].of(&bytes).unwrap()).unwrap();
        assert_eq!(first.get("0.jpg"), Some(&Value::Bytes(Cow::Borrowed(b"abc"))));
        assert_eq!(first.get("1.png"), Some(&Value::Bytes(Cow::Borrowed(b"de"))));
        assert_eq!(parse_sample(found[1].of(&bytes).unwrap()), Ok(Value::Map(Vec::new())));
    }

    #[test]
    fn what_is_cut_short_is_told() {
        let whole = encoded(b"abc", r#"{"media":[{"member":"0.jpg","bytes":4}]}"#);
        assert!(parse_sample(&whole).unwrap_err().contains("longer"));
        assert!(parse_sample(&whole[..5]).unwrap_err().contains("longer"));
        let bytes = shard(&[&whole]);
        assert!(samples(&bytes[..bytes.len() - 1]).next().unwrap().unwrap_err().reason.contains("cut short"));
    }
}
