//! The file of a shard: Parquet, of whole numbers and bytes that every row has.
//!
//! The library writes all but the numbers: those are packed as differences here (DELTA_BINARY_PACKED, Parquet's Encodings.md),
//! a block at a time and not a value at a time, which takes a fifth of its time.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, LogicalType, Repetition, Type as Physical};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, KeyValue};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedPageWriter, TrackedWrite};
use parquet::schema::types::{ColumnDescPtr, Type};

use crate::error::{CoreError, Result};

/// Differences of a block, and of each of its parts that have a width of their own: as most writers have them.
const BLOCK: usize = 128;
const PART: usize = 32;

/// A column: its rows one behind another, `width` bytes each. Of 4 and 8 bytes they are unsigned numbers, `packed` or not.
pub struct Column<'a> {
    pub name: &'a str,
    pub width: usize,
    pub packed: bool,
    pub bytes: &'a [u8],
}

impl Column<'_> {
    fn dtype(&self) -> std::result::Result<Type, ParquetError> {
        let of = |physical| Type::primitive_type_builder(self.name, physical).with_repetition(Repetition::REQUIRED);
        let unsigned = |bits| Some(LogicalType::integer(bits, false));
        match self.width {
            4 => of(Physical::INT32).with_logical_type(unsigned(32)).build(),
            8 => of(Physical::INT64).with_logical_type(unsigned(64)).build(),
            width => of(Physical::FIXED_LEN_BYTE_ARRAY).with_length(i32::try_from(width).unwrap_or(-1)).build(),
        }
    }

    /// The values of some rows, as they stand in a page.
    fn encoded(&self, first: usize, rows: usize) -> (Vec<u8>, Encoding) {
        let bytes = &self.bytes[first * self.width..(first + rows) * self.width];
        match self.width {
            4 if self.packed => (packed(bytes.as_chunks::<4>().0), Encoding::DELTA_BINARY_PACKED),
            8 if self.packed => (packed(bytes.as_chunks::<8>().0), Encoding::DELTA_BINARY_PACKED),
            _ => (bytes.to_vec(), Encoding::PLAIN),
        }
    }
}

/// The file of these columns, in groups of so many rows, with a text under a key beside them.
pub fn file(columns: &[Column<'_>], group: usize, note: (&str, &str)) -> Result<Vec<u8>> {
    let rows = columns.first().map_or(0, |column| column.bytes.len() / column.width.max(1));
    if group == 0 || columns.iter().any(|column| column.width == 0 || column.bytes.len() != rows * column.width) {
        return Err(CoreError::Contract("columns of different lengths".to_owned()));
    }
    written(columns, rows, group, note).map_err(|error| CoreError::Contract(error.to_string()))
}

fn written(
    columns: &[Column<'_>],
    rows: usize,
    group: usize,
    (key, text): (&str, &str),
) -> std::result::Result<Vec<u8>, ParquetError> {
    let fields = columns.iter().map(|column| column.dtype().map(Arc::new)).collect::<std::result::Result<_, _>>()?;
    let schema = Type::group_type_builder("schema").with_fields(fields).build()?;
    let properties = WriterProperties::builder().set_created_by("recipe-compiler".to_owned()).build();
    // What is not written takes no memory.
    let room = columns.iter().map(|column| column.bytes.len()).sum();
    let mut writer = SerializedFileWriter::new(Vec::with_capacity(room), Arc::new(schema), Arc::new(properties))?;
    for first in (0..rows).step_by(group) {
        let num = group.min(rows - first);
        let descriptions = writer.schema_descr().columns().to_vec();
        let mut rows = writer.next_row_group()?;
        for (column, description) in columns.iter().zip(descriptions) {
            let (data, encoding) = column.encoded(first, num);
            let (chunk, close) = chunk(description, data, encoding, num)?;
            rows.append_column(&chunk, close)?;
        }
        rows.close()?;
    }
    writer.append_key_value_metadata(KeyValue::new(key.to_owned(), text.to_owned()));
    writer.into_inner()
}

/// A column of a group of rows: one page.
fn chunk(
    description: ColumnDescPtr,
    data: Vec<u8>,
    encoding: Encoding,
    rows: usize,
) -> std::result::Result<(Bytes, ColumnCloseResult), ParquetError> {
    let too_many = |_| ParquetError::General("too many rows for a page".to_owned());
    let (size, num_values) = (data.len(), u32::try_from(rows).map_err(too_many)?);
    let page = Page::DataPage {
        buf: data.into(),
        num_values,
        encoding,
        def_level_encoding: Encoding::RLE,
        rep_level_encoding: Encoding::RLE,
        statistics: None,
    };
    let mut sink = TrackedWrite::new(Vec::with_capacity(size + BLOCK));
    SerializedPageWriter::new(&mut sink).write_page(CompressedPage::new(page, size))?;
    let chunk = Bytes::from(sink.into_inner()?);
    let metadata = ColumnChunkMetaData::builder(description)
        .set_encodings(vec![encoding])
        .set_compression(Compression::UNCOMPRESSED)
        .set_num_values(i64::from(num_values))
        .set_total_compressed_size(chunk.len() as i64)
        .set_total_uncompressed_size(chunk.len() as i64)
        .set_data_page_offset(0)
        .build()?;
    let close = ColumnCloseResult {
        bytes_written: chunk.len() as u64,
        rows_written: rows as u64,
        metadata,
        bloom_filter: None,
        column_index: None,
        offset_index: None,
    };
    Ok((chunk, close))
}

/// A number whose differences are packed: as Parquet has it, with a sign, and wrapping around at its own width.
trait Number: Copy {
    fn value(self) -> i64;
    fn difference(self, before: Self) -> i64;
}

impl Number for [u8; 4] {
    fn value(self) -> i64 {
        i64::from(i32::from_le_bytes(self))
    }

    fn difference(self, before: Self) -> i64 {
        i64::from(i32::from_le_bytes(self).wrapping_sub(i32::from_le_bytes(before)))
    }
}

impl Number for [u8; 8] {
    fn value(self) -> i64 {
        i64::from_le_bytes(self)
    }

    fn difference(self, before: Self) -> i64 {
        self.value().wrapping_sub(before.value())
    }
}

fn packed<T: Number>(values: &[T]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(values.len() * 2 + BLOCK);
    varint(BLOCK as u64, &mut packed);
    varint((BLOCK / PART) as u64, &mut packed);
    varint(values.len() as u64, &mut packed);
    varint(zigzag(values.first().map_or(0, |first| first.value())), &mut packed);
    let mut words = [[0; 8]; PART + 1];
    for start in (1..values.len()).step_by(BLOCK) {
        let num = BLOCK.min(values.len() - start);
        let (before, here) = (&values[start - 1..start - 1 + num], &values[start..start + num]);
        let step = here[0].difference(before[0]);
        // Columns that are the same for all rows, or count them, are told soon.
        let differs = before.iter().zip(here).fold(0, |any, (before, here)| any | (here.difference(*before) ^ step));
        if differs == 0 {
            varint(zigzag(step), &mut packed);
            packed.extend([0; BLOCK / PART]);
            continue;
        }
        let mut above = [0_u64; BLOCK];
        let mut least = step;
        for (above, (before, here)) in above.iter_mut().zip(before.iter().zip(here)) {
            let difference = here.difference(*before);
            *above = difference as u64;
            least = least.min(difference);
        }
        above[..num].iter_mut().for_each(|above| *above = above.wrapping_sub(least as u64));
        varint(zigzag(least), &mut packed);
        // What lies behind the last value has no bits, in a part that has values as many as the others.
        let parts = above.as_chunks::<PART>().0;
        let widths = parts.iter().map(|part| u64::BITS - part.iter().fold(0, |any, above| any | above).leading_zeros());
        packed.extend(widths.clone().map(|width| width as u8));
        parts.iter().zip(widths).for_each(|(part, width)| pack(part, width, &mut words, &mut packed));
    }
    packed
}

/// Numbers of so many bits, one behind another from the lowest bit on. The words are room that is used again.
fn pack(numbers: &[u64; PART], width: u32, words: &mut [[u8; 8]; PART + 1], packed: &mut Vec<u8>) {
    let (mut num, mut word, mut filled) = (0, 0, 0);
    if width == 0 {
        return;
    }
    for number in numbers {
        word |= number << filled;
        filled += width;
        if filled >= u64::BITS {
            words[num] = word.to_le_bytes();
            num += 1;
            filled -= u64::BITS;
            word = if filled == 0 { 0 } else { number >> (width - filled) };
        }
    }
    words[num] = word.to_le_bytes();
    packed.extend_from_slice(&words.as_flattened()[..PART / 8 * width as usize]);
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn varint(mut value: u64, to: &mut Vec<u8>) {
    while value > 127 {
        to.push(value as u8 | 128);
        value >>= 7;
    }
    to.push(value as u8);
}

#[cfg(test)]
mod tests {
    use parquet::column::reader::{ColumnReader, get_typed_column_reader};
    use parquet::data_type::{FixedLenByteArrayType, Int32Type, Int64Type};
    use parquet::file::reader::{FileReader, SerializedFileReader};

    use super::*;

    /// The values of each column as the library reads them, 8 bytes each, or 16.
    fn read(file: Vec<u8>) -> Vec<Vec<u8>> {
        let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
        let columns = reader.metadata().file_metadata().schema_descr().num_columns();
        let mut found = vec![Vec::new(); columns];
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group).unwrap();
            let rows = group.metadata().num_rows() as usize;
            for (column, found) in found.iter_mut().enumerate() {
                match group.get_column_reader(column).unwrap() {
                    any @ ColumnReader::Int32ColumnReader(_) => {
                        let mut values = Vec::new();
                        get_typed_column_reader::<Int32Type>(any).read_records(rows, None, None, &mut values).unwrap();
                        found.extend(values.iter().flat_map(|value| value.to_le_bytes()));
                    }
                    any @ ColumnReader::Int64ColumnReader(_) => {
                        let mut values = Vec::new();
                        get_typed_column_reader::<Int64Type>(any).read_records(rows, None, None, &mut values).unwrap();
                        found.extend(values.iter().flat_map(|value| value.to_le_bytes()));
                    }
                    any => {
                        let mut values = Vec::new();
                        let mut reader = get_typed_column_reader::<FixedLenByteArrayType>(any);
                        reader.read_records(rows, None, None, &mut values).unwrap();
                        found.extend(values.iter().flat_map(|value| value.data().to_vec()));
                    }
                }
            }
        }
        found
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        // Numbers of all widths, whose differences wrap around; constant ones, steady ones, and ones that jump.
        let spread = |row: u64, bits: u32| row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits);
        for rows in [0_u64, 1, 2, 31, 32, 33, 127, 128, 129, 130, 257, 1000] {
            for bits in 1..=64 {
                let wide = |row: u64| if row % 7 == 3 { u64::MAX - spread(row, bits) } else { spread(row, bits) };
                let long: Vec<u8> = (0..rows).flat_map(|row| wide(row).to_le_bytes()).collect();
                let short: Vec<u8> = (0..rows).flat_map(|row| (wide(row) as u32).to_le_bytes()).collect();
                let constant: Vec<u8> = (0..rows).flat_map(|_| 77_u32.to_le_bytes()).collect();
                let steady: Vec<u8> =
                    (0..rows).flat_map(|row| (u64::MAX - 3).wrapping_add(row).to_le_bytes()).collect();
                let ids: Vec<u8> = (0..rows).flat_map(|row| u128::from(spread(row, 64)).to_le_bytes()).collect();
                let column = |name, width, packed, bytes| Column { name, width, packed, bytes };
                let columns = [
                    column("long", 8, true, &long),
                    column("short", 4, true, &short),
                    column("constant", 4, true, &constant),
                    column("steady", 8, true, &steady),
                    column("plain", 4, false, &short),
                    column("ids", 16, false, &ids),
                ];
                for group in [1 << 16, 130] {
                    let found = read(file(&columns, group, ("key", "text")).unwrap());
                    assert!(found.iter().zip(&columns).all(|(found, column)| found == column.bytes), "{rows} {bits}");
                }
            }
        }
    }

    #[test]
    fn columns_have_the_same_rows() {
        let of = |width, bytes| Column { name: "a", width, packed: true, bytes };
        assert!(file(&[of(4, &[0; 8]), of(8, &[0; 8])], 9, ("", "")).is_err());
        assert!(file(&[of(0, &[])], 9, ("", "")).is_err());
        assert!(file(&[of(4, &[0; 8])], 0, ("", "")).is_err());
    }
}
