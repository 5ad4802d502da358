//! What memory is made of: POSIX shared memory shows and counts as such, on either side or on both; it is refused by whoever
//! trusts nobody; it is full when it is full; and a killed process leaves no name in it.

use slipring::{Backend, Bus, Capabilities, Cause, Error, Listener, Options, Refusal, RpcBus, Trust, Violation};
use slipring_tests::alone::alone;
use slipring_tests::mounts::{bytes_used, small_file_system};
use slipring_tests::pair::{bus_pair, rpc_pair, soon};
use slipring_tests::peer::Peer;
use slipring_tests::proc::{await_that, segment_names};
use slipring_tests::raw::memory::Segment;
use slipring_tests::raw::socket::{Socket, SocketListener};
use slipring_tests::raw::wire;
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::{watchdog, watchdog_for};
use slipring_tests::{frames, peer, raw};
use std::fs;
use std::path::Path;
use std::time::Duration;

const SHARED_MEMORY: &str = "/dev/shm";

/// The number of the refusal for memory without seals.
const UNSEALED: u64 = 10;

fn with(backend: Backend) -> Options {
    Options::default().trust(Trust::SameUser).backend(backend)
}

fn word(backend: Backend) -> &'static str {
    if backend == Backend::Posix { "posix" } else { "memfd" }
}

/// The start of what a segment of this backend is called in `/proc/<pid>/maps`.
fn prefix(backend: Backend) -> &'static str {
    if backend == Backend::Posix { "/dev/shm/" } else { "/memfd:" }
}

/// Two processes with a session: the one that sends and the one that receives.
fn two_peers(scratch: &Scratch, sends: Backend, receives: Backend) -> (Peer, Peer) {
    let address = scratch.path("bus");
    let (mut sender, mut receiver) = (peer!(), peer!());
    receiver.must(&format!("bind {address} backend={}", word(receives)));
    receiver.tell("accept");
    sender.must(&format!("connect {address} backend={}", word(sends)));
    assert_eq!(receiver.answer(), "ok");
    (sender, receiver)
}

const EITHER: [Backend; 2] = [Backend::Memfd, Backend::Posix];

#[test]
fn the_maps_of_both_processes_show_what_each_side_s_memory_is_made_of() {
    let _watchdog = watchdog("maps of two processes");
    for sends in EITHER {
        for receives in EITHER {
            let scratch = Scratch::new();
            let (mut sender, mut receiver) = two_peers(&scratch, sends, receives);
            receiver.tell("recv 3");
            sender.must("send 3 100000");
            assert_eq!(receiver.answer(), "ok 3");
            for pid in [sender.pid(), receiver.pid()] {
                let names = segment_names(pid);
                let made = |backend| names.iter().filter(|name| name.starts_with(prefix(backend))).count();
                // An outbox each, and a region of the sender's.
                let expected = |backend| 2 * usize::from(sends == backend) + usize::from(receives == backend);
                assert_eq!(EITHER.map(made), EITHER.map(expected), "{sends:?} to {receives:?}: {names:?}");
            }
        }
    }
}

#[test]
fn ends_say_what_they_can_promise() {
    let _watchdog = watchdog("capabilities");
    let promise = |found: Capabilities| (found.backend, found.sealed, found.peer_sealed, found.spill);
    for ours in EITHER {
        for theirs in EITHER {
            let expected = (ours, ours == Backend::Memfd, theirs == Backend::Memfd, false);
            let (sends, receives) = bus_pair(&with(ours), &with(theirs));
            assert_eq!(promise(sends.capabilities()), expected);
            assert_eq!(promise(receives.capabilities()).0, theirs);
            let (client, server) = rpc_pair(&with(theirs), &with(ours));
            assert_eq!(promise(server.capabilities()), expected);
            assert_eq!(promise(client.capabilities()).0, theirs);
        }
    }
}

#[test]
fn spilling_is_a_promise_only_between_sides_that_trust_each_other() {
    let _watchdog = watchdog("spilling");
    let scratch = Scratch::new();
    let spills = || with(Backend::Memfd).spill_dir(scratch.dir());
    let can = |us: &Options, them: &Options| bus_pair(us, them).0.capabilities().spill;
    assert!(can(&spills(), &with(Backend::Memfd)));
    assert!(can(&spills().backend(Backend::Posix), &with(Backend::Posix)));
    assert!(!can(&with(Backend::Memfd), &spills()));
    assert!(!can(&spills(), &with(Backend::Memfd).trust(Trust::Untrusted)));
    assert!(!can(&spills().trust(Trust::Untrusted), &with(Backend::Memfd)));
    assert_eq!(fs::read_dir(scratch.dir()).expect("our directory").count(), 0, "trying it out leaves nothing");
    for unusable in [scratch.dir().join("missing"), Path::new("/proc").to_owned()] {
        let options = with(Backend::Memfd).spill_dir(&unusable);
        let refused = Listener::bind(&scratch.path("bus"), &options).expect_err("unusable");
        assert_eq!(refused.cause(), Cause::Config);
        assert!(refused.to_string().contains(&unusable.display().to_string()), "{refused}");
        let refused = Bus::connect(&scratch.path("bus"), &options).expect_err("unusable");
        assert_eq!(refused.cause(), Cause::Config);
    }
}

/// Whether a connection was refused for memory without seals, in words that say what to do.
fn assert_refused_unsealed(refused: &Error) {
    assert_eq!(refused.cause(), Cause::Refused { why: Refusal::Unsealed });
    let text = refused.to_string();
    for part in ["without seals", "Backend::Memfd", "Trust::SameUser", "Trust::Untrusted"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
}

#[test]
fn whoever_trusts_nobody_refuses_memory_without_seals_and_both_sides_know() {
    let _watchdog = watchdog("refusals");
    let untrusting = with(Backend::Memfd).trust(Trust::Untrusted);
    for (listens, connects) in [(&untrusting, &with(Backend::Posix)), (&with(Backend::Posix), &untrusting)] {
        let scratch = Scratch::new();
        let address = scratch.path("bus");
        let mut listener = Listener::bind(&address, listens).expect("a name");
        std::thread::scope(|scope| {
            let refused = scope.spawn(|| Bus::connect(&address, connects).expect_err("refused"));
            await_that(|| {
                assert_eq!(listener.try_accept_bus().expect_err("nobody").cause(), Cause::Empty);
                listener.refused() == 1
            });
            assert_refused_unsealed(&refused.join().expect("no panic"));
            let refused = scope.spawn(|| RpcBus::connect(&address, connects).expect_err("refused"));
            await_that(|| {
                assert_eq!(listener.try_accept_rpc().expect_err("nobody").cause(), Cause::Empty);
                listener.refused() == 2
            });
            assert_refused_unsealed(&refused.join().expect("no panic"));
            let good = scope.spawn(|| Bus::connect(&address, &with(Backend::Memfd)));
            listener.accept_bus_until(soon()).expect("the listener goes on");
            good.join().expect("no panic").expect("a session");
        });
    }
}

#[test]
fn an_end_that_trusts_nobody_makes_no_memory_without_seals() {
    let scratch = Scratch::new();
    let options = with(Backend::Posix).trust(Trust::Untrusted);
    let address = scratch.path("bus");
    let refused = [
        Listener::bind(&address, &options).expect_err("no seals"),
        Bus::connect(&address, &options).expect_err("no seals"),
        RpcBus::listen(&address, &options).expect_err("no seals"),
    ];
    for error in refused {
        assert_eq!(error.cause(), Cause::Config);
        assert!(error.to_string().contains("use Backend::Memfd, or Trust::SameUser"), "{error}");
    }
}

#[test]
fn a_client_that_says_nothing_of_its_memory_takes_sealed_memory_only() {
    let _watchdog = watchdog("a silent client");
    let scratch = Scratch::new();
    let mut listener = Listener::bind(&scratch.path("bus"), &with(Backend::Posix)).expect("a name");
    let socket = Socket::connect(&listener.address());
    assert!(socket.send(&wire::hello().bytes()));
    assert_eq!(listener.try_accept_bus().expect_err("refused").cause(), Cause::Empty);
    assert_eq!(socket.receive().expect("a reason").message.reason(), UNSEALED);
    assert!(socket.receive().is_none());
}

#[test]
fn a_client_hands_nothing_to_a_listener_whose_memory_does_not_go_with_its_own() {
    let _watchdog = watchdog("offers that do not go together");
    // What the listener says of its memory: nothing, and so it takes sealed memory only; and that its own is unsealed.
    for (options, flags) in [(with(Backend::Posix), 0), (with(Backend::Memfd).trust(Trust::Untrusted), 2)] {
        let scratch = Scratch::new();
        let address = scratch.path("bus");
        let listener = SocketListener::bind(&address);
        std::thread::scope(|scope| {
            let refused = scope.spawn(|| Bus::connect(&address, &options).expect_err("no session"));
            let socket = listener.accept();
            assert_eq!(socket.receive().expect("a hello").message.tag, wire::HELLO);
            let outbox = Segment::outbox(wire::RECEIVING_RING, wire::RETURNS);
            let rings = ([4096, wire::NO_RETURNS], [wire::RECEIVING_RING, wire::RETURNS]);
            let mut offer = wire::offer(rings.0, rings.1, outbox.len() as u64);
            offer.words[wire::FLAGS_AT] = flags;
            assert!(socket.send_with(&offer.bytes(), &[outbox.fd()]));
            assert!(socket.receive().is_none(), "no outbox comes");
            assert_refused_unsealed(&refused.join().expect("no panic"));
        });
    }
}

#[test]
fn a_peer_that_agreed_on_sealed_memory_and_announces_other_is_corrupt() {
    let _watchdog = watchdog("a breach of what was agreed");
    for (trust, kind) in [(Trust::SameUser, 1), (Trust::Untrusted, 1), (Trust::Untrusted, 2)] {
        let scratch = Scratch::new();
        let options = with(Backend::Memfd).trust(trust);
        let mut listener = Listener::bind(&scratch.path("bus"), &options).expect("a name");
        let (end, mut bus) = raw::client_of(&mut listener);
        let region = Segment::region(1 << 16);
        let mut record = raw::blocks::announcement(0, 1 << 16);
        record[1] = kind;
        assert!(end.socket.send_with(&record, &[region.fd()]));
        assert_eq!(bus.recv_until(soon()).err(), Some(Cause::Corrupt(Violation::Backing)), "{trust:?}, kind {kind}");
    }
}

#[test]
fn a_spill_region_that_is_no_nameless_file_of_ours_is_corrupt() {
    let _watchdog = watchdog("a file with a name");
    let scratch = Scratch::new();
    let mut listener = Listener::bind(&scratch.path("bus"), &with(Backend::Memfd)).expect("a name");
    let named = scratch.path("named");
    fs::write(&named, vec![0; 1 << 16]).expect("a file");
    let file = fs::File::open(&named).expect("the file");
    let (end, mut bus) = raw::client_of(&mut listener);
    let mut record = raw::blocks::announcement(0, 1 << 16);
    record[1] = 2;
    assert!(end.socket.send_with(&record, &[std::os::fd::AsFd::as_fd(&file)]));
    assert_eq!(bus.recv_until(soon()).err(), Some(Cause::Corrupt(Violation::Backing)));
}

/// From now on this thread, and what it starts, has POSIX shared memory of its own with `len` bytes. Says so if it may not.
fn with_shared_memory_of(len: usize, test: &str) -> bool {
    small_file_system(Path::new(SHARED_MEMORY), len, test)
}

/// Bytes in use in POSIX shared memory.
fn shared_memory_used() -> u64 {
    bytes_used(Path::new(SHARED_MEMORY))
}

fn names_in_shared_memory() -> Vec<String> {
    let entries = fs::read_dir(SHARED_MEMORY).expect("a directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("slipring")).collect()
}

#[test]
fn full_shared_memory_is_an_error_of_the_call_that_needs_it_and_all_goes_on() {
    const TEST: &str = "full_shared_memory_is_an_error_of_the_call_that_needs_it_and_all_goes_on";
    alone(TEST, || {
        let _watchdog = watchdog("full shared memory");
        if !with_shared_memory_of(6 << 20, TEST) {
            return;
        }
        let large = with(Backend::Posix).capacity(16 << 20);
        let small = with(Backend::Posix).capacity(64 << 10);
        let scratch = Scratch::new();
        let address = scratch.path("bus");
        std::thread::scope(|scope| {
            // The client is to make a ring that is larger than all there is.
            let mut listener = Listener::bind(&address, &large).expect("a name");
            let refused = scope.spawn(|| Bus::connect(&address, &with(Backend::Posix)).expect_err("no room"));
            await_that(|| {
                assert_eq!(listener.try_accept_bus().expect_err("nobody").cause(), Cause::Empty);
                listener.refused() == 1
            });
            assert_eq!(refused.join().expect("no panic").cause(), Cause::OutOfMemory);
        });
        assert_eq!(shared_memory_used(), 0, "what was reserved is given back");
        let (mut sends, mut receives) = bus_pair(&small, &small);
        // A region of 4 MiB has room, and a second does not.
        let payload = frames::payload(0, 3 << 20);
        sends.publish_until(frames::type_id(0), &payload, soon()).expect("the first region");
        let kept = receives.recv_until(soon()).expect("a frame").keep();
        assert_eq!(sends.publish_until(1, &payload, soon()), Err(Cause::OutOfMemory));
        assert_eq!(sends.publish(2, b"short"), Ok(()), "what needs no room goes on");
        assert_eq!(receives.recv_until(soon()).expect("a frame").type_id(), 2);
        assert!(frames::is(0, kept.type_id(), &kept));
        drop(kept);
        sends.publish_until(frames::type_id(3), &payload, soon()).expect("what came back is used again");
        drop(receives.recv_until(soon()).expect("a frame"));
        drop((sends, receives));
        assert_eq!(shared_memory_used(), 0, "all of it goes with the session");
    });
}

#[test]
fn killed_processes_leave_neither_names_nor_memory_behind() {
    const TEST: &str = "killed_processes_leave_neither_names_nor_memory_behind";
    alone(TEST, || {
        let _watchdog = watchdog_for("kills", Duration::from_secs(60));
        let own = with_shared_memory_of(64 << 20, TEST);
        for round in 0..20 {
            let scratch = Scratch::new();
            let (mut sender, mut receiver) = two_peers(&scratch, Backend::Posix, Backend::Posix);
            receiver.tell("recv 1000000");
            sender.tell("send 1000000 100000");
            // At some moment of it: while memory is made, and later.
            std::thread::sleep(Duration::from_micros(300 * round));
            sender.kill();
            assert!(receiver.answer().ends_with("PeerDied"));
            receiver.kill();
            assert_eq!(names_in_shared_memory(), [""; 0], "round {round}");
            if own {
                await_that(|| shared_memory_used() == 0);
            }
        }
    });
}
