//! The record stream of a Parquet file: its rows as JSON Lines, in order, so that a row has a byte range like any other.

use std::borrow::Cow;
use std::cell::Cell;
use std::fs::File;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Once;

use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::record::reader::TreeBuilder;
use parquet::record::{Field, Row};

use crate::bounds;
use crate::deltas::CheckedGroup;
use crate::error::{CoreError, Result};
use crate::pages::{GuardedFile, Total};
use crate::value::Value;

/// Gives every row of `path` to `take` as one JSON object and a line break; binary cells become data URIs.
pub fn each_row(path: &Path, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    surviving(path, || read_rows(path, take))
}

/// Runs the Parquet reader, which panics on some damaged files. That is a damaged file and nothing more, and nothing to
/// print a backtrace for.
fn surviving(path: &Path, work: impl FnOnce() -> Result<()>) -> Result<()> {
    static SILENCER: Once = Once::new();
    SILENCER.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !SILENT.get() {
                usual(info);
            }
        }));
    });
    let before = SILENT.replace(true);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    SILENT.set(before);
    done.unwrap_or_else(|_| Err(CoreError::format(path, "is a damaged Parquet file")))
}

thread_local! {
    static SILENT: Cell<bool> = const { Cell::new(false) };
}

/// What is wrong with a file, in the words of whoever found it.
fn broken(path: &Path, error: ParquetError) -> CoreError {
    match error {
        ParquetError::External(inner) => CoreError::format(path, inner),
        other => CoreError::format(path, other),
    }
}

fn open(path: &Path) -> Result<(SerializedFileReader<GuardedFile>, impl Fn() -> Total)> {
    let open = || File::open(path).map_err(|error| CoreError::io(path, error));
    let broken = |error| broken(path, error);
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&open()?).map_err(broken)?;
    let file = GuardedFile::new(open()?, &metadata).map_err(broken)?;
    let total = file.total();
    Ok((SerializedFileReader::new(file).map_err(broken)?, total))
}

/// Rows that are read at a time: in a page in delta encoding each may be as long as the page.
const ROWS_AT_HAND: usize = 64;

/// Looks at the header of every page of a table that another reader is to read as a whole, and expands none. One that
/// would take memory out of proportion is refused.
pub fn check_table(path: &Path) -> Result<()> {
    surviving(path, || look_at_pages(path))
}

fn look_at_pages(path: &Path) -> Result<()> {
    let broken = |error| broken(path, error);
    let (reader, total) = open(path)?;
    let size = std::fs::metadata(path).map_err(|error| CoreError::io(path, error))?.len();
    let most = bounds::FREE_BYTES.max(size.saturating_mul(bounds::MAX_TABLE_EXPANSION));
    let mut cells = 0_u64;
    for number in 0..reader.num_row_groups() {
        let group = reader.get_row_group(number).map_err(broken)?;
        let rows = u64::try_from(group.metadata().num_rows()).unwrap_or(u64::MAX);
        cells = cells.saturating_add(rows.saturating_mul(group.num_columns() as u64));
        for column in 0..group.num_columns() {
            let mut pages = group.get_column_page_reader(column).map_err(broken)?;
            while pages.peek_next_page().map_err(broken)?.is_some() {
                pages.skip_next_page().map_err(broken)?;
            }
        }
        let found = total();
        let expanded = found.expanded.max(found.num_values.max(cells).saturating_mul(8));
        if expanded > most {
            let reason = format!(
                "would take more than {} in memory, over {} times its {size} bytes, as a bomb does and data do not",
                bounds::mebibytes(expanded),
                bounds::MAX_TABLE_EXPANSION
            );
            return Err(CoreError::format(path, reason));
        }
    }
    Ok(())
}

fn read_rows(path: &Path, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let broken = |error| broken(path, error);
    let (reader, _) = open(path)?;
    let mut line = String::new();
    for number in 0..reader.num_row_groups() {
        let checked = CheckedGroup(reader.get_row_group(number).map_err(broken)?);
        let schema = checked.metadata().schema_descr_ptr();
        let rows = TreeBuilder::new().with_batch_size(ROWS_AT_HAND).as_iter(schema, &checked).map_err(broken)?;
        for row in rows {
            let row = row.map_err(broken)?;
            line.clear();
            group(&row).write_json(&mut line);
            line.push('\n');
            take(line.as_bytes())?;
        }
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
