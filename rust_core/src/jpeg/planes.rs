//! Samples of a strip, and the rows of pixels that they make.

use std::arch::x86_64::__m128i;

use super::headers::{Header, Sampling};
use super::idct::{self, Overflow, Scale};
use super::scan::Blocks;
use super::{colour, rows};

/// The layers of a strip. Above its rows is the last row of the strip before.
#[derive(Default)]
pub(super) struct Planes {
    luma: Plane,
    chroma: [Plane; 2],
    sums: [rows::Sums; 2],
}

#[derive(Default)]
struct Plane {
    samples: Vec<u8>,
    width: usize,
    stride: usize,
}

impl Plane {
    fn fit(&mut self, width: usize, rows: usize) {
        self.width = width;
        self.stride = width.next_multiple_of(colour::STEP);
        self.samples.resize((rows + 1) * self.stride, 0);
    }

    /// Row 0 is the first of the strip.
    fn row(&self, row: usize, top: usize) -> &[u8] {
        &self.samples[(row + 1 - top) * self.stride..][..self.stride]
    }

    fn keep_last(&mut self) {
        let last = self.samples.len() - self.stride;
        self.samples.copy_within(last.., 0);
    }

    /// `SIZE` samples of each of eight rows, of which the first is `row`.
    #[inline]
    fn put<const SIZE: usize>(&mut self, row: usize, column: usize, samples: &[[u8; SIZE]; 8]) {
        let rows = self.samples[(row + 1) * self.stride..].chunks_exact_mut(self.stride);
        for (row, samples) in rows.zip(samples) {
            row[column..column + SIZE].copy_from_slice(samples);
        }
    }
}

impl Planes {
    /// Makes room. None where chroma is so narrow that libjpeg stretches it in another way.
    pub(super) fn fit(&mut self, header: &Header) -> Option<()> {
        let (across, down) = header.sampling.luma();
        let narrow = header.width.div_ceil(across);
        if across == 2 && narrow <= 2 {
            return None;
        }
        self.luma.fit(header.width, 8 * down);
        for (plane, sums) in self.chroma.iter_mut().zip(&mut self.sums) {
            plane.fit(narrow, 8);
            sums.resize(plane.stride + 2, 0);
        }
        Some(())
    }

    /// Puts down 16 columns of luma, and what belongs to them.
    #[target_feature(enable = "avx2")]
    pub(super) fn put(
        &mut self,
        sampling: Sampling,
        at: usize,
        pairs: &[Blocks; 3],
        scales: &[Scale; 3],
        overflow: &mut Overflow,
    ) {
        let mut samples = |pair: usize| idct::samples(&pairs[pair], &scales[pair], overflow);
        self.luma.put::<16>(0, 16 * at, &bytemuck::cast(samples(0)));
        match sampling {
            Sampling::Gray => {}
            Sampling::Full => {
                self.chroma[0].put::<16>(0, 16 * at, &bytemuck::cast(samples(1)));
                self.chroma[1].put::<16>(0, 16 * at, &bytemuck::cast(samples(2)));
            }
            Sampling::Across => self.put_chroma(at, samples(1)),
            Sampling::BothWays => {
                self.luma.put::<16>(8, 16 * at, &bytemuck::cast(samples(1)));
                self.put_chroma(at, samples(2));
            }
        }
    }

    /// Puts down eight columns of each chroma, which stand beside each other.
    #[inline]
    fn put_chroma(&mut self, at: usize, samples: [__m128i; 8]) {
        let samples: [[[u8; 8]; 2]; 8] = bytemuck::cast(samples);
        self.chroma[0].put(0, 8 * at, &samples.map(|row| row[0]));
        self.chroma[1].put(0, 8 * at, &samples.map(|row| row[1]));
    }

    /// Makes pixels of a strip. Where its last row needs the chroma below it, that waits for the next.
    #[target_feature(enable = "avx2")]
    pub(super) fn show(&mut self, header: &Header, strip: usize, pixels: &mut [u8]) {
        let Header { sampling, height, width, .. } = *header;
        let (top, end) = (8 * sampling.luma().1 * strip, 8 * sampling.luma().1 * (strip + 1));
        let waits = usize::from(sampling == Sampling::BothWays);
        let from = top.saturating_sub(waits);
        let to = if end < height { end - waits } else { height };
        for (row, out) in (from..to).zip(pixels[3 * width * from..].chunks_exact_mut(3 * width)) {
            let luma = self.luma.row(row, top);
            let [blue, red] = &self.chroma;
            match sampling {
                Sampling::Gray => rows::gray(luma, out),
                Sampling::Full => rows::full(luma, [blue.row(row, top), red.row(row, top)], out),
                Sampling::Across => {
                    for (plane, sums) in self.chroma.iter().zip(&mut self.sums) {
                        rows::widen(plane.row(row, top), plane.width, sums);
                    }
                    rows::across(luma, &self.sums, out);
                }
                Sampling::BothWays => {
                    let near = row / 2;
                    let far = if row % 2 == 0 { near.saturating_sub(1) } else { (near + 1).min((height - 1) / 2) };
                    for (plane, sums) in self.chroma.iter().zip(&mut self.sums) {
                        rows::weigh(plane.row(near, top / 2), plane.row(far, top / 2), plane.width, sums);
                    }
                    rows::both_ways(luma, &self.sums, out);
                }
            }
        }
        self.luma.keep_last();
        for plane in &mut self.chroma {
            plane.keep_last();
        }
    }
}
