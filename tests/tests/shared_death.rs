//! Shared objects over the death of whoever has them: what is held stays whole, and what nobody holds is gone.

use slipring::{Bus, Cause, Listener, Options, SharedBuffer, State};
use slipring_tests::alone::alone;
use slipring_tests::chance::Chance;
use slipring_tests::pair::soon;
use slipring_tests::peer::Peer;
use slipring_tests::proc::{await_that, holdings, open_files};
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::{watchdog, watchdog_for};
use slipring_tests::{frames, objects, peer};
use std::time::Duration;

const LEN: usize = 100_000;

fn object(number: u64) -> SharedBuffer {
    objects::object(number, LEN)
}

/// A peer that listens, and the end that sends to it.
fn reader(scratch: &Scratch, name: &str) -> (Peer, Bus) {
    let mut peer = peer!();
    let address = scratch.path(name);
    peer.must(&format!("bind {address}"));
    peer.tell("accept");
    let bus = Bus::connect(&address, &Options::default()).expect("a session");
    assert_eq!(peer.answer(), "ok");
    (peer, bus)
}

/// How many descriptors of objects a process has.
fn objects_open(peer: &Peer) -> usize {
    open_files(peer.pid()).iter().filter(|file| file.contains("slipring-object")).count()
}

#[test]
fn an_owner_is_killed_while_ten_readers_hold_its_object() {
    let _watchdog = watchdog_for("ten readers of a killed owner", Duration::from_secs(20));
    let scratch = Scratch::new();
    let mut owner = peer!();
    let mut readers: Vec<_> = (0..10).map(|_| peer!()).collect();
    for (number, reader) in readers.iter_mut().enumerate() {
        let address = scratch.path(&format!("reader-{number}"));
        reader.must(&format!("bind {address}"));
        reader.tell("accept");
        owner.must(&format!("connect {address} within=5000"));
        assert_eq!(reader.answer(), "ok");
        // One that is read, and one that is still in the ring when the owner dies.
        owner.must(&format!("share 7 {LEN} 2"));
        reader.must("get 1");
        if number < 9 {
            // Each connection replaces the one before, which says goodbye.
            assert_eq!(reader.ask("inspect"), "ok 1");
        }
    }
    owner.kill();
    for (number, reader) in readers.iter_mut().enumerate() {
        reader.must("get 1");
        assert_eq!(reader.ask("inspect"), "ok 2", "whole without its owner");
        let end = reader.ask("get 1");
        assert_eq!(end, if number == 9 { "err 0 PeerDied" } else { "err 0 Closed" });
        assert_eq!(objects_open(reader), 1);
        reader.must("let-go");
        await_that(|| objects_open(reader) == 0);
        assert_eq!(holdings(reader.pid()).segments, 2, "the outboxes, and nothing else");
    }
}

#[test]
fn a_reader_is_killed_and_another_stopped_and_the_rest_go_on() {
    let _watchdog = watchdog("killed and stopped readers");
    let scratch = Scratch::new();
    let mut readers: Vec<_> = (0..3).map(|number| reader(&scratch, &number.to_string())).collect();
    let table = object(1);
    for (peer, bus) in &mut readers {
        bus.publish_shared(1, b"", &[&table]).expect("room");
        peer.must("get 1");
    }
    readers[0].0.kill();
    readers[1].0.stop();
    // The stopped one takes nothing; whoever waits for it has a deadline.
    let stopped = &mut readers[1].1;
    let more: Vec<_> = (2..11).map(object).collect();
    for (number, object) in (2..).zip(&more).take(8) {
        assert_eq!(stopped.try_publish_shared(number, b"", &[object]), Ok(()));
    }
    assert_eq!(stopped.try_publish_shared(10, b"", &[&more[8]]), Err(Cause::Full));
    for (peer, bus) in readers.iter_mut().skip(2) {
        bus.publish_shared(1, b"", &[&table]).expect("room");
        peer.must("get 1");
        drop(table.clone());
    }
    drop((table, more));
    assert_eq!(readers[0].1.publish_shared(1, b"", &[&object(9)]), Err(Cause::PeerDied));
    readers[1].0.go_on();
    readers[1].0.must("get 8");
    assert_eq!(readers[1].0.ask("inspect"), "ok 9");
    assert_eq!(readers[2].0.ask("inspect"), "ok 2");
    for (peer, bus) in readers.iter_mut().skip(1) {
        assert_eq!((bus.state(), bus.stats().shared_told), (State::Open, 0));
        peer.must("let-go");
        await_that(|| peer.number("stat shared-known") == 0);
        assert_eq!(objects_open(peer), 0);
    }
}

#[test]
fn a_sleeping_reader_lets_go_of_what_its_owner_drops() {
    let _watchdog = watchdog("a sleeping reader");
    let scratch = Scratch::new();
    let (mut peer, mut bus) = reader(&scratch, "sleeper");
    bus.publish_shared(1, b"", &[&object(1)]).expect("room");
    peer.must("get 1");
    peer.must("let-go");
    peer.tell("get 1");
    // No message comes: the record alone wakes it.
    await_that(|| objects_open(&peer) == 0);
    peer.await_parked();
    bus.publish_shared(2, b"", &[&object(2)]).expect("room");
    assert_eq!(peer.answer(), "ok 1");
}

#[test]
fn an_object_wanders_through_processes_that_die_behind_it() {
    let _watchdog = watchdog_for("a chain of processes", Duration::from_secs(20));
    let scratch = Scratch::new();
    let last = scratch.path("last");
    let mut listener = Listener::bind(&last, &Options::default()).expect("a name");
    let mut chain: Vec<_> = (0..3).map(|_| peer!()).collect();
    for (number, peer) in chain.iter_mut().enumerate() {
        peer.must(&format!("bind {}", scratch.path(&number.to_string())));
    }
    for number in 0..2 {
        chain[number + 1].tell("accept");
        let next = scratch.path(&(number + 1).to_string());
        chain[number].must(&format!("connect {next}"));
        assert_eq!(chain[number + 1].answer(), "ok");
    }
    chain[2].tell(&format!("connect {last}"));
    let mut bus = listener.accept_bus_until(soon()).expect("the last of them");
    assert_eq!(chain[2].answer(), "ok");
    chain[0].must(&format!("share 5 {LEN} 1"));
    for number in 1..3 {
        chain[number].must("get 1");
        chain[number - 1].kill();
        chain[number].must("pass 1");
    }
    chain[2].kill();
    let kept = bus.recv().expect("what was committed").keep();
    assert!(frames::is(5, kept.type_id(), &kept.shared()[0]) && kept.shared()[0].len() == LEN);
    assert_eq!(bus.recv().err(), Some(Cause::PeerDied));
}

#[test]
fn owners_and_readers_that_are_killed_at_any_moment_leave_nothing() {
    alone("owners_and_readers_that_are_killed_at_any_moment_leave_nothing", || {
        let _watchdog = watchdog_for("kills at random", Duration::from_secs(60));
        let mut chance = Chance::of_today();
        let scratch = Scratch::new();
        let mut listener = Listener::bind(&scratch.path("bus"), &Options::default()).expect("a name");
        let mut before = None;
        for _ in 0..20 {
            let mut owner = peer!();
            owner.tell(&format!("connect {}", scratch.path("bus")));
            let mut bus = listener.accept_bus_until(soon()).expect("a session");
            assert_eq!(owner.answer(), "ok");
            for number in 0..20 {
                owner.tell(&format!("share {number} 5000 20"));
                owner.tell("unshare");
            }
            let kill_after = chance.below(300);
            let end = loop {
                match bus.recv_until(soon()) {
                    Ok(lease) => {
                        let shared = lease.shared()[0].clone();
                        assert!(frames::is(lease.type_id().into(), lease.type_id(), &shared));
                    }
                    Err(end) => break end,
                }
                if bus.stats().frames_received == kill_after as u64 + 1 {
                    owner.kill();
                }
            };
            assert_eq!(end, Cause::PeerDied);
            drop(bus);
            let now = holdings(std::process::id());
            let (fds, segments) = *before.get_or_insert((now.fds, now.segments));
            // Two for the pipes of a peer that is being dropped.
            assert!(now.fds <= fds + 2 && now.segments == segments, "{now:?} after {fds} and {segments}");
        }
    });
}
