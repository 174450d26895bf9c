//! Which rows are listed: those that turns will want, as far as can be told.

use super::columns::BLOCK;
use super::listed::Near;
use super::{CHUNK, Counts, NONE, Run};
use crate::rank::{Keys, keyed_hash};

impl Run<'_> {
    /// How far a capability will come when its turn comes, where each turn before it takes of each bin as much as its own;
    /// `turns` is how many, in quarters.
    pub(super) fn outlook(&self, capability: usize, part: u64, turns: u64) -> Vec<u64> {
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
    pub(super) fn part<'r>(&self, chunk: usize, reach: &[Vec<u64>], sight: &Sight, room: &'r mut Room) -> &'r Found {
        let Keys { high, low, occurrence, .. } = self.keys;
        let Room { marks, places, hashes, bases, mine, numbers, old, kept: narrow, wide, levels, nobody, found } = room;
        found.clear();
        old.fill(0);
        let end = self.columns.rows().min((chunk + 1) * CHUNK);
        for first in (chunk * CHUNK..end).step_by(BLOCK) {
            let span = first..end.min(first + BLOCK);
            let cells = self.bins.cell.read(span.clone(), wide);
            marks.fill(false);
            for (capability, whole) in sight.whole.iter().enumerate() {
                if let Some(whole) = whole {
                    let (kept, scale) = self.columns.kept(capability, span.clone(), narrow);
                    for (mark, (kept, cell)) in marks.iter_mut().zip(kept.iter().zip(cells)) {
                        *mark |= u16::from(scale.level(*kept)) >= whole[*cell as usize];
                    }
                }
            }
            let mut some = 0;
            let ids = high[span.clone()].iter().zip(&low[span.clone()]).zip(&occurrence[span.clone()]);
            let takers = self.charged.capability.get(span.clone()).unwrap_or(nobody);
            let free = self.columns.able()[span.clone()].iter().zip(takers);
            let rows = marks.iter().zip(cells).zip(ids).zip(free).enumerate();
            for (at, (((mark, cell), ((high, low), occurrence)), (able, taker))) in rows {
                let hash = keyed_hash(self.preference.seed, *high, *low, u64::from(*occurrence));
                (places[some], hashes[some]) = (at as u16, hash);
                let near = usize::from(*mark) | usize::from(hash >> 32 < sight.brief[*cell as usize]);
                some += near & usize::from(*able) & usize::from(*taker == 0);
            }
            let places = &places[..some];
            for (base, at) in bases.iter_mut().zip(places) {
                *base = cells[usize::from(*at)] * self.width as u32;
            }
            marks[..some].fill(false);
            for (capability, (levels, reach)) in levels.iter_mut().zip(reach).enumerate() {
                let (kept, scale) = self.columns.kept(capability, span.clone(), narrow);
                for (level, at) in levels.iter_mut().zip(places) {
                    *level = kept[usize::from(*at)];
                }
                let levels = &mut levels[..places.len()];
                for level in &mut *levels {
                    *level = scale.level(*level);
                }
                let mut some = 0;
                for (number, ((hash, base), level)) in (0..).zip(hashes.iter().zip(&*bases).zip(&*levels)) {
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
            for ((mark, number), of) in marks.iter().zip(&mut *numbers).zip(0..places.len() as u16) {
                mine[some] = of;
                *number = (found.rows.len() + some) as u16;
                some += usize::from(*mark);
            }
            for (within, from) in found.within.iter_mut().zip(&mut *old) {
                within[*from..].iter_mut().for_each(|near| near.place = numbers[usize::from(near.place)]);
                *from = within.len();
            }
            let listed = || mine[..some].iter().map(|number| usize::from(*number));
            found.rows.extend(listed().map(|number| (first % CHUNK) as u16 + places[number]));
            found.cells.extend(listed().map(|number| cells[usize::from(places[number])]));
            for (all, levels) in found.levels.iter_mut().zip(&*levels) {
                all.extend(listed().map(|number| levels[number]));
            }
        }
        found
    }
}

/// What is found of a chunk.
#[derive(Default)]
pub(super) struct Found {
    /// The places of rows in the chunk.
    pub(super) rows: Vec<u16>,
    pub(super) cells: Vec<u32>,
    /// By capability.
    pub(super) levels: Vec<Vec<u8>>,
    /// By capability, those that are within its reach, in order.
    pub(super) within: Vec<Vec<Near>>,
}

impl Found {
    /// Nothing, with all of its memory.
    fn clear(&mut self) {
        self.rows.clear();
        self.cells.clear();
        self.levels.iter_mut().for_each(Vec::clear);
        self.within.iter_mut().for_each(Vec::clear);
    }
}

/// Room that is used again for the next chunk, so that only what is listed is new memory.
pub(super) struct Room {
    marks: Vec<bool>,
    places: Vec<u16>,
    hashes: Vec<u64>,
    bases: Vec<u32>,
    mine: Vec<u16>,
    numbers: Vec<u16>,
    old: Vec<usize>,
    kept: Vec<u8>,
    wide: (Vec<u8>, Vec<u32>),
    levels: Vec<Vec<u8>>,
    /// Who takes rows before anybody took one.
    nobody: Vec<u8>,
    found: Found,
}

impl Room {
    pub(super) fn new(capabilities: usize) -> Self {
        Self {
            marks: vec![false; BLOCK],
            places: vec![0; BLOCK + 1],
            hashes: vec![0; BLOCK + 1],
            bases: vec![0; BLOCK],
            mine: vec![0; BLOCK + 1],
            numbers: vec![0; BLOCK],
            old: vec![0; capabilities],
            kept: Vec::new(),
            wide: (Vec::new(), Vec::new()),
            levels: vec![vec![0; BLOCK]; capabilities],
            nobody: vec![0; BLOCK],
            found: Found {
                levels: vec![Vec::new(); capabilities],
                within: vec![Vec::new(); capabilities],
                ..Found::default()
            },
        }
    }
}

/// What is soon told of a row: which rows it is worth looking at more closely.
pub(super) struct Sight {
    /// Of each cell the brief hash below which a row of any level may be within reach.
    brief: Vec<u64>,
    /// By capability, of each cell the least level that is within reach whatever the hash; None where no row has such a level.
    whole: Vec<Option<Vec<u16>>>,
}

impl Sight {
    pub(super) fn new(run: &Run<'_>, reach: &[Vec<u64>]) -> Self {
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
