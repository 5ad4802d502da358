//! Peers that are killed or stopped, whatever they are doing: the other side gets everything that was committed, and then
//! the cause. Victim and survivor are processes of their own.

use slipring::{Bus, Cause, Deadline, Listener, Options};
use slipring_tests::backend::has_seals;
use slipring_tests::peer::Peer;
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog;
use slipring_tests::{peer, proc};
use std::thread;
use std::time::Duration;

/// A session of two processes: the one that sends and the one that receives, in a ring of `capacity` bytes.
struct Pair {
    sends: Peer,
    receives: Peer,
    _scratch: Scratch,
}

impl Pair {
    fn new(capacity: u64, sender_waits: &str, receiver_waits: &str) -> Self {
        let scratch = Scratch::new();
        let address = scratch.path("bus");
        let (mut sends, mut receives) = (peer!(), peer!());
        receives.must(&format!("bind {address} capacity={capacity} wait={receiver_waits}"));
        receives.tell("accept");
        sends.must(&format!("connect {address} wait={sender_waits}"));
        assert_eq!(receives.answer(), "ok");
        Self { sends, receives, _scratch: scratch }
    }
}

/// After the end of its peer: the same answer to whatever is asked, for ever.
fn assert_over(survivor: &mut Peer, order: &str, cause: &str) {
    assert_eq!(survivor.ask("state"), format!("err 0 {cause}"));
    for _ in 0..3 {
        assert_eq!(survivor.ask(order), format!("err 0 {cause}"));
    }
}

/// Lets `survivor` begin to wait, and comes back when it does: parked if it parks, spinning if it does not.
fn begin_to_wait(survivor: &mut Peer, order: &str, waits: &str) {
    survivor.tell(order);
    match waits {
        "park" | "adaptive" if !order.starts_with("look") => survivor.await_parked(),
        _ => proc::await_spinning(survivor.pid()),
    }
}

/// Every way in which an end waits, with the order that makes a receiving one do so.
const WAITS: [(&str, &str); 4] =
    [("spin", "recv 100"), ("park", "recv 100"), ("adaptive", "recv 100"), ("park", "look 100")];

#[test]
fn a_receiver_that_waits_gets_what_was_committed_and_then_the_death_of_an_idle_sender() {
    let _watchdog = watchdog("an idle sender's death");
    for (waits, order) in WAITS {
        let mut pair = Pair::new(4096, "park", waits);
        pair.sends.must("send 10 20");
        begin_to_wait(&mut pair.receives, order, waits);
        pair.sends.kill();
        assert_eq!(pair.receives.answer(), "err 10 PeerDied", "{waits} {order}");
        assert_over(&mut pair.receives, order, "PeerDied");
    }
}

#[test]
fn a_sender_killed_while_it_waits_for_room_leaves_what_it_had_committed() {
    let _watchdog = watchdog("a sender's death in a full ring");
    for waits in ["spin", "park", "adaptive"] {
        let mut pair = Pair::new(256, waits, "park");
        // Three frames of a line fill a ring of four.
        begin_to_wait(&mut pair.sends, "send 100 20", waits);
        pair.sends.kill();
        assert_eq!(pair.receives.ask("recv 100"), "err 3 PeerDied", "{waits}");
        assert_over(&mut pair.receives, "recv 1", "PeerDied");
    }
}

#[test]
fn a_sender_killed_in_mid_claim_leaves_no_trace_of_it() {
    let _watchdog = watchdog("a sender's death in mid-claim");
    for (waits, order) in WAITS {
        let mut pair = Pair::new(512, "park", waits);
        pair.sends.must("send 6 20");
        pair.receives.must("recv 6");
        pair.sends.must("send 1 20");
        // Two lines where one is left: the claim begins behind a pad, at the start of the ring.
        pair.sends.must("claim 100");
        begin_to_wait(&mut pair.receives, order, waits);
        pair.sends.kill();
        assert_eq!(pair.receives.answer(), "err 1 PeerDied", "{waits} {order}");
        assert_over(&mut pair.receives, order, "PeerDied");
    }
}

#[test]
fn a_group_that_was_not_shown_dies_with_its_sender() {
    let _watchdog = watchdog("a sender's death in mid-batch");
    for (waits, order) in WAITS {
        for (shown, hidden) in [(0, 1), (2, 5), (3, 60)] {
            let mut pair = Pair::new(8192, "park", waits);
            pair.sends.must(&format!("send {shown} 100"));
            pair.sends.must(&format!("later {hidden} 20"));
            begin_to_wait(&mut pair.receives, order, waits);
            pair.sends.kill();
            assert_eq!(pair.receives.answer(), format!("err {shown} PeerDied"), "{waits} {order}");
            assert_over(&mut pair.receives, order, "PeerDied");
        }
    }
}

#[test]
fn a_hidden_group_across_the_end_of_the_ring_dies_with_its_sender() {
    let _watchdog = watchdog("a sender's death in mid-batch, across the end");
    let mut pair = Pair::new(512, "park", "park");
    pair.sends.must("send 6 20");
    pair.receives.must("recv 6");
    // One line to the end, then a frame of two lines: the group begins with a line, goes on with a pad, and wraps.
    pair.sends.must("later 1 20");
    pair.sends.must("later 1 100");
    begin_to_wait(&mut pair.receives, "recv 9", "park");
    pair.sends.kill();
    assert_eq!(pair.receives.answer(), "err 0 PeerDied");
}

#[test]
fn a_forked_child_does_not_hide_its_parents_death() {
    let _watchdog = watchdog("a parent's death");
    for (waits, order) in WAITS {
        let mut pair = Pair::new(4096, "park", waits);
        pair.sends.must("send 4 20");
        let child = pair.sends.number("fork");
        begin_to_wait(&mut pair.receives, order, waits);
        pair.sends.kill();
        assert_eq!(pair.receives.answer(), "err 4 PeerDied", "{waits} {order}");
        proc::await_state(u32::try_from(child).expect("a number of a process"), 'S');
        end(child);
    }
    let mut pair = Pair::new(256, "park", "park");
    let child = pair.receives.number("fork");
    begin_to_wait(&mut pair.sends, "send 100 20", "park");
    pair.receives.kill();
    assert_eq!(pair.sends.answer(), "err 3 PeerDied");
    end(child);
}

/// Ends the child of a peer that was killed.
fn end(child: u64) {
    let child = i32::try_from(child).ok().and_then(rustix::process::Pid::from_raw).expect("a number of a process");
    rustix::process::kill_process(child, rustix::process::Signal::KILL).expect("it lives");
}

#[test]
fn a_sender_that_waits_for_room_learns_of_a_dead_reader() {
    let _watchdog = watchdog("a dead reader");
    for waits in ["spin", "park", "adaptive"] {
        let mut pair = Pair::new(256, waits, "park");
        begin_to_wait(&mut pair.sends, "send 100 20", waits);
        pair.receives.kill();
        assert_eq!(pair.sends.answer(), "err 3 PeerDied", "{waits}");
        assert_over(&mut pair.sends, "send 1 20", "PeerDied");
        assert_eq!(pair.sends.ask("claim 20"), "err 0 PeerDied");
        assert_eq!(pair.sends.ask("fill 20"), "err 0 PeerDied");
        assert_eq!(pair.sends.ask("later 1 20"), "err 0 PeerDied");
    }
}

#[test]
fn a_sender_learns_of_the_death_of_a_reader_that_parks_spins_or_holds_a_batch() {
    let _watchdog = watchdog("a reader's death");
    for waits in ["spin", "park", "adaptive"] {
        let mut pair = Pair::new(4096, "adaptive", waits);
        begin_to_wait(&mut pair.receives, "recv 1", waits);
        pair.receives.kill();
        // It only sends, into a ring with room: the pulse finds out.
        assert!(pair.sends.ask("send 1000000 0").ends_with(" PeerDied"), "{waits}");
        assert_over(&mut pair.sends, "send 1 20", "PeerDied");
    }
    let mut pair = Pair::new(256, "park", "park");
    pair.sends.must("send 2 20");
    assert_eq!(pair.receives.ask("hold 2"), "ok 2");
    begin_to_wait(&mut pair.sends, "send 100 20", "park");
    pair.receives.kill();
    assert_eq!(pair.sends.answer(), "err 1 PeerDied", "the held frames are not given back");
}

#[test]
fn a_sender_that_only_tries_learns_of_a_dead_reader() {
    let _watchdog = watchdog("a reader's death under a sender that tries");
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    let mut reader = peer!();
    reader.must(&format!("bind {address} capacity=256"));
    reader.tell("accept");
    let mut bus = Bus::connect(&address, &Options::default()).expect("a session");
    assert_eq!(reader.answer(), "ok");
    reader.kill();
    let mut fulls = 0_u64;
    let cause = loop {
        match bus.try_publish(0, b"x") {
            Ok(()) => {}
            Err(Cause::Full) => fulls += 1,
            Err(cause) => break cause,
        }
    };
    assert_eq!(cause, Cause::PeerDied, "after {fulls} times full");
    assert_eq!(bus.try_claim(1).err(), Some(Cause::PeerDied));
    assert_eq!(bus.close(Duration::from_secs(5)), Err(Cause::PeerDied));
}

#[test]
fn a_stopped_reader_is_a_timeout_and_goes_on_where_it_was() {
    let _watchdog = watchdog("a stopped reader");
    for waits in ["spin", "park", "adaptive"] {
        let mut pair = Pair::new(256, waits, waits);
        begin_to_wait(&mut pair.receives, "recv 8", waits);
        pair.receives.stop();
        assert_eq!(pair.sends.ask("send 100 20 within=30"), "err 3 Timeout");
        assert_eq!(pair.sends.ask("fill 20"), "ok 0", "full");
        assert_eq!(pair.sends.ask("send 1 20 within=1"), "err 0 Timeout");
        assert_eq!(pair.sends.ask("state"), "err 0 Open");
        pair.receives.go_on();
        pair.sends.must("send 5 20");
        assert_eq!(pair.receives.answer(), "ok 8");
    }
}

#[test]
fn a_stopped_sender_is_a_timeout_and_goes_on_where_it_was() {
    let _watchdog = watchdog("a stopped sender");
    for waits in ["spin", "park", "adaptive"] {
        let mut pair = Pair::new(256, waits, waits);
        begin_to_wait(&mut pair.sends, "send 10 20", waits);
        pair.sends.stop();
        assert_eq!(pair.receives.ask("recv 10 within=30"), "err 3 Timeout");
        assert_eq!(pair.receives.ask("recv 1 within=1"), "err 0 Timeout");
        assert_eq!(pair.receives.ask("state"), "err 0 Open");
        pair.sends.go_on();
        pair.receives.must("recv 7");
        assert_eq!(pair.sends.answer(), "ok 10");
        pair.sends.stop();
        pair.sends.kill();
        assert_eq!(pair.receives.ask("recv 1"), "err 0 PeerDied");
    }
}

#[test]
fn what_was_committed_in_a_peers_last_moment_is_delivered_though_its_death_is_seen_first() {
    let _watchdog = watchdog("last words");
    for (waits, order) in WAITS {
        for dies in [true, false] {
            let mut pair = Pair::new(4096, "park", waits);
            begin_to_wait(&mut pair.receives, order, waits);
            // It sleeps, or looks, while all of it happens, and finds frames, bell and hang-up together.
            pair.receives.stop();
            pair.sends.must("send 5 20");
            if dies {
                pair.sends.kill()
            } else {
                pair.sends.must("drop")
            }
            pair.receives.go_on();
            let cause = if dies { "PeerDied" } else { "Closed" };
            assert_eq!(pair.receives.answer(), format!("err 5 {cause}"), "{waits} {order}");
            assert_over(&mut pair.receives, order, cause);
        }
    }
}

#[test]
fn room_that_a_reader_gave_in_its_last_moment_is_no_longer_of_use() {
    let _watchdog = watchdog("last room");
    for waits in ["spin", "park", "adaptive"] {
        let mut pair = Pair::new(256, waits, "park");
        begin_to_wait(&mut pair.sends, "send 100 20", waits);
        pair.sends.stop();
        pair.receives.must("recv 3");
        pair.receives.kill();
        pair.sends.go_on();
        let answer = pair.sends.answer();
        // What it had begun may still succeed, into a ring that nobody reads; then it knows.
        let sent = answer.strip_prefix("err ").and_then(|rest| rest.strip_suffix(" PeerDied")).map(str::parse);
        assert!(matches!(sent, Some(Ok(3..=6))), "{waits}: {answer}");
        assert_over(&mut pair.sends, "send 1 20", "PeerDied");
    }
}

#[test]
fn a_client_killed_in_mid_handshake_costs_the_listener_nothing() {
    if !has_seals("a_client_killed_in_mid_handshake_costs_the_listener_nothing") {
        return;
    }
    let _watchdog = watchdog("clients killed in mid-handshake");
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    let mut listener = Listener::bind(&address, &Options::default().capacity(4096)).expect("a name");
    let stages = ["connected", "half-hello", "hello", "offered", "half-accept"];
    for (before, stage) in stages.into_iter().enumerate() {
        let mut client = peer!();
        client.tell(&format!("knock {address} {stage}"));
        while !client.has_answered() {
            assert_eq!(listener.try_accept_bus().expect_err("half a handshake").cause(), Cause::Empty);
        }
        assert_eq!(client.answer(), "ok");
        client.kill();
        let late = listener.accept_bus_until(Deadline::after(Duration::from_millis(20)));
        assert_eq!(late.expect_err("it is dead").cause(), Cause::Timeout, "{stage}");
        assert_eq!(listener.refused(), before as u64 + 1, "{stage}");
        serves_a_good_client(&mut listener, &address);
    }
}

#[test]
fn a_client_killed_before_it_hears_that_all_is_settled_is_a_session_that_ends() {
    if !has_seals("a_client_killed_before_it_hears_that_all_is_settled_is_a_session_that_ends") {
        return;
    }
    let _watchdog = watchdog("a client killed at the last step");
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    let mut listener = Listener::bind(&address, &Options::default().capacity(4096)).expect("a name");
    let mut client = peer!();
    client.tell(&format!("knock {address} accepted"));
    let mut bus = listener.accept_bus().expect("its part is done");
    assert_eq!(client.answer(), "ok");
    client.kill();
    assert_eq!(bus.recv().err(), Some(Cause::PeerDied));
    serves_a_good_client(&mut listener, &address);
}

fn serves_a_good_client(listener: &mut Listener, address: &str) {
    let mut good = peer!();
    good.tell(&format!("connect {address}"));
    let mut bus = listener.accept_bus().expect("a session");
    assert_eq!(good.answer(), "ok");
    good.tell("send 1 10");
    assert_eq!(bus.recv().expect("a frame").len(), 10);
}

#[test]
fn a_listener_killed_in_mid_handshake_is_an_error_at_once() {
    if !has_seals("a_listener_killed_in_mid_handshake_is_an_error_at_once") {
        return;
    }
    let _watchdog = watchdog("listeners killed in mid-handshake");
    for stage in ["connected", "heard", "half-offer", "offered", "taken"] {
        let scratch = Scratch::new();
        let address = scratch.path("bus");
        let mut listener = peer!();
        assert_eq!(listener.ask(&format!("pose {address} {stage}")), "ok", "the name is taken");
        thread::scope(|scope| {
            let client = scope.spawn(|| Bus::connect(&address, &Options::default()));
            assert_eq!(listener.answer(), "ok", "{stage} is reached");
            listener.kill();
            let cause = client.join().expect("no panic").expect_err("it is dead").cause();
            assert_eq!(cause, Cause::PeerDied, "{stage}");
        });
        assert_eq!(Bus::connect(&address, &Options::default()).expect_err("gone").cause(), Cause::NotFound);
    }
}

#[test]
fn a_client_that_may_wait_meets_the_next_listener_when_the_first_is_killed_in_mid_handshake() {
    if !has_seals("a_client_that_may_wait_meets_the_next_listener_when_the_first_is_killed_in_mid_handshake") {
        return;
    }
    let _watchdog = watchdog("a second listener");
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    let mut first = peer!();
    assert_eq!(first.ask(&format!("pose {address} offered")), "ok");
    let mut client = peer!();
    client.tell(&format!("connect {address} within=9000"));
    assert_eq!(first.answer(), "ok");
    first.kill();
    let mut second = Listener::bind(&address, &Options::default()).expect("what a killed listener left is free");
    let mut bus = second.accept_bus().expect("a session");
    assert_eq!(client.answer(), "ok");
    client.must("send 1 10");
    assert_eq!(bus.recv().expect("a frame").len(), 10);
}
