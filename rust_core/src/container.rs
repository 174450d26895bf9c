//! What a file is: its compression, how its records are laid out, and the seekable form of one that cannot be sought.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;
use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::columnar;
use crate::delimited;
use crate::error::{CoreError, Result};
use crate::json::{self, Members};
use crate::mds;
use crate::record::{self, Encoding, Found, Malformed, Span};
use crate::webdataset;

/// How a file is wrapped. Anything but `Plain` is read through its seekable form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wrapping {
    Plain,
    Gzip,
    Zstd,
    Parquet,
}

/// Where the records of a stream are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Layout {
    JsonLines,
    /// An array of records, at the top or under a key.
    JsonArray {
        at: String,
    },
    /// An object whose values are records, at the top or under a key.
    JsonObject {
        at: String,
    },
    /// The whole file is one record.
    JsonRecord,
    Delimited {
        delimiter: char,
        quote: bool,
        header: bool,
        columns: Vec<String>,
    },
    WebDataset,
    Mds,
}

impl Layout {
    pub fn encoding(&self) -> Encoding {
        match self {
            Layout::JsonLines | Layout::JsonArray { .. } | Layout::JsonRecord => Encoding::Json,
            Layout::JsonObject { .. } => Encoding::Entry,
            Layout::Delimited { delimiter, quote, columns, .. } => {
                Encoding::Row { delimiter: *delimiter, quote: *quote, columns: columns.clone() }
            }
            Layout::WebDataset => Encoding::Tar,
            Layout::Mds => Encoding::Mds,
        }
    }
}

/// What the user said about a file's layout; every part may be left to the file itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LayoutHint {
    /// The key that holds the records, or `*` for the values of the top object.
    pub records: Option<String>,
    /// Whether the first row of a delimited file names its columns.
    pub header: Option<bool>,
    /// Whether `"` quotes a cell of a delimited file.
    pub quote: Option<bool>,
}

pub fn wrapping(path: &Path) -> Result<Wrapping> {
    let mut head = [0_u8; 4];
    let mut file = File::open(path).map_err(|error| CoreError::io(path, error))?;
    let mut filled = 0;
    while filled < head.len() {
        match file.read(&mut head[filled..]).map_err(|error| CoreError::io(path, error))? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(match &head[..filled] {
        [0x1f, 0x8b, ..] => Wrapping::Gzip,
        // A frame of data, or one to skip, as seekable and parallel writers put first.
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Wrapping::Zstd,
        b"PAR1" => Wrapping::Parquet,
        b"PK\x03\x04" => {
            let what = "a zip archive or spreadsheet; unpack it, or save the sheet as CSV";
            return Err(CoreError::format(path, what));
        }
        [0x80, 2..=5, ..] => {
            return Err(CoreError::format(path, "a Python pickle, which can run code; export it as JSON Lines"));
        }
        _ => Wrapping::Plain,
    })
}

/// Writes the record stream of a wrapped file to `out`, at most `limit` bytes of it. The caller names a new file and moves
/// it into place. A file that expands as no data do (see [`crate::bounds`]) is refused before it fills the disk.
pub fn unwrap(path: &Path, wrapping: Wrapping, out: &Path, limit: u64) -> Result<()> {
    let file = File::open(path).map_err(|error| CoreError::io(path, error))?;
    let size = file.metadata().map_err(|error| CoreError::io(path, error))?.len();
    let consumed = Arc::new(AtomicU64::new(0));
    let source = BufReader::with_capacity(1 << 16, Counted { file, consumed: Arc::clone(&consumed) });
    let target = File::create(out).map_err(|error| CoreError::io(out, error))?;
    let target = BufWriter::with_capacity(1 << 20, target);
    let mut target = Bounded { target, path, out, consumed, written: 0, limit };
    let cut = |error: io::Error| CoreError::format(path, format!("cannot be decompressed: {error}"));
    match wrapping {
        Wrapping::Plain => return Err(CoreError::Contract("a plain file is its own record stream".to_owned())),
        Wrapping::Gzip => target.pour(&mut MultiGzDecoder::new(source))?,
        Wrapping::Zstd => target.pour(&mut zstd::Decoder::with_buffer(source).map_err(cut)?)?,
        Wrapping::Parquet => {
            target.consumed.store(size, Ordering::Relaxed);
            columnar::each_row(path, &mut |line| target.put(line))?;
        }
    }
    let mut file = target.target;
    file.flush().map_err(|error| CoreError::io(out, error))?;
    file.get_ref().sync_all().map_err(|error| CoreError::io(out, error))
}

/// Refuses a table that another reader is to hold in memory as a whole and that would take memory out of proportion.
pub fn check_table(path: &Path) -> Result<()> {
    let reason = match wrapping(path)? {
        Wrapping::Parquet => return columnar::check_table(path),
        Wrapping::Plain => {
            let stream = Stream::open(path)?;
            let longest = stream.bytes().split(|byte| *byte == b'\n').map(<[u8]>::len).max().unwrap_or_default();
            if longest <= bounds::MAX_LINE_BYTES {
                return Ok(());
            }
            format!("has a line of {longest} bytes, and one has at most {}", bounds::MAX_LINE_BYTES)
        }
        Wrapping::Gzip | Wrapping::Zstd => "is compressed; unpack it to a .parquet, .csv or .jsonl file".to_owned(),
    };
    Err(CoreError::format(path, reason))
}

/// A file that tells how much of it was read.
struct Counted {
    file: File,
    consumed: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.consumed.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// A file that takes no more than what was read of another one can stand for.
struct Bounded<'p> {
    target: BufWriter<File>,
    path: &'p Path,
    out: &'p Path,
    consumed: Arc<AtomicU64>,
    written: u64,
    limit: u64,
}

impl Bounded<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.written += bytes.len() as u64;
        let consumed = self.consumed.load(Ordering::Relaxed);
        if self.written > bounds::FREE_BYTES.max(consumed.saturating_mul(bounds::MAX_EXPANSION)) {
            let reason = format!(
                "expands to more than {}, over {} times its {consumed} bytes so far, as a bomb does and data do not; \
                 if it is right, unpack it yourself",
                bounds::mebibytes(self.written),
                bounds::MAX_EXPANSION,
            );
            return Err(CoreError::format(self.path, reason));
        }
        if self.written > self.limit {
            let reason = format!(
                "expands to more than the {} that its cache has room for; name another one with `--cache`",
                bounds::mebibytes(self.limit)
            );
            return Err(CoreError::format(self.path, reason));
        }
        self.target.write_all(bytes).map_err(|error| CoreError::io(self.out, error))
    }

    fn pour(&mut self, source: &mut impl Read) -> Result<()> {
        let mut buffer = vec![0_u8; 1 << 18];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => self.put(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(CoreError::format(self.path, format!("cannot be decompressed: {error}")));
                }
            }
        }
    }
}

/// A file's bytes without loading them.
pub struct Stream(Option<Mmap>);

impl Stream {
    #[allow(unsafe_code)]
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| CoreError::io(path, error))?;
        let length = file.metadata().map_err(|error| CoreError::io(path, error))?.len();
        if length == 0 {
            return Ok(Self(None));
        }
        // SAFETY: the map is read-only and private; a file that another process truncates meanwhile ends this process
        // with SIGBUS, which is the same outcome as any other reader losing its input.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| CoreError::io(path, error))?;
        Ok(Self(Some(map)))
    }

    pub fn bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Gives back the memory behind a range of the bytes, which are read from the file again if they are asked for.
    #[allow(unsafe_code)]
    pub fn release(&self, range: Range<usize>) {
        // The system reads around what it is asked for, in aligned windows of this size: so much is given back.
        const WINDOW: usize = 1 << 16;
        let Some(map) = &self.0 else { return };
        let start = range.start / WINDOW * WINDOW;
        let end = range.end.next_multiple_of(WINDOW).min(map.len());
        // SAFETY: the map is of a file and read-only, so that its pages hold what the file holds, before and after.
        // A refusal costs memory and nothing else.
        #[cfg(unix)]
        let _ =
            unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, end.saturating_sub(start)) };
    }
}

/// Reads the layout off the stream. `name` is the file's own name, whose ending tells CSV from TSV and nothing else;
/// `is_sample` says whether a JSON text would do as a record of its own.
pub fn layout(
    name: &str,
    stream: &[u8],
    hint: &LayoutHint,
    is_sample: &dyn Fn(&[u8]) -> bool,
) -> std::result::Result<Layout, String> {
    const USTAR: Range<usize> = 257..262;
    if stream.get(USTAR).is_some_and(|magic| magic == b"ustar") {
        return Ok(Layout::WebDataset);
    }
    let lower = name.to_ascii_lowercase();
    let stem = lower.trim_end_matches(".gz").trim_end_matches(".zst");
    for (ending, delimiter) in [(".csv", ','), (".tsv", '\t')] {
        if stem.ends_with(ending) {
            let quote = hint.quote.unwrap_or(true);
            let header = hint.header.unwrap_or(true);
            let mut columns = delimited::first_row(stream, delimiter, quote)?;
            if !header {
                columns = (0..columns.len()).map(|column| format!("c{column}")).collect();
            }
            return Ok(Layout::Delimited { delimiter, quote, header, columns });
        }
    }
    let start = json::skip_space(stream, json::content_start(stream));
    match stream.get(start) {
        None => Ok(Layout::JsonLines),
        Some(b'[') => Ok(Layout::JsonArray { at: String::new() }),
        Some(b'{') => object_layout(stream, start, hint, is_sample),
        Some(byte) => Err(format!(
            "starts with `{}`: neither JSON (`[` or `{{`), Parquet nor tar, and its name ends in neither .csv nor .tsv; \
             convert it to JSON Lines",
            byte.escape_ascii()
        )),
    }
}

fn object_layout(
    stream: &[u8],
    start: usize,
    hint: &LayoutHint,
    is_sample: &dyn Fn(&[u8]) -> bool,
) -> std::result::Result<Layout, String> {
    let Some(end) = json::value_end(stream, start) else {
        // Cut inside its only object, or a JSON Lines file whose first line is broken: the lines will say which.
        return Ok(Layout::JsonLines);
    };
    if json::skip_space(stream, end) < stream.len() {
        return Ok(Layout::JsonLines);
    }
    if hint.records.as_deref() == Some("*") {
        return Ok(Layout::JsonObject { at: String::new() });
    }
    if let Some(at) = &hint.records {
        return match find(stream, start, at).and_then(|value| stream.get(value)) {
            Some(b'[') => Ok(Layout::JsonArray { at: at.clone() }),
            Some(b'{') => Ok(Layout::JsonObject { at: at.clone() }),
            _ => Err(format!("has no list or object under `{at}`; its keys are {}", top_keys(stream, start))),
        };
    }
    // A file of any size may be one object; only what could be a record is built in memory to see whether it is one.
    if record::bounded(&stream[start..end]).is_ok() && is_sample(&stream[start..end]) {
        return Ok(Layout::JsonRecord);
    }
    let values = top_values(stream, start);
    if !values.is_empty() && values.iter().all(|(_, value)| stream.get(*value) == Some(&b'{')) {
        return Ok(Layout::JsonObject { at: String::new() });
    }
    let lists: Vec<&String> = values
        .iter()
        .filter(|(_, value)| {
            stream.get(*value) == Some(&b'[') && stream.get(json::skip_space(stream, value + 1)) == Some(&b'{')
        })
        .map(|(key, _)| key)
        .collect();
    match lists.as_slice() {
        [at] => Ok(Layout::JsonArray { at: (*at).clone() }),
        [] => Ok(Layout::JsonRecord),
        several => Err(format!(
            "holds several lists of records ({}); say which with `records:`",
            several.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
        )),
    }
}

fn top_values(stream: &[u8], open: usize) -> Vec<(String, usize)> {
    json::entries(stream, open)
        .flatten()
        .filter_map(|span| {
            let at = span.offset as usize;
            let key_end = json::string_end(stream, at)?;
            let key = serde_json::from_slice::<String>(&stream[at..key_end]).ok()?;
            let colon = json::skip_space(stream, key_end);
            Some((key, json::skip_space(stream, colon + 1)))
        })
        .collect()
}

fn top_keys(stream: &[u8], open: usize) -> String {
    const SHOWN: usize = 8;
    let keys = top_values(stream, open);
    let mut shown: Vec<String> = keys.iter().take(SHOWN).map(|(key, _)| format!("`{key}`")).collect();
    if keys.len() > SHOWN {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

/// Where the value at a dotted path starts.
fn find(stream: &[u8], open: usize, at: &str) -> Option<usize> {
    at.split('.').try_fold(open, |open, key| {
        if stream.get(open) != Some(&b'{') {
            return None;
        }
        top_values(stream, open).into_iter().find(|(name, _)| name == key).map(|(_, value)| value)
    })
}

/// The records of a stream, found as they are asked for.
pub fn records<'a>(stream: &'a [u8], layout: &Layout) -> Box<dyn Iterator<Item = Found> + Send + 'a> {
    let start = json::skip_space(stream, json::content_start(stream));
    let under = |at: &str| {
        let open = if at.is_empty() { Some(start) } else { find(stream, start, at) };
        let reason = || format!("there is nothing under `{at}`");
        open.ok_or_else(|| Malformed { record: 0, offset: start as u64, reason: reason() })
    };
    match layout {
        Layout::JsonLines => Box::new(json::lines(stream, json::content_start(stream)..stream.len()).map(Ok)),
        Layout::JsonRecord => {
            let length = json::value_end(stream, start).unwrap_or(stream.len()) - start;
            Box::new(std::iter::once(Ok(Span { offset: start as u64, length: length as u64 })))
        }
        Layout::JsonArray { at } => match under(at) {
            Ok(open) => members(stream, json::elements(stream, open), at),
            Err(nothing) => Box::new(std::iter::once(Err(nothing))),
        },
        Layout::JsonObject { at } => match under(at) {
            Ok(open) => members(stream, json::entries(stream, open), at),
            Err(nothing) => Box::new(std::iter::once(Err(nothing))),
        },
        Layout::Delimited { delimiter, quote, header, columns } => {
            Box::new(delimited::rows(stream, *delimiter, *quote, *header, columns.len()))
        }
        Layout::WebDataset => Box::new(webdataset::groups(stream).into_iter()),
        Layout::Mds => Box::new(mds::samples(stream)),
    }
}

/// The members, and a complaint where something follows an array or object that is all there should be.
fn members<'a>(stream: &'a [u8], mut members: Members<'a>, at: &str) -> Box<dyn Iterator<Item = Found> + Send + 'a> {
    let mut is_last = at.is_empty();
    let mut count = 0;
    Box::new(std::iter::from_fn(move || {
        if let Some(found) = members.next() {
            count += 1;
            return Some(found);
        }
        let tail = json::skip_space(stream, members.end()?);
        let byte = stream.get(tail).filter(|_| std::mem::take(&mut is_last))?;
        let reason = format!("`{}` after the end of the data", byte.escape_ascii());
        Some(Err(Malformed { record: count, offset: tail as u64, reason }))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(name: &str, text: &str) -> std::result::Result<Layout, String> {
        let is_sample = |bytes: &[u8]| bytes.starts_with(b"{\"question\"");
        layout(name, text.as_bytes(), &LayoutHint::default(), &is_sample)
    }

    #[test]
    fn json_is_told_by_content_not_by_name() {
        assert_eq!(shape("a.json", "{\"a\":1}\r\n{\"a\":2}\r\n"), Ok(Layout::JsonLines));
        assert_eq!(shape("a.jsonl", " [{}]"), Ok(Layout::JsonArray { at: String::new() }));
        assert_eq!(shape("a.json", "{\"1\":{},\"2\":{}}"), Ok(Layout::JsonObject { at: String::new() }));
        assert_eq!(shape("a.json", "{\"info\":{},\"rows\":[{}]}"), Ok(Layout::JsonArray { at: "rows".to_owned() }));
        assert_eq!(shape("a.json", "{\"question\":\"q\",\"turns\":[{}]}"), Ok(Layout::JsonRecord));
        assert!(shape("a.json", "{\"a\":[{}],\"b\":[{}]}").unwrap_err().contains("`a`, `b`"));
        assert!(shape("a.bin", "hello").unwrap_err().contains("starts with `h`"));
    }

    #[test]
    fn records_says_where() {
        let hint = LayoutHint { records: Some("a.b".to_owned()), ..LayoutHint::default() };
        let stream = br#"{"a":{"b":[{"x":1}]}}"#;
        let found = layout("a.json", stream, &hint, &|_| false).unwrap();
        assert_eq!(found, Layout::JsonArray { at: "a.b".to_owned() });
        let found: Vec<Found> = records(stream, &found).collect();
        assert_eq!(found[0].as_ref().unwrap().of(stream).unwrap(), br#"{"x":1}"#);
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn data_after_the_end_is_reported() {
        let found: Vec<Found> = records(b"[{}] x", &Layout::JsonArray { at: String::new() }).collect();
        assert!(matches!(found.as_slice(), [Ok(_), Err(tail)] if tail.reason.contains("after the end")));
    }
}
