//! WebDataset tar files: consecutive members that share a name up to its first dot are one sample.

use std::borrow::Cow;
use std::io::Cursor;

use memchr::{memchr, memrchr};
use smallvec::SmallVec;

use crate::quick::Spare;
use crate::record::{Found, Malformed, Span};
use crate::value::{Value, parse_json_into, utf8};

const BLOCK: u64 = 512;
/// A sample rarely has more.
const USUAL_FIELDS: usize = 8;

/// What an archive that was merely packed holds.
const DATA_FILES: [&str; 6] = ["jsonl", "ndjson", "csv", "tsv", "parquet", "arrow"];

/// `dir/000017.seg.png` is the member `seg.png` of the sample `dir/000017`.
fn split_name(name: &str) -> (&str, &str) {
    let base = memrchr(b'/', name.as_bytes()).map_or(0, |slash| slash + 1);
    match memchr(b'.', &name.as_bytes()[base..]) {
        Some(dot) => (&name[..base + dot], &name[base + dot + 1..]),
        None => (name, ""),
    }
}

/// The byte range of each sample, headers included.
///
/// An archive ends with a block of zeros. Where that is missing, or a member is broken, the sample at hand may lack
/// members: it is not given, and the report says where it began.
pub fn groups(bytes: &[u8]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut open: Option<(String, u64)> = None;
    let mut end = 0_u64;
    let scanned = scan(bytes, &mut found, &mut open, &mut end);
    let whole = scanned.and_then(|()| {
        let rest = bytes.get(end as usize..).unwrap_or_default();
        match rest.get(..BLOCK as usize) {
            None => Err("there is no mark of the archive's end; the file is cut short".to_owned()),
            Some(_) if rest.iter().any(|byte| *byte != 0) => {
                Err("there are data behind the mark of the archive's end; are these several archives?".to_owned())
            }
            Some(_) => Ok(()),
        }
    });
    match (whole, open) {
        (Ok(()), Some((_, from))) => found.push(Ok(Span { offset: from, length: end - from })),
        (Ok(()), None) => {}
        (Err(reason), open) => {
            let offset = open.map_or(end, |(_, from)| from);
            found.push(Err(Malformed { record: found.len() as u64, offset, reason }));
        }
    }
    found
}

fn scan(
    bytes: &[u8],
    found: &mut Vec<Found>,
    open: &mut Option<(String, u64)>,
    end: &mut u64,
) -> std::result::Result<(), String> {
    let mut archive = tar::Archive::new(Cursor::new(bytes));
    for entry in archive.entries().map_err(|error| error.to_string())? {
        let entry = entry.map_err(|error| format!("a broken tar member: {error}"))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        let start = *end;
        if kind.is_symlink()
            || kind.is_hard_link()
            || kind.is_character_special()
            || kind.is_block_special()
            || kind.is_fifo()
        {
            return Err(format!("the member `{name}` is a link or a device and holds no data; pack the file itself"));
        }
        if name.starts_with('/') || name.split('/').any(|step| step == "..") {
            return Err(format!("the member `{name}` leads out of the archive; pack it under a plain name"));
        }
        let size = if kind.is_file() || kind.is_pax_global_extensions() { entry.size() } else { 0 };
        let after = entry.raw_file_position().saturating_add(size).checked_next_multiple_of(BLOCK);
        *end = after
            .filter(|after| *after <= bytes.len() as u64)
            .ok_or_else(|| format!("the member `{name}` runs past the end; the file is cut short"))?;
        if kind.is_pax_global_extensions() {
            continue;
        }
        let key = split_name(&name).0.to_owned();
        let same = kind.is_file() && open.as_ref().is_some_and(|(opened, _)| *opened == key);
        if !same && let Some((_, from)) = open.take() {
            found.push(Ok(Span { offset: from, length: start - from }));
        }
        if kind.is_file() && !same {
            *open = Some((key, start));
        }
    }
    Ok(())
}

type Entries<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

/// One sample as a map: the fields of its `.json` member, every other member under its extension, and `__key`.
pub(crate) fn parse_group<'a>(bytes: &'a [u8], spare: &mut Spare<'a>) -> std::result::Result<Value<'a>, String> {
    let mut entries = spare.map();
    entries.reserve(USUAL_FIELDS);
    match plain_members(bytes) {
        Some(members) => {
            for (name, content) in members {
                add_member(Cow::Borrowed(name), content, &mut entries, spare)?;
            }
        }
        None => add_members(bytes, &mut entries, spare)?,
    }
    Ok(Value::Map(entries))
}

/// Names and contents, in the order of the archive.
type Members<'a> = SmallVec<[(&'a str, &'a [u8]); 4]>;

/// The names and contents of members whose headers say all there is to say of them, which is usual. None where there is
/// anything else, for which the archive is read as one.
fn plain_members(bytes: &[u8]) -> Option<Members<'_>> {
    let mut members = Members::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at + BLOCK as usize;
        let header = tar::Header::from_byte_slice(bytes.get(at..start)?);
        let sum: u32 = header.as_bytes().iter().map(|byte| u32::from(*byte)).sum();
        // The sum itself counts as spaces.
        let own: u32 = header.as_old().cksum.iter().map(|byte| u32::from(*byte)).sum();
        if !header.entry_type().is_file() || header.cksum().ok()? != sum - own + 8 * u32::from(b' ') {
            return None;
        }
        let Cow::Borrowed(name) = header.path_bytes() else { return None };
        let size = header.entry_size().ok()?;
        let content = Span { offset: start as u64, length: size }.of(bytes)?;
        members.push((utf8(name).ok()?, content));
        at = start + size.checked_next_multiple_of(BLOCK)? as usize;
    }
    Some(members)
}

fn add_members<'a>(
    bytes: &'a [u8],
    entries: &mut Entries<'a>,
    spare: &mut Spare<'a>,
) -> std::result::Result<(), String> {
    let mut archive = tar::Archive::new(Cursor::new(bytes));
    for entry in archive.entries_with_seek().map_err(|error| error.to_string())? {
        let entry = entry.map_err(|error| format!("a broken tar member: {error}"))?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = utf8(&entry.path_bytes())?.to_owned();
        let span = Span { offset: entry.raw_file_position(), length: entry.size() };
        let content = span.of(bytes).ok_or_else(|| format!("the member `{name}` runs past the end"))?;
        add_member(Cow::Owned(name), content, entries, spare)?;
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "what is borrowed gives a key that is, and a reference would not")]
fn add_member<'a>(
    name: Cow<'a, str>,
    content: &'a [u8],
    entries: &mut Entries<'a>,
    spare: &mut Spare<'a>,
) -> std::result::Result<(), String> {
    let (key, extension) = match &name {
        Cow::Borrowed(name) => {
            let (key, extension) = split_name(name);
            (Cow::Borrowed(key), Cow::Borrowed(extension))
        }
        Cow::Owned(name) => {
            let (key, extension) = split_name(name);
            (Cow::Owned(key.to_owned()), Cow::Owned(extension.to_owned()))
        }
    };
    let ending = memrchr(b'.', extension.as_bytes()).map_or(&*extension, |dot| &extension[dot + 1..]);
    if DATA_FILES.contains(&ending) {
        return Err(format!("`{name}` is a data file and no part of a WebDataset sample; unpack the archive"));
    }
    if !entries.iter().any(|(field, _)| field == "__key") {
        entries.push((Cow::Borrowed("__key"), Value::Text(key)));
    }
    match &*extension {
        "json" => match parse_json_into(content, spare).map_err(|reason| format!("the member `{name}`: {reason}"))? {
            Value::Map(mut fields) => {
                entries.append(&mut fields);
                spare.keep(Value::Map(fields));
            }
            other => entries.push((Cow::Borrowed("json"), other)),
        },
        "txt" | "cls" | "text" | "caption" => {
            let text = utf8(content).map_err(|reason| format!("the member `{name}`: {reason}"))?;
            entries.push((extension, Value::Text(Cow::Borrowed(text))));
        }
        _ => entries.push((extension, Value::Bytes(Cow::Borrowed(content)))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append_data(&mut header, name, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn samples_are_runs_of_one_name_even_a_long_one() {
        let long = format!("d/{}", "x".repeat(150));
        let bytes = archive(&[
            ("d/a.json", b"{\"q\":1}"),
            ("d/a.jpg", b"JPEG"),
            (&format!("{long}.txt"), b"hello"),
            (&format!("{long}.seg.png"), b"PNG"),
        ]);
        let found = groups(&bytes);
        let records: Vec<String> = found
            .iter()
            .flatten()
            .map(|span| parse_group(span.of(&bytes).unwrap(), &mut Spare::default()).unwrap().to_json())
            .collect();
        assert_eq!(records.len(), found.len());
        assert_eq!(records[0], r#"{"__key":"d/a","q":1,"jpg":"data:;base64,SlBFRw=="}"#);
        assert!(records[1].contains("\"txt\":\"hello\"") && records[1].contains("seg.png"));
    }

    #[test]
    fn plain_members_are_those_that_the_archive_has() {
        let long = "x".repeat(150);
        let plain = archive(&[("d/a.json", b"{\"q\":1}"), ("d/a.jpg", &[7; 1000]), ("d/a.none", b"")]);
        let odd = archive(&[("d/a.json", b"{\"q\":1}"), (&format!("{long}.txt"), b"hello")]);
        assert_eq!(plain_members(&plain[..plain.len() - 1024]).unwrap().len(), 3);
        assert!(plain_members(&odd).is_none() && plain_members(&plain).is_none());
        for bytes in [&plain[..plain.len() - 1024], &odd[..]] {
            // Every byte of the first header, and of what follows it, as other bytes: quick or not, the same is found.
            for at in 0..bytes.len().min(1200) {
                for byte in [0, b'0', b'1', b'7', b'x', b'\\', 0x80, 0xff] {
                    let mut bytes = bytes.to_vec();
                    bytes[at] = byte;
                    let sum: u32 = bytes[..148].iter().chain(&bytes[156..512]).map(|byte| u32::from(*byte)).sum();
                    bytes[148..156].copy_from_slice(format!("{:06o}\0 ", sum + 256).as_bytes());
                    let mut slowly = Vec::new();
                    let slowly = add_members(&bytes, &mut slowly, &mut Spare::default()).map(|()| Value::Map(slowly));
                    assert_eq!(parse_group(&bytes, &mut Spare::default()), slowly, "{at} {byte}");
                }
            }
        }
    }

    #[test]
    fn a_cut_archive_is_reported() {
        let bytes = archive(&[("a.txt", b"hello"), ("b.txt", &[7; 2000])]);
        let found = groups(&bytes[..2500]);
        assert!(matches!(found.as_slice(), [Err(stopped)] if stopped.reason.contains("cut short")));
    }
}
