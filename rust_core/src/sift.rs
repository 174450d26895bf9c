//! What prices say of rows: on which side each lies, what those add up to, and who lies on the wrong one.

use rayon::prelude::*;

use crate::error::{CoreError, Result};
use crate::quotas::{Field, Lump, lumps};
use crate::tally::Tally;

/// Rows that are looked at by one thread, one after another: sums of floats depend on it.
const CHUNK: usize = 1 << 17;
/// Rows whose sums stay in the cache.
const BLOCK: usize = 1 << 10;
/// Where a row lies.
const OUT: u8 = 0;
const IN: u8 = 1;
const NEAR: u8 = 2;

/// Prices of the values of a column: for a row, and for each of its tokens.
pub type Prices<'a> = (&'a [f64], &'a [f64]);

/// What rows pay: for their values in each column, and `of_all`, which every row pays.
pub struct Offer<'a> {
    pub worth: &'a [f64],
    pub tokens: &'a [u64],
    pub words: &'a [&'a [u64]],
    pub columns: &'a [(Field, Prices<'a>)],
    pub of_all: (f64, f64),
}

/// On which side each row lies (0 out, 1 in, 2 near), the rows that are near, and (rows, tokens) of each value of each
/// column over those that are in.
pub struct Sides {
    pub sides: Vec<u8>,
    pub near: Vec<u32>,
    pub counts: Vec<u64>,
    pub spent: Vec<u64>,
}

fn contract(reason: &str) -> CoreError {
    CoreError::Contract(reason.to_owned())
}

/// What a row and a token of it pay, for whatever the bits of some values may be. What costs nothing is left out.
pub(crate) struct Tables<'a> {
    offer: &'a Offer<'a>,
    priced: Vec<(Lump, Vec<(f64, f64)>)>,
    in_tokens: bool,
}

impl<'a> Tables<'a> {
    pub(crate) fn new(offer: &'a Offer<'a>) -> Result<Self> {
        let Offer { worth, tokens, words, columns, of_all } = *offer;
        let rows = worth.len();
        let fits = tokens.len() == rows
            && words.iter().all(|word| word.len() == rows)
            && columns.iter().all(|(field, (each, token))| field.word < words.len() && each.len() == token.len());
        if !fits || columns.iter().any(|(field, (each, _))| each.len() < field.size) || u32::try_from(rows).is_err() {
            return Err(contract("columns, prices and rows do not fit"));
        }
        let fields: Vec<Field> = columns.iter().map(|(field, _)| *field).collect();
        let priced: Vec<(Lump, Vec<(f64, f64)>)> = lumps(&fields)
            .into_iter()
            .map(|lump| {
                let pays = |together: usize| {
                    columns[lump.columns.clone()].iter().fold((0.0, 0.0), |sum, (field, (each, token))| {
                        let value = lump.value(*field, together);
                        let price = |prices: &[f64]| prices.get(value).copied().unwrap_or(0.0);
                        (sum.0 + price(each), sum.1 + price(token))
                    })
                };
                let table = (0..1_usize << lump.bits).map(pays).collect();
                (lump, table)
            })
            .filter(|(_, table): &(Lump, Vec<(f64, f64)>)| table.iter().any(|price| *price != (0.0, 0.0)))
            .collect();
        let in_tokens = of_all.1 != 0.0 || priced.iter().any(|(_, table)| table.iter().any(|(_, token)| *token != 0.0));
        Ok(Self { offer, priced, in_tokens })
    }

    /// What the rows from `start` on are worth beyond what they pay, into `beyond`.
    fn put(&self, start: usize, beyond: &mut [f64]) {
        let Offer { worth, tokens, words, of_all, .. } = *self.offer;
        let rows = start..start + beyond.len();
        let tokens = &tokens[rows.clone()];
        if self.in_tokens {
            beyond.iter_mut().zip(tokens).for_each(|(pays, count)| *pays = of_all.0 + of_all.1 * *count as f64);
        } else {
            beyond.fill(of_all.0);
        }
        // In one order for every row: sums of floats depend on it.
        for (lump, table) in &self.priced {
            let words = &words[lump.word][rows.clone()];
            let looked_up = beyond.iter_mut().zip(words);
            if self.in_tokens {
                looked_up.zip(tokens).for_each(|((pays, word), count)| {
                    let (each, token) = table[lump.of(*word)];
                    *pays += each + token * *count as f64;
                });
            } else {
                looked_up.for_each(|(pays, word)| *pays += table[lump.of(*word)].0);
            }
        }
        beyond.iter_mut().zip(&worth[rows]).for_each(|(pays, worth)| *pays = worth - *pays);
    }

    /// `told` of rows in blocks: the first row of each, and what its rows are worth beyond what they pay.
    pub(crate) fn blocks(&self, rows: std::ops::Range<usize>, mut told: impl FnMut(usize, &[f64])) {
        let mut beyond = [0.0; BLOCK];
        for start in rows.clone().step_by(BLOCK) {
            let block = &mut beyond[..BLOCK.min(rows.end - start)];
            self.put(start, block);
            told(start, block);
        }
    }
}

fn side(beyond: f64, reach: f64) -> u8 {
    if beyond.abs() <= reach { NEAR } else { u8::from(beyond > 0.0) }
}

impl Offer<'_> {
    /// What each row is worth beyond what it pays.
    pub fn priced(&self) -> Result<Vec<f64>> {
        let tables = Tables::new(self)?;
        let mut beyond = vec![0.0; self.worth.len()];
        beyond.par_chunks_mut(BLOCK).enumerate().for_each(|(block, beyond)| tables.put(block * BLOCK, beyond));
        Ok(beyond)
    }

    /// On which side the rows that are able lie: those within `reach` of what they pay are near. All others are out.
    pub fn sides(&self, able: &[bool], reach: f64) -> Result<Sides> {
        let tables = Tables::new(self)?;
        if able.len() != self.worth.len() {
            return Err(contract("marks do not fit the rows"));
        }
        let fields: Vec<Field> = self.columns.iter().map(|(field, _)| *field).collect();
        let mut sides = vec![OUT; able.len()];
        let chunks: Vec<(Vec<u32>, Tally<u64>)> = sides
            .par_chunks_mut(CHUNK)
            .enumerate()
            .map(|(chunk, sides)| {
                let (mut near, mut tally) = (Vec::new(), Tally::new(&fields));
                let first = chunk * CHUNK;
                tables.blocks(first..first + sides.len(), |start, beyond| {
                    let sides = &mut sides[start - first..][..beyond.len()];
                    let able = &able[start..];
                    sides.iter_mut().zip(beyond).zip(able).for_each(|((put, beyond), able)| {
                        *put = if *able { side(*beyond, reach) } else { OUT };
                    });
                    let on = |which| sides.iter().enumerate().filter(move |(_, side)| **side == which);
                    near.extend(on(NEAR).map(|(row, _)| (start + row) as u32));
                    on(IN).for_each(|(row, _)| tally.add(self.words, start + row, (1, self.tokens[start + row])));
                });
                (near, tally)
            })
            .collect();
        let mut near = Vec::with_capacity(chunks.iter().map(|(near, _)| near.len()).sum());
        let mut together = Tally::new(&fields);
        for (some, tally) in chunks {
            near.extend(some);
            together.merge(&tally);
        }
        let (counts, spent) = together.of_values(&fields);
        Ok(Sides { sides, near, counts, spent })
    }

    /// The able rows that lie on one side, and by their prices on the other.
    pub fn wrong(&self, able: &[bool], sides: &[u8], reach: f64) -> Result<Vec<u32>> {
        let tables = Tables::new(self)?;
        if able.len() != self.worth.len() || sides.len() != able.len() {
            return Err(contract("marks do not fit the rows"));
        }
        let chunks: Vec<Vec<u32>> = (0..able.len().div_ceil(CHUNK))
            .into_par_iter()
            .map(|chunk| {
                let mut found = Vec::new();
                tables.blocks(chunk * CHUNK..able.len().min((chunk + 1) * CHUNK), |start, beyond| {
                    let is_wrong = |row: &usize| {
                        // A sum of the two sides is 1 where one is out and the other in.
                        able[start + *row] && sides[start + *row] + side(beyond[*row], reach) == OUT + IN
                    };
                    found.extend((0..beyond.len()).filter(is_wrong).map(|row| (start + row) as u32));
                });
                found
            })
            .collect();
        Ok(chunks.concat())
    }
}

/// (rows, tokens) of each value of each column, over the rows that are marked.
pub fn tally(words: &[&[u64]], fields: &[Field], tokens: &[u64], marks: &[bool]) -> Result<(Vec<u64>, Vec<u64>)> {
    let rows = marks.len();
    let fits = tokens.len() == rows
        && words.iter().all(|word| word.len() == rows)
        && fields.iter().all(|field| field.word < words.len());
    if !fits {
        return Err(contract("columns, tokens and rows do not fit"));
    }
    let together = (0..rows.div_ceil(CHUNK))
        .into_par_iter()
        .fold(
            || Tally::new(fields),
            |mut tally, chunk| {
                for row in (chunk * CHUNK..rows.min((chunk + 1) * CHUNK)).filter(|row| marks[*row]) {
                    tally.add(words, row, (1, tokens[row]));
                }
                tally
            },
        )
        .reduce(
            || Tally::new(fields),
            |mut tally, other| {
                tally.merge(&other);
                tally
            },
        );
    Ok(together.of_values(fields))
}

/// What the marked rows are worth together, and the most that any could be: (the sum of their values, the sum of all values
/// above 0 of rows that are able). In one order, whatever the number of threads.
pub fn summed(values: &[f64], marks: &[bool], able: &[bool]) -> Result<(f64, f64)> {
    if marks.len() != values.len() || able.len() != values.len() {
        return Err(contract("marks do not fit the rows"));
    }
    let starts: Vec<usize> = (0..values.len()).step_by(CHUNK).collect();
    let parts: Vec<(f64, f64)> = starts
        .into_par_iter()
        .map(|start| {
            (start..values.len().min(start + CHUNK)).fold((0.0, 0.0), |(marked, most), row| {
                let value = values[row];
                let counts = able[row] && value > 0.0;
                (marked + if marks[row] { value } else { 0.0 }, most + if counts { value } else { 0.0 })
            })
        })
        .collect();
    Ok(parts.into_iter().fold((0.0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quotas::tests::{numbers, slices};
    use crate::quotas::{Column, pack};

    #[test]
    fn rows_pay_for_their_values_and_tokens() {
        let (each, token) = ([1.0, 10.0], [0.0, 0.5]);
        let (words, fields) = pack(&[Column::Numbers(&[0, 1])], &[2]).unwrap();
        let columns = [(fields[0], (each.as_slice(), token.as_slice()))];
        let words = slices(&words);
        let offer = |worth, columns| Offer { worth, tokens: &[4, 6], words: &words, columns, of_all: (2.0, 0.25) };
        let found = offer(&[100.0, 100.0], &columns);
        assert_eq!(found.priced().unwrap(), [100.0 - 2.0 - 1.0 - 1.0, 100.0 - 2.0 - 1.5 - 10.0 - 3.0]);
        assert_eq!(found.sides(&[true, true], 83.5).unwrap().sides, [1, 2]);
        assert_eq!(offer(&[4.0, 0.0], &columns).sides(&[true, true], 0.0).unwrap().sides, [2, 0]);
        assert!(offer(&[1.0], &columns).priced().is_err());
        let short = [(fields[0], (&each[..1], &token[..1]))];
        assert!(offer(&[1.0, 1.0], &short).priced().is_err());
    }

    #[test]
    fn values_are_counted() {
        let (words, fields) =
            pack(&numbers(&[vec![0, 1, 1, 2], vec![0, 0, 0, 0], vec![1, 0, 1, 1]]), &[3, 1, 2]).unwrap();
        let found = tally(&slices(&words), &fields, &[1, 20, 300, 4000], &[true, true, false, true]).unwrap();
        assert_eq!(found, (vec![1, 1, 1, 3, 1, 2], vec![1, 20, 4000, 4021, 20, 4001]));
        assert!(tally(&slices(&words), &fields, &[1], &[true; 4]).is_err());
    }

    #[test]
    fn sides_are_those_of_what_is_paid() {
        let rows = 2 * CHUNK + 99;
        let columns: Vec<Vec<u32>> = [3, 5].map(|values| (0..rows as u32).map(|row| row % values).collect()).into();
        let (words, fields) = pack(&numbers(&columns), &[3, 5]).unwrap();
        let (words, tokens): (Vec<&[u64]>, Vec<u64>) = (slices(&words), (0..rows as u64).map(|row| row % 7).collect());
        let worth: Vec<f64> = (0..rows).map(|row| (row * 37 % 101) as f64).collect();
        let able: Vec<bool> = (0..rows).map(|row| row % 11 != 4).collect();
        let prices: Vec<[Vec<f64>; 2]> = vec![[vec![1.0, 20.0, 30.0], vec![0.0; 3]], [vec![9.0; 5], vec![2.0; 5]]];
        let columns: Vec<(Field, Prices<'_>)> =
            fields.iter().zip(&prices).map(|(field, [each, token])| (*field, (&each[..], &token[..]))).collect();
        let offer = Offer { worth: &worth, tokens: &tokens, words: &words, columns: &columns, of_all: (3.0, 0.0) };
        let found = offer.sides(&able, 10.0).unwrap();
        let beyond = offer.priced().unwrap();
        let side = |row: usize| match (able[row], beyond[row]) {
            (false, _) => OUT,
            (true, beyond) if beyond.abs() <= 10.0 => NEAR,
            (true, beyond) => u8::from(beyond > 0.0),
        };
        let wanted: Vec<u8> = (0..rows).map(side).collect();
        assert_eq!(found.sides, wanted);
        let near: Vec<u32> = (0..rows).filter(|row| wanted[*row] == NEAR).map(|row| row as u32).collect();
        assert_eq!(found.near, near);
        let inside: Vec<bool> = wanted.iter().map(|side| *side == 1).collect();
        assert_eq!((found.counts, found.spent), tally(&words, &fields, &tokens, &inside).unwrap());
        let mut sides = wanted;
        assert!(offer.wrong(&able, &sides, 1.0).unwrap().is_empty());
        let clear = (0..rows).filter(|row| able[*row] && beyond[*row].abs() > 10.0).step_by(9_999);
        let swapped: Vec<u32> = clear.map(|row| row as u32).collect();
        for row in &swapped {
            sides[*row as usize] ^= 1;
        }
        assert_eq!(offer.wrong(&able, &sides, 1.0).unwrap(), swapped);
        assert!(offer.sides(&[true], 1.0).is_err() && offer.wrong(&able, &[0], 1.0).is_err());
    }

    #[test]
    fn sums_are_in_one_order() {
        let values: Vec<f64> = (0..3 * CHUNK / 2).map(|row| (row as f64).sin()).collect();
        let marks: Vec<bool> = (0..values.len()).map(|row| row % 3 == 0).collect();
        let able: Vec<bool> = (0..values.len()).map(|row| row % 2 == 0).collect();
        let found = summed(&values, &marks, &able).unwrap();
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(one.install(|| summed(&values, &marks, &able)).unwrap(), found);
        let plain: f64 = values.iter().zip(&marks).filter(|(_, mark)| **mark).map(|(value, _)| value).sum();
        let most: f64 =
            values.iter().zip(&able).filter(|(value, able)| **able && **value > 0.0).map(|part| part.0).sum();
        assert!((found.0 - plain).abs() < 1e-6 && (found.1 - most).abs() < 1e-6);
        assert!(summed(&values, &marks[1..], &able).is_err());
    }
}
