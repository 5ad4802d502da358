//! Calls that are given up, late, or only notes; and ends that close or die in the middle of them.

use slipring::{Bus, CallError, CallId, Cause, Deadline, Error, Listener, Options, Refusal, RpcBus, State, Wait};
use slipring_tests::alone::alone;
use slipring_tests::pair::{in_a_moment, rpc_pair, soon};
use slipring_tests::peer;
use slipring_tests::proc::{await_that, holdings};
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::{watchdog, watchdog_for};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

fn options() -> Options {
    Options::default()
}

fn pair() -> (RpcBus, RpcBus) {
    rpc_pair(&options(), &options())
}

fn cause<T>(answer: Result<T, CallError>) -> Cause {
    answer.err().expect("an error").cause()
}

/// Reads what has come, by asking for what nobody has sent.
fn read_all(bus: &mut RpcBus) {
    assert_eq!(bus.try_serve().err(), Some(Cause::Empty));
}

fn is_invalid(cause: Cause) -> bool {
    matches!(cause, Cause::InvalidArgument { .. })
}

#[test]
fn a_deadline_that_passes_in_the_queue_is_told_and_the_request_is_not_served() {
    let _watchdog = watchdog("a deadline in the queue");
    let (mut client, mut server) = pair();
    let call = client.call_until(1, b"", in_a_moment()).expect("a place");
    let other = client.call_until(2, b"", soon()).expect("a place");
    assert_eq!(cause(client.wait_until(call, in_a_moment())), Cause::Timeout);
    thread::sleep(Duration::from_millis(5));
    let request = server.serve().expect("the other one");
    assert_eq!(request.type_id(), 2);
    let left = request.deadline().remaining().expect("it has a deadline");
    assert!((Duration::from_secs(5)..Duration::from_secs(10)).contains(&left), "{left:?}");
    request.reply(2, b"").expect("room");
    assert_eq!(cause(client.wait(call)), Cause::Timeout, "the server says so");
    assert_eq!(client.wait(other).expect("a reply").type_id(), 2);
    assert_eq!((client.in_flight(), client.stats().late_replies), (0, 0));
}

#[test]
fn a_deadline_that_passes_in_the_handler_ends_the_wait_and_the_late_reply_is_counted() {
    let _watchdog = watchdog("a deadline in the handler");
    let (mut client, mut server) = pair();
    let server = thread::spawn(move || {
        let request = server.serve().expect("a request");
        await_that(|| request.deadline().has_passed());
        // The caller, who waits to the same moment, is to see it first.
        thread::sleep(Duration::from_millis(200));
        request.reply(0, &[1; 5000]).expect("a late reply is a reply");
        server
    });
    assert_eq!(cause(client.request_until(0, b"", in_a_moment())), Cause::Timeout);
    assert_eq!(client.in_flight(), 1, "it keeps its place until the reply comes");
    let mut server = server.join().expect("no panic");
    read_all(&mut client);
    assert_eq!((client.in_flight(), client.stats().late_replies, client.stats().held_blocks), (0, 1, 0));
    // A call that was only waited for, and not given up, can be waited for again.
    let call = client.call(1, b"").expect("a place");
    assert_eq!(cause(client.wait_until(call, in_a_moment())), Cause::Timeout);
    server.serve().expect("a request").reply(1, b"").expect("room");
    assert_eq!(client.wait(call).expect("a reply").type_id(), 1);
    assert_eq!(client.stats().late_replies, 1);
}

#[test]
fn a_deadline_that_passes_when_the_reply_is_there_is_no_matter() {
    let _watchdog = watchdog("a deadline behind the reply");
    let (mut client, mut server) = pair();
    let call = client.call_until(0, b"", in_a_moment()).expect("a place");
    server.serve().expect("a request").reply(3, b"in time").expect("room");
    thread::sleep(Duration::from_millis(30));
    assert_eq!(&client.wait_until(call, Deadline::NOW).expect("it is there")[..], b"in time");
    let call = client.call_until(0, b"", Deadline::NOW);
    assert!(call.is_ok_and(|call| cause(client.wait_until(call, in_a_moment())) == Cause::Timeout));
}

#[test]
fn a_call_is_cancelled_in_every_state() {
    let _watchdog = watchdog("cancels");
    let (mut client, mut server) = pair();
    // In the queue, behind another that is served first.
    let (first, second) = (client.call(1, b"").expect("a place"), client.call(2, b"").expect("a place"));
    client.cancel(second);
    client.cancel(second);
    assert!(is_invalid(cause(client.try_wait(second))), "nobody waits for it any more");
    // A wait for something else reads on.
    let other = server.call(0, b"").expect("a place");
    assert_eq!(cause(server.wait_until(other, in_a_moment())), Cause::Timeout);
    server.serve().expect("a request").reply(1, b"").expect("room");
    read_all(&mut server);
    assert_eq!(client.wait(first).expect("a reply").type_id(), 1);
    read_all(&mut client);
    assert_eq!((client.in_flight(), client.stats().late_replies), (0, 1));
    // In the handler, which can see it, and replies all the same.
    let call = client.call(3, &[3; 5000]).expect("a place");
    let request = server.serve().expect("a request");
    assert!(!request.is_cancelled());
    let id = request.id();
    drop(request);
    client.cancel(call);
    read_all(&mut server);
    assert_eq!(server.reply(id, 3, &[3; 5000]), Ok(()));
    read_all(&mut client);
    assert_eq!((client.in_flight(), client.stats().late_replies), (0, 2));
    // After the reply has come, looked at or not.
    let call = client.call(4, b"").expect("a place");
    server.serve().expect("a request").reply(4, &[4; 5000]).expect("room");
    client.cancel(call);
    read_all(&mut client);
    let call = client.call(5, b"").expect("a place");
    server.serve().expect("a request").reply(5, &[5; 5000]).expect("room");
    read_all(&mut client);
    client.cancel(call);
    assert!(is_invalid(cause(client.try_wait(call))));
    // After it was taken, and of what never was.
    let call = client.call(6, b"").expect("a place");
    server.serve().expect("a request").reply(6, b"").expect("room");
    drop(client.wait(call).expect("a reply"));
    client.cancel(call);
    for id in [0, 1, u32::MAX] {
        client.cancel(CallId::from_number(id));
    }
    read_all(&mut server);
    assert_eq!((client.in_flight(), client.stats().held_blocks, server.stats().held_blocks), (0, 0, 0));
    assert_eq!((client.state(), server.state()), (State::Open, State::Open));
}

#[test]
fn a_handler_sees_that_its_call_was_cancelled_when_it_looks() {
    let _watchdog = watchdog("a handler that looks");
    let (mut client, mut server) = rpc_pair(&options().serves(true), &options());
    let call = client.call(0, b"").expect("a place");
    server.on_request(|mut request| {
        assert!(!request.is_cancelled());
        let question = request.bus().call(1, b"").expect("a place");
        drop(request.bus().wait(question).expect("a reply"));
        assert!(request.is_cancelled());
        request.reply(0, b"nobody reads this").expect("room");
    });
    let server = thread::spawn(move || {
        assert_eq!(server.run_until(Deadline::after(Duration::from_millis(200))), Err(Cause::Timeout));
        server
    });
    let question = client.serve().expect("the question").id();
    client.cancel(call);
    assert_eq!(client.reply(question, 0, b""), Ok(()));
    drop(server.join().expect("no panic"));
    assert_eq!(client.serve().err(), Some(Cause::Closed));
    assert_eq!(client.stats().late_replies, 1);
}

#[test]
fn cancels_wait_for_room_in_a_full_ring_and_then_go_out() {
    let _watchdog = watchdog("cancels in a full ring");
    let small = options().capacity(1024).capacity_reverse(1024);
    let (mut client, mut server) = rpc_pair(&small, &small);
    // Notes and calls that nobody reads fill the ring as far as requests may.
    for _ in 0..50 {
        let mut calls = Vec::new();
        let limit = client.inline_limit();
        while let Ok(call) = client.try_call(7, &vec![7; limit]) {
            calls.push(call);
        }
        assert!(!calls.is_empty());
        for &call in &calls {
            client.cancel(call);
        }
        assert_eq!(client.in_flight() as usize, calls.len());
        // Whatever is served is replied to; in the end every place is free.
        await_that(|| {
            if let Ok(request) = server.try_serve() {
                request.reply(7, &vec![7; limit]).expect("replies find room");
            }
            assert!(is_invalid(cause(client.try_wait(CallId::from_number(0)))));
            assert!(client.try_serve().is_err());
            client.in_flight() == 0
        });
    }
    let call = client.call(8, b"good").expect("a place");
    let request = await_request(&mut server);
    server.reply(request, 9, b"").expect("room");
    assert_eq!(client.wait(call).expect("a reply").type_id(), 9);
    assert!(client.stats().late_replies >= 50);
}

fn await_request(server: &mut RpcBus) -> u32 {
    server.serve_until(soon()).expect("a request").id()
}

#[test]
fn a_million_abandoned_calls_leave_memory_flat() {
    alone("a_million_abandoned_calls_leave_memory_flat", || {
        let _watchdog = watchdog_for("a million abandoned calls", Duration::from_secs(120));
        let (mut client, server) = pair();
        let server = thread::spawn(move || {
            let mut server = server;
            let mut served = 0_u64;
            loop {
                match server.serve() {
                    Ok(request) => {
                        let payload = request.to_vec();
                        request.reply(0, &payload).expect("room");
                        served += 1;
                    }
                    Err(cause) => return (cause, served),
                }
            }
        });
        let mut abandon = |count: u32| {
            for number in 0..count {
                let long = number % 1000 == 0;
                let call = client.call(0, &vec![1; if long { 5000 } else { 40 }]).expect("a place in time");
                client.cancel(call);
            }
            holdings(std::process::id())
        };
        let before = abandon(50_000);
        let after = abandon(1_000_000);
        assert!(after.rss <= before.rss + 1024, "{before:?}, {after:?}");
        assert_eq!((after.fds, after.segments), (before.fds, before.segments));
        await_that(|| client.try_serve().is_err() && client.in_flight() == 0);
        assert_eq!(client.stats().late_replies, 1_050_000);
        drop(client);
        let (ended, served) = server.join().expect("no panic");
        assert_eq!(ended, Cause::Closed);
        println!("{served} were served before they were cancelled");
    });
}

#[test]
fn notes_are_served_without_a_reply_and_their_places_come_back() {
    let _watchdog = watchdog("notes");
    let (mut client, mut server) = rpc_pair(&options().in_flight(4), &options());
    for round in 0..100_u32 {
        for n in 0..4 {
            assert_eq!(client.try_note(n, &vec![round as u8; 40 << (n * 4)]), Ok(()));
        }
        assert_eq!(client.try_note(9, b""), Err(Cause::Full));
        assert_eq!(client.note_until(9, b"", Deadline::NOW), Err(Cause::Timeout));
        for n in 0..4 {
            let request = server.try_serve().expect("a note");
            assert!(request.is_note() && request.iter().all(|&byte| byte == round as u8));
            assert_eq!((request.type_id(), request.len()), (n, 40 << (n * 4)));
            let id = request.id();
            match n {
                0 => assert_eq!(request.reply(0, b"goes nowhere"), Ok(())),
                1 => assert_eq!(request.reply_error(0, "goes nowhere"), Ok(())),
                2 => drop(request),
                _ => {
                    drop(request);
                    assert!(server.reply(id, 0, b"").is_err_and(is_invalid));
                }
            }
        }
        read_all(&mut client);
        assert_eq!((client.in_flight(), server.stats().held_blocks), (0, 0));
    }
    assert_eq!(client.stats().late_replies, 0, "nobody was to wait for them");
}

#[test]
fn a_note_stays_what_it_is_while_its_handler_calls_out_and_others_come() {
    let _watchdog = watchdog("notes within notes");
    for len in [100, 5000] {
        let (mut client, mut server) = rpc_pair(&options().serves(true), &options());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&seen);
        server.on_request(move |mut request| {
            let before = request.to_vec();
            if before[0] == 1 {
                drop(request.bus().request_until(0, b"what now?", soon()).expect("a reply"));
            }
            assert_eq!(&request[..], &before[..]);
            notes.lock().expect("no panic").push(before);
        });
        let server = thread::spawn(move || {
            assert_eq!(server.run_until(Deadline::after(Duration::from_millis(200))), Err(Cause::Timeout));
        });
        client.note(0, &vec![1; len]).expect("a place");
        let question = await_request(&mut client);
        client.note(0, &vec![2; len]).expect("a place");
        client.note(0, &vec![3; len]).expect("a place");
        client.reply(question, 0, b"").expect("room");
        server.join().expect("what was noted stayed");
        let seen = seen.lock().expect("no panic");
        let mut order: Vec<_> = seen.iter().map(|note| (note[0], note.len())).collect();
        order.sort_unstable();
        assert_eq!(order, [(1, len), (2, len), (3, len)]);
    }
}

#[test]
fn notes_do_not_nest_without_end() {
    let _watchdog = watchdog("a peer that sends notes for ever");
    let (mut client, mut server) = rpc_pair(&options().serves(true), &options());
    let deepest = Arc::new(AtomicU32::new(0));
    let depth = AtomicU32::new(0);
    let most = Arc::clone(&deepest);
    server.on_request(move |mut request| {
        most.fetch_max(depth.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        if request.is_note() {
            let _ = request.bus().request_until(0, b"", Deadline::after(Duration::from_millis(100)));
        }
        depth.fetch_sub(1, Ordering::SeqCst);
    });
    let over = Arc::new(AtomicU32::new(0));
    let done = Arc::clone(&over);
    let client = thread::spawn(move || {
        // Requests of the server's are taken, and none is replied to.
        while done.load(Ordering::SeqCst) == 0 {
            let _ = client.try_note(0, b"and another");
            let _ = client.try_serve();
        }
        client
    });
    let _ = server.run_until(Deadline::after(Duration::from_millis(300)));
    over.store(1, Ordering::SeqCst);
    drop(client.join().expect("no panic"));
    assert!(deepest.load(Ordering::SeqCst) <= 8, "{deepest:?} handlers within each other");
}

#[test]
fn ends_of_another_kind_are_refused() {
    let _watchdog = watchdog("kinds of sessions");
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    let mut listener = Listener::bind(&address, &options()).expect("a name");
    let refused = |error: Option<Error>| assert_eq!(error.expect("no").cause(), Cause::Refused { why: Refusal::Kind });
    thread::scope(|scope| {
        let bus = scope.spawn(|| Bus::connect(&address, &options()).err());
        assert_eq!(listener.accept_rpc_until(in_a_moment()).err().map(|error| error.cause()), Some(Cause::Timeout));
        refused(bus.join().expect("no panic"));
        let rpc = scope.spawn(|| RpcBus::connect(&address, &options()).err());
        assert_eq!(listener.accept_bus_until(in_a_moment()).err().map(|error| error.cause()), Some(Cause::Timeout));
        refused(rpc.join().expect("no panic"));
        let rpc = scope.spawn(|| RpcBus::connect(&address, &options()).map(drop));
        assert!(listener.accept_rpc().is_ok());
        rpc.join().expect("no panic").expect("a session of the right kind");
    });
    assert_eq!(listener.refused(), 2);
}

#[test]
fn a_server_killed_in_mid_call_is_a_death_to_every_call() {
    let _watchdog = watchdog("a killed server");
    for wait in [Wait::Park, Wait::Spin, Wait::Adaptive] {
        for len in [10, 100_000] {
            let scratch = Scratch::new();
            let address = scratch.path("rpc");
            let mut server = peer!();
            server.must(&format!("bind {address}"));
            server.tell("accept-rpc");
            let mut client = RpcBus::connect(&address, &options().wait(wait)).expect("a session");
            assert_eq!(server.answer(), "ok");
            server.tell("serve 1");
            let calls: Vec<_> = (0..10).map(|n| client.call(n, &vec![1; len]).expect("a place")).collect();
            assert_eq!(server.answer(), "ok 1");
            server.must("take 5");
            let killer = thread::spawn(move || {
                thread::sleep(Duration::from_millis(10));
                server.kill();
            });
            assert_eq!(cause(client.wait(calls[5])), Cause::PeerDied);
            killer.join().expect("no panic");
            assert_eq!(client.wait(calls[0]).expect("it had come before").len(), len);
            for &call in &calls[1..] {
                assert_eq!(cause(client.wait(call)), Cause::PeerDied);
                client.cancel(call);
            }
            assert_eq!(client.call(0, b""), Err(Cause::PeerDied));
            assert_eq!(client.try_serve().err(), Some(Cause::PeerDied));
            assert_eq!(client.state(), State::PeerDied);
        }
    }
}

#[test]
fn a_client_killed_in_mid_call_costs_its_server_nothing() {
    alone("a_client_killed_in_mid_call_costs_its_server_nothing", || {
        let _watchdog = watchdog("killed clients");
        let scratch = Scratch::new();
        let address = scratch.path("rpc");
        let mut listener = Listener::bind(&address, &options()).expect("a name");
        let before = holdings(std::process::id());
        for round in 0..6 {
            let mut client = peer!();
            client.tell(&format!("connect-rpc {address}"));
            let mut server = listener.accept_rpc().expect("a client");
            assert_eq!(client.answer(), "ok");
            client.tell("call 3 50000");
            for _ in 0..3 {
                let request = server.serve().expect("a request");
                let (type_id, payload) = (request.type_id(), request.to_vec());
                request.reply(type_id, &payload).expect("room");
            }
            assert_eq!(client.answer(), "ok 3");
            client.must("begin 20 50000");
            let open = await_request(&mut server);
            client.kill();
            if round % 2 == 0 {
                // What was asked before the death is there to be served; the replies go nowhere.
                let rest = std::iter::from_fn(|| server.serve().map(|request| request.len()).ok());
                assert_eq!(rest.collect::<Vec<_>>(), [50_000; 19]);
                assert_eq!(server.serve().err(), Some(Cause::PeerDied));
                assert_eq!(server.reply(open, 0, b""), Err(Cause::PeerDied));
            } else {
                await_that(|| server.state() == State::PeerDied);
                assert_eq!(server.reply(open, 0, &[0; 50_000]), Err(Cause::PeerDied));
            }
        }
        let after = holdings(std::process::id());
        assert_eq!((after.fds, after.segments), (before.fds, before.segments));
    });
}

#[test]
fn a_close_delivers_what_was_said_before_it() {
    let _watchdog = watchdog("closing with calls open");
    // A client that leaves with calls open.
    let (mut client, mut server) = pair();
    for n in 0..3 {
        client.call(n, b"").expect("a place");
    }
    client.note(3, b"").expect("a place");
    drop(client);
    let request = server.serve().expect("it was asked");
    assert_eq!(request.type_id(), 0);
    let _ = request.reply(0, b"to nobody");
    for n in 1..4 {
        match server.serve() {
            Ok(request) => assert_eq!(request.type_id(), n),
            // A note is given back when it is opened, and nobody is there any more.
            Err(cause) => assert_eq!((n, cause), (3, Cause::Closed)),
        }
    }
    assert_eq!(server.serve().err(), Some(Cause::Closed));
    assert_eq!((server.call(0, b""), server.state()), (Err(Cause::Closed), State::Closed));
    // A server that replies to one of two, and leaves.
    let (mut client, mut server) = pair();
    let calls = [client.call(0, b"").expect("a place"), client.call(1, b"").expect("a place")];
    server.serve().expect("a request").reply(7, &[7; 5000]).expect("room");
    drop(server);
    assert_eq!(cause(client.wait(calls[1])), Cause::Closed);
    assert_eq!(client.wait(calls[0]).expect("it was said before")[..], [7; 5000]);
    // One that lingers until all is read, and one for whom nobody reads.
    let (mut client, mut server) = pair();
    let call = client.call(0, b"").expect("a place");
    server.serve().expect("a request").reply(0, b"").expect("room");
    let closes = thread::spawn(move || server.close(Duration::from_secs(5)));
    assert!(client.wait_until(call, soon()).is_ok());
    assert_eq!(client.serve_until(soon()).err(), Some(Cause::Closed));
    assert_eq!(closes.join().expect("no panic"), Ok(()));
    let (mut client, server) = pair();
    client.call(0, b"").expect("a place");
    assert_eq!(client.close(Duration::from_millis(10)), Err(Cause::Timeout));
    drop(server);
}

#[test]
fn both_ends_may_close_at_once() {
    let _watchdog = watchdog("closing from both sides");
    for _ in 0..20 {
        let (mut client, mut server) = pair();
        client.call(0, b"").expect("a place");
        server.call(0, b"").expect("a place");
        let other = thread::spawn(move || server.close(Duration::from_millis(100)));
        let mine = client.close(Duration::from_millis(100));
        for closed in [mine, other.join().expect("no panic")] {
            assert!(matches!(closed, Ok(()) | Err(Cause::Timeout | Cause::Closed)), "{closed:?}");
        }
    }
}
