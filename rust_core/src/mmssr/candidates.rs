//! The rows that a turn may take: one pass over the listed ones finds them, and only they are sorted.

use rayon::prelude::*;

use super::listed::Reached;
use super::plan::Plan;
use super::{NONE, Run, grade};
use crate::best::Preference;

/// Tasks for each thread.
const TASKS: usize = 2;

/// A row that a turn may take of a bin.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    /// Its place in the list.
    pub(super) at: u32,
    /// The place of the bin among the row's own.
    pub(super) place: u8,
    pub(super) worse: u64,
    pub(super) hash: u64,
}

impl Candidate {
    /// What orders the rows of a bin before their hashes do.
    pub(super) fn grade(&self, compat: bool) -> (u64, u64) {
        grade(self.worse, self.place, compat)
    }
}

/// What is sought of the rows of a slot (a cell and one of its bins).
#[derive(Clone, Copy)]
pub(super) struct Aim {
    /// The place of the bin in the order of the turn.
    bin: u32,
    least: u16,
    /// The level of which only rows with a hash up to the bound are sought.
    last: u16,
    bound: u64,
}

/// What a turn found and left, bin by bin: all that comes before some place in the bin's order, or all.
pub(super) struct Rest {
    /// The bins of the turn in their order, and whether all that a bin has was found.
    bins: Vec<(usize, bool)>,
    found: Vec<Vec<Candidate>>,
}

impl Rest {
    pub(super) fn new(plans: &[Plan], found: Vec<Vec<Candidate>>) -> Self {
        Self { bins: plans.iter().map(|plan| (plan.bin, plan.end.is_none())).collect(), found }
    }
}

const NOTHING: Aim = Aim { bin: 0, least: NONE, last: 0, bound: 0 };

impl Run<'_> {
    /// The rows that a turn may take, bin by bin.
    ///
    /// Rows of the last level and place are taken by their hashes. With `few`, only those with the smallest are found,
    /// about as many as are needed; None where they are not enough.
    pub(super) fn candidates(
        &mut self,
        capabilities: &[usize],
        part: u64,
        plans: &[Plan],
        few: bool,
    ) -> Option<Vec<Vec<Candidate>>> {
        let aims = self.aims(plans, few);
        let reach = self.reach(&aims);
        let capability = capabilities[0];
        if !self.is_listed(capability, &reach) {
            self.list(capabilities, part, reach.clone());
        }
        let scores = self.columns.scores(capability);
        let finely = Preference { scores, ..self.preference };
        let (listed, num) = (&self.listed, self.listed.num_parts());
        // No more tasks than keep all threads busy: each has all bins.
        let size = num.div_ceil(TASKS * rayon::current_num_threads()).max(1);
        let parts: Vec<Vec<Vec<Candidate>>> = (0..num.div_ceil(size))
            .into_par_iter()
            .map(|task| {
                let parts = task * size..num.min((task + 1) * size);
                let mut bins: Vec<_> = plans.iter().map(|_| Vec::new()).collect();
                for Reached { at, cell, level, hash } in
                    parts.flat_map(|part| listed.reached(part, capability, &reach, self.width))
                {
                    let level = u16::from(level);
                    let worse = match scores {
                        Some(_) => finely.level(listed.row(at) as usize),
                        None => u64::from(NONE - level),
                    };
                    for (place, slot) in self.bins.slots(cell).enumerate() {
                        let Aim { bin, least, last, bound } = aims[slot];
                        if level >= least && (level != last || hash <= bound) {
                            bins[bin as usize].push(Candidate { at, place: place as u8, worse, hash });
                        }
                    }
                }
                bins
            })
            .collect();
        let bin = |(bin, plan): (usize, &Plan)| {
            let found = parts.iter().map(|bins| bins[bin].as_slice()).collect::<Vec<_>>().concat();
            (!few || self.is_enough(plan, &found)).then_some(found)
        };
        plans.par_iter().enumerate().map(bin).collect()
    }

    /// The rows that a turn may take out of what the capability's last turn left; None where those may not be all.
    pub(super) fn left_of(&self, rest: &Rest, capability: usize, plans: &[Plan]) -> Option<Vec<Vec<Candidate>>> {
        let left = |candidate: &&Candidate| self.listed.is_left(candidate.at);
        let of_bin = |plan: &Plan| {
            let old = rest.bins.iter().position(|(bin, all)| *bin == plan.bin && (plan.end.is_some() || *all))?;
            let found: Vec<Candidate> = rest.found[old].iter().filter(left).copied().collect();
            self.is_enough(plan, &found).then_some(found)
        };
        self.columns.scores(capability).is_none().then(|| plans.iter().map(of_bin).collect())?
    }

    /// What is sought of each slot.
    pub(super) fn aims(&self, plans: &[Plan], few: bool) -> Vec<Aim> {
        let mut aims = vec![NOTHING; self.bins.bins.len()];
        for (number, plan) in plans.iter().enumerate() {
            let bound = plan.end.filter(|_| few).map_or(u64::MAX, |end| end.bound());
            for (place, cell) in &self.inside[plan.bin] {
                let cell = *cell as usize;
                let aim = Aim {
                    bin: number as u32,
                    least: plan.end.map_or(1, |end| end.least(*place, self.compat)),
                    last: plan.end.filter(|end| end.place == Some(*place)).map_or(0, |end| end.level as u16),
                    bound,
                };
                aims[self.bins.starts[cell] as usize + usize::from(*place)] = aim;
            }
        }
        aims
    }

    /// For each cell and level the brief hash below which rows are sought.
    pub(super) fn reach(&self, aims: &[Aim]) -> Vec<u64> {
        let mut reach = vec![0; self.sizes.len() * self.width];
        for (cell, reach) in reach.chunks_exact_mut(self.width).enumerate() {
            for Aim { least, last, bound, .. } in &aims[self.bins.slots(cell)] {
                for (level, reach) in reach.iter_mut().enumerate().skip(usize::from(*least)) {
                    let sought = if level == usize::from(*last) { *bound } else { u64::MAX };
                    *reach = (*reach).max((sought >> 32) + 1);
                }
            }
        }
        reach
    }

    /// Whether all that was needed of the last level and place of a bin was found.
    fn is_enough(&self, plan: &Plan, found: &[Candidate]) -> bool {
        plan.end.is_none_or(|end| {
            let last = grade(end.worse(), end.place.unwrap_or(0), self.compat);
            found.iter().filter(|candidate| candidate.grade(self.compat) == last).count() as u64 >= end.keep
        })
    }
}
