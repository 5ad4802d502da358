//! A control group that allows less memory than is asked for: an error that says so, and never the kernel's own way out, which
//! is to kill; everything goes on afterwards; and with a spill directory the payload arrives.

use slipring::{Backend, Bus, Cause, Listener, Options, SharedBuffer, Trust, limit_memory};
use slipring_tests::alone::alone;
use slipring_tests::backend::skip;
use slipring_tests::cgroup::Group;
use slipring_tests::frames;
use slipring_tests::pair::{bus_pair, in_a_moment, rpc_pair, soon};
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog_for;
use std::time::Duration;

const MIB: usize = 1 << 20;

/// What the group allows.
const ALLOWED: usize = 128 * MIB;

/// More than that, and less than anything else forbids.
const TOO_MUCH: usize = 160 * MIB;

const EITHER: [Backend; 2] = [Backend::Memfd, Backend::Posix];

/// Ends that may take as much as they like, as far as the session and the process are concerned.
fn with(backend: Backend) -> Options {
    Options::default().trust(Trust::SameUser).backend(backend).memory_limit(1 << 30)
}

/// Runs `body` in a process of its own, in a group of its own.
fn in_a_group(test: &str, body: impl FnOnce()) {
    alone(test, || {
        let _watchdog = watchdog_for(test, Duration::from_secs(120));
        match Group::with_memory(ALLOWED as u64) {
            Ok(_group) => {
                limit_memory(1 << 30);
                body();
            }
            Err(why) => skip(test, &why),
        }
    });
}

/// Sends a payload of `len` bytes, written in place: a copy of it would be memory, too.
fn send(sends: &mut Bus, receives: &mut Bus, number: u64, len: usize) {
    let mut claim = sends.claim_until(len, soon()).expect("a block");
    frames::fill(number, &mut claim);
    claim.commit(frames::type_id(number), len).expect("a frame");
    let lease = receives.recv_until(soon()).expect("a frame");
    assert!(frames::is(number, lease.type_id(), &lease), "payload {number}");
}

#[test]
fn a_payload_that_the_group_has_no_room_for_is_out_of_memory_and_everything_goes_on() {
    in_a_group("a_payload_that_the_group_has_no_room_for_is_out_of_memory_and_everything_goes_on", || {
        // Pages that are read and never written are all the same one, which is nobody's.
        let zeros = vec![0; TOO_MUCH];
        for backend in EITHER {
            let (mut sends, mut receives) = bus_pair(&with(backend), &with(backend));
            for _ in 0..3 {
                assert_eq!(sends.claim(TOO_MUCH).map(drop), Err(Cause::OutOfMemory), "{backend:?}");
                assert_eq!(sends.try_claim(TOO_MUCH).map(drop), Err(Cause::OutOfMemory), "{backend:?}");
                assert_eq!(sends.publish(1, &zeros), Err(Cause::OutOfMemory), "{backend:?}");
                send(&mut sends, &mut receives, 7, 100);
                send(&mut sends, &mut receives, 8, 8 * MIB);
            }
            let (mut client, mut server) = rpc_pair(&with(backend), &with(backend));
            assert_eq!(client.call_until(1, &zeros, soon()).map(drop), Err(Cause::OutOfMemory));
            let call = client.call_until(1, &zeros[..MIB], soon()).expect("a call");
            server.serve_until(soon()).expect("a request").reply(2, b"done").expect("a reply");
            assert_eq!(&client.wait_until(call, soon()).expect("a reply")[..], b"done");
        }
    });
}

#[test]
fn what_is_made_when_opening_says_how_much_there_was() {
    in_a_group("what_is_made_when_opening_says_how_much_there_was", || {
        let object = SharedBuffer::build(TOO_MUCH).expect_err("more than the group allows");
        assert_eq!(object.cause(), Cause::OutOfMemory);
        let text = object.to_string();
        assert!(text.contains(&TOO_MUCH.to_string()) && text.contains("are available"), "{text}");
        let scratch = Scratch::new();
        let address = scratch.path("bus");
        let mut listener = Listener::bind(&address, &with(Backend::Memfd).capacity(256 * MIB)).expect("a name");
        std::thread::scope(|scope| {
            let client = scope.spawn(|| Bus::connect(&address, &with(Backend::Memfd)).expect_err("no such ring"));
            listener.accept_bus_until(in_a_moment()).expect_err("no session");
            while !client.is_finished() {
                listener.accept_bus_until(in_a_moment()).expect_err("no session");
            }
            let refused = client.join().expect("no panic");
            assert_eq!(refused.cause(), Cause::OutOfMemory, "{refused}");
            assert!(refused.to_string().contains("are available"), "{refused}");
        });
    });
}

#[test]
fn with_a_spill_directory_the_payload_arrives_all_the_same() {
    in_a_group("with_a_spill_directory_the_payload_arrives_all_the_same", || {
        let scratch = Scratch::new();
        for backend in EITHER {
            let spills = with(backend).spill_dir(scratch.dir());
            let (mut sends, mut receives) = bus_pair(&spills, &with(backend));
            send(&mut sends, &mut receives, 1, TOO_MUCH);
            let placement = sends.placement();
            assert!(placement.bytes < ALLOWED as u64, "what is on a disk is no memory: {placement:?}");
            send(&mut sends, &mut receives, 2, 8 * MIB);
        }
    });
}
