//! BLAKE3's compression of sixteen chunks at once in registers of 512 bits, where each chunk has a length of its own.

use std::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_cmpgt_epi32_mask, _mm512_cmple_epi32_mask, _mm512_mask_mov_epi32,
    _mm512_mask_or_epi32, _mm512_min_epi32, _mm512_ror_epi32, _mm512_set1_epi32, _mm512_setzero_si512,
    _mm512_shuffle_i32x4, _mm512_sub_epi32, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32,
    _mm512_unpacklo_epi64, _mm512_xor_si512,
};

use blake3::BLOCK_LEN;

use super::{CHUNK_START, Chunk, DERIVE_KEY_MATERIAL, LANES, Words};

/// The words that stand for nothing up the sleeve (section 2.2), the first half of them.
const IV: [u32; 4] = [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a];
/// Which word of the message is taken next in each round (section 2.2, table 2 applied again and again).
const ORDER: [[usize; 16]; 7] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8],
    [3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1],
    [10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6],
    [12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4],
    [9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7],
    [11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13],
];

pub(super) fn is_here() -> bool {
    is_x86_feature_detected!("avx512f")
}

/// The chaining values of chunks, whose blocks these are. A lane that is done keeps its value while others go on.
#[target_feature(enable = "avx512f")]
pub(super) fn chain(key: &Words, blocks: &[[u8; BLOCK_LEN]], chunks: &[Chunk; LANES]) -> [Words; LANES] {
    let mut lanes: [&[[u8; BLOCK_LEN]]; LANES] = [&[]; LANES];
    let [mut counters, mut lengths, mut last_flags] = [[0; LANES]; 3];
    for (lane, chunk) in chunks.iter().enumerate() {
        lanes[lane] = chunk.blocks(blocks);
        counters[lane] = chunk.counter;
        lengths[lane] = chunk.length as u32;
        last_flags[lane] = u32::from(chunk.last_flags());
    }
    let [counters, lengths, last_flags] = [counters, lengths, last_flags].map(bytemuck::cast::<_, __m512i>);
    let num_steps = lanes.iter().map(|lane| lane.len()).max().unwrap_or(0);
    let mut values = [_mm512_setzero_si512(); 8];
    for (value, word) in values.iter_mut().zip(key) {
        *value = all(*word);
    }
    for step in 0..num_steps {
        let mut message = [_mm512_setzero_si512(); 16];
        for (row, lane) in message.iter_mut().zip(&lanes) {
            *row = bytemuck::cast(*lane.get(step).unwrap_or(&[0; BLOCK_LEN]));
        }
        let message = turned(&message);
        let left = _mm512_sub_epi32(lengths, all((step * BLOCK_LEN) as u32));
        let flags = all(u32::from(DERIVE_KEY_MATERIAL | if step == 0 { CHUNK_START } else { 0 }));
        let is_last = _mm512_cmple_epi32_mask(left, all(BLOCK_LEN as u32));
        let flags = _mm512_mask_or_epi32(flags, is_last, flags, last_flags);
        let length = _mm512_min_epi32(left, all(BLOCK_LEN as u32));
        let found = compress(&values, &message, [counters, length, flags]);
        // The first block of an empty message is one as well.
        let goes_on = if step == 0 { u16::MAX } else { _mm512_cmpgt_epi32_mask(left, all(0)) };
        for (value, found) in values.iter_mut().zip(found) {
            *value = _mm512_mask_mov_epi32(*value, goes_on, found);
        }
    }
    let mut by_lane = [Words::default(); LANES];
    for (word, value) in values.into_iter().enumerate() {
        let of_lanes: [u32; LANES] = bytemuck::cast(value);
        for (lane, value) in by_lane.iter_mut().zip(of_lanes) {
            lane[word] = value;
        }
    }
    by_lane
}

#[target_feature(enable = "avx512f")]
#[inline]
fn all(number: u32) -> __m512i {
    _mm512_set1_epi32(number as i32)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn compress(values: &[__m512i; 8], message: &[__m512i; 16], [counters, length, flags]: [__m512i; 3]) -> [__m512i; 8] {
    let mut v = [_mm512_setzero_si512(); 16];
    v[..8].copy_from_slice(values);
    for (place, word) in v[8..12].iter_mut().zip(IV) {
        *place = all(word);
    }
    // A counter has two words, the second of which is for messages that no memory holds.
    v[12..].copy_from_slice(&[counters, all(0), length, flags]);
    round::<0>(&mut v, message);
    round::<1>(&mut v, message);
    round::<2>(&mut v, message);
    round::<3>(&mut v, message);
    round::<4>(&mut v, message);
    round::<5>(&mut v, message);
    round::<6>(&mut v, message);
    let mut found = [_mm512_setzero_si512(); 8];
    for (word, found) in found.iter_mut().enumerate() {
        *found = _mm512_xor_si512(v[word], v[word + 8]);
    }
    found
}

#[target_feature(enable = "avx512f")]
#[inline]
fn round<const ROUND: usize>(v: &mut [__m512i; 16], message: &[__m512i; 16]) {
    let order = &ORDER[ROUND];
    for (column, words) in order[..8].as_chunks().0.iter().enumerate() {
        mix(v, [column, column + 4, column + 8, column + 12], message, words);
    }
    for (column, words) in order[8..].as_chunks().0.iter().enumerate() {
        mix(v, [column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4], message, words);
    }
}

/// The function G, by the names of the specification.
#[allow(clippy::many_single_char_names)]
#[target_feature(enable = "avx512f")]
#[inline]
fn mix(v: &mut [__m512i; 16], [a, b, c, d]: [usize; 4], message: &[__m512i; 16], [x, y]: &[usize; 2]) {
    v[a] = _mm512_add_epi32(_mm512_add_epi32(v[a], message[*x]), v[b]);
    v[d] = _mm512_ror_epi32::<16>(_mm512_xor_si512(v[d], v[a]));
    v[c] = _mm512_add_epi32(v[c], v[d]);
    v[b] = _mm512_ror_epi32::<12>(_mm512_xor_si512(v[b], v[c]));
    v[a] = _mm512_add_epi32(_mm512_add_epi32(v[a], message[*y]), v[b]);
    v[d] = _mm512_ror_epi32::<8>(_mm512_xor_si512(v[d], v[a]));
    v[c] = _mm512_add_epi32(v[c], v[d]);
    v[b] = _mm512_ror_epi32::<7>(_mm512_xor_si512(v[b], v[c]));
}

/// Rows as columns: word `i` of each of them.
#[target_feature(enable = "avx512f")]
#[inline]
fn turned(rows: &[__m512i; 16]) -> [__m512i; 16] {
    let zero = _mm512_setzero_si512();
    // Of four rows each, in each quarter of a register one word of all four.
    let mut fours = [zero; 16];
    for (rows, fours) in rows.as_chunks::<4>().0.iter().zip(fours.as_chunks_mut::<4>().0) {
        let low = [_mm512_unpacklo_epi32(rows[0], rows[1]), _mm512_unpacklo_epi32(rows[2], rows[3])];
        let high = [_mm512_unpackhi_epi32(rows[0], rows[1]), _mm512_unpackhi_epi32(rows[2], rows[3])];
        *fours = [
            _mm512_unpacklo_epi64(low[0], low[1]),
            _mm512_unpackhi_epi64(low[0], low[1]),
            _mm512_unpacklo_epi64(high[0], high[1]),
            _mm512_unpackhi_epi64(high[0], high[1]),
        ];
    }
    let mut columns = [zero; 16];
    for word in 0..4 {
        let [a, b, c, d] = [fours[word], fours[word + 4], fours[word + 8], fours[word + 12]];
        let even = [_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0x88>(c, d)];
        let odd = [_mm512_shuffle_i32x4::<0xdd>(a, b), _mm512_shuffle_i32x4::<0xdd>(c, d)];
        columns[word] = _mm512_shuffle_i32x4::<0x88>(even[0], even[1]);
        columns[word + 4] = _mm512_shuffle_i32x4::<0x88>(odd[0], odd[1]);
        columns[word + 8] = _mm512_shuffle_i32x4::<0xdd>(even[0], even[1]);
        columns[word + 12] = _mm512_shuffle_i32x4::<0xdd>(odd[0], odd[1]);
    }
    columns
}
