//! One end in Python's hands: open, in a poller's care, or closed; and inside one thread at a time.
//!
//! Python shares every object between its threads. An end is borrowed exclusively for the length of each call, so a second thread
//! finds the borrow and is told so ([`enter`]). That costs no lock: [`Sole`] only tells the compiler that nobody has it shared.

use crate::error::{closed_here, invalid, wrong_thread};
use crate::poller::{Pollable, Poller};
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::False;
use pyo3::{PyClass, PyTraverseError, PyVisit};
use std::sync::{Mutex, PoisonError};

/// What is only ever reached by exclusive borrows, though others can see where it is.
pub(crate) struct Sole<T>(Mutex<T>);

impl<T> Sole<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    #[inline]
    pub(crate) fn get(&mut self) -> &mut T {
        // Nothing is ever locked, so nothing is ever poisoned.
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Sole<End<T>> {
    /// Shows the garbage collector what an end refers to. One that is inside a call is not garbage.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.0.try_lock().as_deref() {
            Ok(End::Polled(poller, _)) => visit.call(poller),
            _ => Ok(()),
        }
    }
}

/// Where an end is.
pub(crate) enum End<T> {
    Open(T),
    /// In a poller, under a key.
    Polled(Py<Poller>, slipring::Key),
    Closed,
}

impl<T: Pollable> End<T> {
    /// Does `f` with the end, wherever it is.
    #[inline]
    pub(crate) fn with<R>(&mut self, py: Python<'_>, f: impl FnOnce(&mut T) -> PyResult<R>) -> PyResult<R> {
        match self {
            Self::Open(end) => f(end),
            Self::Polled(poller, key) => {
                let mut poller = enter(poller.bind(py), "Poller")?;
                match poller.source(*key).and_then(T::of) {
                    Some(end) => f(end),
                    None => Err(closed_here(py, T::NAME)),
                }
            }
            Self::Closed => Err(closed_here(py, T::NAME)),
        }
    }

    /// Takes the end out of where it is, and leaves it closed. `None` if it was closed.
    pub(crate) fn take(&mut self, py: Python<'_>) -> PyResult<Option<T>> {
        if let Self::Polled(poller, key) = self {
            let source = enter(poller.bind(py), "Poller")?.take(*key);
            *self = Self::Closed;
            return Ok(source.and_then(T::from_source));
        }
        match std::mem::replace(self, Self::Closed) {
            Self::Open(end) => Ok(Some(end)),
            _ => Ok(None),
        }
    }

    /// Leaves the poller `from`, open.
    pub(crate) fn leave(&mut self, from: &Bound<'_, Poller>) -> PyResult<()> {
        let py = from.py();
        if !matches!(self, Self::Polled(poller, _) if poller.is(from)) {
            return Err(invalid(py, format!("this {} is not in this poller", T::NAME)));
        }
        if let Some(end) = self.take(py)? {
            *self = Self::Open(end);
        }
        Ok(())
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }
}

/// The object for the length of a call, unless another thread is inside.
#[inline]
pub(crate) fn enter<'py, T: PyClass<Frozen = False>>(slf: &Bound<'py, T>, what: &str) -> PyResult<PyRefMut<'py, T>> {
    slf.try_borrow_mut().map_err(|_| wrong_thread(slf.py(), what))
}

/// Says that `what` was never closed, from its destructor. An exception that is on its way stays so.
pub(crate) fn warn_unclosed(what: &str) {
    // Not while the interpreter is going down: there is nobody left to warn.
    Python::try_attach(|py| {
        let pending = PyErr::take(py);
        let text = std::ffi::CString::new(format!("unclosed slipring {what}: close it, or use it in a with block"));
        let category = py.get_type::<pyo3::exceptions::PyResourceWarning>();
        if let Ok(text) = text
            && let Err(error) = PyErr::warn(py, &category, &text, 1)
        {
            error.write_unraisable(py, None);
        }
        if let Some(pending) = pending {
            pending.restore(py);
        }
    });
}

/// What every handle answers to being pickled or copied.
pub(crate) fn refuse_pickling(what: &str) -> PyErr {
    pyo3::exceptions::PyTypeError::new_err(format!(
        "a {what} belongs to the process that opened it and cannot be pickled or copied; give the other process the address"
    ))
}
