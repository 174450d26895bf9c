//! Bindings of packs and of batches of a budget.

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use super::gate::{contract, enter};
use crate::packing::{self, Measure};

#[pyfunction]
pub(super) fn windows<'py>(
    py: Python<'py>,
    hashes: PyReadonlyArray1<'py, u64>,
    reach: usize,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let hashes = hashes.as_slice().map_err(contract)?;
    Ok(enter(py, || packing::windows(hashes, reach))?.into_pyarray(py))
}

type RunArrays<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<bool>>);

#[pyfunction]
pub(super) fn pack<'py>(
    py: Python<'py>,
    lengths: PyReadonlyArray1<'py, u32>,
    starts: PyReadonlyArray1<'py, u32>,
    most: u32,
) -> PyResult<RunArrays<'py>> {
    let (lengths, starts) = (lengths.as_slice().map_err(contract)?, starts.as_slice().map_err(contract)?);
    let runs = enter(py, || packing::pack(lengths, starts, most))?;
    Ok((runs.order.into_pyarray(py), runs.begins.into_pyarray(py)))
}

#[pyfunction]
pub(super) fn fill<'py>(
    py: Python<'py>,
    lengths: PyReadonlyArray1<'py, u32>,
    starts: PyReadonlyArray1<'py, u32>,
    budget: u64,
    measure: &str,
    similar: bool,
) -> PyResult<RunArrays<'py>> {
    let (lengths, starts) = (lengths.as_slice().map_err(contract)?, starts.as_slice().map_err(contract)?);
    let measure = match measure {
        "rows" => Measure::Rows,
        "tokens" => Measure::Tokens,
        "padded" => Measure::Padded,
        other => return Err(contract(format!("no measure `{other}`"))),
    };
    let runs = enter(py, || packing::fill(lengths, starts, budget, measure, similar))?;
    Ok((runs.order.into_pyarray(py), runs.begins.into_pyarray(py)))
}
