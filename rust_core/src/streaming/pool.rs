//! The threads that read ahead. Batches are taken up in the order they were asked for and handed over in that order.
//!
//! What was read and not handed over yet is bounded: a chunk is begun only while there is room for it, or when it belongs
//! to the batch that is handed over next. Chunks are begun in order, so that the next batch never waits for a later one.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::plan::{self, Part};
use super::source::{Handles, Root, Source};
use super::spare::Spare;
use super::work::{self, Desk};
use super::{Batch, Chunk, Row};
use crate::error::{CoreError, Result};

/// A batch on its way: what is missing of it, and the bytes it is charged for.
struct Flight {
    samples: usize,
    missing: usize,
    chunks: Vec<Option<Chunk>>,
    bytes: u64,
}

struct Task {
    batch: u64,
    chunk: usize,
    part: Part,
}

#[derive(Default)]
struct State {
    sources: Arc<Vec<Arc<Source>>>,
    tasks: VecDeque<Task>,
    flights: VecDeque<Flight>,
    /// The number of the batch that is handed over next.
    first: u64,
    held: u64,
    /// Threads that wait for room for more of a batch that they began.
    cramped: usize,
    stop: bool,
    /// A thread died: a bug, which must not become a batch that never comes.
    broken: bool,
}

impl State {
    fn has_room(&self, batch: u64, bytes: u64, limit: u64) -> bool {
        batch == self.first || self.held.saturating_add(bytes) <= limit
    }

    fn charge(&mut self, batch: u64, bytes: u64) {
        self.held += bytes;
        self.flights[(batch - self.first) as usize].bytes += bytes;
    }
}

struct Shared {
    state: Mutex<State>,
    /// There may be work, or room for it.
    work: Condvar,
    /// The next batch may be whole.
    done: Condvar,
    desk: Desk,
    limit: u64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.work.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// The next task, when there is room for it.
    fn task(&self) -> Option<(Task, Arc<Vec<Arc<Source>>>)> {
        let mut state = self.lock();
        loop {
            if state.stop {
                return None;
            }
            if state.tasks.front().is_some_and(|task| state.has_room(task.batch, task.part.bytes, self.limit))
                && let Some(task) = state.tasks.pop_front()
            {
                state.charge(task.batch, task.part.bytes);
                return Some((task, Arc::clone(&state.sources)));
            }
            state = self.wait(state);
        }
    }

    /// Waits for room for more of a batch; false when all is to end.
    fn room(&self, batch: u64, bytes: u64) -> bool {
        let mut state = self.lock();
        state.cramped += 1;
        while !state.stop && !state.has_room(batch, bytes, self.limit) {
            state = self.wait(state);
        }
        state.cramped -= 1;
        if !state.stop {
            state.charge(batch, bytes);
        }
        !state.stop
    }

    fn run(&self) {
        while let Some((task, sources)) = self.task() {
            let room = |bytes| self.room(task.batch, bytes);
            let Some(chunk) = work::read(&self.desk, &sources, &task.part, &room) else { return };
            let mut state = self.lock();
            let at = (task.batch - state.first) as usize;
            let flight = &mut state.flights[at];
            flight.chunks[task.chunk] = Some(chunk);
            flight.missing -= 1;
            if at == 0 && flight.missing == 0 {
                self.done.notify_all();
            }
        }
    }
}

/// Tells all when a thread ends by a panic.
struct Watch(Arc<Shared>);

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut state = self.0.lock();
            (state.broken, state.stop) = (true, true);
            self.0.work.notify_all();
            self.0.done.notify_all();
        }
    }
}

/// Threads that read batches ahead. Dropping it ends them.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// `limit` bytes may wait to be handed over, besides the batch that is next.
    pub fn new(threads: usize, limit: u64, root: &Path) -> Result<Self> {
        let spare = Spare::new(usize::try_from(limit).unwrap_or(usize::MAX));
        let desk = Desk { root: Root::new(root), handles: Handles::default(), spare };
        let shared =
            Arc::new(Shared { state: Mutex::default(), work: Condvar::new(), done: Condvar::new(), desk, limit });
        let mut pool = Self { shared, threads: Vec::new() };
        for number in 0..threads.max(1) {
            let watch = Watch(Arc::clone(&pool.shared));
            let thread = std::thread::Builder::new().name(format!("recipe-read-{number}"));
            let thread = thread.spawn(move || watch.0.run());
            pool.threads.push(thread.map_err(|error| CoreError::Contract(format!("no thread: {error}")))?);
        }
        Ok(pool)
    }

    /// Makes a source known; rows name it by the number that is given.
    pub fn add(&self, source: Source) -> u32 {
        let mut state = self.shared.lock();
        let sources = Arc::make_mut(&mut state.sources);
        sources.push(Arc::new(source));
        sources.len() as u32 - 1
    }

    /// Asks for a batch, behind those asked for before.
    pub fn submit(&self, rows: &[Row]) -> Result<()> {
        // Planned before the lock is taken again: threads are not kept waiting.
        let sources = Arc::clone(&self.shared.lock().sources);
        if let Some(row) = rows.iter().find(|row| row.source as usize >= sources.len()) {
            return Err(CoreError::Contract(format!("no source {}", row.source)));
        }
        let beside = |source: u32| sources[source as usize].encoding != crate::record::Encoding::Tar;
        let parts = plan::parts(rows, &beside);
        let mut state = self.shared.lock();
        let batch = state.first + state.flights.len() as u64;
        let chunks = parts.iter().map(|_| None).collect();
        state.flights.push_back(Flight { samples: rows.len(), missing: parts.len(), chunks, bytes: 0 });
        state.tasks.extend(parts.into_iter().enumerate().map(|(chunk, part)| Task { batch, chunk, part }));
        drop(state);
        self.shared.work.notify_all();
        Ok(())
    }

    /// The next batch, or None where it is not whole after so long.
    pub fn next(&self, patience: Duration) -> Result<Option<Batch>> {
        let coming =
            |state: &mut State| !state.broken && state.flights.front().is_some_and(|flight| flight.missing > 0);
        let waited = self.shared.done.wait_timeout_while(self.shared.lock(), patience, coming);
        let (mut state, timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.broken {
            return Err(CoreError::Contract("a thread that reads ahead came to an end by a panic".to_owned()));
        }
        if state.flights.is_empty() {
            return Err(CoreError::Contract("no batch was asked for".to_owned()));
        }
        if timed_out.timed_out() {
            return Ok(None);
        }
        let Some(flight) = state.flights.pop_front() else { return Ok(None) };
        state.first += 1;
        state.held -= flight.bytes;
        let waited_for = state.cramped > 0 || !state.tasks.is_empty();
        drop(state);
        // Waking a thread that finds nothing to do would cost as much as handing over the batch.
        if waited_for {
            self.shared.work.notify_all();
        }
        Ok(Some(Batch::of(flight.chunks.into_iter().flatten().collect(), flight.samples)))
    }

    /// Ends the threads, and waits for what they are doing just now.
    pub fn close(&mut self) {
        self.shared.lock().stop = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // One that panicked has said so already.
            let _ended = thread.join();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::record::Encoding;

    const LONG: Duration = Duration::from_secs(20);

    /// A pool over a file of numbered records of different lengths, and its rows.
    fn pool(threads: usize, limit: u64, records: u64) -> (tempfile::NamedTempFile, Pool, Vec<Row>) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let (mut rows, mut offset) = (Vec::new(), 0);
        for number in 0..records {
            let padding = "x".repeat((number * 7919 % 90_000) as usize);
            let record = format!("{{\"q\":\"{number}\",\"a\":\"{padding}\"}}\n");
            file.write_all(record.as_bytes()).unwrap();
            let length = record.len() as u64 - 1;
            rows.push(Row { source: 0, offset, length, images: 0, id: None });
            offset += record.len() as u64;
        }
        let pool = Pool::new(threads, limit, Path::new("/")).unwrap();
        let source = Source {
            name: "file".to_owned(),
            stream: file.path().to_owned(),
            size: offset,
            encoding: Encoding::Json,
            fields: serde_json::from_str(r#"{"user":["q"],"assistant":["a"]}"#).unwrap(),
            media: "/".into(),
        };
        assert_eq!(pool.add(source), 0);
        (file, pool, rows)
    }

    #[test]
    fn batches_come_in_order_within_any_bound() {
        for (threads, limit) in [(1, 0), (4, 0), (3, 200_000), (4, u64::MAX)] {
            let (_file, pool, rows) = pool(threads, limit, 300);
            let mut order: Vec<usize> = (0..300).map(|at| at * 77 % 300).collect();
            order.extend(0..40);
            for batch in order.chunks(17) {
                pool.submit(&batch.iter().map(|at| rows[*at]).collect::<Vec<_>>()).unwrap();
            }
            for batch in order.chunks(17) {
                let found = pool.next(LONG).unwrap().unwrap();
                assert_eq!(found.len(), batch.len());
                for (place, number) in batch.iter().enumerate() {
                    let (chunk, read) = found.get(place).unwrap();
                    let content = chunk.content(read.as_ref().unwrap());
                    assert!(content.contains(&format!("\"text\":\"{number}\"")), "{number}: {content:.90}");
                }
            }
            assert!(pool.next(LONG).is_err(), "nothing was asked for");
        }
    }

    #[test]
    fn what_waits_is_bounded_and_the_next_batch_never_waits() {
        let (_file, pool, rows) = pool(4, 300_000, 200);
        for batch in rows.chunks(10) {
            pool.submit(batch).unwrap();
        }
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(2));
            let held = pool.shared.lock().held;
            let first = pool.shared.lock().flights.front().unwrap().bytes;
            assert!(held <= 300_000 + first.max(1_000_000), "{held}");
            assert_eq!(pool.next(LONG).unwrap().unwrap().len(), 10);
        }
        assert_eq!(pool.shared.lock().held, 0);
    }

    #[test]
    fn a_pool_that_is_dropped_with_work_left_ends() {
        for limit in [0, 100_000, u64::MAX] {
            let (_file, pool, rows) = pool(4, limit, 200);
            for batch in rows.chunks(10) {
                pool.submit(batch).unwrap();
            }
            drop(pool.next(LONG).unwrap());
            drop(pool);
        }
    }

    #[test]
    fn a_row_that_lies_beyond_the_file_is_a_fault_of_its_own() {
        let (_file, pool, rows) = pool(2, 0, 3);
        let beyond = Row { offset: rows[2].offset + 1, ..rows[2] };
        let huge = Row { offset: u64::MAX - 5, length: 5, ..rows[2] };
        let endless = Row { length: u64::MAX, ..rows[0] };
        pool.submit(&[rows[0], beyond, rows[1], huge, endless]).unwrap();
        let found = pool.next(LONG).unwrap().unwrap();
        assert_eq!(found.faults().map(|(place, _)| place).collect::<Vec<_>>(), [1, 3, 4]);
        assert!(pool.submit(&[Row { source: 1, ..rows[0] }]).is_err());
    }

    #[test]
    fn an_empty_batch_is_a_batch() {
        let (_file, pool, rows) = pool(2, 0, 1);
        pool.submit(&[]).unwrap();
        pool.submit(&rows).unwrap();
        assert!(pool.next(LONG).unwrap().unwrap().is_empty());
        assert_eq!(pool.next(LONG).unwrap().unwrap().len(), 1);
    }
}
