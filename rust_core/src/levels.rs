//! Scores as small numbers in the same order, so that many columns of them can be held and counted at once.

use rayon::prelude::*;

use crate::error::{CoreError, Result};

/// Rows that one task works on.
const CHUNK: usize = 1 << 16;
/// How many scores are looked at to part them.
const SAMPLE: usize = 1 << 14;
/// More than all levels.
const UNFIT: u16 = 1 << 9;

/// A level for each row: 0 where it cannot be taken, and larger for a larger score.
pub struct Levels {
    pub codes: Vec<u8>,
    /// Whether equal levels are equal scores.
    pub exact: bool,
}

/// A number of any kind as a score: whole numbers of 64 bits are rounded as everywhere.
pub trait Score: Copy + Sync {
    fn score(self) -> f64;

    /// Its place in a table of all that there can be, where they are so few.
    fn byte(self) -> Option<u8> {
        None
    }

    /// All that there can be, by place.
    fn all() -> Vec<Self> {
        Vec::new()
    }
}

macro_rules! scores {
    ($($kind:ty),*) => { $(impl Score for $kind { fn score(self) -> f64 { f64::from(self) } })* };
}

macro_rules! wide_scores {
    ($($kind:ty),*) => { $(impl Score for $kind { fn score(self) -> f64 { self as f64 } })* };
}

macro_rules! narrow_scores {
    ($($kind:ty),*) => { $(impl Score for $kind {
        fn score(self) -> f64 { f64::from(self) }
        fn byte(self) -> Option<u8> { Some(self.to_ne_bytes()[0]) }
        fn all() -> Vec<Self> { (0..=u8::MAX).map(|byte| Self::from_ne_bytes([byte])).collect() }
    })* };
}

scores!(f32, f64, i16, i32, u16, u32);
wide_scores!(i64, u64);
narrow_scores!(i8, u8);

/// Levels of the scores that are larger than `over`, for rows that are `able`; at most so many different ones.
///
/// A score that is no number is larger than nothing. Where there are more scores than levels, a level is a range.
pub fn levels<S: Score>(scores: &[S], able: &[bool], over: f64, most: u8) -> Result<Levels> {
    if able.len() != scores.len() || most == 0 || over.is_nan() {
        return Err(CoreError::Contract("levels of rows that do not fit".to_owned()));
    }
    if over >= 0.0
        && let Some(codes) = whole(scores, able, over, most)
    {
        return Ok(Levels { codes, exact: true });
    }
    let there = |row: &usize| able[*row] && scores[*row].score() > over;
    let looked_at = (0..SAMPLE.min(scores.len())).map(|at| spread(at, scores.len()));
    let mut borders: Vec<f64> = looked_at.filter(there).map(|row| scores[row].score() + 0.0).collect();
    borders.sort_unstable_by(f64::total_cmp);
    borders.dedup();
    if borders.len() > usize::from(most) {
        let num = borders.len();
        borders = (0..usize::from(most)).map(|at| borders[at * num / usize::from(most)]).collect();
    }
    let mut codes = vec![0; scores.len()];
    let exact = codes
        .par_chunks_mut(CHUNK)
        .zip(scores.par_chunks(CHUNK).zip(able.par_chunks(CHUNK)))
        .map(|(codes, (scores, able))| {
            let mut exact = true;
            for ((code, score), able) in codes.iter_mut().zip(scores).zip(able) {
                let score = score.score();
                if *able && score > over {
                    let at = borders.partition_point(|border| *border <= score).max(1);
                    *code = at as u8;
                    exact &= borders.get(at - 1) == Some(&score);
                }
            }
            exact
        })
        .reduce(|| true, |a, b| a & b);
    Ok(Levels { codes, exact })
}

/// Row `at` of a sample of `rows` rows: evenly spread, and in step with nothing that repeats among them.
fn spread(at: usize, rows: usize) -> usize {
    let golden = (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((u128::from(golden) * rows as u128) >> 64) as usize
}

/// The levels of scores that are whole numbers below `most`: the commonest case, and the quickest.
fn whole<S: Score>(scores: &[S], able: &[bool], over: f64, most: u8) -> Option<Vec<u8>> {
    let mut codes = vec![0; scores.len()];
    let table: Vec<u16> = S::all().iter().map(|score| level(score.score(), over, most)).collect();
    let fits = codes
        .par_chunks_mut(CHUNK)
        .zip(scores.par_chunks(CHUNK).zip(able.par_chunks(CHUNK)))
        .map(|(codes, (scores, able))| {
            if let Ok(table) = <&[u16; 256]>::try_from(table.as_slice()) {
                let mut fits = 0;
                for ((code, score), able) in codes.iter_mut().zip(scores).zip(able) {
                    let found = table[usize::from(score.byte().unwrap_or(0))] * u16::from(*able);
                    *code = found as u8;
                    fits |= found;
                }
                return u8::from(fits < UNFIT);
            }
            // Without a branch, so that the processor takes many rows at a time.
            let mut fits = 1;
            for ((code, score), able) in codes.iter_mut().zip(scores).zip(able) {
                let score = score.score();
                let number = score as u8;
                let there = u8::from(*able) & u8::from(score > over);
                let same = u8::from(f64::from(number).to_bits() == score.to_bits()) & u8::from(number < most);
                fits &= (1 - there) | same;
                *code = there * number.wrapping_add(1);
            }
            fits
        })
        .all(|fits| fits == 1);
    fits.then_some(codes)
}

/// The level of one score; `UNFIT` where it has none.
fn level(score: f64, over: f64, most: u8) -> u16 {
    let number = score as u8;
    if score <= over {
        0
    } else if f64::from(number).to_bits() == score.to_bits() && number < most {
        u16::from(number) + 1
    } else {
        UNFIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_kind_have_the_same_levels() {
        let able: Vec<bool> = (0..5000).map(|row| row % 13 != 0).collect();
        let bytes: Vec<i8> = (0..5000).map(|row| (row % 131) as i8).collect();
        let wide: Vec<i64> = bytes.iter().map(|score| i64::from(*score)).collect();
        let floats: Vec<f64> = bytes.iter().map(|score| f64::from(*score)).collect();
        for (over, most) in [(0.0, 200), (0.0, 100), (2.5, 200), (-3.0, 200)] {
            let [a, b, c] = [
                levels(&bytes, &able, over, most).unwrap(),
                levels(&wide, &able, over, most).unwrap(),
                levels(&floats, &able, over, most).unwrap(),
            ];
            assert!(a.codes == c.codes && b.codes == c.codes);
            assert_eq!([a.exact, b.exact], [c.exact; 2]);
        }
    }

    #[test]
    fn levels_order_as_scores_do() {
        let rows = 40_000;
        let kinds: [&dyn Fn(usize) -> f64; 4] = [
            &|row| (row % 6) as f64,
            &|row| (row % 9) as f64 / 2.0,
            &|row| ((row * 7919) % rows) as f64 / 3.0,
            &|row| if row % 3 == 0 { f64::NAN } else { (row % 400) as f64 },
        ];
        let able: Vec<bool> = (0..rows).map(|row| row % 13 != 0).collect();
        for (kind, wanted) in kinds.iter().zip([true, true, false, false]) {
            for over in [0.0, 2.5] {
                let scores: Vec<f64> = (0..rows).map(kind).collect();
                let found = levels(&scores, &able, over, 100).unwrap();
                assert_eq!(found.exact, wanted);
                let mut there: Vec<usize> = (0..rows).filter(|row| found.codes[*row] > 0).collect();
                assert!((0..rows).all(|row| (found.codes[row] > 0) == (able[row] && scores[row] > over)));
                assert!(there.iter().all(|row| found.codes[*row] <= 100));
                there.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
                for pair in there.windows(2) {
                    let (low, high) = (found.codes[pair[0]], found.codes[pair[1]]);
                    assert!(low <= high);
                    assert!(!wanted || (low == high) == (scores[pair[0]].to_bits() == scores[pair[1]].to_bits()));
                }
            }
        }
    }
}
