//! Small file systems of a test's own, which are full when the test wants them to be.

use crate::backend::skip;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// From now on this thread, and what it starts, finds at `place` an empty file system in memory, of `len` bytes. Says that `test`
/// is skipped if it may not.
///
/// # Panics
/// If there is no such place.
#[must_use]
pub fn small_file_system(place: &Path, len: usize, test: &str) -> bool {
    // SAFETY: takes a plain number. Only what this thread sees of file systems becomes its own.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        skip(test, "a mount namespace of one's own needs privileges");
        return false;
    }
    let text = |text: &[u8]| CString::new(text).expect("no zero in it");
    let (none, root, place, tmpfs) = (text(b"none"), text(b"/"), text(place.as_os_str().as_bytes()), text(b"tmpfs"));
    let size = text(format!("size={len}").as_bytes());
    let private = libc::MS_REC | libc::MS_PRIVATE;
    let nothing = std::ptr::null();
    // SAFETY: the strings live through the call, and no other argument is looked at for this change.
    let kept = unsafe { libc::mount(none.as_ptr(), root.as_ptr(), nothing, private, nothing.cast()) };
    assert_eq!(kept, 0, "keep mounts to ourselves: {}", std::io::Error::last_os_error());
    // SAFETY: the strings live through the call.
    let done = unsafe { libc::mount(none.as_ptr(), place.as_ptr(), tmpfs.as_ptr(), 0, size.as_ptr().cast()) };
    assert_eq!(done, 0, "mount a small file system: {}", std::io::Error::last_os_error());
    true
}

/// Bytes in use in the file system at `place`.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn bytes_used(place: &Path) -> u64 {
    let found = rustix::fs::statvfs(place).expect("a file system");
    (found.f_blocks - found.f_bfree) * found.f_frsize
}
