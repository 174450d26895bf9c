//! Rows that are the same in every column that matters.

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_128;

use crate::error::{CoreError, Result};

// Only looked up, never iterated over: numbers are given in the order of the rows.
#[expect(clippy::disallowed_types, reason = "lookups alone")]
type Numbers = std::collections::HashMap<u128, u32>;

const CHUNK: usize = 1 << 16;
/// Combinations that fit in a table of a cache's size.
const FEW: usize = 1 << 16;

/// The cells of one chunk: the local number of each row, and the name and first row of each local number.
type Local = (Vec<u32>, Vec<(u128, u32)>);

/// Numbers the different combinations of values of the rows that are `alive`, by the first row that has each.
///
/// Gives the number of each row (that of dead rows means nothing) and the first row of each number.
pub fn cells(columns: &[&[u32]], alive: &[bool]) -> Result<(Vec<u32>, Vec<u32>)> {
    let rows = alive.len();
    if columns.iter().any(|column| column.len() != rows) || u32::try_from(rows).is_err() {
        return Err(CoreError::Contract("columns of different lengths, or too many rows".to_owned()));
    }
    if let Some(found) = few(columns, alive) {
        return Ok(found);
    }
    let chunks: Vec<Local> =
        (0..rows.div_ceil(CHUNK)).into_par_iter().map(|chunk| chunk_cells(columns, alive, chunk * CHUNK)).collect();
    let mut numbers = Numbers::default();
    let mut firsts = Vec::new();
    let globals: Vec<Vec<u32>> = chunks
        .iter()
        .map(|(_, found)| {
            let number = |(name, row): &(u128, u32)| {
                *numbers.entry(*name).or_insert_with(|| {
                    firsts.push(*row);
                    firsts.len() as u32 - 1
                })
            };
            found.iter().map(number).collect()
        })
        .collect();
    let cell = chunks
        .par_iter()
        .zip(&globals)
        .flat_map_iter(|((local, _), global)| {
            local.iter().map(|local| global.get(*local as usize).copied().unwrap_or(0))
        })
        .collect();
    Ok((cell, firsts))
}

/// The same where there are so few combinations that each has a place in a table.
fn few(columns: &[&[u32]], alive: &[bool]) -> Option<(Vec<u32>, Vec<u32>)> {
    let mut size = 1;
    let mut places = Vec::with_capacity(columns.len());
    for column in columns {
        places.push((*column, size));
        let values = column.par_iter().max().map_or(1, |most| *most as usize + 1);
        size = values.checked_mul(size).filter(|size| *size <= FEW)?;
    }
    let place = |row: usize| places.iter().map(|(column, step)| column[row] as usize * step).sum::<usize>();
    let none = || vec![u32::MAX; size];
    let firsts = (0..alive.len())
        .into_par_iter()
        .with_min_len(CHUNK)
        .filter(|row| alive[*row])
        .fold(none, |mut firsts, row| {
            // Rows come in order here, and after the first of a place nothing is written.
            let first = &mut firsts[place(row)];
            if *first == u32::MAX {
                *first = row as u32;
            }
            firsts
        })
        .reduce(none, |firsts, more| firsts.into_iter().zip(more).map(|(first, other)| first.min(other)).collect());
    let mut order: Vec<usize> = (0..size).filter(|place| firsts[*place] != u32::MAX).collect();
    order.sort_unstable_by_key(|place| firsts[*place]);
    let mut numbers = vec![0; size];
    for (number, place) in order.iter().enumerate() {
        numbers[*place] = number as u32;
    }
    let cell = (0..alive.len()).into_par_iter().with_min_len(CHUNK).map(|row| numbers[place(row)]).collect();
    Some((cell, order.iter().map(|place| firsts[*place]).collect()))
}

fn chunk_cells(columns: &[&[u32]], alive: &[bool], start: usize) -> Local {
    let end = alive.len().min(start + CHUNK);
    let mut names = vec![0_u8; (end - start) * columns.len() * 4];
    let width = columns.len() * 4;
    for (number, column) in columns.iter().enumerate() {
        for (row, value) in column[start..end].iter().enumerate() {
            let at = row * width + number * 4;
            names[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
    }
    let mut known = Numbers::default();
    let mut found = Vec::new();
    let local = (start..end)
        .map(|row| {
            if !alive[row] {
                return u32::MAX;
            }
            let name = xxh3_128(&names[(row - start) * width..(row - start + 1) * width]);
            *known.entry(name).or_insert_with(|| {
                found.push((name, row as u32));
                found.len() as u32 - 1
            })
        })
        .collect();
    (local, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_rows_have_one_number_across_chunks() {
        let rows = CHUNK * 2 + 77;
        let alive: Vec<bool> = (0..rows).map(|row| row % 13 != 0).collect();
        let a: Vec<u32> = (0..rows as u32).map(|row| row % 3).collect();
        for scale in [1, 1 << 20] {
            let b: Vec<u32> = (0..rows as u32).map(|row| row / 7 % 5 * scale).collect();
            let (cell, firsts) = cells(&[&a, &b], &alive).unwrap();
            assert_eq!(firsts.len(), 15);
            for row in (0..rows).filter(|row| alive[*row]) {
                let first = firsts[cell[row] as usize] as usize;
                assert!(first <= row && alive[first]);
                assert_eq!((a[row], b[row]), (a[first], b[first]));
            }
            assert!(firsts.is_sorted());
        }
        assert_eq!(cells(&[], &[true, true]).unwrap(), (vec![0, 0], vec![0]));
        assert!(cells(&[&a], &[true]).is_err());
    }
}
