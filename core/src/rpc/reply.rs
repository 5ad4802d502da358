//! What a user holds of a call: the reply, the request, and the error that came instead.

use super::serving::Opened;
use super::{CallId, RpcBus};
use crate::bus::Message;
use crate::deadline::Deadline;
use crate::error::Cause;
use crate::shared::SharedBuffer;
use crate::sys;
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

/// A reply. Dereferences to its payload; dropping it gives its place, and its block if it came in one, back.
#[derive(Debug)]
#[must_use = "a reply that is dropped is gone"]
pub struct Reply<'a> {
    bus: &'a mut RpcBus,
    id: u32,
    type_id: u32,
}

impl<'a> Reply<'a> {
    #[inline]
    pub(super) fn new(bus: &'a mut RpcBus, id: u32, type_id: u32) -> Self {
        Self { bus, id, type_id }
    }

    /// The server's type id.
    #[must_use]
    pub fn type_id(&self) -> u32 {
        self.type_id
    }

    /// The call that this answers.
    #[must_use]
    pub fn call(&self) -> CallId {
        CallId(self.id)
    }

    /// Makes it the holder's, to be kept for as long as he likes. What came in a block stays there, and goes back when the last
    /// copy of the message drops, on whatever thread.
    #[must_use]
    pub fn keep(self) -> Message {
        let (bytes, shared) = self.bus.calls.body_mut(self.id).keep();
        Message::new(self.type_id, self.id.into(), bytes, shared)
    }

    /// The shared objects that came with it. Clones of them are the holder's, for as long as he likes.
    #[must_use]
    pub fn shared(&self) -> &[SharedBuffer] {
        self.bus.calls.body(self.id).shared()
    }
}

impl Deref for Reply<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bus.calls.body(self.id)
    }
}

impl Drop for Reply<'_> {
    #[inline]
    fn drop(&mut self) {
        self.bus.calls.take(self.id);
    }
}

/// A request that is being served. Dereferences to its payload.
///
/// Exactly one reply is due, by [`reply`](Self::reply), [`reply_error`](Self::reply_error), or later by [`id`](Self::id) through
/// the bus. Dropping it leaves it open. A note needs no reply, and none goes out.
#[derive(Debug)]
#[must_use = "somebody waits for the reply to a request"]
pub struct Request<'a> {
    pub(super) bus: &'a mut RpcBus,
    pub(super) id: u32,
    /// The number of a note's payload, which has no place any more.
    pub(super) note: Option<u32>,
    pub(super) type_id: u32,
    pub(super) deadline: Option<u64>,
}

impl<'a> Request<'a> {
    #[inline(always)]
    pub(super) fn new(bus: &'a mut RpcBus, opened: Opened) -> Self {
        let Opened { id, type_id, deadline, note } = opened;
        Self { bus, id, type_id, deadline, note }
    }

    /// What [`RpcBus::reply`] is to be given; the caller's correlation id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The caller's type id.
    #[must_use]
    pub fn type_id(&self) -> u32 {
        self.type_id
    }

    /// Whether nobody awaits a reply.
    #[must_use]
    pub fn is_note(&self) -> bool {
        self.note.is_some()
    }

    /// When the caller gives up.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        let left = |end: u64| Deadline::after(Duration::from_nanos(end.saturating_sub(sys::monotonic_ns())));
        self.deadline.map_or(Deadline::NEVER, left)
    }

    /// Whether the caller is known to have given up. The reply is due all the same.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.bus.served.request(self.id).is_some_and(|request| request.cancelled)
    }

    /// The bus that the request came by, to call out while serving.
    pub fn bus(&mut self) -> &mut RpcBus {
        self.bus
    }

    /// Takes the payload out, to be kept for as long as one likes. The request stays open, and has none any more.
    #[must_use]
    pub fn keep(&mut self) -> Message {
        let (kept, shared) = match self.note {
            Some(note) => self.bus.notes.body_mut(note).keep(),
            None => self.bus.served.body_mut(self.id).keep(),
        };
        Message::new(self.type_id, self.id.into(), kept, shared)
    }

    /// The shared objects that came with it. Clones of them are the holder's, for as long as he likes.
    #[must_use]
    pub fn shared(&self) -> &[SharedBuffer] {
        match self.note {
            Some(note) => self.bus.notes.body(note).shared(),
            None => self.bus.served.body(self.id).shared(),
        }
    }

    /// Replies.
    ///
    /// # Errors
    /// As for [`RpcBus::reply`].
    #[inline(always)]
    pub fn reply(self, type_id: u32, payload: &[u8]) -> Result<(), Cause> {
        if self.note.is_some() { Ok(()) } else { self.bus.reply(self.id, type_id, payload) }
    }

    /// Replies, and with the reply go `shared`.
    ///
    /// # Errors
    /// As for [`RpcBus::reply_shared`].
    pub fn reply_shared(self, type_id: u32, payload: &[u8], shared: &[&SharedBuffer]) -> Result<(), Cause> {
        if self.note.is_some() { Ok(()) } else { self.bus.reply_shared(self.id, type_id, payload, shared) }
    }

    /// Replies with an error.
    ///
    /// # Errors
    /// As for [`RpcBus::reply_error`].
    pub fn reply_error(self, code: u32, text: &str) -> Result<(), Cause> {
        if self.note.is_some() { Ok(()) } else { self.bus.reply_error(self.id, code, text) }
    }
}

impl Deref for Request<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self.note {
            Some(note) => self.bus.notes.body(note),
            None => self.bus.served.body(self.id),
        }
    }
}

impl Drop for Request<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(note) = self.note {
            self.bus.notes.close(note);
        }
    }
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    cause: Cause,
    text: String,
}

impl CallError {
    pub(super) fn new(cause: Cause, text: String) -> Self {
        Self { cause, text }
    }

    /// Why.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// What the peer said; empty where it said nothing.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text.is_empty() { self.cause.fmt(f) } else { write!(f, "{}: {}", self.cause, self.text) }
    }
}

impl std::error::Error for CallError {}

impl From<Cause> for CallError {
    fn from(cause: Cause) -> Self {
        Self { cause, text: String::new() }
    }
}

impl From<CallError> for Cause {
    fn from(error: CallError) -> Self {
        error.cause
    }
}

impl From<CallError> for crate::Error {
    fn from(error: CallError) -> Self {
        Self::new(error.cause, error.text)
    }
}
