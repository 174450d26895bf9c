//! Bindings of identities and scheduling.

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::gate::{contract, enter};
use crate::moves::longest_increasing;
use crate::select::Cap;
use crate::{digest, interleave as scheduler, select};

#[pyfunction]
pub(super) fn digest_parts<'py>(
    py: Python<'py>,
    domain: &str,
    parts: Vec<PyReadonlyArray1<'py, u8>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_slice()).collect::<Result<_, _>>().map_err(contract)?;
    let digest = enter(py, || Ok(digest::parts(domain, parts)))?;
    Ok(PyBytes::new(py, &digest))
}

#[pyfunction]
pub(super) fn row_checks<'py>(
    py: Python<'py>,
    columns: Vec<PyReadonlyArray1<'py, u8>>,
    widths: Vec<usize>,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let columns: Vec<&[u8]> = columns.iter().map(|part| part.as_slice()).collect::<Result<_, _>>().map_err(contract)?;
    Ok(enter(py, || digest::row_checks(&columns, &widths))?.into_pyarray(py))
}

#[pyfunction]
pub(super) fn keyed_order<'py>(
    py: Python<'py>,
    seed: u64,
    high: PyReadonlyArray1<'py, u64>,
    low: PyReadonlyArray1<'py, u64>,
    turn: PyReadonlyArray1<'py, u64>,
) -> PyResult<Bound<'py, PyArray1<u64>>> {
    let (high, low) = (high.as_slice().map_err(contract)?, low.as_slice().map_err(contract)?);
    let turn = turn.as_slice().map_err(contract)?;
    Ok(enter(py, || digest::keyed_order(seed, high, low, turn))?.into_pyarray(py))
}

#[pyfunction]
pub(super) fn interleave<'py>(
    py: Python<'py>,
    counts: PyReadonlyArray1<'py, u64>,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let counts = counts.as_slice().map_err(contract)?;
    Ok(enter(py, || scheduler::interleave(counts))?.into_pyarray(py))
}

type Caps<'py> = Vec<(PyReadonlyArray1<'py, u32>, PyReadonlyArray1<'py, u64>)>;
type TakenArrays<'py> = (Bound<'py, PyArray1<bool>>, Bound<'py, PyArray1<u8>>, u64);

#[pyfunction]
pub(super) fn take<'py>(
    py: Python<'py>,
    costs: PyReadonlyArray1<'py, u64>,
    budget: u64,
    caps: Caps<'py>,
) -> PyResult<TakenArrays<'py>> {
    let costs = costs.as_slice().map_err(contract)?;
    let caps: Vec<Cap<'_>> = caps
        .iter()
        .map(|(group, limit)| Ok(Cap { group: group.as_slice()?, limit: limit.as_slice()? }))
        .collect::<Result<_, numpy::AsSliceError>>()
        .map_err(contract)?;
    let taken = enter(py, || select::take(costs, budget, &caps))?;
    Ok((taken.rows.into_pyarray(py), taken.refused_by.into_pyarray(py), taken.total))
}

#[pyfunction]
pub(super) fn unmoved<'py>(
    py: Python<'py>,
    positions: PyReadonlyArray1<'py, u64>,
) -> PyResult<Bound<'py, PyArray1<bool>>> {
    let positions = positions.as_slice().map_err(contract)?;
    Ok(enter(py, || Ok(longest_increasing(positions)))?.into_pyarray(py))
}
