//! The bins that rows lie in, and columns in pieces.

use std::ops::Range;

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
    Bytes(&'a Pieces<'a>),
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

/// A column of bytes in pieces, one behind another.
pub struct Pieces<'a> {
    each: Vec<&'a [u8]>,
    /// Where each begins.
    starts: Vec<usize>,
    rows: usize,
}

impl<'a> Pieces<'a> {
    pub fn new(each: Vec<&'a [u8]>) -> Self {
        let mut rows = 0;
        let begin = |piece: &&[u8]| {
            rows += piece.len();
            rows - piece.len()
        };
        let starts = each.iter().map(begin).collect();
        Self { each, starts, rows }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// A run of rows. Where it lies in several pieces, it is brought together in `room`.
    pub(super) fn read<'b>(&'b self, rows: Range<usize>, room: &'b mut Vec<u8>) -> &'b [u8] {
        let mut piece = self.starts.partition_point(|start| *start <= rows.start).saturating_sub(1);
        let begin = self.starts.get(piece).map_or(0, |start| rows.start - start);
        if let Some(all) = self.each.get(piece).and_then(|piece| piece.get(begin..begin + rows.len())) {
            return all;
        }
        room.clear();
        while room.len() < rows.len() {
            let part = &self.each[piece][rows.start + room.len() - self.starts[piece]..];
            room.extend_from_slice(&part[..part.len().min(rows.len() - room.len())]);
            piece += 1;
        }
        room
    }
}
