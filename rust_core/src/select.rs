//! Taking from the front of an order under a budget and caps.

use rayon::prelude::*;

use crate::error::{CoreError, Result};

/// A cap: which group each row is in (below `limit.len()`), and how much each group may hold.
pub struct Cap<'a> {
    pub group: &'a [u32],
    pub limit: &'a [u64],
}

/// What a walk along the order took, in the order's own order.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    pub uses: Vec<bool>,
    /// For a use left out, the cap that refused it (its position plus one), or 0 where the budget was used up.
    pub refused_by: Vec<u8>,
    pub total: u64,
}

/// Walks uses of rows in order and takes what the budget and every cap allow. `costs` and groups are of rows; without
/// costs each use costs one.
///
/// A group that refuses one use is closed: what is taken of it is a prefix of its uses, so that a larger budget or cap
/// only ever adds. The same holds for the budget. Costs are rows (all one) or tokens.
pub fn take(order: &[u32], rows: usize, costs: Option<&[u64]>, budget: u64, caps: &[Cap<'_>]) -> Result<Taken> {
    let fits = |cap: &Cap<'_>| {
        cap.group.len() == rows && cap.group.par_iter().all(|group| (*group as usize) < cap.limit.len())
    };
    let priced = costs.is_none_or(|costs| costs.len() == rows);
    if !priced || !caps.iter().all(fits) || order.par_iter().any(|row| *row as usize >= rows) {
        return Err(CoreError::Contract("a cap or an order does not fit the rows".to_owned()));
    }
    let mut left: Vec<Vec<Option<u64>>> =
        caps.iter().map(|cap| cap.limit.iter().map(|limit| Some(*limit)).collect()).collect();
    let mut taken = Taken { uses: vec![false; order.len()], refused_by: vec![0; order.len()], total: 0 };
    for (at, row) in order.iter().map(|row| *row as usize).enumerate() {
        if costs.is_none() && taken.total == budget {
            break;
        }
        let cost = costs.map_or(1, |costs| costs[row]);
        let refusing = caps.iter().zip(&mut left).position(|(cap, left)| {
            let room = &mut left[cap.group[row] as usize];
            if room.is_none_or(|room| room < cost) {
                *room = None;
            }
            room.is_none()
        });
        if let Some(cap) = refusing {
            taken.refused_by[at] = u8::try_from(cap + 1).unwrap_or(u8::MAX);
            continue;
        }
        if taken.total + cost > budget {
            break;
        }
        taken.total += cost;
        taken.uses[at] = true;
        for (cap, left) in caps.iter().zip(&mut left) {
            if let Some(room) = &mut left[cap.group[row] as usize] {
                *room -= cost;
            }
        }
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_close_groups_and_the_budget_closes_all() {
        let caps = [Cap { group: &[0, 0, 1, 0, 1, 1], limit: &[2, 9] }];
        let taken = take(&[0, 1, 2, 3, 4, 5], 6, None, 4, &caps).unwrap();
        assert_eq!(taken.uses, [true, true, true, false, true, false]);
        assert_eq!(taken.refused_by, [0, 0, 0, 1, 0, 0]);
        assert_eq!(taken.total, 4);
    }

    #[test]
    fn a_group_too_full_for_one_row_takes_no_later_smaller_one() {
        let caps = [Cap { group: &[0, 0, 0], limit: &[10] }];
        assert_eq!(take(&[0, 1, 2], 3, Some(&[6, 6, 1]), 100, &caps).unwrap().uses, [true, false, false]);
        assert_eq!(take(&[0, 1, 2], 3, Some(&[6, 6, 1]), 7, &[]).unwrap().uses, [true, false, false]);
    }
}
