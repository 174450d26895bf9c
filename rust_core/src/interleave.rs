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

/// A deadline and its source packed in one word, so that the heap compares numbers: ties go to the smaller source.
const SOURCE_BITS: u32 = 24;
const MOST_DRAWS: u64 = 1 << (64 - SOURCE_BITS);
/// Releases less than this far ahead wait in a wheel, a slot for each time; the few others wait in a heap.
const WHEEL: usize = 1 << 12;
const NONE: u32 = u32::MAX;

/// The source of each draw. `counts[k]` draws are of source `k`; ties go to the smaller index.
pub fn interleave(counts: &[u64]) -> Result<Vec<u32>> {
    let live: Vec<u32> = (0..counts.len()).filter(|source| counts[*source] > 0).map(|source| source as u32).collect();
    let total = counts
        .iter()
        .try_fold(0_u64, |sum, count| sum.checked_add(*count))
        .filter(|total| *total < MOST_DRAWS && counts.len() < 1 << SOURCE_BITS)
        .ok_or_else(|| CoreError::Contract("more draws or sources than the scheduler takes".to_owned()))?;
    match live.as_slice() {
        [] => return Ok(Vec::new()),
        [only] => return Ok(vec![*only; total as usize]),
        _ => {}
    }
    let slack = 2 * live.len() as u64 - 2;
    let mut windows: Vec<Window> = counts.iter().map(|count| Window::first(total, slack, *count)).collect();
    let mut waiting = Waiting::new(counts.len());
    for source in live {
        waiting.put(0, windows[source as usize].release.whole, source);
    }
    let mut released: BinaryHeap<Reverse<u64>> = BinaryHeap::new();
    let mut order = Vec::with_capacity(total as usize);
    for time in 1..=total {
        waiting.take(time, |source| {
            let deadline = windows[source as usize].deadline.whole.min(total);
            released.push(Reverse(deadline << SOURCE_BITS | u64::from(source)));
        });
        let Some(Reverse(first)) = released.pop() else {
            return Err(CoreError::Contract(format!("no source may be drawn at {time}")));
        };
        let source = (first & ((1 << SOURCE_BITS) - 1)) as u32;
        order.push(source);
        let window = &mut windows[source as usize];
        if window.advance() {
            waiting.put(time, window.release.whole, source);
        }
    }
    Ok(order)
}

/// A number that grows by the same rational at every step, kept as its whole part and what is left of a divisor.
struct Ramp {
    whole: u64,
    rest: u128,
}

impl Ramp {
    fn at(numerator: u128, divisor: u128) -> Self {
        Self { whole: (numerator / divisor) as u64, rest: numerator % divisor }
    }

    fn add(&mut self, whole: u64, rest: u128, divisor: u128) {
        self.whole += whole;
        self.rest += rest;
        if self.rest >= divisor {
            self.rest -= divisor;
            self.whole += 1;
        }
    }
}

/// When the next draw of a source may and must come, of the draws it has left.
///
/// With `x` draws behind, it may not come before `total * (slack * x + 1) / (slack * count)`, rounded up, or the source
/// runs ahead; it must come by `total * (slack * (x + 1) - 1) / (slack * count)`, rounded down and one, or it falls
/// behind. Both grow by `total / count` a draw, so stepping needs no division.
struct Window {
    left: u64,
    release: Ramp,
    deadline: Ramp,
    divisor: u128,
    step: u64,
    step_rest: u128,
}

impl Window {
    fn first(total: u64, slack: u64, count: u64) -> Self {
        let (total, slack, divisor) =
            (u128::from(total), u128::from(slack), u128::from(slack) * u128::from(count.max(1)));
        Self {
            left: count,
            // Rounding up is rounding down after adding all but one part of the divisor.
            release: Ramp::at(total + divisor - 1, divisor),
            deadline: Ramp::at(total * (slack - 1) + divisor, divisor),
            divisor,
            step: (total * slack / divisor) as u64,
            step_rest: total * slack % divisor,
        }
    }

    /// Goes on to the next draw; false after the last.
    fn advance(&mut self) -> bool {
        self.left -= 1;
        self.release.add(self.step, self.step_rest, self.divisor);
        self.deadline.add(self.step, self.step_rest, self.divisor);
        self.left > 0
    }
}

/// Sources that wait for their release.
struct Waiting {
    slots: Vec<u32>,
    next: Vec<u32>,
    far: BinaryHeap<Reverse<(u64, u32)>>,
}

impl Waiting {
    fn new(num_sources: usize) -> Self {
        Self { slots: vec![NONE; WHEEL], next: vec![NONE; num_sources], far: BinaryHeap::new() }
    }

    /// A release that has passed is one for the next time.
    fn put(&mut self, now: u64, release: u64, source: u32) {
        let release = release.max(now + 1);
        if release - now < WHEEL as u64 {
            let slot = &mut self.slots[release as usize % WHEEL];
            self.next[source as usize] = std::mem::replace(slot, source);
        } else {
            self.far.push(Reverse((release, source)));
        }
    }

    fn take(&mut self, time: u64, mut each: impl FnMut(u32)) {
        let mut source = std::mem::replace(&mut self.slots[time as usize % WHEEL], NONE);
        while source != NONE {
            each(source);
            source = self.next[source as usize];
        }
        while let Some(Reverse((release, source))) = self.far.peek().copied() {
            if release > time {
                break;
            }
            self.far.pop();
            each(source);
        }
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
        // Releases beyond the wheel.
        check(&[20_000, 1, 2]);
    }
}
