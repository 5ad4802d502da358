//! `slipring`: calls and data between processes at nearly the speed of the memory itself.
#![deny(rustdoc::broken_intra_doc_links)]
#![cfg_attr(loom, expect(dead_code, reason = "a model has no kernel, no segment and no handshake"))]

// Floor 0: causes, time, atomics, bytes; the kernel and its memory.
mod deadline;
mod error;
mod layout;
mod span;
mod sync;
#[cfg(not(loom))]
mod shm;
#[cfg(not(loom))]
mod sys;

// Floor 1: protocols over spans, which know no file and no process.
mod park;
mod ring;

// Floor 2: how a side idles, publishes and receives.
mod consumer;
mod observe;
mod producer;
mod side;
mod wait;

#[cfg(all(test, loom))]
mod models;

// Floor 3: two processes.
#[cfg(not(loom))]
mod options;
#[cfg(not(loom))]
mod session;

// Floor 4: what users of the transport touch.
#[cfg(not(loom))]
mod bus;

#[cfg(not(loom))]
pub use bus::{Batch, Bus, Claim, CommitError, Frame, Lease, Listener, Message};
pub use deadline::Deadline;
pub use error::{Cause, Error, Refusal, Violation};
pub use observe::{State, Stats};
#[cfg(not(loom))]
pub use options::{Fence, Options, Trust};
pub use wait::Wait;
