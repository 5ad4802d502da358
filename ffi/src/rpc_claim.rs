//! Claims of an RpcBus: requests and replies that are written in place.

use crate::boundary::boundary;
use crate::claim::{Claim, Source, send_own, slipring_claim_t};
use crate::given::out;
use crate::handle::{create, enter};
use crate::home::answer;
use crate::patience::{Patience, by_patience, patience};
use crate::rpc::{Rpc, slipring_rpc_t};
use crate::status::slipring_status_t;

/// Claims room for a request of `len` bytes, to be written in place and committed by slipring_claim_commit_call. Waits, and its
/// timeout travels, as with slipring_rpc_call. While it is open nothing else can be sent or waited for on this end.
///
/// As for slipring_rpc_call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_claim_request(
    rpc: *mut slipring_rpc_t,
    len: usize,
    timeout_ns: i64,
    claim: *mut *mut slipring_claim_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let place = unsafe { out(claim) }?;
        // SAFETY: as the caller promises.
        let mut rpc = unsafe { enter::<Rpc>(rpc) }?;
        let slot = rpc.slot();
        let mut end = rpc.home.reach()?;
        let mut claim = by_patience!(timeout_ns, end.try_claim_request(len)?, |deadline| {
            end.claim_request_until(len, deadline)?
        });
        let data = claim.as_mut_ptr();
        let source = Source::Rpc { rpc: slot, life: slot.life(), ticket: claim.set_aside(), replies_to: 0 };
        place.set(create(Claim { source, data, len }));
        Ok(())
    })
}

/// Claims room for the reply to the open request `id`, to be written in place and committed by slipring_claim_commit. Never waits.
/// While it is open nothing else can be sent or waited for on this end.
///
/// SLIPRING_INVALID_ARGUMENT if no such request is open; SLIPRING_TOO_LARGE; SLIPRING_OUT_OF_MEMORY leaves the request open; what ends the
/// session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_claim_reply(
    rpc: *mut slipring_rpc_t,
    id: u32,
    len: usize,
    claim: *mut *mut slipring_claim_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let place = unsafe { out(claim) }?;
        // SAFETY: as the caller promises.
        let mut rpc = unsafe { enter::<Rpc>(rpc) }?;
        let slot = rpc.slot();
        let mut end = rpc.home.reach()?;
        let mut claim = end.claim_reply(id, len)?;
        let data = claim.as_mut_ptr();
        let source = Source::Rpc { rpc: slot, life: slot.life(), ticket: claim.set_aside(), replies_to: id };
        place.set(create(Claim { source, data, len }));
        Ok(())
    })
}

/// Claims a block that is the caller's own, as slipring_bus_claim_owned, to be sent by slipring_rpc_call_owned or
/// slipring_rpc_reply_owned. Waits as slipring_rpc_call does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_claim_owned(
    rpc: *mut slipring_rpc_t,
    len: usize,
    timeout_ns: i64,
    claim: *mut *mut slipring_claim_t,
) -> slipring_status_t {
    let own = |end: &mut transport::RpcBus| {
        let claim =
            by_patience!(timeout_ns, end.try_claim_owned(len)?, |deadline| { end.claim_owned_until(len, deadline)? });
        Ok(Claim::own(claim))
    };
    // SAFETY: as the caller promises.
    unsafe { answer::<Rpc, _>(rpc, claim, own) }
}

/// Sends the first `used` bytes of a claim of slipring_rpc_claim_owned as a request, frees its handle, and gives the call's id. Waits
/// for a place among the calls in flight. Where it fails the claim is still there.
///
/// As for slipring_rpc_call, and slipring_bus_send_owned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_call_owned(
    rpc: *mut slipring_rpc_t,
    type_id: u32,
    claim: *mut slipring_claim_t,
    used: usize,
    timeout_ns: i64,
    id: *mut u32,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let id = unsafe { out(id) }?;
        let patience = patience(timeout_ns)?;
        // SAFETY: as the caller promises.
        let mut rpc = unsafe { enter::<Rpc>(rpc) }?;
        let mut end = rpc.home.reach()?;
        let call = |own| match patience {
            Patience::Try => end.try_call_owned(type_id, own, used),
            Patience::Until(deadline) => end.call_owned_until(type_id, own, used, deadline),
        };
        // SAFETY: as the caller promises.
        let call = unsafe { send_own(claim, call) }?;
        id.set(call.number());
        Ok(())
    })
}

/// Sends the first `used` bytes of a claim of slipring_rpc_claim_owned as the reply to the open request `id`, and frees its handle.
/// Never waits. Where it fails the claim is still there.
///
/// As for slipring_rpc_reply, and slipring_bus_send_owned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_reply_owned(
    rpc: *mut slipring_rpc_t,
    id: u32,
    type_id: u32,
    claim: *mut slipring_claim_t,
    used: usize,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let mut rpc = unsafe { enter::<Rpc>(rpc) }?;
        let mut end = rpc.home.reach()?;
        // SAFETY: as the caller promises.
        unsafe { send_own(claim, |claim| end.reply_owned(id, type_id, claim, used)) }?;
        drop(end);
        rpc.end_request(id);
        Ok(())
    })
}
