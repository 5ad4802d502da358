//! Listeners that shake hands as no honest one does: whoever connects to them gets an error by its cause, in time, and
//! keeps nothing.

use slipring::{Bus, Cause, Deadline, Options, Refusal, Violation};
use slipring_tests::alone::{alone, fork};
use slipring_tests::proc;
use slipring_tests::raw::memory::{SEALS, Segment, outbox_len};
use slipring_tests::raw::outboxes::bad_outboxes;
use slipring_tests::raw::socket::{Socket, SocketListener};
use slipring_tests::raw::wire::{self, GEOMETRY_AT, Message, NO_RETURNS, RECEIVING_RING, RETURNS};
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

/// The ring that the listeners of these tests ask for.
const RING: u64 = 4096;

/// A connect to a listener that does `act` to its one client: what it answers.
fn connect_to_with(options: &Options, act: impl FnOnce(Socket) + Send) -> Cause {
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    let listener = SocketListener::bind(&address);
    thread::scope(|scope| {
        scope.spawn(|| act(listener.accept()));
        Bus::connect(&address, options).expect_err("no session").cause()
    })
}

fn connect_to(act: impl FnOnce(Socket) + Send) -> Cause {
    connect_to_with(&Options::default(), act)
}

/// Takes the hello, answers it, and stays until the client leaves.
fn answer_hello(socket: &Socket, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
    assert_eq!(socket.receive().expect("a hello").message.tag, wire::HELLO);
    socket.send_with(bytes, fds);
    socket.await_hang_up();
}

/// An honest offer, and the segment to send with it.
fn offer() -> (Message, Segment) {
    let mine = Segment::outbox(RECEIVING_RING, RETURNS);
    (wire::offer([RING, NO_RETURNS], [RECEIVING_RING, RETURNS], mine.len() as u64), mine)
}

/// Goes as far as the client's accept.
fn take_accept(socket: &Socket) {
    let (offer, mine) = offer();
    assert_eq!(socket.receive().expect("a hello").message.tag, wire::HELLO);
    assert!(socket.send_with(&offer.bytes(), &[mine.fd()]));
    let accept = socket.receive().expect("an accept");
    assert_eq!((accept.message.tag, accept.fds.len()), (wire::ACCEPT, 1));
    assert_eq!(accept.message.words, [outbox_len(RING, NO_RETURNS) as u64]);
}

/// Every first answer that is no offer, and what is wrong with it.
fn bad_offers() -> Vec<(&'static str, Vec<u8>, Cause)> {
    const MALFORMED: Cause = Cause::Corrupt(Violation::Handshake);
    const GEOMETRY: Cause = Cause::Corrupt(Violation::Geometry);
    let with = |change: &dyn Fn(&mut Message)| {
        let (mut message, _) = offer();
        change(&mut message);
        message.bytes()
    };
    let word = |at: usize, word: u64| with(&|message| message.words[at] = word);
    let version = |theirs| with(&|message| message.version = theirs);
    vec![
        ("garbage", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), MALFORMED),
        ("another magic", with(&|message| message.magic = 0), MALFORMED),
        ("an older version", version(0), Cause::Version { ours: wire::VERSION, theirs: 0 }),
        ("a newer version", version(7), Cause::Version { ours: wire::VERSION, theirs: 7 }),
        ("an unknown kind of message", with(&|message| message.tag = 77), MALFORMED),
        ("a hello", wire::hello().bytes(), MALFORMED),
        ("an accept", wire::accept(4096).bytes(), MALFORMED),
        ("an acknowledgement", wire::settled().bytes(), MALFORMED),
        ("a word too few", with(&|message| message.words.truncate(message.words.len() - 1)), MALFORMED),
        ("a word too many", with(&|message| message.words.push(0)), MALFORMED),
        ("a body of four gigabytes", with(&|message| message.told = Some(u32::MAX)), MALFORMED),
        ("another kind of session", word(0, 2), MALFORMED),
        ("an unknown kind of session", word(0, 3), MALFORMED),
        ("an unknown trust", word(1, u64::MAX), MALFORMED),
        ("an impossible processor", word(3, u64::MAX - 1), MALFORMED),
        ("no ring for the client", word(GEOMETRY_AT, 0), GEOMETRY),
        ("a ring of no power of two for the client", word(GEOMETRY_AT, 300), GEOMETRY),
        ("a ring below the smallest for the client", word(GEOMETRY_AT, 128), GEOMETRY),
        ("a ring beyond the largest for the client", word(GEOMETRY_AT, 1 << 31), GEOMETRY),
        ("no ring of its own", word(GEOMETRY_AT + 2, 0), GEOMETRY),
        ("a ring of its own beyond the largest", word(GEOMETRY_AT + 2, 1 << 63), GEOMETRY),
        ("no returns for the client", word(GEOMETRY_AT + 1, 0), GEOMETRY),
        ("a number of returns that is no power of two", word(GEOMETRY_AT + 1, 3), GEOMETRY),
        ("more returns than there can be", word(GEOMETRY_AT + 3, 1 << 17), GEOMETRY),
        ("more returns than there can be, in its upper half", word(GEOMETRY_AT + 3, 1 << 32), GEOMETRY),
        (
            "a ring that is larger than its segment",
            word(GEOMETRY_AT + 2, 1 << 20),
            Cause::Corrupt(Violation::SegmentSize),
        ),
        ("a refusal without a reason", Message { words: vec![], ..wire::refusal(0, "") }.bytes(), MALFORMED),
        ("a refusal of many words", wire::refusal(1, &"no".repeat(200)).bytes(), MALFORMED),
    ]
}

#[test]
fn an_answer_that_is_no_offer_is_an_error_by_its_cause() {
    alone("an_answer_that_is_no_offer_is_an_error_by_its_cause", || {
        let _watchdog = watchdog("bad offers");
        connect_to(drop);
        let before = proc::holdings(std::process::id());
        for (what, bytes, cause) in bad_offers() {
            let found = connect_to(|socket| {
                let (_, mine) = offer();
                answer_hello(&socket, &bytes, &[mine.fd()]);
            });
            assert_eq!(found, cause, "{what}");
        }
        let after = proc::holdings(std::process::id());
        assert_eq!((after.fds, after.segments), (before.fds, before.segments));
    });
}

#[test]
fn an_outbox_that_could_harm_its_reader_is_refused_by_the_client() {
    alone("an_outbox_that_could_harm_its_reader_is_refused_by_the_client", || {
        let _watchdog = watchdog("bad outboxes");
        connect_to(drop);
        let before = proc::holdings(std::process::id());
        for bad in bad_outboxes(outbox_len(RECEIVING_RING, RETURNS)) {
            let offer = wire::offer([RING, NO_RETURNS], [RECEIVING_RING, RETURNS], bad.told).bytes();
            let found = connect_to(|socket| answer_hello(&socket, &offer, &bad.fds()));
            assert_eq!(found, Cause::Corrupt(bad.violation), "{}", bad.what);
        }
        let after = proc::holdings(std::process::id());
        assert_eq!((after.fds, after.segments), (before.fds, before.segments));
    });
}

#[test]
fn a_huge_segment_without_pages_is_refused_where_a_huge_ring_is_told() {
    let _watchdog = watchdog("a huge segment of holes");
    let huge = 1 << 30;
    let sparse = Segment::new(outbox_len(huge, RETURNS)).sealed(SEALS);
    let offer = wire::offer([RING, NO_RETURNS], [huge, RETURNS], sparse.len() as u64).bytes();
    let found = connect_to(|socket| answer_hello(&socket, &offer, &[sparse.fd()]));
    assert_eq!(found, Cause::Corrupt(Violation::Sparse));
}

#[test]
fn a_last_message_that_acknowledges_nothing_is_an_error_by_its_cause() {
    let _watchdog = watchdog("bad acknowledgements");
    let newer = Message { version: 9, ..wire::settled() };
    let long = Message { words: vec![0], ..wire::settled() };
    for (bytes, cause) in [
        (wire::hello().bytes(), Cause::Corrupt(Violation::Handshake)),
        (offer().0.bytes(), Cause::Corrupt(Violation::Handshake)),
        (long.bytes(), Cause::Corrupt(Violation::Handshake)),
        (vec![0; 64], Cause::Corrupt(Violation::Handshake)),
        (newer.bytes(), Cause::Version { ours: wire::VERSION, theirs: 9 }),
        (wire::refusal(6, "not like this").bytes(), Cause::Refused { why: Refusal::Segment }),
    ] {
        let found = connect_to(|socket| {
            take_accept(&socket);
            socket.send(&bytes);
            socket.await_hang_up();
        });
        assert_eq!(found, cause, "{bytes:?}");
    }
    let found = connect_to(|socket| {
        take_accept(&socket);
        let null = File::open("/dev/null").expect("/dev/null");
        socket.send_with(&wire::settled().bytes(), &[null.as_fd()]);
        socket.await_hang_up();
    });
    assert_eq!(found, Cause::Corrupt(Violation::Descriptors));
}

#[test]
fn a_refusal_tells_its_reason() {
    let _watchdog = watchdog("refusals");
    let reasons = [
        (1, Refusal::User),
        (2, Refusal::Kind),
        (3, Refusal::Busy),
        (4, Refusal::Version),
        (5, Refusal::Malformed),
        (6, Refusal::Segment),
        (7, Refusal::OutOfMemory),
        (8, Refusal::Slow),
        (9, Refusal::Closing),
        (10, Refusal::Unsealed),
        (11, Refusal::Unobserved),
        (12, Refusal::Other(12)),
        (u64::from(u32::MAX), Refusal::Other(u32::MAX)),
    ];
    for (number, why) in reasons {
        // Right away, without having heard the client, with a text that is none, and with one.
        for text in [&b""[..], b"because", b"\xff\xfe\0\x1b[2J"] {
            let refusal = Message { text: text.to_vec(), ..wire::refusal(number, "") };
            let found = connect_to(|socket| {
                socket.send(&refusal.bytes());
                socket.await_hang_up();
            });
            assert_eq!(found, Cause::Refused { why });
        }
    }
}

#[test]
fn a_listener_that_hangs_up_is_gone_whatever_it_said_before() {
    let _watchdog = watchdog("listeners that hang up");
    assert_eq!(connect_to(drop), Cause::PeerDied);
    let bytes = offer().0.bytes();
    for len in (0..bytes.len()).step_by(5) {
        let found = connect_to(|socket| {
            assert!(socket.receive().is_some());
            assert!(len == 0 || socket.send(&bytes[..len]));
            socket.hang_up();
        });
        assert_eq!(found, Cause::PeerDied, "after {len} bytes of its offer");
    }
    let found = connect_to(|socket| {
        take_accept(&socket);
        socket.send(&wire::settled().bytes()[..9]);
    });
    assert_eq!(found, Cause::PeerDied);
}

#[test]
fn a_listener_that_falls_silent_is_a_timeout() {
    let _watchdog = watchdog("silent listeners");
    // Long enough that the listener gets to its last word even on a machine that is busy elsewhere.
    let time = Duration::from_millis(400);
    let options = Options::default().handshake_timeout(time);
    let acts: [fn(Socket); 4] = [
        |socket| {
            assert!(socket.receive().is_some());
            socket.await_hang_up();
        },
        |socket| {
            let (offer, mine) = offer();
            answer_hello(&socket, &offer.bytes()[..50], &[mine.fd()]);
        },
        |socket| {
            take_accept(&socket);
            socket.await_hang_up();
        },
        |socket| {
            take_accept(&socket);
            assert!(socket.send(&wire::settled().bytes()[..15]));
            socket.await_hang_up();
        },
    ];
    for act in acts {
        let start = Instant::now();
        assert_eq!(connect_to_with(&options, act), Cause::Timeout);
        assert!(start.elapsed() >= time);
    }
}

/// A connect without a deadline to a listener in another process that does `act` to its one client: what it answers. The
/// handshake may take `time`.
fn connect_for_ever(time: Duration, act: fn(&SocketListener)) -> Cause {
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    let listener = SocketListener::bind(&address);
    let _other = fork(|| {
        act(&listener);
        0
    });
    drop(listener);
    let options = Options::default().handshake_timeout(time);
    Bus::connect_until(&address, &options, Deadline::NEVER).expect_err("no session").cause()
}

#[test]
fn a_client_without_a_deadline_gives_up_on_a_listener_that_stops_in_mid_handshake() {
    alone("a_client_without_a_deadline_gives_up_on_a_listener_that_stops_in_mid_handshake", || {
        let _watchdog = watchdog("listeners that stop in mid-handshake");
        let time = Duration::from_millis(200);
        let acts: [fn(&SocketListener); 3] = [
            |listener| {
                let (offer, mine) = offer();
                answer_hello(&listener.accept(), &offer.bytes()[..40], &[mine.fd()]);
            },
            |listener| answer_hello(&listener.accept(), &offer().0.bytes()[..1], &[]),
            |listener| {
                let socket = listener.accept();
                take_accept(&socket);
                socket.await_hang_up();
            },
        ];
        for act in acts {
            let start = Instant::now();
            assert_eq!(connect_for_ever(time, act), Cause::Timeout);
            assert!(start.elapsed() >= time);
        }
    });
}

/// Before the first word of an answer nothing counts but the user's own deadline: a client that stands in the queue of a
/// busy listener finds the same silence.
#[test]
fn a_client_without_a_deadline_waits_for_its_turn_for_longer_than_a_handshake_may_take() {
    alone("a_client_without_a_deadline_waits_for_its_turn_for_longer_than_a_handshake_may_take", || {
        let _watchdog = watchdog("a listener that is long in coming");
        let found = connect_for_ever(Duration::from_millis(20), |listener| {
            thread::sleep(Duration::from_millis(200));
            answer_hello(&listener.accept(), &wire::refusal(2, "").bytes(), &[]);
        });
        assert_eq!(found, Cause::Refused { why: Refusal::Kind });
    });
}

#[test]
fn a_name_at_which_nobody_accepts_is_a_timeout() {
    let _watchdog = watchdog("a listener that never accepts");
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    let _listener = SocketListener::bind(&address);
    let options = Options::default().handshake_timeout(Duration::from_millis(30));
    assert_eq!(Bus::connect(&address, &options).expect_err("nobody").cause(), Cause::Timeout);
    let soon = Deadline::after(Duration::from_millis(30));
    assert_eq!(Bus::connect_until(&address, &options, soon).expect_err("nobody").cause(), Cause::Timeout);
}
