//! Calls: in any order and number, both ways at once, out of handlers, and what becomes of them when somebody is slow, wrong,
//! or gone.

use slipring::{CallError, CallId, Cause, Deadline, Message, Options, Reply, Request, RpcBus, State, Wait};
use slipring_tests::backend::trusts;
use slipring_tests::chance::Chance;
use slipring_tests::frames;
use slipring_tests::pair::{in_a_moment, rpc_pair, soon};
use slipring_tests::proc::await_that;
use slipring_tests::watchdog::{watchdog, watchdog_for};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

fn options() -> Options {
    Options::default()
}

fn pair() -> (RpcBus, RpcBus) {
    rpc_pair(&options(), &options())
}

/// Sends back what came.
fn echo(request: Request<'_>) {
    let (type_id, payload) = (request.type_id(), request.to_vec());
    request.reply(type_id, &payload).expect("the caller is there");
}

/// Serves by echoing until the session is over.
fn serve_all(mut server: RpcBus) {
    loop {
        match server.serve_until(soon()) {
            Ok(request) => echo(request),
            Err(Cause::Closed) => return,
            Err(cause) => panic!("{cause}"),
        }
    }
}

fn cause<T>(answer: Result<T, CallError>) -> Cause {
    answer.err().expect("an error").cause()
}

/// Reads what has come, by asking for what nobody has sent.
fn read_all(bus: &mut RpcBus) {
    assert_eq!(bus.try_serve().err(), Some(Cause::Empty));
}

/// Why there is no reply, as numbers of the library's own.
const NO_REPLY: u32 = (1 << 31) + 5;
const PANICKED: u32 = (1 << 31) + 6;

#[test]
fn requests_and_replies_of_every_length_by_copy_and_by_claim() {
    let _watchdog = watchdog_for("every length", Duration::from_secs(60));
    for &trust in trusts("requests and replies of every length") {
        let (mut client, server) = rpc_pair(&options().trust(trust), &options());
        let server = thread::spawn(move || {
            let mut server = server;
            for turn in 0.. {
                let request = match server.serve() {
                    Ok(request) => request,
                    Err(Cause::Closed) => break,
                    Err(cause) => panic!("{cause}"),
                };
                if turn % 2 == 0 {
                    echo(request);
                    continue;
                }
                let (id, type_id, payload) = (request.id(), request.type_id(), request.to_vec());
                drop(request);
                let mut claim = server.claim_reply(id, payload.len() + 3).expect("room");
                claim[..payload.len()].copy_from_slice(&payload);
                claim.commit(type_id, payload.len()).expect("open");
            }
            assert_eq!(server.stats().held_blocks, 0);
        });
        let mut number = 0;
        for len in [0, 1, 8, 39, 40, 41, 48, 49, 1015, 1016, 1017, 1023, 1024, 1025, 4095, 4096, 4097, 65_536, 1 << 20]
        {
            for timed in [false, true] {
                number += 1;
                let payload = frames::payload(number, len);
                let type_id = frames::type_id(number);
                let check = |reply: &Reply<'_>| {
                    assert_eq!(reply.len(), len);
                    assert!(frames::is(number, reply.type_id(), reply), "{len} bytes, {trust:?}");
                };
                match timed {
                    false => check(&client.request(type_id, &payload).expect("a reply")),
                    true => check(&client.request_until(type_id, &payload, soon()).expect("a reply")),
                }
                let mut claim = client.claim_request(len + 1).expect("room");
                claim[..len].copy_from_slice(&payload);
                let call = claim.commit(type_id, len).expect("open");
                let reply = client.wait(call).expect("a reply");
                assert_eq!(reply.call(), call);
                check(&reply);
            }
        }
        assert_eq!((client.in_flight(), client.stats().held_blocks, client.stats().late_replies), (0, 0, 0));
        drop(client);
        server.join().expect("the server ends");
    }
}

#[test]
fn replies_come_in_any_order_and_the_calls_in_flight_are_counted() {
    let _watchdog = watchdog("calls in flight");
    let mut chance = Chance::of_today();
    let (mut client, mut server) = pair();
    for _ in 0..20 {
        let mut calls: Vec<_> = (0..64).map(|n| (client.try_call(n, &[n as u8]).expect("a place"), n)).collect();
        assert_eq!(client.in_flight(), 64);
        assert_eq!(client.try_call(0, b""), Err(Cause::Full));
        assert_eq!(client.call_until(0, b"", in_a_moment()), Err(Cause::Timeout));
        assert_eq!(client.try_note(0, b""), Err(Cause::Full));
        assert_eq!(client.try_claim_request(8).err(), Some(Cause::Full));
        let mut open = Vec::new();
        while let Ok(request) = server.try_serve() {
            open.push((request.id(), request.type_id()));
        }
        assert_eq!(open.iter().map(|&(_, n)| n).collect::<Vec<_>>(), (0..64).collect::<Vec<_>>());
        while !open.is_empty() {
            let (id, n) = open.swap_remove(chance.below(open.len()));
            assert_eq!(server.reply(id, n + 1000, &[n as u8 + 1]), Ok(()));
            assert!(matches!(server.reply(id, 0, b""), Err(Cause::InvalidArgument { .. })), "a second reply");
        }
        while !calls.is_empty() {
            let (call, n) = calls.swap_remove(chance.below(calls.len()));
            let reply = client.try_wait(call).expect("it is there");
            assert_eq!((reply.type_id(), &reply[..]), (n + 1000, &[n as u8 + 1][..]));
            drop(reply);
            assert!(matches!(cause(client.try_wait(call)), Cause::InvalidArgument { .. }), "it was taken");
        }
        assert_eq!(client.in_flight(), 0);
    }
}

#[test]
fn more_calls_than_places_wait_for_a_reply() {
    let _watchdog = watchdog("a call that waits for a place");
    for wait in [Wait::Park, Wait::Spin, Wait::Adaptive] {
        let (mut client, mut server) = rpc_pair(&options().wait(wait).in_flight(3), &options());
        let calls: Vec<_> = (0..3).map(|n| client.call(n, b"").expect("a place")).collect();
        client.cancel(calls[0]);
        assert_eq!(client.try_call(9, b""), Err(Cause::Full), "an abandoned call keeps its place");
        let server = thread::spawn(move || {
            thread::sleep(Duration::from_millis(10));
            while server.serve_until(soon()).map(|request| (request.type_id(), echo(request)).0) != Ok(9) {}
            server
        });
        let last = client.call_until(9, b"late", soon()).expect("a place in time");
        assert_eq!(client.wait_until(last, soon()).expect("a reply").type_id(), 9);
        for (n, &call) in calls.iter().enumerate().skip(1) {
            assert_eq!(client.wait_until(call, soon()).expect("a reply").type_id(), n as u32);
        }
        drop(server.join().expect("the server ends"));
        assert_eq!(client.in_flight(), 0);
    }
}

/// Calls `count` times with as many calls at once as there can be, serving meanwhile, and goes on serving until `done` says that all
/// ends are through.
fn call_and_serve(bus: &mut RpcBus, count: u32, len: usize, done: &AtomicU32) {
    bus.on_request(|request| {
        let (type_id, payload) = (request.type_id(), request.to_vec());
        match request.reply(type_id, &payload) {
            // Requests leave an eighth of the memory to replies, which is not enough for all of these at once.
            Ok(()) | Err(Cause::OutOfMemory) => {}
            Err(cause) => panic!("{cause}"),
        }
    });
    let mut out = std::collections::VecDeque::new();
    for number in 0..count {
        let payload = [number.to_le_bytes().as_slice(), &vec![number as u8; len - 4]].concat();
        let call = loop {
            match bus.try_call(number, &payload) {
                Ok(call) => break call,
                // Only a reply that is taken gives its place to another.
                Err(Cause::Full) if !out.is_empty() => finish_oldest(bus, &mut out),
                Err(Cause::Full) => break bus.call(number, &payload).expect("the peer is there"),
                Err(cause) => panic!("{cause}"),
            }
        };
        out.push_back((call, number));
    }
    while !out.is_empty() {
        finish_oldest(bus, &mut out);
    }
    done.fetch_add(1, Ordering::SeqCst);
    while done.load(Ordering::SeqCst) < 2 {
        assert_eq!(bus.run_until(in_a_moment()), Err(Cause::Timeout));
    }
}

fn finish_oldest(bus: &mut RpcBus, out: &mut std::collections::VecDeque<(CallId, u32)>) {
    let (call, number) = out.pop_front().expect("one is out");
    match bus.wait(call) {
        Ok(reply) => {
            assert_eq!((reply.type_id(), &reply[..4]), (number, &number.to_le_bytes()[..]));
            assert!(reply[4..].iter().all(|&byte| byte == number as u8));
        }
        Err(error) => assert_eq!(error.cause(), Cause::OutOfMemory),
    }
}

#[test]
fn both_ends_call_at_once_with_full_rings_and_full_arenas() {
    let _watchdog = watchdog_for("calls both ways", Duration::from_secs(120));
    let small = || options().capacity(4096).capacity_reverse(2048);
    let last = *trusts("calls both ways").last().expect("somebody is trusted");
    for (connects, listens, count, len) in [
        (options(), options(), 100_000, 32),
        (options(), small().wait(Wait::Park), 20_000, 48),
        (options().wait(Wait::Park), small(), 20_000, 200),
        (options(), small().memory_limit(64 << 10).inline_limit(48), 10_000, 3000),
        (options().memory_limit(1 << 20), options().memory_limit(1 << 20), 10_000, 10_000),
        (options().trust(last), options().memory_limit(1 << 20), 5_000, 10_000),
    ] {
        let (mut client, mut server) = rpc_pair(&connects, &listens);
        let done = AtomicU32::new(0);
        thread::scope(|scope| {
            scope.spawn(|| call_and_serve(&mut client, count, len, &done));
            scope.spawn(|| call_and_serve(&mut server, count, len, &done));
        });
        assert_eq!((client.in_flight(), server.in_flight()), (0, 0));
    }
}

#[test]
fn ids_come_round_without_being_mistaken() {
    let _watchdog = watchdog_for("ids past their range", Duration::from_secs(60));
    let (mut client, server) = rpc_pair(&options().in_flight(1), &options());
    let server = thread::spawn(move || serve_all(server));
    let first = client.call(0, b"").expect("a place");
    drop(client.wait(first).expect("a reply"));
    for number in 1..140_000_u32 {
        let reply = client.request(number, &number.to_le_bytes()).expect("a reply");
        assert_eq!((reply.type_id(), &reply[..]), (number, &number.to_le_bytes()[..]));
    }
    drop(client);
    server.join().expect("the server ends");
}

/// Calls back with one less until nothing is left, and answers how often it went; or what came instead.
fn count_down(mut request: Request<'_>) {
    let left = request[0];
    let deeper = if left == 0 { Ok(0) } else { request.bus().request(0, &[left - 1]).map(|reply| reply[0]) };
    match deeper {
        Ok(depth) => request.reply(0, &[depth + 1]),
        Err(error) => request.reply_error(7, &format!("{:?}", error.cause())),
    }
    .expect("the caller is there");
}

#[test]
fn handlers_call_out_to_every_depth_and_one_more_is_overloaded() {
    let _watchdog = watchdog("nested calls");
    let (mut client, mut server) = pair();
    client.on_request(count_down);
    server.on_request(count_down);
    let done = AtomicU32::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while done.load(Ordering::SeqCst) == 0 {
                assert_eq!(server.run_until(in_a_moment()), Err(Cause::Timeout));
            }
        });
        for _ in 0..3 {
            for depth in 0..=15 {
                assert_eq!(client.request(0, &[depth]).expect("a reply")[0], depth + 1, "depth {depth}");
            }
            for depth in 16..20 {
                let error = client.request(0, &[depth]).expect_err("too deep");
                assert_eq!(error.cause(), Cause::Remote { code: 7 });
            }
        }
        done.store(1, Ordering::SeqCst);
    });
}

#[test]
fn a_handler_that_panics_or_never_replies_costs_its_call_alone() {
    let _watchdog = watchdog("bad handlers");
    let (mut client, mut server) = pair();
    let done = AtomicU32::new(0);
    server.on_request(|mut request| match request.type_id() {
        0 => panic!("as the test wants it"),
        1 => {}
        2 => {
            let id = request.id();
            assert_eq!(request.bus().reply(id, 2, b"one"), Ok(()));
            let again = request.bus().reply(id, 2, b"two");
            assert!(matches!(again, Err(Cause::InvalidArgument { .. })), "{again:?}");
            let again = request.reply(2, b"three");
            assert!(matches!(again, Err(Cause::InvalidArgument { .. })), "{again:?}");
        }
        3 => request.reply_error(77, "as you like it").expect("the caller is there"),
        4 => assert!(matches!(request.reply_error(1 << 31, ""), Err(Cause::InvalidArgument { .. }))),
        5 => {
            let id = request.id();
            assert_eq!(request.bus().reply(id, 5, b"and then it panics"), Ok(()));
            panic!("as the test wants it");
        }
        _ => echo(request),
    });
    thread::scope(|scope| {
        scope.spawn(|| {
            while done.load(Ordering::SeqCst) == 0 {
                assert_eq!(server.run_until(in_a_moment()), Err(Cause::Timeout));
            }
        });
        for _ in 0..3 {
            let panicked = client.request(0, b"").expect_err("no reply");
            assert_eq!(panicked.cause(), Cause::Remote { code: PANICKED });
            assert!(panicked.text().contains("panicked"));
            assert_eq!(cause(client.request(1, b"")), Cause::Remote { code: NO_REPLY });
            assert_eq!(&client.request(2, b"").expect("the first reply")[..], b"one");
            let error = client.request(3, b"").expect_err("an error");
            assert_eq!((error.cause(), error.text()), (Cause::Remote { code: 77 }, "as you like it"));
            assert_eq!(cause(client.request(4, b"")), Cause::Remote { code: NO_REPLY });
            assert_eq!(client.request(5, b"").expect("replied before").type_id(), 5);
            assert_eq!(&client.request(9, b"good").expect("it goes on")[..], b"good");
        }
        done.store(1, Ordering::SeqCst);
    });
    assert_eq!((client.in_flight(), client.stats().late_replies), (0, 0));
}

#[test]
fn a_text_that_does_not_fit_is_cut_between_characters() {
    let _watchdog = watchdog("a long error");
    let (mut client, mut server) = rpc_pair(&options().inline_limit(50), &options());
    let call = client.call(0, b"").expect("a place");
    let id = server.serve().expect("a request").id();
    assert_eq!(server.reply_error(id, 1, &"\u{e9}\u{20ac}".repeat(100)), Ok(()));
    assert_eq!(client.wait(call).expect_err("an error").text(), "\u{e9}\u{20ac}".repeat(10));
}

#[test]
fn replies_to_what_was_not_asked_are_invalid() {
    let _watchdog = watchdog("replies to nothing");
    let (mut client, mut server) = pair();
    let invalid =
        |answer: Result<(), Cause>| assert!(matches!(answer, Err(Cause::InvalidArgument { .. })), "{answer:?}");
    for id in [0, 1, 1 << 16, u32::MAX] {
        invalid(server.reply(id, 0, b""));
        invalid(server.reply_until(id, 0, &[0; 5000], soon()));
        invalid(server.reply_error(id, 0, ""));
        invalid(server.claim_reply(id, 8).map(drop));
    }
    let call = client.call(0, b"").expect("a place");
    invalid(server.reply(call.number(), 0, b""));
    let request = server.serve().expect("a request");
    assert_eq!(request.id(), call.number());
    drop(request);
    assert_eq!(server.reply(call.number(), 0, b""), Ok(()));
    invalid(server.reply(call.number(), 0, b""));
    assert!(client.wait(call).is_ok());
    for call in [call, CallId::from_number(0), CallId::from_number(u32::MAX)] {
        assert!(matches!(cause(client.wait(call)), Cause::InvalidArgument { .. }));
        client.cancel(call);
    }
    assert_eq!((client.state(), server.state()), (State::Open, State::Open));
}

#[test]
fn claims_are_given_up_without_a_trace_and_come_back_when_too_much_is_used() {
    let _watchdog = watchdog("claims for calls");
    let (mut client, mut server) = rpc_pair(&options().memory_limit(4 << 20), &options());
    for len in [10, 1000, 2 << 20] {
        drop(client.claim_request(len).expect("room"));
        client.claim_request(len).expect("room").abort();
        drop(client.try_claim_request(len).expect("room"));
        assert_eq!(client.in_flight(), 0);
        let mut claim = client.claim_request(len).expect("room");
        claim[0] = 9;
        let error = claim.commit(1, len + 1).expect_err("too much");
        assert!(matches!(error.cause, Cause::InvalidArgument { .. }));
        let call = error.claim.commit(1, 1).expect("open");
        let request = server.serve().expect("a request");
        assert_eq!(&request[..], [9]);
        let id = request.id();
        drop(request);
        drop(server.claim_reply(id, len).expect("room"));
        server.claim_reply(id, len).expect("room").abort();
        let claim = server.claim_reply(id, len).expect("room");
        let error = claim.commit(1, len + 1).expect_err("too much");
        assert_eq!(error.claim.commit(2, 0).expect("open").number(), id);
        assert_eq!(client.wait(call).expect("a reply").len(), 0);
    }
    assert_eq!(client.stats().frames_sent, 3);
}

#[test]
fn what_is_kept_of_requests_and_replies_outlives_the_session() {
    let _watchdog = watchdog("kept payloads of calls");
    for len in [100, 100_000] {
        let (mut client, mut server) = pair();
        let mut kept: Vec<Message> = Vec::new();
        for number in 0..20 {
            let call = client.call(frames::type_id(number), &frames::payload(number, len)).expect("a place");
            let mut request = server.serve().expect("a request");
            kept.push(request.keep());
            request.reply(frames::type_id(number), &kept[number as usize * 2]).expect("room");
            kept.push(client.wait(call).expect("a reply").keep());
        }
        if len > 1024 {
            assert_eq!((client.stats().held_blocks, server.stats().held_blocks), (20, 20));
        }
        drop((client, server));
        let check = move || kept.iter().all(|message| frames::is(message.type_id().into(), message.type_id(), message));
        assert!(thread::spawn(check).join().expect("no panic"));
    }
}

#[test]
fn payloads_beyond_the_limits_are_too_large_and_cost_nothing() {
    let _watchdog = watchdog("calls that are too large");
    let (mut client, mut server) = rpc_pair(&options(), &options().memory_limit(4 << 20));
    // Requests leave an eighth of the memory to replies.
    assert_eq!(client.request_max(), 2 << 20);
    let payload = vec![1; (4 << 20) + 1];
    let too_large = |max: usize| Cause::TooLarge { len: max as u64 + 1, max: max as u64 };
    assert_eq!(client.call(0, &payload[..=2 << 20]), Err(too_large(2 << 20)));
    assert_eq!(client.claim_request((2 << 20) + 1).err(), Some(too_large(2 << 20)));
    assert_eq!(client.note(0, &payload[..=2 << 20]), Err(too_large(2 << 20)));
    assert_eq!(client.in_flight(), 0);
    let call = client.call(0, b"small").expect("a place");
    let id = server.serve().expect("a request").id();
    assert_eq!(server.reply(id, 0, &payload), Err(too_large(4 << 20)));
    assert_eq!(server.claim_reply(id, payload.len()).err(), Some(too_large(4 << 20)));
    assert_eq!(server.reply(id, 0, &payload[1..]), Ok(()), "it stayed open");
    assert_eq!(client.wait(call).expect("a reply").len(), 4 << 20);
}

#[test]
fn a_reply_for_which_no_memory_is_left_is_an_error_to_both() {
    let _watchdog = watchdog("replies without memory");
    let (mut client, mut server) = rpc_pair(&options(), &options().memory_limit(4 << 20));
    let payload = vec![1; 4 << 20];
    let mut ask = |client: &mut RpcBus, until: Option<Deadline>| {
        let call = client.call(0, b"").expect("a place");
        let id = server.serve().expect("a request").id();
        let replied = match until {
            None => server.reply(id, 0, &payload),
            Some(deadline) => server.reply_until(id, 0, &payload, deadline),
        };
        (call, replied)
    };
    let (call, replied) = ask(&mut client, None);
    assert_eq!(replied, Ok(()));
    let kept = client.wait(call).expect("a reply").keep();
    for until in [None, Some(in_a_moment())] {
        let (call, replied) = ask(&mut client, until);
        assert_eq!(replied, Err(Cause::OutOfMemory));
        assert_eq!(cause(client.wait(call)), Cause::OutOfMemory);
    }
    let waker = thread::spawn(move || {
        thread::sleep(Duration::from_millis(10));
        drop(kept);
    });
    let (call, replied) = ask(&mut client, Some(soon()));
    assert_eq!(replied, Ok(()), "a block came back in time");
    assert_eq!(client.wait(call).expect("a reply").len(), 4 << 20);
    waker.join().expect("no panic");
}

#[test]
fn an_end_that_serves_nothing_says_not_found_at_once() {
    let _watchdog = watchdog("ends that do not serve");
    // The connecting end does not, unless it is told to; the listening end does.
    let (mut client, mut server) = pair();
    let call = server.call(0, &[1; 5000]).expect("a place");
    server.note(1, &[2; 5000]).expect("a place");
    read_all(&mut client);
    assert_eq!(cause(server.wait(call)), Cause::NotFound);
    await_that(|| server.try_serve().is_err() && server.in_flight() == 0);
    assert_eq!(client.stats().held_blocks, 0);
    let (mut client, mut server) = rpc_pair(&options().serves(true), &options().serves(false));
    let call = client.call(0, b"").expect("a place");
    read_all(&mut server);
    assert_eq!(cause(client.wait(call)), Cause::NotFound);
    let call = server.call(3, b"").expect("a place");
    assert_eq!(client.serve().expect("a request").reply(4, b""), Ok(()));
    assert_eq!(server.wait(call).expect("a reply").type_id(), 4);
    server.on_request(echo);
    let call = client.call(5, b"").expect("a place");
    assert_eq!(server.run_until(in_a_moment()), Err(Cause::Timeout));
    assert_eq!(client.wait(call).expect("a handler serves").type_id(), 5);
}

#[test]
fn a_wait_keeps_to_its_deadline_however_busy_the_peer_keeps_it() {
    let _watchdog = watchdog("deadlines of busy ends");
    for wait in [Wait::Adaptive, Wait::Spin] {
        let (mut client, mut server) = rpc_pair(&options().wait(wait), &options().wait(wait));
        let over = Arc::new(AtomicU32::new(0));
        let busy = Arc::clone(&over);
        let caller = thread::spawn(move || {
            // Many at once, so that there is always one more.
            let mut calls = Vec::new();
            while busy.load(Ordering::SeqCst) == 0 {
                while let Ok(call) = client.try_call(0, b"x") {
                    calls.push(call);
                }
                calls.retain(|&call| client.try_wait(call).is_err_and(|error| error.cause() == Cause::Empty));
            }
        });
        let time = Duration::from_millis(50);
        server.on_request(|request| {
            let _ = request.reply(0, b"y");
        });
        let start = Instant::now();
        assert_eq!(server.run_until(Deadline::after(time)), Err(Cause::Timeout));
        // The client serves nothing, but does not look whether it is asked while it waits for something else.
        let never = server.call(0, b"who is there").expect("a place");
        let answer = server.wait_until(never, Deadline::after(time)).map(drop);
        assert!(matches!(answer.err().map(|error| error.cause()), Some(Cause::NotFound | Cause::Timeout)));
        assert!(start.elapsed() >= time);
        over.store(1, Ordering::SeqCst);
        caller.join().expect("no panic");
    }
}

#[test]
fn a_queue_is_served_while_its_end_waits_for_a_block() {
    let _watchdog = watchdog("requests queued behind a wait for a block");
    let (mut client, mut server) = rpc_pair(&options().serves(true), &options().memory_limit(4 << 20));
    server.on_request(echo);
    let payload = vec![1; 2 << 20];
    // All that requests may have.
    let first = server.call(0, &payload).expect("a block");
    // Two requests that the server finds at once: it serves one, and looks for a block again.
    let calls = [0, 1].map(|n| client.call(n, b"x").expect("a place"));
    thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let second = server.call_until(1, &payload, soon()).expect("a block in time");
            [first, second].map(|call| server.wait_until(call, soon()).expect("a reply").type_id())
        });
        // Nothing is given back before both are answered.
        for (n, call) in calls.into_iter().enumerate() {
            let reply = client.wait_until(call, Deadline::after(Duration::from_secs(5))).expect("it is served");
            assert_eq!(reply.type_id(), n as u32);
        }
        for n in [10, 11] {
            client.serve_until(soon()).expect("a request").reply(n, b"").expect("room");
        }
        assert_eq!(waits.join().expect("no panic"), [10, 11]);
    });
}
