//! Spans: bounded pieces of memory that a protocol may touch, and who keeps them alive.
//!
//! A [`WriteSpan`] lies in memory that this side alone writes; a [`ReadSpan`] lies in memory that only the other side
//! writes, and that may be mapped read-only. The protocols above take spans and never learn whether the bytes are a mapped
//! segment, a piece of the heap (tests, Miri, ThreadSanitizer) or loom's (models).
//!
//! No access can leave its span, in release builds too, so nothing above has to be trusted with arithmetic. A span checks
//! each access against its private length. The shapes that the hot path uses need not even compare: a **ring**
//! ([`WriteRing`], [`ReadRing`]) has a power-of-two length and masks every position, a **table** ([`WriteTable`],
//! [`ReadTable`]) does the same with words, and a **header** ([`WriteHeader`], [`ReadHeader`]) has a length that the compiler
//! knows, and offsets that are constants.
//!
//! Words are atomics; payload bytes are copied in and out, or handed out as slices by the `unsafe` functions, whose callers
//! promise that nobody else touches them meanwhile.

mod shape;

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
pub(crate) use shape::{ReadHeader, ReadRing, ReadTable, WriteHeader, WriteRing, WriteTable};
