//! Bindings of columns in pieces, and of what becomes of rows.

use numpy::{Element, IntoPyArray, PyArray1, PyReadonlyArray1, PyReadwriteArray1};
use pyo3::prelude::*;

use super::gate::{contract, enter};
use crate::alike::{self, Column};
use crate::numbers::{self, Counted, Numbers};
use crate::table::{self, Cells};
use crate::texts::{self, Views};

/// A column in pieces.
pub(super) type Arrays<'py, T> = Vec<PyReadonlyArray1<'py, T>>;

pub(super) fn slices<'a, T: Element>(pieces: &'a Arrays<'_, T>) -> PyResult<Vec<&'a [T]>> {
    pieces.iter().map(|piece| piece.as_slice()).collect::<Result<_, _>>().map_err(contract)
}

/// A column is the bytes of its pieces, how many of them a row has, and how many are wanted.
#[pyfunction]
pub(super) fn gather<'py>(
    py: Python<'py>,
    columns: Vec<(Arrays<'py, u8>, usize, usize)>,
    rows: PyReadonlyArray1<'py, u32>,
) -> PyResult<Vec<Bound<'py, PyArray1<u8>>>> {
    let mut cells = Vec::with_capacity(columns.len());
    for (pieces, width, wanted) in &columns {
        cells.push(Cells { pieces: slices(pieces)?, width: *width, wanted: *wanted });
    }
    let rows = rows.as_slice().map_err(contract)?;
    let gathered = enter(py, || table::gather(&cells, rows))?;
    Ok(gathered.into_iter().map(|column| column.into_pyarray(py)).collect())
}

/// A column of whole numbers, as wide as it needs to be.
#[derive(FromPyObject)]
pub(super) enum NumberArrays<'py> {
    Byte(Arrays<'py, u8>),
    Short(Arrays<'py, u16>),
    Word(Arrays<'py, u32>),
}

impl NumberArrays<'_> {
    fn numbers(&self) -> PyResult<Numbers<'_>> {
        Ok(match self {
            Self::Byte(pieces) => Numbers::Byte(slices(pieces)?),
            Self::Short(pieces) => Numbers::Short(slices(pieces)?),
            Self::Word(pieces) => Numbers::Word(slices(pieces)?),
        })
    }
}

#[pyfunction]
pub(super) fn codes<'py>(py: Python<'py>, pieces: NumberArrays<'py>) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let codes = pieces.numbers()?;
    Ok(enter(py, || Ok(numbers::whole(&codes)))?.into_pyarray(py))
}

#[pyfunction]
pub(super) fn renumbered<'py>(
    py: Python<'py>,
    codes: NumberArrays<'py>,
    numbers: PyReadonlyArray1<'py, u32>,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let (codes, numbers) = (codes.numbers()?, numbers.as_slice().map_err(contract)?);
    Ok(enter(py, || numbers::renumbered(&codes, numbers))?.into_pyarray(py))
}

#[pyfunction]
pub(super) fn zeros(py: Python<'_>, bytes: usize) -> PyResult<Bound<'_, PyArray1<u8>>> {
    Ok(enter(py, || Ok(table::zeros(bytes)))?.into_pyarray(py))
}

/// A piece of a column of texts: its views, the bits of those that are there with the first of them, and its buffers.
type ViewArrays<'py> =
    (PyReadonlyArray1<'py, u8>, Option<(PyReadonlyArray1<'py, u8>, usize)>, Vec<PyReadonlyArray1<'py, u8>>);

fn viewed<'a>(pieces: &'a [ViewArrays<'_>]) -> PyResult<Vec<Views<'a>>> {
    let piece = |(views, valid, data): &'a ViewArrays<'_>| {
        let views = views.as_slice().map_err(contract)?.as_chunks().0;
        let valid = match valid {
            Some((bits, first)) => Some((bits.as_slice().map_err(contract)?, *first)),
            None => None,
        };
        Ok(Views { views, valid, data: slices(data)? })
    };
    pieces.iter().map(piece).collect()
}

type Numbered<'py> = (Bound<'py, PyArray1<u32>>, Vec<String>);

#[pyfunction]
pub(super) fn numbered<'py>(
    py: Python<'py>,
    pieces: Vec<ViewArrays<'py>>,
    missing: &str,
    most: usize,
) -> PyResult<Option<Numbered<'py>>> {
    let columns = viewed(&pieces)?;
    let found = enter(py, || texts::numbered(&columns, missing, most))?;
    Ok(found.map(|(numbers, names)| (numbers.into_pyarray(py), names)))
}

#[pyfunction]
pub(super) fn differs<'py>(
    py: Python<'py>,
    cells: Vec<(Arrays<'py, u8>, usize)>,
    texts: Vec<Vec<ViewArrays<'py>>>,
    rows: PyReadonlyArray1<'py, u32>,
    asked: PyReadonlyArray1<'py, bool>,
) -> PyResult<Bound<'py, PyArray1<bool>>> {
    let mut columns = Vec::with_capacity(cells.len() + texts.len());
    for (pieces, width) in &cells {
        columns.push(Column::Cells(slices(pieces)?, *width));
    }
    for pieces in &texts {
        columns.push(Column::Texts(viewed(pieces)?));
    }
    let (rows, asked) = (rows.as_slice().map_err(contract)?, asked.as_slice().map_err(contract)?);
    Ok(enter(py, || alike::differs(&columns, rows, asked))?.into_pyarray(py))
}

#[pyfunction]
pub(super) fn tokens<'py>(
    py: Python<'py>,
    text: NumberArrays<'py>,
    images: NumberArrays<'py>,
    videos: NumberArrays<'py>,
    per_image: u64,
    per_video: u64,
) -> PyResult<(Bound<'py, PyArray1<u32>>, u64)> {
    let counted = Counted { text: text.numbers()?, images: images.numbers()?, videos: videos.numbers()? };
    let (tokens, most) = enter(py, || numbers::tokens(&counted, per_image, per_video))?;
    Ok((tokens.into_pyarray(py), most))
}

/// How often rows are taken, as wide as it needs to be.
#[derive(FromPyObject)]
pub(super) enum Times<'py> {
    Byte(PyReadonlyArray1<'py, u8>),
    Word(PyReadonlyArray1<'py, u32>),
}

#[pyfunction]
pub(super) fn taken_rows<'py>(py: Python<'py>, times: Times<'py>) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let rows = match &times {
        Times::Byte(times) => {
            let times = times.as_slice().map_err(contract)?;
            enter(py, || Ok(table::taken_rows(times)))?
        }
        Times::Word(times) => {
            let times = times.as_slice().map_err(contract)?;
            enter(py, || Ok(table::taken_rows(times)))?
        }
    };
    Ok(rows.into_pyarray(py))
}

#[pyfunction]
pub(super) fn num_different(py: Python<'_>, rows: PyReadonlyArray1<'_, u32>, height: usize) -> PyResult<u64> {
    let rows = rows.as_slice().map_err(contract)?;
    enter(py, || table::num_different(rows, height))
}

type Masks<'py> = (PyReadonlyArray1<'py, bool>, PyReadonlyArray1<'py, bool>);
type LeftArrays<'py> = (Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<u64>>);

#[pyfunction]
pub(super) fn leave<'py>(
    py: Python<'py>,
    ends: PyReadonlyArray1<'py, u64>,
    masks: Masks<'py>,
    mut left_at: PyReadwriteArray1<'py, u16>,
    step: u16,
) -> PyResult<LeftArrays<'py>> {
    let ends = ends.as_slice().map_err(contract)?;
    let masks = [masks.0.as_slice().map_err(contract)?, masks.1.as_slice().map_err(contract)?];
    let left_at = left_at.as_slice_mut().map_err(contract)?;
    let left = enter(py, || table::leave(ends, masks, left_at, step))?;
    Ok((left.kept.into_pyarray(py), left.dropped.into_pyarray(py)))
}
