//! `RpcBus`: one end of a session for calls.

use crate::args::{Address, Id, Length, Timeout};
use crate::block::Blocks;
use crate::buffer::{Payload, copy_out};
use crate::end::{End, Sole, enter, refuse_pickling, warn_unclosed};
use crate::error::{OrRaise, closed_here};
use crate::listener::{connect_with, listen_for, with_capacity};
use crate::payload::Received;
use crate::poller::Poller;
use crate::rx::RxGuard;
use crate::shared::SharedBuffer;
use crate::tx::TxGuard;
use crate::waiting::patiently;
use crate::{dispatch, numa, options, receiving, rpc_claims, sending, stats};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use slipring::{CallId, Cause, Deadline, Wait};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// One end of a session for calls: both ends may call, and both may serve.
///
/// Every call gets exactly one reply, in whatever order. Every call that may wait takes `timeout=` in seconds; None is for as long as
/// it takes. The timeout of a call travels with it. An end belongs to one thread at a time.
#[pyclass(module = "slipring", weakref)]
pub(crate) struct RpcBus {
    end: Sole<End<slipring::RpcBus>>,
    blocks: Blocks,
    /// Serves the calls that arrive while this end waits for a reply: message types and their handlers.
    handlers: Option<Py<PyDict>>,
    /// How deep handlers are in waits of their own.
    depth: u32,
}

impl RpcBus {
    pub(crate) fn open(rpc: slipring::RpcBus) -> Self {
        Self { end: Sole::new(End::Open(rpc)), blocks: Blocks::default(), handlers: None, depth: 0 }
    }

    /// Does `f` with the end, for the length of a call.
    #[inline]
    pub(crate) fn with<R>(slf: &Bound<'_, Self>, f: impl FnOnce(&mut slipring::RpcBus) -> PyResult<R>) -> PyResult<R> {
        enter(slf, "RpcBus")?.end.get().with(slf.py(), f)
    }

    /// Puts the end into a poller's care.
    pub(crate) fn hand_over(slf: &Bound<'_, Self>, poller: &Bound<'_, Poller>) -> PyResult<slipring::Key> {
        Poller::take_in(poller, enter(slf, "RpcBus")?.end.get())
    }

    /// Takes the end out of a poller's care.
    pub(crate) fn leave(&mut self, poller: &Bound<'_, Poller>) -> PyResult<()> {
        self.end.get().leave(poller)
    }

    /// The handlers that serve while this end waits, unless they are too deep in waits already.
    fn serving<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let rpc = enter(slf, "RpcBus")?;
        if rpc.depth >= dispatch::NESTING {
            return Ok(None);
        }
        Ok(rpc.handlers.as_ref().map(|handlers| handlers.bind(slf.py()).clone()))
    }

    /// Sends a request: a copy, or an array of this end's own where it is.
    #[inline]
    fn send(
        &mut self,
        data: &Bound<'_, PyAny>,
        type_id: u32,
        shared: Option<Vec<Bound<'_, SharedBuffer>>>,
        deadline: Deadline,
    ) -> PyResult<CallId> {
        let (py, payload) = (data.py(), Payload::of(data)?);
        if shared.is_some() {
            let shared = SharedBuffer::sealed_of(shared)?;
            let bytes = payload.bytes();
            return self.end.get().with(py, |rpc| sending::call_shared(py, rpc, type_id, bytes, &shared, deadline));
        }
        if let Some(block) = self.blocks.find(py, &payload)? {
            let used = payload.bytes().len();
            let call = self.end.get().with(py, |rpc| {
                let mut block = enter(&block, "Block")?;
                let exporter = &mut block.exporter;
                let sent = patiently(py, deadline, |until| {
                    exporter.send_in_place(|claim| rpc.call_kept(type_id, claim, used, deadline, until))
                });
                sent?.or_raise(py)
            })?;
            self.blocks.sent(&payload, data)?;
            return Ok(call);
        }
        self.end.get().with(py, |rpc| sending::call(py, rpc, type_id, payload.bytes(), deadline))
    }

    /// Replies: by a copy, or an array of this end's own where it is.
    #[inline]
    pub(crate) fn answer(
        &mut self,
        id: u32,
        data: &Bound<'_, PyAny>,
        type_id: u32,
        deadline: Deadline,
    ) -> PyResult<()> {
        let (py, payload) = (data.py(), Payload::of(data)?);
        if let Some(block) = self.blocks.find(py, &payload)? {
            let used = payload.bytes().len();
            self.end.get().with(py, |rpc| {
                let mut block = enter(&block, "Block")?;
                let reply = |claim| rpc.reply_kept(id, type_id, claim, used).map(|kept| ((), kept));
                block.exporter.send_in_place(reply).or_raise(py)
            })?;
            return self.blocks.sent(&payload, data);
        }
        self.end.get().with(py, |rpc| sending::reply(py, rpc, id, type_id, payload.bytes(), deadline))
    }

    /// The reply to `call`, waiting for it, and serving meanwhile if there are handlers.
    #[inline]
    fn await_reply(slf: &Bound<'_, Self>, call: CallId, deadline: Deadline) -> PyResult<Received> {
        let py = slf.py();
        let Some(handlers) = Self::serving(slf)? else {
            return Self::with(slf, |rpc| receiving::wait(py, rpc, call, deadline));
        };
        loop {
            if let Some(reply) = Self::with(slf, |rpc| receiving::try_wait(py, rpc, call))? {
                return Ok(reply);
            }
            if let Some(request) = Self::with(slf, |rpc| receiving::try_serve(py, rpc))? {
                enter(slf, "RpcBus")?.depth += 1;
                let served = dispatch::answer(slf, &handlers, request);
                enter(slf, "RpcBus")?.depth -= 1;
                served?;
                continue;
            }
            Self::with(slf, |rpc| patiently(py, deadline, |until| rpc.await_either_until(call, until))?.or_raise(py))?;
        }
    }

    /// A call and its reply. One that ends otherwise is given up.
    #[inline]
    fn ask(
        slf: &Bound<'_, Self>,
        data: &Bound<'_, PyAny>,
        type_id: u32,
        shared: Option<Vec<Bound<'_, SharedBuffer>>>,
        deadline: Deadline,
    ) -> PyResult<Received> {
        let call = enter(slf, "RpcBus")?.send(data, type_id, shared, deadline)?;
        let reply = Self::await_reply(slf, call, deadline).inspect_err(|_| {
            // The error that ended the wait is the one to be heard of.
            let _ = Self::with(slf, |rpc| {
                rpc.cancel(call);
                Ok(())
            });
        })?;
        dispatch::check_answer(slf.py(), &reply)?;
        Ok(reply)
    }
}

/// Opening and closing.
#[pymethods]
impl RpcBus {
    /// Listens at `address` for one peer. `cap_fwd`: bytes of the ring from the connecting end to this one; `cap_rev`: of the other.
    #[staticmethod]
    #[pyo3(signature = (address, cap_fwd=None, cap_rev=None, *, timeout=Timeout::FOREVER, **options), text_signature = "(address, cap_fwd=None, cap_rev=None, *, timeout=None, **options)")]
    fn listen(
        py: Python<'_>,
        address: Address,
        cap_fwd: Option<Length>,
        cap_rev: Option<Length>,
        timeout: Timeout,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let options = with_capacity(options, cap_fwd, cap_rev)?;
        listen_for(py, &address.0, &options, timeout, slipring::Listener::accept_rpc_until).map(Self::open)
    }

    /// Connects to the listener at `address`; waits up to `timeout` seconds for it to appear.
    #[staticmethod]
    #[pyo3(signature = (address, *, timeout=Timeout::ZERO, **options), text_signature = "(address, *, timeout=0.0, **options)")]
    fn connect(
        py: Python<'_>,
        address: Address,
        timeout: Timeout,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let options = options::options(options)?;
        connect_with(py, timeout, |until| slipring::RpcBus::connect_until(&address.0, &options, until)).map(Self::open)
    }

    /// Says goodbye, after waiting at most `linger` seconds until the peer has read everything. Closing again does nothing.
    #[pyo3(signature = (*, linger=Timeout::ZERO), text_signature = "($self, *, linger=0.0)")]
    fn close(slf: &Bound<'_, Self>, linger: Timeout) -> PyResult<()> {
        let py = slf.py();
        let mut rpc = enter(slf, "RpcBus")?;
        let Some(open) = rpc.end.get().take(py)? else { return Ok(()) };
        if matches!(linger.0, Some(0.0)) {
            drop(open);
            return Ok(());
        }
        let linger = linger.0.and_then(|s| Duration::try_from_secs_f64(s).ok()).unwrap_or(Duration::MAX);
        let closed = py.detach(|| open.close(linger));
        py.check_signals()?;
        closed.or_raise(py)
    }

    /// Whether it was closed here.
    #[getter]
    fn closed(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Ok(enter(slf, "RpcBus")?.end.get().is_closed())
    }

    fn __enter__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        if enter(&slf, "RpcBus")?.end.get().is_closed() {
            return Err(closed_here(slf.py(), "RpcBus"));
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
        Self::close(slf, Timeout::ZERO)
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(refuse_pickling("RpcBus"))
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        self.end.traverse(&visit)?;
        visit.call(&self.handlers)
    }

    fn __clear__(&mut self) {
        self.handlers = None;
    }
}

/// Calling.
#[pymethods]
impl RpcBus {
    /// Sends a request and answers with its id, for `wait`.
    #[pyo3(signature = (payload, msg_type=Id(0), *, timeout=Timeout::FOREVER, shared=None), text_signature = "($self, payload, msg_type=0, *, timeout=None, shared=None)")]
    fn call(
        slf: &Bound<'_, Self>,
        payload: &Bound<'_, PyAny>,
        msg_type: Id,
        timeout: Timeout,
        shared: Option<Vec<Bound<'_, SharedBuffer>>>,
    ) -> PyResult<u32> {
        let call = enter(slf, "RpcBus")?.send(payload, msg_type.0, shared, timeout.deadline())?;
        Ok(call.number())
    }

    /// As `call`, or None if there is no room for it now.
    #[pyo3(signature = (payload, msg_type=Id(0)), text_signature = "($self, payload, msg_type=0)")]
    fn try_call(slf: &Bound<'_, Self>, payload: &Bound<'_, PyAny>, msg_type: Id) -> PyResult<Option<u32>> {
        let (py, data) = (slf.py(), Payload::of(payload)?);
        let bytes = data.bytes();
        Self::with(slf, |rpc| match patiently(py, Deadline::NEVER, |_| rpc.try_call(msg_type.0, bytes))? {
            Err(Cause::Full) => Ok(None),
            other => Ok(Some(other.or_raise(py)?.number())),
        })
    }

    /// The reply to a call, waiting for it. After a Timeout the call is still under way: wait again, or cancel it.
    #[pyo3(signature = (correlation_id, *, timeout=Timeout::FOREVER), text_signature = "($self, correlation_id, *, timeout=None)")]
    fn wait(slf: &Bound<'_, Self>, correlation_id: Id, timeout: Timeout) -> PyResult<RxGuard> {
        let reply = Self::await_reply(slf, CallId::from_number(correlation_id.0), timeout.deadline())?;
        Ok(RxGuard::new(slf.py(), reply))
    }

    /// The reply to a call, if it is there, else None.
    fn try_wait(slf: &Bound<'_, Self>, correlation_id: Id) -> PyResult<Option<RxGuard>> {
        let py = slf.py();
        let reply = Self::with(slf, |rpc| receiving::try_wait(py, rpc, CallId::from_number(correlation_id.0)))?;
        Ok(reply.map(|reply| RxGuard::new(py, reply)))
    }

    /// Calls, waits, and answers with the reply's payload.
    #[pyo3(signature = (payload, msg_type=Id(0), *, timeout=Timeout::FOREVER, shared=None), text_signature = "($self, payload, msg_type=0, *, timeout=None, shared=None)")]
    fn request<'py>(
        slf: &Bound<'py, Self>,
        payload: &Bound<'py, PyAny>,
        msg_type: Id,
        timeout: Timeout,
        shared: Option<Vec<Bound<'py, SharedBuffer>>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let reply = Self::ask(slf, payload, msg_type.0, shared, timeout.deadline())?;
        copy_out(slf.py(), &reply.bytes)
    }

    /// As `request`, but the reply can be looked at in place.
    #[pyo3(signature = (payload, msg_type=Id(0), *, timeout=Timeout::FOREVER, shared=None), text_signature = "($self, payload, msg_type=0, *, timeout=None, shared=None)")]
    fn request_view(
        slf: &Bound<'_, Self>,
        payload: &Bound<'_, PyAny>,
        msg_type: Id,
        timeout: Timeout,
        shared: Option<Vec<Bound<'_, SharedBuffer>>>,
    ) -> PyResult<RxGuard> {
        let reply = Self::ask(slf, payload, msg_type.0, shared, timeout.deadline())?;
        Ok(RxGuard::new(slf.py(), reply))
    }

    /// Sends a request of which nobody awaits a reply.
    #[pyo3(signature = (payload, msg_type=Id(0), *, timeout=Timeout::FOREVER), text_signature = "($self, payload, msg_type=0, *, timeout=None)")]
    fn note(slf: &Bound<'_, Self>, payload: &Bound<'_, PyAny>, msg_type: Id, timeout: Timeout) -> PyResult<()> {
        let (py, deadline, data) = (slf.py(), timeout.deadline(), Payload::of(payload)?);
        Self::with(slf, |rpc| sending::note(py, rpc, msg_type.0, data.bytes(), deadline))
    }

    /// Gives a call up: its reply, when it comes, is dropped.
    fn cancel(slf: &Bound<'_, Self>, correlation_id: Id) -> PyResult<()> {
        Self::with(slf, |rpc| {
            rpc.cancel(CallId::from_number(correlation_id.0));
            Ok(())
        })
    }

    /// Room for a request of up to `size` bytes, to be written in place. Once sent, `tx.correlation_id` is its call.
    #[pyo3(signature = (size, msg_type=Id(0), *, timeout=Timeout::FOREVER), text_signature = "($self, size, msg_type=0, *, timeout=None)")]
    fn call_zero_copy(slf: &Bound<'_, Self>, size: Length, msg_type: Id, timeout: Timeout) -> PyResult<TxGuard> {
        rpc_claims::request(slf, size, msg_type, timeout)
    }

    /// A NumPy array in the memory that the peer will read. `call`, `request` and `reply` know it and copy nothing; it is read-only
    /// from then on.
    #[pyo3(signature = (shape, dtype=None, *, timeout=Timeout::FOREVER), text_signature = "($self, shape, dtype=None, *, timeout=None)")]
    fn empty<'py>(
        slf: &Bound<'py, Self>,
        shape: &Bound<'py, PyAny>,
        dtype: Option<&Bound<'py, PyAny>>,
        timeout: Timeout,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, deadline) = (slf.py(), timeout.deadline());
        let dtype = dtype.cloned().unwrap_or_else(|| py.None().into_bound(py));
        let rpc = &mut *enter(slf, "RpcBus")?;
        let (end, blocks) = (rpc.end.get(), &mut rpc.blocks);
        blocks.array(shape, &dtype, |len| end.with(py, |rpc| sending::claim_call(py, rpc, len, deadline)))
    }
}

/// Serving.
#[pymethods]
impl RpcBus {
    /// The next request, waiting for it. Reply by its `correlation_id`, at once or later.
    #[pyo3(signature = (*, timeout=Timeout::FOREVER), text_signature = "($self, *, timeout=None)")]
    fn serve(slf: &Bound<'_, Self>, timeout: Timeout) -> PyResult<RxGuard> {
        let (py, deadline) = (slf.py(), timeout.deadline());
        Ok(RxGuard::new(py, Self::with(slf, |rpc| receiving::serve(py, rpc, deadline))?))
    }

    /// The next request, if it is there, else None.
    fn try_serve(slf: &Bound<'_, Self>) -> PyResult<Option<RxGuard>> {
        let py = slf.py();
        Ok(Self::with(slf, |rpc| receiving::try_serve(py, rpc))?.map(|request| RxGuard::new(py, request)))
    }

    /// Replies to an open request. `timeout`: how long a long reply may wait for memory; by default not at all.
    #[pyo3(signature = (correlation_id, payload, msg_type=Id(0), *, timeout=Timeout::ZERO, shared=None), text_signature = "($self, correlation_id, payload, msg_type=0, *, timeout=0.0, shared=None)")]
    fn reply(
        slf: &Bound<'_, Self>,
        correlation_id: Id,
        payload: &Bound<'_, PyAny>,
        msg_type: Id,
        timeout: Timeout,
        shared: Option<Vec<Bound<'_, SharedBuffer>>>,
    ) -> PyResult<()> {
        let py = slf.py();
        if shared.is_none() {
            return enter(slf, "RpcBus")?.answer(correlation_id.0, payload, msg_type.0, timeout.deadline());
        }
        let (shared, data) = (SharedBuffer::sealed_of(shared)?, Payload::of(payload)?);
        let (shared, bytes): (Vec<_>, _) = (shared.iter().collect(), data.bytes());
        Self::with(slf, |rpc| {
            let reply = |until| rpc.reply_shared_until(correlation_id.0, msg_type.0, bytes, &shared, until);
            patiently(py, timeout.deadline(), reply)?.or_raise(py)
        })
    }

    /// Replies with an error of one's own: the caller gets RemoteError with this code, below 2**31, and text.
    fn reply_error(slf: &Bound<'_, Self>, correlation_id: Id, code: Id, text: &str) -> PyResult<()> {
        Self::with(slf, |rpc| rpc.reply_error(correlation_id.0, code.0, text).or_raise(slf.py()))
    }

    /// Room for a reply of up to `size` bytes, to be written in place.
    #[pyo3(signature = (correlation_id, size, msg_type=Id(0), *, timeout=Timeout::FOREVER), text_signature = "($self, correlation_id, size, msg_type=0, *, timeout=None)")]
    fn reply_zero_copy(
        slf: &Bound<'_, Self>,
        correlation_id: Id,
        size: Length,
        msg_type: Id,
        timeout: Timeout,
    ) -> PyResult<TxGuard> {
        rpc_claims::reply(slf, correlation_id.0, size, msg_type, timeout)
    }

    /// Serves one request by the handler of its message type. For RpcDispatcher.
    #[pyo3(signature = (handlers, timeout=Timeout::FOREVER, /), text_signature = "($self, handlers, timeout=None, /)")]
    fn _serve_once(slf: &Bound<'_, Self>, handlers: &Bound<'_, PyDict>, timeout: Timeout) -> PyResult<()> {
        match dispatch::once(slf, handlers, timeout.deadline())? {
            Some(failed) => Err(failed),
            None => Ok(()),
        }
    }

    /// Serves until the peer closes or dies; what handlers raise goes to `failed`. For RpcDispatcher.
    #[pyo3(signature = (handlers, failed, /))]
    fn _serve_forever(slf: &Bound<'_, Self>, handlers: &Bound<'_, PyDict>, failed: &Bound<'_, PyAny>) -> PyResult<()> {
        loop {
            if let Some(error) = dispatch::once(slf, handlers, Deadline::NEVER)? {
                failed.call1((error,))?;
            }
        }
    }

    /// Serves the calls that arrive while this end waits for a reply by these handlers. For RpcDispatcher.
    #[pyo3(signature = (handlers, /))]
    fn _serve_while_waiting(slf: &Bound<'_, Self>, handlers: Option<Bound<'_, PyDict>>) -> PyResult<()> {
        enter(slf, "RpcBus")?.handlers = handlers.map(Bound::unbind);
        Ok(())
    }
}

/// What an end tells of itself, and how it waits.
#[pymethods]
impl RpcBus {
    /// The descriptor for a foreign event loop. When it is readable call `try_serve` or `try_wait` until the answer is None.
    fn fileno(slf: &Bound<'_, Self>) -> PyResult<i32> {
        Self::with(slf, |rpc| Ok(rpc.as_fd().as_raw_fd()))
    }

    /// How the session stands: "open", "closed", "peer-died" or "corrupt".
    #[getter]
    fn state(slf: &Bound<'_, Self>) -> PyResult<&'static str> {
        Self::with(slf, |rpc| Ok(stats::state(rpc.state())))
    }

    /// How many frames have arrived. For `slipring.aio`: whether a look has read something for others.
    #[getter]
    fn _arrived(slf: &Bound<'_, Self>) -> PyResult<u64> {
        Self::with(slf, |rpc| Ok(rpc.stats().frames_received))
    }

    /// How many calls of this end are under way.
    #[getter]
    fn in_flight(slf: &Bound<'_, Self>) -> PyResult<u32> {
        Self::with(slf, |rpc| Ok(rpc.in_flight()))
    }

    /// The longest request that this end can make, in bytes.
    #[getter]
    fn request_max(slf: &Bound<'_, Self>) -> PyResult<u64> {
        Self::with(slf, |rpc| Ok(rpc.request_max()))
    }

    /// The longest payload that goes into the ring itself, in bytes.
    #[getter]
    fn inline_limit(slf: &Bound<'_, Self>) -> PyResult<usize> {
        Self::with(slf, |rpc| Ok(rpc.inline_limit()))
    }

    /// What this end has done so far, by name.
    fn stats<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        Self::with(slf, |rpc| stats::stats(slf.py(), &rpc.stats()))
    }

    /// What this session can promise, by name.
    fn capabilities<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        Self::with(slf, |rpc| stats::capabilities(slf.py(), rpc.capabilities()))
    }

    /// Waits by this strategy from now on: "spin", "park" or "adaptive".
    fn set_wait(slf: &Bound<'_, Self>, wait: &Bound<'_, PyAny>) -> PyResult<()> {
        let wait = options::wait(wait)?;
        Self::with(slf, |rpc| {
            rpc.set_wait(wait);
            Ok(())
        })
    }

    /// Says on which NUMA node this end's memory is to be. There is nothing to do where there is one node.
    fn set_numa_node(slf: &Bound<'_, Self>, node: Length) -> PyResult<()> {
        Self::with(slf, |_| numa::check(slf.py(), node))
    }

    /// Whether to wait by looking without a pause, which takes a processor.
    #[pyo3(signature = (pure_spin=true))]
    fn set_polling_mode(slf: &Bound<'_, Self>, pure_spin: bool) -> PyResult<()> {
        Self::with(slf, |rpc| {
            rpc.set_wait(if pure_spin { Wait::Spin } else { Wait::Adaptive });
            Ok(())
        })
    }
}

impl Drop for RpcBus {
    fn drop(&mut self) {
        if matches!(self.end.get(), End::Open(_)) {
            warn_unclosed("RpcBus");
        }
    }
}
