//! Memory that is used again: the first touch of fresh memory costs more than reading a picture into it.

use std::sync::{Arc, Mutex, PoisonError};

/// Memory is taken in steps of this, so that what one batch gave back fits the next.
const STEP: usize = 256 << 10;
/// At most so many pieces are kept for later.
const MOST_KEPT: usize = 256;

/// Pieces of memory that nobody uses, of `limit` bytes together at most.
#[derive(Debug)]
pub struct Spare {
    limit: usize,
    /// A process that was forked off may have got the lock in the hands of a thread that it has not.
    process: u32,
    kept: Mutex<Vec<Vec<u8>>>,
}

impl Spare {
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, process: std::process::id(), kept: Mutex::new(Vec::new()) })
    }

    /// `size` bytes of any content.
    pub fn lend(self: &Arc<Self>, size: usize) -> Lent {
        if size == 0 {
            return Lent { memory: Vec::new(), size, home: Arc::clone(self) };
        }
        let found = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let fits = |memory: &Vec<u8>| (size..=size.saturating_mul(2).saturating_add(STEP)).contains(&memory.len());
            let best = (0..kept.len()).filter(|at| fits(&kept[*at])).min_by_key(|at| kept[*at].len());
            best.map(|at| kept.swap_remove(at))
        };
        let memory = found.unwrap_or_else(|| vec![0; size.next_multiple_of(STEP)]);
        Lent { memory, size, home: Arc::clone(self) }
    }

    fn take_back(&self, memory: Vec<u8>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(memory);
        let mut held: usize = kept.iter().map(Vec::len).sum();
        while held > self.limit || kept.len() > MOST_KEPT {
            held -= kept.remove(0).len();
        }
    }
}

/// Memory that goes back when it is dropped.
#[derive(Debug)]
pub struct Lent {
    memory: Vec<u8>,
    size: usize,
    home: Arc<Spare>,
}

impl Lent {
    pub fn bytes(&self) -> &[u8] {
        &self.memory[..self.size]
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[..self.size]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.memory.is_empty() && self.home.process == std::process::id() {
            self.home.take_back(std::mem::take(&mut self.memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_within_the_limit() {
        let spare = Spare::new(3 * STEP);
        let place = |lent: &Lent| lent.bytes().as_ptr();
        let first = spare.lend(10);
        assert_eq!(first.bytes().len(), 10);
        let was = place(&first);
        drop(first);
        assert_eq!(place(&spare.lend(STEP)), was);
        drop([spare.lend(STEP), spare.lend(STEP), spare.lend(STEP), spare.lend(STEP)]);
        assert_eq!(spare.kept.lock().unwrap().len(), 3);
        drop(spare.lend(100 * STEP));
        assert!(spare.kept.lock().unwrap().iter().map(Vec::len).sum::<usize>() <= 3 * STEP);
    }

    #[test]
    fn nothing_is_lent_for_nothing() {
        assert!(Spare::new(0).lend(0).bytes().is_empty());
    }
}
