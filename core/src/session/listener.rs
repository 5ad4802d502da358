//! Listeners: one name, any number of sessions, and handshakes that cannot hold each other up.
//!
//! A listener has no thread. It works while its owner is inside one of its accepting calls: every handshake is a small state
//! that is advanced when its socket is readable and given up when its time is over, so garbage, silence and slowness of one
//! client cost the others nothing. Their number is limited; beyond it, clients wait in the kernel's queue, and the one that
//! has been silent for longest makes room.

use crate::deadline::Deadline;
use crate::error::{Cause, Error, Refusal};
use crate::layout::SessionKind as Kind;
use crate::options::{Options, Settings};
use crate::session::board::Board;
use crate::session::handshake::{self, Broken, Pending, Session, Step};
use crate::session::name::{Address, Taken};
use crate::sys::epoll::Epoll;
use crate::sys::fork::{Birth, Fd};
use crate::sys::{self, barrier, socket};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// The number of the listening socket in the epoll set; handshakes count up from it.
const LISTENING: u64 = 0;

/// How long taking the name may be held up by others who take or give back names in the same directory.
const TAKING: Duration = Duration::from_secs(1);

/// How long a client may be silent before it has to make room when there is none.
const SILENCE: Duration = Duration::from_secs(1);

/// How long to leave the kernel's queue alone when not even a refusal can be sent for want of descriptors.
const NO_DESCRIPTORS: Duration = Duration::from_millis(1);

/// The accepting part of a listener, whatever kind of session it is for.
#[derive(Debug)]
pub(crate) struct Acceptor {
    address: Address,
    taken: Taken,
    options: Options,
    /// The options as they are for the kind of session that was last accepted.
    settings: Settings,
    birth: Birth,
    epoll: Epoll,
    pending: BTreeMap<u64, Box<Pending>>,
    next: u64,
    ready: VecDeque<(Kind, Box<Session>)>,
    /// Given up for a moment when there is no descriptor left, to accept a client and refuse it.
    spare: Option<Fd>,
    /// The listening socket is out of the epoll set, because there is no room for another handshake.
    paused: bool,
    refused: u64,
    /// What observers are shown; `None` where they are shown nothing.
    board: Option<Board>,
}

impl Acceptor {
    /// Takes the name. `observable`: whether observers may look at the sessions, if these show their counters.
    pub(crate) fn bind(address: &str, options: &Options, observable: bool) -> Result<Self, Error> {
        let settings = options.settle(Kind::Bus)?;
        let address = Address::parse(address)?;
        barrier::register();
        let birth = Birth::now().map_err(|error| Error::system("prepare for forks", error))?;
        let taken = Taken::take(&address, Deadline::after(TAKING))?;
        let tried = || format!("listen at {address}");
        let epoll = Epoll::new().map_err(|error| Error::system(tried(), error))?;
        epoll.add(taken.fd().as_fd(), LISTENING).map_err(|error| Error::system(tried(), error))?;
        let spare = Some(spare().map_err(|error| Error::system(tried(), error))?);
        Ok(Self {
            taken,
            options: options.clone(),
            birth,
            epoll,
            pending: BTreeMap::new(),
            next: LISTENING + 1,
            ready: VecDeque::new(),
            spare,
            paused: false,
            refused: 0,
            board: (observable && settings.counters).then(Board::default),
            settings,
            address,
        })
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Clients that were turned down or gave up so far.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// The next session. `None` as deadline: only if one is ready now, else [`Cause::Empty`].
    pub(crate) fn accept(&mut self, kind: Kind, deadline: Option<Deadline>) -> Result<Box<Session>, Error> {
        let tried = |acceptor: &Self| format!("accept at {}", acceptor.address);
        if !self.birth.is_ours() {
            return Err(Error::new(Cause::Forked, tried(self)));
        }
        if self.settings.kind != kind {
            self.settings = self.options.settle(kind)?;
        }
        let mut time = Some(Duration::ZERO);
        loop {
            self.give_up_late_ones();
            self.work(time)?;
            if let Some(at) = self.ready.iter().position(|(made, _)| *made == kind)
                && let Some((_, session)) = self.ready.remove(at)
            {
                return Ok(session);
            }
            let Some(deadline) = deadline else { return Err(Error::new(Cause::Empty, tried(self))) };
            if deadline.has_passed() {
                return Err(Error::new(Cause::Timeout, tried(self)));
            }
            time = self.next_duty(deadline).remaining();
        }
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.birth.is_ours()
    }

    /// Whether a session is ready that nobody has taken yet. The descriptor does not tell of it any more.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// When there is something to do even if nothing comes, if ever.
    pub(crate) fn duty(&self) -> Deadline {
        self.next_duty(Deadline::NEVER)
    }

    /// When there is something to do even if nothing comes: at the latest at `deadline`.
    fn next_duty(&self, deadline: Deadline) -> Deadline {
        self.pending.values().fold(deadline, |next, pending| {
            let next = next.min(pending.deadline());
            if self.paused { next.min(Deadline::at(pending.heard() + SILENCE)) } else { next }
        })
    }

    /// Waits at most `time` for something to do, and does it.
    fn work(&mut self, time: Option<Duration>) -> Result<(), Error> {
        let mut ready = Vec::new();
        self.epoll
            .wait(time, |token| ready.push(token))
            .map_err(|error| Error::system(format!("wait for clients at {}", self.address), error))?;
        for token in ready {
            if token == LISTENING {
                self.accept_waiting()?;
            } else {
                self.advance(token);
            }
        }
        Ok(())
    }

    /// Takes clients out of the kernel's queue while there is room for their handshakes.
    fn accept_waiting(&mut self) -> Result<(), Error> {
        loop {
            if self.pending.len() >= self.settings.pending_limit && !self.evict_the_silent() {
                // They wait in the kernel's queue. Nothing spins meanwhile: the socket goes back into the set with the
                // next handshake that ends.
                self.set_listening(false);
                return Ok(());
            }
            match socket::accept(self.taken.fd()) {
                Ok(client) => self.begin(client),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if is_transient(&error) => {}
                Err(error) if is_descriptor_limit(&error) => return self.refuse_for_want_of_descriptors(),
                Err(error) => return Err(Error::system(format!("accept at {}", self.address), error)),
            }
        }
    }

    /// Begins a handshake with `client`, and goes as far as it goes at once.
    fn begin(&mut self, client: Fd) {
        let token = self.next;
        self.next += 1;
        if let Err(error) = self.epoll.add(client.as_fd(), token) {
            self.refused += 1;
            tracing::debug!(%error, "a client could not be watched");
            return handshake::refuse(&client, Refusal::OutOfMemory, "");
        }
        let pending = Box::new(Pending::new(client, Deadline::after(self.settings.handshake_timeout)));
        self.pending.insert(token, pending);
        self.advance(token);
    }

    /// Advances the handshake `token`, if it is still under way.
    fn advance(&mut self, token: u64) {
        let Some(pending) = self.pending.remove(&token) else { return };
        // Out of the set before anything can close it.
        let watched = self.epoll.remove(pending.socket().as_fd());
        debug_assert!(watched.is_ok(), "every pending handshake is in the set");
        match pending.advance(&self.settings, self.birth) {
            Ok(Step::Waiting(pending)) => {
                if self.epoll.add(pending.socket().as_fd(), token).is_ok() {
                    self.pending.insert(token, pending);
                    return;
                }
                self.refused += 1;
                pending.refuse(Refusal::OutOfMemory, "");
            }
            Ok(Step::Done(mut session)) => {
                self.enter(&mut session);
                self.ready.push_back((self.settings.kind, session));
            }
            Ok(Step::Observer(pending)) => self.show_to(&pending),
            Err(broken) => self.note(&broken),
        }
        self.set_listening(true);
    }

    /// Gives a session its place on the board.
    fn enter(&mut self, session: &mut Session) {
        if let Some(board) = &mut self.board {
            let place = board.enter(self.settings.kind, session.peer, self.birth);
            session.side.channel_mut().show_at(place);
        }
    }

    /// Shows the board to an observer, and is done with it.
    fn show_to(&mut self, observer: &Pending) {
        let shown = match &mut self.board {
            Some(board) => handshake::show(observer.socket(), board),
            None => Err(Broken::Refused(Refusal::Unobserved, String::new())),
        };
        if let Err(broken) = shown {
            observer.refuse(broken.refusal(), "");
            self.note(&broken);
        }
    }

    fn note(&mut self, broken: &Broken) {
        self.refused += 1;
        tracing::debug!(?broken, address = %self.address, "a handshake came to nothing");
    }

    /// Gives up the handshakes whose time is over.
    fn give_up_late_ones(&mut self) {
        while let Some((&token, _)) = self.pending.iter().find(|(_, pending)| pending.deadline().has_passed()) {
            self.give_up(token, Refusal::Slow);
        }
        if self.paused {
            self.evict_the_silent();
        }
    }

    /// Gives up the handshake whose client has been silent for longest, if that is long enough. Whether it did.
    fn evict_the_silent(&mut self) -> bool {
        let longest = self.pending.iter().min_by_key(|(_, pending)| pending.heard());
        let Some((&token, _)) = longest.filter(|(_, pending)| pending.heard().elapsed() >= SILENCE) else {
            return false;
        };
        self.give_up(token, Refusal::Busy);
        true
    }

    fn give_up(&mut self, token: u64, why: Refusal) {
        let Some(pending) = self.pending.remove(&token) else { return };
        let removed = self.epoll.remove(pending.socket().as_fd());
        debug_assert!(removed.is_ok(), "every pending handshake is in the set");
        self.refused += 1;
        pending.refuse(why, "");
        self.set_listening(true);
    }

    /// Puts the listening socket into the epoll set or takes it out.
    fn set_listening(&mut self, listening: bool) {
        if listening != self.paused {
            return;
        }
        let fd = self.taken.fd().as_fd();
        let changed = if listening { self.epoll.add(fd, LISTENING) } else { self.epoll.remove(fd) };
        match changed {
            Ok(()) => self.paused = !listening,
            Err(error) => tracing::debug!(%error, listening, "the listening socket stays as it was"),
        }
    }

    /// Accepts one client with the descriptor kept for this, tells it, and closes it.
    fn refuse_for_want_of_descriptors(&mut self) -> Result<(), Error> {
        self.spare = None;
        if let Ok(client) = socket::accept(self.taken.fd()) {
            self.refused += 1;
            handshake::refuse(&client, Refusal::Busy, "the listener has no file descriptor left");
        }
        match spare() {
            Ok(fd) => self.spare = Some(fd),
            // Somebody else in this process took the number. The client stays in the queue; do not spin on it.
            Err(_) => sys::pause(NO_DESCRIPTORS).map_err(|error| Error::system("wait for descriptors", error))?,
        }
        Ok(())
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        if !self.birth.is_ours() {
            return;
        }
        for pending in self.pending.values() {
            pending.refuse(Refusal::Closing, "");
        }
        for (_, session) in &self.ready {
            session.side.say_goodbye();
            session.side.channel().hang_up();
        }
    }
}

/// A descriptor that is good for nothing but to be given up.
fn spare() -> io::Result<Fd> {
    socket::unconnected()
}

/// A client that was gone before it was accepted.
fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
}

fn is_descriptor_limit(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS))
}
