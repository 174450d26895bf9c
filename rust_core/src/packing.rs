//! Draws that are taken together: packs of at most so many tokens, and batches of a budget or of similar lengths.
//!
//! Everything happens inside windows of the order. Where one begins is told by the draws around that place alone, so
//! that a draw that comes or goes changes the windows at its place and no others.

use rayon::prelude::*;

use crate::error::{CoreError, Result};

/// The largest pack: what a pack has left is looked up in tables of this size.
pub const LARGEST: u32 = 1 << 20;
const NONE: u32 = u32::MAX;

/// Draws in a new order, and which of them begin a run of draws that are taken together.
#[derive(Debug, PartialEq, Eq)]
pub struct Runs {
    pub order: Vec<u32>,
    pub begins: Vec<bool>,
}

/// Where windows begin: at 0, and at each draw whose hash is the largest of those up to `reach` before and behind it
/// (local maxima: Bjorner, Blass and Gurevich, J. Comput. Syst. Sci. 76, 2010). Of equal hashes the first is larger.
///
/// Windows hold at least `reach` draws and on average twice as many and one. A draw that comes or goes moves no
/// beginning that is farther than `reach` from it, and between those that stay at most three windows are other ones.
pub fn windows(hashes: &[u64], reach: usize) -> Result<Vec<u32>> {
    let num = hashes.len();
    if reach == 0 || u32::try_from(num).is_err() {
        return Err(CoreError::Contract("windows without reach, or too many draws".to_owned()));
    }
    // Two beginnings are farther apart than a block is long: only the first largest of a block can be one.
    let found: Vec<Option<u32>> = (0..num.div_ceil(reach + 1))
        .into_par_iter()
        .map(|block| {
            let start = block * (reach + 1);
            let part = &hashes[start..num.min(start + reach + 1)];
            let largest = *part.iter().max()?;
            let at = start + part.iter().position(|hash| *hash == largest)?;
            let inside = at >= reach && at + reach < num;
            let begins = inside
                && hashes[at - reach..at].iter().all(|hash| *hash < largest)
                && hashes[at + 1..=at + reach].iter().all(|hash| *hash <= largest);
            begins.then_some(at as u32)
        })
        .collect();
    let first = (num > 0).then_some(0);
    Ok(first.into_iter().chain(found.into_iter().flatten().filter(|at| *at > 0)).collect())
}

/// Packs of at most `most` tokens: in each window by best fit, the longest draws first. Of packs that fit equally well
/// the one is taken that came to be so last.
///
/// A pack stands where its longest draw stood, and holds its draws in their order.
pub fn pack(lengths: &[u32], starts: &[u32], most: u32) -> Result<Runs> {
    if most > LARGEST || lengths.iter().any(|length| *length > most) {
        return Err(CoreError::Contract("draws that fit into no pack, or packs that are too large".to_owned()));
    }
    in_windows(lengths, starts, || Shelf::new(most), |lengths, shelf| shelf.packed(lengths))
}

/// What a batch of a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    Rows,
    Tokens,
    /// Rows, each as long as the longest.
    Padded,
}

/// Batches of as many draws as a budget allows, one after another in each window: as they come, or, where they are to be
/// of `similar` lengths, the longest first. A batch then stands where its longest draw stood.
pub fn fill(lengths: &[u32], starts: &[u32], budget: u64, measure: Measure, similar: bool) -> Result<Runs> {
    let alone = |length: u32| if measure == Measure::Rows { 1 } else { u64::from(length) };
    if lengths.iter().any(|length| alone(*length) > budget) {
        return Err(CoreError::Contract("draws that fit into no batch".to_owned()));
    }
    in_windows(
        lengths,
        starts,
        || (),
        |lengths, ()| {
            let order = if similar { longest_first(lengths) } else { (0..lengths.len() as u32).collect() };
            let (mut run_of, mut leads) = (vec![0; lengths.len()], Vec::new());
            let (mut rows, mut tokens, mut longest) = (0_u64, 0_u64, 0_u64);
            for at in order {
                let length = u64::from(lengths[at as usize]);
                rows += 1;
                tokens += length;
                longest = longest.max(length);
                let cost = match measure {
                    Measure::Rows => rows,
                    Measure::Tokens => tokens,
                    Measure::Padded => rows * longest,
                };
                if leads.is_empty() || cost > budget {
                    leads.push(at);
                    (rows, tokens, longest) = (1, length, length);
                }
                run_of[at as usize] = leads.len() as u32 - 1;
            }
            (run_of, leads)
        },
    )
}

/// Divides the draws of each window into runs: `divide` gives the run of each, and the draw whose place each run takes.
fn in_windows<T>(
    lengths: &[u32],
    starts: &[u32],
    state: impl Fn() -> T + Sync + Send,
    divide: impl Fn(&[u32], &mut T) -> (Vec<u32>, Vec<u32>) + Sync + Send,
) -> Result<Runs> {
    let num = lengths.len();
    let ordered =
        starts.windows(2).all(|pair| pair[0] < pair[1]) && starts.last().is_none_or(|at| (*at as usize) < num);
    if !ordered || (num > 0) != (starts.first() == Some(&0)) || u32::try_from(num).is_err() {
        return Err(CoreError::Contract("windows that do not follow one another".to_owned()));
    }
    let (mut order, mut begins) = (vec![0; num], vec![false; num]);
    let mut tasks = Vec::with_capacity(starts.len());
    let (mut orders, mut marks) = (&mut order[..], &mut begins[..]);
    for (number, start) in starts.iter().enumerate() {
        let start = *start as usize;
        let size = starts.get(number + 1).map_or(num, |next| *next as usize) - start;
        let (own, rest) = orders.split_at_mut(size);
        let (own_marks, rest_marks) = marks.split_at_mut(size);
        tasks.push((start, own, own_marks));
        (orders, marks) = (rest, rest_marks);
    }
    tasks.into_par_iter().for_each_init(&state, |state, (start, order, begins)| {
        let (run_of, leads) = divide(&lengths[start..start + order.len()], state);
        arrange(&run_of, &leads, start as u32, order, begins);
    });
    Ok(Runs { order, begins })
}

/// Runs in the order of their leads, each with its draws in order.
fn arrange(run_of: &[u32], leads: &[u32], start: u32, order: &mut [u32], begins: &mut [bool]) {
    let mut run_at = vec![NONE; run_of.len()];
    for (run, lead) in leads.iter().enumerate() {
        run_at[*lead as usize] = run as u32;
    }
    let mut sizes = vec![0_u32; leads.len()];
    for run in run_of {
        sizes[*run as usize] += 1;
    }
    let (mut next, mut end) = (vec![0_u32; leads.len()], 0);
    for run in run_at.into_iter().filter(|run| *run != NONE) {
        next[run as usize] = end;
        begins[end as usize] = true;
        end += sizes[run as usize];
    }
    for (at, run) in run_of.iter().enumerate() {
        let place = &mut next[*run as usize];
        order[*place as usize] = start + at as u32;
        *place += 1;
    }
}

/// The places of lengths from the longest to the shortest, and of equal ones from the first to the last.
fn longest_first(lengths: &[u32]) -> Vec<u32> {
    let mut keys: Vec<u64> =
        lengths.iter().enumerate().map(|(at, length)| u64::from(!*length) << 32 | at as u64).collect();
    keys.sort_unstable();
    keys.into_iter().map(|key| key as u32).collect()
}

/// Open packs by what they have left: a tree of 64 branches of the amounts there are, and a stack of packs for each.
struct Shelf {
    most: u32,
    levels: Vec<Vec<u64>>,
    top: Vec<u32>,
}

impl Shelf {
    fn new(most: u32) -> Self {
        let mut levels = vec![vec![0; most as usize / 64 + 1]];
        while levels[levels.len() - 1].len() > 1 {
            let wide = levels[levels.len() - 1].len();
            levels.push(vec![0; wide.div_ceil(64)]);
        }
        Self { most, levels, top: vec![NONE; most as usize + 1] }
    }

    /// The pack of each draw, and the draw that opened each.
    fn packed(&mut self, lengths: &[u32]) -> (Vec<u32>, Vec<u32>) {
        let (mut pack_of, mut openers) = (vec![0; lengths.len()], Vec::new());
        let (mut left, mut below): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        for at in longest_first(lengths) {
            let length = lengths[at as usize];
            let pack = if let Some(fits) = self.least(length) {
                let pack = self.top[fits as usize];
                self.set(fits, below[pack as usize]);
                left[pack as usize] = fits - length;
                pack
            } else {
                openers.push(at);
                left.push(self.most - length);
                below.push(NONE);
                openers.len() as u32 - 1
            };
            let now = left[pack as usize];
            below[pack as usize] = self.top[now as usize];
            self.set(now, pack);
            pack_of[at as usize] = pack;
        }
        for now in left {
            self.set(now, NONE);
        }
        (pack_of, openers)
    }

    /// Puts a pack on top of those that have so much left; none of them is left with `NONE`.
    fn set(&mut self, amount: u32, pack: u32) {
        let was = std::mem::replace(&mut self.top[amount as usize], pack);
        if (was == NONE) == (pack == NONE) {
            return;
        }
        let mut at = amount as usize;
        for level in &mut self.levels {
            let word = &mut level[at / 64];
            let before = *word;
            *word = if pack == NONE { before & !(1 << (at % 64)) } else { before | 1 << (at % 64) };
            if (before == 0) == (*word == 0) {
                return;
            }
            at /= 64;
        }
    }

    /// The least amount from `least` on that a pack has left.
    fn least(&self, least: u32) -> Option<u32> {
        let mut at = least as usize;
        for (height, level) in self.levels.iter().enumerate() {
            let word = level.get(at / 64).copied().unwrap_or(0) & (u64::MAX << (at % 64));
            if word != 0 {
                at = at / 64 * 64 + word.trailing_zeros() as usize;
                for level in self.levels[..height].iter().rev() {
                    at = at * 64 + level[at].trailing_zeros() as usize;
                }
                return Some(at as u32);
            }
            at = at / 64 + 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_begin_at_local_maxima() {
        assert_eq!(windows(&[], 2).unwrap(), [0_u32; 0]);
        assert_eq!(windows(&[9, 1, 8, 1, 7, 3, 9, 9, 2, 1], 2).unwrap(), [0, 6]);
        assert_eq!(windows(&[1, 2, 3, 4, 5], 1).unwrap(), [0]);
        assert!(windows(&[1], 0).is_err());
    }

    #[test]
    fn the_fullest_pack_that_fits_takes_a_draw() {
        let runs = pack(&[2, 7, 5, 3, 1, 6], &[0], 10).unwrap();
        // 7+3, 6+2+1 and 5 stand where 7, 5 and 6 stood.
        assert_eq!(runs.order, [1, 3, 2, 0, 4, 5]);
        assert_eq!(runs.begins, [true, false, true, true, false, false]);
        assert!(pack(&[11], &[0], 10).is_err());
        assert!(pack(&[1], &[], 10).is_err());
        assert!(pack(&[1, 1], &[0, 2], 10).is_err());
    }

    #[test]
    fn what_packs_have_left_is_found_over_several_levels() {
        let lengths = [70_000, 60_000, 50_000, 30_000, 40_000, 50_000];
        let runs = pack(&lengths, &[0], 100_000).unwrap();
        assert_eq!(runs.order, [0, 3, 1, 4, 2, 5]);
        assert_eq!(runs.begins.iter().filter(|begins| **begins).count(), 3);
    }

    #[test]
    fn a_budget_counts_rows_tokens_or_padded_tokens() {
        let lengths = [4, 1, 1, 4, 2];
        let begins = |measure, similar| fill(&lengths, &[0], 6, measure, similar).unwrap().begins;
        assert_eq!(begins(Measure::Tokens, false), [true, false, false, true, false]);
        assert_eq!(begins(Measure::Padded, false), [true, true, false, true, true]);
        assert_eq!(fill(&lengths, &[0], 6, Measure::Padded, true).unwrap().order, [0, 3, 1, 2, 4]);
        assert_eq!(begins(Measure::Rows, true), [true, false, false, false, false]);
        assert!(fill(&[7], &[0], 6, Measure::Tokens, false).is_err());
    }
}
