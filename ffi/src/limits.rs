//! Limits of the process.

use crate::boundary::boundary;
use crate::given::out;
use crate::status::slipring_status_t;

/// The most bytes of shared memory that this process may have made at once: rings and regions of all its sessions, and shared objects
/// that it built. Default half of what there is. What exists already stays. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn slipring_limit_memory(bytes: u64) -> slipring_status_t {
    boundary(|| {
        transport::limit_memory(bytes);
        Ok(())
    })
}

/// How many bytes of that this process has now. From any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_memory_taken(bytes: *mut u64) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        unsafe { out(bytes) }?.set(transport::memory_taken());
        Ok(())
    })
}

/// Raises the number of descriptors that this process may have open to the most that it may allow itself, and says how many that is. A
/// session takes one.
///
/// SLIPRING_SYSTEM if the kernel refuses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_raise_descriptor_limit(limit: *mut u64) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let limit = unsafe { out(limit) }?;
        limit.set(transport::raise_descriptor_limit()?);
        Ok(())
    })
}
