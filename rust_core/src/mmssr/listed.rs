//! The rows that turns may take, apart from all others.

use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering::Relaxed;

use rayon::prelude::*;

use super::candidates::Candidate;
use super::listing::{Room, Sight};
use super::{CHUNK, Charged, Counts, Run};

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
pub(super) struct Part {
    /// Their places in the chunk.
    pub(super) rows: Vec<u16>,
    pub(super) cells: Vec<u32>,
    /// By capability.
    pub(super) levels: Vec<Vec<u8>>,
    /// By capability, those that are within its reach, in order.
    pub(super) within: Vec<Vec<Near>>,
    /// 1 + the capability that took each since (0: none), above the place of its bin. Several threads note what they take.
    pub(super) taker: Vec<AtomicU16>,
}

/// A row that a capability may seek: what it asks of it lies together, since it asks this of few of all that are listed.
#[derive(Clone, Copy)]
pub(super) struct Near {
    pub(super) hash: u64,
    /// Its cell and level, as counts have them.
    pub(super) spot: u32,
    /// Its place in the part.
    pub(super) place: u16,
    pub(super) level: u8,
}

/// A row that a turn may take, and nobody has taken.
pub(super) struct Reached {
    pub(super) at: u32,
    pub(super) cell: usize,
    pub(super) level: u8,
    pub(super) hash: u64,
}

impl Part {
    pub(super) fn of(capabilities: usize) -> Self {
        Self { levels: vec![Vec::new(); capabilities], within: vec![Vec::new(); capabilities], ..Self::default() }
    }

    /// Nothing, with all of its memory.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.cells.clear();
        self.levels.iter_mut().for_each(Vec::clear);
        self.within.iter_mut().for_each(Vec::clear);
    }

    /// The same rows, of which nobody has taken any, in no more memory than they need.
    pub(super) fn untaken(&self) -> Self {
        let taker = self.rows.iter().map(|_| AtomicU16::new(0)).collect();
        let Self { rows, cells, levels, within, .. } = self;
        Self { rows: rows.clone(), cells: cells.clone(), levels: levels.clone(), within: within.clone(), taker }
    }
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

    /// The cell of a row, and its level of a capability.
    pub(super) fn level(&self, at: u32, capability: usize) -> (usize, u8) {
        let (part, here) = self.find(at);
        (part.cells[here] as usize, part.levels[capability][here])
    }

    /// Whether nobody has taken a row.
    pub(super) fn is_left(&self, at: u32) -> bool {
        let (part, here) = self.find(at);
        part.taker[here].load(Relaxed) == 0
    }

    pub(super) fn rows(&self) -> usize {
        self.parts.iter().map(|part| part.rows.len()).sum()
    }

    pub(super) fn num_parts(&self) -> usize {
        self.parts.len()
    }

    /// The rows of a part that nobody has taken and that a capability may seek, by its reach for each cell and `width` levels.
    /// Without a branch: which are is chance.
    pub(super) fn reached(
        &self,
        part: usize,
        capability: usize,
        reach: &[u64],
        width: usize,
    ) -> impl Iterator<Item = Reached> {
        let Part { within, taker, .. } = &self.parts[part];
        let within = &within[capability];
        let (mut numbers, mut num) = (vec![0_u16; within.len() + 1], 0);
        for (number, Near { hash, spot, place, .. }) in within.iter().enumerate() {
            numbers[num] = number as u16;
            let left = usize::from(taker[usize::from(*place)].load(Relaxed) == 0);
            num += left & usize::from(*hash >> 32 < reach[*spot as usize]);
        }
        numbers.truncate(num);
        numbers.into_iter().map(move |number| {
            let Near { hash, spot, place, level } = within[usize::from(number)];
            let cell = (spot - u32::from(level)) / width as u32;
            Reached { at: (part * CHUNK) as u32 + u32::from(place), cell: cell as usize, level, hash }
        })
    }

    /// How many rows of each cell and level of a capability were taken of the list.
    pub(super) fn taken_by_place(&self, capability: usize, size: usize, width: usize) -> Vec<u32> {
        let gone = |mut gone: Vec<u32>, Part { cells, levels, taker, .. }: &Part| {
            for ((cell, level), taker) in cells.iter().zip(&levels[capability]).zip(taker) {
                gone[*cell as usize * width + usize::from(*level)] += u32::from(taker.load(Relaxed) > 0);
            }
            gone
        };
        let add = |mut sum: Vec<u32>, more: Vec<u32>| {
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            sum
        };
        let parts = self.parts.par_iter().with_min_len(self.parts.len().div_ceil(rayon::current_num_threads() * 2));
        let mut gone = parts.fold(|| vec![0; size], gone).reduce(|| vec![0; size], add);
        // Level 0 is never taken.
        gone.iter_mut().step_by(width).for_each(|gone| *gone = 0);
        gone
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

    /// Gives memory back: there is much of it, in many pieces.
    pub(super) fn drop_together(self) {
        self.parts.into_par_iter().for_each(drop);
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
        self.hear(0..self.columns.num());
        let mut all = vec![vec![0; reach.len()]; self.columns.num()];
        for (turns, capability) in capabilities.iter().enumerate() {
            all[*capability] = self.outlook(*capability, part, turns as u64 * self.listed.slack);
        }
        let own = &mut all[capabilities[0]];
        own.iter_mut().zip(reach).for_each(|(own, reach)| *own = reach.max(*own));
        self.charge();
        let chunks = self.columns.rows().div_ceil(CHUNK);
        let sight = Sight::new(self, &all);
        let room = || Room::new(all.len());
        let part = |room: &mut Room, chunk| self.part(chunk, &all, &sight, room);
        let parts = (0..chunks).into_par_iter().map_init(room, part).collect();
        self.listed = Listed { parts, reach: all, slack: self.listed.slack.saturating_mul(2) };
        // They speak of places in the old list.
        self.rest.fill_with(|| None);
        self.taken.clear();
        self.heard.fill(Some(0));
        for Counts { left, listed, .. } in &mut self.counts {
            listed.clone_from(left);
        }
    }

    /// Notes what was taken of the list.
    pub(super) fn charge(&mut self) {
        let Charged { capability, place, .. } = &mut self.charged;
        let chunks = capability.par_chunks_mut(CHUNK).zip(place.par_chunks_mut(CHUNK));
        chunks.zip(&self.listed.parts).for_each(|((capability, place), part)| {
            for (row, taker) in part.rows.iter().zip(&part.taker) {
                // Nobody had taken it when it was listed.
                [capability[usize::from(*row)], place[usize::from(*row)]] = taker.load(Relaxed).to_be_bytes();
            }
        });
    }
}
