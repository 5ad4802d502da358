//! No descriptor left, no memory left: an error by that cause wherever it strikes, nothing leaked, and everything works
//! again when there is some.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use slipring::{Bus, Cause, Deadline, Error, Listener, Options};
use slipring_tests::alone::alone;
use slipring_tests::peer;
use slipring_tests::peer::Peer;
use slipring_tests::proc::holdings;
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog;
use std::fs;
use std::time::Duration;

/// Runs `work` with at most `limit` of `resource`.
fn limited<T>(resource: Resource, limit: u64, work: impl FnOnce() -> T) -> T {
    let before = getrlimit(resource);
    setrlimit(resource, Rlimit { current: Some(limit), maximum: before.maximum }).expect("less is always allowed");
    let done = work();
    setrlimit(resource, before).expect("back to what was allowed");
    done
}

/// Descriptors that are open now.
fn open_now() -> usize {
    holdings(std::process::id()).fds
}

/// Runs `work` with room for exactly `more` descriptors. The limit is on their numbers, of which those below it that are
/// free are the room.
fn with_descriptors<T>(more: usize, work: impl FnOnce() -> T) -> T {
    let mut free = (0..).filter(|number| fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_err());
    let limit: u64 = free.nth(more).expect("numbers do not end");
    limited(Resource::Nofile, limit, work)
}

/// Runs `work` with room for 0, 1, 2, ... more descriptors until it succeeds; every failure before must be for want of
/// them, and leave nothing open. With how many it succeeded.
fn with_ever_more_descriptors(mut work: impl FnMut() -> Result<(), Error>) -> usize {
    let before = open_now();
    for more in 0..64 {
        let done = with_descriptors(more, &mut work);
        assert_eq!(open_now(), before, "with {more} descriptors: {done:?}");
        match done {
            Ok(()) => return more,
            Err(error) => assert_eq!(error.cause(), Cause::OutOfMemory, "with {more} descriptors: {error}"),
        }
    }
    panic!("64 descriptors are enough for anything");
}

#[test]
fn a_listener_without_descriptors_is_out_of_memory_and_leaves_no_name() {
    alone("a_listener_without_descriptors_is_out_of_memory_and_leaves_no_name", || {
        let _watchdog = watchdog("binding without descriptors");
        let scratch = Scratch::new();
        let needed = with_ever_more_descriptors(|| {
            let bound = Listener::bind(&scratch.path("bus"), &Options::default()).map(drop);
            assert!(!fs::exists(scratch.path("bus")).expect("look"), "a name is left after {bound:?}");
            bound
        });
        println!("a listener takes {needed} descriptors");
        assert!(needed > 0);
    });
}

#[test]
fn a_client_without_descriptors_is_out_of_memory_and_the_listener_serves_the_next() {
    alone("a_client_without_descriptors_is_out_of_memory_and_the_listener_serves_the_next", || {
        let _watchdog = watchdog("connecting without descriptors");
        let scratch = Scratch::new();
        let address = scratch.path("bus");
        let mut server = peer!();
        server.must(&format!("bind {address}"));
        server.tell("accept");
        let needed = with_ever_more_descriptors(|| Bus::connect(&address, &Options::default()).map(drop));
        assert_eq!(server.answer(), "ok");
        println!("a session takes {needed} descriptors while it is made");
        assert!(needed > 0);
    });
}

/// Lets the listener work until the client, which is connecting, has its answer; there must be no session.
fn refuse(listener: &mut Listener, client: &mut Peer) -> String {
    while !client.has_answered() {
        let none = listener.accept_bus_until(Deadline::after(Duration::from_millis(5)));
        assert_eq!(none.expect_err("no session can be had").cause(), Cause::Timeout);
    }
    client.answer()
}

#[test]
fn a_listener_at_its_limit_refuses_as_busy_and_goes_on_when_it_can() {
    alone("a_listener_at_its_limit_refuses_as_busy_and_goes_on_when_it_can", || {
        let _watchdog = watchdog("accepting without descriptors");
        let scratch = Scratch::new();
        let address = scratch.path("bus");
        let mut listener = Listener::bind(&address, &Options::default()).expect("a name");
        let mut client = peer!();
        let before = open_now();
        // With room for nothing, for the client's socket alone, and for that and our outbox but not the client's.
        for more in 0..3 {
            let refused = listener.refused();
            client.tell(&format!("connect {address}"));
            let none =
                with_descriptors(more, || listener.accept_bus_until(Deadline::after(Duration::from_millis(100))));
            assert_eq!(none.expect_err("no room").cause(), Cause::Timeout, "with {more}");
            let answer = client.answer();
            let reasons = ["err 0 Refused { why: Busy }", "err 0 Refused { why: OutOfMemory }"];
            assert!(reasons.contains(&answer.as_str()), "with {more}: {answer}");
            assert_eq!((listener.refused(), open_now()), (refused + 1, before), "with {more}");
        }
        client.tell(&format!("connect {address}"));
        let mut bus = listener.accept_bus().expect("room again");
        assert_eq!(client.answer(), "ok");
        client.must("send 1 20");
        assert_eq!(bus.recv().expect("a frame").len(), 20);
    });
}

#[test]
fn a_crowd_at_a_listener_at_its_limit_is_told_and_the_listener_does_not_spin() {
    alone("a_crowd_at_a_listener_at_its_limit_is_told_and_the_listener_does_not_spin", || {
        let _watchdog = watchdog("a crowd at a listener without descriptors");
        let scratch = Scratch::new();
        let address = scratch.path("bus");
        let mut listener = Listener::bind(&address, &Options::default()).expect("a name");
        let mut crowd: Vec<Peer> = (0..10).map(|_| peer!()).collect();
        for client in &mut crowd {
            client.tell(&format!("connect {address}"));
        }
        with_descriptors(0, || {
            for client in &mut crowd {
                assert_eq!(refuse(&mut listener, client), "err 0 Refused { why: Busy }");
            }
        });
        assert_eq!(listener.refused(), 10);
    });
}

/// Bytes of address space that this process uses now.
fn address_space() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").expect("every process has one");
    let pages: u64 = pages.split(' ').next().and_then(|word| word.parse().ok()).expect("a number");
    pages * rustix::param::page_size() as u64
}

/// A ring that no left-over of the allocator has room for.
const LARGE: u64 = 64 << 20;

#[test]
fn a_client_without_address_space_is_out_of_memory() {
    alone("a_client_without_address_space_is_out_of_memory", || {
        let _watchdog = watchdog("connecting without memory");
        let scratch = Scratch::new();
        let address = scratch.path("bus");
        let mut server = peer!();
        server.must(&format!("bind {address} capacity={LARGE}"));
        server.tell("accept");
        let refuse = |times| {
            for _ in 0..times {
                let refused = limited(Resource::As, address_space() + LARGE / 2, || {
                    Bus::connect(&address, &Options::default()).map(drop)
                });
                assert_eq!(refused.expect_err("no memory").cause(), Cause::OutOfMemory);
            }
        };
        refuse(1);
        let before = holdings(std::process::id());
        refuse(4);
        let after = holdings(std::process::id());
        assert_eq!((after.fds, after.segments, after.threads), (before.fds, before.segments, before.threads));
        Bus::connect(&address, &Options::default()).expect("memory again");
        assert_eq!(server.answer(), "ok");
    });
}

#[test]
fn a_listener_without_address_space_tells_the_client_and_goes_on() {
    alone("a_listener_without_address_space_tells_the_client_and_goes_on", || {
        let _watchdog = watchdog("accepting without memory");
        let scratch = Scratch::new();
        let address = scratch.path("bus");
        let mut listener = Listener::bind(&address, &Options::default().capacity(LARGE as usize)).expect("a name");
        let mut client = peer!();
        let mut refuse_often = |times| {
            for _ in 0..times {
                client.tell(&format!("connect {address}"));
                let answer = limited(Resource::As, address_space() + LARGE / 2, || refuse(&mut listener, &mut client));
                assert_eq!(answer, "err 0 Refused { why: OutOfMemory }");
            }
        };
        refuse_often(1);
        let before = holdings(std::process::id());
        refuse_often(4);
        let after = holdings(std::process::id());
        assert_eq!((after.fds, after.segments, after.threads), (before.fds, before.segments, before.threads));
        client.tell(&format!("connect {address}"));
        listener.accept_bus().expect("memory again");
        assert_eq!(client.answer(), "ok");
    });
}

#[test]
fn a_limit_on_the_size_of_files_is_out_of_memory_and_no_signal() {
    alone("a_limit_on_the_size_of_files_is_out_of_memory_and_no_signal", || {
        let _watchdog = watchdog("segments larger than files may be");
        let scratch = Scratch::new();
        let address = scratch.path("bus");
        let mut server = peer!();
        server.must(&format!("bind {address}"));
        let before = open_now();
        server.tell("accept");
        let refused = limited(Resource::Fsize, 1 << 19, || Bus::connect(&address, &Options::default()).map(drop));
        assert_eq!(refused.expect_err("half of the ring").cause(), Cause::OutOfMemory);
        assert_eq!(open_now(), before);
        Bus::connect(&address, &Options::default()).expect("large files again");
        assert_eq!(server.answer(), "ok");
    });
}

#[test]
fn a_ring_larger_than_the_machine_is_out_of_memory_at_both_ends() {
    let _watchdog = watchdog("a ring larger than the memory");
    let info = fs::read_to_string("/proc/meminfo").expect("every system has one");
    let available = info.lines().find_map(|line| line.strip_prefix("MemAvailable:")).expect("since Linux 3.14");
    let available: u64 = available.trim().trim_end_matches(" kB").parse().expect("a number");
    if available >= 1 << 20 {
        println!("skipped: the largest ring, 1 GiB, fits into the {available} KiB that are available");
        return;
    }
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    let mut server = peer!();
    server.must(&format!("bind {address} capacity={}", 1 << 30));
    server.tell("accept");
    let refused = Bus::connect(&address, &Options::default()).expect_err("too large");
    assert_eq!(refused.cause(), Cause::OutOfMemory);
}
