//! Identities of files, of tables of rows, and of sets of samples.

use std::path::Path;

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::container::Stream;
use crate::error::{CoreError, Result};
use crate::rank::by_hash;

pub type Digest = [u8; 32];

/// From this many bytes on, BLAKE3 asks other threads: fewer are hashed before those have begun, and shards go side by side.
const PARALLEL: usize = 1 << 22;
/// Rows whose cells are brought together at once.
const BLOCK: usize = 1 << 8;

/// BLAKE3 of a file's bytes.
pub fn file(path: &Path) -> Result<Digest> {
    // Wide enough for all cores, and all of the file that is in memory at a time.
    const WINDOW: usize = 1 << 25;
    let stream = Stream::open(path)?;
    let mut hasher = blake3::Hasher::new();
    for (position, window) in stream.bytes().chunks(WINDOW).enumerate() {
        hasher.update_rayon(window);
        stream.release(position * WINDOW..position * WINDOW + window.len());
    }
    Ok(*hasher.finalize().as_bytes())
}

/// A digest of byte strings under a name of its own; each string is preceded by its length.
pub fn parts<'a>(domain: &str, parts: impl IntoIterator<Item = &'a [u8]>) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key(&format!("recipe compiler 1 {domain}"));
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        if part.len() < PARALLEL {
            hasher.update(part);
        } else {
            hasher.update_rayon(part);
        }
    }
    *hasher.finalize().as_bytes()
}

/// A digest of ids in no order, and how many different ones there are.
pub fn multiset(domain: &str, ids: &[[u8; 16]]) -> Result<(Digest, usize)> {
    if u32::try_from(ids.len()).is_err() {
        return Err(CoreError::Contract("more ids than there can be rows".to_owned()));
    }
    // Ids are hashes: what is sorted first are their first bytes, as a number.
    let first = |at: usize| ids[at].first_chunk().map(|first| u64::from_be_bytes(*first));
    let order = by_hash(ids.len(), 0, u64::MAX, first, |at| ids[at as usize]);
    let sorted: Vec<[u8; 16]> = order.into_par_iter().with_min_len(1 << 14).map(|at| ids[at as usize]).collect();
    let repeats = sorted.par_windows(2).filter(|pair| pair[0] == pair[1]).count();
    let bytes = sorted.as_flattened();
    Ok((parts(domain, (!bytes.is_empty()).then_some(bytes)), ids.len() - repeats))
}

/// A checksum of each row of a table: its cells, column after column, as little-endian bytes.
///
/// `columns[k]` holds `widths[k]` bytes for each row. The checksums say which row of a damaged table is damaged.
pub fn row_checks(columns: &[&[u8]], widths: &[usize]) -> Result<Vec<u32>> {
    let bad = || CoreError::Contract("columns of different lengths".to_owned());
    let rows = match (columns.first(), widths.first()) {
        (Some(column), Some(width)) if *width > 0 => column.len() / width,
        _ => return Ok(Vec::new()),
    };
    let fits =
        columns.len() == widths.len() && columns.iter().zip(widths).all(|(column, width)| column.len() == rows * width);
    if !fits {
        return Err(bad());
    }
    let size: usize = widths.iter().sum();
    let mut checks = vec![0; rows];
    checks.par_chunks_mut(BLOCK).enumerate().for_each_init(
        || vec![0; size * BLOCK],
        |bytes, (block, checks)| {
            let (first, mut from) = (block * BLOCK, 0);
            for (column, width) in columns.iter().zip(widths) {
                let cells = &column[first * width..(first + checks.len()) * width];
                // By number, so that a cell is copied at once.
                match width {
                    1 => spread::<1>(cells, &mut bytes[from..], size),
                    2 => spread::<2>(cells, &mut bytes[from..], size),
                    4 => spread::<4>(cells, &mut bytes[from..], size),
                    8 => spread::<8>(cells, &mut bytes[from..], size),
                    16 => spread::<16>(cells, &mut bytes[from..], size),
                    _ => {
                        let rows = bytes[from..].chunks_mut(size);
                        rows.zip(cells.chunks((*width).max(1)))
                            .for_each(|(row, cell)| row[..*width].copy_from_slice(cell));
                    }
                }
                from += width;
            }
            for (check, row) in checks.iter_mut().zip(bytes.chunks(size)) {
                *check = xxh3_64_with_seed(row, 0) as u32;
            }
        },
    );
    Ok(checks)
}

/// Cells of one width to the beginnings of rows of `size` bytes.
fn spread<const WIDTH: usize>(cells: &[u8], rows: &mut [u8], size: usize) {
    for (row, cell) in rows.chunks_mut(size).zip(cells.as_chunks::<WIDTH>().0) {
        row[..WIDTH].copy_from_slice(cell);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(parts("x", [&b"ab"[..], b"c"]), parts("x", [&b"a"[..], b"bc"]));
        assert_ne!(parts("x", [&b"a"[..]]), parts("y", [&b"a"[..]]));
    }

    #[test]
    fn ids_are_digested_in_their_order_whatever_that_of_the_rows() {
        // Ids that begin alike, and some twice.
        let mut ids: Vec<[u8; 16]> =
            (0..900_u128).map(|id| (((id % 7) << 64) | (id * 37 % 400)).to_be_bytes()).collect();
        let (found, different) = multiset("x", &ids).unwrap();
        ids.sort_unstable();
        assert_eq!(found, parts("x", [ids.as_flattened()]));
        ids.dedup();
        assert_eq!(different, ids.len());
    }

    #[test]
    fn a_changed_cell_changes_its_row_alone() {
        let before = row_checks(&[&[1, 2, 3], &[0, 0, 0, 0, 0, 0]], &[1, 2]).unwrap();
        let after = row_checks(&[&[1, 2, 3], &[0, 0, 0, 9, 0, 0]], &[1, 2]).unwrap();
        assert_eq!(before[0], after[0]);
        assert_ne!(before[1], after[1]);
        assert_eq!(before[2], after[2]);
        assert!(row_checks(&[&[1, 2, 3], &[0]], &[1, 2]).is_err());
    }
}
