//! What samples count for, packed: their values in many columns as a few bits each of one or two words. Passes over
//! millions of samples then read a word a sample where they would read every column.

use rayon::prelude::*;

use crate::error::{CoreError, Result};
use crate::rank::{Keys, keyed_hash};

/// Rows whose words stay in the cache while columns are put into them.
const PIECE: usize = 1 << 13;
/// Columns are looked up together up to so many bits, so that their tables stay in the cache.
const LUMP_BITS: u32 = 10;
/// Bits whose values all have a place in a table of a cache's size.
const FEW_BITS: u32 = 14;

/// Where a column is: in which word, from which bit on, and below how many values.
#[derive(Clone, Copy)]
pub struct Field {
    pub word: usize,
    pub shift: u32,
    pub size: usize,
}

impl Field {
    fn bits(self) -> u32 {
        usize::BITS - (self.size.max(1) - 1).leading_zeros()
    }

    /// The value in a word.
    pub(crate) fn of(self, word: u64) -> usize {
        (word >> self.shift & !(u64::MAX << self.bits())) as usize
    }
}

fn contract(reason: &str) -> CoreError {
    CoreError::Contract(reason.to_owned())
}

/// Values of rows in one column: numbers, or whether a condition holds, a bit each: the bits of a byte from the lowest on,
/// and the first row's is the one at `start`.
#[derive(Clone, Copy)]
pub enum Column<'a> {
    Numbers(&'a [u32]),
    Bits { bytes: &'a [u8], start: usize, rows: usize },
}

impl Column<'_> {
    fn rows(self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Bits { rows, .. } => rows,
        }
    }

    fn below(self, size: usize) -> bool {
        match self {
            Self::Numbers(values) => values
                .par_chunks(PIECE)
                .all(|some| some.iter().copied().max().is_none_or(|most| (most as usize) < size)),
            Self::Bits { bytes, start, rows } => size > 1 && (start + rows).div_ceil(8) <= bytes.len(),
        }
    }

    /// Puts the values of the rows from `start` on into their words.
    fn put(self, words: &mut [u64], start: usize, shift: u32) {
        match self {
            Self::Numbers(values) => {
                words.iter_mut().zip(&values[start..]).for_each(|(word, value)| *word |= u64::from(*value) << shift);
            }
            Self::Bits { bytes, start: first, .. } => {
                let (byte, bit) = ((first + start) / 8, (first + start) % 8);
                let bits = |place: usize| {
                    let next = bytes.get(byte + place + 1).copied().unwrap_or(0);
                    u64::from(u16::from_le_bytes([bytes[byte + place], next]) >> bit)
                };
                let (eights, last) = words.as_chunks_mut::<8>();
                for (place, eight) in eights.iter_mut().enumerate() {
                    let bits = bits(place);
                    (0..8).for_each(|at| eight[at] |= (bits >> at & 1) << shift);
                }
                if !last.is_empty() {
                    let bits = bits(eights.len());
                    last.iter_mut().enumerate().for_each(|(at, word)| *word |= (bits >> at & 1) << shift);
                }
            }
        }
    }
}

/// Packs columns of values below these sizes (up to 2^32).
pub fn pack(columns: &[Column<'_>], sizes: &[usize]) -> Result<(Vec<Vec<u64>>, Vec<Field>)> {
    let rows = columns.first().map_or(0, |column| column.rows());
    let fits = columns.len() == sizes.len()
        && columns
            .iter()
            .zip(sizes)
            .all(|(column, size)| column.rows() == rows && *size <= 1 << 32 && column.below(*size));
    if !fits {
        return Err(contract("columns and sizes do not fit"));
    }
    let mut fields: Vec<Field> = Vec::new();
    let (mut word, mut shift) = (0, 0);
    for size in sizes {
        let bits = Field { word, shift, size: *size }.bits();
        if shift + bits > u64::BITS {
            (word, shift) = (word + 1, 0);
        }
        // A column of one value takes no bit; it must not stand behind the last one.
        fields.push(Field { word, shift: shift.min(u64::BITS - 1), size: *size });
        shift += bits;
    }
    let words = (0..=word)
        .map(|word| {
            let mut packed = vec![0; rows];
            packed.par_chunks_mut(PIECE).enumerate().for_each(|(piece, words)| {
                for (column, field) in columns.iter().zip(&fields).filter(|(_, field)| field.word == word) {
                    column.put(words, piece * PIECE, field.shift);
                }
            });
            packed
        })
        .collect();
    Ok((words, fields))
}

/// Columns that lie side by side and are looked up at once.
pub(crate) struct Lump {
    pub word: usize,
    shift: u32,
    pub bits: u32,
    pub columns: std::ops::Range<usize>,
}

impl Lump {
    pub(crate) fn of(&self, word: u64) -> usize {
        (word >> self.shift & !(u64::MAX << self.bits)) as usize
    }

    /// The value that a column has where these have a value together.
    pub(crate) fn value(&self, field: Field, together: usize) -> usize {
        Field { shift: field.shift - self.shift, ..field }.of(together as u64)
    }
}

pub(crate) fn lumps(fields: &[Field]) -> Vec<Lump> {
    let mut found: Vec<Lump> = Vec::new();
    for (column, field) in fields.iter().enumerate() {
        match found.last_mut() {
            Some(last)
                if last.word == field.word
                    && last.shift + last.bits == field.shift
                    && last.bits + field.bits() <= LUMP_BITS =>
            {
                last.bits += field.bits();
                last.columns.end = column + 1;
            }
            _ => found.push(Lump {
                word: field.word,
                shift: field.shift,
                bits: field.bits(),
                columns: column..column + 1,
            }),
        }
    }
    found
}

/// Numbers the different packed values of the rows that are `alive`, by the first row that has each.
///
/// Gives the number of each row (that of dead rows means nothing) and the first row of each number.
pub fn cells(words: &[&[u64]], alive: &[bool]) -> Result<(Vec<u32>, Vec<u32>)> {
    let rows = alive.len();
    if words.is_empty() || words.iter().any(|word| word.len() != rows) || u32::try_from(rows).is_err() {
        return Err(contract("words of different lengths, or too many rows"));
    }
    if let Some(found) = few(words, alive) {
        return Ok(found);
    }
    let (first, rest) = (words[0], &words[1..]);
    let more = |row: u32| rest.iter().map(move |word| word[row as usize]);
    let mut named: Vec<(u64, u32)> = (0..rows)
        .into_par_iter()
        .with_min_len(1 << 14)
        .filter(|row| alive[*row])
        .map(|row| (first[row], row as u32))
        .collect();
    named.par_sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| more(a.1).cmp(more(b.1))).then(a.1.cmp(&b.1)));
    let mut runs: Vec<&[(u64, u32)]> = named.chunk_by(|a, b| a.0 == b.0 && more(a.1).eq(more(b.1))).collect();
    runs.par_sort_unstable_by_key(|run| run[0].1);
    let mut cell = vec![0; rows];
    for (number, run) in runs.iter().enumerate() {
        for (_, row) in *run {
            cell[*row as usize] = number as u32;
        }
    }
    Ok((cell, runs.iter().map(|run| run[0].1).collect()))
}

/// The same where so few bits differ at all that each of their values has a place in a table.
fn few(words: &[&[u64]], alive: &[bool]) -> Option<(Vec<u32>, Vec<u32>)> {
    let rows = || (0..alive.len()).into_par_iter().with_min_len(1 << 14);
    let mut runs: Vec<(&[u64], u32, u64, u32)> = Vec::new();
    let mut bits = 0;
    for word in words {
        let mut used = rows().map(|row| if alive[row] { word[row] } else { 0 }).reduce(|| 0, |a, b| a | b);
        while used != 0 {
            let shift = used.trailing_zeros();
            let wide = (used >> shift).trailing_ones();
            let mask = u64::MAX >> (u64::BITS - wide);
            used &= !(mask << shift);
            runs.push((*word, shift, mask, bits));
            bits += wide;
        }
    }
    if bits > FEW_BITS {
        return None;
    }
    let place = |row: usize| {
        runs.iter().fold(0, |place, (word, shift, mask, to)| place | (word[row] >> shift & mask) << to) as usize
    };
    let none = || vec![u32::MAX; 1 << bits];
    let firsts = rows()
        .filter(|row| alive[*row])
        .fold(none, |mut firsts, row| {
            let first = &mut firsts[place(row)];
            *first = (*first).min(row as u32);
            firsts
        })
        .reduce(none, |firsts, more| firsts.into_iter().zip(more).map(|(first, other)| first.min(other)).collect());
    let mut order: Vec<usize> = (0..firsts.len()).filter(|place| firsts[*place] != u32::MAX).collect();
    order.sort_unstable_by_key(|place| firsts[*place]);
    let mut numbers = vec![0; firsts.len()];
    order.iter().enumerate().for_each(|(number, place)| numbers[*place] = number as u32);
    let cell = rows().map(|row| if alive[row] { numbers[place(row)] } else { 0 }).collect();
    Some((cell, order.iter().map(|place| firsts[*place]).collect()))
}

/// What each sample is worth to a draw that is to be as near as can be to a random one (see the Python side): the longer
/// the way to the end of the draw in the keyed order, in `steps` steps, the more.
pub fn nearness(seed: u64, keys: Keys<'_>, able: &[bool], drawn: &[bool], steps: f64) -> Result<Vec<f64>> {
    let rows = keys.rows()?;
    if able.len() != rows || drawn.len() != rows {
        return Err(contract("marks do not fit the rows"));
    }
    let place = |row: usize| keys.hash(seed, row, 0) as f64;
    let items = || (0..rows).into_par_iter().with_min_len(1 << 14);
    let end = items().filter(|row| drawn[*row]).map(place).reduce(|| 1.0, f64::max);
    let worth = |row: usize| {
        let step = f64::from(((place(row) - end).abs() / (end / steps)).min(steps) as u32);
        match (able[row], drawn[row]) {
            (false, _) => 0.0,
            (true, true) => 1.0 + step.min(steps - 1.0),
            (true, false) => -1.0 - step,
        }
    };
    Ok(items().map(worth).collect())
}

/// A random part of the rows that are able, which says nothing of their keyed order: those whose number is `below`.
pub fn random_part(seed: u64, keys: Keys<'_>, able: &[bool], part: u64, below: u64) -> Result<Vec<u32>> {
    let rows = keys.rows()?;
    if able.len() != rows {
        return Err(contract("marks do not fit the rows"));
    }
    let within = |row: &usize| {
        let hash = keys.hash(seed, *row, 0);
        able[*row] && keyed_hash(part, hash, hash, hash) < below
    };
    Ok((0..rows).into_par_iter().with_min_len(1 << 14).filter(within).map(|row| row as u32).collect())
}

/// Marks the rows among those marked whose values are nearest to nothing: `most` of them, and their equals.
pub fn nearest_to_nothing(values: &[f64], among: &[bool], most: usize) -> Result<Vec<bool>> {
    if values.len() != among.len() {
        return Err(contract("marks do not fit the rows"));
    }
    // Distances compare as their bits do.
    let distance = |row: usize| values[row].abs().to_bits();
    let items = || (0..values.len()).into_par_iter().with_min_len(1 << 14);
    let (mut low, mut shift, mut left) = (0_u64, u64::BITS, most);
    if items().filter(|row| among[*row]).count() <= most {
        return Ok(among.to_vec());
    }
    // Sixteen bits at a time: the range that holds the last one that is wanted.
    while shift > 0 && left > 0 {
        shift -= 16;
        let inside =
            |row: &usize| among[*row] && (shift == 48 || distance(*row) >> (shift + 16) == low >> (shift + 16));
        let counts = items()
            .filter(inside)
            .fold(
                || vec![0_usize; 1 << 16],
                |mut counts, row| {
                    counts[(distance(row) >> shift & 0xffff) as usize] += 1;
                    counts
                },
            )
            .reduce(|| vec![0; 1 << 16], |sums, more| sums.iter().zip(more).map(|(sum, more)| sum + more).collect());
        let mut digit = 0;
        while counts[digit] < left {
            left -= counts[digit];
            digit += 1;
        }
        low |= (digit as u64) << shift;
    }
    Ok(items().map(|row| most > 0 && among[row] && distance(row) <= low).collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::pieces::Pieces;

    pub(crate) fn slices<T>(columns: &[Vec<T>]) -> Vec<&[T]> {
        columns.iter().map(Vec::as_slice).collect()
    }

    pub(crate) fn numbers(columns: &[Vec<u32>]) -> Vec<Column<'_>> {
        columns.iter().map(|column| Column::Numbers(column)).collect()
    }

    #[test]
    fn what_is_packed_comes_back() {
        let sizes: Vec<usize> = (0..40).map(|column| [1, 2, 37, 1 << 20][column % 4]).collect();
        let columns: Vec<Vec<u32>> =
            sizes.iter().map(|size| (0..99_u64).map(|row| (row * 7_919_777 % *size as u64) as u32).collect()).collect();
        let (words, fields) = pack(&numbers(&columns), &sizes).unwrap();
        assert!(words.len() > 1);
        for (column, field) in columns.iter().zip(&fields) {
            let found: Vec<u32> = words[field.word].iter().map(|word| field.of(*word) as u32).collect();
            assert_eq!(&found, column);
        }
        assert!(pack(&[Column::Numbers(&[2])], &[2]).is_err());
        let bits = |bytes, start, rows| Column::Bits { bytes, start, rows };
        assert!(pack(&[Column::Numbers(&[2]), bits(&[], 0, 0)], &[3, 2]).is_err());
        assert!(pack(&[bits(&[1], 0, 1)], &[1]).is_err());
        assert!(pack(&[bits(&[1], 1, 8)], &[2]).is_err());
        assert!(pack(&[bits(&[1], 0, 8)], &[2]).is_ok());
        assert_eq!(pack(&[Column::Numbers(&[4, 5]), bits(&[0b10], 1, 2)], &[6, 2]).unwrap().0, [[4 | 1 << 3, 5]]);
    }

    #[test]
    fn bits_are_put_where_they_belong() {
        let rows = 2 * PIECE + 13;
        let bytes: Vec<u8> = (0..rows / 8 + 4).map(|at| (at * 151 % 251) as u8).collect();
        for start in [0, 1, 7, 8, 13] {
            let (words, _) = pack(&[Column::Bits { bytes: &bytes, start, rows }], &[2]).unwrap();
            let wanted: Vec<u64> =
                (0..rows).map(|row| u64::from(bytes[(start + row) / 8] >> ((start + row) % 8) & 1)).collect();
            assert_eq!(words, [wanted]);
        }
    }

    #[test]
    fn a_random_part_says_nothing_of_the_order() {
        let high: Vec<u64> = (0..20_000).collect();
        let none = vec![0; high.len()];
        let keys =
            Keys { high: &Pieces::new(vec![&high]), low: &Pieces::new(vec![&high]), occurrence: &none, pool: &none };
        let able: Vec<bool> = (0..high.len()).map(|row| row % 5 != 0).collect();
        let part = random_part(3, keys, &able, 7, u64::MAX / 4).unwrap();
        let more = random_part(3, keys, &able, 7, u64::MAX / 2).unwrap();
        assert!((3_600..4_400).contains(&part.len()));
        assert!(part.iter().all(|row| able[*row as usize] && more.contains(row)));
        let early = |row: &&u32| keyed_hash(3, u64::from(**row), u64::from(**row), 0) < u64::MAX / 2;
        assert!((1_800..2_200).contains(&part.iter().filter(early).count()));
        assert!(random_part(3, keys, &[], 7, 9).is_err());
    }

    #[test]
    fn cells_are_those_of_the_columns() {
        let rows = 3000_u32;
        let sizes = vec![1 << 30; 5];
        let columns: Vec<Vec<u32>> =
            (0..5).map(|column| (0..rows).map(|row| (row / (column + 2) % 3) << 27).collect()).collect();
        let alive: Vec<bool> = (0..rows).map(|row| row % 13 != 0).collect();
        for (columns, sizes, table) in [
            (columns.clone(), sizes, true),
            (columns[..2].to_vec(), vec![1 << 30; 2], true),
            (vec![(0..rows).map(|row| (row % 5) << 27).collect(), (0..rows).collect()], vec![1 << 30; 2], false),
        ] {
            let (words, _) = pack(&numbers(&columns), &sizes).unwrap();
            assert_eq!(few(&slices(&words), &alive).is_some(), table);
            let (cell, first) = cells(&slices(&words), &alive).unwrap();
            let (wanted, firsts) = crate::cells::cells(&slices(&columns), &alive).unwrap();
            assert_eq!(first, firsts);
            assert!((0..rows as usize).filter(|row| alive[*row]).all(|row| cell[row] == wanted[row]));
        }
    }

    #[test]
    fn the_nearest_are_those_of_a_sort() {
        let values: Vec<f64> = (0..500).map(|row| f64::from(row * 37 % 101 - 50) / f64::from(1 + row % 3)).collect();
        let among: Vec<bool> = (0..500).map(|row| row % 7 != 2).collect();
        let mut sorted: Vec<f64> = (0..500).filter(|row| among[*row]).map(|row| values[row].abs()).collect();
        sorted.sort_by(f64::total_cmp);
        for most in [0, 1, 2, 10, 100, 400, 428, 429, 600] {
            let found = nearest_to_nothing(&values, &among, most).unwrap();
            let last = if most == 0 { -1.0 } else { sorted[most.min(sorted.len()) - 1] };
            for row in 0..500 {
                assert_eq!(found[row], among[row] && values[row].abs() <= last, "{most} {row}");
            }
        }
    }
}
