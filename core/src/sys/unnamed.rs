//! Files without a name: POSIX shared memory, and room on a disk for what memory has none for.
//!
//! Such a file is reached through its descriptors only, so a killed process leaves nothing behind. It has no seals: whoever
//! holds it writable can change and shorten it under those who read it. Against accidents of that kind
//! - its mode lets nobody open it for writing again, and with `O_TMPFILE|O_EXCL` it can never be given a name (openat(2));
//! - what leaves this process is a descriptor that was opened anew, for reading only ([`read_only`]).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::sys::fork::Fd;
use crate::sys::memory::{Pages, set_len};
use crate::sys::{effective_uid, monotonic_ns, page_size};

/// Where Linux has POSIX shared memory (shm_overview(7)).
const SHARED_MEMORY: &str = "/dev/shm";

/// Who may open the file again: its owner, for reading.
const MODE: Mode = Mode::RUSR;

/// How often another name is tried where one is taken. Names carry the time, so a second try is rare.
const TRIES: usize = 64;

/// The file systems that are memory and nothing else: tmpfs and ramfs (statfs(2)).
const MEMORY_FILE_SYSTEMS: [u64; 2] = [0x0102_1994, 0x8584_58F6];

/// A new file of `len` zero bytes in POSIX shared memory, none of them reserved.
pub(crate) fn in_shared_memory(len: usize) -> io::Result<Fd> {
    shared_in(Path::new(SHARED_MEMORY), len)
}

fn shared_in(directory: &Path, len: usize) -> io::Result<Fd> {
    let fd = match nameless(directory) {
        Err(error) if is_unknown_to_the_file_system(&error) => Fd::make(|| with_a_passing_name(directory)),
        made => made,
    }?;
    set_len(&fd, len)?;
    Ok(fd)
}

/// A new file of `len` zero bytes in `directory`, none of them reserved.
pub(crate) fn in_directory(directory: &Path, len: usize) -> io::Result<Fd> {
    let fd = nameless(directory)?;
    set_len(&fd, len)?;
    Ok(fd)
}

/// Tries what a spill region needs of `directory`: that it is one, files without a name, and space that can be reserved.
pub(crate) fn try_out(directory: &Path) -> io::Result<()> {
    let page = page_size();
    let fd = in_directory(directory, page)?;
    Ok(rustix::fs::fallocate(&fd, FallocateFlags::empty(), 0, page as u64)?)
}

/// Whether an error says that the file system has no files without a name: Linux before 3.11 takes such a call for one that
/// wants to write a directory.
pub(crate) fn is_unknown_to_the_file_system(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR))
}

fn nameless(directory: &Path) -> io::Result<Fd> {
    let flags = OFlags::TMPFILE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
    Fd::make(|| Ok(rustix::fs::open(directory, flags, MODE)?))
}

/// The same where the file system cannot: a new file of a name that nobody has, which is taken away at once. Only a process
/// that is killed between the two calls leaves it.
fn with_a_passing_name(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut refused = Errno::EXIST;
    for _ in 0..TRIES {
        let name = passing_name(directory);
        match rustix::fs::open(&name, flags, MODE) {
            Ok(fd) => {
                rustix::fs::unlink(&name)?;
                return Ok(fd);
            }
            Err(error) => refused = error,
        }
        if refused != Errno::EXIST {
            break;
        }
    }
    Err(refused.into())
}

fn passing_name(directory: &Path) -> PathBuf {
    directory.join(format!("slipring-{}-{:x}", std::process::id(), monotonic_ns()))
}

/// Another descriptor of the same file, for reading only: one that cannot be made writable.
pub(crate) fn read_only(fd: &Fd) -> io::Result<Fd> {
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    Fd::make(|| Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?))
}

/// Where the pages of a file are.
pub(crate) fn pages_of(fd: impl AsFd) -> io::Result<Pages> {
    let kind = rustix::fs::fstatfs(fd)?.f_type;
    // The field is as wide as a word; the kernel's numbers have 32 bits.
    let number = u64::from(kind as u32);
    Ok(if MEMORY_FILE_SYSTEMS.contains(&number) { Pages::InMemory } else { Pages::OnDisk })
}

/// Whether this is a regular file of our own user that has no name, so that nobody else can have opened it by one.
pub(crate) fn is_ours_and_nameless(fd: impl AsFd) -> io::Result<bool> {
    let stat = rustix::fs::fstat(fd)?;
    let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    Ok(regular && stat.st_nlink == 0 && stat.st_uid == effective_uid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::Deadline;
    use crate::error::Cause;
    use crate::session::name::tests::Scratch;
    use crate::sys::fork::tests::in_child;
    use crate::sys::memory;
    use std::ffi::CString;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;

    fn names_in(directory: &Path) -> usize {
        fs::read_dir(directory).expect("a directory").count()
    }

    #[test]
    fn a_file_in_shared_memory_has_no_name_is_ours_and_is_memory() {
        let fd = in_shared_memory(2 * page_size()).expect("POSIX shared memory");
        assert!(is_ours_and_nameless(&fd).expect("stat"));
        assert_eq!(pages_of(&fd).expect("statfs"), Pages::InMemory);
        let target = fs::read_link(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())).expect("a link");
        assert!(target.starts_with(SHARED_MEMORY), "{target:?}");
    }

    #[test]
    fn where_files_without_a_name_are_unknown_a_passing_name_does() {
        let scratch = Scratch::new();
        let fd = Fd::make(|| with_a_passing_name(scratch.path())).expect("a file");
        assert!(is_ours_and_nameless(&fd).expect("stat"));
        assert_eq!(names_in(scratch.path()), 0);
        let missing = with_a_passing_name(&scratch.path().join("missing")).expect_err("no directory");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_is_sent_can_be_read_and_not_written() {
        let scratch = Scratch::new();
        let fd = in_directory(scratch.path(), page_size()).expect("a file");
        rustix::io::pwrite(&fd, b"here", 0).expect("written");
        let sent = read_only(&fd).expect("a second descriptor");
        assert!(rustix::io::fcntl_getfd(&sent).expect("fcntl").contains(rustix::io::FdFlags::CLOEXEC));
        let mut found = [0; 4];
        rustix::io::pread(&sent, &mut found, 0).expect("read");
        assert_eq!(&found, b"here");
        assert_eq!(rustix::io::pwrite(&sent, b"x", 0), Err(Errno::BADF));
        assert_eq!(rustix::fs::ftruncate(&sent, 0), Err(Errno::INVAL));
        assert_eq!(names_in(scratch.path()), 0);
    }

    #[test]
    fn a_directory_is_tried_out_before_it_is_relied_on() {
        let scratch = Scratch::new();
        try_out(scratch.path()).expect("a directory of ours");
        assert_eq!(names_in(scratch.path()), 0);
        let missing = try_out(&scratch.path().join("missing")).expect_err("no directory");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let file = scratch.path().join("file");
        fs::write(&file, b"").expect("a file");
        assert_eq!(try_out(&file).expect_err("no directory").raw_os_error(), Some(libc::ENOTDIR));
        let unknown = try_out(Path::new("/proc")).expect_err("no files can be made there");
        // Who is not root is told first that he may not write there.
        let denied = effective_uid() != 0 && unknown.kind() == io::ErrorKind::PermissionDenied;
        assert!(denied || is_unknown_to_the_file_system(&unknown), "{unknown}");
    }

    #[test]
    fn files_that_are_not_ours_alone_are_told() {
        let scratch = Scratch::new();
        let named = scratch.path().join("named");
        fs::write(&named, b"").expect("a file");
        for path in [&named, Path::new("/dev/null"), scratch.path()] {
            let fd = rustix::fs::open(path, OFlags::RDONLY, Mode::empty()).expect("readable");
            assert!(!is_ours_and_nameless(fd).expect("stat"), "{path:?}");
        }
    }

    /// What a child answers that may not mount anything.
    const NOT_ALLOWED: i32 = 99;

    #[test]
    fn a_full_file_system_is_out_of_memory_and_what_was_reserved_is_given_back() {
        let scratch = Scratch::new();
        let code = in_child(|| {
            if !mount_of_one_mebibyte(scratch.path()) {
                return NOT_ALLOWED;
            }
            let reserve = |len| {
                let fd = in_directory(scratch.path(), len).expect("a file");
                let own = memory::map_own(&fd, len).expect("a map");
                // As a disk is: neither counted as memory nor touched.
                memory::reserve(&fd, &own, Pages::OnDisk, Deadline::NEVER).map_err(|error| error.cause())
            };
            let full = reserve(2 << 20) != Err(Cause::OutOfMemory);
            i32::from(full) | i32::from(reserve(1 << 19).is_err()) << 1
        });
        if code == NOT_ALLOWED {
            eprintln!("skipped: a file system of one's own needs privileges");
            return;
        }
        assert_eq!(code, 0, "bit 0: another answer than OutOfMemory, bit 1: half of it had no room afterwards");
    }

    /// Mounts a file system at `place` that only this process sees. False if it may not.
    fn mount_of_one_mebibyte(place: &Path) -> bool {
        // SAFETY: takes a plain number, and changes only what this process sees of file systems.
        if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
            return false;
        }
        let text = |bytes: &[u8]| CString::new(bytes).expect("no zero in it");
        let (none, root, tmpfs, size) = (text(b"none"), text(b"/"), text(b"tmpfs"), text(b"size=1m"));
        let (place, private) = (text(place.as_os_str().as_bytes()), libc::MS_REC | libc::MS_PRIVATE);
        let nothing = std::ptr::null();
        // SAFETY: the strings live through the call, and no other argument is looked at for this change.
        let kept = unsafe { libc::mount(none.as_ptr(), root.as_ptr(), nothing, private, nothing.cast()) };
        // SAFETY: the strings live through the call.
        kept == 0 && unsafe { libc::mount(none.as_ptr(), place.as_ptr(), tmpfs.as_ptr(), 0, size.as_ptr().cast()) } == 0
    }
}
