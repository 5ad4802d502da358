//! One process that serves many: accepting, dispatching to a handler, and letting go.
//!
//! A [`Server`] is a loop over a [`Poller`]: what is ready gets a bounded turn, and then the next one. With workers
//! (`server/workers.rs`) a ready session is lent to one of them for its turn, so that it belongs to one thread at a time and its
//! requests keep their order without a lock. Nothing in the loop waits for a client: replies find room or fail for that call
//! alone, and whoever is slow, stopped or dead has nothing that the others need.

mod workers;

use crate::bus::Frame;
use crate::deadline::Deadline;
use crate::error::{Cause, Error};
use crate::listener::Listener;
use crate::options::Options;
use crate::poller::{Key, Notifier, Poller, PollerStats, Source};
use crate::rpc::Request;
use crate::sync::{AtomicBool, Ordering::Relaxed};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use workers::Floor;

/// How many requests or frames of one session are served before the next session has its turn. Enough that the way round costs
/// little, and few enough that a flood of short requests keeps nobody waiting for more than some tens of microseconds.
const TURN: usize = 64;

/// How many clients are accepted before the sessions have their turn.
const ACCEPTS: usize = 16;

type OnRequest = Arc<dyn Fn(Key, Request<'_>) + Send + Sync>;
type OnFrame = Arc<dyn Fn(Key, Frame<'_>) + Send + Sync>;
type OnEnd = Arc<dyn Fn(Key, Cause) + Send + Sync>;

/// What is done for clients.
#[derive(Clone, Default)]
enum Service {
    #[default]
    None,
    Calls(OnRequest),
    Frames(OnFrame),
}

/// Serves any number of clients at one name, by a handler.
///
/// ```
/// use slipring::{Deadline, Options, RpcBus, Server};
/// use std::time::Duration;
///
/// # let dir = std::env::temp_dir().join(format!("slipring-server-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir)?;
/// # let address = dir.join("sums").display().to_string();
/// let mut server = Server::bind(&address, &Options::default())?.on_request(|_session, request| {
///     let sum: u64 = request.iter().map(|&byte| u64::from(byte)).sum();
///     // A client that is gone needs no reply.
///     let _ = request.reply(0, &sum.to_le_bytes());
/// });
/// let stopper = server.stopper();
/// let client = std::thread::spawn(move || -> Result<(), slipring::Error> {
///     let mut rpc = RpcBus::connect(&address, &Options::default())?;
///     let reply = rpc.request_until(1, &[2, 3], Deadline::after(Duration::from_secs(5)))?;
///     assert_eq!(reply[..], 5_u64.to_le_bytes());
///     drop(reply);
///     stopper.stop();
///     Ok(())
/// });
/// server.run()?;
/// client.join().expect("the client does not panic")?;
/// # drop(server);
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What is kept apart
///
/// The requests of one session are served one after the other, in the order in which they were made, each before the next begins.
/// Those of different sessions have nothing to do with each other: every session with something to do gets a turn of at most
/// 64 requests, then the next one. A client that floods, sleeps, is stopped or dies keeps nobody else waiting. What can is a
/// handler that takes long: without [workers](Self::workers) everybody waits for it, with `n` of them, as long as fewer than
/// `n` are in a handler, nobody else does. A handler that panics costs that call alone, which is answered with
/// [`Cause::Remote`].
///
/// # Memory
///
/// Where the options name no capacity, rings have 64 KiB ([`Options::small`]).
pub struct Server {
    poller: Poller,
    listener: Key,
    service: Service,
    on_end: Option<OnEnd>,
    workers: usize,
    stopper: Stopper,
    ready: Vec<Key>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("sessions", &self.sessions())
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

/// Stops a [`Server`] from any thread.
#[derive(Clone, Debug)]
pub struct Stopper {
    stopped: Arc<AtomicBool>,
    notifier: Notifier,
}

impl Stopper {
    /// Ends the server's run, or the next one if there is none, after the turns that have begun.
    pub fn stop(&self) {
        // The notification that follows is a system call, and so is hearing it: the flag needs no order of its own.
        self.stopped.store(true, Relaxed);
        self.notifier.notify();
    }

    fn take(&self) -> bool {
        self.stopped.load(Relaxed) && self.stopped.swap(false, Relaxed)
    }
}

/// Setting up.
impl Server {
    /// Takes `address`. Clients can connect from here on; they are accepted when the server [runs](Self::run).
    ///
    /// # Errors
    /// As for [`Listener::bind`] and [`Poller::new`].
    pub fn bind(address: &str, options: &Options) -> Result<Self, Error> {
        let mut poller = Poller::new(options)?;
        let listener = poller.add(Listener::bind(address, &options.clone().or_small())?)?;
        let stopper = Stopper { stopped: Arc::default(), notifier: poller.notifier() };
        let service = Service::None;
        Ok(Self { poller, listener, service, on_end: None, workers: 0, stopper, ready: Vec::new() })
    }

    /// Serves calls: `handler` is given every request, with the key of its session. It replies by [`Request::reply`] or
    /// [`Request::reply_error`]; without either the caller gets [`Cause::Remote`]. Clients that want no calls are refused.
    ///
    /// A handler may call its client back through [`Request::bus`]. It waits for that client then, so it should have a deadline.
    pub fn on_request(mut self, handler: impl Fn(Key, Request<'_>) + Send + Sync + 'static) -> Self {
        self.service = Service::Calls(Arc::new(handler));
        self
    }

    /// Receives frames, instead of serving calls: `handler` is given every frame, with the key of its session. A frame whose
    /// handler panics counts as received.
    pub fn on_frame(mut self, handler: impl Fn(Key, Frame<'_>) + Send + Sync + 'static) -> Self {
        self.service = Service::Frames(Arc::new(handler));
        self
    }

    /// Tells `handler` of every session that ended, and why, after everything that the client had sent was served. Keys are not
    /// used again.
    pub fn on_end(mut self, handler: impl Fn(Key, Cause) + Send + Sync + 'static) -> Self {
        self.on_end = Some(Arc::new(handler));
        self
    }

    /// Serves in `threads` threads of their own while the server runs; with none, the default, in the thread that runs it. The
    /// sessions are dealt out by turns, and each is with one thread at a time. Worth it for handlers that take long: handing a
    /// session over costs more than a short request does.
    pub fn workers(mut self, threads: usize) -> Self {
        self.workers = threads;
        self
    }

    /// What stops this server.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// The address, as it can be given to [`RpcBus::connect`](crate::RpcBus::connect).
    #[must_use]
    pub fn address(&mut self) -> String {
        self.poller.listener(self.listener).map(|listener| listener.address()).unwrap_or_default()
    }

    /// How many clients have a session now.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.poller.len().saturating_sub(1)
    }

    /// How many clients were turned down, or gave up in mid-handshake, so far.
    #[must_use]
    pub fn refused(&mut self) -> u64 {
        self.poller.listener(self.listener).map_or(0, |listener| listener.refused())
    }

    /// What waiting has cost so far.
    #[must_use]
    pub fn stats(&self) -> PollerStats {
        self.poller.stats()
    }
}

/// Running.
impl Server {
    /// Serves until a [`Stopper`] stops it. The sessions stay open, and a later run goes on with them; dropping the server closes
    /// them.
    ///
    /// # Errors
    /// [`Cause::InvalidArgument`] if there is no handler; [`Cause::Interrupted`] if a signal handler ran, after which it can be
    /// run again; [`Cause::OutOfMemory`] if a worker's thread cannot be had; [`Cause::Forked`]; and as for
    /// [`Listener::accept_rpc`]. What happens to single clients is no error here.
    pub fn run(&mut self) -> Result<(), Error> {
        self.run_until(Deadline::NEVER)
    }

    /// As [`run`](Self::run), until `deadline`, then [`Cause::Timeout`]. A worker that is in a handler is waited for.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub fn run_until(&mut self, deadline: Deadline) -> Result<(), Error> {
        if matches!(self.service, Service::None) {
            let which = "set a handler with on_request or on_frame before running";
            return Err(Error::new(Cause::InvalidArgument { which }, "run a server"));
        }
        if self.workers == 0 {
            return self.run_alone(deadline);
        }
        let floor = Floor::new(self.service.clone(), self.poller.notifier());
        let ran = self.run_with(&floor, deadline);
        for done in floor.take_done() {
            self.take_back(done);
        }
        ran
    }

    fn run_alone(&mut self, deadline: Deadline) -> Result<(), Error> {
        let mut ready = std::mem::take(&mut self.ready);
        let ran = loop {
            match self.next(&mut ready, deadline) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
            for &key in &ready {
                if key == self.listener {
                    continue;
                }
                let served = self.poller.get_mut(key).map_or(Ok(()), |source| self.service.turn(key, source));
                if let Err(cause) = served {
                    self.end(key, cause);
                }
            }
        };
        self.ready = ready;
        ran
    }

    /// Waits for what is ready, and accepts whoever has come. Whether to go on.
    fn next(&mut self, ready: &mut Vec<Key>, deadline: Deadline) -> Result<bool, Error> {
        if self.stopper.take() {
            return Ok(false);
        }
        // Clients that are always ready leave no wait in which the deadline would be noticed.
        if deadline.has_passed() {
            return Err(Error::new(Cause::Timeout, "run a server"));
        }
        self.poller.wait_until(ready, deadline).map_err(|cause| Error::new(cause, "run a server"))?;
        if ready.contains(&self.listener) {
            self.accept()?;
        }
        Ok(true)
    }

    fn accept(&mut self) -> Result<(), Error> {
        for _ in 0..ACCEPTS {
            let Some(listener) = self.poller.listener(self.listener) else { return Ok(()) };
            let accepted = match self.service {
                Service::Frames(_) => listener.try_accept_bus().map(Source::from),
                _ => listener.try_accept_rpc().map(Source::from),
            };
            match accepted {
                Ok(source) => self.welcome(source),
                Err(error) if error.cause() == Cause::Empty => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A client has come.
    fn welcome(&mut self, source: Source) {
        let key = match self.poller.add(source) {
            Ok(key) => key,
            Err(error) => return tracing::debug!(%error, "a client could not be served"),
        };
        if let (Service::Calls(handler), Some(rpc)) = (&self.service, self.poller.rpc(key)) {
            let handler = Arc::clone(handler);
            rpc.on_request(move |request| handler(key, request));
        }
    }

    /// A session is over.
    fn end(&mut self, key: Key, cause: Cause) {
        drop(self.poller.remove(key));
        tracing::debug!(?key, %cause, "a session ended");
        if let Some(on_end) = &self.on_end {
            guard(|| on_end(key, cause));
        }
    }
}

impl Service {
    /// One turn of a session that is ready. An error is its end.
    fn turn(&self, key: Key, source: &mut Source) -> Result<(), Cause> {
        let turn = match (self, &mut *source) {
            (Self::Frames(handler), Source::Bus(bus)) => {
                bus.try_poll(TURN, |frame| guard(|| handler(key, frame))).map(drop)
            }
            (Self::Calls(_), Source::Rpc(rpc)) => rpc.try_run(TURN).map(drop),
            _ => Ok(()),
        };
        match turn {
            Err(Cause::Empty) => Ok(()),
            // There may be some later: the poller tries again, but not all the time.
            Err(Cause::OutOfMemory) => {
                source.hold_off();
                Ok(())
            }
            other => other,
        }
    }
}

/// Runs a handler of the user's. Its panic has been reported by the panic hook, and costs nothing else.
fn guard(handler: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(handler)).is_err() {
        tracing::debug!("a handler panicked");
    }
}
