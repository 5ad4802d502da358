//! Segments: the memory that outboxes and regions are made of, made by their owner and checked by their reader.
//!
//! A segment belongs to the side that made it, which alone can write it: the kernel sees to that by seals. The owner
//! reserves every page before the peer hears of it, and the reader does not believe that: it looks at seals, size and
//! holes before it maps. So reading a segment can neither fail for want of memory nor reach past its end, whoever made it.
//!
//! What is written once and then shared with any number of readers is no segment: that is an [`object`].
//!
//! Nothing here knows what stands in the bytes.

pub(crate) mod object;

use std::any::Any;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crate::deadline::Deadline;
use crate::error::{Cause, Error, Violation};
use crate::span::{ReadSpan, WriteSpan};
use crate::sys::fork::Fd;
use crate::sys::memory::{self, Mapping};
use crate::sys::{page_size, round_to_page};

/// A segment of our own: mapped for writing, sealed, reserved.
#[derive(Debug)]
pub(crate) struct OwnSegment {
    mapping: Arc<Mapping>,
    fd: Option<Fd>,
}

impl OwnSegment {
    /// A new segment of at least `len` bytes, all zero; its length is rounded up to whole pages.
    ///
    /// The order matters. Sealing comes before reserving, which takes time in which a stranger of the same user could
    /// open the memfd through `/proc` and map it for writing.
    ///
    /// # Errors
    /// [`Cause::OutOfMemory`] where memory or descriptors run out, [`Cause::Unsupported`] where the kernel does not
    /// enforce the seals, [`Cause::Timeout`] and [`Cause::Interrupted`] while reserving.
    pub(crate) fn create(label: &str, len: usize, deadline: Deadline) -> Result<Self, Error> {
        let len = round_to_page(len.max(1));
        let tried = || format!("make a segment of {len} bytes");
        let system = |refused| Error::system(tried(), refused);
        let fd = memory::create(label, len).map_err(system)?;
        let mapping = memory::map_own(&fd, len).map_err(system)?;
        memory::seal_for_owner(&fd).map_err(|refused| Error::os(UNSEALABLE, tried(), refused))?;
        if !memory::owner_seals_hold(&fd) {
            return Err(Error::new(UNSEALABLE, tried()));
        }
        memory::reserve(&fd, &mapping, deadline)?;
        Ok(Self { mapping: Arc::new(mapping), fd: Some(fd) })
    }

    /// All of it. The map lives as long as any span of it.
    pub(crate) fn span(&self) -> WriteSpan {
        let keeper: Arc<dyn Any + Send + Sync> = self.mapping.clone();
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

/// Why a kernel older than Linux 5.1, or one that only pretends, cannot hold a segment.
const UNSEALABLE: Cause = Cause::Unsupported { what: "memory sealed against writers (F_SEAL_FUTURE_WRITE, Linux 5.1)" };

/// A segment of the peer's: mapped read-only, after it passed the checks.
#[derive(Debug)]
pub(crate) struct PeerSegment {
    mapping: Arc<Mapping>,
}

impl PeerSegment {
    /// Checks and maps what the peer sent: `told_len` is the size that it claims, `max_len` the most that we accept.
    /// The descriptor is closed either way.
    ///
    /// # Errors
    /// [`Cause::Corrupt`] with the check that failed; [`Cause::OutOfMemory`] where the map cannot be had.
    pub(crate) fn attach(fd: Fd, told_len: u64, max_len: u64) -> Result<Self, Error> {
        let tried = || format!("map the peer's segment of {told_len} bytes");
        let corrupt = |violation, found: String| Error::new(Cause::Corrupt(violation), format!("{}: {found}", tried()));
        if !memory::has_required_seals(&fd) {
            return Err(corrupt(Violation::Seals, "it can still be written or resized".into()));
        }
        // Sealed: from here on neither the size nor the blocks can shrink.
        let (size, present) = memory::size_and_blocks(&fd).map_err(|refused| Error::system(tried(), refused))?;
        let len = usize::try_from(size).unwrap_or(usize::MAX);
        if size == 0 || size != told_len || size > max_len || !len.is_multiple_of(page_size()) {
            let found = format!("it has {size}, at most {max_len} are accepted, and pages have {}", page_size());
            return Err(corrupt(Violation::SegmentSize, found));
        }
        if present < size {
            return Err(corrupt(Violation::Sparse, format!("only {present} exist")));
        }
        let mapping = memory::map_peer(&fd, len).map_err(|refused| Error::system(tried(), refused))?;
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

#[cfg(test)]
mod tests {
    use rustix::fs::SealFlags;

    use super::*;
    use crate::sync::Ordering;

    const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

    /// A second descriptor of a segment, as the peer receives one.
    fn sent(segment: &OwnSegment) -> Fd {
        Fd::make(|| segment.fd().expect("not forgotten").try_clone_to_owned()).expect("a copy")
    }

    fn own(len: usize) -> OwnSegment {
        OwnSegment::create("slipring-test", len, Deadline::NEVER).expect("a segment")
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
        let peer = PeerSegment::attach(sent(&segment), segment.len() as u64, 1 << 20).expect("attach");
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
            assert_eq!(violation(PeerSegment::attach(sent(&segment), told, max)), Violation::SegmentSize);
        }
        PeerSegment::attach(sent(&segment), len, len).expect("exactly right");
        for odd in [0, 100, page_size() + 1] {
            let fd = forged(odd, SEALS | SealFlags::FUTURE_WRITE, odd > 0);
            assert_eq!(violation(PeerSegment::attach(fd, odd as u64, u64::MAX)), Violation::SegmentSize);
        }
    }

    #[test]
    fn unsealed_and_sparse_segments_are_refused() {
        let len = 2 * page_size();
        for seals in [SealFlags::empty(), SEALS, SealFlags::FUTURE_WRITE | SealFlags::SEAL, SealFlags::WRITE] {
            let fd = forged(len, seals, true);
            assert_eq!(violation(PeerSegment::attach(fd, len as u64, u64::MAX)), Violation::Seals);
        }
        let fd = forged(len, SEALS | SealFlags::FUTURE_WRITE, false);
        assert_eq!(violation(PeerSegment::attach(fd, len as u64, u64::MAX)), Violation::Sparse);
        let fd = forged(len, SEALS | SealFlags::FUTURE_WRITE, true);
        PeerSegment::attach(fd, len as u64, u64::MAX).expect("sealed and whole");
    }

    #[test]
    fn other_kinds_of_file_are_refused() {
        let null = Fd::make(|| Ok(std::fs::File::open("/dev/null")?.into())).expect("/dev/null");
        assert_eq!(violation(PeerSegment::attach(null, page_size() as u64, u64::MAX)), Violation::Seals);
    }

    #[test]
    fn more_than_the_machine_has_is_an_error_with_both_numbers() {
        let len: usize = 1 << 45;
        let refused = OwnSegment::create("slipring-test", len, Deadline::NEVER).expect_err("32 TiB");
        assert_eq!(refused.cause(), Cause::OutOfMemory);
        assert!(refused.to_string().contains(&len.to_string()), "{refused}");
        OwnSegment::create("slipring-test", usize::MAX, Deadline::NEVER).expect_err("more than there are addresses");
    }
}
