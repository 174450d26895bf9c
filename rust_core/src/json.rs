//! Record boundaries in JSON text, without building the text's tree: lines, array elements, object entries.
//!
//! Boundaries are found by brackets and strings alone; whether a record is valid JSON is decided when it is parsed, so
//! one bad record costs that record and not the file.

use crate::record::{Malformed, Span};

/// Spans of the records of a file, and what stopped the scan, if anything did.
#[derive(Debug, Default, PartialEq)]
pub struct Boundaries {
    pub spans: Vec<Span>,
    pub stopped: Option<Malformed>,
}

impl Boundaries {
    fn stop(mut self, offset: usize, reason: impl Into<String>) -> Self {
        self.stopped =
            Some(Malformed { record: self.spans.len() as u64, offset: offset as u64, reason: reason.into() });
        self
    }
}

/// A byte order mark is no part of the data.
pub fn content_start(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 }
}

pub fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// One record per line; blank lines are no records, and a line may end in CRLF.
pub fn lines(bytes: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut start = content_start(bytes);
    while start < bytes.len() {
        let end = memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |length| start + length);
        let line = bytes[start..end].trim_ascii();
        if !line.is_empty() {
            let lead = bytes[start..end].len() - bytes[start..end].trim_ascii_start().len();
            spans.push(Span { offset: (start + lead) as u64, length: line.len() as u64 });
        }
        start = end + 1;
    }
    spans
}

/// The end of the string whose opening quote is at `at`, or None where it never closes.
pub fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The end of the value that starts at `at`, or None where it never closes.
pub fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => string_end(bytes, at),
        b'{' | b'[' => {
            let mut depth = 0_usize;
            let mut at = at;
            loop {
                match bytes.get(at)? {
                    b'"' => {
                        at = string_end(bytes, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
        }
        b',' | b':' | b'}' | b']' => None,
        _ => {
            let rest = &bytes[at..];
            let length = rest
                .iter()
                .position(|byte| matches!(byte, b',' | b']' | b'}' | b':') || byte.is_ascii_whitespace())
                .unwrap_or(rest.len());
            (length > 0).then_some(at + length)
        }
    }
}

/// At least as many as the values of a JSON text, by its brackets and commas alone.
pub fn num_values(bytes: &[u8]) -> usize {
    let (mut at, mut found) = (0, 1);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => match string_end(bytes, at) {
                Some(end) => {
                    at = end;
                    continue;
                }
                None => return found,
            },
            b',' | b'[' | b'{' => found += 1,
            _ => {}
        }
        at += 1;
    }
    found
}

/// The elements of the array whose bracket is at `open`, and where the array ends.
pub fn elements(bytes: &[u8], open: usize) -> (Boundaries, usize) {
    members(bytes, open, b']', |bytes, at| value_end(bytes, at).ok_or("an element that never ends"))
}

/// The entries (`"key": value`, key included) of the object whose brace is at `open`, and where the object ends.
pub fn entries(bytes: &[u8], open: usize) -> (Boundaries, usize) {
    members(bytes, open, b'}', |bytes, at| {
        if bytes.get(at) != Some(&b'"') {
            return Err("a key that is not a string");
        }
        let key_end = string_end(bytes, at).ok_or("a key that never ends")?;
        let colon = skip_space(bytes, key_end);
        if bytes.get(colon) != Some(&b':') {
            return Err("a key without a colon");
        }
        value_end(bytes, skip_space(bytes, colon + 1)).ok_or("a value that never ends")
    })
}

fn members(
    bytes: &[u8],
    open: usize,
    close: u8,
    end_of: impl Fn(&[u8], usize) -> std::result::Result<usize, &'static str>,
) -> (Boundaries, usize) {
    let mut found = Boundaries::default();
    let mut at = skip_space(bytes, open + 1);
    if bytes.get(at) == Some(&close) {
        return (found, at + 1);
    }
    loop {
        match end_of(bytes, at) {
            Ok(end) => {
                found.spans.push(Span { offset: at as u64, length: (end - at) as u64 });
                at = skip_space(bytes, end);
            }
            Err(reason) => return (found.stop(at, describe(bytes, at, reason)), bytes.len()),
        }
        match bytes.get(at) {
            Some(b',') => at = skip_space(bytes, at + 1),
            Some(byte) if *byte == close => return (found, at + 1),
            Some(_) => {
                let reason = describe(bytes, at, "neither `,` nor the closing bracket");
                return (found.stop(at, reason), bytes.len());
            }
            None => return (found.stop(at, "the file ends before the closing bracket; it is cut short"), bytes.len()),
        }
    }
}

fn describe(bytes: &[u8], at: usize, reason: &str) -> String {
    let line = 1 + memchr::memchr_iter(b'\n', &bytes[..at.min(bytes.len())]).count();
    match bytes.get(at) {
        Some(byte) => format!("line {line}: `{}` where a record should be: {reason}", byte.escape_ascii()),
        None => format!("line {line}: the file ends inside a record; it is cut short"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(bytes: &[u8], spans: &[Span]) -> Vec<String> {
        spans.iter().map(|span| String::from_utf8(span.of(bytes).unwrap().to_vec()).unwrap()).collect()
    }

    #[test]
    fn lines_skip_blanks_bom_and_crlf() {
        let bytes = b"\xef\xbb\xbf{\"a\":1}\r\n\n  \n{\"b\":2}";
        assert_eq!(texts(bytes, &lines(bytes)), ["{\"a\":1}", "{\"b\":2}"]);
    }

    #[test]
    fn elements_ignore_brackets_in_strings() {
        let bytes = br#" [ {"a":"]}\""} , 3, "x,y" ] tail"#;
        let (found, end) = elements(bytes, 1);
        assert_eq!(texts(bytes, &found.spans), [r#"{"a":"]}\""}"#, "3", r#""x,y""#]);
        assert_eq!(found.stopped, None);
        assert_eq!(&bytes[end..], b" tail");
    }

    #[test]
    fn a_dangling_comma_or_a_cut_is_reported_with_its_line() {
        let (found, _) = elements(b"[{},\n]", 0);
        assert_eq!(found.spans.len(), 1);
        assert!(found.stopped.unwrap().reason.starts_with("line 2: `]`"));
        let (found, _) = elements(b"[{},\n{\"a\":", 0);
        assert!(found.stopped.unwrap().reason.contains("never ends"));
        let (found, _) = elements(b"[{}", 0);
        assert!(found.stopped.unwrap().reason.contains("cut short"));
    }

    #[test]
    fn entries_keep_their_keys() {
        let bytes = br#"{"1": {"q": 2}, "b" : [1]}"#;
        let (found, _) = entries(bytes, 0);
        assert_eq!(texts(bytes, &found.spans), [r#""1": {"q": 2}"#, r#""b" : [1]"#]);
    }
}
