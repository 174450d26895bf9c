//! What goal-driven selection asks of a sample's texts: how many words, whether they speak of time, which texts.
//!
//! A word is a run of `[A-Za-z0-9_]`, and letters count as small ones.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use crate::container::Layout;
use crate::fields::Fields;
use crate::pass::{Part as Piece, expect, pass};
use crate::reading::Reading;
use crate::record::Found;
use crate::sample::{MediaKind, Part, Reference, Role, Sample};

/// Words of a question that ask for more than one moment (GDO, `regex` mode).
const TEMPORAL: [&str; 13] = [
    "after",
    "before",
    "during",
    "earlier",
    "finally",
    "first",
    "happen",
    "later",
    "next",
    "sequence",
    "then",
    "transition",
    "while",
];
const CHOICES: [&str; 2] = ["choice", "choices"];

/// Bits of `marks`.
pub const SPEAKS_OF_TIME: u32 = 1;
pub const OFFERS_CHOICES: u32 = 2;
pub const HAS_QUESTION: u32 = 4;
pub const HAS_ANSWER: u32 = 8;

/// The columns by name: sums over all messages of a sample, distinct words inside each answer ...
pub const NARROW: [&str; 4] = ["question_words", "answer_words", "answer_distinct", "marks"];
/// ... and hashes of all its texts, and of its first video or else its first picture (0 without any).
pub const WIDE: [&str; 2] = ["text", "shown"];

/// A row for each sample that an index of the stream has, in the same order.
#[derive(Debug, Default, PartialEq)]
pub struct Wording {
    pub narrow: [Vec<u32>; NARROW.len()],
    pub wide: [Vec<u64>; WIDE.len()],
}

/// Measures the texts of a record stream. What an index leaves out is left out.
pub fn wording<'a>(
    stream: &'a [u8],
    layout: &Layout,
    fields: &Fields,
    release: impl Fn(Range<usize>) + Sync,
) -> Wording {
    let encoding = layout.encoding();
    let read =
        |reading: &mut Reading<'a, '_>, part: &mut Wording, range: &_, records: &mut dyn Iterator<Item = Found>| {
            reading.enter(range);
            for span in records.flatten() {
                // What an index lists as malformed is no sample.
                let _malformed = reading.sample(stream, span, |read| part.add(read.sample));
            }
        };
    pass(stream, layout, || Reading::new(&encoding, fields), read, release)
}

impl Wording {
    fn add(&mut self, sample: &Sample<'_>) {
        let (mut questions, mut answers, mut distinct, mut marks) = (0, 0, 0, 0);
        let mut text = Vec::new();
        let mut seen = Vec::new();
        for message in &sample.messages {
            let is_answer = match message.role {
                Role::User => false,
                Role::Assistant => true,
                Role::System | Role::Tool => continue,
            };
            text.push(u8::from(is_answer));
            seen.clear();
            for part in &message.parts {
                let Part::Text(said) = part else { continue };
                for piece in said.split_whitespace() {
                    text.extend_from_slice(piece.as_bytes());
                    text.push(b' ');
                    marks |= if is_answer { HAS_ANSWER } else { HAS_QUESTION };
                }
                for word in words(said) {
                    if is_answer {
                        answers += 1;
                        seen.push(hash(word));
                    } else {
                        questions += 1;
                        marks |= if is_one_of(word, &TEMPORAL) { SPEAKS_OF_TIME } else { 0 };
                        marks |= if is_one_of(word, &CHOICES) { OFFERS_CHOICES } else { 0 };
                    }
                }
            }
            seen.sort_unstable();
            seen.dedup();
            distinct += seen.len() as u32;
        }
        for (column, number) in self.narrow.iter_mut().zip([questions, answers, distinct, marks]) {
            column.push(number);
        }
        for (column, number) in self.wide.iter_mut().zip([xxh3_64(&text), shown(sample)]) {
            column.push(number);
        }
    }
}

impl Piece for Wording {
    fn expect(&mut self, part: &Self, times: usize) {
        for (column, other) in self.narrow.iter_mut().zip(&part.narrow) {
            expect(column, other, times);
        }
        for (column, other) in self.wide.iter_mut().zip(&part.wide) {
            expect(column, other, times);
        }
    }

    fn take(&mut self, part: &mut Self, _: u64) {
        for (column, other) in self.narrow.iter_mut().zip(&mut part.narrow) {
            column.append(other);
        }
        for (column, other) in self.wide.iter_mut().zip(&mut part.wide) {
            column.append(other);
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &[u8]> {
    text.as_bytes().split(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_')).filter(|word| !word.is_empty())
}

fn is_one_of(word: &[u8], known: &[&str]) -> bool {
    known.iter().any(|other| word.eq_ignore_ascii_case(other.as_bytes()))
}

/// A hash of a word in small letters.
fn hash(word: &[u8]) -> u64 {
    const LONG: usize = 48;
    let mut small = [0; LONG];
    if let Some(small) = small.get_mut(..word.len()) {
        small.copy_from_slice(word);
        small.make_ascii_lowercase();
        return xxh3_64(small);
    }
    xxh3_64(&word.to_ascii_lowercase())
}

fn shown(sample: &Sample<'_>) -> u64 {
    let first = sample.media.iter().find(|media| media.kind == MediaKind::Video).or(sample.media.first());
    first.map_or(0, |media| match &media.reference {
        Reference::Path(path) => xxh3_64(path.as_bytes()),
        Reference::Bytes(bytes) => xxh3_64(bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_and_records_that_no_index_has_are_left_out() {
        let fields: Fields = serde_json::from_str(r#"{"user":["q"],"assistant":["a"],"images":["i?"]}"#).unwrap();
        let stream = "{\"q\":\"What happens  NEXT, then?\",\"a\":\"A cat, a Cat_1: été a\",\"i\":\"x.png\"}\n{\"q\":\n\
                      {\"q\":\"What happens NEXT, then?\",\"a\":\"A cat, a Cat_1: été  a\"}\n\
                      {\"q\":\"Which choices?\",\"a\":\"\"}\n";
        let found = wording(stream.as_bytes(), &Layout::JsonLines, &fields, |_| {});
        assert_eq!(found.narrow[0], [4, 4, 2]);
        // `été` is `t` between letters that make no word.
        assert_eq!(found.narrow[1], [6, 6, 0]);
        assert_eq!(found.narrow[2], [4, 4, 0]);
        let speaks = SPEAKS_OF_TIME | HAS_QUESTION | HAS_ANSWER;
        assert_eq!(found.narrow[3], [speaks, speaks, OFFERS_CHOICES | HAS_QUESTION]);
        // White space is no difference between texts, and pictures are none either.
        assert_eq!(found.wide[0][0], found.wide[0][1]);
        assert_eq!(found.wide[1], [xxh3_64(b"x.png"), 0, 0]);
    }
}
