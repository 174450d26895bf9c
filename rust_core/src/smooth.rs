//! What rows are worth beyond what they pay, smoothed: its sum has a slope and a bend everywhere, so that Newton's method
//! finds the prices at which it is least.
//!
//! In place of `max(0, z)` stands `(z + sqrt(z² + 4h²)) / 2` (Chen and Harker, 1993; Kanzow, 1996), for a heat `h`. It asks
//! for nothing but roots and quotients, which are the same on every machine; sums are added in one order.

use rayon::prelude::*;

use crate::error::{CoreError, Result};
use crate::quotas::{Field, Lump, lumps};
use crate::sift::{Offer, Tables};

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
    lumps: Vec<(Lump, usize)>,
    sums: Vec<(f64, f64)>,
    bend: Vec<f64>,
    near: usize,
    /// Where a row adds to the bend, and how much for each unit.
    adds: Vec<(usize, f64)>,
}

impl<'a> Sum<'a> {
    fn new(fields: &[Field], heat: &'a Heat<'a>) -> Self {
        let mut size = 0;
        let starts = |lump: Lump| {
            let start = size;
            size += 1 << lump.bits;
            (lump, start)
        };
        let lumps = lumps(fields).into_iter().map(starts).collect();
        let bend = vec![0.0; heat.num * heat.num];
        Self { heat, value: 0.0, lumps, sums: vec![(0.0, 0.0); size], bend, near: 0, adds: Vec::new() }
    }

    fn add(&mut self, offer: &Offer<'_>, row: usize, units: f64, beyond: f64) {
        let heat = self.heat.heat;
        let root = (beyond * beyond + 4.0 * heat * heat).sqrt();
        // Without a difference of near equals where a row is far outside.
        let inside = 2.0 * heat * heat / (root * (root + beyond.abs()));
        let inside = if beyond > 0.0 { 1.0 - inside } else { inside };
        let above = if beyond > 0.0 { (beyond + root) / 2.0 } else { 2.0 * heat * heat / (root - beyond) };
        self.value += units * above;
        let tokens = offer.tokens[row] as f64;
        for (lump, start) in &self.lumps {
            let sum = &mut self.sums[start + lump.of(offer.words[lump.word][row])];
            *sum = (sum.0 + units * inside, sum.1 + units * inside * tokens);
        }
        if beyond.abs() > REACH * heat {
            return;
        }
        self.near += 1;
        if self.near % self.heat.every != 0 {
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

    fn merge(mut self, other: Self) -> Self {
        self.value += other.value;
        self.near += other.near;
        self.sums.iter_mut().zip(&other.sums).for_each(|(sum, more)| *sum = (sum.0 + more.0, sum.1 + more.1));
        self.bend.iter_mut().zip(&other.bend).for_each(|(sum, more)| *sum += more);
        self
    }

    fn of_values(&self, fields: &[Field]) -> (Vec<f64>, Vec<f64>) {
        let mut found: Vec<Vec<(f64, f64)>> = fields.iter().map(|field| vec![(0.0, 0.0); field.size]).collect();
        for (lump, start) in &self.lumps {
            for (value, more) in self.sums[*start..start + (1 << lump.bits)].iter().enumerate() {
                for column in lump.columns.clone() {
                    if let Some(sum) = found[column].get_mut(lump.value(fields[column], value)) {
                        *sum = (sum.0 + more.0, sum.1 + more.1);
                    }
                }
            }
        }
        found.into_iter().flatten().unzip()
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
    let sum = parts.into_iter().reduce(Sum::merge).unwrap_or_else(|| Sum::new(&fields, heat));
    let (inside, spent) = sum.of_values(&fields);
    Ok(Smooth { value: sum.value, inside, spent, bend: sum.bend, near: sum.near })
}
