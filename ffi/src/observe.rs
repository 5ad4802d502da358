//! What an end can be asked: its descriptor, its state, its counters, and what it can promise.

use crate::boundary::{Failure, boundary, invalid};
use crate::bus::{Bus, slipring_bus_t};
use crate::given::out;
use crate::handle::enter;
use crate::rpc::{Rpc, slipring_rpc_t};
use crate::status::slipring_status_t;
use std::os::fd::{AsFd, AsRawFd};
use transport::{Backend, Capabilities, State, Stats};

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

/// What an end has done since it was opened, and has now. Begin with slipring_stats_init: what this library does not know of it stays
/// zero.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_stats_t {
    /// Bytes of this struct, as slipring_stats_init sets it.
    pub size: usize,
    /// Messages sent by this end.
    pub frames_sent: u64,
    /// Payload bytes in them.
    pub bytes_sent: u64,
    /// Messages received by the user of this end.
    pub frames_received: u64,
    /// Payload bytes in them.
    pub bytes_received: u64,
    /// How often a call found the ring full.
    pub waits_for_room: u64,
    /// How often a wait went to sleep.
    pub parks: u64,
    /// Short sleeps that ended without anything to hear.
    pub naps: u64,
    /// Bells rung to wake the peer.
    pub bells_rung: u64,
    /// Bells heard from the peer.
    pub bells_heard: u64,
    /// Regions of memory that this end has for long payloads now.
    pub regions: u64,
    /// All their bytes.
    pub region_bytes: u64,
    /// Blocks of them that are claimed, or that the peer has not yet given back.
    pub blocks_out: u64,
    /// All their bytes, rounded up as blocks are.
    pub block_bytes_out: u64,
    /// The most that this ever was.
    pub block_bytes_high: u64,
    /// Blocks of the peer's that are held here.
    pub held_blocks: u64,
    /// Their payload bytes.
    pub held_bytes: u64,
    /// Shared objects of which the peer was told, less those that were taken back.
    pub shared_told: u64,
    /// Shared objects of the peer's that this end knows. Each has a descriptor.
    pub shared_known: u64,
    /// Bytes of them that are kept mapped for the next message that names them.
    pub shared_mapped: u64,
    /// Replies that came when nobody waited for them any more.
    pub late_replies: u64,
}

/// No struct of any version is longer.
const SIZE_MAX: usize = 4096;

impl slipring_stats_t {
    fn of(stats: &Stats, size: usize) -> Self {
        Self {
            size,
            frames_sent: stats.frames_sent,
            bytes_sent: stats.bytes_sent,
            frames_received: stats.frames_received,
            bytes_received: stats.bytes_received,
            waits_for_room: stats.waits_for_room,
            parks: stats.parks,
            naps: stats.naps,
            bells_rung: stats.bells_rung,
            bells_heard: stats.bells_heard,
            regions: stats.regions.into(),
            region_bytes: stats.region_bytes,
            blocks_out: stats.blocks_out.into(),
            block_bytes_out: stats.block_bytes_out,
            block_bytes_high: stats.block_bytes_high,
            held_blocks: stats.held_blocks,
            held_bytes: stats.held_bytes,
            shared_told: stats.shared_told.into(),
            shared_known: stats.shared_known.into(),
            shared_mapped: stats.shared_mapped,
            late_replies: stats.late_replies,
        }
    }
}

fn check_size(stats: *const slipring_stats_t, size: usize) -> Result<(), Failure> {
    if stats.is_null() || !stats.is_aligned() {
        return Err(invalid("stats is null, or not aligned"));
    }
    let whole_fields = size.is_multiple_of(align_of::<slipring_stats_t>());
    if (size_of::<usize>()..=SIZE_MAX).contains(&size) && whole_fields {
        return Ok(());
    }
    let text = "stats.size is of no version of this struct: begin with slipring_stats_init";
    Err(Failure::Here(slipring_status_t::SLIPRING_STRUCT_SIZE, text))
}

/// Fills counters of `size` bytes with zeros. Call it as slipring_stats_init(&stats), which gives the size that the program was built
/// with.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_stats_init_sized(stats: *mut slipring_stats_t, size: usize) -> slipring_status_t {
    boundary(|| {
        check_size(stats, size)?;
        // SAFETY: the caller has `size` bytes there.
        unsafe { stats.cast::<u8>().write_bytes(0, size) };
        // SAFETY: the size is the first field, and the smallest that was let through has room for it.
        unsafe { stats.cast::<usize>().write(size) };
        Ok(())
    })
}

/// Puts counters where the caller has room for them, as far as both reach.
///
/// # Safety
/// - `place` is null, or leads to a `usize` and to as many bytes as that says.
unsafe fn put(place: *mut slipring_stats_t, read: impl FnOnce() -> Result<Stats, Failure>) -> Result<(), Failure> {
    check_size(place, size_of::<usize>())?;
    // SAFETY: what our caller promises.
    let size = unsafe { place.cast::<usize>().read() };
    check_size(place, size)?;
    let told = slipring_stats_t::of(&read()?, size);
    let known = size.min(size_of::<slipring_stats_t>());
    // SAFETY: `known` is at most what the caller has, and at most what we have.
    unsafe { std::ptr::from_ref(&told).cast::<u8>().copy_to_nonoverlapping(place.cast(), known) };
    Ok(())
}

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
    boundary(|| {
        // SAFETY: as the caller promises.
        let fd = unsafe { out(fd) }?;
        // SAFETY: as the caller promises.
        let mut bus = unsafe { enter::<Bus>(bus) }?;
        let end = bus.home.reach()?;
        fd.set(end.as_fd().as_raw_fd());
        Ok(())
    })
}

/// How the session stands: SLIPRING_STATE_... Looks at the socket, so it may be the first to find that the peer is gone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_state(bus: *mut slipring_bus_t, state: *mut i32) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let state = unsafe { out(state) }?;
        // SAFETY: as the caller promises.
        let mut bus = unsafe { enter::<Bus>(bus) }?;
        let mut end = bus.home.reach()?;
        state.set(number(end.state()));
        Ok(())
    })
}

/// What this session can promise beyond what every one does: a sum of SLIPRING_CAN_... Unknown bits are to be ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_capabilities(
    bus: *mut slipring_bus_t,
    capabilities: *mut u32,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let capabilities = unsafe { out(capabilities) }?;
        // SAFETY: as the caller promises.
        let mut bus = unsafe { enter::<Bus>(bus) }?;
        let end = bus.home.reach()?;
        capabilities.set(bits(end.capabilities()));
        Ok(())
    })
}

/// What this end has done so far. Begin with slipring_stats_init(&stats).
///
/// SLIPRING_STRUCT_SIZE if that was forgotten.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_stats(
    bus: *mut slipring_bus_t,
    stats: *mut slipring_stats_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let mut bus = unsafe { enter::<Bus>(bus) }?;
        // SAFETY: as the caller promises.
        unsafe { put(stats, || Ok(bus.home.reach()?.stats())) }
    })
}

/// A descriptor for an event loop, level-triggered; it remains the library's, and only the library reads from it. Call
/// slipring_rpc_serve or slipring_rpc_wait with a timeout of 0 right after
/// adding it, and whenever it is readable, until the answer is SLIPRING_EMPTY (SLIPRING_FULL): that answer arms it. From the
/// first call on the peer's messages cost a fence each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_fd(rpc: *mut slipring_rpc_t, fd: *mut i32) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let fd = unsafe { out(fd) }?;
        // SAFETY: as the caller promises.
        let mut rpc = unsafe { enter::<Rpc>(rpc) }?;
        let end = rpc.home.reach()?;
        fd.set(end.as_fd().as_raw_fd());
        Ok(())
    })
}

/// How the session stands: SLIPRING_STATE_... Looks at the socket, so it may be the first to find that the peer is gone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_state(rpc: *mut slipring_rpc_t, state: *mut i32) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let state = unsafe { out(state) }?;
        // SAFETY: as the caller promises.
        let mut rpc = unsafe { enter::<Rpc>(rpc) }?;
        let mut end = rpc.home.reach()?;
        state.set(number(end.state()));
        Ok(())
    })
}

/// What this session can promise beyond what every one does: a sum of SLIPRING_CAN_... Unknown bits are to be ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_capabilities(
    rpc: *mut slipring_rpc_t,
    capabilities: *mut u32,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let capabilities = unsafe { out(capabilities) }?;
        // SAFETY: as the caller promises.
        let mut rpc = unsafe { enter::<Rpc>(rpc) }?;
        let end = rpc.home.reach()?;
        capabilities.set(bits(end.capabilities()));
        Ok(())
    })
}

/// What this end has done so far. Begin with slipring_stats_init(&stats).
///
/// SLIPRING_STRUCT_SIZE if that was forgotten.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_stats(
    rpc: *mut slipring_rpc_t,
    stats: *mut slipring_stats_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let mut rpc = unsafe { enter::<Rpc>(rpc) }?;
        // SAFETY: as the caller promises.
        unsafe { put(stats, || Ok(rpc.home.reach()?.stats())) }
    })
}
