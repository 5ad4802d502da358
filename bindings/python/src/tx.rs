//! `TxGuard`: a payload that is written in place and then sent.

use crate::args::{Id, Length, Timeout};
use crate::buffer::{Bytes, Exporter, private};
use crate::bus::Bus;
use crate::end::{enter, refuse_pickling};
use crate::error::{OrRaise, invalid, is_timeout};
use crate::rpc::RpcBus;
use crate::{rpc_claims, sending};
use pyo3::prelude::*;
use slipring::{Cause, Deadline, OwnedClaim, OwnedClaimError};

/// Bytes that could not be sent, and why.
pub(crate) type Unsent = Box<(Bytes, PyErr)>;

#[cold]
pub(crate) fn unsent(bytes: Bytes, error: PyErr) -> Unsent {
    Box::new((bytes, error))
}

/// The claim that came back, if it did.
pub(crate) fn draft_or_nothing(claim: Option<OwnedClaim>) -> Bytes {
    claim.map_or_else(|| Bytes::Private(Box::default()), |claim| Bytes::Draft(Box::new(claim)))
}

/// What a payload is sent as, and by what.
pub(crate) enum Target {
    Message(Py<Bus>),
    Request(Py<RpcBus>),
    Reply(Py<RpcBus>, u32),
}

/// Room for one payload. Write it through `memoryview(tx)` and set `tx.actual_size` if it came out shorter.
///
/// Leaving the with block sends it, an exception there sends nothing. While a view is there neither happens, which is a BufferError.
/// A long payload is written where the peer will read it.
#[pyclass(module = "slipring", weakref)]
pub(crate) struct TxGuard {
    pub(crate) exporter: Exporter,
    target: Target,
    type_id: u32,
    size: usize,
    actual_size: usize,
    timeout: Timeout,
    correlation_id: Option<u32>,
}

impl TxGuard {
    pub(crate) fn new(target: Target, bytes: Bytes, size: usize, type_id: Id, timeout: Timeout) -> Self {
        let exporter = Exporter::new(bytes);
        Self { exporter, target, type_id: type_id.0, size, actual_size: size, timeout, correlation_id: None }
    }

    pub(crate) fn on_bus(bus: &Bound<'_, Bus>, size: Length, type_id: Id, timeout: Timeout) -> PyResult<Self> {
        let (py, size) = (bus.py(), size.0);
        let bytes = Bus::with(bus, |bus| {
            if size > bus.inline_limit() {
                return Ok(Bytes::Draft(Box::new(sending::claim(py, bus, size, timeout.deadline())?)));
            }
            // An end that receives says so now, and not when the payload is written.
            bus.try_claim(0)
                .map(drop)
                .or_else(|cause| match cause {
                    Cause::Full => Ok(()),
                    other => Err(other),
                })
                .or_raise(py)?;
            Ok(Bytes::Private(vec![0; size].into()))
        })?;
        Ok(Self::new(Target::Message(bus.clone().unbind()), bytes, size, type_id, timeout))
    }

    /// Sends what was written, by the core. `deadline` travels with a request, and is waited for if `waits`. Bytes that could not be sent
    /// come back.
    fn send(&self, py: Python<'_>, bytes: Bytes, deadline: Deadline, waits: bool) -> Result<Option<u32>, Unsent> {
        let used = self.actual_size;
        match &self.target {
            Target::Message(bus) => match bytes {
                Bytes::Draft(claim) => {
                    let mut open = Some(*claim);
                    let sent = Bus::with(bus.bind(py), |bus| {
                        let Some(claim) = open.take() else { return Err(Cause::Closed).or_raise(py) };
                        bus.publish_owned(self.type_id, claim, used).or_else(|OwnedClaimError { claim, cause }| {
                            open = Some(claim);
                            Err(cause).or_raise(py)
                        })
                    });
                    let back = |error| unsent(draft_or_nothing(open), error);
                    sent.map(|()| None).map_err(back)
                }
                other => {
                    let payload = private(&other)[..used].to_vec();
                    let until = if waits { deadline } else { Deadline::NOW };
                    let sent = Bus::with(bus.bind(py), |bus| sending::publish(py, bus, self.type_id, &payload, until));
                    sent.map(|()| None).map_err(|error| unsent(other, error))
                }
            },
            Target::Request(rpc) => {
                rpc_claims::send_request(rpc.bind(py), bytes, self.type_id, used, deadline, waits).map(Some)
            }
            Target::Reply(rpc, id) => {
                rpc_claims::send_reply(rpc.bind(py), *id, bytes, self.type_id, used).map(|()| None)
            }
        }
    }

    /// Sends what was written. What cannot be sent stays open.
    fn commit_by(slf: &Bound<'_, Self>, deadline: Deadline, waits: bool) -> PyResult<()> {
        let py = slf.py();
        let mut guard = enter(slf, "TxGuard")?;
        guard.check_open(py)?;
        let Some(bytes) = guard.exporter.take("TxGuard")? else { return Ok(()) };
        match guard.send(py, bytes, deadline, waits) {
            Ok(id) => {
                guard.correlation_id = id;
                Ok(())
            }
            Err(unsent) => {
                guard.exporter.put_back(unsent.0);
                Err(unsent.1)
            }
        }
    }

    fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        if self.exporter.is_empty() {
            return Err(invalid(py, "this TxGuard is over: it was committed or aborted already"));
        }
        Ok(())
    }
}

#[pymethods]
impl TxGuard {
    /// The type id that it is sent with.
    #[getter]
    fn type_id(&self) -> u32 {
        self.type_id
    }

    /// How many bytes there is room for.
    #[getter]
    fn size(&self) -> usize {
        self.size
    }

    /// How many bytes are sent: at first all.
    #[getter]
    fn get_actual_size(&self) -> usize {
        self.actual_size
    }

    #[setter]
    fn set_actual_size(&mut self, py: Python<'_>, bytes: Length) -> PyResult<()> {
        if bytes.0 > self.size {
            let text = format!("actual_size is at most the {} bytes that were asked for, not {}", self.size, bytes.0);
            return Err(invalid(py, text));
        }
        self.actual_size = bytes.0;
        Ok(())
    }

    /// The id of the call, once a request was sent.
    #[getter]
    fn correlation_id(&self) -> Option<u32> {
        self.correlation_id
    }

    /// Sends the first `actual_size` bytes.
    fn commit(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (deadline, waits) = enter(slf, "TxGuard")?.timeout.travelling();
        Self::commit_by(slf, deadline, waits)
    }

    /// The same, if there is room now. Whether there was. `timeout` travels with a request. For `slipring.aio`.
    #[pyo3(signature = (timeout, /))]
    fn _try_commit(slf: &Bound<'_, Self>, timeout: Timeout) -> PyResult<bool> {
        match Self::commit_by(slf, timeout.travelling().0, false) {
            Err(error) if is_timeout(slf.py(), &error) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Gives the room up. Nobody ever learns of it.
    fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        let mut guard = enter(slf, "TxGuard")?;
        guard.check_open(slf.py())?;
        guard.exporter.take("TxGuard").map(drop)
    }

    fn __len__(&self) -> usize {
        self.size
    }

    fn __enter__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        slf.borrow().check_open(slf.py())?;
        Ok(slf)
    }

    #[pyo3(signature = (kind=None, _error=None, _trace=None, /))]
    fn __exit__(
        slf: &Bound<'_, Self>,
        kind: Option<&Bound<'_, PyAny>>,
        _error: Option<&Bound<'_, PyAny>>,
        _trace: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        if enter(slf, "TxGuard")?.exporter.is_empty() {
            return Ok(());
        }
        if kind.is_none() {
            return Self::commit(slf);
        }
        // The exception that is on its way is the one to be heard of. What is still looked at goes when its last view does.
        let _ = enter(slf, "TxGuard")?.exporter.take("TxGuard");
        Ok(())
    }

    fn __repr__(&self) -> String {
        let over = if self.exporter.is_empty() { ", over" } else { "" };
        format!("TxGuard(size={}, actual_size={}, type_id={}{over})", self.size, self.actual_size, self.type_id)
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(refuse_pickling("TxGuard"))
    }
}
