//! Bindings of what quotas ask of millions of samples.

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use super::gate::{contract, enter};
use super::scheduling::{KeyArrays, borrow};
use crate::error::CoreError;
use crate::quotas::{self, Field};
use crate::sift::{self, Offer};
use crate::smooth::Heat;

type Words<'py> = Vec<PyReadonlyArray1<'py, u64>>;
/// (word, shift, size) of each column.
type Fields = Vec<(usize, u32, usize)>;
type Arrays<'py, T> = Vec<Bound<'py, PyArray1<T>>>;

fn slices<'a, T: numpy::Element>(arrays: &'a [PyReadonlyArray1<'_, T>]) -> PyResult<Vec<&'a [T]>> {
    arrays.iter().map(|part| part.as_slice()).collect::<Result<_, _>>().map_err(contract)
}

fn field((word, shift, size): (usize, u32, usize)) -> PyResult<Field> {
    if shift < u64::BITS && size <= 1 << 32 {
        Ok(Field { word, shift, size })
    } else {
        Err(contract("a field that is in no word"))
    }
}

#[derive(FromPyObject)]
pub(super) enum Column<'py> {
    Numbers(PyReadonlyArray1<'py, u32>),
    Bits((PyReadonlyArray1<'py, u8>, usize, usize)),
}

impl Column<'_> {
    fn values(&self) -> PyResult<quotas::Column<'_>> {
        Ok(match self {
            Self::Numbers(values) => quotas::Column::Numbers(values.as_slice().map_err(contract)?),
            Self::Bits((bytes, start, rows)) => {
                quotas::Column::Bits { bytes: bytes.as_slice().map_err(contract)?, start: *start, rows: *rows }
            }
        })
    }
}

#[pyfunction]
pub(super) fn packed_codes<'py>(
    py: Python<'py>,
    columns: Vec<Column<'py>>,
    sizes: Vec<usize>,
) -> PyResult<(Arrays<'py, u64>, Fields)> {
    let columns = columns.iter().map(Column::values).collect::<PyResult<Vec<_>>>()?;
    let (words, fields) = enter(py, || quotas::pack(&columns, &sizes))?;
    let fields = fields.into_iter().map(|field| (field.word, field.shift, field.size)).collect();
    Ok((words.into_iter().map(|word| word.into_pyarray(py)).collect(), fields))
}

type CellArrays<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<u32>>);

#[pyfunction]
pub(super) fn packed_cells<'py>(
    py: Python<'py>,
    words: Words<'py>,
    alive: PyReadonlyArray1<'py, bool>,
) -> PyResult<CellArrays<'py>> {
    let (words, alive) = (slices(&words)?, alive.as_slice().map_err(contract)?);
    let (cell, firsts) = enter(py, || quotas::cells(&words, alive))?;
    Ok((cell.into_pyarray(py), firsts.into_pyarray(py)))
}

type PriceArrays<'py> = (PyReadonlyArray1<'py, f64>, PyReadonlyArray1<'py, f64>);

/// What rows are worth, their tokens, packed values, prices of these, and of all.
type OfferArrays<'py> =
    (PyReadonlyArray1<'py, f64>, PyReadonlyArray1<'py, u64>, (Words<'py>, Fields), Vec<PriceArrays<'py>>, (f64, f64));

fn with_offer<T: Send>(
    py: Python<'_>,
    arrays: &OfferArrays<'_>,
    kernel: impl FnOnce(Offer<'_>) -> Result<T, CoreError> + Send,
) -> PyResult<T> {
    let (worth, tokens, (words, fields), prices, of_all) = arrays;
    let (worth, tokens, words) =
        (worth.as_slice().map_err(contract)?, tokens.as_slice().map_err(contract)?, slices(words)?);
    if fields.len() != prices.len() {
        return Err(contract("as many prices as columns"));
    }
    let mut columns = Vec::with_capacity(fields.len());
    for (place, (each, token)) in fields.iter().zip(prices) {
        let table = (each.as_slice().map_err(contract)?, token.as_slice().map_err(contract)?);
        columns.push((field(*place)?, table));
    }
    enter(py, || kernel(Offer { worth, tokens, words: &words, columns: &columns, of_all: *of_all }))
}

#[pyfunction]
pub(super) fn priced<'py>(py: Python<'py>, offer: OfferArrays<'py>) -> PyResult<Bound<'py, PyArray1<f64>>> {
    Ok(with_offer(py, &offer, |offer| offer.priced())?.into_pyarray(py))
}

type Tallies<'py> = (Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<u64>>);
/// The side of each row, the rows that are near, and tallies of those that are in.
type SideArrays<'py> = (Bound<'py, PyArray1<u8>>, Bound<'py, PyArray1<u32>>, Tallies<'py>);

#[pyfunction]
pub(super) fn sides<'py>(
    py: Python<'py>,
    offer: OfferArrays<'py>,
    able: PyReadonlyArray1<'py, bool>,
    reach: f64,
) -> PyResult<SideArrays<'py>> {
    let able = able.as_slice().map_err(contract)?;
    let found = with_offer(py, &offer, |offer| offer.sides(able, reach))?;
    let tallies = (found.counts.into_pyarray(py), found.spent.into_pyarray(py));
    Ok((found.sides.into_pyarray(py), found.near.into_pyarray(py), tallies))
}

#[pyfunction]
pub(super) fn wrong<'py>(
    py: Python<'py>,
    offer: OfferArrays<'py>,
    able: PyReadonlyArray1<'py, bool>,
    sides: PyReadonlyArray1<'py, u8>,
    reach: f64,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let (able, sides) = (able.as_slice().map_err(contract)?, sides.as_slice().map_err(contract)?);
    Ok(with_offer(py, &offer, |offer| offer.wrong(able, sides, reach))?.into_pyarray(py))
}

#[pyfunction]
pub(super) fn summed<'py>(
    py: Python<'py>,
    values: PyReadonlyArray1<'py, f64>,
    marks: PyReadonlyArray1<'py, bool>,
    able: PyReadonlyArray1<'py, bool>,
) -> PyResult<(f64, f64)> {
    let values = values.as_slice().map_err(contract)?;
    let (marks, able) = (marks.as_slice().map_err(contract)?, able.as_slice().map_err(contract)?);
    enter(py, || sift::summed(values, marks, able))
}

/// Places of a column's values in a bend, for a row and for each of its tokens.
type PlaceArrays<'py> = (PyReadonlyArray1<'py, i32>, PyReadonlyArray1<'py, i32>);
/// Places of the values of each column and of all, how many there are, and of how many rows near 0 one is asked.
type Bending<'py> = (Vec<PlaceArrays<'py>>, (i32, i32), usize, usize);
/// The sum, what it puts in (rows and tokens of each value), its bend, and how many rows are near 0.
type SmoothArrays<'py> = (f64, (Floats<'py>, Floats<'py>), Floats<'py>, usize);
type Floats<'py> = Bound<'py, PyArray1<f64>>;

#[pyfunction]
pub(super) fn smooth<'py>(
    py: Python<'py>,
    offer: OfferArrays<'py>,
    units: PyReadonlyArray1<'py, f64>,
    heat: f64,
    bending: Bending<'py>,
) -> PyResult<SmoothArrays<'py>> {
    let (places, of_all, num, every) = bending;
    let units = units.as_slice().map_err(contract)?;
    let places = places
        .iter()
        .map(|(each, token)| Ok((each.as_slice().map_err(contract)?, token.as_slice().map_err(contract)?)))
        .collect::<PyResult<Vec<_>>>()?;
    let heat = Heat { heat, places: &places, of_all, num, every };
    let found = with_offer(py, &offer, |offer| crate::smooth::smooth(&offer, units, &heat))?;
    let inside = (found.inside.into_pyarray(py), found.spent.into_pyarray(py));
    Ok((found.value, inside, found.bend.into_pyarray(py), found.near))
}

#[pyfunction]
pub(super) fn random_part<'py>(
    py: Python<'py>,
    seed: u64,
    keys: KeyArrays<'py>,
    able: PyReadonlyArray1<'py, bool>,
    part: u64,
    below: u64,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let (keys, able) = (borrow(&keys)?, able.as_slice().map_err(contract)?);
    Ok(enter(py, || quotas::random_part(seed, keys.keys(), able, part, below))?.into_pyarray(py))
}

#[pyfunction]
pub(super) fn tally<'py>(
    py: Python<'py>,
    codes: (Words<'py>, Fields),
    tokens: PyReadonlyArray1<'py, u64>,
    marks: PyReadonlyArray1<'py, bool>,
) -> PyResult<Tallies<'py>> {
    let words = slices(&codes.0)?;
    let fields = codes.1.into_iter().map(field).collect::<PyResult<Vec<_>>>()?;
    let (tokens, marks) = (tokens.as_slice().map_err(contract)?, marks.as_slice().map_err(contract)?);
    let (counts, spent) = enter(py, || sift::tally(&words, &fields, tokens, marks))?;
    Ok((counts.into_pyarray(py), spent.into_pyarray(py)))
}

#[pyfunction]
pub(super) fn nearness<'py>(
    py: Python<'py>,
    seed: u64,
    keys: KeyArrays<'py>,
    able: PyReadonlyArray1<'py, bool>,
    drawn: PyReadonlyArray1<'py, bool>,
    steps: f64,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let keys = borrow(&keys)?;
    let (able, drawn) = (able.as_slice().map_err(contract)?, drawn.as_slice().map_err(contract)?);
    Ok(enter(py, || quotas::nearness(seed, keys.keys(), able, drawn, steps))?.into_pyarray(py))
}

#[pyfunction]
pub(super) fn nearest_to_nothing<'py>(
    py: Python<'py>,
    values: PyReadonlyArray1<'py, f64>,
    among: PyReadonlyArray1<'py, bool>,
    most: usize,
) -> PyResult<Bound<'py, PyArray1<bool>>> {
    let (values, among) = (values.as_slice().map_err(contract)?, among.as_slice().map_err(contract)?);
    Ok(enter(py, || quotas::nearest_to_nothing(values, among, most))?.into_pyarray(py))
}
