//! Segments: the memory that outboxes and regions are made of, made by their owner and checked by their reader.
//!
//! A segment belongs to the side that made it, which alone can write it: the kernel sees to that by seals. The owner
//! reserves every page before the peer hears of it, and the reader does not believe that: it looks at seals, size and
//! holes before it maps. So reading a segment can neither fail for want of memory nor reach past its end, whoever made it.
//!
//! Two [kinds](SegmentKind) have no seals. Their reader looks at the same, and at whose file it is; but a peer could still
//! shorten the file later, and then reading it ends the reader. So they are for peers of the same user, which the session
//! sees to.
//!
//! What is written once and then shared with any number of readers is no segment: that is an [`object`].
//!
//! Nothing here knows what stands in the bytes.

pub(crate) mod object;
pub(crate) mod placed;

use std::any::Any;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;

use crate::deadline::Deadline;
use crate::error::{Cause, Error, Violation};
use crate::span::{ReadSpan, WriteSpan};
use crate::sys::fork::Fd;
use crate::sys::memory::{self, Mapping, Pages};
use crate::sys::place::{self, Refusals, Wishes};
use crate::sys::share::{self, Share};
use crate::sys::{page_size, round_to_page, unnamed};

/// What a segment is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentKind {
    /// A memfd, sealed.
    Sealed,
    /// POSIX shared memory: no seals.
    Posix,
    /// A file in a directory that the user chose: no seals, and most of it need not be in memory.
    Spill,
}

/// A segment of our own: mapped for writing, reserved, and sealed unless its kind has no seals.
#[derive(Debug)]
pub(crate) struct OwnSegment {
    mapping: Arc<Mapping>,
    /// Of what this process may take, until the last span of this is gone; none where it is no memory.
    share: Option<Arc<Share>>,
    fd: Option<Fd>,
    refusals: Refusals,
}

impl OwnSegment {
    /// A new sealed segment of at least `len` bytes, all zero; its length is rounded up to whole pages. It stands where it is
    /// wished to, as far as that can be had.
    ///
    /// The order matters. Sealing comes before reserving, which takes time in which a stranger of the same user could
    /// open the memfd through `/proc` and map it for writing.
    ///
    /// # Errors
    /// [`Cause::OutOfMemory`] where memory or descriptors run out, [`Cause::Unsupported`] where the kernel does not
    /// enforce the seals, [`Cause::Timeout`] and [`Cause::Interrupted`] while reserving.
    pub(crate) fn create(label: &str, len: usize, wishes: Wishes, deadline: Deadline) -> Result<Self, Error> {
        let len = round_to_page(len.max(1));
        let share = share_of(len, || format!("make a segment of {len} bytes"))?;
        let (fd, mapping, refusals) = sealed(label, len, wishes)?;
        memory::reserve(&fd, &mapping, Pages::InMemory, deadline)?;
        Ok(Self::placed_by(mapping, Some(share), fd, wishes, refusals))
    }

    /// The same of which nothing exists yet: [`extend`](Self::extend) makes it, piece by piece, before it is touched. It is not
    /// counted among what this process may take.
    ///
    /// # Errors
    /// As for [`create`](Self::create).
    pub(crate) fn create_empty(label: &str, len: usize) -> Result<Self, Error> {
        let len = round_to_page(len.max(1));
        let wishes = Wishes::default();
        let (fd, mapping, refusals) = sealed(label, len, wishes)?;
        Ok(Self::placed_by(mapping, None, fd, wishes, refusals))
    }

    /// Makes `more` bytes at `at` exist, which did not: whole pages.
    ///
    /// # Errors
    /// [`Cause::OutOfMemory`].
    ///
    /// # Panics
    /// If the descriptor was forgotten.
    pub(crate) fn extend(&self, at: usize, more: usize) -> Result<(), Error> {
        let fd = self.fd.as_ref().expect("a segment that grows keeps its descriptor");
        memory::reserve_more(fd, &self.mapping, at, more)
    }

    /// Another descriptor of it, through which nobody can write.
    pub(crate) fn read_only(&self) -> io::Result<Fd> {
        unnamed::read_only(self.fd.as_ref().expect("whoever sends a descriptor has not forgotten it"))
    }

    /// The same of POSIX shared memory, without seals.
    ///
    /// # Errors
    /// As for [`create`](Self::create); [`Cause::Unsupported`] where there is no POSIX shared memory.
    pub(crate) fn create_posix(len: usize, wishes: Wishes, deadline: Deadline) -> Result<Self, Error> {
        let len = round_to_page(len.max(1));
        let tried = || format!("make a segment of {len} bytes of POSIX shared memory");
        let system = |refused: io::Error| match refused.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Error::os(NO_POSIX, tried(), refused),
            _ => Error::system(tried(), refused),
        };
        let share = share_of(len, tried)?;
        let fd = unnamed::in_shared_memory(len).map_err(system)?;
        if unnamed::pages_of(&fd).map_err(system)? != Pages::InMemory {
            return Err(Error::new(NO_POSIX, tried()));
        }
        Self::finish_unsealed(&fd, len, Some(share), wishes, deadline).map_err(|stop| stop.into_error(tried()))
    }

    /// The same in a file of `directory`, most of which need not be in memory.
    ///
    /// # Errors
    /// As for [`create`](Self::create), where [`Cause::OutOfMemory`] may also mean that the disk is full.
    pub(crate) fn create_spill(directory: &Path, len: usize, deadline: Deadline) -> Result<Self, Error> {
        let len = round_to_page(len.max(1));
        let tried = || format!("make a spill segment of {len} bytes in {}", directory.display());
        let fd = unnamed::in_directory(directory, len).map_err(|refused| Error::system(tried(), refused))?;
        Self::finish_unsealed(&fd, len, None, Wishes::default(), deadline).map_err(|stop| stop.into_error(tried()))
    }

    /// Maps and reserves a file without seals, and keeps of its descriptors only one that cannot write.
    fn finish_unsealed(
        fd: &Fd,
        len: usize,
        share: Option<Arc<Share>>,
        wishes: Wishes,
        deadline: Deadline,
    ) -> Result<Self, Stop> {
        let (mapping, refusals) = memory::map_placed(fd, len, wishes)?;
        memory::reserve(fd, &mapping, unnamed::pages_of(fd)?, deadline)?;
        let fd = unnamed::read_only(fd)?;
        Ok(Self::placed_by(mapping, share, fd, wishes, refusals))
    }

    /// A segment whose pages are all there; they are kept there if that is wished.
    fn placed_by(mapping: Mapping, share: Option<Arc<Share>>, fd: Fd, wishes: Wishes, refusals: Refusals) -> Self {
        let locked = if wishes.locked { place::lock(&mapping) } else { None };
        Self { mapping: Arc::new(mapping), share, fd: Some(fd), refusals: Refusals { locked, ..refusals } }
    }

    /// All of it. The map lives as long as any span of it.
    pub(crate) fn span(&self) -> WriteSpan {
        let keeper: Arc<dyn Any + Send + Sync> = Arc::new((self.mapping.clone(), self.share.clone()));
        // SAFETY: the map is as long as it says, page-aligned, writable, and lives as long as `keeper`; only spans of
        // this segment reach it, because the address leaves this file nowhere else.
        unsafe { WriteSpan::from_raw(self.mapping.base(), self.mapping.len(), keeper) }
    }

    /// The descriptor to send to the peer, until it is forgotten.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    /// Closes the descriptor: the maps of both sides keep the memory.
    pub(crate) fn forget_fd(&mut self) {
        self.fd = None;
    }

    /// Length in bytes: whole pages.
    pub(crate) fn len(&self) -> usize {
        self.mapping.len()
    }
}

/// A memfd of `len` bytes that is mapped for writing, and then sealed. Nothing of it is reserved.
fn sealed(label: &str, len: usize, wishes: Wishes) -> Result<(Fd, Mapping, Refusals), Error> {
    let tried = || format!("make a segment of {len} bytes");
    let system = |refused| Error::system(tried(), refused);
    let fd = memory::create(label, len).map_err(system)?;
    let (mapping, refusals) = memory::map_placed(&fd, len, wishes).map_err(system)?;
    memory::seal_for_owner(&fd).map_err(|refused| Error::os(UNSEALABLE, tried(), refused))?;
    if memory::owner_seals_hold(&fd) { Ok((fd, mapping, refusals)) } else { Err(Error::new(UNSEALABLE, tried())) }
}

/// Why a segment was not finished: what the system said, or an error that says all.
enum Stop {
    System(io::Error),
    Told(Error),
}

impl From<io::Error> for Stop {
    fn from(refused: io::Error) -> Self {
        Self::System(refused)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Told(error)
    }
}

impl Stop {
    fn into_error(self, tried: String) -> Error {
        match self {
            Self::System(refused) => Error::system(tried, refused),
            Self::Told(error) => error,
        }
    }
}

/// Why a machine without `/dev/shm`, or with something else there, has no such memory.
const NO_POSIX: Cause = Cause::Unsupported { what: "POSIX shared memory (a tmpfs that can be written at /dev/shm)" };

/// The memory of a segment or object of `len` bytes, if this process may take so much.
fn share_of(len: usize, tried: impl Fn() -> String) -> Result<Arc<Share>, Error> {
    Share::take(len as u64).map(Arc::new).ok_or_else(|| {
        let (taken, limit) = (share::taken(), share::limit());
        let found = format!("this process has taken {taken} of the {limit} bytes that it may (limit_memory)");
        Error::new(Cause::OutOfMemory, format!("{}: {found}", tried()))
    })
}

/// Why a kernel older than Linux 5.1, or one that only pretends, cannot hold a segment.
const UNSEALABLE: Cause = Cause::Unsupported { what: "memory sealed against writers (F_SEAL_FUTURE_WRITE, Linux 5.1)" };

/// A segment of the peer's: mapped read-only, after it passed the checks.
#[derive(Debug)]
pub(crate) struct PeerSegment {
    mapping: Arc<Mapping>,
}

impl PeerSegment {
    /// Checks and maps what the peer sent, which is to be of this `kind`: `told_len` is the size that it claims, `max_len` the
    /// most that we accept. The descriptor is closed either way.
    ///
    /// # Errors
    /// [`Cause::Corrupt`] with the check that failed; [`Cause::OutOfMemory`] where the map cannot be had.
    pub(crate) fn attach(fd: Fd, kind: SegmentKind, told_len: u64, max_len: u64) -> Result<Self, Error> {
        Self::check_and_map(fd, kind, told_len, max_len, true)
    }

    /// As [`attach`](Self::attach), for a sealed segment of which only a beginning need exist: the peer says in it how much, and
    /// what is behind is not touched. A page that is touched though it does not exist is made by that; it is no fault.
    ///
    /// # Errors
    /// As for [`attach`](Self::attach).
    pub(crate) fn attach_begun(fd: Fd, len: u64) -> Result<Self, Error> {
        Self::check_and_map(fd, SegmentKind::Sealed, len, len, false)
    }

    fn check_and_map(fd: Fd, kind: SegmentKind, told_len: u64, max_len: u64, whole: bool) -> Result<Self, Error> {
        let tried = || format!("map the peer's segment of {told_len} bytes");
        let corrupt = |violation, found: String| Error::new(Cause::Corrupt(violation), format!("{}: {found}", tried()));
        if kind == SegmentKind::Sealed && !memory::has_required_seals(&fd) {
            return Err(corrupt(Violation::Seals, "it can still be written or resized".into()));
        }
        let pages = unnamed::pages_of(&fd).map_err(|refused| Error::system(tried(), refused))?;
        if !is_made_of(kind, &fd, pages).map_err(|refused| Error::system(tried(), refused))? {
            return Err(corrupt(Violation::Backing, format!("it is not of the kind {kind:?}")));
        }
        // Where it is sealed neither the size nor the blocks can shrink from here on.
        let (size, present) = memory::size_and_blocks(&fd).map_err(|refused| Error::system(tried(), refused))?;
        let len = usize::try_from(size).unwrap_or(usize::MAX);
        if size == 0 || size != told_len || size > max_len || !len.is_multiple_of(page_size()) {
            let found = format!("it has {size}, at most {max_len} are accepted, and pages have {}", page_size());
            return Err(corrupt(Violation::SegmentSize, found));
        }
        if whole && present < size {
            return Err(corrupt(Violation::Sparse, format!("only {present} exist")));
        }
        // Putting the pages into the map ahead of time would make those that are missing.
        let pages = if whole { pages } else { Pages::OnDisk };
        let mapping = memory::map_peer(&fd, len, pages).map_err(|refused| Error::system(tried(), refused))?;
        Ok(Self { mapping: Arc::new(mapping) })
    }

    /// All of it. The map lives as long as any span of it.
    pub(crate) fn span(&self) -> ReadSpan {
        let keeper: Arc<dyn Any + Send + Sync> = self.mapping.clone();
        // SAFETY: the map is as long as it says, page-aligned, readable, and lives as long as `keeper`; its pages exist
        // and stay, by the checks of `attach`.
        unsafe { ReadSpan::from_raw(self.mapping.base(), self.mapping.len(), keeper) }
    }
}

/// Whether a file is what a segment of this kind is made of. What has the seals is a memfd.
fn is_made_of(kind: SegmentKind, fd: &Fd, pages: Pages) -> io::Result<bool> {
    match kind {
        SegmentKind::Sealed => Ok(true),
        SegmentKind::Posix => Ok(pages == Pages::InMemory && unnamed::is_ours_and_nameless(fd)?),
        SegmentKind::Spill => unnamed::is_ours_and_nameless(fd),
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::SealFlags;

    use super::*;
    use crate::session::name::tests::Scratch;
    use crate::sync::Ordering;

    const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

    /// A second descriptor of a segment, as the peer receives one.
    fn sent(segment: &OwnSegment) -> Fd {
        Fd::make(|| segment.fd().expect("not forgotten").try_clone_to_owned()).expect("a copy")
    }

    fn own(len: usize) -> OwnSegment {
        OwnSegment::create("slipring-test", len, Wishes::default(), Deadline::NEVER).expect("a segment")
    }

    /// A memfd with these seals, reserved or with holes.
    fn forged(len: usize, seals: SealFlags, reserved: bool) -> Fd {
        let fd = memory::create("slipring-test", len).expect("a memfd");
        if reserved {
            rustix::fs::fallocate(&fd, rustix::fs::FallocateFlags::empty(), 0, len as u64).expect("fallocate");
        }
        rustix::fs::fcntl_add_seals(&fd, seals).expect("seals");
        fd
    }

    fn violation(attached: Result<PeerSegment, Error>) -> Violation {
        match attached.expect_err("refused").cause() {
            Cause::Corrupt(violation) => violation,
            other => panic!("another cause: {other}"),
        }
    }

    #[test]
    fn what_the_owner_writes_the_peer_reads() {
        let mut segment = own(100);
        assert_eq!(segment.len(), page_size());
        let peer =
            PeerSegment::attach(sent(&segment), SegmentKind::Sealed, segment.len() as u64, 1 << 20).expect("attach");
        segment.forget_fd();
        assert!(segment.fd().is_none());
        let (write, read) = (segment.span(), peer.span());
        drop((segment, peer));
        write.store_u64(64, 42, Ordering::Release);
        let mut word = [0; 8];
        read.read(64, &mut word);
        assert_eq!(u64::from_le_bytes(word), 42, "spans keep the maps");
    }

    #[test]
    fn segments_of_the_wrong_size_are_refused() {
        let segment = own(page_size());
        let len = segment.len() as u64;
        for (told, max) in [(len * 1024, u64::MAX), (len - 1, u64::MAX), (0, u64::MAX), (len, len - 1)] {
            assert_eq!(
                violation(PeerSegment::attach(sent(&segment), SegmentKind::Sealed, told, max)),
                Violation::SegmentSize
            );
        }
        PeerSegment::attach(sent(&segment), SegmentKind::Sealed, len, len).expect("exactly right");
        for odd in [0, 100, page_size() + 1] {
            let fd = forged(odd, SEALS | SealFlags::FUTURE_WRITE, odd > 0);
            assert_eq!(
                violation(PeerSegment::attach(fd, SegmentKind::Sealed, odd as u64, u64::MAX)),
                Violation::SegmentSize
            );
        }
    }

    #[test]
    fn unsealed_and_sparse_segments_are_refused() {
        let len = 2 * page_size();
        for seals in [SealFlags::empty(), SEALS, SealFlags::FUTURE_WRITE | SealFlags::SEAL, SealFlags::WRITE] {
            let fd = forged(len, seals, true);
            assert_eq!(violation(PeerSegment::attach(fd, SegmentKind::Sealed, len as u64, u64::MAX)), Violation::Seals);
        }
        let fd = forged(len, SEALS | SealFlags::FUTURE_WRITE, false);
        assert_eq!(violation(PeerSegment::attach(fd, SegmentKind::Sealed, len as u64, u64::MAX)), Violation::Sparse);
        let fd = forged(len, SEALS | SealFlags::FUTURE_WRITE, true);
        PeerSegment::attach(fd, SegmentKind::Sealed, len as u64, u64::MAX).expect("sealed and whole");
    }

    /// One of each kind that has no seals, and what `/proc/self/maps` shows of its place.
    fn unsealed(scratch: &Scratch, len: usize) -> [(OwnSegment, SegmentKind, String); 2] {
        let posix = OwnSegment::create_posix(len, Wishes::default(), Deadline::NEVER).expect("POSIX shared memory");
        let spill = OwnSegment::create_spill(scratch.path(), len, Deadline::NEVER).expect("a spill segment");
        let directory = scratch.path().display().to_string();
        [(posix, SegmentKind::Posix, "/dev/shm/".into()), (spill, SegmentKind::Spill, directory)]
    }

    #[test]
    fn segments_without_seals_are_whole_read_and_shown_where_they_are() {
        let scratch = Scratch::new();
        let len = (2 << 20) + page_size();
        for (segment, kind, place) in unsealed(&scratch, len) {
            let (size, present) = memory::size_and_blocks(segment.fd().expect("not forgotten")).expect("stat");
            assert!(size == len as u64 && present >= size, "{kind:?}: {present} of {size}");
            let peer = PeerSegment::attach(sent(&segment), kind, size, size).expect("attach");
            segment.span().store_u64(64, 42, Ordering::Release);
            let mut word = [0; 8];
            peer.span().read(64, &mut word);
            assert_eq!(u64::from_le_bytes(word), 42, "{kind:?}");
            let maps = std::fs::read_to_string("/proc/self/maps").expect("our own maps");
            let shown = maps.lines().filter(|line| line.contains(&place) && line.ends_with(" (deleted)"));
            let shown: Vec<_> = shown.filter_map(|line| line.split(' ').nth(1)).collect();
            assert!(shown.contains(&"rw-s") && shown.contains(&"r--s"), "{kind:?}: {maps}");
        }
        assert_eq!(std::fs::read_dir(scratch.path()).expect("a directory").count(), 0, "no name is left");
    }

    #[test]
    fn a_segment_of_another_kind_than_was_told_is_refused() {
        let scratch = Scratch::new();
        let len = page_size() as u64;
        for (segment, kind, _) in unsealed(&scratch, page_size()) {
            assert_eq!(
                violation(PeerSegment::attach(sent(&segment), SegmentKind::Sealed, len, len)),
                Violation::Seals,
                "{kind:?}"
            );
        }
        let named = || {
            let path = scratch.path().join("named");
            std::fs::write(&path, vec![0; page_size()]).expect("a file");
            Fd::make(|| Ok(std::fs::File::open(&path)?.into())).expect("readable")
        };
        let device = || Fd::make(|| Ok(std::fs::File::open("/dev/zero")?.into())).expect("readable");
        for kind in [SegmentKind::Posix, SegmentKind::Spill] {
            for fd in [named(), device()] {
                assert_eq!(violation(PeerSegment::attach(fd, kind, len, len)), Violation::Backing, "{kind:?}");
            }
        }
    }

    #[test]
    fn sizes_and_holes_are_looked_at_without_seals_too() {
        let scratch = Scratch::new();
        let len = page_size() as u64;
        for (segment, kind, _) in unsealed(&scratch, page_size()) {
            for (told, max) in [(len * 2, u64::MAX), (len - 1, u64::MAX), (0, u64::MAX), (len, len - 1)] {
                assert_eq!(violation(PeerSegment::attach(sent(&segment), kind, told, max)), Violation::SegmentSize);
            }
        }
        let sparse = [
            (unnamed::in_shared_memory(page_size()), SegmentKind::Posix),
            (unnamed::in_directory(scratch.path(), page_size()), SegmentKind::Spill),
        ];
        for (fd, kind) in sparse {
            assert_eq!(violation(PeerSegment::attach(fd.expect("a file"), kind, len, len)), Violation::Sparse);
        }
    }

    #[test]
    fn segments_without_seals_have_deadlines_and_limits() {
        let scratch = Scratch::new();
        let two_pieces = 4 << 20;
        for late in [
            OwnSegment::create_posix(two_pieces, Wishes::default(), Deadline::NOW),
            OwnSegment::create_spill(scratch.path(), two_pieces, Deadline::NOW),
        ] {
            assert_eq!(late.expect_err("two pieces").cause(), Cause::Timeout);
        }
        for large in [
            OwnSegment::create_posix(1 << 45, Wishes::default(), Deadline::NEVER),
            OwnSegment::create_spill(scratch.path(), 1 << 60, Deadline::NEVER),
        ] {
            assert_eq!(large.expect_err("more than there is").cause(), Cause::OutOfMemory);
        }
    }

    #[test]
    fn other_kinds_of_file_are_refused() {
        let null = Fd::make(|| Ok(std::fs::File::open("/dev/null")?.into())).expect("/dev/null");
        assert_eq!(
            violation(PeerSegment::attach(null, SegmentKind::Sealed, page_size() as u64, u64::MAX)),
            Violation::Seals
        );
    }

    #[test]
    fn more_than_the_machine_has_is_an_error_with_both_numbers() {
        let len: usize = 1 << 45;
        let refused = OwnSegment::create("slipring-test", len, Wishes::default(), Deadline::NEVER).expect_err("32 TiB");
        assert_eq!(refused.cause(), Cause::OutOfMemory);
        assert!(refused.to_string().contains(&len.to_string()), "{refused}");
        OwnSegment::create("slipring-test", usize::MAX, Wishes::default(), Deadline::NEVER)
            .expect_err("more than there are addresses");
    }
}
