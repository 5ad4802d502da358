//! A thousand of everything: descriptors, maps, threads and memory of both sides stay where they were.

use slipring::{Bus, Cause, Listener, Options};
use slipring_tests::alone::alone;
use slipring_tests::backend::has_seals;
use slipring_tests::peer::Peer;
use slipring_tests::proc::{Holdings, holdings};
use slipring_tests::raw::memory::Segment;
use slipring_tests::raw::socket::Socket;
use slipring_tests::raw::wire;
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog_for;
use slipring_tests::{peer, raw};
use std::fs;
use std::time::Duration;

/// Runs before the first measurement, in which the allocator and the library take what they keep.
const WARM_UP: u64 = 50;
const TIMES: u64 = 1000;

/// How much resident memory may come and go without being a leak, in KiB: one byte a time would be less, one page a time
/// four times as much.
const NOISE: u64 = 1024;

fn assert_no_growth(what: &str, before: Holdings, after: Holdings) {
    assert_eq!((after.fds, after.segments, after.threads), (before.fds, before.segments, before.threads), "{what}");
    // The allocator may map some areas more; a leaked one would be a thousand.
    assert!(after.maps <= before.maps + 4, "{what}: {before:?}, {after:?}");
    assert!(after.rss <= before.rss + NOISE, "{what}: {before:?}, {after:?}");
}

fn own() -> Holdings {
    holdings(std::process::id())
}

/// Accepts `count` clients one after the other, and takes from each what it says until it closes.
fn serve(listener: &mut Listener, count: u64) {
    for _ in 0..count {
        let mut bus = listener.accept_bus().expect("a client");
        assert_eq!(&bus.recv().expect("one thing")[..], b"here");
        assert_eq!(bus.recv().err(), Some(Cause::Closed));
    }
}

#[test]
fn a_thousand_sessions_leave_nothing_on_either_side() {
    alone("a_thousand_sessions_leave_nothing_on_either_side", || {
        let _watchdog = watchdog_for("a thousand sessions", Duration::from_secs(60));
        let scratch = Scratch::new();
        let address = scratch.path("bus");
        let mut listener = Listener::bind(&address, &Options::default()).expect("a name");
        let mut client = peer!();
        let mut churn = |client: &mut Peer, count: u64| {
            client.tell(&format!("churn {address} {count}"));
            serve(&mut listener, count);
            assert_eq!(client.answer(), format!("ok {count}"));
        };
        churn(&mut client, WARM_UP);
        let before = (own(), holdings(client.pid()));
        churn(&mut client, TIMES);
        assert_no_growth("the listening side", before.0, own());
        assert_no_growth("the connecting side", before.1, holdings(client.pid()));
    });
}

#[test]
fn a_thousand_sessions_with_killed_clients_leave_nothing() {
    if !has_seals("a_thousand_sessions_with_killed_clients_leave_nothing") {
        return;
    }
    alone("a_thousand_sessions_with_killed_clients_leave_nothing", || {
        let _watchdog = watchdog_for("a thousand clients that vanish", Duration::from_secs(60));
        let scratch = Scratch::new();
        let mut listener = Listener::bind(&scratch.path("bus"), &Options::default().capacity(4096)).expect("a name");
        let mut vanish = |count| {
            for _ in 0..count {
                // As the kernel does it for a killed process: everything goes, and no goodbye was said.
                let (mut end, mut bus) = raw::client_of(&mut listener);
                end.publish(1, b"good");
                drop(end);
                assert_eq!(bus.recv().expect("a frame").len(), 4);
                assert_eq!(bus.recv().err(), Some(Cause::PeerDied));
            }
        };
        vanish(WARM_UP);
        let before = own();
        vanish(TIMES);
        assert_no_growth("the survivor", before, own());
    });
}

#[test]
fn a_thousand_rejected_clients_leave_nothing() {
    if !has_seals("a_thousand_rejected_clients_leave_nothing") {
        return;
    }
    alone("a_thousand_rejected_clients_leave_nothing", || {
        let _watchdog = watchdog_for("a thousand rejected clients", Duration::from_secs(60));
        let scratch = Scratch::new();
        let mut listener = Listener::bind(&scratch.path("bus"), &Options::default().capacity(4096)).expect("a name");
        let mut reject = |count: u64| {
            for number in 0..count {
                rejected(&mut listener, number);
            }
        };
        reject(WARM_UP);
        let before = own();
        reject(TIMES);
        assert_no_growth("the listener", before, own());
        assert_eq!(listener.refused(), WARM_UP + TIMES);
        let (mut end, mut bus) = raw::client_of(&mut listener);
        end.publish(1, b"good");
        assert_eq!(bus.recv().expect("a frame").len(), 4);
    });
}

/// One client that goes wrong, each time in another way.
fn rejected(listener: &mut Listener, number: u64) {
    let before = listener.refused();
    let socket = Socket::connect(&listener.address());
    let hello = wire::hello().bytes();
    let mut work = || assert_eq!(listener.try_accept_bus().expect_err("no session").cause(), Cause::Empty);
    match number % 5 {
        0 => assert!(socket.send(&[number as u8; 100])),
        1 => assert!(socket.send(&hello[..hello.len() - 1])),
        2 => assert!(socket.send_with(&hello, &[Segment::new(4096).fd()])),
        3 => {
            assert!(socket.send(&hello));
            work();
        }
        _ => {
            assert!(socket.send(&hello));
            work();
            // A segment with every seal but no pages.
            let sparse = Segment::new(8192).sealed(raw::memory::SEALS);
            assert!(socket.send_with(&wire::accept(8192).bytes(), &[sparse.fd()]));
        }
    }
    drop(socket);
    while listener.refused() == before {
        assert_eq!(listener.try_accept_bus().expect_err("no session").cause(), Cause::Empty);
    }
}

#[test]
fn a_thousand_refusals_and_misses_leave_nothing_with_the_client() {
    alone("a_thousand_refusals_and_misses_leave_nothing_with_the_client", || {
        let _watchdog = watchdog_for("a thousand connects in vain", Duration::from_secs(60));
        let scratch = Scratch::new();
        let (nobody, stale) = (scratch.path("nobody"), scratch.path("stale"));
        let mut dead = peer!();
        dead.must(&format!("bind {stale}"));
        dead.kill();
        fs::write(scratch.path("file"), "").expect("write");
        let file = scratch.path("file");
        let miss = |count| {
            for _ in 0..count {
                for address in [&nobody, &stale, &file] {
                    assert!(Bus::connect(address, &Options::default()).is_err());
                }
                assert!(Listener::bind(&file, &Options::default()).is_err());
                drop(Listener::bind(&nobody, &Options::default()).expect("free"));
            }
        };
        miss(WARM_UP);
        let before = own();
        miss(TIMES);
        assert_no_growth("the client", before, own());
        assert_eq!(fs::read_dir(scratch.dir()).expect("our directory").count(), 2, "the file and the stale socket");
    });
}

#[test]
fn many_sessions_at_once_give_everything_back() {
    if !has_seals("many_sessions_at_once_give_everything_back") {
        return;
    }
    alone("many_sessions_at_once_give_everything_back", || {
        let _watchdog = watchdog_for("a hundred sessions at once", Duration::from_secs(30));
        let scratch = Scratch::new();
        let mut listener = Listener::bind(&scratch.path("bus"), &Options::default().capacity(4096)).expect("a name");
        drop(raw::client_of(&mut listener));
        let before = own();
        let mut sessions: Vec<_> = (0..100).map(|_| raw::client_of(&mut listener)).collect();
        for (number, (end, bus)) in sessions.iter_mut().enumerate() {
            end.publish(number as u32, b"good");
            assert_eq!(bus.recv().expect("a frame").type_id(), number as u32);
        }
        drop(sessions);
        assert_no_growth("a hundred at once", before, own());
    });
}
