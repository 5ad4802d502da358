//! Claims for calls: a request or a reply that is written in place.

use super::calling::{on_the_clock, with_deadline};
use super::{CallId, RpcBus};
use crate::deadline::Deadline;
use crate::error::{Cause, Violation};
use crate::layout::{DEADLINE, Descriptor, Form};
use crate::ring::{Label, Show, Slot};
use crate::side::{Patience, Want};
use std::fmt;
use std::ops::{Deref, DerefMut};

/// Room for the payload of a request or a reply, to be written in place. Dropping it gives it up and leaves no trace; while it
/// is open nothing else can be done with the bus.
#[derive(Debug)]
#[must_use = "a claim that is dropped sends nothing"]
pub struct CallClaim<'a> {
    pub(super) bus: &'a mut RpcBus,
    pub(super) room: Room,
}

/// What was claimed, and for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    slot: Slot,
    /// The open request that this replies to; `None` for a request of our own.
    replies_to: Option<u32>,
    /// When a request of our own is given up, as it travels before the payload.
    until: Option<[u8; DEADLINE]>,
}

impl RpcBus {
    /// Room for a request of `len` bytes. Waits as [`call`](Self::call) does.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    pub fn claim_request(&mut self, len: usize) -> Result<CallClaim<'_>, Cause> {
        self.claim_request_with(len, None, Patience::Until(Deadline::NEVER))
    }

    /// As [`claim_request`](Self::claim_request), until `deadline`, then [`Cause::Timeout`]. The deadline travels with the call.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    pub fn claim_request_until(&mut self, len: usize, deadline: Deadline) -> Result<CallClaim<'_>, Cause> {
        self.claim_request_with(len, on_the_clock(deadline), Patience::Until(deadline))
    }

    /// As [`claim_request`](Self::claim_request), or [`Cause::Full`] at once.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    pub fn try_claim_request(&mut self, len: usize) -> Result<CallClaim<'_>, Cause> {
        self.claim_request_with(len, None, Patience::None)
    }

    fn claim_request_with(
        &mut self,
        len: usize,
        until: Option<[u8; DEADLINE]>,
        patience: Patience,
    ) -> Result<CallClaim<'_>, Cause> {
        let head = until.map_or(0, |until| until.len());
        let slot = loop {
            match self.try_slot(head, len, patience.elsewhere()) {
                Ok(slot) => break slot,
                Err(Cause::Full) => self.await_room(patience)?,
                Err(cause) => return Err(cause),
            }
        };
        Ok(CallClaim { bus: self, room: Room { slot, replies_to: None, until } })
    }

    fn try_slot(&mut self, head: usize, len: usize, patience: Patience) -> Result<Slot, Cause> {
        self.check_place()?;
        let in_frame = if len > self.side.inline_limit() {
            self.side.check_request_block(len)?;
            Descriptor::BYTES
        } else {
            len
        };
        self.side.check_room(head + in_frame, self.kept)?;
        self.side.claim(head, len, patience)
    }

    /// Whether one more call may be made; if not, `Full`, which only a reply can change.
    pub(super) fn check_place(&mut self) -> Result<(), Cause> {
        self.side.check_sendable(0)?;
        if self.calls.has_place() {
            return Ok(());
        }
        self.side.full = Want::Data;
        Err(Cause::Full)
    }

    /// Room for the reply to the open request `id`. Never waits.
    ///
    /// # Errors
    /// As for [`reply`](Self::reply); [`Cause::OutOfMemory`] leaves the request open.
    pub fn claim_reply(&mut self, id: u32, len: usize) -> Result<CallClaim<'_>, Cause> {
        self.open_request(id)?;
        let slot = match self.side.claim(0, len, Patience::None) {
            Err(Cause::Full) if len > self.side.inline_limit() => return Err(Cause::OutOfMemory),
            Err(Cause::Full) => return Err(self.side.corrupt(Violation::Reserve)),
            other => other?,
        };
        Ok(CallClaim { bus: self, room: Room { slot, replies_to: Some(id), until: None } })
    }
}

impl<'a> CallClaim<'a> {
    /// Sends the first `used` bytes: as a request, whose call is the answer, or as the reply, whose call is the one it replies to.
    ///
    /// # Errors
    /// [`Cause::InvalidArgument`] if `used` is more than was claimed: the claim comes back in the error, still open.
    /// [`Cause::Forked`].
    pub fn commit(self, type_id: u32, used: usize) -> Result<CallId, CallCommitError<'a>> {
        if used > self.len() {
            let cause = Cause::InvalidArgument { which: "used must be at most the length that was claimed" };
            return Err(CallCommitError { claim: self, cause });
        }
        let Room { slot, replies_to, until } = self.room;
        let bus = &mut *self.bus;
        let (form, id) = match replies_to {
            Some(id) => (Form::REPLY, id),
            None => (Form::REQUEST, bus.calls.begin(false).expect("the claim was made with a place for the call")),
        };
        let (form, head) = with_deadline(form, &until);
        match bus.side.commit(slot, Label { form, type_id, correlation: id }, head, used, Show::Now) {
            Ok(()) => {
                if replies_to.is_some() {
                    bus.served.close(id);
                }
                Ok(CallId(id))
            }
            Err(cause) => {
                if replies_to.is_none() {
                    bus.calls.withdraw(id);
                }
                Err(CallCommitError { claim: self, cause })
            }
        }
    }

    /// Gives the room up. Nobody ever learns of it.
    pub fn abort(self) {
        self.bus.side.abort_claim();
    }

    /// How much of the slot is not the user's.
    fn before(&self) -> usize {
        if self.room.slot.is_elsewhere() { 0 } else { self.room.until.map_or(0, |until| until.len()) }
    }
}

impl Deref for CallClaim<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bus.side.claimed(self.room.slot)[self.before()..]
    }
}

impl DerefMut for CallClaim<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        let before = self.before();
        &mut self.bus.side.claimed_mut(self.room.slot)[before..]
    }
}

/// Why a commit failed, with the claim, which is still open.
#[derive(Debug)]
pub struct CallCommitError<'a> {
    /// The claim, to be committed differently or dropped.
    pub claim: CallClaim<'a>,
    /// Why.
    pub cause: Cause,
}

impl fmt::Display for CallCommitError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the claim could not be committed: {}", self.cause)
    }
}

impl std::error::Error for CallCommitError<'_> {}

impl From<CallCommitError<'_>> for Cause {
    fn from(error: CallCommitError<'_>) -> Self {
        error.cause
    }
}
