//! Spans: bounded pieces of memory that a protocol may touch, and who keeps them alive.
//!
//! A [`WriteSpan`] lies in memory that this side alone writes; a [`ReadSpan`] lies in memory that only the other side
//! writes, and that may be mapped read-only. The protocols above take spans and never learn whether the bytes are a mapped
//! segment, a piece of the heap (tests, Miri, ThreadSanitizer) or loom's (models).
//!
//! Every access is checked against the span's private length, in release builds too: a predicted compare is the price of
//! not having to trust any arithmetic above. Words are atomics; payload bytes are copied in and out, or handed out as
//! slices by the two `unsafe` functions, whose callers promise that nobody else touches them meanwhile.

#[cfg(all(test, not(loom)))]
mod heap;
#[cfg(loom)]
mod model;
#[cfg(not(loom))]
mod raw;

#[cfg(loom)]
pub(crate) use model::{ReadSpan, WriteSpan};
#[cfg(not(loom))]
pub(crate) use raw::{ReadSpan, WriteSpan};
