//! Waits that are cut into pieces, for callers that have to do something else in between.

use slipring::{Cause, Deadline, Options, RpcBus, SharedBuffer, Wait};
use slipring_tests::pair::{bus_pair, in_a_moment, rpc_pair, soon};
use slipring_tests::watchdog::watchdog;

fn pair() -> (RpcBus, RpcBus) {
    rpc_pair(&Options::default().in_flight(1), &Options::default())
}

#[test]
fn a_call_waits_for_its_place_in_pieces_and_its_own_deadline_travels() {
    let _watchdog = watchdog("a call in pieces");
    let (mut calls, mut serves) = pair();
    let first = calls.call_within(1, b"first", soon(), Deadline::NOW).expect("a place");
    assert_eq!(calls.call_within(1, b"second", soon(), Deadline::NOW).err(), Some(Cause::Timeout));
    assert_eq!(calls.call_within(1, b"second", soon(), in_a_moment()).err(), Some(Cause::Timeout));
    assert_eq!(calls.in_flight(), 1);
    let request = serves.serve_until(soon()).expect("a request");
    let left = request.deadline().remaining().expect("the call's deadline travelled");
    assert!(!left.is_zero());
    request.reply(2, b"done").expect("the caller is there");
    drop(calls.wait_until(first, soon()).expect("a reply"));
    // Without a deadline none travels, however long the piece is.
    calls.call_within(1, b"third", Deadline::NEVER, in_a_moment()).expect("a place");
    assert_eq!(serves.serve_until(soon()).expect("a request").deadline(), Deadline::NEVER);
}

#[test]
fn a_wait_for_either_ends_with_the_reply_or_with_a_request() {
    let _watchdog = watchdog("either");
    let (mut calls, mut serves) = rpc_pair(&Options::default().serves(true), &Options::default());
    let call = calls.call(1, b"").expect("a place");
    assert_eq!(calls.await_either_until(call, in_a_moment()), Err(Cause::Timeout));
    serves.call(5, b"back").expect("a place");
    calls.await_either_until(call, soon()).expect("a request");
    let id = calls.try_serve().expect("a request").id();
    calls.reply(id, 5, b"").expect("the caller is there");
    let id = serves.serve_until(soon()).expect("a request").id();
    serves.reply(id, 1, b"forth").expect("the caller is there");
    calls.await_either_until(call, soon()).expect("a reply");
    assert_eq!(&calls.try_wait(call).expect("a reply")[..], b"forth");
    assert!(matches!(calls.await_either_until(call, soon()), Err(Cause::InvalidArgument { .. })));
    let call = calls.call(1, b"").expect("a place");
    drop(serves);
    assert_eq!(calls.await_either_until(call, soon()), Err(Cause::Closed));
}

#[test]
fn a_strategy_can_be_changed_while_the_session_stands() {
    let _watchdog = watchdog("another strategy");
    let (mut calls, mut serves) = pair();
    for wait in [Wait::Spin, Wait::Park, Wait::Adaptive] {
        calls.set_wait(wait);
        serves.set_wait(wait);
        let call = calls.call(1, b"").expect("a place");
        let id = serves.serve_until(soon()).expect("a request").id();
        serves.reply(id, 1, b"").expect("the caller is there");
        drop(calls.wait_until(call, soon()).expect("a reply"));
    }
}

#[test]
fn a_long_reply_waits_for_memory_in_pieces_and_stays_open_between_them() {
    let _watchdog = watchdog("a reply in pieces");
    let limit = || Options::default().memory_limit(1 << 20);
    let (mut calls, mut serves) = rpc_pair(&limit(), &limit());
    let long = vec![7; 700_000];
    let shared = SharedBuffer::from_slice(b"with it").expect("memory");
    let mut held = Vec::new();
    for round in 0..2 {
        let call = calls.call(1, b"").expect("a place");
        let id = serves.serve_until(soon()).expect("a request").id();
        let mut reply = |until| match round {
            0 => serves.reply_within(id, 1, &long, soon(), until),
            _ => serves.reply_shared_within(id, 1, &long, &[&shared], soon(), until),
        };
        if !held.is_empty() {
            assert_eq!(reply(in_a_moment()), Err(Cause::Timeout));
            assert_eq!(reply(in_a_moment()), Err(Cause::Timeout));
            held.clear();
        }
        // The piece may pass before the peer's giving back is seen.
        while reply(in_a_moment()).is_err_and(|cause| cause == Cause::Timeout) {}
        held.push(calls.wait_until(call, soon()).expect("a reply").keep());
        assert_eq!(held[0].len(), long.len());
        assert!(matches!(serves.reply(id, 1, b""), Err(Cause::InvalidArgument { .. })), "the request was answered");
    }
    // The deadline itself ends the reply.
    let call = calls.call(1, b"").expect("a place");
    let id = serves.serve_until(soon()).expect("a request").id();
    assert_eq!(serves.reply_within(id, 1, &long, in_a_moment(), soon()), Err(Cause::OutOfMemory));
    assert_eq!(calls.wait_until(call, soon()).expect_err("no memory").cause(), Cause::OutOfMemory);
}

#[test]
fn a_call_with_objects_waits_for_its_place_in_pieces_and_its_own_deadline_travels() {
    let _watchdog = watchdog("a call with objects in pieces");
    let (mut calls, mut serves) = pair();
    let shared = SharedBuffer::from_slice(b"with it").expect("memory");
    let first = calls.call_shared_within(1, b"first", &[&shared], soon(), in_a_moment()).expect("a place");
    let again = calls.call_shared_within(1, b"second", &[&shared], soon(), in_a_moment());
    assert_eq!(again.err(), Some(Cause::Timeout));
    assert_eq!(calls.try_call_within(1, b"second", soon()).err(), Some(Cause::Full));
    let request = serves.serve_until(soon()).expect("a request");
    assert!(request.deadline().remaining().is_some_and(|left| !left.is_zero()), "the call's deadline travelled");
    request.reply(2, b"done").expect("the caller is there");
    drop(calls.wait_until(first, soon()).expect("a reply"));
    calls.try_call_within(1, b"third", soon()).expect("a place");
    let request = serves.serve_until(soon()).expect("a request");
    assert!(request.deadline().remaining().is_some(), "the deadline of a call that did not wait travelled");
}

#[test]
fn lingering_is_done_in_pieces_and_leaves_the_session_open() {
    let _watchdog = watchdog("lingering in pieces");
    let (mut sends, mut receives) = bus_pair(&Options::default(), &Options::default());
    sends.publish(1, b"unread").expect("room");
    assert_eq!(sends.linger_until(in_a_moment()), Err(Cause::Timeout));
    assert_eq!(sends.linger_until(Deadline::NOW), Err(Cause::Timeout));
    drop(receives.recv_until(soon()).expect("a frame"));
    assert_eq!(receives.try_recv().err(), Some(Cause::Empty));
    sends.linger_until(soon()).expect("all was read");
    sends.publish(1, b"goes on").expect("room");
    let (mut calls, mut serves) = pair();
    let call = calls.call(1, b"unread").expect("a place");
    assert_eq!(calls.linger_until(in_a_moment()), Err(Cause::Timeout));
    let id = serves.serve_until(soon()).expect("a request").id();
    serves.reply(id, 1, b"").expect("the caller is there");
    assert_eq!(serves.try_serve().err(), Some(Cause::Empty));
    calls.linger_until(soon()).expect("all was read");
    drop(calls.wait_until(call, soon()).expect("a reply"));
}
