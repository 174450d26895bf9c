//! Record boundaries in JSON text, without building the text's tree: lines, array elements, object entries.
//!
//! Boundaries are found by brackets and strings alone; whether a record is valid JSON is decided when it is parsed, so
//! one bad record costs that record and not the file.

use std::ops::Range;

use crate::record::{Found, Malformed, Span};

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

/// The end of the line that a place is in, its line break included.
pub fn line_end(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    memchr::memchr(b'\n', rest).map_or(bytes.len(), |length| at + length + 1)
}

/// One record per line of a range of whole lines; blank lines are no records, and a line may end in CRLF.
pub fn lines(bytes: &[u8], range: Range<usize>) -> impl Iterator<Item = Span> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        while start < range.end {
            let rest = &bytes[start..range.end];
            let line = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())];
            let offset = start + line.len() - line.trim_ascii_start().len();
            start += line.len() + 1;
            let length = line.trim_ascii().len();
            if length > 0 {
                return Some(Span { offset: offset as u64, length: length as u64 });
            }
        }
        None
    })
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

/// The elements of the array whose bracket is at `open`.
pub fn elements(bytes: &[u8], open: usize) -> Members<'_> {
    Members::new(bytes, open, b']', |bytes, at| value_end(bytes, at).ok_or("an element that never ends"))
}

/// The entries (`"key": value`, key included) of the object whose brace is at `open`.
pub fn entries(bytes: &[u8], open: usize) -> Members<'_> {
    Members::new(bytes, open, b'}', |bytes, at| {
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

type EndOf = fn(&[u8], usize) -> std::result::Result<usize, &'static str>;

/// What an array or object holds, one after another; the first thing amiss is the last thing given.
pub struct Members<'a> {
    bytes: &'a [u8],
    close: u8,
    end_of: EndOf,
    at: usize,
    count: u64,
    ended: bool,
}

impl<'a> Members<'a> {
    fn new(bytes: &'a [u8], open: usize, close: u8, end_of: EndOf) -> Self {
        Self { bytes, close, end_of, at: skip_space(bytes, open + 1), count: 0, ended: false }
    }

    /// Where what follows the closing bracket starts, once all members were given; the end of the bytes after a stop.
    pub fn end(&self) -> Option<usize> {
        self.ended.then_some(self.at)
    }

    fn stop(&mut self, reason: String) -> Malformed {
        let stopped = Malformed { record: self.count, offset: self.at as u64, reason };
        (self.at, self.ended) = (self.bytes.len(), true);
        stopped
    }

    /// Steps over what stands between two members. An error says what stands there instead.
    fn step(&mut self) -> std::result::Result<(), String> {
        let first = self.count == 0;
        self.at = skip_space(self.bytes, self.at);
        match self.bytes.get(self.at) {
            Some(byte) if *byte == self.close => (self.at, self.ended) = (self.at + 1, true),
            _ if first => {}
            Some(b',') => self.at = skip_space(self.bytes, self.at + 1),
            Some(_) => return Err(describe(self.bytes, self.at, "neither `,` nor the closing bracket")),
            None => return Err("the file ends before the closing bracket; it is cut short".to_owned()),
        }
        Ok(())
    }
}

impl Iterator for Members<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        if self.ended {
            return None;
        }
        if let Err(reason) = self.step() {
            return Some(Err(self.stop(reason)));
        }
        if self.ended {
            return None;
        }
        match (self.end_of)(self.bytes, self.at) {
            Ok(end) => {
                let span = Span { offset: self.at as u64, length: (end - self.at) as u64 };
                (self.at, self.count) = (end, self.count + 1);
                Some(Ok(span))
            }
            Err(reason) => {
                let reason = describe(self.bytes, self.at, reason);
                Some(Err(self.stop(reason)))
            }
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

    fn texts(bytes: &[u8], spans: impl IntoIterator<Item = Span>) -> Vec<String> {
        spans.into_iter().map(|span| String::from_utf8(span.of(bytes).unwrap().to_vec()).unwrap()).collect()
    }

    #[test]
    fn lines_skip_blanks_bom_and_crlf() {
        let bytes = b"\xef\xbb\xbf{\"a\":1}\r\n\n  \n{\"b\":2}";
        assert_eq!(texts(bytes, lines(bytes, content_start(bytes)..bytes.len())), ["{\"a\":1}", "{\"b\":2}"]);
    }

    #[test]
    fn elements_ignore_brackets_in_strings() {
        let bytes = br#" [ {"a":"]}\""} , 3, "x,y" ] tail"#;
        let mut found = elements(bytes, 1);
        assert_eq!(texts(bytes, found.by_ref().map(Result::unwrap)), [r#"{"a":"]}\""}"#, "3", r#""x,y""#]);
        assert_eq!(found.end().map(|end| &bytes[end..]), Some(&b" tail"[..]));
    }

    #[test]
    fn a_dangling_comma_or_a_cut_is_reported_with_its_line() {
        let last = |bytes: &[u8]| {
            let mut found: Vec<Found> = elements(bytes, 0).collect();
            (found.pop().unwrap().unwrap_err(), found.len())
        };
        let (stopped, num_found) = last(b"[{},\n]");
        assert_eq!((stopped.record, stopped.offset, num_found), (1, 5, 1));
        assert!(stopped.reason.starts_with("line 2: `]`"));
        assert!(last(b"[{},\n{\"a\":").0.reason.contains("never ends"));
        assert!(last(b"[{}").0.reason.contains("cut short"));
        assert!(last(b"[").0.reason.contains("cut short"));
    }

    #[test]
    fn entries_keep_their_keys() {
        let bytes = br#"{"1": {"q": 2}, "b" : [1]}"#;
        assert_eq!(texts(bytes, entries(bytes, 0).map(Result::unwrap)), [r#""1": {"q": 2}"#, r#""b" : [1]"#]);
        assert_eq!(entries(b"{ }", 0).count(), 0);
    }
}
