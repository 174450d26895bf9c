//! Difficulty pacing: an order in which what is easy comes early and everything is drawn once.
//!
//! Competence-based curriculum (Platanios et al., arXiv 1903.09848, equations 6 and 7): at draw `t` of `n` only the
//! easiest `c(t)` share may be drawn, with `c(0)` where it starts and `c(n) = 1`. The paper draws from that share by
//! chance, with replacement; here the next is the one that comes first in a given order, and none comes twice.
//!
//! With `c(t) * n` rounded up there is always one to draw: `c(t) * n > t` for every `t < n`, for either shape. All of it
//! is integer arithmetic: `c` is compared, never computed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::error::{CoreError, Result};

/// The largest divisor of a start, so that squares stay below 128 bits for any number of items.
const MOST_PARTS: u64 = 1_000_000;

/// How the available share grows from `numerator / divisor` to all.
#[derive(Clone, Copy)]
pub struct Competence {
    pub numerator: u64,
    pub divisor: u64,
    pub root: bool,
}

impl Competence {
    /// Whether more than `available` of `num` items are to be drawn from at draw `time`.
    fn exceeds(self, available: usize, time: usize, num: usize) -> bool {
        let [part, whole, available, time, num] =
            [u128::from(self.numerator), u128::from(self.divisor), available as u128, time as u128, num as u128];
        if self.root {
            // (available / num)^2 < time * (1 - start^2) / num + start^2
            (available * whole).pow(2) < num * time * (whole * whole - part * part) + part * part * num * num
        } else {
            available * whole < part * num + time * (whole - part)
        }
    }
}

/// The items in the order they are drawn in. `easiest` are the items `0..n` from the easiest to the hardest; among those
/// that may be drawn the smallest number is next.
pub fn pace(easiest: &[u32], competence: Competence) -> Result<Vec<u32>> {
    let num = easiest.len();
    if u32::try_from(num).is_err()
        || !(1..=MOST_PARTS).contains(&competence.divisor)
        || !(1..=competence.divisor).contains(&competence.numerator)
    {
        return Err(CoreError::Contract("a start that is no share, or too many items".to_owned()));
    }
    let mut open = BinaryHeap::new();
    let mut available = 0;
    let mut order = Vec::with_capacity(num);
    for time in 0..num {
        while available < num && competence.exceeds(available, time, num) {
            open.push(Reverse(easiest[available]));
            available += 1;
        }
        let next = open.pop().ok_or_else(|| CoreError::Contract(format!("nothing may be drawn at {time}")))?;
        order.push(next.0);
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Competence = Competence { numerator: 1, divisor: 2, root: false };

    #[test]
    fn what_is_not_yet_available_waits() {
        // Half of four are available at first, the third at the second draw, the last at the last.
        assert_eq!(pace(&[3, 2, 1, 0], HALF).unwrap(), [2, 1, 3, 0]);
        assert_eq!(pace(&[0, 1, 2, 3], HALF).unwrap(), [0, 1, 2, 3]);
        assert_eq!(pace(&[], HALF).unwrap(), [0_u32; 0]);
    }

    #[test]
    fn everything_is_drawn_once_from_any_start() {
        for root in [false, true] {
            for (numerator, divisor) in [(1, 1_000_000), (1, 100), (1, 3), (999, 1000), (1, 1)] {
                for num in [1_u32, 2, 3, 10, 1000] {
                    let easiest: Vec<u32> = (0..num).rev().collect();
                    let mut order = pace(&easiest, Competence { numerator, divisor, root }).unwrap();
                    order.sort_unstable();
                    assert_eq!(order, (0..num).collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn a_start_is_a_share() {
        assert!(pace(&[0], Competence { numerator: 0, ..HALF }).is_err());
        assert!(pace(&[0], Competence { numerator: 3, ..HALF }).is_err());
    }
}
