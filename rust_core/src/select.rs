//! Taking from the front of an order under a budget and caps.

use crate::error::{CoreError, Result};

/// A cap: which group each row is in, and how much each group may hold.
pub struct Cap<'a> {
    pub group: &'a [u32],
    pub limit: &'a [u64],
}

/// What a walk along the order took.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    pub rows: Vec<bool>,
    /// For a row left out, the cap that refused it (its position plus one), or 0 where the budget was used up.
    pub refused_by: Vec<u8>,
    pub total: u64,
}

/// Walks the rows in order and takes what the budget and every cap allow.
///
/// A group that refuses one row is closed: what is taken of it is a prefix of its rows, so that a larger budget or cap
/// only ever adds. The same holds for the budget. Costs are rows (all one) or tokens.
pub fn take(costs: &[u64], budget: u64, caps: &[Cap<'_>]) -> Result<Taken> {
    for cap in caps {
        let beyond = cap.group.iter().any(|group| *group as usize >= cap.limit.len());
        if cap.group.len() != costs.len() || beyond {
            return Err(CoreError::Contract("a cap does not fit the rows".to_owned()));
        }
    }
    let mut left: Vec<Vec<Option<u64>>> =
        caps.iter().map(|cap| cap.limit.iter().map(|limit| Some(*limit)).collect()).collect();
    let mut taken = Taken { rows: vec![false; costs.len()], refused_by: vec![0; costs.len()], total: 0 };
    for (row, cost) in costs.iter().enumerate() {
        let refusing = caps.iter().zip(&mut left).position(|(cap, left)| {
            let room = &mut left[cap.group[row] as usize];
            if room.is_none_or(|room| room < *cost) {
                *room = None;
            }
            room.is_none()
        });
        if let Some(cap) = refusing {
            taken.refused_by[row] = u8::try_from(cap + 1).unwrap_or(u8::MAX);
            continue;
        }
        if taken.total + cost > budget {
            break;
        }
        taken.total += cost;
        taken.rows[row] = true;
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
        let taken = take(&[1; 6], 4, &caps).unwrap();
        assert_eq!(taken.rows, [true, true, true, false, true, false]);
        assert_eq!(taken.refused_by, [0, 0, 0, 1, 0, 0]);
        assert_eq!(taken.total, 4);
    }

    #[test]
    fn a_group_too_full_for_one_row_takes_no_later_smaller_one() {
        let caps = [Cap { group: &[0, 0, 0], limit: &[10] }];
        assert_eq!(take(&[6, 6, 1], 100, &caps).unwrap().rows, [true, false, false]);
        assert_eq!(take(&[6, 6, 1], 7, &[]).unwrap().rows, [true, false, false]);
    }
}
