//! Shared objects: memory that is written once, sealed, and read in place by any number of processes.

use crate::boundary::{Failure, boundary, boundary_or, invalid};
use crate::given::out;
use crate::handle::{create, enter, object, slot};
use crate::patience::deadline;
use crate::status::slipring_status_t;
use std::ffi::c_void;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use transport::{SharedBuffer, SharedBuilder};

/// A shared object that is being written.
pub struct slipring_builder_t {
    _opaque: [u8; 0],
}

/// Memory that never changes. It may be used by any number of threads at once, but for its freeing.
pub struct slipring_shared_t {
    _opaque: [u8; 0],
}

/// What a handle of a builder leads to.
struct Builder {
    inner: SharedBuilder,
}

/// What a handle of a shared object leads to.
pub(crate) struct Shared {
    pub(crate) buffer: SharedBuffer,
}

object!(Builder, slipring_builder_t, b"slr bldr", "builder");
object!(Shared, slipring_shared_t, b"slr shrd", "shared");

const NO_DESCRIPTOR: Failure =
    Failure::Here(slipring_status_t::SLIPRING_SYSTEM, "fd is no open descriptor, or no other one can be had");

impl Shared {
    pub(crate) fn open(buffer: SharedBuffer) -> *mut slipring_shared_t {
        create(Self { buffer })
    }
}

/// Begins a shared object of `len` bytes, all zero, to be written in place (slipring_builder_data) and then sealed. All its memory is
/// reserved now, so that writing cannot fail; that takes some 0.7 s a GiB, at most until the timeout. 0 is no time.
///
/// SLIPRING_OUT_OF_MEMORY (the text has the numbers), SLIPRING_TIMEOUT, SLIPRING_INTERRUPTED, SLIPRING_UNSUPPORTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_shared_build(
    len: usize,
    timeout_ns: i64,
    builder: *mut *mut slipring_builder_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let builder = unsafe { out(builder) }?;
        if len > isize::MAX as usize {
            return Err(invalid("len is more than there can be"));
        }
        builder.set(create(Builder { inner: SharedBuffer::build_until(len, deadline(timeout_ns)?)? }));
        Ok(())
    })
}

/// Where to write; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_builder_data(builder: *mut slipring_builder_t) -> *mut c_void {
    // SAFETY: as the caller promises.
    boundary_or(std::ptr::null_mut(), || Ok(unsafe { enter::<Builder>(builder) }?.inner.as_mut_ptr().cast()))
}

/// Ends the writing, for good, and frees the builder, whatever the answer. The object is the caller's, to be freed by
/// slipring_shared_free.
///
/// SLIPRING_SYSTEM if another process of this user has the memory mapped for writing; SLIPRING_UNSUPPORTED; SLIPRING_OUT_OF_MEMORY;
/// SLIPRING_FORKED. What was written is lost then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_builder_seal(
    builder: *mut slipring_builder_t,
    shared: *mut *mut slipring_shared_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let shared = unsafe { out(shared) }?;
        // SAFETY: as the caller promises.
        let builder = unsafe { enter::<Builder>(builder) }?.free();
        shared.set(Shared::open(builder.inner.seal()?));
        Ok(())
    })
}

/// Gives up what was not sealed. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_builder_free(builder: *mut slipring_builder_t) -> slipring_status_t {
    boundary(|| {
        if !builder.is_null() {
            // SAFETY: as the caller promises.
            drop(unsafe { enter::<Builder>(builder) }?.free());
        }
        Ok(())
    })
}

/// The bytes, to be read until the handle is freed; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_shared_data(shared: *const slipring_shared_t) -> *const c_void {
    // SAFETY: as the caller promises.
    boundary_or(std::ptr::null(), || Ok(unsafe { slot::<Shared>(shared) }?.peek().buffer.as_ptr().cast()))
}

/// How many bytes there are; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_shared_len(shared: *const slipring_shared_t) -> usize {
    // SAFETY: as the caller promises.
    boundary_or(0, || Ok(unsafe { slot::<Shared>(shared) }?.peek().buffer.len()))
}

/// The number by which the kernel knows the memory, the same in every process; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_shared_id(shared: *const slipring_shared_t) -> u64 {
    // SAFETY: as the caller promises.
    boundary_or(0, || Ok(unsafe { slot::<Shared>(shared) }?.peek().buffer.id()))
}

/// One more handle of the same memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_shared_clone(
    shared: *const slipring_shared_t,
    clone: *mut *mut slipring_shared_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let clone = unsafe { out(clone) }?;
        // SAFETY: as the caller promises.
        clone.set(Shared::open(unsafe { slot::<Shared>(shared) }?.peek().buffer.clone()));
        Ok(())
    })
}

/// The descriptor of the memory, to be handed to another process by whatever way. It is the library's: it ends with the last handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_shared_fd(shared: *const slipring_shared_t, fd: *mut i32) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let fd = unsafe { out(fd) }?;
        // SAFETY: as the caller promises.
        fd.set(unsafe { slot::<Shared>(shared) }?.peek().buffer.as_fd().as_raw_fd());
        Ok(())
    })
}

/// The object of `len` bytes behind a descriptor that came by another way than a message of this library's. The descriptor remains the
/// caller's.
///
/// SLIPRING_CORRUPT for what is no sealed object of that length; SLIPRING_OUT_OF_MEMORY; SLIPRING_SYSTEM for no descriptor.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_shared_attach(
    fd: i32,
    len: usize,
    shared: *mut *mut slipring_shared_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let shared = unsafe { out(shared) }?;
        if fd < 0 || len > isize::MAX as usize {
            return Err(invalid("fd is negative, or len is more than there can be"));
        }
        // SAFETY: it is used for a duplication alone, which fails if it is closed.
        let given = unsafe { BorrowedFd::borrow_raw(fd) };
        let own = given.try_clone_to_owned().map_err(|_| NO_DESCRIPTOR)?;
        shared.set(Shared::open(SharedBuffer::attach(own, len)?));
        Ok(())
    })
}

/// Frees the handle. The memory lives as long as anybody, in whatever process, has it. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_shared_free(shared: *mut slipring_shared_t) -> slipring_status_t {
    boundary(|| {
        if !shared.is_null() {
            // SAFETY: as the caller promises.
            drop(unsafe { enter::<Shared>(shared) }?.free());
        }
        Ok(())
    })
}
