//! What a user can ask for wrongly, and every size and place that is right: two processes, and nothing is lost.

use slipring::{Bus, Cause, Deadline, Error, Listener, Options};
use slipring_tests::peer::Peer;
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::{watchdog, watchdog_for};
use slipring_tests::{frames, peer, peer_program};
use std::collections::BTreeMap;
use std::io::IoSlice;
use std::mem::ManuallyDrop;
use std::process::Command;
use std::time::Duration;

/// A bus to send on, with a ring of `capacity` bytes, and the process that receives.
fn sender(scratch: &Scratch, capacity: u64, options: &Options) -> (Bus, Peer) {
    let mut peer = peer!();
    let address = scratch.path("bus");
    peer.must(&format!("bind {address} capacity={capacity}"));
    peer.tell("accept");
    let bus = Bus::connect(&address, options).expect("a session");
    assert_eq!(peer.answer(), "ok");
    (bus, peer)
}

/// A bus to receive from, and the process that sends.
fn receiver(scratch: &Scratch, options: &Options) -> (Bus, Peer) {
    let mut peer = peer!();
    let address = scratch.path("bus");
    let mut listener = Listener::bind(&address, options).expect("a name");
    peer.tell(&format!("connect {address}"));
    let bus = listener.accept_bus().expect("a session");
    assert_eq!(peer.answer(), "ok");
    (bus, peer)
}

/// What the sending end tries, so that each form of each call is asked the same.
fn every_way_to_send(bus: &mut Bus, payload: &[u8]) -> Vec<Result<(), Cause>> {
    let later = Deadline::after(Duration::from_millis(1));
    let (front, back) = payload.split_at(payload.len() / 2);
    let parts = [IoSlice::new(front), IoSlice::new(back)];
    vec![
        bus.publish(0, payload),
        bus.try_publish(0, payload),
        bus.publish_until(0, payload, later),
        bus.publish_vectored(0, &parts),
        bus.try_publish_vectored(0, &parts),
        bus.publish_vectored_until(0, &parts, later),
        bus.publish_later(0, payload),
        bus.try_publish_later(0, payload),
        bus.publish_later_until(0, payload, later),
        bus.publish_batch([(0, payload)]).map(|_| ()),
        bus.try_publish_batch([(0, payload)]).map(|_| ()),
        bus.publish_batch_until([(0, payload)], later).map(|_| ()),
        bus.claim(payload.len()).map(|_| ()),
        bus.try_claim(payload.len()).map(|_| ()),
        bus.claim_until(payload.len(), later).map(|_| ()),
    ]
}

#[test]
fn a_payload_over_the_limit_is_too_large_in_every_form_and_costs_only_itself() {
    let _watchdog = watchdog("payloads over the limit");
    // The ring's own limit (half of it, less the header), the user's, and the default one.
    for (capacity, options, max) in [
        (256, Options::default(), 128 - 16),
        (1 << 20, Options::default().inline_limit(100), 100),
        (1 << 20, Options::default(), 1024),
        (1 << 16, Options::default().inline_limit(usize::MAX), (1 << 15) - 16),
    ] {
        let scratch = Scratch::new();
        // Without memory for blocks the ring is all there is.
        let (mut bus, mut peer) = sender(&scratch, capacity, &options.memory_limit(0));
        assert_eq!(bus.payload_max(), max as u64);
        for len in [max + 1, 2 * max + 1, 1 << 27] {
            let cause = Cause::TooLarge { len: len as u64, max: max as u64 };
            for answer in every_way_to_send(&mut bus, &vec![0; len]) {
                assert_eq!(answer, Err(cause));
            }
            let text = cause.to_string();
            assert!(text.contains(&len.to_string()) && text.contains(&max.to_string()), "{text}");
        }
        assert_eq!(
            bus.claim(usize::MAX).expect_err("more than there is"),
            Cause::TooLarge { len: u64::MAX, max: max as u64 }
        );
        bus.publish(0, &frames::payload(0, max)).expect("exactly the limit");
        peer.must("recv 1");
        bus.close(Duration::ZERO).expect("open");
        assert_eq!(peer.ask("recv 1"), "err 0 Closed", "nothing else was sent");
    }
}

#[test]
fn a_batch_stops_at_what_is_too_large_and_says_how_many_went_out() {
    let _watchdog = watchdog("a batch with a payload over the limit");
    let scratch = Scratch::new();
    let (mut bus, mut peer) = sender(&scratch, 1 << 12, &Options::default().memory_limit(0));
    let frame = |number| (frames::type_id(number), frames::payload(number, if number == 7 { 5000 } else { 9 }));
    assert_eq!(bus.publish_batch((0..20).map(frame)), Ok(7));
    peer.must("recv 7");
    assert_eq!(bus.publish_batch([frame(7)]), Err(Cause::TooLarge { len: 5000, max: 1024 }));
    bus.close(Duration::ZERO).expect("open");
    assert_eq!(peer.ask("recv 1"), "err 0 Closed");
}

#[test]
fn a_batch_may_be_larger_than_the_ring() {
    let _watchdog = watchdog("a large batch");
    let scratch = Scratch::new();
    let (mut bus, mut peer) = sender(&scratch, 256, &Options::default());
    peer.tell("recv 10000");
    let frame = |number| (frames::type_id(number), frames::payload(number, number as usize % 113));
    assert_eq!(bus.publish_batch((0..10_000).map(frame)), Ok(10_000));
    assert_eq!(peer.answer(), "ok 10000");
    // Without a reader only what fits goes out.
    let sent = bus.try_publish_batch((10_000..20_000).map(frame)).expect("the ring is empty");
    assert!((1..=3).contains(&sent), "{sent}");
    assert_eq!(bus.try_publish_batch((10_000 + sent as u64..20_000).map(frame)), Err(Cause::Full));
    peer.must(&format!("recv {sent}"));
}

#[test]
fn a_commit_longer_than_the_claim_gives_the_claim_back() {
    let _watchdog = watchdog("a commit longer than its claim");
    let scratch = Scratch::new();
    let (mut bus, mut peer) = sender(&scratch, 256, &Options::default());
    for number in 0..100 {
        let len = number as usize % 60;
        let mut claim = bus.claim(len).expect("room");
        frames::fill(number, &mut claim);
        for used in [len + 1, usize::MAX] {
            let error = claim.commit(frames::type_id(number), used).expect_err("too long");
            assert!(matches!(error.cause, Cause::InvalidArgument { .. }), "{error}");
            claim = error.claim;
        }
        let error = claim.commit_later(frames::type_id(number), len + 1).expect_err("too long");
        assert!(frames::is(number, frames::type_id(number), &error.claim), "what was written is still there");
        error.claim.commit(frames::type_id(number), len).expect("as long as it is");
        peer.must("recv 1");
    }
}

#[test]
fn claims_that_are_dropped_aborted_or_leaked_leave_no_trace_wherever_they_stand() {
    let _watchdog = watchdog("claims that come to nothing");
    for capacity in [256, 512, 4096] {
        let scratch = Scratch::new();
        let (mut bus, mut peer) = sender(&scratch, capacity, &Options::default());
        let max = bus.inline_limit();
        peer.tell("recv 2000");
        for number in 0..2000 {
            // Lengths that go through all places of the ring, so that given-up claims stand before, at and behind its end.
            for (way, step) in [7, 31, 101].into_iter().enumerate() {
                let mut claim = bus.claim((number as usize * step) % (max + 1)).expect("room comes");
                claim.fill(0xff);
                match way {
                    0 => drop(claim),
                    1 => claim.abort(),
                    _ => {
                        let _leaked = ManuallyDrop::new(claim);
                    }
                }
            }
            let len = (number as usize * 13) % (max + 1);
            let mut claim = bus.claim(max).expect("room comes");
            frames::fill(number, &mut claim[..len]);
            claim.commit(frames::type_id(number), len).expect("a part of what was claimed");
        }
        assert_eq!(peer.answer(), "ok 2000");
        bus.close(Duration::ZERO).expect("open");
        assert_eq!(peer.ask("recv 1"), "err 0 Closed");
    }
}

#[test]
fn leases_and_batches_that_are_leaked_cost_no_frame() {
    let _watchdog = watchdog("leaked leases");
    let scratch = Scratch::new();
    let (mut bus, mut peer) = receiver(&scratch, &Options::default().capacity(256));
    peer.tell("send 3000 20");
    for number in (0..3000).step_by(3) {
        let lease = bus.recv().expect("a frame");
        assert!(frames::is(number, lease.type_id(), &lease));
        std::mem::forget(lease);
        let batch = bus.drain(1).expect("a frame");
        assert!(batch.iter().all(|frame| frames::is(number + 1, frame.type_id(), &frame)));
        std::mem::forget(batch);
        let polled = bus.poll(1, |frame| assert!(frames::is(number + 2, frame.type_id(), &frame)));
        assert_eq!(polled, Ok(1));
    }
    assert_eq!(peer.answer(), "ok 3000");
}

#[test]
fn a_handler_that_panics_has_consumed_its_frame_and_no_other() {
    let _watchdog = watchdog("a panicking handler");
    let scratch = Scratch::new();
    let (mut bus, mut peer) = receiver(&scratch, &Options::default().capacity(256));
    peer.tell("send 300 20");
    for number in 0..300 {
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            bus.poll(5, |frame| {
                assert!(frames::is(number, frame.type_id(), &frame));
                std::panic::resume_unwind(Box::new(()));
            })
        }));
        assert!(polled.is_err());
    }
    assert_eq!(peer.answer(), "ok 300");
}

#[test]
fn the_wrong_end_and_a_limit_of_zero_are_invalid_arguments() {
    let _watchdog = watchdog("the wrong end");
    let invalid =
        |answer: Result<(), Cause>| assert!(matches!(answer, Err(Cause::InvalidArgument { .. })), "{answer:?}");
    let scratch = Scratch::new();
    let (mut bus, mut peer) = receiver(&scratch, &Options::default());
    for answer in every_way_to_send(&mut bus, b"x") {
        invalid(answer);
    }
    invalid(bus.poll(0, |_| ()).map(|_| ()));
    invalid(bus.try_drain(0).map(|_| ()));
    peer.tell("send 1 10");
    assert_eq!(bus.recv().expect("nothing is broken").len(), 10);
    assert_eq!(peer.answer(), "ok 1");

    let scratch = Scratch::new();
    let (mut bus, mut peer) = sender(&scratch, 256, &Options::default());
    invalid(bus.recv().map(|_| ()));
    invalid(bus.try_recv().map(|_| ()));
    invalid(bus.recv_until(Deadline::NOW).map(|_| ()));
    invalid(bus.poll(1, |_| ()).map(|_| ()));
    invalid(bus.try_poll(1, |_| ()).map(|_| ()));
    invalid(bus.drain(1).map(|_| ()));
    invalid(bus.try_drain(1).map(|_| ()));
    bus.publish(0, &frames::payload(0, 10)).expect("nothing is broken");
    peer.must("recv 1");
}

/// Bytes of the frame that carries `len` bytes: a header of 16, in whole lines of 64.
fn frame_bytes(len: usize) -> u64 {
    (len as u64 + 16).next_multiple_of(64)
}

/// Publishes a frame of each length of `sizes` at each of `offsets` of the ring. How many frames that took: where nothing is
/// left to be done, one of a line goes on.
fn publish_everywhere(bus: &mut Bus, capacity: u64, offsets: &[u64], sizes: &[usize]) -> u64 {
    let mut due: BTreeMap<u64, Vec<usize>> = offsets.iter().map(|&offset| (offset, sizes.to_vec())).collect();
    let (mut tail, mut number) = (0_u64, 0);
    while due.values().any(|sizes| !sizes.is_empty()) {
        let len = due.get_mut(&(tail % capacity)).and_then(Vec::pop).unwrap_or(0);
        let mut claim = bus.claim(len).expect("room comes");
        frames::fill(number, &mut claim);
        claim.commit(frames::type_id(number), len).expect("open");
        number += 1;
        let to_end = capacity - tail % capacity;
        tail += frame_bytes(len) + if frame_bytes(len) > to_end { to_end } else { 0 };
    }
    number
}

#[test]
fn every_frame_size_arrives_from_every_offset_of_the_small_rings() {
    let _watchdog = watchdog_for("every size at every offset", Duration::from_secs(60));
    for capacity in [256_u64, 512, 1024] {
        let scratch = Scratch::new();
        let (mut bus, mut peer) = sender(&scratch, capacity, &Options::default());
        let max = bus.inline_limit();
        assert_eq!(max as u64, capacity / 2 - 16);
        peer.tell("recv 1000000");
        let offsets: Vec<u64> = (0..capacity).step_by(64).collect();
        let sizes: Vec<usize> = (0..=max).collect();
        let sent = publish_everywhere(&mut bus, capacity, &offsets, &sizes);
        bus.close(Duration::from_secs(10)).expect("all is read");
        assert_eq!(peer.answer(), format!("err {sent} Closed"));
    }
}

#[test]
fn large_rings_carry_the_sizes_around_each_line_and_around_their_limit_across_the_end() {
    let _watchdog = watchdog_for("large rings", Duration::from_secs(60));
    for capacity in [2048_u64, 1 << 14, 1 << 16, 1 << 20] {
        let scratch = Scratch::new();
        let limit = Options::default().inline_limit(usize::MAX);
        let (mut bus, mut peer) = sender(&scratch, capacity, &limit);
        let max = bus.inline_limit();
        peer.tell("recv 1000000");
        let edges = [0, 1, 47, 48, 49, 111, 112, 113, max / 2, max - 64, max - 1, max];
        let sizes: Vec<usize> = edges.into_iter().filter(|&size| size <= max).collect();
        // At the start, and at the last places before the end: the frame fits exactly, or a pad of each length stands.
        let offsets: Vec<u64> = [0, 64].into_iter().chain((1..=3).rev().map(|lines| capacity - 64 * lines)).collect();
        let sent = publish_everywhere(&mut bus, capacity, &offsets, &sizes);
        bus.close(Duration::from_secs(20)).expect("all is read");
        assert_eq!(peer.answer(), format!("err {sent} Closed"));
    }
}

#[test]
fn every_ring_size_up_to_a_large_one_carries_more_than_itself() {
    let _watchdog = watchdog("every ring size");
    for bits in 8..=24 {
        let capacity = 1_u64 << bits;
        let scratch = Scratch::new();
        let (mut bus, mut peer) = sender(&scratch, capacity, &Options::default().inline_limit(1 << 16));
        let len = bus.inline_limit();
        let count = capacity / frame_bytes(len) + 3;
        peer.tell(&format!("recv {count}"));
        for number in 0..count {
            bus.publish(frames::type_id(number), &frames::payload(number, len)).expect("room comes");
        }
        assert_eq!(peer.answer(), format!("ok {count}"));
    }
}

#[test]
fn a_full_ring_with_a_slow_reader_loses_nothing() {
    let _watchdog = watchdog("a slow reader");
    let scratch = Scratch::new();
    let (mut bus, mut peer) = sender(&scratch, 256, &Options::default());
    let mut number = 0;
    let mut send = |bus: &mut Bus, deadline| {
        let answer = match deadline {
            None => bus.try_publish(frames::type_id(number), &frames::payload(number, 30)),
            Some(deadline) => bus.publish_until(frames::type_id(number), &frames::payload(number, 30), deadline),
        };
        number += u64::from(answer.is_ok());
        answer
    };
    // Three lines of the four: one stays free.
    assert_eq!([(); 4].map(|()| send(&mut bus, None)), [Ok(()), Ok(()), Ok(()), Err(Cause::Full)]);
    assert_eq!(send(&mut bus, Some(Deadline::NOW)), Err(Cause::Timeout));
    assert_eq!(send(&mut bus, Some(Deadline::after(Duration::from_millis(5)))), Err(Cause::Timeout));
    peer.tell("slow 500 300");
    for _ in 0..200 {
        assert_eq!(send(&mut bus, Some(Deadline::NEVER)), Ok(()));
    }
    let mut sent = 203;
    while sent < 500 {
        match send(&mut bus, None) {
            Ok(()) => sent += 1,
            Err(cause) => assert_eq!(cause, Cause::Full),
        }
    }
    assert_eq!(peer.answer(), "ok 500");
    assert!(bus.stats().waits_for_room > 0);
}

#[test]
fn options_that_can_never_be_right_are_invalid_arguments_at_either_end() {
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    let bad =
        [0, 1, 128, 255, 257, 300, (1 << 30) + 1, 1 << 31, usize::MAX].map(|bytes| Options::default().capacity(bytes));
    for options in bad.into_iter().chain([Options::default().pending_limit(0)]) {
        let causes = [
            Listener::bind(&address, &options).map(|_| ()),
            Bus::listen(&address, &options).map(|_| ()),
            Bus::connect(&address, &options).map(|_| ()),
        ];
        for cause in causes.map(|answer| answer.expect_err("a bad option").cause()) {
            assert!(matches!(cause, Cause::InvalidArgument { .. }), "{cause:?}");
        }
    }
    assert_eq!(std::fs::read_dir(scratch.dir()).expect("our directory").count(), 0, "nothing was made");
}

#[test]
fn a_bad_word_in_the_environment_is_a_config_error_and_an_option_overrules_it() {
    let _watchdog = watchdog("a bad environment");
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    for (variable, value, overruled) in [
        ("SLIPRING_WAIT", "nap", "wait=park"),
        ("SLIPRING_WAIT", "", "wait=spin"),
        ("SLIPRING_TRUST", "everybody", "trust=same-user"),
        ("SLIPRING_TRUST", "Untrusted", "trust=untrusted"),
        ("SLIPRING_BACKEND", "shm", "backend=posix"),
        ("SLIPRING_SPILL_DIR", "/missing/directory", "spill=/tmp"),
    ] {
        // The run's own backend goes with no distrust.
        let mut peer = Peer::start(Command::new(peer_program!()).env_remove("SLIPRING_BACKEND").env(variable, value));
        for order in ["bind", "listen", "connect"] {
            assert_eq!(peer.ask(&format!("{order} {address}")), "err 0 Config", "{variable}={value}");
        }
        peer.must(&format!("bind {address} {overruled}"));
    }
    for (variable, value) in [
        ("SLIPRING_WAIT", "spin"),
        ("SLIPRING_WAIT", "park"),
        ("SLIPRING_TRUST", "untrusted"),
        ("SLIPRING_BACKEND", "memfd"),
        ("SLIPRING_BACKEND", "posix"),
        ("SLIPRING_SPILL_DIR", "/tmp"),
    ] {
        let mut peer = Peer::start(Command::new(peer_program!()).env_remove("SLIPRING_BACKEND").env(variable, value));
        peer.must(&format!("bind {address}"));
    }
}

#[test]
fn a_deadline_that_has_passed_still_takes_what_is_there() -> Result<(), Error> {
    let _watchdog = watchdog("deadlines that have passed");
    let scratch = Scratch::new();
    let (mut bus, mut peer) = receiver(&scratch, &Options::default());
    assert_eq!(bus.recv_until(Deadline::NOW).err(), Some(Cause::Timeout));
    assert_eq!(bus.try_recv().err(), Some(Cause::Empty));
    assert_eq!(bus.poll_until(9, Deadline::NOW, |_| ()), Err(Cause::Timeout));
    peer.must("send 3 10");
    assert!(frames::is(0, 0, &bus.recv_until(Deadline::NOW)?));
    assert_eq!(bus.poll_until(1, Deadline::NOW, |_| ()), Ok(1));
    assert_eq!(bus.drain_until(9, Deadline::NOW)?.len(), 1);
    Ok(())
}
