//! Leases: frames that are read where they are, and given back.

use super::inbox::{Item, Long, Payload};
use super::{Bus, Role, at_least_one};
use crate::error::Cause;
use crate::returns::held::Kept;
use crate::ring::Taken;
use crate::shared::SharedBuffer;
use crate::side::Patience;
use std::ops::Deref;
use std::sync::Arc;

/// A received frame. Dereferences to its payload; dropping it gives the frame back to the sender.
///
/// It cannot outlive the next receive:
///
/// ```compile_fail,E0499
/// # fn two(bus: &mut slipring::Bus) -> Result<(), slipring::Cause> {
/// let one = bus.recv()?;
/// let two = bus.recv()?;
/// drop((one, two));
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a lease that is dropped gives its frame back"]
pub struct Lease<'a> {
    pub(super) bus: &'a mut Bus,
    pub(super) item: Item,
}

impl<'a> Lease<'a> {
    #[inline(always)]
    pub(super) fn take(bus: &'a mut Bus, patience: Patience) -> Result<Self, Cause> {
        bus.must(Role::Receives)?;
        bus.lease = None;
        let mut frame = Taken::NONE;
        bus.side.take_into(patience, &mut frame)?;
        bus.inbox.clear();
        let item = bus.inbox.admit(&mut bus.side, frame)?;
        Ok(Self { bus, item })
    }

    /// The sender's type id.
    #[must_use]
    pub fn type_id(&self) -> u32 {
        self.item.frame.type_id
    }

    /// The correlation id; 0 on a plain bus.
    #[must_use]
    pub fn correlation_id(&self) -> u64 {
        self.item.frame.correlation.into()
    }

    /// Makes it the holder's, to be kept for as long as he likes. A payload that came in a block stays where it is, and the
    /// block goes back when the last copy of the message drops, on whatever thread; a shorter one is copied out.
    #[must_use]
    pub fn keep(self) -> Message {
        let long = if self.item.frame.form.is_in_block() { self.bus.inbox.long.pop() } else { None };
        let (bytes, shared) = match long {
            Some(Long { payload: Payload::Held(held), shared }) => (Kept::Held(Arc::new(held)), shared),
            Some(Long { payload, shared }) => {
                (Kept::Copied(Box::from(self.bus.inbox.view_of(&self.bus.side, self.item, &payload))), shared)
            }
            None => (Kept::Copied(Box::from(&self[..])), Vec::new()),
        };
        Message { type_id: self.type_id(), correlation_id: self.correlation_id(), bytes, shared }
    }

    /// The shared objects that came with it. Clones of them are the holder's, for as long as he likes.
    #[must_use]
    pub fn shared(&self) -> &[SharedBuffer] {
        self.bus.inbox.shared(self.item)
    }
}

impl Deref for Lease<'_> {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        self.bus.inbox.view(&self.bus.side, self.item)
    }
}

impl Drop for Lease<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.bus.release();
    }
}

/// A received frame that belongs to its holder, on whatever thread, for as long as he likes; it outlives the bus, and the peer.
#[derive(Clone, Debug)]
pub struct Message {
    type_id: u32,
    correlation_id: u64,
    bytes: Kept,
    shared: Vec<SharedBuffer>,
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        let objects = |message: &Self| message.shared.iter().map(SharedBuffer::id).collect::<Vec<_>>();
        (self.type_id, self.correlation_id, &self[..]) == (other.type_id, other.correlation_id, &other[..])
            && objects(self) == objects(other)
    }
}

impl Eq for Message {}

impl Message {
    pub(crate) fn new(type_id: u32, correlation_id: u64, bytes: Kept, shared: Vec<SharedBuffer>) -> Self {
        Self { type_id, correlation_id, bytes, shared }
    }

    /// The shared objects that came with it.
    #[must_use]
    pub fn shared(&self) -> &[SharedBuffer] {
        &self.shared
    }

    /// The sender's type id.
    #[must_use]
    pub fn type_id(&self) -> u32 {
        self.type_id
    }

    /// The correlation id; 0 on a plain bus.
    #[must_use]
    pub fn correlation_id(&self) -> u64 {
        self.correlation_id
    }
}

impl Deref for Message {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A frame during [`Bus::poll`] or in a [`Batch`]. Dereferences to its payload.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    frame: Taken,
    bytes: &'a [u8],
    shared: &'a [SharedBuffer],
}

impl<'a> Frame<'a> {
    #[inline]
    pub(super) fn new(frame: Taken, bytes: &'a [u8], shared: &'a [SharedBuffer]) -> Self {
        Self { frame, bytes, shared }
    }

    /// The shared objects that came with it. Clones of them are the holder's, for as long as he likes.
    #[must_use]
    pub fn shared(&self) -> &'a [SharedBuffer] {
        self.shared
    }

    /// The payload, for as long as the frame may be looked at.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The sender's type id.
    #[inline]
    #[must_use]
    pub fn type_id(&self) -> u32 {
        self.frame.type_id
    }

    /// The correlation id; 0 on a plain bus.
    #[inline]
    #[must_use]
    pub fn correlation_id(&self) -> u64 {
        self.frame.correlation.into()
    }
}

impl Deref for Frame<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

/// Frames that were received together. They are given back together when the batch drops.
#[derive(Debug)]
#[must_use = "a batch that is dropped gives its frames back"]
pub struct Batch<'a> {
    bus: &'a mut Bus,
}

impl<'a> Batch<'a> {
    pub(super) fn take(bus: &'a mut Bus, limit: usize, patience: Patience) -> Result<Self, Cause> {
        bus.must(Role::Receives)?;
        at_least_one(limit)?;
        bus.lease = None;
        let mut next = bus.side.take(patience)?;
        bus.inbox.clear();
        bus.inbox.batch.clear();
        loop {
            // What cannot be delivered behind good frames is for the next call: these were committed, and are delivered.
            match bus.inbox.admit(&mut bus.side, next) {
                Ok(item) => bus.inbox.batch.push(item),
                Err(_) if !bus.inbox.batch.is_empty() => break,
                Err(cause) => return Err(cause),
            }
            if bus.inbox.batch.len() == limit {
                break;
            }
            // A violation behind good frames is for the next call: these were committed, and are delivered.
            match bus.side.take_now() {
                Ok(Some(frame)) => next = frame,
                _ => break,
            }
        }
        Ok(Self { bus })
    }

    /// How many frames there are; at least one.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.bus.inbox.batch.len()
    }

    /// The frames, in the order in which they were published.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Frame<'_>> {
        let bus = &*self.bus;
        let frame = |&item: &Item| Frame::new(item.frame, bus.inbox.view(&bus.side, item), bus.inbox.shared(item));
        bus.inbox.batch.iter().map(frame)
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if self.bus.side.unresolved.is_some() {
            // The frame behind the last was taken with them, and is still to be delivered: its lines go back with it.
            self.bus.inbox.clear();
            return;
        }
        self.bus.release();
    }
}
