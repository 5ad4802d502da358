//! Ends and listeners in a foreign event loop: no wake-up is lost over thousands of frames at random moments, and a
//! descriptor with nothing behind it is quiet.

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use slipring::{Bus, Cause, Listener, Options, State, Trust, Wait};
use slipring_tests::backend::{has_seals, trusts};
use slipring_tests::chance::Chance;
use slipring_tests::frames::{self, payload, type_id};
use slipring_tests::peer;
use slipring_tests::peer::Peer;
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::{watchdog, watchdog_for};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::Duration;

const FRAMES: u64 = 10_000;

/// An event loop that watches one descriptor, level-triggered.
struct Loop {
    epoll: OwnedFd,
}

impl Loop {
    fn watching(watched: &impl AsFd) -> Self {
        let epoll = epoll::create(CreateFlags::CLOEXEC).expect("an event loop");
        epoll::add(&epoll, watched, EventData::new_u64(0), EventFlags::IN).expect("a descriptor to watch");
        Self { epoll }
    }

    /// Waits until the descriptor is readable. The watchdog bounds it: a wake-up that is lost is a test that hangs.
    fn await_event(&self) {
        assert!(self.has_event(None));
    }

    fn has_event(&self, time: Option<Duration>) -> bool {
        let time = time.map(|time| Timespec { tv_sec: 0, tv_nsec: i64::from(time.subsec_nanos()) });
        let mut events = Vec::with_capacity(4);
        epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), time.as_ref()).expect("no signal") > 0
    }

    /// Whether nothing happens for a while.
    fn is_quiet(&self) -> bool {
        !self.has_event(Some(Duration::from_millis(20)))
    }
}

fn receiver(scratch: &Scratch, options: &Options, peers_options: &str) -> (Bus, Peer) {
    let mut peer = peer!();
    let mut listener = Listener::bind(&scratch.path("bus"), options).expect("a name");
    peer.tell(&format!("connect {} {peers_options}", scratch.path("bus")));
    let bus = listener.accept_bus().expect("a session");
    assert_eq!(peer.answer(), "ok");
    (bus, peer)
}

fn sender(scratch: &Scratch, peers_options: &str, options: &Options) -> (Bus, Peer) {
    let mut peer = peer!();
    peer.must(&format!("bind {} {peers_options}", scratch.path("bus")));
    peer.tell("accept");
    let bus = Bus::connect(&scratch.path("bus"), options).expect("a session");
    assert_eq!(peer.answer(), "ok");
    (bus, peer)
}

/// Receives all frames by the rule for foreign loops: until `Empty` after each event. Counts the events.
fn receive_all(bus: &mut Bus, frames: u64) -> u64 {
    let event_loop = Loop::watching(bus);
    let (mut next, mut events) = (0, 0);
    while next < frames {
        loop {
            match bus.try_recv() {
                Ok(lease) => assert!(frames::is(next, lease.type_id(), &lease)),
                Err(cause) => break assert_eq!(cause, Cause::Empty),
            }
            next += 1;
        }
        if next < frames {
            event_loop.await_event();
            events += 1;
        }
    }
    assert!(event_loop.is_quiet(), "nothing is left");
    events
}

#[test]
fn a_receiving_end_in_an_event_loop_loses_no_wake_up() {
    let _watchdog = watchdog_for("receiving in an event loop", Duration::from_secs(30));
    let scratch = Scratch::new();
    let (mut bus, mut peer) = receiver(&scratch, &Options::default().capacity(4096), "wait=park");
    peer.tell(&format!("pace {FRAMES} 30 100"));
    let events = receive_all(&mut bus, FRAMES);
    assert_eq!(peer.answer(), format!("ok {FRAMES}"));
    assert!(events > FRAMES / 20, "{events} events");
}

#[test]
fn a_receiving_end_with_a_peer_that_it_does_not_trust_loses_no_wake_up() {
    if !has_seals("a_receiving_end_with_a_peer_that_it_does_not_trust_loses_no_wake_up") {
        return;
    }
    let _watchdog = watchdog_for("receiving in an event loop without trust", Duration::from_secs(30));
    let scratch = Scratch::new();
    let options = Options::default().capacity(256).trust(Trust::Untrusted);
    let (mut bus, mut peer) = receiver(&scratch, &options, "trust=untrusted");
    peer.tell(&format!("pace {FRAMES} 30 50"));
    receive_all(&mut bus, FRAMES);
    assert_eq!(peer.answer(), format!("ok {FRAMES}"));
}

#[test]
fn a_receiving_end_loses_no_wake_up_to_a_sender_without_a_pause() {
    let _watchdog = watchdog_for("receiving a stream in an event loop", Duration::from_secs(30));
    let scratch = Scratch::new();
    let (mut bus, mut peer) = receiver(&scratch, &Options::default().capacity(512), "wait=adaptive");
    peer.tell("send 100000 30");
    receive_all(&mut bus, 100_000);
    assert_eq!(peer.answer(), "ok 100000");
}

#[test]
fn a_sending_end_in_an_event_loop_loses_no_wake_up() {
    let _watchdog = watchdog_for("sending in an event loop", Duration::from_secs(30));
    let ways = [(256, "same-user", FRAMES), (1024, "untrusted", FRAMES / 4)];
    let possible = trusts("a_sending_end_in_an_event_loop_loses_no_wake_up").len();
    for (capacity, trust, frames) in ways.into_iter().take(possible) {
        let scratch = Scratch::new();
        let (mut bus, mut peer) = sender(&scratch, &format!("capacity={capacity} trust={trust}"), &Options::default());
        let event_loop = Loop::watching(&bus);
        peer.tell(&format!("slow {frames} 50"));
        let mut events = 0;
        for number in 0..frames {
            while let Err(cause) = bus.try_publish(type_id(number), &payload(number, 30)) {
                assert_eq!(cause, Cause::Full);
                event_loop.await_event();
                events += 1;
            }
        }
        assert_eq!(peer.answer(), format!("ok {frames}"));
        assert!(events > frames / 50, "{events} events");
    }
}

#[test]
fn a_descriptor_is_quiet_after_empty_and_readable_again_with_the_next_frame() {
    let _watchdog = watchdog("a quiet descriptor");
    let scratch = Scratch::new();
    let (mut bus, mut peer) = receiver(&scratch, &Options::default(), "");
    let event_loop = Loop::watching(&bus);
    for _ in 0..10 {
        assert_eq!(bus.try_recv().err(), Some(Cause::Empty));
        assert!(event_loop.is_quiet());
        peer.must("send 2 10");
        event_loop.await_event();
        assert!(event_loop.has_event(Some(Duration::ZERO)), "it is level-triggered");
        assert_eq!(bus.try_recv().map(|lease| lease.len()), Ok(10));
        assert_eq!(bus.try_drain(5).map(|batch| batch.len()), Ok(1));
        // Not asked until Empty, so the next frame need not wake anybody; asked, it does.
        peer.must("send 1 10");
        assert_eq!(bus.try_poll(5, |frame| assert_eq!(frame.len(), 10)), Ok(1));
    }
}

#[test]
fn the_end_of_the_peer_is_an_event() {
    let _watchdog = watchdog("ends as events");
    for dies in [true, false] {
        let scratch = Scratch::new();
        let (mut bus, mut peer) = receiver(&scratch, &Options::default(), "");
        let event_loop = Loop::watching(&bus);
        assert_eq!(bus.try_recv().err(), Some(Cause::Empty));
        if dies {
            peer.kill()
        } else {
            peer.must("close")
        }
        event_loop.await_event();
        let (cause, state) = if dies { (Cause::PeerDied, State::PeerDied) } else { (Cause::Closed, State::Closed) };
        assert_eq!(bus.try_recv().err(), Some(cause));
        assert_eq!(bus.state(), state);

        let scratch = Scratch::new();
        let (mut bus, mut peer) = sender(&scratch, "capacity=256", &Options::default());
        let event_loop = Loop::watching(&bus);
        while bus.try_publish(0, b"x").is_ok() {}
        assert!(event_loop.is_quiet());
        if dies {
            peer.kill()
        } else {
            peer.must("close")
        }
        event_loop.await_event();
        assert_eq!(bus.try_publish(0, b"x"), Err(cause));
    }
}

#[test]
fn waiting_calls_and_an_event_loop_take_turns() {
    let _watchdog = watchdog_for("waits and events by turns", Duration::from_secs(30));
    let mut chance = Chance::of_today();
    for wait in [Wait::Park, Wait::Adaptive] {
        let scratch = Scratch::new();
        let (mut bus, mut peer) = receiver(&scratch, &Options::default().capacity(512).wait(wait), "");
        let event_loop = Loop::watching(&bus);
        peer.tell("pace 5000 30 60");
        let mut next = 0;
        while next < 5000 {
            let waits = chance.below(2) == 0;
            let taken = if waits { bus.recv() } else { bus.try_recv() };
            match taken {
                Ok(lease) => assert!(frames::is(next, lease.type_id(), &lease)),
                Err(Cause::Empty) => {
                    event_loop.await_event();
                    continue;
                }
                Err(cause) => panic!("{cause:?}"),
            }
            next += 1;
        }
        assert_eq!(peer.answer(), "ok 5000");
    }
}

#[test]
fn a_listener_in_an_event_loop_accepts_every_client() {
    let _watchdog = watchdog("accepting in an event loop");
    let scratch = Scratch::new();
    let mut listener = Listener::bind(&scratch.path("bus"), &Options::default().capacity(256)).expect("a name");
    let event_loop = Loop::watching(&listener);
    assert_eq!(listener.try_accept_bus().expect_err("nobody").cause(), Cause::Empty);
    assert!(event_loop.is_quiet());
    let mut clients: Vec<Peer> = (0..10).map(|_| peer!()).collect();
    for client in &mut clients {
        client.tell(&format!("connect {}", scratch.path("bus")));
    }
    let mut sessions = Vec::new();
    while sessions.len() < clients.len() {
        event_loop.await_event();
        loop {
            match listener.try_accept_bus() {
                Ok(session) => sessions.push(session),
                Err(error) => break assert_eq!(error.cause(), Cause::Empty),
            }
        }
    }
    assert!(event_loop.is_quiet());
    for client in &mut clients {
        assert_eq!(client.answer(), "ok");
        client.must("send 1 10");
    }
    assert!(sessions.iter_mut().all(|session| session.recv().is_ok_and(|lease| lease.len() == 10)));
}

#[test]
fn many_ends_in_one_poll_wake_one_by_one() {
    let _watchdog = watchdog("many ends in one poll");
    let scratch = Scratch::new();
    let mut listener = Listener::bind(&scratch.path("bus"), &Options::default().capacity(256)).expect("a name");
    let mut ends = Vec::new();
    for _ in 0..5 {
        let mut peer = peer!();
        peer.tell(&format!("connect {}", scratch.path("bus")));
        ends.push((listener.accept_bus().expect("a session"), peer));
    }
    for turn in 0..20 {
        for (bus, _) in &mut ends {
            let _ = bus.as_fd();
            assert_eq!(bus.try_recv().err(), Some(Cause::Empty));
        }
        let (_, peer) = &mut ends[turn % 5];
        if turn < 5 {
            assert_eq!(peer.answer(), "ok");
        }
        peer.must("send 1 10");
        let mut fds: Vec<_> = ends.iter().map(|(bus, _)| PollFd::new(bus, PollFlags::IN)).collect();
        assert_eq!(poll(&mut fds, None), Ok(1));
        let woken: Vec<_> = (0..5).filter(|&end| !fds[end].revents().is_empty()).collect();
        assert_eq!(woken, [turn % 5]);
        drop(fds);
        assert_eq!(ends[turn % 5].0.try_recv().map(|lease| lease.len()), Ok(10));
        thread::sleep(Duration::from_micros(500));
    }
}
