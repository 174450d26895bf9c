//! The rows that turns may take, apart from all others.

use rayon::prelude::*;

use super::columns::BLOCK;
use super::{CHUNK, NONE, Run};
use crate::rank::keyed_hash;

/// Rows that nobody had taken when they were listed, in order, and what turns ask of them.
pub(super) struct Listed {
    pub(super) rows: Vec<u32>,
    pub(super) hashes: Vec<u64>,
    pub(super) cells: Vec<u32>,
    /// By capability.
    pub(super) levels: Vec<Vec<u8>>,
    /// 1 + the capability that took each since (0: none), and the place of its bin.
    pub(super) taker: Vec<u8>,
    pub(super) place: Vec<u8>,
    /// What was taken, turn after turn.
    pub(super) taken: Vec<u32>,
    /// By capability, for each cell and level: the brief hash (its upper half) below which all rows are listed.
    reach: Vec<Vec<u64>>,
    /// How many times as much as is expected is allowed for, in quarters.
    slack: u64,
}

impl Listed {
    pub(super) fn nothing(capabilities: usize, size: usize) -> Self {
        let reach = vec![vec![0; size]; capabilities];
        let levels = vec![Vec::new(); capabilities];
        Self {
            rows: Vec::new(),
            hashes: Vec::new(),
            cells: Vec::new(),
            levels,
            taker: Vec::new(),
            place: Vec::new(),
            taken: Vec::new(),
            reach,
            slack: 5,
        }
    }
}

/// The same of one chunk.
struct Part {
    rows: Vec<u32>,
    hashes: Vec<u64>,
    cells: Vec<u32>,
    levels: Vec<Vec<u8>>,
}

impl Run<'_> {
    /// Whether all rows that are left and lie within reach of a capability are listed.
    pub(super) fn is_listed(&self, capability: usize, reach: &[u64]) -> bool {
        let near = reach.iter().zip(&self.listed.reach[capability]);
        near.zip(&self.counts[capability].left).all(|((wanted, there), left)| *left == 0 || wanted <= there)
    }

    /// Lists the rows within reach of the first of these capabilities, and those that the others will want when their turns
    /// of `part` rows come: as far as can be told, which is only ever too much or done again.
    pub(super) fn list(&mut self, capabilities: &[usize], part: u64, reach: Vec<u64>) {
        (0..self.columns.num()).for_each(|capability| self.hear(capability));
        let mut all = vec![vec![0; reach.len()]; self.columns.num()];
        for (turns, capability) in capabilities.iter().enumerate() {
            all[*capability] = self.outlook(*capability, part, turns as u64 * self.listed.slack);
        }
        let own = &mut all[capabilities[0]];
        own.iter_mut().zip(reach).for_each(|(own, reach)| *own = reach.max(*own));
        self.charge();
        let chunks = self.columns.rows().div_ceil(CHUNK);
        let near = Near::new(self, &all);
        let parts: Vec<Part> = (0..chunks).into_par_iter().map(|chunk| self.part(chunk, &all, &near)).collect();
        let num = parts.iter().map(|part| part.rows.len()).sum();
        let numbers = (0..self.columns.num()).into_par_iter();
        let levels = numbers.map(|number| join(&parts, |part| part.levels[number].as_slice())).collect();
        let ((rows, hashes), cells) = rayon::join(
            || {
                rayon::join(
                    || join(&parts, |part| part.rows.as_slice()),
                    || join(&parts, |part| part.hashes.as_slice()),
                )
            },
            || join(&parts, |part| part.cells.as_slice()),
        );
        let slack = self.listed.slack.saturating_mul(2);
        let (taker, place) = (vec![0; num], vec![0; num]);
        self.listed = Listed { rows, hashes, cells, levels, taker, place, taken: Vec::new(), reach: all, slack };
        self.counts.iter_mut().for_each(|counts| counts.heard = 0);
        // They speak of places in the old list.
        self.rest.fill_with(|| None);
    }

    /// Notes what was taken of the list.
    pub(super) fn charge(&mut self) {
        let Listed { rows, taker, place, .. } = &self.listed;
        for (row, (taker, place)) in rows.iter().zip(taker.iter().zip(place)) {
            if *taker > 0 {
                (self.charged.capability[*row as usize], self.charged.place[*row as usize]) = (*taker, *place);
            }
        }
    }

    /// How far a capability will come when its turn comes, where each turn before it takes of each bin as much as its own;
    /// `turns` is how many, in quarters.
    fn outlook(&self, capability: usize, part: u64, turns: u64) -> Vec<u64> {
        let left = &self.counts[capability].left;
        let share = part / self.inside.len().max(1) as u64 + 1;
        // Of each cell, the part that will be gone, of 2^16.
        let mut gone = vec![0_u64; self.sizes.len()];
        for slots in &self.inside {
            let size: u64 = slots.iter().map(|(_, cell)| u64::from(self.sizes[*cell as usize])).sum();
            let lost = ((u128::from(share) * u128::from(turns)) << 14) / u128::from(size.max(1));
            for (_, cell) in slots {
                let gone = &mut gone[*cell as usize];
                *gone = (*gone).saturating_add(u64::try_from(lost).unwrap_or(u64::MAX)).min(1 << 16);
            }
        }
        let of_cell = |(cell, left): (usize, &[u32])| {
            let gone = gone[cell];
            left.iter().map(|left| ((u64::from(*left) * gone).div_ceil(1 << 16)) as u32).collect::<Vec<_>>()
        };
        let lost = left.chunks_exact(self.width).enumerate().flat_map(of_cell).collect();
        let plans = self.plan(capability, part, lost);
        self.reach(&self.aims(&plans, self.columns.scores(capability).is_none()))
    }

    /// The rows of a chunk that are within reach of any capability. Without branches: which rows are so is chance.
    fn part(&self, chunk: usize, reach: &[Vec<u64>], near: &Near) -> Part {
        let keys = self.keys;
        let levels = vec![Vec::new(); reach.len()];
        let mut found = Part { rows: Vec::new(), hashes: Vec::new(), cells: Vec::new(), levels };
        let end = self.columns.rows().min((chunk + 1) * CHUNK);
        let mut levels = vec![vec![0_u8; BLOCK]; reach.len()];
        let mut hashes = vec![0_u64; BLOCK];
        let (mut marks, mut places, mut listed) = (vec![false; BLOCK], vec![0_u32; BLOCK], vec![0_u32; BLOCK]);
        for first in (chunk * CHUNK..end).step_by(BLOCK) {
            let span = first..end.min(first + BLOCK);
            let cells = &self.bins.cell[span.clone()];
            let ids = keys.high[span.clone()].iter().zip(&keys.low[span.clone()]);
            for (hash, ((high, low), occurrence)) in hashes.iter_mut().zip(ids.zip(&keys.occurrence[span.clone()])) {
                *hash = keyed_hash(self.preference.seed, *high, *low, u64::from(*occurrence));
            }
            for (mark, (hash, cell)) in marks.iter_mut().zip(hashes.iter().zip(cells)) {
                *mark = *hash >> 32 < near.brief[*cell as usize];
            }
            for (capability, (levels, whole)) in levels.iter_mut().zip(&near.whole).enumerate() {
                self.columns.read(capability, first, &mut levels[..cells.len()]);
                if let Some(whole) = whole {
                    for (mark, (level, cell)) in marks.iter_mut().zip(levels.iter().zip(cells)) {
                        *mark |= u16::from(*level) >= whole[*cell as usize];
                    }
                }
            }
            let mut some = 0;
            for (at, (mark, taker)) in marks.iter().zip(&self.charged.capability[span.clone()]).enumerate() {
                places[some] = at as u32;
                some += usize::from(*mark) & usize::from(*taker == 0);
            }
            let places = &places[..some];
            marks[..some].fill(false);
            for (levels, reach) in levels.iter().zip(reach) {
                for (mark, at) in marks.iter_mut().zip(places) {
                    let at = *at as usize;
                    *mark |= hashes[at] >> 32 < reach[cells[at] as usize * self.width + usize::from(levels[at])];
                }
            }
            let mut some = 0;
            for (mark, at) in marks.iter().zip(places) {
                listed[some] = *at;
                some += usize::from(*mark);
            }
            let listed = &listed[..some];
            found.rows.extend(listed.iter().map(|at| first as u32 + at));
            found.hashes.extend(listed.iter().map(|at| hashes[*at as usize]));
            found.cells.extend(listed.iter().map(|at| cells[*at as usize]));
            for (found, levels) in found.levels.iter_mut().zip(&levels) {
                found.extend(listed.iter().map(|at| levels[*at as usize]));
            }
        }
        found
    }
}

/// What is soon told of a row: which rows it is worth looking at more closely.
struct Near {
    /// Of each cell the brief hash below which a row of any level may be within reach.
    brief: Vec<u64>,
    /// By capability, of each cell the least level that is within reach whatever the hash; None where no row has such a level.
    whole: Vec<Option<Vec<u16>>>,
}

impl Near {
    fn new(run: &Run<'_>, reach: &[Vec<u64>]) -> Self {
        let mut brief = vec![0; run.sizes.len()];
        let of_capability = |(reach, counts): (&Vec<u64>, &super::Counts)| {
            let mut least = vec![NONE; run.sizes.len()];
            let cells = reach.chunks_exact(run.width).zip(counts.left.chunks_exact(run.width));
            for ((brief, least), (reach, left)) in brief.iter_mut().zip(&mut least).zip(cells) {
                for (level, (reach, _)) in reach.iter().zip(left).enumerate().filter(|(_, (_, left))| **left > 0) {
                    if u32::try_from(*reach).is_ok() {
                        *brief = (*brief).max(*reach);
                    } else {
                        *least = (*least).min(level as u16);
                    }
                }
            }
            least.iter().any(|least| *least < NONE).then_some(least)
        };
        let whole = reach.iter().zip(&run.counts).map(of_capability).collect();
        Self { brief, whole }
    }
}

fn join<T: Copy>(parts: &[Part], of: impl Fn(&Part) -> &[T]) -> Vec<T> {
    parts.iter().map(of).collect::<Vec<_>>().concat()
}
