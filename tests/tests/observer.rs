//! Observers: what they see of sessions that come, go, work and die; and that nobody who is observed notices.

use slipring::{
    Bus, Cause, Deadline, Listener, Observer, Options, Refusal, RpcBus, Server, SessionKind, Trust, Violation,
};
use slipring_tests::alone::{alone, in_child};
use slipring_tests::backend::trusts;
use slipring_tests::pair::soon;
use slipring_tests::peer;
use slipring_tests::proc::{await_that, holdings};
use slipring_tests::raw::memory::{SEALS, Segment};
use slipring_tests::raw::socket::{Socket, SocketListener};
use slipring_tests::raw::wire::{self, BOARD_BYTES, Message};
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog;
use std::thread;
use std::time::Duration;

/// An observer of `listener`, which is in an accepting call for it.
fn observer_of(listener: &mut Listener) -> Observer {
    let address = listener.address();
    let observing = thread::spawn(move || Observer::connect(&address, soon()));
    while !observing.is_finished() {
        let error = listener.accept_bus_until(Deadline::after(Duration::from_millis(5))).expect_err("no client");
        assert_eq!(error.cause(), Cause::Timeout);
    }
    observing.join().expect("no panic").expect("a board")
}

/// Takes a frame and gives it back.
fn receive(bus: &mut Bus) {
    drop(bus.recv().expect("a frame"));
}

/// Has an end show its counters now.
fn note(bus: &Bus) {
    let _ = bus.stats();
}

/// A session of `listener`'s: the end that sends, and the one that receives.
fn session_of(listener: &mut Listener, options: &Options) -> (Bus, Bus) {
    let (address, options) = (listener.address(), options.clone());
    let connecting = thread::spawn(move || Bus::connect(&address, &options));
    let receives = listener.accept_bus_until(soon()).expect("a session");
    (connecting.join().expect("no panic").expect("a session"), receives)
}

#[test]
fn an_observer_sees_every_session_with_its_counts() {
    let _watchdog = watchdog("an observer of sessions");
    for &trust in trusts("observers under Untrusted") {
        let scratch = Scratch::new();
        let options = Options::default().trust(trust);
        let mut listener = Listener::bind(&scratch.path("bus"), &options).expect("a name");
        let (mut sends, mut receives) = session_of(&mut listener, &options);
        let observer = observer_of(&mut listener);
        let (quiet, _other) = session_of(&mut listener, &options.clone().counters(false));
        for _ in 0..10 {
            sends.publish(1, b"0123456789").expect("room");
            receive(&mut receives);
        }
        note(&receives);
        let seen = observer.look();
        assert_eq!((seen.opened, seen.open, seen.unshown, seen.torn), (2, 2, 0, 0));
        let [one, two] = seen.sessions[..] else { panic!("{seen:?}") };
        assert_eq!((one.session, one.kind, one.pid), (1, SessionKind::Bus, std::process::id()));
        assert_eq!((one.ours.frames_received, one.ours.bytes_received), (10, 100));
        assert!(one.theirs.is_some_and(|theirs| theirs.frames_sent == 10));
        assert!(one.age < Duration::from_secs(3600));
        assert_eq!((two.session, two.theirs), (2, None));
        drop(receives);
        assert_eq!(observer.sessions().iter().map(|seen| seen.session).collect::<Vec<_>>(), [2]);
        drop((quiet, sends));
    }
}

#[test]
fn sessions_that_come_and_go_are_never_seen_half() {
    let _watchdog = watchdog("an observer of coming and going");
    let scratch = Scratch::new();
    let mut listener = Listener::bind(&scratch.path("bus"), &Options::small()).expect("a name");
    let observer = observer_of(&mut listener);
    assert!(observer.sessions().is_empty(), "an observer may come first");
    let churning = thread::spawn(move || {
        for round in 0..100_u32 {
            let (mut sends, mut receives) = session_of(&mut listener, &Options::small());
            for _ in 0..round {
                sends.publish(1, b"12345").expect("room");
                receive(&mut receives);
                note(&receives);
            }
        }
    });
    let mut most = 0;
    while !churning.is_finished() {
        let seen = observer.look();
        assert!(seen.sessions.len() <= 1);
        for one in seen.sessions {
            assert!(one.session >= most, "a session that ended is not seen again");
            most = one.session;
            assert_eq!(one.ours.bytes_received, 5 * one.ours.frames_received);
            let theirs = one.theirs.map_or(0, |theirs| theirs.frames_sent);
            assert!(theirs >= one.ours.frames_received || theirs == 0, "{one:?}");
        }
    }
    churning.join().expect("no panic");
    let seen = observer.look();
    assert_eq!((seen.opened, seen.open, seen.sessions.len()), (100, 0, 0));
}

#[test]
fn a_server_is_observed_while_it_serves() {
    let _watchdog = watchdog("an observer of a server");
    let scratch = Scratch::new();
    let address = scratch.path("sums");
    let mut server = Server::bind(&address, &Options::default())
        .expect("a name")
        .on_request(|_, request| request.reply(1, b"yes").expect("a reply never waits"));
    let stopper = server.stopper();
    let serving = thread::spawn(move || server.run());
    let mut calls = RpcBus::connect_until(&address, &Options::default(), soon()).expect("a session");
    let observer = Observer::connect(&address, soon()).expect("a board");
    for _ in 0..50 {
        assert_eq!(&calls.request_until(1, b"?", soon()).expect("a reply")[..], b"yes");
    }
    // The server sleeps before long, and writes down what it did first.
    await_that(|| observer.sessions().iter().any(|seen| seen.ours.frames_sent == 50));
    let [seen] = observer.sessions()[..] else { panic!("one session") };
    assert_eq!((seen.kind, seen.ours.frames_received, seen.ours.bytes_received), (SessionKind::Rpc, 50, 50));
    stopper.stop();
    serving.join().expect("no panic").expect("stopped");
}

#[test]
fn a_stopped_server_is_read_as_it_last_was_and_a_dead_one_too() {
    let _watchdog = watchdog("an observer of a stopped server");
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    let mut server = peer!();
    server.must(&format!("bind {address}"));
    server.tell("accept");
    let mut bus = Bus::connect_until(&address, &Options::default(), soon()).expect("a session");
    assert_eq!(server.answer(), "ok");
    for number in 0..5 {
        let payload = slipring_tests::frames::payload(number, 100);
        bus.publish(slipring_tests::frames::type_id(number), &payload).expect("room");
    }
    server.must("recv 5");
    assert!(server.number("stat parks") < u64::MAX, "which is a calm moment");
    server.tell("accept within=60000");
    let observer = Observer::connect(&address, soon()).expect("a board");
    server.stop();
    for _ in 0..3 {
        let [seen] = observer.sessions()[..] else { panic!("one session") };
        assert_eq!((seen.ours.frames_received, seen.pid), (5, std::process::id()));
    }
    server.kill();
    assert_eq!(observer.sessions().len(), 1, "what it last wrote stays");
    let gone = Observer::connect(&address, Deadline::NOW).expect_err("nobody listens");
    assert_eq!(gone.cause(), Cause::NotFound);
}

#[test]
fn an_observer_that_dies_or_stops_costs_nothing() {
    alone("an_observer_that_dies_or_stops_costs_nothing", || {
        let _watchdog = watchdog("observers that die");
        let scratch = Scratch::new();
        let mut listener = Listener::bind(&scratch.path("bus"), &Options::small()).expect("a name");
        let (mut sends, mut receives) = session_of(&mut listener, &Options::small());
        let before = holdings(std::process::id());
        let mut observers: Vec<_> = (0..5).map(|_| peer!()).collect();
        for observer in &mut observers {
            observer.tell(&format!("observe {} within=10000", listener.address()));
            while !observer.has_answered() {
                let _ = listener.accept_bus_until(Deadline::after(Duration::from_millis(5)));
            }
            assert_eq!(observer.answer(), "ok 1");
        }
        observers[0].stop();
        observers[1].kill();
        for _ in 0..100 {
            sends.publish(1, b"on").expect("room");
            receive(&mut receives);
            note(&receives);
        }
        drop(observers);
        assert_eq!((listener.refused(), receives.stats().frames_received), (0, 100));
        let after = holdings(std::process::id());
        // Of the first observer the board stays: a descriptor and a map.
        assert_eq!((after.fds, after.segments), (before.fds + 1, before.segments + 1));
    });
}

#[test]
fn no_session_costs_a_descriptor_more_for_being_seen() {
    alone("no_session_costs_a_descriptor_more_for_being_seen", || {
        let _watchdog = watchdog("descriptors of sessions");
        let count = || std::fs::read_dir("/proc/self/fd").expect("proc").count();
        let cost = |counters: bool| {
            let scratch = Scratch::new();
            let options = Options::small().counters(counters);
            let mut listener = Listener::bind(&scratch.path("bus"), &options).expect("a name");
            let first = session_of(&mut listener, &options);
            let observer = counters.then(|| observer_of(&mut listener));
            let before = count();
            let sessions: Vec<_> = (0..10).map(|_| session_of(&mut listener, &options)).collect();
            let more = count() - before;
            drop((first, sessions, observer));
            more
        };
        assert_eq!(cost(true), cost(false));
    });
}

#[test]
fn who_shows_nothing_says_so() {
    let _watchdog = watchdog("an unobservable listener");
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    let options = Options::default().counters(false);
    let mut listener = Listener::bind(&address, &options).expect("a name");
    let observing = thread::spawn(move || Observer::connect(&address, soon()));
    while !observing.is_finished() {
        let _ = listener.accept_bus_until(Deadline::after(Duration::from_millis(5)));
    }
    let error = observing.join().expect("no panic").expect_err("nothing is shown");
    assert_eq!(error.cause(), Cause::Refused { why: Refusal::Unobserved });
    assert_eq!(listener.refused(), 1);
}

#[test]
fn observers_that_say_anything_else_are_refused_and_the_rest_is_served() {
    let _watchdog = watchdog("hostile observers");
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    let mut listener = Listener::bind(&address, &Options::default()).expect("a name");
    let with = |change: &dyn Fn(&mut Message)| {
        let mut message = wire::observe();
        change(&mut message);
        message.bytes()
    };
    let (version, malformed) = (4, 5);
    for (what, bytes, reason) in [
        ("an older version", with(&|message| message.version = 3), version),
        ("a word too many", with(&|message| message.words.push(1)), malformed),
        ("a length that is too long", with(&|message| message.told = Some(300)), malformed),
        ("another magic", with(&|message| message.magic = 7), malformed),
        ("a board", wire::board(BOARD_BYTES).bytes(), malformed),
        ("garbage", vec![0xAA; 64], malformed),
    ] {
        let socket = Socket::connect(&address);
        assert!(socket.send(&bytes));
        assert_eq!(listener.try_accept_bus().expect_err("no session").cause(), Cause::Empty);
        assert_eq!(socket.receive().expect("an answer").message.reason(), reason, "{what}");
    }
    let segment = Segment::new(4096);
    let with_a_descriptor = Socket::connect(&address);
    assert!(with_a_descriptor.send_with(&wire::observe().bytes(), &[segment.fd()]));
    let silent = Socket::connect(&address);
    let half = Socket::connect(&address);
    assert!(half.send(&wire::observe().bytes()[..9]));
    assert!(observer_of(&mut listener).sessions().is_empty());
    assert!(with_a_descriptor.receive().expect("an answer").message.tag == wire::REFUSAL);
    drop((silent, half));
    let honest = Socket::connect(&address);
    assert!(honest.send(&wire::observe().bytes()));
    assert_eq!(listener.try_accept_bus().expect_err("no session").cause(), Cause::Empty);
    let board = honest.receive().expect("a board");
    assert_eq!((board.message.tag, &board.message.words[..], board.fds.len()), (wire::BOARD, &[BOARD_BYTES][..], 1));
    let fd = &board.fds[0];
    assert!(rustix::fs::fcntl_get_seals(fd).expect("a memfd").contains(SEALS));
    let refused = rustix::io::write(fd, b"mine now").expect_err("it can only be read");
    assert!(matches!(refused, rustix::io::Errno::BADF | rustix::io::Errno::PERM), "{refused}");
}

/// What an observer answers to a listener that answers like this.
fn observe_what(answer: impl FnOnce(Socket) + Send) -> Cause {
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    let listener = SocketListener::bind(&address);
    thread::scope(|scope| {
        scope.spawn(|| answer(listener.accept()));
        Observer::connect(&address, Deadline::NOW).expect_err("no board").cause()
    })
}

#[test]
fn listeners_that_answer_an_observer_with_anything_else_are_an_error() {
    let _watchdog = watchdog("hostile boards");
    let hear = |socket: &Socket| assert_eq!(socket.receive().expect("a hello").message.tag, wire::OBSERVE);
    let cases: [(&str, u64, Segment, Cause); 5] = [
        ("no seals", BOARD_BYTES, Segment::new(BOARD_BYTES as usize), Cause::Corrupt(Violation::Seals)),
        ("another length", 4096, Segment::new(4096).sealed(SEALS), Cause::Corrupt(Violation::SegmentSize)),
        (
            "another length than it says",
            BOARD_BYTES,
            Segment::new(4096).sealed(SEALS),
            Cause::Corrupt(Violation::SegmentSize),
        ),
        (
            "no board",
            BOARD_BYTES,
            Segment::new(BOARD_BYTES as usize).sealed(SEALS),
            Cause::Corrupt(Violation::Handshake),
        ),
        ("an overflow", u64::MAX, Segment::new(4096).sealed(SEALS), Cause::Corrupt(Violation::SegmentSize)),
    ];
    for (what, told, segment, cause) in cases {
        let found = observe_what(|socket| {
            hear(&socket);
            socket.send_with(&wire::board(told).bytes(), &[segment.fd()]);
            socket.await_hang_up();
        });
        assert_eq!(found, cause, "{what}");
    }
    let none = observe_what(|socket| {
        hear(&socket);
        socket.send(&wire::board(BOARD_BYTES).bytes());
        socket.await_hang_up();
    });
    assert_eq!(none, Cause::Corrupt(Violation::Descriptors));
    let settled = observe_what(|socket| {
        hear(&socket);
        socket.send(&wire::settled().bytes());
        socket.await_hang_up();
    });
    assert_eq!(settled, Cause::Corrupt(Violation::Handshake));
    assert_eq!(observe_what(|socket| hear(&socket)), Cause::PeerDied);
}

#[test]
fn boards_that_say_anything_are_read_within_their_bounds() {
    let _watchdog = watchdog("a forged board");
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    let listener = SocketListener::bind(&address);
    for forged in [u64::MAX, 0, 2, 1 << 62] {
        let board = Segment::new(BOARD_BYTES as usize).sealed(SEALS);
        for word in 1..1 << 16 {
            board.store_u64(8 * word, forged);
        }
        board.write(0, b"SLIPBORD");
        let observer = thread::scope(|scope| {
            scope.spawn(|| {
                let socket = listener.accept();
                socket.receive().expect("a hello");
                socket.send_with(&wire::board(BOARD_BYTES).bytes(), &[board.fd()]);
            });
            Observer::connect(&address, Deadline::NOW).expect("a board")
        });
        let seen = observer.look();
        assert!(seen.sessions.len() + seen.torn as usize <= 1023, "{forged}: {}", seen.sessions.len());
        assert_eq!(seen.opened, forged);
    }
}

#[test]
fn a_forked_child_reads_on_and_disturbs_nothing() {
    alone("a_forked_child_reads_on_and_disturbs_nothing", || {
        let _watchdog = watchdog("a board across a fork");
        let scratch = Scratch::new();
        let mut listener = Listener::bind(&scratch.path("bus"), &Options::small()).expect("a name");
        let (mut sends, receives) = session_of(&mut listener, &Options::small());
        let observer = observer_of(&mut listener);
        let mut receives = Some(receives);
        let code = in_child(|| {
            let seen = observer.sessions().len();
            // Its copy of the session ends without a word on the board.
            drop(receives.take());
            i32::from(seen != 1 || observer.sessions().len() != 1)
        });
        assert_eq!(code, 0);
        let mut receives = receives.expect("the parent's");
        sends.publish(1, b"on").expect("room");
        receive(&mut receives);
        note(&receives);
        assert_eq!(observer.sessions()[0].ours.frames_received, 1);
        drop(receives);
        assert!(observer.sessions().is_empty());
    });
}

#[test]
fn a_listener_that_goes_leaves_its_board_to_the_sessions() {
    let _watchdog = watchdog("a board without a listener");
    let scratch = Scratch::new();
    let options = Options::small().trust(Trust::SameUser);
    let mut listener = Listener::bind(&scratch.path("bus"), &options).expect("a name");
    let (mut sends, mut receives) = session_of(&mut listener, &options);
    let observer = observer_of(&mut listener);
    drop(listener);
    sends.publish(1, b"still").expect("room");
    receive(&mut receives);
    note(&receives);
    assert_eq!(observer.sessions()[0].ours.frames_received, 1);
    drop(receives);
    assert_eq!(observer.look().open, 0);
}
