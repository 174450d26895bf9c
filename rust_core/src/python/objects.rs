//! Python objects of which there are very many, made a batch at a time: samples, their media, and views of bytes.

use std::ffi::c_int;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple, PyType};

use super::gate::contract;
use super::streaming::Batch;

/// Bytes of a batch, for as long as somebody looks at them.
#[pyclass(frozen)]
pub(super) struct View {
    pub(super) batch: Py<Batch>,
    /// The place of a sample, and the number of one of its media.
    pub(super) of: (usize, usize),
}

#[pymethods]
impl View {
    // SAFETY: the bytes are the batch's, which is never changed and lives as long as this view; Python may only read them.
    #[allow(unsafe_code)]
    unsafe fn __getbuffer__(this: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let View { batch, of: (place, number) } = this.get();
        let (chunk, item) = batch.get().item(*place)?;
        let bytes = chunk.bytes(&item.media[*number]).unwrap_or_default();
        let size = bytes.len() as ffi::Py_ssize_t;
        let start = bytes.as_ptr().cast_mut().cast();
        match unsafe { ffi::PyBuffer_FillInfo(view, this.as_ptr(), start, size, 1, flags) } {
            0 => Ok(()),
            _ => Err(PyErr::fetch(this.py())),
        }
    }
}

/// A slot of a class, and what it is filled with.
struct Slot<'py> {
    descriptor: Bound<'py, PyAny>,
    set: ffi::descrsetfunc,
    values: Bound<'py, PyList>,
}

impl<'py> Slot<'py> {
    fn of(class: &Bound<'py, PyType>, name: &Bound<'py, PyString>, values: Bound<'py, PyList>) -> PyResult<Self> {
        let descriptor = class.getattr(name)?;
        // SAFETY: the slot of a type has this type, or is null where it has none.
        #[allow(unsafe_code)]
        let set = unsafe {
            let found = ffi::PyType_GetSlot(descriptor.get_type().as_type_ptr(), ffi::Py_tp_descr_set);
            std::mem::transmute::<*mut std::ffi::c_void, Option<ffi::descrsetfunc>>(found)
        };
        let set = set.ok_or_else(|| contract(format!("`{name}` is no slot")))?;
        Ok(Self { descriptor, set, values })
    }

    fn fill(&self, object: &Bound<'py, PyAny>, at: usize) -> PyResult<()> {
        let value = self.values.get_item(at)?;
        // SAFETY: three objects that live through the call, and the function of the first one's type.
        #[allow(unsafe_code)]
        let done = unsafe { (self.set)(self.descriptor.as_ptr(), object.as_ptr(), value.as_ptr()) };
        if done == 0 { Ok(()) } else { Err(PyErr::fetch(object.py())) }
    }
}

type Columns<'py> = Vec<(Bound<'py, PyString>, Bound<'py, PyList>)>;

/// New objects of a class, as many as the columns have rows, with slots filled from them and no `__init__` called.
#[pyfunction]
pub(super) fn filled<'py>(class: &Bound<'py, PyType>, columns: Columns<'py>) -> PyResult<Bound<'py, PyList>> {
    let py = class.py();
    let count = columns.iter().map(|(_, values)| values.len()).min().unwrap_or_default();
    if columns.iter().any(|(_, values)| values.len() != count) {
        return Err(contract("columns of different lengths"));
    }
    let slots =
        columns.into_iter().map(|(name, values)| Slot::of(class, &name, values)).collect::<PyResult<Vec<_>>>()?;
    let nothing = PyTuple::empty(py);
    // SAFETY: the slot of a type has this type, or is null where it has none.
    #[allow(unsafe_code)]
    let new = unsafe {
        let found = ffi::PyType_GetSlot(class.as_type_ptr(), ffi::Py_tp_new);
        std::mem::transmute::<*mut std::ffi::c_void, Option<ffi::newfunc>>(found)
    };
    let new = new.ok_or_else(|| contract("a class without `__new__`"))?;
    let objects = (0..count).map(|at| {
        // SAFETY: what the class makes its objects with, no arguments, and a new reference or an error.
        #[allow(unsafe_code)]
        let object = unsafe {
            Bound::from_owned_ptr_or_err(py, new(class.as_type_ptr(), nothing.as_ptr(), std::ptr::null_mut()))
        }?;
        slots.iter().try_for_each(|slot| slot.fill(&object, at))?;
        Ok(object)
    });
    PyList::new(py, objects.collect::<PyResult<Vec<_>>>()?)
}

/// A list for each end: what lies between it and the one before it.
#[pyfunction]
pub(super) fn parted<'py>(values: &Bound<'py, PyList>, ends: Vec<usize>) -> PyResult<Bound<'py, PyList>> {
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let parts: Vec<_> = starts.zip(&ends).map(|(start, end)| values.get_slice(start, *end)).collect();
    PyList::new(values.py(), parts)
}
