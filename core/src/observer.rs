//! Observers: what the sessions of a listener count, seen from another process.

use crate::deadline::Deadline;
use crate::error::Error;
use crate::layout::SessionKind;
use crate::observe::Stats;
use crate::session::board::entry::{Entry, Page, Torn};
use crate::session::connect;
use crate::sys;
use std::time::Duration;

/// Sees what the sessions of a [`Listener`](crate::Listener) or [`Server`](crate::Server) count, without their doing anything for it.
///
/// The listener answers once, in an accepting call, if it is of this user, and hands over memory that can only be read. From then
/// on neither knows of the other: a listener that is stopped, or busy, or dead, is read as it last was. Sessions that were opened
/// by [`Bus::listen`](crate::Bus::listen) or [`RpcBus::listen`](crate::RpcBus::listen) cannot be observed, because their name is gone
/// when they stand; nor can those of a listener with [`Options::counters`](crate::Options::counters) off.
///
/// May be used by many threads at a time, and in a child of `fork`.
///
/// ```
/// use slipring::{Deadline, Listener, Observer, Options, RpcBus};
/// use std::time::Duration;
///
/// # let dir = std::env::temp_dir().join(format!("slipring-observer-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir)?;
/// # let address = dir.join("sums").display().to_string();
/// # let address = address.as_str();
/// # let soon = || Deadline::after(Duration::from_secs(5));
/// # let mut listener = Listener::bind(address, &Options::default())?;
/// # let other = address.to_owned();
/// # let client = std::thread::spawn(move || RpcBus::connect(&other, &Options::default()).map(drop));
/// # let session = listener.accept_rpc_until(soon())?;
/// # client.join().expect("no panic")?;
/// # let serving = std::thread::spawn(move || listener.accept_rpc_until(Deadline::after(Duration::from_millis(500))).map(drop));
/// let observer = Observer::connect(address, soon())?;
/// for seen in observer.sessions() {
///     println!("{} {:?} of process {}: {} frames in", seen.session, seen.kind, seen.pid, seen.ours.frames_received);
/// }
/// # assert_eq!(observer.sessions().len(), 1);
/// # drop(session);
/// # let _ = serving.join().expect("no panic");
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Observer(Page);

/// What an observer sees at one look.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Observation {
    /// Every open session that is shown, in the order of their numbers.
    pub sessions: Vec<Observed>,
    /// Sessions that were opened so far, if the listener is to be believed, as with all that follows.
    pub opened: u64,
    /// Sessions that are open. May be out of step with `sessions` while some come or go.
    pub open: u64,
    /// How many of them are not shown: there are 1023 places, and memory for them may be short.
    pub unshown: u64,
    /// Entries that were being written whenever they were looked at: those of a process that was stopped, or killed, in the middle
    /// of one.
    pub torn: u32,
}

/// A session, as the listening process last showed it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Observed {
    /// Its number among the listener's sessions, from 1.
    pub session: u64,
    /// What it is for.
    pub kind: SessionKind,
    /// The process that connected; 0 for one of another pid namespace. For people: it may be gone.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// How long ago this was written. The listening process writes it at calm moments: about every millisecond while it is at work
    /// on the session, and before it sleeps for it. Of no meaning between time namespaces.
    pub age: Duration,
    /// What the listening end has counted.
    pub ours: Stats,
    /// What the connecting end shows, as the listening end read it then; `None` if it shows nothing.
    pub theirs: Option<Stats>,
}

impl Observer {
    /// Asks the listener at `address`. `deadline` is how long it may take to appear; for its answer, which it gives when it next is in
    /// an accepting call, it has 5 s more.
    ///
    /// # Errors
    /// [`Cause::NotFound`](crate::Cause::NotFound) if nobody listens; [`Cause::Refused`](crate::Cause::Refused) and
    /// [`Cause::Version`](crate::Cause::Version) as the listener says, or if it belongs to another user;
    /// [`Cause::Timeout`](crate::Cause::Timeout) if it does not answer; [`Cause::Corrupt`](crate::Cause::Corrupt) if it answers
    /// nonsense; [`Cause::PeerDied`](crate::Cause::PeerDied) if it hung up; [`Cause::InvalidArgument`](crate::Cause::InvalidArgument)
    /// for an address that can never be right; [`Cause::OutOfMemory`](crate::Cause::OutOfMemory);
    /// [`Cause::Interrupted`](crate::Cause::Interrupted) if a signal handler ran.
    pub fn connect(address: &str, deadline: Deadline) -> Result<Self, Error> {
        connect::observe(address, deadline).map(Self)
    }

    /// Every open session that is shown, in the order of their numbers. Never waits.
    #[must_use]
    pub fn sessions(&self) -> Vec<Observed> {
        self.look().sessions
    }

    /// The same, with what the listener says of all of them. Never waits. Each session is seen as it was at one moment, each at its
    /// own.
    #[must_use]
    pub fn look(&self) -> Observation {
        let now = sys::monotonic_ns();
        let mut torn = 0;
        let mut sessions = Vec::new();
        for slot in 0..self.0.used() {
            match self.0.entry(slot) {
                Ok(entry) => sessions.extend(entry.and_then(|entry| seen(&entry, now))),
                Err(Torn) => torn += 1,
            }
        }
        sessions.sort_unstable_by_key(|seen| seen.session);
        let (opened, open, unshown) = (self.0.opened(), self.0.open(), self.0.unshown());
        Observation { sessions, opened, open, unshown, torn }
    }
}

/// An entry in the user's words; `None` for one of a kind that there is not.
fn seen(entry: &Entry, now: u64) -> Option<Observed> {
    Some(Observed {
        session: entry.number,
        kind: entry.kind()?,
        pid: entry.pid,
        uid: entry.uid,
        age: Duration::from_nanos(now.saturating_sub(entry.time)),
        ours: Stats::from_words(entry.ours),
        theirs: entry.theirs.map(Stats::from_words),
    })
}
