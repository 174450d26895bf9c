//! Which rows are listed: those that turns will want, as far as can be told.

use super::columns::BLOCK;
use super::listed::Near;
use super::{CHUNK, Counts, Run};
use crate::rank::keyed_hash;

/// Steps of levels that each row is compared to, at most.
const STEPS: usize = 4;

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

    /// The rows of a chunk that are within reach of any capability.
    ///
    /// The first byte of a hash and a level tell of most rows that they are not, of many at a time.
    pub(super) fn part<'r>(&self, chunk: usize, reach: &[Vec<u64>], sight: &Sight, room: &'r mut Room) -> &'r Found {
        let Room { halves, hashes, bytes, maybe, marks, listed, numbers, old, kept: narrow, wide, nobody, found } =
            room;
        found.clear();
        old.fill(0);
        let end = self.columns.rows().min((chunk + 1) * CHUNK);
        for first in (chunk * CHUNK..end).step_by(BLOCK) {
            let span = first..end.min(first + BLOCK);
            let cells = self.bins.cell.read(span.clone(), wide);
            let [high, low] = &mut *halves;
            let (high, low) = (self.keys.high.read(span.clone(), high), self.keys.low.read(span.clone(), low));
            let ids = high.iter().zip(low).zip(&self.keys.occurrence[span.clone()]);
            for ((hash, byte), ((high, low), occurrence)) in hashes.iter_mut().zip(&mut *bytes).zip(ids) {
                *hash = keyed_hash(self.preference.seed, *high, *low, u64::from(*occurrence));
                *byte = (*hash >> 56) as u8;
            }
            let (able, takers) =
                (&self.columns.able()[span.clone()], self.charged.capability.get(span.clone()).unwrap_or(nobody));
            marks.fill(0);
            for (capability, (steps, reach)) in sight.steps.iter().zip(reach).enumerate() {
                let (kept, scale) = self.columns.kept(capability, span.clone(), narrow);
                maybe.fill(0);
                for (least, most) in steps {
                    for (maybe, (kept, byte)) in maybe.iter_mut().zip(kept.iter().zip(&*bytes)) {
                        *maybe |= u8::from(scale.level(*kept) >= *least) & u8::from(*byte <= *most);
                    }
                }
                let within = &mut found.within[capability];
                each(maybe, |at| {
                    let (hash, level) = (hashes[at], scale.level(kept[at]));
                    let spot = cells[at] * self.width as u32 + u32::from(level);
                    if able[at] && takers[at] == 0 && hash >> 32 < reach[spot as usize] {
                        marks[at] = 1;
                        within.push(Near { hash, spot, place: at as u16, level });
                    }
                });
            }
            listed.clear();
            each(marks, |at| listed.push(at));
            for (number, at) in (found.rows.len() as u16..).zip(&*listed) {
                numbers[*at] = number;
            }
            for (within, from) in found.within.iter_mut().zip(&mut *old) {
                within[*from..].iter_mut().for_each(|near| near.place = numbers[usize::from(near.place)]);
                *from = within.len();
            }
            found.rows.extend(listed.iter().map(|at| (first % CHUNK + at) as u16));
            found.cells.extend(listed.iter().map(|at| cells[*at]));
            for (capability, all) in found.levels.iter_mut().enumerate() {
                let (kept, scale) = self.columns.kept(capability, span.clone(), narrow);
                all.extend(listed.iter().map(|at| scale.level(kept[*at])));
            }
        }
        found
    }
}

/// Calls with the place of each byte that is 1, where all others are 0.
fn each(bytes: &[u8; BLOCK], mut call: impl FnMut(usize)) {
    for (word, bytes) in bytes.as_chunks::<64>().0.iter().enumerate() {
        let mut mask = 0;
        for (at, bytes) in bytes.as_chunks().0.iter().enumerate() {
            // The lowest bit of each byte comes to its place in the highest one.
            mask |= (u64::from_le_bytes(*bytes).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * at);
        }
        while mask > 0 {
            call(64 * word + mask.trailing_zeros() as usize);
            mask &= mask - 1;
        }
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
    halves: [Vec<u64>; 2],
    hashes: Vec<u64>,
    /// The first of each hash.
    bytes: Vec<u8>,
    /// By row of a block, whether a capability may reach it, and whether any does.
    maybe: Box<[u8; BLOCK]>,
    marks: Box<[u8; BLOCK]>,
    /// The rows of a block that are listed, and the number of each.
    listed: Vec<usize>,
    numbers: Vec<u16>,
    old: Vec<usize>,
    kept: Vec<u8>,
    wide: (Vec<u8>, Vec<u32>),
    /// Who takes rows before anybody took one.
    nobody: Vec<u8>,
    found: Found,
}

impl Room {
    pub(super) fn new(capabilities: usize) -> Self {
        Self {
            halves: [Vec::new(), Vec::new()],
            hashes: vec![0; BLOCK],
            bytes: vec![0; BLOCK],
            maybe: Box::new([0; BLOCK]),
            marks: Box::new([0; BLOCK]),
            listed: Vec::new(),
            numbers: vec![0; BLOCK],
            old: vec![0; capabilities],
            kept: Vec::new(),
            wide: (Vec::new(), Vec::new()),
            nobody: vec![0; BLOCK],
            found: Found {
                levels: vec![Vec::new(); capabilities],
                within: vec![Vec::new(); capabilities],
                ..Found::default()
            },
        }
    }
}

/// What is soon told of a row: by capability, some levels, and from each of them on the most that the first byte of a hash can
/// be of a row within reach.
pub(super) struct Sight {
    steps: Vec<Vec<(u8, u8)>>,
}

impl Sight {
    pub(super) fn new(run: &Run<'_>, reach: &[Vec<u64>]) -> Self {
        let of_capability = |(reach, counts): (&Vec<u64>, &Counts)| {
            let mut most = vec![None; run.width];
            for (at, (reach, left)) in reach.iter().zip(&counts.left).enumerate() {
                let seen = reach.checked_sub(1).filter(|_| *left > 0).map(|last| (last >> 24) as u8);
                let most = &mut most[at % run.width];
                *most = seen.max(*most);
            }
            let mut steps: Vec<(u8, u8)> = Vec::new();
            for (level, most) in most.into_iter().enumerate() {
                if let Some(most) = most.filter(|most| steps.last().is_none_or(|(_, last)| last < most)) {
                    steps.push((level as u8, most));
                }
            }
            few(steps)
        };
        Self { steps: reach.iter().zip(&run.counts).map(of_capability).collect() }
    }
}

/// Of too many steps, two that tell about the same become one, from the level of the first on as far as the second.
fn few(mut steps: Vec<(u8, u8)>) -> Vec<(u8, u8)> {
    while steps.len() > STEPS {
        let near = (1..steps.len()).min_by_key(|at| steps[*at].1 - steps[at - 1].1).unwrap_or(1);
        steps[near - 1].1 = steps.remove(near).1;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_steps_let_all_pass_that_many_do() {
        let passes = |steps: &[(u8, u8)], level: u8, byte: u8| {
            steps.iter().any(|(least, most)| level >= *least && byte <= *most)
        };
        let many = vec![(1, 10), (2, 15), (3, 24), (5, 40), (6, 61), (8, 101), (9, 255)];
        let found = few(many.clone());
        assert_eq!(found.len(), STEPS);
        for (level, byte) in (0..=10).flat_map(|level| (0..=255).map(move |byte| (level, byte))) {
            assert!(passes(&found, level, byte) || !passes(&many, level, byte));
        }
        assert!(!passes(&found, 0, 0) && !passes(&found, 8, 200));
        assert_eq!(few(many[..2].to_vec()), &many[..2]);
    }
}
