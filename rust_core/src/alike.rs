//! Which rows of a list are other than the row before them.

use rayon::prelude::*;

use crate::error::{CoreError, Result};
use crate::table::Find;
use crate::texts::Views;

/// Rows that one task works on.
const CHUNK: usize = 1 << 13;

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

    /// Whether two rows, by piece and place, hold the same.
    fn same(&self, a: (usize, usize), b: (usize, usize)) -> bool {
        match self {
            Column::Cells(pieces, width) => {
                let cell = |(piece, at): (usize, usize)| &pieces[piece][at * width..(at + 1) * width];
                cell(a) == cell(b)
            }
            Column::Texts(pieces) => pieces[a.0].get(a.1) == pieces[b.0].get(b.1),
        }
    }
}

/// Marks those of some rows, of the ones that are `asked`, that differ from the row before them in any of the columns.
pub fn differs(columns: &[Column<'_>], rows: &[u32], asked: &[bool]) -> Result<Vec<bool>> {
    let finds: Vec<Find> = columns.iter().map(|column| Find::new(column.sizes().into_iter())).collect();
    let there = finds.iter().all(|find| rows.par_iter().all(|row| find.place(*row).is_some()));
    if !there || asked.len() != rows.len() || asked.first() == Some(&true) {
        return Err(CoreError::Contract("rows that are not there, or none before one that is asked".to_owned()));
    }
    let mut differs = vec![false; rows.len()];
    differs.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, differs)| {
        // Column by column: what is near in memory is looked at together.
        for (column, find) in columns.iter().zip(&finds) {
            for (at, differs) in (chunk * CHUNK..).zip(&mut *differs) {
                if asked[at] && !*differs {
                    let places = [rows[at - 1], rows[at]].map(|row| find.place(row).unwrap_or_default());
                    *differs = !column.same(places[0], places[1]);
                }
            }
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
}
