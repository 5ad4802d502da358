//! Where memory and threads stand, as the tuples of `slipring/observing.py`.

use crate::args::Id;
use crate::error::OrRaise;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use slipring::{Asked, Placement};

/// A tuple of the class `name` of `slipring.observing`, with these fields.
pub(crate) fn told<'py>(py: Python<'py>, name: &str, fields: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
    py.import("slipring.observing")?.getattr(name)?.call((), Some(fields))
}

/// Where the memory of an end stands.
pub(crate) fn placement<'py>(py: Python<'py>, at: &Placement) -> PyResult<Bound<'py, PyAny>> {
    let fields = PyDict::new(py);
    fields.set_item("bytes", at.bytes)?;
    fields.set_item("numa_node", asked(py, &at.numa_node)?)?;
    fields.set_item("nodes", &at.nodes)?;
    fields.set_item("huge_pages", asked(py, &at.huge_pages)?)?;
    fields.set_item("huge_bytes", at.huge_bytes)?;
    fields.set_item("lock_memory", asked(py, &at.lock_memory)?)?;
    fields.set_item("locked_bytes", at.locked_bytes)?;
    told(py, "Placement", &fields)
}

/// What became of a wish.
fn asked<'py>(py: Python<'py>, wish: &Asked) -> PyResult<Bound<'py, PyAny>> {
    let (outcome, why) = match wish {
        Asked::No => ("not asked", None),
        Asked::Got => ("got", None),
        Asked::Partly { why, .. } => ("partly", Some(why)),
        Asked::Refused(why) => ("refused", Some(why)),
        _ => ("unknown", None),
    };
    let fields = PyDict::new(py);
    fields.set_item("outcome", outcome)?;
    fields.set_item("why", why.map(ToString::to_string))?;
    fields.set_item("errno", why.and_then(slipring::Lack::raw_os_error))?;
    told(py, "Asked", &fields)
}

/// Has the calling thread run on these processors alone, by their numbers. Answers with those on which it may run now, and before.
#[pyfunction]
pub(crate) fn pin_thread<'py>(py: Python<'py>, cpus: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let cpus = cpus.try_iter()?.map(|cpu| Ok(cpu?.extract::<Id>()?.0)).collect::<PyResult<Vec<_>>>()?;
    let pinned = slipring::pin_thread(&cpus).or_raise(py)?;
    let fields = PyDict::new(py);
    fields.set_item("cpus", pinned.cpus)?;
    fields.set_item("before", pinned.before)?;
    told(py, "Pinned", &fields)
}
