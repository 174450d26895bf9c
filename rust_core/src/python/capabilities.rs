//! Bindings of capabilities: levels of scores, and mmSSR.

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use super::gate::{contract, enter};
use super::scheduling::{KeyArrays, borrow};
use crate::best::Preference;
use crate::levels as parting;
use crate::mmssr::{self as turns, Bins, Capability};

#[pyfunction]
pub(super) fn levels<'py>(
    py: Python<'py>,
    scores: PyReadonlyArray1<'py, f64>,
    able: PyReadonlyArray1<'py, bool>,
    over: f64,
    most: u8,
) -> PyResult<(Bound<'py, PyArray1<u8>>, bool)> {
    let (scores, able) = (scores.as_slice().map_err(contract)?, able.as_slice().map_err(contract)?);
    let found = enter(py, || parting::levels(scores, able, over, most))?;
    Ok((found.codes.into_pyarray(py), found.exact))
}

type BinArrays<'py> = (PyReadonlyArray1<'py, u32>, PyReadonlyArray1<'py, u32>, PyReadonlyArray1<'py, u32>);
type CapabilityArrays<'py> = (PyReadonlyArray1<'py, u8>, Option<PyReadonlyArray1<'py, f64>>);
type Charged<'py> = (Bound<'py, PyArray1<u8>>, Bound<'py, PyArray1<u8>>, [Bound<'py, PyArray1<u32>>; 4]);

#[pyfunction]
pub(super) fn mmssr<'py>(
    py: Python<'py>,
    seed: u64,
    keys: KeyArrays<'py>,
    bins: BinArrays<'py>,
    capabilities: Vec<CapabilityArrays<'py>>,
    budget: u64,
    compat: bool,
) -> PyResult<Charged<'py>> {
    let keys = borrow(&keys)?;
    let cell = bins.0.as_slice().map_err(contract)?;
    let (starts, numbers) = (bins.1.as_slice().map_err(contract)?, bins.2.as_slice().map_err(contract)?);
    let bins = Bins { cell, starts, bins: numbers };
    let capabilities: Vec<Capability<'_>> = capabilities
        .iter()
        .map(|(levels, scores)| {
            let scores = scores.as_ref().map(|scores| scores.as_slice()).transpose()?;
            Ok(Capability { levels: levels.as_slice()?, scores })
        })
        .collect::<Result<_, numpy::AsSliceError>>()
        .map_err(contract)?;
    let found = enter(py, || turns::mmssr(Preference::new(seed, keys, None)?, bins, &capabilities, budget, compat))?;
    let column = |of: fn(&turns::Turn) -> u32| found.turns.iter().map(of).collect::<Vec<u32>>().into_pyarray(py);
    let turns =
        [column(|turn| turn.round), column(|turn| turn.capability), column(|turn| turn.bin), column(|turn| turn.taken)];
    Ok((found.capability.into_pyarray(py), found.place.into_pyarray(py), turns))
}
