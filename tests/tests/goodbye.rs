//! Ends that are closed: the other side gets everything, and then `Closed`; and who closes can wait for that.

use slipring::{Bus, Cause, Listener, Options, State};
use slipring_tests::peer::Peer;
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog;
use slipring_tests::{frames, peer};
use std::time::{Duration, Instant};

const WAITS: [&str; 3] = ["spin", "park", "adaptive"];

/// A bus to send on, with a ring of `capacity` bytes, and the process that receives.
fn sender(scratch: &Scratch, capacity: u64, receiver_waits: &str) -> (Bus, Peer) {
    let mut peer = peer!();
    let address = scratch.path("bus");
    peer.must(&format!("bind {address} capacity={capacity} wait={receiver_waits}"));
    peer.tell("accept");
    let bus = Bus::connect(&address, &Options::default()).expect("a session");
    assert_eq!(peer.answer(), "ok");
    (bus, peer)
}

fn send(bus: &mut Bus, numbers: std::ops::Range<u64>) {
    for number in numbers {
        bus.publish(frames::type_id(number), &frames::payload(number, 20)).expect("open");
    }
}

#[test]
fn everything_that_was_published_is_read_before_the_goodbye() {
    let _watchdog = watchdog("goodbyes to a receiver");
    for waits in WAITS {
        for order in ["recv 100", "look 100"] {
            for drops in [true, false] {
                let scratch = Scratch::new();
                let (mut bus, mut peer) = sender(&scratch, 4096, waits);
                send(&mut bus, 0..20);
                if drops {
                    drop(bus)
                } else {
                    bus.close(Duration::ZERO).expect("open")
                }
                assert_eq!(peer.ask(order), "err 20 Closed", "{waits}");
                assert_eq!(peer.ask("state"), "err 0 Closed");
                assert_eq!(peer.ask(order), "err 0 Closed", "for ever");
            }
        }
    }
}

#[test]
fn a_receiver_that_waits_hears_the_goodbye() {
    let _watchdog = watchdog("goodbyes to a waiting receiver");
    for waits in WAITS {
        let scratch = Scratch::new();
        let (mut bus, mut peer) = sender(&scratch, 4096, waits);
        peer.tell("recv 100");
        send(&mut bus, 0..3);
        if waits == "park" {
            peer.await_parked();
        }
        drop(bus);
        assert_eq!(peer.answer(), "err 3 Closed", "{waits}");
    }
}

#[test]
fn a_hidden_group_is_shown_by_the_goodbye() {
    let _watchdog = watchdog("a hidden group");
    let scratch = Scratch::new();
    let (mut bus, mut peer) = sender(&scratch, 4096, "park");
    for number in 0..5 {
        bus.publish_later(frames::type_id(number), &frames::payload(number, 20)).expect("open");
    }
    drop(bus);
    assert_eq!(peer.ask("recv 100"), "err 5 Closed");
}

#[test]
fn a_process_that_ends_by_itself_has_said_goodbye() {
    let _watchdog = watchdog("a process that ends");
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    let mut listener = Listener::bind(&address, &Options::default()).expect("a name");
    let mut peer = peer!();
    peer.tell(&format!("connect {address}"));
    let mut bus = listener.accept_bus().expect("a session");
    assert_eq!(peer.answer(), "ok");
    peer.must("send 3 20");
    peer.end();
    for number in 0..3 {
        let lease = bus.recv().expect("a frame");
        assert!(frames::is(number, lease.type_id(), &lease));
    }
    assert_eq!(bus.recv().err(), Some(Cause::Closed));
    assert_eq!(bus.state(), State::Closed);
}

#[test]
fn a_sender_learns_that_the_reader_has_closed() {
    let _watchdog = watchdog("goodbyes to a sender");
    let scratch = Scratch::new();
    let (mut bus, mut peer) = sender(&scratch, 256, "park");
    send(&mut bus, 0..3);
    peer.must("recv 1");
    peer.must("close");
    // In a full ring, while it waits; and then whatever it tries.
    let cause = loop {
        if let Err(cause) = bus.publish(0, b"x") {
            break cause;
        }
    };
    assert_eq!(cause, Cause::Closed);
    assert_eq!(bus.try_publish(0, b"x"), Err(Cause::Closed));
    assert_eq!(bus.claim(1).err(), Some(Cause::Closed));
    assert_eq!(bus.state(), State::Closed);
    assert_eq!(bus.close(Duration::from_secs(5)), Err(Cause::Closed), "not everything was read, and never will be");
}

#[test]
fn lingering_waits_until_everything_is_read() {
    let _watchdog = watchdog("a lingering close");
    for waits in WAITS {
        let scratch = Scratch::new();
        let (mut bus, mut peer) = sender(&scratch, 4096, waits);
        send(&mut bus, 0..20);
        peer.tell("slow 20 1000");
        assert_eq!(bus.close(Duration::from_secs(9)), Ok(()), "{waits}");
        // All but perhaps the words about it had been read when the close came back.
        assert_eq!(peer.answer(), "ok 20");
        assert_eq!(peer.ask("recv 1"), "err 0 Closed");
    }
}

#[test]
fn lingering_for_a_reader_that_does_not_read_ends_at_its_time() {
    let _watchdog = watchdog("a close that lingers in vain");
    let scratch = Scratch::new();
    let (mut bus, mut peer) = sender(&scratch, 4096, "park");
    send(&mut bus, 0..20);
    let start = Instant::now();
    let linger = Duration::from_millis(30);
    assert_eq!(bus.close(linger), Err(Cause::Timeout));
    assert!(start.elapsed() >= linger);
    assert_eq!(peer.ask("recv 100"), "err 20 Closed", "the goodbye was said all the same");
}

#[test]
fn lingering_ends_with_the_reader() {
    let _watchdog = watchdog("a close that lingers for a reader that ends");
    for (dies, cause) in [(true, Cause::PeerDied), (false, Cause::Closed)] {
        let scratch = Scratch::new();
        let (mut bus, mut peer) = sender(&scratch, 4096, "park");
        send(&mut bus, 0..20);
        std::thread::scope(|scope| {
            let closes = scope.spawn(move || bus.close(Duration::from_secs(60)));
            std::thread::sleep(Duration::from_millis(20));
            if dies {
                peer.kill()
            } else {
                peer.must("close")
            }
            assert_eq!(closes.join().expect("no panic"), Err(cause));
        });
    }
}

#[test]
fn nothing_to_linger_for_is_no_wait() {
    let _watchdog = watchdog("closes with nothing to wait for");
    let scratch = Scratch::new();
    let (bus, mut peer) = sender(&scratch, 4096, "park");
    assert_eq!(bus.close(Duration::from_secs(60)), Ok(()), "nothing was sent");
    assert_eq!(peer.ask("recv 1"), "err 0 Closed");

    let scratch = Scratch::new();
    let (mut bus, mut peer) = sender(&scratch, 4096, "park");
    send(&mut bus, 0..5);
    peer.must("recv 5");
    peer.must("close");
    assert_eq!(bus.close(Duration::from_secs(60)), Ok(()), "everything was read before the reader closed");
}
