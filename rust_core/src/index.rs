//! One pass over a record stream: where each record is, what it is, and how long.

use rayon::prelude::*;

use crate::container::{self, Layout};
use crate::fields::Fields;
use crate::record::{self, Malformed, Span};
use crate::sample::{Lengths, MediaKind, Reference, SampleId};
use crate::value::Value;

/// Texts that may be missing, as one buffer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Texts {
    pub offsets: Vec<i64>,
    pub data: Vec<u8>,
    pub valid: Vec<u8>,
}

impl Texts {
    fn push(&mut self, text: Option<&str>) {
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        self.data.extend_from_slice(text.unwrap_or_default().as_bytes());
        self.offsets.push(self.data.len() as i64);
        self.valid.push(u8::from(text.is_some()));
    }

    fn append(&mut self, other: &Self) {
        if other.offsets.is_empty() {
            return;
        }
        let base = self.data.len() as i64;
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        self.data.extend_from_slice(&other.data);
        self.offsets.extend(other.offsets[1..].iter().map(|offset| offset + base));
        self.valid.extend_from_slice(&other.valid);
    }
}

/// Which kinds of values a carried column held, so that its type is a fact about the whole pool.
pub mod seen {
    pub const BOOL: u8 = 1;
    pub const INT: u8 = 2;
    pub const FLOAT: u8 = 4;
    pub const TEXT: u8 = 8;
    pub const TREE: u8 = 16;
}

#[derive(Debug, Default, PartialEq)]
pub struct Column {
    pub texts: Texts,
    pub seen: u8,
}

/// The index of one file, a row for each sample, in file order.
#[derive(Debug, Default, PartialEq)]
pub struct Index {
    pub ids: Vec<SampleId>,
    pub spans: Vec<Span>,
    pub lengths: Vec<Lengths>,
    pub images: Vec<u32>,
    pub videos: Vec<u32>,
    pub keys: Texts,
    /// Paths of media outside the record, all samples' in a row, and how many each sample has.
    pub media: Texts,
    pub num_media: Vec<u32>,
    pub columns: Vec<Column>,
    pub malformed: Vec<Malformed>,
}

const CHUNK: usize = 1024;

/// Indexes a record stream. Malformed records are listed, never dropped in silence.
pub fn index(stream: &[u8], layout: &Layout, fields: &Fields) -> Index {
    let (found, unread) = container::spans(stream, layout);
    let encoding = layout.encoding();
    let parts: Vec<Index> = found
        .spans
        .par_chunks(CHUNK)
        .enumerate()
        .map(|(chunk, spans)| {
            let mut part = Index { columns: empty_columns(fields), ..Index::default() };
            for (position, span) in spans.iter().enumerate() {
                let number = (chunk * CHUNK + position) as u64;
                let added = span
                    .of(stream)
                    .ok_or_else(|| "the record runs past the end".to_owned())
                    .and_then(|bytes| record::parse(bytes, &encoding))
                    .and_then(|value| part.add(*span, &value, fields));
                if let Err(reason) = added {
                    part.malformed.push(Malformed { record: number, offset: span.offset, reason });
                }
            }
            part
        })
        .collect();
    let mut whole = Index { columns: empty_columns(fields), malformed: unread, ..Index::default() };
    for part in parts {
        whole.append(part);
    }
    whole.malformed.extend(found.stopped);
    whole.malformed.sort_by_key(|malformed| malformed.offset);
    whole
}

fn empty_columns(fields: &Fields) -> Vec<Column> {
    fields.columns.iter().map(|_| Column::default()).collect()
}

impl Index {
    fn add(&mut self, span: Span, value: &Value<'_>, fields: &Fields) -> std::result::Result<(), String> {
        let sample = fields.sample(value)?;
        self.ids.push(sample.id());
        self.spans.push(span);
        self.lengths.push(sample.lengths());
        self.images.push(sample.count(MediaKind::Image));
        self.videos.push(sample.count(MediaKind::Video));
        self.keys.push(sample.key.as_deref());
        let mut num_media = 0;
        for media in &sample.media {
            if let Reference::Path(path) = &media.reference {
                self.media.push(Some(path));
                num_media += 1;
            }
        }
        self.num_media.push(num_media);
        for (column, value) in self.columns.iter_mut().zip(fields.column_values(value)) {
            column.push(value);
        }
        Ok(())
    }

    fn append(&mut self, part: Self) {
        self.ids.extend(part.ids);
        self.spans.extend(part.spans);
        self.lengths.extend(part.lengths);
        self.images.extend(part.images);
        self.videos.extend(part.videos);
        self.keys.append(&part.keys);
        self.media.append(&part.media);
        self.num_media.extend(part.num_media);
        for (column, other) in self.columns.iter_mut().zip(&part.columns) {
            column.texts.append(&other.texts);
            column.seen |= other.seen;
        }
        self.malformed.extend(part.malformed);
    }
}

impl Column {
    fn push(&mut self, value: Option<&Value<'_>>) {
        let Some(value) = value else {
            self.texts.push(None);
            return;
        };
        self.seen |= match value {
            Value::Bool(_) => seen::BOOL,
            Value::Int(_) => seen::INT,
            Value::Float(_) => seen::FLOAT,
            Value::Text(_) => seen::TEXT,
            Value::Null | Value::Bytes(_) | Value::List(_) | Value::Map(_) => seen::TREE,
        };
        self.texts.push(Some(&value.text()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_record_is_listed_and_the_rest_is_kept() {
        let fields: Fields = serde_json::from_str(r#"{"user":["q"],"assistant":["a"],"columns":{"n":"n"}}"#).unwrap();
        let stream =
            b"{\"q\":\"1\",\"a\":\"x\",\"n\":3}\n{\"q\":\n{\"q\":\"2\"}\n{\"q\":\"3\",\"a\":\"z\",\"n\":2.5}\n";
        let index = index(stream, &Layout::JsonLines, &fields);
        assert_eq!(index.ids.len(), 2);
        let found: Vec<(u64, &str)> = index.malformed.iter().map(|bad| (bad.record, bad.reason.as_str())).collect();
        assert_eq!(found[1], (2, "no `a`"));
        assert!(found[0].1.contains("EOF"), "{found:?}");
        assert_eq!(index.columns[0].seen, seen::INT | seen::FLOAT);
        assert_eq!(index.columns[0].texts.offsets, [0, 1, 4]);
    }

    #[test]
    fn an_index_does_not_depend_on_how_work_is_cut() {
        let fields: Fields = serde_json::from_str(r#"{"user":["q"]}"#).unwrap();
        let stream: String = (0..5000).map(|number| format!("{{\"q\":\"{number}\"}}\n")).collect();
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let one = pool(1).install(|| index(stream.as_bytes(), &Layout::JsonLines, &fields));
        let four = pool(4).install(|| index(stream.as_bytes(), &Layout::JsonLines, &fields));
        assert_eq!(one, four);
        assert_eq!(one.ids.len(), 5000);
    }
}
