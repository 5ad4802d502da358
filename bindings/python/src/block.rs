//! Memory of the outgoing arena that an array is written in, and by whose address a sending call knows the array.

use crate::buffer::{Bytes, Exporter, Payload};
use crate::end::refuse_pickling;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyWeakrefMethods, PyWeakrefReference};
use std::collections::HashMap;

/// Memory that the peer will read where it is written. `empty` makes arrays of it; by itself it only has a buffer.
#[pyclass(module = "slipring", weakref)]
pub(crate) struct Block {
    pub(crate) exporter: Exporter,
}

#[pymethods]
impl Block {
    fn __len__(&self, py: Python<'_>) -> usize {
        self.exporter.bytes().map_or(0, |bytes| bytes.len(py))
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(refuse_pickling("Block"))
    }
}

/// The blocks of one end that may yet be sent, by their addresses. Whoever drops his array gives its block up.
#[derive(Default)]
pub(crate) struct Blocks {
    by_address: HashMap<usize, Py<PyWeakrefReference>>,
}

impl Blocks {
    /// An array of `shape` and `dtype` in memory that `claim` gives for so many bytes.
    pub(crate) fn array<'py>(
        &mut self,
        shape: &Bound<'py, PyAny>,
        dtype: &Bound<'py, PyAny>,
        claim: impl FnOnce(usize) -> PyResult<slipring::OwnedClaim>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = shape.py();
        let arrays = py.import("slipring._arrays")?;
        let (dtype, bytes): (Bound<'py, PyAny>, usize) = arrays.call_method1("measure", (shape, dtype))?.extract()?;
        // A block has at least a byte, by whose address it is known.
        let claim = claim(bytes.max(1))?;
        let block = Bound::new(py, Block { exporter: Exporter::new(Bytes::Draft(Box::new(claim))) })?;
        let address = block.borrow_mut().exporter.address(py);
        self.by_address.retain(|_, block| block.bind(py).upgrade().is_some());
        self.by_address.insert(address, PyWeakrefReference::new(block.as_any())?.unbind());
        let options = PyDict::new(py);
        options.set_item("buffer", block)?;
        arrays.getattr("ndarray")?.call((shape, dtype), Some(&options))
    }

    /// The block that `payload` begins with, which may be sent as it is.
    #[inline]
    pub(crate) fn find<'py>(&self, py: Python<'py>, payload: &Payload<'_, 'py>) -> PyResult<Option<Bound<'py, Block>>> {
        if self.by_address.is_empty() {
            return Ok(None);
        }
        let Some(found) = self.by_address.get(&payload.address()) else { return Ok(None) };
        match found.bind(py).upgrade() {
            Some(block) => Ok(Some(block.cast_into::<Block>()?)),
            None => Ok(None),
        }
    }

    /// The block `of` was sent as the payload `data`, which is now the peer's to read: its array is made read-only.
    pub(crate) fn sent(&mut self, payload: &Payload<'_, '_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        self.by_address.remove(&payload.address());
        data.py().import("slipring._arrays")?.call_method1("freeze", (data,))?;
        Ok(())
    }
}
