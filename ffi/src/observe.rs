//! What an end can be asked and told: its descriptor, its state, what it can promise and carry, and how it waits.

use crate::boundary::boundary;
use crate::bus::{Bus, slipring_bus_t};
use crate::config::strategy;
use crate::handle::enter;
use crate::home::answer;
use crate::rpc::{Rpc, slipring_rpc_t};
use crate::status::slipring_status_t;
use std::os::fd::{AsFd, AsRawFd};
use transport::{Backend, Capabilities, State};

/// Of slipring_bus_state: both sides are there.
pub const SLIPRING_STATE_OPEN: i32 = 0;
/// The peer has closed. What it sent before can still be received.
pub const SLIPRING_STATE_CLOSED: i32 = 1;
/// The peer died. What it sent before can still be received.
pub const SLIPRING_STATE_PEER_DIED: i32 = 2;
/// The peer broke the protocol; the session is over.
pub const SLIPRING_STATE_CORRUPT: i32 = 3;

/// Of slipring_bus_capabilities: this end's memory is sealed.
pub const SLIPRING_CAN_SEALED: u32 = 1;
/// The peer's memory is sealed: reading it cannot fail, whatever the peer does.
pub const SLIPRING_CAN_PEER_SEALED: u32 = 2;
/// This end can have payloads in files (spill_dir).
pub const SLIPRING_CAN_SPILL: u32 = 4;
/// This end's memory is POSIX shared memory.
pub const SLIPRING_CAN_POSIX: u32 = 8;

fn number(state: State) -> i32 {
    match state {
        State::Open => SLIPRING_STATE_OPEN,
        State::Closed => SLIPRING_STATE_CLOSED,
        State::PeerDied => SLIPRING_STATE_PEER_DIED,
        _ => SLIPRING_STATE_CORRUPT,
    }
}

fn bits(told: Capabilities) -> u32 {
    let bit = |is: bool, bit: u32| if is { bit } else { 0 };
    bit(told.sealed, SLIPRING_CAN_SEALED)
        | bit(told.peer_sealed, SLIPRING_CAN_PEER_SEALED)
        | bit(told.spill, SLIPRING_CAN_SPILL)
        | bit(told.backend == Backend::Posix, SLIPRING_CAN_POSIX)
}

/// A descriptor for an event loop, level-triggered; it remains the library's, and only the library reads from it. Call
/// slipring_bus_recv with a timeout of 0 (on the sending end what answered SLIPRING_FULL) right after
/// adding it, and whenever it is readable, until the answer is SLIPRING_EMPTY (SLIPRING_FULL): that answer arms it. From the
/// first call on the peer's messages cost a fence each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_fd(bus: *mut slipring_bus_t, fd: *mut i32) -> slipring_status_t {
    // SAFETY: as the caller promises.
    unsafe { answer::<Bus, _>(bus, fd, |end| Ok(end.as_fd().as_raw_fd())) }
}

/// How the session stands: SLIPRING_STATE_... Looks at the socket, so it may be the first to find that the peer is gone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_state(bus: *mut slipring_bus_t, state: *mut i32) -> slipring_status_t {
    // SAFETY: as the caller promises.
    unsafe { answer::<Bus, _>(bus, state, |end| Ok(number(end.state()))) }
}

/// What this session can promise beyond what every one does: a sum of SLIPRING_CAN_... Unknown bits are to be ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_capabilities(
    bus: *mut slipring_bus_t,
    capabilities: *mut u32,
) -> slipring_status_t {
    // SAFETY: as the caller promises.
    unsafe { answer::<Bus, _>(bus, capabilities, |end| Ok(bits(end.capabilities()))) }
}

/// A descriptor for an event loop, level-triggered; it remains the library's, and only the library reads from it. Call
/// slipring_rpc_serve or slipring_rpc_wait with a timeout of 0 right after
/// adding it, and whenever it is readable, until the answer is SLIPRING_EMPTY (SLIPRING_FULL): that answer arms it. From the
/// first call on the peer's messages cost a fence each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_fd(rpc: *mut slipring_rpc_t, fd: *mut i32) -> slipring_status_t {
    // SAFETY: as the caller promises.
    unsafe { answer::<Rpc, _>(rpc, fd, |end| Ok(end.as_fd().as_raw_fd())) }
}

/// How the session stands: SLIPRING_STATE_... Looks at the socket, so it may be the first to find that the peer is gone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_state(rpc: *mut slipring_rpc_t, state: *mut i32) -> slipring_status_t {
    // SAFETY: as the caller promises.
    unsafe { answer::<Rpc, _>(rpc, state, |end| Ok(number(end.state()))) }
}

/// What this session can promise beyond what every one does: a sum of SLIPRING_CAN_... Unknown bits are to be ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_capabilities(
    rpc: *mut slipring_rpc_t,
    capabilities: *mut u32,
) -> slipring_status_t {
    // SAFETY: as the caller promises.
    unsafe { answer::<Rpc, _>(rpc, capabilities, |end| Ok(bits(end.capabilities()))) }
}

/// The longest payload that this end can send, in bytes: what both ends allow (`max_message`, and without a spill_dir `memory_limit`).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_payload_max(bus: *mut slipring_bus_t, bytes: *mut u64) -> slipring_status_t {
    // SAFETY: as the caller promises.
    unsafe { answer::<Bus, _>(bus, bytes, |end| Ok(end.payload_max())) }
}

/// The longest payload that this end puts into the ring itself, in bytes. Longer ones go into blocks of shared memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_inline_limit(bus: *mut slipring_bus_t, bytes: *mut usize) -> slipring_status_t {
    // SAFETY: as the caller promises.
    unsafe { answer::<Bus, _>(bus, bytes, |end| Ok(end.inline_limit())) }
}

/// Waits by SLIPRING_WAIT_... from now on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_set_wait(bus: *mut slipring_bus_t, wait: i32) -> slipring_status_t {
    boundary(|| {
        let wait = strategy(wait)?;
        // SAFETY: as the caller promises.
        unsafe { enter::<Bus>(bus) }?.home.reach()?.set_wait(wait);
        Ok(())
    })
}

/// The longest request that this end can make, in bytes. Without a spill_dir requests leave an eighth of `memory_limit` to replies.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_request_max(rpc: *mut slipring_rpc_t, bytes: *mut u64) -> slipring_status_t {
    // SAFETY: as the caller promises.
    unsafe { answer::<Rpc, _>(rpc, bytes, |end| Ok(end.request_max())) }
}

/// The longest payload that goes into the ring itself, in bytes, as both ends agreed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_inline_limit(rpc: *mut slipring_rpc_t, bytes: *mut usize) -> slipring_status_t {
    // SAFETY: as the caller promises.
    unsafe { answer::<Rpc, _>(rpc, bytes, |end| Ok(end.inline_limit())) }
}

/// Waits by SLIPRING_WAIT_... from now on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_set_wait(rpc: *mut slipring_rpc_t, wait: i32) -> slipring_status_t {
    boundary(|| {
        let wait = strategy(wait)?;
        // SAFETY: as the caller promises.
        unsafe { enter::<Rpc>(rpc) }?.home.reach()?.set_wait(wait);
        Ok(())
    })
}
