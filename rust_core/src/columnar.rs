//! The record stream of a Parquet file: its rows as JSON Lines, in order, so that a row has a byte range like any other.

use std::borrow::Cow;
use std::fs::File;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};

use crate::error::{CoreError, Result};
use crate::value::Value;

/// Writes every row of `path` to `out`, one JSON object a line; binary cells become data URIs.
///
/// The Parquet reader panics on some damaged files; that is a damaged file and nothing more.
pub fn write_rows(path: &Path, out: &mut impl Write) -> Result<()> {
    catch_unwind(AssertUnwindSafe(|| read_rows(path, out)))
        .unwrap_or_else(|_| Err(CoreError::format(path, "is a damaged Parquet file")))
}

fn read_rows(path: &Path, out: &mut impl Write) -> Result<()> {
    let file = File::open(path).map_err(|error| CoreError::io(path, error))?;
    let reader = SerializedFileReader::new(file).map_err(|error| CoreError::format(path, error))?;
    let rows = reader.get_row_iter(None).map_err(|error| CoreError::format(path, error))?;
    let mut line = String::new();
    for row in rows {
        let row = row.map_err(|error| CoreError::format(path, error))?;
        line.clear();
        group(&row).write_json(&mut line);
        line.push('\n');
        out.write_all(line.as_bytes()).map_err(|error| CoreError::io(path, error))?;
    }
    Ok(())
}

fn group(row: &Row) -> Value<'_> {
    Value::Map(row.get_column_iter().map(|(name, field)| (Cow::Borrowed(name.as_str()), cell(field))).collect())
}

fn cell(field: &Field) -> Value<'_> {
    match field {
        Field::Null => Value::Null,
        Field::Bool(flag) => Value::Bool(*flag),
        Field::Byte(number) => Value::Int(i128::from(*number)),
        Field::Short(number) => Value::Int(i128::from(*number)),
        Field::Int(number) => Value::Int(i128::from(*number)),
        Field::Long(number) => Value::Int(i128::from(*number)),
        Field::UByte(number) => Value::Int(i128::from(*number)),
        Field::UShort(number) => Value::Int(i128::from(*number)),
        Field::UInt(number) => Value::Int(i128::from(*number)),
        Field::ULong(number) => Value::Int(i128::from(*number)),
        Field::Float(number) => float(number.to_string()),
        Field::Double(number) => Value::Float(*number),
        Field::Str(text) => Value::Text(Cow::Borrowed(text)),
        Field::Bytes(bytes) => Value::Bytes(Cow::Borrowed(bytes.data())),
        Field::Group(row) => group(row),
        Field::ListInternal(list) => Value::List(list.elements().iter().map(cell).collect()),
        Field::MapInternal(map) => Value::Map(
            map.entries()
                .iter()
                .map(|(key, value)| {
                    let key = cell(key);
                    (Cow::Owned(key.scalar_text().unwrap_or_default().into_owned()), cell(value))
                })
                .collect(),
        ),
        // Half floats, decimals, dates, times and timestamps have one text form each.
        other => Value::Text(Cow::Owned(other.to_string().trim_matches('"').to_owned())),
    }
}

/// The shortest decimal of a 32-bit float, so that 0.1 stays 0.1 and not 0.10000000149.
fn float(text: String) -> Value<'static> {
    text.parse().map_or(Value::Text(Cow::Owned(text)), Value::Float)
}
