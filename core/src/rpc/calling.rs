//! The calling half: requests go out, replies are waited for.

use super::calls::{Known, Outcome};
use super::{CallError, CallId, Reply, RpcBus, code};
use crate::deadline::Deadline;
use crate::error::Cause;
use crate::layout::{DEADLINE, Descriptor, Form};
use crate::ring::{Label, Taken};
use crate::side::{Patience, Want};
use crate::sys;

const UNKNOWN: Cause = Cause::InvalidArgument { which: "no call with this id is in flight" };

/// Calling.
impl RpcBus {
    /// Sends a request and answers at once with its id. Waits for room, and for a place among the calls in flight; meanwhile
    /// it goes on reading, and serves calls that arrive if there is a handler.
    ///
    /// # Errors
    /// [`Cause::TooLarge`]; [`Cause::OutOfMemory`]; what ends the session; [`Cause::Interrupted`]; [`Cause::Forked`].
    #[inline]
    pub fn call(&mut self, type_id: u32, payload: &[u8]) -> Result<CallId, Cause> {
        self.send(type_id, payload, false, None, Patience::Until(Deadline::NEVER))
    }

    /// As [`call`](Self::call), until `deadline`, then [`Cause::Timeout`]. The deadline travels: the handler can see it, and a
    /// request that it finds in the queue is not served any more.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    #[inline]
    pub fn call_until(&mut self, type_id: u32, payload: &[u8], deadline: Deadline) -> Result<CallId, Cause> {
        self.send(type_id, payload, false, Some(deadline), Patience::Until(deadline))
    }

    /// As [`call_until`](Self::call_until), for callers that wait in pieces: this one ends `until` then, which may be sooner than the
    /// deadline that travels.
    ///
    /// # Errors
    /// As for [`call`](Self::call); [`Cause::Timeout`] at `until`: nothing was sent.
    #[inline]
    pub fn call_within(
        &mut self,
        type_id: u32,
        payload: &[u8],
        deadline: Deadline,
        until: Deadline,
    ) -> Result<CallId, Cause> {
        self.send(type_id, payload, false, Some(deadline), Patience::Until(until))
    }

    /// As [`call`](Self::call), or [`Cause::Full`] at once.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    #[inline]
    pub fn try_call(&mut self, type_id: u32, payload: &[u8]) -> Result<CallId, Cause> {
        self.send(type_id, payload, false, None, Patience::None)
    }

    /// As [`try_call`](Self::try_call). The deadline travels with the call: it is how long the reply is awaited, and nothing is
    /// waited for here.
    ///
    /// # Errors
    /// As for [`try_call`](Self::try_call).
    pub fn try_call_within(&mut self, type_id: u32, payload: &[u8], deadline: Deadline) -> Result<CallId, Cause> {
        self.send(type_id, payload, false, Some(deadline), Patience::None)
    }

    /// Sends a request of which nobody awaits a reply. It takes a place among the calls in flight until the peer has taken it.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    pub fn note(&mut self, type_id: u32, payload: &[u8]) -> Result<(), Cause> {
        self.note_until(type_id, payload, Deadline::NEVER)
    }

    /// As [`note`](Self::note), until `deadline`, then [`Cause::Timeout`].
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    pub fn note_until(&mut self, type_id: u32, payload: &[u8], deadline: Deadline) -> Result<(), Cause> {
        self.send(type_id, payload, true, None, Patience::Until(deadline)).map(drop)
    }

    /// As [`note`](Self::note), or [`Cause::Full`] at once.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    pub fn try_note(&mut self, type_id: u32, payload: &[u8]) -> Result<(), Cause> {
        self.send(type_id, payload, true, None, Patience::None).map(drop)
    }

    /// Waits for the reply to `call`. It is given back when it drops.
    ///
    /// # Errors
    /// A [`CallError`] by cause: [`Cause::Remote`] where the peer answered with an error, and [`Cause::NotFound`],
    /// [`Cause::Overloaded`], [`Cause::Cancelled`], [`Cause::Timeout`] or [`Cause::OutOfMemory`] where its library did;
    /// [`Cause::InvalidArgument`] if no such call is in flight; and what ends the session.
    #[inline]
    pub fn wait(&mut self, call: CallId) -> Result<Reply<'_>, CallError> {
        self.wait_until(call, Deadline::NEVER)
    }

    /// As [`wait`](Self::wait), until `deadline`, then [`Cause::Timeout`]: the call stays in flight and can be waited for
    /// again, or [cancelled](Self::cancel).
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    #[inline]
    pub fn wait_until(&mut self, call: CallId, deadline: Deadline) -> Result<Reply<'_>, CallError> {
        let outcome = self.await_outcome(call, Patience::Until(deadline))?;
        self.finish(call, outcome)
    }

    /// As [`wait`](Self::wait), or [`Cause::Empty`] at once.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    #[inline]
    pub fn try_wait(&mut self, call: CallId) -> Result<Reply<'_>, CallError> {
        let outcome = self.await_outcome(call, Patience::None)?;
        self.finish(call, outcome)
    }

    /// A call and the wait for its reply.
    ///
    /// # Errors
    /// As for [`call`](Self::call) and [`wait`](Self::wait).
    #[inline]
    pub fn request(&mut self, type_id: u32, payload: &[u8]) -> Result<Reply<'_>, CallError> {
        let call = self.call(type_id, payload)?;
        self.wait(call)
    }

    /// As [`request`](Self::request), until `deadline`, then [`Cause::Timeout`]: the call is cancelled. The deadline travels.
    ///
    /// # Errors
    /// As for [`request`](Self::request).
    #[inline]
    pub fn request_until(&mut self, type_id: u32, payload: &[u8], deadline: Deadline) -> Result<Reply<'_>, CallError> {
        let call = self.call_until(type_id, payload, deadline)?;
        self.wait_or_cancel(call, deadline)
    }

    /// Waits for the reply to `call` until `deadline`, and then gives the call up.
    #[inline]
    pub(super) fn wait_or_cancel(&mut self, call: CallId, deadline: Deadline) -> Result<Reply<'_>, CallError> {
        match self.await_outcome(call, Patience::Until(deadline)) {
            Ok(outcome) => self.finish(call, outcome),
            Err(cause) => {
                self.cancel(call);
                Err(cause.into())
            }
        }
    }

    /// Gives up a call: nobody waits for its reply any more, and the peer is told. Its place stays taken until the reply comes,
    /// which it does all the same. Never waits.
    pub fn cancel(&mut self, call: CallId) {
        if self.calls.abandon(call.0) {
            self.cancels.push_back(call.0);
            self.flush_cancels();
        }
    }

    #[inline]
    pub(super) fn send(
        &mut self,
        type_id: u32,
        payload: &[u8],
        note: bool,
        deadline: Option<Deadline>,
        patience: Patience,
    ) -> Result<CallId, Cause> {
        let form = if note { Form::NOTE } else { Form::REQUEST };
        loop {
            match self.try_send(form, type_id, payload, deadline, patience.elsewhere()) {
                Err(Cause::Full) => self.await_room(patience)?,
                other => return other,
            }
        }
    }

    #[inline]
    fn try_send(
        &mut self,
        form: Form,
        type_id: u32,
        payload: &[u8],
        deadline: Option<Deadline>,
        patience: Patience,
    ) -> Result<CallId, Cause> {
        self.side.check_sendable(0)?;
        self.flush_cancels();
        let until = deadline.and_then(on_the_clock);
        let (form, head) = with_deadline(form, &until);
        let in_frame = if payload.len() > self.side.inline_limit() {
            self.side.check_request_block(payload.len())?;
            Descriptor::BYTES
        } else {
            payload.len()
        };
        self.side.check_room(head.len() + in_frame, self.kept)?;
        let Some(id) = self.calls.begin(form == Form::NOTE) else {
            // Only a reply can change that.
            self.side.full = Want::Data;
            return Err(Cause::Full);
        };
        match self.side.post(Label { form, type_id, correlation: id }, head, payload, patience) {
            Ok(()) => Ok(CallId(id)),
            Err(cause) => {
                self.calls.withdraw(id);
                Err(cause)
            }
        }
    }

    /// After `Full`: reads, serves, and waits for what was missing. `Ok` means: try again.
    #[cold]
    pub(super) fn await_room(&mut self, patience: Patience) -> Result<(), Cause> {
        let came = self.admit_all()?;
        // What was found earlier is served too: its sender may hold just what is missing here.
        if self.serve_by_handler()? || came {
            return patience.check();
        }
        match patience {
            Patience::None | Patience::OnlyToMake(_) => Err(Cause::Full),
            Patience::Until(deadline) => {
                let want = self.side.full;
                if want == Want::Data && self.calls.all_done() {
                    let which =
                        "every place for a call has a reply: take one, or cancel its call, before making another";
                    return Err(Cause::InvalidArgument { which });
                }
                match self.side.wait(want, deadline) {
                    Err(Cause::Closed) => Err(self.side.end_of_stream()),
                    other => other,
                }
            }
        }
    }

    /// Waits until the reply to `call` is there, or a request to be served, whichever comes first: then
    /// [`try_wait`](Self::try_wait) or [`try_serve`](Self::try_serve) has it. For ends that serve while they wait, and cannot do so
    /// by a [handler](Self::on_request).
    ///
    /// # Errors
    /// [`Cause::Timeout`] at the deadline; [`Cause::InvalidArgument`] if no such call is in flight; and what ends the session.
    pub fn await_either_until(&mut self, call: CallId, deadline: Deadline) -> Result<(), Cause> {
        self.side.check_no_claim()?;
        loop {
            match self.calls.look(call.0) {
                Known::Done(_) => return Ok(()),
                Known::Waiting if self.served.has_queued() => return Ok(()),
                Known::Waiting => {}
                Known::Unknown => return Err(UNKNOWN),
            }
            self.flush_cancels();
            let frame = self.side.take(Patience::Until(deadline))?;
            self.admit(frame)?;
        }
    }

    /// Waits until the outcome of `call` is known.
    #[inline]
    fn await_outcome(&mut self, call: CallId, patience: Patience) -> Result<Outcome, Cause> {
        self.side.check_no_claim()?;
        let mut served = 0;
        loop {
            match self.calls.look(call.0) {
                Known::Done(outcome) => return Ok(outcome),
                Known::Waiting => {}
                Known::Unknown => return Err(UNKNOWN),
            }
            if served > 0 {
                patience.check()?;
            }
            // A peer that never stops asking does not keep a call that is not to wait.
            let may_serve = patience != Patience::None || served < self.calls.most();
            if self.served.has_queued() && may_serve && self.serve_by_handler()? {
                served += 1;
                continue;
            }
            self.flush_cancels();
            self.side.let_calls_gather(patience, || self.calls.in_flight());
            let mut frame = Taken::NONE;
            self.side.take_into(patience, &mut frame)?;
            if frame.form != Form::REPLY {
                self.admit(frame)?;
                continue;
            }
            let outcome = self.admit_reply(frame, Outcome::Reply { type_id: frame.type_id })?;
            if frame.correlation == call.0 {
                return Ok(outcome);
            }
        }
    }

    /// The reply to `call`, or the error that came instead.
    #[inline]
    fn finish(&mut self, call: CallId, outcome: Outcome) -> Result<Reply<'_>, CallError> {
        match outcome {
            Outcome::Reply { type_id } => Ok(Reply::new(self, call.0, type_id)),
            Outcome::Error { code } => Err(self.take_error(call, code)),
        }
    }

    #[cold]
    fn take_error(&mut self, call: CallId, code: u32) -> CallError {
        let text = String::from_utf8_lossy(self.calls.body(call.0)).into_owned();
        self.calls.take(call.0);
        let cause = match code {
            code::NOT_FOUND => Cause::NotFound,
            code::OVERLOADED => Cause::Overloaded,
            code::CANCELLED => Cause::Cancelled,
            code::TIMEOUT => Cause::Timeout,
            code::OUT_OF_MEMORY => Cause::OutOfMemory,
            code => Cause::Remote { code },
        };
        CallError::new(cause, text)
    }

    /// Tells the peer of calls that were given up, as far as there is room.
    #[inline]
    pub(super) fn flush_cancels(&mut self) {
        if !self.cancels.is_empty() {
            self.send_cancels();
        }
    }

    #[cold]
    fn send_cancels(&mut self) {
        while let Some(&id) = self.cancels.front() {
            let label = Label { form: Form::CANCEL, type_id: 0, correlation: id };
            let sent =
                self.side.check_room(0, self.kept).and_then(|()| self.side.post(label, &[], &[], Patience::None));
            if sent.is_err() {
                return;
            }
            self.cancels.pop_front();
        }
    }
}

/// A deadline as it travels; `None` for one that never comes.
#[inline(never)]
pub(super) fn on_the_clock(deadline: Deadline) -> Option<[u8; DEADLINE]> {
    let left = u64::try_from(deadline.remaining()?.as_nanos()).unwrap_or(u64::MAX);
    Some(sys::monotonic_ns().saturating_add(left).to_le_bytes())
}

/// The form of a frame that says a deadline, if there is one, and what stands before its payload.
#[inline]
pub(super) fn with_deadline(form: Form, until: &Option<[u8; DEADLINE]>) -> (Form, &[u8]) {
    match until {
        Some(until) => (form.timed(), until),
        None => (form, &[]),
    }
}
