//! mmSSR (arXiv 2503.13383): capabilities take turns, and each takes the best of every bin.
//!
//! A turn knows from counts alone how far into each bin it can come, so that one pass over the rows finds the few that
//! it may take, and only those are sorted.

mod candidates;
mod plan;

use rayon::prelude::*;

use crate::best::Preference;
use crate::error::{CoreError, Result};
use crate::rank::Keys;
use candidates::{Candidate, Rest};
use plan::Plan;

/// Rows that one task works on.
const CHUNK: usize = 1 << 16;
/// Counts that fit in a cache several times, and how many times they are kept there.
const FEW: usize = 1 << 10;
const LANES: usize = 4;
/// A level that no row has.
const NONE: u16 = 256;

/// The bins that rows lie in: those of row `i` are `bins[starts[cell[i]]..starts[cell[i] + 1]]`, in the row's own order.
#[derive(Clone, Copy)]
pub struct Bins<'a> {
    pub cell: &'a [u32],
    pub starts: &'a [u32],
    pub bins: &'a [u32],
}

impl Bins<'_> {
    fn slots(&self, cell: usize) -> std::ops::Range<usize> {
        self.starts[cell] as usize..self.starts[cell + 1] as usize
    }
}

/// One capability: the level of each row (see [`crate::levels`]), and its score where equal levels are not equal scores.
#[derive(Clone, Copy)]
pub struct Capability<'a> {
    pub levels: &'a [u8],
    pub scores: Option<&'a [f64]>,
}

/// How many samples one turn took of one bin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub round: u32,
    pub capability: u32,
    pub bin: u32,
    pub taken: u32,
}

/// For each row 1 + the capability that it is charged to (0: left out) and the place of its bin among its bins.
pub struct Charged {
    pub capability: Vec<u8>,
    pub place: Vec<u8>,
    pub turns: Vec<Turn>,
}

/// Takes the budget, or all that scores for any capability.
///
/// With `compat`, the rows whose first bin it is come before those whose second it is, whatever they score, and the rest
/// of dividing a turn among its bins is left to the next round.
pub fn mmssr(
    preference: Preference<'_>,
    bins: Bins<'_>,
    capabilities: &[Capability<'_>],
    budget: u64,
    compat: bool,
) -> Result<Charged> {
    let mut run = Run::new(preference, bins, capabilities, compat)?;
    let (mut live, mut total, mut round) = ((0..capabilities.len()).collect::<Vec<_>>(), 0, 0);
    while total < budget && !live.is_empty() {
        let part = ((budget - total) / live.len() as u64).max(1);
        let mut able = Vec::with_capacity(live.len());
        for capability in live {
            if total < budget {
                let taken = run.turn(round, capability, part.min(budget - total))?;
                total += taken;
                if taken > 0 {
                    able.push(capability);
                }
            }
        }
        live = able;
        round += 1;
    }
    Ok(run.charged)
}

/// Rows of one capability: of cell `c` and level `l` there were `begun[c * width + l]`, and so many are `left`.
struct Counts {
    width: usize,
    begun: Vec<u32>,
    left: Vec<u32>,
}

struct Run<'a> {
    preference: Preference<'a>,
    keys: Keys<'a>,
    bins: Bins<'a>,
    capabilities: &'a [Capability<'a>],
    compat: bool,
    /// The upper half of each row's hash, by which nearly all rows that a turn does not come to are passed over.
    brief: Vec<u32>,
    /// The slots of each bin, by place: (place, cell).
    inside: Vec<Vec<(u8, u32)>>,
    counts: Vec<Counts>,
    charged: Charged,
    /// What the last turn of each capability found and left.
    rest: Vec<Option<Rest>>,
}

impl<'a> Run<'a> {
    fn new(
        preference: Preference<'a>,
        bins: Bins<'a>,
        capabilities: &'a [Capability<'a>],
        compat: bool,
    ) -> Result<Self> {
        let keys = preference.keys;
        let rows = keys.rows()?;
        let cells = bins.starts.len().saturating_sub(1);
        let listed = bins.starts.first() == Some(&0)
            && bins.starts.is_sorted()
            && bins.starts.last().map(|end| *end as usize) == Some(bins.bins.len())
            && (0..cells).all(|cell| u8::try_from(bins.slots(cell).len()).is_ok());
        let columns = capabilities.iter().all(|capability| {
            capability.levels.len() == rows && capability.scores.is_none_or(|scores| scores.len() == rows)
        });
        let fits = bins.cell.len() == rows && bins.cell.par_iter().all(|cell| (*cell as usize) < cells);
        if !(listed && columns && fits) || capabilities.len() >= usize::from(u8::MAX) {
            return Err(CoreError::Contract("cells, levels and rows do not fit".to_owned()));
        }
        let mut inside = vec![Vec::new(); bins.bins.iter().max().map_or(0, |most| *most as usize + 1)];
        for cell in 0..cells {
            for (place, slot) in bins.slots(cell).enumerate() {
                inside[bins.bins[slot] as usize].push((place as u8, cell as u32));
            }
        }
        for slots in &mut inside {
            slots.sort_unstable();
        }
        let counts =
            capabilities.par_iter().map(|capability| Counts::new(bins.cell, capability.levels, cells)).collect();
        let charged = Charged { capability: vec![0; rows], place: vec![0; rows], turns: Vec::new() };
        let rest = capabilities.iter().map(|_| None).collect();
        let brief =
            (0..rows).into_par_iter().with_min_len(CHUNK).map(|row| (preference.hash(row) >> 32) as u32).collect();
        Ok(Self { preference, keys, bins, capabilities, compat, brief, inside, counts, charged, rest })
    }

    /// One turn of one capability: takes `part` rows, or what it has. Gives how many.
    fn turn(&mut self, round: u32, capability: usize, part: u64) -> Result<u64> {
        let plans = self.plan(capability, part);
        let mut found = self.found(capability, &plans);
        let (mut debt, mut taken) = (0, Vec::new());
        let mut rest = found.as_slice();
        for (number, plan) in plans.iter().enumerate() {
            let (mine, others) = rest.split_at(rest.partition_point(|candidate| candidate.bin as usize == number));
            rest = others;
            let wanted = (plan.quota + debt).min(part - taken.len() as u64);
            let before = taken.len();
            for candidate in mine {
                let row = candidate.row as usize;
                if taken.len() as u64 == before as u64 + wanted {
                    break;
                }
                if self.charged.capability[row] == 0 {
                    self.charged.capability[row] = capability as u8 + 1;
                    self.charged.place[row] = candidate.place;
                    taken.push(candidate.row);
                }
            }
            let got = (taken.len() - before) as u64;
            if got < wanted && plan.end.is_some() {
                return Err(CoreError::Contract("a bin has more than was found".to_owned()));
            }
            debt = wanted - got;
            if got > 0 {
                let (capability, bin) = (capability as u32, plan.bin as u32);
                self.charged.turns.push(Turn { round, capability, bin, taken: got as u32 });
            }
        }
        // In order, what is near in memory is looked at together.
        taken.sort_unstable();
        self.forget(&taken);
        found.retain(|candidate| self.charged.capability[candidate.row as usize] == 0);
        self.rest[capability] = Some(Rest::new(&plans, found));
        Ok(taken.len() as u64)
    }

    /// The rows that a turn may take, bin by bin. What the capability's last turn found and left is often enough: the
    /// rounds behind the first take few.
    fn found(&mut self, capability: usize, plans: &[Plan]) -> Vec<Candidate> {
        let rest = self.rest[capability].take();
        if let Some(found) = rest.and_then(|rest| self.left_of(&rest, capability, plans)) {
            return found;
        }
        let found = self.candidates(capability, plans, true);
        if self.capabilities[capability].scores.is_none() && !self.enough(plans, &found) {
            return self.candidates(capability, plans, false);
        }
        found
    }

    /// What was taken is not left to any capability.
    fn forget(&mut self, taken: &[u32]) {
        let cell = self.bins.cell;
        self.counts.par_iter_mut().zip(self.capabilities).for_each(|(counts, capability)| {
            for row in taken {
                let level = usize::from(capability.levels[*row as usize]);
                if level > 0 {
                    counts.left[cell[*row as usize] as usize * counts.width + level] -= 1;
                }
            }
        });
    }
}

/// What orders the rows of a bin before their hashes do.
fn grade(worse: u64, place: u8, compat: bool) -> (u64, u64) {
    let place = u64::from(place);
    if compat { (place, worse) } else { (worse, place) }
}

impl Counts {
    fn new(cell: &[u32], levels: &[u8], cells: usize) -> Self {
        let width = levels.par_iter().max().map_or(1, |most| usize::from(*most) + 1);
        let part = cell.len().div_ceil(rayon::current_num_threads()).max(CHUNK);
        let size = cells * width;
        // Rows next to each other are counted apart: adding to what was just written would wait for it.
        let lanes = if size <= FEW { LANES } else { 1 };
        let mut begun = cell
            .par_chunks(part)
            .zip(levels.par_chunks(part))
            .map(|(cell, levels)| {
                let mut counts = vec![0_u32; lanes * size];
                for (cell, levels) in cell.chunks(lanes).zip(levels.chunks(lanes)) {
                    for (lane, (cell, level)) in cell.iter().zip(levels).enumerate() {
                        counts[lane * size + *cell as usize * width + usize::from(*level)] += 1;
                    }
                }
                counts
            })
            .reduce(
                || vec![0; lanes * size],
                |mut a, b| {
                    a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
                    a
                },
            );
        for lane in 1..lanes {
            let (first, other) = begun.split_at_mut(lane * size);
            first.iter_mut().zip(&other[..size]).for_each(|(to, more)| *to += *more);
        }
        begun.truncate(size);
        // Level 0 is never taken.
        begun.iter_mut().step_by(width).for_each(|none| *none = 0);
        Self { width, left: begun.clone(), begun }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::levels::levels;

    /// Rows of six cells with two bins each, and three capabilities.
    fn taken(rows: u32, budget: u64, compat: bool) -> Charged {
        let mixed = |row: u32, by: u64| (u64::from(row) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17) % by;
        let high: Vec<u64> = (0..rows).map(|row| mixed(row, u64::MAX)).collect();
        let zero = vec![0; rows as usize];
        let keys = Keys { high: &high, low: &high, occurrence: &zero, pool: &zero };
        let cell: Vec<u32> = (0..rows).map(|row| mixed(row, 6) as u32).collect();
        let bins = Bins { cell: &cell, starts: &[0, 2, 4, 6, 8, 10, 12], bins: &[0, 1, 1, 2, 2, 3, 3, 0, 0, 2, 3, 1] };
        let able = vec![true; rows as usize];
        let scores: [Vec<f64>; 3] = [5, 6, 7].map(|by| (0..rows).map(|row| mixed(row * 31 + 5, by) as f64).collect());
        let codes: Vec<_> = scores.iter().map(|scores| levels(scores, &able, 0.0, 254).unwrap().codes).collect();
        let capabilities: Vec<_> = codes.iter().map(|levels| Capability { levels, scores: None }).collect();
        mmssr(Preference::new(7, keys, None).unwrap(), bins, &capabilities, budget, compat).unwrap()
    }

    #[test]
    fn the_budget_is_taken_for_any_number_of_threads() {
        for compat in [false, true] {
            for (rows, budget) in [(500, 1), (500, 77), (200_000, 20_000)] {
                let wanted = taken(rows, budget, compat);
                let num = wanted.capability.iter().filter(|capability| **capability > 0).count();
                assert_eq!(num as u64, budget);
                assert_eq!(wanted.turns.iter().map(|turn| u64::from(turn.taken)).sum::<u64>(), budget);
                for threads in [1, 3] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let found = pool.install(|| taken(rows, budget, compat));
                    assert_eq!(found.capability, wanted.capability);
                    assert_eq!(found.place, wanted.place);
                    assert_eq!(found.turns, wanted.turns);
                }
            }
        }
    }

    #[test]
    fn a_budget_beyond_what_there_is_ends_with_what_scores() {
        let found = taken(300, 10_000, false);
        let num = found.capability.iter().filter(|capability| **capability > 0).count();
        assert!(num > 200 && num <= 300);
    }
}
