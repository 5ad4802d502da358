//! A storm of signals, ten thousand a second in both processes: every wait says that it was interrupted, and nothing is
//! lost.

use slipring::{Bus, Cause, Deadline, Listener, Options, Trust, Wait};
use slipring_tests::alarm;
use slipring_tests::alone::alone;
use slipring_tests::backend::has_seals;
use slipring_tests::peer::Peer;
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog;
use slipring_tests::{frames, peer};
use std::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_micros(100);

/// Does `work` until a signal no longer ends it. Counts the signals that did.
fn again<T>(interrupted: &mut u64, mut work: impl FnMut() -> Result<T, Cause>) -> Result<T, Cause> {
    loop {
        match work() {
            Err(Cause::Interrupted) => *interrupted += 1,
            done => return done,
        }
    }
}

/// A session in which we receive, in a storm of signals on both sides.
fn receiver_in_a_storm(scratch: &Scratch, options: &Options) -> (Bus, Peer) {
    let mut peer = peer!();
    let address = scratch.path("bus");
    let mut listener = Listener::bind(&address, options).expect("a name");
    peer.tell(&format!("connect {address} wait=park"));
    let bus = listener.accept_bus().expect("a session");
    assert_eq!(peer.answer(), "ok");
    begin_the_storm(&mut peer);
    (bus, peer)
}

/// A session in which we send, in a storm of signals on both sides.
fn sender_in_a_storm(scratch: &Scratch, capacity: u64, options: &Options) -> (Bus, Peer) {
    let mut peer = peer!();
    let address = scratch.path("bus");
    peer.must(&format!("bind {address} capacity={capacity} wait=park"));
    peer.tell("accept");
    let bus = Bus::connect(&address, options).expect("a session");
    assert_eq!(peer.answer(), "ok");
    begin_the_storm(&mut peer);
    (bus, peer)
}

fn begin_the_storm(peer: &mut Peer) {
    peer.must(&format!("storm {}", PERIOD.as_micros()));
    alarm::interrupt_this_thread_every(PERIOD);
}

fn receives_in_a_storm(options: &Options) {
    let scratch = Scratch::new();
    let (mut bus, mut peer) = receiver_in_a_storm(&scratch, &options.clone().capacity(256));
    let mut interrupted = 0;
    peer.tell("pace 2000 30 300");
    for number in 0..2000 {
        let message = again(&mut interrupted, || bus.recv().map(|lease| lease.keep())).expect("a frame");
        assert!(frames::is(number, message.type_id(), &message));
    }
    assert_eq!(peer.answer(), "ok 2000");
    assert!(interrupted > 0, "no wait was ever interrupted");
    let deadline = Deadline::after(Duration::from_millis(20));
    assert_eq!(again(&mut interrupted, || bus.recv_until(deadline).map(drop)), Err(Cause::Timeout));
}

#[test]
fn frames_of_a_paced_sender_arrive_in_order_through_a_storm() {
    alone("frames_of_a_paced_sender_arrive_in_order_through_a_storm", || {
        let _watchdog = watchdog("receiving in a storm of signals");
        receives_in_a_storm(&Options::default().wait(Wait::Park));
    });
}

#[test]
fn frames_of_a_peer_that_is_not_trusted_arrive_in_order_through_a_storm() {
    if !has_seals("frames_of_a_peer_that_is_not_trusted_arrive_in_order_through_a_storm") {
        return;
    }
    alone("frames_of_a_peer_that_is_not_trusted_arrive_in_order_through_a_storm", || {
        let _watchdog = watchdog("receiving in a storm of signals, untrusted");
        receives_in_a_storm(&Options::default().trust(Trust::Untrusted));
    });
}

fn sends_in_a_storm(wait: Wait) {
    let scratch = Scratch::new();
    let (mut bus, mut peer) = sender_in_a_storm(&scratch, 256, &Options::default().wait(wait));
    let mut interrupted = 0;
    peer.tell("slow 2000 300");
    for number in 0..2000 {
        let payload = frames::payload(number, 30);
        again(&mut interrupted, || bus.publish(frames::type_id(number), &payload)).expect("open");
    }
    // Spinning does not sleep, so no signal can end it.
    assert_eq!(interrupted > 0, wait != Wait::Spin, "{interrupted}");
    let closed = bus.close(Duration::from_secs(5));
    assert!(matches!(closed, Ok(()) | Err(Cause::Interrupted)), "{closed:?}");
    assert_eq!(peer.answer(), "ok 2000");
    assert_eq!(peer.ask("recv 1"), "err 0 Closed");
}

#[test]
fn frames_to_a_slow_reader_arrive_in_order_through_a_storm() {
    alone("frames_to_a_slow_reader_arrive_in_order_through_a_storm", || {
        let _watchdog = watchdog("sending in a storm of signals");
        sends_in_a_storm(Wait::Park);
    });
}

#[test]
fn a_spinning_sender_does_not_notice_a_storm() {
    alone("a_spinning_sender_does_not_notice_a_storm", || {
        let _watchdog = watchdog("spinning in a storm of signals");
        sends_in_a_storm(Wait::Spin);
    });
}

#[test]
fn an_interrupted_batch_says_how_far_it_came() {
    alone("an_interrupted_batch_says_how_far_it_came", || {
        let _watchdog = watchdog("a batch in a storm of signals");
        let scratch = Scratch::new();
        let (mut bus, mut peer) = sender_in_a_storm(&scratch, 512, &Options::default().wait(Wait::Park));
        peer.tell("slow 2000 200");
        let (mut sent, mut calls, mut interrupted) = (0, 0, 0);
        while sent < 2000 {
            let batch = (sent..2000).map(|number| (frames::type_id(number), frames::payload(number, 20)));
            sent += again(&mut interrupted, || bus.publish_batch(batch.clone())).expect("open") as u64;
            calls += 1;
        }
        assert!(calls > 1, "no batch was ever interrupted");
        assert_eq!(peer.answer(), "ok 2000");
    });
}

#[test]
fn handshakes_and_names_survive_a_storm() {
    alone("handshakes_and_names_survive_a_storm", || {
        let _watchdog = watchdog("handshakes in a storm of signals");
        alarm::interrupt_this_thread_every(PERIOD);
        let scratch = Scratch::new();
        let mut peer = peer!();
        peer.must(&format!("storm {}", PERIOD.as_micros()));
        let mut interrupted = 0;
        for round in 0..50 {
            let address = scratch.path(&format!("bus-{round}"));
            let bind = || Listener::bind(&address, &Options::default()).map_err(|error| error.cause());
            let mut listener = again(&mut interrupted, bind).expect("a name");
            peer.tell(&format!("connect {address} within=5000"));
            let mut bus =
                again(&mut interrupted, || listener.accept_bus().map_err(|error| error.cause())).expect("a session");
            assert_eq!(peer.answer(), "ok");
            drop(listener);
            assert!(!std::fs::exists(&address).expect("look"), "a name is given back, whatever signals come");
            peer.must("send 3 20");
            peer.must("close");
            for number in 0..3 {
                let lease = again(&mut interrupted, || bus.recv().map(|lease| lease.keep())).expect("a frame");
                assert!(frames::is(number, lease.type_id(), &lease));
            }
            assert_eq!(again(&mut interrupted, || bus.recv().map(drop)), Err(Cause::Closed));
        }
    });
}

#[test]
fn one_signal_ends_a_wait_at_once_and_the_next_wait_goes_on() {
    alone("one_signal_ends_a_wait_at_once_and_the_next_wait_goes_on", || {
        let _watchdog = watchdog("one signal");
        let scratch = Scratch::new();
        let mut listener = Listener::bind(&scratch.path("bus"), &Options::default().wait(Wait::Park)).expect("a name");
        let mut peer = peer!();
        peer.tell(&format!("connect {}", scratch.path("bus")));
        let mut bus = listener.accept_bus().expect("a session");
        assert_eq!(peer.answer(), "ok");
        // Every 200 ms, so that each of these waits meets exactly one.
        alarm::interrupt_this_thread_every(Duration::from_millis(200));
        for _ in 0..3 {
            let start = Instant::now();
            assert_eq!(bus.recv().err(), Some(Cause::Interrupted));
            assert!(start.elapsed() < Duration::from_secs(5), "not before something else ended it");
            assert_eq!(listener.accept_bus().expect_err("a signal").cause(), Cause::Interrupted);
        }
        peer.tell("send 1 20");
        let mut interrupted = 0;
        assert_eq!(again(&mut interrupted, || bus.recv().map(|lease| lease.len())), Ok(20));
    });
}

#[test]
fn a_stop_is_no_signal_that_interrupts() {
    let _watchdog = watchdog("waits of a stopped process");
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    let mut peer = peer!();
    let stop_and_go_on = |peer: &Peer| {
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(5));
            peer.stop();
            peer.go_on();
        }
    };
    // While it waits for a listener, for a client, for a frame, and for room.
    peer.tell(&format!("connect {address} within=9000"));
    stop_and_go_on(&peer);
    let mut receives = Bus::listen(&address, &Options::default().capacity(256)).expect("a session");
    assert_eq!(peer.answer(), "ok");
    peer.must(&format!("bind {address} wait=park"));
    peer.tell("accept");
    stop_and_go_on(&peer);
    let mut sends = Bus::connect(&address, &Options::default()).expect("a session");
    assert_eq!(peer.answer(), "ok");
    peer.tell("recv 1");
    stop_and_go_on(&peer);
    sends.publish(0, &frames::payload(0, 20)).expect("open");
    assert_eq!(peer.answer(), "ok 1");
    peer.tell("send 10 20");
    stop_and_go_on(&peer);
    for number in 0..10 {
        let lease = receives.recv().expect("a frame");
        assert!(frames::is(number, lease.type_id(), &lease));
    }
    assert_eq!(peer.answer(), "ok 10");
    assert_eq!(peer.number("interrupted"), 0, "no handler ever ran");
}
