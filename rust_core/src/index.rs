//! One pass over a record stream: where each record is, what it is, and how long.

use std::ops::Range;

use crate::container::Layout;
use crate::fields::Fields;
use crate::lanes::Lanes;
use crate::pass::{Part, expect, pass};
use crate::reading::{Read, Reading};
use crate::record::{Found, Malformed, Span};
use crate::sample::{self, Lengths, MediaKind, Reference};
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

    fn expect(&mut self, other: &Self, times: usize) {
        expect(&mut self.offsets, &other.offsets, times);
        expect(&mut self.data, &other.data, times);
        expect(&mut self.valid, &other.valid, times);
    }

    fn take(&mut self, other: &mut Self) {
        if other.offsets.is_empty() {
            return;
        }
        let base = self.data.len() as i64;
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        self.offsets.extend(other.offsets.drain(..).skip(1).map(|offset| offset + base));
        self.data.append(&mut other.data);
        self.valid.append(&mut other.valid);
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

/// What a thread reads with.
type Scratch<'a, 'f> = (Lanes, Reading<'a, 'f>);

/// Indexes a record stream. Malformed records are listed, never dropped in silence.
///
/// Nothing but the index grows with the stream; `release` is told which of its bytes will not be read again.
pub fn index<'a>(stream: &'a [u8], layout: &Layout, fields: &Fields, release: impl Fn(Range<usize>) + Sync) -> Index {
    let encoding = layout.encoding();
    let index =
        |scratch: &mut Scratch<'a, '_>, part: &mut Index, range: &_, records: &mut dyn Iterator<Item = Found>| {
            let (ids, reading) = scratch;
            reading.enter(range);
            part.columns.resize_with(fields.columns.len(), Column::default);
            let mut number = 0;
            for found in records {
                match found {
                    Ok(span) => {
                        let added = reading.sample(stream, span, |read| part.add(span, &read, fields, ids));
                        if let Err(reason) = added {
                            part.malformed.push(Malformed { record: number, offset: span.offset, reason });
                        }
                        number += 1;
                    }
                    Err(malformed) => part.malformed.push(malformed),
                }
            }
            part.identify(ids);
        };
    let scratch = || (Lanes::new(sample::ID), Reading::new(&encoding, fields));
    let mut whole = pass(stream, layout, scratch, index, release);
    whole.columns.resize_with(fields.columns.len(), Column::default);
    whole.malformed.sort_by_key(|malformed| malformed.offset);
    whole
}

impl Index {
    fn add(&mut self, span: Span, read: &Read<'_, '_>, fields: &Fields, ids: &mut Lanes) {
        let Read { sample, value, .. } = read;
        let mut num_media = 0;
        for media in &sample.media {
            if let Reference::Path(path) = &media.reference {
                self.media.push(Some(path));
                num_media += 1;
            }
        }
        self.keys.push(sample.key.as_deref());
        // Ids are hashed together, see `identify`.
        let id = sample.stated_id().map_or(0, u128::from_be_bytes);
        if sample.stated.is_none() {
            ids.add(self.wide[0].len() as u32, |out| sample.encode(out));
        }
        let wide = [(id >> 64) as u64, id as u64, span.offset, span.length];
        for (column, number) in self.wide.iter_mut().zip(wide) {
            column.push(number);
        }
        let Lengths { turns, answers, characters, answer_characters, text_tokens } = read.lengths();
        let (images, videos) = (sample.count(MediaKind::Image), sample.count(MediaKind::Video));
        let narrow = [turns, answers, characters, answer_characters, text_tokens, images, videos, num_media];
        for (column, number) in self.narrow.iter_mut().zip(narrow) {
            column.push(number);
        }
        for (column, value) in self.columns.iter_mut().zip(fields.column_values(value)) {
            column.push(value);
        }
    }

    fn identify(&mut self, ids: &mut Lanes) {
        let [highs, lows, ..] = &mut self.wide;
        ids.finish(|row, digest| {
            let ([high, low, ..], []) = digest.as_chunks() else { return };
            highs[row as usize] = u64::from_be_bytes(*high);
            lows[row as usize] = u64::from_be_bytes(*low);
        });
    }
}

impl Part for Index {
    fn expect(&mut self, part: &Self, times: usize) {
        for (column, other) in self.wide.iter_mut().zip(&part.wide) {
            expect(column, other, times);
        }
        for (column, other) in self.narrow.iter_mut().zip(&part.narrow) {
            expect(column, other, times);
        }
        self.keys.expect(&part.keys, times);
        self.media.expect(&part.media, times);
        self.columns.resize_with(part.columns.len(), Column::default);
        for (column, other) in self.columns.iter_mut().zip(&part.columns) {
            column.texts.expect(&other.texts, times);
        }
    }

    fn take(&mut self, part: &mut Self, first: u64) {
        for (column, other) in self.wide.iter_mut().zip(&mut part.wide) {
            column.append(other);
        }
        for (column, other) in self.narrow.iter_mut().zip(&mut part.narrow) {
            column.append(other);
        }
        self.keys.take(&mut part.keys);
        self.media.take(&mut part.media);
        self.columns.resize_with(part.columns.len(), Column::default);
        for (column, other) in self.columns.iter_mut().zip(&mut part.columns) {
            column.texts.take(&mut other.texts);
            column.seen |= std::mem::take(&mut other.seen);
        }
        let numbered = |bad: Malformed| Malformed { record: bad.record.wrapping_add(first), ..bad };
        self.malformed.extend(part.malformed.drain(..).map(numbered));
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
    use std::sync::Mutex;

    use super::*;
    use crate::container;

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
    fn a_row_is_what_its_record_says_alone() {
        const NUM_RECORDS: usize = 3_000;
        let fields: Fields = serde_json::from_str(
            r#"{"turns":{"path":"conversations","role":"from","text":"value"},"images":["image?"],"key":["id"]}"#,
        )
        .unwrap();
        let record = |number: usize| {
            let mark = if number.is_multiple_of(3) { "" } else { "<image>\\n" };
            let text = "word é \\u4e2d 12 ".repeat(number * number % 251);
            let answer = if number.is_multiple_of(11) { "" } else { r#",{"from":"gpt","value":"yes"}"# };
            let turns = format!(r#"{{"from":"human","value":"{mark}{text}{number}"}}{answer}"#);
            format!(r#"{{"id":{number},"image":"{number}.jpg","conversations":[{turns}]}}"#)
        };
        let records: Vec<String> = (0..NUM_RECORDS).map(record).collect();
        for (layout, stream) in [
            (Layout::JsonLines, format!("\u{feff}{}", records.join("\r\n\n"))),
            (Layout::JsonArray { at: String::new() }, format!("[{}]", records.join(","))),
        ] {
            let stream = stream.as_bytes();
            let found = index(stream, &layout, &fields, |_| {});
            assert_eq!(found.malformed, []);
            let mut row = 0;
            for span in container::records(stream, &layout).flatten() {
                let value = crate::record::parse(span.of(stream).unwrap(), &layout.encoding()).unwrap();
                let sample = fields.sample(&value).unwrap();
                let id = u128::from_be_bytes(sample.id());
                let wide = [(id >> 64) as u64, id as u64, span.offset, span.length];
                assert_eq!(found.wide.each_ref().map(|column| column[row]), wide);
                assert_eq!(found.narrow[2][row], sample.lengths().characters);
                let key = found.keys.offsets[row] as usize..found.keys.offsets[row + 1] as usize;
                assert_eq!(found.keys.data[key], *sample.key.as_deref().unwrap().as_bytes());
                row += 1;
            }
            assert_eq!((row, found.wide[0].len()), (NUM_RECORDS, NUM_RECORDS));
        }
    }

    /// Every record alone, by the general way.
    fn slowly(stream: &[u8], fields: &Fields) -> Index {
        let mut index = Index::default();
        index.columns.resize_with(fields.columns.len(), Column::default);
        let mut ids = Lanes::new(sample::ID);
        let encoding = Layout::JsonLines.encoding();
        for (record, span) in container::records(stream, &Layout::JsonLines).flatten().enumerate() {
            let bytes = span.of(stream).unwrap();
            let value = crate::record::parse(bytes, &encoding);
            let added = value.and_then(|value| {
                let sample = fields.sample(&value)?;
                index.add(span, &Read::new(&sample, &value, None), fields, &mut ids);
                Ok(())
            });
            if let Err(reason) = added {
                index.malformed.push(Malformed { record: record as u64, offset: span.offset, reason });
            }
        }
        index.identify(&mut ids);
        index
    }

    #[test]
    fn a_conversation_is_indexed_as_the_general_way_has_it() {
        let names = r#""turns":{"path":"conversations","role":"from","text":"value"},"images":["image?"]"#;
        let record = |number: usize| {
            let text = ["", "<image>\\nwhat? ", "plain ", "a < b <video> ", "é 中 ", " \\u0020 "][number * 7 % 6]
                .repeat(number % 5);
            let role = ["human", "gpt", "GPT", "nobody", "tool"][number % 11 % 5];
            let turn = match number % 23 {
                0 => format!(r#"{{"value":"{text}","from":"{role}"}}"#),
                1 => format!(r#"{{"from":"{role}","value":"{text}","tool_calls":[1]}}"#),
                2 => format!(r#"{{"from":"{role}","tool_calls":[{{"name":"f"}}]}}"#),
                3 => format!(r#"{{"from":"{role}","value":[{{"type":"text","text":"{text}"}}]}}"#),
                4 => format!(r#"{{"from":"{role}","value":{number}}}"#),
                5 => r#"{"from":"gpt","value":"data:;base64,AA=="}"#.to_owned(),
                6 => r#"{"from":"gpt""#.to_owned(),
                _ => format!(r#"{{"from":"{role}", "value":"{text}"}}"#),
            };
            let image =
                [r#""image":"a.png","#, "", r#""image":["a.png","b.png"],"#, r#""image":null,"#][number / 3 % 4];
            let end = ["}", r#","id":7}"#, r#","id":"x\\ny"}"#, "} }"][number % 29 % 4];
            format!(r#"{{{image}"n":{number},"conversations":[{turn},{{"from":"gpt","value":"yes {text}"}}]{end}"#)
        };
        let stream: String = (0..5_000).map(|number| record(number) + "\n").collect();
        for more in [
            "",
            r#","key":["id"],"columns":{"n":"n"}"#,
            // What a mapping sees otherwise does not stand apart.
            r#","columns":{"all":"conversations"}"#,
            r#","columns":{"first":"conversations[0].value"}"#,
            r#","unread":["conversations[5]?"]"#,
        ] {
            let fields: Fields = serde_json::from_str(&format!("{{{names}{more}}}")).unwrap();
            assert_eq!(fields.records().is_some(), !more.contains("conversations"), "{more}");
            let (found, expected) =
                (index(stream.as_bytes(), &Layout::JsonLines, &fields, |_| {}), slowly(stream.as_bytes(), &fields));
            assert_eq!(found, expected, "{more}");
            assert!(
                found.malformed.len() > 500 && found.wide[0].len() > 1_500,
                "{more} {} {}",
                found.malformed.len(),
                found.wide[0].len()
            );
        }
    }

    #[test]
    fn records_of_any_length_are_indexed_as_the_general_way_has_it() {
        let fields: Fields = serde_json::from_str(
            r#"{"turns":{"path":"conversations","role":"from","text":"value"},"images":["image?"],"key":["id"]}"#,
        )
        .unwrap();
        let mut state = 1_u64;
        let mut below = |limit: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % limit
        };
        // What is looked at together ends anywhere, in records and between them.
        let lengths = [100, 100, 1_000, 1_000, 1_000, 33_000, 70_000];
        let record = |number: usize, below: &mut dyn FnMut(usize) -> usize| {
            let length = lengths[below(lengths.len())];
            let piece = ["word 12 ", "word, é ", "a < b ", "\\n\\n"][below(8).saturating_sub(4)];
            let text = piece.repeat(below(length) / piece.len());
            let end = ["}", "", "\u{1}}", "} ", "]}"][below(40).saturating_sub(35)];
            format!(
                r#"{{"id":{number},"conversations":[{{"from":"human","value":"{text}"}},{{"from":"gpt","value":"{number}"}}]{end}"#
            )
        };
        let stream: String = (0..1_500).map(|number| record(number, &mut below) + "\n").collect();
        let found = index(stream.as_bytes(), &Layout::JsonLines, &fields, |_| {});
        assert_eq!(found, slowly(stream.as_bytes(), &fields));
        assert!(found.malformed.len() > 20 && found.wide[3].iter().any(|length| *length > 1 << 16));
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
        // What is released is everything, and each byte once.
        let mut released = released.into_inner().unwrap();
        released.sort_by_key(|range| range.start);
        assert!(released.len() > 2 * 4);
        assert_eq!(released.iter().map(Range::len).sum::<usize>(), 2 * stream.len());
    }
}
