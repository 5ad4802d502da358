//! Claims that belong to their holder: a block of the arena that is filled on any thread and sent when it is ready.

use super::{Bus, Role};
use crate::arena::Block;
use crate::deadline::Deadline;
use crate::drafts::{Draft, Sent};
use crate::error::Cause;
use crate::ring::Label;
use crate::side::Patience;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// A block of the sender's arena that belongs to its holder until it is sent. Dereferences to its bytes.
///
/// Any number may be open, beside all other traffic, and on any thread: an array can be computed where the peer will read it.
/// It takes its place among the messages when it is sent, which never waits, because a line of the ring is kept for it.
/// Dropping it gives it up; nobody ever learns of it.
///
/// What it holds before it is written are old bytes of this side's own arena. Whatever stands in it when it is sent is said
/// to the peer.
#[must_use = "a claim that is dropped sends nothing"]
pub struct OwnedClaim(Draft);

impl OwnedClaim {
    pub(crate) fn new(draft: Draft) -> Self {
        Self(draft)
    }

    /// What is to be sent of it, if it is not more than there is.
    pub(crate) fn into_draft(self, used: usize) -> Result<Draft, OwnedClaimError> {
        if used > self.len() {
            let cause = Cause::InvalidArgument { which: "used must be at most the length that was claimed" };
            return Err(OwnedClaimError { claim: self, cause });
        }
        Ok(self.0)
    }
}

impl fmt::Debug for OwnedClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedClaim").field(&self.0).finish()
    }
}

/// # Panics
/// In a forked child, which has no part in its parent's memory.
impl Deref for OwnedClaim {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// # Panics
/// In a forked child.
impl DerefMut for OwnedClaim {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// What was sent out of an [`OwnedClaim`] and is still looked at by its holder, through addresses that he took before.
///
/// It keeps the memory, and the block from being used again: those bytes stay what they are until the last of the peer and this
/// lets go. They are the peer's to read, so its holder must not write to them any more. For callers that cannot take their views
/// back, such as those of another language. It may be dropped on any thread, after the session's end too.
#[derive(Debug)]
#[must_use = "what is dropped at once need not have been kept"]
pub struct SentClaim(#[expect(dead_code, reason = "held for what its drop does")] Sent);

impl SentClaim {
    pub(crate) fn new(sent: Sent) -> Self {
        Self(sent)
    }
}

/// Why a claim was not sent, with the claim, which is still open.
#[derive(Debug)]
pub struct OwnedClaimError {
    /// The claim, to be sent otherwise or dropped.
    pub claim: OwnedClaim,
    /// Why.
    pub cause: Cause,
}

impl OwnedClaimError {
    pub(crate) fn new((draft, cause): (Draft, Cause)) -> Self {
        Self { claim: OwnedClaim(draft), cause }
    }
}

impl fmt::Display for OwnedClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the claim could not be sent: {}", self.cause)
    }
}

impl std::error::Error for OwnedClaimError {}

impl From<OwnedClaimError> for Cause {
    fn from(error: OwnedClaimError) -> Self {
        error.cause
    }
}

/// Claims that belong to their holder.
impl Bus {
    /// A block for a payload of `len` bytes that is not tied to the bus, to be sent by [`publish_owned`](Self::publish_owned).
    /// Waits for a block, and for a line of the ring.
    ///
    /// # Errors
    /// As for [`claim`](Self::claim); [`Cause::InvalidArgument`] if as many are open as the ring keeps lines for: a quarter of
    /// its lines, fewer in a ring of less than 4 KiB.
    pub fn claim_owned(&mut self, len: usize) -> Result<OwnedClaim, Cause> {
        self.claim_owned_until(len, Deadline::NEVER)
    }

    /// As [`claim_owned`](Self::claim_owned), until `deadline`, then [`Cause::Timeout`].
    ///
    /// # Errors
    /// As for [`claim_owned`](Self::claim_owned).
    pub fn claim_owned_until(&mut self, len: usize, deadline: Deadline) -> Result<OwnedClaim, Cause> {
        self.must(Role::Sends)?;
        self.side.draft(len, 0, Patience::Until(deadline)).map(OwnedClaim)
    }

    /// As [`claim_owned`](Self::claim_owned), or [`Cause::Full`] at once.
    ///
    /// # Errors
    /// As for [`claim_owned`](Self::claim_owned).
    pub fn try_claim_owned(&mut self, len: usize) -> Result<OwnedClaim, Cause> {
        self.must(Role::Sends)?;
        self.side.draft(len, 0, Patience::None).map(OwnedClaim)
    }

    /// Sends the first `used` bytes of a claim. Never waits.
    ///
    /// # Errors
    /// With the claim, which stays open: [`Cause::InvalidArgument`] if `used` is more than was claimed, or the claim is of
    /// another bus; what ends the session; [`Cause::Forked`].
    pub fn publish_owned(&mut self, type_id: u32, claim: OwnedClaim, used: usize) -> Result<(), OwnedClaimError> {
        self.send_owned(type_id, claim, used).map(drop)
    }

    /// As [`publish_owned`](Self::publish_owned), for a caller who goes on looking at what he sent.
    ///
    /// # Errors
    /// As for [`publish_owned`](Self::publish_owned).
    pub fn publish_kept(&mut self, type_id: u32, claim: OwnedClaim, used: usize) -> Result<SentClaim, OwnedClaimError> {
        let (draft, block) = self.send_owned(type_id, claim, used)?;
        Ok(SentClaim(self.side.outgoing.keep_sent(draft, block)))
    }

    fn send_owned(&mut self, type_id: u32, claim: OwnedClaim, used: usize) -> Result<(Draft, Block), OwnedClaimError> {
        if let Err(cause) = self.must(Role::Sends) {
            return Err(OwnedClaimError { claim, cause });
        }
        let sent = self.side.commit_draft(claim.into_draft(used)?, Label::data(type_id), &[], used);
        sent.map_err(OwnedClaimError::new)
    }
}
