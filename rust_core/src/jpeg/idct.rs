//! The inverse cosine transform of libjpeg ("islow"): of whole numbers, columns first, exact to the last bit.

use std::arch::x86_64::{
    __m128i, __m256i, _mm256_abs_epi16, _mm256_add_epi16, _mm256_add_epi32, _mm256_castsi256_si128, _mm256_cmpgt_epi16,
    _mm256_extracti128_si256, _mm256_madd_epi16, _mm256_movemask_epi8, _mm256_mullo_epi16, _mm256_or_si256,
    _mm256_packs_epi16, _mm256_packs_epi32, _mm256_permute4x64_epi64, _mm256_set1_epi8, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_srai_epi32, _mm256_sub_epi16, _mm256_sub_epi32, _mm256_unpackhi_epi8,
    _mm256_unpackhi_epi16, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi8, _mm256_unpacklo_epi16,
    _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256,
};

use super::scan::{Blocks, LARGEST};

// Sums and differences of cosines, in 13 bits behind the point.
const F_0_298: i16 = 2446;
const F_0_390: i16 = 3196;
const F_0_541: i16 = 4433;
const F_0_765: i16 = 6270;
const F_0_899: i16 = 7373;
const F_1_175: i16 = 9633;
const F_1_501: i16 = 12299;
const F_1_847: i16 = 15137;
const F_1_961: i16 = 16069;
const F_2_053: i16 = 16819;
const F_2_562: i16 = 20995;
const F_3_072: i16 = 25172;

/// What the coefficients of two blocks are multiplied by, and how large they may be.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    factors: Blocks,
    most: Blocks,
}

impl Default for Scale {
    fn default() -> Self {
        Self { factors: [0; 128], most: [0; 128] }
    }
}

impl Scale {
    /// Of the first block or the second.
    pub(super) fn set(&mut self, side: usize, factors: &[u8; 64]) {
        for (at, factor) in factors.iter().enumerate() {
            let (place, factor) = (at / 8 * 16 + 8 * side + at % 8, i16::from(*factor));
            (self.factors[place], self.most[place]) = (factor, LARGEST / factor.max(1));
        }
    }
}

/// Whether there was a coefficient larger than it may be.
pub(super) struct Overflow(__m256i);

impl Overflow {
    #[target_feature(enable = "avx2")]
    pub(super) fn new() -> Self {
        Self(_mm256_setzero_si256())
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn happened(&self) -> bool {
        _mm256_movemask_epi8(self.0) != 0
    }
}

/// The samples of two blocks: eight rows of eight and eight.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn samples(blocks: &Blocks, scale: &Scale, overflow: &mut Overflow) -> [__m128i; 8] {
    let [mut rows, factors, most]: [[__m256i; 8]; 3] = bytemuck::cast([*blocks, scale.factors, scale.most]);
    for ((row, factors), most) in rows.iter_mut().zip(factors).zip(most) {
        overflow.0 = _mm256_or_si256(overflow.0, _mm256_cmpgt_epi16(_mm256_abs_epi16(*row), most));
        *row = _mm256_mullo_epi16(*row, factors);
    }
    bytes(pass::<18>(transposed(pass::<11>(rows))))
}

/// Pairs of numbers times two factors, summed.
#[target_feature(enable = "avx2")]
#[inline]
fn both(numbers: [__m256i; 2], one: i16, other: i16) -> [__m256i; 2] {
    let factors = bytemuck::cast([[one, other]; 8]);
    [_mm256_madd_epi16(numbers[0], factors), _mm256_madd_epi16(numbers[1], factors)]
}

#[target_feature(enable = "avx2")]
#[inline]
fn pairs(one: __m256i, other: __m256i) -> [__m256i; 2] {
    [_mm256_unpacklo_epi16(one, other), _mm256_unpackhi_epi16(one, other)]
}

#[target_feature(enable = "avx2")]
#[inline]
fn add(one: [__m256i; 2], other: [__m256i; 2]) -> [__m256i; 2] {
    [_mm256_add_epi32(one[0], other[0]), _mm256_add_epi32(one[1], other[1])]
}

#[target_feature(enable = "avx2")]
#[inline]
fn sub(one: [__m256i; 2], other: [__m256i; 2]) -> [__m256i; 2] {
    [_mm256_sub_epi32(one[0], other[0]), _mm256_sub_epi32(one[1], other[1])]
}

/// One pass over eight columns of each block, with the results rounded by so many bits.
#[target_feature(enable = "avx2")]
#[inline]
fn pass<const SHIFT: i32>(x: [__m256i; 8]) -> [__m256i; 8] {
    let rounding = _mm256_set1_epi32(1 << (SHIFT - 1));
    let scaled = |sum: __m256i| {
        let [low, high] = pairs(_mm256_setzero_si256(), sum);
        [
            _mm256_add_epi32(_mm256_srai_epi32::<3>(low), rounding),
            _mm256_add_epi32(_mm256_srai_epi32::<3>(high), rounding),
        ]
    };
    let even = pairs(x[2], x[6]);
    let tmp2 = both(even, F_0_541, F_0_541 - F_1_847);
    let tmp3 = both(even, F_0_541 + F_0_765, F_0_541);
    let tmp0 = scaled(_mm256_add_epi16(x[0], x[4]));
    let tmp1 = scaled(_mm256_sub_epi16(x[0], x[4]));
    let evens = [add(tmp0, tmp3), add(tmp1, tmp2), sub(tmp1, tmp2), sub(tmp0, tmp3)];

    let sums = pairs(_mm256_add_epi16(x[7], x[3]), _mm256_add_epi16(x[5], x[1]));
    let z3 = both(sums, F_1_175 - F_1_961, F_1_175);
    let z4 = both(sums, F_1_175, F_1_175 - F_0_390);
    let outer = pairs(x[7], x[1]);
    let inner = pairs(x[5], x[3]);
    let odds = [
        add(both(outer, -F_0_899, F_1_501 - F_0_899), z4),
        add(both(inner, -F_2_562, F_3_072 - F_2_562), z3),
        add(both(inner, F_2_053 - F_2_562, -F_2_562), z4),
        add(both(outer, F_0_298 - F_0_899, -F_0_899), z3),
    ];
    let round = |[low, high]: [__m256i; 2]| {
        _mm256_packs_epi32(_mm256_srai_epi32::<SHIFT>(low), _mm256_srai_epi32::<SHIFT>(high))
    };
    [
        round(add(evens[0], odds[0])),
        round(add(evens[1], odds[1])),
        round(add(evens[2], odds[2])),
        round(add(evens[3], odds[3])),
        round(sub(evens[3], odds[3])),
        round(sub(evens[2], odds[2])),
        round(sub(evens[1], odds[1])),
        round(sub(evens[0], odds[0])),
    ]
}

/// Rows become columns, in each block.
#[target_feature(enable = "avx2")]
#[inline]
fn transposed(x: [__m256i; 8]) -> [__m256i; 8] {
    let low = |one: usize| _mm256_unpacklo_epi16(x[one], x[one + 1]);
    let high = |one: usize| _mm256_unpackhi_epi16(x[one], x[one + 1]);
    let y = [low(0), low(2), low(4), low(6), high(0), high(2), high(4), high(6)];
    let low = |one: usize| _mm256_unpacklo_epi32(y[one], y[one + 1]);
    let high = |one: usize| _mm256_unpackhi_epi32(y[one], y[one + 1]);
    let z = [low(0), low(2), high(0), high(2), low(4), low(6), high(4), high(6)];
    let low = |one: usize| _mm256_unpacklo_epi64(z[one], z[one + 1]);
    let high = |one: usize| _mm256_unpackhi_epi64(z[one], z[one + 1]);
    [low(0), high(0), low(2), high(2), low(4), high(4), low(6), high(6)]
}

/// Columns of numbers around zero become rows of bytes around 128.
#[target_feature(enable = "avx2")]
#[inline]
fn bytes(x: [__m256i; 8]) -> [__m128i; 8] {
    let pack = |at: usize| _mm256_packs_epi16(x[at], x[at + 1]);
    let p = [pack(0), pack(2), pack(4), pack(6)];
    let zip = |one: __m256i, other: __m256i| [_mm256_unpacklo_epi8(one, other), _mm256_unpackhi_epi8(one, other)];
    let [[c04, c15], [c26, c37]] = [zip(p[0], p[2]), zip(p[1], p[3])];
    let [[even_low, even_high], [odd_low, odd_high]] = [zip(c04, c26), zip(c15, c37)];
    let [[r01, r23], [r45, r67]] = [zip(even_low, odd_low), zip(even_high, odd_high)];
    let beside =
        |rows: __m256i| _mm256_xor_si256(_mm256_permute4x64_epi64::<0b11_01_10_00>(rows), _mm256_set1_epi8(-128));
    let (r01, r23, r45, r67) = (beside(r01), beside(r23), beside(r45), beside(r67));
    let first = |rows: __m256i| _mm256_castsi256_si128(rows);
    let second = |rows: __m256i| _mm256_extracti128_si256::<1>(rows);
    [first(r01), second(r01), first(r23), second(r23), first(r45), second(r45), first(r67), second(r67)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One pass over eight numbers, as libjpeg writes it.
    fn pass_of_libjpeg(x: [i64; 8], shift: u32) -> [i64; 8] {
        let z1 = (x[2] + x[6]) * i64::from(F_0_541);
        let (t2, t3) = (z1 - x[6] * i64::from(F_1_847), z1 + x[2] * i64::from(F_0_765));
        let (t0, t1) = ((x[0] + x[4]) << 13, (x[0] - x[4]) << 13);
        let even = [t0 + t3, t1 + t2, t1 - t2, t0 - t3];
        let z5 = (x[7] + x[3] + x[5] + x[1]) * i64::from(F_1_175);
        let (z1, z2) = (-(x[7] + x[1]) * i64::from(F_0_899), -(x[5] + x[3]) * i64::from(F_2_562));
        let z3 = z5 - (x[7] + x[3]) * i64::from(F_1_961);
        let z4 = z5 - (x[5] + x[1]) * i64::from(F_0_390);
        let odd = [
            x[1] * i64::from(F_1_501) + z1 + z4,
            x[3] * i64::from(F_3_072) + z2 + z3,
            x[5] * i64::from(F_2_053) + z2 + z4,
            x[7] * i64::from(F_0_298) + z1 + z3,
        ];
        std::array::from_fn(|at| {
            let sum = if at < 4 { even[at] + odd[at] } else { even[7 - at] - odd[7 - at] };
            (sum + (1 << (shift - 1))) >> shift
        })
    }

    fn samples_of_libjpeg(block: &[[i64; 8]; 8]) -> [[u8; 8]; 8] {
        let columns: [[i64; 8]; 8] =
            std::array::from_fn(|column| pass_of_libjpeg(std::array::from_fn(|row| block[row][column]), 11));
        std::array::from_fn(|row| {
            let samples = pass_of_libjpeg(std::array::from_fn(|column| columns[column][row]), 18);
            samples.map(|sample| (sample + 128).clamp(0, 255) as u8)
        })
    }

    #[test]
    fn samples_are_those_of_libjpeg() {
        if !is_x86_feature_detected!("avx2") {
            return;
        }
        let mut chance = 1_u64;
        let mut any = |most: i64| {
            chance = chance.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (chance >> 33) as i64 % (2 * most + 1) - most
        };
        for round in 0..2000 {
            // From a few small coefficients to as many and as large as samples can be after.
            let (most, upto) = (1 << (round % 9), 1 + round % 64);
            let mut blocks = [[[0_i64; 8]; 8]; 2];
            for block in &mut blocks {
                for at in 0..upto {
                    block[at / 8][at % 8] = any(most);
                }
            }
            let factors: [u8; 64] = std::array::from_fn(|at| 1 + (at * round % 3) as u8);
            let mut scale = Scale::default();
            scale.set(0, &factors);
            scale.set(1, &[1; 64]);
            let quantised: Blocks = std::array::from_fn(|at| blocks[at / 8 % 2][at / 16][at % 8] as i16);
            for (at, factor) in factors.iter().enumerate() {
                blocks[0][at / 8][at % 8] *= i64::from(*factor);
            }
            // SAFETY: the processor was asked whether it has them.
            #[allow(unsafe_code)]
            let (found, happened) = unsafe {
                let mut overflow = Overflow::new();
                (samples(&quantised, &scale, &mut overflow), overflow.happened())
            };
            let found: [[[u8; 8]; 2]; 8] = bytemuck::cast(found);
            for (side, block) in blocks.iter().enumerate() {
                assert_eq!(found.map(|row| row[side]), samples_of_libjpeg(block), "{round}");
            }
            assert!(!happened);
        }
    }

    #[test]
    fn what_is_too_large_is_noticed() {
        if !is_x86_feature_detected!("avx2") {
            return;
        }
        let mut scale = Scale::default();
        scale.set(0, &[100; 64]);
        scale.set(1, &[255; 64]);
        for (place, value, expected) in
            [(3, 20, false), (3, -20, false), (3, 21, true), (16, -21, true), (127, 9, true)]
        {
            let mut blocks = [0; 128];
            blocks[place] = value;
            // SAFETY: the processor was asked whether it has them.
            #[allow(unsafe_code)]
            let happened = unsafe {
                let mut overflow = Overflow::new();
                samples(&blocks, &scale, &mut overflow);
                overflow.happened()
            };
            assert_eq!(happened, expected, "{value} at {place}");
        }
    }
}
