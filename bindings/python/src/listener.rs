//! `Listener`: a name, and the sessions that come to it; and how ends are opened.

use crate::args::{Address, Timeout};
use crate::bus::Bus;
use crate::end::{End, Sole, enter, refuse_pickling, warn_unclosed};
use crate::error::{OrRaise, closed_here};
use crate::logging;
use crate::options::options;
use crate::poller::Poller;
use crate::rpc::RpcBus;
use crate::waiting::patiently;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use slipring::{Cause, Deadline, Error, Options};
use std::os::fd::{AsFd, AsRawFd};

/// A name at which any number of clients can connect.
///
/// `accept_bus` and `accept_rpc` answer with the next session. Closing it gives the name back; the sessions live on.
#[pyclass(module = "slipring", weakref)]
pub(crate) struct Listener {
    end: Sole<End<slipring::Listener>>,
}

/// Listens at `address` for one session, which `accept` takes.
pub(crate) fn listen_for<T: Send>(
    py: Python<'_>,
    address: &str,
    options: &Options,
    timeout: Timeout,
    mut accept: impl FnMut(&mut slipring::Listener, Deadline) -> Result<T, Error> + Send,
) -> PyResult<T> {
    let deadline = timeout.deadline();
    let mut listener = bind(py, address, options)?;
    let accepted = patiently(py, deadline, |until| accept(&mut listener, until));
    drop(listener);
    logging::deliver(py);
    accepted?.or_raise(py)
}

/// Takes an address. Somebody else may be about to leave it, which takes up to a second, and a signal begins it anew.
fn bind(py: Python<'_>, address: &str, options: &Options) -> PyResult<slipring::Listener> {
    logging::refresh(py);
    let bound = patiently(py, Deadline::NEVER, |_| slipring::Listener::bind(address, options));
    logging::deliver(py);
    bound?.or_raise(py)
}

/// Connects by `connect`, waiting for the listener to appear. A listener that appears has the time of a handshake on top of that.
pub(crate) fn connect_with<T: Send>(
    py: Python<'_>,
    timeout: Timeout,
    connect: impl Fn(Deadline) -> Result<T, Error> + Send + Sync,
) -> PyResult<T> {
    let deadline = timeout.deadline();
    logging::refresh(py);
    loop {
        let slice = deadline.min(Deadline::after(std::time::Duration::from_millis(100)));
        let connected = py.detach(|| connect(slice));
        logging::deliver(py);
        match connected {
            Err(error) if error.cause() == Cause::Interrupted => py.check_signals()?,
            Err(error) if error.cause() == Cause::NotFound && !deadline.has_passed() => py.check_signals()?,
            other => return other.or_raise(py),
        }
    }
}

#[pymethods]
impl Listener {
    #[new]
    #[pyo3(signature = (address, **options))]
    fn new(py: Python<'_>, address: Address, options: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let options = crate::options::options(options)?;
        let listener = bind(py, &address.0, &options)?;
        Ok(Self { end: Sole::new(End::Open(listener)) })
    }

    /// Takes the address: the same as the class itself.
    #[staticmethod]
    #[pyo3(signature = (address, **options))]
    fn bind(py: Python<'_>, address: Address, options: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        Self::new(py, address, options)
    }

    /// The next session, waiting for it: its receiving end.
    #[pyo3(signature = (*, timeout=Timeout::FOREVER), text_signature = "($self, *, timeout=None)")]
    fn accept_bus(slf: &Bound<'_, Self>, timeout: Timeout) -> PyResult<Bus> {
        Self::accept(slf, timeout, slipring::Listener::accept_bus_until).map(Bus::open)
    }

    /// The next session for calls, waiting for it.
    #[pyo3(signature = (*, timeout=Timeout::FOREVER), text_signature = "($self, *, timeout=None)")]
    fn accept_rpc(slf: &Bound<'_, Self>, timeout: Timeout) -> PyResult<RpcBus> {
        Self::accept(slf, timeout, slipring::Listener::accept_rpc_until).map(RpcBus::open)
    }

    /// The next session, if it can be had now, else None.
    fn try_accept_bus(slf: &Bound<'_, Self>) -> PyResult<Option<Bus>> {
        Ok(Self::try_accept(slf, slipring::Listener::try_accept_bus)?.map(Bus::open))
    }

    /// The next session for calls, if it can be had now, else None.
    fn try_accept_rpc(slf: &Bound<'_, Self>) -> PyResult<Option<RpcBus>> {
        Ok(Self::try_accept(slf, slipring::Listener::try_accept_rpc)?.map(RpcBus::open))
    }

    /// The address, as it can be given to connect.
    #[getter]
    fn address(slf: &Bound<'_, Self>) -> PyResult<String> {
        Self::with(slf, |listener| Ok(listener.address()))
    }

    /// How many clients were turned down, or gave up in mid-handshake.
    #[getter]
    fn refused(slf: &Bound<'_, Self>) -> PyResult<u64> {
        Self::with(slf, |listener| Ok(listener.refused()))
    }

    /// The descriptor for a foreign event loop: readable when a `try_accept_…` has something to do.
    fn fileno(slf: &Bound<'_, Self>) -> PyResult<i32> {
        Self::with(slf, |listener| Ok(listener.as_fd().as_raw_fd()))
    }

    /// Gives the name back. Closing again does nothing.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        drop(enter(slf, "Listener")?.end.get().take(slf.py())?);
        logging::deliver(slf.py());
        Ok(())
    }

    /// Whether it was closed here.
    #[getter]
    fn closed(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Ok(enter(slf, "Listener")?.end.get().is_closed())
    }

    fn __enter__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        if enter(&slf, "Listener")?.end.get().is_closed() {
            return Err(closed_here(slf.py(), "Listener"));
        }
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

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        self.end.traverse(&visit)
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(refuse_pickling("Listener"))
    }
}

impl Listener {
    fn with<R>(slf: &Bound<'_, Self>, f: impl FnOnce(&mut slipring::Listener) -> PyResult<R>) -> PyResult<R> {
        enter(slf, "Listener")?.end.get().with(slf.py(), f)
    }

    fn accept<T: Send>(
        slf: &Bound<'_, Self>,
        timeout: Timeout,
        accept: fn(&mut slipring::Listener, Deadline) -> Result<T, Error>,
    ) -> PyResult<T> {
        let (py, deadline) = (slf.py(), timeout.deadline());
        let accepted =
            Self::with(slf, |listener| patiently(py, deadline, |until| accept(listener, until))?.or_raise(py));
        logging::deliver(py);
        accepted
    }

    fn try_accept<T>(
        slf: &Bound<'_, Self>,
        accept: fn(&mut slipring::Listener) -> Result<T, Error>,
    ) -> PyResult<Option<T>> {
        Self::with(slf, |listener| match accept(listener) {
            Err(error) if error.cause() == Cause::Empty => Ok(None),
            other => other.or_raise(slf.py()).map(Some),
        })
    }

    /// Puts the listener into a poller's care.
    pub(crate) fn hand_over(slf: &Bound<'_, Self>, poller: &Bound<'_, Poller>) -> PyResult<slipring::Key> {
        Poller::take_in(poller, enter(slf, "Listener")?.end.get())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if matches!(self.end.get(), End::Open(_)) {
            warn_unclosed("Listener");
        }
    }
}

/// Options of a call that opens an end, with the capacities that have places of their own in its signature.
pub(crate) fn with_capacity(
    given: Option<&Bound<'_, PyDict>>,
    forward: Option<crate::args::Length>,
    reverse: Option<crate::args::Length>,
) -> PyResult<Options> {
    let options = options(given)?;
    let options = forward.map_or(options.clone(), |bytes| options.clone().capacity(bytes.0));
    Ok(reverse.map_or(options.clone(), |bytes| options.clone().capacity_reverse(bytes.0)))
}
