//! Strata that share a budget out among them: what each takes is found by itself, without the order of all.

use rayon::prelude::*;

use super::{Cap, Taken};
use crate::error::Result;
use crate::rank::{Keys, totals};

/// Rows that one task works on, and into how many buckets strata part them.
const CHUNK: usize = 1 << 16;
const BUCKETS: usize = 256;

/// A row and its hash: what orders it, where no two hashes are the same.
type Place = (u64, u32);

/// What the walk takes, where the strata take the whole budget and no more; None where it is otherwise.
///
/// A stratum takes the first of its keyed order up to its limit. The walk ends with the last that any of them takes, and
/// all that it met before and did not take was refused.
pub(super) fn strata(seed: u64, keys: Keys<'_>, alive: &[bool], budget: u64, cap: &Cap<'_>) -> Result<Option<Taken>> {
    let group = |row: usize| cap.group[row] as usize;
    let sizes = totals(cap.group, cap.limit.len(), None, Some(alive))?;
    let wanted: Vec<u64> = sizes.iter().zip(cap.limit).map(|(size, limit)| *limit.min(size)).collect();
    if budget == 0 || wanted.iter().sum::<u64>() != budget {
        return Ok(None);
    }
    let bounds: Vec<Option<u64>> = wanted.iter().zip(&sizes).map(|(wanted, size)| bound(*wanted, *size)).collect();
    // Whoever the walk can have met before its end.
    let most = bounds.iter().flatten().copied().max();
    let width = wanted.len().div_ceil(BUCKETS);
    let met: Vec<Met> = alive
        .par_chunks(CHUNK)
        .enumerate()
        .map(|(chunk, alive)| {
            let mut met = Met { places: Vec::new(), buckets: vec![Vec::new(); BUCKETS] };
            for row in (chunk * CHUNK..).zip(alive).filter_map(|(row, alive)| alive.then_some(row)) {
                let place = (keys.hash(seed, row, 0), row as u32);
                if most.is_some_and(|most| place.0 <= most) {
                    met.places.push(place);
                    if bounds[group(row)].is_some_and(|bound| place.0 <= bound) {
                        met.buckets[group(row) / width].push((cap.group[row], place));
                    }
                }
            }
            met
        })
        .collect();
    // The last that each stratum takes.
    let ends: Vec<Vec<(u32, Option<Place>)>> = (0..BUCKETS)
        .into_par_iter()
        .map(|bucket| {
            let mut near: Vec<(u32, Place)> = met.iter().flat_map(|met| met.buckets[bucket].iter().copied()).collect();
            if width > 1 {
                near.sort_unstable();
            }
            let strata = near.chunk_by_mut(|a, b| a.0 == b.0);
            strata.map(|stratum| (stratum[0].0, last(keys, stratum, wanted[stratum[0].0 as usize]))).collect()
        })
        .collect();
    let mut lasts: Vec<Option<Place>> = vec![None; wanted.len()];
    for (stratum, last) in ends.into_iter().flatten() {
        lasts[stratum as usize] = last;
    }
    // A guess that left out too many, which happens once in a billion: the walk finds them.
    if lasts.iter().zip(&wanted).any(|(last, wanted)| last.is_none() && *wanted > 0) {
        return Ok(None);
    }
    let behind = |a: Place, b: Place| a.0.cmp(&b.0).then_with(|| keys.tie(a.1).cmp(&keys.tie(b.1))).is_gt();
    let end = lasts.iter().flatten().copied().reduce(|a, b| if behind(b, a) { b } else { a });
    let mut taken = Taken { times: vec![0; alive.len()], refused_by: vec![0; alive.len()], total: budget };
    let columns = taken.times.par_chunks_mut(CHUNK).zip(taken.refused_by.par_chunks_mut(CHUNK));
    columns.zip(&met).for_each(|((times, refused_by), met)| {
        for place in &met.places {
            let (row, at) = (place.1 as usize, place.1 as usize % CHUNK);
            let is_taken = lasts[group(row)].is_some_and(|last| !behind(*place, last));
            times[at] = u32::from(is_taken);
            refused_by[at] = u8::from(!is_taken && end.is_some_and(|end| !behind(*place, end)));
        }
    });
    Ok(Some(taken))
}

/// The rows of a chunk that the walk may meet before its end; and those that their strata may take, by bucket of strata.
struct Met {
    places: Vec<Place>,
    buckets: Vec<Vec<(u32, Place)>>,
}

/// A hash that almost surely as many rows of a stratum lie below as are wanted, and few more; None where none is wanted.
fn bound(wanted: u64, size: u64) -> Option<u64> {
    let ample = wanted + 6 * wanted.isqrt() + 16;
    if wanted == 0 {
        None
    } else if ample >= size {
        Some(u64::MAX)
    } else {
        u64::try_from((u128::from(ample) << 64) / u128::from(size)).ok()
    }
}

/// The last of the first `wanted` in the order of (hash, tie); None where there are not so many.
fn last(keys: Keys<'_>, stratum: &mut [(u32, Place)], wanted: u64) -> Option<Place> {
    let at = usize::try_from(wanted).ok()?.checked_sub(1).filter(|at| *at < stratum.len())?;
    let order =
        |a: &(u32, Place), b: &(u32, Place)| (a.1.0).cmp(&b.1.0).then_with(|| keys.tie(a.1.1).cmp(&keys.tie(b.1.1)));
    Some(stratum.select_nth_unstable_by(at, order).1.1)
}
