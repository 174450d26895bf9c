//! The bins that rows lie in.

use std::ops::Range;

use crate::pieces::Pieces;

/// The bins that rows lie in: those of row `i` are `bins[starts[cell[i]]..starts[cell[i] + 1]]`, in the row's own order.
#[derive(Clone, Copy)]
pub struct Bins<'a> {
    pub cell: Cells<'a>,
    pub starts: &'a [u32],
    pub bins: &'a [u32],
}

impl Bins<'_> {
    pub(super) fn slots(&self, cell: usize) -> Range<usize> {
        self.starts[cell] as usize..self.starts[cell + 1] as usize
    }
}

/// The cell of each row, as it is kept.
#[derive(Clone, Copy)]
pub enum Cells<'a> {
    Words(&'a [u32]),
    Bytes(&'a Pieces<'a, u8>),
}

impl Cells<'_> {
    pub(super) fn rows(&self) -> usize {
        match self {
            Self::Words(cells) => cells.len(),
            Self::Bytes(pieces) => pieces.rows(),
        }
    }

    /// Those of a run of rows; bytes are made words in `room`.
    pub(super) fn read<'b>(&'b self, rows: Range<usize>, room: &'b mut (Vec<u8>, Vec<u32>)) -> &'b [u32] {
        match self {
            Self::Words(cells) => &cells[rows],
            Self::Bytes(pieces) => {
                let (bytes, words) = room;
                words.clear();
                words.extend(pieces.read(rows, bytes).iter().map(|cell| u32::from(*cell)));
                words
            }
        }
    }
}
