//! A batch as chunks for threads: rows in the order of the files, and neighbouring ranges as one read.

use std::ops::Range;

use super::Row;
use crate::bounds::MAX_ARCHIVED_BYTES;

/// A chunk is closed when it has so many bytes: enough that handing it over costs little.
const CHUNK_BYTES: u64 = 256 << 10;
/// Or when it has so many pictures that may be files of their own.
const CHUNK_FILES: u32 = 4;
/// Bytes between two ranges that are read for nothing rather than in a read of their own.
const GAP: u64 = 4 << 10;
/// A read has at most so many bytes, unless one record has more.
const RUN_BYTES: u64 = 4 << 20;

/// A read: a range of a source, for the rows of a range of the chunk's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub source: u32,
    pub offset: u64,
    pub length: u64,
    pub rows: Range<usize>,
}

/// A row by its place in its batch.
pub type Placed = (usize, Row);

/// Rows of a batch, in the order of the files, and the reads that bring them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    pub rows: Vec<Placed>,
    /// Ranges that touch, overlap or nearly touch are one.
    pub runs: Vec<Run>,
    /// The bytes that the runs read.
    pub bytes: u64,
    /// Rows that are longer than any record that was compiled, and are not read.
    pub odd: Vec<Placed>,
}

impl Part {
    fn add(&mut self, place: usize, row: Row) {
        if row.length > MAX_ARCHIVED_BYTES as u64 {
            self.odd.push((place, row));
            return;
        }
        self.rows.push((place, row));
        let (count, end) = (self.rows.len(), row.offset.saturating_add(row.length));
        if let Some(last) = self.runs.last_mut() {
            let last_end = last.offset + last.length;
            let whole = end.max(last_end) - last.offset;
            let near = row.offset <= last_end.saturating_add(GAP);
            let inside = end <= last_end;
            if row.source == last.source && near && (whole <= RUN_BYTES || inside) {
                self.bytes += whole - last.length;
                last.length = whole;
                last.rows.end = count;
                return;
            }
        }
        self.bytes += end - row.offset;
        self.runs.push(Run {
            source: row.source,
            offset: row.offset,
            length: end - row.offset,
            rows: count - 1..count,
        });
    }
}

/// The chunks of a batch. `beside` tells whether the pictures of a source may lie beside its records.
pub fn parts(rows: &[Row], beside: &dyn Fn(u32) -> bool) -> Vec<Part> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_unstable_by_key(|place| (rows[*place].source, rows[*place].offset, *place));
    let mut parts = Vec::new();
    let mut open = Part::default();
    let (mut bytes, mut files) = (0_u64, 0_u32);
    for place in order {
        let row = rows[place];
        bytes = bytes.saturating_add(row.length);
        files = files.saturating_add(if beside(row.source) { row.images } else { 0 });
        open.add(place, row);
        if bytes >= CHUNK_BYTES || files >= CHUNK_FILES {
            parts.push(std::mem::take(&mut open));
            (bytes, files) = (0, 0);
        }
    }
    if !open.rows.is_empty() || !open.odd.is_empty() {
        parts.push(open);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(source: u32, offset: u64, length: u64) -> Row {
        Row { source, offset, length, images: 1, id: None }
    }

    #[test]
    fn every_row_lies_in_the_run_that_names_it() {
        let rows: Vec<Row> =
            (0..200_u64).map(|n| row((n % 3) as u32, n * 7919 % 50_000, 100 + n * 131 % 9000)).collect();
        let parts = parts(&rows, &|source| source == 1);
        let mut seen: Vec<usize> = parts.iter().flat_map(|part| part.rows.iter().map(|(place, _)| *place)).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..200).collect::<Vec<_>>());
        for part in &parts {
            let runs = &part.runs;
            assert_eq!(runs.iter().map(|run| run.length).sum::<u64>(), part.bytes);
            assert_eq!(
                runs.iter().flat_map(|run| run.rows.clone()).collect::<Vec<_>>(),
                (0..part.rows.len()).collect::<Vec<_>>()
            );
            for run in runs {
                for (place, found) in &part.rows[run.rows.clone()] {
                    assert_eq!(*found, rows[*place]);
                    assert!(found.source == run.source && found.offset >= run.offset);
                    assert!(found.offset + found.length <= run.offset + run.length);
                }
            }
        }
    }

    #[test]
    fn neighbours_are_one_read_and_strangers_are_not() {
        let found =
            parts(&[row(0, 100, 50), row(0, 0, 100), row(0, 150, 10), row(0, 90_000, 1), row(1, 160, 1)], &|_| false);
        assert_eq!(found.len(), 1);
        let runs: Vec<_> = found[0].runs.iter().map(|run| (run.source, run.offset, run.length)).collect();
        assert_eq!(runs, [(0, 0, 160), (0, 90_000, 1), (1, 160, 1)]);
    }

    #[test]
    fn no_row_is_too_long_to_be_planned() {
        let found = parts(&[row(0, u64::MAX - 1, u64::MAX), row(0, u64::MAX, 0)], &|_| false);
        assert_eq!(found.iter().map(|part| part.rows.len() + part.odd.len()).sum::<usize>(), 2);
    }
}
