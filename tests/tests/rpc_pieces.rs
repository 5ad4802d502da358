//! Waits that are cut into pieces, for callers that have to do something else in between.

use slipring::{Cause, Deadline, Options, RpcBus, Wait};
use slipring_tests::pair::{in_a_moment, rpc_pair, soon};
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
