//! Serving: requests as leases, and replies by copying.

use crate::boundary::boundary;
use crate::given::{bytes, out, text};
use crate::handle::enter;
use crate::lease::slipring_lease_t;
use crate::patience::by_patience;
use crate::rpc::{Rpc, set_request_aside, slipring_rpc_t};
use crate::status::slipring_status_t;
use std::ffi::{c_char, c_void};

/// Receives the next request, waiting for it until the timeout. It is read by slipring_lease_data and the like, until it is replied
/// to: by slipring_rpc_reply and the like, with its slipring_lease_correlation_id, at once or later, in any order. Its handle is to be
/// released, before or after. A note (slipring_lease_is_note) needs no reply.
///
/// SLIPRING_EMPTY, SLIPRING_TIMEOUT, SLIPRING_INTERRUPTED, SLIPRING_OUT_OF_MEMORY; what ends the session, after every request that
/// had come.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_serve(
    rpc: *mut slipring_rpc_t,
    timeout_ns: i64,
    request: *mut *mut slipring_lease_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let place = unsafe { out(request) }?;
        // SAFETY: as the caller promises.
        let mut rpc = unsafe { enter::<Rpc>(rpc) }?;
        let slot = rpc.slot();
        let mut end = rpc.home.reach()?;
        let request = by_patience!(timeout_ns, end.try_serve()?, |deadline| end.serve_until(deadline)?);
        let (source, view) = set_request_aside(slot, request);
        drop(end);
        place.set(rpc.lend(source, view));
        Ok(())
    })
}

/// Replies to the open request `id` (slipring_lease_correlation_id) with a copy of `data`, which may be the request's own payload; leases
/// of the request are over then. Never waits for room, which the peer keeps free. The timeout is for a block of memory, where a
/// long reply needs one: with 0 it does not wait.
///
/// SLIPRING_INVALID_ARGUMENT if no such request is open; SLIPRING_TOO_LARGE: it stays open; SLIPRING_OUT_OF_MEMORY: the caller is told so;
/// what ends the session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_reply(
    rpc: *mut slipring_rpc_t,
    id: u32,
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
        by_patience!(timeout_ns, end.reply(id, type_id, payload)?, |deadline| {
            end.reply_until(id, type_id, payload, deadline)?
        });
        drop(end);
        rpc.end_request(id);
        Ok(())
    })
}

/// Replies to the open request `id` with an error: a number below 2147483648, and a text, cut at the inline limit, which is UTF-8 and
/// ends with a NUL. The caller gets SLIPRING_REMOTE, and finds them by slipring_remote_code and slipring_last_error.
///
/// As for slipring_rpc_reply.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_reply_error(
    rpc: *mut slipring_rpc_t,
    id: u32,
    code: u32,
    message: *const c_char,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let message = unsafe { text(message, "message is null") }?;
        // SAFETY: as the caller promises.
        let mut rpc = unsafe { enter::<Rpc>(rpc) }?;
        rpc.home.reach()?.reply_error(id, code, message)?;
        rpc.end_request(id);
        Ok(())
    })
}
