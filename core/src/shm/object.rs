//! Shared objects: memory that is written once, sealed, and from then on the same for whoever has it.
//!
//! An object is a memfd of its own. It is written through the only map there is ([`Blank`]); then that map goes, and the kernel is
//! made to refuse every writer, for ever ([`SealedFile`]). So its bytes may be looked at in place whoever made it, a hostile peer
//! too: what was checked once stays true.
//!
//! Nothing here knows a session, or how a descriptor came.

use super::share_of;
use crate::deadline::Deadline;
use crate::error::{Cause, Error, Violation};
use crate::sys::fork::Fd;
use crate::sys::memory::{self, Mapping, Pages};
use crate::sys::round_to_page;
use crate::sys::share::Share;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::slice;
use std::sync::Arc;

/// Why a kernel cannot hold an object.
const UNSEALABLE: Cause = Cause::Unsupported { what: "memory sealed for good (F_SEAL_WRITE, Linux 3.17)" };

/// An object that is being written, by this process alone.
#[derive(Debug)]
pub(crate) struct Blank {
    mapping: Mapping,
    fd: Fd,
    len: usize,
    /// Of what this process may take.
    share: Arc<Share>,
}

impl Blank {
    /// Memory for `len` bytes, all zero, all of it there. Its size can never change again.
    ///
    /// # Errors
    /// [`Cause::OutOfMemory`] where memory, this process's share of it, or descriptors run out, [`Cause::Unsupported`] where
    /// nothing can be sealed,
    /// [`Cause::Timeout`] and [`Cause::Interrupted`] while reserving.
    pub(crate) fn create(len: usize, deadline: Deadline) -> Result<Self, Error> {
        let tried = || format!("make a shared object of {len} bytes");
        let size = round_to_page(len.max(1));
        if size > isize::MAX as usize {
            return Err(Error::new(Cause::OutOfMemory, tried()));
        }
        let share = share_of(size, tried)?;
        let system = |refused| Error::system(tried(), refused);
        let fd = memory::create("slipring-object", size).map_err(system)?;
        memory::seal_size(&fd).map_err(|refused| Error::os(UNSEALABLE, tried(), refused))?;
        let mapping = memory::map_own(&fd, size).map_err(system)?;
        memory::reserve(&fd, &mapping, Pages::InMemory, deadline)?;
        Ok(Self { mapping, fd, len, share })
    }

    /// Its bytes.
    ///
    /// # Panics
    /// In a forked child, which has no part in what its parent is writing.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.check_ours();
        // SAFETY: the map has at least `len` bytes, all of them there, and lives as long as `self`; it is the only writable one of
        // this process, and is written through `&mut self` alone.
        unsafe { slice::from_raw_parts(self.mapping.base().as_ptr(), self.len) }
    }

    /// The same, to be written.
    ///
    /// # Panics
    /// In a forked child.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.check_ours();
        // SAFETY: as in `bytes`; writable, and nobody else of this process has a reference while `self` is borrowed so. The
        // descriptor leaves the process only once it is sealed.
        unsafe { slice::from_raw_parts_mut(self.mapping.base().as_ptr(), self.len) }
    }

    fn check_ours(&self) {
        assert!(self.mapping.is_ours(), "a forked child has no part in its parent's unfinished objects");
    }

    /// Takes the writable map away and seals what was written, for good.
    ///
    /// # Errors
    /// [`Cause::Forked`]; [`Cause::System`] where another process has mapped it for writing; [`Cause::Unsupported`] where the
    /// kernel does not do what the seals say.
    pub(crate) fn seal(self) -> Result<SealedFile, Error> {
        let Self { mapping, fd, len, share } = self;
        let tried = || format!("seal a shared object of {len} bytes");
        if !mapping.is_ours() {
            return Err(Error::new(Cause::Forked, tried()));
        }
        drop(mapping);
        memory::seal_finally(&fd).map_err(|refused| match refused.kind() {
            io::ErrorKind::ResourceBusy => {
                Error::os(Cause::System, format!("{}: somebody else has it mapped for writing", tried()), refused)
            }
            _ => Error::os(UNSEALABLE, tried(), refused),
        })?;
        if !memory::has_final_seals(&fd) || !memory::owner_seals_hold(&fd) {
            return Err(Error::new(UNSEALABLE, tried()));
        }
        let number = memory::number(&fd).map_err(|refused| Error::system(tried(), refused))?;
        Ok(SealedFile { fd, len, number, _share: Some(share) })
    }
}

/// An object that nobody can change, by its descriptor.
#[derive(Debug)]
pub(crate) struct SealedFile {
    fd: Fd,
    len: usize,
    number: u64,
    /// Of what this process may take, if it made the object: as long as this process has it.
    _share: Option<Arc<Share>>,
}

impl SealedFile {
    /// Checks what came from elsewhere: `told` is how many bytes it is said to hold.
    ///
    /// # Errors
    /// [`Cause::Corrupt`] with the check that failed; what the system says if it cannot be asked.
    pub(crate) fn check(fd: Fd, told: u64) -> Result<Self, Error> {
        let tried = || format!("take a shared object of {told} bytes");
        let corrupt = |violation, found: String| Error::new(Cause::Corrupt(violation), format!("{}: {found}", tried()));
        if !memory::has_final_seals(&fd) {
            return Err(corrupt(Violation::Seals, "it can still be written or resized".into()));
        }
        // Sealed: from here on neither the size, nor the blocks, nor a byte can change.
        let (size, present) = memory::size_and_blocks(&fd).map_err(|refused| Error::system(tried(), refused))?;
        let len = usize::try_from(told).ok().filter(|&len| len <= isize::MAX as usize);
        let Some(len) = len.filter(|&len| round_to_page(len.max(1)) as u64 == size) else {
            return Err(corrupt(Violation::SegmentSize, format!("it has {size}, which is not that in whole pages")));
        };
        if present < size {
            return Err(corrupt(Violation::Sparse, format!("only {present} exist")));
        }
        let number = memory::number(&fd).map_err(|refused| Error::system(tried(), refused))?;
        Ok(Self { fd, len, number, _share: None })
    }

    /// How many bytes it holds.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The number by which the kernel knows it, the same in every process as long as anybody has it.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The same, mapped: its bytes.
#[derive(Debug)]
pub(crate) struct SealedMap {
    mapping: Mapping,
    file: Arc<SealedFile>,
}

impl SealedMap {
    /// Maps all of it.
    ///
    /// # Errors
    /// [`Cause::OutOfMemory`] where no map can be had.
    pub(crate) fn new(file: Arc<SealedFile>) -> Result<Self, Error> {
        let mapping = memory::map_final(file.fd(), round_to_page(file.len.max(1)))
            .map_err(|refused| Error::system(format!("map a shared object of {} bytes", file.len), refused))?;
        Ok(Self { mapping, file })
    }

    pub(crate) fn file(&self) -> &Arc<SealedFile> {
        &self.file
    }

    /// Whether this process mapped it, and is no forked child of the one that did.
    pub(crate) fn is_ours(&self) -> bool {
        self.mapping.is_ours()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the map has at least `len` bytes, by the check of `SealedFile` or because `Blank` made it so, and lives as long as
        // `self`. They exist, and nobody in any process can change them: the file is sealed against writing, growing and
        // shrinking, and nothing here writes to the map.
        unsafe { slice::from_raw_parts(self.mapping.base().as_ptr(), self.file.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fork::tests::in_child;
    use crate::sys::page_size;
    use rustix::fs::{FallocateFlags, SealFlags};

    fn sealed(bytes: &[u8]) -> Arc<SealedFile> {
        let mut blank = Blank::create(bytes.len(), Deadline::NEVER).expect("memory");
        blank.bytes_mut().copy_from_slice(bytes);
        Arc::new(blank.seal().expect("nobody else has it"))
    }

    /// A second descriptor, as a peer receives one.
    fn sent(file: &SealedFile) -> Fd {
        Fd::make(|| file.fd().try_clone_to_owned()).expect("a copy")
    }

    /// A memfd with these seals, reserved or with holes.
    fn forged(len: usize, seals: SealFlags, reserved: bool) -> Fd {
        let fd = memory::create("slipring-test", len).expect("a memfd");
        if reserved && len > 0 {
            rustix::fs::fallocate(&fd, FallocateFlags::empty(), 0, len as u64).expect("fallocate");
        }
        rustix::fs::fcntl_add_seals(&fd, seals).expect("seals");
        fd
    }

    fn violation(checked: Result<SealedFile, Error>) -> Violation {
        match checked.expect_err("refused").cause() {
            Cause::Corrupt(violation) => violation,
            other => panic!("another cause: {other}"),
        }
    }

    const FINAL: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::WRITE).union(SealFlags::SEAL);

    #[test]
    fn what_was_written_is_read_by_everybody_and_changed_by_nobody() {
        let file = sealed(b"once and for all");
        let (one, other) = (SealedMap::new(Arc::clone(&file)), SealedFile::check(sent(&file), 16));
        let other = SealedMap::new(Arc::new(other.expect("as it was made"))).expect("a map");
        let one = one.expect("a map");
        assert_eq!((one.bytes(), other.bytes()), (&b"once and for all"[..], &b"once and for all"[..]));
        assert_eq!(one.file().number(), other.file().number());
        assert_ne!(one.bytes().as_ptr(), other.bytes().as_ptr());
        let fd = file.fd();
        assert!(rustix::io::fcntl_getfd(fd).expect("fcntl").contains(rustix::io::FdFlags::CLOEXEC));
        assert_eq!(rustix::io::pwrite(fd, b"x", 0), Err(rustix::io::Errno::PERM));
        for len in [0, 1 << 20] {
            assert_eq!(rustix::fs::ftruncate(fd, len), Err(rustix::io::Errno::PERM));
        }
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        assert_eq!(rustix::fs::fallocate(fd, hole, 0, page_size() as u64), Err(rustix::io::Errno::PERM));
        assert_eq!(rustix::fs::fcntl_add_seals(fd, SealFlags::SEAL), Err(rustix::io::Errno::PERM));
        drop((file, one));
        assert_eq!(other.bytes(), b"once and for all");
    }

    #[test]
    fn an_object_may_be_empty_and_fill_its_pages_or_not() {
        for len in [0, 1, page_size() - 1, page_size(), page_size() + 1] {
            let bytes = vec![7; len];
            let file = sealed(&bytes);
            let taken = SealedFile::check(sent(&file), len as u64).expect("as it was made");
            assert_eq!(SealedMap::new(Arc::new(taken)).expect("a map").bytes(), bytes);
        }
    }

    #[test]
    fn what_can_still_change_has_holes_or_another_size_is_refused() {
        let page = page_size();
        for seals in [SealFlags::empty(), FINAL - SealFlags::WRITE, FINAL - SealFlags::GROW, FINAL - SealFlags::SEAL] {
            assert_eq!(violation(SealedFile::check(forged(page, seals, true), page as u64)), Violation::Seals);
        }
        let future = (FINAL - SealFlags::WRITE) | SealFlags::FUTURE_WRITE;
        assert_eq!(violation(SealedFile::check(forged(page, future, true), page as u64)), Violation::Seals);
        let null = Fd::make(|| Ok(std::fs::File::open("/dev/null")?.into())).expect("/dev/null");
        assert_eq!(violation(SealedFile::check(null, 0)), Violation::Seals);
        let holes = forged(2 * page, FINAL, false);
        assert_eq!(violation(SealedFile::check(holes, 2 * page as u64)), Violation::Sparse);
        for (size, told) in [(page, page + 1), (2 * page, page), (page, usize::MAX), (0, 0), (100, 100)] {
            let checked = SealedFile::check(forged(size, FINAL, true), told as u64);
            assert_eq!(violation(checked), Violation::SegmentSize, "{told} told of {size}");
        }
    }

    #[test]
    fn an_object_that_somebody_else_can_write_is_not_sealed() {
        let blank = Blank::create(100, Deadline::NEVER).expect("memory");
        let intruder = memory::map_own(&blank.fd, page_size()).expect("before it is sealed");
        let refused = blank.seal().expect_err("a second writer");
        assert_eq!(refused.cause(), Cause::System);
        assert!(refused.to_string().contains("somebody else"), "{refused}");
        drop(intruder);
    }

    #[test]
    fn more_than_the_machine_has_is_out_of_memory_and_a_passed_deadline_a_timeout() {
        for len in [usize::MAX, isize::MAX as usize, 1 << 45] {
            assert_eq!(Blank::create(len, Deadline::NEVER).expect_err("too much").cause(), Cause::OutOfMemory, "{len}");
        }
        assert_eq!(Blank::create(8 << 20, Deadline::NOW).expect_err("late").cause(), Cause::Timeout);
    }

    #[test]
    fn a_forked_child_reads_what_is_sealed_and_has_no_part_in_what_is_not() {
        let map = SealedMap::new(sealed(b"for all")).expect("a map");
        let blank = Blank::create(100, Deadline::NEVER).expect("memory");
        let code = in_child(move || {
            let forked = blank.seal().expect_err("the parent's").cause() != Cause::Forked;
            i32::from(map.bytes() != b"for all") | i32::from(map.is_ours()) << 1 | i32::from(forked) << 2
        });
        assert_eq!(code, 0);
    }
}
