//! Nearest neighbours: every two vectors are compared once, in whole numbers.
//!
//! Sixteen vectors stand side by side in a panel, so that the 256 sums of two panels are made in registers. Two blocks of
//! panels are one task, which serves the rows of both. A row keeps the best of all others in a total order, so that it does
//! not matter which task is done first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::embed::{Vectors, WHOLE};

/// Vectors of a panel, and what they have side by side: two numbers each.
const LANES: usize = 16;
type Step = [[i16; 2]; LANES];
/// The similarities of each vector of a panel to each of another one.
type Tile = [[i32; LANES]; LANES];
/// Panels of a block: two blocks of vectors of 512 numbers are 256 KiB.
const PANELS: usize = 8;
const ROWS: usize = LANES * PANELS;
/// Vectors of a panel that are compared to another panel at a time: their sums take eight registers of sixteen.
const TOGETHER: usize = 4;

/// The `most` nearest others of each vector, nearest first and the earlier of equals, and their similarities.
///
/// All vectors have the same number of them: `min(most, vectors - 1)`.
pub fn nearest(vectors: Vectors<'_>, most: usize) -> (Vec<u32>, Vec<i32>) {
    let rows = vectors.len();
    let most = most.min(rows.saturating_sub(1));
    let steps = vectors.numbers().div_ceil(2);
    let panels = side_by_side(vectors, steps);
    let blocks: Vec<&[Step]> = panels.chunks(PANELS * steps).collect();
    let kept: Vec<_> = (0..blocks.len()).map(|block| Mutex::new(Kept::new(block * ROWS, rows, most))).collect();
    let offer = |block: usize, tiles: &[(usize, usize, Tile)]| {
        let mut kept = kept[block].lock().unwrap_or_else(PoisonError::into_inner);
        for (row, other, tile) in tiles {
            kept.offer(*row, *other, tile);
        }
    };
    (0..blocks.len()).into_par_iter().flat_map_iter(|one| (one..blocks.len()).map(move |other| (one, other))).for_each(
        |(one, other)| {
            let mut tiles = compared((one * ROWS, blocks[one]), (other * ROWS, blocks[other]), steps);
            offer(one, &tiles);
            if one != other {
                for (row, other, tile) in &mut tiles {
                    (*row, *other, *tile) = (*other, *row, turned(tile));
                }
                offer(other, &tiles);
            }
        },
    );
    kept.into_iter().flat_map(|kept| kept.into_inner().unwrap_or_else(PoisonError::into_inner).best()).unzip()
}

/// Vectors in panels of `steps` steps. What is left of the last step and of the last panel is 0.
fn side_by_side(vectors: Vectors<'_>, steps: usize) -> Vec<Step> {
    let mut panels = vec![Step::default(); vectors.len().div_ceil(LANES) * steps];
    panels.par_chunks_exact_mut(steps).enumerate().for_each(|(panel, out)| {
        for (lane, row) in (panel * LANES..vectors.len().min((panel + 1) * LANES)).enumerate() {
            for (step, two) in out.iter_mut().zip(vectors.at(row).chunks(2)) {
                step[lane] = [two[0], two.get(1).copied().unwrap_or_default()];
            }
        }
    });
    panels
}

/// (first row, first other row, their similarities) for the panels of two blocks, which begin at these rows.
fn compared(
    (row, block): (usize, &[Step]),
    (beside, others): (usize, &[Step]),
    steps: usize,
) -> Vec<(usize, usize, Tile)> {
    let panels = |first: usize, block| (first..).step_by(LANES).zip(<[Step]>::chunks_exact(block, steps));
    panels(beside, others)
        .flat_map(|(other, there)| panels(row, block).map(move |(row, here)| (row, other, similarities(here, there))))
        .collect()
}

/// Whole numbers: wide registers give what narrow ones do.
fn similarities(one: &[Step], other: &[Step]) -> Tile {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor was asked whether it has them.
        #[allow(unsafe_code)]
        return unsafe { similarities_wide(one, other) };
    }
    similarities_narrow(one, other)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn similarities_wide(one: &[Step], other: &[Step]) -> Tile {
    use std::arch::x86_64::{__m256i, _mm256_add_epi32, _mm256_madd_epi16, _mm256_set1_epi32, _mm256_setzero_si256};

    let mut tile = Tile::default();
    for (first, tile) in (0..LANES).step_by(TOGETHER).zip(tile.as_chunks_mut::<TOGETHER>().0) {
        let mut sums = [[_mm256_setzero_si256(); 2]; TOGETHER];
        for (one, other) in one.iter().zip(other) {
            let halves: [__m256i; 2] = bytemuck::cast(*other);
            for (lane, sums) in (first..).zip(&mut sums) {
                let two = _mm256_set1_epi32(bytemuck::cast(one[lane]));
                // A pair of products fits: -32,768 is in no vector.
                sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(two, halves[0]));
                sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(two, halves[1]));
            }
        }
        *tile = sums.map(|sums| bytemuck::cast::<_, [i32; LANES]>(sums).map(|sum| sum.clamp(-WHOLE, WHOLE)));
    }
    tile
}

fn similarities_narrow(one: &[Step], other: &[Step]) -> Tile {
    let mut tile = Tile::default();
    for (one, other) in one.iter().zip(other) {
        for (one, sums) in one.iter().zip(&mut tile) {
            for (other, sum) in other.iter().zip(sums) {
                *sum += i32::from(one[0]) * i32::from(other[0]) + i32::from(one[1]) * i32::from(other[1]);
            }
        }
    }
    tile.map(|sums| sums.map(|sum| sum.clamp(-WHOLE, WHOLE)))
}

fn turned(tile: &Tile) -> Tile {
    std::array::from_fn(|row| std::array::from_fn(|other| tile[other][row]))
}

/// The best others of the rows of a block.
struct Kept {
    first: usize,
    rows: usize,
    most: usize,
    /// The largest of a heap is the worst that is kept.
    heaps: Vec<BinaryHeap<(Reverse<i32>, u32)>>,
    /// What an other must reach: the similarity of the worst that is kept, once there are enough.
    bars: Vec<i32>,
}

impl Kept {
    fn new(first: usize, rows: usize, most: usize) -> Self {
        let count = ROWS.min(rows - first);
        Self { first, rows, most, heaps: (0..count).map(|_| BinaryHeap::new()).collect(), bars: vec![i32::MIN; count] }
    }

    /// The similarities of the rows from `row` to those from `other`.
    fn offer(&mut self, row: usize, other: usize, tile: &Tile) {
        let start = row - self.first;
        for ((near, heap), (row, bar)) in
            tile.iter().zip(&mut self.heaps[start..]).zip((row..).zip(&mut self.bars[start..]))
        {
            // Nearly none reaches it, and whether one does is asked of all at once.
            if near.iter().copied().fold(i32::MIN, i32::max) < *bar {
                continue;
            }
            for (other, near) in (other..self.rows).zip(near).filter(|(other, _)| *other != row) {
                let found = (Reverse(*near), other as u32);
                if heap.len() < self.most {
                    heap.push(found);
                } else if let Some(mut worst) = heap.peek_mut().filter(|worst| found < **worst) {
                    *worst = found;
                }
            }
            if heap.len() == self.most {
                *bar = heap.peek().map_or(i32::MAX, |worst| worst.0.0);
            }
        }
    }

    fn best(self) -> impl Iterator<Item = (u32, i32)> {
        self.heaps.into_iter().flat_map(|heap| heap.into_sorted_vec().into_iter().map(|(near, other)| (other, near.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::quantise;

    #[test]
    fn wide_registers_give_what_narrow_ones_do() {
        for numbers in [1, 2, 7, 64, 385] {
            let values: Vec<f64> = (0..32 * numbers).map(|at| (at * 7919 % 4001) as f64 - 2000.0).collect();
            let (data, _) = quantise(&values, numbers, &(0..32).collect::<Vec<_>>()).unwrap();
            let (vectors, steps) = (Vectors::new(&data, numbers).unwrap(), numbers.div_ceil(2));
            let panels = side_by_side(vectors, steps);
            let (one, other) = panels.split_at(steps);
            let tile = similarities(one, other);
            assert_eq!(tile, similarities_narrow(one, other));
            for (row, sums) in tile.iter().enumerate() {
                for (lane, near) in sums.iter().enumerate() {
                    assert_eq!(*near, vectors.similarity(row, LANES + lane));
                }
            }
        }
    }

    #[test]
    fn the_nearest_are_those_of_a_whole_sort() {
        // Few directions: most similarities have equals, and many are more than `WHOLE` before they are bounded.
        let values: Vec<f64> = (0..2800).map(|at| f64::from((at * 37 % 11) - 5)).collect();
        for count in [0_usize, 1, 2, 16, 17, 100, 129, 400] {
            let rows: Vec<u32> = (0..count as u32).collect();
            let (data, _) = quantise(&values, 7, &rows).unwrap();
            let vectors = Vectors::new(&data, 7).unwrap();
            for most in [0, 1, 9, 99, 500] {
                let (others, near) = nearest(vectors, most);
                let kept = most.min(count.saturating_sub(1));
                assert_eq!(others.len(), count * kept);
                for row in 0..count {
                    let mut wanted: Vec<(Reverse<i32>, u32)> = (0..count)
                        .filter(|other| *other != row)
                        .map(|other| (Reverse(vectors.similarity(row, other)), other as u32))
                        .collect();
                    wanted.sort_unstable();
                    let here = row * kept..(row + 1) * kept;
                    let found: Vec<_> = here.map(|at| (Reverse(near[at]), others[at])).collect();
                    assert_eq!(found, wanted[..kept]);
                }
            }
        }
    }
}
