//! What this process has taken of the memory that it may take for segments and shared objects, all sessions together.

use crate::sync::{
    AtomicU64,
    Ordering::{AcqRel, Relaxed},
};
use crate::sys::memory_there_is;

/// Bytes of all segments and objects of our own that exist.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// The most that may be; 0 until somebody says so.
static LIMIT: AtomicU64 = AtomicU64::new(0);

/// The memory of one segment or object. It is free for others when this drops.
#[derive(Debug)]
pub(crate) struct Share(u64);

impl Share {
    /// Takes `bytes`, if the limit leaves them.
    pub(crate) fn take(bytes: u64) -> Option<Self> {
        let fits = |taken: u64| taken.checked_add(bytes).filter(|&sum| sum <= limit());
        TAKEN.fetch_update(AcqRel, Relaxed, fits).ok().map(|_| Self(bytes))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        TAKEN.fetch_sub(self.0, AcqRel);
    }
}

pub(crate) fn taken() -> u64 {
    TAKEN.load(Relaxed)
}

/// What the user said, or half of what there is.
pub(crate) fn limit() -> u64 {
    match LIMIT.load(Relaxed) {
        0 => memory_there_is() / 2,
        limit => limit,
    }
}

/// Zero is as good as one byte: nothing fits.
pub(crate) fn set_limit(bytes: u64) {
    LIMIT.store(bytes.max(1), Relaxed);
}
