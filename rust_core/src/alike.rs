//! Which rows of a list are other than the row before them.

use rayon::prelude::*;

use crate::error::{CoreError, Result};
use crate::table::Find;
use crate::texts::Views;

/// Rows that one task works on.
const CHUNK: usize = 1 << 12;

/// A column in pieces: cells of so many bytes, or texts.
pub enum Column<'a> {
    Cells(Vec<&'a [u8]>, usize),
    Texts(Vec<Views<'a>>),
}

impl Column<'_> {
    fn sizes(&self) -> Vec<usize> {
        match self {
            Column::Cells(pieces, width) => pieces.iter().map(|piece| piece.len() / (*width).max(1)).collect(),
            Column::Texts(pieces) => pieces.iter().map(|piece| piece.views.len()).collect(),
        }
    }

    /// Keeps the pairs of rows that hold the same.
    fn keep_same(&self, pairs: &mut Vec<Pair>) {
        match self {
            Column::Cells(pieces, 1) => keep_same_cells::<1>(pieces, pairs),
            Column::Cells(pieces, 2) => keep_same_cells::<2>(pieces, pairs),
            Column::Cells(pieces, 4) => keep_same_cells::<4>(pieces, pairs),
            Column::Cells(pieces, 8) => keep_same_cells::<8>(pieces, pairs),
            Column::Cells(pieces, width) => {
                let cell = |(piece, at): Place| &pieces[piece as usize][at as usize * width..][..*width];
                pairs.retain(|pair| cell(pair.before) == cell(pair.row));
            }
            Column::Texts(pieces) => {
                let text = |(piece, at): Place| pieces[piece as usize].get(at as usize);
                pairs.retain(|pair| text(pair.before) == text(pair.row));
            }
        }
    }
}

fn keep_same_cells<const WIDTH: usize>(pieces: &[&[u8]], pairs: &mut Vec<Pair>) {
    let pieces: Vec<&[[u8; WIDTH]]> = pieces.iter().map(|piece| piece.as_chunks::<WIDTH>().0).collect();
    let cell = |(piece, at): Place| &pieces[piece as usize][at as usize];
    pairs.retain(|pair| cell(pair.before) == cell(pair.row));
}

/// (piece, place in it)
type Place = (u32, u32);

/// A row that is asked for, by its place in the list, and where it and the one before it lie.
struct Pair {
    at: usize,
    before: Place,
    row: Place,
}

/// Marks those of some rows, of the ones that are `asked`, that differ from the row before them in any of the columns.
pub fn differs(columns: &[Column<'_>], rows: &[u32], asked: &[bool]) -> Result<Vec<bool>> {
    // Most columns of a table have pieces of the same sizes, and so the same places.
    let mut alike: Vec<(Vec<usize>, Vec<&Column<'_>>)> = Vec::new();
    for column in columns {
        let sizes = column.sizes();
        match alike.iter_mut().find(|(known, _)| *known == sizes) {
            Some((_, columns)) => columns.push(column),
            None => alike.push((sizes, vec![column])),
        }
    }
    let rows_there = alike.iter().all(|(sizes, _)| {
        let num = sizes.iter().sum::<usize>();
        rows.par_iter().with_min_len(CHUNK).all(|row| (*row as usize) < num)
    });
    if !rows_there || asked.len() != rows.len() || asked.first() == Some(&true) {
        return Err(CoreError::Contract("rows that are not there, or none before one that is asked".to_owned()));
    }
    let alike: Vec<(Find, Vec<&Column<'_>>)> =
        alike.into_iter().map(|(sizes, columns)| (Find::new(sizes.into_iter()), columns)).collect();
    let mut differs = vec![false; rows.len()];
    differs.par_chunks_mut(CHUNK).enumerate().for_each_init(Vec::new, |pairs, (chunk, differs)| {
        let first = chunk * CHUNK;
        differs.copy_from_slice(&asked[first..][..differs.len()]);
        let is_asked = |(at, asked): (usize, &bool)| asked.then_some(Pair { at, before: (0, 0), row: (0, 0) });
        pairs.clear();
        pairs.extend(differs.iter().enumerate().filter_map(is_asked));
        for (find, columns) in &alike {
            let place = |at: usize| find.place(rows[at]).map_or((0, 0), |(piece, at)| (piece as u32, at as u32));
            for pair in &mut *pairs {
                (pair.before, pair.row) = (place(first + pair.at - 1), place(first + pair.at));
            }
            // Column by column: what is near in memory is looked at together.
            for column in columns {
                column.keep_same(pairs);
            }
        }
        for pair in pairs {
            differs[pair.at] = false;
        }
    });
    Ok(differs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(text: &str) -> [u8; 16] {
        let mut view = [0; 16];
        view[0] = text.len() as u8;
        view[4..4 + text.len()].copy_from_slice(text.as_bytes());
        view
    }

    #[test]
    fn rows_are_compared_with_those_before_them() {
        let texts = [["a", "b"], ["a", "a"]].map(|texts| texts.map(view));
        let pieces = |valid| {
            vec![Views { views: &texts[0], valid, data: vec![] }, Views { views: &texts[1], valid: None, data: vec![] }]
        };
        let cells = || Column::Cells(vec![&[1, 0, 1, 0], &[], &[1, 0, 1, 9]], 2);
        let of = |columns: &[Column<'_>], rows: &[u32]| {
            let asked: Vec<bool> = (0..rows.len()).map(|at| at > 0).collect();
            differs(columns, rows, &asked)
        };
        assert_eq!(of(&[cells()], &[0, 1, 3, 3, 2]).unwrap(), [false, false, true, false, true]);
        assert_eq!(of(&[Column::Texts(pieces(None))], &[0, 1, 2, 3]).unwrap(), [false, true, true, false]);
        assert_eq!(of(&[Column::Texts(pieces(None)), cells()], &[0, 2, 3]).unwrap(), [false, false, true]);
        // A missing text is like no text that is there.
        let missing = pieces(Some((&[0b10], 0)));
        assert_eq!(of(&[Column::Texts(missing)], &[2, 0, 0]).unwrap(), [false, true, false]);
        assert_eq!(differs(&[cells()], &[0, 3], &[false, false]).unwrap(), [false, false]);
        assert!(of(&[cells()], &[4]).is_err() && differs(&[], &[0], &[true]).is_err());
    }

    /// In pieces, some of which have the same sizes as those of other columns.
    fn cells((bytes, width): &(Vec<u8>, usize)) -> Column<'_> {
        let cuts = [0, 7, 7, CHUNK + usize::from(*width > 2), bytes.len() / width];
        Column::Cells(cuts.windows(2).map(|cut| &bytes[cut[0] * width..cut[1] * width]).collect(), *width)
    }

    #[test]
    fn many_rows_are_compared_in_columns_of_any_pieces() {
        let num = 3 * CHUNK + 5;
        // Rows differ in the last byte of a cell, by a bit of chance for each column.
        let kind =
            |row: usize, width: usize| ((row * row).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (40 + width) & 1) as u8;
        let bytes = |width: usize| {
            (0..num).flat_map(move |row| (0..width).map(move |at| kind(row, width) * u8::from(at + 1 == width)))
        };
        let columns = [1, 2, 3, 4, 8].map(|width| (bytes(width).collect::<Vec<u8>>(), width));
        let rows: Vec<u32> = (0..2 * num).map(|at| (at * 7919 % num) as u32).collect();
        let asked: Vec<bool> = (0..rows.len()).map(|at| at > 0 && at % 3 != 1).collect();
        for these in [&columns[..], &columns[..1], &columns[2..3], &columns[4..]] {
            let same = |at: usize, width: usize| kind(rows[at - 1] as usize, width) == kind(rows[at] as usize, width);
            let is_other = |at: usize| asked[at] && these.iter().any(|(_, width)| !same(at, *width));
            let wanted: Vec<bool> = (0..rows.len()).map(is_other).collect();
            assert!(differs(&these.iter().map(cells).collect::<Vec<_>>(), &rows, &asked).unwrap() == wanted);
            assert!(wanted.contains(&true) && (0..rows.len()).any(|at| asked[at] && !wanted[at]));
        }
    }
}
