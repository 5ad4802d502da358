//! The frame ring: one writer, one reader, frames on whole lines, and no index that both look at.
//!
//! The idea: a frame says itself that it is there. Its first word, the **commit word**, carries the frame's own position;
//! the writer stores it last, and the reader waits for exactly the value that belongs where it stands. So a small message
//! moves in one cache line, and nothing else has to move with it.
//!
//! ```text
//!     head                                        tail          tail + one line
//!      │ committed, not yet read                   │ cleared      │
//!   ───┼──────────┬───────────────┬────────────────┼──────────────┼──────
//!      │ frame    │ frame         │ frame          │ 0            │ old bytes of an earlier lap
//!   ───┴──────────┴───────────────┴────────────────┴──────────────┴──────
//! ```
//!
//! Old bytes could look like any commit word. Hence the invariant on which all rests: **the commit word at `tail` is zero
//! before the frame in front of it becomes visible**. The room for that one line is part of every reservation. *When* it is
//! cleared decides the latency: stores become visible in order, so a clear between payload and commit makes the commit wait
//! for a second line, and the polling reader takes the first one back meanwhile (measured: a round trip of 2.2 times the
//! floor). Therefore [`Writer::reserve`] clears before any payload is written, and [`Writer::commit`], once the frame is out,
//! already clears the word behind a next frame of the same size; in a steady stream `reserve` then has nothing to clear.
//!
//! A frame never wraps: a pad fills the end of the ring. It is committed after the frame behind it, so that the two appear
//! together. The reader tells how far it has read (a *credit*) lazily, but always in time: at every eighth of the ring, when
//! it finds the ring empty, before it sleeps, and whenever the writer says that it is starving.
//!
//! A group (`hold`) keeps back the commit word of its first frame only; the frames behind it are complete but cannot be
//! reached. Showing the group is one release store.
//!
//! What the reader loads from the ring is the peer's word and not to be trusted: each is loaded once, checked, and then used.
//! This folder knows no process, no segment and no waiting.

mod reader;
mod writer;

pub(crate) use reader::Reader;
pub(crate) use writer::Writer;

use crate::error::Violation;
use crate::layout::{Form, frame_bytes};

/// Room for one frame that no other process knows of: given up by forgetting it.
///
/// Two words, and on the way to the user never a struct in memory: bytes stored one by one and loaded together are not
/// forwarded, so such a load waits until every line stored before has become ours (measured: 250-byte claims at 95 ns
/// instead of 34).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Where the frame starts; the payload follows its header.
    start: u64,
    len: usize,
}

impl Slot {
    /// No place in the ring: a payload of `len` bytes that is written elsewhere.
    pub(crate) fn elsewhere(len: usize) -> Self {
        Self { start: u64::MAX, len }
    }

    #[inline]
    pub(crate) fn is_elsewhere(self) -> bool {
        self.start == u64::MAX
    }

    /// Bytes of payload that it has room for.
    #[inline]
    pub(crate) fn len(self) -> usize {
        self.len
    }

    /// Where the next frame will start.
    #[inline]
    fn end(self) -> u64 {
        self.start + frame_bytes(self.len)
    }
}

/// What a frame says of itself, beside its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) form: Form,
    pub(crate) type_id: u32,
    pub(crate) correlation: u32,
}

impl Label {
    /// A frame that carries its payload itself, and answers nothing.
    #[inline]
    pub(crate) fn data(type_id: u32) -> Self {
        Self { form: Form::DATA, type_id, correlation: 0 }
    }
}

/// Why there is no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// The ring has not been seen free up to this position.
    Until(u64),
    Corrupt(Violation),
}

/// Whether a frame is shown at once or stays in the group that the next one shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    Now,
    Later,
}

/// A frame that has been checked and taken out of the stream; its bytes stand until [`Reader::release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) form: Form,
    pub(crate) type_id: u32,
    pub(crate) correlation: u32,
    pub(crate) len: usize,
    /// Where the frame starts.
    start: u64,
}

impl Taken {
    /// No frame, to be overwritten.
    pub(crate) const NONE: Self = Self { form: Form::PAD, type_id: 0, correlation: 0, len: 0, start: 0 };
}

#[cfg(all(test, not(loom)))]
mod tests;
