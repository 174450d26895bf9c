//! Huffman's codes, found in bits that come from the top of a number, most of them by one look.

/// Codes of so many bits are found by one look.
const LOOK: u32 = 9;
/// How far a code moves that ends its block.
pub(super) const END: usize = 64;
/// The largest code with its value, in bits.
pub(super) const LONGEST: u32 = 16 + DC_BITS;
/// The bits of the largest values that 8-bit pictures have: of differences of first coefficients, and of others.
const DC_BITS: u32 = 11;
const AC_BITS: u32 = 10;

/// A code, as four bytes from the lowest: its length with that of the value behind it, its length alone, how many
/// coefficients it skips, and 63 less the bits of the value. Never 0.
#[derive(Clone, Copy, Default)]
pub(super) struct Code(u32);

impl Code {
    fn new(length: u32, skip: u32, bits: u32) -> Self {
        Self((63 - bits) << 24 | skip << 16 | length << 8 | (length + bits))
    }

    /// That of a first coefficient. None for what no plain picture holds.
    fn dc(symbol: u8, length: u32) -> Option<Self> {
        let bits = u32::from(symbol);
        (bits <= DC_BITS).then(|| Self::new(length, 0, bits))
    }

    /// That of another coefficient, likewise.
    pub(super) fn ac(symbol: u8, length: u32) -> Option<Self> {
        match (u32::from(symbol >> 4), u32::from(symbol & 15)) {
            (0, 0) => Some(Self::new(length, END as u32, 0)),
            (15, 0) => Some(Self::new(length, 15, 0)),
            (skip, bits) => (1..=AC_BITS).contains(&bits).then(|| Self::new(length, skip, bits)),
        }
    }

    /// Its bits, with those of its value.
    #[inline]
    pub(super) fn whole(self) -> u32 {
        self.0 & 63
    }

    #[inline]
    pub(super) fn skip(self) -> usize {
        (self.0 >> 16 & 0xff) as usize
    }

    /// The value behind it: those that begin with 0 are negative.
    #[inline]
    pub(super) fn value(self, bits: u64) -> i32 {
        let behind = bits << (self.0 >> 8 & 63);
        let rest = self.0 >> 24;
        let below = !(behind as i64 >> 63) as i32 & !(-1 << (63 - rest));
        (behind >> 1 >> rest) as i32 - below
    }
}

/// The codes of a table, by a look and, where they are longer, by their length.
#[derive(Clone)]
pub(super) struct Table {
    by_look: [Code; 1 << LOOK],
    /// For each length, the first 16 bits that are of a longer code, and how far from its code a symbol stands.
    by_length: [(u32, i32); 17],
    symbols: [u8; 256],
}

impl Default for Table {
    fn default() -> Self {
        Self { by_look: [Code::default(); 1 << LOOK], by_length: [(0, 0); 17], symbols: [0; 256] }
    }
}

impl Table {
    /// Of how many codes there are of each length, and their symbols. None where these are no codes.
    pub(super) fn fill(
        &mut self,
        counts: &[u8; 16],
        symbols: &[u8],
        code_of: fn(u8, u32) -> Option<Code>,
    ) -> Option<()> {
        self.symbols.get_mut(..symbols.len())?.copy_from_slice(symbols);
        self.by_look.fill(Code::default());
        let (mut code, mut at) = (0, 0);
        for (length, count) in (1..).zip(counts) {
            let count = usize::from(*count);
            let first = code;
            for symbol in symbols.get(at..at + count)? {
                if length <= LOOK {
                    let free = LOOK - length;
                    let looks = (code << free) as usize..((code + 1) << free) as usize;
                    self.by_look.get_mut(looks)?.fill(code_of(*symbol, length).unwrap_or_default());
                }
                code += 1;
            }
            // No code is all ones.
            if count > 0 && code >= 1 << length {
                return None;
            }
            self.by_length[length as usize] = (code << (16 - length), at as i32 - first as i32);
            at += count;
            code <<= 1;
        }
        Some(())
    }

    /// None for what is no code, or strange.
    #[inline]
    pub(super) fn find(&self, bits: u64, code_of: fn(u8, u32) -> Option<Code>) -> Option<Code> {
        let code = self.by_look[(bits >> (64 - LOOK)) as usize];
        if code.0 == 0 { self.find_long(bits, code_of) } else { Some(code) }
    }

    /// What a look of the first bits tells of a code with its value, if it has so many bits at most.
    pub(super) fn known(&self, bits: u64, most: u32) -> Option<Code> {
        let code = self.by_look[(bits >> (64 - LOOK)) as usize];
        (code.0 != 0 && code.whole() <= most).then_some(code)
    }

    /// One that is longer than a look, or strange.
    #[cold]
    fn find_long(&self, bits: u64, code_of: fn(u8, u32) -> Option<Code>) -> Option<Code> {
        let bits = (bits >> 48) as u32;
        let length = (1..=16).find(|length| bits < self.by_length[*length as usize].0)?;
        let at = (bits >> (16 - length)) as i32 + self.by_length[length as usize].1;
        code_of(*self.symbols.get(usize::try_from(at).ok()?)?, length)
    }
}

/// The codes of first coefficients.
#[derive(Clone, Default)]
pub(super) struct DcCodes(Table);

impl DcCodes {
    /// libjpeg takes no table with a symbol beyond 15, used or not.
    pub(super) fn fill(&mut self, counts: &[u8; 16], symbols: &[u8]) -> Option<()> {
        symbols.iter().all(|symbol| *symbol <= 15).then(|| self.0.fill(counts, symbols, Code::dc))?
    }

    #[inline]
    pub(super) fn find(&self, bits: u64) -> Option<Code> {
        self.0.find(bits, Code::dc)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::jpeg::pairs::Codes;

    /// Codes of all lengths, with symbols that skip and values of all sizes, and two that are strange.
    const COUNTS: [u8; 16] = [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125];

    pub(in crate::jpeg) fn symbols() -> Vec<u8> {
        let likely = [0x01, 0x02, 0x03, 0x00, 0x2c, 0x04, 0x11, 0xb0];
        let rest = (0..=255_u8).filter(|symbol| (1..=10).contains(&(symbol & 15)) || *symbol == 0xf0);
        likely.into_iter().chain(rest.filter(|symbol| !likely.contains(symbol))).collect()
    }

    /// (length of the code, its symbol) bit by bit.
    fn found_slowly(symbols: &[u8], bits: u64) -> Option<(u32, u8)> {
        let (mut first, mut at) = (0_u64, 0);
        for (length, count) in (1..).zip(COUNTS) {
            let code = bits >> (64 - length);
            if code < first + u64::from(count) {
                return Some((length, symbols[at + (code - first) as usize]));
            }
            at += usize::from(count);
            first = (first + u64::from(count)) << 1;
        }
        None
    }

    /// (bits read, coefficients moved, its value) of the code that comes first.
    pub(in crate::jpeg) fn read_slowly(symbols: &[u8], bits: u64) -> Option<(u32, usize, i32)> {
        let (length, symbol) = found_slowly(symbols, bits)?;
        let size = u32::from(symbol & 15);
        if size > 10 || symbol == 0xb0 {
            return None;
        }
        if symbol == 0 {
            return Some((length, END, 0));
        }
        let value = if size == 0 { 0 } else { (bits << length >> (64 - size)) as i32 };
        let negative = size > 0 && value < 1 << (size - 1);
        Some((length + size, usize::from(symbol >> 4), if negative { value - (1 << size) + 1 } else { value }))
    }

    pub(in crate::jpeg) fn all_bits() -> impl Iterator<Item = u64> {
        (0..200_000_u64)
            .map(|at| (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .map(|bits| bits | (bits >> 9 & bits << 3))
    }

    pub(in crate::jpeg) fn codes(symbols: &[u8]) -> Codes {
        let total = COUNTS.iter().map(|count| usize::from(*count)).sum();
        let mut codes = Codes::default();
        codes.fill(&COUNTS, &symbols[..total]).unwrap();
        codes
    }

    #[test]
    fn codes_are_found_as_bit_by_bit() {
        let symbols = symbols();
        let codes = codes(&symbols);
        for bits in all_bits() {
            let found = codes.find(bits).map(|code| (code.whole(), code.skip(), code.value(bits)));
            assert_eq!(found, read_slowly(&symbols, bits), "{bits:x}");
        }
    }

    #[test]
    fn what_are_no_codes_is_refused() {
        let counts = |at: usize, count: u8| {
            let mut counts = [0; 16];
            counts[at] = count;
            counts
        };
        let fill = |counts: [u8; 16], symbols: &[u8]| Codes::default().fill(&counts, symbols);
        assert!(fill(counts(0, 1), &[1]).is_some());
        assert!(fill(counts(0, 2), &[1, 2]).is_none(), "a code of ones alone");
        assert!(fill(counts(2, 9), &[1; 9]).is_none(), "more codes than there are");
        assert!(fill(counts(0, 1), &[]).is_none(), "no symbol");
        assert!(DcCodes::default().fill(&counts(3, 1), &[16]).is_none(), "a difference of more than 15 bits");
        let strange = |symbol: u8| {
            let mut codes = Codes::default();
            codes.fill(&counts(0, 1), &[symbol]).unwrap();
            codes.find(0).is_none() && codes.pair(0).length == 0
        };
        assert!(strange(0x0b) && strange(0x10) && strange(0xe0));
        assert!(!strange(0x0a) && !strange(0xf0) && !strange(0x00));
    }
}
