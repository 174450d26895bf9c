//! What rows are worth beyond what they pay, smoothed: its sum has a slope and a bend everywhere, so that Newton's method
//! finds the prices at which it is least.
//!
//! In place of `max(0, z)` stands `(z + sqrt(z² + 4h²)) / 2` (Chen and Harker, 1993; Kanzow, 1996), for a heat `h`. It asks
//! for nothing but roots and quotients, which are the same on every machine; sums are added in one order.

use rayon::prelude::*;

use crate::error::{CoreError, Result};
use crate::quotas::Field;
use crate::sift::{Offer, Tables};
use crate::tally::Tally;

/// Parts of the rows that are added up each by itself, whatever the number of threads.
const PARTS: usize = 16;
/// What is so many times the heat from 0 bends the sum no more.
const REACH: f64 = 64.0;
/// A value that nothing depends on.
const NONE: i32 = -1;

/// Where the values of a column stand in the bend: what each row adds there, and what each of its tokens does.
pub type Places<'a> = (&'a [i32], &'a [i32]);

/// How the sum is smoothed, and where its bend is wanted: `places` of each column, `of_all` of every row, among so many.
pub struct Heat<'a> {
    pub heat: f64,
    pub places: &'a [Places<'a>],
    pub of_all: (i32, i32),
    pub num: usize,
    /// Of the rows near 0, every so many-th is asked for its bend and stands for the others.
    pub every: usize,
}

/// The smoothed sum over rows, each counted `units` times; how many units (and tokens) of each value of each column it
/// puts in; its bend, place by place; and how many rows are near 0.
pub struct Smooth {
    pub value: f64,
    pub inside: Vec<f64>,
    pub spent: Vec<f64>,
    pub bend: Vec<f64>,
    pub near: usize,
}

struct Sum<'a> {
    heat: &'a Heat<'a>,
    value: f64,
    tally: Tally<f64>,
    bend: Vec<f64>,
    near: usize,
    /// Where a row adds to the bend, and how much for each unit.
    adds: Vec<(usize, f64)>,
}

impl<'a> Sum<'a> {
    fn new(fields: &[Field], heat: &'a Heat<'a>) -> Self {
        let bend = vec![0.0; heat.num * heat.num];
        Self { heat, value: 0.0, tally: Tally::new(fields), bend, near: 0, adds: Vec::new() }
    }

    fn add(&mut self, offer: &Offer<'_>, row: usize, units: f64, beyond: f64) {
        let heat = self.heat.heat;
        let root = (beyond * beyond + 4.0 * heat * heat).sqrt();
        // Without a difference of near equals where a row is far outside.
        let inside = 2.0 * heat * heat / (root * (root + beyond.abs()));
        let inside = if beyond > 0.0 { 1.0 - inside } else { inside };
        let above = if beyond > 0.0 { 0.5 * (beyond + root) } else { 2.0 * heat * heat / (root - beyond) };
        self.value += units * above;
        let tokens = offer.tokens[row] as f64;
        self.tally.add(offer.words, row, (units * inside, units * inside * tokens));
        if beyond.abs() > REACH * heat {
            return;
        }
        self.near += 1;
        if !self.near.is_multiple_of(self.heat.every) {
            return;
        }
        let bend = units * self.heat.every as f64 * 2.0 * heat * heat / (root * root * root);
        self.adds.clear();
        let mut put = |(each, token): (i32, i32)| {
            if each != NONE {
                self.adds.push((each as usize, 1.0));
            }
            if token != NONE {
                self.adds.push((token as usize, tokens));
            }
        };
        put(self.heat.of_all);
        for ((field, _), (each, token)) in offer.columns.iter().zip(self.heat.places) {
            let value = field.of(offer.words[field.word][row]);
            let place = |places: &[i32]| places.get(value).copied().unwrap_or(NONE);
            put((place(each), place(token)));
        }
        for (at, by) in &self.adds {
            let line = &mut self.bend[at * self.heat.num..][..self.heat.num];
            let by = bend * by;
            self.adds.iter().for_each(|(to, other)| line[*to] += by * other);
        }
    }

    fn merge(mut self, other: &Self) -> Self {
        self.value += other.value;
        self.near += other.near;
        self.tally.merge(&other.tally);
        self.bend.iter_mut().zip(&other.bend).for_each(|(sum, more)| *sum += more);
        self
    }
}

/// The smoothed sum of what rows are worth beyond what they pay, each counted `units` times.
pub fn smooth(offer: &Offer<'_>, units: &[f64], heat: &Heat<'_>) -> Result<Smooth> {
    let rows = offer.worth.len();
    let tables = Tables::new(offer)?;
    let within = |place: &i32| *place == NONE || usize::try_from(*place).is_ok_and(|place| place < heat.num);
    let fits = heat.places.len() == offer.columns.len()
        && heat.places.iter().all(|(each, token)| each.iter().chain(token.iter()).all(within));
    if !fits || units.len() != rows || !within(&heat.of_all.0) || !within(&heat.of_all.1) || heat.every == 0 {
        return Err(CoreError::Contract("places, units and rows do not fit".to_owned()));
    }
    let fields: Vec<Field> = offer.columns.iter().map(|(field, _)| *field).collect();
    let step = rows.div_ceil(PARTS).max(1);
    let parts: Vec<Sum<'_>> = (0..rows.div_ceil(step))
        .into_par_iter()
        .map(|part| {
            let mut sum = Sum::new(&fields, heat);
            tables.blocks(part * step..rows.min((part + 1) * step), |start, beyond| {
                for (row, beyond) in (start..).zip(beyond) {
                    if units[row] > 0.0 {
                        sum.add(offer, row, units[row], *beyond);
                    }
                }
            });
            sum
        })
        .collect();
    let sum = parts.into_iter().reduce(|sum, more| sum.merge(&more)).unwrap_or_else(|| Sum::new(&fields, heat));
    let (inside, spent) = sum.tally.of_values(&fields);
    Ok(Smooth { value: sum.value, inside, spent, bend: sum.bend, near: sum.near })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quotas::pack;
    use crate::quotas::tests::{numbers, slices};
    use crate::sift::Prices;

    const ROWS: usize = 20_011;

    /// A smoothed sum where the values of two columns pay `prices`, and all pay the last of them.
    fn at(prices: &[f64; 6], heat: f64) -> Smooth {
        let columns: Vec<Vec<u32>> =
            [3, 2].map(|values| (0..ROWS as u32).map(|row| row * 7 % 11 % values).collect()).into();
        let (words, fields) = pack(&numbers(&columns), &[3, 2]).unwrap();
        let words = slices(&words);
        let worth: Vec<f64> = (0..ROWS).map(|row| (row * 37 % 101) as f64 / 25.0).collect();
        let tokens: Vec<u64> = (0..ROWS as u64).map(|row| row % 5).collect();
        let units: Vec<f64> = (0..ROWS).map(|row| (row % 3) as f64).collect();
        let (token, none) = ([0.0, prices[3], 0.0], [0.0; 2]);
        let columns: Vec<(Field, Prices<'_>)> =
            vec![(fields[0], (&prices[..3], &token[..])), (fields[1], (&prices[4..], &none[..]))];
        let offer =
            Offer { worth: &worth, tokens: &tokens, words: &words, columns: &columns, of_all: (prices[5], 0.0) };
        let places: [Places<'_>; 2] = [(&[0, 1, 2], &[NONE, 3, NONE]), (&[4, NONE], &[NONE, NONE])];
        // The last price is of the second value of the second column, and of all: places that pay together.
        smooth(&offer, &units, &Heat { heat, places: &places, of_all: (5, NONE), num: 6, every: 1 }).unwrap()
    }

    #[test]
    fn slopes_and_bends_are_those_of_the_sum() {
        let prices = [1.0, 0.5, 2.0, 0.1, 0.3, 0.2];
        let found = at(&prices, 0.5);
        let inside =
            |at: usize| [found.inside[0], found.inside[1], found.inside[2], found.spent[1], found.inside[3]][at];
        let step = 1e-4;
        for price in 0..5 {
            let moved = |by: f64| {
                let mut prices = prices;
                prices[price] += by;
                at(&prices, 0.5)
            };
            let (less, more) = (moved(-step), moved(step));
            let slope = (less.value - more.value) / (2.0 * step);
            assert!((slope - inside(price)).abs() < 1e-3 * inside(price), "{price}: {slope} {}", inside(price));
            let bend = (less.inside[3] - more.inside[3]) / (2.0 * step);
            let there = found.bend[4 * 6 + price];
            assert!((bend - there).abs() < 1e-2 * there.max(1.0), "{price}: {bend} {there}");
        }
        assert!(found.near == (0..ROWS).filter(|row| row % 3 > 0).count());
    }

    #[test]
    fn what_is_cold_is_what_is_above_nothing() {
        let found = at(&[1.0, 0.5, 2.0, 0.1, 0.3, 0.2], 1e-9);
        let pays = |row: usize| {
            let (first, second) = (row * 7 % 11 % 3, row * 7 % 11 % 2);
            0.2 + [1.0, 0.5 + 0.1 * (row % 5) as f64, 2.0][first] + [0.3, 0.2][second]
        };
        let beyond = |row: usize| (row * 37 % 101) as f64 / 25.0 - pays(row);
        let total: f64 = (0..ROWS).map(|row| (row % 3) as f64 * beyond(row).max(0.0)).sum();
        assert!((found.value - total).abs() < 1e-3, "{} {total}", found.value);
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let again = one.install(|| at(&[1.0, 0.5, 2.0, 0.1, 0.3, 0.2], 1e-9));
        assert_eq!((again.value, again.inside, again.bend), (found.value, found.inside, found.bend));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let offer = Offer { worth: &[1.0], tokens: &[1], words: &[], columns: &[], of_all: (0.0, 0.0) };
        let heat = |of_all, every| Heat { heat: 1.0, places: &[], of_all, num: 1, every };
        assert!(smooth(&offer, &[1.0], &heat((0, NONE), 1)).is_ok());
        assert!(smooth(&offer, &[1.0], &heat((1, NONE), 1)).is_err());
        assert!(smooth(&offer, &[1.0], &heat((0, NONE), 0)).is_err());
        assert!(smooth(&offer, &[], &heat((0, NONE), 1)).is_err());
    }
}
