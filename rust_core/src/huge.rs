//! Memory of large arrays in huge pages, where Linux gives them to who asks.
//!
//! The first touch of fresh memory costs three times as much in pages of 4 KiB, and hashes are looked up all over it. Numpy
//! asks for its arrays, the C library does not.

use std::alloc::{GlobalAlloc, Layout, System};

/// Smaller ones are not worth the call.
const LARGE: usize = 2 << 20;
const PAGE: usize = 4 << 10;

/// The system's allocator, which asks for huge pages for what is large.
struct Huge;

// Tests of the core by itself may count memory with one of their own.
#[cfg(feature = "extension-module")]
#[global_allocator]
static ALLOCATOR: Huge = Huge;

/// Asks for huge pages, of all pages that these bytes lie in: nothing is lost where it is refused, and nothing changes for
/// the neighbours in the first and the last page.
#[allow(unsafe_code)]
fn ask(start: *mut u8, size: usize) {
    if size < LARGE || start.is_null() {
        return;
    }
    let first = start.addr() / PAGE * PAGE;
    let num = (start.addr() + size).next_multiple_of(PAGE) - first;
    // SAFETY: the pages are mapped, because the system gave the bytes; the advice changes no content.
    unsafe { libc::madvise(start.with_addr(first).cast(), num, libc::MADV_HUGEPAGE) };
}

// SAFETY: every call is handed on as it is.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Huge {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = unsafe { System.alloc(layout) };
        ask(start, layout.size());
        start
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let start = unsafe { System.alloc_zeroed(layout) };
        ask(start, layout.size());
        start
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let start = unsafe { System.realloc(start, layout, size) };
        ask(start, size);
        start
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        unsafe { System.dealloc(start, layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(unsafe_code)]
    fn large_memory_may_lie_in_huge_pages() {
        if !std::path::Path::new("/sys/kernel/mm/transparent_hugepage/enabled").exists() {
            return;
        }
        let layout = Layout::from_size_align(8 * LARGE, 64).unwrap();
        // SAFETY: the layout has a size, and the bytes are given back as they were had.
        let start = unsafe { Huge.alloc_zeroed(layout) };
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        unsafe { Huge.dealloc(start, layout) };
        let middle = start.addr() + 4 * LARGE;
        let mut inside = false;
        let flags = maps.lines().find_map(|line| {
            let range = line.split_whitespace().next().and_then(|range| range.split_once('-'));
            let ends = range.map(|(first, end)| (usize::from_str_radix(first, 16), usize::from_str_radix(end, 16)));
            if let Some((Ok(first), Ok(end))) = ends {
                inside = (first..end).contains(&middle);
            }
            line.strip_prefix("VmFlags:").filter(|_| inside)
        });
        assert!(flags.is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hg")), "{maps}");
    }
}
