//! Taking samples for a goal: floors first, then the quotas of strata, then what is left (GDO; papers, section b.3).

use std::collections::BTreeSet;

use crate::best::{Preference, best};
use crate::error::{CoreError, Result};

/// A row that is no use of any video.
pub const NO_VIDEO: u32 = u32::MAX;
/// Bits of `marks`.
pub const VIDEO: u8 = 1;
pub const TEMPORAL: u8 = 2;

/// The samples that a goal chooses from, a value for each row.
pub struct Pool<'a> {
    pub able: &'a [bool],
    pub marks: &'a [u8],
    pub stratum: &'a [u32],
    pub group: &'a [u32],
    /// Equal numbers are equal texts.
    pub text: &'a [u64],
    /// The number of the row's video, below `videos`, or `NO_VIDEO`.
    pub video: &'a [u32],
    pub videos: usize,
}

/// What a goal asks for. `caps` and `quotas` are of strata; `floors` are of groups, in the order they are met.
pub struct Goal<'a> {
    pub count: u64,
    pub temporal: u64,
    pub video: u64,
    pub most_video: u64,
    pub floors: &'a [(u32, u64)],
    pub quotas: &'a [u64],
    pub caps: &'a [u64],
    pub per_video: u32,
}

/// The stages that take samples, in the order in which they do. 0 is none.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    TemporalVideo = 1,
    Video,
    Group,
    Quota,
    Score,
    Chance,
}

/// The stage that takes each row, 0 for those that none takes.
///
/// Candidates are the first `caps` rows of each stratum in the order of preference, and every stage but the last goes
/// through them in that order; the last goes through all rows in the order of `chance`.
pub fn choose(preference: Preference<'_>, chance: Preference<'_>, pool: &Pool<'_>, goal: &Goal<'_>) -> Result<Vec<u8>> {
    let rows = preference.keys.rows()?;
    let fits = [pool.able.len(), pool.marks.len(), pool.stratum.len(), pool.group.len()] == [rows; 4]
        && [pool.text.len(), pool.video.len()] == [rows; 2]
        && goal.quotas.len() == goal.caps.len()
        && pool.video.iter().all(|video| *video == NO_VIDEO || (*video as usize) < pool.videos);
    if !fits {
        return Err(CoreError::Contract("columns of different lengths".to_owned()));
    }
    let candidates = best(preference, pool.able, pool.stratum, goal.caps, None)?;
    let tail = preference.sort(&marked(&candidates));
    let mut taking = Taking {
        pool,
        goal,
        stages: vec![0; rows],
        texts: BTreeSet::new(),
        uses: vec![0; pool.videos],
        taken: 0,
        videos: 0,
    };
    let is = |mark: u8| move |row: &u32| pool.marks[*row as usize] & mark != 0;
    taking.fill(tail.iter().copied().filter(is(TEMPORAL)), goal.temporal, Stage::TemporalVideo);
    let missing = goal.video.saturating_sub(taking.videos);
    taking.fill(tail.iter().copied().filter(is(VIDEO)), missing, Stage::Video);
    let mut by_group = Parts::new(&tail, pool.group);
    for (group, floor) in goal.floors {
        let members = by_group.take(*group);
        let missing = floor.saturating_sub(taking.have(&members));
        taking.fill(members.into_iter(), missing, Stage::Group);
    }
    let mut by_stratum = Parts::new(&tail, pool.stratum);
    for (stratum, quota) in goal.quotas.iter().enumerate().filter(|(_, quota)| **quota > 0) {
        let members = by_stratum.take(stratum as u32);
        let missing = quota.saturating_sub(taking.have(&members));
        taking.fill(members.into_iter(), missing, Stage::Quota);
    }
    taking.fill(tail.into_iter(), goal.count, Stage::Score);
    if taking.taken < goal.count {
        let left: Vec<u32> = marked(pool.able).into_iter().filter(|row| taking.stages[*row as usize] == 0).collect();
        taking.fill(chance.sort(&left).into_iter(), goal.count, Stage::Chance);
    }
    Ok(taking.stages)
}

fn marked(marks: &[bool]) -> Vec<u32> {
    marks.iter().enumerate().filter(|(_, mark)| **mark).map(|(row, _)| row as u32).collect()
}

/// Rows by a number that each has, in the order they are given.
struct Parts {
    parts: Vec<Vec<u32>>,
}

impl Parts {
    fn new(rows: &[u32], number: &[u32]) -> Self {
        let most = rows.iter().map(|row| number[*row as usize] as usize + 1).max().unwrap_or(0);
        let mut parts = vec![Vec::new(); most];
        for row in rows {
            parts[number[*row as usize] as usize].push(*row);
        }
        Self { parts }
    }

    fn take(&mut self, number: u32) -> Vec<u32> {
        self.parts.get_mut(number as usize).map(std::mem::take).unwrap_or_default()
    }
}

/// What is taken so far.
struct Taking<'a> {
    pool: &'a Pool<'a>,
    goal: &'a Goal<'a>,
    stages: Vec<u8>,
    texts: BTreeSet<u64>,
    uses: Vec<u32>,
    taken: u64,
    videos: u64,
}

impl Taking<'_> {
    /// Takes up to `missing` of these rows, as far as nothing speaks against it.
    fn fill(&mut self, rows: impl Iterator<Item = u32>, mut missing: u64, stage: Stage) {
        for row in rows {
            if missing == 0 || self.taken >= self.goal.count {
                return;
            }
            if self.allows(row as usize) {
                self.take(row as usize, stage);
                missing -= 1;
            }
        }
    }

    fn have(&self, rows: &[u32]) -> u64 {
        rows.iter().filter(|row| self.stages[**row as usize] > 0).count() as u64
    }

    fn allows(&self, row: usize) -> bool {
        let is_video = self.pool.marks[row] & VIDEO != 0;
        let video = self.pool.video[row];
        self.stages[row] == 0
            && !self.texts.contains(&self.pool.text[row])
            && !(is_video && self.videos >= self.goal.most_video)
            && (video == NO_VIDEO || self.uses[video as usize] < self.goal.per_video)
    }

    fn take(&mut self, row: usize, stage: Stage) {
        self.stages[row] = stage as u8;
        self.texts.insert(self.pool.text[row]);
        self.taken += 1;
        self.videos += u64::from(self.pool.marks[row] & VIDEO);
        if let Some(uses) = self.uses.get_mut(self.pool.video[row] as usize) {
            *uses += 1;
        }
    }
}
