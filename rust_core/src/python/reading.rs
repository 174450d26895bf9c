//! Bindings of the scanners. What is structured crosses as JSON text, what is columnar as arrays.

use std::path::PathBuf;

use numpy::IntoPyArray;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::gate::{contract, enter};
use crate::canonical;
use crate::container::{self, Layout, LayoutHint, Stream, Wrapping};
use crate::detect as presets;
use crate::error::CoreError;
use crate::fields::Fields;
use crate::index::Texts;
use crate::record::{self, Encoding};
use crate::value::parse_json;
use crate::{digest, index as indexer};

pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> PyResult<T> {
    serde_json::from_str(text).map_err(contract)
}

fn to_json(value: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(contract)
}

#[pyfunction]
pub(super) fn wrapping(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    let found = enter(py, || container::wrapping(&path))?;
    to_json(&found).map(|text| text.trim_matches('"').to_owned())
}

#[pyfunction]
pub(super) fn unwrap(py: Python<'_>, path: PathBuf, wrapping: &str, out: PathBuf, limit: u64) -> PyResult<()> {
    let wrapping: Wrapping = from_json(&format!("\"{wrapping}\""))?;
    enter(py, || container::unwrap(&path, wrapping, &out, limit))
}

/// Refuses a table that would take memory out of proportion.
#[pyfunction]
pub(super) fn check_table(py: Python<'_>, path: PathBuf) -> PyResult<()> {
    enter(py, || container::check_table(&path))
}

/// The layout of a stream as JSON, or a reason.
#[pyfunction]
pub(super) fn layout(
    py: Python<'_>,
    name: &str,
    stream: PathBuf,
    hint: &str,
    format: &str,
    own: &str,
) -> PyResult<String> {
    let hint: LayoutHint = from_json(hint)?;
    let own: Map<String, Json> = from_json(own)?;
    let found = enter(py, || {
        let bytes = Stream::open(&stream)?;
        let is_sample = |text: &[u8]| {
            parse_json(text).is_ok_and(|value| {
                presets::detect(format, &own, std::slice::from_ref(&value))
                    .is_ok_and(|found| found.fields.sample(&value).is_ok())
            })
        };
        container::layout(name, bytes.bytes(), &hint, &is_sample).map_err(|reason| CoreError::format(&stream, reason))
    })?;
    to_json(&found)
}

/// (preset, mapping as JSON, why) of a pool, from the first records of one of its streams.
#[pyfunction]
pub(super) fn detect(
    py: Python<'_>,
    stream: PathBuf,
    layout: &str,
    format: &str,
    own: &str,
) -> PyResult<(String, String, String)> {
    let layout: Layout = from_json(layout)?;
    let own: Map<String, Json> = from_json(own)?;
    let found = enter(py, || {
        let bytes = Stream::open(&stream)?;
        let encoding = layout.encoding();
        let (mut records, mut unreadable) = (Vec::new(), None);
        for found in container::records(bytes.bytes(), &layout) {
            let read = found.map_err(|malformed| (malformed.offset, malformed.reason)).and_then(|span| {
                let bytes = span.of(bytes.bytes()).ok_or_else(|| "the record runs past the end".to_owned());
                bytes.and_then(|bytes| record::parse(bytes, &encoding)).map_err(|reason| (span.offset, reason))
            });
            match read {
                Ok(record) => records.push(record),
                Err(bad) => unreadable = unreadable.or(Some(bad)),
            }
            if records.len() == presets::LOOKED_AT {
                break;
            }
        }
        if let (true, Some((offset, reason))) = (records.is_empty(), unreadable) {
            return Err(CoreError::format(
                &stream,
                format!("no record can be read; the one at byte {offset}: {reason}"),
            ));
        }
        presets::detect(format, &own, &records).map_err(|reason| CoreError::format(&stream, reason))
    })?;
    Ok((found.preset, to_json(&found.fields)?, found.why))
}

/// The columns of a file's index, by name.
#[pyfunction]
pub(super) fn index<'py>(py: Python<'py>, stream: PathBuf, layout: &str, fields: &str) -> PyResult<Bound<'py, PyDict>> {
    let layout: Layout = from_json(layout)?;
    let fields: Fields = from_json(fields)?;
    let found = enter(py, || {
        let bytes = Stream::open(&stream)?;
        Ok(indexer::index(bytes.bytes(), &layout, &fields, |range| bytes.release(range)))
    })?;
    let out = PyDict::new(py);
    for (name, column) in indexer::WIDE.into_iter().zip(found.wide) {
        out.set_item(name, column.into_pyarray(py))?;
    }
    for (name, column) in indexer::NARROW.into_iter().zip(found.narrow) {
        out.set_item(name, column.into_pyarray(py))?;
    }
    out.set_item("keys", texts(py, found.keys)?)?;
    out.set_item("media", texts(py, found.media)?)?;
    let columns = PyDict::new(py);
    for (name, column) in fields.columns.keys().zip(found.columns) {
        columns.set_item(name, (texts(py, column.texts)?, column.seen))?;
    }
    out.set_item("columns", columns)?;
    let malformed = PyList::empty(py);
    for bad in found.malformed {
        malformed.append((bad.record, bad.offset, bad.reason))?;
    }
    out.set_item("malformed", malformed)?;
    Ok(out)
}

fn texts<'py>(py: Python<'py>, texts: Texts) -> PyResult<Bound<'py, PyDict>> {
    let out = PyDict::new(py);
    let offsets = if texts.offsets.is_empty() { vec![0] } else { texts.offsets };
    out.set_item("offsets", offsets.into_pyarray(py))?;
    out.set_item("data", texts.data.into_pyarray(py))?;
    out.set_item("valid", texts.valid.into_pyarray(py))?;
    Ok(out)
}

type SampleParts<'py> = (Bound<'py, PyBytes>, String, Vec<Bound<'py, PyBytes>>);

/// Reads records of one layout through one mapping.
#[pyclass(frozen, module = "recipe_compiler._core")]
pub(super) struct Mapper {
    encoding: Encoding,
    fields: Fields,
}

#[pymethods]
impl Mapper {
    #[new]
    fn new(layout: &str, fields: &str) -> PyResult<Self> {
        let layout: Layout = from_json(layout)?;
        Ok(Self { encoding: layout.encoding(), fields: from_json(fields)? })
    }

    /// (sample id, sample as JSON, embedded media) of one record. One that cannot be read raises with the reason.
    fn sample<'py>(&self, py: Python<'py>, record: &[u8]) -> PyResult<SampleParts<'py>> {
        let bad = |reason: String| super::gate::FileError::new_err(("record".to_owned(), reason));
        let value = record::parse(record, &self.encoding).map_err(bad)?;
        let sample = self.fields.sample(&value).map_err(bad)?;
        let (json, blobs) = sample.to_json();
        let blobs = blobs.into_iter().map(|blob| PyBytes::new(py, blob)).collect();
        Ok((PyBytes::new(py, &sample.id()), json, blobs))
    }

    /// What an answer to one record is judged by, as JSON, see [`Fields::facts`].
    fn facts(&self, record: &[u8]) -> PyResult<String> {
        let bad = |reason: String| super::gate::FileError::new_err(("record".to_owned(), reason));
        let value = record::parse(record, &self.encoding).map_err(bad)?;
        self.fields.facts(&value).map_err(bad)
    }
}

/// The proof that belongs into a record that states its sample.
#[pyfunction]
pub(super) fn prove<'py>(
    py: Python<'py>,
    record: &[u8],
    members: Vec<Bound<'py, PyBytes>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let members: Vec<&[u8]> = members.iter().map(PyBytesMethods::as_bytes).collect();
    let proof = parse_json(record).and_then(|record| canonical::prove(record, &members)).map_err(contract)?;
    Ok(PyBytes::new(py, &proof))
}

#[pyfunction]
pub(super) fn digest_file<'py>(py: Python<'py>, path: PathBuf) -> PyResult<Bound<'py, PyBytes>> {
    let digest = enter(py, || digest::file(&path))?;
    Ok(PyBytes::new(py, &digest))
}
