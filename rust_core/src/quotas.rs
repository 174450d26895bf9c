//! What samples count for, packed: their values in many columns as a few bits each of one or two words. Passes over
//! millions of samples then read a word a sample where they would read every column.

use rayon::prelude::*;

use crate::error::{CoreError, Result};
use crate::rank::{Keys, keyed_hash};

const CHUNK: usize = 1 << 16;
/// Rows whose words stay in the cache while columns are put into them.
const PIECE: usize = 1 << 13;
/// Columns are looked up together up to so many bits, so that their tables stay in the cache.
const LUMP_BITS: u32 = 10;

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
    fn of(self, word: u64) -> usize {
        (word >> self.shift & !(u64::MAX << self.bits())) as usize
    }
}

fn contract(reason: &str) -> CoreError {
    CoreError::Contract(reason.to_owned())
}

/// Values of rows in one column: numbers, or whether a condition holds.
#[derive(Clone, Copy)]
pub enum Column<'a> {
    Numbers(&'a [u32]),
    Marks(&'a [bool]),
}

impl Column<'_> {
    fn rows(self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Marks(values) => values.len(),
        }
    }

    fn below(self, size: usize) -> bool {
        match self {
            Self::Numbers(values) => values.par_iter().all(|value| (*value as usize) < size),
            Self::Marks(values) => size > 1 || values.par_iter().all(|value| !*value),
        }
    }

    /// Puts the values of the rows from `start` on into their words.
    fn put(self, words: &mut [u64], start: usize, shift: u32) {
        match self {
            Self::Numbers(values) => {
                words.iter_mut().zip(&values[start..]).for_each(|(word, value)| *word |= u64::from(*value) << shift);
            }
            Self::Marks(values) => {
                words.iter_mut().zip(&values[start..]).for_each(|(word, value)| *word |= u64::from(*value) << shift);
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
struct Lump {
    word: usize,
    shift: u32,
    bits: u32,
    columns: std::ops::Range<usize>,
}

impl Lump {
    fn of(&self, words: &[&[u64]], row: usize) -> usize {
        (words[self.word][row] >> self.shift & !(u64::MAX << self.bits)) as usize
    }

    /// The value that a column has where these have a value together.
    fn value(&self, field: Field, together: usize) -> usize {
        Field { shift: field.shift - self.shift, ..field }.of(together as u64)
    }
}

fn lumps(fields: &[Field]) -> Vec<Lump> {
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

impl Offer<'_> {
    /// What each row is worth beyond what it pays, as `told` of it.
    fn beyond<T: Send>(&self, told: impl Fn(f64) -> T + Sync) -> Result<Vec<T>> {
        let Self { worth, tokens, words, columns, of_all } = *self;
        let rows = worth.len();
        let fits = tokens.len() == rows
            && words.iter().all(|word| word.len() == rows)
            && columns.iter().all(|(field, (each, token))| field.word < words.len() && each.len() == token.len());
        if !fits || columns.iter().any(|(field, (each, _))| each.len() < field.size) {
            return Err(contract("columns, prices and rows do not fit"));
        }
        // What a row and a token of it pay, for whatever the bits of some values may be; what costs nothing is left out.
        let fields: Vec<Field> = columns.iter().map(|(field, _)| *field).collect();
        let tables: Vec<(Lump, Vec<(f64, f64)>)> = lumps(&fields)
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
        let in_tokens = of_all.1 != 0.0 || tables.iter().any(|(_, table)| table.iter().any(|(_, token)| *token != 0.0));
        let pays = |row: usize| {
            let count = if in_tokens { tokens[row] as f64 } else { 0.0 };
            // In one order for every row: sums of floats depend on it.
            tables.iter().fold(of_all.0 + of_all.1 * count, |sum, (lump, table)| {
                let (each, token) = table[lump.of(words, row)];
                sum + (each + token * count)
            })
        };
        Ok((0..rows).into_par_iter().with_min_len(1 << 14).map(|row| told(worth[row] - pays(row))).collect())
    }

    /// What each row is worth beyond what it pays.
    pub fn priced(&self) -> Result<Vec<f64>> {
        self.beyond(|beyond| beyond)
    }

    /// On which side each row is: 0 where it is worth less than it pays, 1 where more, 2 where within `reach` of it.
    pub fn sides(&self, reach: f64) -> Result<Vec<u8>> {
        self.beyond(|beyond| if beyond.abs() <= reach { 2 } else { u8::from(beyond > 0.0) })
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
    let lumps = lumps(fields);
    let starts: Vec<usize> =
        lumps.iter().scan(0, |next, lump| Some(std::mem::replace(next, *next + (1 << lump.bits)))).collect();
    let size = lumps.iter().map(|lump| 1 << lump.bits).sum();
    let none = || vec![(0_u64, 0_u64); size];
    let chunk = CHUNK.max(size);
    let together = (0..rows.div_ceil(chunk))
        .into_par_iter()
        .fold(none, |mut sums, part| {
            for row in (part * chunk..rows.min((part + 1) * chunk)).filter(|row| marks[*row]) {
                for (lump, start) in lumps.iter().zip(&starts) {
                    let sum = &mut sums[start + lump.of(words, row)];
                    *sum = (sum.0 + 1, sum.1 + tokens[row]);
                }
            }
            sums
        })
        .reduce(none, |mut sums, more| {
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum = (sum.0 + more.0, sum.1 + more.1));
            sums
        });
    let mut counts: Vec<Vec<(u64, u64)>> = fields.iter().map(|field| vec![(0, 0); field.size]).collect();
    for (lump, start) in lumps.iter().zip(starts) {
        for (value, more) in together[start..start + (1 << lump.bits)].iter().enumerate() {
            for column in lump.columns.clone() {
                // Values that a column cannot have are of no row.
                if let Some(sum) = counts[column].get_mut(lump.value(fields[column], value)) {
                    *sum = (sum.0 + more.0, sum.1 + more.1);
                }
            }
        }
    }
    Ok(counts.into_iter().flatten().unzip())
}

/// What each sample is worth to a draw that is to be as near as can be to a random one (see the Python side): the longer
/// the way to the end of the draw in the keyed order, in `steps` steps, the more.
pub fn nearness(seed: u64, keys: Keys<'_>, able: &[bool], drawn: &[bool], steps: f64) -> Result<Vec<f64>> {
    let rows = keys.rows()?;
    if able.len() != rows || drawn.len() != rows {
        return Err(contract("marks do not fit the rows"));
    }
    let place = |row: usize| keyed_hash(seed, keys.high[row], keys.low[row], u64::from(keys.occurrence[row])) as f64;
    let items = || (0..rows).into_par_iter().with_min_len(1 << 14);
    let end = items().filter(|row| drawn[*row]).map(place).reduce(|| 1.0, f64::max);
    let worth = |row: usize| {
        let step = ((place(row) - end).abs() / (end / steps)).floor().min(steps);
        match (able[row], drawn[row]) {
            (false, _) => 0.0,
            (true, true) => 1.0 + step.min(steps - 1.0),
            (true, false) => -1.0 - step,
        }
    };
    Ok(items().map(worth).collect())
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
mod tests {
    use super::*;

    fn slices<T>(columns: &[Vec<T>]) -> Vec<&[T]> {
        columns.iter().map(Vec::as_slice).collect()
    }

    fn numbers(columns: &[Vec<u32>]) -> Vec<Column<'_>> {
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
        assert!(pack(&[Column::Numbers(&[2]), Column::Marks(&[])], &[3, 3]).is_err());
        assert!(pack(&[Column::Marks(&[true])], &[1]).is_err());
        let marks = [Column::Numbers(&[4, 5]), Column::Marks(&[true, false])];
        assert_eq!(pack(&marks, &[6, 2]).unwrap().0, [[4 | 1 << 3, 5]]);
    }

    #[test]
    fn cells_are_those_of_the_columns() {
        let rows = 3000_u32;
        let sizes = vec![1 << 30; 5];
        let columns: Vec<Vec<u32>> =
            (0..5).map(|column| (0..rows).map(|row| (row / (column + 2) % 3) << 27).collect()).collect();
        let alive: Vec<bool> = (0..rows).map(|row| row % 13 != 0).collect();
        let (words, _) = pack(&numbers(&columns), &sizes).unwrap();
        let (cell, first) = cells(&slices(&words), &alive).unwrap();
        let (wanted, firsts) = crate::cells::cells(&slices(&columns), &alive).unwrap();
        assert_eq!(first, firsts);
        assert!((0..rows as usize).filter(|row| alive[*row]).all(|row| cell[row] == wanted[row]));
    }

    #[test]
    fn rows_pay_for_their_values_and_tokens() {
        let (each, token) = ([1.0, 10.0], [0.0, 0.5]);
        let (words, fields) = pack(&[Column::Numbers(&[0, 1])], &[2]).unwrap();
        let columns = [(fields[0], (each.as_slice(), token.as_slice()))];
        let words = slices(&words);
        let offer = |worth, columns| Offer { worth, tokens: &[4, 6], words: &words, columns, of_all: (2.0, 0.25) };
        let found = offer(&[100.0, 100.0], &columns);
        assert_eq!(found.priced().unwrap(), [100.0 - 2.0 - 1.0 - 1.0, 100.0 - 2.0 - 1.5 - 10.0 - 3.0]);
        assert_eq!(found.sides(83.5).unwrap(), [1, 2]);
        assert_eq!(offer(&[4.0, 0.0], &columns).sides(0.0).unwrap(), [2, 0]);
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
