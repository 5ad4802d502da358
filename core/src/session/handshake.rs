//! The handshake: two processes that know nothing of each other end with each other's outbox, or with a reason.
//!
//! ```text
//!   client                                   listener
//!     │ hello: what I want, what I am            │
//!     ├────────────────────────────────────────▶ │ version, user, kind, memory: else refusal
//!     │ offer: what to build, my outbox [fd]     │ makes its outbox only now
//!     │ ◀────────────────────────────────────────┤
//!     │ accept: my outbox [fd]                   │
//!     ├────────────────────────────────────────▶ │ seals, size, holes: else refusal
//!     │ settled                                  │
//!     │ ◀────────────────────────────────────────┤
//! ```
//!
//! Both sides acknowledge, so neither starts to talk to somebody who is not there. The listener's steps never block
//! ([`Pending`]); the client's are bounded by a deadline ([`join`], [`TimeLimit`]). After this all geometry is private:
//! nothing that the peer can change is ever asked for a size again.

mod incoming;
mod observing;

pub(crate) use observing::{observe, show};

use crate::deadline::Deadline;
use crate::error::{Cause, Error, Refusal, Violation};
use crate::layout::{self, Geometry, RING};
use crate::options::{Settings, Trust};
use crate::park::Parking;
use crate::session::backing::Backing;
use crate::session::link::Link;
use crate::session::regions::Regions;
use crate::session::terms::{agree, check_terms, geometries, inline_limit, introduce, share_barrier};
use crate::session::wire::{Introduction, Message, Offer};
use crate::shm::{OwnSegment, PeerSegment};
use crate::side::{Outbox, Side, Terms};
use crate::sync::Ordering::Relaxed;
use crate::sys;
use crate::sys::fork::{Birth, Fd};
use crate::sys::socket::{self, Credentials};
use incoming::{Arrived, Incoming};
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Why a handshake ended early.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The peer sent what no peer of this version sends.
    Violation(Violation),
    /// The peer speaks another version.
    Version(u32),
    /// The listener said no.
    Refused(Refusal, String),
    /// The peer hung up without a word.
    Gone,
    /// Something on this side.
    Ours(Error),
}

impl From<Violation> for Broken {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        match error.cause() {
            Cause::Corrupt(violation) => Self::Violation(violation),
            _ => Self::Ours(error),
        }
    }
}

impl Broken {
    /// What the peer is told.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::Violation(
                Violation::Seals
                | Violation::Backing
                | Violation::SegmentSize
                | Violation::Sparse
                | Violation::Descriptors,
            ) => Refusal::Segment,
            Self::Violation(_) | Self::Gone => Refusal::Malformed,
            Self::Version(_) => Refusal::Version,
            Self::Refused(why, _) => *why,
            Self::Ours(_) => Refusal::OutOfMemory,
        }
    }

    /// The two sides' memory does not go together: why, as the one says it who found out.
    fn unsealed(why: &'static str) -> Self {
        Self::Refused(Refusal::Unsealed, why.to_owned())
    }

    /// What it is told beside the reason.
    fn text(&self) -> &str {
        if let Self::Refused(_, text) = self { text } else { "" }
    }

    /// What the user is told, who was about to do `tried`.
    pub(crate) fn into_error(self, tried: String) -> Error {
        match self {
            Self::Violation(violation) => Error::new(Cause::Corrupt(violation), tried),
            Self::Version(theirs) => Error::new(Cause::Version { ours: layout::VERSION, theirs }, tried),
            Self::Refused(why, text) if text.is_empty() => Error::new(Cause::Refused { why }, tried),
            Self::Refused(why, text) => Error::new(Cause::Refused { why }, format!("{tried} (it says: {text})")),
            Self::Gone => Error::new(Cause::PeerDied, format!("{tried}: the other end hung up in mid-handshake")),
            Self::Ours(error) => error,
        }
    }
}

/// Whether `peer` is this process's own user. The overflow uid stands for anybody from another user namespace.
fn is_same_user(peer: Credentials) -> bool {
    peer.uid == sys::effective_uid() && peer.uid != overflow_uid()
}

/// The uid that the kernel shows for users that have none here; 65534 unless somebody changed it (user_namespaces(7)).
fn overflow_uid() -> u32 {
    let told = std::fs::read_to_string("/proc/sys/kernel/overflowuid").ok();
    told.and_then(|text| text.trim().parse().ok()).unwrap_or(65534)
}

/// One outbox of ours, with what must stand in it before the peer looks: its identity, whether the peer is to fence, and whether
/// there are counters.
fn make_outbox(
    backing: &Backing,
    geometry: Geometry,
    barrier: bool,
    counters: bool,
    deadline: Deadline,
) -> Result<OwnSegment, Error> {
    let outbox = backing.segment("slipring-outbox", sys::round_to_page(geometry.bytes()), deadline)?;
    let span = outbox.span();
    span.store_u64(layout::IDENTITY, layout::MAGIC, Relaxed);
    span.store_u64(layout::IDENTITY_VERSION, u64::from(layout::VERSION), Relaxed);
    span.store_u64(layout::PARKED, Parking::first_word(!barrier), Relaxed);
    span.store_u64(layout::COUNTERS, counters.into(), Relaxed);
    Ok(outbox)
}

fn attach_outbox(backing: &Backing, fd: Fd, told: u64, geometry: Geometry) -> Result<PeerSegment, Error> {
    let size = sys::round_to_page(geometry.bytes()) as u64;
    if told != size {
        let tried = format!("map the peer's outbox, told to have {told} bytes where its ring needs {size}");
        return Err(Error::new(Cause::Corrupt(Violation::SegmentSize), tried));
    }
    PeerSegment::attach(fd, backing.peer_kind(), told, size)
}

/// How long a wait in the client's handshake goes on over signals: many times what a live listener takes to answer.
const UNDISTURBED: Duration = Duration::from_millis(100);

/// Clocks that differ by less, in nanoseconds, are the same: no handshake takes longer by default.
const ONE_CLOCK: u64 = 10_000_000_000;

/// What a handshake makes.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) side: Side<Link>,
    /// Calls each way that may be in flight.
    pub(crate) calls: u32,
    /// By how many nanoseconds this side's monotonic clock is ahead of the peer's.
    pub(crate) clock_ahead: i64,
    /// Who the peer is, for people.
    pub(crate) peer: Credentials,
}

/// When the client gives up on the listener's side of the handshake.
///
/// A listener that has not come to us yet cannot be told from one that stays silent: the kernel connects a client as soon as
/// there is room in the backlog. So a user who waits for ever waits for the first byte of an answer for ever; from then on
/// the listener is known to be at it, and has the time that a handshake may take.
#[derive(Debug)]
pub(crate) struct TimeLimit {
    deadline: Deadline,
    /// How long the handshake may take from its first byte on, where `deadline` is never.
    once_begun: Duration,
}

impl TimeLimit {
    pub(crate) fn new(deadline: Deadline, once_begun: Duration) -> Self {
        Self { deadline, once_begun }
    }

    /// The listener has begun to answer.
    fn begin(&mut self) {
        if self.deadline == Deadline::NEVER {
            self.deadline = Deadline::after(self.once_begun);
        }
    }
}

/// Everything that both sides have when the handshake is over.
struct Joined<'a> {
    settings: &'a Settings,
    birth: Birth,
    socket: Fd,
    backing: Backing,
    mine: OwnSegment,
    my_geometry: Geometry,
    theirs: PeerSegment,
    their_geometry: Geometry,
    about_me: Introduction,
    about_them: Introduction,
    calls: u32,
    inline_limit: usize,
    peer: Credentials,
}

impl Joined<'_> {
    fn into_session(self) -> Session {
        let (mine, theirs) = (self.mine.span(), self.theirs.span());
        let (my, their) = (self.my_geometry, self.their_geometry);
        let mine = Outbox {
            header: mine.sub(0, RING),
            ring: mine.sub(RING, my.ring.bytes() as usize),
            returns: mine.sub(my.returns_at(), my.returns_bytes()),
            geometry: my,
        };
        let theirs = Outbox {
            header: theirs.sub(0, RING),
            ring: theirs.sub(RING, their.ring.bytes() as usize),
            returns: theirs.sub(their.returns_at(), their.returns_bytes()),
            geometry: their,
        };
        let barrier = share_barrier(&self.about_me, &self.about_them);
        let same_cpu = self.about_me.cpu.is_some() && self.about_me.cpu == self.about_them.cpu;
        let terms = Terms {
            strategy: self.settings.wait,
            fences: !barrier,
            one_cpu: same_cpu || sys::cpus_online() == 1,
            inline_limit: self.inline_limit,
            limits: self.settings.limits.and(self.about_them.limits).in_pages(sys::round_to_page(1) as u64),
            message_max: self.settings.limits.message,
            window: sys::working_window(),
            counts: self.settings.counters,
        };
        let regions = Regions::beside(&self.mine, self.settings.limits, self.backing);
        let link = Link::new(self.socket, self.birth, barrier, regions, self.settings.shared_limit);
        // Processes of one host have one clock; only another time namespace makes it differ by more than a handshake takes.
        let ahead = self.about_me.clock.wrapping_sub(self.about_them.clock).cast_signed();
        let clock_ahead = if ahead.unsigned_abs() < ONE_CLOCK { 0 } else { ahead };
        Session { side: Side::new(mine, theirs, link, terms), calls: self.calls, clock_ahead, peer: self.peer }
    }
}

/// The listener's side of one handshake. Never blocks.
#[derive(Debug)]
pub(crate) struct Pending {
    socket: Fd,
    incoming: Incoming,
    deadline: Deadline,
    /// When the client last said something.
    heard: Instant,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Waiting for the client's hello.
    Hello,
    /// Waiting for the client's outbox.
    Accept { mine: OwnSegment, about: Box<Known> },
}

impl Pending {
    pub(crate) fn new(socket: Fd, deadline: Deadline) -> Self {
        Self { socket, incoming: Incoming::new(false), deadline, heard: Instant::now(), stage: Stage::Hello }
    }

    pub(crate) fn socket(&self) -> &Fd {
        &self.socket
    }

    pub(crate) fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// When the client last said something whole.
    pub(crate) fn heard(&self) -> Instant {
        self.heard
    }

    /// Goes as far as it can without waiting: a session, or itself to be called again when the socket is readable. A client
    /// that fails has been told why when this returns.
    pub(crate) fn advance(mut self: Box<Self>, settings: &Settings, birth: Birth) -> Result<Step, Broken> {
        loop {
            match self.incoming.receive(&self.socket).and_then(|arrived| match arrived {
                None => Ok(None),
                Some(arrived) => self.take(arrived, settings).map(Some),
            }) {
                Ok(None) => return Ok(Step::Waiting(self)),
                Ok(Some(Turn::Next)) => {}
                Ok(Some(Turn::Observer)) => return Ok(Step::Observer(self)),
                Ok(Some(Turn::Last(about, mine, theirs))) => {
                    return self.settle(settings, birth, *about, mine, theirs);
                }
                Err(broken) => {
                    self.refuse(broken.refusal(), broken.text());
                    return Err(broken);
                }
            }
        }
    }

    /// Acts on a message.
    fn take(&mut self, arrived: Arrived, settings: &Settings) -> Result<Turn, Broken> {
        self.heard = Instant::now();
        match std::mem::replace(&mut self.stage, Stage::Hello) {
            Stage::Hello => {
                let hello = arrived.bare()?;
                let peer = socket::peer_credentials(self.socket.as_fd())
                    .map_err(|error| Error::system("ask who the client is", error))?;
                let about_them = match hello {
                    Message::Hello(about_them) => about_them,
                    Message::Observe if is_same_user(peer) => return Ok(Turn::Observer),
                    Message::Observe => {
                        let text = "only processes of the listener's own user can observe it".to_owned();
                        return Err(Broken::Refused(Refusal::User, text));
                    }
                    _ => return Err(Violation::Handshake.into()),
                };
                if about_them.kind != settings.kind {
                    return Err(Broken::Refused(Refusal::Kind, String::new()));
                }
                if settings.trust == Trust::SameUser && !is_same_user(peer) {
                    return Err(Broken::Refused(Refusal::User, String::new()));
                }
                self.stage = self.offer(about_them, peer, settings)?;
                Ok(Turn::Next)
            }
            Stage::Accept { mine, about } => {
                let Message::Accept(told) = arrived.message else { return Err(Violation::Handshake.into()) };
                let theirs = attach_outbox(&about.backing, arrived.one_fd()?, told, geometries(settings).0)?;
                Ok(Turn::Last(about, mine, theirs))
            }
        }
    }

    /// Makes our outbox and offers it.
    fn offer(&self, about_them: Introduction, peer: Credentials, settings: &Settings) -> Result<Stage, Broken> {
        let (client, server) = geometries(settings);
        let me = agree(introduce(settings), about_them, (client.ring, server.ring));
        let backing = Backing::agree(settings, me.memory, about_them.memory).map_err(Broken::unsealed)?;
        let barrier = share_barrier(&me, &about_them);
        let mine = make_outbox(&backing, server, barrier, settings.counters, self.deadline)?;
        let offer = Message::Offer(Offer { about: me, client, server, segment: mine.len() as u64 });
        let fd = mine.fd().expect("a fresh segment has its descriptor");
        send(&self.socket, &offer, &[fd], true)?;
        Ok(Stage::Accept { mine, about: Box::new(Known { me, them: about_them, peer, backing }) })
    }

    fn settle(
        self: Box<Self>,
        settings: &Settings,
        birth: Birth,
        Known { me, them, peer, backing }: Known,
        mut mine: OwnSegment,
        theirs: PeerSegment,
    ) -> Result<Step, Broken> {
        send(&self.socket, &Message::Settled, &[], false)?;
        mine.forget_fd();
        let joined = Joined {
            settings,
            birth,
            socket: self.socket,
            backing,
            mine,
            my_geometry: geometries(settings).1,
            theirs,
            their_geometry: geometries(settings).0,
            calls: me.calls,
            inline_limit: inline_limit(settings, me),
            peer,
            about_me: me,
            about_them: them,
        };
        Ok(Step::Done(Box::new(joined.into_session())))
    }

    /// Tells the client why there will be no session.
    pub(crate) fn refuse(&self, why: Refusal, text: &str) {
        refuse(&self.socket, why, text);
    }
}

/// What a listener knows once it has made its offer: what both sides are, and what their memory is.
#[derive(Debug)]
struct Known {
    me: Introduction,
    them: Introduction,
    peer: Credentials,
    backing: Backing,
}

/// What a message of the client's led to.
enum Turn {
    /// The next is awaited.
    Next,
    /// Both outboxes are there.
    Last(Box<Known>, OwnSegment, PeerSegment),
    /// It wants no session, and is one of our own user.
    Observer,
}

/// How far a handshake has come.
pub(crate) enum Step {
    Waiting(Box<Pending>),
    Done(Box<Session>),
    /// A client that is to be shown the board.
    Observer(Box<Pending>),
}

/// Tells a client why there will be no session; a client that is gone need not be told.
pub(crate) fn refuse(socket: &Fd, why: Refusal, text: &str) {
    let text = if text.is_empty() { why.to_string() } else { text.to_owned() };
    if let Err(broken) = send(socket, &Message::Refusal { why, text }, &[], false) {
        tracing::trace!(?broken, "the client left before it was refused");
    }
}

fn send(
    socket: &Fd,
    message: &Message,
    fds: &[std::os::fd::BorrowedFd<'_>],
    with_credentials: bool,
) -> Result<(), Broken> {
    let bytes = message.encode();
    match socket::send(socket.as_fd(), &bytes, fds, with_credentials) {
        // The buffer of a socket on which nothing is under way has room for the longest message many times over.
        Ok(sent) if sent == bytes.len() => Ok(()),
        Ok(_) => Err(Violation::Handshake.into()),
        Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
            Err(Broken::Gone)
        }
        Err(error) => Err(Broken::Ours(Error::system("write the handshake", error))),
    }
}

/// The client's side of the handshake, on a connected socket.
pub(crate) fn join(socket: Fd, settings: &Settings, birth: Birth, mut limit: TimeLimit) -> Result<Session, Broken> {
    socket::enable_passcred(socket.as_fd()).map_err(|error| Error::system("ask for credentials", error))?;
    let about_me = introduce(settings);
    say(&socket, &Message::Hello(about_me), &[])?;
    let mut incoming = Incoming::new(true);
    let arrived = hear(&mut incoming, &socket, &mut limit)?;
    let Message::Offer(offer) = arrived.message else { return Err(Violation::Handshake.into()) };
    // The socket's own credentials are those of whoever called listen; the message's are the sender's.
    let sender = arrived.sender.ok_or(Violation::Handshake)?;
    if settings.trust == Trust::SameUser && !is_same_user(sender) {
        let text = format!("the listener belongs to user {}; this end accepts only its own", sender.uid);
        return Err(Broken::Refused(Refusal::User, text));
    }
    check_terms(&about_me, &offer)?;
    let backing = Backing::agree(settings, about_me.memory, offer.about.memory).map_err(Broken::unsealed)?;
    let theirs = attach_outbox(&backing, arrived.one_fd()?, offer.segment, offer.server)?;
    let barrier = share_barrier(&about_me, &offer.about);
    let mut mine = make_outbox(&backing, offer.client, barrier, settings.counters, limit.deadline)?;
    let fd = mine.fd().expect("a fresh segment has its descriptor");
    say(&socket, &Message::Accept(mine.len() as u64), &[fd])?;
    let Message::Settled = hear(&mut incoming, &socket, &mut limit)?.bare()? else {
        return Err(Violation::Handshake.into());
    };
    mine.forget_fd();
    let joined = Joined {
        settings,
        birth,
        socket,
        backing,
        mine,
        my_geometry: offer.client,
        theirs,
        their_geometry: offer.server,
        about_me,
        about_them: offer.about,
        calls: offer.about.calls,
        inline_limit: inline_limit(settings, offer.about),
        peer: sender,
    };
    Ok(joined.into_session())
}

/// Sends as the client does: a listener that has hung up may have said why, so that is for the next `hear` to find.
fn say(socket: &Fd, message: &Message, fds: &[std::os::fd::BorrowedFd<'_>]) -> Result<(), Broken> {
    match send(socket, message, fds, false) {
        Err(Broken::Gone) => Ok(()),
        other => other,
    }
}

/// Waits for the next message; a refusal is an error.
///
/// Signals are for the user, but not in the first moments: a handshake that begins anew at each would never end in a storm
/// of them.
fn hear(incoming: &mut Incoming, socket: &Fd, limit: &mut TimeLimit) -> Result<Arrived, Broken> {
    let begin = Instant::now();
    loop {
        let arrived = incoming.receive(socket)?;
        if arrived.is_some() || incoming.have > 0 {
            limit.begin();
        }
        if let Some(arrived) = arrived {
            return match arrived.message {
                Message::Refusal { why, text } => Err(Broken::Refused(why, text)),
                _ => Ok(arrived),
            };
        }
        let left = limit.deadline.remaining();
        if left.is_some_and(|left| left.is_zero()) {
            return Err(Error::new(Cause::Timeout, "wait for the listener's side of the handshake").into());
        }
        match sys::poll_readable(socket.as_fd(), left) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted || begin.elapsed() > UNDISTURBED => {
                return Err(Error::system("wait for the handshake", error).into());
            }
            _ => {}
        }
    }
}
