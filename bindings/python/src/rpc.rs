//! `RpcBus`: one end of a session for calls.

use crate::args::{Address, Id, Length, Timeout};
use crate::block::Blocks;
use crate::buffer::{Payload, copy_out};
use crate::end::{End, Sole, enter};
use crate::error::{OrRaise, is_timeout};
use crate::listener::{connect_with, listen_for, with_capacity};
use crate::payload::Received;
use crate::poller::Poller;
use crate::rx::RxGuard;
use crate::session::session;
use crate::shared::SharedBuffer;
use crate::tx::TxGuard;
use crate::waiting::patiently;
use crate::{dispatch, options, receiving, rpc_claims, sending, stats};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use slipring::{CallId, Deadline};

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

    /// Sends a request: a copy, or an array of this end's own where it is. `deadline` travels with it, and is waited for here if
    /// `waits`.
    #[inline]
    fn send(
        &mut self,
        data: &Bound<'_, PyAny>,
        type_id: u32,
        shared: Option<Vec<Bound<'_, SharedBuffer>>>,
        deadline: Deadline,
        waits: bool,
    ) -> PyResult<CallId> {
        let (py, payload) = (data.py(), Payload::of(data)?);
        if shared.is_some() {
            let shared = SharedBuffer::sealed_of(shared)?;
            let call = |rpc: &mut _| sending::call_shared(py, rpc, type_id, payload.bytes(), &shared, deadline, waits);
            return self.end.get().with(py, call);
        }
        if let Some(block) = self.blocks.find(py, &payload)? {
            let used = payload.bytes().len();
            let call = self.end.get().with(py, |rpc| {
                let mut block = enter(&block, "Block")?;
                let exporter = &mut block.exporter;
                let patience = if waits { deadline } else { Deadline::NOW };
                let sent = patiently(py, patience, |until| {
                    exporter.send_in_place(|claim| rpc.call_kept(type_id, claim, used, deadline, until))
                });
                sent?.or_raise(py)
            })?;
            self.blocks.sent(&payload, data)?;
            return Ok(call);
        }
        self.end.get().with(py, |rpc| match waits {
            true => sending::call(py, rpc, type_id, payload.bytes(), deadline),
            false => sending::try_call(py, rpc, type_id, payload.bytes(), deadline),
        })
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
        let call = enter(slf, "RpcBus")?.send(data, type_id, shared, deadline, true)?;
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
        let (deadline, waits) = timeout.travelling();
        let call = enter(slf, "RpcBus")?.send(payload, msg_type.0, shared, deadline, waits)?;
        Ok(call.number())
    }

    /// As `call`, or None if there is no room for it now. `timeout`, which is not waited for, travels with it.
    #[pyo3(signature = (payload, msg_type=Id(0), *, timeout=Timeout::FOREVER, shared=None), text_signature = "($self, payload, msg_type=0, *, timeout=None, shared=None)")]
    fn try_call(
        slf: &Bound<'_, Self>,
        payload: &Bound<'_, PyAny>,
        msg_type: Id,
        timeout: Timeout,
        shared: Option<Vec<Bound<'_, SharedBuffer>>>,
    ) -> PyResult<Option<u32>> {
        let deadline = timeout.travelling().0;
        match enter(slf, "RpcBus")?.send(payload, msg_type.0, shared, deadline, false) {
            Ok(call) => Ok(Some(call.number())),
            Err(error) if is_timeout(slf.py(), &error) => Ok(None),
            Err(error) => Err(error),
        }
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
        let (id, deadline) = (correlation_id.0, timeout.deadline());
        Self::with(slf, |rpc| sending::reply_shared(py, rpc, id, msg_type.0, data.bytes(), &shared, deadline))
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
            // A handler that is no function of Python's never looks for signals, and a busy peer leaves no wait that does.
            slf.py().check_signals()?;
        }
    }

    /// Serves the calls that arrive while this end waits for a reply by these handlers. For RpcDispatcher.
    #[pyo3(signature = (handlers, /))]
    fn _serve_while_waiting(slf: &Bound<'_, Self>, handlers: Option<Bound<'_, PyDict>>) -> PyResult<()> {
        enter(slf, "RpcBus")?.handlers = handlers.map(Bound::unbind);
        Ok(())
    }
}

/// What an end tells of its calls.
#[pymethods]
impl RpcBus {
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
}

session!(RpcBus, "RpcBus");
