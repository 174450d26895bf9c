//! Cells of rows in any order, read in the order in which they lie.
//!
//! Where many rows of a large column are asked for, nearly every line of its memory is: read from the front it comes by
//! itself, while each line that is asked for by itself is waited for, and may be asked for again. What was read lies close
//! together, so that it costs little to put it in the order that is asked for.

use rayon::prelude::*;

use crate::table::apart;

/// One row in so many is enough to read a column from the front.
const SPARSE: usize = 64;
/// Rows that one task works on.
const ROWS: usize = 1 << 14;
/// Words of marks that one task lists.
const WORDS: usize = 1 << 10;

/// A bit for each row below `height`, set for these rows; None where one is beyond.
pub(crate) fn marked(rows: &[u32], height: usize) -> Option<Vec<u64>> {
    let none = || vec![0_u64; height.div_ceil(64)];
    // Each task marks in memory of its own: no two write to the same line.
    let own = |rows: &[u32]| {
        let mut marks = none();
        for row in rows {
            *marks.get_mut(*row as usize / 64).filter(|_| (*row as usize) < height)? |= 1 << (row % 64);
        }
        Some(marks)
    };
    let either = |mut marks: Vec<u64>, more: Vec<u64>| {
        marks.iter_mut().zip(more).for_each(|(mark, more)| *mark |= more);
        Some(marks)
    };
    rows.par_chunks(rows.len().div_ceil(rayon::current_num_threads()).max(ROWS)).map(own).try_reduce(none, either)
}

/// Rows that are asked for.
pub(crate) struct Sweep {
    /// Each once, in order.
    rows: Vec<u32>,
    /// Which of these each is that is asked for.
    places: Vec<u32>,
}

impl Sweep {
    /// None where there are few of them, or one beyond the `height` of the table.
    pub(crate) fn of(asked: &[u32], height: usize) -> Option<Self> {
        if asked.len() < height / SPARSE {
            return None;
        }
        let marks = marked(asked, height)?;
        let mut total = 0;
        let before = |mark: &u64| {
            let before = total;
            total += mark.count_ones();
            before
        };
        let before: Vec<u32> = marks.iter().map(before).collect();
        let place = |row: &u32| {
            let (word, bit) = (*row as usize / 64, row % 64);
            before[word] + (marks[word] & ((1 << bit) - 1)).count_ones()
        };
        let mut rows = vec![0; total as usize];
        let sizes = marks.chunks(WORDS).map(|marks| marks.iter().map(|mark| mark.count_ones() as usize).sum());
        let tasks = apart(&mut rows, sizes).into_par_iter().zip(marks.par_chunks(WORDS)).enumerate();
        tasks.for_each(|(chunk, (rows, marks))| {
            let set = (chunk * WORDS..).zip(marks).flat_map(|(word, mark)| bits(*mark).map(move |bit| (word, bit)));
            for (row, (word, bit)) in rows.iter_mut().zip(set) {
                *row = word as u32 * 64 + bit;
            }
        });
        Some(Self { rows, places: asked.par_iter().with_min_len(ROWS).map(place).collect() })
    }

    /// What is told of each row that is asked for.
    pub(crate) fn each<T: Copy + Send + Sync>(&self, told: impl Fn(&u32) -> T + Sync + Send) -> Vec<T> {
        let read: Vec<T> = self.rows.par_iter().with_min_len(ROWS).map(told).collect();
        self.places.par_iter().with_min_len(ROWS).map(|place| read[*place as usize]).collect()
    }

    /// What is made of the cells of the rows that are asked for; None where the pieces have not all of them.
    pub(crate) fn cells<const WIDTH: usize, T: Send>(
        &self,
        pieces: &[&[[u8; WIDTH]]],
        made: impl Fn(&[u8; WIDTH]) -> T + Sync,
    ) -> Option<Vec<T>> {
        let (mut tasks, mut rest, mut start) = (Vec::new(), self.rows.as_slice(), 0);
        for piece in pieces {
            let end = start + piece.len();
            let (own, more) = rest.split_at(rest.partition_point(|row| (*row as usize) < end));
            tasks.extend(own.chunks(ROWS).map(|rows| (*piece, start, rows)));
            (rest, start) = (more, end);
        }
        if !rest.is_empty() {
            return None;
        }
        let mut read = vec![[0; WIDTH]; self.rows.len()];
        let sizes: Vec<usize> = tasks.iter().map(|(.., rows)| rows.len()).collect();
        apart(&mut read, sizes).into_par_iter().zip(tasks).for_each(|(read, (piece, start, rows))| {
            for (read, row) in read.iter_mut().zip(rows) {
                *read = piece[*row as usize - start];
            }
        });
        Some(self.places.par_iter().with_min_len(ROWS).map(|place| made(&read[*place as usize])).collect())
    }
}

/// The bits that are set, lowest first.
fn bits(mut mark: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (mark > 0).then(|| mark.trailing_zeros());
        mark &= mark.wrapping_sub(1);
        bit
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_many_rows_are_those_that_were_asked_for() {
        let column: Vec<[u8; 4]> = (0..200_003_u32).map(|row| row.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
        for (step, asked) in [(1, 200_003), (7, 40_000), (77_777, 150_000), (3, 5_u64)] {
            let rows: Vec<u32> = (0..asked).map(|at| (at * step % 200_003) as u32).collect();
            let sweep = Sweep::of(&rows, column.len());
            assert_eq!(sweep.is_some(), asked > 5);
            let Some(sweep) = sweep else { continue };
            let (front, back) = column.split_at(70_001);
            let pieces = [front, &[], back];
            let wanted = rows.iter().map(|row| &column[*row as usize]);
            assert!(sweep.cells(&pieces, |cell| *cell).unwrap().iter().eq(wanted));
            assert!(sweep.cells(&pieces[..1], |cell| *cell).is_none());
            assert!(sweep.each(|row| column[*row as usize]).iter().eq(rows.iter().map(|row| &column[*row as usize])));
        }
        assert!(Sweep::of(&[3, 2], 3).is_none());
        assert!(Sweep::of(&[], 0).is_some_and(|sweep| sweep.rows.is_empty()));
    }
}
