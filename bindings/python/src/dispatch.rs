//! Serving by a table of handlers, without a detour through Python between two requests.
//!
//! A handler is given a view of the request and answers with the reply's bytes. The bus is not entered while it runs, so it may use
//! the bus itself. A handler that fails, or a message type without one, costs that call alone: the caller gets a reply of the type
//! [`MSG_TYPE_ERROR`], which carries the message type that could not be served.

use crate::buffer::Bytes;
use crate::end::enter;
use crate::error::{exception, unserved};
use crate::payload::Received;
use crate::receiving;
use crate::rpc::RpcBus;
use crate::rx::RxGuard;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyMemoryView};
use slipring::{Cause, Deadline};

/// The message type of a reply that says that a request could not be served. Its payload is the request's type, big-endian.
const MSG_TYPE_ERROR: u32 = 0xFFFF;

/// How deep handlers may wait for replies of their own and be called back meanwhile.
pub(crate) const NESTING: u32 = 8;

/// Serves the next request, waiting for it. What the handler raised is the value; an error is the session's end, or a signal's.
#[inline]
pub(crate) fn once(
    slf: &Bound<'_, RpcBus>,
    handlers: &Bound<'_, PyDict>,
    deadline: Deadline,
) -> PyResult<Option<PyErr>> {
    let py = slf.py();
    let request = RpcBus::with(slf, |rpc| receiving::serve(py, rpc, deadline))?;
    answer(slf, handlers, request)
}

/// Serves one request.
pub(crate) fn answer(
    slf: &Bound<'_, RpcBus>,
    handlers: &Bound<'_, PyDict>,
    request: Received,
) -> PyResult<Option<PyErr>> {
    let py = slf.py();
    let (id, type_id, note) = (request.correlation_id as u32, request.type_id, request.note);
    let failed = match handle(py, handlers, request) {
        Ok(_) if note => return Ok(None),
        Ok(reply) => match enter(slf, "RpcBus")?.answer(id, &reply, type_id, Deadline::NOW) {
            Ok(()) => return Ok(None),
            Err(failed) => failed,
        },
        Err(failed) => failed,
    };
    if !note {
        let refusal = PyBytes::new(py, &(type_id as u16).to_be_bytes());
        // Where the session is over, or the call was answered already, there is nobody left to be told.
        let _ = enter(slf, "RpcBus")?.answer(id, refusal.as_any(), MSG_TYPE_ERROR, Deadline::NOW);
    }
    // What is no failure of the handler's, such as KeyboardInterrupt, ends the serving.
    if failed.is_instance_of::<PyException>(py) { Ok(Some(failed)) } else { Err(failed) }
}

/// The reply of the handler for `request`.
fn handle<'py>(py: Python<'py>, handlers: &Bound<'py, PyDict>, request: Received) -> PyResult<Bound<'py, PyAny>> {
    let type_id = request.type_id;
    let Some(handler) = handlers.get_item(type_id)? else {
        let text = format!("no handler is registered for message type {type_id}");
        return Err(exception(py, Cause::NotFound, text));
    };
    let view = match request.bytes {
        Bytes::Inline(bytes) if request.shared.is_empty() => PyMemoryView::from(bytes.bind(py).as_any())?,
        _ => PyMemoryView::from(Bound::new(py, RxGuard::new(py, request))?.as_any())?,
    };
    handler.call1((view,))
}

/// Raises what a reply of the type [`MSG_TYPE_ERROR`] says.
#[inline]
pub(crate) fn check_answer(py: Python<'_>, reply: &Received) -> PyResult<()> {
    if reply.type_id != MSG_TYPE_ERROR {
        return Ok(());
    }
    match &reply.bytes {
        Bytes::Inline(bytes) => match bytes.as_bytes(py) {
            &[high, low] => Err(unserved(py, u16::from_be_bytes([high, low]))),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}
