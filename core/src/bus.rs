//! One-way frames between two processes.

mod aside;
mod claim;
mod inbox;
mod lease;
mod owned;
mod place;
mod shared;

pub use aside::{ClaimTicket, LeaseTicket};
pub use claim::{Claim, CommitError};
pub use lease::{Batch, Frame, Lease, Message};
pub use owned::{OwnedClaim, OwnedClaimError, SentClaim};

use crate::capabilities::Capabilities;
use crate::deadline::Deadline;
use crate::error::{Cause, Error};
use crate::layout::SessionKind;
use crate::listener::Listener;
use crate::observe::{State, Stats};
use crate::options::{Options, Trust};
use crate::ring::{Show, Slot};
use crate::session::connect;
use crate::session::link::Link;
use crate::side::{Patience, Side};
use crate::wait::Wait;
use inbox::{Inbox, Item};
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// One end of a one-way stream of frames: the listening end receives, the connecting end sends.
///
/// Every call that may have to wait comes in three forms: `x` waits for as long as it takes, `x_until` waits until a
/// [`Deadline`], and `try_x` answers [`Cause::Full`] or [`Cause::Empty`] at once. Every wait also ends when the peer closes
/// or dies; what the peer committed before is delivered first. A call that fails has changed nothing.
///
/// An end belongs to one thread at a time and may move between threads between calls. A child of `fork` owns none of its
/// parent's ends: there every call answers [`Cause::Forked`].
///
/// ```
/// use slipring::{Bus, Cause, Deadline, Listener, Options};
/// use std::time::Duration;
///
/// # let dir = std::env::temp_dir().join(format!("slipring-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir)?;
/// # let address = dir.join("ticks").display().to_string();
/// # let address = address.as_str();
/// let mut listener = Listener::bind(address, &Options::default())?;
/// let sender = std::thread::spawn({
///     let address = address.to_owned();
///     move || -> Result<(), slipring::Error> {
///         let mut bus = Bus::connect(&address, &Options::default())?;
///         bus.publish(7, b"hello")?;
///         bus.close(Duration::from_secs(1))?;
///         Ok(())
///     }
/// });
/// let mut bus = listener.accept_bus_until(Deadline::after(Duration::from_secs(5)))?;
/// let lease = bus.recv()?;
/// assert_eq!((lease.type_id(), &lease[..]), (7, &b"hello"[..]));
/// drop(lease);
/// assert_eq!(bus.recv().err(), Some(Cause::Closed));
/// sender.join().expect("the sender does not panic")?;
/// # drop(listener);
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Bus {
    side: Side<Link>,
    role: Role,
    inbox: Inbox,
    /// The lease that is set aside.
    lease: Option<Item>,
    /// The claim that is set aside.
    claim: Option<Slot>,
    /// Claims set aside so far.
    claims: u64,
    closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Sends,
    Receives,
}

impl Bus {
    /// The receiving end of a session that a listener accepted.
    pub(crate) fn receiving(side: Side<Link>, trust: Trust) -> Self {
        Self::new(side, Role::Receives, trust)
    }

    fn new(side: Side<Link>, role: Role, trust: Trust) -> Self {
        let inbox = Inbox::new(trust == Trust::Untrusted);
        Self { side, role, inbox, lease: None, claim: None, claims: 0, closed: false }
    }

    /// Listens at `address` for one peer, and receives from it. The name is given back as soon as the session stands, so no
    /// [`Observer`](crate::Observer) can find it.
    ///
    /// Waits for the peer for as long as it takes. For any number of peers, see [`Listener`].
    ///
    /// # Errors
    /// [`Cause::AddressInUse`] if a living listener, or something that is no socket, is at the address;
    /// [`Cause::InvalidArgument`] for an address or option that can never be right; [`Cause::Config`] for an unusable
    /// environment, spill directory, or backend for whom this end trusts; [`Cause::OutOfMemory`]; [`Cause::Interrupted`] if a signal
    /// handler ran. Where this end cannot make its memory it is the peer who is told, by [`Refusal`](crate::Refusal), and this end
    /// waits for the next.
    pub fn listen(address: &str, options: &Options) -> Result<Self, Error> {
        Self::listen_until(address, options, Deadline::NEVER)
    }

    /// As [`listen`](Self::listen), until `deadline`, then [`Cause::Timeout`].
    ///
    /// # Errors
    /// As for [`listen`](Self::listen).
    pub fn listen_until(address: &str, options: &Options, deadline: Deadline) -> Result<Self, Error> {
        Listener::bind_for_one(address, options)?.accept_bus_until(deadline)
    }

    /// Connects to the listener at `address`, to send to it. Fails at once if nobody listens there.
    ///
    /// # Errors
    /// [`Cause::NotFound`] if nobody listens, naming where was looked; [`Cause::Refused`] and [`Cause::Version`] as the
    /// listener says; [`Cause::Timeout`] if it does not answer; [`Cause::Corrupt`] if it answers nonsense; [`Cause::PeerDied`] if it
    /// hangs up; [`Cause::Unsupported`] where the system has no such memory; and as for [`listen`](Self::listen).
    pub fn connect(address: &str, options: &Options) -> Result<Self, Error> {
        Self::connect_until(address, options, Deadline::NOW)
    }

    /// As [`connect`](Self::connect), but waits until `deadline` for the listener to appear. The handshake may take its own
    /// time on top of that ([`Options::handshake_timeout`]).
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    pub fn connect_until(address: &str, options: &Options, deadline: Deadline) -> Result<Self, Error> {
        let settings = options.settle(SessionKind::Bus)?;
        let session = connect::connect(address, &settings, deadline)?;
        Ok(Self::new(session.side, Role::Sends, settings.trust))
    }

    /// For the poller, which waits for many ends at once.
    pub(crate) fn side(&self) -> &Side<Link> {
        &self.side
    }

    /// The same, to be changed.
    pub(crate) fn side_mut(&mut self) -> &mut Side<Link> {
        &mut self.side
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

    /// What this end has done so far. The peer is shown it, too.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.side.show_counters();
        self.side.stats()
    }

    /// What the peer has done so far, as it shows it; `None` if it does not ([`Options::counters`]).
    ///
    /// The peer shows its counters at calm moments: before it sleeps, about every millisecond or 4096 frames while it is at work,
    /// and when it closes. So they lag, and may not fit each other. Frames are never counted back, and the frames and bytes that it has sent
    /// are never fewer than what was received here. They are the peer's claim: one that is faulty may say any number. When the peer has
    /// closed they are final; when it died, as they last were.
    #[must_use]
    pub fn peer_stats(&self) -> Option<Stats> {
        self.side.peer_stats()
    }

    /// The longest payload that this end can publish, in bytes: what both ends allow ([`Options::max_message`],
    /// [`Options::memory_limit`]), and where it can [spill](Capabilities::spill) the first of these alone.
    #[must_use]
    pub fn payload_max(&self) -> u64 {
        self.side.payload_max()
    }

    /// The longest payload that this end puts into the ring itself, in bytes. Longer ones go into blocks of shared memory.
    #[must_use]
    pub fn inline_limit(&self) -> usize {
        self.side.inline_limit()
    }

    /// Says goodbye and ends the session, after waiting at most `linger` until the peer has read everything.
    ///
    /// Dropping a bus closes it without waiting. Either way the peer can read what was published before.
    ///
    /// # Errors
    /// [`Cause::Timeout`] if `linger` passed before everything was read; the peer's end if that came first
    /// ([`Cause::Closed`], [`Cause::PeerDied`]); [`Cause::Interrupted`]. The session is closed all the same.
    pub fn close(mut self, linger: Duration) -> Result<(), Cause> {
        self.side.check_ours()?;
        let read = if linger.is_zero() { self.side.flush() } else { self.linger_until(Deadline::after(linger)) };
        self.say_goodbye();
        read
    }

    /// Waits until the peer has read everything, at most until `deadline`, and leaves the session open: the wait of
    /// [`close`](Self::close), for callers that wait in pieces. A receiving end has nothing to wait for.
    ///
    /// # Errors
    /// As for [`close`](Self::close).
    pub fn linger_until(&mut self, deadline: Deadline) -> Result<(), Cause> {
        self.side.check_ours()?;
        if self.role == Role::Receives {
            return Ok(());
        }
        self.side.flush()?;
        self.side.wait_until_read(deadline)
    }

    /// Leaves the goodbye and hangs up, once, and only where this process owns the end.
    fn say_goodbye(&mut self) {
        if self.closed || self.side.check_ours().is_err() {
            return;
        }
        self.closed = true;
        self.drop_claim();
        self.side.farewell();
        self.side.channel().hang_up();
    }

    /// Gives back what was taken, from a destructor.
    #[inline]
    fn release(&mut self) {
        self.inbox.clear();
        // This fails if the peer broke the protocol, which the next call says, and in a forked child, which owns nothing.
        let _ = self.side.release();
    }

    #[inline]
    fn must(&self, role: Role) -> Result<(), Cause> {
        if self.role == role { Ok(()) } else { Err(wrong_end(role)) }
    }
}

#[cold]
fn wrong_end(role: Role) -> Cause {
    let which = match role {
        Role::Sends => "this end receives; publish on the end that connected",
        Role::Receives => "this end sends; receive on the end that listened",
    };
    Cause::InvalidArgument { which }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.say_goodbye();
    }
}

/// The descriptor for a foreign event loop, level-triggered. Call `try_recv` (or, on the sending end, what was `Full`) right
/// after adding it, and whenever it is readable, until the answer is `Empty` (`Full`): that answer arms it, and before the
/// first one nothing does. Only the library reads from it. From the first call on the peer fences after each of its stores,
/// because a foreign loop cannot nap. Any other call on the end may hear what makes the descriptor readable: look again after it.
impl AsFd for Bus {
    fn as_fd(&self) -> BorrowedFd<'_> {
        if self.side.check_ours().is_ok() {
            self.side.watch();
        }
        self.side.channel().fd()
    }
}

/// Sending.
impl Bus {
    /// Copies `payload` into one frame and publishes it, waiting for room.
    ///
    /// `type_id` is the user's: its low 16 bits name the message type, its high 16 bits a route, of which 0 is plain and the
    /// others are kept for protocols built on top.
    ///
    /// # Errors
    /// [`Cause::TooLarge`]; [`Cause::OutOfMemory`] where a payload above the inline limit needs memory that cannot be had;
    /// [`Cause::Closed`], [`Cause::PeerDied`] and [`Cause::Corrupt`] when the session is over; [`Cause::Interrupted`];
    /// [`Cause::Forked`]; [`Cause::InvalidArgument`] on a receiving end.
    #[inline(always)]
    pub fn publish(&mut self, type_id: u32, payload: &[u8]) -> Result<(), Cause> {
        self.publish_until(type_id, payload, Deadline::NEVER)
    }

    /// As [`publish`](Self::publish), until `deadline`, then [`Cause::Timeout`].
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    #[inline(always)]
    pub fn publish_until(&mut self, type_id: u32, payload: &[u8], deadline: Deadline) -> Result<(), Cause> {
        self.must(Role::Sends)?;
        self.side.publish(type_id, payload, Show::Now, Patience::Until(deadline))
    }

    /// As [`publish`](Self::publish), or [`Cause::Full`] at once.
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    #[inline(always)]
    pub fn try_publish(&mut self, type_id: u32, payload: &[u8]) -> Result<(), Cause> {
        self.must(Role::Sends)?;
        self.side.publish(type_id, payload, Show::Now, Patience::None)
    }

    /// Publishes one frame whose payload is all of `parts`, one behind the other.
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    pub fn publish_vectored(&mut self, type_id: u32, parts: &[IoSlice<'_>]) -> Result<(), Cause> {
        self.publish_vectored_until(type_id, parts, Deadline::NEVER)
    }

    /// As [`publish_vectored`](Self::publish_vectored), until `deadline`, then [`Cause::Timeout`].
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    pub fn publish_vectored_until(
        &mut self,
        type_id: u32,
        parts: &[IoSlice<'_>],
        deadline: Deadline,
    ) -> Result<(), Cause> {
        self.must(Role::Sends)?;
        self.side.publish_vectored(type_id, parts, Patience::Until(deadline))
    }

    /// As [`publish_vectored`](Self::publish_vectored), or [`Cause::Full`] at once.
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    pub fn try_publish_vectored(&mut self, type_id: u32, parts: &[IoSlice<'_>]) -> Result<(), Cause> {
        self.must(Role::Sends)?;
        self.side.publish_vectored(type_id, parts, Patience::None)
    }

    /// Copies `payload` into a frame that stays hidden until [`flush`](Self::flush), the next plain publish, a wait, or the
    /// close shows it together with those before it. A group that has not been shown dies with this process.
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    #[inline(always)]
    pub fn publish_later(&mut self, type_id: u32, payload: &[u8]) -> Result<(), Cause> {
        self.publish_later_until(type_id, payload, Deadline::NEVER)
    }

    /// As [`publish_later`](Self::publish_later), until `deadline`, then [`Cause::Timeout`].
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    #[inline(always)]
    pub fn publish_later_until(&mut self, type_id: u32, payload: &[u8], deadline: Deadline) -> Result<(), Cause> {
        self.must(Role::Sends)?;
        self.side.publish(type_id, payload, Show::Later, Patience::Until(deadline))
    }

    /// As [`publish_later`](Self::publish_later), or [`Cause::Full`] at once (the group is then shown).
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    #[inline(always)]
    pub fn try_publish_later(&mut self, type_id: u32, payload: &[u8]) -> Result<(), Cause> {
        self.must(Role::Sends)?;
        self.side.publish(type_id, payload, Show::Later, Patience::None)
    }

    /// Shows the frames of [`publish_later`](Self::publish_later) and [`Claim::commit_later`]. Never waits.
    ///
    /// # Errors
    /// [`Cause::Corrupt`], [`Cause::Forked`].
    #[inline]
    pub fn flush(&mut self) -> Result<(), Cause> {
        self.side.flush()
    }

    /// Publishes all `frames`, each a type id and a payload, in groups as large as there is room for; the batch may be
    /// larger than the ring. Answers how many went out, which is fewer than all only if the session ended or a payload was
    /// too large on the way; if not even the first went out, why.
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    pub fn publish_batch<P: AsRef<[u8]>>(
        &mut self,
        frames: impl IntoIterator<Item = (u32, P)>,
    ) -> Result<usize, Cause> {
        self.publish_batch_until(frames, Deadline::NEVER)
    }

    /// As [`publish_batch`](Self::publish_batch), until `deadline`: then how many went out, or [`Cause::Timeout`] if none.
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    pub fn publish_batch_until<P: AsRef<[u8]>>(
        &mut self,
        frames: impl IntoIterator<Item = (u32, P)>,
        deadline: Deadline,
    ) -> Result<usize, Cause> {
        self.must(Role::Sends)?;
        self.side.publish_batch(frames, Patience::Until(deadline))
    }

    /// As [`publish_batch`](Self::publish_batch), as far as there is room now; [`Cause::Full`] if there is none.
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    pub fn try_publish_batch<P: AsRef<[u8]>>(
        &mut self,
        frames: impl IntoIterator<Item = (u32, P)>,
    ) -> Result<usize, Cause> {
        self.must(Role::Sends)?;
        self.side.publish_batch(frames, Patience::None)
    }

    /// Room for a payload of `len` bytes, to be written in place and then committed. Waits for the room.
    ///
    /// The bytes are whatever an earlier lap left; what is committed is what the peer sees.
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    #[inline(always)]
    pub fn claim(&mut self, len: usize) -> Result<Claim<'_>, Cause> {
        self.claim_until(len, Deadline::NEVER)
    }

    /// As [`claim`](Self::claim), until `deadline`, then [`Cause::Timeout`].
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    #[inline(always)]
    pub fn claim_until(&mut self, len: usize, deadline: Deadline) -> Result<Claim<'_>, Cause> {
        Claim::open(self, len, Patience::Until(deadline))
    }

    /// As [`claim`](Self::claim), or [`Cause::Full`] at once.
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    #[inline(always)]
    pub fn try_claim(&mut self, len: usize) -> Result<Claim<'_>, Cause> {
        Claim::open(self, len, Patience::None)
    }
}

/// Receiving.
impl Bus {
    /// The next frame, waiting for it. It is given back when the lease drops, and stays readable until then.
    ///
    /// # Errors
    /// [`Cause::Closed`] and [`Cause::PeerDied`] after everything that the peer committed was received;
    /// [`Cause::Corrupt`]; [`Cause::OutOfMemory`] where a frame's region or object cannot be mapped, or an untrusted peer's payload
    /// not copied: the next receive tries again; [`Cause::Interrupted`]; [`Cause::Forked`]; [`Cause::InvalidArgument`] on a sending end.
    #[inline]
    pub fn recv(&mut self) -> Result<Lease<'_>, Cause> {
        self.recv_until(Deadline::NEVER)
    }

    /// As [`recv`](Self::recv), until `deadline`, then [`Cause::Timeout`].
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    #[inline]
    pub fn recv_until(&mut self, deadline: Deadline) -> Result<Lease<'_>, Cause> {
        Lease::take(self, Patience::Until(deadline))
    }

    /// As [`recv`](Self::recv), or [`Cause::Empty`] at once.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv).
    #[inline]
    pub fn try_recv(&mut self) -> Result<Lease<'_>, Cause> {
        Lease::take(self, Patience::None)
    }

    /// Hands up to `limit` frames that are there to `handler`, waiting for the first. Answers how many.
    ///
    /// A frame counts as consumed when the handler is entered, and is given back when it returns.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv); [`Cause::InvalidArgument`] for a limit of 0.
    #[inline]
    pub fn poll(&mut self, limit: usize, handler: impl FnMut(Frame<'_>)) -> Result<usize, Cause> {
        self.poll_until(limit, Deadline::NEVER, handler)
    }

    /// As [`poll`](Self::poll), until `deadline`, then [`Cause::Timeout`].
    ///
    /// # Errors
    /// As for [`poll`](Self::poll).
    #[inline]
    pub fn poll_until(
        &mut self,
        limit: usize,
        deadline: Deadline,
        handler: impl FnMut(Frame<'_>),
    ) -> Result<usize, Cause> {
        self.poll_with(limit, Patience::Until(deadline), handler)
    }

    /// As [`poll`](Self::poll), or [`Cause::Empty`] at once.
    ///
    /// # Errors
    /// As for [`poll`](Self::poll).
    #[inline]
    pub fn try_poll(&mut self, limit: usize, handler: impl FnMut(Frame<'_>)) -> Result<usize, Cause> {
        self.poll_with(limit, Patience::None, handler)
    }

    #[inline]
    fn poll_with(
        &mut self,
        limit: usize,
        patience: Patience,
        mut handler: impl FnMut(Frame<'_>),
    ) -> Result<usize, Cause> {
        self.must(Role::Receives)?;
        at_least_one(limit)?;
        self.lease = None;
        let mut next = self.side.take(patience)?;
        for handled in 1.. {
            self.inbox.clear();
            // What cannot be delivered behind good frames is for the next call: these have been handled.
            let item = match self.inbox.admit(&mut self.side, next) {
                Ok(item) => item,
                Err(_) if handled > 1 => return Ok(handled - 1),
                Err(cause) => return Err(cause),
            };
            handler(Frame::new(next, self.inbox.view(&self.side, item), self.inbox.shared(item)));
            self.side.release()?;
            if handled == limit {
                break;
            }
            // A violation behind good frames is for the next call: these were committed, and have been handled.
            match self.side.take_now() {
                Ok(Some(frame)) => next = frame,
                _ => {
                    self.inbox.clear();
                    return Ok(handled);
                }
            }
        }
        self.inbox.clear();
        Ok(limit)
    }

    /// Takes up to `limit` frames that are there, waiting for the first. They can be looked at together, and are given back
    /// together when the batch drops.
    ///
    /// # Errors
    /// As for [`recv`](Self::recv); [`Cause::InvalidArgument`] for a limit of 0.
    pub fn drain(&mut self, limit: usize) -> Result<Batch<'_>, Cause> {
        self.drain_until(limit, Deadline::NEVER)
    }

    /// As [`drain`](Self::drain), until `deadline`, then [`Cause::Timeout`].
    ///
    /// # Errors
    /// As for [`drain`](Self::drain).
    pub fn drain_until(&mut self, limit: usize, deadline: Deadline) -> Result<Batch<'_>, Cause> {
        Batch::take(self, limit, Patience::Until(deadline))
    }

    /// As [`drain`](Self::drain), or [`Cause::Empty`] at once.
    ///
    /// # Errors
    /// As for [`drain`](Self::drain).
    pub fn try_drain(&mut self, limit: usize) -> Result<Batch<'_>, Cause> {
        Batch::take(self, limit, Patience::None)
    }
}

fn at_least_one(limit: usize) -> Result<(), Cause> {
    if limit == 0 { Err(Cause::InvalidArgument { which: "limit must be at least 1" }) } else { Ok(()) }
}
