//! `RxGuard`: a received payload that is looked at in place, and then let go.

use crate::buffer::{Bytes, Exporter, copy_out};
use crate::end::{enter, refuse_pickling};
use crate::error::invalid;
use crate::payload::Received;
use crate::shared::SharedBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use slipring::Deadline;

/// A payload that was received, or the request or reply of a call. Look at it by `memoryview(rx)`.
///
/// A long payload stays where the sender wrote it; leaving the with block, or `release()`, gives it back, and is a `BufferError`
/// while a view is there. What is dropped without either goes back with its last view.
#[pyclass(module = "slipring", freelist = 64)]
pub(crate) struct RxGuard {
    pub(crate) exporter: Exporter,
    type_id: u32,
    correlation_id: u64,
    size: usize,
    shared: Vec<slipring::SharedBuffer>,
    deadline: Deadline,
    note: bool,
}

impl RxGuard {
    #[inline]
    pub(crate) fn new(py: Python<'_>, received: Received) -> Self {
        let Received { type_id, correlation_id, bytes, shared, deadline, note } = received;
        let size = bytes.len(py);
        Self { exporter: Exporter::new(bytes), type_id, correlation_id, size, shared, deadline, note }
    }

    fn bytes(&self, py: Python<'_>) -> PyResult<&Bytes> {
        self.exporter.bytes().ok_or_else(|| invalid(py, "this RxGuard was released, and shows nothing any more"))
    }

    /// Lets go, if that was not done yet.
    pub(crate) fn let_go(&mut self) -> PyResult<()> {
        drop(self.exporter.take("RxGuard")?);
        self.shared.clear();
        Ok(())
    }
}

#[pymethods]
impl RxGuard {
    /// The sender's type id.
    #[getter]
    fn type_id(&self) -> u32 {
        self.type_id
    }

    /// The same, as calls name it.
    #[getter]
    fn msg_type(&self) -> u32 {
        self.type_id
    }

    /// The id of the call that this belongs to, for `reply`; 0 on a plain bus.
    #[getter]
    fn correlation_id(&self) -> u64 {
        self.correlation_id
    }

    /// How many bytes the payload has.
    #[getter]
    fn size(&self) -> usize {
        self.size
    }

    /// The same.
    #[getter]
    fn actual_size(&self) -> usize {
        self.size
    }

    /// A copy of the payload.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        copy_out(py, self.bytes(py)?)
    }

    /// The shared objects that came with it.
    #[getter]
    fn shared<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        SharedBuffer::list(py, &self.shared)
    }

    /// Whether this is a request of which nobody awaits a reply.
    #[getter]
    fn is_note(&self) -> bool {
        self.note
    }

    /// How many seconds the caller goes on waiting; None for ever.
    #[getter]
    fn remaining(&self) -> Option<f64> {
        self.deadline.remaining().map(|left| left.as_secs_f64())
    }

    /// Whether it was released.
    #[getter]
    fn released(&self) -> bool {
        self.exporter.is_empty()
    }

    /// Lets the payload go.
    fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        let mut guard = enter(slf, "RxGuard")?;
        if guard.exporter.is_empty() {
            return Err(invalid(slf.py(), "this RxGuard was released already"));
        }
        guard.let_go()
    }

    fn __len__(&self) -> usize {
        self.size
    }

    fn __enter__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        slf.borrow().bytes(slf.py())?;
        Ok(slf)
    }

    #[pyo3(signature = (_kind=None, _error=None, _trace=None, /))]
    fn __exit__(
        slf: &Bound<'_, Self>,
        _kind: Option<&Bound<'_, PyAny>>,
        _error: Option<&Bound<'_, PyAny>>,
        _trace: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        enter(slf, "RxGuard")?.let_go()
    }

    fn __repr__(&self) -> String {
        let over = if self.exporter.is_empty() { ", released" } else { "" };
        format!("RxGuard(type_id={}, correlation_id={}, size={}{over})", self.type_id, self.correlation_id, self.size)
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(refuse_pickling("RxGuard"))
    }
}
