//! `Message`: a received payload that belongs to its holder for good.

use crate::args::Id;
use crate::buffer::{Bytes, Exporter, Payload, copy_out};
use crate::error::unexpected;
use crate::payload::Received;
use crate::shared::SharedBuffer;
use pyo3::basic::CompareOp;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyType};

/// A class, and what to call it with.
type Reduced<'py> = (Bound<'py, PyType>, (u32, Bound<'py, PyBytes>));

/// A received message, to be kept for as long as one likes.
///
/// `data` is its payload as bytes. A `memoryview` of the message itself shows a long payload where the sender wrote it, without a
/// copy; its memory goes back to the sender when the message and all views of it are gone.
#[pyclass(module = "slipring", freelist = 256)]
pub(crate) struct Message {
    pub(crate) exporter: Exporter,
    type_id: u32,
    /// The copy that `data` made of what was kept.
    data: Option<Py<PyBytes>>,
    shared: Vec<slipring::SharedBuffer>,
}

impl Message {
    #[inline]
    pub(crate) fn new(received: Received) -> Self {
        let Received { type_id, bytes, shared, .. } = received;
        Self { exporter: Exporter::new(bytes), type_id, data: None, shared }
    }

    fn bytes(&self) -> PyResult<&Bytes> {
        self.exporter.bytes().ok_or_else(|| unexpected("a message without its payload"))
    }
}

#[pymethods]
impl Message {
    #[new]
    fn of(type_id: Id, data: &Bound<'_, PyAny>) -> PyResult<Self> {
        let bytes = PyBytes::new(data.py(), Payload::of(data)?.bytes()).unbind();
        let exporter = Exporter::new(Bytes::Inline(bytes));
        Ok(Self { exporter, type_id: type_id.0, data: None, shared: Vec::new() })
    }

    /// The sender's type id.
    #[getter]
    fn type_id(&self) -> u32 {
        self.type_id
    }

    /// How many bytes the payload has.
    #[getter]
    fn size(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.bytes()?.len(py))
    }

    /// The payload as bytes. A long one is copied once, when this is first asked for.
    #[getter]
    fn data<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        if let Some(data) = &self.data {
            return Ok(data.bind(py).clone());
        }
        let data = copy_out(py, self.bytes()?)?;
        self.data = Some(data.clone().unbind());
        Ok(data)
    }

    /// The shared objects that came with it.
    #[getter]
    fn shared<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        SharedBuffer::list(py, &self.shared)
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.size(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("Message(type_id={}, size={})", self.type_id, self.size(py)?))
    }

    fn __richcmp__<'py>(
        slf: &Bound<'py, Self>,
        other: &Bound<'py, PyAny>,
        op: CompareOp,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let (Ok(other), CompareOp::Eq | CompareOp::Ne) = (other.cast::<Self>(), op) else {
            return Ok(py.NotImplemented().into_bound(py));
        };
        let same = slf.is(other) || {
            let (mine, theirs) = (slf.borrow().type_id, other.borrow().type_id);
            let data = slf.borrow_mut().data(py)?;
            mine == theirs && data.as_bytes() == other.borrow_mut().data(py)?.as_bytes()
        };
        Ok((same == matches!(op, CompareOp::Eq)).into_pyobject(py)?.to_owned().into_any())
    }

    fn __hash__(&mut self, py: Python<'_>) -> PyResult<isize> {
        (self.type_id, self.data(py)?).into_pyobject(py)?.hash()
    }

    /// A message pickles as its bytes; shared objects do not go along.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Reduced<'py>> {
        let py = slf.py();
        let mut message = slf.borrow_mut();
        Ok((slf.get_type(), (message.type_id, message.data(py)?)))
    }
}
