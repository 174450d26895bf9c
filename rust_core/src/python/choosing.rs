//! Bindings of choosing: the best of groups, cells, and the functions of scores.

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use super::gate::{contract, enter};
use super::scheduling::{KeyArrays, borrow};
use crate::best::Preference;
use crate::{best as chooser, cells as combinations, elementary as functions};

type ScoresAndCosts<'py> = (Option<PyReadonlyArray1<'py, f64>>, Option<PyReadonlyArray1<'py, u64>>);

#[pyfunction]
pub(super) fn best<'py>(
    py: Python<'py>,
    seed: u64,
    keys: KeyArrays<'py>,
    alive: PyReadonlyArray1<'py, bool>,
    by: ScoresAndCosts<'py>,
    group: PyReadonlyArray1<'py, u32>,
    limits: PyReadonlyArray1<'py, u64>,
) -> PyResult<Bound<'py, PyArray1<bool>>> {
    let (keys, alive) = (borrow(&keys)?, alive.as_slice().map_err(contract)?);
    let (scores, costs) = by;
    let scores = scores.as_ref().map(|scores| scores.as_slice()).transpose().map_err(contract)?;
    let costs = costs.as_ref().map(|costs| costs.as_slice()).transpose().map_err(contract)?;
    let (group, limits) = (group.as_slice().map_err(contract)?, limits.as_slice().map_err(contract)?);
    let marks = enter(py, || chooser::best(Preference::new(seed, keys.keys(), scores)?, alive, group, limits, costs))?;
    Ok(marks.into_pyarray(py))
}

#[pyfunction]
pub(super) fn best_first<'py>(
    py: Python<'py>,
    seed: u64,
    keys: KeyArrays<'py>,
    rows: PyReadonlyArray1<'py, u32>,
    scores: Option<PyReadonlyArray1<'py, f64>>,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let (keys, rows) = (borrow(&keys)?, rows.as_slice().map_err(contract)?);
    let scores = scores.as_ref().map(|scores| scores.as_slice()).transpose().map_err(contract)?;
    let num = keys.keys().high.rows();
    if rows.iter().any(|row| *row as usize >= num) {
        return Err(contract("rows that are not there"));
    }
    Ok(enter(py, || Ok(Preference::new(seed, keys.keys(), scores)?.sort(rows)))?.into_pyarray(py))
}

#[pyfunction]
pub(super) fn rank_of<'py>(
    py: Python<'py>,
    seed: u64,
    keys: KeyArrays<'py>,
    scores: Option<PyReadonlyArray1<'py, f64>>,
    marks: PyReadonlyArray1<'py, bool>,
    place: (u32, u32),
) -> PyResult<u64> {
    let (keys, marks) = (borrow(&keys)?, marks.as_slice().map_err(contract)?);
    let scores = scores.as_ref().map(|scores| scores.as_slice()).transpose().map_err(contract)?;
    enter(py, || Preference::new(seed, keys.keys(), scores)?.rank_of(marks, place.0, place.1))
}

#[pyfunction]
pub(super) fn edge_of<'py>(
    py: Python<'py>,
    seed: u64,
    keys: KeyArrays<'py>,
    scores: Option<PyReadonlyArray1<'py, f64>>,
    marks: PyReadonlyArray1<'py, bool>,
    edge: (u32, bool),
) -> PyResult<u32> {
    let (keys, marks) = (borrow(&keys)?, marks.as_slice().map_err(contract)?);
    let scores = scores.as_ref().map(|scores| scores.as_slice()).transpose().map_err(contract)?;
    enter(py, || Preference::new(seed, keys.keys(), scores)?.edge_of(marks, edge.0, edge.1))
}

type CellArrays<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<u32>>);

#[pyfunction]
pub(super) fn cells<'py>(
    py: Python<'py>,
    columns: Vec<PyReadonlyArray1<'py, u32>>,
    alive: PyReadonlyArray1<'py, bool>,
) -> PyResult<CellArrays<'py>> {
    let columns: Vec<&[u32]> =
        columns.iter().map(|part| part.as_slice()).collect::<Result<_, _>>().map_err(contract)?;
    let alive = alive.as_slice().map_err(contract)?;
    let (cell, firsts) = enter(py, || combinations::cells(&columns, alive))?;
    Ok((cell.into_pyarray(py), firsts.into_pyarray(py)))
}

#[pyfunction]
pub(super) fn elementary<'py>(
    py: Python<'py>,
    name: &str,
    values: PyReadonlyArray1<'py, f64>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let values = values.as_slice().map_err(contract)?;
    Ok(enter(py, || functions::elementary(name, values))?.into_pyarray(py))
}
