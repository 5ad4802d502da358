//! Servers: requests keep their order, clients cost each other nothing, and it stops when it is told to.

use slipring::{Bus, CallError, Cause, Deadline, Key, Listener, Options, Request, RpcBus, Server, State, Trust, Wait};
use slipring_tests::alone::alone;
use slipring_tests::backend::has_seals;
use slipring_tests::limits::without_descriptors;
use slipring_tests::pair::{in_a_moment, soon};
use slipring_tests::peer;
use slipring_tests::peer::Peer;
use slipring_tests::proc::{await_that, holdings};
use slipring_tests::scratch::Scratch;
use slipring_tests::serving::while_running;
use slipring_tests::watchdog::{watchdog, watchdog_for};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What a request asks for.
const ECHO: u32 = 0;
const PANIC: u32 = 1;
const NOTHING: u32 = 2;
const ERROR: u32 = 3;
const SLOW: u32 = 4;

/// A server of echoes at `rpc`, not yet running.
fn echoes(scratch: &Scratch, workers: usize) -> Server {
    let options = Options::default().wait(Wait::Adaptive);
    Server::bind(&scratch.path("rpc"), &options).expect("a name").workers(workers).on_request(|_, request| {
        let (kind, payload) = (request.type_id(), request.to_vec());
        // A client that is gone needs no reply.
        let _ = match kind {
            PANIC => panic!("asked for"),
            NOTHING => Ok(()),
            ERROR => request.reply_error(42, "asked for"),
            SLOW => {
                thread::sleep(Duration::from_millis(30));
                request.reply(SLOW, &payload)
            }
            kind => request.reply(kind, &payload),
        };
    })
}

/// Replies with what came.
fn send_back(_: Key, request: Request<'_>) {
    let (type_id, payload) = (request.type_id(), request.to_vec());
    // A client that is gone needs no reply.
    let _ = request.reply(type_id, &payload);
}

fn client(scratch: &Scratch) -> RpcBus {
    RpcBus::connect_until(&scratch.path("rpc"), &Options::default(), soon()).expect("a session")
}

fn echo(rpc: &mut RpcBus, payload: &[u8]) -> Result<Vec<u8>, CallError> {
    rpc.request_until(ECHO, payload, soon()).map(|reply| reply.to_vec())
}

#[test]
fn clients_are_served_each_for_itself() {
    let _watchdog = watchdog_for("serving", Duration::from_secs(30));
    for workers in [0, 1, 3] {
        let scratch = Scratch::new();
        let mut server = echoes(&scratch, workers);
        while_running(&mut server, || {
            thread::scope(|scope| {
                for number in 0..6_usize {
                    let scratch = &scratch;
                    scope.spawn(move || {
                        let mut rpc = client(scratch);
                        for turn in 0..100 {
                            // Short ones, and some in blocks.
                            let payload = vec![number as u8; if turn % 20 == 0 { 50_000 } else { turn }];
                            assert_eq!(echo(&mut rpc, &payload), Ok(payload));
                        }
                        rpc.close(Duration::from_secs(5)).expect("all was read");
                    });
                }
            });
        });
        assert!(server.sessions() <= 6);
    }
}

#[test]
fn a_handler_that_fails_costs_that_call_alone() {
    let _watchdog = watchdog("failing handlers");
    for workers in [0, 2] {
        let scratch = Scratch::new();
        let mut server = echoes(&scratch, workers);
        while_running(&mut server, || {
            let mut rpc = client(&scratch);
            let mut other = client(&scratch);
            for kind in [PANIC, NOTHING, ERROR] {
                let error = rpc.request_until(kind, b"", soon()).expect_err("an error").cause();
                let code = match error {
                    Cause::Remote { code } => code,
                    cause => panic!("{cause}"),
                };
                assert_eq!(code == 42, kind == ERROR);
                assert_eq!(echo(&mut rpc, b"still here"), Ok(b"still here".to_vec()));
                assert_eq!(echo(&mut other, b"here too"), Ok(b"here too".to_vec()));
            }
        });
    }
}

/// What is known of a session in whose requests the order is checked.
#[derive(Default)]
struct Session {
    busy: Arc<AtomicBool>,
    next: u64,
}

#[test]
fn the_requests_of_a_session_are_served_one_by_one_in_their_order() {
    let _watchdog = watchdog_for("order", Duration::from_secs(30));
    const CLIENTS: usize = 5;
    const CALLS: u64 = 400;
    let scratch = Scratch::new();
    let seen: Arc<Mutex<BTreeMap<Key, Session>>> = Arc::default();
    let known = Arc::clone(&seen);
    let mut server = Server::bind(&scratch.path("rpc"), &Options::default()).expect("a name").workers(3).on_request(
        move |key, request| {
            let number = u64::from_le_bytes(request[..].try_into().expect("eight bytes"));
            let busy = Arc::clone(&known.lock().expect("no panic").entry(key).or_default().busy);
            assert!(!busy.swap(true, SeqCst), "two at once");
            if number.is_multiple_of(37) {
                thread::sleep(Duration::from_micros(300));
            }
            let next =
                std::mem::replace(&mut known.lock().expect("no panic").get_mut(&key).expect("known").next, number + 1);
            busy.store(false, SeqCst);
            let reply =
                if next == number { request.reply(0, b"in order") } else { request.reply_error(1, "out of order") };
            reply.expect("the caller lives");
        },
    );
    while_running(&mut server, || {
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    let mut rpc = client(&scratch);
                    let mut calls = Vec::new();
                    for number in 0..CALLS {
                        calls.push(rpc.call_until(0, &number.to_le_bytes(), soon()).expect("room"));
                        if calls.len() == 20 {
                            for call in calls.drain(..) {
                                assert_eq!(&rpc.wait_until(call, soon()).expect("in order")[..], b"in order");
                            }
                        }
                    }
                });
            }
        });
    });
    let seen = seen.lock().expect("no panic");
    assert_eq!(seen.values().map(|session| session.next).collect::<Vec<_>>(), [CALLS; CLIENTS]);
}

#[test]
fn frames_are_received_in_their_order_and_every_end_is_told() {
    let _watchdog = watchdog_for("frames", Duration::from_secs(30));
    for workers in [0, 2] {
        let scratch = Scratch::new();
        let sums: Arc<Mutex<BTreeMap<Key, Vec<u32>>>> = Arc::default();
        let ends: Arc<Mutex<Vec<(Key, Cause)>>> = Arc::default();
        let (into, ended) = (Arc::clone(&sums), Arc::clone(&ends));
        let server = Server::bind(&scratch.path("bus"), &Options::default()).expect("a name").workers(workers);
        let mut server = server
            .on_frame(move |key, frame| {
                into.lock().expect("no panic").entry(key).or_default().push(frame.type_id());
                assert!(frame.type_id() % 50 != 7, "asked for");
            })
            .on_end(move |key, cause| ended.lock().expect("no panic").push((key, cause)));
        let mut killed = peer!();
        while_running(&mut server, || {
            killed.must(&format!("connect {} within=5000", scratch.path("bus")));
            killed.must("send 3 10");
            killed.kill();
            for _ in 0..3 {
                let mut bus = Bus::connect(&scratch.path("bus"), &Options::default()).expect("a session");
                for number in 0..200 {
                    bus.publish(number, b"frame").expect("room");
                }
                bus.close(Duration::from_secs(5)).expect("all was read");
            }
            await_that(|| ends.lock().expect("no panic").len() == 4);
        });
        let (sums, ends) = (sums.lock().expect("no panic"), ends.lock().expect("no panic"));
        for (key, cause) in ends.iter() {
            let expected = if *cause == Cause::PeerDied { 3 } else { 200 };
            let frames = &sums[key];
            assert!(frames.len() == expected && frames.is_sorted(), "{key:?} {cause}: {} frames", frames.len());
        }
        assert_eq!(ends.iter().filter(|(_, cause)| *cause == Cause::PeerDied).count(), 1);
        assert_eq!(server.sessions(), 0);
    }
}

#[test]
fn a_client_of_the_other_kind_is_refused() {
    let _watchdog = watchdog("the wrong kind");
    let scratch = Scratch::new();
    let mut server = echoes(&scratch, 0);
    while_running(&mut server, || {
        let error = Bus::connect(&scratch.path("rpc"), &Options::default()).expect_err("it serves calls");
        assert!(matches!(error.cause(), Cause::Refused { .. }), "{error}");
        assert_eq!(echo(&mut client(&scratch), b"x"), Ok(b"x".to_vec()));
    });
    assert_eq!(server.refused(), 1);
}

#[test]
fn clients_that_are_killed_stopped_or_flood_cost_the_others_nothing() {
    let _watchdog = watchdog_for("bad clients", Duration::from_secs(40));
    for workers in [0, 2] {
        let scratch = Scratch::new();
        let mut server = echoes(&scratch, workers);
        while_running(&mut server, || {
            let connect = format!("connect-rpc {} within=5000", scratch.path("rpc"));
            let mut peers = [peer!(), peer!(), peer!()];
            for peer in &mut peers {
                peer.must(&connect);
            }
            let [killed, stopped, floods] = &mut peers;
            killed.must("begin 10 100");
            stopped.tell("call 1000000 100");
            floods.tell("call 1000000 0");
            // It calls without ever taking a reply, then calls on.
            let mut hoards = client(&scratch);
            while hoards.try_call(ECHO, &[0; 500]).is_ok() {}
            let mut honest = client(&scratch);
            for turn in 0..300_u32 {
                assert_eq!(echo(&mut honest, &turn.to_le_bytes()), Ok(turn.to_le_bytes().to_vec()));
                match turn {
                    100 => killed.kill(),
                    150 => stopped.stop(),
                    200 => stopped.go_on(),
                    _ => {}
                }
            }
            stopped.kill();
            floods.kill();
            assert_eq!(hoards.state(), State::Open);
        });
    }
}

#[test]
fn a_slow_handler_holds_up_its_own_session_alone_where_there_are_workers() {
    let _watchdog = watchdog_for("slow handlers", Duration::from_secs(30));
    let scratch = Scratch::new();
    let waits = Arc::new(AtomicBool::new(true));
    let held = Arc::clone(&waits);
    let mut server = Server::bind(&scratch.path("rpc"), &Options::default()).expect("a name").workers(2).on_request(
        move |_, request| {
            while request.type_id() == SLOW && held.load(SeqCst) {
                thread::sleep(Duration::from_micros(200));
            }
            request.reply(0, b"").expect("the caller lives");
        },
    );
    while_running(&mut server, || {
        let mut slow = client(&scratch);
        let call = slow.call(SLOW, b"").expect("room");
        // Others are served while that one is in its handler, by the other worker.
        for _ in 0..3 {
            let mut other = client(&scratch);
            for _ in 0..20 {
                other.request_until(ECHO, b"", soon()).map(drop).expect("a reply");
            }
        }
        assert_eq!(slow.try_wait(call).map(drop).expect_err("it is held").cause(), Cause::Empty);
        waits.store(false, SeqCst);
        slow.wait_until(call, soon()).map(drop).expect("a reply");
    });
}

#[test]
fn it_stops_when_told_and_goes_on_when_run_again() {
    let _watchdog = watchdog_for("stopping", Duration::from_secs(30));
    for workers in [0, 2] {
        let scratch = Scratch::new();
        let mut server = echoes(&scratch, workers);
        let stopper = server.stopper();
        stopper.stop();
        server.run().expect("it was stopped before it ran");
        assert_eq!(server.run_until(in_a_moment()).expect_err("the deadline").cause(), Cause::Timeout);
        let mut rpc = while_running(&mut server, || {
            let mut rpc = client(&scratch);
            assert_eq!(echo(&mut rpc, b"one"), Ok(b"one".to_vec()));
            rpc
        });
        let call = rpc.call(ECHO, b"two").expect("the session is open, and nobody serves");
        assert_eq!(rpc.wait_until(call, in_a_moment()).map(drop).expect_err("nobody").cause(), Cause::Timeout);
        while_running(&mut server, || {
            assert_eq!(&rpc.wait_until(call, soon()).expect("served now")[..], b"two");
        });
        assert_eq!(server.sessions(), 1);
        // A stop while a client keeps it busy, and with slow calls under way.
        let stopper = server.stopper();
        thread::scope(|scope| {
            let runs = scope.spawn(|| server.run());
            let mut other = client(&scratch);
            for _ in 0..3 {
                other.call(SLOW, b"").expect("room");
            }
            stopper.stop();
            runs.join().expect("no panic").expect("it was stopped");
        });
        drop(server);
        assert_eq!(rpc.serve().err(), Some(Cause::Closed));
    }
}

#[test]
fn a_server_without_a_handler_does_not_run_and_a_busy_one_keeps_its_deadline() {
    let _watchdog = watchdog("deadlines");
    let scratch = Scratch::new();
    let mut bare = Server::bind(&scratch.path("bare"), &Options::default()).expect("a name");
    let error = bare.run().expect_err("nothing to do");
    assert!(matches!(error.cause(), Cause::InvalidArgument { .. }), "{error}");
    assert!(bare.address().ends_with("bare"), "{}", bare.address());

    let mut server = echoes(&scratch, 0);
    let stops = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut rpc = client(&scratch);
            while !stops.load(SeqCst) {
                // The server may be done before this client is.
                let _ = rpc.request_until(ECHO, b"", in_a_moment());
            }
        });
        let ran = server.run_until(Deadline::after(Duration::from_millis(50)));
        stops.store(true, SeqCst);
        assert_eq!(ran.expect_err("the deadline").cause(), Cause::Timeout);
    });
}

#[test]
fn clients_that_are_not_trusted_are_served_too() {
    if !has_seals("clients_that_are_not_trusted_are_served_too") {
        return;
    }
    let _watchdog = watchdog("without trust");
    let scratch = Scratch::new();
    let options = Options::default().trust(Trust::Untrusted);
    let served = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&served);
    let mut server = Server::bind(&scratch.path("rpc"), &options).expect("a name").on_request(move |_, request| {
        counted.fetch_add(1, SeqCst);
        let payload = request.to_vec();
        request.reply(0, &payload).expect("the caller lives");
    });
    while_running(&mut server, || {
        let mut rpc = RpcBus::connect(&scratch.path("rpc"), &options).expect("a session");
        for len in [0, 100, 100_000] {
            let payload = vec![7; len];
            assert_eq!(echo(&mut rpc, &payload), Ok(payload));
        }
    });
    assert_eq!(served.load(SeqCst), 3);
}

#[test]
fn a_server_makes_no_thread_but_its_workers_and_leaves_none() {
    alone("a_server_makes_no_thread_but_its_workers_and_leaves_none", || {
        let _watchdog = watchdog("threads");
        let scratch = Scratch::new();
        let threads = || holdings(std::process::id()).threads;
        let before = threads();
        for workers in [0, 3] {
            let mut server = echoes(&scratch, workers);
            while_running(&mut server, || {
                assert_eq!(echo(&mut client(&scratch), b"x"), Ok(b"x".to_vec()));
                await_that(|| threads() == before + 1 + workers);
            });
            await_that(|| threads() == before);
            drop(server);
            drop(Listener::bind(&scratch.path("rpc"), &Options::default()).expect("the name is free"));
        }
    });
}

#[test]
fn a_server_without_descriptors_turns_new_clients_away_and_serves_those_it_has() {
    alone("a_server_without_descriptors_turns_new_clients_away_and_serves_those_it_has", || {
        let _watchdog = watchdog_for("a server at its limit", Duration::from_secs(30));
        for workers in [0, 2] {
            let scratch = Scratch::new();
            let server = Server::bind(&scratch.path("rpc"), &Options::default()).expect("a name").workers(workers);
            let mut server = server.on_request(send_back);
            let mut peers: Vec<_> = (0..8).map(|_| peer!()).collect();
            let at_once = format!("connect-rpc {}", scratch.path("rpc"));
            let connect = format!("{at_once} within=5000");
            while_running(&mut server, || {
                let mut served = peers.split_off(6);
                served.iter_mut().for_each(|peer| peer.must(&connect));
                let fds = holdings(std::process::id()).fds;
                without_descriptors(|| {
                    for peer in &mut peers {
                        let answer = peer.ask(&at_once);
                        assert!(answer.starts_with("err 0 Refused"), "{answer}");
                        served.iter_mut().for_each(|peer| peer.must("call 3 100 within=9000"));
                    }
                });
                // Fewer where the last session was still being made when they were counted.
                await_that(|| holdings(std::process::id()).fds <= fds);
                for peer in &mut peers {
                    peer.must(&connect);
                    peer.must("call 3 5000 within=9000");
                }
                served.iter_mut().for_each(|peer| peer.must("call 3 5000 within=9000"));
            });
        }
    });
}

#[test]
fn sessions_that_die_while_they_are_about_to_be_served_end_and_the_others_have_their_turns() {
    let _watchdog = watchdog_for("deaths before a turn", Duration::from_secs(30));
    for workers in [0, 2] {
        let scratch = Scratch::new();
        let victims: Arc<Mutex<Vec<_>>> = Arc::default();
        let (killed, ends) = (Arc::clone(&victims), Arc::<Mutex<Vec<Cause>>>::default());
        let ended = Arc::clone(&ends);
        let server = Server::bind(&scratch.path("rpc"), &Options::default()).expect("a name").workers(workers);
        let mut server = server
            .on_request(move |key, request| {
                // Whoever has the first turn finds all of them asking, and kills them.
                killed.lock().expect("no panic").drain(..).for_each(drop::<Peer>);
                send_back(key, request);
            })
            .on_end(move |_, cause| ended.lock().expect("no panic").push(cause));
        let mut peers: Vec<_> = (0..5).map(|_| peer!()).collect();
        let connect = format!("connect-rpc {} within=5000", scratch.path("rpc"));
        let mut rpc = while_running(&mut server, || {
            peers.iter_mut().for_each(|peer| peer.must(&connect));
            client(&scratch)
        });
        // Nobody is served now, so all of them are ready when it goes on.
        peers.iter_mut().for_each(|peer| peer.must("begin 3 100"));
        let call = rpc.call(0, b"and the survivor").expect("room");
        victims.lock().expect("no panic").append(&mut peers);
        while_running(&mut server, || {
            assert_eq!(&rpc.wait_until(call, soon()).expect("a reply")[..], b"and the survivor");
            await_that(|| ends.lock().expect("no panic").len() == 5);
        });
        assert_eq!(ends.lock().expect("no panic")[..], [Cause::PeerDied; 5]);
        assert_eq!(server.sessions(), 1);
    }
}
