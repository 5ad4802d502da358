//! The one door through which atomics, fences and time enter.
//!
//! Under `--cfg loom` the same names come from loom, so that the models run the very files that ship. The asymmetric pair
//! of [`light_barrier`] and `membarrier` is where model and product differ: the product's light barrier only stops the
//! compiler, because the sleeper's `membarrier` does the rest; loom has no `membarrier`, so there both are full fences.

#[cfg(not(loom))]
mod door {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
}

#[cfg(loom)]
mod door {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
}

pub(crate) use door::*;

/// Orders every access before it against every access after it, in this thread and towards all others.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
#[inline]
pub(crate) fn full_fence() {
    #[cfg(not(loom))]
    std::sync::atomic::fence(Ordering::SeqCst);
    #[cfg(loom)]
    loom::sync::atomic::fence(Ordering::SeqCst);
}

/// The hot side of the asymmetric pair: keeps the compiler from moving a load above a store. The processor may still do
/// so; the sleeping side's `membarrier` rules that out where it matters.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
#[inline]
pub(crate) fn light_barrier() {
    #[cfg(not(loom))]
    std::sync::atomic::compiler_fence(Ordering::SeqCst);
    #[cfg(loom)]
    if BARRIER_EXISTS.get() {
        loom::sync::atomic::fence(Ordering::SeqCst);
    }
}

#[cfg(loom)]
std::thread_local! {
    /// Whether a model's light barrier is a full fence, standing in for the sleeper's `membarrier`. Models of sessions that
    /// have no barrier, and fence instead, turn it off. (All threads of a loom model run on one thread of the system.)
    pub(crate) static BARRIER_EXISTS: std::cell::Cell<bool> = const { std::cell::Cell::new(true) };
}

/// Tells the processor (or loom's scheduler) that this thread is waiting for another.
#[inline]
pub(crate) fn spin_hint() {
    #[cfg(not(loom))]
    std::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
}
