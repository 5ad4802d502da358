//! Calls between two processes, both ways.
//!
//! Both ends may call, and both may serve. A call goes out as a frame with an id and comes back as exactly one reply or error
//! with the same id, in whatever order; nobody who waits stops reading, and a reply always finds room, because requests leave
//! it. So two ends that call each other with full rings, or out of each other's handlers, cannot lock each other up.

mod aside;
mod body;
mod calling;
mod calls;
mod claim;
mod notes;
mod owned;
mod reply;
mod served;
mod serving;
mod shared;
mod vacancies;

pub use aside::{CallClaimTicket, RequestTicket};
pub use claim::{CallClaim, CallCommitError};
pub use reply::{CallError, Reply, Request};

use crate::capabilities::Capabilities;
use crate::deadline::Deadline;
use crate::error::{Cause, Error, Violation};
use crate::layout::{DEADLINE, Form, SessionKind, kept_for_replies};
use crate::listener::Listener;
use crate::observe::{State, Stats};
use crate::options::{Options, Settings, Trust};
use crate::placement::{Placement, check_node};
use crate::ring::Taken;
use crate::session::connect;
use crate::session::handshake::Session;
use crate::session::link::Link;
use crate::side::{Patience, Side, Want};
use crate::wait::Wait;
use body::least_len;
use calls::{Calls, Outcome};
use claim::Room;
use notes::Notes;
use served::Served;
use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
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
    notes: Notes,
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
    /// The claim that is set aside.
    claim: Option<Room>,
    /// Claims set aside so far.
    claims: u64,
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
        let Session { side, calls, clock_ahead, .. } = session;
        Self {
            kept: kept_for_replies(side.writer.size(), calls, side.inline_limit()),
            side,
            calls: Calls::new(calls),
            served: Served::new(calls),
            notes: Notes::default(),
            cancels: VecDeque::new(),
            handler: None,
            depth: 0,
            serves: settings.serves.unwrap_or(listens),
            copies: settings.trust == Trust::Untrusted,
            clock_ahead,
            claim: None,
            claims: 0,
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
        Listener::bind_for_one(address, options)?.accept_rpc_until(deadline)
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

    /// For the poller, which waits for many ends at once.
    pub(crate) fn side(&self) -> &Side<Link> {
        &self.side
    }

    /// The same, to be changed.
    pub(crate) fn side_mut(&mut self) -> &mut Side<Link> {
        &mut self.side
    }

    /// For the poller: whether there is a request to serve, something to read, or the end.
    #[inline]
    pub(crate) fn is_due(&mut self) -> bool {
        self.served.has_queued() || self.side.is_due()
    }

    /// For the poller, before nobody looks here: what is left to say goes out if there is room.
    pub(crate) fn say_what_is_left(&mut self) {
        self.flush_cancels();
    }

    /// How the session stands. Looks at the socket, so it may be the first to find that the peer is gone.
    pub fn state(&mut self) -> State {
        self.side.state()
    }

    /// Waits by `wait` from now on.
    pub fn set_wait(&mut self, wait: Wait) {
        self.side.strategy = wait;
    }

    /// What this session can promise beyond what every one does: what its memory is made of, on both sides.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.side.channel().capabilities()
    }

    /// Where this end's memory is, beside where it was asked to be: on which NUMA nodes, in huge pages, locked. Looks at every map
    /// of the process, which takes milliseconds where there are thousands.
    #[must_use]
    pub fn placement(&self) -> Placement {
        self.side.channel().placement()
    }

    /// Has this end's memory come to a NUMA node, as [`Bus::set_numa_node`](crate::Bus::set_numa_node) does.
    ///
    /// # Errors
    /// As for [`Bus::set_numa_node`](crate::Bus::set_numa_node).
    pub fn set_numa_node(&mut self, node: u32) -> Result<(), Error> {
        self.side.check_ours()?;
        check_node(node, "move memory to NUMA node")?;
        self.side.channel_mut().move_to(node);
        Ok(())
    }

    /// What this end has done so far. The peer is shown it, too.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.side.show_counters();
        self.side.stats()
    }

    /// What the peer has done so far, as it shows it, as for a [`Bus`](crate::Bus::peer_stats).
    #[must_use]
    pub fn peer_stats(&self) -> Option<Stats> {
        self.side.peer_stats()
    }

    /// How many calls of this end are in flight: made, and their replies not yet taken.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.calls.in_flight()
    }

    /// The longest request that this end can make, in bytes. Where this end cannot [spill](Capabilities::spill) requests leave an
    /// eighth of the [memory limit](Options::memory_limit) to replies.
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
        self.drop_claim();
        let read = if linger.is_zero() { Ok(()) } else { self.linger_until(Deadline::after(linger)) };
        self.say_goodbye();
        read
    }

    /// Waits until the peer has read everything, at most until `deadline`, and leaves the session open: the wait of
    /// [`close`](Self::close), for callers that wait in pieces. It goes on reading meanwhile: the peer may be waiting for just that.
    ///
    /// # Errors
    /// As for [`close`](Self::close), and [`Cause::Forked`].
    pub fn linger_until(&mut self, deadline: Deadline) -> Result<(), Cause> {
        self.side.check_ours()?;
        let end = self.side.writer.tail();
        loop {
            match self.admit_all() {
                // Whether that matters depends on what it has read.
                Ok(_) | Err(Cause::Closed | Cause::PeerDied) => {}
                Err(cause) => return Err(cause),
            }
            if self.side.is_read(end)? {
                return Ok(());
            }
            self.side.wait(Want::DataOrRead(end), deadline)?;
        }
    }

    fn say_goodbye(&mut self) {
        if !std::mem::replace(&mut self.closed, true) && self.side.check_ours().is_ok() {
            self.drop_claim();
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
/// [`try_wait`](RpcBus::try_wait) until the answer is [`Cause::Empty`], and once more after a reply, a cancel or another call, which may
/// hear what would make the descriptor readable.
impl AsFd for RpcBus {
    fn as_fd(&self) -> BorrowedFd<'_> {
        if self.side.check_ours().is_ok() {
            self.side.watch();
        }
        self.side.channel().fd()
    }
}

/// Reading.
impl RpcBus {
    /// Acts on everything that is there. Whether there was something.
    fn admit_all(&mut self) -> Result<bool, Cause> {
        self.side.check_no_claim()?;
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
    #[inline(never)]
    fn admit(&mut self, frame: Taken) -> Result<(), Cause> {
        if frame.len < least_len(frame) {
            return Err(self.side.corrupt(Violation::Descriptor));
        }
        match frame.form.kind() {
            Form::REPLY => self.admit_reply(frame, Outcome::Reply { type_id: frame.type_id }).map(drop),
            Form::REQUEST | Form::NOTE => self.admit_request(frame),
            Form::ERROR => self.admit_reply(frame, Outcome::Error { code: frame.type_id }).map(drop),
            Form::CANCEL => self.served.cancel(frame.correlation).map_err(|violation| self.side.corrupt(violation)),
            _ => Err(self.side.corrupt(Violation::FrameKind)),
        }
    }

    /// Takes what answers a call to its place. How that call ended.
    #[inline(always)]
    fn admit_reply(&mut self, frame: Taken, outcome: Outcome) -> Result<Outcome, Cause> {
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
        if self.calls.finish(frame.correlation, outcome) {
            self.side.stats.late_replies += 1;
        }
        Ok(outcome)
    }

    #[inline]
    fn admit_request(&mut self, frame: Taken) -> Result<(), Cause> {
        if self.receive_request(frame)? {
            self.served.queue(frame.correlation);
        }
        Ok(())
    }

    /// Takes a request to its place, where it is open. Whether it is for serving; one that is not has been answered.
    #[inline(always)]
    fn receive_request(&mut self, frame: Taken) -> Result<bool, Cause> {
        let id = frame.correlation;
        let body = match self.served.expects(id) {
            Ok(body) => body,
            Err(violation) => return Err(self.side.corrupt(violation)),
        };
        if let Err(cause) = body.fetch(&mut self.side, frame, self.copies) {
            return self.give_up_request(frame, cause).map(|()| false);
        }
        let deadline = if frame.form.is_timed() { Some(self.told_deadline(frame)) } else { None };
        let note = frame.form.kind() == Form::NOTE;
        self.served.enter(id, served::Request { type_id: frame.type_id, deadline, note, cancelled: false });
        if !self.serves {
            self.turn_down(id, note, code::NOT_FOUND, "this end serves no calls")?;
        }
        Ok(self.serves)
    }

    /// A request whose payload could not be fetched. For want of memory for the copy of an untrusted peer's: that call's loss
    /// alone. For want of the region it is in: not lost, the next look finds it again.
    #[cold]
    #[inline(never)]
    fn give_up_request(&mut self, frame: Taken, cause: Cause) -> Result<(), Cause> {
        if cause != Cause::OutOfMemory || self.side.unresolved.is_some() {
            return Err(cause);
        }
        let (id, note) = (frame.correlation, frame.form.kind() == Form::NOTE);
        self.served.enter(id, served::Request { type_id: frame.type_id, note, ..served::Request::default() });
        self.turn_down(id, note, code::OUT_OF_MEMORY, "no memory is left for the request")
    }

    /// When the caller of a timed request gives up, on our clock.
    #[inline(never)]
    fn told_deadline(&mut self, frame: Taken) -> u64 {
        if !frame.form.is_in_block() {
            // It was counted with the frame, and is no payload.
            self.side.stats.bytes_received -= DEADLINE as u64;
        }
        let mut bytes = [0; DEADLINE];
        self.side.reader.copy_part(frame, 0, &mut bytes);
        u64::from_le_bytes(bytes).saturating_add_signed(self.clock_ahead)
    }

    /// Answers a request that has just come, and that nobody is to see, with an error.
    #[cold]
    #[inline(never)]
    fn turn_down(&mut self, id: u32, note: bool, code: u32, text: &str) -> Result<(), Cause> {
        if note { self.give_note_back(id) } else { self.send_error(id, code, text) }
    }
}
