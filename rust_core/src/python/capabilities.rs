//! Bindings of capabilities: levels of scores, and mmSSR.

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use super::gate::{contract, enter};
use super::scheduling::{KeyArrays, borrow};
use crate::best::Preference;
use crate::levels as parting;
use crate::mmssr::{self as turns, Bins, Capability, Cells};
use crate::pieces::Pieces;

/// Scores as they are kept.
#[derive(FromPyObject)]
pub(super) enum Scores<'py> {
    Double(PyReadonlyArray1<'py, f64>),
    Single(PyReadonlyArray1<'py, f32>),
    I8(PyReadonlyArray1<'py, i8>),
    I16(PyReadonlyArray1<'py, i16>),
    I32(PyReadonlyArray1<'py, i32>),
    I64(PyReadonlyArray1<'py, i64>),
    U8(PyReadonlyArray1<'py, u8>),
    U16(PyReadonlyArray1<'py, u16>),
    U32(PyReadonlyArray1<'py, u32>),
    U64(PyReadonlyArray1<'py, u64>),
}

#[pyfunction]
pub(super) fn levels<'py>(
    py: Python<'py>,
    scores: Scores<'py>,
    able: PyReadonlyArray1<'py, bool>,
    over: f64,
    most: u8,
) -> PyResult<(Bound<'py, PyArray1<u8>>, bool)> {
    fn of<S: parting::Score + numpy::Element>(
        py: Python<'_>,
        scores: &PyReadonlyArray1<'_, S>,
        (able, over, most): (&[bool], f64, u8),
    ) -> PyResult<parting::Levels> {
        let scores = scores.as_slice().map_err(contract)?;
        enter(py, || parting::levels(scores, able, over, most))
    }
    let rule = (able.as_slice().map_err(contract)?, over, most);
    let found = match &scores {
        Scores::Double(scores) => of(py, scores, rule),
        Scores::Single(scores) => of(py, scores, rule),
        Scores::I8(scores) => of(py, scores, rule),
        Scores::I16(scores) => of(py, scores, rule),
        Scores::I32(scores) => of(py, scores, rule),
        Scores::I64(scores) => of(py, scores, rule),
        Scores::U8(scores) => of(py, scores, rule),
        Scores::U16(scores) => of(py, scores, rule),
        Scores::U32(scores) => of(py, scores, rule),
        Scores::U64(scores) => of(py, scores, rule),
    }?;
    Ok((found.codes.into_pyarray(py), found.exact))
}

type Bytes<'py> = Vec<PyReadonlyArray1<'py, u8>>;

/// The cell of each row: bytes in pieces, or words.
#[derive(FromPyObject)]
pub(super) enum CellArrays<'py> {
    Words(PyReadonlyArray1<'py, u32>),
    Bytes(Bytes<'py>),
}

fn pieces<'a>(arrays: &'a Bytes<'_>) -> PyResult<Pieces<'a, u8>> {
    arrays.iter().map(|piece| piece.as_slice()).collect::<Result<_, _>>().map(Pieces::new).map_err(contract)
}

type BinArrays<'py> = (CellArrays<'py>, PyReadonlyArray1<'py, u32>, PyReadonlyArray1<'py, u32>);
/// The pieces of levels or of whole scores, what makes levels of the latter, and scores of any kind.
type CapabilityArrays<'py> = (Bytes<'py>, Option<u8>, Option<PyReadonlyArray1<'py, f64>>);
type Charged<'py> = (
    Bound<'py, PyArray1<bool>>,
    Bound<'py, PyArray1<u8>>,
    Bound<'py, PyArray1<u8>>,
    [Bound<'py, PyArray1<u32>>; 4],
    (Vec<u64>, u64),
);

#[pyfunction]
pub(super) fn mmssr<'py>(
    py: Python<'py>,
    seed: u64,
    rows: (KeyArrays<'py>, PyReadonlyArray1<'py, bool>),
    bins: BinArrays<'py>,
    capabilities: Vec<CapabilityArrays<'py>>,
    budget: u64,
    compat: bool,
) -> PyResult<Charged<'py>> {
    let (keys, able) = (borrow(&rows.0)?, rows.1.as_slice().map_err(contract)?);
    let bytes = match &bins.0 {
        CellArrays::Bytes(arrays) => pieces(arrays)?,
        CellArrays::Words(_) => Pieces::new(Vec::new()),
    };
    let cell = match &bins.0 {
        CellArrays::Bytes(_) => Cells::Bytes(&bytes),
        CellArrays::Words(cells) => Cells::Words(cells.as_slice().map_err(contract)?),
    };
    let (starts, numbers) = (bins.1.as_slice().map_err(contract)?, bins.2.as_slice().map_err(contract)?);
    let bins = Bins { cell, starts, bins: numbers };
    let capabilities: Vec<Capability<'_>> = capabilities
        .iter()
        .map(|(levels, whole, scores)| {
            let scores = scores.as_ref().map(|scores| scores.as_slice()).transpose().map_err(contract)?;
            Ok(Capability { pieces: pieces(levels)?, whole: *whole, scores })
        })
        .collect::<PyResult<_>>()?;
    let found = enter(py, || {
        turns::mmssr(Preference::new(seed, keys.keys(), None)?, able, bins, &capabilities, budget, compat)
    })?;
    let column = |of: fn(&turns::Turn) -> u32| found.turns.iter().map(of).collect::<Vec<u32>>().into_pyarray(py);
    let turns =
        [column(|turn| turn.round), column(|turn| turn.capability), column(|turn| turn.bin), column(|turn| turn.taken)];
    let (taken, capability, place) = (found.taken, found.capability, found.place);
    let counts = (found.available, found.any);
    Ok((taken.into_pyarray(py), capability.into_pyarray(py), place.into_pyarray(py), turns, counts))
}
