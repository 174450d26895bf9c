//! A column of texts as numbers, where few of them are different.

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{CoreError, Result};
use crate::table::apart;

/// Rows that one task works on.
const CHUNK: usize = 1 << 16;
/// Places for texts that were seen.
const PLACES: usize = 1 << 8;
/// The longest text that is kept in its view.
const SHORT: usize = 12;

/// Texts as Arrow has them in a column of views (columnar format, "Variable-size Binary View Layout"): of each its length and
/// the text itself, padded with zeros, or its beginning, the buffer it lies in and where. `valid` has a bit for each, from
/// `first` on; without it all are there.
pub struct Views<'a> {
    pub views: &'a [[u8; 16]],
    pub valid: Option<(&'a [u8], usize)>,
    pub data: Vec<&'a [u8]>,
}

impl<'a> Views<'a> {
    fn is_there(&self, at: usize) -> bool {
        self.valid.is_none_or(|(bits, first)| {
            bits.get((first + at) / 8).is_some_and(|bits| bits >> ((first + at) % 8) & 1 == 1)
        })
    }

    /// A text that is there, or none.
    pub(crate) fn get(&self, at: usize) -> Option<&'a [u8]> {
        if self.is_there(at) { self.text(at) } else { None }
    }

    /// A text, where its view is one.
    fn text(&self, at: usize) -> Option<&'a [u8]> {
        let view = &self.views[at];
        let number =
            |from: usize| u32::from_le_bytes([view[from], view[from + 1], view[from + 2], view[from + 3]]) as usize;
        let length = number(0);
        if length <= SHORT {
            view.get(4..4 + length)
        } else {
            self.data.get(number(8))?.get(number(12)..)?.get(..length)
        }
    }
}

/// The number of each text among the sorted different ones, and those; None where there are more than `most`. `missing`
/// stands for a missing one.
pub fn numbered(pieces: &[Views<'_>], missing: &str, most: usize) -> Result<Option<(Vec<u32>, Vec<String>)>> {
    let sizes = || pieces.iter().map(|piece| piece.views.len());
    let mut numbers = vec![0; sizes().sum()];
    let chunks: Vec<(&Views<'_>, usize, &mut [u32])> = apart(&mut numbers, sizes())
        .into_iter()
        .zip(pieces)
        .flat_map(|(numbers, piece)| {
            numbers.chunks_mut(CHUNK).enumerate().map(move |(chunk, numbers)| (piece, chunk * CHUNK, numbers))
        })
        .collect();
    // In each chunk texts are numbered as they come.
    let found: Option<Vec<_>> = chunks
        .into_par_iter()
        .map(|(piece, first, numbers)| {
            let mut known = Known::new(missing.as_bytes(), most);
            let mut seen = Seen::default();
            for (at, number) in numbers.iter_mut().enumerate() {
                let view = piece.views[first + at];
                *number = match seen.number(view) {
                    Some(number) if piece.valid.is_none() => number,
                    _ => seen.note(view, known.number(piece, first + at)?),
                };
            }
            Some((known.texts, numbers))
        })
        .collect();
    let Some(found) = found else { return Ok(None) };
    let mut texts: Vec<&[u8]> = found.iter().flat_map(|(texts, _)| texts.iter().copied()).collect();
    texts.sort_unstable();
    texts.dedup();
    if texts.len() > most {
        return Ok(None);
    }
    found.into_par_iter().for_each(|(own, numbers)| {
        let place: Vec<u32> = own.iter().map(|text| texts.partition_point(|other| other < text) as u32).collect();
        for number in numbers {
            *number = place[*number as usize];
        }
    });
    let names = texts.into_iter().map(|text| String::from_utf8(text.to_vec()));
    let names = names.collect::<std::result::Result<_, _>>();
    Ok(Some((numbers, names.map_err(|_| CoreError::Contract("texts that are none".to_owned()))?)))
}

/// Short texts that were seen, where there is room for them: the number of most is found here.
struct Seen {
    views: [u128; PLACES],
    /// 1 + the number of each; 0 is none.
    numbers: [u32; PLACES],
}

impl Default for Seen {
    fn default() -> Self {
        Self { views: [0; PLACES], numbers: [0; PLACES] }
    }
}

impl Seen {
    fn place(view: [u8; 16]) -> (u128, usize) {
        let view = u128::from_le_bytes(view);
        let mixed = (view as u64 ^ ((view >> 64) as u64).rotate_left(23)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (view, (mixed >> (u64::BITS - PLACES.trailing_zeros())) as usize)
    }

    fn number(&self, view: [u8; 16]) -> Option<u32> {
        let (view, place) = Self::place(view);
        (self.views[place] == view).then(|| self.numbers[place].checked_sub(1))?
    }

    /// A long text is not known by its view.
    fn note(&mut self, view: [u8; 16], number: u32) -> u32 {
        if is_short(view) {
            let (view, place) = Self::place(view);
            (self.views[place], self.numbers[place]) = (view, number + 1);
        }
        number
    }
}

/// The different texts of a chunk by number, and a table that finds them.
struct Known<'a> {
    missing: &'a [u8],
    most: usize,
    texts: Vec<&'a [u8]>,
    /// The number of a missing one.
    none: Option<u32>,
    /// What is compared of a text first, and 1 + its number; 0 is none. At most half of the places hold one.
    table: Vec<(u128, u32)>,
}

impl<'a> Known<'a> {
    fn new(missing: &'a [u8], most: usize) -> Self {
        Self { missing, most, texts: Vec::new(), none: None, table: vec![(0, 0); 64] }
    }

    /// The number of a text; None where there are too many, or it is none.
    fn number(&mut self, piece: &Views<'a>, at: usize) -> Option<u32> {
        if !piece.is_there(at) {
            let missing = self.missing;
            return self.none.or_else(|| {
                self.none = self.add(missing);
                self.none
            });
        }
        let view = piece.views[at];
        // A short text is its view; of a long one it is the length and a hash, and the texts are compared as well.
        let short = is_short(view);
        let brief = if short { u128::from_le_bytes(view) } else { brief(piece.text(at)?) };
        let mut place = self.place(brief);
        while self.table[place].1 > 0 {
            let (other, number) = self.table[place];
            if other == brief && (short || Some(self.texts[number as usize - 1]) == piece.text(at)) {
                return Some(number - 1);
            }
            place = (place + 1) & (self.table.len() - 1);
        }
        let number = self.add(piece.text(at)?)?;
        self.table[place] = (brief, number + 1);
        if 2 * self.texts.len() > self.table.len() {
            self.grow();
        }
        Some(number)
    }

    fn add(&mut self, text: &'a [u8]) -> Option<u32> {
        self.texts.push(text);
        (self.texts.len() <= self.most + 1).then(|| self.texts.len() as u32 - 1)
    }

    fn place(&self, brief: u128) -> usize {
        let mixed = (brief as u64 ^ ((brief >> 64) as u64).rotate_left(23)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> (u64::BITS - self.table.len().trailing_zeros())) as usize
    }

    fn grow(&mut self) {
        let wider = vec![(0, 0); 2 * self.table.len()];
        for entry in std::mem::replace(&mut self.table, wider).into_iter().filter(|entry| entry.1 > 0) {
            let mut place = self.place(entry.0);
            while self.table[place].1 > 0 {
                place = (place + 1) & (self.table.len() - 1);
            }
            self.table[place] = entry;
        }
    }
}

fn is_short(view: [u8; 16]) -> bool {
    u32::from_le_bytes([view[0], view[1], view[2], view[3]]) as usize <= SHORT
}

fn brief(text: &[u8]) -> u128 {
    text.len() as u128 | u128::from(xxh3_64(text)) << 64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts as views, the long ones in a buffer of their own.
    fn views(texts: &[Option<String>]) -> (Vec<[u8; 16]>, Vec<u8>, Vec<u8>) {
        let (mut views, mut valid, mut data) = (Vec::new(), vec![0; texts.len().div_ceil(8)], Vec::new());
        for (at, text) in texts.iter().enumerate() {
            let mut view = [0; 16];
            if let Some(text) = text {
                valid[at / 8] |= 1 << (at % 8);
                view[..4].copy_from_slice(&(text.len() as u32).to_le_bytes());
                if text.len() <= SHORT {
                    view[4..4 + text.len()].copy_from_slice(text.as_bytes());
                } else {
                    view[4..8].copy_from_slice(&text.as_bytes()[..4]);
                    view[12..].copy_from_slice(&(data.len() as u32).to_le_bytes());
                    data.extend_from_slice(text.as_bytes());
                }
            }
            views.push(view);
        }
        (views, valid, data)
    }

    #[test]
    fn texts_are_numbered_in_their_order() {
        for (rows, kinds) in [(0, 1), (5, 2), (CHUNK + 77, 3), (4000, 700)] {
            let name = |row: usize| match row * 7919 % 5 {
                0 => None,
                1 => Some(format!("{:>30}", row * 31 % kinds)),
                2 => Some("none".to_owned()),
                _ => Some(format!("{}", row % kinds)),
            };
            let texts: Vec<_> = (0..rows).map(name).collect();
            let filled: Vec<_> = texts.iter().map(|text| text.clone().unwrap_or("none".to_owned())).collect();
            let mut wanted = filled.clone();
            wanted.sort();
            wanted.dedup();
            let (front, back) = texts.split_at(rows / 3);
            let [front, back] = [front, back].map(views);
            let pieces = [&front, &back].map(|(views, valid, data)| Views {
                views,
                valid: Some((valid, 0)),
                data: vec![data.as_slice()],
            });
            let (numbers, names) = numbered(&pieces, "none", wanted.len()).unwrap().unwrap();
            assert_eq!(names, wanted);
            assert!(numbers.iter().map(|number| &names[*number as usize]).eq(&filled));
            assert!(wanted.is_empty() || numbered(&pieces, "none", wanted.len() - 1).unwrap().is_none());
        }
    }
}
