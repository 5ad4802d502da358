//! Claims that belong to their holder: any number of them, filled on any thread, beside all other traffic.

use slipring::{Bus, Cause, Options, OwnedClaim, RpcBus, State, Wait};
use slipring_tests::chance::Chance;
use slipring_tests::frames;
use slipring_tests::pair::{bus_pair, in_a_moment, rpc_pair, soon};
use slipring_tests::proc::await_that;
use slipring_tests::watchdog::watchdog;
use std::thread;
use std::time::Duration;

const MIB: u64 = 1 << 20;

fn options() -> Options {
    Options::default()
}

fn pair() -> (Bus, Bus) {
    bus_pair(&options().memory_limit(64 * MIB), &options())
}

fn is_invalid(cause: Cause) -> bool {
    matches!(cause, Cause::InvalidArgument { .. })
}

fn fill(claim: &mut OwnedClaim, number: u64) {
    let len = claim.len();
    claim.copy_from_slice(&frames::payload(number, len));
}

fn send(bus: &mut Bus, claim: OwnedClaim, number: u64) {
    let used = claim.len();
    bus.publish_owned(frames::type_id(number), claim, used).expect("a claim is sent");
}

fn expect(bus: &mut Bus, number: u64) {
    let lease = bus.recv_until(soon()).expect("a frame");
    assert!(frames::is(number, lease.type_id(), &lease), "message {number}");
}

#[test]
fn any_number_is_filled_on_any_thread_and_sent_in_any_order_beside_other_frames() {
    let _watchdog = watchdog("many claims");
    let (mut sends, mut receives) = pair();
    let mut chance = Chance::new(3);
    let mut claims: Vec<_> = (0..100)
        .map(|number| (number, sends.claim_owned_until(100 * number as usize, soon()).expect("a block")))
        .collect();
    let halves = claims.split_off(50);
    let mut claims: Vec<_> = [claims, halves]
        .map(|mut half| {
            thread::spawn(move || {
                half.iter_mut().for_each(|(number, claim)| fill(claim, *number));
                half
            })
        })
        .into_iter()
        .flat_map(|filled| filled.join().expect("no panic"))
        .collect();
    while !claims.is_empty() {
        let (number, claim) = claims.swap_remove(chance.below(claims.len()));
        sends.publish(frames::type_id(1000 + number), &frames::payload(1000 + number, 40)).expect("room");
        send(&mut sends, claim, number);
        expect(&mut receives, 1000 + number);
        expect(&mut receives, number);
    }
    assert_eq!(sends.stats().frames_sent, 200);
}

#[test]
fn one_that_is_dropped_leaves_no_trace_and_gives_its_block_and_its_line_back() {
    let _watchdog = watchdog("dropped claims");
    let (mut sends, mut receives) = bus_pair(&options().memory_limit(4 * MIB), &options().capacity(4096));
    for round in 0..100 {
        let mut claims = Vec::new();
        // A quarter of 64 lines.
        claims.extend((0..16).map(|_| sends.try_claim_owned(5000).expect("a block")));
        assert!(is_invalid(sends.try_claim_owned(5000).expect_err("too many")));
        thread::spawn(move || drop(claims)).join().expect("no panic");
        sends.publish(round, b"next").expect("room");
        assert_eq!(receives.recv_until(soon()).expect("a frame").type_id(), round);
    }
    assert_eq!(sends.state(), State::Open, "which looks for what was dropped");
    assert_eq!((sends.stats().regions, sends.stats().blocks_out), (1, 0));
    assert_eq!(receives.try_recv().err(), Some(Cause::Empty));
}

#[test]
fn a_part_of_one_may_be_sent_and_more_than_there_is_may_not() {
    let (mut sends, mut receives) = pair();
    let mut claim = sends.claim_owned(5000).expect("a block");
    fill(&mut claim, 7);
    let failed = sends.publish_owned(1, claim, 5001).expect_err("more than was claimed");
    assert!(is_invalid(failed.cause), "{failed}");
    assert_eq!(&failed.claim[..], frames::payload(7, 5000));
    sends.publish_owned(1, failed.claim, 3).expect("less is no error");
    assert_eq!(receives.recv().expect("a frame")[..], frames::payload(7, 5000)[..3]);
    let none = sends.claim_owned(0).expect("a block");
    sends.publish_owned(2, none, 0).expect("nothing is a payload");
    assert!(receives.recv().expect("a frame").is_empty());
}

#[test]
fn one_of_another_bus_comes_back_and_can_still_be_sent_by_its_own() {
    let (mut one, mut there) = pair();
    let (mut two, _other) = pair();
    let mut claim = one.claim_owned(2000).expect("a block");
    fill(&mut claim, 1);
    let failed = two.publish_owned(0, claim, 2000).expect_err("not its own");
    assert!(is_invalid(failed.cause));
    assert!(is_invalid(there.claim_owned(2000).expect_err("a receiving end")));
    send(&mut one, failed.claim, 1);
    expect(&mut there, 1);
}

#[test]
fn sending_one_never_waits_not_even_for_a_ring_that_is_full() {
    let _watchdog = watchdog("a full ring");
    let (mut sends, mut receives) = bus_pair(&options(), &options().capacity(4096));
    let mut claims: Vec<_> = (0..5).map(|_| sends.claim_owned(3000).expect("a block")).collect();
    let mut sent = 0;
    while sends.try_publish(frames::type_id(sent), &frames::payload(sent, 100)).is_ok() {
        sent += 1;
    }
    assert!(sent > 10);
    for (number, mut claim) in (sent..).zip(claims.drain(..)) {
        fill(&mut claim, number);
        send(&mut sends, claim, number);
    }
    assert_eq!(sends.try_publish(0, b"").err(), Some(Cause::Full));
    (0..sent + 5).for_each(|number| expect(&mut receives, number));
}

#[test]
fn dropping_one_on_another_thread_wakes_who_waits_for_its_block_or_its_line() {
    let _watchdog = watchdog("a waiting claim");
    for wait in [Wait::Park, Wait::Adaptive] {
        // One region of 4 MiB, and all of it in claims.
        let (mut sends, _receives) = bus_pair(&options().memory_limit(4 * MIB).wait(wait), &options());
        let claims: Vec<_> = (0..4).map(|_| sends.claim_owned(MIB as usize).expect("a block")).collect();
        assert_eq!(sends.try_claim_owned(MIB as usize).err(), Some(Cause::Full));
        assert_eq!(sends.claim_until(MIB as usize, in_a_moment()).err(), Some(Cause::Timeout));
        let drops = thread::spawn(move || {
            thread::sleep(Duration::from_millis(30));
            drop(claims);
        });
        drop(sends.claim_until(MIB as usize, soon()).expect("a block"));
        drops.join().expect("no panic");

        let (mut sends, _receives) = bus_pair(&options().wait(wait), &options().capacity(4096));
        let claims: Vec<_> = (0..3).map(|_| sends.claim_owned(2000).expect("a block")).collect();
        while sends.try_publish(0, &[1; 40]).is_ok() {}
        let drops = thread::spawn(move || {
            thread::sleep(Duration::from_millis(30));
            drop(claims);
        });
        sends.publish_until(0, &[1; 40], soon()).expect("a line that was kept");
        drops.join().expect("no panic");
    }
}

#[test]
fn one_outlives_the_bus_and_the_peer() {
    let (mut sends, receives) = pair();
    let mut early = sends.claim_owned(2000).expect("a block");
    let mut late = sends.claim_owned(2000).expect("a block");
    drop(receives);
    await_that(|| sends.state() == State::Closed);
    fill(&mut early, 1);
    let failed = sends.publish_owned(1, early, 2000).expect_err("nobody is there");
    assert_eq!(failed.cause, Cause::Closed);
    drop(sends);
    fill(&mut late, 2);
    assert_eq!((&late[..], &failed.claim[..]), (&frames::payload(2, 2000)[..], &frames::payload(1, 2000)[..]));
}

#[test]
fn what_was_sent_and_kept_is_not_used_again_before_it_is_let_go() {
    let _watchdog = watchdog("kept claims");
    let (mut sends, mut receives) = bus_pair(&options().memory_limit(MIB), &options());
    // All the memory there is, several times over: what comes back too soon would be written over.
    let kept: Vec<_> = (0..8)
        .map(|number| {
            let mut claim = sends.claim_owned_until(64 << 10, soon()).expect("a block");
            fill(&mut claim, number);
            let (shown, used) = (claim.as_ptr().addr(), claim.len());
            let sent = sends.publish_kept(frames::type_id(number), claim, used).expect("a claim is sent");
            expect(&mut receives, number);
            (shown, sent)
        })
        .collect();
    assert_eq!(sends.stats().blocks_out, 8);
    for number in 8..108 {
        let claim = sends.claim_owned_until(64 << 10, soon()).expect("a block");
        assert!(kept.iter().all(|(shown, _)| *shown != claim.as_ptr().addr()), "a kept block was used again");
        let mut claim = claim;
        fill(&mut claim, number);
        send(&mut sends, claim, number);
        expect(&mut receives, number);
    }
    // Let go on another thread, before the peer gives the last one back and after it gave back the others.
    let mut last = sends.claim_owned_until(64 << 10, soon()).expect("a block");
    fill(&mut last, 200);
    let used = last.len();
    let last = sends.publish_kept(frames::type_id(200), last, used).expect("a claim is sent");
    thread::spawn(move || drop((kept, last))).join().expect("no panic");
    expect(&mut receives, 200);
    drop(receives.try_recv());
    // All of the memory is to be had again.
    let claims: Vec<_> = (0..14).map(|_| sends.claim_owned_until(64 << 10, soon()).expect("a block")).collect();
    assert_eq!(claims.len(), 14);
}

#[test]
fn what_is_kept_outlives_the_bus() {
    let _watchdog = watchdog("a kept claim and no bus");
    let (mut sends, receives) = pair();
    let claim = sends.claim_owned_until(5000, soon()).expect("a block");
    let sent = sends.publish_kept(1, claim, 10).expect("a claim is sent");
    drop((sends, receives));
    drop(sent);
}

#[test]
fn a_request_and_its_reply_may_be_kept() {
    let _watchdog = watchdog("kept calls");
    let (mut calls, mut serves) = rpc();
    let claim = calls.claim_owned_until(5000, soon()).expect("a block");
    let (call, request) = calls.call_kept(1, claim, 5000, soon(), soon()).expect("a request is sent");
    let id = serves.serve_until(soon()).expect("a request").id();
    let claim = serves.claim_owned_until(5000, soon()).expect("a block");
    let reply = serves.reply_kept(id, 2, claim, 5000).expect("a reply is sent");
    assert_eq!(calls.wait_until(call, soon()).expect("a reply").len(), 5000);
    drop((request, reply));
    assert_eq!(calls.in_flight(), 0);
}

fn rpc() -> (RpcBus, RpcBus) {
    rpc_pair(&options(), &options())
}

#[test]
fn requests_and_replies_are_sent_out_of_claims() {
    let _watchdog = watchdog("calls out of claims");
    let (mut client, mut server) = rpc();
    for len in [0, 40, 5000, MIB as usize] {
        let mut request = client.claim_owned(len).expect("a block");
        fill(&mut request, 5);
        // A call in between.
        let other = client.call(9, b"between").expect("a place");
        let call = client.call_owned_until(5, request, len, soon()).expect("a place");
        let mut reply = server.claim_owned(len + 1).expect("a block");
        fill(&mut reply, 6);
        server.serve().expect("the one between").reply(9, b"").expect("room");
        let served = server.serve().expect("a request");
        assert!(served.deadline().remaining().is_some_and(|left| left > Duration::from_secs(5)), "it travels");
        assert_eq!((served.type_id(), &served[..]), (5, &frames::payload(5, len)[..]));
        let id = served.id();
        drop(served);
        let failed = server.reply_owned(id + 1, 6, reply, len + 1).expect_err("no such request");
        assert!(is_invalid(failed.cause));
        server.reply_owned(id, 6, failed.claim, len + 1).expect("an open request");
        assert_eq!(client.wait(other).expect("a reply").type_id(), 9);
        assert_eq!(client.wait(call).expect("a reply")[..], frames::payload(6, len + 1)[..]);
    }
    assert_eq!((client.stats().held_blocks, server.stats().held_blocks), (0, 0));
}

#[test]
fn a_call_without_a_place_gives_its_claim_back() {
    let _watchdog = watchdog("no place");
    let few = options().in_flight(1);
    let (mut client, mut server) = rpc_pair(&few, &few);
    let first = client.call(1, b"").expect("a place");
    let mut claim = client.claim_owned(2000).expect("a block");
    fill(&mut claim, 3);
    let failed = client.try_call_owned(2, claim, 2000).expect_err("no place");
    assert_eq!(failed.cause, Cause::Full);
    let failed = client.call_owned_until(2, failed.claim, 2000, in_a_moment()).expect_err("no place");
    assert_eq!(failed.cause, Cause::Timeout);
    server.serve().expect("a request").reply(1, b"").expect("room");
    assert_eq!(client.wait(first).expect("a reply").type_id(), 1);
    let call = client.call_owned(2, failed.claim, 2000).expect("a place");
    let request = server.serve().expect("a request");
    assert_eq!(request[..], frames::payload(3, 2000)[..]);
    request.reply(2, b"").expect("room");
    assert!(client.wait(call).is_ok());
}

#[test]
fn open_claims_leave_room_for_replies() {
    let _watchdog = watchdog("replies beside claims");
    let small = options().capacity(8192).capacity_reverse(8192).in_flight(4);
    let (mut client, mut server) = rpc_pair(&small, &small);
    let mut claims = Vec::new();
    let ended = loop {
        match server.try_claim_owned(2000) {
            Ok(claim) => claims.push(claim),
            Err(cause) => break cause,
        }
    };
    assert!(!claims.is_empty() && (is_invalid(ended) || ended == Cause::Full), "{ended}");
    let calls: Vec<_> = (0..4).map(|number| client.call(number, b"").expect("a place")).collect();
    for number in 0..4 {
        let request = server.serve().expect("a request");
        request.reply(number, &[7; 900]).expect("replies have room");
    }
    for (number, call) in (0..).zip(calls) {
        assert_eq!(client.wait(call).expect("a reply").type_id(), number);
    }
}
