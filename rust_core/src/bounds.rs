//! What reading one file may cost. Data come from anywhere: whatever a file says of itself, memory stays below a constant
//! and a small multiple of the file's own size, and so does the disk for its seekable form.

/// What any file may expand to, however small it is.
pub const FREE_BYTES: u64 = 64 << 20;

/// Beyond that, how many times larger than the compressed bytes read so far their record stream may be. Text compresses
/// 5 to 20 times, text that repeats itself up to 100 times; a bomb, 1,000 times and more.
pub const MAX_EXPANSION: u64 = 200;

/// The same for one page of a Parquet column, which is held in memory.
pub const MAX_PAGE_EXPANSION: u64 = 10;

/// The same for a Parquet table that is read as a whole, its values counted as eight bytes each.
pub const MAX_TABLE_EXPANSION: u64 = 32;

/// Values of one page of a column of lists; a row of it is built in memory as a whole.
pub const MAX_PAGE_VALUES: u64 = 1 << 22;

/// The bytes of one record that is text, embedded media included.
pub const MAX_RECORD_BYTES: usize = 64 << 20;

/// The bytes of one sample of an archive: its members are taken as they are.
pub const MAX_ARCHIVED_BYTES: usize = 512 << 20;

/// Values of one JSON record: a value of two bytes takes thirty in memory.
pub const MAX_RECORD_VALUES: usize = 1 << 20;

/// The bytes of the row that names the columns of a delimited file.
pub const MAX_HEADER_BYTES: usize = 1 << 20;

/// The bytes of one line of a table that is read as a whole.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// A number of bytes for people.
pub fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
