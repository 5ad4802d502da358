//! `Observer`: what the sessions of a listener count, seen from another process.

use crate::args::{Address, Timeout};
use crate::end::refuse_pickling;
use crate::listener::connect_with;
use crate::placement::told;
use crate::stats;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use slipring::{Observed, SessionKind};

/// Sees what the sessions of a listener count, without their doing anything for it. May be used by many threads at a time.
#[pyclass(module = "slipring", frozen)]
pub(crate) struct Observer(slipring::Observer);

#[pymethods]
impl Observer {
    /// Asks the listener at `address`, waiting up to `timeout` seconds for it to appear.
    #[staticmethod]
    #[pyo3(signature = (address, *, timeout=Timeout::ZERO), text_signature = "(address, *, timeout=0.0)")]
    fn connect(py: Python<'_>, address: Address, timeout: Timeout) -> PyResult<Self> {
        connect_with(py, timeout, |until| slipring::Observer::connect(&address.0, until)).map(Self)
    }

    /// Every open session that is shown, in the order of their numbers. Never waits.
    fn sessions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        list(py, &self.0.sessions())
    }

    /// The same, with what the listener says of all of them. Never waits.
    fn look<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let seen = self.0.look();
        let fields = PyDict::new(py);
        fields.set_item("sessions", list(py, &seen.sessions)?)?;
        fields.set_item("opened", seen.opened)?;
        fields.set_item("open", seen.open)?;
        fields.set_item("unshown", seen.unshown)?;
        fields.set_item("torn", seen.torn)?;
        told(py, "Observation", &fields)
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(refuse_pickling("Observer"))
    }
}

fn list<'py>(py: Python<'py>, sessions: &[Observed]) -> PyResult<Bound<'py, PyList>> {
    let all = PyList::empty(py);
    for seen in sessions {
        let fields = PyDict::new(py);
        fields.set_item("session", seen.session)?;
        let kind = match seen.kind {
            SessionKind::Bus => "bus",
            SessionKind::Rpc => "rpc",
            // None that this version knows.
            _ => "other",
        };
        fields.set_item("kind", kind)?;
        fields.set_item("pid", seen.pid)?;
        fields.set_item("uid", seen.uid)?;
        fields.set_item("age", seen.age.as_secs_f64())?;
        fields.set_item("ours", stats::stats(py, &seen.ours)?)?;
        fields.set_item("theirs", seen.theirs.map(|shown| stats::stats(py, &shown)).transpose()?)?;
        all.append(told(py, "Observed", &fields)?)?;
    }
    Ok(all)
}
