//! Many sessions and listeners, waited for by one thread.
//!
//! A [`Poller`] owns what it waits for, and says by key where there is something to do. It decides nothing about it: the user
//! takes what he likes through [`get_mut`](Poller::get_mut), and what he leaves is reported by the next wait. So a peer that
//! floods cannot keep the others waiting unless the user lets it.
//!
//! Who was busy a moment ago is looked at in memory, the others are left to their bells (`poller/waiting.rs`); who stands where
//! is in `poller/roster.rs`. Here is what users see.

mod roster;
mod source;
mod waiting;

pub use source::{AddError, Source};

use crate::bus::Bus;
use crate::deadline::Deadline;
use crate::error::{Cause, Error};
use crate::layout::SessionKind;
use crate::listener::Listener;
use crate::options::Options;
use crate::rpc::RpcBus;
use crate::side::{NAP, Patience};
use crate::sys::epoll::{Alarm, Epoll};
use crate::sys::fork::Birth;
use crate::sys::{self, barrier};
use crate::wait::{GLANCE, Pulse, Wait};
use roster::{NOBODY, Roster, Stage};
use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

/// The name of a session or listener in its [`Poller`]. One that was removed is never meant by the key of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    index: u32,
    generation: u32,
}

/// What a [`Poller`] has done since it was made. Counts from zero, never reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PollerStats {
    /// Waits begun.
    pub waits: u64,
    /// How often a wait went to sleep.
    pub sleeps: u64,
    /// Naps of many sessions together that ended without anything to hear from any of them.
    pub naps: u64,
    /// Barriers issued: one for all sessions that go to sleep together.
    pub barriers: u64,
    /// How often a descriptor had something to hear, or was at its end.
    pub events: u64,
}

/// Waits for any number of sessions and listeners at once.
///
/// It owns them: [`add`](Self::add) gives a [`Key`], [`get_mut`](Self::get_mut) lends them out, [`remove`](Self::remove) gives them
/// back. A wait answers with the keys of those that have something to do, each once:
///
/// | what | is ready when | then |
/// |---|---|---|
/// | a receiving [`Bus`] | a frame is there, or the end | `try_recv`, `try_poll`, `try_drain` |
/// | an [`RpcBus`] | a request or a reply is there, or the end | `try_serve` or [`try_run`](RpcBus::try_run), then `try_wait` |
/// | either, after a `try_` call that answered [`Cause::Full`] | it may be worth trying again (told once) | that call |
/// | a [`Listener`] | a client may have come, or has to be given up | `try_accept_bus`, `try_accept_rpc` |
///
/// Nothing needs to be taken at once, nor all of it: whatever is left is reported by the next wait. To be fair among busy peers
/// take a bounded number from each before the next wait. A session that is over is reported until it is removed. Now and then
/// something is reported for nothing; the `try_` call then answers [`Cause::Empty`].
///
/// Replies that came while something else was waited for in the same session are in their places: `try_wait` finds them, but
/// they are not reported again.
///
/// A session that was busy a moment ago is spun on for as long as its wait strategy's budget says; all others sleep together. The
/// poller's own strategy counts ([`Options::wait`]), not the sessions'. A thousand idle sessions cost no processor, and a
/// busy one among them is hardly slower than alone.
///
/// A poller belongs to one thread at a time, with all that is in it. A [`Notifier`] wakes it from any other. In a child of
/// `fork` every wait answers [`Cause::Forked`].
///
/// ```
/// use slipring::{Bus, Cause, Deadline, Listener, Options, Poller, Source};
/// use std::time::Duration;
///
/// # let dir = std::env::temp_dir().join(format!("slipring-poller-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir)?;
/// # let address = dir.join("many").display().to_string();
/// let mut poller = Poller::new(&Options::default())?;
/// poller.add(Listener::bind(&address, &Options::small())?)?;
/// let clients = std::thread::spawn(move || {
///     for number in 0..3 {
///         let mut bus = Bus::connect(&address, &Options::default())?;
///         bus.publish(number, b"hello")?;
///         bus.close(Duration::from_secs(5))?;
///     }
///     Ok::<(), slipring::Error>(())
/// });
/// let (mut ready, mut ended) = (Vec::new(), 0);
/// while ended < 3 {
///     poller.wait_until(&mut ready, Deadline::after(Duration::from_secs(5)))?;
///     for &key in &ready {
///         match poller.get_mut(key) {
///             Some(Source::Listener(listener)) => {
///                 if let Ok(bus) = listener.try_accept_bus() {
///                     poller.add(bus)?;
///                 }
///             }
///             Some(Source::Bus(bus)) => match bus.try_recv().map(|lease| assert_eq!(&lease[..], b"hello")) {
///                 Ok(()) | Err(Cause::Empty) => {}
///                 Err(cause) => {
///                     assert_eq!(cause, Cause::Closed);
///                     poller.remove(key);
///                     ended += 1;
///                 }
///             },
///             _ => {}
///         }
///     }
/// }
/// clients.join().expect("no client panics")?;
/// # drop(poller);
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Poller {
    // Before the sources: when it is dropped nothing is watched any more, and they can be closed.
    epoll: Epoll,
    roster: Roster,
    listeners: Vec<Key>,
    alarm: Arc<Alarm>,
    birth: Birth,
    strategy: Wait,
    /// A session shares its processor with its peer: looking for longer than a moment keeps the peer from running.
    one_cpu: bool,
    stats: PollerStats,
    /// Tells when the descriptors are due for a look although there is something to do without.
    pulse: Pulse,
    glanced: Instant,
    /// Which hot source is looked at first.
    first: usize,
    dozing_since: Option<Instant>,
    starved_since: Option<Instant>,
    /// When who has something to do though nothing comes: idle memory to give back, an announcement to try again.
    chores: BinaryHeap<Reverse<(Instant, Key)>>,
    notified: bool,
    /// A foreign event loop watches the descriptor.
    watched: Cell<bool>,
    tokens: Vec<u64>,
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("sources", &self.len()).field("stats", &self.stats).finish_non_exhaustive()
    }
}

/// Wakes a [`Poller`] from any thread.
#[derive(Clone, Debug)]
pub struct Notifier {
    alarm: Arc<Alarm>,
    birth: Birth,
}

impl Notifier {
    /// Ends the poller's wait, or the next one if there is none: it returns, with or without keys. In a child of `fork` this does
    /// nothing.
    pub fn notify(&self) {
        if self.birth.is_ours() {
            self.alarm.ring();
        }
    }
}

impl Poller {
    /// One that waits for nothing yet. Of the options only the wait strategy counts.
    ///
    /// # Errors
    /// [`Cause::Config`] for an unusable environment; [`Cause::InvalidArgument`] for options that can never be right;
    /// [`Cause::OutOfMemory`] or [`Cause::System`] if there is no descriptor left.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let strategy = options.settle(SessionKind::Bus)?.wait;
        let failed = |error| Error::system("make a poller", error);
        barrier::register();
        let birth = Birth::now().map_err(failed)?;
        let (epoll, alarm) = (Epoll::new().map_err(failed)?, Alarm::new().map_err(failed)?);
        epoll.add(alarm.as_fd(), NOBODY).map_err(failed)?;
        Ok(Self {
            epoll,
            roster: Roster::default(),
            listeners: Vec::new(),
            alarm: Arc::new(alarm),
            birth,
            strategy,
            one_cpu: false,
            stats: PollerStats::default(),
            pulse: Pulse::every(GLANCE),
            glanced: Instant::now(),
            first: 0,
            dozing_since: None,
            starved_since: None,
            chores: BinaryHeap::new(),
            notified: false,
            watched: Cell::new(false),
            tokens: Vec::new(),
        })
    }

    /// Takes a session or a listener in. The first wait after this looks at it.
    ///
    /// # Errors
    /// With the source: [`Cause::OutOfMemory`] if the kernel watches no more descriptors for this user; [`Cause::Forked`].
    pub fn add(&mut self, source: impl Into<Source>) -> Result<Key, AddError> {
        let source = source.into();
        if let Err(cause) = self.check_ours().and_then(|()| source.check_ours()) {
            return Err(AddError { source, cause });
        }
        let is_listener = matches!(source, Source::Listener(_));
        let one_cpu = source.has_one_cpu();
        let key = self.roster.add(source);
        if let Err(cause) = self.watch(key.index) {
            let source = self.roster.remove(key).and_then(|slot| slot.source).expect("it was just added");
            return Err(AddError { source, cause });
        }
        if is_listener {
            self.listeners.push(key);
        }
        self.one_cpu |= one_cpu;
        Ok(key)
    }

    /// What was added under this key: to be read from, written to, or accepted from. `None` if it was removed.
    ///
    /// It stays in the poller: another end must not be put in its place (as by [`std::mem::swap`]), or neither is waited for.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut Source> {
        let slot = self.roster.slot_mut(key)?;
        if matches!(slot.stage(), Stage::Quiet | Stage::Dozing) {
            slot.since = None;
            // Whatever the user does with it, the next wait looks at it.
            slot.source.as_mut().map(Source::get_up);
            self.roster.enter(key.index, Stage::Hot);
        }
        self.roster.slot_mut(key)?.source.as_mut()
    }

    /// As [`get_mut`](Self::get_mut), if it is a [`Bus`].
    pub fn bus(&mut self, key: Key) -> Option<&mut Bus> {
        match self.get_mut(key) {
            Some(Source::Bus(bus)) => Some(bus),
            _ => None,
        }
    }

    /// As [`get_mut`](Self::get_mut), if it is an [`RpcBus`].
    pub fn rpc(&mut self, key: Key) -> Option<&mut RpcBus> {
        match self.get_mut(key) {
            Some(Source::Rpc(rpc)) => Some(rpc),
            _ => None,
        }
    }

    /// As [`get_mut`](Self::get_mut), if it is a [`Listener`].
    pub fn listener(&mut self, key: Key) -> Option<&mut Listener> {
        match self.get_mut(key) {
            Some(Source::Listener(listener)) => Some(listener),
            _ => None,
        }
    }

    /// Gives back what was added under this key, open as it is. Dropping it says goodbye.
    pub fn remove(&mut self, key: Key) -> Option<Source> {
        self.roster.slot(key)?;
        self.unwatch(key.index);
        self.listeners.retain(|&listener| listener != key);
        let mut source = self.roster.remove(key)?.source?;
        source.get_up();
        Some(source)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.roster.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys of all that are there, in no particular order.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.roster.all().map(|(index, _)| self.roster.key(index))
    }

    /// What this poller has done so far.
    #[must_use]
    pub fn stats(&self) -> PollerStats {
        self.stats
    }

    /// What wakes this poller from other threads, for as long as it lives.
    #[must_use]
    pub fn notifier(&self) -> Notifier {
        Notifier { alarm: Arc::clone(&self.alarm), birth: self.birth }
    }

    /// Waits until something is ready, and puts the keys of all that are into `ready`, whose old content is dropped. Returns with
    /// none if a [`Notifier`] ended the wait.
    ///
    /// # Errors
    /// [`Cause::Interrupted`] if a signal handler ran during a sleep; [`Cause::Forked`]; [`Cause::System`]. What is wrong with a
    /// session is no error here: it is ready, and says so itself.
    pub fn wait(&mut self, ready: &mut Vec<Key>) -> Result<(), Cause> {
        self.wait_until(ready, Deadline::NEVER)
    }

    /// As [`wait`](Self::wait), until `deadline`, then [`Cause::Timeout`].
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn wait_until(&mut self, ready: &mut Vec<Key>, deadline: Deadline) -> Result<(), Cause> {
        self.wait_with(ready, Patience::Until(deadline))
    }

    /// As [`wait`](Self::wait), or [`Cause::Empty`] at once. Where a foreign event loop watches the
    /// [descriptor](Self::as_fd), that answer is what arms it.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn try_wait(&mut self, ready: &mut Vec<Key>) -> Result<(), Cause> {
        self.wait_with(ready, Patience::None)
    }

    fn check_ours(&self) -> Result<(), Cause> {
        if self.birth.is_ours() { Ok(()) } else { Err(Cause::Forked) }
    }

    /// Lends a session out to another thread: it is not waited for until it is [back](Self::take_back).
    pub(crate) fn lend(&mut self, key: Key) -> Option<Source> {
        self.roster.slot(key)?.source.as_ref()?;
        self.unwatch(key.index);
        self.roster.enter(key.index, Stage::Lent);
        let mut source = self.roster.at(key.index).source.take()?;
        source.get_up();
        Some(source)
    }

    /// Takes back what was lent. An error, and the session is gone, if it cannot be watched any more.
    pub(crate) fn take_back(&mut self, key: Key, source: Source) -> Result<(), Cause> {
        let Some(slot) = self.roster.slot_mut(key) else { return Ok(()) };
        (slot.source, slot.since) = (Some(source), None);
        self.roster.enter(key.index, Stage::Hot);
        self.watch(key.index).inspect_err(|_| drop(self.remove(key)))
    }

    /// Has the descriptor of a source watched, and its peer fence if a foreign loop relies on that.
    fn watch(&mut self, index: u32) -> Result<(), Cause> {
        let token = self.roster.key(index).token();
        let slot = self.roster.at(index);
        let Some(source) = &slot.source else { return Ok(()) };
        self.epoll.add(source.fd(), token).map_err(|error| {
            tracing::debug!(%error, "a session could not be watched");
            Cause::OutOfMemory
        })?;
        slot.watched = true;
        if self.watched.get() && source.ask_for_fences() {
            order_all();
        }
        Ok(())
    }

    /// Has the descriptor watched no more. Always before it is closed: a child of `fork` could keep what is behind it alive.
    fn unwatch(&mut self, index: u32) {
        let slot = self.roster.at(index);
        if !slot.watched || !self.birth.is_ours() {
            return;
        }
        slot.watched = false;
        if let Some(source) = &slot.source {
            let removed = self.epoll.remove(source.fd());
            debug_assert!(removed.is_ok(), "what is watched is in the set");
        }
    }
}

/// After peers were asked to fence: whatever they stored before they could know is visible to us from here on. Where the barrier
/// cannot be had a nap does the same: no store stays in a store buffer that long.
fn order_all() {
    if !barrier::heavy() {
        std::thread::sleep(NAP);
    }
}

/// One descriptor for a foreign event loop, level-triggered, in the place of all: call [`try_wait`](Poller::try_wait) right after
/// adding it, and whenever it is readable, and do what is ready, until the answer is [`Cause::Empty`]: that arms it. Only the
/// library reads from it.
///
/// From the first call on the peers of all sessions fence after each of their stores, because a foreign loop cannot nap. And what
/// the poller does by its clock (giving up silent clients of a listener, giving idle memory back) waits for the next call.
impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        if self.birth.is_ours() && !self.watched.replace(true) {
            let asked = self.roster.all().filter(|(_, source)| source.ask_for_fences()).count();
            if asked > 0 {
                order_all();
            }
        }
        self.epoll.as_fd()
    }
}

/// Raises the number of descriptors that this process may have open (the soft `RLIMIT_NOFILE`) to the most that it may allow itself
/// (the hard one), and answers how many that is. A session takes one descriptor.
///
/// # Errors
/// [`Cause::System`] if the kernel refuses.
pub fn raise_descriptor_limit() -> Result<u64, Error> {
    sys::raise_descriptor_limit().map_err(|error| Error::system("raise the limit of descriptors", error))
}
