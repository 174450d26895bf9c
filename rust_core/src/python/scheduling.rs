//! Bindings of identities and scheduling.

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyReadwriteArray1};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::gate::{contract, enter};
use super::tables::{Arrays, slices};
use crate::moves::longest_increasing;
use crate::pieces::Pieces;
use crate::rank::Keys;
use crate::select::{Cap, Limits};
use crate::{batches, digest, equals, interleave as scheduler, pace as pacing, rank, select, shards};

/// Byte strings come first: where there are no arrays, numpy is not loaded.
#[derive(FromPyObject)]
pub(super) enum Part<'py> {
    Bytes(Bound<'py, PyBytes>),
    Array(PyReadonlyArray1<'py, u8>),
}

impl Part<'_> {
    fn as_slice(&self) -> PyResult<&[u8]> {
        match self {
            Part::Bytes(bytes) => Ok(bytes.as_bytes()),
            Part::Array(array) => array.as_slice().map_err(contract),
        }
    }
}

#[pyfunction]
pub(super) fn digest_parts<'py>(py: Python<'py>, domain: &str, parts: Vec<Part<'py>>) -> PyResult<Bound<'py, PyBytes>> {
    let parts: Vec<&[u8]> = parts.iter().map(Part::as_slice).collect::<PyResult<_>>()?;
    let digest = enter(py, || Ok(digest::parts(domain, parts)))?;
    Ok(PyBytes::new(py, &digest))
}

#[pyfunction]
pub(super) fn multiset_digest<'py>(
    py: Python<'py>,
    domain: &str,
    ids: PyReadonlyArray1<'py, u8>,
) -> PyResult<(Bound<'py, PyBytes>, usize)> {
    let (ids, rest) = ids.as_slice().map_err(contract)?.as_chunks::<16>();
    if !rest.is_empty() {
        return Err(contract("ids are 16 bytes each"));
    }
    let (digest, distinct) = enter(py, || digest::multiset(domain, ids))?;
    Ok((PyBytes::new(py, &digest), distinct))
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

/// A column is its name, how many bytes a row has, whether its numbers are packed, and its bytes.
#[pyfunction]
pub(super) fn shard_file<'py>(
    py: Python<'py>,
    columns: Vec<(String, usize, bool, PyReadonlyArray1<'py, u8>)>,
    group: usize,
    note: (String, String),
) -> PyResult<Bound<'py, PyArray1<u8>>> {
    let mut found = Vec::with_capacity(columns.len());
    for (name, width, packed, bytes) in &columns {
        let bytes = bytes.as_slice().map_err(contract)?;
        found.push(shards::Column { name, width: *width, packed: *packed, bytes });
    }
    Ok(enter(py, || shards::file(&found, group, (&note.0, &note.1)))?.into_pyarray(py))
}

#[pyfunction]
pub(super) fn keyed_order<'py>(
    py: Python<'py>,
    seed: u64,
    keys: KeyArrays<'py>,
    turn: PyReadonlyArray1<'py, u64>,
) -> PyResult<Bound<'py, PyArray1<u64>>> {
    let (keys, turn) = (borrow(&keys)?, turn.as_slice().map_err(contract)?);
    Ok(enter(py, || rank::keyed_order(seed, keys.keys(), turn))?.into_pyarray(py))
}

/// The columns of [`Keys`], as arrays; those of the halves of ids may lie in pieces.
pub(super) type KeyArrays<'py> =
    (Arrays<'py, u64>, Arrays<'py, u64>, PyReadonlyArray1<'py, u32>, PyReadonlyArray1<'py, u32>);

/// What [`Keys`] look at.
pub(super) struct Held<'a> {
    high: Pieces<'a, u64>,
    low: Pieces<'a, u64>,
    occurrence: &'a [u32],
    pool: &'a [u32],
}

impl Held<'_> {
    pub(super) fn keys(&self) -> Keys<'_> {
        Keys { high: &self.high, low: &self.low, occurrence: self.occurrence, pool: self.pool }
    }
}

pub(super) fn borrow<'a>((high, low, occurrence, pool): &'a KeyArrays<'_>) -> PyResult<Held<'a>> {
    Ok(Held {
        high: Pieces::new(slices(high)?),
        low: Pieces::new(slices(low)?),
        occurrence: occurrence.as_slice().map_err(contract)?,
        pool: pool.as_slice().map_err(contract)?,
    })
}

#[pyfunction]
pub(super) fn ranking<'py>(
    py: Python<'py>,
    seed: u64,
    keys: KeyArrays<'py>,
    rows: PyReadonlyArray1<'py, u32>,
    passes: PyReadonlyArray1<'py, u32>,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let keys = borrow(&keys)?;
    let (rows, passes) = (rows.as_slice().map_err(contract)?, passes.as_slice().map_err(contract)?);
    Ok(enter(py, || rank::ranking(seed, keys.keys(), rows, passes))?.into_pyarray(py))
}

#[pyfunction]
pub(super) fn ranked_rows<'py>(
    py: Python<'py>,
    seed: u64,
    keys: KeyArrays<'py>,
    rows: PyReadonlyArray1<'py, u32>,
    passes: PyReadonlyArray1<'py, u32>,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let keys = borrow(&keys)?;
    let (rows, passes) = (rows.as_slice().map_err(contract)?, passes.as_slice().map_err(contract)?);
    Ok(enter(py, || rank::ranked_rows(seed, keys.keys(), rows, passes))?.into_pyarray(py))
}

#[pyfunction]
pub(super) fn sample_ids<'py>(
    py: Python<'py>,
    keys: KeyArrays<'py>,
    rows: PyReadonlyArray1<'py, u32>,
) -> PyResult<Bound<'py, PyArray1<u8>>> {
    let (keys, rows) = (borrow(&keys)?, rows.as_slice().map_err(contract)?);
    Ok(enter(py, || rank::sample_ids(keys.keys(), rows))?.into_pyarray(py))
}

#[pyfunction]
pub(super) fn first_of_equals<'py>(
    py: Python<'py>,
    keys: KeyArrays<'py>,
    repeated: (PyReadonlyArray1<'py, u32>, PyReadonlyArray1<'py, u32>),
    alive: PyReadonlyArray1<'py, bool>,
) -> PyResult<Bound<'py, PyArray1<bool>>> {
    let (keys, alive) = (borrow(&keys)?, alive.as_slice().map_err(contract)?);
    let (rows, sets) = (repeated.0.as_slice().map_err(contract)?, repeated.1.as_slice().map_err(contract)?);
    Ok(enter(py, || equals::first_of_equals(keys.keys(), rows, sets, alive))?.into_pyarray(py))
}

#[pyfunction]
pub(super) fn number_equals<'py>(
    py: Python<'py>,
    rows: PyReadonlyArray1<'py, u32>,
    again: PyReadonlyArray1<'py, bool>,
    mut occurrence: PyReadwriteArray1<'py, u32>,
) -> PyResult<()> {
    let (rows, again) = (rows.as_slice().map_err(contract)?, again.as_slice().map_err(contract)?);
    let occurrence = occurrence.as_slice_mut().map_err(contract)?;
    enter(py, || equals::number(rows, again, occurrence))
}

type RepeatedArrays<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<bool>>);

#[pyfunction]
pub(super) fn repeated<'py>(
    py: Python<'py>,
    high: Arrays<'py, u64>,
    low: Arrays<'py, u64>,
    ends: PyReadonlyArray1<'py, u64>,
) -> PyResult<RepeatedArrays<'py>> {
    let (high, low) = (Pieces::new(slices(&high)?), Pieces::new(slices(&low)?));
    let ends = ends.as_slice().map_err(contract)?;
    let found = enter(py, || equals::repeated(&high, &low, ends))?;
    Ok((found.rows.into_pyarray(py), found.sets.into_pyarray(py), found.again.into_pyarray(py)))
}

#[pyfunction]
pub(super) fn totals<'py>(
    py: Python<'py>,
    group: PyReadonlyArray1<'py, u32>,
    groups: usize,
    weights: Option<PyReadonlyArray1<'py, u64>>,
    alive: Option<PyReadonlyArray1<'py, bool>>,
) -> PyResult<Bound<'py, PyArray1<u64>>> {
    let group = group.as_slice().map_err(contract)?;
    let weights = weights.as_ref().map(|weights| weights.as_slice()).transpose().map_err(contract)?;
    let alive = alive.as_ref().map(|alive| alive.as_slice()).transpose().map_err(contract)?;
    Ok(enter(py, || rank::totals(group, groups, weights, alive))?.into_pyarray(py))
}

type Numbers<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<u32>>, usize);

#[pyfunction]
pub(super) fn shared_numbers<'py>(
    py: Python<'py>,
    first: KeyArrays<'py>,
    second: KeyArrays<'py>,
) -> PyResult<Numbers<'py>> {
    let tables = [borrow(&first)?, borrow(&second)?];
    let ([first, second], count) = enter(py, || rank::shared_numbers([tables[0].keys(), tables[1].keys()]))?;
    Ok((first.into_pyarray(py), second.into_pyarray(py), count))
}

#[pyfunction]
pub(super) fn earlier_equals<'py>(
    py: Python<'py>,
    items: PyReadonlyArray1<'py, u32>,
    kinds: usize,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let items = items.as_slice().map_err(contract)?;
    Ok(enter(py, || rank::earlier_equals(items, kinds))?.into_pyarray(py))
}

type Occurrences<'py> = (Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<i64>>);

#[pyfunction]
pub(super) fn occurrences<'py>(
    py: Python<'py>,
    items: PyReadonlyArray1<'py, u32>,
    kinds: usize,
) -> PyResult<Occurrences<'py>> {
    let items = items.as_slice().map_err(contract)?;
    let (counts, first) = enter(py, || rank::occurrences(items, kinds))?;
    Ok((counts.into_pyarray(py), first.into_pyarray(py)))
}

#[pyfunction]
pub(super) fn interleave<'py>(
    py: Python<'py>,
    counts: PyReadonlyArray1<'py, u64>,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let counts = counts.as_slice().map_err(contract)?;
    Ok(enter(py, || scheduler::interleave(counts))?.into_pyarray(py))
}

#[pyfunction]
pub(super) fn pace<'py>(
    py: Python<'py>,
    easiest: PyReadonlyArray1<'py, u32>,
    start: (u64, u64),
    root: bool,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let easiest = easiest.as_slice().map_err(contract)?;
    let competence = pacing::Competence { numerator: start.0, divisor: start.1, root };
    Ok(enter(py, || pacing::pace(easiest, competence))?.into_pyarray(py))
}

#[pyfunction]
pub(super) fn stratify<'py>(
    py: Python<'py>,
    group: PyReadonlyArray1<'py, u32>,
    groups: usize,
    rows: usize,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let group = group.as_slice().map_err(contract)?;
    Ok(enter(py, || batches::stratify(group, groups, rows))?.into_pyarray(py))
}

#[pyfunction]
pub(super) fn anchor<'py>(
    py: Python<'py>,
    is_anchor: PyReadonlyArray1<'py, bool>,
    micro: usize,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let is_anchor = is_anchor.as_slice().map_err(contract)?;
    Ok(enter(py, || batches::anchor(is_anchor, micro))?.into_pyarray(py))
}

type Caps<'py> = Vec<(PyReadonlyArray1<'py, u32>, PyReadonlyArray1<'py, u64>)>;
type LimitArrays<'py> = (Option<PyReadonlyArray1<'py, u64>>, u64, Caps<'py>);
type TakenArrays<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<u8>>, u64);

#[pyfunction]
pub(super) fn take<'py>(
    py: Python<'py>,
    seed: u64,
    keys: KeyArrays<'py>,
    alive: PyReadonlyArray1<'py, bool>,
    passes: u32,
    limits: LimitArrays<'py>,
) -> PyResult<TakenArrays<'py>> {
    let (keys, alive) = (borrow(&keys)?, alive.as_slice().map_err(contract)?);
    let (costs, budget, caps) = limits;
    let costs = costs.as_ref().map(|costs| costs.as_slice()).transpose().map_err(contract)?;
    let caps: Vec<Cap<'_>> = caps
        .iter()
        .map(|(group, limit)| Ok(Cap { group: group.as_slice()?, limit: limit.as_slice()? }))
        .collect::<Result<_, numpy::AsSliceError>>()
        .map_err(contract)?;
    let taken = enter(py, || select::take(seed, keys.keys(), alive, passes, &Limits { costs, budget, caps }))?;
    Ok((taken.times.into_pyarray(py), taken.refused_by.into_pyarray(py), taken.total))
}

#[pyfunction]
pub(super) fn unmoved<'py>(
    py: Python<'py>,
    positions: PyReadonlyArray1<'py, u64>,
) -> PyResult<Bound<'py, PyArray1<bool>>> {
    let positions = positions.as_slice().map_err(contract)?;
    Ok(enter(py, || Ok(longest_increasing(positions)))?.into_pyarray(py))
}
