//! Calls whose payload was written wherever its holder liked: requests and replies out of an [`OwnedClaim`].

use super::calling::{on_the_clock, with_deadline};
use super::{CallId, RpcBus};
use crate::arena::Block;
use crate::bus::{OwnedClaim, OwnedClaimError, SentClaim};
use crate::deadline::Deadline;
use crate::drafts::Draft;
use crate::error::Cause;
use crate::layout::{DEADLINE, Descriptor, Form};
use crate::ring::Label;
use crate::side::Patience;

/// Claims that belong to their holder.
impl RpcBus {
    /// A block for a payload of `len` bytes that is not tied to the bus, to be sent as a request by
    /// [`call_owned`](Self::call_owned) or as a reply by [`reply_owned`](Self::reply_owned). Waits as [`call`](Self::call) does.
    ///
    /// # Errors
    /// As for [`call`](Self::call); [`Cause::InvalidArgument`] if as many are open as the ring keeps lines for: at most a
    /// quarter of its lines.
    pub fn claim_owned(&mut self, len: usize) -> Result<OwnedClaim, Cause> {
        self.claim_owned_with(len, Patience::Until(Deadline::NEVER))
    }

    /// As [`claim_owned`](Self::claim_owned), until `deadline`, then [`Cause::Timeout`].
    ///
    /// # Errors
    /// As for [`claim_owned`](Self::claim_owned).
    pub fn claim_owned_until(&mut self, len: usize, deadline: Deadline) -> Result<OwnedClaim, Cause> {
        self.claim_owned_with(len, Patience::Until(deadline))
    }

    /// As [`claim_owned`](Self::claim_owned), or [`Cause::Full`] at once.
    ///
    /// # Errors
    /// As for [`claim_owned`](Self::claim_owned).
    pub fn try_claim_owned(&mut self, len: usize) -> Result<OwnedClaim, Cause> {
        self.claim_owned_with(len, Patience::None)
    }

    fn claim_owned_with(&mut self, len: usize, patience: Patience) -> Result<OwnedClaim, Cause> {
        loop {
            self.side.check_sendable(0)?;
            let drafted = self
                .side
                .check_request_block(len)
                .and_then(|()| self.side.check_room(DEADLINE + Descriptor::BYTES, self.kept))
                .and_then(|()| self.side.draft(len, self.kept, patience.elsewhere()));
            match drafted {
                Err(Cause::Full) => self.await_room(patience)?,
                other => return other.map(OwnedClaim::new),
            }
        }
    }

    /// Sends the first `used` bytes of a claim as a request. Waits only for a place among the calls in flight.
    ///
    /// # Errors
    /// With the claim, which stays open: [`Cause::InvalidArgument`] if `used` is more than was claimed, or the claim is of
    /// another bus; what ends the session; [`Cause::Interrupted`]; [`Cause::Forked`].
    pub fn call_owned(&mut self, type_id: u32, claim: OwnedClaim, used: usize) -> Result<CallId, OwnedClaimError> {
        self.call_owned_with(type_id, claim, used, None, Patience::Until(Deadline::NEVER)).map(|(call, _)| call)
    }

    /// As [`call_owned`](Self::call_owned), until `deadline`, then [`Cause::Timeout`]. The deadline travels with the call.
    ///
    /// # Errors
    /// As for [`call_owned`](Self::call_owned).
    pub fn call_owned_until(
        &mut self,
        type_id: u32,
        claim: OwnedClaim,
        used: usize,
        deadline: Deadline,
    ) -> Result<CallId, OwnedClaimError> {
        let until = on_the_clock(deadline);
        self.call_owned_with(type_id, claim, used, until, Patience::Until(deadline)).map(|(call, _)| call)
    }

    /// As [`call_owned_until`](Self::call_owned_until), for a caller who goes on looking at what he sent, and who waits for a place
    /// in pieces: this one ends `until` then, which may be sooner than the deadline that travels.
    ///
    /// # Errors
    /// As for [`call_owned`](Self::call_owned); [`Cause::Timeout`] at `until`.
    pub fn call_kept(
        &mut self,
        type_id: u32,
        claim: OwnedClaim,
        used: usize,
        deadline: Deadline,
        until: Deadline,
    ) -> Result<(CallId, SentClaim), OwnedClaimError> {
        let travels = on_the_clock(deadline);
        let (call, (draft, block)) = self.call_owned_with(type_id, claim, used, travels, Patience::Until(until))?;
        Ok((call, SentClaim::new(self.side.outgoing.keep_sent(draft, block))))
    }

    /// As [`call_owned`](Self::call_owned), or [`Cause::Full`] at once.
    ///
    /// # Errors
    /// As for [`call_owned`](Self::call_owned).
    pub fn try_call_owned(&mut self, type_id: u32, claim: OwnedClaim, used: usize) -> Result<CallId, OwnedClaimError> {
        self.call_owned_with(type_id, claim, used, None, Patience::None).map(|(call, _)| call)
    }

    fn call_owned_with(
        &mut self,
        type_id: u32,
        claim: OwnedClaim,
        used: usize,
        until: Option<[u8; DEADLINE]>,
        patience: Patience,
    ) -> Result<(CallId, (Draft, Block)), OwnedClaimError> {
        let draft = claim.into_draft(used)?;
        loop {
            match self.check_place() {
                Err(Cause::Full) => {
                    if let Err(cause) = self.await_room(patience) {
                        return Err(OwnedClaimError::new((draft, cause)));
                    }
                }
                Err(cause) => return Err(OwnedClaimError::new((draft, cause))),
                Ok(()) => break,
            }
        }
        let id = self.calls.begin(false).expect("a place that was just seen");
        let (form, head) = with_deadline(Form::REQUEST, &until);
        match self.side.commit_draft(draft, Label { form, type_id, correlation: id }, head, used) {
            Ok(sent) => Ok((CallId(id), sent)),
            Err(unsent) => {
                self.calls.withdraw(id);
                Err(OwnedClaimError::new(unsent))
            }
        }
    }

    /// Sends the first `used` bytes of a claim as the reply to the open request `id`. Never waits.
    ///
    /// # Errors
    /// As for [`call_owned`](Self::call_owned); [`Cause::InvalidArgument`] if no request with this id is open.
    pub fn reply_owned(
        &mut self,
        id: u32,
        type_id: u32,
        claim: OwnedClaim,
        used: usize,
    ) -> Result<(), OwnedClaimError> {
        self.send_reply(id, type_id, claim, used).map(drop)
    }

    /// As [`reply_owned`](Self::reply_owned), for a caller who goes on looking at what he sent.
    ///
    /// # Errors
    /// As for [`reply_owned`](Self::reply_owned).
    pub fn reply_kept(
        &mut self,
        id: u32,
        type_id: u32,
        claim: OwnedClaim,
        used: usize,
    ) -> Result<SentClaim, OwnedClaimError> {
        let (draft, block) = self.send_reply(id, type_id, claim, used)?;
        Ok(SentClaim::new(self.side.outgoing.keep_sent(draft, block)))
    }

    fn send_reply(
        &mut self,
        id: u32,
        type_id: u32,
        claim: OwnedClaim,
        used: usize,
    ) -> Result<(Draft, Block), OwnedClaimError> {
        if let Err(cause) = self.open_request(id) {
            return Err(OwnedClaimError { claim, cause });
        }
        let label = Label { form: Form::REPLY, type_id, correlation: id };
        let sent = self.side.commit_draft(claim.into_draft(used)?, label, &[], used);
        let sent = sent.map_err(OwnedClaimError::new)?;
        self.served.close(id);
        Ok(sent)
    }
}
