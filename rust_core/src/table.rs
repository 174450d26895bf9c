//! Columns of a table that lie in pieces, one for each file: measured and looked up without copies of the rest.

use rayon::prelude::*;

use crate::error::{CoreError, Result};
use crate::sweep::{Sweep, marked};

/// Rows that one task works on.
const CHUNK: usize = 1 << 16;
/// Bytes that one task writes: the most of which a page is made.
const TOUCHED: usize = 2 << 20;
/// Rows that are gathered by one task.
const GATHERED: usize = 1 << 14;
/// Rows that are counted in a byte.
const BYTE: usize = 128;
/// Rows of which the first says in which piece to begin to look.
const BLOCK: u32 = 12;

/// One slice after another, of these sizes, which add up to the whole.
pub(crate) fn apart<T>(mut whole: &mut [T], sizes: impl IntoIterator<Item = usize>) -> Vec<&mut [T]> {
    let mut slices = Vec::new();
    for size in sizes {
        let (slice, rest) = whole.split_at_mut(size);
        slices.push(slice);
        whole = rest;
    }
    slices
}

/// A column in pieces: the bytes of each, how many of them a row has, and how many a number has that is gathered.
pub struct Cells<'a> {
    pub pieces: Vec<&'a [u8]>,
    pub width: usize,
    pub wanted: usize,
}

/// The cells of rows, column by column. Where more bytes are wanted than a cell has, it is an unsigned number.
pub fn gather(columns: &[Cells<'_>], rows: &[u32]) -> Result<Vec<Vec<u8>>> {
    let height =
        |column: &Cells<'_>| column.pieces.iter().map(|piece| piece.len()).sum::<usize>() / column.width.max(1);
    let sweep = Sweep::of(rows, columns.iter().map(height).max().unwrap_or(0));
    let gathered = columns.par_iter().map(|column| {
        let (pieces, sweep) = (column.pieces.as_slice(), sweep.as_ref());
        match (column.width, column.wanted) {
            (1, 1) => gather_cells::<1, 1>(pieces, rows, sweep),
            (1, 2) => gather_cells::<1, 2>(pieces, rows, sweep),
            (1, 4) => gather_cells::<1, 4>(pieces, rows, sweep),
            (1, 8) => gather_cells::<1, 8>(pieces, rows, sweep),
            (2, 2) => gather_cells::<2, 2>(pieces, rows, sweep),
            (2, 4) => gather_cells::<2, 4>(pieces, rows, sweep),
            (2, 8) => gather_cells::<2, 8>(pieces, rows, sweep),
            (4, 4) => gather_cells::<4, 4>(pieces, rows, sweep),
            (4, 8) => gather_cells::<4, 8>(pieces, rows, sweep),
            (8, 8) => gather_cells::<8, 8>(pieces, rows, sweep),
            _ => None,
        }
    });
    gathered.collect::<Option<_>>().ok_or_else(|| CoreError::Contract("cells that are not there".to_owned()))
}

fn gather_cells<const WIDTH: usize, const WANTED: usize>(
    pieces: &[&[u8]],
    rows: &[u32],
    sweep: Option<&Sweep>,
) -> Option<Vec<u8>> {
    let pieces: Vec<&[[u8; WIDTH]]> = pieces.iter().map(|piece| piece.as_chunks::<WIDTH>().0).collect();
    let wide = |cell: &[u8; WIDTH]| {
        let mut wide = [0; WANTED];
        wide[..WIDTH].copy_from_slice(cell);
        wide
    };
    let cells: Option<Vec<[u8; WANTED]>> = match (sweep, pieces.as_slice()) {
        (Some(sweep), pieces) => sweep.cells(pieces, wide),
        (None, [piece]) => {
            rows.par_iter().with_min_len(GATHERED).map(|row| piece.get(*row as usize).map(wide)).collect()
        }
        (None, pieces) => {
            let find = Find::new(pieces.iter().map(|piece| piece.len()));
            let cell = |row: &u32| find.place(*row).and_then(|(piece, at)| pieces[piece].get(at).map(wide));
            rows.par_iter().with_min_len(GATHERED).map(cell).collect()
        }
    };
    cells.map(Vec::into_flattened)
}

/// Finds the piece that a row lies in.
pub(crate) struct Find {
    starts: Vec<usize>,
    /// For each block of rows the piece of its first row, and whether the block lies in that piece as a whole.
    blocks: Vec<(u32, bool)>,
}

impl Find {
    pub(crate) fn new(sizes: impl Iterator<Item = usize>) -> Self {
        let mut starts = vec![0];
        let mut total = 0;
        for size in sizes {
            total += size;
            starts.push(total);
        }
        let piece = |row: usize| starts.partition_point(|start| *start <= row) - 1;
        let block = |first: usize| (piece(first) as u32, piece(first) == piece(first + (1 << BLOCK) - 1));
        let blocks = (0..total.div_ceil(1 << BLOCK)).map(|number| block(number << BLOCK)).collect();
        Self { starts, blocks }
    }

    /// (piece, place in it) of a row, where there is such a row.
    pub(crate) fn place(&self, row: u32) -> Option<(usize, usize)> {
        let row = row as usize;
        let (first, whole) = *self.blocks.get(row >> BLOCK)?;
        let first = first as usize;
        let piece = if whole { first } else { first + self.starts[first + 1..].partition_point(|start| *start <= row) };
        (piece + 1 < self.starts.len()).then(|| (piece, row - self.starts[piece]))
    }
}

/// Zeros that all threads wrote. Where some of them are read before they are written, memory that is zero by itself comes
/// at twice the cost.
pub fn zeros(bytes: usize) -> Vec<u8> {
    let mut zeros = vec![0; bytes];
    zeros.par_chunks_mut(TOUCHED).for_each(|zeros| zeros.fill(0));
    zeros
}

/// The rows that are taken at all, in order.
pub fn taken_rows<T: Copy + Default + PartialOrd + Sync>(times: &[T]) -> Vec<u32> {
    let is_taken = |times: &T| *times > T::default();
    let count = |times: &[T]| {
        times
            .chunks(BYTE)
            .map(|times| usize::from(times.iter().map(|times| u8::from(is_taken(times))).sum::<u8>()))
            .sum()
    };
    let sizes: Vec<usize> = times.par_chunks(CHUNK).map(count).collect();
    let mut rows = vec![0; sizes.iter().sum()];
    let parts = apart(&mut rows, sizes).into_par_iter().zip(times.par_chunks(CHUNK)).enumerate();
    parts.for_each_init(
        || vec![0; CHUNK + 1],
        |room, (chunk, (rows, times))| {
            // Without a branch: which rows are taken is chance.
            let mut num = 0;
            for (row, times) in ((chunk * CHUNK) as u32..).zip(times) {
                room[num] = row;
                num += usize::from(is_taken(times));
            }
            rows.copy_from_slice(&room[..num]);
        },
    );
    rows
}

/// How many different rows there are among these, all of which are below `height`.
pub fn num_different(rows: &[u32], height: usize) -> Result<u64> {
    let marks = marked(rows, height).ok_or_else(|| CoreError::Contract("rows beyond all".to_owned()))?;
    Ok(marks.iter().map(|word| u64::from(word.count_ones())).sum())
}

/// How many rows of each pool stay at a step, and how many left.
#[derive(Debug, PartialEq, Eq)]
pub struct Left {
    pub kept: Vec<u64>,
    pub dropped: Vec<u64>,
}

/// Notes in `left_at` which rows left at a step: those of `before` that are not among `after`. Pools lie one behind
/// another, and these are their `ends`.
pub fn leave(ends: &[u64], [before, after]: [&[bool]; 2], left_at: &mut [u16], step: u16) -> Result<Left> {
    let rows = left_at.len();
    let whole = ends.is_sorted() && ends.last().map_or(0, |end| *end) == rows as u64;
    if !whole || before.len() != rows || after.len() != rows {
        return Err(CoreError::Contract("pools, steps and rows do not fit".to_owned()));
    }
    let parts = left_at.par_chunks_mut(CHUNK).zip(before.par_chunks(CHUNK).zip(after.par_chunks(CHUNK)));
    // Of the pools in each chunk, those that stay and those that left.
    let counts: Vec<Vec<(usize, [u64; 2])>> = parts
        .enumerate()
        .map(|(chunk, (left_at, (before, after)))| {
            let mut counts = Vec::new();
            let (mut start, first) = (0, chunk * CHUNK);
            let mut pool = ends.partition_point(|end| *end <= first as u64);
            while start < left_at.len() {
                let end = left_at.len().min(ends[pool] as usize - first);
                let span = start..end;
                counts.push((pool, note(&mut left_at[span.clone()], &before[span.clone()], &after[span], step)));
                (start, pool) = (end, pool + 1);
            }
            counts
        })
        .collect();
    let mut left = Left { kept: vec![0; ends.len()], dropped: vec![0; ends.len()] };
    for (pool, [kept, dropped]) in counts.into_iter().flatten() {
        left.kept[pool] += kept;
        left.dropped[pool] += dropped;
    }
    Ok(left)
}

/// (how many rows stay, how many left)
fn note(left_at: &mut [u16], before: &[bool], after: &[bool], step: u16) -> [u64; 2] {
    let mut counts = [0; 2];
    let has_left = |before: &bool, after: &bool| u8::from(*before) & u8::from(!*after);
    for (left_at, (before, after)) in left_at.chunks_mut(BYTE).zip(before.chunks(BYTE).zip(after.chunks(BYTE))) {
        let (mut kept, mut dropped) = (0_u8, 0_u8);
        for (before, after) in before.iter().zip(after) {
            kept += u8::from(*before) & u8::from(*after);
            dropped += has_left(before, after);
        }
        if dropped > 0 {
            for (at, (before, after)) in left_at.iter_mut().zip(before.iter().zip(after)) {
                *at = if has_left(before, after) > 0 { step } else { *at };
            }
        }
        counts[0] += u64::from(kept);
        counts[1] += u64::from(dropped);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells<'a>(pieces: &[&'a [u8]], width: usize, wanted: usize) -> Cells<'a> {
        Cells { pieces: pieces.to_vec(), width, wanted }
    }

    #[test]
    fn cells_are_gathered() {
        let (narrow, wide): (Vec<u8>, Vec<u8>) = ((0..12).collect(), (0..24).collect());
        let found =
            gather(&[cells(&[&narrow], 4, 4), cells(&[&wide[..8], &[], &wide[8..]], 8, 8)], &[2, 0, 2]).unwrap();
        assert_eq!(
            found,
            [[&narrow[8..], &narrow[..4], &narrow[8..]].concat(), [&wide[16..], &wide[..8], &wide[16..]].concat()]
        );
        for (pieces, width, wanted, row) in [
            (vec![narrow.as_slice()], 4, 4, 3),
            (vec![&narrow], 3, 3, 0),
            (vec![&narrow], 4, 2, 0),
            (vec![&narrow], 0, 0, 0),
            (vec![], 4, 4, 0),
        ] {
            assert!(gather(&[cells(&pieces, width, wanted)], &[row]).is_err());
        }
    }

    #[test]
    fn numbers_are_gathered_in_as_many_bytes_as_are_wanted() {
        let numbers: Vec<u32> = (0..10_000_u32).map(|row| row * 7 % 251).collect();
        // Many rows and few are gathered in ways of their own.
        for asked in [vec![3, 9_999, 3, 0], (0..10_000).rev().collect::<Vec<u32>>()] {
            for (width, wanted) in [(1, 1), (1, 2), (1, 4), (1, 8), (2, 2), (2, 4), (2, 8), (4, 4), (4, 8), (8, 8)] {
                let bytes = |number: u32, width: usize| u64::from(number).to_le_bytes()[..width].to_vec();
                let whole: Vec<u8> = numbers.iter().flat_map(|number| bytes(*number, width)).collect();
                let found =
                    gather(&[cells(&[&whole[..7 * width], &whole[7 * width..]], width, wanted)], &asked).unwrap();
                let expected: Vec<u8> = asked.iter().flat_map(|row| bytes(numbers[*row as usize], wanted)).collect();
                assert!(found == [expected], "{width} {wanted}");
            }
        }
    }

    #[test]
    fn pieces_of_any_length_hold_their_rows() {
        let numbers: Vec<u32> = (0..30_000).collect();
        let bytes: Vec<u8> = numbers.iter().flat_map(|cell| cell.to_le_bytes()).collect();
        let mut rest = bytes.as_slice();
        let mut pieces = Vec::new();
        for rows in [1, 0, 4095, 1, 8192, 3, 0, 10_000] {
            let (piece, more) = rest.split_at(rows * 4);
            pieces.push(piece);
            rest = more;
        }
        pieces.push(rest);
        // Few of many rows are looked for by themselves, in pieces and in one.
        let few: Vec<u32> = [4095, 0, 1, 29_999, 4096, 12_288, 12_289, 12_291, 12_292, 4095].to_vec();
        let (of, whole) = (|pieces| cells(pieces, 4, 4), [bytes.as_slice()]);
        let wanted: Vec<u8> = few.iter().flat_map(|cell| cell.to_le_bytes()).collect();
        assert!(Sweep::of(&few, numbers.len()).is_none() && Sweep::of(&numbers, numbers.len()).is_some());
        assert_eq!(gather(&[of(&pieces), of(&whole)], &few).unwrap(), [wanted.clone(), wanted]);
        assert!(gather(&[of(&pieces)], &[30_000]).is_err());
        let found = gather(&[of(&pieces)], &numbers).unwrap();
        assert_eq!(found[0], bytes);
    }

    #[test]
    fn zeros_are_as_many_as_wanted() {
        for bytes in [0, 1, TOUCHED, 2 * TOUCHED + 3] {
            assert!(zeros(bytes) == vec![0; bytes]);
        }
    }

    #[test]
    fn rows_are_counted_and_listed() {
        let times: Vec<u32> = (0..150_000).map(|row| u32::from(row % 7 == 3)).collect();
        let wanted: Vec<u32> = (0..150_000).filter(|row| row % 7 == 3).collect();
        assert_eq!(taken_rows(&times), wanted);
        assert_eq!(taken_rows(&[7_u32; 3]), [0, 1, 2]);
        assert!(taken_rows(&[0_u8; 3]).is_empty() && taken_rows::<u8>(&[]).is_empty());
        assert_eq!(num_different(&[3, 70, 3, 0], 71).unwrap(), 3);
        assert!(num_different(&[200], 71).is_err());
    }

    #[test]
    fn who_leaves_is_noted_once() {
        let (before, after) = ([true, true, false, true], [true, false, false, false]);
        let mut left_at = [0, 0, 4, 0];
        let left = leave(&[1, 4, 4], [&before, &after], &mut left_at, 9).unwrap();
        assert_eq!((left_at, left), ([0, 9, 4, 9], Left { kept: vec![1, 0, 0], dropped: vec![0, 2, 0] }));
        assert!(leave(&[2], [&[true], &[true]], &mut [0], 1).is_err());
        assert!(leave(&[2, 1], [&[true], &[true]], &mut [0], 1).is_err());
        assert!(leave(&[1], [&[true], &[]], &mut [0], 1).is_err());
        assert_eq!(leave(&[], [&[], &[]], &mut [], 1).unwrap(), Left { kept: vec![], dropped: vec![] });
    }

    #[test]
    fn who_leaves_is_counted_by_pool() {
        let rows = 3 * CHUNK + 77;
        // Some pools are empty, and some end within a chunk or with it.
        let ends = [0, 0, 5, CHUNK, CHUNK, CHUNK + 300, 2 * CHUNK + 1, rows, rows].map(|end| end as u64);
        let before: Vec<bool> = (0..rows).map(|row| row % 7 != 2).collect();
        let after: Vec<bool> = (0..rows).map(|row| row % 7 == 2 || (row % 5 != 1 && row / 200 % 2 == 0)).collect();
        let mut left_at = vec![3; rows];
        let left = leave(&ends, [&before, &after], &mut left_at, 8).unwrap();
        let is_gone = |row: usize| before[row] && !after[row];
        assert!(left_at.iter().enumerate().all(|(row, at)| *at == if is_gone(row) { 8 } else { 3 }));
        for (pool, end) in ends.iter().enumerate() {
            let rows = if pool == 0 { 0 } else { ends[pool - 1] as usize }..*end as usize;
            assert_eq!(left.dropped[pool], rows.clone().filter(|row| is_gone(*row)).count() as u64);
            assert_eq!(left.kept[pool], rows.filter(|row| before[*row] && after[*row]).count() as u64);
        }
    }
}
