//! How payloads leave, on a bus and as calls: tried with the interpreter's lock where they are short, waited for without it.

use crate::error::OrRaise;
use crate::waiting::{patiently, patiently_for, soon};
use pyo3::prelude::*;
use slipring::{Bus, CallId, Cause, Deadline, OwnedClaim, RpcBus, SharedBuffer};

/// How often room is looked for with the lock held. Each look that finds none asks the reader to say at once what it has read; a
/// second one would only ask again, and make the reader say so for every message.
const ONE_LOOK: u32 = 1;

/// Publishes a copy of `payload`.
#[inline]
pub(crate) fn publish(py: Python<'_>, bus: &mut Bus, type_id: u32, payload: &[u8], deadline: Deadline) -> PyResult<()> {
    if payload.len() <= bus.inline_limit() {
        if let Some(sent) = soon(ONE_LOOK, || bus.try_publish(type_id, payload)) {
            return sent.or_raise(py);
        }
    } else if deadline == Deadline::NOW {
        return patiently(py, Deadline::NEVER, |_| bus.try_publish(type_id, payload))?.or_raise(py);
    }
    patiently_for(py, payload.len(), deadline, |until| bus.publish_until(type_id, payload, until))?.or_raise(py)
}

/// Publishes a copy of `payload` if there is room now. Whether it did.
pub(crate) fn try_publish(py: Python<'_>, bus: &mut Bus, type_id: u32, payload: &[u8]) -> PyResult<bool> {
    let sent = if payload.len() <= bus.inline_limit() {
        bus.try_publish(type_id, payload)
    } else {
        patiently(py, Deadline::NEVER, |_| bus.try_publish(type_id, payload))?
    };
    is_sent(py, sent)
}

/// Whether there was room.
fn is_sent(py: Python<'_>, sent: Result<(), Cause>) -> PyResult<bool> {
    match sent {
        Err(Cause::Full) => Ok(false),
        other => other.or_raise(py).map(|()| true),
    }
}

/// Publishes copies of as many of the first `payloads` as there is room for now. How many those were.
pub(crate) fn try_publish_all(py: Python<'_>, bus: &mut Bus, type_id: u32, payloads: &[&[u8]]) -> PyResult<usize> {
    let frames = || payloads.iter().map(|payload| (type_id, *payload));
    let longest = payloads.iter().map(|payload| payload.len()).max().unwrap_or(0);
    let sent = if longest <= bus.inline_limit() {
        bus.try_publish_batch(frames())
    } else {
        patiently(py, Deadline::NEVER, |_| bus.try_publish_batch(frames()))?
    };
    match sent {
        Err(Cause::Full) => Ok(0),
        other => other.or_raise(py),
    }
}

/// Publishes copies of all `payloads`, in groups as large as there is room for.
pub(crate) fn publish_all(
    py: Python<'_>,
    bus: &mut Bus,
    type_id: u32,
    payloads: &[&[u8]],
    deadline: Deadline,
) -> PyResult<()> {
    let mut left = payloads;
    while !left.is_empty() {
        let frames = || left.iter().map(|payload| (type_id, *payload));
        let longest = left.iter().map(|payload| payload.len()).max().unwrap_or(0);
        let tried = if longest <= bus.inline_limit() { bus.try_publish_batch(frames()) } else { Err(Cause::Full) };
        let sent = match tried {
            Err(Cause::Full) => {
                patiently_for(py, longest, deadline, |until| bus.publish_batch_until(frames(), until))?.or_raise(py)?
            }
            other => other.or_raise(py)?,
        };
        left = &left[sent..];
        // A reader that keeps up leaves no wait that would look for signals.
        py.check_signals()?;
    }
    Ok(())
}

/// Publishes a copy of `payload`, and with it `shared`.
pub(crate) fn publish_shared(
    py: Python<'_>,
    bus: &mut Bus,
    type_id: u32,
    payload: &[u8],
    shared: &[SharedBuffer],
    deadline: Deadline,
) -> PyResult<()> {
    let shared: Vec<_> = shared.iter().collect();
    if deadline == Deadline::NOW {
        let sent = patiently(py, Deadline::NEVER, |_| bus.try_publish_shared(type_id, payload, &shared));
        return sent?.or_raise(py);
    }
    let sent =
        patiently_for(py, payload.len(), deadline, |until| bus.publish_shared_until(type_id, payload, &shared, until));
    sent?.or_raise(py)
}

/// A block for `len` bytes. With no time at all, one that is free, or that new memory is made for.
pub(crate) fn claim(py: Python<'_>, bus: &mut Bus, len: usize, deadline: Deadline) -> PyResult<OwnedClaim> {
    if deadline == Deadline::NOW {
        return patiently(py, Deadline::NEVER, |_| bus.try_claim_owned(len))?.or_raise(py);
    }
    patiently_for(py, len, deadline, |until| bus.claim_owned_until(len, until))?.or_raise(py)
}

/// As [`claim`], for requests and replies.
pub(crate) fn claim_call(py: Python<'_>, rpc: &mut RpcBus, len: usize, deadline: Deadline) -> PyResult<OwnedClaim> {
    if deadline == Deadline::NOW {
        return patiently(py, Deadline::NEVER, |_| rpc.try_claim_owned(len))?.or_raise(py);
    }
    patiently_for(py, len, deadline, |until| rpc.claim_owned_until(len, until))?.or_raise(py)
}

/// Sends a request. The deadline goes along.
#[inline]
pub(crate) fn call(
    py: Python<'_>,
    rpc: &mut RpcBus,
    type_id: u32,
    payload: &[u8],
    deadline: Deadline,
) -> PyResult<CallId> {
    if payload.len() <= rpc.inline_limit() {
        match rpc.call_within(type_id, payload, deadline, Deadline::NOW) {
            Err(Cause::Timeout | Cause::Full) => {}
            other => return other.or_raise(py),
        }
    }
    let len = payload.len();
    patiently_for(py, len, deadline, |until| rpc.call_within(type_id, payload, deadline, until))?.or_raise(py)
}

/// As [`call`], if there is room now. The deadline goes along, and is not waited for.
pub(crate) fn try_call(
    py: Python<'_>,
    rpc: &mut RpcBus,
    type_id: u32,
    payload: &[u8],
    deadline: Deadline,
) -> PyResult<CallId> {
    if payload.len() <= rpc.inline_limit() {
        return rpc.try_call_within(type_id, payload, deadline).or_raise(py);
    }
    patiently(py, Deadline::NEVER, |_| rpc.try_call_within(type_id, payload, deadline))?.or_raise(py)
}

/// Sends a request, and with it `shared`. The deadline goes along, and is waited for if `waits`.
pub(crate) fn call_shared(
    py: Python<'_>,
    rpc: &mut RpcBus,
    type_id: u32,
    payload: &[u8],
    shared: &[SharedBuffer],
    deadline: Deadline,
    waits: bool,
) -> PyResult<CallId> {
    let shared: Vec<_> = shared.iter().collect();
    let patience = if waits { deadline } else { Deadline::NOW };
    let call = |until| rpc.call_shared_within(type_id, payload, &shared, deadline, until);
    patiently_for(py, payload.len(), patience, call)?.or_raise(py)
}

/// Sends a request of which nobody awaits a reply.
pub(crate) fn note(py: Python<'_>, rpc: &mut RpcBus, type_id: u32, payload: &[u8], deadline: Deadline) -> PyResult<()> {
    let len = payload.len();
    if len <= rpc.inline_limit()
        && let Some(sent) = soon(ONE_LOOK, || rpc.try_note(type_id, payload))
    {
        return sent.or_raise(py);
    }
    if deadline == Deadline::NOW {
        return patiently(py, Deadline::NEVER, |_| rpc.try_note(type_id, payload))?.or_raise(py);
    }
    patiently_for(py, len, deadline, |until| rpc.note_until(type_id, payload, until))?.or_raise(py)
}

/// Replies. With no time, nothing is waited for.
#[inline]
pub(crate) fn reply(
    py: Python<'_>,
    rpc: &mut RpcBus,
    id: u32,
    type_id: u32,
    payload: &[u8],
    deadline: Deadline,
) -> PyResult<()> {
    if payload.len() <= rpc.inline_limit() {
        return rpc.reply(id, type_id, payload).or_raise(py);
    }
    let len = payload.len();
    if deadline == Deadline::NOW {
        return patiently(py, Deadline::NEVER, |_| rpc.reply(id, type_id, payload))?.or_raise(py);
    }
    patiently_for(py, len, deadline, |until| rpc.reply_within(id, type_id, payload, deadline, until))?.or_raise(py)
}

/// Replies, and with the reply go `shared`.
pub(crate) fn reply_shared(
    py: Python<'_>,
    rpc: &mut RpcBus,
    id: u32,
    type_id: u32,
    payload: &[u8],
    shared: &[SharedBuffer],
    deadline: Deadline,
) -> PyResult<()> {
    let shared: Vec<_> = shared.iter().collect();
    if deadline == Deadline::NOW {
        return patiently(py, Deadline::NEVER, |_| rpc.reply_shared(id, type_id, payload, &shared))?.or_raise(py);
    }
    let reply = |until| rpc.reply_shared_within(id, type_id, payload, &shared, deadline, until);
    patiently_for(py, payload.len(), deadline, reply)?.or_raise(py)
}
