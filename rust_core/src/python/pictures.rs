//! Bindings of what is done to encoded pictures.

use std::cell::RefCell;

use numpy::{PyReadonlyArray1, PyReadwriteArray3};
use pyo3::prelude::*;

use super::gate::{contract, enter};
use crate::jpeg::{self, Decoder};

thread_local! {
    static DECODER: RefCell<Decoder> = RefCell::default();
}

/// (height, width) of a JPEG that any decoder built on libjpeg reads alike; None of others.
#[pyfunction]
pub(super) fn ordinary_jpeg(bytes: PyReadonlyArray1<'_, u8>) -> PyResult<Option<(usize, usize)>> {
    Ok(jpeg::ordinary(bytes.as_slice().map_err(contract)?))
}

/// Decodes plain pictures, each into memory of its shape, and tells which of them were plain.
#[pyfunction]
pub(super) fn plain_jpegs(
    py: Python<'_>,
    mut pictures: Vec<(PyReadonlyArray1<'_, u8>, PyReadwriteArray3<'_, u8>)>,
) -> PyResult<Vec<bool>> {
    let mut work = Vec::with_capacity(pictures.len());
    for (bytes, pixels) in &mut pictures {
        work.push((bytes.as_slice().map_err(contract)?, pixels.as_slice_mut().map_err(contract)?));
    }
    enter(py, || {
        Ok(DECODER
            .with_borrow_mut(|decoder| work.into_iter().map(|(bytes, pixels)| decoder.decode(bytes, pixels)).collect()))
    })
}
