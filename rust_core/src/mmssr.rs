//! mmSSR (arXiv 2503.13383): capabilities take turns, and each takes the best of every bin.
//!
//! A turn knows from counts alone how far into each bin it can come, so that one pass over the rows finds the few that
//! it may take, and only those are sorted.

use rayon::prelude::*;

use crate::best::Preference;
use crate::error::{CoreError, Result};
use crate::rank::Keys;

/// Rows that one task works on.
const CHUNK: usize = 1 << 16;
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

/// A row that a turn may take of a bin.
#[derive(Clone, Copy)]
struct Candidate {
    /// The place of the bin in the order of the turn.
    bin: u32,
    row: u32,
    /// The place of the bin among the row's own.
    place: u8,
    /// What goes before the hash: level and place, or place and level.
    grade: (u64, u64),
    hash: u64,
}

/// What a turn is to take of a bin. `end` is how far it can come: level, place, and how many rows of those are needed.
struct Plan {
    bin: usize,
    quota: u64,
    end: Option<End>,
}

#[derive(Clone, Copy)]
struct End {
    level: usize,
    place: Option<u8>,
    keep: u64,
    of: u64,
}

struct Run<'a> {
    preference: Preference<'a>,
    keys: Keys<'a>,
    bins: Bins<'a>,
    capabilities: &'a [Capability<'a>],
    compat: bool,
    /// The slots of each bin, by place: (place, cell).
    inside: Vec<Vec<(u8, u32)>>,
    /// For each capability, the number of its levels (with 0), and the rows left of each cell and level.
    left: Vec<(usize, Vec<u32>)>,
    charged: Charged,
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
            && (0..cells).all(|cell| bins.slots(cell).len() <= usize::from(u8::MAX));
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
        inside.iter_mut().for_each(|slots| slots.sort_unstable());
        let left = capabilities.par_iter().map(|capability| count(bins.cell, capability.levels, cells)).collect();
        let charged = Charged { capability: vec![0; rows], place: vec![0; rows], turns: Vec::new() };
        Ok(Self { preference, keys, bins, capabilities, compat, inside, left, charged })
    }

    /// One turn of one capability: takes `part` rows, or what it has. Gives how many.
    fn turn(&mut self, round: u32, capability: usize, part: u64) -> Result<u64> {
        let plans = self.plan(capability, part);
        let mut found = self.candidates(capability, &plans, true);
        if self.capabilities[capability].scores.is_none() && !self.enough(&plans, &found) {
            found = self.candidates(capability, &plans, false);
        }
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
        self.forget(&taken);
        Ok(taken.len() as u64)
    }

    /// The bins of a turn, smallest first, each with its quota, and how far into it the turn can come at most.
    ///
    /// A bin may lack rows that smaller ones have taken: `gone` bounds how many of each cell and level those can be.
    fn plan(&self, capability: usize, part: u64) -> Vec<Plan> {
        let (width, left) = (self.left[capability].0, &self.left[capability].1);
        let totals: Vec<u64> = left.chunks_exact(width).map(|of| of.iter().map(|num| u64::from(*num)).sum()).collect();
        let size = |bin: usize| self.inside[bin].iter().map(|(_, cell)| totals[*cell as usize]).sum::<u64>();
        let mut order: Vec<(u64, usize)> = (0..self.inside.len()).map(|bin| (size(bin), bin)).collect();
        order.retain(|(size, _)| *size > 0);
        order.sort_unstable();
        let (share, over) = (part / order.len().max(1) as u64, part % order.len().max(1) as u64);
        let mut gone = vec![0_u32; left.len()];
        let (mut plans, mut debt, mut sure) = (Vec::with_capacity(order.len()), 0, 0);
        for (number, (_, bin)) in order.into_iter().enumerate() {
            let quota = if self.compat { share.max(1) } else { share + u64::from((number as u64) < over) };
            let wanted = (quota + debt).min(part);
            if wanted == 0 {
                continue;
            }
            let (end, had) = self.end(capability, bin, wanted, &mut gone);
            plans.push(Plan { bin, quota, end });
            debt = wanted - had;
            sure += had.min(quota);
            if sure >= part {
                break;
            }
        }
        plans
    }

    /// How far a turn can come into a bin of which it takes `wanted`, and how many of them there are in any case.
    fn end(&self, capability: usize, bin: usize, wanted: u64, gone: &mut [u32]) -> (Option<End>, u64) {
        let (width, left) = (self.left[capability].0, &self.left[capability].1);
        let slots = &self.inside[bin];
        let mut had = 0;
        for (level, place) in self.grades(capability, slots) {
            let group = place.map_or(slots.as_slice(), |place| at_place(slots, place));
            let here = || group.iter().map(|(_, cell)| *cell as usize * width + level);
            let of: u64 = here().map(|at| u64::from(left[at])).sum();
            let absent: u64 = here().map(|at| u64::from(gone[at])).sum();
            let more = (of - absent).min(wanted - had);
            for at in here() {
                gone[at] = left[at].min(gone[at].saturating_add(u32::try_from(more).unwrap_or(u32::MAX)));
            }
            had += more;
            if had == wanted {
                return (Some(End { level, place, keep: more + absent, of }), had);
            }
        }
        (None, had)
    }

    /// The levels and places of a bin in the order in which it is taken; no place means all of them together.
    fn grades(&self, capability: usize, slots: &[(u8, u32)]) -> Vec<(usize, Option<u8>)> {
        let mut places: Vec<u8> = slots.iter().map(|(place, _)| *place).collect();
        places.dedup();
        let levels = (1..self.left[capability].0).rev();
        if self.compat {
            places.iter().flat_map(|place| levels.clone().map(|level| (level, Some(*place)))).collect()
        } else if self.capabilities[capability].scores.is_some() {
            levels.map(|level| (level, None)).collect()
        } else {
            levels.flat_map(|level| places.iter().map(move |place| (level, Some(*place)))).collect()
        }
    }

    /// The rows that a turn may take, bin by bin, as they are taken.
    ///
    /// Rows of the last level and place are taken by their hashes. With `few`, only those with the smallest are found,
    /// about as many as are needed.
    fn candidates(&self, capability: usize, plans: &[Plan], few: bool) -> Vec<Candidate> {
        let Capability { levels, scores } = self.capabilities[capability];
        let cells = self.bins.starts.len() - 1;
        // For each slot: the number of the bin, the least level, and the level whose hashes end at a bound.
        let mut wanted = vec![(0_u32, NONE, 0_u16, 0_u64); self.bins.bins.len()];
        let mut least = vec![NONE; cells];
        for (number, plan) in plans.iter().enumerate() {
            let bound = plan.end.map_or(u64::MAX, |end| if few && scores.is_none() { end.bound() } else { u64::MAX });
            for (place, cell) in &self.inside[plan.bin] {
                let cell = *cell as usize;
                let from = plan.end.map_or(1, |end| end.least(*place, self.compat));
                let last = plan.end.filter(|end| end.place == Some(*place)).map_or(0, |end| end.level as u16);
                wanted[self.bins.starts[cell] as usize + usize::from(*place)] = (number as u32, from, last, bound);
                least[cell] = least[cell].min(from);
            }
        }
        let (rows, finely) = (levels.len(), Preference { scores, ..self.preference });
        let mut found: Vec<Candidate> = (0..rows.div_ceil(CHUNK))
            .into_par_iter()
            .flat_map_iter(|chunk| {
                let mut found = Vec::new();
                for row in chunk * CHUNK..rows.min((chunk + 1) * CHUNK) {
                    let (level, cell) = (u16::from(levels[row]), self.bins.cell[row] as usize);
                    if level < least[cell] || level == 0 || self.charged.capability[row] != 0 {
                        continue;
                    }
                    let hash = self.preference.name(row as u32).0;
                    let worse = if scores.is_some() { finely.level(row) } else { u64::from(NONE - level) };
                    for (place, slot) in self.bins.slots(cell).enumerate() {
                        let (bin, from, last, bound) = wanted[slot];
                        if level >= from && (level != last || hash <= bound) {
                            let (row, place) = (row as u32, place as u8);
                            found.push(Candidate { bin, row, place, grade: grade(worse, place, self.compat), hash });
                        }
                    }
                }
                found
            })
            .collect();
        let order = |candidate: &Candidate| (candidate.bin, candidate.grade, candidate.hash);
        found.par_sort_unstable_by(|a, b| {
            order(a).cmp(&order(b)).then_with(|| self.keys.tie(a.row).cmp(&self.keys.tie(b.row)))
        });
        found
    }

    /// Whether all that was needed of the last level and place of every bin was found.
    fn enough(&self, plans: &[Plan], found: &[Candidate]) -> bool {
        plans.iter().enumerate().all(|(number, plan)| {
            plan.end.is_none_or(|end| {
                let last = (number as u32, grade(end.worse(), end.place.unwrap_or(0), self.compat));
                let from = found.partition_point(|candidate| (candidate.bin, candidate.grade) < last);
                let to = found.partition_point(|candidate| (candidate.bin, candidate.grade) <= last);
                (to - from) as u64 >= end.keep
            })
        })
    }

    /// What was taken is not left to any capability.
    fn forget(&mut self, taken: &[u32]) {
        let cell = self.bins.cell;
        self.left.par_iter_mut().zip(self.capabilities).for_each(|((width, left), capability)| {
            for row in taken {
                let level = usize::from(capability.levels[*row as usize]);
                if level > 0 {
                    left[cell[*row as usize] as usize * *width + level] -= 1;
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

impl End {
    fn worse(&self) -> u64 {
        u64::from(NONE) - self.level as u64
    }

    /// The least level that is needed of the rows whose `place`th bin it is.
    fn least(&self, place: u8, compat: bool) -> u16 {
        let level = self.level as u16;
        match self.place {
            None => level,
            Some(last) if place == last => level,
            Some(last) if place < last => {
                if compat {
                    1
                } else {
                    level
                }
            }
            Some(_) => {
                if compat {
                    NONE
                } else {
                    level + 1
                }
            }
        }
    }

    /// A hash below which there are almost surely as many rows as are needed, of all that end a bin.
    fn bound(&self) -> u64 {
        let ample = self.keep + 8 * self.keep.isqrt() + 32;
        if ample >= self.of {
            u64::MAX
        } else {
            u64::try_from((u128::from(ample) << 64) / u128::from(self.of)).unwrap_or(u64::MAX)
        }
    }
}

fn at_place(slots: &[(u8, u32)], place: u8) -> &[(u8, u32)] {
    &slots[slots.partition_point(|slot| slot.0 < place)..slots.partition_point(|slot| slot.0 <= place)]
}

/// How many rows there are of each cell and level, and the number of levels.
fn count(cell: &[u32], levels: &[u8], cells: usize) -> (usize, Vec<u32>) {
    let width = levels.par_iter().max().map_or(1, |most| usize::from(*most) + 1);
    let part = cell.len().div_ceil(rayon::current_num_threads()).max(CHUNK);
    let mut left = cell
        .par_chunks(part)
        .zip(levels.par_chunks(part))
        .map(|(cell, levels)| {
            let mut left = vec![0_u32; cells * width];
            for (cell, level) in cell.iter().zip(levels) {
                left[*cell as usize * width + usize::from(*level)] += 1;
            }
            left
        })
        .reduce(
            || vec![0; cells * width],
            |mut a, b| {
                a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
                a
            },
        );
    // Level 0 is never taken.
    left.iter_mut().step_by(width).for_each(|none| *none = 0);
    (width, left)
}
