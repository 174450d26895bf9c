//! Codes of coefficients with their values, two at a time where they are short: one look finds both.

use super::huffman::{Code, END, Table};

/// Codes with their values, one or two of them, of so many bits are found by one look.
const LOOK: u32 = 10;

/// One code with its value, or two: their length, where the values go, and how far they move; 0 long where there is none.
#[derive(Clone, Copy, Default)]
#[repr(align(8))]
pub(super) struct Pair {
    pub(super) length: u8,
    pub(super) places: [u8; 2],
    pub(super) moves: u8,
    pub(super) values: [i16; 2],
}

/// The codes of all other coefficients.
#[derive(Clone)]
pub(super) struct Codes {
    table: Table,
    pairs: [Pair; 1 << LOOK],
}

impl Default for Codes {
    fn default() -> Self {
        Self { table: Table::default(), pairs: [Pair::default(); 1 << LOOK] }
    }
}

impl Codes {
    /// A pair takes so many bits at most, and moves so far unless it ends the block.
    pub(super) const PAIR_BITS: u32 = LOOK;
    pub(super) const PAIR_MOVES: usize = 32;

    pub(super) fn fill(&mut self, counts: &[u8; 16], symbols: &[u8]) -> Option<()> {
        self.table.fill(counts, symbols, Code::ac)?;
        for (look, pair) in (0_u64..).zip(&mut self.pairs) {
            *pair = pair_of(&self.table, look << (64 - LOOK)).unwrap_or_default();
        }
        Some(())
    }

    #[inline]
    pub(super) fn find(&self, bits: u64) -> Option<Code> {
        self.table.find(bits, Code::ac)
    }

    #[inline]
    pub(super) fn pair(&self, bits: u64) -> Pair {
        self.pairs[(bits >> (64 - LOOK)) as usize]
    }
}

/// What a look of the first bits tells for sure. Where there is no second value, a zero goes behind the first.
fn pair_of(table: &Table, bits: u64) -> Option<Pair> {
    let one = table.known(bits, LOOK)?;
    let length = one.whole();
    if one.skip() == END {
        return Some(Pair { length: length as u8, moves: END as u8, ..Pair::default() });
    }
    let (first, value) = (one.skip() as u8, one.value(bits) as i16);
    let alone = Pair { length: length as u8, places: [first, first + 1], moves: first + 1, values: [value, 0] };
    let Some(two) = table.known(bits << length, LOOK - length) else { return Some(alone) };
    let length = (length + two.whole()) as u8;
    if two.skip() == END {
        return Some(Pair { length, moves: alone.moves + END as u8, ..alone });
    }
    let second = first + 1 + two.skip() as u8;
    let values = [value, two.value(bits << one.whole()) as i16];
    Some(Pair { length, places: [first, second], moves: second + 1, values })
}

#[cfg(test)]
mod tests {
    use super::super::huffman::tests::{all_bits, codes, read_slowly, symbols};
    use super::*;

    #[test]
    fn a_pair_is_two_codes() {
        let symbols = symbols();
        let codes = codes(&symbols);
        let mut pairs = 0;
        for bits in all_bits() {
            let pair = codes.pair(bits);
            let Some((length, skip, value)) = read_slowly(&symbols, bits).filter(|_| pair.length > 0) else { continue };
            let moves = usize::from(pair.moves);
            let (places, values) = (pair.places.map(usize::from), pair.values.map(i32::from));
            if skip == END {
                assert_eq!((u32::from(pair.length), moves, values), (length, END, [0; 2]));
                continue;
            }
            assert_eq!((places[0], values[0]), (skip, value));
            if u32::from(pair.length) == length {
                assert_eq!((places[1], values[1], moves), (skip + 1, 0, skip + 1));
                continue;
            }
            pairs += 1;
            let (more, skip_of_two, value) = read_slowly(&symbols, bits << length).unwrap();
            assert_eq!(u32::from(pair.length), length + more);
            if skip_of_two == END {
                assert_eq!((places[1], values[1], moves), (skip + 1, 0, skip + 1 + END));
            } else {
                let place = skip + 1 + skip_of_two;
                assert_eq!((places[1], values[1], moves), (place, value, place + 1));
                assert!(moves <= Codes::PAIR_MOVES);
            }
        }
        assert!(pairs > 10_000);
    }
}
