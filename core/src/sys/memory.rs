//! Memory that two processes share: memfds and their seals; maps, of memfds and of [files without a
//! name](super::unnamed); and how pages are reserved.
//!
//! The owner of a sealed segment maps it for writing and then seals it, so that the kernel refuses every other writable map,
//! `mprotect` included, and every change of size. What the rest of the crate may rely on:
//! - a [`Mapping`] stays where it is until it drops, and drops nothing in a forked child;
//! - own maps are not copied to children and no map is written into core dumps;
//! - pages of a reserved segment exist: touching them cannot fail for want of memory.

use std::io;
use std::os::fd::AsFd;
use std::ptr::{self, NonNull};

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

use crate::deadline::Deadline;
use crate::error::{Cause, Error};
use crate::sys::fork::{Birth, Fd, without_forks};
use crate::sys::huge;
use crate::sys::page_size;
use crate::sys::place::{self, Refusals, Wishes};

pub(crate) use crate::sys::budget::available_memory;

/// What the owner of an outbox or region seals, and what its reader insists on, at least.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::FUTURE_WRITE).union(SealFlags::SEAL);

/// What a shared object has from birth: it stays as long as it is, and can still be written.
const SIZE_SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW);

/// What a shared object has once it is written, and what its readers insist on: nobody changes it again.
const FINAL_SEALS: SealFlags = SIZE_SEALS.union(SealFlags::WRITE).union(SealFlags::SEAL);

/// How much is reserved between two looks at the deadline: what a processor fills in about a millisecond.
const PIECE: usize = 2 << 20;

/// How many pieces go by between two looks at the machine's memory, which cost about a tenth of a piece each.
const PIECES_A_LOOK: usize = 8;

/// What is left to others. Past the last page the kernel kills somebody, and its counters lag by some megabytes.
pub(crate) const MARGIN: u64 = 16 << 20;

/// Bytes in a block of `st_blocks`, whatever the file system (stat(2)).
const STAT_BLOCK: u64 = 512;

/// Where the pages of a segment are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pages {
    /// In memory: they are counted against it, and are put into maps ahead of time.
    InMemory,
    /// On a disk. What is touched is brought into memory, and goes out again when that is short; so nothing is touched ahead of
    /// time, which would write all of it.
    OnDisk,
}

/// A mapped piece of a segment. Unmapped on drop, except in a forked child, where it is not ours.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
    birth: Birth,
    /// Its pages are to be made by faults, because only those make huge ones (`fallocate` knows no map).
    by_faults: bool,
}

// SAFETY: the address is the same in every thread, and the type itself neither reads nor writes what it maps.
unsafe impl Send for Mapping {}
// SAFETY: as for `Send`.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// The first byte; aligned to a page.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Length in bytes, as it was asked for.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether this process made the map, and is no forked child of the one that did.
    pub(crate) fn is_ours(&self) -> bool {
        self.birth.is_ours()
    }

    fn new(fd: impl AsFd, len: usize, prot: ProtFlags) -> io::Result<Self> {
        Self::of_kind(fd, len, prot, MapFlags::SHARED)
    }

    fn of_kind(fd: impl AsFd, len: usize, prot: ProtFlags, kind: MapFlags) -> io::Result<Self> {
        let birth = Birth::now()?;
        // SAFETY: a new map at an address of the kernel's choice touches no memory that exists.
        let base = unsafe { mmap(ptr::null_mut(), len, prot, kind, fd, 0) }?;
        let base = NonNull::new(base.cast()).ok_or(Errno::NOMEM)?;
        Ok(Self { base, len, birth, by_faults: false })
    }

    /// A map that begins where a huge page can, if there is address space for that.
    fn aligned(fd: impl AsFd, len: usize, prot: ProtFlags) -> io::Result<Self> {
        let birth = Birth::now()?;
        match huge::map_aligned(&fd, len, prot, MapFlags::SHARED) {
            Ok(base) => Ok(Self { base: base.cast(), len, birth, by_faults: false }),
            Err(_) => Self::new(fd, len, prot),
        }
    }

    /// Gives advice about `len` bytes at `at`; none that changes what they hold.
    pub(super) fn advise(&self, at: usize, len: usize, advice: Advice) -> rustix::io::Result<()> {
        assert!(at <= self.len && len <= self.len - at, "advice about {len} bytes at {at} of {}", self.len);
        // SAFETY: `at` is within the map, by the line above.
        let start = unsafe { self.base.as_ptr().add(at) };
        // SAFETY: the bytes are within our own map, and no advice in this file takes or changes them.
        unsafe { madvise(start.cast(), len, advice) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.birth.is_ours() {
            // SAFETY: the map is ours, and whoever holds an address in it keeps this object.
            let unmapped = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
            debug_assert!(unmapped.is_ok(), "a map of ours can be unmapped");
        }
    }
}

/// A new memfd of `len` zero bytes, none of them reserved. The label is for people who look into `/proc`.
pub(crate) fn create(label: &str, len: usize) -> io::Result<Fd> {
    let sealable = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = Fd::make(|| match rustix::fs::memfd_create(label, sealable | MemfdFlags::NOEXEC_SEAL) {
        // Linux before 6.3 does not know the flag.
        Err(Errno::INVAL) => Ok(rustix::fs::memfd_create(label, sealable)?),
        made => Ok(made?),
    })?;
    set_len(&fd, len)?;
    Ok(fd)
}

/// Makes a new file `len` bytes long, all of it holes.
pub(super) fn set_len(fd: &Fd, len: usize) -> io::Result<()> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
    if limit.is_some_and(|limit| len as u64 > limit) {
        // The kernel would send SIGXFSZ, which ends the process, before it gave this error.
        return Err(Errno::FBIG.into());
    }
    Ok(rustix::fs::ftruncate(fd, len as u64)?)
}

/// Maps a segment that is ours: readable and writable, and not there in a forked child.
pub(crate) fn map_own(fd: &Fd, len: usize) -> io::Result<Mapping> {
    map_placed(fd, len, Wishes::default()).map(|(mapping, _)| mapping)
}

/// The same, with its pages where they are wished to be, as far as that can be had.
pub(crate) fn map_placed(fd: &Fd, len: usize, wishes: Wishes) -> io::Result<(Mapping, Refusals)> {
    let writable = ProtFlags::READ | ProtFlags::WRITE;
    let huge = wishes.huge && len >= huge::page();
    // No fork between the map and the advice: a child must not be able to write what the peer trusts us to write.
    let mut mapping = without_forks(|| {
        let mapping = if huge { Mapping::aligned(fd, len, writable) } else { Mapping::new(fd, len, writable) }?;
        mapping.advise(0, len, Advice::LinuxDontFork)?;
        Ok(mapping)
    })?;
    mapping.advise(0, len, Advice::LinuxDontDump)?;
    let refusals = place::before_first_use(&mapping, wishes);
    mapping.by_faults = huge && refusals.huge.is_none();
    Ok((mapping, refusals))
}

/// Maps a segment that the peer owns: readable, and readable in a forked child too.
pub(crate) fn map_peer(fd: impl AsFd, len: usize, pages: Pages) -> io::Result<Mapping> {
    // Where the peer has huge pages they are mapped as such only at an address that fits.
    let aligned = len >= huge::page();
    let mapping =
        if aligned { Mapping::aligned(fd, len, ProtFlags::READ) } else { Mapping::new(fd, len, ProtFlags::READ) }?;
    mapping.advise(0, len, Advice::LinuxDontDump)?;
    if pages == Pages::InMemory {
        // Saves the first read of each page its fault. Older kernels do not know the advice, and then it is not saved.
        let _ = mapping.advise(0, len, Advice::LinuxPopulateRead);
    }
    Ok(mapping)
}

/// Maps a shared object that nobody writes any more: readable, and readable in a forked child too. Its pages are found at the first
/// read of each, so that attaching to a large one takes no time.
pub(crate) fn map_final(fd: impl AsFd, len: usize) -> io::Result<Mapping> {
    // Private, because kernels before 6.7 refuse a shared map of a file that is sealed against writing. Nobody writes to it,
    // so its pages are those of the file all the same.
    let mapping = Mapping::of_kind(fd, len, ProtFlags::READ, MapFlags::PRIVATE)?;
    mapping.advise(0, len, Advice::LinuxDontDump)?;
    Ok(mapping)
}

/// Seals the size of a shared object that is to be written.
pub(crate) fn seal_size(fd: &Fd) -> io::Result<()> {
    Ok(rustix::fs::fcntl_add_seals(fd, SIZE_SEALS)?)
}

/// Seals a shared object for good. The kernel refuses where it is mapped for writing anywhere.
pub(crate) fn seal_finally(fd: &Fd) -> io::Result<()> {
    Ok(rustix::fs::fcntl_add_seals(fd, FINAL_SEALS)?)
}

/// Whether nobody can change the bytes of a file any more. No other kind of file than a memfd answers.
pub(crate) fn has_final_seals(fd: impl AsFd) -> bool {
    rustix::fs::fcntl_get_seals(fd).is_ok_and(|seals| seals.contains(FINAL_SEALS))
}

/// The number of a file among those of its kind, as long as anybody has it: a memfd's is the same in every process.
pub(crate) fn number(fd: impl AsFd) -> io::Result<u64> {
    Ok(rustix::fs::fstat(fd)?.st_ino)
}

/// Seals a segment that its owner has mapped: no other writable map, no other size, no seal more, for ever.
pub(crate) fn seal_for_owner(fd: &Fd) -> io::Result<()> {
    Ok(rustix::fs::fcntl_add_seals(fd, SEALS)?)
}

/// Whether the kernel does what the seals say: it must refuse us a (second) writable map of what is our own.
pub(crate) fn owner_seals_hold(fd: &Fd) -> bool {
    let refused = Mapping::new(fd, page_size(), ProtFlags::READ | ProtFlags::WRITE).err();
    refused.is_some_and(|refused| refused.raw_os_error() == Some(libc::EPERM))
}

/// Whether a segment carries at least the seals that make it safe to map. No other kind of file does.
pub(crate) fn has_required_seals(fd: impl AsFd) -> bool {
    rustix::fs::fcntl_get_seals(fd).is_ok_and(|seals| seals.contains(SEALS))
}

/// The size of a file, and how many bytes of it exist: fewer than the size means that it has holes.
pub(crate) fn size_and_blocks(fd: impl AsFd) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(fd)?;
    // The kernel keeps neither number negative.
    Ok((stat.st_size as u64, stat.st_blocks as u64 * STAT_BLOCK))
}

/// Makes every page of a segment exist, and stand in our map if it is memory; or says why not. What was reserved stays so on
/// failure.
///
/// # Errors
/// [`Cause::OutOfMemory`] when the machine or a control group above us has not enough left, with both numbers, or when the file
/// system is full; [`Cause::Timeout`] between two pieces; [`Cause::Interrupted`] where the kernel lets a signal end a piece (Linux 6.18
/// was seen to finish it).
pub(crate) fn reserve(fd: &Fd, mapping: &Mapping, pages: Pages, deadline: Deadline) -> Result<(), Error> {
    let in_memory = pages == Pages::InMemory;
    let place = if in_memory { "of memory" } else { "on the disk" };
    for (index, at) in (0..mapping.len()).step_by(PIECE).enumerate() {
        let left = mapping.len() - at;
        if index > 0 && deadline.has_passed() {
            return Err(Error::new(Cause::Timeout, format!("reserve {} bytes, {left} of them to go", mapping.len())));
        }
        if in_memory && index % PIECES_A_LOOK == 0 {
            check_available(left as u64, available_memory())?;
        }
        let len = left.min(PIECE);
        if mapping.by_faults && in_memory {
            // What this cannot do is left to the next line, which says why. Never by hand: a store to a page that cannot be had
            // is a signal.
            let _ = mapping.advise(at, len, Advice::LinuxPopulateWrite);
        }
        rustix::fs::fallocate(fd, FallocateFlags::empty(), at as u64, len as u64)
            .and_then(|()| if in_memory { prefault(mapping, at, len) } else { Ok(()) })
            .map_err(|refused| Error::system(format!("reserve {} bytes {place}", mapping.len()), refused))?;
    }
    Ok(())
}

/// Makes `len` bytes at `at` of a segment in memory exist, which nobody else has seen yet, and stand in our map.
///
/// # Errors
/// As for [`reserve`].
pub(crate) fn reserve_more(fd: &Fd, mapping: &Mapping, at: usize, len: usize) -> Result<(), Error> {
    check_available(len as u64, available_memory())?;
    rustix::fs::fallocate(fd, FallocateFlags::empty(), at as u64, len as u64)
        .and_then(|()| prefault(mapping, at, len))
        .map_err(|refused| Error::system(format!("reserve {len} more bytes of memory"), refused))
}

/// Whether `needed` bytes may be taken from `available` ones.
fn check_available(needed: u64, available: u64) -> Result<(), Error> {
    if needed.saturating_add(MARGIN) <= available {
        return Ok(());
    }
    let tried =
        format!("reserve {needed} bytes where {available} are available and {MARGIN} of them are left to others");
    Err(Error::new(Cause::OutOfMemory, tried))
}

/// Puts `len` reserved bytes at `at` into our page tables, so that first use finds them there.
fn prefault(mapping: &Mapping, at: usize, len: usize) -> rustix::io::Result<()> {
    match mapping.advise(at, len, Advice::LinuxPopulateWrite) {
        // Linux before 5.14 does not know the advice.
        Err(Errno::INVAL) => {
            touch(mapping, at, len);
            Ok(())
        }
        done => done,
    }
}

/// The same by hand: a store to a byte of each page. Only for a segment that nobody else has seen yet.
fn touch(mapping: &Mapping, at: usize, len: usize) {
    assert!(at <= mapping.len && len <= mapping.len - at, "a touch of {len} bytes at {at} of {}", mapping.len);
    for offset in (at..at + len).step_by(page_size()) {
        // SAFETY: `offset` is within the map, by the assertion.
        let byte = unsafe { mapping.base.as_ptr().add(offset) };
        // SAFETY: the byte is in our own map, which is writable by what this function is for; a fresh segment holds
        // zeros, and nobody else has it yet. Volatile, so that the store is made.
        unsafe { byte.write_volatile(0) };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::mm::MprotectFlags;

    use super::*;
    use crate::sync::{AtomicU32, Ordering};
    use crate::sys::fork::tests::in_child;

    fn sealed(len: usize) -> (Fd, Mapping) {
        let fd = create("slipring-test", len).expect("a memfd");
        let mapping = map_own(&fd, len).expect("the owner's map");
        seal_for_owner(&fd).expect("seals");
        (fd, mapping)
    }

    #[test]
    fn sealed_memory_refuses_every_other_writer() {
        let (fd, own) = sealed(page_size());
        assert!(rustix::io::fcntl_getfd(&fd).expect("fcntl").contains(rustix::io::FdFlags::CLOEXEC));
        assert!(owner_seals_hold(&fd) && has_required_seals(&fd));
        // SAFETY: the byte is within the owner's writable map, which nobody else reads yet.
        unsafe { own.base().as_ptr().write(7) };
        let peer = map_peer(&fd, page_size(), Pages::InMemory).expect("a read-only map");
        // SAFETY: the byte is within the map, and nobody writes it now.
        assert_eq!(unsafe { peer.base().as_ptr().read() }, 7, "what the owner writes is seen");
        let writable = MprotectFlags::READ | MprotectFlags::WRITE;
        // SAFETY: changes the protection of a map of ours to what it must be refused.
        let widened = unsafe { rustix::mm::mprotect(peer.base().as_ptr().cast(), page_size(), writable) };
        assert_eq!(widened, Err(Errno::ACCESS));
        assert_eq!(rustix::io::pwrite(&fd, b"x", 0), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(&fd, 0), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(&fd, 1 << 20), Err(Errno::PERM));
        assert_eq!(rustix::fs::fcntl_add_seals(&fd, SealFlags::WRITE), Err(Errno::PERM));
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        assert_eq!(rustix::fs::fallocate(&fd, hole, 0, page_size() as u64), Err(Errno::PERM));
    }

    #[test]
    fn the_probe_sees_seals_that_are_not_there() {
        let fd = create("slipring-test", page_size()).expect("a memfd");
        assert!(!owner_seals_hold(&fd) && !has_required_seals(&fd));
        rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL).expect("some seals");
        assert!(!owner_seals_hold(&fd) && !has_required_seals(&fd));
        assert!(!has_required_seals(std::fs::File::open("/dev/null").expect("/dev/null")));
    }

    #[test]
    fn reserving_leaves_no_holes() {
        let len = 2 * PIECE + page_size();
        let (fd, mapping) = sealed(len);
        assert_eq!(size_and_blocks(&fd).expect("stat"), (len as u64, 0));
        reserve(&fd, &mapping, Pages::InMemory, Deadline::NEVER).expect("a few megabytes");
        assert_eq!(size_and_blocks(&fd).expect("stat"), (len as u64, len as u64));
    }

    #[test]
    fn touching_by_hand_reserves_too() {
        let len = 3 * page_size();
        let (fd, mapping) = sealed(len);
        touch(&mapping, 0, len);
        assert_eq!(size_and_blocks(&fd).expect("stat"), (len as u64, len as u64));
    }

    #[test]
    fn a_passed_deadline_stops_between_pieces() {
        let (fd, mapping) = sealed(PIECE + page_size());
        let late = reserve(&fd, &mapping, Pages::InMemory, Deadline::NOW).expect_err("two pieces");
        assert_eq!(late.cause(), Cause::Timeout);
        let (fd, mapping) = sealed(PIECE);
        reserve(&fd, &mapping, Pages::InMemory, Deadline::NOW).expect("one piece is never stopped");
    }

    #[test]
    fn memory_is_refused_with_both_numbers() {
        check_available(1 << 20, MARGIN + (1 << 20)).expect("exactly enough");
        let refused = check_available(1 << 20, MARGIN + (1 << 20) - 1).expect_err("a byte too few");
        assert_eq!(refused.cause(), Cause::OutOfMemory);
        let text = refused.to_string();
        assert!(text.contains("1048576") && text.contains("17825791"), "{text}");
        check_available(u64::MAX, u64::MAX - 1).expect_err("no overflow");
    }

    #[test]
    fn a_file_size_limit_is_an_error_not_a_signal() {
        let code = in_child(|| {
            let limit = rustix::process::Rlimit { current: Some(4096), maximum: Some(4096) };
            rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).expect("a lower limit");
            let refused = create("slipring-test", 1 << 20).expect_err("more than the limit");
            i32::from(refused.raw_os_error() != Some(libc::EFBIG))
        });
        assert_eq!(code, 0, "1: another error; negative: the signal that ended it");
    }

    #[test]
    fn a_storm_of_signals_ends_a_pause_and_spoils_no_reservation() {
        let code = in_child(|| {
            let stop = AtomicU32::new(0);
            std::thread::scope(|scope| {
                storm(scope, &stop);
                let spoilt = (0..20).any(|_| {
                    let (fd, mapping) = sealed(2 * PIECE);
                    match reserve(&fd, &mapping, Pages::InMemory, Deadline::NEVER) {
                        Ok(()) => size_and_blocks(&fd).expect("stat").1 < 2 * PIECE as u64,
                        // Kernels differ in whether a signal that is not fatal ends fallocate.
                        Err(error) => error.cause() != Cause::Interrupted,
                    }
                });
                let nap = crate::sys::pause(Duration::from_secs(5)).map_err(|signal| signal.kind());
                stop.store(1, Ordering::Relaxed);
                i32::from(spoilt) | i32::from(nap != Err(io::ErrorKind::Interrupted)) << 1
            })
        });
        assert_eq!(code, 0, "bit 0: neither reserved nor interrupted, bit 1: slept on");
    }

    /// Sends this thread signals, with a handler that does nothing, until it is told to stop.
    fn storm<'scope>(scope: &'scope std::thread::Scope<'scope, '_>, stop: &'scope AtomicU32) {
        extern "C" fn ignore(_: libc::c_int) {}
        // SAFETY: the handler does nothing, which is safe at any moment.
        unsafe { libc::signal(libc::SIGUSR1, ignore as *const () as libc::sighandler_t) };
        // SAFETY: only gives the name of this thread.
        let target = unsafe { libc::pthread_self() };
        scope.spawn(move || {
            while stop.load(Ordering::Relaxed) == 0 {
                // SAFETY: the thread lives as long as the scope, which waits for this one.
                unsafe { libc::pthread_kill(target, libc::SIGUSR1) };
                std::thread::sleep(Duration::from_micros(50));
            }
        });
    }

    #[test]
    fn own_maps_stay_out_of_children_and_peer_maps_are_readable_there() {
        let (fd, own) = sealed(page_size());
        let peer = map_peer(&fd, page_size(), Pages::InMemory).expect("a read-only map");
        let (own_at, peer_at) = (own.base().as_ptr().addr(), peer.base().as_ptr().addr());
        let code = in_child(move || {
            // Inherited maps drop in the child without unmapping anything.
            drop((own, peer));
            i32::from(is_mapped(own_at)) | i32::from(!is_mapped(peer_at)) << 1
        });
        assert_eq!(code, 0, "bit 0: the own map is there, bit 1: the peer map is not");
    }

    /// Asks the kernel whether the page at an address is mapped; `mincore` answers ENOMEM for one that is not.
    fn is_mapped(at: usize) -> bool {
        let mut resident = 0_u8;
        let page = ptr::without_provenance_mut(at);
        // SAFETY: asks about one page and has room for its one byte of answer.
        unsafe { libc::mincore(page, page_size(), &raw mut resident) == 0 }
    }
}
