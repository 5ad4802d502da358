//! What happens when memory, blocks or descriptors run out, and that they come back.

use slipring::{Bus, Cause, Listener, Message, Options, RpcBus, State, Trust, Wait};
use slipring_tests::alone::alone;
use slipring_tests::backend::{has_seals, trusts};
use slipring_tests::frames;
use slipring_tests::limits::{without_descriptors, without_memory};
use slipring_tests::pair::{assert_whole, bus_pair, in_a_moment, keep_many, rpc_pair, soon};
use slipring_tests::peer;
use slipring_tests::peer::Peer;
use slipring_tests::proc::{await_that, holdings};
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog;
use std::io::IoSlice;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

const MIB: usize = 1 << 20;

fn options() -> Options {
    Options::default()
}

/// A call that needs a block and may find none.
type Attempt = fn(&mut Bus, &[u8]) -> Result<(), Cause>;

const TRYING: [Attempt; 4] = [
    |bus, payload| bus.try_publish(0, payload),
    |bus, payload| bus.try_publish_vectored(0, &[IoSlice::new(payload)]),
    |bus, payload| bus.try_claim(payload.len()).map(drop),
    |bus, payload| bus.try_publish_batch([(0, payload)]).map(drop),
];

const WAITING: [Attempt; 4] = [
    |bus, payload| bus.publish_until(0, payload, in_a_moment()),
    |bus, payload| bus.publish_vectored_until(0, &[IoSlice::new(payload)], in_a_moment()),
    |bus, payload| bus.claim_until(payload.len(), in_a_moment()).map(drop),
    |bus, payload| bus.publish_batch_until([(0, payload)], in_a_moment()).map(drop),
];

#[test]
fn with_everything_held_trying_is_full_waiting_is_a_timeout_and_one_drop_lets_it_go_on() {
    let _watchdog = watchdog("a full arena");
    for wait in [Wait::Park, Wait::Spin, Wait::Adaptive] {
        let (mut sends, mut receives) = bus_pair(&options().memory_limit(4 << 20).wait(wait), &options());
        let payload = vec![1; MIB];
        let mut kept = keep_many(&mut sends, &mut receives, 4, MIB);
        for attempt in TRYING {
            assert_eq!(attempt(&mut sends, &payload), Err(Cause::Full), "{wait:?}");
        }
        for attempt in WAITING {
            assert_eq!(attempt(&mut sends, &payload), Err(Cause::Timeout), "{wait:?}");
        }
        assert_eq!(sends.publish(9, b"the ring is free"), Ok(()));
        assert_eq!(receives.recv().expect("a frame").type_id(), 9);
        for attempt in TRYING {
            drop(kept.pop());
            assert_eq!(attempt(&mut sends, &payload), Ok(()), "{wait:?}");
            while receives.try_recv().is_ok() {}
            if kept.is_empty() {
                kept = keep_many(&mut sends, &mut receives, 4, MIB);
            }
        }
        assert_eq!(sends.stats().region_bytes, 4 << 20);
        // A waiting one is woken by a drop in another thread.
        kept = keep_many(&mut sends, &mut receives, 4 - kept.len() as u64, MIB).into_iter().chain(kept).collect();
        let (dropper, orders) = channel::<Message>();
        let hand = thread::spawn(move || {
            for message in orders {
                thread::sleep(Duration::from_millis(5));
                drop(message);
            }
        });
        for message in kept {
            dropper.send(message).expect("the other thread lives");
            assert_eq!(sends.publish_until(0, &payload, soon()), Ok(()), "{wait:?}");
            drop(receives.recv().expect("a frame"));
        }
        drop(dropper);
        hand.join().expect("no panic");
    }
}

#[test]
fn a_claim_that_is_dropped_gives_its_block_up() {
    let _watchdog = watchdog("dropped claims");
    let (mut sends, mut receives) = bus_pair(&options().memory_limit(4 << 20), &options());
    let payload = vec![1; 4 * MIB];
    for turn in 0..5 {
        // The only block that there is.
        let claim = sends.try_claim(4 * MIB).expect("a block");
        if turn % 2 == 0 {
            drop(claim)
        } else {
            claim.abort()
        }
        assert_eq!(sends.try_publish(turn, &payload), Ok(()), "turn {turn}");
        assert_eq!(receives.recv().expect("a frame").type_id(), turn);
    }
}

#[test]
fn as_many_blocks_are_out_as_the_return_ring_has_entries() {
    let _watchdog = watchdog("4096 blocks");
    let (mut sends, mut receives) = bus_pair(&options().memory_limit(64 << 20), &options());
    let mut kept = keep_many(&mut sends, &mut receives, 4096, 1025);
    assert_eq!((sends.stats().blocks_out, receives.stats().held_blocks), (4096, 4096));
    let payload = [1; 1025];
    assert_eq!(sends.try_publish(0, &payload), Err(Cause::Full));
    assert_eq!(sends.publish_until(0, &payload, in_a_moment()), Err(Cause::Timeout));
    assert_eq!(sends.publish(0, &payload[1..]), Ok(()), "what fits into the ring needs no block");
    assert_eq!(receives.recv().expect("a frame").len(), 1024);
    kept.swap_remove(2000);
    assert_eq!(sends.try_publish(4096, &frames::payload(4096, 1025)), Ok(()));
    kept.push(receives.recv().expect("a frame").keep());
    assert_eq!(sends.try_publish(0, &payload), Err(Cause::Full));
    assert_whole(&kept);
    // All at once, to an owner that is asleep.
    let waker = thread::spawn(move || {
        thread::sleep(Duration::from_millis(10));
        drop(kept);
    });
    assert_eq!(sends.publish_until(0, &payload, soon()), Ok(()));
    waker.join().expect("no panic");
    drop(receives.recv().expect("a frame"));
    await_that(|| sends.state() == State::Open && sends.stats().blocks_out == 0);
}

#[test]
fn a_payload_beyond_either_ends_limits_is_too_large_with_both_numbers() {
    let _watchdog = watchdog("limits of length");
    for (sends, receives, max) in [
        (options().memory_limit(4 << 20), options(), 4 << 20),
        (options(), options().memory_limit(4 << 20), 4 << 20),
        (options().memory_limit(5 << 20), options(), 4 << 20),
        (options().memory_limit((4 << 20) - 1), options(), 2 << 20),
        (options().max_message(100_000), options(), 100_000),
        (options(), options().max_message(100_000), 100_000),
        (options(), options().max_message(10), 1024),
        (options().memory_limit(0), options(), 1024),
    ] {
        let (mut sends, mut receives) = bus_pair(&sends, &receives);
        assert_eq!(sends.payload_max(), max as u64);
        let payload = vec![3; max + 1];
        let too_large = Err(Cause::TooLarge { len: max as u64 + 1, max: max as u64 });
        for attempt in TRYING.into_iter().chain(WAITING) {
            assert_eq!(attempt(&mut sends, &payload), too_large);
        }
        assert_eq!(sends.publish(1, &payload[1..]), Ok(()), "{max} bytes");
        assert_eq!(receives.recv().expect("a frame").len(), max);
    }
}

#[test]
fn odd_limits_of_memory_are_used_as_far_as_they_go() {
    let _watchdog = watchdog("odd limits");
    for limit in [255, 256, 1000, 4095, 4096, 5000, 12_345, 70_000, (1 << 20) + 1] {
        let (mut sends, mut receives) =
            bus_pair(&options().inline_limit(48).memory_limit(limit), &options().inline_limit(48));
        let max = sends.payload_max() as usize;
        assert_eq!(max, if limit < 4096 { 48 } else { 1 << limit.ilog2() }, "a limit of {limit}");
        for turn in 0..3 {
            assert_eq!(sends.try_publish(turn, &vec![turn as u8; max]), Ok(()), "a limit of {limit}");
            let lease = receives.recv().unwrap_or_else(|cause| panic!("a limit of {limit}: {cause}"));
            assert!(lease.len() == max && lease.iter().all(|&byte| byte == turn as u8));
        }
    }
}

#[test]
fn a_sender_that_is_ahead_of_its_reader_goes_on_when_the_reader_has_caught_up() {
    let _watchdog = watchdog("regions that nobody has looked at yet");
    for wait in [Wait::Park, Wait::Spin] {
        // Regions of 4, 2 and 1 MiB and so on down: eight of them are announced, and the next has to wait.
        let limit = (8 << 20) - 4096;
        let (mut sends, mut receives) = bus_pair(&options().memory_limit(limit).wait(wait), &options());
        let mut sent = 0;
        while sends.try_publish(sent, &frames::payload(sent.into(), 4096)) == Ok(()) {
            sent += 1;
        }
        assert_eq!(sends.stats().regions, 8);
        assert!(sends.stats().region_bytes < limit);
        let reader = thread::spawn(move || {
            thread::sleep(Duration::from_millis(10));
            (0..=sent).map(|_| receives.recv_until(soon()).expect("a frame").keep()).collect::<Vec<_>>()
        });
        // Nothing comes back: only one more region helps.
        let last = sends.publish_until(sent, &frames::payload(sent.into(), 4096), soon());
        assert_eq!(last, Ok(()), "{wait:?}");
        assert_whole(&reader.join().expect("all came"));
    }
}

#[test]
fn idle_regions_go_back_after_a_second() {
    alone("idle_regions_go_back_after_a_second", || {
        let _watchdog = watchdog("idle regions");
        let (mut sends, mut receives) = bus_pair(&options().memory_limit(64 << 20), &options());
        let mut kept = keep_many(&mut sends, &mut receives, 40, MIB);
        let most = sends.stats();
        assert!(most.regions >= 4 && most.region_bytes >= 40 << 20, "{most:?}");
        let first = kept.remove(0);
        drop(kept);
        let mut look = |sends: &mut Bus| {
            thread::sleep(Duration::from_millis(20));
            assert_eq!(sends.state(), State::Open);
            assert_eq!(receives.try_recv().err(), Some(Cause::Empty));
        };
        await_that(|| {
            look(&mut sends);
            sends.stats().regions == 1
        });
        let least = sends.stats();
        assert_eq!((least.blocks_out, least.region_bytes), (1, 4 << 20), "{least:?}");
        // A header and a ring each way, one region, and each of it mapped by both ends.
        assert_eq!(holdings(std::process::id()).segments, 6);
        assert_whole(&[first]);
        let again = keep_many(&mut sends, &mut receives, 40, MIB);
        assert_whole(&again);
    });
}

#[test]
fn a_kept_message_outlives_its_region() {
    let _watchdog = watchdog("a message in a region that is forgotten");
    let (mut sends, mut receives) = bus_pair(&options().memory_limit(64 << 20), &options());
    let kept = keep_many(&mut sends, &mut receives, 12, MIB);
    let count = sends.stats().regions;
    assert!(count >= 3);
    // The last one lies in the last region, which therefore stays while it is held.
    let mut kept = kept.into_iter();
    let last = kept.next_back().expect("twelve");
    drop(kept);
    for _ in 0..120 {
        thread::sleep(Duration::from_millis(20));
        assert_eq!(sends.state(), State::Open);
        assert_eq!(receives.try_recv().err(), Some(Cause::Empty));
    }
    assert!((1..count).contains(&sends.stats().regions));
    assert_whole(&[last]);
}

#[test]
fn a_region_that_cannot_be_taken_for_want_of_descriptors_is_out_of_memory_until_there_is_one() {
    alone("a_region_that_cannot_be_taken_for_want_of_descriptors_is_out_of_memory_until_there_is_one", || {
        let _watchdog = watchdog("no descriptor for a region");
        for wait in [Wait::Park, Wait::Spin] {
            for &trust in
                trusts("a_region_that_cannot_be_taken_for_want_of_descriptors_is_out_of_memory_until_there_is_one")
            {
                let scratch = Scratch::new();
                let address = scratch.path("bus");
                let mut listener = Listener::bind(&address, &options().wait(wait).trust(trust)).expect("a name");
                let mut peer = peer!();
                peer.tell(&format!("connect {address} within=5000"));
                let mut receives = listener.accept_bus().expect("a client");
                assert_eq!(peer.answer(), "ok");
                peer.must("send 1 100000");
                without_descriptors(|| {
                    for _ in 0..3 {
                        assert_eq!(receives.recv().err(), Some(Cause::OutOfMemory));
                        assert_eq!(receives.try_recv().err(), Some(Cause::OutOfMemory));
                        assert_eq!(receives.poll(5, |_| ()).err(), Some(Cause::OutOfMemory));
                        assert_eq!(receives.drain(5).err(), Some(Cause::OutOfMemory));
                        assert_eq!(receives.state(), State::Open);
                    }
                });
                let message = receives.recv().expect("delivered").keep();
                assert!(frames::is(0, message.type_id(), &message));
            }
        }
    });
}

#[test]
fn a_region_that_cannot_be_made_for_want_of_descriptors_is_out_of_memory_and_what_there_is_stays_in_use() {
    alone(
        "a_region_that_cannot_be_made_for_want_of_descriptors_is_out_of_memory_and_what_there_is_stays_in_use",
        || {
            let _watchdog = watchdog("no descriptor to make a region with");
            for wait in [Wait::Park, Wait::Spin] {
                let (mut sends, mut receives) = bus_pair(&options().wait(wait), &options());
                let (mut calls, mut serves) = rpc_pair(&options().wait(wait), &options());
                // The first one, and then in mid-growth, with all of the first in use.
                for held in [0, 4] {
                    let kept = keep_many(&mut sends, &mut receives, held, MIB);
                    let before = (sends.stats().regions, holdings(std::process::id()));
                    let payload = vec![1; MIB];
                    without_descriptors(|| {
                        for attempt in TRYING.into_iter().chain(WAITING) {
                            assert_eq!(attempt(&mut sends, &payload), Err(Cause::OutOfMemory), "{wait:?}, {held} held");
                        }
                        assert_eq!(calls.call_until(0, &vec![1; 40 * MIB], soon()), Err(Cause::OutOfMemory));
                        assert_eq!(sends.publish(7, b"short"), Ok(()), "what needs none goes on");
                    });
                    let after = holdings(std::process::id());
                    assert_eq!(
                        (sends.stats().regions, after.fds, after.segments),
                        (before.0, before.1.fds, before.1.segments)
                    );
                    assert_eq!(receives.recv().expect("a frame").type_id(), 7);
                    assert_whole(&kept);
                    assert_eq!(sends.publish(8, &payload), Ok(()));
                    assert_eq!(receives.recv().expect("a frame").len(), MIB);
                }
                calls.call_until(0, &vec![1; 40 * MIB], soon()).expect("a place");
                assert_eq!(serves.serve_until(soon()).expect("a request").len(), 40 * MIB);
            }
        },
    );
}

#[test]
fn a_frame_behind_others_that_cannot_be_taken_is_delivered_whole_when_it_can() {
    alone("a_frame_behind_others_that_cannot_be_taken_is_delivered_whole_when_it_can", || {
        let _watchdog = watchdog("no descriptor for a region in mid-batch");
        for drains in [true, false] {
            let (mut sends, mut receives) = bus_pair(&options(), &options().capacity(256));
            sends.publish(0, b"short").expect("room");
            sends.publish(1, &frames::payload(1, 100_000)).expect("room");
            without_descriptors(|| {
                if drains {
                    assert_eq!(receives.drain(9).expect("the first").len(), 1);
                } else {
                    assert_eq!(receives.poll(9, |frame| assert_eq!(&*frame, b"short")), Ok(1));
                }
                assert_eq!(receives.try_recv().err(), Some(Cause::OutOfMemory));
            });
            // The sender uses every line that it may.
            let mut more = 2;
            while sends.try_publish(more, &[0xAA; 48]) == Ok(()) {
                more += 1;
            }
            let message = receives.recv().expect("delivered").keep();
            assert!(frames::is(1, message.type_id(), &message), "drained: {drains}");
            for number in 2..more {
                assert_eq!(receives.recv().expect("a frame").type_id(), number);
            }
        }
    });
}

/// A call of either half that reads what has come.
type Read = fn(&mut RpcBus) -> Result<(), Cause>;

const READS: [Read; 5] = [
    |bus| bus.serve_until(soon()).map(drop),
    |bus| bus.try_serve().map(drop),
    |bus| bus.request_until(0, b"", soon()).map(drop).map_err(|error| error.cause()),
    |bus| bus.run_until(soon()),
    |bus| {
        let call = bus.call_until(0, b"", soon())?;
        let waited = bus.wait_until(call, soon()).map(drop).map_err(|error| error.cause());
        bus.cancel(call);
        waited
    },
];

/// What no end of a session for calls can do while it has no descriptor for an announced region.
fn assert_starved(bus: &mut RpcBus) {
    for _ in 0..2 {
        for (index, read) in READS.into_iter().enumerate() {
            assert_eq!(read(bus), Err(Cause::OutOfMemory), "call {index}");
        }
        assert_eq!(bus.state(), State::Open);
    }
}

/// A session for calls with a peer that also serves.
fn rpc_session(wait: Wait, trust: Trust) -> (Scratch, Peer, RpcBus) {
    let scratch = Scratch::new();
    let address = scratch.path("rpc");
    let mut listener = Listener::bind(&address, &options().wait(wait).trust(trust)).expect("a name");
    let mut peer = peer!();
    peer.tell(&format!("connect-rpc {address} within=5000 serves=yes"));
    let bus = listener.accept_rpc().expect("a client");
    assert_eq!(peer.answer(), "ok");
    (scratch, peer, bus)
}

#[test]
fn a_request_whose_region_cannot_be_taken_is_out_of_memory_until_there_is_a_descriptor() {
    alone("a_request_whose_region_cannot_be_taken_is_out_of_memory_until_there_is_a_descriptor", || {
        let _watchdog = watchdog("no descriptor for a request");
        for wait in [Wait::Park, Wait::Spin] {
            for &trust in trusts("a_request_whose_region_cannot_be_taken_is_out_of_memory_until_there_is_a_descriptor")
            {
                let (_scratch, mut peer, mut bus) = rpc_session(wait, trust);
                bus.on_request(|_| unreachable!("nothing can be served"));
                peer.must("begin 2 100000");
                without_descriptors(|| assert_starved(&mut bus));
                for number in 0..2 {
                    let request = bus.serve_until(soon()).expect("not lost");
                    let (type_id, payload) = (request.type_id(), request.to_vec());
                    assert!(payload.len() == 100_000 && frames::is(number, type_id, &payload), "request {number}");
                    request.reply(type_id, &payload).expect("a block");
                }
                peer.must("finish within=5000");
                assert_eq!(bus.stats().held_blocks, 0);
            }
        }
    });
}

#[test]
fn a_reply_whose_region_cannot_be_taken_is_out_of_memory_until_there_is_a_descriptor() {
    alone("a_reply_whose_region_cannot_be_taken_is_out_of_memory_until_there_is_a_descriptor", || {
        let _watchdog = watchdog("no descriptor for a reply");
        for wait in [Wait::Park, Wait::Spin] {
            for &trust in trusts("a_reply_whose_region_cannot_be_taken_is_out_of_memory_until_there_is_a_descriptor") {
                let (_scratch, mut peer, mut bus) = rpc_session(wait, trust);
                bus.on_request(|_| unreachable!("the peer calls nobody"));
                let payload = frames::payload(0, 100_000);
                let calls = [1, 2].map(|type_id| bus.call_until(type_id, &payload, soon()).expect("a place"));
                // It has replied when it answers: by its own region, which it announced.
                peer.must("serve 2");
                without_descriptors(|| {
                    for call in calls {
                        let waited = bus.wait_until(call, soon()).map(drop).map_err(|error| error.cause());
                        assert_eq!(waited, Err(Cause::OutOfMemory));
                        let tried = bus.try_wait(call).map(drop).map_err(|error| error.cause());
                        assert_eq!(tried, Err(Cause::OutOfMemory));
                    }
                    assert_starved(&mut bus);
                });
                for (call, type_id) in calls.into_iter().zip([1, 2]) {
                    let reply = bus.wait_until(call, soon()).expect("not lost");
                    assert!(reply.type_id() == type_id && reply[..] == payload[..]);
                }
                // What was asked in the meantime has been given up, and is answered all the same.
                peer.tell("run 10000");
                await_that(|| {
                    assert_eq!(bus.try_serve().err(), Some(Cause::Empty));
                    bus.in_flight() == 0
                });
                assert_eq!((bus.stats().late_replies, bus.stats().held_blocks), (4, 0));
            }
        }
    });
}

#[test]
fn a_payload_that_cannot_be_copied_for_want_of_memory_is_not_lost() {
    if !has_seals("a_payload_that_cannot_be_copied_for_want_of_memory_is_not_lost") {
        return;
    }
    alone("a_payload_that_cannot_be_copied_for_want_of_memory_is_not_lost", || {
        let _watchdog = watchdog("no memory for a copy");
        let (mut sends, mut receives) = bus_pair(&options(), &options().trust(Trust::Untrusted));
        // The region is mapped, and the buffer for copies holds this one, but not the next.
        sends.publish(0, &vec![0; 33 * MIB]).expect("a block");
        assert_eq!(receives.recv().expect("a frame").len(), 33 * MIB);
        let long = vec![7; 60 * MIB];
        for drains in [true, false] {
            sends.publish(1, b"short").expect("room");
            sends.publish(2, &long).expect("a block");
            sends.publish(3, b"short too").expect("room");
            without_memory(|| {
                if drains {
                    assert_eq!(receives.drain(9).expect("the first").len(), 1);
                } else {
                    assert_eq!(receives.poll(9, |frame| assert_eq!(&*frame, b"short")), Ok(1));
                }
                assert_eq!(receives.recv().err(), Some(Cause::OutOfMemory));
                assert_eq!(receives.try_recv().err(), Some(Cause::OutOfMemory));
            });
            let lease = receives.recv().expect("not lost");
            assert!((lease.type_id(), lease.len()) == (2, long.len()) && lease[..] == long[..]);
            drop(lease);
            assert_eq!(&receives.recv().expect("a frame")[..], b"short too");
            if drains {
                (sends, receives) = bus_pair(&options(), &options().trust(Trust::Untrusted));
                sends.publish(0, &vec![0; 33 * MIB]).expect("a block");
                assert_eq!(receives.recv().expect("a frame").len(), 33 * MIB);
            }
        }
    });
}

#[test]
fn a_region_that_cannot_be_announced_to_a_peer_that_is_gone_is_its_end() {
    let _watchdog = watchdog("a region for nobody");
    for attempt in TRYING.into_iter().chain(WAITING) {
        let (mut sends, receives) = bus_pair(&options(), &options());
        drop(receives);
        assert_eq!(attempt(&mut sends, &vec![1; 100_000]), Err(Cause::Closed));
        assert_eq!(sends.state(), State::Closed);
    }
    for payload in [vec![1; 100], vec![1; 100_000]] {
        let (mut calls, serves) = rpc_pair(&options(), &options());
        drop(serves);
        let answer = calls.request_until(0, &payload, soon()).map(drop).map_err(|error| error.cause());
        assert_eq!((answer, calls.state()), (Err(Cause::Closed), State::Closed), "{} bytes", payload.len());
    }
}
