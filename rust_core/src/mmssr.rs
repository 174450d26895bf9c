//! mmSSR (arXiv 2503.13383): capabilities take turns, and each takes the best of every bin.
//!
//! A turn knows from counts alone how far into each bin it can come, and before the first one it can be told how far all of
//! them will come, about. So one pass counts, one lists the rows that any turn may take, and turns look at those alone; only
//! what a turn may take is sorted. Where a turn comes farther than was told, rows are listed anew.

mod candidates;
mod columns;
mod listed;
mod plan;

use rayon::prelude::*;

use crate::best::Preference;
use crate::error::{CoreError, Result};
use crate::rank::Keys;
use candidates::{Candidate, Rest};
pub use columns::Capability;
use columns::Columns;
use listed::Listed;
use plan::Plan;

/// Rows that one task works on.
const CHUNK: usize = 1 << 16;
/// Counts that fit in a cache several times, and how many times they are kept there.
const FEW: usize = 1 << 14;
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

/// How many samples one turn took of one bin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub round: u32,
    pub capability: u32,
    pub bin: u32,
    pub taken: u32,
}

/// For each row 1 + the capability that it is charged to (0: left out) and the place of its bin among its bins; and how
/// many rows each capability could take in the beginning.
pub struct Charged {
    pub capability: Vec<u8>,
    pub place: Vec<u8>,
    pub turns: Vec<Turn>,
    pub available: Vec<u64>,
}

/// Takes the budget, or all that scores for any capability, of the rows that are `able`.
///
/// With `compat`, the rows whose first bin it is come before those whose second it is, whatever they score, and the rest
/// of dividing a turn among its bins is left to the next round.
pub fn mmssr(
    preference: Preference<'_>,
    able: &[bool],
    bins: Bins<'_>,
    capabilities: &[Capability<'_>],
    budget: u64,
    compat: bool,
) -> Result<Charged> {
    let mut run = Run::new(preference, bins, Columns::new(able, capabilities)?, compat)?;
    let (mut live, mut total, mut round) = ((0..capabilities.len()).collect::<Vec<_>>(), 0, 0);
    while total < budget && !live.is_empty() {
        let part = ((budget - total) / live.len() as u64).max(1);
        let mut able = Vec::with_capacity(live.len());
        for (at, capability) in live.iter().enumerate() {
            if total < budget {
                let taken = run.turn(round, &live[at..], part.min(budget - total))?;
                total += taken;
                if taken > 0 {
                    able.push(*capability);
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
    begun: Vec<u32>,
    left: Vec<u32>,
}

struct Run<'a> {
    preference: Preference<'a>,
    keys: Keys<'a>,
    bins: Bins<'a>,
    columns: Columns<'a>,
    compat: bool,
    /// The slots of each bin, by place: (place, cell).
    inside: Vec<Vec<(u8, u32)>>,
    /// Of each cell, the most rows that a capability could take in the beginning.
    sizes: Vec<u32>,
    /// More than all levels.
    width: usize,
    counts: Vec<Counts>,
    listed: Listed,
    charged: Charged,
    /// What the last turn of each capability found and left.
    rest: Vec<Option<Rest>>,
}

impl<'a> Run<'a> {
    fn new(preference: Preference<'a>, bins: Bins<'a>, columns: Columns<'a>, compat: bool) -> Result<Self> {
        let keys = preference.keys;
        let rows = keys.rows()?;
        let cells = bins.starts.len().saturating_sub(1);
        let listed = bins.starts.first() == Some(&0)
            && bins.starts.is_sorted()
            && bins.starts.last().map(|end| *end as usize) == Some(bins.bins.len())
            && (0..cells).all(|cell| u8::try_from(bins.slots(cell).len()).is_ok());
        let fits = bins.cell.len() == rows
            && columns.rows() == rows
            && bins.cell.par_iter().with_min_len(CHUNK).all(|cell| (*cell as usize) < cells);
        let width = usize::from(columns.most()) + 1;
        if !(listed && fits && u32::try_from(cells * width).is_ok()) {
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
        let mut counts = counted(&columns, bins.cell, cells * width, width)
            .ok_or_else(|| CoreError::Contract("levels beyond the highest".to_owned()))?;
        let mut sizes = vec![0; cells];
        for counts in &mut counts {
            for (size, levels) in sizes.iter_mut().zip(counts.chunks_exact_mut(width)) {
                // Level 0 is never taken.
                levels[0] = 0;
                *size = levels.iter().sum::<u32>().max(*size);
            }
        }
        let available = counts.iter().map(|counts| counts.iter().map(|num| u64::from(*num)).sum()).collect();
        let counts: Vec<Counts> = counts.into_iter().map(|begun| Counts { left: begun.clone(), begun }).collect();
        let charged = Charged { capability: vec![0; rows], place: vec![0; rows], turns: Vec::new(), available };
        let rest = counts.iter().map(|_| None).collect();
        let listed = Listed::nothing(columns.num(), cells * width);
        Ok(Self { preference, keys, bins, columns, compat, inside, sizes, width, counts, listed, charged, rest })
    }

    /// One turn of the first of these capabilities, of which the others follow: takes `part` rows, or what it has. Gives how
    /// many.
    fn turn(&mut self, round: u32, capabilities: &[usize], part: u64) -> Result<u64> {
        let capability = capabilities[0];
        let plans = self.plan(capability, part, vec![0; self.sizes.len() * self.width]);
        let mut found = self.found(capabilities, part, &plans);
        let (mut debt, mut taken) = (0, Vec::new());
        let mut rest = found.as_slice();
        for (number, plan) in plans.iter().enumerate() {
            let (mine, others) = rest.split_at(rest.partition_point(|candidate| candidate.bin as usize == number));
            rest = others;
            let wanted = (plan.quota + debt).min(part - taken.len() as u64);
            let before = taken.len();
            for candidate in mine {
                let at = candidate.at as usize;
                if taken.len() as u64 == before as u64 + wanted {
                    break;
                }
                if !self.listed.taken[at] {
                    self.listed.taken[at] = true;
                    let row = self.listed.rows[at] as usize;
                    self.charged.capability[row] = capability as u8 + 1;
                    self.charged.place[row] = candidate.place;
                    taken.push(candidate.at);
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
        found.retain(|candidate| !self.listed.taken[candidate.at as usize]);
        self.rest[capability] = Some(Rest::new(&plans, found));
        Ok(taken.len() as u64)
    }

    /// The rows that a turn may take, bin by bin. What the capability's last turn found and left is often enough: the
    /// rounds behind the first take few.
    fn found(&mut self, capabilities: &[usize], part: u64, plans: &[Plan]) -> Vec<Candidate> {
        let capability = capabilities[0];
        let rest = self.rest[capability].take();
        if let Some(found) = rest.and_then(|rest| self.left_of(&rest, capability, plans)) {
            return found;
        }
        let few = self.columns.scores(capability).is_none();
        let found = self.candidates(capabilities, part, plans, few);
        if few && !self.enough(plans, &found) {
            return self.candidates(capabilities, part, plans, false);
        }
        found
    }

    /// What was taken is not left to any capability.
    fn forget(&mut self, taken: &[u32]) {
        let (width, Listed { cells, levels, .. }) = (self.width, &self.listed);
        self.counts.par_iter_mut().zip(levels).for_each(|(counts, levels)| {
            for at in taken {
                let level = usize::from(levels[*at as usize]);
                if level > 0 {
                    counts.left[cells[*at as usize] as usize * width + level] -= 1;
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

/// How many rows there are of each capability, cell and level; None where a level is beyond the highest.
fn counted(columns: &Columns<'_>, cells: &[u32], size: usize, width: usize) -> Option<Vec<Vec<u32>>> {
    let (rows, num) = (columns.rows(), columns.num());
    if size * num > FEW {
        // Too many to be kept several times.
        let count = |capability: usize| {
            let mut counts = [vec![0; size]];
            let fits = columns.count(cells, width, 0..rows, capability..capability + 1, (1, &mut counts));
            fits.then(|| std::mem::take(&mut counts[0]))
        };
        return (0..num).into_par_iter().map(count).collect();
    }
    let part = |part: usize| {
        let mut counts = vec![vec![0; LANES * size]; num];
        let span = part * CHUNK..rows.min((part + 1) * CHUNK);
        columns.count(cells, width, span, 0..num, (LANES, &mut counts)).then_some(counts)
    };
    let add = |mut sums: Vec<Vec<u32>>, more: Vec<Vec<u32>>| {
        sums.iter_mut().flatten().zip(more.iter().flatten()).for_each(|(sum, more)| *sum += more);
        sums
    };
    let none = || vec![vec![0; LANES * size]; num];
    let mut counts = (0..rows.div_ceil(CHUNK)).into_par_iter().map(part).try_reduce(none, |a, b| Some(add(a, b)))?;
    for counts in &mut counts {
        let (first, others) = counts.split_at_mut(size);
        for lane in others.chunks_exact(size.max(1)) {
            first.iter_mut().zip(lane).for_each(|(sum, more)| *sum += more);
        }
        counts.truncate(size);
    }
    Some(counts)
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
        let capabilities: Vec<_> = codes.iter().map(|levels| Capability::new(levels, None)).collect();
        mmssr(Preference::new(7, keys, None).unwrap(), &able, bins, &capabilities, budget, compat).unwrap()
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
