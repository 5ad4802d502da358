//! The serving half: requests are taken from their queue, by the user or by a handler, and replied to.

use super::{NESTING, Request, RpcBus, code, served};
use crate::deadline::Deadline;
use crate::error::{Cause, Violation};
use crate::layout::Form;
use crate::ring::{Label, Taken};
use crate::side::Patience;
use crate::sys;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// Serving.
impl RpcBus {
    /// The next request, waiting for it. It is replied to by [`Request::reply`], or later by its [id](Request::id).
    ///
    /// # Errors
    /// What ends the session, after every request that had come; [`Cause::OutOfMemory`]; [`Cause::Interrupted`];
    /// [`Cause::Forked`]; [`Cause::Corrupt`].
    #[inline]
    pub fn serve(&mut self) -> Result<Request<'_>, Cause> {
        self.serve_until(Deadline::NEVER)
    }

    /// As [`serve`](Self::serve), until `deadline`, then [`Cause::Timeout`].
    ///
    /// # Errors
    /// As for [`serve`](Self::serve).
    #[inline]
    pub fn serve_until(&mut self, deadline: Deadline) -> Result<Request<'_>, Cause> {
        self.next_request(Patience::Until(deadline))
    }

    /// As [`serve`](Self::serve), or [`Cause::Empty`] at once.
    ///
    /// # Errors
    /// As for [`serve`](Self::serve).
    #[inline]
    pub fn try_serve(&mut self) -> Result<Request<'_>, Cause> {
        self.next_request(Patience::None)
    }

    /// From now on `handler` serves the calls that arrive while this end waits for anything: for a reply, for room, or in
    /// [`run_until`](Self::run_until). A handler may call out through [`Request::bus`], and is then called for what arrives
    /// meanwhile, to a depth of 8; what would go deeper is answered with [`Cause::Overloaded`]. One that panics or ends
    /// without a reply costs that call alone: the caller gets [`Cause::Remote`].
    pub fn on_request(&mut self, handler: impl Fn(Request<'_>) + Send + Sync + 'static) {
        self.handler = Some(Arc::new(handler));
        self.serves = true;
    }

    /// Serves by the handler until `deadline` has passed or the session ends.
    ///
    /// # Errors
    /// [`Cause::Timeout`] at the deadline; what ends the session; [`Cause::InvalidArgument`] if there is no handler.
    pub fn run_until(&mut self, deadline: Deadline) -> Result<(), Cause> {
        if self.handler.is_none() {
            return Err(Cause::InvalidArgument { which: "set a handler with on_request before running" });
        }
        self.side.check_no_claim()?;
        loop {
            while self.serve_by_handler()? {
                // A busy peer leaves no moment in which nothing is there to serve.
                if deadline.has_passed() {
                    return Err(Cause::Timeout);
                }
            }
            let frame = self.side.take(Patience::Until(deadline))?;
            self.admit(frame)?;
        }
    }

    /// Serves at most `limit` requests by the handler, and does not wait for them. Answers how many, or [`Cause::Empty`] if none
    /// was there. What else has come, replies to calls of this end among it, goes to its place.
    ///
    /// # Errors
    /// [`Cause::Empty`]; what ends the session; [`Cause::OutOfMemory`]; [`Cause::InvalidArgument`] if there is no handler, or for
    /// a limit of 0; [`Cause::Forked`].
    pub fn try_run(&mut self, limit: usize) -> Result<usize, Cause> {
        if self.handler.is_none() {
            return Err(Cause::InvalidArgument { which: "set a handler with on_request before running" });
        }
        if limit == 0 {
            return Err(Cause::InvalidArgument { which: "limit must be at least 1" });
        }
        self.side.check_readable()?;
        self.side.check_no_claim()?;
        let mut served = 0;
        while served < limit {
            if self.serve_by_handler()? {
                served += 1;
                continue;
            }
            self.flush_cancels();
            match self.side.take(Patience::None) {
                Ok(frame) => self.admit(frame)?,
                // What is left is for the next call, and so is the end.
                Err(_) if served > 0 => break,
                Err(cause) => return Err(cause),
            }
        }
        Ok(served)
    }

    /// Replies to the open request `id`. Never waits for room: the peer keeps it free.
    ///
    /// # Errors
    /// [`Cause::InvalidArgument`] if no request with this id is open: it was never made, or replied to. [`Cause::TooLarge`]: the
    /// request stays open. [`Cause::OutOfMemory`] if there is no block for a long reply: the caller is told so. What ends the
    /// session; [`Cause::Forked`].
    #[inline]
    pub fn reply(&mut self, id: u32, type_id: u32, payload: &[u8]) -> Result<(), Cause> {
        self.reply_with(id, type_id, payload, Patience::None, Deadline::NEVER)
    }

    /// As [`reply`](Self::reply), but waits until `deadline` for a block where a long reply needs one, at most to the call's own
    /// deadline.
    ///
    /// # Errors
    /// As for [`reply`](Self::reply).
    pub fn reply_until(&mut self, id: u32, type_id: u32, payload: &[u8], deadline: Deadline) -> Result<(), Cause> {
        self.reply_within(id, type_id, payload, deadline, Deadline::NEVER)
    }

    /// As [`reply_until`](Self::reply_until), for callers that wait in pieces: this one ends `until` then, which may be sooner than the
    /// deadline.
    ///
    /// # Errors
    /// As for [`reply`](Self::reply); [`Cause::Timeout`] at `until`: the request is still open.
    pub fn reply_within(
        &mut self,
        id: u32,
        type_id: u32,
        payload: &[u8],
        deadline: Deadline,
        until: Deadline,
    ) -> Result<(), Cause> {
        self.reply_with(id, type_id, payload, Patience::Until(deadline), until)
    }

    /// Replies to the open request `id` with an error of the user's: a number below 2^31 and a text, cut at the inline limit.
    ///
    /// # Errors
    /// As for [`reply`](Self::reply); [`Cause::InvalidArgument`] for a number that is kept for the library.
    pub fn reply_error(&mut self, id: u32, code: u32, text: &str) -> Result<(), Cause> {
        if code >= code::FIRST {
            return Err(Cause::InvalidArgument { which: "code must be below 2147483648" });
        }
        self.open_request(id)?;
        self.send_error(id, code, text)
    }

    pub(super) fn open_request(&self, id: u32) -> Result<served::Request, Cause> {
        self.served.request(id).ok_or(NOT_OPEN)
    }

    #[inline(always)]
    pub(super) fn reply_with(
        &mut self,
        id: u32,
        type_id: u32,
        payload: &[u8],
        patience: Patience,
        piece: Deadline,
    ) -> Result<(), Cause> {
        if !self.served.is_open(id) {
            return Err(NOT_OPEN);
        }
        let label = Label { form: Form::REPLY, type_id, correlation: id };
        let sent = if payload.len() <= self.side.inline_limit() {
            self.post_reply(label, payload)
        } else {
            self.reply_in_block(label, payload, patience, piece)
        };
        if sent.is_ok() {
            self.served.close(id);
        }
        sent
    }

    #[cold]
    fn reply_in_block(
        &mut self,
        label: Label,
        payload: &[u8],
        patience: Patience,
        piece: Deadline,
    ) -> Result<(), Cause> {
        let request = self.open_request(label.correlation)?;
        let patience = match (patience, request.deadline) {
            (Patience::Until(until), Some(end)) => {
                let left = Duration::from_nanos(end.saturating_sub(sys::monotonic_ns()));
                Patience::Until(until.min(Deadline::after(left)))
            }
            (patience, _) => patience,
        };
        match self.side.post(label, &[], payload, patience.at_most(piece)) {
            Err(Cause::Timeout) if patience.check().is_ok() => Err(Cause::Timeout),
            Err(Cause::Full | Cause::Timeout | Cause::OutOfMemory) => {
                self.send_error(label.correlation, code::OUT_OF_MEMORY, "no memory is left for the reply")?;
                Err(Cause::OutOfMemory)
            }
            other => other,
        }
    }

    /// Answers an open request with an error, which closes it.
    pub(super) fn send_error(&mut self, id: u32, code: u32, text: &str) -> Result<(), Cause> {
        let text = &text.as_bytes()[..text.floor_char_boundary_at(self.side.inline_limit())];
        self.post_reply(Label { form: Form::ERROR, type_id: code, correlation: id }, text)?;
        self.served.close(id);
        Ok(())
    }

    /// Sends a reply that fits into the ring, for which the peer keeps room.
    #[inline]
    fn post_reply(&mut self, label: Label, payload: &[u8]) -> Result<(), Cause> {
        match self.side.post(label, &[], payload, Patience::None) {
            Err(Cause::Full) => Err(self.side.corrupt(Violation::Reserve)),
            other => other,
        }
    }

    #[inline(always)]
    fn next_request(&mut self, patience: Patience) -> Result<Request<'_>, Cause> {
        self.side.check_readable()?;
        self.side.check_no_claim()?;
        let mut looked = false;
        let opened = loop {
            if self.served.has_queued()
                && let Some(opened) = self.open_next()?
            {
                break opened;
            }
            if looked {
                patience.check()?;
            }
            looked = true;
            self.flush_cancels();
            self.side.let_calls_gather(patience, || self.served.elsewhere());
            let mut frame = Taken::NONE;
            self.side.take_into(patience, &mut frame)?;
            if frame.form != Form::REQUEST {
                self.admit(frame)?;
            } else if self.receive_request(frame)? {
                // The usual case: nothing waits before it, and there is nothing about it that could be against serving it.
                break Opened { id: frame.correlation, type_id: frame.type_id, deadline: None, note: None };
            }
        };
        Ok(Request::new(self, opened))
    }

    /// Opens the next request that is still worth serving; those that are not are answered.
    #[inline(never)]
    fn open_next(&mut self) -> Result<Option<Opened>, Cause> {
        while let Some(id) = self.served.open() {
            let request = self.served.request(id).expect("a request that was just opened is open");
            let mut note = None;
            if request.note {
                note = Some(self.notes.open(self.served.body_mut(id)));
                self.give_note_back(id)?;
            } else if request.cancelled {
                self.send_error(id, code::CANCELLED, "cancelled before it was served")?;
                continue;
            } else if request.deadline.is_some_and(|end| sys::monotonic_ns() >= end) {
                self.send_error(id, code::TIMEOUT, "the deadline passed before it was served")?;
                continue;
            }
            return Ok(Some(Opened { id, type_id: request.type_id, deadline: request.deadline, note }));
        }
        Ok(None)
    }

    /// The empty reply by which a note's place becomes free again.
    pub(super) fn give_note_back(&mut self, id: u32) -> Result<(), Cause> {
        self.post_reply(Label { form: Form::REPLY, type_id: 0, correlation: id }, &[])?;
        self.served.close(id);
        Ok(())
    }

    /// Serves one queued request by the handler, if there are both. Whether it did.
    pub(super) fn serve_by_handler(&mut self) -> Result<bool, Cause> {
        if !self.served.has_queued() {
            return Ok(false);
        }
        let Some(handler) = self.handler.clone() else { return Ok(false) };
        if self.depth >= NESTING {
            // Notes stay in the queue until the handlers return: nobody waits for them, and they keep their places.
            let Some(id) = self.served.open_request() else { return Ok(false) };
            return self.send_error(id, code::OVERLOADED, "calls are nested too deeply").map(|()| true);
        }
        let Some(opened) = self.open_next()? else { return Ok(true) };
        let id = opened.id;
        self.depth += 1;
        let ended = catch_unwind(AssertUnwindSafe(|| handler(Request::new(self, opened))));
        self.depth -= 1;
        if opened.note.is_some() || self.served.request(id).is_none() {
            return Ok(true);
        }
        match ended {
            Ok(()) => self.send_error(id, code::NO_REPLY, "the handler ended without a reply")?,
            Err(_) => self.send_error(id, code::PANICKED, "the handler panicked")?,
        }
        Ok(true)
    }
}

/// A request that was taken from the queue, to be handed to the user.
#[derive(Clone, Copy)]
pub(super) struct Opened {
    pub(super) id: u32,
    pub(super) type_id: u32,
    pub(super) deadline: Option<u64>,
    /// The number of its payload among the notes, if it is one.
    pub(super) note: Option<u32>,
}

pub(super) const NOT_OPEN: Cause = Cause::InvalidArgument { which: "no request with this id is open" };

/// Where a text can be cut.
trait CutText {
    fn floor_char_boundary_at(&self, at: usize) -> usize;
}

impl CutText for str {
    fn floor_char_boundary_at(&self, at: usize) -> usize {
        (0..=at.min(self.len())).rev().find(|&at| self.is_char_boundary(at)).unwrap_or(0)
    }
}
