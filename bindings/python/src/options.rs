//! Options as keyword arguments.

use crate::args::{Id, Length, Timeout};
use crate::error::invalid;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict};
use slipring::{Backend, Options, Trust, Wait};
use std::path::PathBuf;
use std::time::Duration;

const WAITS: [(&str, Wait); 3] = [("spin", Wait::Spin), ("park", Wait::Park), ("adaptive", Wait::Adaptive)];
const TRUSTS: [(&str, Trust); 2] = [("same-user", Trust::SameUser), ("untrusted", Trust::Untrusted)];
const BACKENDS: [(&str, Backend); 2] = [("memfd", Backend::Memfd), ("posix", Backend::Posix)];
const KNOWN: &str = "capacity, capacity_reverse, inline_limit, max_message, memory_limit, shared_limit, in_flight, serves, \
                     wait, trust, backend, spill_dir, numa_node, huge_pages, lock_memory, counters, pending_limit, handshake_timeout";

/// The options that `given` names. `None` is as if it were not there.
pub(crate) fn options(given: Option<&Bound<'_, PyDict>>) -> PyResult<Options> {
    let mut options = Options::default();
    for (name, value) in given.into_iter().flat_map(|given| given.iter()) {
        if !value.is_none() {
            options = with(options, &name.extract::<String>()?, &value)?;
        }
    }
    Ok(options)
}

/// `options` with one more.
fn with(options: Options, name: &str, value: &Bound<'_, PyAny>) -> PyResult<Options> {
    let bytes = || value.extract::<Length>().map(|length| length.0).map_err(|error| named(error, value, name));
    Ok(match name {
        "capacity" => options.capacity(bytes()?),
        "capacity_reverse" => options.capacity_reverse(bytes()?),
        "inline_limit" => options.inline_limit(bytes()?),
        "max_message" => options.max_message(bytes()? as u64),
        "memory_limit" => options.memory_limit(bytes()? as u64),
        "shared_limit" => options.shared_limit(bytes()? as u64),
        "pending_limit" => options.pending_limit(bytes()?),
        "in_flight" => options.in_flight(value.extract::<Id>().map_err(|error| named(error, value, name))?.0),
        "serves" => options.serves(truth(value, name)?),
        "numa_node" => options.numa_node(value.extract::<Id>().map_err(|error| named(error, value, name))?.0),
        "huge_pages" => options.huge_pages(truth(value, name)?),
        "lock_memory" => options.lock_memory(truth(value, name)?),
        "counters" => options.counters(truth(value, name)?),
        "wait" => options.wait(wait(value)?),
        "trust" => options.trust(word(value, name, &TRUSTS)?),
        "backend" => options.backend(word(value, name, &BACKENDS)?),
        "spill_dir" => options.spill_dir(value.extract::<PathBuf>()?),
        "handshake_timeout" => {
            let time = value.extract::<Timeout>().map_err(|error| named(error, value, name))?.0;
            options.handshake_timeout(time.and_then(|s| Duration::try_from_secs_f64(s).ok()).unwrap_or(Duration::MAX))
        }
        _ => return Err(PyTypeError::new_err(format!("there is no option {name:?}; there are {KNOWN}"))),
    })
}

/// A wait strategy.
pub(crate) fn wait(value: &Bound<'_, PyAny>) -> PyResult<Wait> {
    word(value, "wait", &WAITS)
}

fn word<T: Copy>(value: &Bound<'_, PyAny>, name: &str, words: &[(&str, T)]) -> PyResult<T> {
    let said = value.extract::<String>().unwrap_or_default();
    match words.iter().find(|(word, _)| *word == said) {
        Some((_, meaning)) => Ok(*meaning),
        None => {
            let known: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            Err(invalid(value.py(), format!("{name} is one of {}, not {}", known.join(", "), value.repr()?)))
        }
    }
}

fn truth(value: &Bound<'_, PyAny>, name: &str) -> PyResult<bool> {
    if let Ok(truth) = value.cast::<PyBool>() {
        return Ok(truth.is_true());
    }
    Err(PyTypeError::new_err(format!("{name} is a bool, not {}", value.get_type().name()?)))
}

/// The same error, with the name of the option before its text.
fn named(error: PyErr, value: &Bound<'_, PyAny>, name: &str) -> PyErr {
    let py = value.py();
    let text = format!("{name}: {}", error.value(py));
    match error.get_type(py).call1((text,)) {
        Ok(renamed) => PyErr::from_value(renamed),
        Err(_) => error,
    }
}
