//! `SharedBuffer`: bytes that are written once and read by any number of processes where they are.

use crate::args::Length;
use crate::buffer::{Bytes, Exporter, Payload};
use crate::end::{enter, refuse_pickling};
use crate::error::{OrRaise, invalid, unexpected};
use crate::waiting::patiently;
use pyo3::prelude::*;
use pyo3::types::PyList;
use slipring::Deadline;
use std::os::fd::{AsFd, AsRawFd};

/// Bytes that never change once they are sealed, in memory that any number of processes read in place.
///
/// Write it through `memoryview(buffer)`, or an array over it, then `seal()` it, and give it to any number of sends by `shared=`.
/// What a receiver finds in `shared` is a SharedBuffer too, and can be passed on.
#[pyclass(module = "slipring", weakref)]
pub(crate) struct SharedBuffer {
    pub(crate) exporter: Exporter,
}

impl SharedBuffer {
    /// Received or own objects as Python's.
    pub(crate) fn list<'py>(py: Python<'py>, objects: &[slipring::SharedBuffer]) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for object in objects {
            list.append(Self { exporter: Exporter::new(Bytes::Shared(object.clone())) })?;
        }
        Ok(list)
    }

    /// The sealed objects of a `shared=` argument.
    pub(crate) fn sealed_of(given: Option<Vec<Bound<'_, Self>>>) -> PyResult<Vec<slipring::SharedBuffer>> {
        given.into_iter().flatten().map(|buffer| buffer.borrow().sealed_object(buffer.py())).collect()
    }

    fn sealed_object(&self, py: Python<'_>) -> PyResult<slipring::SharedBuffer> {
        match self.exporter.bytes() {
            Some(Bytes::Shared(object)) => Ok(object.clone()),
            _ => Err(invalid(py, "this SharedBuffer is not sealed yet: call seal() when it is written")),
        }
    }
}

#[pymethods]
impl SharedBuffer {
    #[new]
    fn new(py: Python<'_>, size: Length) -> PyResult<Self> {
        let built = patiently(py, Deadline::NEVER, |_| slipring::SharedBuffer::build(size.0))?.or_raise(py)?;
        Ok(Self { exporter: Exporter::new(Bytes::Built(Box::new(built))) })
    }

    /// A sealed copy of a bytes-like object.
    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<Self> {
        let payload = Payload::of(data)?;
        let bytes = payload.bytes();
        let object = patiently(py, Deadline::NEVER, |_| slipring::SharedBuffer::from_slice(bytes))?.or_raise(py)?;
        Ok(Self { exporter: Exporter::new(Bytes::Shared(object)) })
    }

    /// Ends the writing, for good. A BufferError while views are there.
    fn seal(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let mut buffer = enter(slf, "SharedBuffer")?;
        if matches!(buffer.exporter.bytes(), Some(Bytes::Shared(_))) {
            return Err(invalid(py, "this SharedBuffer is sealed already"));
        }
        let Some(Bytes::Built(built)) = buffer.exporter.take("SharedBuffer")? else {
            return Err(invalid(py, "this SharedBuffer could not be sealed before, and is lost"));
        };
        let object = py.detach(|| built.seal()).or_raise(py)?;
        buffer.exporter.put_back(Bytes::Shared(object));
        Ok(())
    }

    /// Whether it is sealed.
    #[getter]
    fn sealed(&self) -> bool {
        matches!(self.exporter.bytes(), Some(Bytes::Shared(_)))
    }

    /// The number by which the kernel knows the memory: the same in every process.
    #[getter]
    fn id(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.sealed_object(py)?.id())
    }

    /// How many bytes it has.
    #[getter]
    fn size(&self, py: Python<'_>) -> usize {
        self.exporter.bytes().map_or(0, |bytes| bytes.len(py))
    }

    /// The descriptor of the sealed memory, which stays this object's.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        match self.exporter.bytes() {
            Some(Bytes::Shared(object)) => Ok(object.as_fd().as_raw_fd()),
            Some(_) => self.sealed_object(py).map(|_| -1),
            None => Err(unexpected("a shared object without its memory")),
        }
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.size(py)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("SharedBuffer(size={}, sealed={})", self.size(py), if self.sealed() { "True" } else { "False" })
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(refuse_pickling("SharedBuffer"))
    }
}
