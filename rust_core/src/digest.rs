//! Identities of files, of tables of rows, and of sets of samples.

use std::path::Path;

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::container::Stream;
use crate::error::{CoreError, Result};

pub type Digest = [u8; 32];

/// From this many bytes on, BLAKE3 is faster on several threads (its documentation says 128 KiB).
const PARALLEL: usize = 1 << 17;

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
pub fn multiset(domain: &str, ids: &[[u8; 16]]) -> (Digest, usize) {
    let mut sorted = ids.to_vec();
    sorted.par_sort_unstable();
    let distinct = sorted.chunk_by(|a, b| a == b).count();
    let bytes = sorted.as_flattened();
    (parts(domain, (!bytes.is_empty()).then_some(bytes)), distinct)
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
    let size = widths.iter().sum();
    Ok((0..rows)
        .into_par_iter()
        .with_min_len(1 << 14)
        .map_init(
            || Vec::with_capacity(size),
            |row_bytes, row| {
                row_bytes.clear();
                for (column, width) in columns.iter().zip(widths) {
                    row_bytes.extend_from_slice(&column[row * width..(row + 1) * width]);
                }
                xxh3_64_with_seed(row_bytes, 0) as u32
            },
        )
        .collect())
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
    fn a_changed_cell_changes_its_row_alone() {
        let before = row_checks(&[&[1, 2, 3], &[0, 0, 0, 0, 0, 0]], &[1, 2]).unwrap();
        let after = row_checks(&[&[1, 2, 3], &[0, 0, 0, 9, 0, 0]], &[1, 2]).unwrap();
        assert_eq!(before[0], after[0]);
        assert_ne!(before[1], after[1]);
        assert_eq!(before[2], after[2]);
        assert!(row_checks(&[&[1, 2, 3], &[0]], &[1, 2]).is_err());
    }
}
