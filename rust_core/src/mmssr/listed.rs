//! The rows that turns may take, apart from all others.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU16, AtomicUsize};

use rayon::prelude::*;

use super::candidates::Candidate;
use super::listing::{Found, Room, Sight};
use super::{CHUNK, Charged, Counts, Run};

/// What a thread has room for before it knows that it needs it, in bytes.
const ROOM: usize = 64 << 20;

/// Rows that nobody had taken when they were listed, in order, and what turns ask of them: a part for each chunk of all rows.
/// The place of a row in the list is the number of its part, and behind it, with 16 bits, its own in that part.
pub(super) struct Listed {
    stores: Vec<Store>,
    spans: Vec<Span>,
    /// 1 + the capability that took each row since (0: none), above the place of its bin. Several threads note what they take.
    taker: Vec<AtomicU16>,
    /// By capability, for each cell and level: the brief hash (its upper half) below which all rows are listed.
    reach: Vec<Vec<u64>>,
    /// How many times as much as is expected is allowed for, in quarters.
    slack: u64,
}

/// What one thread listed, part behind part: few large pieces of memory are had much sooner than many small ones.
#[derive(Default)]
pub(super) struct Store {
    rows: Vec<u16>,
    cells: Vec<u32>,
    /// Part by part, by capability.
    levels: Vec<u8>,
    within: Vec<Near>,
}

/// Where a part lies: the store, its first row there, the number of its first row among all, how many there are, and where
/// those within the reach of each capability begin, and end.
pub(super) struct Span {
    store: usize,
    first: usize,
    number: usize,
    num: usize,
    within: Vec<usize>,
}

/// The listed rows of a chunk.
#[derive(Clone, Copy)]
struct Part<'a> {
    /// Their places in the chunk.
    rows: &'a [u16],
    cells: &'a [u32],
    /// By capability.
    levels: &'a [u8],
    taker: &'a [AtomicU16],
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

impl Store {
    /// Takes a part, whose rows are those of `found` with these levels, by capability.
    pub(super) fn add(&mut self, found: &Found) -> Span {
        let first = self.rows.len();
        self.rows.extend_from_slice(&found.rows);
        self.cells.extend_from_slice(&found.cells);
        found.levels.iter().for_each(|levels| self.levels.extend_from_slice(levels));
        let mut within = vec![self.within.len()];
        for near in &found.within {
            self.within.extend_from_slice(near);
            within.push(self.within.len());
        }
        Span { store: 0, first, number: 0, num: found.rows.len(), within }
    }

    /// Has room for so many times what there is, up to a size: the first part may be much larger than those behind it.
    fn reserve(&mut self, times: usize) {
        let Self { rows, cells, levels, within } = self;
        let size = size_of_val(&rows[..]) + size_of_val(&cells[..]) + levels.len() + size_of_val(&within[..]);
        let times = times.min(ROOM / size.max(1));
        rows.reserve(rows.len() * times);
        cells.reserve(cells.len() * times);
        levels.reserve(levels.len() * times);
        within.reserve(within.len() * times);
    }
}

impl Listed {
    pub(super) fn nothing(capabilities: usize, size: usize) -> Self {
        let (stores, spans, taker) = (Vec::new(), Vec::new(), Vec::new());
        Self { stores, spans, taker, reach: vec![vec![0; size]; capabilities], slack: 5 }
    }

    fn part(&self, part: usize) -> Part<'_> {
        let Span { store, first, number, num, .. } = self.spans[part];
        let Store { rows, cells, levels, .. } = &self.stores[store];
        let capabilities = self.reach.len();
        Part {
            rows: &rows[first..][..num],
            cells: &cells[first..][..num],
            levels: &levels[first * capabilities..][..num * capabilities],
            taker: &self.taker[number..][..num],
        }
    }

    fn within(&self, part: usize, capability: usize) -> &[Near] {
        let Span { store, within, .. } = &self.spans[part];
        &self.stores[*store].within[within[capability]..within[capability + 1]]
    }

    fn taker(&self, at: u32) -> &AtomicU16 {
        &self.taker[self.spans[at as usize / CHUNK].number + at as usize % CHUNK]
    }

    pub(super) fn row(&self, at: u32) -> u32 {
        let (part, here) = (at as usize / CHUNK, at as usize % CHUNK);
        at - here as u32 + u32::from(self.part(part).rows[here])
    }

    /// The cell of a row, and its level of a capability.
    pub(super) fn level(&self, at: u32, capability: usize) -> (usize, u8) {
        let (part, here) = (self.part(at as usize / CHUNK), at as usize % CHUNK);
        (part.cells[here] as usize, part.levels[capability * part.rows.len() + here])
    }

    /// Whether nobody has taken a row.
    pub(super) fn is_left(&self, at: u32) -> bool {
        self.taker(at).load(Relaxed) == 0
    }

    pub(super) fn rows(&self) -> usize {
        self.taker.len()
    }

    pub(super) fn num_parts(&self) -> usize {
        self.spans.len()
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
        let (within, Part { taker, .. }) = (self.within(part, capability), self.part(part));
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
        let gone = |mut gone: Vec<u32>, part: usize| {
            let Part { cells, levels, taker, .. } = self.part(part);
            for ((cell, level), taker) in cells.iter().zip(&levels[capability * cells.len()..]).zip(taker) {
                gone[*cell as usize * width + usize::from(*level)] += u32::from(taker.load(Relaxed) > 0);
            }
            gone
        };
        let add = |mut sum: Vec<u32>, more: Vec<u32>| {
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            sum
        };
        let num = self.spans.len();
        let parts = (0..num).into_par_iter().with_min_len(num.div_ceil(rayon::current_num_threads() * 2));
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
            let taker = self.taker(*at);
            if taker.load(Relaxed) == 0 {
                taker.store((capability as u16 + 1) << 8 | u16::from(*place), Relaxed);
                got += 1;
            }
        }
        got
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
        let sight = Sight::new(self, &all);
        let (stores, spans) = self.found_within(&all, &sight);
        let num = spans.iter().map(|span| span.num).sum();
        let taker = (0..num).into_par_iter().with_min_len(CHUNK).map(|_| AtomicU16::default()).collect();
        self.listed = Listed { stores, spans, taker, reach: all, slack: self.listed.slack.saturating_mul(2) };
        // They speak of places in the old list.
        self.rest.fill_with(|| None);
        self.taken.clear();
        self.heard.fill(Some(0));
        for Counts { left, listed, .. } in &mut self.counts {
            listed.clone_from(left);
        }
    }

    /// What is within reach, chunk by chunk: each thread takes the next one when it is done with its last.
    fn found_within(&self, reach: &[Vec<u64>], sight: &Sight) -> (Vec<Store>, Vec<Span>) {
        let (chunks, threads) = (self.columns.rows().div_ceil(CHUNK), rayon::current_num_threads());
        let next = AtomicUsize::new(0);
        let list = |_| {
            let (mut store, mut spans, mut room) = (Store::default(), Vec::new(), Room::new(reach.len()));
            while let Some(chunk) = Some(next.fetch_add(1, Relaxed)).filter(|chunk| *chunk < chunks) {
                let span = store.add(self.part(chunk, reach, sight, &mut room));
                if spans.is_empty() {
                    // A thread may come to more chunks than others do.
                    store.reserve(2 * chunks / threads);
                }
                spans.push((chunk, span));
            }
            (store, spans)
        };
        let (stores, found): (Vec<Store>, Vec<_>) = (0..threads).into_par_iter().with_max_len(1).map(list).unzip();
        let of_store = |(store, spans): (usize, Vec<(usize, Span)>)| {
            spans.into_iter().map(move |(chunk, span)| (chunk, Span { store, ..span }))
        };
        let mut spans: Vec<(usize, Span)> = found.into_iter().enumerate().flat_map(of_store).collect();
        spans.sort_unstable_by_key(|(chunk, _)| *chunk);
        let mut number = 0;
        let numbered = |(_, span): (usize, Span)| {
            number += span.num;
            Span { number: number - span.num, ..span }
        };
        (stores, spans.into_iter().map(numbered).collect())
    }

    /// Notes what was taken of the list.
    pub(super) fn charge(&mut self) {
        let rows = self.columns.rows();
        let Charged { capability, place, .. } = &mut self.charged;
        // Only now, when it is written: fresh memory that is read first takes twice as long.
        if capability.is_empty() && self.listed.num_parts() > 0 {
            (*capability, *place) = (vec![0; rows], vec![0; rows]);
        }
        let chunks = capability.par_chunks_mut(CHUNK).zip(place.par_chunks_mut(CHUNK));
        chunks.zip(0..self.listed.num_parts()).for_each(|((capability, place), part)| {
            let Part { rows, taker, .. } = self.listed.part(part);
            for (row, taker) in rows.iter().zip(taker) {
                // Nobody had taken it when it was listed.
                [capability[usize::from(*row)], place[usize::from(*row)]] = taker.load(Relaxed).to_be_bytes();
            }
        });
    }
}
