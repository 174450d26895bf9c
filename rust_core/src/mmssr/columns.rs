//! Levels of capabilities as they are kept: made ones, or whole scores of a byte in the pieces of a table.

use std::ops::Range;

use rayon::prelude::*;

use crate::error::{CoreError, Result};

/// Rows whose levels are looked at together: those of all capabilities fit in a cache.
pub(super) const BLOCK: usize = 1 << 12;
/// Places of a table that fits in the nearest cache, twice.
pub(super) const PLACES: usize = 1 << 12;

/// One capability: the level of each row, and its score where equal levels are not equal scores.
///
/// Levels are those of [`crate::levels`]. With `whole`, they are scores, signed bytes up to its second number, of which
/// those above its first have a level: one more than the score. A column lies in pieces, one behind another.
pub struct Capability<'a> {
    pub pieces: Vec<&'a [u8]>,
    pub whole: Option<(u8, u8)>,
    pub scores: Option<&'a [f64]>,
}

impl<'a> Capability<'a> {
    /// Levels that are made.
    pub fn new(levels: &'a [u8], scores: Option<&'a [f64]>) -> Self {
        Self { pieces: vec![levels], whole: None, scores }
    }
}

/// The levels of all capabilities.
pub(super) struct Columns<'a> {
    able: &'a [bool],
    capabilities: &'a [Capability<'a>],
    /// Where the pieces of each capability begin.
    starts: Vec<Vec<usize>>,
}

impl<'a> Columns<'a> {
    pub(super) fn new(able: &'a [bool], capabilities: &'a [Capability<'a>]) -> Result<Self> {
        let rows = able.len();
        let fits = |capability: &Capability<'_>| {
            capability.pieces.iter().map(|piece| piece.len()).sum::<usize>() == rows
                && capability.scores.is_none_or(|scores| scores.len() == rows)
                && capability.whole.is_none_or(|(over, most)| i8::try_from(over.max(most)).is_ok())
        };
        if capabilities.len() >= usize::from(u8::MAX) || !capabilities.iter().all(fits) {
            return Err(CoreError::Contract("levels and rows do not fit".to_owned()));
        }
        let starts = |capability: &Capability<'_>| {
            let mut end = 0;
            let begin = |piece: &&[u8]| {
                end += piece.len();
                end - piece.len()
            };
            capability.pieces.iter().map(begin).collect()
        };
        Ok(Self { able, capabilities, starts: capabilities.iter().map(starts).collect() })
    }

    pub(super) fn num(&self) -> usize {
        self.capabilities.len()
    }

    pub(super) fn rows(&self) -> usize {
        self.able.len()
    }

    pub(super) fn scores(&self, capability: usize) -> Option<&'a [f64]> {
        self.capabilities[capability].scores
    }

    /// The levels of a run of rows; 0 where a row is not able.
    pub(super) fn read(&self, capability: usize, first: usize, levels: &mut [u8]) {
        let (Capability { pieces, whole, .. }, starts) = (&self.capabilities[capability], &self.starts[capability]);
        let mut piece = starts.partition_point(|start| *start <= first).saturating_sub(1);
        let mut done = 0;
        while done < levels.len() {
            let from = first + done - starts[piece];
            let part = &pieces[piece][from.min(pieces[piece].len())..];
            let part = &part[..part.len().min(levels.len() - done)];
            let place = &mut levels[done..done + part.len()];
            let able = &self.able[first + done..];
            // Without branches, so that the processor takes many rows at a time.
            if let Some((over, _)) = *whole {
                let over = over as i8;
                for (level, (score, able)) in place.iter_mut().zip(part.iter().zip(able)) {
                    *level = u8::from(*score as i8 > over) * u8::from(*able) * score.wrapping_add(1);
                }
            } else {
                for (level, (code, able)) in place.iter_mut().zip(part.iter().zip(able)) {
                    *level = u8::from(*able) * *code;
                }
            }
            done += part.len();
            piece += 1;
        }
    }

    /// The highest level of all.
    pub(super) fn most(&self) -> u8 {
        let most = |capability: &Capability<'_>| match capability.whole {
            Some((_, most)) => most + 1,
            None => {
                capability.pieces.iter().map(|piece| piece.par_iter().max().map_or(0, |most| *most)).fold(0, u8::max)
            }
        };
        self.capabilities.iter().map(most).fold(0, u8::max)
    }

    /// Counts the rows of a run by the levels of several capabilities together, which are few, and by cell; None where a
    /// level is beyond `width`.
    ///
    /// A row is one place in a table for each group of capabilities: so there are fewer places to go to than by capability.
    pub(super) fn count_together(
        &self,
        cells: &[u32],
        width: usize,
        rows: Range<usize>,
        groups: &[Range<usize>],
    ) -> Option<Vec<Vec<u32>>> {
        let (mut places, mut levels, mut most) = (vec![0_u16; BLOCK], vec![0; BLOCK], 0);
        // Rows next to each other are counted apart: adding to what was just written would wait for it.
        let mut tables = vec![[0_u32; PLACES]; 2 * groups.len()];
        for first in rows.clone().step_by(BLOCK) {
            let cells = &cells[first..rows.end.min(first + BLOCK)];
            let (places, levels) = (&mut places[..cells.len()], &mut levels[..cells.len()]);
            for (group, tables) in groups.iter().zip(tables.as_chunks_mut().0) {
                let [even, odd] = tables;
                for (place, cell) in places.iter_mut().zip(cells) {
                    *place = *cell as u16;
                }
                for capability in group.clone() {
                    self.read(capability, first, levels);
                    most = levels.iter().fold(most, |most, level| most.max(*level));
                    for (place, level) in places.iter_mut().zip(&*levels) {
                        *place = place.wrapping_mul(width as u16).wrapping_add(u16::from(*level));
                    }
                }
                for places in places.chunks(2) {
                    even[usize::from(places[0]) % PLACES] += 1;
                    if let Some(place) = places.get(1) {
                        odd[usize::from(*place) % PLACES] += 1;
                    }
                }
            }
        }
        let sum = |[even, odd]: &[[u32; PLACES]; 2]| even.iter().zip(odd).map(|(even, odd)| even + odd).collect();
        (usize::from(most) < width).then(|| tables.as_chunks().0.iter().map(sum).collect())
    }

    /// Counts all rows by cell and level of one capability; None where a level is beyond `width`.
    pub(super) fn count(&self, cells: &[u32], width: usize, capability: usize, size: usize) -> Option<Vec<u32>> {
        let (mut counts, mut levels) = (vec![0; size], vec![0; BLOCK]);
        for (block, cells) in cells.chunks(BLOCK).enumerate() {
            let levels = &mut levels[..cells.len()];
            self.read(capability, block * BLOCK, levels);
            if levels.iter().any(|level| usize::from(*level) >= width) {
                return None;
            }
            for (cell, level) in cells.iter().zip(levels) {
                counts[*cell as usize * width + usize::from(*level)] += 1;
            }
        }
        Some(counts)
    }
}
