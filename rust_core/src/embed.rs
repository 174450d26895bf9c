//! Embeddings as whole numbers, so that a similarity is exact: the same on every machine and for any number of threads.
//!
//! A vector is scaled to length [`UNIT`] and rounded. The similarity of two is their product, a whole number: one is
//! [`WHOLE`]. Vectors stand in their order of preference, and that is what decides among equals.

use rayon::prelude::*;

use crate::error::{CoreError, Result};

/// The length of a vector, and the similarity of two that are the same.
pub const UNIT: i32 = 32_767;
pub const WHOLE: i32 = UNIT * UNIT;
/// Rounding makes a vector longer by at most `sqrt(MOST_NUMBERS) / 2`: a product still fits in 32 bits, and so does
/// every part of it.
pub const MOST_NUMBERS: usize = 1 << 16;

/// Vectors one after another.
#[derive(Clone, Copy)]
pub struct Vectors<'a> {
    data: &'a [i16],
    numbers: usize,
}

impl<'a> Vectors<'a> {
    pub fn new(data: &'a [i16], numbers: usize) -> Result<Self> {
        let fits = (1..=MOST_NUMBERS).contains(&numbers) && data.len().is_multiple_of(numbers);
        if fits && u32::try_from(data.len() / numbers).is_ok() {
            Ok(Self { data, numbers })
        } else {
            Err(CoreError::Contract("vectors of different lengths, or too many".to_owned()))
        }
    }

    pub fn len(&self) -> usize {
        self.data.len() / self.numbers
    }

    /// How many numbers a vector has.
    pub(crate) fn numbers(&self) -> usize {
        self.numbers
    }

    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    pub(crate) fn at(&self, row: usize) -> &'a [i16] {
        &self.data[row * self.numbers..(row + 1) * self.numbers]
    }

    /// The similarity of two vectors, from `-WHOLE` to `WHOLE`.
    pub fn similarity(&self, one: usize, other: usize) -> i32 {
        product(self.at(one), self.at(other)).clamp(-WHOLE, WHOLE)
    }
}

/// Whole numbers: wide registers give what narrow ones do.
fn product(one: &[i16], other: &[i16]) -> i32 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor was asked whether it has them.
        #[allow(unsafe_code)]
        return unsafe { product_wide(one, other) };
    }
    sum_of_products(one, other)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn product_wide(one: &[i16], other: &[i16]) -> i32 {
    sum_of_products(one, other)
}

// It has to be compiled again inside the function with wide registers.
#[allow(clippy::inline_always)]
#[inline(always)]
fn sum_of_products(one: &[i16], other: &[i16]) -> i32 {
    one.iter().zip(other).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

/// Rows of a table of numbers as vectors, and which of them have a direction: all numbers finite, and not all zero.
pub fn quantise<T: Copy + Into<f64> + Sync>(
    values: &[T],
    numbers: usize,
    rows: &[u32],
) -> Result<(Vec<i16>, Vec<bool>)> {
    let fits = (1..=MOST_NUMBERS).contains(&numbers) && values.len().is_multiple_of(numbers);
    if !fits || rows.iter().any(|row| *row as usize >= values.len() / numbers) {
        return Err(CoreError::Contract("rows that are not there, or vectors of different lengths".to_owned()));
    }
    let mut data = vec![0; rows.len() * numbers];
    let there = data
        .par_chunks_exact_mut(numbers)
        .zip(rows)
        .map(|(out, row)| scaled(&values[*row as usize * numbers..][..numbers], out))
        .collect();
    Ok((data, there))
}

/// Only what IEEE 754 defines to the last bit, in one order.
fn scaled<T: Copy + Into<f64>>(values: &[T], out: &mut [i16]) -> bool {
    let numbers = || values.iter().map(|value| (*value).into());
    let largest = numbers()
        .fold(0.0, |most: f64, number: f64| if number.is_finite() { most.max(number.abs()) } else { f64::INFINITY });
    if largest == 0.0 || largest.is_infinite() {
        return false;
    }
    let length = numbers().map(|number| (number / largest) * (number / largest)).sum::<f64>().sqrt();
    for (out, number) in out.iter_mut().zip(numbers()) {
        *out = (number / largest / length * f64::from(UNIT)).round() as i16;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_its_direction() {
        let values = [3.0, 4.0, 6e200, 8e200, -3e-320, 4e-320, 0.0, 0.0, f64::NAN, 1.0, 1.0, f64::INFINITY];
        let (data, there) = quantise(&values, 2, &[0, 1, 2, 3, 4, 5]).unwrap();
        assert_eq!(there, [true, true, true, false, false, false]);
        assert_eq!(data[..4], [19_660, 26_214, 19_660, 26_214]);
        assert!(data[4] < 0);
        assert_eq!(data[6..], [0; 6]);
        assert!(quantise(&values, 5, &[0]).is_err());
        assert!(quantise(&values, 2, &[6]).is_err());
        let (same, _) = quantise(&[3.0_f32, 4.0], 2, &[0]).unwrap();
        assert_eq!(same, data[..2]);
    }

    #[test]
    fn the_longest_vectors_have_a_product() {
        let values = vec![1.0; MOST_NUMBERS];
        let (data, _) = quantise(&values, MOST_NUMBERS, &[0, 0]).unwrap();
        let vectors = Vectors::new(&data, MOST_NUMBERS).unwrap();
        assert!((vectors.similarity(0, 1) - WHOLE).abs() < WHOLE / 100);
        assert!(Vectors::new(&data[1..], MOST_NUMBERS).is_err());
    }

    #[test]
    fn wide_registers_give_what_narrow_ones_do() {
        for length in [1, 7, 16, 33, 512] {
            let one: Vec<i16> = (0..length).map(|at| (at * 7919 % 4001 - 2000) as i16).collect();
            let other: Vec<i16> = (0..length).map(|at| (at * 104_729 % 3001 - 1500) as i16).collect();
            assert_eq!(product(&one, &other), sum_of_products(&one, &other));
        }
    }
}
