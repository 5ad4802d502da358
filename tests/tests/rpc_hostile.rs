//! Callers and servers that break the rules: `Corrupt` by the rule that was broken, from whatever call, and never a wait beyond
//! its deadline.

use slipring::{CallError, Cause, Deadline, Listener, Options, RpcBus, State, Trust, Violation, Wait};
use slipring_tests::chance::Chance;
use slipring_tests::hostile::ways;
use slipring_tests::meanwhile::meanwhile;
use slipring_tests::pair::in_a_moment;
use slipring_tests::raw::blocks::Descriptor;
use slipring_tests::raw::layout::{BLOCK, CANCEL, DATA, ERROR, NOTE, PARKED, READ, REPLY, REQUEST, RETURNS, TIMED};
use slipring_tests::raw::wire::{self, CALLS_AT, GEOMETRY_AT, Message};
use slipring_tests::raw::{self, End, socket::SocketListener};
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog;
use std::thread;
use std::time::{Duration, Instant};

/// Both rings. Eight calls of 256 bytes fit into each.
const RING: u64 = 16 << 10;
const CALLS: u32 = 8;
const TURN: u32 = 1 << 16;

/// The id of a call in this place, when that is taken for this many times.
fn id(turn: u32, place: u32) -> u32 {
    (turn * TURN) | place
}

/// A hostile caller, and who serves it.
fn server(options: Options) -> (Scratch, End, RpcBus) {
    let scratch = Scratch::new();
    let options = options.capacity(RING as usize).capacity_reverse(RING as usize);
    let mut listener = Listener::bind(&scratch.path("rpc"), &options).expect("a name");
    let (end, bus) = raw::caller_of(&mut listener);
    (scratch, end, bus)
}

/// A hostile server, and who calls it.
fn client(options: &Options) -> (Scratch, End, RpcBus) {
    let scratch = Scratch::new();
    let (end, bus) = raw::callee_for(&scratch.path("rpc"), RING, options);
    (scratch, end, bus)
}

fn long() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

/// A call that reads what has come.
type Call = fn(&mut RpcBus) -> Result<(), Cause>;

/// Every one of them.
const READS: [Call; 5] = [
    |bus| bus.serve_until(long()).map(drop),
    |bus| bus.try_serve().map(drop),
    |bus| bus.request_until(0, b"", long()).map(drop).map_err(|error: CallError| error.cause()),
    |bus| {
        bus.on_request(|request| {
            let _ = request.reply(0, b"");
        });
        bus.run_until(long())
    },
    |bus| {
        let call = bus.call(0, b"")?;
        bus.try_wait(call).map(drop).map_err(|error| error.cause())
    },
];

/// Lets `forge` do its work on both kinds of ends: the other must find it, by whatever call.
fn assert_found(what: &str, violation: Violation, forge: impl Fn(&mut End)) {
    for (index, call) in READS.into_iter().enumerate() {
        for options in ways() {
            for serves in [true, false] {
                let (_scratch, mut end, mut bus) = if serves { server(options.clone()) } else { client(&options) };
                forge(&mut end);
                let mut answer = Ok(());
                while matches!(answer, Ok(()) | Err(Cause::Empty)) {
                    answer = call(&mut bus);
                }
                assert_eq!(answer, Err(Cause::Corrupt(violation)), "{what}, call {index}, serves: {serves}");
                assert_eq!(bus.call(0, b""), answer.map(|()| unreachable!("an error")), "{what}");
                assert_eq!((bus.try_serve().err(), bus.state()), (answer.err(), State::Corrupt), "{what}");
            }
        }
    }
}

#[test]
fn replies_to_nothing() {
    let _watchdog = watchdog("replies to nothing");
    for kind in [REPLY, ERROR] {
        for id in [0, 1, TURN, TURN | 7, TURN | CALLS, TURN | 0xFFFF, u32::MAX] {
            // A call that waits has the first id there is, so that one is no forgery to it.
            if id != TURN {
                assert_found(&format!("kind {kind} to {id:#x}"), Violation::Correlation, |end| {
                    end.say(kind, 0, id, b"")
                });
            }
        }
    }
}

#[test]
fn replies_that_come_twice_or_to_a_call_that_was_before() {
    let _watchdog = watchdog("second replies");
    for options in ways() {
        for abandoned in [false, true] {
            for taken in [false, true] {
                let (_scratch, mut end, mut bus) = client(&options);
                let call = bus.call(7, b"").expect("a place");
                let id = end.hear().correlation;
                assert_eq!(id, call.number());
                end.say(REPLY, 1, id, b"one");
                if abandoned {
                    bus.cancel(call);
                } else if taken {
                    assert_eq!(&bus.wait(call).expect("a reply")[..], b"one");
                }
                end.say(REPLY, 2, id, b"two");
                assert_eq!(bus.serve_until(long()).err(), Some(Cause::Corrupt(Violation::Correlation)));
            }
        }
        // A note has one answer too, and it is the library's.
        let (_scratch, mut end, mut bus) = client(&options);
        bus.note(7, b"").expect("a place");
        let id = end.hear().correlation;
        end.say(REPLY, 0, id, b"");
        end.say(REPLY, 0, id, b"");
        assert_eq!(bus.serve_until(long()).err(), Some(Cause::Corrupt(Violation::Correlation)));
    }
}

#[test]
fn requests_with_ids_that_cannot_be() {
    let _watchdog = watchdog("forged ids of requests");
    for kind in [REQUEST, NOTE] {
        for id in [0, 1, 7, TURN | CALLS, TURN | 0xFFFF, u32::MAX, 0xFFFF] {
            assert_found(&format!("kind {kind} with {id:#x}"), Violation::Correlation, |end| end.say(kind, 0, id, b""));
        }
    }
}

#[test]
fn requests_whose_place_is_taken_and_floods_of_them() {
    let _watchdog = watchdog("too many requests");
    for options in ways() {
        // Opened, and not replied to.
        let (_scratch, mut end, mut bus) = server(options.clone());
        end.say(REQUEST, 0, TURN, b"");
        drop(bus.serve().expect("a request"));
        end.say(REQUEST, 0, 2 * TURN, b"");
        assert_eq!(bus.serve_until(long()).err(), Some(Cause::Corrupt(Violation::Correlation)));
        // In the queue, while its end waits for something else.
        let (_scratch, mut end, mut bus) = server(options.clone());
        let call = bus.call(0, b"").expect("a place");
        for place in 0..CALLS {
            end.say(REQUEST, 0, TURN | place, b"");
        }
        assert_eq!(bus.wait_until(call, in_a_moment()).err().map(|error| error.cause()), Some(Cause::Timeout));
        end.say(REQUEST, 0, id(2, 3), b"");
        let found = bus.wait_until(call, long()).err().map(|error| error.cause());
        assert_eq!(found, Some(Cause::Corrupt(Violation::Correlation)));
        // As fast as can be, whoever reads.
        let (_scratch, mut end, mut bus) = server(options);
        let mut number = 0_u32;
        let found = meanwhile(
            || {
                // A caller that keeps to no number, and looks at nothing.
                number += 1;
                if end.tail < end.theirs.load_u64(READ) + RING - 256 {
                    end.say(REQUEST, 0, id(number % 0xFFFF + 1, number % CALLS), b"more");
                }
            },
            || loop {
                // It rings no bells either.
                match bus.serve_until(in_a_moment()) {
                    Ok(request) => drop(request),
                    Err(Cause::Timeout) => {}
                    Err(cause) => break cause,
                }
            },
        );
        assert_eq!(found, Cause::Corrupt(Violation::Correlation));
    }
}

#[test]
fn cancels_of_anything_change_nothing_and_a_flood_of_them_is_found() {
    let _watchdog = watchdog("forged cancels");
    for options in ways() {
        let (_scratch, mut end, mut bus) = server(options);
        for round in 1..20 {
            end.say(REQUEST, 9, round * TURN, b"good");
            end.say(CANCEL, 0, u32::MAX - round, b"");
            let request = bus.serve().expect("a request");
            assert!(!request.is_cancelled());
            request.reply(1, b"").expect("room");
            assert_eq!(end.hear().correlation, round * TURN);
        }
        let call = bus.call(0, b"").expect("a place");
        let found = meanwhile(
            || {
                if end.tail < end.theirs.load_u64(READ) + RING - 256 {
                    end.say(CANCEL, 0, TURN, b"");
                }
            },
            || loop {
                match bus.wait_until(call, in_a_moment()).expect_err("no reply").cause() {
                    Cause::Timeout => {}
                    cause => break cause,
                }
            },
        );
        assert_eq!(found, Cause::Corrupt(Violation::Correlation));
    }
    assert_found("a cancel of nothing", Violation::Correlation, |end| end.say(CANCEL, 0, TURN, b""));
}

#[test]
fn frames_that_belong_to_no_call() {
    let _watchdog = watchdog("forged kinds");
    for kind in [0, DATA, DATA | BLOCK, REPLY | TIMED, NOTE | TIMED, CANCEL | BLOCK, ERROR | TIMED, 31] {
        assert_found(&format!("kind {kind}"), Violation::FrameKind, |end| end.say(kind, 0, TURN, &[0; 40]));
    }
    for (kind, len) in [
        (REQUEST | TIMED, 7),
        (REQUEST | TIMED, 0),
        (REQUEST | BLOCK, 23),
        (REQUEST | TIMED | BLOCK, 31),
        (REPLY | BLOCK, 8),
    ] {
        assert_found(&format!("kind {kind} of {len} bytes"), Violation::Descriptor, |end| {
            end.say(kind, 0, TURN, &vec![0; len]);
        });
    }
    for kind in [REQUEST, NOTE, REQUEST | TIMED] {
        assert_found("a request in a region that is not there", Violation::Region, |end| {
            let block = Descriptor { region: 0, generation: 1, offset: 0, len: 8 };
            let deadline = if kind & TIMED == 0 { &[][..] } else { &[0xFF; 8] };
            end.say(kind | BLOCK, 0, TURN, &[deadline, &block.bytes()].concat());
        });
    }
}

#[test]
fn deadlines_of_all_kinds_are_served_or_answered() {
    let _watchdog = watchdog("forged deadlines");
    let (_scratch, mut end, mut bus) = server(Options::default());
    for (round, deadline) in [0_u64, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX].into_iter().enumerate() {
        let id = (round as u32 + 1) * TURN;
        end.say(REQUEST | TIMED, 5, id, &[&deadline.to_le_bytes()[..], b"payload"].concat());
        match bus.try_serve() {
            Ok(request) => {
                assert!(round > 1 && &request[..] == b"payload");
                assert!(request.deadline().remaining().is_none_or(|left| left > Duration::from_secs(1 << 30)));
                request.reply(0, b"").expect("room");
                assert_eq!(end.hear().kind, REPLY);
            }
            Err(cause) => {
                assert!(round <= 1 && cause == Cause::Empty, "{cause:?}");
                assert_eq!(end.hear().kind, ERROR);
            }
        }
    }
}

#[test]
fn texts_of_errors_may_be_anything() {
    let _watchdog = watchdog("forged texts");
    let (_scratch, mut end, mut bus) = client(&Options::default());
    for (code, cause) in [
        (0, Cause::Remote { code: 0 }),
        (1 << 31, Cause::NotFound),
        ((1 << 31) + 4, Cause::OutOfMemory),
        (u32::MAX, Cause::Remote { code: u32::MAX }),
    ] {
        let call = bus.call(0, b"").expect("a place");
        let id = end.hear().correlation;
        end.say(ERROR, code, id, &[0xFF; 200]);
        let error = bus.wait(call).expect_err("an error");
        assert_eq!((error.cause(), error.text()), (cause, &*"\u{fffd}".repeat(200)));
    }
}

#[test]
fn a_caller_that_reads_no_reply_is_found_out_by_the_room_that_it_kept() {
    let _watchdog = watchdog("replies that nobody reads");
    for options in ways() {
        let (_scratch, mut end, mut bus) = server(options);
        let limit = bus.inline_limit();
        let mut round = 0_u32;
        let cause = loop {
            // It goes by what it must have been answered, and never says that it has read it.
            end.say(REQUEST, 0, id(round / CALLS + 1, round % CALLS), b"");
            round += 1;
            let request = bus.serve().expect("a request");
            if let Err(cause) = request.reply(0, &vec![1; limit]) {
                break cause;
            }
        };
        assert_eq!(cause, Cause::Corrupt(Violation::Reserve));
        assert!(round > CALLS && bus.state() == State::Corrupt);
    }
}

#[test]
fn a_server_that_answers_nothing_is_a_timeout_and_the_places_run_out() {
    let _watchdog = watchdog("a server that is silent");
    for options in ways() {
        let (_scratch, mut end, mut bus) = client(&options);
        let calls: Vec<_> = (0..CALLS).map(|n| bus.call_until(n, b"", long()).expect("a place")).collect();
        assert_eq!(bus.try_call(0, b""), Err(Cause::Full));
        for call in calls {
            assert_eq!(bus.wait_until(call, in_a_moment()).err().map(|error| error.cause()), Some(Cause::Timeout));
            bus.cancel(call);
        }
        assert_eq!(bus.call_until(0, b"", in_a_moment()), Err(Cause::Timeout));
        assert_eq!((bus.state(), bus.in_flight()), (State::Open, CALLS));
        let said: Vec<_> = (0..2 * CALLS).map(|_| end.hear().kind).collect();
        assert!(said[..8].iter().all(|&kind| kind == REQUEST | TIMED) && said[8..].iter().all(|&kind| kind == CANCEL));
        assert!(bus.close(Duration::ZERO).is_ok());
    }
}

#[test]
fn offers_of_more_than_was_asked_for_or_than_fits() {
    let _watchdog = watchdog("forged terms of calls");
    let offer = || wire::offer([RING, 4096], [RING, 4096], 0).for_calls();
    let with = |at: usize, word: u64| {
        let mut offer = offer();
        offer.words[at] = word;
        offer
    };
    let calls = |calls: u64, inline: u64| with(CALLS_AT, calls | inline << 32);
    for (what, offer, violation) in [
        ("no calls", calls(0, 256), Violation::Geometry),
        ("more calls than asked for", calls(65, 48), Violation::Geometry),
        ("more calls than an id has places", calls(100_000, 48), Violation::Geometry),
        ("calls without end", calls(u32::MAX.into(), 48), Violation::Geometry),
        ("longer frames than asked for", calls(1, 2048), Violation::Geometry),
        ("frames without end", calls(1, u32::MAX.into()), Violation::Geometry),
        ("more than the rings bear", calls(64, 1024), Violation::Geometry),
        ("a ring too small for what it says", with(GEOMETRY_AT, 1024), Violation::Geometry),
        ("another kind of session", with(0, wire::BUS), Violation::Handshake),
    ] {
        assert_eq!(connect_to(offer), Cause::Corrupt(violation), "{what}");
    }
}

/// What connecting to a listener with this offer answers.
fn connect_to(mut offer: Message) -> Cause {
    let scratch = Scratch::new();
    let address = scratch.path("rpc");
    let listener = SocketListener::bind(&address);
    thread::scope(|scope| {
        scope.spawn(|| {
            let socket = listener.accept();
            assert_eq!(socket.receive().expect("a hello").message.tag, wire::HELLO);
            let [_, _, ring, returns] = offer.geometry();
            let mine = raw::memory::Segment::outbox(ring, returns);
            *offer.words.last_mut().expect("an offer has words") = mine.len() as u64;
            assert!(socket.send_with(&offer.bytes(), &[mine.fd()]));
            socket.await_hang_up();
        });
        RpcBus::connect(&address, &Options::default()).expect_err("no session").cause()
    })
}

#[test]
fn random_frames_end_in_corrupt_or_in_nothing() {
    let _watchdog = watchdog("random frames");
    let mut chance = Chance::of_today();
    let end_of_test = Instant::now() + Duration::from_millis(2000);
    while Instant::now() < end_of_test {
        let (_scratch, mut end, mut bus) = server(Options::default().trust(Trust::Untrusted).wait(Wait::Park));
        if chance.below(2) == 0 {
            bus.on_request(|mut request| {
                let _ = request.bus().request_until(0, b"", Deadline::after(Duration::from_micros(50)));
            });
        }
        let mut attacker = Chance::new(chance.number());
        let region = end.make_region(0, 1 << 16);
        meanwhile(
            || {
                scribble(&mut end, &mut attacker);
                region.store_u64(attacker.below(1 << 13) * 8, attacker.number());
            },
            || survive(&mut bus, &mut chance),
        );
    }
}

/// Uses a session for a while, by all calls, with a peer that may say anything.
fn survive(bus: &mut RpcBus, chance: &mut Chance) {
    let over = Instant::now() + Duration::from_millis(30);
    let mut open = vec![0];
    while Instant::now() < over {
        let time = Deadline::after(Duration::from_micros(50));
        let payload = vec![1; chance.below(400)];
        let answer = match chance.below(6) {
            0 => bus.serve_until(time).map(|request| open.push(request.id())),
            1 => bus.request_until(0, &payload, time).map(drop).map_err(|error| error.cause()),
            2 => bus.try_call(0, &payload).map(|call| bus.cancel(call)),
            3 => bus.note_until(0, &vec![2; 2000], time),
            4 => bus.reply(open.pop().unwrap_or(0), 0, &payload),
            _ => match bus.run_until(time) {
                Err(Cause::InvalidArgument { .. }) => Ok(()),
                other => other,
            },
        };
        match answer {
            Err(Cause::Corrupt(_)) => break,
            Err(cause @ (Cause::System | Cause::Config | Cause::Forked)) => panic!("a strange answer: {cause:?}"),
            _ => {}
        }
    }
}

/// Says something: mostly what could be true.
fn scribble(end: &mut End, chance: &mut Chance) {
    let id = id(chance.below(3) as u32 + 1, chance.below(CALLS as usize) as u32);
    let room = end.tail < end.theirs.load_u64(READ) + RING - 1024 && end.tail % RING < RING - 1024;
    match chance.below(12) {
        0..5 if room => end.say([REQUEST, REPLY, NOTE, CANCEL, ERROR][chance.below(5)], 0, id, &[3; 100]),
        5 if room => {
            let block = Descriptor { region: 0, generation: 1, offset: chance.below(300) as u64 * 256, len: 3000 };
            end.name_block([REQUEST, REPLY, NOTE][chance.below(3)], 0, id, block);
        }
        6 if room => end.say(chance.below(32) as u64, 0, chance.number() as u32, &[1; 40]),
        7..9 => drop(end.try_hear()),
        9 => end.mine.store_u64(PARKED, chance.number() >> chance.below(64)),
        10 if chance.below(50) == 0 => end.mine.store_u64(RETURNS, chance.number() >> chance.below(64)),
        11 if chance.below(50) == 0 => end.mine.store_u64(chance.below(end.mine.len() / 8) * 8, chance.number()),
        _ => {}
    }
}
