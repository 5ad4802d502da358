//! Huge pages: how long one is, maps that can have them, and why there are none.
//!
//! Only transparent huge pages are asked for. Those of hugetlbfs have to be set aside by an administrator, count as used memory
//! whoever has them, and are no part of what control groups limit (rule 26); and a map that finds none left ends in `SIGBUS`.
//!
//! A map can have huge pages only where address and offset in the file agree in their low bits, so it has to begin at a
//! multiple of their size.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use crate::sys::{page_size, round_to_page};

/// What the kernel says of them (Documentation/admin-guide/mm/transhuge.rst).
const SETTINGS: &str = "/sys/kernel/mm/transparent_hugepage";

/// Bytes of a huge page: a power of two, and 2 MiB where the kernel does not say.
pub(crate) fn page() -> usize {
    static KNOWN: OnceLock<usize> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        let told = fs::read_to_string(format!("{SETTINGS}/hpage_pmd_size")).ok();
        let told = told.and_then(|text| text.trim().parse().ok());
        told.filter(|bytes: &usize| bytes.is_power_of_two() && *bytes > page_size()).unwrap_or(2 << 20)
    })
}

/// The setting that keeps memfds from having huge pages, and what it says; none if it does not.
pub(crate) fn setting_against() -> Option<String> {
    let kib = page() >> 10;
    let of_this_size = format!("{SETTINGS}/hugepages-{kib}kB/shmem_enabled");
    let of_all = format!("{SETTINGS}/shmem_enabled");
    for file in [of_this_size, of_all] {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        match chosen(&text) {
            Some("inherit") => {}
            Some(word @ ("never" | "deny")) => return Some(format!("{file} is \"{word}\"")),
            _ => return None,
        }
    }
    None
}

/// The word in brackets, which is the one that counts.
fn chosen(text: &str) -> Option<&str> {
    text.split_once('[')?.1.split_once(']').map(|(word, _)| word)
}

/// Maps `len` bytes of a file, the first of them at a multiple of the size of a huge page.
pub(super) fn map_aligned(
    fd: impl AsFd,
    len: usize,
    prot: ProtFlags,
    kind: MapFlags,
) -> io::Result<NonNull<libc::c_void>> {
    let len = round_to_page(len);
    let room = len.checked_add(page()).ok_or(rustix::io::Errno::NOMEM)?;
    // SAFETY: a new map at an address of the kernel's choice touches no memory that exists.
    let start =
        unsafe { mmap_anonymous(ptr::null_mut(), room, ProtFlags::empty(), MapFlags::PRIVATE | MapFlags::NORESERVE) }?;
    let before = start.addr().next_multiple_of(page()) - start.addr();
    let base = start.map_addr(|addr| addr + before);
    // SAFETY: the range is within the map of the line before, which is ours and which nobody uses.
    let mapped = unsafe { mmap(base, len, prot, kind | MapFlags::FIXED, fd, 0) };
    let (unused, after) = if mapped.is_ok() { (before, room - before - len) } else { (room, 0) };
    if unused > 0 {
        // SAFETY: the start of that map, or all of it where nothing was put into it; nobody uses it.
        unsafe { munmap(start, unused) }?;
    }
    if after > 0 {
        // SAFETY: the end of that map, behind what was put into it; nobody uses it.
        unsafe { munmap(base.map_addr(|addr| addr + len), after) }?;
    }
    NonNull::new(mapped?).ok_or_else(|| rustix::io::Errno::NOMEM.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memory::{Pages, create, map_peer, map_placed};
    use crate::sys::place::Wishes;

    #[test]
    fn the_word_in_brackets_counts() {
        assert_eq!(chosen("always within_size advise [never] deny force\n"), Some("never"));
        assert_eq!(chosen("[inherit] never"), Some("inherit"));
        assert_eq!(chosen("never"), None);
    }

    #[test]
    fn a_map_for_huge_pages_begins_where_one_can_and_leaves_nothing_beside_it() {
        let wishes = Wishes { huge: true, ..Wishes::default() };
        let len = page() + 3 * page_size();
        let fd = create("slipring-test", len).expect("a memfd");
        let before = maps_without_access();
        let (mapping, _) = map_placed(&fd, len, wishes).expect("a map");
        assert_eq!(mapping.base().as_ptr().addr() % page(), 0);
        let peer = map_peer(&fd, len, Pages::InMemory).expect("the peer's map");
        assert_eq!(peer.base().as_ptr().addr() % page(), 0);
        drop((mapping, peer));
        // Threads of other tests have guard pages, which are shorter.
        assert!(maps_without_access().iter().all(|map| before.contains(map)), "{before:?}");
        map_aligned(&fd, usize::MAX & !page(), ProtFlags::READ, MapFlags::SHARED).expect_err("too long");
    }

    /// Maps of at least a quarter of a huge page that nobody may touch.
    fn maps_without_access() -> Vec<String> {
        let maps = fs::read_to_string("/proc/self/maps").expect("our own maps");
        let closed = maps.lines().filter(|line| line.contains(" ---p ") && length(line) >= page() / 4);
        closed.map(str::to_owned).collect()
    }

    fn length(line: &str) -> usize {
        let (start, rest) = line.split_once('-').expect("a range");
        let end = rest.split(' ').next().expect("its end");
        let number = |text| usize::from_str_radix(text, 16).expect("an address");
        number(end) - number(start)
    }

    #[test]
    fn a_huge_page_is_a_multiple_of_a_page() {
        assert!(page().is_power_of_two() && page() > page_size());
    }
}
