//! How payloads arrive, on a bus and as calls.

use crate::error::OrRaise;
use crate::payload::Received;
use crate::waiting::{LOOKS, patiently, soon};
use pyo3::prelude::*;
use slipring::{Bus, CallId, Cause, Deadline, Lease, Reply, Request, RpcBus};

/// The next frame, waiting for it.
#[inline]
pub(crate) fn receive(py: Python<'_>, bus: &mut Bus, looks: u32, deadline: Deadline) -> PyResult<Received> {
    let inline = bus.inline_limit();
    if let Some(found) = soon(looks, || bus.try_recv().map(|lease| Received::of_lease(py, lease, inline))) {
        return found.or_raise(py);
    }
    if deadline == Deadline::NOW {
        // The look that found nothing has armed the descriptor, which a wait of any length would undo.
        return Err(Cause::Timeout).or_raise(py);
    }
    let ticket = patiently(py, deadline, |until| bus.recv_until(until).map(Lease::set_aside))?.or_raise(py)?;
    let lease = bus.take_up_lease(ticket).or_raise(py)?;
    Ok(Received::of_lease(py, lease, inline))
}

/// The next frame, if it is there.
#[inline]
pub(crate) fn try_receive(py: Python<'_>, bus: &mut Bus) -> PyResult<Option<Received>> {
    let inline = bus.inline_limit();
    match bus.try_recv() {
        Ok(lease) => Ok(Some(Received::of_lease(py, lease, inline))),
        Err(Cause::Empty) => Ok(None),
        Err(cause) => Err(cause).or_raise(py),
    }
}

/// How many places a list of messages begins with.
const USUAL: usize = 64;

/// Up to `most` frames, waiting for the first.
pub(crate) fn receive_many<T>(
    py: Python<'_>,
    bus: &mut Bus,
    most: usize,
    looks: u32,
    deadline: Deadline,
    mut make: impl FnMut(Received) -> PyResult<T>,
) -> PyResult<Vec<T>> {
    let first = make(receive(py, bus, looks, deadline)?)?;
    let mut all = Vec::with_capacity(most.min(USUAL));
    all.push(first);
    let inline = bus.inline_limit();
    while all.len() < most {
        match bus.try_recv() {
            Ok(lease) => all.push(make(Received::of_lease(py, lease, inline))?),
            // What ended the stream is for the next call.
            Err(_) => break,
        }
    }
    Ok(all)
}

/// The reply to `call`, waiting for it.
#[inline]
pub(crate) fn wait(py: Python<'_>, rpc: &mut RpcBus, call: CallId, deadline: Deadline) -> PyResult<Received> {
    let inline = rpc.inline_limit();
    if let Some(found) = soon(LOOKS, || rpc.try_wait(call).map(|reply| Received::of_reply(py, reply, inline))) {
        return found.or_raise(py);
    }
    let call = patiently(py, deadline, |until| rpc.wait_until(call, until).map(Reply::set_aside))?.or_raise(py)?;
    let reply = rpc.wait_until(call, Deadline::NOW).or_raise(py)?;
    Ok(Received::of_reply(py, reply, inline))
}

/// The reply to `call`, if it is there.
pub(crate) fn try_wait(py: Python<'_>, rpc: &mut RpcBus, call: CallId) -> PyResult<Option<Received>> {
    let inline = rpc.inline_limit();
    match rpc.try_wait(call) {
        Ok(reply) => Ok(Some(Received::of_reply(py, reply, inline))),
        Err(error) if error.cause() == Cause::Empty => Ok(None),
        Err(error) => Err(error).or_raise(py),
    }
}

/// The next request, waiting for it.
#[inline]
pub(crate) fn serve(py: Python<'_>, rpc: &mut RpcBus, deadline: Deadline) -> PyResult<Received> {
    let inline = rpc.inline_limit();
    if let Some(found) = soon(LOOKS, || rpc.try_serve().map(|request| Received::of_request(py, request, inline))) {
        return found.or_raise(py);
    }
    let ticket = patiently(py, deadline, |until| rpc.serve_until(until).map(Request::set_aside))?.or_raise(py)?;
    let request = rpc.take_up_request(ticket).or_raise(py)?;
    Ok(Received::of_request(py, request, inline))
}

/// The next request, if it is there.
pub(crate) fn try_serve(py: Python<'_>, rpc: &mut RpcBus) -> PyResult<Option<Received>> {
    let inline = rpc.inline_limit();
    match rpc.try_serve() {
        Ok(request) => Ok(Some(Received::of_request(py, request, inline))),
        Err(Cause::Empty) => Ok(None),
        Err(cause) => Err(cause).or_raise(py),
    }
}
