//! A Parquet file whose pages are looked at before they are expanded.
//!
//! The Parquet reader makes room for whatever a page's header claims, so a file of a few bytes could ask for any amount of
//! memory. Here the header is read first: what a row group's pages take together stays below [`crate::bounds`], a page
//! that expands to more than it claims is refused, and so is one that holds more values than a row could need.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};

use crate::bounds;

/// Encodings whose values share bytes, so that a page may stand for far more than it holds.
const DELTA_BYTES: Range<u64> = 6..8;
const MAX_DELTA_BYTES: u64 = 2 << 20;
const DATA: u64 = 0;
const DICTIONARY: u64 = 2;

/// What a page says of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Claim {
    kind: u64,
    expanded: u64,
    compressed: u64,
    num_values: u64,
    encoding: u64,
    /// Bytes of levels, which are not compressed, before the values.
    levels: u64,
}

#[derive(Debug)]
struct Chunk {
    group: usize,
    column: usize,
    bytes: Range<u64>,
    codec: Compression,
    is_nested: bool,
}

/// What the pages at hand of one row group claim: of each column, its dictionary and its data.
#[derive(Debug, Default)]
struct Held {
    group: usize,
    pages: BTreeMap<(usize, bool), Claim>,
    last: BTreeMap<usize, Claim>,
    total: Total,
}

/// What all pages so far claim.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Total {
    pub(crate) expanded: u64,
    pub(crate) num_values: u64,
}

pub(crate) struct GuardedFile {
    file: File,
    chunks: Arc<Vec<Chunk>>,
    held: Arc<Mutex<Held>>,
}

impl GuardedFile {
    pub(crate) fn new(file: File, metadata: &ParquetMetaData) -> Result<Self> {
        let mut chunks = Vec::new();
        for (group, row_group) in metadata.row_groups().iter().enumerate() {
            for (column, chunk) in row_group.columns().iter().enumerate() {
                let (start, length) = chunk.byte_range();
                chunks.push(Chunk {
                    group,
                    column,
                    bytes: start..start.saturating_add(length),
                    codec: chunk.compression(),
                    is_nested: chunk.column_descr().max_rep_level() > 0,
                });
            }
        }
        chunks.sort_by_key(|chunk| (chunk.bytes.start, chunk.bytes.end));
        if chunks.windows(2).any(|pair| pair[0].bytes.end > pair[1].bytes.start) {
            return Err(refused("columns that overlap"));
        }
        Ok(Self { file, chunks: Arc::new(chunks), held: Arc::default() })
    }

    /// A teller of what the pages that were looked at so far claim.
    pub(crate) fn total(&self) -> impl Fn() -> Total + use<> {
        let held = Arc::clone(&self.held);
        move || held.lock().unwrap_or_else(PoisonError::into_inner).total
    }
}

fn chunk_at(chunks: &[Chunk], at: u64) -> Option<usize> {
    let number = chunks.partition_point(|chunk| chunk.bytes.end <= at);
    chunks.get(number).is_some_and(|chunk| chunk.bytes.contains(&at)).then_some(number)
}

impl Length for GuardedFile {
    fn len(&self) -> u64 {
        Length::len(&self.file)
    }
}

impl ChunkReader for GuardedFile {
    type T = Header;

    fn get_read(&self, start: u64) -> Result<Header> {
        let chunk = chunk_at(&self.chunks, start);
        let (chunks, held) = (Arc::clone(&self.chunks), Arc::clone(&self.held));
        Ok(Header { inner: self.file.get_read(start)?, chunks, held, unseen: chunk })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let bytes = self.file.get_bytes(start, length)?;
        if let Some(number) = chunk_at(&self.chunks, start) {
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            let chunk = &self.chunks[number];
            if let Some(claim) = held.last.get(&chunk.column).filter(|_| held.group == chunk.group) {
                expands_as_claimed(chunk.codec, claim, &bytes)?;
            }
        }
        Ok(bytes)
    }
}

/// These codecs expand until their input ends, whatever size was claimed; the others stop there.
fn expands_as_claimed(codec: Compression, claim: &Claim, bytes: &[u8]) -> Result<()> {
    let packed = bytes.get(claim.levels as usize..).unwrap_or_default();
    let mut source: Box<dyn Read + '_> = match codec {
        Compression::GZIP(_) => Box::new(flate2::read::MultiGzDecoder::new(packed)),
        Compression::BROTLI(_) => Box::new(brotli::Decompressor::new(packed, 1 << 16)),
        _ => return Ok(()),
    };
    let most = claim.expanded.saturating_sub(claim.levels);
    // What cannot be expanded is told by the reader itself.
    match io::copy(&mut source.by_ref().take(most + 1), &mut io::sink()) {
        Ok(found) if found > most => Err(refused(&format!("a page expands to more than the {most} bytes it claims"))),
        _ => Ok(()),
    }
}

fn refused(reason: &str) -> ParquetError {
    ParquetError::General(reason.to_owned())
}

/// A reader whose first bytes are a page header, which is checked before anybody else sees it.
pub(crate) struct Header {
    inner: BufReader<File>,
    chunks: Arc<Vec<Chunk>>,
    held: Arc<Mutex<Held>>,
    unseen: Option<usize>,
}

impl Read for Header {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(number) = self.unseen.take() {
            let claim = claim(self.inner.fill_buf()?).ok_or_else(|| io::Error::other("a page with a broken header"))?;
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.admit(&self.chunks[number], claim).map_err(io::Error::other)?;
        }
        self.inner.read(buffer)
    }
}

impl Held {
    fn admit(&mut self, chunk: &Chunk, claim: Claim) -> std::result::Result<(), String> {
        if self.group != chunk.group {
            *self = Self { group: chunk.group, total: self.total, ..Self::default() };
        }
        self.total.expanded = self.total.expanded.saturating_add(claim.expanded);
        self.total.num_values = self.total.num_values.saturating_add(claim.num_values);
        let is_dictionary = claim.kind == DICTIONARY;
        self.pages.insert((chunk.column, is_dictionary), claim);
        self.last.insert(chunk.column, claim);
        let sum = |of: fn(&Claim) -> u64| self.pages.values().map(of).sum::<u64>();
        let (expanded, compressed) = (sum(|page| page.expanded), sum(|page| page.compressed));
        if expanded > bounds::FREE_BYTES.max(compressed.saturating_mul(bounds::MAX_PAGE_EXPANSION)) {
            return Err(format!(
                "pages of {compressed} bytes that expand to {}, as a bomb's do and those of data do not; write the table \
                 anew with smaller pages if it is right",
                bounds::mebibytes(expanded)
            ));
        }
        let most = if is_dictionary { bounds::MAX_RECORD_VALUES as u64 } else { bounds::MAX_PAGE_VALUES };
        if (is_dictionary || chunk.is_nested) && claim.num_values > most {
            return Err(format!("a page of {} values, and it may have {most}", claim.num_values));
        }
        if DELTA_BYTES.contains(&claim.encoding) && claim.expanded > MAX_DELTA_BYTES {
            return Err(format!(
                "a page of {} in delta encoding, which is held to 2",
                bounds::mebibytes(claim.expanded)
            ));
        }
        Ok(())
    }
}

/// The claim of a page header: Thrift's compact protocol, whose writers put fields in the order of their numbers.
fn claim(bytes: &[u8]) -> Option<Claim> {
    let mut header = Thrift { bytes, field: 0 };
    let mut claim = Claim {
        kind: header.integer(1)?,
        expanded: header.integer(2)?,
        compressed: header.integer(3)?,
        ..Claim::default()
    };
    let mut next = header.field()?;
    if next.0 == 4 {
        header.zigzag()?;
        next = header.field()?;
    }
    let mut page = Thrift { bytes: header.bytes, field: 0 };
    match next.0 {
        5 | 7 => {
            claim.num_values = page.integer(1)?;
            claim.encoding = page.integer(2)?;
        }
        8 => {
            claim.kind = DATA;
            claim.num_values = page.integer(1)?;
            page.integer(2)?;
            page.integer(3)?;
            claim.encoding = page.integer(4)?;
            claim.levels = page.integer(5)?.checked_add(page.integer(6)?)?;
        }
        _ => {}
    }
    Some(claim)
}

struct Thrift<'b> {
    bytes: &'b [u8],
    field: u64,
}

impl Thrift<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    /// (number, type) of the next field.
    fn field(&mut self) -> Option<(u64, u8)> {
        let byte = self.byte()?;
        self.field = match byte >> 4 {
            0 => u64::try_from(self.zigzag()?).ok()?,
            step => self.field + u64::from(step),
        };
        Some((self.field, byte & 15))
    }

    fn zigzag(&mut self) -> Option<i64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 127) << shift;
            if byte & 128 == 0 {
                return Some((number >> 1) as i64 ^ -((number & 1) as i64));
            }
        }
        None
    }

    /// The integer of this field, which must come next and not be negative.
    fn integer(&mut self, number: u64) -> Option<u64> {
        const I32: u8 = 5;
        if self.field()? != (number, I32) {
            return None;
        }
        u64::try_from(self.zigzag()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_what_its_page_claims() {
        // type 0, expanded 100, compressed 50, crc -1, data page: 7 values in encoding 0
        let bytes = [0x15, 0, 0x15, 200, 1, 0x15, 100, 0x15, 1, 0x1c, 0x15, 14, 0x15, 0, 0];
        let found = Claim { expanded: 100, compressed: 50, num_values: 7, ..Claim::default() };
        assert_eq!(claim(&bytes), Some(found));
        assert_eq!(claim(&bytes[..6]), None);
        assert_eq!(claim(&[0x15, 0, 0x15, 1]), None, "a negative size");
    }
}
