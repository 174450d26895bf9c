//! A column in pieces, one behind another: those of many files are read as one, and nothing is copied.

use std::ops::Range;

use crate::table::Find;

pub struct Pieces<'a, T> {
    each: Vec<&'a [T]>,
    /// Where each begins.
    starts: Vec<usize>,
    rows: usize,
    find: Find,
}

impl<'a, T: Copy> Pieces<'a, T> {
    pub fn new(each: Vec<&'a [T]>) -> Self {
        let mut rows = 0;
        let begin = |piece: &&[T]| {
            rows += piece.len();
            rows - piece.len()
        };
        let starts = each.iter().map(begin).collect();
        // Nothing is sought in one piece.
        let sizes = each.iter().map(|piece| piece.len()).filter(|_| each.len() > 1);
        Self { find: Find::new(sizes), each, starts, rows }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The item of a row, which is there.
    pub fn get(&self, row: usize) -> T {
        *self.place(row)
    }

    /// Where the item of a row lies.
    pub fn place(&self, row: usize) -> &'a T {
        match self.each.as_slice() {
            [one] => &one[row],
            each => {
                // No piece has a row that is not there.
                let (piece, at) = self.find.place(row as u32).unwrap_or((each.len(), 0));
                &each[piece][at]
            }
        }
    }

    /// A run of rows. Where it lies in several pieces, it is brought together in `room`.
    pub fn read<'b>(&'b self, rows: Range<usize>, room: &'b mut Vec<T>) -> &'b [T] {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_in_pieces_is_read_as_one() {
        let whole: Vec<u64> = (0..30_000).collect();
        for cuts in [vec![], vec![0], vec![7, 7], vec![1, 4096, 8192, 8200, 20_000], vec![30_000]] {
            let mut each = Vec::new();
            let mut start = 0;
            for end in cuts.into_iter().chain([whole.len()]) {
                each.push(&whole[start..end]);
                start = end;
            }
            let (pieces, mut room) = (Pieces::new(each), Vec::new());
            assert_eq!(pieces.rows(), whole.len());
            assert!((0..whole.len()).all(|row| pieces.get(row) == whole[row]));
            for rows in [0..0, 0..30_000, 5..9, 4095..8201, 29_999..30_000, 30_000..30_000] {
                assert_eq!(pieces.read(rows.clone(), &mut room), &whole[rows]);
            }
        }
        assert_eq!(Pieces::<u64>::new(Vec::new()).rows(), 0);
    }
}
