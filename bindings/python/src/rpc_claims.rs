//! Requests and replies that are written in place, and arrays of an `RpcBus`'s own.

use crate::args::{Id, Length, Timeout};
use crate::buffer::{Bytes, private};
use crate::error::OrRaise;
use crate::rpc::RpcBus;
use crate::sending;
use crate::tx::{Target, TxGuard, Unsent, draft_or_nothing, unsent};
use crate::waiting::patiently;
use pyo3::prelude::*;
use slipring::{Cause, Deadline, OwnedClaim, OwnedClaimError};

/// Room for `size` bytes: private memory if they will ride in the ring, else a block.
fn room(rpc: &Bound<'_, RpcBus>, size: usize, timeout: Timeout) -> PyResult<Bytes> {
    let py = rpc.py();
    RpcBus::with(rpc, |rpc| {
        if size > rpc.inline_limit() {
            sending::claim_call(py, rpc, size, timeout.deadline()).map(|claim| Bytes::Draft(Box::new(claim)))
        } else {
            Ok(Bytes::Private(vec![0; size].into()))
        }
    })
}

/// Room for a request.
pub(crate) fn request(rpc: &Bound<'_, RpcBus>, size: Length, type_id: Id, timeout: Timeout) -> PyResult<TxGuard> {
    let bytes = room(rpc, size.0, timeout)?;
    Ok(TxGuard::new(Target::Request(rpc.clone().unbind()), bytes, size.0, type_id, timeout))
}

/// Room for the reply to the request `id`.
pub(crate) fn reply(
    rpc: &Bound<'_, RpcBus>,
    id: u32,
    size: Length,
    type_id: Id,
    timeout: Timeout,
) -> PyResult<TxGuard> {
    let bytes = room(rpc, size.0, timeout)?;
    Ok(TxGuard::new(Target::Reply(rpc.clone().unbind(), id), bytes, size.0, type_id, timeout))
}

/// Sends a claim by `send`, which gives it back if it cannot be sent.
fn send_claim<R>(
    rpc: &Bound<'_, RpcBus>,
    claim: OwnedClaim,
    send: impl FnOnce(&mut slipring::RpcBus, OwnedClaim) -> Result<R, OwnedClaimError>,
) -> Result<R, Unsent> {
    let mut open = Some(claim);
    let sent = RpcBus::with(rpc, |end| {
        let Some(claim) = open.take() else { return Err(Cause::Closed).or_raise(rpc.py()) };
        match send(end, claim) {
            Ok(sent) => Ok(sent),
            Err(OwnedClaimError { claim, cause }) => {
                open = Some(claim);
                Err(cause).or_raise(rpc.py())
            }
        }
    });
    sent.map_err(|error| unsent(draft_or_nothing(open), error))
}

/// Sends the first `used` bytes of `bytes` as a request, and answers with its call. `deadline` travels with it, and is waited for if
/// `waits`.
pub(crate) fn send_request(
    rpc: &Bound<'_, RpcBus>,
    bytes: Bytes,
    type_id: u32,
    used: usize,
    deadline: Deadline,
    waits: bool,
) -> Result<u32, Unsent> {
    let py = rpc.py();
    match bytes {
        Bytes::Draft(claim) => send_claim(rpc, *claim, |rpc, claim| {
            let mut open = Some(claim);
            // The claim comes back from every slice that finds no place among the calls.
            let patience = if waits { deadline } else { Deadline::NOW };
            let sent = patiently(py, patience, |until| {
                let claim = open.take().ok_or(Cause::Closed)?;
                rpc.call_kept(type_id, claim, used, deadline, until).map(|(call, _)| call.number()).map_err(|back| {
                    open = Some(back.claim);
                    back.cause
                })
            });
            let cause = match sent {
                Ok(Ok(call)) => return Ok(call),
                Ok(Err(cause)) => cause,
                Err(interrupted) => {
                    interrupted.restore(py);
                    Cause::Interrupted
                }
            };
            Err(OwnedClaimError { claim: open.expect("a claim that was not sent comes back"), cause })
        }),
        other => {
            let payload = private(&other)[..used].to_vec();
            let sent = RpcBus::with(rpc, |rpc| match waits {
                true => sending::call(py, rpc, type_id, &payload, deadline),
                false => sending::try_call(py, rpc, type_id, &payload, deadline),
            });
            sent.map(|call| call.number()).map_err(|error| unsent(other, error))
        }
    }
}

/// Sends the first `used` bytes of `bytes` as the reply to the request `id`.
pub(crate) fn send_reply(
    rpc: &Bound<'_, RpcBus>,
    id: u32,
    bytes: Bytes,
    type_id: u32,
    used: usize,
) -> Result<(), Unsent> {
    match bytes {
        Bytes::Draft(claim) => send_claim(rpc, *claim, |rpc, claim| rpc.reply_owned(id, type_id, claim, used)),
        other => {
            let sent = RpcBus::with(rpc, |end| end.reply(id, type_id, &private(&other)[..used]).or_raise(rpc.py()));
            sent.map_err(|error| unsent(other, error))
        }
    }
}
