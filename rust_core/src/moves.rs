//! Which rows moved between two orders: all but a longest run that kept its relative order.

/// Marks one longest increasing subsequence: the rows that need not be called moved.
pub fn longest_increasing(positions: &[u64]) -> Vec<bool> {
    if positions.is_sorted_by(|a, b| a < b) {
        return vec![true; positions.len()];
    }
    // tails[length] is the row that ends the best run of that length; previous[row] is the row before it in its run.
    let mut tails: Vec<usize> = Vec::new();
    let mut previous = vec![usize::MAX; positions.len()];
    for (row, position) in positions.iter().enumerate() {
        let length = tails.partition_point(|tail| positions[*tail] < *position);
        if length > 0 {
            previous[row] = tails[length - 1];
        }
        if length == tails.len() {
            tails.push(row);
        } else {
            tails[length] = row;
        }
    }
    let mut kept = vec![false; positions.len()];
    let mut row = tails.last().copied().unwrap_or(usize::MAX);
    while let Some(mark) = kept.get_mut(row) {
        *mark = true;
        row = previous[row];
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::longest_increasing;

    #[test]
    fn one_row_moved_is_one_row() {
        assert_eq!(longest_increasing(&[0, 9, 1, 2, 3]), [true, false, true, true, true]);
        assert_eq!(longest_increasing(&[]), Vec::<bool>::new());
        assert_eq!(longest_increasing(&[3, 2, 1]).iter().filter(|kept| **kept).count(), 1);
    }
}
