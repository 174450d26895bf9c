//! The only way from Python into a kernel: the GIL is released, and each failure becomes one exception.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::{PyErr, create_exception};

use crate::error::{CoreError, Result};

create_exception!(_core, KernelError, PyException, "A caller broke a kernel's contract: a bug, not bad input.");
create_exception!(_core, FileError, PyException, "A file could not be read, or is not what it was taken for.");

pub(super) fn enter<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
    py.detach(work).map_err(raise)
}

pub(super) fn raise(error: CoreError) -> PyErr {
    match error {
        CoreError::Contract(reason) => KernelError::new_err(reason),
        CoreError::Io { path, reason } | CoreError::Format { path, reason } => FileError::new_err((path, reason)),
    }
}

pub(super) fn contract(error: impl std::fmt::Display) -> PyErr {
    KernelError::new_err(error.to_string())
}
