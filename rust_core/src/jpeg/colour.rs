//! Samples of luma and of two chromas become pixels, 32 at a time: those at even places, and those at odd ones.

use std::arch::x86_64::{
    __m256i, _mm256_add_epi16, _mm256_add_epi32, _mm256_and_si256, _mm256_madd_epi16, _mm256_mulhrs_epi16,
    _mm256_or_si256, _mm256_packs_epi32, _mm256_packus_epi16, _mm256_permute2x128_si256, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm256_shuffle_epi8, _mm256_srai_epi32, _mm256_srli_epi16, _mm256_sub_epi16,
    _mm256_unpackhi_epi16, _mm256_unpacklo_epi16,
};

/// Pixels done at once.
pub(super) const STEP: usize = 32;

/// 16 numbers of pixels at even places, and 16 of those at odd ones.
pub(super) type Both = [__m256i; 2];

#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn split(bytes: &[u8; STEP]) -> Both {
    let bytes: __m256i = bytemuck::cast(*bytes);
    [_mm256_and_si256(bytes, _mm256_set1_epi16(0xff)), _mm256_srli_epi16::<8>(bytes)]
}

/// Bytes of red, green and blue.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn pixels(luma: Both, blue: Both, red: Both) -> [u8; 3 * STEP] {
    let [even, odd] = [rgb(luma[0], blue[0], red[0]), rgb(luma[1], blue[1], red[1])];
    let layer = |at: usize| _mm256_packus_epi16(even[at], odd[at]);
    mixed([layer(0), layer(1), layer(2)])
}

/// The same where there is nothing but luma.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn gray(luma: Both) -> [u8; 3 * STEP] {
    mixed([_mm256_packus_epi16(luma[0], luma[1]); 3])
}

/// What libjpeg computes in 16 bits behind the point: R = Y + 1.402 Cr, G = Y - 0.34414 Cb - 0.71414 Cr, B = Y + 1.772 Cb.
#[target_feature(enable = "avx2")]
#[inline]
fn rgb(luma: __m256i, blue: __m256i, red: __m256i) -> [__m256i; 3] {
    let all = |number: i16| _mm256_set1_epi16(number);
    let (blue, red) = (_mm256_sub_epi16(blue, all(128)), _mm256_sub_epi16(red, all(128)));
    let factors = bytemuck::cast([[-11277_i16, 9367]; 8]);
    let half = |pairs: __m256i| {
        let sum = _mm256_add_epi32(_mm256_madd_epi16(pairs, factors), _mm256_set1_epi32(1 << 14));
        _mm256_srai_epi32::<15>(sum)
    };
    let green = _mm256_packs_epi32(half(_mm256_unpacklo_epi16(blue, red)), half(_mm256_unpackhi_epi16(blue, red)));
    let (luma_red, twice) = (_mm256_add_epi16(luma, red), _mm256_add_epi16(blue, blue));
    [
        _mm256_add_epi16(luma_red, _mm256_mulhrs_epi16(red, all(13173))),
        _mm256_add_epi16(_mm256_sub_epi16(luma, red), green),
        _mm256_add_epi16(_mm256_add_epi16(luma, twice), _mm256_mulhrs_epi16(blue, all(-7471))),
    ]
}

/// From which byte of its layer each byte of 16 pixels comes, for each third of them and each layer.
const FROM: [[[u8; 32]; 3]; 3] = {
    let mut from = [[[0x80; 32]; 3]; 3];
    let mut at = 0;
    while at < 48 {
        let pixel = at / 3;
        let place = (pixel >> 1) + 8 * (pixel & 1);
        from[at / 16][at % 3][at % 16] = place as u8;
        from[at / 16][at % 3][at % 16 + 16] = place as u8;
        at += 1;
    }
    from
};

/// Layers of even pixels and odd ones, eight after eight, become pixels.
#[target_feature(enable = "avx2")]
#[inline]
fn mixed(layers: [__m256i; 3]) -> [u8; 3 * STEP] {
    let third = |from: &[[u8; 32]; 3]| {
        let part = |layer: usize| _mm256_shuffle_epi8(layers[layer], bytemuck::cast(from[layer]));
        _mm256_or_si256(_mm256_or_si256(part(0), part(1)), part(2))
    };
    let [a, b, c] = [third(&FROM[0]), third(&FROM[1]), third(&FROM[2])];
    bytemuck::cast([
        _mm256_permute2x128_si256::<0x20>(a, b),
        _mm256_permute2x128_si256::<0x30>(c, a),
        _mm256_permute2x128_si256::<0x31>(b, c),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As libjpeg's tables have it, with 16 bits behind the point.
    fn pixel(luma: u8, blue: u8, red: u8) -> [u8; 3] {
        let (blue, red) = (i32::from(blue) - 128, i32::from(red) - 128);
        let half = 1 << 15;
        let parts =
            [(91_881 * red + half) >> 16, (-22_554 * blue - 46_802 * red + half) >> 16, (116_130 * blue + half) >> 16];
        parts.map(|part| (i32::from(luma) + part).clamp(0, 255) as u8)
    }

    #[test]
    fn every_colour_is_that_of_libjpeg() {
        if !is_x86_feature_detected!("avx2") {
            return;
        }
        for blue in 0..=255_u8 {
            for red in 0..=255_u8 {
                let luma: [u8; STEP] = std::array::from_fn(|at| (at * 8 + at / 4) as u8);
                // SAFETY: the processor was asked whether it has them.
                #[allow(unsafe_code)]
                let found = unsafe { pixels(split(&luma), split(&[blue; STEP]), split(&[red; STEP])) };
                let expected: Vec<u8> = luma.iter().flat_map(|luma| pixel(*luma, blue, red)).collect();
                assert_eq!(found.as_slice(), expected, "{blue} {red}");
            }
        }
    }
}
