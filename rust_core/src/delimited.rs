//! Rows of CSV and TSV files. A quoted cell may hold line breaks, so boundaries come from the CSV reader.

use std::borrow::Cow;

use csv_core::ReadRecordResult;

use crate::bounds::MAX_HEADER_BYTES;
use crate::json::content_start;
use crate::record::{Found, Malformed, Span};
use crate::value::{Value, utf8};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

fn reader(bytes: &[u8], delimiter: char, quote: bool) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .delimiter(u8::try_from(delimiter).unwrap_or(b','))
        .quoting(quote)
        .has_headers(false)
        .flexible(true)
        .from_reader(bytes)
}

/// The cells of the first row: the header of a file that has one.
pub fn first_row(bytes: &[u8], delimiter: char, quote: bool) -> std::result::Result<Vec<String>, String> {
    let mut row = csv::ByteRecord::new();
    let bytes = &bytes[content_start(bytes)..];
    let head = &bytes[..bytes.len().min(MAX_HEADER_BYTES)];
    let mut reader = reader(head, delimiter, quote);
    reader.read_byte_record(&mut row).map_err(|error| error.to_string())?;
    if head.len() < bytes.len() && reader.position().byte() == head.len() as u64 {
        return Err(format!("its first row is longer than {MAX_HEADER_BYTES} bytes; is a quote left open?"));
    }
    row.iter().map(|cell| utf8(cell).map(str::to_owned)).collect()
}

/// The rows of a file; a row whose number of cells differs from `num_columns` is malformed.
///
/// Cells are counted and thrown away, so that a row as long as the file takes no memory.
pub fn rows(
    bytes: &[u8],
    delimiter: char,
    quote: bool,
    has_header: bool,
    num_columns: usize,
) -> impl Iterator<Item = Found> {
    let mut scanner =
        csv_core::ReaderBuilder::new().delimiter(u8::try_from(delimiter).unwrap_or(b',')).quoting(quote).build();
    let mut skip = has_header;
    let mut record = 0_u64;
    let mut begin = content_start(bytes);
    let (mut thrown_away, mut ends) = ([0_u8; 4096], [0_usize; 256]);
    std::iter::from_fn(move || {
        loop {
            let (mut end, mut num_cells) = (begin, 0);
            loop {
                let (state, read, _, cells) = scanner.read_record(&bytes[end..], &mut thrown_away, &mut ends);
                end += read;
                num_cells += cells;
                match state {
                    // No more input is what tells the scanner that the last row is over.
                    ReadRecordResult::InputEmpty | ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {}
                    ReadRecordResult::Record => break,
                    ReadRecordResult::End => return None,
                }
            }
            let lead = bytes[begin..end].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            let offset = (begin + lead) as u64;
            let length = (end - begin - lead) as u64;
            begin = end;
            if std::mem::take(&mut skip) {
                continue;
            }
            record += 1;
            if num_cells == num_columns {
                return Some(Ok(Span { offset, length }));
            }
            let reason = format!("a row of {num_cells} cells where the file has {num_columns} columns");
            return Some(Err(Malformed { record: record - 1, offset, reason }));
        }
    })
}

/// One row as a map of text; an empty cell is null.
pub fn parse_row(
    bytes: &[u8],
    delimiter: char,
    quote: bool,
    columns: &[String],
) -> std::result::Result<Value<'static>, String> {
    let mut row = csv::ByteRecord::new();
    // The reader takes a byte order mark off whatever it begins with; inside a file one is data.
    let marked = if bytes.starts_with(BYTE_ORDER_MARK) { [BYTE_ORDER_MARK, bytes].concat() } else { Vec::new() };
    let bytes = if marked.is_empty() { bytes } else { &marked };
    reader(bytes, delimiter, quote).read_byte_record(&mut row).map_err(|error| error.to_string())?;
    if row.len() != columns.len() {
        return Err(format!("a row of {} cells where the file has {} columns", row.len(), columns.len()));
    }
    let mut entries = Vec::with_capacity(columns.len());
    for (name, cell) in columns.iter().zip(row.iter()) {
        let value = if cell.is_empty() { Value::Null } else { Value::Text(Cow::Owned(utf8(cell)?.to_owned())) };
        entries.push((Cow::Owned(name.clone()), value));
    }
    Ok(Value::Map(entries))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_span_quoted_line_breaks_and_crlf() {
        let bytes = b"a,b\r\n1,\"x\r\ny\"\r\n\r\n2,z";
        let columns = ["a".to_owned(), "b".to_owned()];
        let values: Vec<String> = rows(bytes, ',', true, true, 2)
            .map(|found| parse_row(found.unwrap().of(bytes).unwrap(), ',', true, &columns).unwrap().to_json())
            .collect();
        assert_eq!(values, [r#"{"a":"1","b":"x\r\ny"}"#, r#"{"a":"2","b":"z"}"#]);
    }

    #[test]
    fn a_short_row_is_malformed() {
        let found: Vec<Found> = rows(b"a,b\n1\n2,3\n", ',', true, true, 2).collect();
        let malformed = found[0].as_ref().unwrap_err();
        assert_eq!(malformed.record, 0);
        assert!(malformed.reason.contains("1 cells"));
        assert_eq!(found[1..], [Ok(Span { offset: 6, length: 4 })]);
    }
}
