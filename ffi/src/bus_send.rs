//! Sending on a Bus by copying.

use crate::boundary::{Failure, boundary};
use crate::bus::{Bus, slipring_bus_t};
use crate::given::{array, bytes, check, checked, out};
use crate::handle::enter;
use crate::patience::by_patience;
use crate::status::slipring_status_t;
use std::ffi::c_void;
use std::io::IoSlice;

/// A piece of memory.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_slice_t {
    /// Where it begins; anything if `len` is 0.
    pub data: *const c_void,
    /// Its length in bytes.
    pub len: usize,
}

/// One message of several.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_message_t {
    /// The payload; anything if `len` is 0.
    pub data: *const c_void,
    /// Its length in bytes.
    pub len: usize,
    /// The type id.
    pub type_id: u32,
}

/// As many pieces are gathered without an allocation.
const FEW: usize = 16;

/// Copies a message and sends it. The low 16 bits of `type_id` are the user's; the high 16 are 0, unless a protocol built on top says
/// otherwise. Waits for room until the timeout.
///
/// SLIPRING_FULL, SLIPRING_TIMEOUT, SLIPRING_TOO_LARGE, SLIPRING_OUT_OF_MEMORY, SLIPRING_INTERRUPTED; SLIPRING_CLOSED, SLIPRING_PEER_DIED
/// and SLIPRING_CORRUPT when the session is over; SLIPRING_INVALID_ARGUMENT on the receiving end, and while a claim is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_send(
    bus: *mut slipring_bus_t,
    type_id: u32,
    data: *const c_void,
    len: usize,
    timeout_ns: i64,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let payload = unsafe { bytes(data, len) }?;
        // SAFETY: as the caller promises.
        let mut bus = unsafe { enter::<Bus>(bus) }?;
        let mut end = bus.home.reach()?;
        by_patience!(timeout_ns, end.try_publish(type_id, payload)?, |deadline| {
            end.publish_until(type_id, payload, deadline)?
        });
        Ok(())
    })
}

/// As slipring_bus_send, but the message stays hidden until slipring_bus_flush, the next slipring_bus_send, a wait, or the close
/// shows it together with those before it. Messages that have not been shown die with this process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_send_later(
    bus: *mut slipring_bus_t,
    type_id: u32,
    data: *const c_void,
    len: usize,
    timeout_ns: i64,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let payload = unsafe { bytes(data, len) }?;
        // SAFETY: as the caller promises.
        let mut bus = unsafe { enter::<Bus>(bus) }?;
        let mut end = bus.home.reach()?;
        by_patience!(timeout_ns, end.try_publish_later(type_id, payload)?, |deadline| {
            end.publish_later_until(type_id, payload, deadline)?
        });
        Ok(())
    })
}

/// Shows the messages of slipring_bus_send_later and slipring_claim_commit_later. Never waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_flush(bus: *mut slipring_bus_t) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let mut bus = unsafe { enter::<Bus>(bus) }?;
        bus.home.reach()?.flush()?;
        Ok(())
    })
}

/// As slipring_bus_send, of one message whose payload is all of `parts`, one behind the other.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_sendv(
    bus: *mut slipring_bus_t,
    type_id: u32,
    parts: *const slipring_slice_t,
    count: usize,
    timeout_ns: i64,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let parts = unsafe { array(parts, count) }?;
        // SAFETY: as the caller promises.
        let mut bus = unsafe { enter::<Bus>(bus) }?;
        let mut end = bus.home.reach()?;
        // SAFETY: as the caller promises of the parts.
        unsafe {
            with_slices(parts, |parts| {
                by_patience!(timeout_ns, end.try_publish_vectored(type_id, parts)?, |deadline| {
                    end.publish_vectored_until(type_id, parts, deadline)?
                });
                Ok(())
            })
        }
    })
}

/// Sends `count` messages, in groups as large as there is room for: they may be more than the ring holds. `sent` is how many went out,
/// which is fewer than all only where the timeout passed (0: where there was no more room), the session ended, or a payload was too
/// large on the way. If not even the first went out, the answer is why.
///
/// As for slipring_bus_send.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_send_batch(
    bus: *mut slipring_bus_t,
    messages: *const slipring_message_t,
    count: usize,
    timeout_ns: i64,
    sent: *mut usize,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let sent = unsafe { out(sent) }?;
        // SAFETY: as the caller promises.
        let messages = unsafe { array(messages, count) }?;
        messages.iter().try_for_each(|message| check(message.data, message.len))?;
        // SAFETY: as the caller promises of the messages, and they were checked.
        let frames = messages.iter().map(|message| (message.type_id, unsafe { checked(message.data, message.len) }));
        // SAFETY: as the caller promises.
        let mut bus = unsafe { enter::<Bus>(bus) }?;
        let mut end = bus.home.reach()?;
        let out = by_patience!(timeout_ns, end.try_publish_batch(frames)?, |deadline| {
            end.publish_batch_until(frames, deadline)?
        });
        sent.set(out);
        Ok(())
    })
}

/// Does something with pieces of C's, as the transport wants them.
///
/// # Safety
/// - Each of `parts` leads to as many bytes as it says, which nobody changes meanwhile.
unsafe fn with_slices(
    parts: &[slipring_slice_t],
    act: impl FnOnce(&[IoSlice<'_>]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    // SAFETY: what our caller promises.
    let slice = |part: &slipring_slice_t| unsafe { bytes(part.data, part.len) }.map(IoSlice::new);
    if parts.len() <= FEW {
        let mut few = [IoSlice::new(&[]); FEW];
        for (place, part) in few.iter_mut().zip(parts) {
            *place = slice(part)?;
        }
        return act(&few[..parts.len()]);
    }
    act(&parts.iter().map(slice).collect::<Result<Vec<_>, _>>()?)
}
