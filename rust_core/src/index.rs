//! One pass over a record stream: where each record is, what it is, and how long.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::container::{self, Layout};
use crate::fields::Fields;
use crate::record::{self, Encoding, Found, Malformed, Span};
use crate::sample::{Lengths, MediaKind, Reference};
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
    pub wide: [Vec<u64>; WIDE.len()],
    pub narrow: [Vec<u32>; NARROW.len()],
    pub keys: Texts,
    /// Paths of media outside the record, all samples' in a row; `num_media` says how many each sample has.
    pub media: Texts,
    pub columns: Vec<Column>,
    pub malformed: Vec<Malformed>,
}

/// The numeric columns by name: both halves of the sample id, and where the record lies ...
pub const WIDE: [&str; 4] = ["id_high", "id_low", "offset", "length"];
/// ... and what was counted.
pub const NARROW: [&str; 8] =
    ["turns", "answers", "characters", "answer_characters", "text_tokens", "images", "videos", "num_media"];

/// Indexes a record stream. Malformed records are listed, never dropped in silence.
///
/// Whoever is free finds the next records and then reads them, so that nothing but the index grows with the stream;
/// `release` is told which of its bytes will not be read again.
pub fn index(stream: &[u8], layout: &Layout, fields: &Fields, release: impl Fn(Range<usize>) + Sync) -> Index {
    let encoding = layout.encoding();
    let mut whole = pass(
        stream,
        layout,
        || Index::new(fields),
        |part, number, found| {
            let (offset, added) = match found {
                Ok(span) => {
                    let added = read(stream, span, &encoding).and_then(|value| part.add(span, &value, fields));
                    (span.offset, added)
                }
                Err(malformed) => {
                    part.malformed.push(malformed);
                    return;
                }
            };
            if let Err(reason) = added {
                part.malformed.push(Malformed { record: number, offset, reason });
            }
        },
        release,
    );
    whole.malformed.sort_by_key(|malformed| malformed.offset);
    whole
}

/// The value of one record.
pub(crate) fn read<'a>(stream: &'a [u8], span: Span, encoding: &'a Encoding) -> std::result::Result<Value<'a>, String> {
    let bytes = span.of(stream).ok_or_else(|| "the record runs past the end".to_owned())?;
    record::parse(bytes, encoding)
}

/// What one pass over a stream makes, in parts.
pub(crate) trait Part: Send {
    /// Adds the part behind.
    fn append(&mut self, part: Self);
}

/// Hands every record, with its number, to `add` and joins the parts in the order of the stream.
pub(crate) fn pass<P: Part>(
    stream: &[u8],
    layout: &Layout,
    empty: impl Fn() -> P + Sync,
    add: impl Fn(&mut P, u64, Found) + Sync,
    release: impl Fn(Range<usize>) + Sync,
) -> P {
    let growing = Mutex::new(Growing { whole: empty(), waiting: BTreeMap::new(), next: 0 });
    let batches = Batches { records: container::records(stream, layout), start: 0, number: 0 };
    batches.enumerate().par_bridge().for_each(|(position, batch)| {
        let mut part = empty();
        let mut number = batch.number;
        for found in batch.records {
            let counts = u64::from(found.is_ok());
            add(&mut part, number, found);
            number += counts;
        }
        release(batch.bytes);
        growing.lock().unwrap_or_else(PoisonError::into_inner).add(position, part);
    });
    growing.into_inner().unwrap_or_else(PoisonError::into_inner).whole
}

/// Some records in a row, the number of the first, and the bytes that they span.
struct Batch {
    records: Vec<Found>,
    number: u64,
    bytes: Range<usize>,
}

struct Batches<I> {
    records: I,
    start: usize,
    number: u64,
}

impl<I: Iterator<Item = Found>> Iterator for Batches<I> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        const BYTES: usize = 1 << 19;
        let mut batch = Batch { records: Vec::new(), number: self.number, bytes: self.start..self.start };
        while batch.bytes.len() < BYTES
            && let Some(found) = self.records.next()
        {
            if let Ok(span) = &found {
                batch.bytes.end = (span.offset + span.length) as usize;
                self.number += 1;
            }
            batch.records.push(found);
        }
        self.start = batch.bytes.end;
        (!batch.records.is_empty()).then_some(batch)
    }
}

/// What there is so far. Parts are done in any order and added in theirs.
struct Growing<P> {
    whole: P,
    waiting: BTreeMap<usize, P>,
    next: usize,
}

impl<P: Part> Growing<P> {
    fn add(&mut self, position: usize, part: P) {
        self.waiting.insert(position, part);
        while let Some(part) = self.waiting.remove(&self.next) {
            self.whole.append(part);
            self.next += 1;
        }
    }
}

impl Index {
    fn new(fields: &Fields) -> Self {
        Self { columns: fields.columns.iter().map(|_| Column::default()).collect(), ..Self::default() }
    }

    fn add(&mut self, span: Span, value: &Value<'_>, fields: &Fields) -> std::result::Result<(), String> {
        let sample = fields.sample(value)?;
        let mut num_media = 0;
        for media in &sample.media {
            if let Reference::Path(path) = &media.reference {
                self.media.push(Some(path));
                num_media += 1;
            }
        }
        self.keys.push(sample.key.as_deref());
        let id = u128::from_be_bytes(sample.id());
        let wide = [(id >> 64) as u64, id as u64, span.offset, span.length];
        for (column, number) in self.wide.iter_mut().zip(wide) {
            column.push(number);
        }
        let Lengths { turns, answers, characters, answer_characters, text_tokens } = sample.lengths();
        let (images, videos) = (sample.count(MediaKind::Image), sample.count(MediaKind::Video));
        let narrow = [turns, answers, characters, answer_characters, text_tokens, images, videos, num_media];
        for (column, number) in self.narrow.iter_mut().zip(narrow) {
            column.push(number);
        }
        for (column, value) in self.columns.iter_mut().zip(fields.column_values(value)) {
            column.push(value);
        }
        Ok(())
    }
}

impl Part for Index {
    fn append(&mut self, part: Self) {
        for (column, other) in self.wide.iter_mut().zip(&part.wide) {
            column.extend_from_slice(other);
        }
        for (column, other) in self.narrow.iter_mut().zip(&part.narrow) {
            column.extend_from_slice(other);
        }
        self.keys.append(&part.keys);
        self.media.append(&part.media);
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
        let index = index(stream, &Layout::JsonLines, &fields, |_| {});
        assert_eq!(index.wide[0].len(), 2);
        let found: Vec<(u64, &str)> = index.malformed.iter().map(|bad| (bad.record, bad.reason.as_str())).collect();
        assert_eq!(found[1], (2, "no `a`"));
        assert!(found[0].1.contains("EOF"), "{found:?}");
        assert_eq!(index.columns[0].seen, seen::INT | seen::FLOAT);
        assert_eq!(index.columns[0].texts.offsets, [0, 1, 4]);
    }

    #[test]
    fn an_index_does_not_depend_on_how_work_is_cut() {
        const NUM_LINES: usize = 50_000;
        let fields: Fields = serde_json::from_str(r#"{"user":["q"],"key":["q?"],"columns":{"q":"q"}}"#).unwrap();
        let line = |number| if number % 7 == 3 { "{]\n".to_owned() } else { format!("{{\"q\":\"{number:050}\"}}\n") };
        let stream: String = (0..NUM_LINES).map(line).collect();
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let released = Mutex::new(Vec::new());
        let index =
            || index(stream.as_bytes(), &Layout::JsonLines, &fields, |range| released.lock().unwrap().push(range));
        let one = pool(1).install(index);
        let four = pool(4).install(index);
        assert_eq!(one, four);
        assert_eq!(one.wide[0].len() + one.malformed.len(), NUM_LINES);
        for (position, malformed) in one.malformed.iter().enumerate() {
            assert_eq!(malformed.record, 7 * position as u64 + 3);
        }
        // What is released is everything but the last line break, and each byte once.
        let mut released = released.into_inner().unwrap();
        released.sort_by_key(|range| range.start);
        assert!(released.len() > 2 * 4);
        assert_eq!(released.iter().map(Range::len).sum::<usize>(), 2 * (stream.len() - 1));
    }
}
