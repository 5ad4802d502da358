//! Causes as exceptions: one class a cause, made in Python (`slipring/errors.py`), so that they pickle and have a manual.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use slipring::{CallError, Cause, Error};

/// An exception for `cause`, which says `text`.
#[cold]
pub(crate) fn exception(py: Python<'_>, cause: Cause, text: String) -> PyErr {
    // A signal handler that raised ended the wait: what it raised is what is to be heard of.
    if cause == Cause::Interrupted
        && let Some(raised) = PyErr::take(py)
    {
        return raised;
    }
    let (class, told) = class_of(cause);
    make(py, class, text, told).unwrap_or_else(|failed| failed)
}

/// An exception by the name of its class, with attributes.
fn make(py: Python<'_>, class: &str, text: String, told: Vec<(&str, Told)>) -> PyResult<PyErr> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = MODULE.get_or_try_init(py, || PyResult::Ok(py.import("slipring.errors")?.unbind()))?.bind(py);
    let error = module.getattr(class)?.call1((text,))?;
    for (name, value) in told {
        match value {
            Told::Number(number) => error.setattr(name, number)?,
            Told::Text(text) => error.setattr(name, text)?,
        }
    }
    Ok(PyErr::from_value(error))
}

/// What an exception tells beside its text.
enum Told {
    Number(u64),
    Text(String),
}

fn class_of(cause: Cause) -> (&'static str, Vec<(&'static str, Told)>) {
    let class = match cause {
        Cause::Full | Cause::Empty | Cause::Timeout => "Timeout",
        Cause::Closed => "Closed",
        Cause::PeerDied => "PeerDied",
        Cause::NotFound => "NotFound",
        Cause::AddressInUse => "AddressInUse",
        Cause::OutOfMemory => "OutOfMemory",
        Cause::Overloaded => "Overloaded",
        Cause::Cancelled => "Cancelled",
        Cause::InvalidArgument { .. } => "InvalidArgument",
        Cause::Unsupported { .. } => "Unsupported",
        Cause::Config => "ConfigError",
        Cause::Forked => "Forked",
        Cause::Corrupt(violation) => return ("Corrupt", vec![("violation", Told::Text(violation.to_string()))]),
        Cause::TooLarge { len, max } => {
            return ("TooLarge", vec![("len", Told::Number(len)), ("max", Told::Number(max))]);
        }
        Cause::Refused { why } => return ("Refused", vec![("why", Told::Text(why.to_string()))]),
        Cause::Version { ours, theirs } => {
            return (
                "VersionMismatch",
                vec![("ours", Told::Number(ours.into())), ("theirs", Told::Number(theirs.into()))],
            );
        }
        Cause::Remote { code } => return ("RemoteError", vec![("code", Told::Number(code.into()))]),
        _ => "SlipringError",
    };
    (class, Vec::new())
}

/// Whether an exception says that there was nothing, or no room, yet.
pub(crate) fn is_timeout(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<pyo3::exceptions::PyTimeoutError>(py)
}

/// An argument that can never be right.
#[cold]
pub(crate) fn invalid(py: Python<'_>, text: impl Into<String>) -> PyErr {
    make(py, "InvalidArgument", text.into(), Vec::new()).unwrap_or_else(|failed| failed)
}

/// A call that begins while another thread is inside.
#[cold]
pub(crate) fn wrong_thread(py: Python<'_>, what: &str) -> PyErr {
    let text = format!(
        "another thread is inside a call on this {what}: one belongs to one thread at a time; give each thread its own"
    );
    make(py, "WrongThread", text, Vec::new()).unwrap_or_else(|failed| failed)
}

/// A call on what was closed here.
#[cold]
pub(crate) fn closed_here(py: Python<'_>, what: &str) -> PyErr {
    make(py, "Closed", format!("this {what} was closed here"), Vec::new()).unwrap_or_else(|failed| failed)
}

/// An answer of the core's that has another shape than all its calls promise.
#[cold]
pub(crate) fn unexpected(what: &str) -> PyErr {
    PyRuntimeError::new_err(format!("slipring: {what}; please report this"))
}

/// A result of the core's as one of Python's.
pub(crate) trait OrRaise<T> {
    /// The value, or the exception for the cause.
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for Result<T, Cause> {
    #[inline]
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|cause| exception(py, cause, cause.to_string()))
    }
}

impl<T> OrRaise<T> for Result<T, CallError> {
    #[inline]
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| exception(py, error.cause(), error.to_string()))
    }
}

impl<T> OrRaise<T> for Result<T, Error> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| exception(py, error.cause(), error.to_string()))
    }
}

/// A call that the peer's dispatcher could not serve.
#[cold]
pub(crate) fn unserved(py: Python<'_>, msg_type: u16) -> PyErr {
    let text =
        format!("the peer could not serve message type {msg_type}: it has no handler for it, or the handler failed");
    let told = vec![("msg_type", Told::Number(msg_type.into()))];
    make(py, "RemoteError", text, told).unwrap_or_else(|failed| failed)
}
