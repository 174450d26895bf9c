//! Rows of samples become rows of pixels. Chroma that has half as many samples is stretched by libjpeg's "fancy" triangles.

use std::arch::x86_64::{
    __m128i, __m256i, _mm256_add_epi16, _mm256_cvtepu8_epi16, _mm256_set1_epi16, _mm256_srli_epi16,
};

use super::colour::{self, Both, STEP};

/// Samples of a chroma done at once where it has half as many.
const HALF: usize = STEP / 2;

/// A row of sums of chroma, with one more at each end.
pub(super) type Sums = Vec<u16>;

/// Pixels of one row, of steps that are told their number.
#[allow(clippy::inline_always)]
#[inline(always)]
fn steps(out: &mut [u8], step: impl Fn(usize) -> [u8; 3 * STEP]) {
    for (at, out) in out.chunks_mut(3 * STEP).enumerate() {
        let pixels = step(at);
        match out.as_mut_array() {
            Some(whole) => *whole = pixels,
            None => out.copy_from_slice(&pixels[..out.len()]),
        }
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn gray(luma: &[u8], out: &mut [u8]) {
    let luma = luma.as_chunks::<STEP>().0;
    steps(out, |at| colour::gray(colour::split(&luma[at])));
}

#[target_feature(enable = "avx2")]
pub(super) fn full(luma: &[u8], chroma: [&[u8]; 2], out: &mut [u8]) {
    let [luma, blue, red] = [luma, chroma[0], chroma[1]].map(|row| row.as_chunks::<STEP>().0);
    steps(out, |at| colour::pixels(colour::split(&luma[at]), colour::split(&blue[at]), colour::split(&red[at])));
}

/// Every second sample across: a quarter of each comes from its neighbour.
#[target_feature(enable = "avx2")]
pub(super) fn across(luma: &[u8], sums: &[Sums; 2], out: &mut [u8]) {
    stretched::<1, 2, 2>(luma, sums, out);
}

/// Every second sample both ways: the sums are of three parts of a row and one of the next.
#[target_feature(enable = "avx2")]
pub(super) fn both_ways(luma: &[u8], sums: &[Sums; 2], out: &mut [u8]) {
    stretched::<8, 7, 4>(luma, sums, out);
}

#[target_feature(enable = "avx2")]
#[inline]
fn stretched<const EVEN: i16, const ODD: i16, const SHIFT: i32>(luma: &[u8], sums: &[Sums; 2], out: &mut [u8]) {
    let luma = luma.as_chunks::<STEP>().0;
    let chroma = |sums: &Sums, at: usize| -> Both {
        let from = |shift: usize| -> __m256i {
            let numbers: &[u16; HALF] = sums[HALF * at + shift..].first_chunk().unwrap_or(&[0; HALF]);
            bytemuck::cast(*numbers)
        };
        let (before, this, behind) = (from(0), from(1), from(2));
        let thrice = _mm256_add_epi16(_mm256_add_epi16(this, this), this);
        let even = _mm256_add_epi16(_mm256_add_epi16(thrice, before), _mm256_set1_epi16(EVEN));
        let odd = _mm256_add_epi16(_mm256_add_epi16(thrice, behind), _mm256_set1_epi16(ODD));
        [_mm256_srli_epi16::<SHIFT>(even), _mm256_srli_epi16::<SHIFT>(odd)]
    };
    steps(out, |at| colour::pixels(colour::split(&luma[at]), chroma(&sums[0], at), chroma(&sums[1], at)));
}

/// A row of `width` samples as it is.
#[target_feature(enable = "avx2")]
pub(super) fn widen(row: &[u8], width: usize, sums: &mut Sums) {
    let row = row.as_chunks::<HALF>().0;
    fill(width, sums, |at| wide(&row[at]));
}

/// Three parts of the row that is near, one of that which is far.
#[target_feature(enable = "avx2")]
pub(super) fn weigh(near: &[u8], far: &[u8], width: usize, sums: &mut Sums) {
    let [near, far] = [near, far].map(|row| row.as_chunks::<HALF>().0);
    fill(width, sums, |at| {
        let near = wide(&near[at]);
        _mm256_add_epi16(_mm256_add_epi16(near, near), _mm256_add_epi16(near, wide(&far[at])))
    });
}

#[target_feature(enable = "avx2")]
#[inline]
fn wide(samples: &[u8; HALF]) -> __m256i {
    let samples: __m128i = bytemuck::cast(*samples);
    _mm256_cvtepu8_epi16(samples)
}

#[allow(clippy::inline_always)]
#[inline(always)]
fn fill(width: usize, sums: &mut Sums, step: impl Fn(usize) -> __m256i) {
    for (at, sums) in sums[1..].as_chunks_mut::<HALF>().0.iter_mut().enumerate().take(width.div_ceil(HALF)) {
        *sums = bytemuck::cast(step(at));
    }
    sums[0] = sums[1];
    sums[width + 1] = sums[width];
}

#[cfg(test)]
mod tests {
    use super::*;

    /// libjpeg's triangle: three parts of the nearer, one of the other, the rest rounded down and up in turn.
    fn stretched_slowly(sums: &[u16], roundings: [u16; 2], shift: u32) -> Vec<u8> {
        let last = sums.len() - 1;
        let near = |at: usize| [sums[at.saturating_sub(1)], sums[(at + 1).min(last)]];
        (0..2 * sums.len())
            .map(|at| ((3 * sums[at / 2] + near(at / 2)[at % 2] + roundings[at % 2]) >> shift) as u8)
            .collect()
    }

    #[test]
    fn chroma_is_stretched_as_libjpeg_does_it() {
        if !is_x86_feature_detected!("avx2") {
            return;
        }
        let any = |at: usize, by: usize| (at * at * by / 7 % 256) as u8;
        for narrow in [3_usize, 4, 15, 16, 17, 31, 32, 33, 70] {
            let stride = (2 * narrow).next_multiple_of(STEP);
            let row = |by: usize| (0..stride).map(|at| any(at, by)).collect::<Vec<u8>>();
            let (luma, near, far) = (vec![128; stride], row(11), row(29));
            // Of blue alone, with gray for red: what is seen of it in a gray picture is the sample itself.
            let blue_of = |out: &[u8]| out.chunks(3).map(|pixel| pixel[2]).collect::<Vec<_>>();
            let expected = |blue: Vec<u8>| -> Vec<u8> {
                let part = |blue: u8| (116_130 * (i32::from(blue) - 128) + (1 << 15)) >> 16;
                blue.into_iter().map(|blue| (128 + part(blue)).clamp(0, 255) as u8).collect()
            };
            let wide = |row: &[u8]| row[..narrow].iter().map(|sample| u16::from(*sample)).collect::<Vec<_>>();
            let sums_of_both: Vec<u16> = wide(&near).iter().zip(wide(&far)).map(|(near, far)| 3 * near + far).collect();
            let mut sums = [vec![0; stride + 2], vec![128; stride + 2]];
            let mut out = vec![0; 6 * narrow];
            // SAFETY: the processor was asked whether it has them.
            #[allow(unsafe_code)]
            unsafe {
                widen(&near, narrow, &mut sums[0]);
                across(&luma, &sums, &mut out);
                assert_eq!(blue_of(&out), expected(stretched_slowly(&wide(&near), [1, 2], 2)), "{narrow}");
                sums[1].fill(4 * 128);
                weigh(&near, &far, narrow, &mut sums[0]);
                both_ways(&luma, &sums, &mut out);
            }
            assert_eq!(blue_of(&out), expected(stretched_slowly(&sums_of_both, [8, 7], 4)), "{narrow}");
        }
    }
}
