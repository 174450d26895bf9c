//! Sums by the values of packed columns: columns that lie side by side are added up together, and told apart at the end.

use std::ops::Add;

use crate::quotas::{Field, Lump, lumps};

/// Two sums (of rows and tokens, say) of whatever the bits of some values may be.
pub(crate) struct Tally<T> {
    lumps: Vec<(Lump, usize)>,
    sums: Vec<(T, T)>,
}

impl<T: Add<Output = T> + Copy + Default> Tally<T> {
    pub(crate) fn new(fields: &[Field]) -> Self {
        let mut size = 0;
        let starts = |lump: Lump| {
            let start = size;
            size += 1 << lump.bits;
            (lump, start)
        };
        let lumps = lumps(fields).into_iter().map(starts).collect();
        Self { lumps, sums: vec![Default::default(); size] }
    }

    /// Adds what a row brings.
    pub(crate) fn add(&mut self, words: &[&[u64]], row: usize, more: (T, T)) {
        for (lump, start) in &self.lumps {
            put(&mut self.sums[start + lump.of(words[lump.word][row])], more);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.sums.iter_mut().zip(&other.sums).for_each(|(sum, more)| put(sum, *more));
    }

    /// The sums of each value of each column, one column behind another.
    pub(crate) fn of_values(&self, fields: &[Field]) -> (Vec<T>, Vec<T>) {
        let mut found: Vec<Vec<(T, T)>> = fields.iter().map(|field| vec![Default::default(); field.size]).collect();
        for (lump, start) in &self.lumps {
            for (value, more) in self.sums[*start..start + (1 << lump.bits)].iter().enumerate() {
                for column in lump.columns.clone() {
                    // Values that a column cannot have are of no row.
                    if let Some(sum) = found[column].get_mut(lump.value(fields[column], value)) {
                        put(sum, *more);
                    }
                }
            }
        }
        found.into_iter().flatten().unzip()
    }
}

fn put<T: Add<Output = T> + Copy>(sum: &mut (T, T), more: (T, T)) {
    *sum = (sum.0 + more.0, sum.1 + more.1);
}
