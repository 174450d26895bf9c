//! The threads that read ahead. Batches are taken up in the order they were asked for and handed over in that order.
//!
//! What was read and not handed over yet is bounded: a chunk is begun only while there is room for it, or when it belongs
//! to the batch that is handed over next. Chunks are begun in order, so that the next batch never waits for a later one.
//!
//! Who waits for a batch reads as well, so that there are no more threads at work than processors: one more would keep
//! who waits from its turn, and all others would soon wait for it.

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

type Sources = Arc<Vec<Arc<Source>>>;

struct Task {
    batch: u64,
    chunk: usize,
    part: Part,
}

#[derive(Default)]
struct State {
    sources: Sources,
    tasks: VecDeque<Task>,
    flights: VecDeque<Flight>,
    /// The number of the batch that is handed over next.
    first: u64,
    held: u64,
    /// Threads that wait for work, or for room for more of a batch that they began.
    waiting: usize,
    /// Those of them that began one.
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

    fn uncharge(&mut self, batch: u64, bytes: u64) {
        self.held -= bytes;
        self.flights[(batch - self.first) as usize].bytes -= bytes;
    }

    /// Takes the next task, if there is room for it.
    fn begin(&mut self, limit: u64) -> Option<(Task, Sources)> {
        let task = self.tasks.front()?;
        if !self.has_room(task.batch, task.part.bytes, limit) {
            return None;
        }
        let task = self.tasks.pop_front()?;
        self.charge(task.batch, task.part.bytes);
        Some((task, Arc::clone(&self.sources)))
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

    fn wait<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.waiting += 1;
        let mut state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state
    }

    /// The next task, when there is room for it.
    fn task(&self) -> Option<(Task, Sources)> {
        let mut state = self.lock();
        loop {
            if state.stop {
                return None;
            }
            if let Some(task) = state.begin(self.limit) {
                return Some(task);
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

    /// Takes room for more of a batch, if there is any.
    fn room_now(&self, batch: u64, bytes: u64) -> bool {
        let mut state = self.lock();
        let has_room = state.has_room(batch, bytes, self.limit);
        if has_room {
            state.charge(batch, bytes);
        }
        has_room
    }

    /// Reads what a task is for; false where `room` says that it cannot be read.
    fn read(&self, task: &Task, sources: &Sources, room: &dyn Fn(u64) -> bool) -> bool {
        let _watch = Watch(self);
        let Some(chunk) = work::read(&self.desk, sources, &task.part, room) else { return false };
        let mut state = self.lock();
        let at = (task.batch - state.first) as usize;
        let flight = &mut state.flights[at];
        flight.chunks[task.chunk] = Some(chunk);
        flight.missing -= 1;
        if at == 0 && flight.missing == 0 {
            self.done.notify_all();
        }
        true
    }

    fn run(&self) {
        while let Some((task, sources)) = self.task() {
            if !self.read(&task, &sources, &|bytes| self.room(task.batch, bytes)) {
                return;
            }
        }
    }

    /// Reads what is next while somebody waits for a batch. False where nothing can be read now: a thread of the pool
    /// waits for room, and this one must not.
    fn help(&self, task: Task, sources: &Sources) -> bool {
        let is_read = self.read(&task, sources, &|bytes| self.room_now(task.batch, bytes));
        if !is_read {
            let mut state = self.lock();
            state.uncharge(task.batch, task.part.bytes);
            state.tasks.push_front(task);
            drop(state);
            self.work.notify_all();
        }
        is_read
    }
}

/// Tells all when a thread ends by a panic.
struct Watch<'a>(&'a Shared);

impl Drop for Watch<'_> {
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
    /// `limit` bytes may wait to be handed over, besides the batch that is next. One of the threads is the one that takes
    /// batches; there is another one in any case, which reads while nobody waits.
    pub fn new(threads: usize, limit: u64, root: &Path) -> Result<Self> {
        let spare = Spare::new(usize::try_from(limit).unwrap_or(usize::MAX));
        let desk = Desk { root: Root::new(root), handles: Handles::default(), spare };
        let shared =
            Arc::new(Shared { state: Mutex::default(), work: Condvar::new(), done: Condvar::new(), desk, limit });
        let mut pool = Self { shared, threads: Vec::new() };
        for number in 1..threads.max(2) {
            let shared = Arc::clone(&pool.shared);
            let thread = std::thread::Builder::new().name(format!("recipe-read-{number}"));
            let thread = thread.spawn(move || shared.run());
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
        let waited_for = state.waiting > 0;
        drop(state);
        if waited_for {
            self.shared.work.notify_all();
        }
        Ok(())
    }

    /// The next batch, or None where it is not whole after so long, or after something was read meanwhile.
    pub fn next(&self, patience: Duration) -> Result<Option<Batch>> {
        let coming =
            |state: &mut State| !state.broken && state.flights.front().is_some_and(|flight| flight.missing > 0);
        let mut state = self.shared.lock();
        if coming(&mut state)
            && let Some((task, sources)) = state.begin(self.shared.limit)
        {
            drop(state);
            if self.shared.help(task, &sources) {
                return Ok(None);
            }
            state = self.shared.lock();
        }
        let waited = self.shared.done.wait_timeout_while(state, patience, coming);
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
        let waited_for = state.waiting > 0 && (state.cramped > 0 || !state.tasks.is_empty());
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

    fn next(pool: &Pool) -> Batch {
        (0..1000).find_map(|_| pool.next(LONG).unwrap()).unwrap()
    }

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
                let found = next(&pool);
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
            assert_eq!(next(&pool).len(), 10);
        }
        assert_eq!(pool.shared.lock().held, 0);
    }

    #[test]
    fn pictures_beside_come_in_order_where_there_is_room_for_records_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (mut rows, mut records) = (Vec::new(), Vec::new());
        for number in 0..60 {
            std::fs::write(folder.path().join(format!("{number}.jpg")), vec![number; 5_000]).unwrap();
            let record = format!("{{\"q\":\"?\",\"a\":\"{number}\",\"image\":\"{number}.jpg\"}}\n");
            let (offset, length) = (records.len() as u64, record.len() as u64);
            rows.push(Row { source: 0, offset, length, images: 1, id: None });
            records.extend_from_slice(record.as_bytes());
        }
        let stream = folder.path().join("records");
        std::fs::write(&stream, &records).unwrap();
        for threads in [1, 2, 4] {
            let pool = Pool::new(threads, 2_000, folder.path()).unwrap();
            pool.add(Source {
                name: "file".to_owned(),
                stream: stream.clone(),
                size: records.len() as u64,
                encoding: Encoding::Json,
                fields: serde_json::from_str(r#"{"user":["q"],"assistant":["a"],"images":["image"]}"#).unwrap(),
                media: folder.path().to_owned(),
            });
            for batch in rows.chunks(2) {
                pool.submit(batch).unwrap();
            }
            for number in 0..30 {
                let found = next(&pool);
                for place in 0..2 {
                    let (chunk, read) = found.get(place).unwrap();
                    let bytes = chunk.bytes(&read.as_ref().unwrap().media[0]).unwrap();
                    assert_eq!(bytes, vec![2 * number + place as u8; 5_000]);
                }
            }
            assert_eq!(pool.shared.lock().held, 0);
        }
    }

    #[test]
    fn a_pool_that_is_dropped_with_work_left_ends() {
        for limit in [0, 100_000, u64::MAX] {
            let (_file, pool, rows) = pool(4, limit, 200);
            for batch in rows.chunks(10) {
                pool.submit(batch).unwrap();
            }
            drop(next(&pool));
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
        let found = next(&pool);
        assert_eq!(found.faults().map(|(place, _)| place).collect::<Vec<_>>(), [1, 3, 4]);
        assert!(pool.submit(&[Row { source: 1, ..rows[0] }]).is_err());
    }

    #[test]
    fn an_empty_batch_is_a_batch() {
        let (_file, pool, rows) = pool(2, 0, 1);
        pool.submit(&[]).unwrap();
        pool.submit(&rows).unwrap();
        assert!(next(&pool).is_empty());
        assert_eq!(next(&pool).len(), 1);
    }
}
