//! Crowds of processes at one server: thousands of sessions that are opened, used and killed at random leave nothing behind, and a
//! client that is stopped among a thousand others holds up none of them.
//!
//! `SLIPRING_CROWD_SECONDS` says how long; `SLIPRING_TEST_SEED` repeats a run.

use slipring::{
    Bus, Cause, Deadline, Listener, Message, Options, Poller, Request, RpcBus, Server, Source, memory_taken,
    raise_descriptor_limit,
};
use slipring_tests::alone::alone;
use slipring_tests::chance::Chance;
use slipring_tests::objects::is_object;
use slipring_tests::pair::soon;
use slipring_tests::peer::Peer;
use slipring_tests::proc::{Holdings, await_that, holdings};
use slipring_tests::scratch::Scratch;
use slipring_tests::serving::while_running;
use slipring_tests::watchdog::{heartbeat, watchdog_for};
use slipring_tests::{frames, peer};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Processes of the mob at any time. Each has up to two dozen sessions.
const MOB: usize = 5;
/// Messages of the mob that either server holds at a time, most of them of processes that are dead.
const HELD: usize = 64;
/// Every so many requests and frames one is held.
const HOLD_EACH: u64 = 7;
/// What either side of a session may have beside its rings.
const MEMORY: u64 = 1 << 20;
/// How much memory may come and go without being a leak, in KiB: a page of each session would be more.
const NOISE: u64 = 8 << 10;
/// Sessions that must have ended for each second that there is, before it is over.
const EACH_SECOND: u64 = 40;

fn time_there_is() -> Duration {
    let told = std::env::var("SLIPRING_CROWD_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(told.unwrap_or(5))
}

fn own() -> Holdings {
    holdings(std::process::id())
}

fn options() -> Options {
    Options::small().memory_limit(MEMORY)
}

/// What both servers know together.
#[derive(Default)]
struct Tally {
    ended: AtomicU64,
    seen: AtomicU64,
    held: Mutex<VecDeque<Message>>,
}

impl Tally {
    /// A session is over, as it ends when its peer says goodbye or is killed.
    fn end(&self, cause: Cause) {
        assert!(matches!(cause, Cause::Closed | Cause::PeerDied), "{cause}");
        self.ended.fetch_add(1, SeqCst);
    }

    /// Holds some of what comes for a while.
    fn see(&self, keep: impl FnOnce() -> Message) {
        if self.seen.fetch_add(1, SeqCst).is_multiple_of(HOLD_EACH) {
            let message = keep();
            assert!((0..3).any(|number| message.shared().iter().all(|shared| is_object(number, shared))));
            let mut held = self.held.lock().expect("no panic");
            held.push_back(message);
            if held.len() > HELD {
                held.pop_front();
            }
        }
    }

    fn let_go(&self) {
        self.held.lock().expect("no panic").clear();
    }
}

/// Answers with what came, objects included.
fn echo(tally: &Tally, mut request: Request<'_>) {
    let (type_id, payload) = (request.type_id(), request.to_vec());
    assert!(frames::is(type_id.into(), type_id, &payload), "request {type_id}");
    tally.see(|| request.keep());
    let shared = request.shared().to_vec();
    // Whoever asked may be dead.
    let _ = request.reply_shared(type_id, &payload, &shared.iter().collect::<Vec<_>>());
}

/// Receives whatever comes at `listener`, until it is told to stop: every session's frames in their order.
fn receive(tally: &Tally, listener: Listener, stop: &AtomicBool) {
    let mut poller = Poller::new(&Options::default()).expect("a poller");
    poller.add(listener).expect("room");
    let (mut next, mut ready) = (BTreeMap::new(), Vec::new());
    while !stop.load(SeqCst) {
        match poller.wait_until(&mut ready, Deadline::after(Duration::from_millis(20))) {
            Ok(()) => {}
            Err(cause) => assert_eq!(cause, Cause::Timeout),
        }
        for &key in &ready {
            match poller.get_mut(key).expect("nobody else removes any") {
                Source::Listener(listener) => {
                    if let Ok(bus) = listener.try_accept_bus() {
                        next.insert(poller.add(bus).expect("room"), 0);
                    }
                }
                Source::Bus(bus) => {
                    let Err(cause) = take_some(bus, tally, next.get_mut(&key).expect("counted")) else { continue };
                    tally.end(cause);
                    drop((poller.remove(key), next.remove(&key)));
                }
                _ => panic!("nothing else was added"),
            }
        }
    }
}

/// Takes at most a few frames, which must be the next ones.
fn take_some(bus: &mut Bus, tally: &Tally, next: &mut u64) -> Result<(), Cause> {
    for _ in 0..8 {
        match bus.try_recv() {
            Ok(lease) => {
                assert!(frames::is(*next, lease.type_id(), &lease), "frame {next}");
                tally.see(|| lease.keep());
            }
            Err(Cause::Empty) => return Ok(()),
            Err(cause) => return Err(cause),
        }
        *next += 1;
    }
    Ok(())
}

/// Clients that stay, and must be served however the others end.
struct Survivors {
    calls: RpcBus,
    frames: Bus,
    said: u64,
}

impl Survivors {
    fn exchange(&mut self) {
        let payload = frames::payload(self.said, 40);
        let reply = self.calls.request_until(frames::type_id(self.said), &payload, soon()).expect("a reply");
        assert!(frames::is(self.said, reply.type_id(), &reply));
        drop(reply);
        self.frames.publish_until(frames::type_id(self.said), &payload, soon()).expect("room");
        self.said += 1;
    }
}

/// Processes that use sessions at random, until they are killed.
struct Mob {
    order: String,
    chance: Chance,
    peers: Vec<Peer>,
    killed: u64,
}

impl Mob {
    /// Starts, stops and kills processes at random, and looks at the survivors in between.
    fn rage(&mut self, survivors: &mut Survivors, mut goes_on: impl FnMut() -> bool) {
        let heart = heartbeat();
        while goes_on() {
            heart.beat("a round of the mob");
            if self.peers.len() < MOB {
                let mut peer = peer!();
                peer.tell(&format!("{} {} memory={MEMORY}", self.order, self.chance.number()));
                self.peers.push(peer);
            }
            let which = self.chance.below(self.peers.len());
            match self.chance.below(6) {
                0 | 1 => self.kill(which),
                2 => self.peers[which].stop(),
                3 => self.peers[which].go_on(),
                _ => {}
            }
            survivors.exchange();
            thread::sleep(self.chance.time(Duration::from_millis(6)));
        }
        while !self.peers.is_empty() {
            self.kill(0);
        }
    }

    fn kill(&mut self, which: usize) {
        let mut peer = self.peers.swap_remove(which);
        // It says that it has sessions, and nothing else unless something went wrong.
        if peer.has_answered() {
            assert_eq!(peer.answer(), "ok");
            assert!(!peer.has_answered(), "{}", peer.answer());
        }
        peer.kill();
        self.killed += 1;
    }
}

/// Waits until all sessions but the survivors' have been found to be over, and says what there is then.
fn rest(tally: &Tally, survivors: &mut Survivors, before: Holdings) -> (Holdings, u64) {
    tally.let_go();
    let at_rest = |now: Holdings| (now.fds, now.segments, now.threads) == (before.fds, before.segments, before.threads);
    await_that(|| {
        survivors.exchange();
        tally.let_go();
        at_rest(own())
    });
    (own(), memory_taken())
}

#[test]
fn thousands_of_sessions_that_are_opened_and_killed_at_random_leave_nothing() {
    alone("thousands_of_sessions_that_are_opened_and_killed_at_random_leave_nothing", || {
        let time = time_there_is();
        let _watchdog = watchdog_for("a mob", Duration::from_secs(90) + 6 * time);
        raise_descriptor_limit().expect("a limit");
        let (scratch, tally, stop) = (Scratch::new(), Arc::<Tally>::default(), AtomicBool::new(false));
        let (by_frames, by_calls) = (scratch.path("frames"), scratch.path("calls"));
        let listener = Listener::bind(&by_frames, &options()).expect("a name");
        let (served, ended) = (Arc::clone(&tally), Arc::clone(&tally));
        let server = Server::bind(&by_calls, &options()).expect("a name").workers(2);
        let mut server = server.on_request(move |_, request| echo(&served, request));
        server = server.on_end(move |_, cause| ended.end(cause));
        thread::scope(|scope| {
            let receiver = scope.spawn(|| receive(&tally, listener, &stop));
            let stops = StopsReceiver(&stop);
            while_running(&mut server, || {
                let mut survivors = Survivors {
                    calls: RpcBus::connect_until(&by_calls, &options(), soon()).expect("a session"),
                    frames: Bus::connect_until(&by_frames, &options(), soon()).expect("a session"),
                    said: 0,
                };
                let order = format!("mob {by_frames} {by_calls}");
                let mut mob = Mob { order, chance: Chance::of_today(), peers: Vec::new(), killed: 0 };
                survivors.exchange();
                await_that(|| tally.seen.load(SeqCst) >= 2);
                tally.let_go();
                let quiet = own();
                let mut rage = |time: Duration, survivors: &mut Survivors| {
                    let (start, from) = (Instant::now(), tally.ended.load(SeqCst));
                    mob.rage(survivors, || {
                        assert!(!receiver.is_finished(), "the receiver has failed");
                        let ended = tally.ended.load(SeqCst) - from;
                        start.elapsed() < time || ended < time.as_secs() * EACH_SECOND
                    });
                    rest(&tally, survivors, quiet)
                };
                let before = rage(Duration::from_secs(1), &mut survivors);
                let after = rage(time, &mut survivors);
                println!("{} sessions ended, {} processes killed", tally.ended.load(SeqCst), mob.killed);
                println!("{before:?}, then {after:?}");
                assert_eq!(after.1, before.1, "memory taken");
                // The allocator may map some areas more.
                assert!(after.0.maps <= before.0.maps + 8, "{before:?}, {after:?}");
                assert!(after.0.rss <= before.0.rss + NOISE, "{before:?}, {after:?}");
            });
            drop(stops);
            receiver.join().expect("no panic");
        });
    });
}

/// Stops the receiver when it is dropped, so that a test that fails does not hang.
struct StopsReceiver<'a>(&'a AtomicBool);

impl Drop for StopsReceiver<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Processes, and sessions of each of them.
const PROCESSES: usize = 10;
const EACH: usize = 100;

#[test]
fn a_client_that_is_stopped_among_a_thousand_holds_up_none_of_them() {
    alone("a_client_that_is_stopped_among_a_thousand_holds_up_none_of_them", || {
        let _watchdog = watchdog_for("a stopped client among a thousand", Duration::from_secs(120));
        let room = raise_descriptor_limit().expect("a limit");
        assert!(room > (2 * PROCESSES * EACH) as u64, "this machine has no room for them");
        for workers in [0, 2] {
            let (scratch, tally) = (Scratch::new(), Arc::<Tally>::default());
            let (served, ends) = (Arc::clone(&tally), Arc::<Mutex<Vec<Cause>>>::default());
            let ended = Arc::clone(&ends);
            let server = Server::bind(&scratch.path("calls"), &options()).expect("a name").workers(workers);
            let mut server = server.on_request(move |_, request| echo(&served, request));
            server = server.on_end(move |_, cause| ended.lock().expect("no panic").push(cause));
            while_running(&mut server, || {
                let mut peers: Vec<_> = (0..PROCESSES).map(|_| peer!()).collect();
                let order = format!("crowd {} {EACH} within=60000 wait=park memory={MEMORY}", scratch.path("calls"));
                peers.iter_mut().for_each(|peer| peer.tell(&order));
                peers.iter_mut().for_each(|peer| assert_eq!(peer.answer(), format!("ok {EACH}")));
                let mut stopped = peers.pop().expect("the last one");
                stop_at_work(&mut stopped, &tally);
                let all = |peers: &mut [Peer]| {
                    peers.iter_mut().for_each(|peer| peer.tell("rounds 2 200"));
                    peers.iter_mut().for_each(|peer| assert_eq!(peer.answer(), "ok 2"));
                };
                all(&mut peers);
                let mut fresh = RpcBus::connect_until(&scratch.path("calls"), &options(), soon()).expect("a session");
                let asked = frames::payload(5, 3000);
                assert_eq!(fresh.request_until(5, &asked, soon()).expect("a reply")[..], asked);
                assert!(!stopped.has_answered() && ends.lock().expect("no panic").is_empty());
                stopped.go_on();
                assert_eq!(stopped.answer(), "ok 20", "it goes on where it was");
                stop_at_work(&mut stopped, &tally);
                stopped.kill();
                all(&mut peers);
                await_that(|| ends.lock().expect("no panic").len() == EACH);
                assert_eq!(ends.lock().expect("no panic")[..], [Cause::PeerDied; EACH]);
                drop(fresh);
            });
        }
    });
}

/// Stops a process while it asks on all of its sessions, by payloads in blocks, and waits for the replies.
fn stop_at_work(peer: &mut Peer, tally: &Tally) {
    let before = tally.seen.load(SeqCst);
    peer.tell("rounds 20 20000");
    await_that(|| tally.seen.load(SeqCst) > before + EACH as u64);
    peer.stop();
    assert!(!peer.has_answered(), "it was done before it was stopped");
}
