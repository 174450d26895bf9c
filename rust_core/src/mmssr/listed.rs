//! The rows that turns may take, apart from all others.

use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering::Relaxed;

use rayon::prelude::*;

use super::candidates::Candidate;
use super::columns::BLOCK;
use super::{CHUNK, Charged, Counts, NONE, Run};
use crate::rank::{Keys, keyed_hash};

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
    cells: Vec<u32>,
    /// By capability.
    levels: Vec<Vec<u8>>,
    /// By capability, those that are within its reach, in order.
    within: Vec<Vec<Near>>,
    /// 1 + the capability that took each since (0: none), above the place of its bin. Several threads note what they take.
    taker: Vec<AtomicU16>,
}

/// A row that a capability may seek: what it asks of it lies together, since it asks this of few of all that are listed.
#[derive(Clone, Copy)]
struct Near {
    hash: u64,
    /// Its cell and level, as counts have them.
    spot: u32,
    /// Its place in the part.
    place: u16,
    level: u8,
}

/// A row that a turn may take, and nobody has taken.
pub(super) struct Reached {
    pub(super) at: u32,
    pub(super) cell: usize,
    pub(super) level: u8,
    pub(super) hash: u64,
}

impl Part {
    fn of(capabilities: usize) -> Self {
        Self { levels: vec![Vec::new(); capabilities], within: vec![Vec::new(); capabilities], ..Self::default() }
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
            let left = taker[usize::from(*place)].load(Relaxed) == 0;
            num += usize::from(left & (*hash >> 32 < reach[*spot as usize]));
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
        let parts = (0..chunks).into_par_iter().map(|chunk| self.part(chunk, &all, &sight)).collect();
        self.listed = Listed { parts, reach: all, slack: self.listed.slack.saturating_mul(2) };
        // They speak of places in the old list.
        self.rest.fill_with(|| None);
        self.taken.clear();
        self.heard.fill(0);
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

    /// How far a capability will come when its turn comes, where each turn before it takes of each bin as much as its own;
    /// `turns` is how many, in quarters.
    fn outlook(&self, capability: usize, part: u64, turns: u64) -> Vec<u64> {
        let left = &self.counts[capability].left;
        let share = part / self.inside.len().max(1) as u64 + 1;
        // Turns take of all that any capability can take, which is more than what one can.
        let most = self.charged.available.iter().max().map_or(1, |most| (*most).max(1));
        // Of each cell, the part that will be gone, of 2^16.
        let mut gone = vec![0_u64; self.sizes.len()];
        for slots in &self.inside {
            let size: u64 = slots.iter().map(|(_, cell)| u64::from(self.sizes[*cell as usize])).sum();
            let size = u128::from(size.max(1)) * u128::from(self.charged.any);
            let lost = ((u128::from(share) * u128::from(turns) * u128::from(most)) << 14) / size.max(1);
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
    fn part(&self, chunk: usize, reach: &[Vec<u64>], sight: &Sight) -> Part {
        let Keys { high, low, occurrence, .. } = self.keys;
        let mut found = Part::of(reach.len());
        let end = self.columns.rows().min((chunk + 1) * CHUNK);
        let (mut marks, mut places, mut room) = (vec![false; BLOCK], vec![0_u16; BLOCK + 1], Vec::new());
        let (mut hashes, mut bases) = (vec![0_u64; BLOCK + 1], vec![0_u32; BLOCK]);
        let mut levels = vec![vec![0_u8; BLOCK]; reach.len()];
        let (mut mine, mut numbers) = (vec![0_u16; BLOCK + 1], vec![0_u16; BLOCK]);
        let mut old = vec![0; reach.len()];
        for first in (chunk * CHUNK..end).step_by(BLOCK) {
            let span = first..end.min(first + BLOCK);
            let cells = &self.bins.cell[span.clone()];
            marks.fill(false);
            for (capability, whole) in sight.whole.iter().enumerate() {
                if let Some(whole) = whole {
                    let (kept, scale) = self.columns.kept(capability, span.clone(), &mut room);
                    for (mark, (kept, cell)) in marks.iter_mut().zip(kept.iter().zip(cells)) {
                        *mark |= u16::from(scale.level(*kept)) >= whole[*cell as usize];
                    }
                }
            }
            let mut some = 0;
            let ids = high[span.clone()].iter().zip(&low[span.clone()]).zip(&occurrence[span.clone()]);
            let free = self.columns.able()[span.clone()].iter().zip(&self.charged.capability[span.clone()]);
            let rows = marks.iter().zip(cells).zip(ids).zip(free).enumerate();
            for (at, (((mark, cell), ((high, low), occurrence)), (able, taker))) in rows {
                let hash = keyed_hash(self.preference.seed, *high, *low, u64::from(*occurrence));
                (places[some], hashes[some]) = (at as u16, hash);
                let near = *mark | (hash >> 32 < sight.brief[*cell as usize]);
                some += usize::from(near & *able & (*taker == 0));
            }
            let places = &places[..some];
            for (base, at) in bases.iter_mut().zip(places) {
                *base = cells[usize::from(*at)] * self.width as u32;
            }
            marks[..some].fill(false);
            for (capability, (levels, reach)) in levels.iter_mut().zip(reach).enumerate() {
                let (kept, scale) = self.columns.kept(capability, span.clone(), &mut room);
                for (level, at) in levels.iter_mut().zip(places) {
                    *level = kept[usize::from(*at)];
                }
                let levels = &mut levels[..places.len()];
                levels.iter_mut().for_each(|level| *level = scale.level(*level));
                let mut some = 0;
                for (number, ((hash, base), level)) in (0..).zip(hashes.iter().zip(&bases).zip(&*levels)) {
                    mine[some] = number;
                    some += usize::from(*hash >> 32 < reach[*base as usize + usize::from(*level)]);
                }
                // These are few of them.
                found.within[capability].extend(mine[..some].iter().map(|&place| {
                    let at = usize::from(place);
                    marks[at] = true;
                    Near { hash: hashes[at], spot: bases[at] + u32::from(levels[at]), place, level: levels[at] }
                }));
            }
            let mut some = 0;
            for ((mark, number), of) in marks.iter().zip(&mut numbers).zip(0..places.len() as u16) {
                mine[some] = of;
                *number = (found.rows.len() + some) as u16;
                some += usize::from(*mark);
            }
            for (within, from) in found.within.iter_mut().zip(&mut old) {
                within[*from..].iter_mut().for_each(|near| near.place = numbers[usize::from(near.place)]);
                *from = within.len();
            }
            let listed = || mine[..some].iter().map(|number| usize::from(*number));
            found.rows.extend(listed().map(|number| (first % CHUNK) as u16 + places[number]));
            found.cells.extend(listed().map(|number| cells[usize::from(places[number])]));
            for (all, levels) in found.levels.iter_mut().zip(&levels) {
                all.extend(listed().map(|number| levels[number]));
            }
        }
        found.taker = found.rows.iter().map(|_| AtomicU16::new(0)).collect();
        found
    }
}

/// What is soon told of a row: which rows it is worth looking at more closely.
struct Sight {
    /// Of each cell the brief hash below which a row of any level may be within reach.
    brief: Vec<u64>,
    /// By capability, of each cell the least level that is within reach whatever the hash; None where no row has such a level.
    whole: Vec<Option<Vec<u16>>>,
}

impl Sight {
    fn new(run: &Run<'_>, reach: &[Vec<u64>]) -> Self {
        let mut brief = vec![0; run.sizes.len()];
        let of_capability = |(reach, counts): (&Vec<u64>, &Counts)| {
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
