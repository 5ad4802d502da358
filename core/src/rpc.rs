//! Calls between two processes, both ways.
//!
//! Both ends may call, and both may serve. A call goes out as a frame with an id and comes back as exactly one reply or error
//! with the same id, in whatever order; nobody who waits stops reading, and a reply always finds room, because requests leave
//! it. So two ends that call each other with full rings, or out of each other's handlers, cannot lock each other up.

mod body;
mod calls;
mod claim;
mod reply;
mod served;

pub use claim::{CallClaim, CallCommitError};
pub use reply::{CallError, Reply, Request};

use crate::deadline::Deadline;
use crate::error::{Cause, Error, Violation};
use crate::layout::{DEADLINE, Descriptor, Form, SessionKind, kept_for_replies};
use crate::listener::Listener;
use crate::observe::{State, Stats};
use crate::options::{Options, Settings, Trust};
use crate::ring::{Label, Taken};
use crate::session::connect;
use crate::session::handshake::Session;
use crate::session::link::Link;
use crate::side::{Patience, Side, Want};
use crate::sys;
use body::{Body, least_len};
use calls::{Calls, Known, Outcome};
use served::Served;
use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// How deep handlers may call out and be called back, before the next call is answered with [`Cause::Overloaded`].
const NESTING: u32 = 8;

/// Why a call was answered with an error, as a number on the wire. Below the first of these they are the user's.
mod code {
    pub(super) const FIRST: u32 = 0x8000_0000;
    pub(super) const NOT_FOUND: u32 = FIRST;
    pub(super) const OVERLOADED: u32 = FIRST + 1;
    pub(super) const CANCELLED: u32 = FIRST + 2;
    pub(super) const TIMEOUT: u32 = FIRST + 3;
    pub(super) const OUT_OF_MEMORY: u32 = FIRST + 4;
    pub(super) const NO_REPLY: u32 = FIRST + 5;
    pub(super) const PANICKED: u32 = FIRST + 6;
}

/// A call that was made, until its reply is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId(u32);

impl CallId {
    /// The number that the peer sees as the request's correlation id.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }

    /// The call with this number. One that was never made is answered as such wherever it is used.
    #[must_use]
    pub fn from_number(number: u32) -> Self {
        Self(number)
    }
}

type Handler = Arc<dyn Fn(Request<'_>) + Send + Sync>;

/// One end of a session for calls.
///
/// Every call that may have to wait comes as `x`, `x_until` a [`Deadline`], and `try_x`, as for a [`Bus`](crate::Bus); the
/// deadline of a call travels with it, and the handler can see it. A wait for a reply also serves calls that arrive, if this
/// end has a [handler](Self::on_request).
///
/// An end belongs to one thread at a time and may move between threads between calls. What is kept of requests and replies
/// ([`Reply::keep`], [`Request::keep`]) belongs to its holder, on whatever thread.
///
/// ```
/// use slipring::{Deadline, Listener, Options, RpcBus};
/// use std::time::Duration;
///
/// # let dir = std::env::temp_dir().join(format!("slipring-rpc-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir)?;
/// # let address = dir.join("sums").display().to_string();
/// let mut listener = Listener::bind(&address, &Options::default())?;
/// let client = std::thread::spawn({
///     let address = address.clone();
///     move || -> Result<Vec<u8>, slipring::Error> {
///         let mut rpc = RpcBus::connect(&address, &Options::default())?;
///         let reply = rpc.request_until(1, &[2, 3], Deadline::after(Duration::from_secs(5)))?;
///         Ok(reply.to_vec())
///     }
/// });
/// let mut rpc = listener.accept_rpc_until(Deadline::after(Duration::from_secs(5)))?;
/// let request = rpc.serve()?;
/// let sum = request.iter().sum::<u8>();
/// request.reply(0, &[sum])?;
/// assert_eq!(client.join().expect("the client does not panic")?, [5]);
/// # drop(listener);
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RpcBus {
    side: Side<Link>,
    calls: Calls,
    served: Served,
    /// The note that is being looked at: its place is free already.
    note: Body,
    /// Calls of ours that are to be cancelled as soon as there is room for saying so.
    cancels: VecDeque<u32>,
    handler: Option<Handler>,
    depth: u32,
    serves: bool,
    copies: bool,
    /// Bytes of our ring that requests leave free.
    kept: u64,
    /// By how much our monotonic clock is ahead of the peer's.
    clock_ahead: i64,
    late_replies: u64,
    closed: bool,
}

impl fmt::Debug for RpcBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcBus").field("in_flight", &self.calls.in_flight()).finish_non_exhaustive()
    }
}

/// Opening and closing.
impl RpcBus {
    pub(crate) fn new(session: Session, settings: &Settings, listens: bool) -> Self {
        let Session { side, calls, clock_ahead } = session;
        Self {
            kept: kept_for_replies(side.writer.size(), calls, side.inline_limit()),
            side,
            calls: Calls::new(calls),
            served: Served::new(calls),
            note: Body::default(),
            cancels: VecDeque::new(),
            handler: None,
            depth: 0,
            serves: settings.serves.unwrap_or(listens),
            copies: settings.trust == Trust::Untrusted,
            clock_ahead,
            late_replies: 0,
            closed: false,
        }
    }

    /// Listens at `address` for one peer. The name is given back as soon as the session stands. For any number of peers, see
    /// [`Listener`].
    ///
    /// # Errors
    /// As for [`Bus::listen`](crate::Bus::listen).
    pub fn listen(address: &str, options: &Options) -> Result<Self, Error> {
        Self::listen_until(address, options, Deadline::NEVER)
    }

    /// As [`listen`](Self::listen), until `deadline`, then [`Cause::Timeout`].
    ///
    /// # Errors
    /// As for [`Bus::listen`](crate::Bus::listen).
    pub fn listen_until(address: &str, options: &Options, deadline: Deadline) -> Result<Self, Error> {
        options.settle(SessionKind::Rpc)?;
        Listener::bind(address, options)?.accept_rpc_until(deadline)
    }

    /// Connects to the listener at `address`. Fails at once if nobody listens there.
    ///
    /// # Errors
    /// As for [`Bus::connect`](crate::Bus::connect).
    pub fn connect(address: &str, options: &Options) -> Result<Self, Error> {
        Self::connect_until(address, options, Deadline::NOW)
    }

    /// As [`connect`](Self::connect), but waits until `deadline` for the listener to appear.
    ///
    /// # Errors
    /// As for [`Bus::connect`](crate::Bus::connect).
    pub fn connect_until(address: &str, options: &Options, deadline: Deadline) -> Result<Self, Error> {
        let settings = options.settle(SessionKind::Rpc)?;
        let session = connect::connect(address, &settings, deadline)?;
        Ok(Self::new(session, &settings, false))
    }

    /// How the session stands. Looks at the socket, so it may be the first to find that the peer is gone.
    pub fn state(&mut self) -> State {
        self.side.state()
    }

    /// What this end has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats { late_replies: self.late_replies, ..self.side.stats() }
    }

    /// How many calls of this end are in flight: made, and their replies not yet taken.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.calls.in_flight()
    }

    /// The longest request that this end can make, in bytes.
    #[must_use]
    pub fn request_max(&self) -> u64 {
        self.side.request_max()
    }

    /// The longest payload that goes into the ring itself, in bytes, as both ends agreed.
    #[must_use]
    pub fn inline_limit(&self) -> usize {
        self.side.inline_limit()
    }

    /// Says goodbye and ends the session, after waiting at most `linger` until the peer has read everything.
    ///
    /// # Errors
    /// As for [`Bus::close`](crate::Bus::close).
    pub fn close(mut self, linger: Duration) -> Result<(), Cause> {
        self.side.check_ours()?;
        let read = if linger.is_zero() { Ok(()) } else { self.side.wait_until_read(Deadline::after(linger)) };
        self.say_goodbye();
        read
    }

    fn say_goodbye(&mut self) {
        if !std::mem::replace(&mut self.closed, true) && self.side.check_ours().is_ok() {
            self.side.farewell();
            self.side.channel().hang_up();
        }
    }
}

impl Drop for RpcBus {
    fn drop(&mut self) {
        self.say_goodbye();
    }
}

/// The descriptor for a foreign event loop, as that of a [`Bus`](crate::Bus): call [`try_serve`](RpcBus::try_serve) or
/// [`try_wait`](RpcBus::try_wait) until the answer is [`Cause::Empty`].
impl AsFd for RpcBus {
    fn as_fd(&self) -> BorrowedFd<'_> {
        if self.side.check_ours().is_ok() {
            self.side.watch();
        }
        self.side.channel().fd()
    }
}

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

    /// As [`call`](Self::call), or [`Cause::Full`] at once.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    #[inline]
    pub fn try_call(&mut self, type_id: u32, payload: &[u8]) -> Result<CallId, Cause> {
        self.send(type_id, payload, false, None, Patience::None)
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
    fn send(
        &mut self,
        type_id: u32,
        payload: &[u8],
        note: bool,
        deadline: Option<Deadline>,
        patience: Patience,
    ) -> Result<CallId, Cause> {
        let form = if note { Form::NOTE } else { Form::REQUEST };
        loop {
            match self.try_send(form, type_id, payload, deadline) {
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
    ) -> Result<CallId, Cause> {
        self.side.check_sendable(0)?;
        if !self.cancels.is_empty() {
            self.flush_cancels();
        }
        let until = deadline.and_then(Deadline::remaining).map(|left| {
            (sys::monotonic_ns().saturating_add(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX))).to_le_bytes()
        });
        let (form, head) = match &until {
            Some(until) => (form.timed(), &until[..]),
            None => (form, &[][..]),
        };
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
        match self.side.post(Label { form, type_id, correlation: id }, head, payload, Patience::None) {
            Ok(()) => Ok(CallId(id)),
            Err(cause) => {
                self.calls.withdraw(id);
                Err(cause)
            }
        }
    }

    /// After `Full`: reads, serves, and waits for what was missing. `Ok` means: try again.
    #[cold]
    fn await_room(&mut self, patience: Patience) -> Result<(), Cause> {
        if self.admit_all()? {
            return self.serve_by_handler();
        }
        match patience {
            Patience::None => Err(Cause::Full),
            Patience::Until(deadline) => {
                let want = self.side.full;
                match self.side.wait(want, deadline) {
                    Err(Cause::Closed) => Err(self.side.end_of_stream()),
                    other => other,
                }
            }
        }
    }

    /// Waits until the outcome of `call` is known.
    #[inline]
    fn await_outcome(&mut self, call: CallId, patience: Patience) -> Result<Outcome, Cause> {
        loop {
            match self.calls.look(call.0) {
                Known::Done(outcome) => return Ok(outcome),
                Known::Waiting => {}
                Known::Unknown => return Err(Cause::InvalidArgument { which: "no call with this id is in flight" }),
            }
            if self.served.has_queued() && self.handler.is_some() {
                self.serve_by_handler()?;
                continue;
            }
            let frame = self.side.take(patience)?;
            self.admit(frame)?;
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
    fn flush_cancels(&mut self) {
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

/// Serving.
impl RpcBus {
    /// The next request, waiting for it. It is replied to by [`Request::reply`], or later by its [id](Request::id).
    ///
    /// # Errors
    /// What ends the session, after every request that had come; [`Cause::OutOfMemory`]; [`Cause::Interrupted`];
    /// [`Cause::Forked`]; [`Cause::Corrupt`].
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
        loop {
            while self.served.has_queued() {
                self.serve_by_handler()?;
            }
            let frame = self.side.take(Patience::Until(deadline))?;
            self.admit(frame)?;
        }
    }

    /// Replies to the open request `id`. Never waits for room: the peer keeps it free.
    ///
    /// # Errors
    /// [`Cause::InvalidArgument`] if no request with this id is open: it was never made, or replied to. [`Cause::TooLarge`]: the
    /// request stays open. [`Cause::OutOfMemory`] if there is no block for a long reply: the caller is told so. What ends the
    /// session; [`Cause::Forked`].
    #[inline]
    pub fn reply(&mut self, id: u32, type_id: u32, payload: &[u8]) -> Result<(), Cause> {
        self.reply_with(id, type_id, payload, Patience::None)
    }

    /// As [`reply`](Self::reply), but waits until `deadline` for a block where a long reply needs one, at most to the call's own
    /// deadline.
    ///
    /// # Errors
    /// As for [`reply`](Self::reply).
    pub fn reply_until(&mut self, id: u32, type_id: u32, payload: &[u8], deadline: Deadline) -> Result<(), Cause> {
        self.reply_with(id, type_id, payload, Patience::Until(deadline))
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

    fn open_request(&self, id: u32) -> Result<served::Request, Cause> {
        self.served.request(id).ok_or(Cause::InvalidArgument { which: "no request with this id is open" })
    }

    #[inline]
    fn reply_with(&mut self, id: u32, type_id: u32, payload: &[u8], patience: Patience) -> Result<(), Cause> {
        let request = self.open_request(id)?;
        let label = Label { form: Form::REPLY, type_id, correlation: id };
        let sent = if payload.len() <= self.side.inline_limit() {
            self.side.post(label, &[], payload, Patience::None)
        } else {
            self.reply_in_block(label, payload, request, patience)
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
        request: served::Request,
        patience: Patience,
    ) -> Result<(), Cause> {
        let patience = match (patience, request.deadline) {
            (Patience::Until(until), Some(end)) => {
                let left = Duration::from_nanos(end.saturating_sub(sys::monotonic_ns()));
                Patience::Until(until.min(Deadline::after(left)))
            }
            (patience, _) => patience,
        };
        match self.side.post(label, &[], payload, patience) {
            Err(Cause::Full | Cause::Timeout | Cause::OutOfMemory) => {
                self.send_error(label.correlation, code::OUT_OF_MEMORY, "no memory is left for the reply")?;
                Err(Cause::OutOfMemory)
            }
            other => other,
        }
    }

    /// Answers an open request with an error, which closes it.
    fn send_error(&mut self, id: u32, code: u32, text: &str) -> Result<(), Cause> {
        let text = &text.as_bytes()[..text.floor_char_boundary_at(self.side.inline_limit())];
        self.side.post(Label { form: Form::ERROR, type_id: code, correlation: id }, &[], text, Patience::None)?;
        self.served.close(id);
        Ok(())
    }

    #[inline]
    fn next_request(&mut self, patience: Patience) -> Result<Request<'_>, Cause> {
        self.side.check_readable()?;
        let (id, request) = loop {
            if let Some(opened) = self.open_next()? {
                break opened;
            }
            let frame = self.side.take(patience)?;
            self.admit(frame)?;
        };
        Ok(Request::new(self, id, request))
    }

    /// Opens the next request that is still worth serving; those that are not are answered.
    #[inline]
    fn open_next(&mut self) -> Result<Option<(u32, served::Request)>, Cause> {
        while let Some(id) = self.served.open() {
            let request = self.served.request(id).expect("a request that was just opened is open");
            if request.note {
                std::mem::swap(&mut self.note, self.served.body_mut(id));
                self.give_note_back(id)?;
            } else if request.cancelled {
                self.send_error(id, code::CANCELLED, "cancelled before it was served")?;
                continue;
            } else if request.deadline.is_some_and(|end| sys::monotonic_ns() >= end) {
                self.send_error(id, code::TIMEOUT, "the deadline passed before it was served")?;
                continue;
            }
            return Ok(Some((id, request)));
        }
        Ok(None)
    }

    /// The empty reply by which a note's place becomes free again.
    fn give_note_back(&mut self, id: u32) -> Result<(), Cause> {
        self.side.post(Label { form: Form::REPLY, type_id: 0, correlation: id }, &[], &[], Patience::None)?;
        self.served.close(id);
        Ok(())
    }

    /// Serves one queued request by the handler, if there are both.
    fn serve_by_handler(&mut self) -> Result<(), Cause> {
        let Some(handler) = self.handler.clone() else { return Ok(()) };
        let Some((id, request)) = self.open_next()? else { return Ok(()) };
        if self.depth >= NESTING && !request.note {
            return self.send_error(id, code::OVERLOADED, "calls are nested too deeply");
        }
        self.depth += 1;
        let ended = catch_unwind(AssertUnwindSafe(|| handler(Request::new(self, id, request))));
        self.depth -= 1;
        if request.note || self.served.request(id).is_none() {
            return Ok(());
        }
        match ended {
            Ok(()) => self.send_error(id, code::NO_REPLY, "the handler ended without a reply"),
            Err(_) => self.send_error(id, code::PANICKED, "the handler panicked"),
        }
    }
}

/// Reading.
impl RpcBus {
    /// Acts on everything that is there. Whether there was something.
    fn admit_all(&mut self) -> Result<bool, Cause> {
        let mut some = false;
        loop {
            match self.side.take(Patience::None) {
                Ok(frame) => self.admit(frame)?,
                Err(Cause::Empty) => return Ok(some),
                Err(cause) => return Err(cause),
            }
            some = true;
        }
    }

    /// Acts on a frame that was just taken.
    #[inline]
    fn admit(&mut self, frame: Taken) -> Result<(), Cause> {
        if frame.len < least_len(frame) {
            return Err(self.side.corrupt(Violation::Descriptor));
        }
        match frame.form.kind() {
            Form::REPLY => self.admit_reply(frame, Outcome::Reply { type_id: frame.type_id }),
            Form::REQUEST | Form::NOTE => self.admit_request(frame),
            Form::ERROR => self.admit_reply(frame, Outcome::Error { code: frame.type_id }),
            Form::CANCEL => {
                self.served.cancel(frame.correlation);
                Ok(())
            }
            _ => Err(self.side.corrupt(Violation::FrameKind)),
        }
    }

    #[inline]
    fn admit_reply(&mut self, frame: Taken, outcome: Outcome) -> Result<(), Cause> {
        let body = match self.calls.expects(frame.correlation) {
            Ok(body) => body,
            Err(violation) => return Err(self.side.corrupt(violation)),
        };
        let outcome = match body.fetch(&mut self.side, frame, self.copies) {
            Ok(()) => outcome,
            // The copy of an untrusted peer's reply: this call's loss alone.
            Err(Cause::OutOfMemory) if self.side.unresolved.is_none() => Outcome::Error { code: code::OUT_OF_MEMORY },
            Err(cause) => return Err(cause),
        };
        if !self.calls.finish(frame.correlation, outcome) {
            self.late_replies += 1;
        }
        Ok(())
    }

    #[inline]
    fn admit_request(&mut self, frame: Taken) -> Result<(), Cause> {
        let id = frame.correlation;
        let body = match self.served.expects(id) {
            Ok(body) => body,
            Err(violation) => return Err(self.side.corrupt(violation)),
        };
        let deadline = frame.form.is_timed().then(|| {
            let mut bytes = [0; DEADLINE];
            self.side.reader.copy_part(frame, 0, &mut bytes);
            u64::from_le_bytes(bytes).saturating_add_signed(self.clock_ahead)
        });
        let fetched = body.fetch(&mut self.side, frame, self.copies);
        if let Err(cause) = fetched
            && (cause != Cause::OutOfMemory || self.side.unresolved.is_some())
        {
            return Err(cause);
        }
        let note = frame.form.kind() == Form::NOTE;
        self.served.queue(id, served::Request { type_id: frame.type_id, deadline, note, cancelled: false });
        if fetched.is_err() || !self.serves {
            return self.turn_down(fetched.is_err());
        }
        Ok(())
    }

    /// Answers the request that was queued last, and alone, with an error.
    #[cold]
    fn turn_down(&mut self, no_memory: bool) -> Result<(), Cause> {
        let Some((id, request)) = self.open_next()? else { return Ok(()) };
        if request.note {
            return Ok(());
        }
        let (code, text) = if no_memory {
            (code::OUT_OF_MEMORY, "no memory is left for the request")
        } else {
            (code::NOT_FOUND, "this end serves no calls")
        };
        self.send_error(id, code, text)
    }
}

/// Where a text can be cut.
trait CutText {
    fn floor_char_boundary_at(&self, at: usize) -> usize;
}

impl CutText for str {
    fn floor_char_boundary_at(&self, at: usize) -> usize {
        (0..=at.min(self.len())).rev().find(|&at| self.is_char_boundary(at)).unwrap_or(0)
    }
}
