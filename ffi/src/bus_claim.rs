//! Claims of a Bus: room in the ring or a block, to be written in place, and blocks that are the holder's own.

use crate::boundary::boundary;
use crate::bus::{Bus, slipring_bus_t};
use crate::claim::{Claim, Source, send_own, slipring_claim_t};
use crate::given::out;
use crate::handle::{Slot, enter};
use crate::home::answer;
use crate::patience::by_patience;
use crate::status::slipring_status_t;

/// Claims room for a message of `len` bytes, to be written in place (slipring_claim_data) and then committed or aborted. Waits for
/// the room until the timeout. While it is open nothing else can be sent on this bus.
///
/// As for slipring_bus_send.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_claim(
    bus: *mut slipring_bus_t,
    len: usize,
    timeout_ns: i64,
    claim: *mut *mut slipring_claim_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let place = unsafe { out(claim) }?;
        // SAFETY: as the caller promises.
        let mut bus = unsafe { enter::<Bus>(bus) }?;
        let slot = bus.slot();
        let bus = &mut *bus;
        let mut end = bus.home.reach()?;
        let mut claim = by_patience!(timeout_ns, end.try_claim(len)?, |deadline| end.claim_until(len, deadline)?);
        let data = claim.as_mut_ptr();
        let source = Source::Bus { bus: slot, life: slot.life(), ticket: claim.set_aside() };
        let memory = bus.claims.pop().unwrap_or_else(Slot::blank);
        place.set(memory.begin(Claim { source, data, len }));
        Ok(())
    })
}

/// Claims a block for a message of `len` bytes that is the caller's own until it is sent by slipring_bus_send_owned or given up by
/// slipring_claim_abort: any number may be open beside all other traffic, and be written on any thread, by one at a time. Waits
/// for a block until the timeout.
///
/// As for slipring_bus_send; SLIPRING_INVALID_ARGUMENT if as many are open as the ring keeps lines for: a quarter of its lines.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_claim_owned(
    bus: *mut slipring_bus_t,
    len: usize,
    timeout_ns: i64,
    claim: *mut *mut slipring_claim_t,
) -> slipring_status_t {
    let own = |end: &mut transport::Bus| {
        let claim =
            by_patience!(timeout_ns, end.try_claim_owned(len)?, |deadline| { end.claim_owned_until(len, deadline)? });
        Ok(Claim::own(claim))
    };
    // SAFETY: as the caller promises.
    unsafe { answer::<Bus, _>(bus, claim, own) }
}

/// Sends the first `used` bytes of a claim of slipring_bus_claim_owned, and frees its handle. Never waits. Where it fails the claim
/// is still there.
///
/// SLIPRING_INVALID_ARGUMENT if `used` is more than was claimed, or the claim is another bus's; what ends the session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_send_owned(
    bus: *mut slipring_bus_t,
    type_id: u32,
    claim: *mut slipring_claim_t,
    used: usize,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let mut bus = unsafe { enter::<Bus>(bus) }?;
        let mut end = bus.home.reach()?;
        // SAFETY: as the caller promises.
        unsafe { send_own(claim, |claim| end.publish_owned(type_id, claim, used)) }
    })
}
