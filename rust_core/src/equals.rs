//! Samples that are the same as others.
//!
//! Rows part by the first byte of their ids into buckets that each have a filter which fits in a cache. Of what a filter
//! lets pass, the next 32 bits of ids are sorted; full ids are compared only where those are the same.

use std::ptr;

use rayon::prelude::*;

use crate::error::{CoreError, Result};
use crate::pieces::Pieces;
use crate::rank::Keys;
use crate::registers::ask_for;

/// Rows that one task parts, of which all that it reads and writes stays in a cache; and how many buckets there are.
const CHUNK: usize = 1 << 16;
const BUCKETS: usize = 256;
/// Places of a filter for each row.
const ROOM: usize = 16;
/// Sets, or rows of sets, that one task works on.
const SETS: usize = 1 << 13;
/// What rows are parted by comes above the row.
const BITS: u64 = !(u32::MAX as u64);

/// Marks one row of each set of equal samples among those `alive`: the first occurrence in the first pool. `repeated` are
/// the rows that [`repeated`] gives and the sets they are of, or some of them.
pub fn first_of_equals(keys: Keys<'_>, repeated: &[u32], sets: &[u32], alive: &[bool]) -> Result<Vec<bool>> {
    let num = keys.rows()?;
    let lengths = alive.len() == num && sets.len() == repeated.len();
    if !lengths || repeated.par_iter().any(|row| *row as usize >= num) {
        return Err(CoreError::Contract("columns of different lengths, or rows that are not there".to_owned()));
    }
    let place = |row: u32| (keys.pool[row as usize], keys.occurrence[row as usize], row);
    // A task has all rows of the sets that begin among so many.
    let border = |at: usize| (at..sets.len()).find(|at| *at == 0 || sets[at - 1] != sets[*at]).unwrap_or(sets.len());
    let later: Vec<Vec<u32>> = (0..sets.len().div_ceil(SETS))
        .into_par_iter()
        .map(|task| {
            let mut later = Vec::new();
            let mut start = border(task * SETS);
            for set in sets[start..border((task + 1) * SETS)].chunk_by(|a, b| a == b) {
                let living = || repeated[start..start + set.len()].iter().copied().filter(|row| alive[*row as usize]);
                let first = living().min_by_key(|row| place(*row));
                later.extend(living().filter(|row| Some(*row) != first));
                start += set.len();
            }
            later
        })
        .collect();
    let mut first = vec![false; num];
    first.par_chunks_mut(CHUNK).zip(alive.par_chunks(CHUNK)).for_each(|(first, alive)| first.copy_from_slice(alive));
    for row in later.into_iter().flatten() {
        first[row as usize] = false;
    }
    Ok(first)
}

/// Writes for each row of a set of equals how many of the same pool stand before it, where there are any: `again` marks
/// those rows. All others keep what they have.
pub fn number(rows: &[u32], again: &[bool], occurrence: &mut [u32]) -> Result<()> {
    let height = occurrence.len();
    if again.len() != rows.len() || rows.iter().any(|row| *row as usize >= height) {
        return Err(CoreError::Contract("columns of different lengths, or rows that are not there".to_owned()));
    }
    let mut number = 0;
    for (row, again) in rows.iter().zip(again) {
        number = if *again { number + 1 } else { 0 };
        if *again {
            occurrence[*row as usize] = number;
        }
    }
    Ok(())
}

/// Rows of which another one has the same id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repeated {
    /// Set by set, by the first row of each; those of a set in order.
    pub rows: Vec<u32>,
    /// The number of the set of each.
    pub sets: Vec<u32>,
    /// Whether the one before it is of the same set and lies in the same pool.
    pub again: Vec<bool>,
}

/// The rows of which another one has the same id, by the halves of ids. Pools lie one behind another, and these are their
/// `ends`.
pub fn repeated(high: &Pieces<'_, u64>, low: &Pieces<'_, u64>, ends: &[u64]) -> Result<Repeated> {
    let num = high.rows();
    if low.rows() != num || u32::try_from(num).is_err() {
        return Err(CoreError::Contract("columns of different lengths, or too many rows".to_owned()));
    }
    let mut packed = vec![0; num];
    let part = |room: &mut Vec<u64>, (chunk, packed): (usize, _)| {
        let (first, end) = (chunk * CHUNK, num.min((chunk + 1) * CHUNK));
        Part::new(high.read(first..end, room), first, packed)
    };
    let parts: Vec<Part> = packed.par_chunks_mut(CHUNK).enumerate().map_init(Vec::new, part).collect();
    let buckets: Vec<Sets> = (0..BUCKETS)
        .into_par_iter()
        .with_min_len(BUCKETS / 16)
        .map_init(Room::default, |room, bucket| Sets::of(near(&parts, bucket, room), high, low))
        .collect();
    let (mut rows, mut sets) = (Vec::new(), Vec::new());
    for bucket in &buckets {
        let before = rows.len() as u32;
        sets.extend(bucket.sets.iter().map(|(first, start, len)| (*first, before + start, *len)));
        rows.extend_from_slice(&bucket.rows);
    }
    sets.par_sort_unstable_by_key(|set| set.0);
    let found: Vec<Repeated> =
        sets.par_chunks(SETS).enumerate().map(|(chunk, sets)| Repeated::of(sets, chunk * SETS, &rows, ends)).collect();
    Ok(Repeated {
        rows: found.iter().map(|found| found.rows.as_slice()).collect::<Vec<_>>().concat(),
        sets: found.iter().map(|found| found.sets.as_slice()).collect::<Vec<_>>().concat(),
        again: found.iter().map(|found| found.again.as_slice()).collect::<Vec<_>>().concat(),
    })
}

impl Repeated {
    /// The rows of some sets, of which the first has this number.
    fn of(sets: &[Set], number: usize, all: &[u32], ends: &[u64]) -> Self {
        let num = sets.iter().map(|(.., len)| *len as usize).sum();
        let (rows, sets_of, again) = (Vec::with_capacity(num), Vec::with_capacity(num), Vec::with_capacity(num));
        let mut found = Self { rows, sets: sets_of, again };
        let mut pool = 0;
        for (number, (first, start, len)) in (number as u32..).zip(sets) {
            pool += ends[pool..].partition_point(|end| *end <= u64::from(*first));
            let mut end = ends.get(pool);
            for (at, row) in all[*start as usize..][..*len as usize].iter().enumerate() {
                let beyond = end.is_some_and(|end| *end <= u64::from(*row));
                if beyond {
                    end = ends.iter().find(|end| **end > u64::from(*row));
                }
                found.rows.push(*row);
                found.sets.push(number);
                found.again.push(at > 0 && !beyond);
            }
        }
        found
    }
}

/// (its first row, where its rows begin among those of all, how many they are)
type Set = (u32, u32, u32);

/// Rows with the same ids, set by set.
#[derive(Default)]
struct Sets {
    rows: Vec<u32>,
    sets: Vec<Set>,
}

impl Sets {
    /// Those among rows that are sorted by some bits of their ids, and then as they stand.
    fn of(near: &mut [u64], high: &Pieces<'_, u64>, low: &Pieces<'_, u64>) -> Self {
        let mut found = Self::default();
        let id = |packed: &u64| (high.get(*packed as u32 as usize), low.get(*packed as u32 as usize));
        let same = |a: &u64, b: &u64| a & BITS == b & BITS;
        let several = |near: &&mut [u64]| near.len() > 1;
        // They lie anywhere in memory.
        for packed in near.chunk_by_mut(same).filter(several).flatten() {
            ask_for(ptr::from_ref(high.place(*packed as u32 as usize)).cast());
            ask_for(ptr::from_ref(low.place(*packed as u32 as usize)).cast());
        }
        for near in near.chunk_by_mut(same).filter(several) {
            if near.iter().any(|packed| id(packed) != id(&near[0])) {
                near.sort_by_key(id);
            }
            for set in near.chunk_by(|a, b| id(a) == id(b)).filter(|set| set.len() > 1) {
                found.sets.push((set[0] as u32, found.rows.len() as u32, set.len() as u32));
                found.rows.extend(set.iter().map(|packed| *packed as u32));
            }
        }
        found
    }
}

/// The rows of a chunk, bucket by bucket: the next 32 bits of their ids, above the row.
struct Part<'a> {
    packed: &'a [u64],
    ends: Vec<u32>,
}

impl<'a> Part<'a> {
    fn new(high: &[u64], first: usize, packed: &'a mut [u64]) -> Self {
        let mut places = vec![0; BUCKETS];
        for high in high {
            places[(high >> 56) as usize] += 1;
        }
        let mut end = 0;
        for place in &mut places {
            end += *place;
            *place = end - *place;
        }
        // Written in order, memory comes to the cache sooner than where each place of it is waited for.
        packed.fill(0);
        for (row, high) in (first as u64..).zip(high) {
            let place = &mut places[(high >> 56) as usize];
            packed[*place as usize] = high << 8 & BITS | row;
            *place += 1;
        }
        Self { packed, ends: places }
    }

    fn bucket(&self, bucket: usize) -> &[u64] {
        &self.packed[if bucket == 0 { 0 } else { self.ends[bucket - 1] as usize }..self.ends[bucket] as usize]
    }
}

/// Room that is used again.
#[derive(Default)]
struct Room {
    filter: Vec<u64>,
    near: Vec<u64>,
}

/// The rows of a bucket of which another one may have the same bits, sorted by them.
fn near<'a>(parts: &[Part<'_>], bucket: usize, room: &'a mut Room) -> &'a mut [u64] {
    let num = parts.iter().map(|part| part.bucket(bucket).len()).sum::<usize>();
    // A word has 32 places: below whether there is one of each, above whether there are several.
    let size = (ROOM * num).next_power_of_two().clamp(64, 1 << 32);
    let shift = u64::BITS - size.trailing_zeros();
    let place = |packed: u64| {
        let at = (packed & BITS).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> shift;
        ((at / 32) as usize, at % 32)
    };
    let Room { filter, near } = room;
    filter.clear();
    filter.resize(size / 32, 0);
    for part in parts {
        for packed in part.bucket(bucket) {
            let (word, bit) = place(*packed);
            let (word, one) = (&mut filter[word], 1 << bit);
            *word |= one | (*word & one) << 32;
        }
    }
    // Without a branch: which rows pass is chance.
    if near.len() <= num {
        near.resize(num + 1, 0);
    }
    let mut some = 0;
    for part in parts {
        for packed in part.bucket(bucket) {
            let (word, bit) = place(*packed);
            near[some] = *packed;
            some += (filter[word] >> (32 + bit) & 1) as usize;
        }
    }
    let near = &mut near[..some];
    near.sort_unstable();
    near
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equals_the_first_occurrence_in_the_first_pool_stays() {
        let (high, low) = (Pieces::new(vec![&[5, 5, 9, 5]]), Pieces::new(vec![&[1, 1, 2, 1]]));
        let keys = Keys { high: &high, low: &low, occurrence: &[0, 0, 0, 1], pool: &[1, 0, 0, 0] };
        let first = |alive: &[bool]| first_of_equals(keys, &[0, 1, 3], &[0, 0, 0], alive);
        assert_eq!(first(&[true; 4]).unwrap(), [false, true, true, false]);
        assert_eq!(first(&[true, false, true, true]).unwrap(), [false, false, true, true]);
        assert!(first_of_equals(keys, &[], &[], &[true]).is_err());
        assert!(first_of_equals(keys, &[4], &[0], &[true; 4]).is_err());
        assert!(first_of_equals(keys, &[3], &[], &[true; 4]).is_err());
    }

    #[test]
    fn equals_are_numbered_by_pool() {
        let mut occurrence = [0, 7, 0, 0, 0, 0];
        number(&[5, 0, 2, 3, 4], &[false, true, true, false, true], &mut occurrence).unwrap();
        assert_eq!(occurrence, [1, 7, 2, 0, 1, 0]);
        assert!(number(&[6], &[false], &mut occurrence).is_err());
        assert!(number(&[1], &[], &mut occurrence).is_err());
    }

    #[test]
    fn all_of_equals_are_repeated() {
        let (high, low): (&[u64], &[u64]) = (&[9 << 56, 5, 9, 5, 9 << 56], &[7, 1, 2, 1, 7]);
        let wanted =
            Repeated { rows: vec![0, 4, 1, 3], sets: vec![0, 0, 1, 1], again: vec![false, false, false, true] };
        let of = |high, low, ends: &[u64]| repeated(&Pieces::new(high), &Pieces::new(low), ends);
        assert_eq!(of(vec![high], vec![low], &[4, 4, 5]).unwrap(), wanted);
        let (highs, lows) = (vec![&high[..2], &[], &high[2..]], vec![&low[..4], &low[4..]]);
        assert_eq!(of(highs, lows, &[4, 4, 5]).unwrap(), wanted);
        assert!(of(vec![&[5]], vec![&[]], &[1]).is_err());
        assert_eq!(of(vec![], vec![], &[]).unwrap(), Repeated::default());
    }

    #[test]
    fn the_first_of_many_equals_is_that_of_the_whole_order() {
        // Ids that are the same in all bits of a table, in few, or in none; and some that are the same in all of them.
        type Id = fn(u64) -> (u64, u64);
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        let kinds: [Id; 9] = [
            |row| ((row % 7) << 56 | (row % 3) << 30 | (row % 2), row % 5),
            |row| ((row % 900).wrapping_mul(SPREAD), row % 5),
            |row| (row % 1000, row % 5),
            |row| ((row % 500) << 24, row % 5),
            |_| (0, 0),
            // Different in the lower half alone, in the bits of the upper half that no table has, or in no other ones.
            |row| (u64::MAX, row / 3),
            |row| (SPREAD ^ (row / 3 % (1 << 20)), 1),
            |row| (SPREAD ^ ((row / 2 % (1 << 16)) << 40), 1),
            |row| (row.wrapping_mul(SPREAD), row),
        ];
        for (kind, num) in kinds.iter().flat_map(|kind| [(kind, 3000_u64), (kind, 4 * CHUNK as u64 + 999), (kind, 0)]) {
            let (high, low): (Vec<u64>, Vec<u64>) = (0..num).map(kind).unzip();
            let occurrence: Vec<u32> = (0..num as u32).map(|row| row % 11).collect();
            let pool: Vec<u32> = (0..num as u32).map(|row| row * 7 % 13).collect();
            let alive: Vec<bool> = (0..num).map(|row| row % 4 != 1).collect();
            let keys = Keys {
                high: &Pieces::new(vec![&high]),
                low: &Pieces::new(vec![&low]),
                occurrence: &occurrence,
                pool: &pool,
            };
            let name = |row: usize| (high[row], low[row], pool[row], occurrence[row], row);
            let mut order: Vec<usize> = (0..num as usize).filter(|row| alive[*row]).collect();
            order.sort_unstable_by_key(|row| name(*row));
            let mut wanted = vec![false; num as usize];
            for (at, row) in order.iter().enumerate() {
                wanted[*row] = at == 0 || (high[order[at - 1]], low[order[at - 1]]) != (high[*row], low[*row]);
            }
            let cut = num as usize / 5 * 3;
            let (highs, lows) = (vec![&high[..cut], &high[cut..]], vec![&low[..cut / 2], &low[cut / 2..]]);
            let found = repeated(&Pieces::new(highs), &Pieces::new(lows), &[num / 3, num]).unwrap();
            assert!(repeated(keys.high, keys.low, &[num / 3, num]).unwrap() == found);
            let Repeated { rows, sets, again } = found;
            assert!(first_of_equals(keys, &rows, &sets, &alive).unwrap() == wanted, "{num}");
            let mut order: Vec<usize> = (0..num as usize).collect();
            order.sort_unstable_by_key(|row| (high[*row], low[*row], *row));
            let same = |a: &usize, b: &usize| (high[*a], low[*a]) == (high[*b], low[*b]);
            let mut wanted: Vec<&[usize]> = order.chunk_by(same).filter(|set| set.len() > 1).collect();
            wanted.sort_unstable_by_key(|set| set[0]);
            let wanted: Vec<(u32, u32)> =
                (0..).zip(wanted).flat_map(|(number, set)| set.iter().map(move |row| (number, *row as u32))).collect();
            assert!(wanted.iter().copied().eq(sets.iter().copied().zip(rows.iter().copied())), "{num}");
            let group = |at: usize| (sets[at], u64::from(rows[at]) < num / 3);
            let wanted = (0..rows.len()).map(|at| at > 0 && group(at - 1) == group(at));
            assert!(wanted.eq(again), "{num}");
        }
    }
}
