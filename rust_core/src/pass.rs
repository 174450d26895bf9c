//! One pass over a record stream by all threads: whoever is free takes the next records, and what comes of them is joined
//! in the order of the stream.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::container::{self, Layout};
use crate::json;
use crate::record::Found;

/// What one pass over a stream makes, in parts.
pub(crate) trait Part: Default + Send {
    /// Makes room for about so many parts like this one.
    fn expect(&mut self, part: &Self, times: usize);

    /// Moves what is in the part behind what is here; the part keeps its memory. Its records are numbered from 0 and
    /// `first` is the number of its first one.
    fn take(&mut self, part: &mut Self, first: u64);
}

/// Makes room in a column for about so many like the other.
pub(crate) fn expect<T>(column: &mut Vec<T>, other: &[T], times: usize) {
    // Memory that is not there is asked for again when it is needed, and no more of it.
    let _ = column.try_reserve_exact(other.len().saturating_mul(times));
}

/// Hands all records to `read`, some in a row at a time and the range that they lie in, with what `scratch` made for the
/// thread and an empty part, and joins the parts.
///
/// Nothing but the parts grows with the stream; `release` is told which of its bytes will not be read again.
pub(crate) fn pass<P: Part, S>(
    stream: &[u8],
    layout: &Layout,
    scratch: impl Fn() -> S + Sync,
    read: impl Fn(&mut S, &mut P, &Range<usize>, &mut dyn Iterator<Item = Found>) + Sync,
    release: impl Fn(Range<usize>) + Sync,
) -> P {
    let growing = Mutex::new(Growing::default());
    let locked = || growing.lock().unwrap_or_else(PoisonError::into_inner);
    let join = |position, bytes: Range<usize>, scratch: &mut S, found: &mut dyn Iterator<Item = Found>| {
        let mut num_records = 0;
        let mut part: P = locked().spare.pop().unwrap_or_default();
        read(scratch, &mut part, &bytes, &mut found.inspect(|found| num_records += u64::from(found.is_ok())));
        let times = stream.len() / bytes.len().max(1) + 1;
        release(bytes);
        let mut growing = locked();
        if position == 0 {
            growing.whole.expect(&part, times);
        }
        growing.add(position, part, num_records);
    };
    if *layout == Layout::JsonLines {
        let batches = Lines { stream, start: json::content_start(stream) }.enumerate().par_bridge();
        batches.for_each_init(&scratch, |scratch, (position, range)| {
            join(position, range.clone(), scratch, &mut json::lines(stream, range).map(Ok));
        });
    } else {
        let batches = Batches { records: container::records(stream, layout), start: 0, number: 0 };
        batches.enumerate().par_bridge().for_each_init(&scratch, |scratch, (position, batch)| {
            join(position, batch.bytes, scratch, &mut batch.records.into_iter());
        });
    }
    growing.into_inner().unwrap_or_else(PoisonError::into_inner).whole
}

/// Long enough to be worth handing over, and short enough to stay near the processor.
const BATCH_BYTES: usize = 1 << 19;

/// Whole lines, which are told apart by who reads them: to look for all line breaks here would keep others waiting.
struct Lines<'a> {
    stream: &'a [u8],
    start: usize,
}

impl Iterator for Lines<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let start = self.start;
        self.start = json::line_end(self.stream, start + BATCH_BYTES);
        (start < self.stream.len()).then_some(start..self.start)
    }
}

/// Some records in a row, numbered from 0, and the bytes that they span.
struct Batch {
    records: Vec<Found>,
    bytes: Range<usize>,
}

struct Batches<I> {
    records: I,
    start: usize,
    number: u64,
}

impl<I: Iterator<Item = Found>> Iterator for Batches<I> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let first = self.number;
        let mut batch = Batch { records: Vec::new(), bytes: self.start..self.start };
        while batch.bytes.len() < BATCH_BYTES
            && let Some(mut found) = self.records.next()
        {
            match &mut found {
                Ok(span) => {
                    batch.bytes.end = (span.offset + span.length) as usize;
                    self.number += 1;
                }
                Err(malformed) => malformed.record = malformed.record.wrapping_sub(first),
            }
            batch.records.push(found);
        }
        self.start = batch.bytes.end;
        (!batch.records.is_empty()).then_some(batch)
    }
}

/// What there is so far. Parts are done in any order and added in theirs.
#[derive(Default)]
struct Growing<P> {
    whole: P,
    num_records: u64,
    waiting: BTreeMap<usize, (P, u64)>,
    next: usize,
    /// Parts that are empty again.
    spare: Vec<P>,
}

impl<P: Part> Growing<P> {
    fn add(&mut self, position: usize, part: P, num_records: u64) {
        self.waiting.insert(position, (part, num_records));
        while let Some((mut part, num_records)) = self.waiting.remove(&self.next) {
            self.whole.take(&mut part, self.num_records);
            self.spare.push(part);
            self.num_records += num_records;
            self.next += 1;
        }
    }
}
