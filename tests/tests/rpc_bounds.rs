//! Waits of calls that could have no end, and have one.

use slipring::{Cause, Deadline, Options, RpcBus, State, Wait};
use slipring_tests::pair::{in_a_moment, rpc_pair, soon};
use slipring_tests::watchdog::{watchdog, watchdog_for};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

fn options() -> Options {
    Options::default()
}

fn pair() -> (RpcBus, RpcBus) {
    rpc_pair(&options(), &options())
}

fn is_invalid(cause: Cause) -> bool {
    matches!(cause, Cause::InvalidArgument { .. })
}

#[test]
fn the_deadline_of_a_claimed_request_travels() {
    let _watchdog = watchdog("a claim with a deadline");
    let (mut client, mut server) = pair();
    for len in [0, 40, 48, 1024, 1025, 5000] {
        let mut claim = client.claim_request_until(len, soon()).expect("room");
        assert_eq!(claim.len(), len);
        claim.fill(7);
        let failed = claim.commit(1, len + 1).expect_err("more than was claimed");
        let call = failed.claim.commit(1, len).expect("a claim that is open");
        let request = server.serve().expect("a request");
        assert_eq!(request[..], vec![7; len][..]);
        assert!(request.deadline().remaining().is_some_and(|left| left > Duration::from_secs(5)));
        request.reply(1, b"").expect("room");
        assert!(client.wait(call).is_ok());
    }
    let claim = client.claim_request_until(5, in_a_moment()).expect("room");
    let call = claim.commit(2, 5).expect("an open claim");
    thread::sleep(Duration::from_millis(30));
    assert_eq!(server.try_serve().err(), Some(Cause::Empty), "nobody is to serve it any more");
    assert_eq!(client.wait(call).expect_err("too late").cause(), Cause::Timeout);
    assert_eq!(client.stats().bytes_sent, 40 + 48 + 1024 + 1025 + 5000 + 5);
}

#[test]
fn calling_while_every_place_has_a_reply_is_an_error_and_not_a_wait_for_ever() {
    let _watchdog = watchdog("replies that nobody takes");
    let few = options().in_flight(2);
    let (mut client, mut server) = rpc_pair(&few, &few);
    let calls = [1, 2].map(|number| client.call(number, b"").expect("a place"));
    for number in [1, 2] {
        server.serve().expect("a request").reply(number, b"").expect("room");
    }
    assert!(is_invalid(client.call(3, b"").expect_err("no place")));
    assert!(is_invalid(client.claim_request(3).expect_err("no place")));
    assert_eq!(client.try_call(3, b"").err(), Some(Cause::Full));
    assert_eq!(client.wait(calls[1]).expect("a reply").type_id(), 2);
    let call = client.call(3, b"").expect("a place");
    client.cancel(calls[0]);
    assert!(client.call(4, b"").is_ok(), "a call that is given up frees its place, too");
    server.serve().expect("a request").reply(3, b"").expect("room");
    assert_eq!(client.wait(call).expect("a reply").type_id(), 3);
}

#[test]
fn a_look_for_a_reply_ends_though_the_peer_never_stops_asking() {
    let _watchdog = watchdog_for("a look beside requests", Duration::from_secs(20));
    let (mut client, mut server) = pair();
    client.on_request(|request| request.reply(0, b"").expect("room"));
    let call = client.call(1, b"").expect("a place");
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        let asks = scope.spawn(|| {
            let mut asked = 0;
            while !ends.load(Ordering::Relaxed) {
                match server.request_until(2, b"", in_a_moment()) {
                    Ok(_) => asked += 1,
                    Err(error) => assert_eq!(error.cause(), Cause::Timeout),
                }
            }
            asked
        });
        for _ in 0..10_000 {
            assert_eq!(client.try_wait(call).expect_err("no reply").cause(), Cause::Empty);
        }
        ends.store(true, Ordering::Relaxed);
        // What is in the queue is still answered.
        let _ = client.wait_until(call, in_a_moment());
        asks.join().expect("no panic");
    });
}

#[test]
fn two_ends_that_close_at_once_read_each_other_to_the_end() {
    let _watchdog = watchdog("two closes");
    for wait in [Wait::Park, Wait::Adaptive, Wait::Spin] {
        let (mut one, mut two) = rpc_pair(&options().wait(wait), &options().wait(wait));
        for number in 0..20 {
            one.note(number, b"from one").expect("a place");
            two.note(number, b"from two").expect("a place");
        }
        let other = thread::spawn(move || two.close(Duration::from_secs(10)));
        assert_eq!(one.close(Duration::from_secs(10)), Ok(()));
        // Whoever ends first may have read everything before the other could look.
        assert!(matches!(other.join().expect("no panic"), Ok(()) | Err(Cause::Closed)));
    }
}

#[test]
fn closing_waits_no_longer_than_it_was_told_for_a_peer_that_does_not_read() {
    let _watchdog = watchdog("a peer that does not read");
    let (mut client, _server) = pair();
    client.note(1, b"").expect("a place");
    assert_eq!(client.close(Duration::from_millis(20)), Err(Cause::Timeout));
}

#[test]
fn memory_that_is_idle_is_given_back_by_a_side_that_sleeps() {
    let _watchdog = watchdog("idle regions");
    let (mut client, mut server) = pair();
    let server = thread::spawn(move || {
        let ended = loop {
            match server.serve_until(soon()) {
                Ok(request) => request.reply(0, b"").expect("room"),
                Err(cause) => break cause,
            }
        };
        assert_eq!(ended, Cause::Closed);
    });
    // Two that are open at once do not fit into the first region.
    let claims = [(); 3].map(|()| client.claim_owned(3 << 20).expect("a block"));
    for claim in claims {
        let call = client.call_owned(1, claim, 3 << 20).expect("a place");
        assert!(client.wait(call).is_ok());
    }
    assert!(client.stats().regions >= 2);
    let sleeps = client.stats().parks;
    // Nobody sends anything: only a sleep that ends for this can give them back.
    assert_eq!(client.serve_until(Deadline::after(Duration::from_secs(3))).err(), Some(Cause::Timeout));
    assert_eq!(client.state(), State::Open, "which looks at what has come back");
    assert_eq!(client.stats().regions, 1, "the rest is given back, and that was confirmed");
    assert_eq!(client.stats().parks, sleeps + 1);
    drop(client);
    server.join().expect("no panic");
}
