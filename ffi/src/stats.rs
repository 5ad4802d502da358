//! Counters: what an end has done, what its peer shows, and what waiting for many has cost.

use crate::boundary::{Failure, boundary};
use crate::bus::{Bus, slipring_bus_t};
use crate::given::out;
use crate::handle::enter;
use crate::poller::{Poller, slipring_poller_t};
use crate::rpc::{Rpc, slipring_rpc_t};
use crate::server::{Server, slipring_server_t};
use crate::sized::{init, place, sized};
use crate::status::slipring_status_t;
use transport::{Cause, PollerStats, Stats};

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

/// What a poller, or a server, has done since it was made. Begin with slipring_poller_stats_init.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_poller_stats_t {
    /// Bytes of this struct, as slipring_poller_stats_init sets it.
    pub size: usize,
    /// Waits begun.
    pub waits: u64,
    /// How often a wait went to sleep.
    pub sleeps: u64,
    /// Naps of many sessions together that ended without anything to hear from any of them.
    pub naps: u64,
    /// Barriers issued: one for all sessions that go to sleep together.
    pub barriers: u64,
    /// How often a descriptor had something to hear, or was at its end.
    pub events: u64,
}

sized!(slipring_stats_t, "stats");
sized!(slipring_poller_stats_t, "poller_stats");

/// That a peer has [`Options::counters`](transport::Options::counters) off.
const SHOWS_NONE: Failure = Failure::Cause(Cause::Unsupported { what: "the peer shows no counters" });

impl slipring_stats_t {
    pub(crate) fn of(stats: &Stats) -> Self {
        Self {
            size: size_of::<Self>(),
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

    /// What a peer shows, if it shows anything.
    pub(crate) fn shown(stats: Option<Stats>) -> Result<Self, Failure> {
        stats.as_ref().map(Self::of).ok_or(SHOWS_NONE)
    }
}

impl slipring_poller_stats_t {
    fn of(stats: PollerStats) -> Self {
        let PollerStats { waits, sleeps, naps, barriers, events, .. } = stats;
        Self { size: size_of::<Self>(), waits, sleeps, naps, barriers, events }
    }
}

/// Fills counters of `size` bytes with zeros. Call it as slipring_stats_init(&stats), which gives the size that the program was built
/// with.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_stats_init_sized(stats: *mut slipring_stats_t, size: usize) -> slipring_status_t {
    // SAFETY: as the caller promises.
    boundary(|| unsafe { init(stats, size) })
}

/// The same for counters of a poller: call it as slipring_poller_stats_init(&stats).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_poller_stats_init_sized(
    stats: *mut slipring_poller_stats_t,
    size: usize,
) -> slipring_status_t {
    // SAFETY: as the caller promises.
    boundary(|| unsafe { init(stats, size) })
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
        let stats = unsafe { place(stats) }?;
        // SAFETY: as the caller promises.
        stats.set(slipring_stats_t::of(&unsafe { enter::<Bus>(bus) }?.home.reach()?.stats()));
        Ok(())
    })
}

/// What the peer has done so far, as it shows it: at calm moments, so it lags, and its numbers may not fit each other. It never shows
/// fewer messages and bytes sent than were received here. It is the peer's claim: one that is faulty may say any number. When the
/// peer has closed they are final; when it died, as they last were. Begin with slipring_stats_init(&stats).
///
/// SLIPRING_UNSUPPORTED if the peer shows none (`counters` in its config); SLIPRING_STRUCT_SIZE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_peer_stats(
    bus: *mut slipring_bus_t,
    stats: *mut slipring_stats_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let stats = unsafe { place(stats) }?;
        // SAFETY: as the caller promises.
        stats.set(slipring_stats_t::shown(unsafe { enter::<Bus>(bus) }?.home.reach()?.peer_stats())?);
        Ok(())
    })
}

/// What this end has done so far, as slipring_bus_stats.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_stats(
    rpc: *mut slipring_rpc_t,
    stats: *mut slipring_stats_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let stats = unsafe { place(stats) }?;
        // SAFETY: as the caller promises.
        stats.set(slipring_stats_t::of(&unsafe { enter::<Rpc>(rpc) }?.home.reach()?.stats()));
        Ok(())
    })
}

/// What the peer has done so far, as slipring_bus_peer_stats.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_peer_stats(
    rpc: *mut slipring_rpc_t,
    stats: *mut slipring_stats_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let stats = unsafe { place(stats) }?;
        // SAFETY: as the caller promises.
        stats.set(slipring_stats_t::shown(unsafe { enter::<Rpc>(rpc) }?.home.reach()?.peer_stats())?);
        Ok(())
    })
}

/// What this poller's waiting has cost so far. Begin with slipring_poller_stats_init(&stats).
///
/// SLIPRING_STRUCT_SIZE if that was forgotten.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_poller_stats(
    poller: *mut slipring_poller_t,
    stats: *mut slipring_poller_stats_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let stats = unsafe { place(stats) }?;
        // SAFETY: as the caller promises.
        stats.set(slipring_poller_stats_t::of(unsafe { enter::<Poller>(poller) }?.inner.stats()));
        Ok(())
    })
}

/// What this server's waiting has cost so far, as slipring_poller_stats.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_server_stats(
    server: *mut slipring_server_t,
    stats: *mut slipring_poller_stats_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let stats = unsafe { place(stats) }?;
        // SAFETY: as the caller promises.
        stats.set(slipring_poller_stats_t::of(unsafe { enter::<Server>(server) }?.inner()?.stats()));
        Ok(())
    })
}

/// How many clients the server has turned down, or gave up in mid-handshake, so far.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_server_refused(server: *mut slipring_server_t, count: *mut u64) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let count = unsafe { out(count) }?;
        // SAFETY: as the caller promises.
        count.set(unsafe { enter::<Server>(server) }?.inner()?.refused());
        Ok(())
    })
}
