//! Where memory and threads stand: what was asked for, and what was got.

use crate::boundary::{Failure, boundary, invalid};
use crate::bus::{Bus, slipring_bus_t};
use crate::given::{array, out, put_text};
use crate::handle::enter;
use crate::rpc::{Rpc, slipring_rpc_t};
use crate::sized::{init, place, sized};
use crate::status::slipring_status_t;
use std::ffi::c_char;
use transport::{Asked, Placement};

/// Of slipring_asked_t: nobody asked.
pub const SLIPRING_ASKED_NO: i32 = 0;
/// It is so for all of the memory.
pub const SLIPRING_ASKED_GOT: i32 = 1;
/// It is so for some of the memory; `why` says why not for the others.
pub const SLIPRING_ASKED_PARTLY: i32 = 2;
/// It is so for none of it; `why` says why not.
pub const SLIPRING_ASKED_REFUSED: i32 = 3;
/// Bytes of slipring_asked_t's `why`.
pub const SLIPRING_WHY_CAPACITY: usize = 232;

/// What became of a wish.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_asked_t {
    /// SLIPRING_ASKED_...
    pub outcome: i32,
    /// The number of the operating system's error (errno), if it was one that stood in the way; else 0.
    pub os_error: i32,
    /// For SLIPRING_ASKED_PARTLY: for how many bytes it is so.
    pub bytes: u64,
    /// For SLIPRING_ASKED_PARTLY: of how many.
    pub of: u64,
    /// For people, ended by a NUL: empty, or what stood in the way.
    pub why: [c_char; SLIPRING_WHY_CAPACITY],
}

/// Where the memory of an end is: its outbox, and the regions that it made for long payloads, without those in a spill directory. Begin
/// with slipring_placement_init.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_placement_t {
    /// Bytes of this struct, as slipring_placement_init sets it.
    pub size: usize,
    /// All bytes of that memory.
    pub bytes: u64,
    /// How many of them are in huge pages, whether or not anybody asked.
    pub huge_bytes: u64,
    /// How many of them are locked.
    pub locked_bytes: u64,
    /// What became of `numa_node` in the config, or of the last slipring_bus_set_numa_node.
    pub numa_node: slipring_asked_t,
    /// What became of `huge_pages`, of as much memory as there is room in for whole huge pages.
    pub huge_pages: slipring_asked_t,
    /// What became of `lock_memory`.
    pub lock_memory: slipring_asked_t,
}

/// A NUMA node, and how many bytes of an end's memory are there.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_node_t {
    /// Its number.
    pub node: u64,
    /// The bytes.
    pub bytes: u64,
}

sized!(slipring_placement_t, "placement");

impl slipring_asked_t {
    fn of(asked: &Asked) -> Self {
        let (outcome, bytes, of, why) = match asked {
            Asked::No => (SLIPRING_ASKED_NO, 0, 0, None),
            Asked::Got => (SLIPRING_ASKED_GOT, 0, 0, None),
            Asked::Partly { bytes, of, why } => (SLIPRING_ASKED_PARTLY, *bytes, *of, Some(why)),
            Asked::Refused(why) => (SLIPRING_ASKED_REFUSED, 0, 0, Some(why)),
            _ => (SLIPRING_ASKED_REFUSED, 0, 0, None),
        };
        let os_error = why.and_then(transport::Lack::raw_os_error).unwrap_or(0);
        let mut told = Self { outcome, os_error, bytes, of, why: [0; SLIPRING_WHY_CAPACITY] };
        if let Some(why) = why {
            // SAFETY: the text is written to an array of ours, which is as long as it says.
            unsafe { put_text(&why.to_string(), told.why.as_mut_ptr(), SLIPRING_WHY_CAPACITY) };
        }
        told
    }
}

impl slipring_placement_t {
    fn of(found: &Placement) -> Self {
        Self {
            size: size_of::<Self>(),
            bytes: found.bytes,
            huge_bytes: found.huge_bytes,
            locked_bytes: found.locked_bytes,
            numa_node: slipring_asked_t::of(&found.numa_node),
            huge_pages: slipring_asked_t::of(&found.huge_pages),
            lock_memory: slipring_asked_t::of(&found.lock_memory),
        }
    }
}

/// Tells where memory is, and on which nodes, as far as the caller has room.
///
/// # Safety
/// - `told` is null, or begun; `nodes` leads to room for `capacity` of them, or `capacity` is 0.
unsafe fn tell(
    told: *mut slipring_placement_t,
    (nodes, capacity): (*mut slipring_node_t, usize),
    count: *mut usize,
    look: impl FnOnce() -> Result<Placement, Failure>,
) -> Result<(), Failure> {
    // SAFETY: what our caller promises.
    let told = unsafe { place(told) }?;
    // SAFETY: what our caller promises.
    let count = unsafe { out(count) }?;
    if capacity > 0 && (nodes.is_null() || !nodes.is_aligned()) {
        return Err(invalid("nodes is null or not aligned, and capacity is not 0"));
    }
    let found = look()?;
    for (at, (&node, &bytes)) in found.nodes.iter().take(capacity).enumerate() {
        let place = nodes.wrapping_add(at);
        // SAFETY: the caller has room for `capacity`, and `at` is less.
        unsafe { place.write(slipring_node_t { node: node.into(), bytes }) };
    }
    count.set(found.nodes.len());
    told.set(slipring_placement_t::of(&found));
    Ok(())
}

/// Fills what is to be told of memory, of `size` bytes, with zeros. Call it as slipring_placement_init(&placement).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_placement_init_sized(
    placement: *mut slipring_placement_t,
    size: usize,
) -> slipring_status_t {
    // SAFETY: as the caller promises.
    boundary(|| unsafe { init(placement, size) })
}

/// Where this end's memory is, beside where it was asked to be, looked up in the pages: this takes milliseconds where a process has
/// thousands of maps. Writes at most `capacity` of the NUMA nodes that have pages of it to `nodes`, which may be NULL with 0; `count` is
/// how many there are, 0 where the kernel knows no nodes. Begin with slipring_placement_init(&placement).
///
/// SLIPRING_STRUCT_SIZE if that was forgotten.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_placement(
    bus: *mut slipring_bus_t,
    placement: *mut slipring_placement_t,
    nodes: *mut slipring_node_t,
    capacity: usize,
    count: *mut usize,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let mut bus = unsafe { enter::<Bus>(bus) }?;
        // SAFETY: as the caller promises.
        unsafe { tell(placement, (nodes, capacity), count, || Ok(bus.home.reach()?.placement())) }
    })
}

/// Where this end's memory is, as slipring_bus_placement.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_placement(
    rpc: *mut slipring_rpc_t,
    placement: *mut slipring_placement_t,
    nodes: *mut slipring_node_t,
    capacity: usize,
    count: *mut usize,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let mut rpc = unsafe { enter::<Rpc>(rpc) }?;
        // SAFETY: as the caller promises.
        unsafe { tell(placement, (nodes, capacity), count, || Ok(rpc.home.reach()?.placement())) }
    })
}

/// Has this end's memory come to a NUMA node, as far as the kernel moves it, and what is made later be made there. `numa_node` in the
/// config does so from the first byte on, which is better: pages that the peer has mapped are moved only for processes with
/// CAP_SYS_NICE. slipring_bus_placement says what was got.
///
/// SLIPRING_INVALID_ARGUMENT for a node that this machine does not have; the text has those that it has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_set_numa_node(bus: *mut slipring_bus_t, node: u32) -> slipring_status_t {
    // SAFETY: as the caller promises.
    boundary(|| Ok(unsafe { enter::<Bus>(bus) }?.home.reach()?.set_numa_node(node)?))
}

/// The same for an RpcBus.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_set_numa_node(rpc: *mut slipring_rpc_t, node: u32) -> slipring_status_t {
    // SAFETY: as the caller promises.
    boundary(|| Ok(unsafe { enter::<Rpc>(rpc) }?.home.reach()?.set_numa_node(node)?))
}

/// Has the calling thread run on `count` processors alone, by their numbers, and threads that it makes later too. Do so before you
/// open an end: two ends whose threads are pinned to the same single processor tell each other at the handshake, and then neither
/// spins. sched_getaffinity, asked before, says what undoes it.
///
/// SLIPRING_INVALID_ARGUMENT for none, for a processor that is not switched on, and for one that a control group keeps from this process:
/// the text has those that there are; SLIPRING_SYSTEM. The thread is then as it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_pin_thread(cpus: *const u32, count: usize) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        transport::pin_thread(unsafe { array(cpus, count) }?)?;
        Ok(())
    })
}
