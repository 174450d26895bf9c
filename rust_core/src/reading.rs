//! From the bytes of records to their samples, in memory that is used again.

use std::ops::Range;

use crate::bits::{Bits, Seen};
use crate::bounds;
use crate::fields::Fields;
use crate::path::Names;
use crate::quick::Spare;
use crate::quick::records::Records;
use crate::record::{Encoding, Span, parse_into};
use crate::sample::{Lengths, Room, Sample};
use crate::tokens;
use crate::value::Value;

/// As many bytes as are looked at together: near the processor they stay until they are read.
const WINDOW: usize = 1 << 15;
/// Longer records hold media rather than words.
const LONG: usize = 1 << 16;
const _: () = assert!(LONG <= bounds::MAX_RECORD_BYTES && LONG <= bounds::MAX_RECORD_VALUES);

/// What reads the records of a stream, one after another.
pub(crate) struct Reading<'a, 'f> {
    encoding: &'f Encoding,
    fields: &'f Fields,
    bits: Bits,
    /// Where the records end that are read next.
    end: usize,
    spare: Spare<'a>,
    records: Option<Records<'a>>,
    room: Room<'static>,
}

/// What one record is.
pub(crate) struct Read<'r, 'v> {
    pub(crate) sample: &'r Sample<'v>,
    /// The list of turns may be empty here.
    pub(crate) value: &'r Value<'v>,
    seen: Option<Seen<'r, 'v>>,
}

impl<'r, 'v> Read<'r, 'v> {
    pub(crate) fn new(sample: &'r Sample<'v>, value: &'r Value<'v>, seen: Option<Seen<'r, 'v>>) -> Self {
        Self { sample, value, seen }
    }

    pub(crate) fn lengths(&self) -> Lengths {
        match &self.seen {
            Some(seen) => self.sample.lengths_by(|text| seen.measure(text)),
            None => self.sample.lengths_by(tokens::measure),
        }
    }
}

impl<'a, 'f> Reading<'a, 'f> {
    pub(crate) fn new(encoding: &'f Encoding, fields: &'f Fields) -> Self {
        let records = if *encoding == Encoding::Json { fields.records() } else { None };
        let (bits, spare, room) = (Bits::default(), Spare::default(), Room::default());
        Self { encoding, fields, bits, end: 0, spare, records, room }
    }

    /// Says that the next records lie in this range.
    pub(crate) fn enter(&mut self, range: &Range<usize>) {
        self.end = range.end;
    }

    /// Hands over what one record is.
    pub(crate) fn sample<T>(
        &mut self,
        stream: &'a [u8],
        span: Span,
        take: impl FnOnce(Read<'_, '_>) -> T,
    ) -> std::result::Result<T, String> {
        let bytes = span.of(stream).ok_or_else(|| "the record runs past the end".to_owned())?;
        let apart = self.records.as_mut().and_then(|records| {
            let seen = look(&mut self.bits, stream, span, self.end)?;
            // Whatever is wrong with it is told below.
            let text = seen.text().or_else(|| simdutf8::basic::from_utf8(bytes).ok())?;
            let are_apart = records.read(text, seen, &mut self.spare)?;
            let turns = are_apart.then_some(records.turns.found.as_slice());
            Some((&records.record, records.names, turns, Some(seen)))
        });
        let mut own = None;
        let (value, names, turns, seen) = if let Some(found) = apart {
            found
        } else {
            (&*own.insert(parse_into(bytes, self.encoding, &mut self.spare)?), Names::ANY, None, None)
        };
        let mut found = self.fields.sample_of((value, names), turns, std::mem::take(&mut self.room).emptied());
        let sample = found.as_mut().map_err(std::mem::take)?;
        let taken = take(Read::new(sample, value, seen));
        self.room = sample.take_room().emptied();
        drop(found);
        if let Some(value) = own {
            self.spare.keep(value);
        }
        Ok(taken)
    }
}

/// What is seen of a record, if it is worth the while; with it one looks at those behind it.
fn look<'b, 'a>(bits: &'b mut Bits, stream: &'a [u8], span: Span, end: usize) -> Option<Seen<'b, 'a>> {
    let (bytes, start) = (span.of(stream)?, span.offset as usize);
    if bytes.len() > LONG {
        return None;
    }
    if bits.of(bytes).is_none() {
        let end = end.min(start + WINDOW).max(start + bytes.len());
        bits.look(&stream[start..end]);
    }
    bits.of(bytes)
}
