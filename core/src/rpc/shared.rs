//! Calls and replies with shared objects.

use super::calling::{on_the_clock, with_deadline};
use super::serving::NOT_OPEN;
use super::{CallError, CallId, Reply, RpcBus, code};
use crate::deadline::Deadline;
use crate::error::{Cause, Violation};
use crate::layout::{Form, reply_max};
use crate::ring::Label;
use crate::session::objects::Object;
use crate::shared::{SharedBuffer, check_count};
use crate::side::{Patience, Want};
use std::sync::Arc;

fn objects<'a>(shared: &'a [&'a SharedBuffer]) -> impl ExactSizeIterator<Item = &'a Arc<Object>> {
    shared.iter().map(|buffer| buffer.object())
}

/// Shared objects.
impl RpcBus {
    /// As [`call`](Self::call), and with the request go `shared`: up to 8 objects, of one's own or received. The server finds them by
    /// [`Request::shared`](super::Request::shared). See [`Bus::publish_shared`](crate::Bus::publish_shared).
    ///
    /// # Errors
    /// As for [`call`](Self::call); [`Cause::InvalidArgument`] for more than 8 objects.
    pub fn call_shared(&mut self, type_id: u32, payload: &[u8], shared: &[&SharedBuffer]) -> Result<CallId, Cause> {
        self.call_shared_with(type_id, payload, shared, None, Patience::Until(Deadline::NEVER))
    }

    /// As [`call_shared`](Self::call_shared), until `deadline`, then [`Cause::Timeout`]. The deadline travels with the call.
    ///
    /// # Errors
    /// As for [`call_shared`](Self::call_shared).
    pub fn call_shared_until(
        &mut self,
        type_id: u32,
        payload: &[u8],
        shared: &[&SharedBuffer],
        deadline: Deadline,
    ) -> Result<CallId, Cause> {
        self.call_shared_with(type_id, payload, shared, Some(deadline), Patience::Until(deadline))
    }

    /// As [`call_shared_until`](Self::call_shared_until), for callers that wait in pieces: this one ends `until` then, which may be
    /// sooner than the deadline that travels.
    ///
    /// # Errors
    /// As for [`call_shared`](Self::call_shared); [`Cause::Timeout`] at `until`: nothing was sent.
    pub fn call_shared_within(
        &mut self,
        type_id: u32,
        payload: &[u8],
        shared: &[&SharedBuffer],
        deadline: Deadline,
        until: Deadline,
    ) -> Result<CallId, Cause> {
        self.call_shared_with(type_id, payload, shared, Some(deadline), Patience::Until(until))
    }

    /// As [`call_shared`](Self::call_shared), or [`Cause::Full`] at once.
    ///
    /// # Errors
    /// As for [`call_shared`](Self::call_shared).
    pub fn try_call_shared(&mut self, type_id: u32, payload: &[u8], shared: &[&SharedBuffer]) -> Result<CallId, Cause> {
        self.call_shared_with(type_id, payload, shared, None, Patience::None)
    }

    /// A [call](Self::call_shared) and the wait for its reply.
    ///
    /// # Errors
    /// As for [`call_shared`](Self::call_shared) and [`wait`](Self::wait).
    pub fn request_shared(
        &mut self,
        type_id: u32,
        payload: &[u8],
        shared: &[&SharedBuffer],
    ) -> Result<Reply<'_>, CallError> {
        let call = self.call_shared(type_id, payload, shared)?;
        self.wait(call)
    }

    /// As [`request_shared`](Self::request_shared), until `deadline`, then [`Cause::Timeout`]: the call is cancelled.
    ///
    /// # Errors
    /// As for [`request_shared`](Self::request_shared).
    pub fn request_shared_until(
        &mut self,
        type_id: u32,
        payload: &[u8],
        shared: &[&SharedBuffer],
        deadline: Deadline,
    ) -> Result<Reply<'_>, CallError> {
        let call = self.call_shared_until(type_id, payload, shared, deadline)?;
        self.wait_or_cancel(call, deadline)
    }

    fn call_shared_with(
        &mut self,
        type_id: u32,
        payload: &[u8],
        shared: &[&SharedBuffer],
        deadline: Option<Deadline>,
        patience: Patience,
    ) -> Result<CallId, Cause> {
        check_count(shared)?;
        if shared.is_empty() {
            return self.send(type_id, payload, false, deadline, patience);
        }
        let until = deadline.and_then(on_the_clock);
        let (form, head) = with_deadline(Form::REQUEST, &until);
        loop {
            match self.try_call_sharing(form, type_id, head, payload, shared, patience.elsewhere()) {
                Err(Cause::Full) => self.await_room(patience)?,
                other => return other,
            }
        }
    }

    fn try_call_sharing(
        &mut self,
        form: Form,
        type_id: u32,
        head: &[u8],
        payload: &[u8],
        shared: &[&SharedBuffer],
        patience: Patience,
    ) -> Result<CallId, Cause> {
        self.check_place()?;
        self.flush_cancels();
        let names = self.side.introduce(objects(shared), patience)?;
        let (in_ring, in_frame) = self.side.named_len(form, head.len(), payload.len(), names.count());
        if !in_frame {
            self.side.check_request_block(payload.len())?;
        }
        self.side.check_room(in_ring, self.kept)?;
        let Some(id) = self.calls.begin(false) else {
            // Only a reply can change that.
            self.side.full = Want::Data;
            return Err(Cause::Full);
        };
        let label = Label { form, type_id, correlation: id };
        match self.side.publish_named(label, head, payload, &names, patience) {
            Ok(()) => {
                self.side.named(objects(shared));
                Ok(CallId(id))
            }
            Err(cause) => {
                self.calls.withdraw(id);
                Err(cause)
            }
        }
    }

    /// As [`reply`](Self::reply), and with the reply go `shared`: up to 8 objects, of one's own or received; 3 where an inline limit
    /// of at most 48 bytes was agreed. The caller finds them by [`Reply::shared`]. Never waits.
    ///
    /// # Errors
    /// As for [`reply`](Self::reply); [`Cause::InvalidArgument`] for too many objects; [`Cause::Full`] where an object cannot be handed
    /// over before the caller has taken earlier ones. The request stays open after either.
    pub fn reply_shared(
        &mut self,
        id: u32,
        type_id: u32,
        payload: &[u8],
        shared: &[&SharedBuffer],
    ) -> Result<(), Cause> {
        self.reply_shared_with(id, type_id, payload, shared, Patience::None, Deadline::NEVER)
    }

    /// As [`reply_shared`](Self::reply_shared), but waits until `deadline` for what the reply needs, then [`Cause::Timeout`].
    ///
    /// # Errors
    /// As for [`reply_shared`](Self::reply_shared).
    pub fn reply_shared_until(
        &mut self,
        id: u32,
        type_id: u32,
        payload: &[u8],
        shared: &[&SharedBuffer],
        deadline: Deadline,
    ) -> Result<(), Cause> {
        self.reply_shared_within(id, type_id, payload, shared, deadline, Deadline::NEVER)
    }

    /// As [`reply_shared_until`](Self::reply_shared_until), for callers that wait in pieces: this one ends `until` then, which may be
    /// sooner than the deadline.
    ///
    /// # Errors
    /// As for [`reply_shared`](Self::reply_shared); [`Cause::Timeout`] at `until`: the request is still open.
    pub fn reply_shared_within(
        &mut self,
        id: u32,
        type_id: u32,
        payload: &[u8],
        shared: &[&SharedBuffer],
        deadline: Deadline,
        until: Deadline,
    ) -> Result<(), Cause> {
        self.reply_shared_with(id, type_id, payload, shared, Patience::Until(deadline), until)
    }

    fn reply_shared_with(
        &mut self,
        id: u32,
        type_id: u32,
        payload: &[u8],
        shared: &[&SharedBuffer],
        patience: Patience,
        piece: Deadline,
    ) -> Result<(), Cause> {
        check_count(shared)?;
        if !self.served.is_open(id) {
            return Err(NOT_OPEN);
        }
        if shared.is_empty() {
            return self.reply_with(id, type_id, payload, patience, piece);
        }
        let (in_ring, in_frame) = self.side.named_len(Form::REPLY, 0, payload.len(), shared.len());
        if in_ring > reply_max(self.side.inline_limit()) {
            let which = "a reply takes fewer shared objects where the inline limit is so small";
            return Err(Cause::InvalidArgument { which });
        }
        let now = patience.at_most(piece);
        let names = self.side.introduce(objects(shared), now)?;
        let label = Label { form: Form::REPLY, type_id, correlation: id };
        match self.side.publish_named(label, &[], payload, &names, now) {
            Ok(()) => {}
            Err(Cause::Timeout) if patience.check().is_ok() => return Err(Cause::Timeout),
            Err(Cause::Full) if in_frame => return Err(self.side.corrupt(Violation::Reserve)),
            Err(Cause::Full | Cause::Timeout | Cause::OutOfMemory) => {
                self.send_error(id, code::OUT_OF_MEMORY, "no memory is left for the reply")?;
                return Err(Cause::OutOfMemory);
            }
            Err(cause) => return Err(cause),
        }
        self.side.named(objects(shared));
        self.served.close(id);
        Ok(())
    }
}
