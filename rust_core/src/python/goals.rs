//! Bindings of goal-driven selection: texts measured, scores, and what a goal takes.

use std::path::PathBuf;

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::gate::{contract, enter};
use super::reading::from_json;
use super::scheduling::{KeyArrays, borrow};
use crate::best::Preference;
use crate::container::{Layout, Stream};
use crate::fields::Fields;
use crate::gdo::{self, Inputs, Metrics, Without};
use crate::goal::{self, Goal};
use crate::wording as measurer;

type Floats<'py> = PyReadonlyArray1<'py, f64>;
type Numbers<'py> = PyReadonlyArray1<'py, u32>;

/// Columns of a file's texts, by name.
#[pyfunction]
pub(super) fn wording<'py>(
    py: Python<'py>,
    stream: PathBuf,
    layout: &str,
    fields: &str,
) -> PyResult<Bound<'py, PyDict>> {
    let layout: Layout = from_json(layout)?;
    let fields: Fields = from_json(fields)?;
    let found = enter(py, || {
        let bytes = Stream::open(&stream)?;
        Ok(measurer::wording(bytes.bytes(), &layout, &fields, |range| bytes.release(range)))
    })?;
    let out = PyDict::new(py);
    for (name, column) in measurer::NARROW.into_iter().zip(found.narrow) {
        out.set_item(name, column.into_pyarray(py))?;
    }
    for (name, column) in measurer::WIDE.into_iter().zip(found.wide) {
        out.set_item(name, column.into_pyarray(py))?;
    }
    Ok(out)
}

type Kinds<'py> = (PyReadonlyArray1<'py, bool>, PyReadonlyArray1<'py, u8>, PyReadonlyArray1<'py, u8>);
type ScoreArrays<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<bool>>);

/// `rows` are able, kind, temporal; `lengths` question, answer, distinct; `metrics` in the order of `gdo::Metrics`.
#[pyfunction]
pub(super) fn goal_scores<'py>(
    py: Python<'py>,
    rows: Kinds<'py>,
    lengths: [Floats<'py>; 3],
    fields: Vec<Numbers<'py>>,
    source: Numbers<'py>,
    metrics: [Floats<'py>; 5],
    without: (bool, bool, bool),
) -> PyResult<ScoreArrays<'py>> {
    let fields: Vec<&[u32]> = fields.iter().map(|part| part.as_slice()).collect::<Result<_, _>>().map_err(contract)?;
    let pool = gdo::Pool {
        able: rows.0.as_slice().map_err(contract)?,
        kind: rows.1.as_slice().map_err(contract)?,
        temporal: rows.2.as_slice().map_err(contract)?,
        question: lengths[0].as_slice().map_err(contract)?,
        answer: lengths[1].as_slice().map_err(contract)?,
        distinct: lengths[2].as_slice().map_err(contract)?,
        fields: &fields,
        source: source.as_slice().map_err(contract)?,
        metrics: Metrics {
            loss_visual: metrics[0].as_slice().map_err(contract)?,
            loss_blind: metrics[1].as_slice().map_err(contract)?,
            frame_diversity: metrics[2].as_slice().map_err(contract)?,
            vds: metrics[3].as_slice().map_err(contract)?,
            quality: metrics[4].as_slice().map_err(contract)?,
        },
    };
    let without = Without { vds: without.0, naturalness: without.1, quality: without.2 };
    let found = enter(py, || gdo::scores(&pool, without))?;
    Ok((found.rho.into_pyarray(py), found.vds3.into_pyarray(py), found.measured.into_pyarray(py)))
}

/// `inputs` in the order of `gdo::Inputs`.
#[pyfunction]
pub(super) fn goal_quality<'py>(
    py: Python<'py>,
    inputs: [Floats<'py>; 7],
    able: PyReadonlyArray1<'py, bool>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let inputs = Inputs {
        vds: inputs[0].as_slice().map_err(contract)?,
        frame_diversity: inputs[1].as_slice().map_err(contract)?,
        consistency: inputs[2].as_slice().map_err(contract)?,
        perplexity: inputs[3].as_slice().map_err(contract)?,
        flow: inputs[4].as_slice().map_err(contract)?,
        temporal: inputs[5].as_slice().map_err(contract)?,
        coverage: inputs[6].as_slice().map_err(contract)?,
    };
    let able = able.as_slice().map_err(contract)?;
    Ok(enter(py, || gdo::quality(&inputs, able))?.into_pyarray(py))
}

type PoolArrays<'py> = (
    PyReadonlyArray1<'py, bool>,
    PyReadonlyArray1<'py, u8>,
    Numbers<'py>,
    Numbers<'py>,
    PyReadonlyArray1<'py, u64>,
    Numbers<'py>,
);
type Limits<'py> = (PyReadonlyArray1<'py, u64>, PyReadonlyArray1<'py, u64>);
type Asked<'py> = ([u64; 4], Vec<(u32, u64)>, Limits<'py>, u32);

/// `pool` in the order of `goal::Pool`; `asked` are count, temporal, video and most_video, floors, quotas and caps, and
/// uses of a video.
#[pyfunction]
pub(super) fn goal_choose<'py>(
    py: Python<'py>,
    seeds: (u64, u64),
    keys: KeyArrays<'py>,
    scores: Floats<'py>,
    pool: PoolArrays<'py>,
    asked: Asked<'py>,
) -> PyResult<Bound<'py, PyArray1<u8>>> {
    let keys = borrow(&keys)?;
    let scores = scores.as_slice().map_err(contract)?;
    let video = pool.5.as_slice().map_err(contract)?;
    let videos = video.iter().filter(|video| **video != goal::NO_VIDEO).max().map_or(0, |most| *most as usize + 1);
    let pool = goal::Pool {
        able: pool.0.as_slice().map_err(contract)?,
        marks: pool.1.as_slice().map_err(contract)?,
        stratum: pool.2.as_slice().map_err(contract)?,
        group: pool.3.as_slice().map_err(contract)?,
        text: pool.4.as_slice().map_err(contract)?,
        video,
        videos,
    };
    let ([count, temporal, video, most_video], floors, limits, per_video) = asked;
    let (quotas, caps) = (limits.0.as_slice().map_err(contract)?, limits.1.as_slice().map_err(contract)?);
    let goal = Goal { count, temporal, video, most_video, floors: &floors, quotas, caps, per_video };
    let stages = enter(py, || {
        let preference = Preference::new(seeds.0, keys.keys(), Some(scores))?;
        goal::choose(preference, Preference::new(seeds.1, keys.keys(), None)?, &pool, &goal)
    })?;
    Ok(stages.into_pyarray(py))
}
