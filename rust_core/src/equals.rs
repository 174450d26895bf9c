//! Samples that are the same as others.
//!
//! Rows part by the first byte of their ids into buckets that each have a filter which fits in a cache. Of what a filter
//! lets pass, the next 32 bits of ids are sorted; full ids are compared only where those are the same.

use rayon::prelude::*;

use crate::error::{CoreError, Result};
use crate::rank::Keys;

/// Rows that one task works on, and into how many buckets it parts them.
const CHUNK: usize = 1 << 18;
const BUCKETS: usize = 256;
/// Places of a filter for each row.
const ROOM: usize = 16;

/// Marks one row of each set of equal samples among those `alive`: the first occurrence in the first pool. `repeated` are
/// the rows that [`repeated`] gives, or more of their kind.
pub fn first_of_equals(keys: Keys<'_>, repeated: &[u32], alive: &[bool]) -> Result<Vec<bool>> {
    let num = keys.rows()?;
    if alive.len() != num || repeated.par_iter().any(|row| *row as usize >= num) {
        return Err(CoreError::Contract("columns of different lengths, or rows that are not there".to_owned()));
    }
    let place = |row: &u32| (keys.pool[*row as usize], keys.occurrence[*row as usize], *row);
    let living = |row: &&u32| alive[**row as usize];
    let later: Vec<u32> = repeated
        .par_chunk_by(|a, b| keys.id(*a) == keys.id(*b))
        .flat_map_iter(|set| {
            let first = set.iter().filter(living).min_by_key(|row| place(row)).copied();
            set.iter().filter(living).copied().filter(move |row| Some(*row) != first)
        })
        .collect();
    let mut first: Vec<bool> = alive.par_iter().with_min_len(CHUNK).copied().collect();
    for row in later {
        first[row as usize] = false;
    }
    Ok(first)
}

/// Rows of which another one has the same id.
#[derive(Debug, PartialEq, Eq)]
pub struct Repeated {
    /// By id and, where those are the same, in order.
    pub rows: Vec<u32>,
    /// Whether the one before it has the same id and lies in the same pool.
    pub again: Vec<bool>,
}

/// The rows of which another one has the same id. Pools lie one behind another, and these are their `ends`.
pub fn repeated(high: &[u64], low: &[u64], ends: &[u64]) -> Result<Repeated> {
    let num = high.len();
    if low.len() != num || u32::try_from(num).is_err() {
        return Err(CoreError::Contract("columns of different lengths, or too many rows".to_owned()));
    }
    let parts: Vec<Part> = (0..num.div_ceil(CHUNK)).into_par_iter().map(|at| Part::new(high, at)).collect();
    let pool = |row: u32| ends.partition_point(|end| *end <= u64::from(row));
    let buckets: Vec<Repeated> = (0..BUCKETS)
        .into_par_iter()
        .map_init(Room::default, |room, bucket| {
            near(&parts, bucket, room);
            let id = |packed: &u64| (high[*packed as u32 as usize], low[*packed as u32 as usize]);
            let (mut rows, mut again) = (Vec::new(), Vec::new());
            for near in room.near.chunk_by_mut(|a, b| a >> u32::BITS == b >> u32::BITS).filter(|near| near.len() > 1) {
                near.sort_by_key(id);
                for set in near.chunk_by(|a, b| id(a) == id(b)).filter(|set| set.len() > 1) {
                    let mut last = None;
                    for row in set.iter().map(|packed| *packed as u32) {
                        let own = Some(pool(row));
                        rows.push(row);
                        again.push(own == last);
                        last = own;
                    }
                }
            }
            Repeated { rows, again }
        })
        .collect();
    let rows = buckets.iter().map(|bucket| bucket.rows.as_slice()).collect::<Vec<_>>().concat();
    let again = buckets.iter().map(|bucket| bucket.again.as_slice()).collect::<Vec<_>>().concat();
    Ok(Repeated { rows, again })
}

/// The rows of a chunk, bucket by bucket: the next 32 bits of their ids, above the row.
struct Part {
    packed: Vec<u64>,
    ends: Vec<usize>,
}

impl Part {
    fn new(high: &[u64], chunk: usize) -> Self {
        let first = chunk * CHUNK;
        let high = &high[first..high.len().min(first + CHUNK)];
        let mut places = vec![0; BUCKETS];
        for high in high {
            places[(high >> 56) as usize] += 1;
        }
        let mut end = 0;
        for place in &mut places {
            end += *place;
            *place = end - *place;
        }
        let mut packed = vec![0; high.len()];
        for (at, high) in high.iter().enumerate() {
            let place = &mut places[(high >> 56) as usize];
            packed[*place] = high << 8 & 0xffff_ffff_0000_0000 | (first + at) as u64;
            *place += 1;
        }
        Self { packed, ends: places }
    }

    fn bucket(&self, bucket: usize) -> &[u64] {
        &self.packed[if bucket == 0 { 0 } else { self.ends[bucket - 1] }..self.ends[bucket]]
    }
}

/// Room that is used again.
#[derive(Default)]
struct Room {
    filter: Vec<u64>,
    near: Vec<u64>,
}

/// Finds the rows of a bucket of which another one may have the same bits, sorted by them.
fn near(parts: &[Part], bucket: usize, room: &mut Room) {
    let all = || parts.iter().flat_map(|part| part.bucket(bucket));
    let num = parts.iter().map(|part| part.bucket(bucket).len()).sum::<usize>();
    // A place is two bits: whether there is one, and whether there are several.
    let size = (ROOM * num).next_power_of_two().clamp(64, 1 << 32);
    let shift = u64::BITS - size.trailing_zeros();
    let place = |packed: u64| {
        let at = ((packed & 0xffff_ffff_0000_0000).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> shift) as usize;
        (at / 32, at % 32 * 2)
    };
    let Room { filter, near } = room;
    filter.clear();
    filter.resize(size / 32, 0);
    for packed in all() {
        let (word, bit) = place(*packed);
        let one = filter[word] >> bit & 1;
        filter[word] |= 1 << bit | one << (bit + 1);
    }
    // Without a branch: which rows pass is chance.
    near.clear();
    near.resize(num + 1, 0);
    let mut some = 0;
    for packed in all() {
        let (word, bit) = place(*packed);
        near[some] = *packed;
        some += (filter[word] >> bit >> 1 & 1) as usize;
    }
    near.truncate(some);
    near.sort_unstable();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equals_the_first_occurrence_in_the_first_pool_stays() {
        let keys = Keys { high: &[5, 5, 9, 5], low: &[1, 1, 2, 1], occurrence: &[0, 0, 0, 1], pool: &[1, 0, 0, 0] };
        assert_eq!(first_of_equals(keys, &[0, 1, 3], &[true; 4]).unwrap(), [false, true, true, false]);
        assert_eq!(first_of_equals(keys, &[0, 1, 3], &[true, false, true, true]).unwrap(), [false, false, true, true]);
        assert!(first_of_equals(keys, &[], &[true]).is_err());
        assert!(first_of_equals(keys, &[4], &[true; 4]).is_err());
    }

    #[test]
    fn all_of_equals_are_repeated() {
        let found = repeated(&[9 << 56, 5, 9, 5, 9 << 56], &[7, 1, 2, 1, 7], &[4, 4, 5]).unwrap();
        assert_eq!(found, Repeated { rows: vec![1, 3, 0, 4], again: vec![false, true, false, false] });
        assert!(repeated(&[5], &[], &[1]).is_err());
    }

    #[test]
    fn the_first_of_many_equals_is_that_of_the_whole_order() {
        // Ids that are the same in all bits of a table, in few, or in none; and some that are the same in all of them.
        type Id = fn(u64) -> u64;
        let kinds: [Id; 4] = [
            |row| (row % 7) << 56 | (row % 3) << 30 | (row % 2),
            |row| (row % 900).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            |row| row % 1000,
            |row| (row % 500) << 24,
        ];
        for (kind, num) in kinds.iter().flat_map(|kind| [(kind, 3000_u64), (kind, CHUNK as u64 + 999), (kind, 0)]) {
            let high: Vec<u64> = (0..num).map(kind).collect();
            let low: Vec<u64> = (0..num).map(|row| row % 5).collect();
            let occurrence: Vec<u32> = (0..num as u32).map(|row| row % 11).collect();
            let pool: Vec<u32> = (0..num as u32).map(|row| row * 7 % 13).collect();
            let alive: Vec<bool> = (0..num).map(|row| row % 4 != 1).collect();
            let keys = Keys { high: &high, low: &low, occurrence: &occurrence, pool: &pool };
            let name = |row: usize| (high[row], low[row], pool[row], occurrence[row], row);
            let mut order: Vec<usize> = (0..num as usize).filter(|row| alive[*row]).collect();
            order.sort_unstable_by_key(|row| name(*row));
            let mut wanted = vec![false; num as usize];
            for (at, row) in order.iter().enumerate() {
                wanted[*row] = at == 0 || (high[order[at - 1]], low[order[at - 1]]) != (high[*row], low[*row]);
            }
            let Repeated { rows, again } = repeated(&high, &low, &[num / 3, num]).unwrap();
            assert!(first_of_equals(keys, &rows, &alive).unwrap() == wanted, "{num}");
            let mut sets: Vec<usize> = (0..num as usize).collect();
            sets.sort_unstable_by_key(|row| (high[*row], low[*row], *row));
            let sets = sets.chunk_by(|a, b| (high[*a], low[*a]) == (high[*b], low[*b])).filter(|set| set.len() > 1);
            assert!(sets.flatten().map(|row| *row as u32).eq(rows.iter().copied()), "{num}");
            let group = |row: u32| (high[row as usize], low[row as usize], u64::from(row) < num / 3);
            let wanted = (0..rows.len()).map(|at| at > 0 && group(rows[at - 1]) == group(rows[at]));
            assert!(wanted.eq(again), "{num}");
        }
    }
}
