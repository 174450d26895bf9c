//! Classes of bytes, 64 at a time, by the widest registers that the processor has.

use wide::u8x16;

/// As many bytes as a mask has bits.
pub(crate) const BLOCK: usize = u64::BITS as usize;

/// What is done block by block. It has to be compiled again for wide registers, and so has what it calls: all of it is
/// `inline(always)`.
pub(crate) trait Work {
    type Done;

    fn by(self, masks: impl Fn(&[u8; BLOCK]) -> Masks) -> Self::Done;
}

pub(crate) fn run<W: Work>(work: W) -> W::Done {
    run_within(usize::MAX, work)
}

/// With registers of so many bytes at most.
fn run_within<W: Work>(most: usize, work: W) -> W::Done {
    #[cfg(target_arch = "x86_64")]
    if most >= 32
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt")
    {
        let widest = most >= 64 && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        // SAFETY: the processor was asked whether it has them.
        #[allow(unsafe_code)]
        return unsafe { if widest { run_widest(work) } else { run_wide(work) } };
    }
    work.by(Masks::of)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn run_wide<W: Work>(work: W) -> W::Done {
    work.by(|bytes| Masks::of_wide(bytes))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx2,bmi1,bmi2,lzcnt,popcnt")]
fn run_widest<W: Work>(work: W) -> W::Done {
    work.by(|bytes| Masks::of_widest(bytes))
}

/// Asks for memory that is read soon. The processor does so by itself, but not beyond a page.
#[inline]
pub(crate) fn ask_for(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: this is a hint and reads nothing, wherever the place is; every processor of this kind has it.
        #[allow(unsafe_code)]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(place.cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Bit `i` of a mask says whether byte `i` is of its class.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Masks {
    pub(crate) letters: u64,
    pub(crate) digits: u64,
    pub(crate) spaces: u64,
    pub(crate) breaks: u64,
    /// What a JSON string cannot hold as it is: quotes, backslashes and control characters.
    pub(crate) ends: u64,
    pub(crate) angles: u64,
    pub(crate) beyond_ascii: u64,
}

impl Masks {
    fn of(bytes: &[u8; BLOCK]) -> Self {
        let mut masks = Self::default();
        for (lane, bytes) in bytes.as_chunks::<16>().0.iter().enumerate() {
            let bytes = u8x16::from(*bytes);
            let all = u8x16::splat;
            let mask = |lanes: u8x16| u64::from(lanes.to_bitmask()) << (16 * lane);
            let within = |from: u8, to: u8, bytes: u8x16| {
                let above = bytes - all(from);
                above.min(all(to - from)).simd_eq(above)
            };
            masks.letters |= mask(within(b'a', b'z', bytes | all(0x20)));
            masks.digits |= mask(within(b'0', b'9', bytes));
            masks.spaces |= mask(within(b'\t', b'\r', bytes) | bytes.simd_eq(all(b' ')));
            masks.breaks |= mask(bytes.simd_eq(all(b'\n')));
            let quotes = bytes.simd_eq(all(b'"')) | bytes.simd_eq(all(b'\\'));
            masks.ends |= mask(quotes | within(0, 0x1f, bytes));
            masks.angles |= mask(bytes.simd_eq(all(b'<')));
            masks.beyond_ascii |= mask(bytes);
        }
        masks
    }

    /// The same, in fewer steps.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    #[inline]
    fn of_wide(bytes: &[u8; BLOCK]) -> Self {
        use std::arch::x86_64::{
            __m256i, _mm256_add_epi8, _mm256_cmpeq_epi8, _mm256_cmpgt_epi8, _mm256_movemask_epi8, _mm256_or_si256,
            _mm256_set1_epi8,
        };

        let halves: [__m256i; 2] = bytemuck::cast(*bytes);
        let all = |byte: u8| _mm256_set1_epi8(byte as i8);
        let is = |byte: u8, bytes: __m256i| _mm256_cmpeq_epi8(bytes, all(byte));
        // Moved to the end of what a signed byte can be, the last is the largest and what follows it negative.
        let within = |from: u8, to: u8, bytes: __m256i| {
            _mm256_cmpgt_epi8(_mm256_add_epi8(bytes, all(127 - to)), all(126 - (to - from)))
        };
        let mut masks = Self::default();
        for (lane, bytes) in halves.into_iter().enumerate() {
            let mask = |lanes: __m256i| u64::from(_mm256_movemask_epi8(lanes) as u32) << (32 * lane);
            masks.letters |= mask(within(b'a', b'z', _mm256_or_si256(bytes, all(0x20))));
            masks.digits |= mask(within(b'0', b'9', bytes));
            masks.spaces |= mask(_mm256_or_si256(within(b'\t', b'\r', bytes), is(b' ', bytes)));
            masks.breaks |= mask(is(b'\n', bytes));
            let quotes = _mm256_or_si256(is(b'"', bytes), is(b'\\', bytes));
            masks.ends |= mask(_mm256_or_si256(quotes, within(0, 0x1f, bytes)));
            masks.angles |= mask(is(b'<', bytes));
            masks.beyond_ascii |= mask(bytes);
        }
        masks
    }

    /// The same, all at once.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn of_widest(bytes: &[u8; BLOCK]) -> Self {
        use std::arch::x86_64::{
            __m256i, __m512i, _mm512_castsi256_si512, _mm512_cmpeq_epi8_mask, _mm512_cmple_epu8_mask,
            _mm512_inserti64x4, _mm512_movepi8_mask, _mm512_or_si512, _mm512_set1_epi8, _mm512_sub_epi8,
        };

        let [low, high]: [__m256i; 2] = bytemuck::cast(*bytes);
        let bytes = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high);
        let all = |byte: u8| _mm512_set1_epi8(byte as i8);
        let is = |byte: u8| _mm512_cmpeq_epi8_mask(bytes, all(byte));
        let within = |from: u8, to: u8, bytes: __m512i| {
            _mm512_cmple_epu8_mask(_mm512_sub_epi8(bytes, all(from)), all(to - from))
        };
        Self {
            letters: within(b'a', b'z', _mm512_or_si512(bytes, all(0x20))),
            digits: within(b'0', b'9', bytes),
            spaces: within(b'\t', b'\r', bytes) | is(b' '),
            breaks: is(b'\n'),
            ends: is(b'"') | is(b'\\') | within(0, 0x1f, bytes),
            angles: is(b'<'),
            beyond_ascii: _mm512_movepi8_mask(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_has_the_bits_of_its_class() {
        struct Masked<'w>(&'w [u8; BLOCK]);
        impl Work for Masked<'_> {
            type Done = Masks;
            fn by(self, masks: impl Fn(&[u8; BLOCK]) -> Masks) -> Masks {
                masks(self.0)
            }
        }
        for first in 0..=255_u8 {
            let bytes: [u8; BLOCK] = std::array::from_fn(|at| first.wrapping_add((at * at) as u8));
            let mask = |is: fn(u8) -> bool| {
                bytes.iter().enumerate().fold(0, |mask, (at, byte)| mask | u64::from(is(*byte)) << at)
            };
            let expected = Masks {
                letters: mask(|byte| byte.is_ascii_alphabetic()),
                digits: mask(|byte| byte.is_ascii_digit()),
                spaces: mask(|byte| matches!(byte, b'\t'..=b'\r' | b' ')),
                breaks: mask(|byte| byte == b'\n'),
                angles: mask(|byte| byte == b'<'),
                ends: mask(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)),
                beyond_ascii: mask(|byte| !byte.is_ascii()),
            };
            for most in [16, 32, 64] {
                assert_eq!(run_within(most, Masked(&bytes)), expected, "{most}");
            }
        }
    }
}
