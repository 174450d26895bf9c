//! Rows in their keyed order, and counting: what selection and order do to every row.

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::error::{CoreError, Result};
use crate::pieces::Pieces;
use crate::sweep::Sweep;
use crate::table::apart;

/// Rows that one task works on, and into how many buckets it parts them.
const CHUNK: usize = 1 << 16;
const BUCKETS: usize = 256;
/// Sums of each group.
const LANES: usize = 4;

/// What tells samples apart, a column each: the halves of the id, the occurrence among equals, the pool's number.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    pub high: &'a Pieces<'a, u64>,
    pub low: &'a Pieces<'a, u64>,
    pub occurrence: &'a [u32],
    pub pool: &'a [u32],
}

impl Keys<'_> {
    pub fn rows(&self) -> Result<usize> {
        let rows = self.high.rows();
        let same = self.low.rows() == rows && self.occurrence.len() == rows && self.pool.len() == rows;
        if same && u32::try_from(rows).is_ok() {
            Ok(rows)
        } else {
            Err(CoreError::Contract("columns of different lengths, or too many rows".to_owned()))
        }
    }

    /// What orders rows whose hashes are equal.
    pub fn tie(&self, row: u32) -> ((u64, u64), u32, u32) {
        (self.id(row), self.occurrence[row as usize], self.pool[row as usize])
    }

    /// The halves of its id.
    pub fn id(&self, row: u32) -> (u64, u64) {
        (self.high.get(row as usize), self.low.get(row as usize))
    }

    /// The keyed hash of a row in a pass.
    pub fn hash(&self, seed: u64, row: usize, pass: u32) -> u64 {
        let turn = u64::from(self.occurrence[row]) | u64::from(pass) << 32;
        keyed_hash(seed, self.high.get(row), self.low.get(row), turn)
    }
}

/// The ids of rows, 16 bytes each, one after another.
pub fn sample_ids(keys: Keys<'_>, rows: &[u32]) -> Result<Vec<u8>> {
    let num = keys.rows()?;
    if rows.par_iter().any(|row| *row as usize >= num) {
        return Err(CoreError::Contract("ids of rows that are not there".to_owned()));
    }
    let id = |row: &u32| {
        let (high, low) = keys.id(*row);
        (u128::from(high) << u64::BITS | u128::from(low)).to_be_bytes()
    };
    let each = || rows.par_iter().with_min_len(1 << 14).map(id).collect();
    Ok(Sweep::of(rows, num).map_or_else(each, |sweep| sweep.each(id)).into_flattened())
}

/// The keyed hash of one use of a sample. It depends on the seed, the sample and the use alone.
pub fn keyed_hash(seed: u64, high: u64, low: u64, turn: u64) -> u64 {
    let mut key = [0_u8; 24];
    key[..8].copy_from_slice(&high.to_le_bytes());
    key[8..16].copy_from_slice(&low.to_le_bytes());
    key[16..].copy_from_slice(&turn.to_le_bytes());
    xxh3_64_with_seed(&key, seed)
}

/// The keyed hash of each row: the same row gets the same number whatever else is in the table.
///
/// `turn` tells apart the occurrences of one id and its repeats.
pub fn keyed_order(seed: u64, keys: Keys<'_>, turn: &[u64]) -> Result<Vec<u64>> {
    if keys.rows()? != turn.len() {
        return Err(CoreError::Contract("columns of different lengths".to_owned()));
    }
    let hash = |(row, turn): (usize, &u64)| keyed_hash(seed, keys.high.get(row), keys.low.get(row), *turn);
    Ok(turn.par_iter().enumerate().with_min_len(1 << 14).map(hash).collect())
}

/// The keyed order of uses of rows: use `k` is of row `rows[k]` in pass `passes[k]`. Gives the uses' numbers, first to last.
///
/// Order is by pass, then keyed hash; ties by id, occurrence and pool (law 3), and then as given.
pub fn ranking(seed: u64, keys: Keys<'_>, rows: &[u32], passes: &[u32]) -> Result<Vec<u32>> {
    let num = keys.rows()?;
    if rows.len() != passes.len()
        || u32::try_from(rows.len()).is_err()
        || rows.par_iter().any(|row| *row as usize >= num)
    {
        return Err(CoreError::Contract("uses of rows that are not there".to_owned()));
    }
    let hash = |at: usize| keys.hash(seed, rows[at] as usize, passes[at]);
    let tie = |at: u32| (keys.tie(rows[at as usize]), at);
    if passes.par_iter().all(|pass| Some(pass) == passes.first()) {
        return Ok(by_hash(rows.len(), 0, u64::MAX, |at| Some(hash(at)), tie));
    }
    let mut uses: Vec<(u32, u32, u64)> =
        (0..rows.len()).into_par_iter().with_min_len(1 << 14).map(|at| (passes[at], at as u32, hash(at))).collect();
    uses.par_sort_unstable_by(|a, b| (a.0, a.2).cmp(&(b.0, b.2)).then_with(|| tie(a.1).cmp(&tie(b.1))));
    Ok(uses.into_par_iter().with_min_len(1 << 14).map(|(_, at, _)| at).collect())
}

/// The rows of uses in the same order.
pub fn ranked_rows(seed: u64, keys: Keys<'_>, rows: &[u32], passes: &[u32]) -> Result<Vec<u32>> {
    let order = ranking(seed, keys, rows, passes)?;
    Ok(order.into_par_iter().with_min_len(1 << 14).map(|at| rows[at as usize]).collect())
}

/// The items below `num` whose hashes lie from `low` to `high`, in the order of (hash, tie). An item without a hash is out.
///
/// Items part by their hashes into buckets that fit in a cache. What is sorted there is the next 32 bits with the item
/// below them; whole hashes are compared where those are the same.
pub fn by_hash<T: Ord>(
    num: usize,
    low: u64,
    high: u64,
    hash: impl Fn(usize) -> Option<u64> + Sync,
    tie: impl Fn(u32) -> T + Sync,
) -> Vec<u32> {
    let width = (high - low) / BUCKETS as u64 + 1;
    let shift = (u64::BITS - width.leading_zeros()).saturating_sub(u32::BITS);
    let in_bucket = |item: usize| {
        let hash = hash(item).filter(|hash| (low..=high).contains(hash))? - low;
        Some(((hash / width) as u8, ((hash % width) >> shift) << u32::BITS | item as u64))
    };
    let part = |found: &mut Vec<(u8, u64)>, chunk: usize| {
        found.clear();
        found.extend((chunk * CHUNK..num.min((chunk + 1) * CHUNK)).filter_map(in_bucket));
        Part::new(found)
    };
    let parts: Vec<Part> = (0..num.div_ceil(CHUNK)).into_par_iter().map_init(Vec::new, part).collect();
    let sizes: Vec<usize> =
        (0..BUCKETS).map(|bucket| parts.iter().map(|part| part.bucket(bucket).len()).sum()).collect();
    let mut order = vec![0_u32; sizes.iter().sum()];
    apart(&mut order, sizes).into_par_iter().enumerate().for_each(|(bucket, place)| {
        let mut packed = Vec::with_capacity(place.len());
        for part in &parts {
            packed.extend_from_slice(part.bucket(bucket));
        }
        packed.sort_unstable();
        for (item, packed) in place.iter_mut().zip(&packed) {
            *item = *packed as u32;
        }
        let mut start = 0;
        for near in packed.chunk_by(|a, b| a >> u32::BITS == b >> u32::BITS) {
            if near.len() > 1 {
                place[start..start + near.len()].sort_unstable_by(|a, b| {
                    hash(*a as usize).cmp(&hash(*b as usize)).then_with(|| tie(*a).cmp(&tie(*b)))
                });
            }
            start += near.len();
        }
    });
    order
}

/// The items of a chunk, bucket by bucket, and where each bucket ends.
struct Part {
    packed: Vec<u64>,
    ends: [u32; BUCKETS],
}

impl Part {
    fn new(found: &[(u8, u64)]) -> Self {
        let mut places = [0; BUCKETS];
        for (bucket, _) in found {
            places[usize::from(*bucket)] += 1;
        }
        let mut end = 0;
        for place in &mut places {
            end += *place;
            *place = end - *place;
        }
        let mut packed = vec![0; found.len()];
        for (bucket, item) in found {
            let place = &mut places[usize::from(*bucket)];
            packed[*place as usize] = *item;
            *place += 1;
        }
        Self { packed, ends: places }
    }

    fn bucket(&self, bucket: usize) -> &[u64] {
        let start = bucket.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.packed[start as usize..self.ends[bucket] as usize]
    }
}

/// The sum of the weights (without them, the number) of the rows of each group; with `alive`, of those alone.
pub fn totals(group: &[u32], groups: usize, weights: Option<&[u64]>, alive: Option<&[bool]>) -> Result<Vec<u64>> {
    let fits = weights.is_none_or(|weights| weights.len() == group.len())
        && alive.is_none_or(|alive| alive.len() == group.len());
    // Each part has sums of its own, and all of them together are no more than the rows. Rows side by side are often of
    // one group: they add to sums of their own, so that none waits for the one before it.
    let size = CHUNK.max(groups);
    let part = |part: usize| {
        let mut sums = vec![[0_u64; LANES]; groups];
        for row in part * size..group.len().min((part + 1) * size) {
            let one = u64::from(alive.is_none_or(|alive| alive[row]));
            match sums.get_mut(group[row] as usize) {
                Some(lanes) => lanes[row % LANES] += one * weights.map_or(1, |weights| weights[row]),
                // What is not alive may have no group.
                None if one == 0 => {}
                None => return None,
            }
        }
        Some(sums.into_iter().map(|lanes| lanes.iter().sum()).collect())
    };
    let parts: Option<Vec<Vec<u64>>> =
        if fits { (0..group.len().div_ceil(size)).into_par_iter().map(part).collect() } else { None };
    let parts = parts.ok_or_else(|| CoreError::Contract("groups, weights and rows do not fit".to_owned()))?;
    let mut sums = vec![0; groups];
    for part in parts {
        for (sum, more) in sums.iter_mut().zip(part) {
            *sum += more;
        }
    }
    Ok(sums)
}

/// Numbers the samples of two tables so that equal numbers are equal samples; also how many numbers there are.
pub fn shared_numbers(tables: [Keys<'_>; 2]) -> Result<([Vec<u32>; 2], usize)> {
    let sizes = [tables[0].rows()?, tables[1].rows()?];
    // Places count through the first table and then through the second.
    let find = |at: usize| at.checked_sub(sizes[0]).map_or((0, at), |row| (1, row));
    let rest = |at: usize| {
        let (table, row) = find(at);
        let keys = tables[table];
        (keys.low.get(row), keys.pool[row], keys.occurrence[row])
    };
    let mut places: Vec<(u64, usize)> = (0..sizes[0] + sizes[1])
        .into_par_iter()
        .with_min_len(1 << 14)
        .map(|at| {
            let (table, row) = find(at);
            (tables[table].high.get(row), at)
        })
        .collect();
    places.par_sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| rest(a.1).cmp(&rest(b.1))));
    let mut numbers = [vec![0; sizes[0]], vec![0; sizes[1]]];
    let mut next = 0;
    for (position, (first, at)) in places.iter().enumerate() {
        let same = position > 0 && places[position - 1].0 == *first && rest(places[position - 1].1) == rest(*at);
        next += u32::from(position > 0 && !same);
        let (table, row) = find(*at);
        numbers[table][row] = next;
    }
    Ok((numbers, next as usize + usize::from(!places.is_empty())))
}

/// For each item, how many equal ones stand before it. Items are numbers below `kinds`.
pub fn earlier_equals(items: &[u32], kinds: usize) -> Result<Vec<u32>> {
    let mut seen = vec![0_u32; kinds];
    items
        .iter()
        .map(|item| {
            let count = seen.get_mut(*item as usize)?;
            *count += 1;
            Some(*count - 1)
        })
        .collect::<Option<_>>()
        .ok_or_else(|| CoreError::Contract("an item that is none of its kinds".to_owned()))
}

/// For each number below `kinds`, how often it stands among the items and at which place first; -1 where it does not.
pub fn occurrences(items: &[u32], kinds: usize) -> Result<(Vec<u64>, Vec<i64>)> {
    let (mut counts, mut first) = (vec![0; kinds], vec![-1; kinds]);
    for (place, item) in items.iter().enumerate() {
        let Some(count) = counts.get_mut(*item as usize) else {
            return Err(CoreError::Contract("an item that is none of its kinds".to_owned()));
        };
        if *count == 0 {
            first[*item as usize] = place as i64;
        }
        *count += 1;
    }
    Ok((counts, first))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls with four samples, of which some are the same.
    fn with_keys<T>(call: impl FnOnce(Keys<'_>) -> T) -> T {
        let (high, low) = (Pieces::new(vec![&[5, 5], &[9, 5]]), Pieces::new(vec![&[1, 1, 2], &[1]]));
        call(Keys { high: &high, low: &low, occurrence: &[0, 0, 0, 1], pool: &[1, 0, 0, 0] })
    }

    #[test]
    fn a_row_keeps_its_hash_whatever_surrounds_it() {
        let of = |seed, high: &[u64], low: &[u64], turn: &[u64]| {
            let (zero, high, low) = (vec![0; high.len()], Pieces::new(vec![high]), Pieces::new(vec![low]));
            keyed_order(seed, Keys { high: &high, low: &low, occurrence: &zero, pool: &zero }, turn)
        };
        let alone = of(7, &[1], &[2], &[0]).unwrap();
        let among = of(7, &[9, 1], &[9, 2], &[0, 0]).unwrap();
        assert_eq!(alone[0], among[1]);
        assert_ne!(alone[0], of(8, &[1], &[2], &[0]).unwrap()[0]);
        assert!(of(7, &[1], &[], &[0]).is_err() && of(7, &[1], &[2], &[]).is_err());
    }

    #[test]
    fn a_pass_comes_after_the_last_and_ties_go_by_pool() {
        let of = |rows: &[u32], passes: &[u32]| with_keys(|keys| ranking(3, keys, rows, passes));
        assert_eq!(of(&[0, 1, 0, 1], &[1, 1, 0, 0]).unwrap(), [3, 2, 1, 0]);
        assert!(of(&[4], &[0]).is_err());
    }

    #[test]
    fn hashes_that_begin_alike_are_compared_whole() {
        // Hashes that share the bits which are sorted first, hashes that are the same, and items without one.
        let hash = |item: usize| (item % 5 != 4).then(|| (item as u64 % 3) << 60 | (item as u64 * 7 % 50));
        let tie = |item: u32| item.wrapping_mul(2_654_435_761) >> 7;
        for (low, high) in [(0, u64::MAX), (0, 20), (1 << 60, 1 << 60 | 0x1e), (3, u64::MAX), (40, 41)] {
            let mut wanted: Vec<u32> =
                (0..900).filter(|item| hash(*item as usize).is_some_and(|hash| (low..=high).contains(&hash))).collect();
            wanted.sort_by_key(|item| (hash(*item as usize), tie(*item)));
            assert_eq!(by_hash(900, low, high, hash, tie), wanted);
        }
    }

    #[test]
    fn equal_samples_of_two_tables_have_one_number() {
        let (high, low) = (Pieces::new(vec![&[9, 7]]), Pieces::new(vec![&[2, 0]]));
        let other = Keys { high: &high, low: &low, occurrence: &[0, 0], pool: &[0, 0] };
        let ([first, second], count) = with_keys(|keys| shared_numbers([keys, other])).unwrap();
        assert_eq!(count, 5);
        assert_eq!(first[2], second[0]);
        assert_eq!(first.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
        assert!(!first.contains(&second[1]));
    }

    #[test]
    fn groups_are_summed() {
        let alive = [true, true, false, true];
        assert_eq!(totals(&[1, 0, 1, 1], 3, None, None).unwrap(), [1, 3, 0]);
        assert_eq!(totals(&[1, 0, 1, 1], 2, Some(&[5, 6, 7, 8]), Some(&alive)).unwrap(), [6, 13]);
        assert_eq!(totals(&[7, 0], 1, None, Some(&[false, true])).unwrap(), [1]);
        assert!(totals(&[2], 2, None, None).is_err());
        assert!(totals(&[0], 1, Some(&[]), None).is_err());
    }

    #[test]
    fn equals_are_counted() {
        assert_eq!(earlier_equals(&[1, 0, 1, 1], 2).unwrap(), [0, 0, 1, 2]);
        assert!(earlier_equals(&[2], 2).is_err());
        assert_eq!(occurrences(&[1, 0, 1, 1], 3).unwrap(), (vec![1, 3, 0], vec![1, 0, -1]));
        assert!(occurrences(&[2], 2).is_err());
    }
}
