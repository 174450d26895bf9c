//! Samples that are the same as others.
//!
//! Rows part by the first byte of their ids into buckets whose tables fit in a cache. What a table holds is the next thirty
//! bits of each id; full ids are compared only where those are the same.

use rayon::prelude::*;

use crate::error::{CoreError, Result};
use crate::rank::Keys;
use crate::table::apart;

/// Rows that one task works on, and into how many buckets it parts them.
const CHUNK: usize = 1 << 18;
const BUCKETS: usize = 256;

/// Marks one row of each set of equal samples among those `alive`: the first occurrence in the first pool.
pub fn first_of_equals(keys: Keys<'_>, alive: &[bool]) -> Result<Vec<bool>> {
    let later = of_sets(keys, alive, |set| &set[1..])?;
    let mut first: Vec<bool> = alive.par_iter().with_min_len(CHUNK).copied().collect();
    for row in later {
        first[row as usize] = false;
    }
    Ok(first)
}

/// The rows of which another one has the same id, by id and, where those are the same, in order.
pub fn repeated(high: &[u64], low: &[u64]) -> Result<Vec<u32>> {
    let zero = vec![0; high.len()];
    of_sets(Keys { high, low, occurrence: &zero, pool: &zero }, &vec![true; high.len()], |set| set)
}

/// The rows that are picked of each set of equal samples among those `alive`, which stand by pool and occurrence. Sets come
/// by id.
fn of_sets(keys: Keys<'_>, alive: &[bool], pick: impl Fn(&[u32]) -> &[u32] + Sync) -> Result<Vec<u32>> {
    let num = keys.rows()?;
    if alive.len() != num {
        return Err(CoreError::Contract("columns of different lengths".to_owned()));
    }
    let parts: Vec<Part> = (0..num.div_ceil(CHUNK)).into_par_iter().map(|at| Part::new(keys, alive, at)).collect();
    Ok((0..BUCKETS)
        .into_par_iter()
        .map_init(Vec::new, |table, bucket| {
            let mut near = near(&parts, bucket, table);
            near.sort_unstable_by_key(|row| {
                (keys.id(*row), keys.pool[*row as usize], keys.occurrence[*row as usize], *row)
            });
            let sets = near.chunk_by(|a, b| keys.id(*a) == keys.id(*b)).filter(|set| set.len() > 1);
            sets.flat_map(|set| pick(set).iter().copied()).collect::<Vec<_>>()
        })
        .flatten_iter()
        .collect())
}

/// The living rows of a chunk, bucket by bucket: what a table holds of each, above the row.
struct Part {
    packed: Vec<u64>,
    ends: Vec<usize>,
}

impl Part {
    fn new(keys: Keys<'_>, alive: &[bool], chunk: usize) -> Self {
        let span = chunk * CHUNK..alive.len().min((chunk + 1) * CHUNK);
        let living = || span.clone().filter(|row| alive[*row]).map(|row| (row, keys.high[row]));
        let mut sizes = vec![0; BUCKETS];
        for (_, high) in living() {
            sizes[(high >> 56) as usize] += 1;
        }
        let mut packed = vec![0; sizes.iter().sum()];
        let mut places: Vec<_> = apart(&mut packed, sizes.iter().copied()).into_iter().map(<[u64]>::iter_mut).collect();
        for (row, high) in living() {
            if let Some(place) = places[(high >> 56) as usize].next() {
                *place = high << 8 & 0xffff_ffff_0000_0000 | row as u64;
            }
        }
        let mut end = 0;
        let ends = sizes.iter().map(|size| {
            end += size;
            end
        });
        Self { ends: ends.collect(), packed }
    }

    fn bucket(&self, bucket: usize) -> &[u64] {
        &self.packed[if bucket == 0 { 0 } else { self.ends[bucket - 1] }..self.ends[bucket]]
    }
}

/// The rows of a bucket of which another one has the same bits. `table` is room that is used again.
fn near(parts: &[Part], bucket: usize, table: &mut Vec<u32>) -> Vec<u32> {
    let all = || parts.iter().flat_map(|part| part.bucket(bucket));
    let size = (2 * parts.iter().map(|part| part.bucket(bucket).len()).sum::<usize>()).next_power_of_two().max(2);
    table.clear();
    table.resize(size, 0);
    let shift = u32::BITS - size.trailing_zeros().min(u32::BITS);
    // A cell is the bits of an id, then a bit that is always set, then whether there are several. 0 is none.
    let bits = |packed: u64| ((packed >> 32) as u32 | 3) - 1;
    let place = |table: &[u32], bits: u32| {
        let mut at = (bits >> 1).wrapping_mul(0x9e37_79b1) as usize >> shift & (size - 1);
        while table[at] != 0 && table[at] | 1 != bits | 1 {
            at = (at + 1) & (size - 1);
        }
        at
    };
    let mut several = false;
    for packed in all() {
        let bits = bits(*packed);
        let at = place(table, bits);
        several |= table[at] != 0;
        table[at] = bits | u32::from(table[at] != 0);
    }
    if !several {
        return Vec::new();
    }
    let again = |packed: &&u64| table[place(table, bits(**packed))] & 1 == 1;
    all().filter(again).map(|packed| *packed as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equals_the_first_occurrence_in_the_first_pool_stays() {
        let keys = Keys { high: &[5, 5, 9, 5], low: &[1, 1, 2, 1], occurrence: &[0, 0, 0, 1], pool: &[1, 0, 0, 0] };
        assert_eq!(first_of_equals(keys, &[true; 4]).unwrap(), [false, true, true, false]);
        assert_eq!(first_of_equals(keys, &[true, false, true, true]).unwrap(), [false, false, true, true]);
        assert!(first_of_equals(keys, &[true]).is_err());
    }

    #[test]
    fn all_of_equals_are_repeated() {
        assert_eq!(repeated(&[9 << 56, 5, 9, 5, 9 << 56], &[7, 1, 2, 1, 7]).unwrap(), [1, 3, 0, 4]);
        assert!(repeated(&[5], &[]).is_err());
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
            assert!(first_of_equals(keys, &alive).unwrap() == wanted, "{num}");
        }
    }
}
