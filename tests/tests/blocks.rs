//! Payloads in blocks: every length by every call, held for as long as one likes, and what happens when memory, blocks or
//! descriptors run out.

use slipring::{Bus, Cause, Message, Options, State, Trust, Wait};
use slipring_tests::alone::alone;
use slipring_tests::backend::trusts;
use slipring_tests::chance::Chance;
use slipring_tests::frames;
use slipring_tests::pair::{assert_whole, bus_pair, keep_many};
use slipring_tests::peer;
use slipring_tests::proc::{await_that, holdings};
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::{watchdog, watchdog_for};
use std::io::IoSlice;
use std::thread;
use std::time::Duration;

const MIB: usize = 1 << 20;

fn options() -> Options {
    Options::default()
}

/// Bytes to cut payloads out of: each of another start has other bytes.
fn pattern() -> Vec<u8> {
    let mut chance = Chance::new(7);
    (0..(4 * MIB + 256) / 8).flat_map(|_| chance.number().to_le_bytes()).collect()
}

/// Every length at which something changes: of the first line, of the inline limit, of a block, of a page.
fn lengths() -> Vec<usize> {
    let mut lengths = vec![0, 1, 2, 23, 24, 25, 47, 48, 49, 111, 112, 113, 1023, 1024, 1025];
    for bits in 11..=22 {
        lengths.extend([(1 << bits) - 1, 1 << bits]);
        if bits < 22 {
            lengths.push((1 << bits) + 1);
        }
    }
    lengths
}

/// A way to send one payload.
type Way = fn(&mut Bus, u32, &[u8]) -> Result<(), Cause>;

const WAYS: [Way; 8] = [
    |bus, number, payload| bus.publish(number, payload),
    |bus, number, payload| bus.try_publish(number, payload),
    |bus, number, payload| {
        let (front, back) = payload.split_at(payload.len() / 3);
        bus.publish_vectored(number, &[IoSlice::new(front), IoSlice::new(&[]), IoSlice::new(back)])
    },
    |bus, number, payload| {
        let mut claim = bus.claim(payload.len())?;
        claim.copy_from_slice(payload);
        Ok(claim.commit(number, payload.len())?)
    },
    |bus, number, payload| {
        // Longer than needed.
        let mut claim = bus.try_claim(payload.len() * 2 + 1)?;
        claim[..payload.len()].copy_from_slice(payload);
        Ok(claim.commit(number, payload.len())?)
    },
    |bus, number, payload| bus.publish_batch([(number, payload)]).map(|sent| assert_eq!(sent, 1)),
    |bus, number, payload| bus.publish_later(number, payload).and_then(|()| bus.flush()),
    |bus, number, payload| {
        let mut claim = bus.claim(payload.len())?;
        claim.copy_from_slice(payload);
        claim.commit_later(number, payload.len())?;
        bus.flush()
    },
];

/// Receives one payload by one of the ways there are, and compares it.
fn receive_by_turns(bus: &mut Bus, turn: u32, payload: &[u8]) {
    let expect = |type_id: u32, bytes: &[u8]| {
        assert_eq!((type_id, bytes.len()), (turn, payload.len()));
        assert!(bytes == payload, "{} bytes came damaged", bytes.len());
    };
    match turn % 4 {
        0 => {
            let lease = bus.recv().expect("a frame");
            expect(lease.type_id(), &lease);
        }
        1 => {
            let message = bus.try_recv().expect("a frame").keep();
            expect(message.type_id(), &message);
        }
        2 => assert_eq!(bus.poll(9, |frame| expect(frame.type_id(), &frame)), Ok(1)),
        _ => {
            let batch = bus.drain(9).expect("a frame");
            assert_eq!(batch.len(), 1);
            batch.iter().for_each(|frame| expect(frame.type_id(), &frame));
        }
    }
}

#[test]
fn payloads_of_every_length_arrive_whole_by_every_call() {
    let _watchdog = watchdog_for("every length", Duration::from_secs(60));
    let pattern = pattern();
    for &trust in trusts("payloads of every length") {
        let (mut sends, mut receives) = bus_pair(&options().memory_limit(64 << 20).trust(trust), &options());
        let (mut turn, mut bytes) = (0, 0);
        for len in lengths() {
            for way in WAYS {
                let payload = &pattern[turn as usize % 251..][..len];
                way(&mut sends, turn, payload).unwrap_or_else(|cause| panic!("{len} bytes: {cause}"));
                receive_by_turns(&mut receives, turn, payload);
                (turn, bytes) = (turn + 1, bytes + len as u64);
            }
        }
        assert_eq!(receives.stats().held_blocks, 0);
        let (sent, received) = (sends.stats(), receives.stats());
        assert_eq!((sent.frames_sent, sent.bytes_sent), (u64::from(turn), bytes), "counted by the sender");
        assert_eq!((received.frames_received, received.bytes_received), (u64::from(turn), bytes), "by the receiver");
    }
}

#[test]
fn a_batch_mixes_what_goes_into_the_ring_and_what_goes_into_blocks() {
    let _watchdog = watchdog("a mixed batch");
    for &trust in trusts("a mixed batch") {
        let (mut sends, mut receives) = bus_pair(&options(), &options().trust(trust));
        let lens = [10, 5000, 0, 1025, 1024, 300_000, 48];
        let frames = lens.iter().enumerate().map(|(number, &len)| (number as u32, frames::payload(number as u64, len)));
        assert_eq!(sends.publish_batch(frames), Ok(lens.len()));
        let batch = receives.drain(100).expect("frames");
        assert_eq!(batch.len(), lens.len());
        for (number, frame) in batch.iter().enumerate() {
            assert_eq!(frame.len(), lens[number]);
            assert!(frames::is(number as u64, frame.type_id(), &frame));
        }
        drop(batch);
        assert_eq!(receives.stats().held_blocks, 0);
    }
}

/// Takes all of them, in any order.
fn shuffled(mut messages: Vec<Message>, chance: &mut Chance) -> Vec<Message> {
    for at in (1..messages.len()).rev() {
        messages.swap(at, chance.below(at + 1));
    }
    messages
}

#[test]
fn what_is_kept_stays_whole_while_others_come_and_go_and_is_dropped_anywhere() {
    let _watchdog = watchdog("kept messages");
    let mut chance = Chance::of_today();
    for &trust in trusts("kept messages") {
        let (mut sends, mut receives) = bus_pair(&options(), &options().trust(trust));
        let kept = keep_many(&mut sends, &mut receives, 200, 3000);
        let held = receives.stats();
        let expected = if trust == Trust::SameUser { (200, 600_000) } else { (0, 0) };
        assert_eq!((held.held_blocks, held.held_bytes), expected);
        let copies = kept.clone();
        drop(keep_many(&mut sends, &mut receives, 500, 5000));
        assert_whole(&kept);
        // Dropped by four threads, while the session goes on.
        let mut hands: Vec<_> = (0..4).map(|_| Vec::new()).collect();
        for message in shuffled(kept, &mut chance) {
            let hand = chance.below(4);
            hands[hand].push(message);
        }
        let threads: Vec<_> = hands.into_iter().map(|hand| thread::spawn(move || assert_whole(&hand))).collect();
        drop(keep_many(&mut sends, &mut receives, 500, 3000));
        threads.into_iter().for_each(|thread| thread.join().expect("all were whole"));
        assert_eq!(receives.stats().held_blocks, expected.0, "the copies still hold them");
        assert_whole(&copies);
        drop(copies);
        assert_eq!((receives.stats().held_blocks, receives.stats().held_bytes), (0, 0));
        await_that(|| sends.state() == State::Open && sends.stats().blocks_out == 0);
    }
}

#[test]
fn what_is_kept_outlives_both_ends_and_leaves_nothing() {
    alone("what_is_kept_outlives_both_ends_and_leaves_nothing", || {
        let _watchdog = watchdog("messages of sessions that are over");
        let mut chance = Chance::of_today();
        let before = holdings(std::process::id());
        for round in 0..10 {
            let (mut sends, mut receives) = bus_pair(&options(), &options());
            let kept = keep_many(&mut sends, &mut receives, 50, 20_000 << (round % 3));
            match round % 3 {
                0 => (drop(sends), drop(receives)).0,
                1 => (drop(receives), drop(sends)).0,
                _ => {
                    assert_eq!(sends.close(Duration::ZERO), Ok(()));
                    assert_eq!(receives.recv().err(), Some(Cause::Closed));
                }
            }
            assert_whole(&kept);
            let shuffled = shuffled(kept, &mut chance);
            thread::spawn(move || assert_whole(&shuffled)).join().expect("all were whole");
        }
        let after = holdings(std::process::id());
        assert_eq!((after.fds, after.segments, after.threads), (before.fds, before.segments, before.threads));
    });
}

#[test]
fn what_is_kept_outlives_a_killed_sender() {
    alone("what_is_kept_outlives_a_killed_sender", || {
        let _watchdog = watchdog("messages of a killed sender");
        let before = holdings(std::process::id());
        for _ in 0..5 {
            let scratch = Scratch::new();
            let address = scratch.path("bus");
            let mut listener = slipring::Listener::bind(&address, &options()).expect("a name");
            let mut peer = peer!();
            peer.tell(&format!("connect {address} within=5000"));
            let mut receives = listener.accept_bus().expect("a client");
            assert_eq!(peer.answer(), "ok");
            peer.must("send 30 100000");
            let mut kept = vec![receives.recv().expect("a frame").keep()];
            peer.kill();
            // What was committed is delivered, with regions that were announced and never looked at.
            for _ in 1..30 {
                kept.push(receives.recv().expect("committed").keep());
            }
            assert_eq!(receives.recv().err(), Some(Cause::PeerDied));
            assert_whole(&kept);
            drop(receives);
            assert_whole(&kept);
            thread::spawn(move || drop(kept)).join().expect("no panic");
        }
        let after = holdings(std::process::id());
        assert_eq!((after.fds, after.segments), (before.fds, before.segments));
    });
}

#[test]
fn a_receiver_killed_while_it_holds_costs_its_sender_the_session_and_no_memory() {
    alone("a_receiver_killed_while_it_holds_costs_its_sender_the_session_and_no_memory", || {
        let _watchdog = watchdog("a receiver that is killed with everything held");
        let before = holdings(std::process::id());
        for waits in ["park", "spin"] {
            let scratch = Scratch::new();
            let address = scratch.path("bus");
            let mut peer = peer!();
            peer.must(&format!("bind {address} memory=8388608"));
            peer.tell("accept");
            let wait = if waits == "park" { Wait::Park } else { Wait::Spin };
            let mut sends = Bus::connect(&address, &options().wait(wait)).expect("a listener");
            assert_eq!(peer.answer(), "ok");
            peer.tell("keep 8");
            let payload = frames::payload(0, MIB);
            for number in 0..8 {
                sends.publish(frames::type_id(number), &frames::payload(number, MIB)).expect("room");
            }
            assert_eq!(peer.answer(), "ok 8");
            assert_eq!(sends.try_publish(0, &payload), Err(Cause::Full));
            let killed = thread::spawn(move || {
                thread::sleep(Duration::from_millis(20));
                peer.kill();
            });
            assert_eq!(sends.publish(0, &payload), Err(Cause::PeerDied), "{waits}");
            assert_eq!(sends.try_publish(0, &payload), Err(Cause::PeerDied));
            assert_eq!(sends.claim(2 * MIB).err(), Some(Cause::PeerDied));
            killed.join().expect("no panic");
        }
        let after = holdings(std::process::id());
        assert_eq!((after.fds, after.segments), (before.fds, before.segments));
    });
}

#[test]
fn two_processes_exchange_gigabytes_of_blocks_through_little_memory() {
    let _watchdog = watchdog_for("streams of blocks", Duration::from_secs(60));
    for waits in ["park", "spin", "adaptive"] {
        for trust in trusts("streams of blocks") {
            let trust = if *trust == Trust::Untrusted { "untrusted" } else { "same-user" };
            let scratch = Scratch::new();
            let address = scratch.path("bus");
            let (mut sends, mut receives) = (peer!(), peer!());
            receives.must(&format!("bind {address} wait={waits} trust={trust} memory=1048576"));
            receives.tell("accept");
            sends.must(&format!("connect {address} wait={waits}"));
            assert_eq!(receives.answer(), "ok");
            for (count, len) in [(2000, 1025), (300, 20_000), (20, 1 << 20)] {
                receives.tell(&format!("recv {count}"));
                sends.must(&format!("send {count} {len}"));
                assert_eq!(receives.answer(), format!("ok {count}"), "{waits} {trust} {len}");
            }
            await_that(|| sends.number("stat blocks-out") <= 1);
        }
    }
}
