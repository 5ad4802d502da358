//! Leases, claims, requests and replies that are set aside: as those that another language holds.

use slipring::{Bus, CallId, Cause, Options, RpcBus};
use slipring_tests::pair::{bus_pair, rpc_pair, soon};
use slipring_tests::watchdog::watchdog;
use std::time::Duration;

const LONG: usize = 100_000;

/// A call that receives: how much came.
type Receive = fn(&mut Bus) -> Result<usize, Cause>;

fn buses() -> (Bus, Bus) {
    bus_pair(&Options::default(), &Options::default())
}

fn calls() -> (RpcBus, RpcBus) {
    rpc_pair(&Options::default(), &Options::default())
}

fn is_invalid<T: std::fmt::Debug>(answer: Result<T, Cause>) -> bool {
    matches!(answer, Err(Cause::InvalidArgument { .. }))
}

#[test]
fn a_lease_that_is_set_aside_stays_where_it_is_until_it_is_taken_up_and_dropped() {
    let _watchdog = watchdog("leases set aside");
    let (mut sends, mut receives) = buses();
    for len in [5, LONG] {
        sends.publish_until(7, &vec![9; len], soon()).expect("room");
        let lease = receives.recv_until(soon()).expect("a frame");
        let place = lease.as_ptr();
        let ticket = lease.set_aside();
        let lease = receives.take_up_lease(ticket).expect("it is still there");
        assert_eq!((lease.as_ptr(), lease.type_id(), lease.len()), (place, 7, len));
        assert!(lease.iter().all(|&byte| byte == 9));
        drop(lease);
        assert!(is_invalid(receives.take_up_lease(ticket)), "it was given back");
    }
    assert_eq!(receives.stats().held_blocks, 0);
}

#[test]
fn a_receive_ends_the_lease_that_was_set_aside_even_if_nothing_comes() {
    let _watchdog = watchdog("leases that are over");
    let (mut sends, mut receives) = buses();
    let receive: [Receive; 3] = [
        |bus| bus.try_recv().map(|lease| lease.len()),
        |bus| bus.try_poll(8, |_| ()),
        |bus| bus.try_drain(8).map(|batch| batch.len()),
    ];
    for receive in receive {
        for len in [5, LONG] {
            sends.publish_until(1, &vec![1; len], soon()).expect("room");
            let ticket = receives.recv_until(soon()).expect("a frame").set_aside();
            assert_eq!(receive(&mut receives), Err(Cause::Empty));
            assert!(is_invalid(receives.take_up_lease(ticket)));
            sends.publish_until(2, &vec![2; len], soon()).expect("room");
            let next = receives.recv_until(soon()).expect("a frame").set_aside();
            assert!(is_invalid(receives.take_up_lease(ticket)), "a ticket is for one frame");
            assert_eq!(receives.take_up_lease(next).expect("this one").type_id(), 2);
        }
    }
    assert_eq!(receives.stats().held_blocks, 0);
}

#[test]
fn a_lease_can_be_kept_after_it_was_set_aside() {
    let _watchdog = watchdog("kept later");
    let (mut sends, mut receives) = buses();
    sends.publish_until(3, &[4; LONG], soon()).expect("room");
    let ticket = receives.recv_until(soon()).expect("a frame").set_aside();
    let message = receives.take_up_lease(ticket).expect("it is still there").keep();
    drop((sends, receives));
    assert_eq!((message.type_id(), &message[..]), (3, &[4; LONG][..]));
}

#[test]
fn while_a_claim_is_set_aside_nothing_else_is_sent() {
    let _watchdog = watchdog("claims set aside");
    let (mut sends, mut receives) = buses();
    for len in [8, LONG] {
        let mut claim = sends.claim_until(len, soon()).expect("room");
        claim.fill(6);
        let place = claim.as_ptr();
        let ticket = claim.set_aside();
        assert!(is_invalid(sends.publish(1, b"x")));
        assert!(is_invalid(sends.publish(1, &[0; LONG])));
        assert!(is_invalid(sends.publish_vectored(1, &[])));
        assert!(is_invalid(sends.publish_later(1, b"x")));
        assert!(is_invalid(sends.try_claim(8).map(drop)));
        assert!(is_invalid(sends.try_claim_owned(8).map(drop)));
        assert_eq!(receives.try_recv().err(), Some(Cause::Empty));

        let claim = sends.take_up_claim(ticket).expect("it is open");
        assert_eq!((claim.as_ptr(), claim.len()), (place, len));
        claim.commit(5, len).expect("it fits");
        assert!(is_invalid(sends.take_up_claim(ticket).map(drop)), "it was committed");
        assert_eq!(receives.recv_until(soon()).expect("a frame")[..], vec![6; len]);
    }
    let ticket = sends.claim_until(8, soon()).expect("room").set_aside();
    sends.take_up_claim(ticket).expect("it is open").abort();
    sends.publish_until(1, b"after", soon()).expect("room");
    assert_eq!(receives.recv_until(soon()).expect("a frame")[..], b"after"[..]);
}

#[test]
fn closing_gives_up_a_claim_that_is_set_aside() {
    let _watchdog = watchdog("closed with a claim");
    for len in [8, LONG] {
        let (mut sends, mut receives) = buses();
        sends.publish_until(1, b"before", soon()).expect("room");
        let _ticket = sends.claim_until(len, soon()).expect("room").set_aside();
        drop(sends);
        assert_eq!(receives.recv_until(soon()).expect("a frame")[..], b"before"[..]);
        assert_eq!(receives.recv_until(soon()).err(), Some(Cause::Closed));
    }
}

#[test]
fn a_claim_that_is_set_aside_survives_the_peer_and_says_so_once_it_is_over() {
    let _watchdog = watchdog("a claim without a peer");
    let (mut sends, receives) = buses();
    let ticket = sends.claim_until(8, soon()).expect("room").set_aside();
    drop(receives);
    while sends.state() == slipring::State::Open {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(sends.publish(1, b"x").err(), Some(Cause::Closed), "the peer's end comes first");
    sends.take_up_claim(ticket).expect("it is open").abort();
    assert_eq!(sends.publish(1, b"x").err(), Some(Cause::Closed));
}

#[test]
fn calls_by_guards_that_are_set_aside() {
    let _watchdog = watchdog("calls set aside");
    let (mut client, mut server) = calls();
    for len in [8, LONG] {
        let mut claim = client.claim_request_until(len, soon()).expect("room");
        claim.fill(1);
        let ticket = claim.set_aside();
        assert!(is_invalid(client.try_call(1, b"x")));
        assert!(is_invalid(client.try_serve().map(drop)));
        let other = client.try_wait(CallId::from_number(7)).map(drop).expect_err("nothing may be waited for");
        assert!(matches!(other.cause(), Cause::InvalidArgument { .. }));
        let call = client.take_up_claim(ticket).expect("it is open").commit(2, len).expect("it fits");
        assert!(is_invalid(client.take_up_claim(ticket).map(drop)));

        let request = server.serve_until(soon()).expect("a request");
        let (id, place) = (request.id(), request.as_ptr());
        let request = request.set_aside();
        let again = server.take_up_request(request).expect("it is open");
        assert_eq!((again.as_ptr(), again.type_id(), again.len()), (place, 2, len));
        let _ = again.set_aside();
        let mut claim = server.claim_reply(id, len).expect("room");
        claim.fill(2);
        let ticket = claim.set_aside();
        assert!(is_invalid(server.reply(id, 0, b"no")), "the claim is to be dealt with first");
        server.take_up_claim(ticket).expect("it is open").commit(3, len).expect("it fits");
        assert!(is_invalid(server.take_up_request(request).map(drop)), "it was replied to");

        let reply = client.wait_until(call, soon()).expect("a reply");
        let place = reply.as_ptr();
        assert_eq!(reply.set_aside(), call);
        let reply = client.try_wait(call).expect("it is still there");
        assert_eq!((reply.as_ptr(), reply.type_id(), &reply[..]), (place, 3, &vec![2; len][..]));
        drop(reply);
        assert!(client.try_wait(call).is_err(), "it was taken");
    }
}

#[test]
fn a_note_that_is_set_aside_keeps_its_payload() {
    let _watchdog = watchdog("notes set aside");
    let (mut client, mut server) = calls();
    let mut tickets = Vec::new();
    for number in 0..3 {
        client.note_until(number, &[number as u8; 40], soon()).expect("room");
        tickets.push(server.serve_until(soon()).expect("a note").set_aside());
    }
    for (number, ticket) in (0..3).zip(tickets).rev() {
        let note = server.take_up_request(ticket).expect("it is there");
        assert!(note.is_note());
        assert_eq!((note.type_id(), &note[..]), (number, &[number as u8; 40][..]));
        drop(note);
        assert!(is_invalid(server.take_up_request(ticket).map(drop)));
    }
}

#[test]
fn a_cancel_waits_for_the_claim() {
    let _watchdog = watchdog("a cancel behind a claim");
    let (mut client, mut server) = calls();
    let call = client.call_until(1, b"first", soon()).expect("a place");
    let ticket = client.claim_request_until(8, soon()).expect("room").set_aside();
    client.cancel(call);
    client.take_up_claim(ticket).expect("it is open").abort();
    let second = client.call_until(2, b"second", soon()).expect("a place");
    let request = server.serve_until(soon()).expect("a request");
    let (id, kind) = (request.id(), request.type_id());
    let _ = request.set_aside();
    // The first was cancelled before it was served, or is known to be when the second is.
    if kind == 1 {
        server.reply(id, 0, b"").expect("room");
        let request = server.serve_until(soon()).expect("a request");
        assert_eq!(request.type_id(), 2);
        request.reply(0, b"").expect("room");
    } else {
        server.reply(id, 0, b"").expect("room");
    }
    assert!(client.wait_until(second, soon()).is_ok());
}
