//! The rows that turns may take, apart from all others.

use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering::Relaxed;

use rayon::prelude::*;

use super::candidates::Candidate;
use super::columns::BLOCK;
use super::{CHUNK, Charged, NONE, Run};
use crate::rank::keyed_hash;

/// Rows that nobody had taken when they were listed, in order, and what turns ask of them: a part for each chunk of all rows.
/// The place of a row in the list is the number of its part, and behind it, with 16 bits, its own in that part.
pub(super) struct Listed {
    parts: Vec<Part>,
    /// By capability, for each cell and level: the brief hash (its upper half) below which all rows are listed.
    reach: Vec<Vec<u64>>,
    /// How many times as much as is expected is allowed for, in quarters.
    slack: u64,
}

/// The listed rows of a chunk.
#[derive(Default)]
struct Part {
    /// Their places in the chunk.
    rows: Vec<u16>,
    hashes: Vec<u64>,
    cells: Vec<u32>,
    /// Row by row, those of all capabilities.
    levels: Vec<u8>,
    /// By capability, which of them are within its reach, in order.
    within: Vec<Vec<u16>>,
    /// 1 + the capability that took each since (0: none), above the place of its bin. Several threads note what they take.
    taker: Vec<AtomicU16>,
}

impl Listed {
    pub(super) fn nothing(capabilities: usize, size: usize) -> Self {
        Self { parts: Vec::new(), reach: vec![vec![0; size]; capabilities], slack: 5 }
    }

    fn find(&self, at: u32) -> (&Part, usize) {
        (&self.parts[at as usize / CHUNK], at as usize % CHUNK)
    }

    pub(super) fn row(&self, at: u32) -> u32 {
        let (part, here) = self.find(at);
        at - here as u32 + u32::from(part.rows[here])
    }

    pub(super) fn hash(&self, at: u32) -> u64 {
        let (part, here) = self.find(at);
        part.hashes[here]
    }

    /// The cell of a row, and its levels.
    pub(super) fn levels(&self, at: u32) -> (usize, &[u8]) {
        let ((part, here), num) = (self.find(at), self.reach.len());
        (part.cells[here] as usize, &part.levels[here * num..(here + 1) * num])
    }

    /// Whether nobody has taken a row.
    pub(super) fn is_left(&self, at: u32) -> bool {
        let (part, here) = self.find(at);
        part.taker[here].load(Relaxed) == 0
    }

    pub(super) fn num_parts(&self) -> usize {
        self.parts.len()
    }

    /// The rows of a part that nobody has taken and that a capability may seek, by its reach for each cell and `width` levels.
    /// Without a branch: which are is chance.
    pub(super) fn reached(&self, part: usize, capability: usize, reach: &[u64], width: usize) -> Vec<u32> {
        let Part { hashes, cells, levels, within, taker, .. } = &self.parts[part];
        let within = &within[capability];
        let mut places = vec![0; within.len() + 1];
        let mut left = 0;
        for place in within {
            places[left] = u32::from(*place);
            left += usize::from(taker[usize::from(*place)].load(Relaxed) == 0);
        }
        let mut num = 0;
        for number in 0..left {
            let at = places[number] as usize;
            let reach = reach[cells[at] as usize * width + usize::from(levels[at * self.reach.len() + capability])];
            places[num] = (part * CHUNK + at) as u32;
            num += usize::from(hashes[at] >> 32 < reach);
        }
        places.truncate(num);
        places
    }

    /// A capability takes the first `wanted` of these that are left; gives how many there were.
    pub(super) fn take(&self, mine: &[Candidate], wanted: u64, capability: usize) -> u64 {
        let mut got = 0;
        for Candidate { at, place, .. } in mine {
            if got == wanted {
                break;
            }
            if self.is_left(*at) {
                let (part, here) = self.find(*at);
                part.taker[here].store((capability as u16 + 1) << 8 | u16::from(*place), Relaxed);
                got += 1;
            }
        }
        got
    }

    /// What a turn took of what it found, in order, so that what is near in memory is looked at together.
    pub(super) fn taken_of(&self, reached: Option<&[Vec<u32>]>, bins: &[Vec<Candidate>]) -> Vec<u32> {
        let taken = |at: &u32| !self.is_left(*at);
        if let Some(reached) = reached {
            return reached.par_iter().flat_map_iter(|part| part.iter().copied().filter(taken)).collect();
        }
        let mut places: Vec<u32> = bins.iter().flatten().map(|candidate| candidate.at).filter(taken).collect();
        places.sort_unstable();
        places.dedup();
        places
    }
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
        self.charge();
        let chunks = self.columns.rows().div_ceil(CHUNK);
        let near = Near::new(self, &all);
        let parts = (0..chunks).into_par_iter().map(|chunk| self.part(chunk, &all, &near)).collect();
        self.listed = Listed { parts, reach: all, slack: self.listed.slack.saturating_mul(2) };
        // They speak of places in the old list.
        self.rest.fill_with(|| None);
    }

    /// Notes what was taken of the list.
    pub(super) fn charge(&mut self) {
        let Charged { capability, place, .. } = &mut self.charged;
        let chunks = capability.par_chunks_mut(CHUNK).zip(place.par_chunks_mut(CHUNK));
        chunks.zip(&self.listed.parts).for_each(|((capability, place), part)| {
            for (row, taker) in part.rows.iter().zip(&part.taker) {
                let [own, bin] = taker.load(Relaxed).to_be_bytes();
                if own > 0 {
                    (capability[usize::from(*row)], place[usize::from(*row)]) = (own, bin);
                }
            }
        });
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
        let mut found = Part { within: vec![Vec::new(); reach.len()], ..Part::default() };
        let end = self.columns.rows().min((chunk + 1) * CHUNK);
        let mut levels = vec![vec![0_u8; BLOCK]; reach.len()];
        let mut hashes = vec![0_u64; BLOCK];
        let mut old = vec![0; reach.len()];
        let (mut marks, mut places, mut listed) = (vec![false; BLOCK], vec![0_u32; BLOCK], vec![0_u32; BLOCK]);
        let (mut mine, mut numbers) = (vec![0_u16; BLOCK + 1], vec![0_u16; BLOCK]);
        let (mut briefs, mut bases) = (vec![0_u64; BLOCK], vec![0_u32; BLOCK]);
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
            for ((brief, base), at) in briefs.iter_mut().zip(&mut bases).zip(places) {
                (*brief, *base) = (hashes[*at as usize] >> 32, cells[*at as usize] * self.width as u32);
            }
            for ((levels, reach), within) in levels.iter().zip(reach).zip(&mut found.within) {
                let mut some = 0;
                let asked = places.iter().zip(briefs.iter().zip(&bases));
                for (number, (mark, (at, (brief, base)))) in marks.iter_mut().zip(asked).enumerate() {
                    let near = *brief < reach[*base as usize + usize::from(levels[*at as usize])];
                    *mark |= near;
                    mine[some] = number as u16;
                    some += usize::from(near);
                }
                within.extend_from_slice(&mine[..some]);
            }
            let mut some = 0;
            for ((mark, at), number) in marks.iter().zip(places).zip(&mut numbers) {
                listed[some] = *at;
                *number = (found.rows.len() + some) as u16;
                some += usize::from(*mark);
            }
            for (within, from) in found.within.iter_mut().zip(&mut old) {
                within[*from..].iter_mut().for_each(|place| *place = numbers[usize::from(*place)]);
                *from = within.len();
            }
            let listed = &listed[..some];
            found.rows.extend(listed.iter().map(|at| (first % CHUNK) as u16 + *at as u16));
            found.hashes.extend(listed.iter().map(|at| hashes[*at as usize]));
            found.cells.extend(listed.iter().map(|at| cells[*at as usize]));
            for at in listed {
                found.levels.extend(levels.iter().map(|levels| levels[*at as usize]));
            }
        }
        found.taker = found.rows.iter().map(|_| AtomicU16::new(0)).collect();
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
