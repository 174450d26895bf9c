//! WebDataset tar files: consecutive members that share a name up to its first dot are one sample.

use std::borrow::Cow;
use std::io::Cursor;

use crate::record::{Found, Malformed, Span};
use crate::value::{Value, parse_json, utf8};

const BLOCK: u64 = 512;

/// What an archive that was merely packed holds.
const DATA_FILES: [&str; 6] = ["jsonl", "ndjson", "csv", "tsv", "parquet", "arrow"];

/// `dir/000017.seg.png` is the member `seg.png` of the sample `dir/000017`.
fn split_name(name: &str) -> (&str, &str) {
    let base = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[base..].find('.') {
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

/// One sample as a map: the fields of its `.json` member, every other member under its extension, and `__key`.
pub fn parse_group(bytes: &[u8]) -> std::result::Result<Value<'_>, String> {
    let mut entries: Vec<(Cow<'_, str>, Value<'_>)> = Vec::new();
    let mut archive = tar::Archive::new(Cursor::new(bytes));
    for entry in archive.entries_with_seek().map_err(|error| error.to_string())? {
        let entry = entry.map_err(|error| format!("a broken tar member: {error}"))?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = utf8(&entry.path_bytes())?.to_owned();
        let (key, extension) = split_name(&name);
        if DATA_FILES.iter().any(|ending| extension.rsplit('.').next() == Some(ending)) {
            return Err(format!("`{name}` is a data file and no part of a WebDataset sample; unpack the archive"));
        }
        let span = Span { offset: entry.raw_file_position(), length: entry.size() };
        let content = span.of(bytes).ok_or_else(|| format!("the member `{name}` runs past the end"))?;
        if !entries.iter().any(|(field, _)| field == "__key") {
            entries.push((Cow::Borrowed("__key"), Value::Text(Cow::Owned(key.to_owned()))));
        }
        match extension {
            "json" => match parse_json(content).map_err(|reason| format!("the member `{name}`: {reason}"))? {
                Value::Map(fields) => entries.extend(fields),
                other => entries.push((Cow::Borrowed("json"), other)),
            },
            "txt" | "cls" | "text" | "caption" => {
                let text = utf8(content).map_err(|reason| format!("the member `{name}`: {reason}"))?;
                entries.push((Cow::Owned(extension.to_owned()), Value::Text(Cow::Borrowed(text))));
            }
            _ => entries.push((Cow::Owned(extension.to_owned()), Value::Bytes(Cow::Borrowed(content)))),
        }
    }
    Ok(Value::Map(entries))
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
        let records: Vec<String> =
            found.iter().flatten().map(|span| parse_group(span.of(&bytes).unwrap()).unwrap().to_json()).collect();
        assert_eq!(records.len(), found.len());
        assert_eq!(records[0], r#"{"__key":"d/a","q":1,"jpg":"data:;base64,SlBFRw=="}"#);
        assert!(records[1].contains("\"txt\":\"hello\"") && records[1].contains("seg.png"));
    }

    #[test]
    fn a_cut_archive_is_reported() {
        let bytes = archive(&[("a.txt", b"hello"), ("b.txt", &[7; 2000])]);
        let found = groups(&bytes[..2500]);
        assert!(matches!(found.as_slice(), [Err(stopped)] if stopped.reason.contains("cut short")));
    }
}
