//! The exact interleave: an order of draws in which every source is within one draw of its ideal share, always.
//!
//! Tijdeman's chairman assignment (Discrete Mathematics 32, 1980): with `n` sources of `c` draws out of `total`, after
//! `t` draws source `k` was drawn `x` times with `|x - t * c / total| <= 1 - 1 / (2n - 2)`. Each draw of a source has a
//! window: it may not come before its release nor after its deadline, both of which follow from that bound. Scheduling
//! by earliest deadline among the released meets every window whenever that can be done at all, and Tijdeman proved
//! that it can. All of it is integer arithmetic.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::error::{CoreError, Result};

/// The source of each draw. `counts[k]` draws are of source `k`; ties go to the smaller index.
pub fn interleave(counts: &[u64]) -> Result<Vec<u32>> {
    let live: Vec<usize> = (0..counts.len()).filter(|source| counts[*source] > 0).collect();
    let total = counts.iter().try_fold(0_u64, |sum, count| sum.checked_add(*count));
    let total = total
        .filter(|total| *total < 1 << 48 && counts.len() < 1 << 24)
        .ok_or_else(|| CoreError::Contract("more draws or sources than the scheduler takes".to_owned()))?;
    match live.as_slice() {
        [] => return Ok(Vec::new()),
        [only] => return Ok(vec![*only as u32; total as usize]),
        _ => {}
    }
    let windows = Windows { total: u128::from(total), slack: 2 * live.len() as u128 - 2 };
    // Draws wait until they are released, then compete by deadline.
    let mut waiting: BinaryHeap<Reverse<(u64, u32)>> = BinaryHeap::with_capacity(live.len());
    let mut released: BinaryHeap<Reverse<(u64, u32)>> = BinaryHeap::with_capacity(live.len());
    let mut drawn = vec![0_u64; counts.len()];
    for source in &live {
        waiting.push(Reverse((windows.release(counts[*source], 0), *source as u32)));
    }
    let mut order = Vec::with_capacity(total as usize);
    for time in 1..=total {
        while let Some(Reverse((release, source))) = waiting.peek().copied() {
            if release > time {
                break;
            }
            waiting.pop();
            let count = counts[source as usize];
            released.push(Reverse((windows.deadline(count, drawn[source as usize]), source)));
        }
        let Some(Reverse((_, source))) = released.pop() else {
            return Err(CoreError::Contract(format!("no source may be drawn at {time}")));
        };
        order.push(source);
        let done = &mut drawn[source as usize];
        *done += 1;
        if *done < counts[source as usize] {
            waiting.push(Reverse((windows.release(counts[source as usize], *done), source)));
        }
    }
    Ok(order)
}

struct Windows {
    total: u128,
    /// `2n - 2`: the bound is `1 - 1 / slack`.
    slack: u128,
}

impl Windows {
    /// The first time at which draw number `done + 1` keeps the source from running ahead.
    fn release(&self, count: u64, done: u64) -> u64 {
        let numerator = self.total * (self.slack * u128::from(done) + 1);
        numerator.div_ceil(self.slack * u128::from(count)) as u64
    }

    /// The last time at which it keeps the source from falling behind.
    fn deadline(&self, count: u64, done: u64) -> u64 {
        let numerator = self.total * (self.slack * (u128::from(done) + 1) - 1);
        (numerator / (self.slack * u128::from(count)) + 1).min(self.total) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(counts: &[u64]) {
        let order = interleave(counts).unwrap();
        let total: u64 = counts.iter().sum();
        assert_eq!(order.len() as u64, total);
        let mut drawn = vec![0_i128; counts.len()];
        for (position, source) in order.iter().enumerate() {
            drawn[*source as usize] += 1;
            let time = position as i128 + 1;
            for (source, count) in counts.iter().enumerate() {
                let off = drawn[source] * i128::from(total) - time * i128::from(*count);
                assert!(off.abs() < i128::from(total), "{counts:?}: source {source} is off by {off}/{total} at {time}");
            }
        }
        for (source, count) in counts.iter().enumerate() {
            assert_eq!(drawn[source], i128::from(*count));
        }
    }

    #[test]
    fn every_prefix_is_within_one_draw() {
        for counts in [
            &[1][..],
            &[0, 5],
            &[1, 1],
            &[3, 1],
            &[1, 2, 3],
            &[1000, 1, 1, 1],
            &[7, 7, 7, 7, 7],
            &[500, 250, 125, 62, 31, 15, 7, 3, 1],
            &[0, 0],
            &[],
        ] {
            check(counts);
        }
        // Every triple up to 9 draws each, and a long ladder of sources.
        for a in 0..9 {
            for b in 0..9 {
                for c in 0..9 {
                    check(&[a, b, c]);
                }
            }
        }
        check(&(1..=60).collect::<Vec<u64>>());
    }
}
