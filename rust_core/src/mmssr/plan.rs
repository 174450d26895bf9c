//! How far into each bin a turn can come, by counting alone.

use super::{Counts, NONE, Run};

/// What a turn is to take of a bin. `end` is how far it can come.
pub(super) struct Plan {
    pub(super) bin: usize,
    pub(super) quota: u64,
    pub(super) end: Option<End>,
}

/// The last level and place that a turn can come to in a bin, how many rows of them it needs, how many earlier turns
/// have taken, and how many there were.
#[derive(Clone, Copy)]
pub(super) struct End {
    pub(super) level: usize,
    pub(super) place: Option<u8>,
    pub(super) keep: u64,
    gone: u64,
    of: u64,
}

impl Run<'_> {
    /// The bins of a turn, smallest first, each with its quota, and how far into it the turn can come at most.
    ///
    /// A bin may lack rows that smaller ones have taken: `gone` bounds how many of each cell and level those can be, beside
    /// those that are gone before.
    pub(super) fn plan(&self, capability: usize, part: u64, mut gone: Vec<u32>) -> Vec<Plan> {
        let left = self.counts[capability].left.chunks_exact(self.width);
        let totals: Vec<u64> = left.map(|of| of.iter().map(|num| u64::from(*num)).sum()).collect();
        let size = |bin: usize| self.inside[bin].iter().map(|(_, cell)| totals[*cell as usize]).sum::<u64>();
        let mut order: Vec<(u64, usize)> = (0..self.inside.len()).map(|bin| (size(bin), bin)).collect();
        order.retain(|(size, _)| *size > 0);
        order.sort_unstable();
        let (share, over) = (part / order.len().max(1) as u64, part % order.len().max(1) as u64);
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
        let (width, Counts { begun, left, .. }) = (self.width, &self.counts[capability]);
        let slots = &self.inside[bin];
        let mut had = 0;
        for (level, place) in self.grades(capability, slots) {
            let group = place.map_or(slots.as_slice(), |place| at_place(slots, place));
            let here = || group.iter().map(|(_, cell)| *cell as usize * width + level);
            let [of, there, absent] = [begun, left, &*gone].map(|num| here().map(|at| u64::from(num[at])).sum::<u64>());
            let more = (there - absent).min(wanted - had);
            for at in here() {
                gone[at] = left[at].min(gone[at].saturating_add(u32::try_from(more).unwrap_or(u32::MAX)));
            }
            had += more;
            if had == wanted {
                return (Some(End { level, place, keep: more + absent, gone: of - there, of }), had);
            }
        }
        (None, had)
    }

    /// The levels and places of a bin in the order in which it is taken; no place means all of them together.
    fn grades(&self, capability: usize, slots: &[(u8, u32)]) -> Vec<(usize, Option<u8>)> {
        let mut places: Vec<u8> = slots.iter().map(|(place, _)| *place).collect();
        places.dedup();
        let levels = (1..self.width).rev();
        if self.compat {
            places.iter().flat_map(|place| levels.clone().map(|level| (level, Some(*place)))).collect()
        } else if self.columns.scores(capability).is_some() {
            levels.map(|level| (level, None)).collect()
        } else {
            levels.flat_map(|level| places.iter().map(move |place| (level, Some(*place)))).collect()
        }
    }
}

impl End {
    pub(super) fn worse(&self) -> u64 {
        u64::from(NONE) - self.level as u64
    }

    /// The least level that is needed of the rows whose `place`th bin it is.
    pub(super) fn least(&self, place: u8, compat: bool) -> u16 {
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
    pub(super) fn bound(&self) -> u64 {
        // Earlier turns went by the same hashes, so that what they took may all lie below.
        let needed = self.keep + self.gone;
        let ample = needed + 8 * needed.isqrt() + 32;
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
