//! Mutates the corpus and holds every target to what it promises: no panic, no hang, no memory out of proportion.
//!
//! Without settings the run is short and the same everywhere. `FUZZ_SECONDS=600 FUZZ_SEED=7` makes it as long and as new as
//! wanted (`make fuzz`). An input that fails is written to the corpus, where it stays.
#![allow(clippy::unwrap_used, clippy::print_stderr)]
// The core has no clock and no environment; what watches over it has both.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

#[path = "../fuzz/targets.rs"]
mod targets;

use std::alloc::{GlobalAlloc, Layout, System};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const SHORT_RUN: u64 = 3000;
const MAX_SECONDS: u64 = 5;
const MAX_MEMORY: usize = 256 << 20;
const MAX_INPUT: usize = 1 << 16;

/// Counts what is allocated, so that a test can say how much that was at most.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number that is small more often than not.
    fn small(&mut self, most: usize) -> usize {
        let scale = self.below(most);
        1 + self.below(1 << scale)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Pieces that mean something to one format or another.
const WORDS: [&[u8]; 36] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b":",
    b",",
    b"\n",
    b"\r\n",
    b"\xef\xbb\xbf",
    b"null",
    b"NaN",
    b"1e999",
    b"-0",
    b"\\ud800",
    b"\\u0000",
    b"\xff",
    b"\0",
    b"\"\"",
    b"<image>",
    b"{\"question\":\"q\",\"answer\":\"a\"}",
    b"\"image\":",
    b"\"choices\":",
    b"data:;base64,",
    b"data:image/png;base64,AA==",
    b"\"__key\":",
    b"ustar\x0000",
    b"../",
    b"PAR1",
    b"\x1f\x8b\x08\0",
    b"\x28\xb5\x2f\xfd",
    b"\x15\0\x15",
    b"\xff\xff\xff\xff",
    b"\xfe\xff\xff\xff\x0f",
    b"\x01\0\0\0",
];

type Corpus = Vec<(String, Vec<u8>)>;

fn mutated(chance: &mut Chance, corpus: &Corpus) -> Vec<u8> {
    let mut data = corpus[chance.below(corpus.len())].1.clone();
    for _ in 0..=chance.below(6) {
        let at = chance.below(data.len() + 1);
        let to = (at + chance.small(12)).min(data.len());
        let word = WORDS[chance.below(WORDS.len())];
        match chance.below(9) {
            0 | 1 if at < data.len() => data[at] ^= 1 << chance.below(8),
            2 if at < data.len() => data[at] = chance.next() as u8,
            3 if at < to => drop(data.drain(at..to)),
            4 if at < to => {
                let piece = data[at..to].repeat(chance.small(6));
                data.splice(at..at, piece);
            }
            5 => {
                let other = &corpus[chance.below(corpus.len())].1;
                data.truncate(at);
                data.extend_from_slice(&other[chance.below(other.len())..]);
            }
            6 => drop(data.splice(at..(at + word.len()).min(data.len()), word.iter().copied())),
            7 => data.truncate(at),
            _ => drop(data.splice(at..at, word.repeat(chance.small(8)))),
        }
        data.truncate(MAX_INPUT);
    }
    if chance.below(2) == 0 {
        mend_checksums(&mut data);
    }
    data
}

/// Makes the checksums of tar headers right, so that what stands behind them is read. A target's first byte is no data.
fn mend_checksums(data: &mut [u8]) {
    for header in data.get_mut(1..).unwrap_or_default().chunks_exact_mut(512) {
        if &header[257..262] == b"ustar" {
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

fn corpus_folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

fn corpus(target: &str) -> Corpus {
    let mut found: Corpus = std::fs::read_dir(corpus_folder(target))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "{target} has no corpus");
    found
}

/// What is wrong with how a target took these bytes, if anything is.
fn fault(target: &str, data: &[u8]) -> Option<String> {
    let begun = Instant::now();
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let done = catch_unwind(AssertUnwindSafe(|| targets::check(target, data)));
    let (seconds, taken) = (begun.elapsed().as_secs(), PEAK.load(Ordering::Relaxed).saturating_sub(before));
    if done.is_err() {
        return Some("it panicked".to_owned());
    }
    (seconds > MAX_SECONDS || taken > MAX_MEMORY).then(|| format!("it took {seconds} s and {} MiB", taken >> 20))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// One test for all targets, one after another: the memory of one must not be counted as another's.
#[test]
fn any_bytes_are_read_or_refused() {
    let each = number("FUZZ_SECONDS").map(|seconds| Duration::from_secs(seconds / targets::TARGETS.len() as u64));
    for target in targets::TARGETS {
        let inputs = corpus(target);
        for (name, data) in &inputs {
            assert_eq!(fault(target, data), None, "{target}: the corpus's {name}");
        }
        let mut chance = Chance(number("FUZZ_SEED").unwrap_or(1));
        let begun = Instant::now();
        let (mut runs, mut faults) = (0, 0);
        while each.map_or(runs < SHORT_RUN, |each| begun.elapsed() < each) {
            let data = mutated(&mut chance, &inputs);
            if let Some(what) = fault(target, &data) {
                let name = format!("failed-{:016x}", chance.next());
                std::fs::write(corpus_folder(target).join(&name), &data).unwrap();
                eprintln!("{target}: {what}; see {name} in the corpus");
                faults += 1;
            }
            runs += 1;
        }
        eprintln!("{target}: {runs} runs, {faults} faults");
        assert_eq!(faults, 0, "{target} did not hold");
    }
}
