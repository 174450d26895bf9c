//! What one thread does: reads a chunk of a batch, finds its samples, proves them, and reads the pictures beside them.

use std::borrow::Cow;
use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::plan::Part;
use super::source::{Handles, Root, Source, grouped, plain};
use super::spare::{Lent, Spare};
use super::{Chunk, Fault, Item, Piece, Place, Read, Row};
use crate::bounds;
use crate::path::Names;
use crate::quick;
use crate::record;
use crate::sample::{self, MediaKind, Reference, USUAL_JSON};

/// What threads share to read with.
#[derive(Debug)]
pub struct Desk {
    pub root: Root,
    pub handles: Handles,
    pub spare: Arc<Spare>,
}

/// Waits until so many more bytes may be held; false when nobody wants them any more.
pub type Room<'a> = &'a dyn Fn(u64) -> bool;

/// Reads a part of a batch. None where `room` says that nobody wants it.
pub fn read(desk: &Desk, sources: &[Arc<Source>], part: &Part, room: Room<'_>) -> Option<Chunk> {
    let count = part.rows.len() + part.odd.len();
    let mut items: Vec<(usize, Read)> = Vec::with_capacity(count);
    let mut of: Vec<u32> = Vec::with_capacity(count);
    for (place, row) in &part.odd {
        let most = grouped(bounds::MAX_ARCHIVED_BYTES as u64);
        let reason = format!("a record of {} bytes, and one has at most {most}", grouped(row.length));
        items.push((*place, Err(of_record(&sources[row.source as usize], reason))));
        of.push(row.source);
    }
    let mut records = desk.spare.lend(part.bytes as usize);
    let mut start = 0;
    let got = part.runs.iter().map(|run| {
        let memory = &mut records.bytes_mut()[start..][..run.length as usize];
        start += run.length as usize;
        let file = desk.handles.get(run.source, &sources[run.source as usize])?;
        fill(&file, memory, run.offset).map_err(|error| plain(&error))
    });
    let got: Vec<std::result::Result<usize, String>> = got.collect();
    let mut texts = String::with_capacity(records.bytes().len().min(count * USUAL_JSON));
    let mut scratch = Scratch::default();
    let mut start = 0;
    for (run, got) in part.runs.iter().zip(got) {
        let source = &sources[run.source as usize];
        for (place, row) in &part.rows[run.rows.clone()] {
            let from = (row.offset - run.offset) as usize;
            let to = from + row.length as usize;
            let found = match &got {
                Err(reason) => Err(of_record(source, reason.clone())),
                Ok(got) if to > *got => {
                    let end = grouped(row.offset.saturating_add(row.length));
                    Err(of_record(source, format!("ends before byte {end}; it was cut short")))
                }
                Ok(_) => scratch.item(records.bytes(), start + from..start + to, source, row, &mut texts),
            };
            items.push((*place, found));
            of.push(row.source);
        }
        start += run.length as usize;
    }
    drop(scratch);
    let files = beside(desk, sources, &of, &mut items, room)?;
    Some(Chunk { texts, records, files, items })
}

/// Fills memory from a place of a file; gives how much there was.
fn fill(file: &File, memory: &mut [u8], offset: u64) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < memory.len() {
        match file.read_at(&mut memory[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn of_record(source: &Source, reason: String) -> Fault {
    Fault { path: source.name.clone(), reason, of_record: true }
}

/// Memory that is used again from record to record.
#[derive(Default)]
struct Scratch<'a> {
    values: quick::Spare<'a>,
    lists: sample::Room<'static>,
}

impl<'a> Scratch<'a> {
    /// The sample of one record. Its content is put behind the texts.
    fn item(&mut self, records: &'a [u8], range: Range<usize>, source: &Source, row: &Row, texts: &mut String) -> Read {
        let bad = |reason| of_record(source, reason);
        let value = record::parse_into(&records[range], &source.encoding, &mut self.values).map_err(bad)?;
        let lists = std::mem::take(&mut self.lists).emptied();
        let mut sample = source.fields.sample_of((&value, Names::ANY), None, lists).map_err(bad)?;
        if row.id.is_some_and(|id| id != sample.id()) {
            return Err(bad("the record is not the one that was compiled".to_owned()));
        }
        let start = texts.len();
        sample.write_json(texts);
        let content = start..texts.len();
        let pieces = sample.media.drain(..).map(|media| {
            let (path, place) = match media.reference {
                Reference::Path(path) => (Some(path.into_owned()), Place::Unread),
                Reference::Bytes(Cow::Owned(bytes)) => (None, Place::Own(bytes)),
                Reference::Bytes(Cow::Borrowed(bytes)) => (None, place_in(records, bytes)),
            };
            Piece { kind: media.kind.name(), path, place }
        });
        let media = pieces.collect();
        self.lists = sample.take_room().emptied();
        drop(sample);
        self.values.keep(value);
        Ok(Item { content, media })
    }
}

/// Where bytes lie among those of the records; those of a value that was made lie elsewhere and are copied.
fn place_in(records: &[u8], bytes: &[u8]) -> Place {
    let start = (bytes.as_ptr() as usize).wrapping_sub(records.as_ptr() as usize);
    match start.checked_add(bytes.len()) {
        Some(end) if start < records.len() && end <= records.len() => Place::Record(start..end),
        _ => Place::Own(bytes.to_vec()),
    }
}

/// Finds where media lie, and reads the pictures among them, into one piece of memory.
fn beside(
    desk: &Desk,
    sources: &[Arc<Source>],
    of: &[u32],
    items: &mut [(usize, Read)],
    room: Room<'_>,
) -> Option<Lent> {
    let mut found: Vec<(usize, usize, PathBuf, usize)> = Vec::new();
    for (number, (_, read)) in items.iter_mut().enumerate() {
        let Ok(item) = read else { continue };
        match named(desk, &sources[of[number] as usize].media, item) {
            Ok(files) => found.extend(files.into_iter().map(|(at, path, size)| (number, at, path, size))),
            Err(fault) => *read = Err(fault),
        }
    }
    let total: usize = found.iter().map(|(.., size)| size).sum();
    if total > 0 && !room(total as u64) {
        return None;
    }
    let mut files = desk.spare.lend(total);
    let mut start = 0;
    for (number, at, path, size) in found {
        let range = start..start + size;
        let read = &mut items[number].1;
        match whole(&path, &mut files.bytes_mut()[range.clone()]) {
            Ok(()) => {
                if let Ok(item) = read {
                    item.media[at].place = Place::File(range);
                }
            }
            Err(reason) => *read = Err(of_media(&path, reason)),
        }
        start += size;
    }
    Some(files)
}

fn of_media(path: &Path, reason: String) -> Fault {
    Fault { path: path.display().to_string(), reason, of_record: false }
}

/// The files of a sample's pictures with their sizes. Its pieces get their paths.
fn named(desk: &Desk, folder: &Path, item: &mut Item) -> Result<Vec<(usize, PathBuf, usize)>, Fault> {
    let mut found = Vec::new();
    for (at, piece) in item.media.iter_mut().enumerate() {
        let Some(reference) = piece.path.take() else { continue };
        let path = match desk.root.media(folder, &reference) {
            Ok(path) => path,
            Err(reason) => return Err(Fault { path: reference, reason, of_record: false }),
        };
        piece.path = Some(path.display().to_string());
        if piece.kind == MediaKind::Image.name() {
            let metadata = path.metadata().map_err(|error| of_media(&path, plain(&error)))?;
            if !metadata.is_file() {
                return Err(of_media(&path, "is no file".to_owned()));
            }
            if metadata.len() > bounds::MAX_ARCHIVED_BYTES as u64 {
                return Err(of_media(&path, format!("a picture of {} bytes", grouped(metadata.len()))));
            }
            found.push((at, path, metadata.len() as usize));
        }
    }
    Ok(found)
}

/// Reads a file that is as long as the memory it is read into.
fn whole(path: &Path, memory: &mut [u8]) -> Result<(), String> {
    let file = File::open(path).map_err(|error| plain(&error))?;
    let got = fill(&file, memory, 0).map_err(|error| plain(&error))?;
    let size = file.metadata().map_err(|error| plain(&error))?.len();
    if got == memory.len() && size == got as u64 { Ok(()) } else { Err("changed while it was read".to_owned()) }
}
