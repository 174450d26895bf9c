//! From the bytes of records to their samples, in memory that is used again.

use crate::bits::Bits;
use crate::fields::Fields;
use crate::quick::Spare;
use crate::quick::records::Records;
use crate::record::{Encoding, Span, parse_into};
use crate::sample::{Lengths, Room, Sample};
use crate::value::Value;

/// What reads the records of a stream, one after another.
pub(crate) struct Reading<'a, 'f> {
    encoding: &'f Encoding,
    fields: &'f Fields,
    bits: Bits,
    spare: Spare<'a>,
    records: Option<Records<'a>>,
    room: Room<'static>,
}

/// What one record is.
pub(crate) struct Read<'r, 'v> {
    pub(crate) sample: &'r Sample<'v>,
    /// The list of turns may be empty here.
    pub(crate) value: &'r Value<'v>,
    bits: &'r Bits,
    record: &'r [u8],
}

impl<'r, 'v> Read<'r, 'v> {
    pub(crate) fn new(sample: &'r Sample<'v>, value: &'r Value<'v>, bits: &'r Bits, record: &'r [u8]) -> Self {
        Self { sample, value, bits, record }
    }

    pub(crate) fn lengths(&self) -> Lengths {
        self.sample.lengths_by(|text| self.bits.measure(self.record, text))
    }
}

impl<'a, 'f> Reading<'a, 'f> {
    pub(crate) fn new(encoding: &'f Encoding, fields: &'f Fields) -> Self {
        let records = if *encoding == Encoding::Json { fields.records() } else { None };
        Self { encoding, fields, bits: Bits::default(), spare: Spare::default(), records, room: Room::default() }
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
            // Whatever is wrong with it is told below.
            let text = simdutf8::basic::from_utf8(bytes).ok().filter(|text| self.bits.look(text))?;
            let are_apart = records.read(text, &self.bits, &mut self.spare)?;
            Some((&records.record, are_apart.then_some(records.turns.found.as_slice())))
        });
        let mut own = None;
        let (value, turns) = if let Some(found) = apart {
            found
        } else {
            self.bits.forget();
            (&*own.insert(parse_into(bytes, self.encoding, &mut self.spare)?), None)
        };
        let sample = self.fields.sample_of(value, turns, std::mem::take(&mut self.room).emptied())?;
        let taken = take(Read::new(&sample, value, &self.bits, bytes));
        self.room = sample.into_room().emptied();
        if let Some(value) = own {
            self.spare.keep(value);
        }
        Ok(taken)
    }
}
