//! Clients that shake hands as no honest one does: each is told the reason, nothing of it stays open, and good clients are
//! served meanwhile.

use slipring::{Cause, Deadline, Listener, Options};
use slipring_tests::alone::alone;
use slipring_tests::raw;
use slipring_tests::raw::memory::{Segment, outbox_len};
use slipring_tests::raw::outboxes::bad_outboxes;
use slipring_tests::raw::socket::{MOST_FDS, Socket};
use slipring_tests::raw::wire::{self, Message, NO_RETURNS, RECEIVING_RING, RETURNS};
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog;
use slipring_tests::{peer, proc};
use std::fs::File;
use std::os::fd::AsFd;
use std::time::Duration;

/// Reasons of a refusal, by number.
const BUSY: u64 = 3;
const VERSION: u64 = 4;
const MALFORMED: u64 = 5;
const SEGMENT: u64 = 6;
const SLOW: u64 = 8;
const CLOSING: u64 = 9;

/// The ring that the listeners of these tests ask for.
const RING: u64 = 4096;

fn listener(scratch: &Scratch, options: Options) -> Listener {
    Listener::bind(&scratch.path("bus"), &options.capacity(RING as usize)).expect("a name")
}

/// Lets the listener work on what has come: it must not find a session.
fn work(listener: &mut Listener) {
    assert_eq!(listener.try_accept_bus().expect_err("no session").cause(), Cause::Empty);
}

/// The listener's answer to `socket`, which must be a refusal, and the last thing that it says.
fn refusal(listener: &mut Listener, socket: &Socket) -> u64 {
    work(listener);
    let answer = socket.receive().expect("a reason");
    assert!(!answer.message.text.is_empty(), "in words too");
    assert!(socket.receive().is_none(), "and then it hangs up");
    answer.message.reason()
}

fn serves_a_good_client(listener: &mut Listener) {
    let (mut end, mut bus) = raw::client_of(listener);
    end.publish(7, b"good");
    let lease = bus.recv().expect("a frame");
    assert_eq!((lease.type_id(), &lease[..]), (7, &b"good"[..]));
}

/// Every first message that is no hello, and the reason that its sender is told.
fn bad_hellos() -> Vec<(&'static str, Vec<u8>, u64)> {
    let hello = wire::hello();
    let with = |change: &dyn Fn(&mut Message)| {
        let mut message = hello.clone();
        change(&mut message);
        message.bytes()
    };
    let word = |at: usize, word: u64| with(&|message| message.words[at] = word);
    vec![
        ("garbage", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), MALFORMED),
        ("zeros", vec![0; 72], MALFORMED),
        ("another magic", with(&|message| message.magic ^= 1), MALFORMED),
        ("an older version", with(&|message| message.version = 0), VERSION),
        ("a newer version", with(&|message| message.version = u32::MAX), VERSION),
        (
            "a newer version of another length",
            with(&|message| (message.version, message.told) = (9, Some(9999))),
            VERSION,
        ),
        ("no kind of message", with(&|message| message.tag = 0), MALFORMED),
        ("an unknown kind of message", with(&|message| message.tag = 6), MALFORMED),
        ("an offer", wire::offer([RING, NO_RETURNS], [RECEIVING_RING, RETURNS], 4096).bytes(), MALFORMED),
        ("an accept", wire::accept(4096).bytes(), MALFORMED),
        ("an acknowledgement", wire::settled().bytes(), MALFORMED),
        ("a refusal", wire::refusal(1, "no").bytes(), MALFORMED),
        ("a word too few", with(&|message| message.words.truncate(message.words.len() - 1)), MALFORMED),
        ("a word too many", with(&|message| message.words.push(0)), MALFORMED),
        ("a byte too many", with(&|message| message.text.push(0)), MALFORMED),
        ("no body", with(&|message| message.words.clear()), MALFORMED),
        ("a body too long to read", with(&|message| message.told = Some(257)), MALFORMED),
        ("a body of four gigabytes", with(&|message| message.told = Some(u32::MAX)), MALFORMED),
        ("no kind of session", word(0, 0), MALFORMED),
        ("an unknown kind of session", word(0, u64::MAX), MALFORMED),
        ("an unknown trust", word(1, 2), MALFORMED),
        ("an impossible processor", word(3, 1 << 32), MALFORMED),
    ]
}

#[test]
fn a_first_message_that_is_no_hello_is_refused_with_the_reason() {
    alone("a_first_message_that_is_no_hello_is_refused_with_the_reason", || {
        let _watchdog = watchdog("bad hellos");
        let scratch = Scratch::new();
        let mut listener = listener(&scratch, Options::default());
        serves_a_good_client(&mut listener);
        let before = proc::holdings(std::process::id());
        for (count, (what, bytes, reason)) in bad_hellos().into_iter().enumerate() {
            let socket = Socket::connect(&listener.address());
            assert!(socket.send(&bytes));
            assert_eq!(refusal(&mut listener, &socket), reason, "{what}");
            assert_eq!(listener.refused(), count as u64 + 1, "{what}");
            serves_a_good_client(&mut listener);
        }
        assert_nothing_stays(before);
    });
}

/// Descriptors, segments and threads are as before.
fn assert_nothing_stays(before: proc::Holdings) {
    let after = proc::holdings(std::process::id());
    let files = proc::open_files(std::process::id());
    assert_eq!((after.fds, after.segments, after.threads), (before.fds, before.segments, before.threads), "{files:?}");
}

#[test]
fn descriptors_that_come_with_a_hello_are_refused_and_closed() {
    alone("descriptors_that_come_with_a_hello_are_refused_and_closed", || {
        let _watchdog = watchdog("hellos with descriptors");
        let scratch = Scratch::new();
        let mut listener = listener(&scratch, Options::default());
        let null = File::open("/dev/null").expect("/dev/null");
        serves_a_good_client(&mut listener);
        let before = proc::holdings(std::process::id());
        for count in [1, 2, 4, 5, MOST_FDS] {
            for_one_client(&mut listener, |socket| {
                assert!(socket.send_with(&wire::hello().bytes(), &vec![null.as_fd(); count]));
            });
            serves_a_good_client(&mut listener);
        }
        for_one_client(&mut listener, |socket| {
            // One with each byte.
            for byte in wire::hello().bytes() {
                assert!(socket.send_with(&[byte], &[null.as_fd()]));
            }
        });
        for_one_client(&mut listener, |socket| {
            // An accept that does not wait for the offer, with its segment on the first byte.
            let segment = Segment::outbox(RING, NO_RETURNS);
            let both = [wire::hello().bytes(), wire::accept(segment.len() as u64).bytes()].concat();
            assert!(socket.send_with(&both, &[segment.fd()]));
        });
        assert_nothing_stays(before);
    });
}

/// Connects, lets `act` send what must be refused for its descriptors, and leaves.
fn for_one_client(listener: &mut Listener, act: impl FnOnce(&Socket)) {
    let socket = Socket::connect(&listener.address());
    act(&socket);
    assert_eq!(refusal(listener, &socket), SEGMENT);
}

#[test]
fn an_outbox_that_could_harm_its_reader_is_refused_by_the_listener() {
    alone("an_outbox_that_could_harm_its_reader_is_refused_by_the_listener", || {
        let _watchdog = watchdog("bad outboxes");
        let scratch = Scratch::new();
        let mut listener = listener(&scratch, Options::default());
        serves_a_good_client(&mut listener);
        let before = proc::holdings(std::process::id());
        for bad in bad_outboxes(outbox_len(RING, NO_RETURNS)) {
            let what = bad.what;
            let socket = Socket::connect(&listener.address());
            assert!(socket.send(&wire::hello().bytes()));
            work(&mut listener);
            assert_eq!(socket.receive().expect("an offer").message.client_ring(), RING);
            assert!(socket.send_with(&wire::accept(bad.told).bytes(), &bad.fds()), "{what}");
            assert_eq!(refusal(&mut listener, &socket), SEGMENT, "{what}");
            serves_a_good_client(&mut listener);
        }
        assert_nothing_stays(before);
    });
}

#[test]
fn a_second_message_that_is_no_accept_is_refused() {
    let _watchdog = watchdog("bad accepts");
    let scratch = Scratch::new();
    let mut listener = listener(&scratch, Options::default());
    let long = Message { words: vec![8192, 0], ..wire::accept(0) };
    let newer = Message { version: 9, ..wire::accept(8192) };
    for (bytes, reason) in [
        (wire::hello().bytes(), MALFORMED),
        (wire::settled().bytes(), MALFORMED),
        (long.bytes(), MALFORMED),
        (newer.bytes(), VERSION),
        (vec![0xff; 300], MALFORMED),
        // Two bells: that is for later.
        (vec![0; 20], MALFORMED),
    ] {
        let socket = Socket::connect(&listener.address());
        assert!(socket.send(&wire::hello().bytes()));
        work(&mut listener);
        drop(socket.receive().expect("an offer"));
        assert!(socket.send(&bytes));
        assert_eq!(refusal(&mut listener, &socket), reason, "{bytes:?}");
    }
    serves_a_good_client(&mut listener);
}

#[test]
fn a_client_that_hangs_up_at_any_byte_is_counted_and_forgotten() {
    let _watchdog = watchdog("clients that hang up");
    let scratch = Scratch::new();
    let mut listener = listener(&scratch, Options::default());
    let hello = wire::hello().bytes();
    for len in 0..hello.len() {
        let socket = Socket::connect(&listener.address());
        assert!(len == 0 || socket.send(&hello[..len]));
        work(&mut listener);
        drop(socket);
        work(&mut listener);
        assert_eq!(listener.refused(), len as u64 + 1);
    }
    serves_a_good_client(&mut listener);
}

#[test]
fn a_good_client_may_send_byte_by_byte() {
    let _watchdog = watchdog("a slow client");
    let scratch = Scratch::new();
    let mut listener = listener(&scratch, Options::default());
    let socket = Socket::connect(&listener.address());
    for byte in wire::hello().bytes() {
        assert!(socket.send(&[byte]));
        work(&mut listener);
    }
    assert_eq!(socket.receive().expect("an offer").message.client_ring(), RING);
    let segment = Segment::outbox(RING, NO_RETURNS);
    let accept = wire::accept(segment.len() as u64).bytes();
    assert!(socket.send_with(&accept[..1], &[segment.fd()]));
    for byte in &accept[1..accept.len() - 1] {
        work(&mut listener);
        assert!(socket.send(&[*byte]));
    }
    work(&mut listener);
    assert!(socket.send(&accept[accept.len() - 1..]));
    listener.try_accept_bus().expect("a session");
    assert_eq!(listener.refused(), 0);
}

#[test]
fn silent_clients_are_told_that_they_are_slow_while_good_ones_are_served() {
    let _watchdog = watchdog("silent clients");
    let scratch = Scratch::new();
    let mut listener = listener(&scratch, Options::default().handshake_timeout(Duration::from_millis(400)));
    let connect = || Socket::connect(&scratch.path("bus"));
    let (silent, half, offered) = (connect(), connect(), connect());
    assert!(half.send(&wire::hello().bytes()[..30]));
    assert!(offered.send(&wire::hello().bytes()));
    work(&mut listener);
    drop(offered.receive().expect("an offer"));
    for _ in 0..10 {
        serves_a_good_client(&mut listener);
    }
    let none = listener.accept_bus_until(Deadline::after(Duration::from_millis(800)));
    assert_eq!(none.expect_err("nobody else came").cause(), Cause::Timeout);
    for socket in [silent, half, offered] {
        assert_eq!(socket.receive().expect("a reason").message.reason(), SLOW);
        assert!(socket.receive().is_none());
    }
    assert_eq!(listener.refused(), 3);
}

#[test]
fn more_silent_clients_than_there_is_room_for_do_not_keep_a_good_one_out() {
    let _watchdog = watchdog("a crowd of silent clients");
    let scratch = Scratch::new();
    let mut listener = listener(&scratch, Options::default().pending_limit(4));
    // Each four of them have a second to say something; then they make room for the next four.
    let silent: Vec<_> = (0..8).map(|_| Socket::connect(&listener.address())).collect();
    work(&mut listener);
    assert_eq!(listener.refused(), 0, "they have their time");
    let mut good = peer!();
    good.tell(&format!("connect {}", listener.address()));
    let mut bus = listener.accept_bus().expect("a session");
    assert_eq!(good.answer(), "ok");
    good.must("send 1 10");
    assert_eq!(bus.recv().expect("a frame").len(), 10);
    // Those in front of it had to make room.
    let evicted = listener.refused();
    assert!((5..=8).contains(&evicted), "{evicted}");
    assert_eq!(silent[0].receive().expect("a reason").message.reason(), BUSY);
    drop(listener);
    assert!(silent.iter().all(|socket| socket.receive().is_none_or(|last| last.message.reason() >= BUSY)));
}

#[test]
fn clients_in_mid_handshake_are_told_when_the_listener_closes() {
    let _watchdog = watchdog("a closing listener");
    let scratch = Scratch::new();
    let mut listener = listener(&scratch, Options::default());
    let (silent, offered) = (Socket::connect(&listener.address()), Socket::connect(&listener.address()));
    assert!(offered.send(&wire::hello().bytes()));
    work(&mut listener);
    drop(offered.receive().expect("an offer"));
    drop(listener);
    for socket in [silent, offered] {
        assert_eq!(socket.receive().expect("a reason").message.reason(), CLOSING);
        assert!(socket.receive().is_none());
    }
}
