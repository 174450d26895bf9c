//! Bits over the bytes of one record: where a string may end, and where tokens start.
//!
//! Both are found in one pass with wide registers, whatever the bytes mean. Then a string ends at the next bit, and a text
//! of the record has as many tokens as there are bits in its range: a quote or a mark stands before it, so that its first
//! word starts where one starts in the record, and no string holds a line break as it is.

use crate::bounds;
use crate::registers::{self, BLOCK, Masks, Work};
use crate::tokens;

/// Longer records hold media rather than words.
const LONG: usize = 1 << 16;
const _: () = assert!(LONG <= bounds::MAX_RECORD_BYTES && LONG <= bounds::MAX_RECORD_VALUES);

#[derive(Debug)]
pub(crate) struct Bits {
    /// Those of the record, and behind them what is left of longer ones.
    blocks: Vec<Block>,
    /// What is left behind whole blocks, and zeros.
    last: [u8; BLOCK],
    /// Where the record lies in memory: its texts are told from others by that.
    address: usize,
    length: usize,
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
}

impl Default for Bits {
    fn default() -> Self {
        Self { blocks: Vec::new(), last: [0; BLOCK], address: 0, length: 0, is_ascii: false }
    }
}

impl Bits {
    /// Forgets the last record and looks at this one. The answer is whether it is worth the while.
    pub(crate) fn look(&mut self, record: &str) -> bool {
        (self.address, self.length) = (record.as_ptr().addr(), record.len());
        if record.len() > LONG {
            self.forget();
            return false;
        }
        let num_blocks = record.len() / BLOCK + 1;
        if self.blocks.len() < num_blocks {
            self.blocks.resize_with(num_blocks, Block::default);
        }
        self.is_ascii =
            registers::run(Fill { blocks: &mut self.blocks, record: record.as_bytes(), last: &mut self.last });
        true
    }

    /// Knows no record any more.
    pub(crate) fn forget(&mut self) {
        self.length = 0;
    }

    /// Where the first byte from `at` on stands that a string cannot hold as it is (the end of the record if none does),
    /// and whether a `<` stands before it.
    #[inline]
    pub(crate) fn end(&self, at: usize) -> (usize, bool) {
        let (mut number, mut within, mut angles) = (at / BLOCK, u64::MAX << (at % BLOCK), 0);
        while let Some(block) = self.blocks.get(number) {
            let ends = block.ends & within;
            angles |= block.angles & within & (ends & ends.wrapping_neg()).wrapping_sub(1);
            if ends != 0 {
                return (self.length.min(number * BLOCK + ends.trailing_zeros() as usize), angles != 0);
            }
            (number, within) = (number + 1, u64::MAX);
        }
        (self.length, angles != 0)
    }

    /// (characters, estimated tokens) of a text, see [`tokens::measure`].
    #[inline]
    pub(crate) fn measure(&self, record: &[u8], text: &str) -> (u32, u32) {
        let start = text.as_ptr().addr().wrapping_sub(self.address);
        // In the record, behind a byte that is part of no word.
        let is_here = start > 0 && start < self.length && text.len() <= self.length - start;
        if is_here && !record[start - 1].is_ascii_alphanumeric() && (self.is_ascii || text.is_ascii()) {
            let tokens = self.num_before(start + text.len()) - self.num_before(start);
            return (text.len() as u32, tokens);
        }
        tokens::measure(text)
    }

    fn num_before(&self, at: usize) -> u32 {
        self.blocks
            .get(at / BLOCK)
            .map_or(0, |block| block.num_before + (block.starts & !(u64::MAX << (at % BLOCK))).count_ones())
    }
}

struct Fill<'w> {
    blocks: &'w mut [Block],
    record: &'w [u8],
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
        let (whole, rest) = self.record.as_chunks::<BLOCK>();
        self.last[..rest.len()].copy_from_slice(rest);
        self.last[rest.len()..].fill(0);
        // The last one ends the last string, if nothing else does.
        let (of_whole, of_last) = self.blocks.split_at_mut(whole.len());
        for (bytes, blocks) in [(whole, of_whole), (std::slice::from_ref(&*self.last), of_last)] {
            for (bytes, block) in bytes.iter().zip(blocks) {
                let Masks { letters, digits, spaces, ends, angles, beyond_ascii, .. } = masks(bytes);
                // In memory masks are numbers; otherwise the compiler may carry them bit by bit around the branches below.
                let [letters, digits, ends, angles] = std::hint::black_box([letters, digits, ends, angles]);
                let starts = words.starts(letters) | numbers.starts(digits) | !(letters | digits | spaces);
                *block = Block { ends, angles, starts, num_before };
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
        let mut state = 1_u64;
        for length in 0..300 {
            let mut record = String::new();
            for _ in 0..length {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Long runs without a break are likely, and so are records of ASCII alone.
                let pick = if state >> 62 == 0 { (state >> 33) as usize } else { length };
                record.push_str(pieces[pick % if length % 3 == 0 { pieces.len() } else { 10 }]);
            }
            assert!(bits.look(&record));
            for at in 0..=record.len() {
                let end = at + plain(&record.as_bytes()[at..]);
                let angle = record.as_bytes()[at..end].contains(&b'<');
                assert_eq!(bits.end(at), (end, angle), "{at} in {record:?}");
                for end in [at, at + 1, at + 63, at + 64, at + 65, record.len()] {
                    // No string holds a line break as it is.
                    if let Some(text) = record.get(at..end).filter(|text| !text.contains('\n')) {
                        assert_eq!(
                            bits.measure(record.as_bytes(), text),
                            tokens::measure(text),
                            "{text:?} in {record:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_text_from_elsewhere_is_measured_by_itself() {
        let (record, other) = ("\"one two\"".to_owned(), "three four five".to_owned());
        let mut bits = Bits::default();
        assert_eq!(bits.measure(other.as_bytes(), &other), tokens::measure(&other));
        assert!(bits.look(&record));
        assert_eq!(bits.measure(record.as_bytes(), &other), tokens::measure(&other));
        bits.forget();
        assert_eq!(bits.measure(record.as_bytes(), &record[1..8]), (7, 2));
        assert!(!bits.look(&"x".repeat(LONG + 1)));
    }
}
