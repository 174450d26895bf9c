//! Greedy choices that keep what is taken apart. Vectors stand in their order of preference; the earlier of equals wins.
//!
//! Each gives the rows it takes in the order of taking. What a smaller budget takes is the beginning of that.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rayon::prelude::*;

use crate::embed::Vectors;
use crate::error::{CoreError, Result};
use crate::near::nearest;

/// Rows that one task works on, and candidates that are looked at together.
const CHUNK: usize = 512;
const TOGETHER: usize = 256;
const STALE: usize = 16;
/// No row.
pub const NONE: u32 = u32::MAX;

/// How much may be taken: a number of rows, or a sum of costs. The first row that does not fit ends it.
pub struct Budget<'a> {
    left: u64,
    costs: Option<&'a [u64]>,
}

impl<'a> Budget<'a> {
    pub fn new(amount: u64, costs: Option<&'a [u64]>, vectors: Vectors<'_>) -> Result<Self> {
        if costs.is_some_and(|costs| costs.len() != vectors.len()) {
            return Err(CoreError::Contract("costs do not fit the vectors".to_owned()));
        }
        Ok(Self { left: amount, costs })
    }

    fn spend(&mut self, row: usize) -> bool {
        let rest = self.left.checked_sub(self.costs.map_or(1, |costs| costs[row]));
        self.left = rest.unwrap_or(self.left);
        rest.is_some()
    }
}

/// Takes each row whose similarity to every one that is taken is at most `most` (DEITA's filter, Liu et al. 2312.15685).
///
/// Also gives, for each row that is too near, the first taken one that it is too near to.
pub fn distinct(vectors: Vectors<'_>, most: i32, mut budget: Budget<'_>) -> (Vec<u32>, Vec<u32>) {
    let rows = vectors.len();
    let (mut taken, mut blocked) = (Vec::new(), vec![NONE; rows]);
    let near =
        |taken: &[u32], row: usize| taken.iter().copied().find(|other| vectors.similarity(row, *other as usize) > most);
    for start in (0..rows).step_by(TOGETHER) {
        let before = taken.len();
        let found: Vec<Option<u32>> =
            (start..rows.min(start + TOGETHER)).into_par_iter().map(|row| near(&taken, row)).collect();
        for (row, found) in (start..).zip(found) {
            if let Some(other) = found.or_else(|| near(&taken[before..], row)) {
                blocked[row] = other;
            } else if budget.spend(row) {
                taken.push(row as u32);
            } else {
                return (taken, blocked);
            }
        }
    }
    (taken, blocked)
}

/// Takes the first row, and then again and again the one that is farthest from all taken (k-center greedy, Sener and
/// Savarese 1708.00489): the one whose largest similarity to a taken one is smallest.
pub fn k_center(vectors: Vectors<'_>, budget: Budget<'_>) -> Vec<u32> {
    one_by_one(vectors, budget, |_, near| near.map_or(0, i64::from))
}

/// Takes again and again the row with the largest `part * score - (whole - part) * near`, where `near` is its largest
/// similarity to a taken one, and 0 before there is one (maximal marginal relevance, Carbonell and Goldstein 1998).
///
/// Scores count in the unit of similarities. The products fit in 63 bits: `score` up to `WHOLE * 10^6`, `whole` to 1000.
pub fn relevance(
    vectors: Vectors<'_>,
    scores: &[i64],
    (part, whole): (i64, i64),
    budget: Budget<'_>,
) -> Result<Vec<u32>> {
    if scores.len() != vectors.len() || !(0..=whole).contains(&part) || whole > 1000 {
        return Err(CoreError::Contract("scores do not fit the vectors".to_owned()));
    }
    Ok(one_by_one(vectors, budget, |row, near| (whole - part) * near.map_or(0, i64::from) - part * scores[row]))
}

/// Takes rows by the least of a price, which knows the largest similarity to a taken row.
fn one_by_one(
    vectors: Vectors<'_>,
    mut budget: Budget<'_>,
    price: impl Fn(usize, Option<i32>) -> i64 + Sync,
) -> Vec<u32> {
    let rows = vectors.len();
    let mut taken: Vec<u32> = Vec::new();
    let (mut near, mut is_taken) = (vec![i32::MIN; rows], vec![false; rows]);
    let mut next = (0..rows).into_par_iter().map(|row| (price(row, None), row)).min();
    while let Some((_, row)) = next {
        if !budget.spend(row) {
            break;
        }
        taken.push(row as u32);
        is_taken[row] = true;
        next = near
            .par_chunks_mut(CHUNK)
            .enumerate()
            .filter_map(|(chunk, near)| {
                let open = (chunk * CHUNK..).zip(near).filter(|(other, _)| !is_taken[*other]);
                open.map(|(other, near)| {
                    *near = (*near).max(vectors.similarity(other, row));
                    (price(other, Some(*near)), other)
                })
                .min()
            })
            .min();
    }
    taken
}

/// Takes again and again the row that adds most to the sum over all rows of the largest similarity to a taken one, or 0
/// where that is below 0 (facility location, Nemhauser, Wolsey and Fisher 1978).
///
/// What a row adds never grows (the sum is submodular), so that a row is looked at again only where what it added before
/// would win: the same rows as if all were looked at each time (lazy greedy, Minoux 1978). With `neighbours` a row counts
/// only similarities to itself and to so many nearest ones.
pub fn facility(vectors: Vectors<'_>, neighbours: Option<usize>, budget: Budget<'_>) -> Vec<u32> {
    match neighbours {
        None => lazily(&Everyone { vectors }, budget),
        Some(most) => lazily(&Nearest::new(vectors, most), budget),
    }
}

/// Who is near to whom.
trait Near: Sync {
    fn rows(&self) -> usize;
    /// The sum of a number for each row that this one is near to, and its similarity.
    fn sum(&self, row: usize, number: impl Fn(usize, i32) -> i64 + Sync) -> i64;
    /// Raises each row's cover to its similarity to this one.
    fn raise(&self, row: usize, cover: &mut [i32]);
}

struct Everyone<'a> {
    vectors: Vectors<'a>,
}

impl Near for Everyone<'_> {
    fn rows(&self) -> usize {
        self.vectors.len()
    }

    fn sum(&self, row: usize, number: impl Fn(usize, i32) -> i64 + Sync) -> i64 {
        let others = (0..self.rows()).into_par_iter().with_min_len(CHUNK);
        others.map(|other| number(other, self.vectors.similarity(other, row))).sum()
    }

    fn raise(&self, row: usize, cover: &mut [i32]) {
        let others = cover.par_iter_mut().with_min_len(CHUNK).enumerate();
        others.for_each(|(other, cover)| *cover = (*cover).max(self.vectors.similarity(other, row)));
    }
}

/// For each row, those that have it among their nearest: row `i` has `rows[starts[i]..starts[i + 1]]`.
struct Nearest {
    starts: Vec<usize>,
    rows: Vec<(u32, i32)>,
}

impl Nearest {
    fn new(vectors: Vectors<'_>, most: usize) -> Self {
        let (others, near) = nearest(vectors, most);
        let count = vectors.len();
        let most = most.min(count.saturating_sub(1));
        let mut starts = vec![0; count + 1];
        for row in 0..count {
            starts[row + 1] += 1;
        }
        for other in &others {
            starts[*other as usize + 1] += 1;
        }
        for row in 0..count {
            starts[row + 1] += starts[row];
        }
        let mut ends = starts.clone();
        let mut rows = vec![(0, 0); starts[count]];
        let mut put = |of: usize, row: usize, near: i32| {
            rows[ends[of]] = (row as u32, near);
            ends[of] += 1;
        };
        for row in 0..count {
            put(row, row, vectors.similarity(row, row));
            for at in row * most..(row + 1) * most {
                put(others[at] as usize, row, near[at]);
            }
        }
        Self { starts, rows }
    }

    fn of(&self, row: usize) -> &[(u32, i32)] {
        &self.rows[self.starts[row]..self.starts[row + 1]]
    }
}

impl Near for Nearest {
    fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    fn sum(&self, row: usize, number: impl Fn(usize, i32) -> i64 + Sync) -> i64 {
        self.of(row).iter().map(|(other, near)| number(*other as usize, *near)).sum()
    }

    fn raise(&self, row: usize, cover: &mut [i32]) {
        for (other, near) in self.of(row) {
            cover[*other as usize] = cover[*other as usize].max(*near);
        }
    }
}

fn lazily(near: &impl Near, mut budget: Budget<'_>) -> Vec<u32> {
    let mut taken: Vec<u32> = Vec::new();
    let mut cover = vec![0; near.rows()];
    let added = |cover: &[i32], row: usize| near.sum(row, |other, near| i64::from((near - cover[other]).max(0)));
    // What a row added when so many were taken: the most that it adds now.
    let mut open: BinaryHeap<(i64, Reverse<u32>, usize)> = (0..near.rows())
        .into_par_iter()
        .map(|row| (added(&cover, row), Reverse(row as u32), 0))
        .collect::<Vec<_>>()
        .into();
    while let Some((_, Reverse(row), known)) = open.peek().copied() {
        if known == taken.len() {
            if !budget.spend(row as usize) {
                break;
            }
            open.pop();
            taken.push(row);
            near.raise(row as usize, &mut cover);
            continue;
        }
        let mut stale = Vec::with_capacity(STALE);
        while stale.len() < STALE && open.peek().is_some_and(|(_, _, known)| *known < taken.len()) {
            stale.extend(open.pop().map(|(_, Reverse(row), _)| row));
        }
        let fresh: Vec<_> =
            stale.into_par_iter().map(|row| (added(&cover, row as usize), Reverse(row), taken.len())).collect();
        open.extend(fresh);
    }
    taken
}
