//! The best of each group: by score, then by the keyed hash, then by id.

use rayon::prelude::*;

use crate::error::{CoreError, Result};
use crate::rank::Keys;

/// Rows that one task works on, and into how many buckets groups part them.
const CHUNK: usize = 1 << 18;
const BUCKETS: usize = 256;

/// An order of preference: larger scores first, and the keyed order of `seed` among equal ones and without scores.
#[derive(Clone, Copy)]
pub struct Preference<'a> {
    pub seed: u64,
    pub keys: Keys<'a>,
    pub scores: Option<&'a [f64]>,
}

type Name = (u64, ((u64, u64), u32, u32));

impl<'a> Preference<'a> {
    pub fn new(seed: u64, keys: Keys<'a>, scores: Option<&'a [f64]>) -> Result<Self> {
        let rows = keys.rows()?;
        if scores.is_some_and(|scores| scores.len() != rows) {
            return Err(CoreError::Contract("scores do not fit the rows".to_owned()));
        }
        Ok(Self { seed, keys, scores })
    }

    /// A number that is smaller for a larger score.
    pub fn level(&self, row: usize) -> u64 {
        self.scores.map_or(0, |scores| {
            // Negative zero is zero.
            let bits = (scores[row] + 0.0).to_bits();
            if bits >> 63 == 0 { !(bits | 1 << 63) } else { bits }
        })
    }

    /// The hash that orders rows of one level before their ids do.
    pub fn hash(&self, row: usize) -> u64 {
        self.keys.hash(self.seed, row, 0)
    }

    /// What orders rows of one level.
    pub fn name(&self, row: u32) -> Name {
        self.name_in(row, 0)
    }

    /// The same in a later pass, in which a row is taken once more.
    fn name_in(&self, row: u32, pass: u32) -> Name {
        (self.keys.hash(self.seed, row as usize, pass), self.keys.tie(row))
    }

    /// How many of the marked rows come before this one. Hashes are looked at only among its equals.
    pub fn rank_of(&self, marks: &[bool], row: u32, pass: u32) -> Result<u64> {
        let rows = self.keys.rows()?;
        if marks.len() != rows || row as usize >= rows {
            return Err(CoreError::Contract("marks do not fit the rows".to_owned()));
        }
        let (level, name) = (self.level(row as usize), self.name_in(row, pass));
        let before = |other: &usize| {
            let at = self.level(*other);
            marks[*other] && (at < level || at == level && self.name_in(*other as u32, pass) < name)
        };
        Ok((0..rows).into_par_iter().with_min_len(1 << 14).filter(before).count() as u64)
    }

    /// The last of the marked rows, or the first.
    pub fn edge_of(&self, marks: &[bool], pass: u32, last: bool) -> Result<u32> {
        let rows = self.keys.rows()?;
        if marks.len() != rows {
            return Err(CoreError::Contract("marks do not fit the rows".to_owned()));
        }
        let marked = (0..rows)
            .into_par_iter()
            .with_min_len(1 << 14)
            .filter(|row| marks[*row])
            .map(|row| (self.level(row), self.name_in(row as u32, pass), row as u32));
        if last { marked.max() } else { marked.min() }
            .map(|(_, _, row)| row)
            .ok_or_else(|| CoreError::Contract("no row is marked".to_owned()))
    }

    /// Rows in the order of preference.
    pub fn sort(&self, rows: &[u32]) -> Vec<u32> {
        let mut named: Vec<(u64, u64, u32)> = rows
            .par_iter()
            .with_min_len(1 << 12)
            .map(|row| (self.level(*row as usize), self.name(*row).0, *row))
            .collect();
        named.par_sort_unstable_by(|a, b| {
            (a.0, a.1).cmp(&(b.0, b.1)).then_with(|| self.keys.tie(a.2).cmp(&self.keys.tie(b.2)))
        });
        named.into_iter().map(|(_, _, row)| row).collect()
    }
}

/// Marks the first rows of each group in the order of preference, up to its limit: a number of rows, or a sum of costs.
///
/// With costs, a group is closed by the first row that does not fit, so that a larger limit only ever adds.
pub fn best(
    preference: Preference<'_>,
    alive: &[bool],
    group: &[u32],
    limits: &[u64],
    costs: Option<&[u64]>,
) -> Result<Vec<bool>> {
    let rows = preference.keys.rows()?;
    let fits = alive.len() == rows && group.len() == rows && costs.is_none_or(|costs| costs.len() == rows);
    if !fits || group.par_iter().zip(alive).any(|(group, alive)| *alive && *group as usize >= limits.len()) {
        return Err(CoreError::Contract("groups, costs and rows do not fit".to_owned()));
    }
    let width = limits.len().div_ceil(BUCKETS).max(1);
    let parts: Vec<Vec<Vec<(u32, u32)>>> = (0..rows.div_ceil(CHUNK))
        .into_par_iter()
        .map(|chunk| {
            let mut buckets = vec![Vec::new(); BUCKETS];
            for row in (chunk * CHUNK..rows.min((chunk + 1) * CHUNK)).filter(|row| alive[*row]) {
                if limits[group[row] as usize] > 0 {
                    buckets[group[row] as usize / width].push((group[row], row as u32));
                }
            }
            buckets
        })
        .collect();
    let taken: Vec<u32> = (0..BUCKETS)
        .into_par_iter()
        .flat_map_iter(|bucket| {
            let mut members: Vec<(u32, u32)> = parts.iter().flat_map(|part| part[bucket].iter().copied()).collect();
            if width > 1 {
                members.sort_unstable();
            }
            let mut found = Vec::new();
            for same in members.chunk_by(|a, b| a.0 == b.0) {
                let rows: Vec<u32> = same.iter().map(|(_, row)| *row).collect();
                let limit = limits[same[0].0 as usize];
                found.extend(match costs {
                    None => first(&preference, rows, usize::try_from(limit).unwrap_or(usize::MAX)),
                    Some(costs) => affordable(&preference, &rows, limit, costs),
                });
            }
            found
        })
        .collect();
    let mut marks = vec![false; rows];
    for row in taken {
        marks[row as usize] = true;
    }
    Ok(marks)
}

/// The first `limit` of some rows, in no order. Hashes are looked at only at the level where the limit falls.
fn first(preference: &Preference<'_>, rows: Vec<u32>, limit: usize) -> Vec<u32> {
    if limit >= rows.len() {
        return rows;
    }
    let (mut taken, mut ties) = (Vec::new(), rows);
    if preference.scores.is_some() {
        let mut levels: Vec<u64> = ties.iter().map(|row| preference.level(*row as usize)).collect();
        let last = *levels.select_nth_unstable(limit - 1).1;
        taken = ties.iter().copied().filter(|row| preference.level(*row as usize) < last).collect();
        ties.retain(|row| preference.level(*row as usize) == last);
    }
    let wanted = limit - taken.len();
    let mut named: Vec<(u64, u32)> = ties.into_iter().map(|row| (preference.name(row).0, row)).collect();
    if wanted < named.len() {
        named.select_nth_unstable_by(wanted, |a, b| {
            a.0.cmp(&b.0).then_with(|| preference.keys.tie(a.1).cmp(&preference.keys.tie(b.1)))
        });
        named.truncate(wanted);
    }
    taken.extend(named.into_iter().map(|(_, row)| row));
    taken
}

fn affordable(preference: &Preference<'_>, rows: &[u32], limit: u64, costs: &[u64]) -> Vec<u32> {
    let mut left = limit;
    let fits = |row: &u32| {
        let rest = left.checked_sub(costs[*row as usize]);
        left = rest.unwrap_or(left);
        rest.is_some()
    };
    preference.sort(rows).into_iter().take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pieces::Pieces;

    const ROWS: usize = 600;

    #[test]
    fn the_best_of_each_group_are_those_of_its_whole_order() {
        let high: Vec<u64> = (0..ROWS as u64).map(|row| row.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let (low, zero) = (vec![0; ROWS], vec![0; ROWS]);
        let keys =
            Keys { high: &Pieces::new(vec![&high]), low: &Pieces::new(vec![&low]), occurrence: &zero, pool: &zero };
        let scores: Vec<f64> = (0..ROWS).map(|row| f64::from((row % 9) as u32) / 2.0 - 2.0).collect();
        let alive: Vec<bool> = (0..ROWS).map(|row| row % 11 != 3).collect();
        let costs: Vec<u64> = (0..ROWS as u64).map(|row| row % 7).collect();
        for groups in [1_usize, 5, 300] {
            let group: Vec<u32> = (0..ROWS).map(|row| (row * 7 % groups) as u32).collect();
            let limits: Vec<u64> = (0..groups as u64).map(|group| group * 13 % 40).collect();
            for scores in [None, Some(scores.as_slice())] {
                for costs in [None, Some(costs.as_slice())] {
                    let preference = Preference::new(7, keys, scores).unwrap();
                    let marks = best(preference, &alive, &group, &limits, costs).unwrap();
                    let mut left = limits.clone();
                    let mut closed = vec![false; groups];
                    let living: Vec<u32> = (0..ROWS as u32).filter(|row| alive[*row as usize]).collect();
                    let mut wanted = vec![false; ROWS];
                    for row in preference.sort(&living) {
                        let (at, of) = (row as usize, group[row as usize] as usize);
                        let cost = costs.map_or(1, |costs| costs[at]);
                        closed[of] |= cost > left[of] || limits[of] == 0;
                        if !closed[of] {
                            left[of] -= cost;
                            wanted[at] = true;
                        }
                    }
                    assert_eq!(marks, wanted, "{groups} {} {}", scores.is_some(), costs.is_some());
                }
            }
        }
    }

    #[test]
    fn ranks_are_places_in_the_whole_order() {
        let high: Vec<u64> = (0..ROWS as u64).map(|row| row.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let (low, zero) = (vec![0; ROWS], vec![0; ROWS]);
        let keys =
            Keys { high: &Pieces::new(vec![&high]), low: &Pieces::new(vec![&low]), occurrence: &zero, pool: &zero };
        let scores: Vec<f64> = (0..ROWS).map(|row| f64::from((row % 9) as u32)).collect();
        let marks: Vec<bool> = (0..ROWS).map(|row| row % 4 != 3).collect();
        let preference = Preference::new(7, keys, Some(&scores)).unwrap();
        let marked: Vec<u32> = (0..ROWS as u32).filter(|row| marks[*row as usize]).collect();
        let order = preference.sort(&marked);
        for (rank, row) in order.iter().enumerate() {
            assert_eq!(preference.rank_of(&marks, *row, 0).unwrap(), rank as u64);
        }
        assert_eq!(preference.edge_of(&marks, 0, true).unwrap(), order[order.len() - 1]);
        assert_eq!(preference.edge_of(&marks, 0, false).unwrap(), order[0]);
        assert!(preference.edge_of(&[false; ROWS], 0, true).is_err());
        assert!(preference.rank_of(&marks, ROWS as u32, 0).is_err());
    }

    #[test]
    fn larger_scores_come_first_and_zero_has_no_sign() {
        let (high, low, zero) = ([1, 2, 3, 4], [0; 4], [0; 4]);
        let keys =
            Keys { high: &Pieces::new(vec![&high]), low: &Pieces::new(vec![&low]), occurrence: &zero, pool: &zero };
        let preference = Preference::new(0, keys, Some(&[-1.5, 0.0, 7.0, -0.0])).unwrap();
        let order = preference.sort(&[0, 1, 2, 3]);
        assert_eq!((order[0], order[3]), (2, 0));
        assert_eq!(preference.level(1), preference.level(3));
    }
}
