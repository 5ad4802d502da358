//! Claims: room in the ring that is written in place and then committed, or given up without a trace.

use super::{Bus, Role};
use crate::error::Cause;
use crate::ring::{Label, Show, Slot};
use crate::side::Patience;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// Room for one payload, to be written in place.
///
/// [`commit`](Self::commit) publishes it; dropping it, or [`abort`](Self::abort), gives it up and leaves no trace. While it
/// is open nothing else can be done with the bus:
///
/// ```compile_fail,E0499
/// # fn two(bus: &mut slipring::Bus) -> Result<(), slipring::Cause> {
/// let one = bus.claim(8)?;
/// let two = bus.claim(8)?;
/// drop((one, two));
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a claim that is dropped publishes nothing"]
pub struct Claim<'a> {
    pub(super) bus: &'a mut Bus,
    pub(super) slot: Slot,
}

impl<'a> Claim<'a> {
    #[inline(always)]
    pub(super) fn open(bus: &'a mut Bus, len: usize, patience: Patience) -> Result<Self, Cause> {
        bus.must(Role::Sends)?;
        let slot = bus.side.claim(0, len, patience)?;
        Ok(Self { bus, slot })
    }

    /// Publishes the first `used` bytes.
    ///
    /// # Errors
    /// [`Cause::InvalidArgument`] if `used` is more than was claimed: the claim comes back in the error, still open.
    /// [`Cause::Corrupt`] if the peer is found to have broken the protocol.
    #[inline(always)]
    pub fn commit(self, type_id: u32, used: usize) -> Result<(), CommitError<'a>> {
        self.finish(type_id, used, Show::Now)
    }

    /// As [`commit`](Self::commit), but hidden until [`Bus::flush`] or whatever else shows the group.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    #[inline]
    pub fn commit_later(self, type_id: u32, used: usize) -> Result<(), CommitError<'a>> {
        self.finish(type_id, used, Show::Later)
    }

    #[inline(always)]
    fn finish(self, type_id: u32, used: usize, show: Show) -> Result<(), CommitError<'a>> {
        if used > self.slot.len() {
            let cause = Cause::InvalidArgument { which: "used must be at most the length that was claimed" };
            return Err(CommitError { claim: self, cause });
        }
        match self.bus.side.commit(self.slot, Label::data(type_id), &[], used, show) {
            Ok(()) => Ok(()),
            Err(cause) => Err(CommitError { claim: self, cause }),
        }
    }

    /// Gives the room up. Nobody ever learns of it.
    pub fn abort(self) {
        if self.slot.is_elsewhere() {
            self.bus.side.abort_claim();
        }
    }
}

impl Deref for Claim<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bus.side.claimed(self.slot)
    }
}

impl DerefMut for Claim<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bus.side.claimed_mut(self.slot)
    }
}

/// Why a commit failed, with the claim, which is still open.
#[derive(Debug)]
pub struct CommitError<'a> {
    /// The claim, to be committed differently or dropped.
    pub claim: Claim<'a>,
    /// Why.
    pub cause: Cause,
}

impl fmt::Display for CommitError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the claim could not be committed: {}", self.cause)
    }
}

impl std::error::Error for CommitError<'_> {}

impl From<CommitError<'_>> for Cause {
    fn from(error: CommitError<'_>) -> Self {
        error.cause
    }
}

impl From<CommitError<'_>> for crate::Error {
    fn from(error: CommitError<'_>) -> Self {
        error.cause.into()
    }
}
