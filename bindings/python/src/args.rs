//! Arguments as Python gives them, with errors that say what would be right.

use crate::error::{exception, invalid};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt};
use slipring::{Cause, Deadline};
use std::path::PathBuf;
use std::time::Duration;

/// A number of bytes, or of things: not negative.
#[derive(Clone, Copy)]
pub(crate) struct Length(pub(crate) usize);

impl<'py> FromPyObject<'_, 'py> for Length {
    type Error = PyErr;

    fn extract(obj: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        whole(obj, "a size", i64::MAX as u64).map(|number| Self(number as usize))
    }
}

/// A type id, or a call's id: 32 bits.
#[derive(Clone, Copy)]
pub(crate) struct Id(pub(crate) u32);

impl<'py> FromPyObject<'_, 'py> for Id {
    type Error = PyErr;

    #[inline]
    fn extract(obj: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match obj.extract::<u32>() {
            Ok(id) => Ok(Self(id)),
            Err(_) => whole(obj, "an id", u32::MAX.into()).map(|number| Self(number as u32)),
        }
    }
}

/// A whole number from 0 to `max`.
fn whole(obj: Borrowed<'_, '_, PyAny>, what: &str, max: u64) -> PyResult<u64> {
    let index = match obj.call_method0("__index__") {
        Ok(index) => index,
        Err(_) => {
            let text = format!("{what} is an int, not {}", obj.get_type().name()?);
            return Err(PyTypeError::new_err(text));
        }
    };
    match index.cast::<PyInt>()?.extract::<u64>() {
        Ok(number) if number <= max => Ok(number),
        _ => Err(invalid(obj.py(), format!("{what} is from 0 to {max}, not {}", obj.repr()?))),
    }
}

/// How long a call may wait: seconds, or `None` for as long as it takes.
#[derive(Clone, Copy)]
pub(crate) struct Timeout(pub(crate) Option<f64>);

impl Timeout {
    pub(crate) const FOREVER: Self = Self(None);
    pub(crate) const ZERO: Self = Self(Some(0.0));

    /// When that is over, from now.
    #[inline]
    pub(crate) fn deadline(self) -> Deadline {
        match self.0 {
            None => Deadline::NEVER,
            // A time that a duration cannot hold is for ever.
            Some(seconds) => Duration::try_from_secs_f64(seconds).map_or(Deadline::NEVER, Deadline::after),
        }
    }
}

impl Timeout {
    /// The deadline that travels with a call, and whether it is waited for. No time at all is for trying, and does not travel: a call
    /// that is over before it is made would be answered by nobody.
    #[inline]
    pub(crate) fn travelling(self) -> (Deadline, bool) {
        match self.0 {
            Some(0.0) => (Deadline::NEVER, false),
            _ => (self.deadline(), true),
        }
    }
}

impl<'py> FromPyObject<'_, 'py> for Timeout {
    type Error = PyErr;

    fn extract(obj: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if obj.is_none() {
            return Ok(Self::FOREVER);
        }
        let number = obj.is_instance_of::<PyFloat>()
            || (obj.is_instance_of::<PyInt>() && !obj.is_instance_of::<PyBool>())
            || obj.hasattr("__float__")?;
        if !number {
            let text = format!("a timeout is a number of seconds, or None for ever, not {}", obj.get_type().name()?);
            return Err(PyTypeError::new_err(text));
        }
        let seconds: f64 = obj.extract()?;
        if seconds.is_nan() || seconds < 0.0 {
            let text = format!("a timeout is at least 0 seconds, or None for ever, not {seconds}");
            return Err(invalid(obj.py(), text));
        }
        Ok(Self(Some(seconds)))
    }
}

/// An address: a name, or a path in whatever form Python has paths.
pub(crate) struct Address(pub(crate) String);

impl<'py> FromPyObject<'_, 'py> for Address {
    type Error = PyErr;

    fn extract(obj: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let path: PathBuf = obj.extract().map_err(|_| {
            let name = obj.get_type().name().map(|name| name.to_string()).unwrap_or_default();
            PyTypeError::new_err(format!("an address is a str or a path, not {name}"))
        })?;
        match path.into_os_string().into_string() {
            Ok(address) => Ok(Self(address)),
            Err(other) => {
                let which = "an address is text that is valid UTF-8";
                let text = format!("invalid argument: {which}, not {}", other.display());
                Err(exception(obj.py(), Cause::InvalidArgument { which }, text))
            }
        }
    }
}
