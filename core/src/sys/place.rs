//! Where the pages of our own maps stand: near which processors, in which size, and whether they may leave memory.
//!
//! These are wishes. A kernel, a container or a limit may refuse any of them, and then the memory is as good as any other: so
//! nothing here fails, it notes what the system said ([`Refusals`]). What became of the wishes is not believed from these
//! answers but looked up in the pages themselves ([`standing`](super::standing)).
//!
//! A node is *preferred*, never insisted on: where memory may come from one node alone and that is full, the kernel does not
//! refuse, it kills (`MPOL_BIND`, and rule 26).

use std::fs;
use std::io;

use rustix::io::Errno;
use rustix::mm::{Advice, mlock};
use rustix::process::{Resource, getrlimit};

use crate::sys::memory::Mapping;
use crate::sys::numbers_listed;

/// Which nodes there are, that have memory (Documentation/ABI/stable/sysfs-devices-node).
const NODES: &str = "/sys/devices/system/node/has_memory";

/// Nodes of an older kernel, whether they have memory or not.
const NODES_ONLINE: &str = "/sys/devices/system/node/online";

/// Move pages that other processes have mapped too, if we may (`MPOL_MF_MOVE_ALL`, linux/mempolicy.h; libc does not have it).
const MOVE_ALL: libc::c_uint = 4;

/// Move pages that nobody else has mapped (`MPOL_MF_MOVE`, as above).
const MOVE: libc::c_uint = 2;

/// What a user wishes for the memory of an end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// The node that pages should be on.
    pub(crate) node: Option<u32>,
    /// Pages should be huge ones.
    pub(crate) huge: bool,
    /// Pages should never be written to swap.
    pub(crate) locked: bool,
}

/// What the system said to the wishes for one map: the error number for each that it refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusals {
    pub(crate) node: Option<i32>,
    pub(crate) huge: Option<i32>,
    pub(crate) locked: Option<i32>,
}

/// Says of a map that nobody has touched yet where its pages are to be, and in which size.
pub(crate) fn before_first_use(mapping: &Mapping, wishes: Wishes) -> Refusals {
    let node = wishes.node.and_then(|node| prefer(mapping, node, 0).err());
    let huge = if wishes.huge { mapping.advise(0, mapping.len(), Advice::LinuxHugepage).err() } else { None };
    Refusals { node: node.map(Errno::raw_os_error), huge: huge.map(Errno::raw_os_error), locked: None }
}

/// Keeps the pages of a map, which are all there, in memory. What the system said if it would not.
pub(crate) fn lock(mapping: &Mapping) -> Option<i32> {
    // SAFETY: locking changes neither what the map holds nor where it is; it ends with the map.
    let locked = unsafe { mlock(mapping.base().as_ptr().cast(), mapping.len()) };
    locked.err().map(Errno::raw_os_error)
}

/// How many bytes this process may lock without a privilege; none is no limit.
pub(crate) fn lock_limit() -> Option<u64> {
    getrlimit(Resource::Memlock).current
}

/// Has the pages of a map that is in use come to `node`, as far as they may be moved, and later ones be made there. Pages that
/// the peer has mapped move only for a process with `CAP_SYS_NICE`. What the system said if it would not hear of it.
pub(crate) fn move_to(mapping: &Mapping, node: u32) -> Option<i32> {
    let moved = match prefer(mapping, node, MOVE_ALL) {
        Err(Errno::PERM) => prefer(mapping, node, MOVE),
        moved => moved,
    };
    moved.err().map(Errno::raw_os_error)
}

/// The nodes of this machine that have memory, in order. Where the kernel knows of none, all memory is node 0.
pub(crate) fn nodes() -> Vec<u32> {
    let told = fs::read_to_string(NODES).or_else(|_| fs::read_to_string(NODES_ONLINE));
    let nodes = numbers_listed(&told.unwrap_or_default());
    if nodes.is_empty() { vec![0] } else { nodes }
}

/// Has pages of a map come from `node` as long as it has any.
fn prefer(mapping: &Mapping, node: u32, flags: libc::c_uint) -> rustix::io::Result<()> {
    let mut mask: Vec<libc::c_ulong> = vec![0; node as usize / libc::c_ulong::BITS as usize + 1];
    mask[node as usize / libc::c_ulong::BITS as usize] = 1 << (node % libc::c_ulong::BITS);
    // The kernel takes one bit less than it is told (mbind(2), "maxnode").
    let bits = mask.len() * libc::c_ulong::BITS as usize + 1;
    // SAFETY: the range is a map of ours, of which the call changes at most which page of the machine stands behind each
    // address, and never what it holds; `mask` has as many bits as it is said to have, and outlives the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mbind,
            mapping.base().as_ptr(),
            mapping.len(),
            libc::MPOL_PREFERRED,
            mask.as_ptr(),
            bits,
            flags,
        )
    };
    if done == 0 { Ok(()) } else { Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memory::{create, map_own};
    use crate::sys::page_size;

    #[test]
    fn a_map_can_be_placed_before_and_after_its_first_use() {
        let fd = create("slipring-test", page_size()).expect("a memfd");
        let mapping = map_own(&fd, page_size()).expect("a map");
        let first = nodes()[0];
        let refusals = before_first_use(&mapping, Wishes { node: Some(first), ..Wishes::default() });
        // A container may refuse it; then it says so both times.
        assert_eq!(refusals, Refusals { node: move_to(&mapping, first), ..Refusals::default() });
        assert_eq!(before_first_use(&mapping, Wishes::default()), Refusals::default());
    }

    #[test]
    fn a_node_that_no_machine_has_is_refused_by_the_kernel() {
        let fd = create("slipring-test", page_size()).expect("a memfd");
        let mapping = map_own(&fd, page_size()).expect("a map");
        for node in [63, 64, 1023, 5000] {
            assert!(move_to(&mapping, node).is_some(), "{node}");
        }
    }
}
