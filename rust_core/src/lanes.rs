//! BLAKE3 of many short messages at once.
//!
//! BLAKE3 is fast where it has 1,024 bytes for each lane of a register; a message of a kilobyte leaves all lanes but one
//! idle. Here the lanes take chunks of different messages: chunks with the same place in their message and of the same
//! number of blocks go together, all but their last blocks, which differ in length. The widest registers have an own way
//! that takes chunks of any length together.

use blake3::platform::Platform;
use blake3::{BLOCK_LEN, CHUNK_LEN, IncrementCounter, OUT_LEN};
use smallvec::SmallVec;

#[cfg(target_arch = "x86_64")]
mod widest;

/// The flags of the specification (section 2.2).
const CHUNK_START: u8 = 1;
const CHUNK_END: u8 = 1 << 1;
const PARENT: u8 = 1 << 2;
const ROOT: u8 = 1 << 3;
const DERIVE_KEY_MATERIAL: u8 = 1 << 6;

/// As many as the widest registers have.
const LANES: usize = 16;
const BLOCKS: usize = CHUNK_LEN / BLOCK_LEN;
/// A batch has fewer chunks than this many bits can number.
const AT_BITS: u32 = 32;

type Words = [u32; 8];

type Prefix = fn(&Lanes, &[Chunk], &mut [u8]);

/// The chaining values of the first `N` bytes of chunks, by the number of blocks in them.
const PREFIXES: [Prefix; BLOCKS + 1] = [
    Lanes::prefix::<0>,
    Lanes::prefix::<64>,
    Lanes::prefix::<128>,
    Lanes::prefix::<192>,
    Lanes::prefix::<256>,
    Lanes::prefix::<320>,
    Lanes::prefix::<384>,
    Lanes::prefix::<448>,
    Lanes::prefix::<512>,
    Lanes::prefix::<576>,
    Lanes::prefix::<640>,
    Lanes::prefix::<704>,
    Lanes::prefix::<768>,
    Lanes::prefix::<832>,
    Lanes::prefix::<896>,
    Lanes::prefix::<960>,
    Lanes::prefix::<CHUNK_LEN>,
];

/// A BLAKE3 key derivation of messages that are collected first.
#[derive(Debug)]
pub(crate) struct Lanes {
    platform: Platform,
    is_widest: bool,
    key: Words,
    /// Of each message in a row, zeros behind it up to a whole block.
    bytes: Vec<u8>,
    chunks: Vec<Chunk>,
}

#[derive(Debug, Clone, Copy)]
struct Chunk {
    message: u32,
    /// The place in its message.
    counter: u32,
    start: usize,
    length: usize,
    is_last: bool,
}

impl Chunk {
    /// How many blocks stand before the last one; all of a whole chunk that has others beside it, whose last block is
    /// like that of any other.
    fn num_before(&self) -> usize {
        if self.length == CHUNK_LEN && !self.is_alone() {
            return BLOCKS;
        }
        self.length.saturating_sub(1) / BLOCK_LEN
    }

    fn is_alone(&self) -> bool {
        self.counter == 0 && self.is_last
    }

    fn num_blocks(&self) -> usize {
        self.length.div_ceil(BLOCK_LEN).max(1)
    }

    fn blocks<'b>(&self, blocks: &'b [[u8; BLOCK_LEN]]) -> &'b [[u8; BLOCK_LEN]] {
        &blocks[self.start / BLOCK_LEN..][..self.num_blocks()]
    }

    /// What is special about the last block.
    fn last_flags(&self) -> u8 {
        CHUNK_END | if self.is_alone() { ROOT } else { 0 }
    }

    /// What must be the same in all lanes.
    fn lane_key(&self) -> u64 {
        u64::from(self.counter) * 2 * BLOCKS as u64 + self.num_before() as u64
    }
}

impl Lanes {
    /// `context` is that of [`blake3::Hasher::new_derive_key`].
    pub(crate) fn new(context: &str) -> Self {
        let key = words(&blake3::hazmat::hash_derive_key_context(context));
        #[cfg(target_arch = "x86_64")]
        let is_widest = widest::is_here();
        #[cfg(not(target_arch = "x86_64"))]
        let is_widest = false;
        Self { platform: Platform::detect(), is_widest, key, bytes: Vec::new(), chunks: Vec::new() }
    }

    /// Takes the message of this number, which no other has: what `write` adds to the bytes.
    pub(crate) fn add(&mut self, message: u32, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        let length = self.bytes.len() - start;
        let num_chunks = length.div_ceil(CHUNK_LEN).max(1);
        for counter in 0..num_chunks {
            let before = counter * CHUNK_LEN;
            self.chunks.push(Chunk {
                message,
                counter: counter as u32,
                start: start + before,
                length: (length - before).min(CHUNK_LEN),
                is_last: counter + 1 == num_chunks,
            });
        }
        let end = start + length.next_multiple_of(BLOCK_LEN).max(BLOCK_LEN);
        self.bytes.resize(end, 0);
    }

    /// Hands over the number and the digest of each message, in the order in which they were taken, and forgets them.
    pub(crate) fn finish(&mut self, mut found: impl FnMut(u32, [u8; OUT_LEN])) {
        let values = self.chained();
        let messages = || {
            let mut rest = values.as_slice();
            self.chunks.chunk_by(|one, other| one.message == other.message).map(move |message| {
                let (of_message, behind) = rest.split_at(message.len());
                rest = behind;
                (message[0].message, of_message)
            })
        };
        let pairs: Vec<[Words; 2]> = messages().filter_map(|(_, values)| values.try_into().ok()).collect();
        let mut roots = self.roots(&pairs).into_iter();
        for (message, values) in messages() {
            let root = if values.len() == 2 { roots.next() } else { None };
            found(message, bytes(&root.unwrap_or_else(|| self.merged(values, ROOT))));
        }
        self.bytes.clear();
        self.chunks.clear();
    }

    /// The values of all chunks.
    fn chained(&self) -> Vec<Words> {
        let mut values = vec![Words::default(); self.chunks.len()];
        #[cfg(target_arch = "x86_64")]
        if self.is_widest {
            for lanes in self.by_length().chunks(LANES) {
                self.chain_widest(lanes, &mut values);
            }
            return values;
        }
        let chunks = self.chunks.iter().enumerate();
        let mut order: Vec<u64> = chunks.map(|(at, chunk)| chunk.lane_key() << AT_BITS | at as u64).collect();
        order.sort_unstable();
        let together = order.chunk_by(|one, other| one >> AT_BITS == other >> AT_BITS);
        for lanes in together.flat_map(|group| group.chunks(LANES)) {
            self.chain(lanes, &mut values);
        }
        values
    }

    /// All chunks, those of as many blocks side by side.
    #[cfg(target_arch = "x86_64")]
    fn by_length(&self) -> Vec<u32> {
        let mut starts = [0_usize; BLOCKS + 2];
        for chunk in &self.chunks {
            starts[chunk.num_blocks() + 1] += 1;
        }
        for length in 1..starts.len() {
            starts[length] += starts[length - 1];
        }
        let mut order = vec![0; self.chunks.len()];
        for (at, chunk) in self.chunks.iter().enumerate() {
            let place = &mut starts[chunk.num_blocks()];
            order[*place] = at as u32;
            *place += 1;
        }
        order
    }

    /// The values of up to so many chunks as there are lanes.
    #[cfg(target_arch = "x86_64")]
    fn chain_widest(&self, lanes: &[u32], values: &mut [Words]) {
        // Lanes that are left over do what another one does.
        let chunks = std::array::from_fn(|lane| self.chunks[lanes[lane.min(lanes.len() - 1)] as usize]);
        let blocks = self.bytes.as_chunks().0;
        // SAFETY: the processor was asked whether it has these registers.
        #[allow(unsafe_code)]
        let found = unsafe { widest::chain(&self.key, blocks, &chunks) };
        for (at, value) in lanes.iter().zip(found) {
            values[*at as usize] = value;
        }
    }

    /// The values of up to so many chunks with the same place in their message and as many blocks.
    fn chain(&self, lanes: &[u64], values: &mut [Words]) {
        let at = |key: &u64| (key & ((1 << AT_BITS) - 1)) as usize;
        let mut chunks = SmallVec::<[Chunk; LANES]>::new();
        chunks.extend(lanes.iter().map(|key| self.chunks[at(key)]));
        let num_before = chunks[0].num_before();
        let mut prefixes = [0; LANES * OUT_LEN];
        if num_before > 0 {
            PREFIXES[num_before](self, &chunks, &mut prefixes);
        }
        for ((key, chunk), prefix) in lanes.iter().zip(&chunks).zip(prefixes.as_chunks().0) {
            let mut value = if num_before > 0 { words(prefix) } else { self.key };
            if num_before == BLOCKS {
                values[at(key)] = value;
                continue;
            }
            let length = chunk.length - num_before * BLOCK_LEN;
            let block = &chunk.blocks(self.bytes.as_chunks().0)[num_before];
            let flags = DERIVE_KEY_MATERIAL | chunk.last_flags() | if num_before == 0 { CHUNK_START } else { 0 };
            self.platform.compress_in_place(&mut value, block, length as u8, u64::from(chunk.counter), flags);
            values[at(key)] = value;
        }
    }

    fn prefix<const N: usize>(&self, chunks: &[Chunk], out: &mut [u8]) {
        let starts = chunks.iter().filter_map(|chunk| self.bytes[chunk.start..].first_chunk());
        let inputs: SmallVec<[&[u8; N]; LANES]> = starts.collect();
        let (counter, flags) = (u64::from(chunks[0].counter), DERIVE_KEY_MATERIAL);
        let end = if N == CHUNK_LEN { CHUNK_END } else { 0 };
        self.platform.hash_many(&inputs, &self.key, counter, IncrementCounter::No, flags, CHUNK_START, end, out);
    }

    /// The digests of messages of two chunks.
    fn roots(&self, pairs: &[[Words; 2]]) -> Vec<Words> {
        let blocks: Vec<[u8; BLOCK_LEN]> = pairs.iter().map(block).collect();
        let mut out = vec![0; pairs.len() * OUT_LEN];
        let inputs: Vec<&[u8; BLOCK_LEN]> = blocks.iter().collect();
        let flags = DERIVE_KEY_MATERIAL | PARENT | ROOT;
        self.platform.hash_many(&inputs, &self.key, 0, IncrementCounter::No, flags, 0, 0, &mut out);
        out.as_chunks().0.iter().map(words).collect()
    }

    /// The value of a tree whose leaves have these: the left one of two branches has the largest power of two that is
    /// less than all.
    fn merged(&self, leaves: &[Words], is_root: u8) -> Words {
        if let [leaf] = leaves {
            return *leaf;
        }
        let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
        let block = block(&[self.merged(left, 0), self.merged(right, 0)]);
        let mut value = self.key;
        let flags = DERIVE_KEY_MATERIAL | PARENT | is_root;
        self.platform.compress_in_place(&mut value, &block, BLOCK_LEN as u8, 0, flags);
        value
    }
}

fn words(bytes: &[u8; OUT_LEN]) -> Words {
    let words = bytes.as_chunks().0;
    std::array::from_fn(|at| u32::from_le_bytes(words[at]))
}

/// What the parent of two branches is made of.
fn block(branches: &[Words; 2]) -> [u8; BLOCK_LEN] {
    let mut block = [0; BLOCK_LEN];
    let (left, right) = block.split_at_mut(OUT_LEN);
    left.copy_from_slice(&bytes(&branches[0]));
    right.copy_from_slice(&bytes(&branches[1]));
    block
}

fn bytes(words: &Words) -> [u8; OUT_LEN] {
    let mut bytes = [0; OUT_LEN];
    bytes.as_chunks_mut().0.iter_mut().zip(words).for_each(|(bytes, word)| *bytes = word.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_blake3_for_any_lengths_side_by_side() {
        const CONTEXT: &str = "recipe compiler 1 test";
        let bytes: Vec<u8> = (0..70_000_u64).map(|at| ((at * at) >> 7) as u8).collect();
        let mut lanes = Lanes::new(CONTEXT);
        let is_widest = lanes.is_widest;
        let mut state = 1_u64;
        for round in 0..60 {
            lanes.platform = if round % 4 == 0 { Platform::portable() } else { Platform::detect() };
            lanes.is_widest = is_widest && round % 4 > 1;
            let mut expected = Vec::new();
            for number in 0..round * 3 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Lengths around borders are likely, and long messages are not.
                let most = [64, 1100, 3000, 70_000][(state >> 62) as usize];
                let length = match (state >> 33) as usize % most {
                    length if state & 256 == 0 => length,
                    length => length / 64 * 64 + (state >> 20) as usize % 3,
                };
                let message = &bytes[length % 97..][..length.min(69_000)];
                lanes.add(number, |out| out.extend_from_slice(message));
                expected.push((number, blake3::derive_key(CONTEXT, message)));
            }
            let mut found = Vec::new();
            lanes.finish(|number, digest| found.push((number, digest)));
            assert_eq!(found, expected);
        }
        for length in 0..=3 * CHUNK_LEN {
            lanes.add(length as u32, |out| out.extend_from_slice(&bytes[..length]));
        }
        lanes.finish(|length, digest| {
            assert_eq!(digest, blake3::derive_key(CONTEXT, &bytes[..length as usize]), "{length}");
        });
    }
}
