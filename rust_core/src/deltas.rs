//! Looks at pages of text in delta encoding before they are decoded. Such a page says itself how many lengths it holds, and
//! the Parquet reader makes room for as many; here it may hold no more than the page has values.

use parquet::basic::Encoding;
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::RowGroupReader;
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;

pub(crate) struct CheckedGroup<'r>(pub(crate) Box<dyn RowGroupReader + 'r>);

impl RowGroupReader for CheckedGroup<'_> {
    fn metadata(&self) -> &RowGroupMetaData {
        self.0.metadata()
    }

    fn num_columns(&self) -> usize {
        self.0.num_columns()
    }

    fn get_column_page_reader(&self, column: usize) -> Result<Box<dyn PageReader>> {
        let description = self.metadata().column(column).column_descr();
        let levels = [description.max_rep_level() > 0, description.max_def_level() > 0];
        Ok(Box::new(CheckedPages { pages: self.0.get_column_page_reader(column)?, levels }))
    }

    fn get_column_bloom_filter(&self, column: usize) -> Option<&Sbbf> {
        self.0.get_column_bloom_filter(column)
    }

    fn get_row_iter(&self, projection: Option<Type>) -> Result<RowIter<'_>> {
        RowIter::from_row_group(projection, self)
    }
}

struct CheckedPages {
    pages: Box<dyn PageReader>,
    /// Whether repetition and definition levels stand before the values.
    levels: [bool; 2],
}

impl Iterator for CheckedPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Result<Page>> {
        self.get_next_page().transpose()
    }
}

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        if let Some(page) = &page
            && !page.is_dictionary_page()
            && fits(page, self.levels) == Some(false)
        {
            return Err(ParquetError::General("a page that holds more lengths than values".to_owned()));
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}

/// Whether a page holds no more lengths than values; none where it holds no lengths.
fn fits(page: &Page, levels: [bool; 2]) -> Option<bool> {
    let mut values: &[u8] = page.buffer();
    match page {
        Page::DataPageV2 { def_levels_byte_len, rep_levels_byte_len, .. } => {
            values = values.get(def_levels_byte_len.checked_add(*rep_levels_byte_len)? as usize..)?;
        }
        _ => {
            for _ in levels.iter().filter(|stands| **stands) {
                let (length, rest) = values.split_first_chunk::<4>()?;
                values = rest.get(u32::from_le_bytes(*length) as usize..)?;
            }
        }
    }
    let most = u64::from(page.num_values());
    match page.encoding() {
        Encoding::DELTA_LENGTH_BYTE_ARRAY => Some(Numbers::head(values)?.count <= most),
        Encoding::DELTA_BYTE_ARRAY => {
            let prefixes = Numbers::head(values)?;
            Some(prefixes.count <= most && Numbers::head(prefixes.behind()?).is_none_or(|rest| rest.count <= most))
        }
        _ => None,
    }
}

/// Numbers in binary packed delta encoding: how many there are, and where their blocks begin.
struct Numbers<'b> {
    count: u64,
    block: u64,
    miniblocks: u64,
    bytes: &'b [u8],
}

impl<'b> Numbers<'b> {
    fn head(mut bytes: &'b [u8]) -> Option<Self> {
        let block = varint(&mut bytes)?;
        let miniblocks = varint(&mut bytes)?;
        let count = varint(&mut bytes)?;
        varint(&mut bytes)?;
        Some(Self { count, block, miniblocks, bytes })
    }

    /// What stands behind the numbers.
    fn behind(&self) -> Option<&'b [u8]> {
        let each = self.block.checked_div(self.miniblocks)?;
        let mut left = self.count.saturating_sub(1);
        let mut bytes = self.bytes;
        while left > 0 {
            varint(&mut bytes)?;
            let (widths, rest) = bytes.split_at_checked(usize::try_from(self.miniblocks).ok()?)?;
            bytes = rest;
            for width in widths {
                if left > 0 {
                    let length = each.checked_mul(u64::from(*width))? / 8;
                    bytes = bytes.get(usize::try_from(length).ok()?..)?;
                    left = left.saturating_sub(each);
                }
            }
        }
        Some(bytes)
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 127) << shift;
        if byte & 128 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stepped_over() {
        // 3 numbers in blocks of 128 with 4 miniblocks: the first takes 32 numbers of 2 bits, the others have no body.
        let mut bytes = vec![0x80, 1, 4, 3, 0, /* least */ 0, /* widths */ 2, 0, 0, 0];
        bytes.extend([7; 8]);
        bytes.extend(b"behind");
        let found = Numbers::head(&bytes).unwrap();
        assert_eq!(found.count, 3);
        assert_eq!(found.behind(), Some(&b"behind"[..]));
        assert!(Numbers::head(&bytes[..12]).unwrap().behind().is_none(), "cut short");
    }
}
