//! What stands before the samples of a plain JPEG.

use super::huffman::DcCodes;
use super::pairs::Codes;

/// From the order of a file to rows: 8 * row + column.
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// Tables of a picture are numbered 0 to 3.
const TABLES: usize = 4;

/// The tables of pictures: what coefficients are multiplied by, row by row, and the codes of the first of a block and of the others.
pub(super) struct Tables {
    pub(super) factors: [[u8; 64]; TABLES],
    pub(super) dc: Box<[DcCodes; TABLES]>,
    pub(super) ac: Box<[Codes; TABLES]>,
}

impl Default for Tables {
    fn default() -> Self {
        Self { factors: [[0; 64]; TABLES], dc: Box::default(), ac: Box::default() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sampling {
    /// Luma alone.
    Gray,
    /// Three layers of the same size.
    Full,
    /// Chroma has half as many columns.
    Across,
    /// Chroma has half as many columns and rows.
    BothWays,
}

impl Sampling {
    pub(super) fn layers(self) -> usize {
        if self == Self::Gray { 1 } else { 3 }
    }

    /// How many samples of luma stand beside each other, and on each other, for one of chroma.
    pub(super) fn luma(self) -> (usize, usize) {
        match self {
            Self::Gray | Self::Full => (1, 1),
            Self::Across => (2, 1),
            Self::BothWays => (2, 2),
        }
    }
}

/// A layer of samples: its name in the file and the numbers of its tables.
#[derive(Clone, Copy, Default)]
pub(super) struct Layer {
    id: u8,
    pub(super) factors: usize,
    pub(super) dc: usize,
    pub(super) ac: usize,
}

pub(super) struct Header {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) sampling: Sampling,
    pub(super) layers: [Layer; 3],
    /// So many units are between two marks of a restart, 0 where there are none.
    pub(super) restart: usize,
    /// Where the scan begins.
    pub(super) end: usize,
}

/// The header of an ordinary picture that is plain as far as it tells. Its tables are filled.
pub(super) fn read(bytes: &[u8], tables: &mut Tables) -> Option<Header> {
    let (height, width) = super::ordinary(bytes)?;
    let (mut at, mut restart, mut frame) = (2, 0, None);
    // The tables that this picture has: a bit for each number.
    let (mut factors, mut dc, mut ac) = (0_u8, 0_u8, 0_u8);
    loop {
        let [0xff, marker, high, low] = *bytes.get(at..at + 4)? else { return None };
        let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
        let body = bytes.get(at + 4..end)?;
        match marker {
            0xdb => factors |= tables.read_factors(body)?,
            0xc4 => {
                let read = tables.read_codes(body)?;
                (dc, ac) = (dc | read.0, ac | read.1);
            }
            0xdd => restart = usize::from(u16::from_be_bytes(*body.first_chunk()?)),
            0xc0 | 0xc1 => frame = Some(read_frame(body)?),
            0xc2 => return None,
            0xda => {
                let (sampling, mut layers) = frame?;
                read_scan(body, &mut layers[..sampling.layers()])?;
                let mut used = layers[..sampling.layers()].iter();
                let has = |tables: u8, number: usize| number < TABLES && tables >> number & 1 == 1;
                let whole = used.all(|layer| has(factors, layer.factors) && has(dc, layer.dc) && has(ac, layer.ac));
                return whole.then_some(Header { height, width, sampling, layers, restart, end });
            }
            _ => {}
        }
        at = end;
    }
}

impl Tables {
    /// Those of bytes only. Gives which they are.
    fn read_factors(&mut self, mut body: &[u8]) -> Option<u8> {
        let mut read = 0;
        while let [number, rest @ ..] = body {
            let (factors, rest) = rest.split_first_chunk::<64>()?;
            let table = self.factors.get_mut(usize::from(*number))?;
            for (place, factor) in ZIGZAG.into_iter().zip(factors) {
                table[usize::from(place)] = *factor;
            }
            read |= 1 << number;
            body = rest;
        }
        Some(read)
    }

    fn read_codes(&mut self, mut body: &[u8]) -> Option<(u8, u8)> {
        let (mut dc, mut ac) = (0, 0);
        while let [head, rest @ ..] = body {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let total = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, rest) = rest.split_at_checked(total)?;
            let number = usize::from(head & 15);
            match head >> 4 {
                0 => {
                    self.dc.get_mut(number)?.fill(counts, symbols)?;
                    dc |= 1 << number;
                }
                1 => {
                    self.ac.get_mut(number)?.fill(counts, symbols)?;
                    ac |= 1 << number;
                }
                _ => return None,
            }
            body = rest;
        }
        Some((dc, ac))
    }
}

/// The frame of an ordinary picture.
fn read_frame(body: &[u8]) -> Option<(Sampling, [Layer; 3])> {
    let said = body.get(6..)?.as_chunks::<3>().0;
    let sampling = match (said.len(), said.first()?[1]) {
        (1, _) => Sampling::Gray,
        (3, 0x11) => Sampling::Full,
        (3, 0x21) => Sampling::Across,
        (3, 0x22) => Sampling::BothWays,
        _ => return None,
    };
    let mut layers = [Layer::default(); 3];
    for (layer, [id, _, factors]) in layers.iter_mut().zip(said) {
        (layer.id, layer.factors) = (*id, usize::from(*factors));
    }
    Some((sampling, layers))
}

/// One scan of all layers, in their order, with all that they have.
fn read_scan(body: &[u8], layers: &mut [Layer]) -> Option<()> {
    let [count, said @ .., 0, 63, 0] = body else { return None };
    if usize::from(*count) != layers.len() || said.len() != 2 * layers.len() {
        return None;
    }
    for (layer, [id, tables]) in layers.iter_mut().zip(said.as_chunks::<2>().0) {
        (layer.dc, layer.ac) = (usize::from(tables >> 4), usize::from(tables & 15));
        if layer.id != *id {
            return None;
        }
    }
    Some(())
}
