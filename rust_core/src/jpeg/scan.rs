//! The coefficients of a scan, unit by unit.

use super::headers::{Header, ZIGZAG};
use super::huffman::{Code, DcCodes, END, LONGEST};
use super::pairs::Codes;

/// Coefficients of two blocks, row by row, the second beside the first.
pub(super) type Blocks = [i16; 128];

/// Where in `Blocks` the coefficients of the first go, and of the second, in the order of a file.
const PLACES: [[u8; 64]; 2] = {
    let mut places = [[0; 64]; 2];
    let mut at = 0;
    while at < 64 {
        let place = ZIGZAG[at] / 8 * 16 + ZIGZAG[at] % 8;
        (places[0][at], places[1][at]) = (place, place + 8);
        at += 1;
    }
    places
};

/// No coefficient of an 8-bit picture is larger.
pub(super) const LARGEST: i16 = 2047;

/// Bits that are there after a refill, and pairs that are found in them.
const FILLED: u32 = 56;
const PAIRS: u32 = FILLED / Codes::PAIR_BITS;
const _: () = assert!(LONGEST <= FILLED);
/// A pair that begins before it ends in the block.
const NEAR: usize = 64 - Codes::PAIR_MOVES;

/// So many bytes are read beyond the end of a part of a scan at most, before it is known to be wrong.
const SLACK: usize = 16;

/// At most so much memory is kept for the parts of the next picture.
const MOST_KEPT: usize = 1 << 20;

/// A block of a unit: its layer, and of which two blocks it is the first or second.
pub(super) type Block = (usize, usize, usize);

/// What is being read: a part that no marker interrupts, without the zeros that are stuffed behind 0xff.
pub(super) struct Scan<'s> {
    bytes: &'s [u8],
    /// Where the part behind this one begins, and the marker between them.
    end: usize,
    marker: u8,
    part: &'s mut Vec<u8>,
    at: Cursor,
    /// The first coefficients of the blocks that came last.
    last: [i32; 3],
    restart: usize,
    to_go: usize,
    restarts: u8,
}

impl<'s> Scan<'s> {
    /// `part` is memory for a part.
    pub(super) fn new(bytes: &'s [u8], header: &Header, part: &'s mut Vec<u8>) -> Option<Self> {
        let mut scan = Self {
            bytes,
            end: header.end,
            marker: 0,
            part,
            at: Cursor::default(),
            last: [0; 3],
            restart: header.restart,
            to_go: header.restart,
            restarts: 0,
        };
        scan.begin()?;
        Some(scan)
    }

    /// Makes the part that begins at the end of this one the one that is read.
    fn begin(&mut self) -> Option<()> {
        self.part.clear();
        self.part.shrink_to(MOST_KEPT);
        loop {
            let rest = self.bytes.get(self.end..)?;
            let size = memchr::memchr(0xff, rest)?;
            self.part.extend_from_slice(&rest[..size]);
            self.end += size + 2;
            match rest.get(size + 1)? {
                0 => self.part.push(0xff),
                marker => {
                    self.marker = *marker;
                    break;
                }
            }
        }
        self.part.extend_from_slice(&[0; SLACK]);
        self.at = Cursor::default();
        Some(())
    }

    /// Whether the part was read, but for less than a byte, and this marker is behind it.
    fn ends(&self, marker: u8) -> bool {
        self.marker == marker && self.at.read().div_ceil(8) == self.part.len() - SLACK
    }

    /// Whether the picture ends here.
    pub(super) fn done(&self) -> bool {
        self.ends(0xd9)
    }

    /// Reads the blocks of a unit, on one side where they have none of their own.
    #[target_feature(enable = "bmi1,bmi2")]
    pub(super) fn unit(
        &mut self,
        blocks: &[Block],
        side: usize,
        codes: &[(&DcCodes, &Codes); 3],
        pairs: &mut [Blocks; 3],
    ) -> Option<()> {
        if self.restart > 0 {
            if self.to_go == 0 {
                if !self.ends(0xd0 | self.restarts & 7) {
                    return None;
                }
                self.begin()?;
                (self.last, self.to_go, self.restarts) = ([0; 3], self.restart, self.restarts.wrapping_add(1));
            }
            self.to_go -= 1;
        }
        let mut at = self.at;
        for (layer, pair, of_two) in blocks {
            let (dc, ac) = codes[*layer];
            let side = (of_two | side) & 1;
            at.refill(self.part)?;
            let code = dc.find(at.bits)?;
            let value = self.last[*layer] + code.value(at.bits);
            at.skip(code.whole());
            if value.unsigned_abs() > LARGEST.unsigned_abs().into() {
                return None;
            }
            self.last[*layer] = value;
            pairs[*pair][8 * side] = value as i16;
            at.block(self.part, ac, &PLACES[side], &mut pairs[*pair])?;
        }
        self.at = at;
        Some(())
    }
}

/// The bits that come next, from the top, how many of them count, and where those behind them are.
#[derive(Clone, Copy, Default)]
struct Cursor {
    bits: u64,
    count: u32,
    next: usize,
}

impl Cursor {
    /// How many bits were read.
    fn read(&self) -> usize {
        8 * self.next - self.count as usize
    }

    /// Afterwards there are `FILLED` bits. None far behind the end.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn refill(&mut self, part: &[u8]) -> Option<()> {
        let next = u64::from_be_bytes(*part.get(self.next..)?.first_chunk()?);
        self.bits |= next >> self.count;
        self.next += (63 - self.count as usize) >> 3;
        self.count |= FILLED;
        Some(())
    }

    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn skip(&mut self, length: u32) {
        self.bits <<= length & 63;
        self.count -= length;
    }

    /// Reads the coefficients of a block behind its first. None where no plain picture goes on like this.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn block(&mut self, part: &[u8], codes: &Codes, places: &[u8; 64], into: &mut Blocks) -> Option<()> {
        let mut at = 1;
        let mut put = |at: usize, value: i16| into[usize::from(places[at & 63] & 127)] = value;
        'near: loop {
            self.refill(part)?;
            for _ in 0..PAIRS {
                let pair = codes.pair(self.bits);
                if pair.length == 0 {
                    self.refill(part)?;
                    at = self.single(codes.find(self.bits)?, at, &mut put)?;
                    self.refill(part)?;
                } else {
                    self.skip(u32::from(pair.length));
                    put(at + usize::from(pair.places[0]), pair.values[0]);
                    put(at + usize::from(pair.places[1]), pair.values[1]);
                    at += usize::from(pair.moves);
                }
                if at >= NEAR {
                    break 'near;
                }
            }
        }
        while at < 64 {
            self.refill(part)?;
            at = self.single(codes.find(self.bits)?, at, &mut put)?;
        }
        Some(())
    }

    /// Reads one code with its value, whatever its length. Gives where the next goes.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn single(&mut self, code: Code, at: usize, put: &mut impl FnMut(usize, i16)) -> Option<usize> {
        let at = at + code.skip();
        let value = code.value(self.bits);
        self.skip(code.whole());
        if code.skip() == END {
            return Some(END);
        }
        (at < 64).then(|| {
            put(at, value as i16);
            at + 1
        })
    }
}
