//! `RxBatchGuard`: payloads that were received together.

use crate::end::{enter, refuse_pickling};
use crate::rx::RxGuard;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyTuple};

/// Payloads that were received together, in their order. Leaving the with block lets all of them go.
#[pyclass(module = "slipring", weakref)]
pub(crate) struct RxBatchGuard {
    messages: Vec<Py<RxGuard>>,
}

impl RxBatchGuard {
    pub(crate) fn new(messages: Vec<Py<RxGuard>>) -> Self {
        Self { messages }
    }
}

#[pymethods]
impl RxBatchGuard {
    fn __len__(&self) -> usize {
        self.messages.len()
    }

    fn __getitem__(&self, py: Python<'_>, index: isize) -> PyResult<Py<RxGuard>> {
        let at = if index < 0 { index + self.messages.len() as isize } else { index };
        let found = usize::try_from(at).ok().and_then(|at| self.messages.get(at));
        found.map(|rx| rx.clone_ref(py)).ok_or_else(|| PyIndexError::new_err("no message of the batch has this index"))
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        PyTuple::new(py, &self.messages)?.try_iter()
    }

    /// Lets all of them go.
    fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        for message in &enter(slf, "RxBatchGuard")?.messages {
            enter(message.bind(slf.py()), "RxGuard")?.let_go()?;
        }
        Ok(())
    }

    fn __enter__<'py>(slf: Bound<'py, Self>) -> Bound<'py, Self> {
        slf
    }

    #[pyo3(signature = (_kind=None, _error=None, _trace=None, /))]
    fn __exit__(
        slf: &Bound<'_, Self>,
        _kind: Option<&Bound<'_, PyAny>>,
        _error: Option<&Bound<'_, PyAny>>,
        _trace: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        Self::release(slf)
    }

    fn __repr__(&self) -> String {
        format!("RxBatchGuard({} messages)", self.messages.len())
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(refuse_pickling("RxBatchGuard"))
    }
}
