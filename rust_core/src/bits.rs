//! Bits over the bytes of some records in a row: where a string may end, and where tokens start.
//!
//! Both are found in one pass with wide registers, whatever the bytes mean. Then a string ends at the next bit, and a text
//! of a record has as many tokens as there are bits in its range: a quote or a mark stands before it, so that its first
//! word starts where one starts in the record, and no string holds a line break as it is.

use std::hint::black_box;

use crate::registers::{self, BLOCK, Masks, Work};
use crate::tokens;

#[derive(Debug)]
pub(crate) struct Bits {
    /// Those of the bytes looked at, and behind them what is left of a longer look.
    blocks: Vec<Block>,
    /// What is left behind whole blocks, and zeros.
    last: [u8; BLOCK],
    /// Where the bytes lie in memory: records and texts are told from others by that.
    address: usize,
    length: usize,
    is_ascii: bool,
}

/// Those of one record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'b, 'r> {
    blocks: &'b [Block],
    record: &'r [u8],
    /// How many bytes of the first block stand before the record.
    first: usize,
    is_ascii: bool,
}

/// Bits of [`BLOCK`] bytes, the first byte lowest.
#[derive(Debug, Default)]
struct Block {
    /// Quotes, backslashes and control characters.
    ends: u64,
    /// Where marks of media may begin.
    angles: u64,
    starts: u64,
    /// How many tokens start before this block.
    num_before: u32,
    is_ascii: bool,
}

/// How far ahead bytes are asked for: a page of most systems.
const AHEAD: usize = 1 << 12;

impl Default for Bits {
    fn default() -> Self {
        Self { blocks: Vec::new(), last: [0; BLOCK], address: 0, length: 0, is_ascii: false }
    }
}

impl Bits {
    /// Forgets what it saw and looks at these bytes.
    pub(crate) fn look(&mut self, bytes: &[u8]) {
        (self.address, self.length) = (bytes.as_ptr().addr(), bytes.len());
        let num_blocks = bytes.len() / BLOCK + 1;
        if self.blocks.len() < num_blocks {
            self.blocks.resize_with(num_blocks, Block::default);
        }
        self.is_ascii = registers::run(Fill { blocks: &mut self.blocks, bytes, last: &mut self.last });
    }

    /// What was seen of a record that lies in the bytes looked at as a whole.
    #[inline]
    pub(crate) fn of<'b, 'r>(&'b self, record: &'r [u8]) -> Option<Seen<'b, 'r>> {
        let start = record.as_ptr().addr().wrapping_sub(self.address);
        if start > self.length || record.len() > self.length - start {
            return None;
        }
        // The last one ends the last string, if nothing else does.
        let blocks = &self.blocks[start / BLOCK..=(start + record.len()) / BLOCK];
        let is_ascii = self.is_ascii || blocks.iter().all(|block| block.is_ascii);
        Some(Seen { blocks, record, first: start % BLOCK, is_ascii })
    }
}

impl<'r> Seen<'_, 'r> {
    /// The record as text, where all around it is ASCII.
    #[allow(unsafe_code)]
    pub(crate) fn text(&self) -> Option<&'r str> {
        // SAFETY: no byte of a block that is ASCII is beyond it.
        self.is_ascii.then(|| unsafe { std::str::from_utf8_unchecked(self.record) })
    }

    /// Where the first byte from `at` on stands that a string cannot hold as it is (the end of the record if none does),
    /// and whether a `<` stands before it.
    #[inline]
    pub(crate) fn end(&self, at: usize) -> (usize, bool) {
        let at = self.first + at;
        let (mut number, mut within, mut angles) = (at / BLOCK, u64::MAX << (at % BLOCK), 0);
        while let Some(block) = self.blocks.get(number) {
            let ends = block.ends & within;
            angles |= block.angles & within & (ends & ends.wrapping_neg()).wrapping_sub(1);
            if ends != 0 {
                let end = number * BLOCK + ends.trailing_zeros() as usize - self.first;
                return (end.min(self.record.len()), angles != 0);
            }
            (number, within) = (number + 1, u64::MAX);
        }
        (self.record.len(), angles != 0)
    }

    /// (characters, estimated tokens) of a text, see [`tokens::measure`].
    #[inline]
    pub(crate) fn measure(&self, text: &str) -> (u32, u32) {
        let start = text.as_ptr().addr().wrapping_sub(self.record.as_ptr().addr());
        // In the record, behind a byte that is part of no word.
        let is_here = start > 0 && start < self.record.len() && text.len() <= self.record.len() - start;
        if is_here && !self.record[start - 1].is_ascii_alphanumeric() && (self.is_ascii || text.is_ascii()) {
            let tokens = self.num_before(start + text.len()) - self.num_before(start);
            return (text.len() as u32, tokens);
        }
        tokens::measure(text)
    }

    fn num_before(&self, at: usize) -> u32 {
        let at = self.first + at;
        self.blocks
            .get(at / BLOCK)
            .map_or(0, |block| block.num_before + (block.starts & !(u64::MAX << (at % BLOCK))).count_ones())
    }
}

struct Fill<'w> {
    blocks: &'w mut [Block],
    bytes: &'w [u8],
    last: &'w mut [u8; BLOCK],
}

impl Work for Fill<'_> {
    /// Whether all is ASCII.
    type Done = bool;

    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn by(self, masks: impl Fn(&[u8; BLOCK]) -> Masks) -> bool {
        let (mut words, mut numbers) = (Runs::<6>::default(), Runs::<3>::default());
        let (mut num_before, mut all_beyond) = (0, 0);
        let (whole, rest) = self.bytes.as_chunks::<BLOCK>();
        self.last[..rest.len()].copy_from_slice(rest);
        self.last[rest.len()..].fill(0);
        // Zeros end a string.
        let (of_whole, of_last) = self.blocks.split_at_mut(whole.len());
        for (bytes, blocks) in [(whole, of_whole), (std::slice::from_ref(&*self.last), of_last)] {
            for (bytes, block) in bytes.iter().zip(blocks) {
                registers::ask_for(bytes.as_ptr().wrapping_add(AHEAD));
                let Masks { letters, digits, spaces, ends, angles, beyond_ascii, .. } = masks(bytes);
                // In memory masks are numbers; otherwise the compiler may carry them bit by bit around the branches below.
                // Each by itself: two that are written alone are slow to read together.
                let (letters, digits) = (black_box(letters), black_box(digits));
                let (ends, angles) = (black_box(ends), black_box(angles));
                let starts = words.starts(letters) | numbers.starts(digits) | !(letters | digits | spaces);
                *block = Block { ends, angles, starts, num_before, is_ascii: beyond_ascii == 0 };
                num_before += starts.count_ones();
                all_beyond |= beyond_ascii;
            }
        }
        all_beyond == 0
    }
}

/// Runs of bytes of one class, a token for each `PER_TOKEN` of them. What is kept is of the block before.
#[derive(Debug, Default)]
struct Runs<const PER_TOKEN: u32> {
    mask: u64,
    /// Behind one other of the run, behind three.
    pairs: u64,
    fours: u64,
    starts: u64,
}

impl<const PER_TOKEN: u32> Runs<PER_TOKEN> {
    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn starts(&mut self, mask: u64) -> u64 {
        if mask | self.mask == 0 {
            return 0;
        }
        let shifted = |mask: u64, before: u64, by: u32| mask << by | before >> (u64::BITS - by);
        let goes_on = shifted(mask, self.mask, 1);
        let (first, pairs) = (mask & !goes_on, mask & goes_on);
        let fours = pairs & shifted(pairs, self.pairs, 2);
        // Behind as many as a token has.
        let behind = if PER_TOKEN == 3 { fours } else { fours & shifted(fours, self.fours, PER_TOKEN - 3) };
        let mut next = shifted(first, self.starts, PER_TOKEN) & behind;
        let mut starts = first | next;
        loop {
            next = next << PER_TOKEN & behind;
            if next == 0 {
                break;
            }
            starts |= next;
        }
        *self = Self { mask, pairs, fours, starts };
        starts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quick::plain;

    #[test]
    fn strings_end_and_texts_are_measured_as_they_are_one_by_one() {
        let pieces =
            ["a", "Zeta", "extraordinarily", "1234567", " ", "\"", "\\", "<", "\t", "\n", "é", "中", "-", "\u{7f}"];
        let mut bits = Bits::default();
        let (mut state, mut num_ascii) = (1_u64, 0);
        for length in 0..300 {
            let mut record = String::new();
            for _ in 0..length {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Long runs without a break are likely, and so are records of ASCII alone.
                let pick = if state >> 62 == 0 { (state >> 33) as usize } else { length };
                record.push_str(pieces[pick % if length % 3 == 0 { pieces.len() } else { 10 }]);
            }
            // What stands beside the record is looked at with it.
            let before = ["", "abcdef1", "é\n", "-"][length % 4].repeat(length % 41);
            let around = [&before, record.as_str(), "word 12"].concat();
            bits.look(around.as_bytes());
            let record = &around[before.len()..before.len() + record.len()];
            let seen = bits.of(record.as_bytes()).unwrap();
            assert!(seen.text().is_none_or(|text| text == record && text.is_ascii()));
            num_ascii += usize::from(seen.text().is_some());
            for at in 0..=record.len() {
                let end = at + plain(&record.as_bytes()[at..]);
                let angle = record.as_bytes()[at..end].contains(&b'<');
                assert_eq!(seen.end(at), (end, angle), "{at} in {record:?}");
                for end in [at, at + 1, at + 63, at + 64, at + 65, record.len()] {
                    // No string holds a line break as it is.
                    if let Some(text) = record.get(at..end).filter(|text| !text.contains('\n')) {
                        assert_eq!(seen.measure(text), tokens::measure(text), "{text:?} in {record:?}");
                    }
                }
            }
        }
        assert!(num_ascii > 20, "{num_ascii}");
    }

    #[test]
    fn a_text_from_elsewhere_is_measured_by_itself() {
        let (record, other) = ("\"one two\"".to_owned(), "three four five".to_owned());
        let mut bits = Bits::default();
        assert!(bits.of(other.as_bytes()).is_none());
        bits.look(record.as_bytes());
        assert!(bits.of(other.as_bytes()).is_none());
        let seen = bits.of(record.as_bytes()).unwrap();
        assert_eq!(seen.measure(&other), tokens::measure(&other));
        assert_eq!(seen.measure(&record[1..8]), (7, 2));
        bits.look(&record.as_bytes()[..8]);
        assert!(bits.of(record.as_bytes()).is_none());
    }
}
