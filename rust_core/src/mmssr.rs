//! mmSSR (arXiv 2503.13383): capabilities take turns, and each takes the best of every bin.
//!
//! A turn knows from counts alone how far into each bin it can come, and before the first one it can be told how far all of
//! them will come, about. So one pass counts, one lists the rows that any turn may take, and turns look at those alone; only
//! what a turn may take is sorted. Where a turn comes farther than was told, rows are listed anew.

mod bins;
mod candidates;
mod columns;
mod listed;
mod listing;
mod plan;

use std::cmp::Ordering;
use std::ops::Range;

use rayon::prelude::*;

use crate::best::Preference;
use crate::error::{CoreError, Result};
use crate::rank::Keys;
pub use bins::{Bins, Cells};
use candidates::{Candidate, Rest};
pub use columns::Capability;
use columns::{Columns, PLACES};
use listed::Listed;
use plan::Plan;

/// Rows that one task works on: their places in it have 16 bits.
const CHUNK: usize = 1 << 16;
/// Of so many listed rows one is many.
const MANY: usize = 64;
/// Rows that one task counts, and how many capabilities together at most.
const PART: usize = 1 << 18;
const MOST_TOGETHER: usize = 3;
/// A level that no row has.
const NONE: u16 = 256;

/// How many samples one turn took of one bin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub round: u32,
    pub capability: u32,
    pub bin: u32,
    pub taken: u32,
}

/// For each row whether it is taken, 1 + the capability that it is charged to (0: left out) and the place of its bin among its
/// bins; and how many rows each capability could take in the beginning, and how many `any` of them could.
pub struct Charged {
    pub taken: Vec<bool>,
    pub capability: Vec<u8>,
    pub place: Vec<u8>,
    pub turns: Vec<Turn>,
    pub available: Vec<u64>,
    pub any: u64,
}

/// Takes the budget, or all that scores for any capability, of the rows that are `able`.
///
/// With `compat`, the rows whose first bin it is come before those whose second it is, whatever they score, and the rest
/// of dividing a turn among its bins is left to the next round.
pub fn mmssr(
    preference: Preference<'_>,
    able: &[bool],
    bins: Bins<'_>,
    capabilities: &[Capability<'_>],
    budget: u64,
    compat: bool,
) -> Result<Charged> {
    let mut run = Run::new(preference, bins, Columns::new(able, capabilities)?, compat)?;
    let (mut live, mut total, mut round) = ((0..capabilities.len()).collect::<Vec<_>>(), 0, 0);
    while total < budget && !live.is_empty() {
        let part = ((budget - total) / live.len() as u64).max(1);
        let mut able = Vec::with_capacity(live.len());
        for (at, capability) in live.iter().enumerate() {
            if total < budget {
                let taken = run.turn(round, &live[at..], part.min(budget - total))?;
                total += taken;
                if taken > 0 {
                    able.push(*capability);
                }
            }
        }
        live = able;
        round += 1;
    }
    run.charge();
    let Run { mut charged, listed, rest, .. } = run;
    // Nobody needs to wait until all of it is given back.
    rayon::spawn(move || drop((listed, rest)));
    // Where nothing was to be taken.
    charged.capability.resize(able.len(), 0);
    charged.place.resize(able.len(), 0);
    charged.taken = charged.capability.par_iter().with_min_len(CHUNK).map(|capability| *capability > 0).collect();
    Ok(charged)
}

/// Rows of one capability: of cell `c` and level `l` there were `begun[c * width + l]`, and so many are `left` of them, as far
/// as the capability has heard.
struct Counts {
    begun: Vec<u32>,
    left: Vec<u32>,
    /// How many were left when rows were listed.
    listed: Vec<u32>,
}

struct Run<'a> {
    preference: Preference<'a>,
    keys: Keys<'a>,
    bins: Bins<'a>,
    columns: Columns<'a>,
    compat: bool,
    /// Whether a row can lie in several bins.
    several: bool,
    /// The slots of each bin, by place: (place, cell).
    inside: Vec<Vec<(u8, u32)>>,
    /// Of each cell, the most rows that a capability could take in the beginning.
    sizes: Vec<u32>,
    /// More than all levels.
    width: usize,
    counts: Vec<Counts>,
    listed: Listed,
    charged: Charged,
    /// The places in the list of what was taken of it, turn by turn; and up to which of them each capability has heard. None
    /// where more was taken since than is worth to be listed.
    taken: Vec<u32>,
    heard: Vec<Option<usize>>,
    /// What the last turn of each capability found and left.
    rest: Vec<Option<Rest>>,
}

impl<'a> Run<'a> {
    fn new(preference: Preference<'a>, bins: Bins<'a>, columns: Columns<'a>, compat: bool) -> Result<Self> {
        let keys = preference.keys;
        let rows = keys.rows()?;
        let cells = bins.starts.len().saturating_sub(1);
        let listed = bins.starts.first() == Some(&0)
            && bins.starts.is_sorted()
            && bins.starts.last().map(|end| *end as usize) == Some(bins.bins.len())
            && (0..cells).all(|cell| u8::try_from(bins.slots(cell).len()).is_ok());
        let fits = bins.cell.rows() == rows && columns.rows() == rows;
        if !(listed && fits && u32::try_from(cells << u8::BITS).is_ok()) {
            return Err(CoreError::Contract("cells, levels and rows do not fit".to_owned()));
        }
        let mut inside = vec![Vec::new(); bins.bins.iter().max().map_or(0, |most| *most as usize + 1)];
        for cell in 0..cells {
            for (place, slot) in bins.slots(cell).enumerate() {
                inside[bins.bins[slot] as usize].push((place as u8, cell as u32));
            }
        }
        for slots in &mut inside {
            slots.sort_unstable();
        }
        // Some of the rows tell most often what the highest level is, and counting tells whether they do.
        let (width, (mut counts, any)) = [rows / CHUNK, 1]
            .into_iter()
            .map(|one_in| usize::from(columns.most(one_in.max(1))) + 1)
            .find_map(|width| Some((width, counted(&columns, bins.cell, cells, width)?)))
            .ok_or_else(|| CoreError::Contract("cells beyond the last".to_owned()))?;
        let mut sizes = vec![0; cells];
        for counts in &mut counts {
            for (size, levels) in sizes.iter_mut().zip(counts.chunks_exact_mut(width)) {
                // Level 0 is never taken.
                levels[0] = 0;
                *size = levels.iter().sum::<u32>().max(*size);
            }
        }
        let available = counts.iter().map(|counts| counts.iter().map(|num| u64::from(*num)).sum()).collect();
        let counts: Vec<Counts> =
            counts.into_iter().map(|begun| Counts { left: begun.clone(), listed: Vec::new(), begun }).collect();
        let charged =
            Charged { taken: Vec::new(), capability: Vec::new(), place: Vec::new(), turns: Vec::new(), available, any };
        let (rest, heard) = (counts.iter().map(|_| None).collect(), vec![Some(0); counts.len()]);
        let listed = Listed::nothing(columns.num(), cells * width);
        let several = (0..cells).any(|cell| bins.slots(cell).len() > 1);
        Ok(Self {
            preference,
            keys,
            bins,
            columns,
            compat,
            several,
            inside,
            sizes,
            width,
            counts,
            listed,
            charged,
            taken: Vec::new(),
            heard,
            rest,
        })
    }

    /// One turn of the first of these capabilities, of which the others follow: takes `part` rows, or what it has. Gives how
    /// many.
    fn turn(&mut self, round: u32, capabilities: &[usize], part: u64) -> Result<u64> {
        let capability = capabilities[0];
        self.hear(capability..capability + 1);
        let plans = self.plan(capability, part, vec![0; self.sizes.len() * self.width]);
        let mut bins = self.found(capabilities, part, &plans)?;
        if self.several {
            // Some may be taken by the time that a bin gives.
            bins.par_iter_mut().for_each(|mine| mine.sort_unstable_by(|a, b| self.order(a, b)));
        }
        let (mut debt, mut total, mut given) = (0, 0, Vec::with_capacity(plans.len()));
        for (plan, mine) in plans.iter().zip(&bins) {
            let wanted = (plan.quota + debt).min(part - total);
            // Where no row lies in several bins, what was found is there to be taken.
            let got =
                if self.several { self.listed.take(mine, wanted, capability) } else { wanted.min(mine.len() as u64) };
            if got < wanted && plan.end.is_some() {
                return Err(CoreError::Contract("a bin has more than was found".to_owned()));
            }
            (debt, total) = (wanted - got, total + got);
            given.push(got);
            if got > 0 {
                let (capability, bin) = (capability as u32, plan.bin as u32);
                self.charged.turns.push(Turn { round, capability, bin, taken: got as u32 });
            }
        }
        // What was found is many times as much as what is left of it.
        let left = |(mine, got): (&mut Vec<Candidate>, u64)| {
            if self.several {
                return mine.iter().filter(|mine| self.listed.is_left(mine.at)).copied().collect();
            }
            if got < mine.len() as u64 {
                mine.select_nth_unstable_by(got as usize, |a, b| self.order(a, b));
            }
            self.listed.take(mine, got, capability);
            mine[got as usize..].to_vec()
        };
        let left: Vec<Vec<Candidate>> = bins.par_iter_mut().zip(given).map(left).collect();
        self.note(&bins, total);
        self.rest[capability] = Some(Rest::new(&plans, left));
        Ok(total)
    }

    /// Notes what a turn took of what it found, for all capabilities to hear.
    fn note(&mut self, bins: &[Vec<Candidate>], total: u64) {
        if total > self.many() as u64 {
            self.taken.clear();
            self.heard.fill(None);
            return;
        }
        let gone = |candidate: &Candidate| !self.listed.is_left(candidate.at);
        let mut places: Vec<u32> = bins.iter().flatten().filter(|mine| gone(mine)).map(|mine| mine.at).collect();
        // In order, so that what is near in memory is looked at together.
        places.sort_unstable();
        places.dedup();
        self.taken.extend(places);
    }

    /// All in order is sooner looked at than more rows than these by themselves.
    fn many(&self) -> usize {
        (self.listed.rows() / MANY).max(self.sizes.len() * self.width)
    }

    /// The order in which a bin gives its rows.
    fn order(&self, a: &Candidate, b: &Candidate) -> Ordering {
        let tie = |candidate: &Candidate| self.keys.tie(self.listed.row(candidate.at));
        (a.grade(self.compat), a.hash).cmp(&(b.grade(self.compat), b.hash)).then_with(|| tie(a).cmp(&tie(b)))
    }

    /// The rows that a turn may take, bin by bin. What the capability's last turn found and left is often enough: the
    /// rounds behind the first take few.
    fn found(&mut self, capabilities: &[usize], part: u64, plans: &[Plan]) -> Result<Vec<Vec<Candidate>>> {
        let capability = capabilities[0];
        let rest = self.rest[capability].take();
        if let Some(bins) = rest.and_then(|rest| self.left_of(&rest, capability, plans)) {
            return Ok(bins);
        }
        let few = self.columns.scores(capability).is_none();
        let found = self.candidates(capabilities, part, plans, few);
        found
            .or_else(|| self.candidates(capabilities, part, plans, false))
            .ok_or_else(|| CoreError::Contract("a bin has less than was counted".to_owned()))
    }

    /// What was taken is not left to these capabilities.
    fn hear(&mut self, capabilities: Range<usize>) {
        let (width, size, many, listed) = (self.width, self.sizes.len() * self.width, self.many(), &self.listed);
        for capability in capabilities {
            let heard = self.heard[capability].replace(self.taken.len());
            let Counts { left, listed: had, .. } = &mut self.counts[capability];
            let Some(news) = heard.map(|heard| &self.taken[heard..]).filter(|news| news.len() <= many) else {
                let gone = listed.taken_by_place(capability, size, width);
                for ((left, had), gone) in left.iter_mut().zip(had).zip(gone) {
                    *left = *had - gone;
                }
                continue;
            };
            // Level 0 is never taken.
            let each = |at: &u32| {
                let (cell, level) = listed.level(*at, capability);
                (cell * width + usize::from(level), u32::from(level > 0))
            };
            news.iter().map(each).for_each(|(place, one)| left[place] -= one);
        }
    }
}

/// What orders the rows of a bin before their hashes do.
fn grade(worse: u64, place: u8, compat: bool) -> (u64, u64) {
    let place = u64::from(place);
    if compat { (place, worse) } else { (worse, place) }
}

/// How many rows there are of each capability, cell and level, and how many that any capability can take; None where a
/// level is beyond the highest, or a cell beyond `cells`.
fn counted(columns: &Columns<'_>, cell: Cells<'_>, cells: usize, width: usize) -> Option<(Vec<Vec<u32>>, u64)> {
    let (rows, num, size) = (columns.rows(), columns.num(), cells * width);
    // As many capabilities together as there is room for.
    let together = (1..=MOST_TOGETHER).take_while(|num| size * width.pow(*num as u32 - 1) <= PLACES).last();
    let Some(together) = together else {
        let count = |capability| columns.count(cell, width, capability, size);
        return (0..num).into_par_iter().map(count).collect::<Option<_>>().map(|counts| (counts, columns.any()));
    };
    let groups: Vec<_> = (0..num).step_by(together).map(|first| first..num.min(first + together)).collect();
    let part =
        |part: usize| columns.count_together((cell, cells), width, part * PART..rows.min((part + 1) * PART), &groups);
    let add = |(mut sums, any): (Vec<Vec<u32>>, u64), (more, many): (Vec<Vec<u32>>, u64)| {
        sums.iter_mut().flatten().zip(more.iter().flatten()).for_each(|(sum, more)| *sum += more);
        (sums, any + many)
    };
    let none = || (vec![vec![0; PLACES]; groups.len()], 0);
    let parts = (0..rows.div_ceil(PART)).into_par_iter().map(part);
    let (tables, any) = parts.try_reduce(none, |a, b| Some(add(a, b)))?;
    let mut counts = vec![vec![0; size]; num];
    for (group, table) in groups.into_iter().zip(&tables) {
        let cells = size / width * width.pow(group.len() as u32);
        for (mut place, rows) in table[..cells].iter().enumerate() {
            let cell = place / width.pow(group.len() as u32);
            for capability in group.clone().rev() {
                counts[capability][cell * width + place % width] += rows;
                place /= width;
            }
        }
    }
    Some((counts, any))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::levels::levels;
    use crate::pieces::Pieces;

    /// Rows of six cells with two bins each, and three capabilities.
    fn taken(rows: u32, budget: u64, compat: bool) -> Charged {
        let mixed = |row: u32, by: u64| (u64::from(row) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17) % by;
        let high: Vec<u64> = (0..rows).map(|row| mixed(row, u64::MAX)).collect();
        let zero = vec![0; rows as usize];
        let keys =
            Keys { high: &Pieces::new(vec![&high]), low: &Pieces::new(vec![&high]), occurrence: &zero, pool: &zero };
        let cell: Vec<u32> = (0..rows).map(|row| mixed(row, 6) as u32).collect();
        let bins = Bins {
            cell: Cells::Words(&cell),
            starts: &[0, 2, 4, 6, 8, 10, 12],
            bins: &[0, 1, 1, 2, 2, 3, 3, 0, 0, 2, 3, 1],
        };
        let able = vec![true; rows as usize];
        let scores: [Vec<f64>; 3] = [5, 6, 7].map(|by| (0..rows).map(|row| mixed(row * 31 + 5, by) as f64).collect());
        let codes: Vec<_> = scores.iter().map(|scores| levels(scores, &able, 0.0, 254).unwrap().codes).collect();
        let capabilities: Vec<_> = codes.iter().map(|levels| Capability::new(levels, None)).collect();
        mmssr(Preference::new(7, keys, None).unwrap(), &able, bins, &capabilities, budget, compat).unwrap()
    }

    #[test]
    fn the_budget_is_taken_for_any_number_of_threads() {
        for compat in [false, true] {
            for (rows, budget) in [(500, 1), (500, 77), (200_000, 20_000)] {
                let wanted = taken(rows, budget, compat);
                let num = wanted.capability.iter().filter(|capability| **capability > 0).count();
                assert_eq!(num as u64, budget);
                assert_eq!(wanted.turns.iter().map(|turn| u64::from(turn.taken)).sum::<u64>(), budget);
                for threads in [1, 3] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let found = pool.install(|| taken(rows, budget, compat));
                    assert_eq!(found.capability, wanted.capability);
                    assert_eq!(found.place, wanted.place);
                    assert_eq!(found.turns, wanted.turns);
                }
            }
        }
    }

    /// Levels and scores of three capabilities that know of each other or not, and with many levels or few.
    fn scored(rows: u64, kind: u64) -> Vec<Vec<u8>> {
        let mixed = |row: u64, by: u64| (row + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17) % by;
        let level = |row: u64, capability: u64| match kind {
            0 => mixed(row * 31 + capability, 6),
            1 => mixed(row, 5),
            2 => u64::from(mixed(row * 3 + capability, 50) == 0) * (1 + mixed(row, 3)),
            _ => mixed(row * 31 + capability, 100),
        };
        (0..3).map(|capability| (0..rows).map(|row| level(row, capability) as u8).collect()).collect()
    }

    #[test]
    fn the_same_is_taken_however_scores_are_kept() {
        /// Where the bins of each cell begin, and those bins; how many cells there are.
        type Shape = ((Vec<u32>, Vec<u32>), u64);
        let rows = 150_000_u64;
        let high: Vec<u64> = (0..rows).map(|row| (row + 7).wrapping_mul(0xd1b5_4a32_d192_ed03)).collect();
        let zero = vec![0; rows as usize];
        let keys =
            Keys { high: &Pieces::new(vec![&high]), low: &Pieces::new(vec![&high]), occurrence: &zero, pool: &zero };
        let preference = Preference::new(7, keys, None).unwrap();
        let able: Vec<bool> = (0..rows).map(|row| row % 11 != 3).collect();
        // Bins of one size and of all sizes; rows in one bin or in two; cells that are few or too many to count together.
        let single = ((0..10).collect(), (0..9).collect::<Vec<_>>());
        let double =
            ((0..10).map(|cell| 2 * cell).collect(), (0..18).map(|slot| (slot / 2 + slot % 2 * 3) % 9).collect());
        let many = ((0..=3000).collect(), (0..3000).map(|cell| cell % 9).collect());
        let shapes: [Shape; 3] = [(single, 9), (double, 9), (many, 3000)];
        for ((starts, of), cells) in &shapes {
            let even: Vec<u32> = high.iter().map(|id| (id >> 40) as u32 % *cells as u32).collect();
            let uneven: Vec<u32> =
                high.iter().map(|id| ((id >> 40) % 997 * cells / 997 * ((id >> 20) % 100) / 100) as u32).collect();
            for (kind, cell, compat, budget) in [
                (0, &even, false, 15_000),
                (0, &uneven, true, 15_000),
                (1, &even, false, 40_000),
                (1, &uneven, false, 9_000),
                (2, &even, false, 2_000),
                (3, &uneven, false, 30_000),
                (3, &even, true, 500),
            ] {
                let bins = Bins { cell: Cells::Words(cell), starts, bins: of };
                let columns = scored(rows, kind);
                let floats: Vec<Vec<f64>> =
                    columns.iter().map(|column| column.iter().map(|score| f64::from(*score)).collect()).collect();
                let codes: Vec<Vec<u8>> = columns
                    .iter()
                    .map(|column| column.iter().map(|score| score + u8::from(*score > 0)).collect())
                    .collect();
                let of = |bins: Bins<'_>, capabilities: &[Capability<'_>]| {
                    mmssr(preference, &able, bins, capabilities, budget, compat).unwrap()
                };
                // With scores of their own, rows are not told apart by levels and hashes before all of them are listed.
                let both = codes.iter().zip(&floats);
                let exact: Vec<_> = both.map(|(codes, scores)| Capability::new(codes, Some(scores))).collect();
                let wanted = of(bins, &exact);
                let levels: Vec<_> = codes.iter().map(|codes| Capability::new(codes, None)).collect();
                let found = of(bins, &levels);
                let bytes: Vec<Capability<'_>> = columns
                    .iter()
                    .map(|column| {
                        let (front, back) = column.split_at(70_001);
                        Capability { pieces: Pieces::new(vec![front, &[], back]), whole: Some(0), scores: None }
                    })
                    .collect();
                let narrow: Vec<u8> = cell.iter().map(|cell| *cell as u8).collect();
                let pieces = Pieces::new(vec![&narrow[..5], &narrow[5..65_537], &narrow[65_537..]]);
                let narrow = if *cells <= 256 { Bins { cell: Cells::Bytes(&pieces), ..bins } } else { bins };
                for found in [found, of(bins, &bytes), of(narrow, &bytes)] {
                    assert!(found.capability == wanted.capability, "{kind} {cells} {compat}");
                    assert!(found.place == wanted.place && found.turns == wanted.turns);
                    assert_eq!((&found.available, found.any), (&wanted.available, wanted.any));
                }
                let any = |row: &usize| able[*row] && columns.iter().any(|column| column[*row] > 0);
                assert_eq!(wanted.any, (0..rows as usize).filter(any).count() as u64);
                let able =
                    |row: &usize| able[*row] && columns[1][*row] > 0 && !bins.slots(cell[*row] as usize).is_empty();
                assert_eq!(wanted.available[1], (0..rows as usize).filter(able).count() as u64);
            }
        }
    }

    #[test]
    fn each_level_may_be_reached_by_hashes_of_its_own() {
        // Each cell has rows of one level, and the fewer the higher it is: so the same number is a larger part of them.
        let sizes = [60_000_u32, 40_000, 25_000, 15_000, 10_000, 6_000, 4_000];
        let cell: Vec<u32> = (0_u32..).zip(sizes).flat_map(|(cell, num)| vec![cell; num as usize]).collect();
        let high: Vec<u64> = (0..cell.len() as u64).map(|row| (row + 3).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let levels: Vec<u8> = cell.iter().map(|cell| *cell as u8 + 1).collect();
        let (ids, zero, able) = (Pieces::new(vec![&high]), vec![0; cell.len()], vec![true; cell.len()]);
        let preference =
            Preference::new(7, Keys { high: &ids, low: &ids, occurrence: &zero, pool: &zero }, None).unwrap();
        let (starts, of): (Vec<u32>, Vec<u32>) = ((0..8).collect(), (0..7).collect());
        let bins = Bins { cell: Cells::Words(&cell), starts: &starts, bins: &of };
        let found = mmssr(preference, &able, bins, &[Capability::new(&levels, None)], 7 * 2_000, false).unwrap();
        for own in 0..7 {
            let rows = || (0..cell.len()).filter(|row| cell[*row] == own);
            assert_eq!(rows().filter(|row| found.taken[*row]).count(), 2_000);
            let last = rows().filter(|row| found.taken[*row]).map(|row| preference.hash(row)).max();
            assert!(last < rows().filter(|row| !found.taken[*row]).map(|row| preference.hash(row)).min());
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (high, zero) = ([5_u64, 6], [0; 2]);
        let keys =
            Keys { high: &Pieces::new(vec![&high]), low: &Pieces::new(vec![&high]), occurrence: &zero, pool: &zero };
        let bins = Bins { cell: Cells::Words(&[0, 0]), starts: &[0, 1], bins: &[0] };
        let by = |bins: Bins<'_>, able: &[bool], capability: Capability<'_>| {
            mmssr(Preference::new(7, keys, None).unwrap(), able, bins, &[capability], 1, false).is_ok()
        };
        let of = |able: &[bool], capability: Capability<'_>| by(bins, able, capability);
        let whole = |over| Capability { pieces: Pieces::new(vec![&[3, 4]]), whole: Some(over), scores: None };
        assert!(of(&[true; 2], whole(3)) && of(&[true; 2], Capability::new(&[1, 2], None)));
        // Counted together, and by capability, where there are many cells.
        let many = vec![0; PLACES + 2];
        for (starts, bins, cells) in [(&[0, 1][..], &[0][..], 1), (&many, &[], PLACES as u32 + 1)] {
            let fits = |last| by(Bins { cell: Cells::Words(&[0, last]), starts, bins }, &[true; 2], whole(3));
            assert!(fits(cells - 1) && !fits(cells) && !fits(1 << 16));
        }
        assert!(!of(&[true; 2], whole(200)) && !of(&[true], whole(3)));
        assert!(!of(&[true; 2], Capability::new(&[1], None)));
    }

    #[test]
    fn a_budget_beyond_what_there_is_ends_with_what_scores() {
        let found = taken(300, 10_000, false);
        let num = found.capability.iter().filter(|capability| **capability > 0).count();
        assert!(num > 200 && num <= 300);
    }
}
