//! Guards that are set aside: a lease or a claim without a borrow of its bus, for callers that cannot hold one, such as those of
//! another language.
//!
//! The bus itself keeps what the guard knew, and the caller gets a ticket: a number by which the bus tells this guard from those
//! before it. So a ticket that is stale, or another bus's, is found out, and nothing is ever looked at by what a caller kept.

use super::{Bus, Claim, Lease};
use crate::error::Cause;

/// A [`Lease`] without a borrow of its bus ([`Lease::set_aside`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTicket(u64);

/// A [`Claim`] without a borrow of its bus ([`Claim::set_aside`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimTicket(u64);

const LEASE_OVER: Cause =
    Cause::InvalidArgument { which: "the lease is over: it was released, or something was received after it" };
const CLAIM_OVER: Cause = Cause::InvalidArgument { which: "the claim is over: it was committed or aborted" };

impl Lease<'_> {
    /// Lets go of the bus and keeps the frame. Its payload stays where it is until the lease is [taken up](Bus::take_up_lease) and
    /// dropped, or until the next call that receives on this bus, successful or not.
    pub fn set_aside(self) -> LeaseTicket {
        let ticket = LeaseTicket(self.bus.side.stats.frames_received);
        self.bus.lease = Some(self.item);
        std::mem::forget(self);
        ticket
    }
}

impl Claim<'_> {
    /// Lets go of the bus and keeps the room. Its bytes stay where they are until the claim is [taken up](Bus::take_up_claim)
    /// again; until then whatever else would send on this bus answers [`Cause::InvalidArgument`]. Closing the bus gives it up.
    pub fn set_aside(self) -> ClaimTicket {
        let bus = self.bus;
        bus.claims += 1;
        bus.claim = Some(self.slot);
        bus.side.set_aside();
        ClaimTicket(bus.claims)
    }
}

impl Bus {
    /// Takes up a lease that was set aside.
    ///
    /// # Errors
    /// [`Cause::InvalidArgument`] if it is over: it was taken up already, or a call that receives came after it.
    #[inline]
    pub fn take_up_lease(&mut self, ticket: LeaseTicket) -> Result<Lease<'_>, Cause> {
        match self.lease {
            Some(item) if ticket.0 == self.side.stats.frames_received => {
                self.lease = None;
                Ok(Lease { bus: self, item })
            }
            _ => Err(LEASE_OVER),
        }
    }

    /// Takes up a claim that was set aside.
    ///
    /// # Errors
    /// [`Cause::InvalidArgument`] if it is over: it was taken up already.
    #[inline]
    pub fn take_up_claim(&mut self, ticket: ClaimTicket) -> Result<Claim<'_>, Cause> {
        match self.claim {
            Some(slot) if ticket.0 == self.claims => {
                self.claim = None;
                self.side.take_up();
                Ok(Claim { bus: self, slot })
            }
            _ => Err(CLAIM_OVER),
        }
    }

    /// Gives up a claim that was set aside, if there is one.
    pub(super) fn drop_claim(&mut self) {
        if self.claim.take().is_some() {
            self.side.take_up();
            self.side.abort_claim();
        }
    }
}
