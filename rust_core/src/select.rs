//! Taking from the front of the keyed order under a budget and caps.

mod strata;

use rayon::prelude::*;

use crate::error::{CoreError, Result};
use crate::rank::{Keys, by_hash};
use strata::strata;

/// A cap: which group each row is in (below `limit.len()`), and how much each group may hold.
pub struct Cap<'a> {
    pub group: &'a [u32],
    pub limit: &'a [u64],
}

/// What may be taken: `costs` of rows (without them each use of a row costs one), in all and under each cap.
pub struct Limits<'a> {
    pub costs: Option<&'a [u64]>,
    pub budget: u64,
    pub caps: Vec<Cap<'a>>,
}

/// What a walk along the order took of each row.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    pub times: Vec<u32>,
    /// For a row that a cap refused, the first one that did (its position plus one); 0 where the budget was used up.
    pub refused_by: Vec<u8>,
    pub total: u64,
}

/// Walks uses of the rows that are `alive` in the keyed order of `seed`, pass after pass, and takes what the budget and every cap allow.
///
/// A group that refuses one use is closed: what is taken of it is a prefix of its uses, so that a larger budget or cap
/// only ever adds. The same holds for the budget. The order is sorted only as far as the walk goes.
pub fn take(seed: u64, keys: Keys<'_>, alive: &[bool], passes: u32, limits: &Limits<'_>) -> Result<Taken> {
    let rows = keys.rows()?;
    let fits = |cap: &Cap<'_>| {
        cap.group.len() == rows && cap.group.par_iter().all(|group| (*group as usize) < cap.limit.len())
    };
    let priced = limits.costs.is_none_or(|costs| costs.len() == rows);
    if !priced || alive.len() != rows || !limits.caps.iter().all(fits) {
        return Err(CoreError::Contract("costs or a cap do not fit the rows".to_owned()));
    }
    if let ([cap], 1, None) = (limits.caps.as_slice(), passes, limits.costs)
        && let Some(taken) = strata(seed, keys, alive, limits.budget, cap)?
    {
        return Ok(taken);
    }
    let cost = |row: usize| limits.costs.map_or(1, |costs| costs[row]);
    let available: u64 = (0..rows).into_par_iter().filter(|row| alive[*row]).map(cost).sum();
    let mut walk = Walk::new(rows, limits);
    for pass in 0..passes {
        let wanted = (limits.budget - walk.taken.total) as f64 / available.max(1) as f64;
        let before = walk.num_taken;
        for (low, high) in slabs(wanted) {
            for row in slab(seed, keys, alive, pass, low, high) {
                if !walk.step(row as usize) {
                    return Ok(walk.taken);
                }
            }
        }
        if walk.num_taken == before {
            // Groups stay closed, so no later pass can take anything either.
            break;
        }
    }
    Ok(walk.taken)
}

/// Ranges of hashes (first to last) that are sorted one after another: the first should be enough for what is wanted,
/// which is never known exactly; each next one is twice as wide.
fn slabs(wanted: f64) -> impl Iterator<Item = (u64, u64)> {
    let mut width = if wanted < 0.5 { ((wanted * 1.05 + 0.01) * u64::MAX as f64) as u64 } else { u64::MAX };
    let mut next = Some(0_u64);
    std::iter::from_fn(move || {
        let low = next?;
        let high = low.saturating_add(width);
        width = width.saturating_mul(2);
        next = high.checked_add(1);
        Some((low, high))
    })
}

/// The rows whose hashes in a pass lie in a range, in the order of (hash, id, occurrence, pool).
fn slab(seed: u64, keys: Keys<'_>, alive: &[bool], pass: u32, low: u64, high: u64) -> Vec<u32> {
    let hash = |row: usize| alive[row].then(|| keys.hash(seed, row, pass));
    by_hash(alive.len(), low, high, hash, |row| keys.tie(row))
}

struct Walk<'a> {
    limits: &'a Limits<'a>,
    /// What is left of each group of each cap; None where it is closed.
    left: Vec<Vec<Option<u64>>>,
    taken: Taken,
    num_taken: usize,
}

impl<'a> Walk<'a> {
    fn new(rows: usize, limits: &'a Limits<'a>) -> Self {
        let left = limits.caps.iter().map(|cap| cap.limit.iter().map(|limit| Some(*limit)).collect()).collect();
        Self { limits, left, taken: Taken { times: vec![0; rows], refused_by: vec![0; rows], total: 0 }, num_taken: 0 }
    }

    /// Takes a use of a row or leaves it; false where no later use can be taken.
    fn step(&mut self, row: usize) -> bool {
        let limits = self.limits;
        if limits.costs.is_none() && self.taken.total == limits.budget {
            return false;
        }
        let cost = limits.costs.map_or(1, |costs| costs[row]);
        let refusing = limits.caps.iter().zip(&mut self.left).position(|(cap, left)| {
            let room = &mut left[cap.group[row] as usize];
            if room.is_none_or(|room| room < cost) {
                *room = None;
            }
            room.is_none()
        });
        if let Some(cap) = refusing {
            if self.taken.refused_by[row] == 0 {
                self.taken.refused_by[row] = u8::try_from(cap + 1).unwrap_or(u8::MAX);
            }
            return true;
        }
        if self.taken.total + cost > limits.budget {
            return false;
        }
        self.taken.total += cost;
        self.taken.times[row] += 1;
        self.num_taken += 1;
        for (cap, left) in limits.caps.iter().zip(&mut self.left) {
            if let Some(room) = &mut left[cap.group[row] as usize] {
                *room -= cost;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pieces::Pieces;
    use crate::rank::ranking;

    const ROWS: usize = 400;

    /// The slow and obvious walk: the whole order first, then one use after another.
    fn plain(seed: u64, keys: Keys<'_>, alive: &[bool], passes: u32, limits: &Limits<'_>) -> Vec<u32> {
        let living = || (0..ROWS as u32).filter(|row| alive[*row as usize]);
        let rows: Vec<u32> = (0..passes).flat_map(|_| living()).collect();
        let pass: Vec<u32> = (0..passes).flat_map(|pass| living().map(move |_| pass)).collect();
        let mut times = vec![0; ROWS];
        let mut total = 0;
        let mut held: Vec<Vec<u64>> = limits.caps.iter().map(|cap| vec![0; cap.limit.len()]).collect();
        let mut closed: Vec<Vec<bool>> = limits.caps.iter().map(|cap| vec![false; cap.limit.len()]).collect();
        for at in ranking(seed, keys, &rows, &pass).unwrap() {
            let row = rows[at as usize] as usize;
            let cost = limits.costs.map_or(1, |costs| costs[row]);
            let mut refused = false;
            for (number, cap) in limits.caps.iter().enumerate() {
                let group = cap.group[row] as usize;
                closed[number][group] |= !refused && held[number][group] + cost > cap.limit[group];
                refused |= closed[number][group];
            }
            if refused {
                continue;
            }
            if total + cost > limits.budget {
                break;
            }
            total += cost;
            times[row] += 1;
            for (number, cap) in limits.caps.iter().enumerate() {
                held[number][cap.group[row] as usize] += cost;
            }
        }
        times
    }

    #[test]
    fn the_walk_takes_what_the_whole_order_gives() {
        let high: Vec<u64> = (0..ROWS as u64).map(|row| row.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let (low, zero) = (vec![0; ROWS], vec![0; ROWS]);
        let keys =
            Keys { high: &Pieces::new(vec![&high]), low: &Pieces::new(vec![&low]), occurrence: &zero, pool: &zero };
        let group: Vec<u32> = (0..ROWS as u32).map(|row| row % 7).collect();
        let half: Vec<u32> = (0..ROWS as u32).map(|row| u32::from(row % 5 == 0)).collect();
        let costs: Vec<u64> = (0..ROWS as u64).map(|row| row % 13).collect();
        let alive: Vec<bool> = (0..ROWS).map(|row| row % 11 != 3).collect();
        for budget in [0, 1, 7, 40, 150, 399, 400, 700, 10_000] {
            for (caps, passes) in [(0, 1), (1, 1), (2, 1), (2, 3)] {
                for costs in [None, Some(costs.as_slice())] {
                    let both = [
                        Cap { group: &group, limit: &[3, 100, 0, 57, 20, 20, 1000] },
                        Cap { group: &half, limit: &[u64::MAX, 11] },
                    ];
                    let limits = Limits { costs, budget, caps: both.into_iter().take(caps).collect() };
                    for seed in 0..5 {
                        let taken = take(seed, keys, &alive, passes, &limits).unwrap().times;
                        let wanted = plain(seed, keys, &alive, passes, &limits);
                        assert_eq!(taken, wanted, "{budget} {caps} {passes} {seed}");
                    }
                }
            }
        }
    }

    #[test]
    fn strata_that_fill_the_budget_take_what_the_walk_takes() {
        let mixed = |row: u64| row.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // Ids that are the same, so that ties decide.
        let high: Vec<u64> = (0..ROWS as u64).map(|row| mixed(row % 150)).collect();
        let (low, zero) = (vec![0; ROWS], vec![0; ROWS]);
        let pool: Vec<u32> = (0..ROWS as u32).collect();
        let keys =
            Keys { high: &Pieces::new(vec![&high]), low: &Pieces::new(vec![&low]), occurrence: &zero, pool: &pool };
        let alive: Vec<bool> = (0..ROWS).map(|row| row % 11 != 3).collect();
        for groups in [1, 3, 600] {
            let group: Vec<u32> = (0..ROWS as u64).map(|row| (mixed(row) >> 40) as u32 % groups).collect();
            let sizes = crate::rank::totals(&group, groups as usize, None, Some(&alive)).unwrap();
            for most in [0, 1, 2, 30, 1000] {
                let limit: Vec<u64> = (0..u64::from(groups)).map(|group| (group * 7) % (most + 1)).collect();
                let budget: u64 = sizes.iter().zip(&limit).map(|(size, limit)| size.min(limit)).sum();
                for seed in 0..5 {
                    let limits = |caps| Limits { costs: None, budget, caps };
                    let one = limits(vec![Cap { group: &group, limit: &limit }]);
                    // A cap that never refuses leaves it to the walk.
                    let idle = Cap { group: &zero, limit: &[u64::MAX] };
                    let two = limits(vec![Cap { group: &group, limit: &limit }, idle]);
                    assert!(budget == 0 || strata(seed, keys, &alive, budget, &one.caps[0]).unwrap().is_some());
                    assert_eq!(
                        take(seed, keys, &alive, 1, &one).unwrap(),
                        take(seed, keys, &alive, 1, &two).unwrap(),
                        "{groups} {most} {seed}"
                    );
                }
            }
        }
    }

    #[test]
    fn slabs_cover_every_hash_once() {
        for wanted in [0.0, 1e-9, 0.1, 0.49, 0.5, 3.0] {
            let all: Vec<(u64, u64)> = slabs(wanted).collect();
            assert_eq!((all[0].0, all[all.len() - 1].1), (0, u64::MAX));
            assert!(all.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0));
        }
    }
}
