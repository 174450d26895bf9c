//! The rows that turns may take, apart from all others.

use rayon::prelude::*;

use super::columns::BLOCK;
use super::{CHUNK, Run};
use crate::rank::keyed_hash;

/// Rows that nobody had taken when they were listed, in order, and what turns ask of them.
pub(super) struct Listed {
    pub(super) rows: Vec<u32>,
    pub(super) hashes: Vec<u64>,
    pub(super) cells: Vec<u32>,
    /// By capability.
    pub(super) levels: Vec<Vec<u8>>,
    pub(super) taken: Vec<bool>,
    /// By capability, for each cell and level: the brief hash (its upper half) below which all rows are listed.
    reach: Vec<Vec<u64>>,
    /// How many times as much as is expected is allowed for, in quarters.
    slack: u64,
}

impl Listed {
    pub(super) fn nothing(capabilities: usize, size: usize) -> Self {
        let reach = vec![vec![0; size]; capabilities];
        let levels = vec![Vec::new(); capabilities];
        Self { rows: Vec::new(), hashes: Vec::new(), cells: Vec::new(), levels, taken: Vec::new(), reach, slack: 5 }
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
        let mut all = vec![vec![0; reach.len()]; self.columns.num()];
        for (turns, capability) in capabilities.iter().enumerate() {
            all[*capability] = self.outlook(*capability, part, turns as u64 * self.listed.slack);
        }
        let own = &mut all[capabilities[0]];
        own.iter_mut().zip(reach).for_each(|(own, reach)| *own = reach.max(*own));
        let chunks = self.columns.rows().div_ceil(CHUNK);
        let parts: Vec<Part> = (0..chunks).into_par_iter().map(|chunk| self.part(chunk, &all)).collect();
        let rows = parts.iter().flat_map(|part| part.rows.iter().copied()).collect::<Vec<_>>();
        let levels = (0..self.columns.num()).into_par_iter();
        self.listed = Listed {
            hashes: parts.iter().flat_map(|part| part.hashes.iter().copied()).collect(),
            cells: parts.iter().flat_map(|part| part.cells.iter().copied()).collect(),
            levels: levels.map(|number| parts.iter().map(|part| part.levels[number].as_slice()).collect::<Vec<_>>().concat()).collect(),
            taken: vec![false; rows.len()],
            rows,
            reach: all,
            slack: self.listed.slack.saturating_mul(2),
        };
        // They speak of places in the old list.
        self.rest.fill_with(|| None);
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
    fn part(&self, chunk: usize, reach: &[Vec<u64>]) -> Part {
        let keys = self.keys;
        let mut found = Part { rows: Vec::new(), hashes: Vec::new(), cells: Vec::new(), levels: vec![Vec::new(); reach.len()] };
        let end = self.columns.rows().min((chunk + 1) * CHUNK);
        let mut levels = vec![vec![0_u8; BLOCK]; reach.len()];
        let (mut hashes, mut near, mut bases) = (vec![0_u64; BLOCK], vec![false; BLOCK], vec![0_u32; BLOCK]);
        let mut places = vec![0_u32; BLOCK];
        for first in (chunk * CHUNK..end).step_by(BLOCK) {
            let span = first..end.min(first + BLOCK);
            let num = span.len();
            let columns = keys.high[span.clone()].iter().zip(&keys.low[span.clone()]).zip(&keys.occurrence[span.clone()]);
            for (hash, ((high, low), occurrence)) in hashes.iter_mut().zip(columns) {
                *hash = keyed_hash(self.preference.seed, *high, *low, u64::from(*occurrence));
            }
            for (base, cell) in bases.iter_mut().zip(&self.bins.cell[span.clone()]) {
                *base = *cell * self.width as u32;
            }
            near.fill(false);
            for (capability, (levels, reach)) in levels.iter_mut().zip(reach).enumerate() {
                self.columns.read(capability, first, &mut levels[..num]);
                for ((near, hash), (base, level)) in near.iter_mut().zip(&hashes).zip(bases.iter().zip(&levels[..num])) {
                    *near |= *hash >> 32 < reach[*base as usize + usize::from(*level)];
                }
            }
            let mut some = 0;
            for (at, (near, taker)) in near.iter().zip(&self.charged.capability[span.clone()]).enumerate() {
                places[some] = at as u32;
                some += usize::from(*near & (*taker == 0));
            }
            let places = &places[..some];
            found.rows.extend(places.iter().map(|at| first as u32 + at));
            found.hashes.extend(places.iter().map(|at| hashes[*at as usize]));
            found.cells.extend(places.iter().map(|at| self.bins.cell[first + *at as usize]));
            for (found, levels) in found.levels.iter_mut().zip(&levels) {
                found.extend(places.iter().map(|at| levels[*at as usize]));
            }
        }
        found
    }
}
