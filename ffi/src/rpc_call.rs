//! Calling: requests by copying, and the wait for replies.

use crate::boundary::{Failure, boundary, invalid};
use crate::given::{bytes, out};
use crate::handle::enter;
use crate::lease::slipring_lease_t;
use crate::patience::{by_patience, deadline};
use crate::rpc::{Rpc, set_reply_aside, slipring_rpc_t};
use crate::status::slipring_status_t;
use std::ffi::c_void;
use transport::CallId;

/// Sends a request and gives its id at once; slipring_rpc_wait finds the reply by it. Waits for room, and for a place among the calls in
/// flight, until the timeout; meanwhile it goes on reading, and serves calls that arrive if there is a handler. A positive timeout
/// travels with the call, as its deadline.
///
/// SLIPRING_FULL, SLIPRING_TIMEOUT, SLIPRING_TOO_LARGE, SLIPRING_OUT_OF_MEMORY, SLIPRING_INTERRUPTED; what ends the session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_call(
    rpc: *mut slipring_rpc_t,
    type_id: u32,
    data: *const c_void,
    len: usize,
    timeout_ns: i64,
    id: *mut u32,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let id = unsafe { out(id) }?;
        // SAFETY: as the caller promises.
        let payload = unsafe { bytes(data, len) }?;
        // SAFETY: as the caller promises.
        let mut rpc = unsafe { enter::<Rpc>(rpc) }?;
        let mut end = rpc.home.reach()?;
        let call = by_patience!(timeout_ns, end.try_call(type_id, payload)?, |deadline| {
            end.call_until(type_id, payload, deadline)?
        });
        id.set(call.number());
        Ok(())
    })
}

/// Sends a request of which nobody awaits a reply. It takes a place among the calls in flight until the peer has taken it.
///
/// As for slipring_rpc_call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_note(
    rpc: *mut slipring_rpc_t,
    type_id: u32,
    data: *const c_void,
    len: usize,
    timeout_ns: i64,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let payload = unsafe { bytes(data, len) }?;
        // SAFETY: as the caller promises.
        let mut rpc = unsafe { enter::<Rpc>(rpc) }?;
        let mut end = rpc.home.reach()?;
        by_patience!(timeout_ns, end.try_note(type_id, payload)?, |deadline| {
            end.note_until(type_id, payload, deadline)?
        });
        Ok(())
    })
}

/// Waits for the reply to call `id` until the timeout. The reply is read by slipring_lease_data and the like until it is released.
/// After SLIPRING_TIMEOUT and SLIPRING_EMPTY the call is still in flight, and can be waited for again or cancelled, unless the text
/// says that the peer answered so.
///
/// SLIPRING_EMPTY, SLIPRING_TIMEOUT, SLIPRING_INTERRUPTED; SLIPRING_REMOTE where the peer answered with an error; SLIPRING_NOT_FOUND,
/// SLIPRING_OVERLOADED, SLIPRING_CANCELLED and SLIPRING_OUT_OF_MEMORY where its library did; SLIPRING_INVALID_ARGUMENT if no such call is
/// in flight, or its reply is held by a lease; what ends the session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_wait(
    rpc: *mut slipring_rpc_t,
    id: u32,
    timeout_ns: i64,
    reply: *mut *mut slipring_lease_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let place = unsafe { out(reply) }?;
        // SAFETY: as the caller promises.
        let mut rpc = unsafe { enter::<Rpc>(rpc) }?;
        let (slot, call) = (rpc.slot(), CallId::from_number(id));
        check_not_held(&rpc, call)?;
        let mut end = rpc.home.reach()?;
        let reply = by_patience!(timeout_ns, end.try_wait(call)?, |deadline| end.wait_until(call, deadline)?);
        let (source, view) = set_reply_aside(slot, reply);
        drop(end);
        place.set(rpc.lend(source, view));
        Ok(())
    })
}

fn check_not_held(rpc: &Rpc, call: CallId) -> Result<(), Failure> {
    let held = rpc.holds_reply(call);
    if held { Err(invalid("the reply to this call is held by a lease")) } else { Ok(()) }
}

/// Waits until the reply to call `id` is there, or a request to be served, whichever comes first: then slipring_rpc_wait or
/// slipring_rpc_serve with a timeout of 0 has it. For ends that serve while they wait, and do so by no handler.
///
/// SLIPRING_TIMEOUT, SLIPRING_INTERRUPTED; SLIPRING_INVALID_ARGUMENT if no such call is in flight; what ends the session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_await_either(
    rpc: *mut slipring_rpc_t,
    id: u32,
    timeout_ns: i64,
) -> slipring_status_t {
    boundary(|| {
        let deadline = deadline(timeout_ns)?;
        // SAFETY: as the caller promises.
        let mut rpc = unsafe { enter::<Rpc>(rpc) }?;
        rpc.home.reach()?.await_either_until(CallId::from_number(id), deadline)?;
        Ok(())
    })
}

/// A call and the wait for its reply. When the timeout has passed the call is cancelled. The timeout travels with it. With 0 there
/// is no time for a reply: it answers SLIPRING_TIMEOUT.
///
/// As for slipring_rpc_call and slipring_rpc_wait.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_request(
    rpc: *mut slipring_rpc_t,
    type_id: u32,
    data: *const c_void,
    len: usize,
    timeout_ns: i64,
    reply: *mut *mut slipring_lease_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let place = unsafe { out(reply) }?;
        // SAFETY: as the caller promises.
        let payload = unsafe { bytes(data, len) }?;
        // SAFETY: as the caller promises.
        let mut rpc = unsafe { enter::<Rpc>(rpc) }?;
        let slot = rpc.slot();
        let mut end = rpc.home.reach()?;
        let reply = end.request_until(type_id, payload, deadline(timeout_ns)?)?;
        let (source, view) = set_reply_aside(slot, reply);
        drop(end);
        place.set(rpc.lend(source, view));
        Ok(())
    })
}

/// Gives up call `id`: nobody waits for its reply any more, and the peer is told. Its place stays taken until the reply comes, which
/// is dropped. A call that is not in flight is no error. Never waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_cancel(rpc: *mut slipring_rpc_t, id: u32) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let mut rpc = unsafe { enter::<Rpc>(rpc) }?;
        rpc.home.reach()?.cancel(CallId::from_number(id));
        rpc.end_reply(id);
        Ok(())
    })
}
