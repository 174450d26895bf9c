//! Goal-driven data optimisation: the shared score of a pool's samples (GDO, arXiv 2603.12478; papers, section b.2).
//!
//! Every logarithm, exponential and hyperbolic tangent is that of `libm`, and every sum runs over sorted values, so that
//! a score is the same to the last bit on every machine and does not depend on the order of rows.

use rayon::prelude::*;

use crate::error::{CoreError, Result};

/// Rows that one task works on.
const CHUNK: usize = 1 << 14;
/// The most that a standard score counts for.
const CLIP: f64 = 4.0;

/// Values of the column that tells images, videos and texts apart.
pub const IMAGE: u8 = 0;
pub const VIDEO: u8 = 1;

/// What is known of each row. A value that is missing is not a number; only rows that are `able` are looked at.
pub struct Pool<'a> {
    pub able: &'a [bool],
    pub kind: &'a [u8],
    /// 0 static, 1 mixed, 2 temporal.
    pub temporal: &'a [u8],
    /// Words of the question and of the answer, and which part of the latter are different.
    pub question: &'a [f64],
    pub answer: &'a [f64],
    pub distinct: &'a [f64],
    /// The number of each row's value in each of the fields that the score compares with the whole pool.
    pub fields: &'a [&'a [u32]],
    pub source: &'a [u32],
    pub metrics: Metrics<'a>,
}

/// What a model measured.
pub struct Metrics<'a> {
    pub loss_visual: &'a [f64],
    pub loss_blind: &'a [f64],
    pub frame_diversity: &'a [f64],
    pub vds: &'a [f64],
    pub quality: &'a [f64],
}

/// Which terms the score is to lack (the ablations of the paper).
#[derive(Clone, Copy, Default)]
pub struct Without {
    pub vds: bool,
    pub naturalness: bool,
    pub quality: bool,
}

/// The score of each row, the visual dependence that is part of it, and whether a model measured anything of the row.
pub struct Scores {
    pub rho: Vec<f64>,
    pub vds3: Vec<f64>,
    pub measured: Vec<bool>,
}

/// The shared score of each row that is `able`; that of other rows means nothing.
pub fn scores(pool: &Pool<'_>, without: Without) -> Result<Scores> {
    let rows = pool.able.len();
    let metrics = &pool.metrics;
    let numbers = [pool.question, pool.answer, pool.distinct, metrics.loss_visual, metrics.loss_blind];
    let more = [metrics.frame_diversity, metrics.vds, metrics.quality];
    let fits = numbers.iter().chain(&more).all(|column| column.len() == rows)
        && pool.fields.iter().all(|column| column.len() == rows)
        && [pool.kind.len(), pool.temporal.len(), pool.source.len()] == [rows; 3];
    if !fits || pool.fields.is_empty() {
        return Err(CoreError::Contract("columns of different lengths".to_owned()));
    }
    let total = pool.able.iter().filter(|able| **able).count() as f64;
    let shares: Vec<Vec<f64>> = pool
        .fields
        .iter()
        .map(|codes| {
            let counts = counts(codes, pool.able);
            counts.into_iter().map(|count| libm::log((count as f64 / total).max(1e-9))).collect()
        })
        .collect();
    let rare: Vec<f64> = counts(pool.source, pool.able)
        .into_iter()
        .map(|count| libm::log((total + 1.0) / (count as f64 + 1.0)))
        .collect();
    let standard = Standard {
        loss_visual: Spread::of(metrics.loss_visual, pool.able),
        loss_blind: Spread::of(metrics.loss_blind, pool.able),
        frame_diversity: Spread::of(metrics.frame_diversity, pool.able),
        vds: Spread::of(metrics.vds, pool.able),
        quality: Spread::of(metrics.quality, pool.able),
    };
    let found: Vec<(f64, f64, bool)> = (0..rows)
        .into_par_iter()
        .with_min_len(CHUNK)
        .map(|row| {
            if !pool.able[row] {
                return (0.0, 0.0, false);
            }
            let align = pool.fields.iter().zip(&shares).map(|(codes, share)| share[codes[row] as usize]).sum::<f64>()
                / pool.fields.len() as f64;
            let base = base(pool, row, align, rare[pool.source[row] as usize], without);
            let (vds3, quality, measured) = standard.of(metrics, row);
            (rho(pool.kind[row], base, vds3, quality, measured, without), vds3, measured)
        })
        .collect();
    Ok(Scores {
        rho: found.iter().map(|(rho, _, _)| *rho).collect(),
        vds3: found.iter().map(|(_, vds3, _)| *vds3).collect(),
        measured: found.iter().map(|(_, _, measured)| *measured).collect(),
    })
}

/// How many able rows have each number.
fn counts(codes: &[u32], able: &[bool]) -> Vec<u64> {
    let most = codes.iter().zip(able).filter(|(_, able)| **able).map(|(code, _)| *code as usize + 1).max();
    let mut counts = vec![0; most.unwrap_or(0)];
    for (code, able) in codes.iter().zip(able) {
        if *able {
            counts[*code as usize] += 1;
        }
    }
    counts
}

fn base(pool: &Pool<'_>, row: usize, align: f64, rare: f64, without: Without) -> f64 {
    let (question, answer) = (pool.question[row], pool.answer[row]);
    let naturalness = if without.naturalness {
        0.0
    } else {
        let far = |count: f64, usual: f64| (libm::log(count.max(1.0)) - libm::log(usual)).abs();
        -far(question, 14.0) - 1.25 * far(answer, 16.0) - 1.2 * (0.55 - pool.distinct[row]).max(0.0)
    };
    let away = libm::log((question + 0.5 * answer).max(1.0)) - libm::log(22.0);
    let difficulty = libm::exp(-(away * away) / (2.0 * 0.85 * 0.85));
    if pool.kind[row] == VIDEO {
        let bonus = [-0.5, 0.2, 1.0][usize::from(pool.temporal[row].min(2))];
        naturalness + 0.85 * difficulty + 0.9 * align + 0.55 * bonus + 0.15 * rare
    } else {
        1.1 * naturalness + 0.85 * difficulty + 0.9 * align + 0.15 * rare
    }
}

fn rho(kind: u8, base: f64, vds3: f64, quality: f64, measured: bool, without: Without) -> f64 {
    let base = libm::tanh(base / 3.0);
    let clip = |value: f64| value.clamp(-CLIP, CLIP) / CLIP;
    let visual = if without.vds { 0.0 } else { clip(vds3) };
    let quality = if without.quality { 0.0 } else { clip(quality) };
    match (kind == VIDEO, measured) {
        (true, true) => 0.35 * base + 0.95 * visual + 0.35 * quality,
        (true, false) => 0.35 * base - 0.15,
        (false, true) => 0.9 * base + 0.15 * quality,
        (false, false) => 0.9 * base,
    }
}

/// Mean and standard deviation of the values that are there; none where there is no value.
#[derive(Clone, Copy)]
struct Spread {
    mean: f64,
    deviation: f64,
}

impl Spread {
    fn of(values: &[f64], able: &[bool]) -> Option<Self> {
        let there = sorted(values, able);
        if there.is_empty() {
            return None;
        }
        let count = there.len() as f64;
        let mean = there.iter().sum::<f64>() / count;
        let squares = there.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>();
        let variance = if there.len() > 1 { squares / (count - 1.0) } else { 0.0 };
        Some(Self { mean, deviation: if variance <= 1e-12 { 1.0 } else { variance.sqrt() } })
    }

    fn score(spread: Option<Self>, value: f64) -> Option<f64> {
        let spread = spread.filter(|_| !value.is_nan())?;
        Some(((value - spread.mean) / spread.deviation).clamp(-CLIP, CLIP))
    }
}

/// The values that are there, smallest first.
fn sorted(values: &[f64], able: &[bool]) -> Vec<f64> {
    let mut there: Vec<f64> = values
        .iter()
        .zip(able)
        .filter(|(value, able)| **able && !value.is_nan())
        .map(|(value, _)| value + 0.0)
        .collect();
    there.par_sort_unstable_by(f64::total_cmp);
    there
}

struct Standard {
    loss_visual: Option<Spread>,
    loss_blind: Option<Spread>,
    frame_diversity: Option<Spread>,
    vds: Option<Spread>,
    quality: Option<Spread>,
}

impl Standard {
    /// (visual dependence, quality, whether anything was measured) of a row.
    fn of(&self, metrics: &Metrics<'_>, row: usize) -> (f64, f64, bool) {
        let visual = Spread::score(self.loss_visual, metrics.loss_visual[row]);
        let blind = Spread::score(self.loss_blind, metrics.loss_blind[row]);
        let frames = Spread::score(self.frame_diversity, metrics.frame_diversity[row]);
        let vds = Spread::score(self.vds, metrics.vds[row]);
        let quality = Spread::score(self.quality, metrics.quality[row]);
        let vds3 = match (visual, blind, frames, vds) {
            (Some(visual), Some(blind), Some(frames), _) => -visual + blind + frames,
            (_, _, Some(frames), Some(vds)) => vds + 0.5 * frames,
            (_, _, None, Some(vds)) => vds,
            _ => 0.0,
        };
        let measured = [visual, blind, frames, vds, quality].iter().any(Option::is_some);
        (vds3, quality.unwrap_or(0.0), measured)
    }
}

/// What the quality of a row is made of. A value that is missing is not a number.
pub struct Inputs<'a> {
    pub vds: &'a [f64],
    pub frame_diversity: &'a [f64],
    pub consistency: &'a [f64],
    pub perplexity: &'a [f64],
    pub flow: &'a [f64],
    pub temporal: &'a [f64],
    pub coverage: &'a [f64],
}

/// The merge-time quality of each row that is `able`; not a number where an input is missing.
///
/// Consistency alone may be missing: it is then guessed from visual dependence and perplexity, as the release does.
pub fn quality(inputs: &Inputs<'_>, able: &[bool]) -> Result<Vec<f64>> {
    let rows = able.len();
    let columns = [inputs.vds, inputs.frame_diversity, inputs.consistency, inputs.perplexity, inputs.flow];
    if columns.iter().chain(&[inputs.temporal, inputs.coverage]).any(|column| column.len() != rows) {
        return Err(CoreError::Contract("columns of different lengths".to_owned()));
    }
    let vds = Middle::of(inputs.vds, able);
    let frames = Middle::of(inputs.frame_diversity, able);
    let perplexity = Middle::of(inputs.perplexity, able);
    let flow = Middle::of(inputs.flow, able);
    let logistic = |value: f64| 1.0 / (1.0 + libm::exp(-value));
    Ok((0..rows)
        .into_par_iter()
        .with_min_len(CHUNK)
        .map(|row| {
            let (vds, hard) = (vds.score(inputs.vds[row]), perplexity.score(inputs.perplexity[row]).abs());
            let consistency = inputs.consistency[row];
            let consistency = if consistency.is_nan() { logistic(0.6 * vds - 0.2 * hard) } else { consistency };
            let coverage = inputs.coverage[row];
            0.28 * logistic(vds + frames.score(inputs.frame_diversity[row]))
                + 0.18 * consistency
                + 0.14 * libm::exp(-hard)
                + 0.12 * libm::exp(-flow.score(inputs.flow[row]).abs())
                + 0.12 * inputs.temporal[row]
                + 0.10 * coverage
                + 0.06 * (1.0 - coverage)
        })
        .collect())
}

/// The median, and the distance between the quartiles as a standard deviation.
struct Middle {
    median: f64,
    scale: f64,
}

impl Middle {
    fn of(values: &[f64], able: &[bool]) -> Self {
        let there = sorted(values, able);
        if there.is_empty() {
            return Self { median: f64::NAN, scale: 1.0 };
        }
        // Between the two values around a rank, by how far it lies between them.
        let at = |quarters: usize| {
            let rank = (there.len() - 1) * quarters;
            let (below, part) = (there[rank / 4], (rank % 4) as f64 / 4.0);
            below + (there[(rank / 4 + 1).min(there.len() - 1)] - below) * part
        };
        Self { median: at(2), scale: (at(3) - at(1)).max(1e-6) / 1.349 }
    }

    fn score(&self, value: f64) -> f64 {
        (value - self.median) / self.scale
    }
}
