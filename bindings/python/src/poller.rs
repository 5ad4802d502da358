//! `Poller`: waits for many ends at once. It has the ends themselves; their Python objects say so and find them there.

use crate::args::Timeout;
use crate::bus::Bus;
use crate::end::{End, Sole, enter, refuse_pickling, warn_unclosed};
use crate::error::{OrRaise, closed_here, exception, invalid};
use crate::listener::Listener;
use crate::rpc::RpcBus;
use crate::waiting::patiently;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use slipring::{AddError, Cause, Key, Source};
use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd};

/// What can be in a poller.
pub(crate) trait Pollable: Sized {
    const NAME: &'static str;
    fn of(source: &mut Source) -> Option<&mut Self>;
    fn from_source(source: Source) -> Option<Self>;
    fn into_source(self) -> Source;
}

macro_rules! pollable {
    ($($kind:ident: $end:ty),*) => {$(
        impl Pollable for $end {
            const NAME: &'static str = match stringify!($kind).as_bytes() {
                b"Rpc" => "RpcBus",
                _ => stringify!($kind),
            };

            #[inline]
            fn of(source: &mut Source) -> Option<&mut Self> {
                if let Source::$kind(end) = source { Some(end) } else { None }
            }

            fn from_source(source: Source) -> Option<Self> {
                if let Source::$kind(end) = source { Some(*end) } else { None }
            }

            fn into_source(self) -> Source {
                self.into()
            }
        }
    )*};
}

pollable!(Bus: slipring::Bus, Rpc: slipring::RpcBus, Listener: slipring::Listener);

/// Waits for any number of sessions and listeners at once, in one thread.
///
/// `add` takes an end in, which is used as before; `wait` answers with those that have something to do. Take a bounded number of
/// messages from each by its `try_…` calls, and wait again. Closing an end takes it out.
#[pyclass(module = "slipring", weakref)]
pub(crate) struct Poller {
    inner: Sole<Option<slipring::Poller>>,
    /// The Python objects of what is in it.
    ends: HashMap<Key, Py<PyAny>>,
    ready: Vec<Key>,
}

impl Poller {
    fn inner(&mut self, py: Python<'_>) -> PyResult<&mut slipring::Poller> {
        self.inner.get().as_mut().ok_or_else(|| closed_here(py, "Poller"))
    }

    /// What is under `key`.
    #[inline]
    pub(crate) fn source(&mut self, key: Key) -> Option<&mut Source> {
        self.inner.get().as_mut()?.get_mut(key)
    }

    /// Takes out what is under `key`.
    pub(crate) fn take(&mut self, key: Key) -> Option<Source> {
        self.ends.remove(&key);
        self.inner.get().as_mut()?.remove(key)
    }

    /// Takes an open end in, and leaves word where it is.
    pub(crate) fn take_in<T: Pollable>(slf: &Bound<'_, Self>, end: &mut End<T>) -> PyResult<Key> {
        let py = slf.py();
        let mut poller = enter(slf, "Poller")?;
        let inner = poller.inner(py)?;
        match std::mem::replace(end, End::Closed) {
            End::Open(open) => match inner.add(open.into_source()) {
                Ok(key) => {
                    *end = End::Polled(slf.clone().unbind(), key);
                    Ok(key)
                }
                Err(AddError { source, cause, .. }) => {
                    *end = T::from_source(source).map_or(End::Closed, End::Open);
                    Err(exception(py, cause, cause.to_string()))
                }
            },
            End::Polled(other, key) => {
                *end = End::Polled(other, key);
                Err(invalid(py, format!("this {} is in a poller already: remove it there first", T::NAME)))
            }
            End::Closed => Err(closed_here(py, T::NAME)),
        }
    }
}

#[pymethods]
impl Poller {
    #[new]
    #[pyo3(signature = (**options))]
    fn new(py: Python<'_>, options: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let inner = slipring::Poller::new(&crate::options::options(options)?).or_raise(py)?;
        Ok(Self { inner: Sole::new(Some(inner)), ends: HashMap::new(), ready: Vec::new() })
    }

    /// Takes in a Bus, an RpcBus or a Listener.
    fn add(slf: &Bound<'_, Self>, end: &Bound<'_, PyAny>) -> PyResult<()> {
        let key = if let Ok(bus) = end.cast::<Bus>() {
            Bus::hand_over(bus, slf)?
        } else if let Ok(rpc) = end.cast::<RpcBus>() {
            RpcBus::hand_over(rpc, slf)?
        } else if let Ok(listener) = end.cast::<Listener>() {
            Listener::hand_over(listener, slf)?
        } else {
            let name = end.get_type().name()?;
            return Err(PyTypeError::new_err(format!("a poller takes a Bus, an RpcBus or a Listener, not {name}")));
        };
        slf.borrow_mut().ends.insert(key, end.clone().unbind());
        Ok(())
    }

    /// Takes an end out, open as it is.
    fn remove(slf: &Bound<'_, Self>, end: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        if let Ok(bus) = end.cast::<Bus>() {
            return enter(bus, "Bus")?.leave(slf);
        }
        if let Ok(rpc) = end.cast::<RpcBus>() {
            return enter(rpc, "RpcBus")?.leave(slf);
        }
        Err(invalid(py, "this is no session of the poller's; a listener is taken out by closing it"))
    }

    /// Waits until something is ready, and answers with all that are. An empty list if `notify` ended the wait.
    #[pyo3(signature = (*, timeout=Timeout::FOREVER), text_signature = "($self, *, timeout=None)")]
    fn wait<'py>(slf: &Bound<'py, Self>, timeout: Timeout) -> PyResult<Bound<'py, PyList>> {
        let (py, deadline) = (slf.py(), timeout.deadline());
        let mut poller = enter(slf, "Poller")?;
        let mut ready = std::mem::take(&mut poller.ready);
        let inner = poller.inner(py)?;
        let waited = if deadline == slipring::Deadline::NOW {
            inner.try_wait(&mut ready)
        } else {
            patiently(py, deadline, |until| inner.wait_until(&mut ready, until))?
        };
        waited.or_raise(py)?;
        let ends = PyList::new(py, ready.iter().filter_map(|key| poller.ends.get(key)));
        poller.ready = ready;
        ends
    }

    /// As `wait`, or None at once.
    fn try_wait<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyList>>> {
        let py = slf.py();
        let mut poller = enter(slf, "Poller")?;
        let mut ready = std::mem::take(&mut poller.ready);
        match poller.inner(py)?.try_wait(&mut ready) {
            Err(Cause::Empty) => return Ok(None),
            other => other.or_raise(py)?,
        }
        let ends = PyList::new(py, ready.iter().filter_map(|key| poller.ends.get(key)))?;
        poller.ready = ready;
        Ok(Some(ends))
    }

    /// What wakes this poller from other threads.
    fn notifier(slf: &Bound<'_, Self>) -> PyResult<Notifier> {
        Ok(Notifier(enter(slf, "Poller")?.inner(slf.py())?.notifier()))
    }

    /// The descriptor for a foreign event loop, in the place of all.
    fn fileno(slf: &Bound<'_, Self>) -> PyResult<i32> {
        Ok(enter(slf, "Poller")?.inner(slf.py())?.as_fd().as_raw_fd())
    }

    /// Closes the poller, and with it all that is in it.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let mut poller = enter(slf, "Poller")?;
        let ends = std::mem::take(&mut poller.ends);
        drop(poller.inner.get().take());
        // The objects may drop the last reference to others: not while the poller is borrowed.
        drop(poller);
        drop(ends);
        Ok(())
    }

    /// Whether it was closed here.
    #[getter]
    fn closed(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Ok(enter(slf, "Poller")?.inner.get().is_none())
    }

    fn __len__(&self) -> usize {
        self.ends.len()
    }

    fn __enter__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        enter(&slf, "Poller")?.inner(slf.py())?;
        Ok(slf)
    }

    #[pyo3(signature = (_kind=None, _error=None, _trace=None, /))]
    fn __exit__(
        slf: &Bound<'_, Self>,
        _kind: Option<&Bound<'_, PyAny>>,
        _error: Option<&Bound<'_, PyAny>>,
        _trace: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        Self::close(slf)
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(refuse_pickling("Poller"))
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        self.ends.values().try_for_each(|end| visit.call(end))
    }

    fn __clear__(&mut self) {
        self.ends.clear();
    }
}

/// Wakes a poller from any thread.
#[pyclass(module = "slipring", frozen)]
pub(crate) struct Notifier(slipring::Notifier);

#[pymethods]
impl Notifier {
    /// Ends the poller's wait, or its next one: it answers, with or without ends.
    fn notify(&self) {
        self.0.notify();
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(refuse_pickling("Notifier"))
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        if self.inner.get().is_some() {
            warn_unclosed("Poller");
        }
    }
}
