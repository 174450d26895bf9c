//! Orders in which every batch holds what it should, and which stay as they were apart from that.

use std::collections::BTreeSet;

use crate::error::{CoreError, Result};

/// The positions in an order in which each batch of `rows` holds of every group the floor or the ceiling of its exact
/// share of the whole; so does what is left at the end. `group[i]`, a number below `groups`, is of position `i`.
///
/// This is controlled rounding (Cox, JASA 82, 1987): floors go to every batch, and what is left of a group goes to so
/// many different batches, one each. A group with as many left as there are batches is forced; of the others those go
/// first whose next draw stands first. Positions of one group keep their order, and so do those within a batch.
pub fn stratify(group: &[u32], groups: usize, rows: usize) -> Result<Vec<u32>> {
    let num = group.len();
    if rows == 0 || u32::try_from(num).is_err() || group.iter().any(|group| *group as usize >= groups) {
        return Err(CoreError::Contract("batches without rows, or groups that are not there".to_owned()));
    }
    let mut members = vec![Vec::new(); groups];
    for (position, group) in group.iter().enumerate() {
        members[*group as usize].push(position as u32);
    }
    let batches = num / rows;
    let counts: Vec<usize> = members.iter().map(Vec::len).collect();
    let last = apportion(num % rows, &counts, num);
    let floors: Vec<usize> = counts.iter().map(|count| share(*count, rows, num).0).collect();
    let mut extras: Vec<usize> =
        (0..groups).map(|group| counts[group] - last[group] - batches * floors[group]).collect();
    let num_extras = rows - floors.iter().sum::<usize>().min(rows);
    let (mut sizes, mut taken) = (floors.clone(), vec![0; groups]);
    let mut order = Vec::with_capacity(num);
    let mut batch = Vec::with_capacity(rows);
    for left in (1..=batches).rev() {
        let mut wanting: Vec<(bool, u32, usize)> = (0..groups)
            .filter(|group| extras[*group] > 0)
            .map(|group| (extras[group] < left, members[group][taken[group] + floors[group]], group))
            .collect();
        if wanting.len() > num_extras {
            wanting.select_nth_unstable(num_extras);
            wanting.truncate(num_extras);
        }
        for (_, _, group) in &wanting {
            extras[*group] -= 1;
            sizes[*group] += 1;
        }
        for group in (0..groups).filter(|group| sizes[*group] > 0) {
            batch.extend_from_slice(&members[group][taken[group]..taken[group] + sizes[group]]);
            taken[group] += sizes[group];
        }
        for (_, _, group) in wanting {
            sizes[group] -= 1;
        }
        batch.sort_unstable();
        order.append(&mut batch);
    }
    for group in 0..groups {
        batch.extend_from_slice(&members[group][taken[group]..]);
    }
    batch.sort_unstable();
    order.append(&mut batch);
    Ok(order)
}

/// `count * part / whole`, and what is left of it.
fn share(count: usize, part: usize, whole: usize) -> (usize, u128) {
    let product = count as u128 * part as u128;
    let whole = whole.max(1) as u128;
    ((product / whole) as usize, product % whole)
}

/// `total` divided as the counts are: floors, then one more to the largest remainders, ties to the earlier.
fn apportion(total: usize, counts: &[usize], whole: usize) -> Vec<usize> {
    let shares: Vec<(usize, u128)> = counts.iter().map(|count| share(*count, total, whole)).collect();
    let mut parts: Vec<usize> = shares.iter().map(|(floor, _)| *floor).collect();
    let mut largest: Vec<usize> = (0..counts.len()).collect();
    largest.sort_by_key(|part| (std::cmp::Reverse(shares[*part].1), *part));
    for part in largest.into_iter().take(total - parts.iter().sum::<usize>()) {
        parts[part] += 1;
    }
    parts
}

/// The positions in an order in which each run of `micro` holds one that `is_anchor` marks.
///
/// A run without one trades its last position for the last spare one of the nearest run that has several: two positions
/// move for each such run, the fewest that can, and all others stay.
pub fn anchor(is_anchor: &[bool], micro: usize) -> Result<Vec<u32>> {
    let num = is_anchor.len();
    if micro == 0 || u32::try_from(num).is_err() {
        return Err(CoreError::Contract("runs of no positions, or too many".to_owned()));
    }
    let mut spare = BTreeSet::new();
    let mut lacking = Vec::new();
    for (run, marks) in is_anchor.chunks(micro).enumerate() {
        let positions = (0..marks.len()).filter(|at| marks[*at]).map(|at| run * micro + at);
        spare.extend(positions.skip(1));
        if !marks.contains(&true) {
            lacking.push(run * micro + marks.len() - 1);
        }
    }
    let mut order: Vec<u32> = (0..num as u32).collect();
    for position in lacking {
        let before = spare.range(..position).next_back().copied();
        let after = spare.range(position..).next().copied();
        let nearest = match (before, after) {
            (Some(before), Some(after)) if after - position < position - before => after,
            (Some(before), _) => before,
            (None, Some(after)) => after,
            (None, None) => return Err(CoreError::Contract("more runs than anchors".to_owned())),
        };
        spare.remove(&nearest);
        order.swap(position, nearest);
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(group: &[u32], groups: usize, rows: usize) {
        let order = stratify(group, groups, rows).unwrap();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..group.len() as u32).collect::<Vec<_>>());
        for batch in order.chunks(rows) {
            for wanted in 0..groups as u32 {
                let count = group.iter().filter(|group| **group == wanted).count();
                let got = batch.iter().filter(|position| group[**position as usize] == wanted).count();
                let (floor, rest) = share(count, batch.len(), group.len());
                assert!(got == floor || rest > 0 && got == floor + 1, "{group:?} in {rows}: {order:?}");
            }
        }
    }

    #[test]
    fn every_batch_holds_the_floor_or_the_ceiling() {
        for (a, b, c) in (0..9).flat_map(|a| (0..9).flat_map(move |b| (0..9).map(move |c| (a, b, c)))) {
            let group = [vec![2; a], vec![0; b], vec![1; c]].concat();
            for rows in 1..7 {
                check(&group, 3, rows);
            }
        }
        check(&[], 0, 4);
        assert!(stratify(&[0], 1, 0).is_err());
        assert!(stratify(&[1], 1, 2).is_err());
    }

    #[test]
    fn what_holds_already_stays() {
        assert_eq!(stratify(&[0, 1, 1, 0, 0, 1], 2, 2).unwrap(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(anchor(&[true, false, false, true], 2).unwrap(), [0, 1, 2, 3]);
    }

    #[test]
    fn a_run_without_an_anchor_trades_for_the_nearest_spare_one() {
        let anchors = [true, true, false, false, false, true, true, true];
        assert_eq!(anchor(&anchors, 2).unwrap(), [0, 3, 2, 1, 4, 5, 6, 7]);
        assert!(anchor(&[true, false, false, false], 2).is_err());
        assert!(anchor(&[], 0).is_err());
        assert_eq!(anchor(&[], 3).unwrap(), [0_u32; 0]);
    }
}
