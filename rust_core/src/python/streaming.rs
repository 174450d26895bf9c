//! Bindings of reading ahead. Bytes of media are arrays over memory of ours, which keep it until the last of them is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use numpy::ndarray::ArrayViewMut1;
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyMemoryView, PyString};

use super::gate::{contract, enter, raise};
use super::objects::View;
use super::reading::from_json;
use crate::container::Layout;
use crate::sample::{MediaKind, SampleId};
use crate::streaming::source::Source;
use crate::streaming::spare::{self, Lent};
use crate::streaming::{self, Row, pool};

/// How long to wait before Python may look whether somebody pressed Ctrl-C.
const PATIENCE: Duration = Duration::from_millis(50);

/// Threads that read batches ahead.
#[pyclass(frozen, module = "recipe_compiler._core")]
pub(super) struct Pool {
    /// None when it was closed. A process that was forked off has the memory of a pool, but not its threads.
    threads: Mutex<Option<Arc<pool::Pool>>>,
    /// The number that the pool gave to each source, which is read as one pool of a manifest says.
    numbers: Mutex<BTreeMap<Of, u32>>,
    process: u32,
}

/// A source of a manifest, and one of its pools.
type Of = (u32, u32);

type Rows<'py> = (
    PyReadonlyArray1<'py, u32>,
    PyReadonlyArray1<'py, u32>,
    PyReadonlyArray1<'py, u64>,
    PyReadonlyArray1<'py, u64>,
    PyReadonlyArray1<'py, u32>,
    Option<PyReadonlyArray1<'py, u8>>,
);

impl Pool {
    fn get(&self) -> PyResult<Arc<pool::Pool>> {
        if self.process != std::process::id() {
            return Err(contract("these threads are of another process"));
        }
        let pool = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        pool.as_ref().map(Arc::clone).ok_or_else(|| contract("the pool was closed"))
    }
}

#[pymethods]
impl Pool {
    #[new]
    fn new(threads: usize, limit: u64, root: PathBuf) -> PyResult<Self> {
        let pool = pool::Pool::new(threads, limit, &root).map_err(raise)?;
        let numbers = Mutex::default();
        Ok(Self { threads: Mutex::new(Some(Arc::new(pool))), numbers, process: std::process::id() })
    }

    /// Makes a record stream known, as (how messages name it, its path, its size, the folder of its media).
    fn add(&self, of: Of, file: (String, PathBuf, u64, PathBuf), layout: &str, fields: &str) -> PyResult<()> {
        let (name, stream, size, media) = file;
        let layout: Layout = from_json(layout)?;
        let fields = from_json(fields)?;
        let number = self.get()?.add(Source { name, stream, size, encoding: layout.encoding(), fields, media });
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner).insert(of, number);
        Ok(())
    }

    /// Asks for a batch: the source and pool, offset, length and number of pictures of each row, and their ids to be proved.
    /// Gives the sources that are not known; where there are any, nothing was asked for.
    fn submit(&self, py: Python<'_>, rows: Rows<'_>) -> PyResult<BTreeSet<Of>> {
        let pool = self.get()?;
        let (source, of_pool, offset, length, images, ids) = &rows;
        let (source, of_pool) = (source.as_slice().map_err(contract)?, of_pool.as_slice().map_err(contract)?);
        let (offset, length) = (offset.as_slice().map_err(contract)?, length.as_slice().map_err(contract)?);
        let images = images.as_slice().map_err(contract)?;
        let ids = ids.as_ref().map(|ids| ids.as_slice()).transpose().map_err(contract)?;
        let count = source.len();
        let num_ids = ids.map_or(count, |ids| ids.len() / 16);
        if [of_pool.len(), offset.len(), length.len(), images.len(), num_ids] != [count; 5] {
            return Err(contract("columns of different lengths"));
        }
        let id = |at: usize| ids.and_then(|ids| SampleId::try_from(&ids[16 * at..16 * at + 16]).ok());
        let mut unknown = BTreeSet::new();
        let mut rows = Vec::with_capacity(count);
        {
            let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
            for at in 0..count {
                let of = (source[at], of_pool[at]);
                if let Some(&source) = numbers.get(&of) {
                    rows.push(Row { source, offset: offset[at], length: length[at], images: images[at], id: id(at) });
                } else {
                    unknown.insert(of);
                }
            }
        }
        if unknown.is_empty() {
            enter(py, || pool.submit(&rows))?;
        }
        Ok(unknown)
    }

    /// The next batch.
    fn next(&self, py: Python<'_>) -> PyResult<Batch> {
        let pool = self.get()?;
        loop {
            if let Some(batch) = enter(py, || pool.next(PATIENCE))? {
                return Ok(Batch(batch));
            }
            py.check_signals()?;
        }
    }

    /// Ends the threads.
    fn close(&self, py: Python<'_>) {
        let pool = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        if self.process == std::process::id() {
            py.detach(|| drop(pool));
        } else {
            std::mem::forget(pool);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let pool = self.threads.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if self.process != std::process::id() {
            std::mem::forget(pool);
        }
    }
}

/// Memory that is used again.
#[pyclass(frozen, module = "recipe_compiler._core")]
pub(super) struct Spare(Arc<spare::Spare>);

/// Memory that was lent.
#[pyclass(frozen)]
struct Memory(Mutex<Lent>);

#[pymethods]
impl Spare {
    #[new]
    fn new(limit: usize) -> Self {
        Self(spare::Spare::new(limit))
    }

    /// Memory for so many bytes, as an array that gives it back when it is gone.
    fn lend<'py>(&self, py: Python<'py>, size: usize) -> PyResult<Bound<'py, PyArray1<u8>>> {
        let owner = Bound::new(py, Memory(Mutex::new(py.detach(|| self.0.lend(size)))))?;
        let mut lent = owner.get().0.lock().unwrap_or_else(PoisonError::into_inner);
        let view = ArrayViewMut1::from(lent.bytes_mut());
        // SAFETY: the memory is `owner`'s until it is dropped, is never resized, and nobody else looks at it.
        #[allow(unsafe_code)]
        let array = unsafe { PyArray1::borrow_from_array(&view, owner.clone().into_any()) };
        Ok(array)
    }
}

/// A batch that was read: samples by their place in it.
#[pyclass(frozen, module = "recipe_compiler._core")]
pub(super) struct Batch(streaming::Batch);

type MediaColumns<'py> =
    (Vec<&'py Bound<'py, PyString>>, Vec<Option<&'py str>>, Vec<Option<Bound<'py, PyMemoryView>>>, Vec<usize>);

impl Batch {
    pub(super) fn item(&self, place: usize) -> PyResult<(&streaming::Chunk, &streaming::Item)> {
        let (chunk, read) = self.0.get(place).ok_or_else(|| contract("no such sample"))?;
        read.as_ref().map(|item| (chunk, item)).map_err(|fault| contract(&fault.reason))
    }
}

#[pymethods]
impl Batch {
    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// Those that cannot be read: (place, path, reason, whether the record is to blame).
    fn faults(&self) -> Vec<(usize, &str, &str, bool)> {
        self.0.faults().map(|(place, fault)| (place, &*fault.path, &*fault.reason, fault.of_record)).collect()
    }

    /// The content of a sample, as JSON.
    fn content(&self, place: usize) -> PyResult<&str> {
        self.item(place).map(|(chunk, item)| chunk.content(item))
    }

    /// The media of all samples in order, as columns: kinds, paths, bytes that may only be read; and where those of each
    /// sample end.
    fn media<'py>(this: &'py Bound<'py, Self>) -> PyResult<MediaColumns<'py>> {
        let py = this.py();
        let (image, video) = (intern!(py, "image"), intern!(py, "video"));
        let batch = &this.get().0;
        let (mut kinds, mut paths) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        let (mut views, mut ends) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for place in 0..batch.len() {
            if let Some((chunk, Ok(item))) = batch.get(place) {
                for (number, piece) in item.media.iter().enumerate() {
                    kinds.push(if piece.kind == MediaKind::Image.name() { image } else { video });
                    paths.push(piece.path.as_deref());
                    let view = chunk.bytes(piece).map(|_| {
                        let view = View { batch: this.clone().unbind(), of: (place, number) };
                        PyMemoryView::from(Bound::new(py, view)?.as_any())
                    });
                    views.push(view.transpose()?);
                }
            }
            ends.push(kinds.len());
        }
        Ok((kinds, paths, views, ends))
    }
}
