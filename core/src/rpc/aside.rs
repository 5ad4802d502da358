//! Guards that are set aside: claims, replies and requests without a borrow of their bus, for callers that cannot hold one, such
//! as those of another language. As on a [`Bus`](crate::Bus), the bus keeps what the guard knew, and the caller gets a ticket.

use super::serving::NOT_OPEN;
use super::{CallClaim, CallId, Reply, Request, RpcBus};
use crate::error::Cause;

/// A [`CallClaim`] without a borrow of its bus ([`CallClaim::set_aside`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallClaimTicket(u64);

/// A [`Request`] without a borrow of its bus ([`Request::set_aside`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestTicket {
    id: u32,
    type_id: u32,
    /// The ticket of a note, which has no place to be found by.
    note: Option<u64>,
}

impl CallClaim<'_> {
    /// Lets go of the bus and keeps the room. Its bytes stay where they are until the claim is
    /// [taken up](RpcBus::take_up_claim) again; until then whatever else would send on this bus, or wait on it, answers
    /// [`Cause::InvalidArgument`]. Closing the bus gives it up.
    pub fn set_aside(self) -> CallClaimTicket {
        let bus = self.bus;
        bus.claims += 1;
        bus.claim = Some(self.room);
        bus.side.set_aside();
        CallClaimTicket(bus.claims)
    }
}

impl Reply<'_> {
    /// Lets go of the bus and keeps the reply: it stays where it is until [`RpcBus::wait`] for the same call, which answers at
    /// once, gives it again and it is dropped. Until then it has its place among the calls.
    pub fn set_aside(self) -> CallId {
        let call = self.call();
        std::mem::forget(self);
        call
    }
}

impl Request<'_> {
    /// Lets go of the bus and keeps the payload, until the request is [taken up](RpcBus::take_up_request) or replied to. A note
    /// keeps it until it is taken up and dropped.
    pub fn set_aside(self) -> RequestTicket {
        let note = self.note.map(|note| self.bus.notes.set_aside(note));
        let ticket = RequestTicket { id: self.id, type_id: self.type_id, note };
        std::mem::forget(self);
        ticket
    }

    /// As [`set_aside`](Self::set_aside), and lends the bus to `act`, by which the ticket can be taken up again: for handlers, which
    /// have no other way to the bus.
    pub fn set_aside_for<R>(mut self, act: impl FnOnce(&mut RpcBus, RequestTicket) -> R) -> R {
        // What is left of this guard has nothing to give back.
        let note = self.note.take().map(|note| self.bus.notes.set_aside(note));
        let ticket = RequestTicket { id: self.id, type_id: self.type_id, note };
        act(self.bus, ticket)
    }
}

impl RpcBus {
    /// Takes up a claim that was set aside.
    ///
    /// # Errors
    /// [`Cause::InvalidArgument`] if it is over: it was taken up already.
    pub fn take_up_claim(&mut self, ticket: CallClaimTicket) -> Result<CallClaim<'_>, Cause> {
        match self.claim {
            Some(room) if ticket.0 == self.claims => {
                self.claim = None;
                self.side.take_up();
                Ok(CallClaim { bus: self, room })
            }
            _ => Err(Cause::InvalidArgument { which: "the claim is over: it was committed or aborted" }),
        }
    }

    /// Takes up a request that was set aside.
    ///
    /// # Errors
    /// [`Cause::InvalidArgument`] if it is over: it was replied to, or, for a note, taken up already.
    pub fn take_up_request(&mut self, ticket: RequestTicket) -> Result<Request<'_>, Cause> {
        let RequestTicket { id, type_id, note } = ticket;
        let (note, deadline) = match note {
            Some(note) => (Some(self.notes.take_up(note).ok_or(NOT_OPEN)?), None),
            None => (None, self.open_request(id)?.deadline),
        };
        Ok(Request { bus: self, id, note, type_id, deadline })
    }

    /// Gives up a claim that was set aside, if there is one.
    pub(super) fn drop_claim(&mut self) {
        if self.claim.take().is_some() {
            self.side.take_up();
            self.side.abort_claim();
        }
    }
}
