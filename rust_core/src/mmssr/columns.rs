//! Levels of capabilities as they are kept: made ones, or whole scores of a byte in the pieces of a table.

use std::ops::Range;

use rayon::prelude::*;

use super::bins::Cells;
use crate::error::{CoreError, Result};
use crate::pieces::Pieces;

/// Rows whose levels are looked at together: those of all capabilities fit in a cache.
pub(super) const BLOCK: usize = 1 << 12;
/// Places of a table that fits in the nearest cache, twice.
pub(super) const PLACES: usize = 1 << 12;

/// One capability: the level of each row, and its score where equal levels are not equal scores.
///
/// Levels are those of [`crate::levels`]. With `whole`, they are scores, signed bytes, of which those above that have a level:
/// one more than the score.
pub struct Capability<'a> {
    pub pieces: Pieces<'a, u8>,
    pub whole: Option<u8>,
    pub scores: Option<&'a [f64]>,
}

impl<'a> Capability<'a> {
    /// Levels that are made.
    pub fn new(levels: &'a [u8], scores: Option<&'a [f64]>) -> Self {
        Self { pieces: Pieces::new(vec![levels]), whole: None, scores }
    }
}

/// The levels of all capabilities.
pub(super) struct Columns<'a> {
    able: &'a [bool],
    capabilities: &'a [Capability<'a>],
}

impl<'a> Columns<'a> {
    pub(super) fn new(able: &'a [bool], capabilities: &'a [Capability<'a>]) -> Result<Self> {
        let rows = able.len();
        let fits = |capability: &Capability<'_>| {
            capability.pieces.rows() == rows
                && capability.scores.is_none_or(|scores| scores.len() == rows)
                && capability.whole.is_none_or(|over| i8::try_from(over).is_ok())
        };
        if capabilities.len() >= usize::from(u8::MAX) || !capabilities.iter().all(fits) {
            return Err(CoreError::Contract("levels and rows do not fit".to_owned()));
        }
        Ok(Self { able, capabilities })
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

    /// Which rows are able.
    pub(super) fn able(&self) -> &'a [bool] {
        self.able
    }

    /// What is kept of a run of rows, whether they are able or not, and how levels are made of it; see [`Pieces::read`].
    pub(super) fn kept<'b>(
        &'b self,
        capability: usize,
        rows: Range<usize>,
        room: &'b mut Vec<u8>,
    ) -> (&'b [u8], Scale) {
        let Capability { pieces, whole, .. } = &self.capabilities[capability];
        (pieces.read(rows, room), Scale::new(*whole))
    }

    /// The highest level of any capability, of one in so many blocks of rows.
    pub(super) fn most(&self, one_in: usize) -> u8 {
        let block = |first: usize| {
            let (span, mut room) = (first..self.rows().min(first + BLOCK), Vec::new());
            let of = |capability| {
                let (kept, scale) = self.kept(capability, span.clone(), &mut room);
                kept.iter().fold(0, |most, kept| scale.level(*kept).max(most))
            };
            (0..self.num()).map(of).fold(0, u8::max)
        };
        (0..self.rows()).into_par_iter().step_by(BLOCK * one_in).map(block).reduce(|| 0, u8::max)
    }

    /// Counts the rows of a run by the levels of several capabilities together, which are few, and by cell; and the rows
    /// that any capability can take. None where a level is beyond `width`, or a cell beyond `cells`.
    ///
    /// A row is one place in a table for each group of capabilities: so there are fewer places to go to than by capability.
    /// Rows that are not able are at place 0, which has level 0 of the first cell.
    pub(super) fn count_together(
        &self,
        (cell, cells): (Cells<'_>, usize),
        width: usize,
        rows: Range<usize>,
        groups: &[Range<usize>],
    ) -> Option<(Vec<Vec<u32>>, u64)> {
        let (mut places, mut masks, mut room) = (vec![0_u16; BLOCK], vec![0_u16; BLOCK], Vec::new());
        let (mut any, mut num, mut most, mut beyond) = (vec![0_u8; BLOCK], 0, 0, 0);
        let mut wide = (Vec::new(), Vec::new());
        // Rows next to each other are counted apart: adding to what was just written would wait for it.
        let mut tables = vec![[0_u32; PLACES]; 2 * groups.len()];
        for first in rows.clone().step_by(BLOCK) {
            let span = first..rows.end.min(first + BLOCK);
            let (cell, able) = (cell.read(span.clone(), &mut wide), &self.able[span.clone()]);
            let (places, masks, any) = (&mut places[..span.len()], &mut masks[..span.len()], &mut any[..span.len()]);
            // Without branches, so that the processor takes many rows at a time.
            beyond |= cell.iter().fold(0, |beyond, cell| beyond | u32::from(*cell as usize >= cells));
            for (mask, able) in masks.iter_mut().zip(able) {
                *mask = u16::from(*able).wrapping_neg();
            }
            any.fill(0);
            for (group, tables) in groups.iter().zip(tables.as_chunks_mut().0) {
                let [even, odd] = tables;
                for (place, cell) in places.iter_mut().zip(cell) {
                    *place = *cell as u16;
                }
                for capability in group.clone() {
                    let (kept, scale) = self.kept(capability, span.clone(), &mut room);
                    for ((place, any), kept) in places.iter_mut().zip(&mut *any).zip(kept) {
                        let level = scale.level(*kept);
                        *any |= level;
                        most = level.max(most);
                        *place = place.wrapping_mul(width as u16).wrapping_add(u16::from(level));
                    }
                }
                for (place, mask) in places.iter_mut().zip(&*masks) {
                    *place &= *mask;
                }
                let (pairs, last) = places.as_chunks();
                for [one, other] in pairs {
                    even[usize::from(*one) % PLACES] += 1;
                    odd[usize::from(*other) % PLACES] += 1;
                }
                for place in last {
                    even[usize::from(*place) % PLACES] += 1;
                }
            }
            let there = any.iter().zip(able).map(|(any, able)| u16::from(*any > 0) & u16::from(*able));
            num += u64::from(there.sum::<u16>());
        }
        let sum = |[even, odd]: &[[u32; PLACES]; 2]| even.iter().zip(odd).map(|(even, odd)| even + odd).collect();
        (beyond == 0 && usize::from(most) < width).then(|| (tables.as_chunks().0.iter().map(sum).collect(), num))
    }

    /// Counts all rows by cell and level of one capability; None where a level is beyond `width`, or a cell beyond all.
    pub(super) fn count(&self, cell: Cells<'_>, width: usize, capability: usize, size: usize) -> Option<Vec<u32>> {
        let (mut counts, mut room, mut wide) = (vec![0; size], Vec::new(), (Vec::new(), Vec::new()));
        for first in (0..self.rows()).step_by(BLOCK) {
            let span = first..self.rows().min(first + BLOCK);
            let (kept, scale) = self.kept(capability, span.clone(), &mut room);
            let cell = cell.read(span.clone(), &mut wide);
            for ((kept, able), cell) in kept.iter().zip(&self.able[span]).zip(cell) {
                let level = usize::from(scale.level(*kept));
                if level >= width {
                    return None;
                }
                *counts.get_mut(*cell as usize * width + level * usize::from(*able))? += 1;
            }
        }
        Some(counts)
    }

    /// The number of rows that any capability can take.
    pub(super) fn any(&self) -> u64 {
        let block = |first: usize| {
            let (span, mut room) = (first..self.rows().min(first + BLOCK), Vec::new());
            let mut any = vec![0; span.len()];
            for capability in 0..self.num() {
                let (kept, scale) = self.kept(capability, span.clone(), &mut room);
                any.iter_mut().zip(kept).for_each(|(any, kept)| *any |= scale.level(*kept));
            }
            any.iter().zip(&self.able[span]).filter(|(any, able)| **any > 0 && **able).count() as u64
        };
        (0..self.rows()).into_par_iter().step_by(BLOCK).map(block).sum()
    }
}

/// How a level is made of what is kept: 0 where it is not over something, and more by some number where it is.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    /// What makes the order of signed bytes of the order of what is kept.
    turned: u8,
    over: i8,
    more: u8,
}

impl Scale {
    fn new(whole: Option<u8>) -> Self {
        whole.map_or(Self { turned: 1 << 7, over: i8::MIN, more: 0 }, |over| Self {
            turned: 0,
            over: over as i8,
            more: 1,
        })
    }

    pub(super) fn level(self, kept: u8) -> u8 {
        let over = u8::from((kept ^ self.turned) as i8 > self.over).wrapping_neg();
        over & kept.wrapping_add(self.more)
    }
}
