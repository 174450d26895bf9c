//! Bindings of embeddings: vectors, and the greedy choices among them.

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

use super::gate::{contract, enter};
use crate::embed::{self, Vectors};
use crate::near;
use crate::spread::{self, Budget};

/// Numbers as they are in a table.
#[derive(FromPyObject)]
pub(super) enum Floats<'py> {
    Single(PyReadonlyArray2<'py, f32>),
    Double(PyReadonlyArray2<'py, f64>),
}

type VectorArrays<'py> = (Bound<'py, PyArray1<i16>>, Bound<'py, PyArray1<bool>>);

#[pyfunction]
pub(super) fn quantise<'py>(
    py: Python<'py>,
    values: Floats<'py>,
    rows: PyReadonlyArray1<'py, u32>,
) -> PyResult<VectorArrays<'py>> {
    let rows = rows.as_slice().map_err(contract)?;
    let (data, there) = match &values {
        Floats::Single(values) => {
            let (numbers, values) = (values.shape()[1], values.as_slice().map_err(contract)?);
            enter(py, || embed::quantise(values, numbers, rows))?
        }
        Floats::Double(values) => {
            let (numbers, values) = (values.shape()[1], values.as_slice().map_err(contract)?);
            enter(py, || embed::quantise(values, numbers, rows))?
        }
    };
    Ok((data.into_pyarray(py), there.into_pyarray(py)))
}

type NearArrays<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<i32>>);

#[pyfunction]
pub(super) fn nearest<'py>(
    py: Python<'py>,
    vectors: PyReadonlyArray2<'py, i16>,
    most: usize,
) -> PyResult<NearArrays<'py>> {
    let (numbers, data) = (vectors.shape()[1], vectors.as_slice().map_err(contract)?);
    let (others, near) = enter(py, || Ok(near::nearest(Vectors::new(data, numbers)?, most)))?;
    Ok((others.into_pyarray(py), near.into_pyarray(py)))
}

type Limit<'py> = (u64, Option<PyReadonlyArray1<'py, u64>>);

fn costs<'a>(limit: &'a Limit<'_>) -> PyResult<Option<&'a [u64]>> {
    limit.1.as_ref().map(|costs| costs.as_slice()).transpose().map_err(contract)
}

type TakenAndBlocked<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<u32>>);

#[pyfunction]
pub(super) fn distinct<'py>(
    py: Python<'py>,
    vectors: PyReadonlyArray2<'py, i16>,
    most: i32,
    limit: Limit<'py>,
) -> PyResult<TakenAndBlocked<'py>> {
    let (numbers, data) = (vectors.shape()[1], vectors.as_slice().map_err(contract)?);
    let costs = costs(&limit)?;
    let (taken, blocked) = enter(py, || {
        let vectors = Vectors::new(data, numbers)?;
        Ok(spread::distinct(vectors, most, Budget::new(limit.0, costs, vectors)?))
    })?;
    Ok((taken.into_pyarray(py), blocked.into_pyarray(py)))
}

#[pyfunction]
pub(super) fn k_center<'py>(
    py: Python<'py>,
    vectors: PyReadonlyArray2<'py, i16>,
    limit: Limit<'py>,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let (numbers, data) = (vectors.shape()[1], vectors.as_slice().map_err(contract)?);
    let costs = costs(&limit)?;
    let taken = enter(py, || {
        let vectors = Vectors::new(data, numbers)?;
        Ok(spread::k_center(vectors, Budget::new(limit.0, costs, vectors)?))
    })?;
    Ok(taken.into_pyarray(py))
}

#[pyfunction]
pub(super) fn relevance<'py>(
    py: Python<'py>,
    vectors: PyReadonlyArray2<'py, i16>,
    scores: PyReadonlyArray1<'py, i64>,
    balance: (i64, i64),
    limit: Limit<'py>,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let (numbers, data) = (vectors.shape()[1], vectors.as_slice().map_err(contract)?);
    let (scores, costs) = (scores.as_slice().map_err(contract)?, costs(&limit)?);
    let taken = enter(py, || {
        let vectors = Vectors::new(data, numbers)?;
        spread::relevance(vectors, scores, balance, Budget::new(limit.0, costs, vectors)?)
    })?;
    Ok(taken.into_pyarray(py))
}

#[pyfunction]
pub(super) fn facility<'py>(
    py: Python<'py>,
    vectors: PyReadonlyArray2<'py, i16>,
    neighbours: Option<usize>,
    limit: Limit<'py>,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let (numbers, data) = (vectors.shape()[1], vectors.as_slice().map_err(contract)?);
    let costs = costs(&limit)?;
    let taken = enter(py, || {
        let vectors = Vectors::new(data, numbers)?;
        Ok(spread::facility(vectors, neighbours, Budget::new(limit.0, costs, vectors)?))
    })?;
    Ok(taken.into_pyarray(py))
}
