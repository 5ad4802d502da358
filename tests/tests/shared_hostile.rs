//! Peers that break the rules of shared objects: the other end gets `Corrupt` with the rule that was broken, and nothing of it is
//! touched.

use slipring::{Cause, Listener, Options, RpcBus, SharedBuffer, State, Trust, Violation};
use slipring_tests::chance::Chance;
use slipring_tests::hostile::{RECEIVES, assert_corrupt, receiver, receivers, ways};
use slipring_tests::raw::blocks::Descriptor;
use slipring_tests::raw::layout::{BLOCK, DATA, REQUEST, SEEN, TIMED};
use slipring_tests::raw::memory::{SEALS, Segment};
use slipring_tests::raw::objects::{FINAL_SEALS, in_frame, take_back, told};
use slipring_tests::raw::{self, End};
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog;
use std::fs::File;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

const PAGE: usize = 4096;

/// A good frame with a good object, number 0, then what `forge` does; the receiver must get the frame and the violation.
fn assert_found(what: &str, violation: Violation, forge: impl Fn(&mut End)) {
    for (how, call, options) in receivers() {
        let (_scratch, mut end, mut bus) = receiver(options);
        end.make_object(0, b"an object");
        end.name_objects(DATA, 1, 0, b"good", &[0]);
        let lease = bus.recv().expect("a good frame");
        assert_eq!((&lease[..], &lease.shared()[0][..]), (&b"good"[..], &b"an object"[..]));
        let kept = lease.keep();
        forge(&mut end);
        assert_corrupt(&mut bus, call, violation, &format!("{what}, {how}"));
        assert_eq!(&kept.shared()[0][..], b"an object", "{what}");
    }
}

#[test]
fn objects_that_are_not_there() {
    let _watchdog = watchdog("forged names");
    for number in [1, 2, 255, 1 << 32, u64::MAX] {
        assert_found("never announced", Violation::Object, |end| end.name_objects(DATA, 0, 0, b"x", &[number]));
        assert_found("one of them", Violation::Object, |end| end.name_objects(DATA, 0, 0, b"x", &[0, 0, number]));
    }
}

#[test]
fn objects_that_were_taken_back() {
    let _watchdog = watchdog("names of what was taken back");
    for call in RECEIVES {
        for (behind, lives) in [(-64, false), (0, false), (63, false), (64, true), (1 << 40, true)] {
            let (_scratch, mut end, mut bus) = receiver(Options::default());
            end.make_object(0, b"an object");
            end.name_objects(DATA, 1, 0, b"", &[0]);
            drop(bus.recv().expect("a good frame"));
            let position = end.tail.wrapping_add_signed(behind);
            assert!(end.socket.send(&take_back(0, position)));
            assert_eq!(bus.state(), State::Open);
            end.name_objects(DATA, 2, 0, b"", &[0]);
            let expected = if lives { Ok(1) } else { Err(Cause::Corrupt(Violation::Object)) };
            assert_eq!(call(&mut bus), expected, "taken back {behind} behind");
        }
    }
}

#[test]
fn frames_that_do_not_say_what_they_hold() {
    let _watchdog = watchdog("forged ends of frames");
    let good = in_frame(1);
    let cases = [
        ("nine names", told(good, 9)),
        ("fifteen names", told(good, 15)),
        ("no names", told(good, 0)),
        ("a name too few", told(Descriptor { len: 9, ..good }, 0)),
        ("a name too many", told(good, 2)),
        ("a byte too few", told(in_frame(0), 1)),
        ("a byte too many", told(in_frame(2), 1)),
        ("endless", told(in_frame(usize::MAX), 1)),
        ("a region", told(Descriptor { region: 1, ..good }, 1)),
        ("an offset", told(Descriptor { offset: 256, ..good }, 1)),
        ("a generation that no block has", told(Descriptor { generation: 1 << 27, ..good }, 1)),
    ];
    for (what, end_of_frame) in cases {
        let violation = if what.starts_with("a generation") { Violation::Region } else { Violation::Descriptor };
        let violation = if what == "no names" || what == "a name too few" { Violation::Region } else { violation };
        assert_found(what, violation, |end| end.say_told(DATA, 0, 0, b"x", &[0], end_of_frame));
    }
    for len in [0, 1, 23, 31] {
        assert_found("cut short", Violation::Descriptor, |end| {
            let bytes = told(in_frame(0), 1);
            let bytes = [&[0; 8][..], &bytes].concat();
            end.say(DATA | BLOCK, 0, 0, &bytes[32 - len..]);
        });
    }
}

#[test]
fn announcements_of_objects_that_should_not_come() {
    let _watchdog = watchdog("bad objects");
    for number in [0, 2, u64::MAX] {
        assert_found("out of turn", Violation::Object, |end| end.make_object(number, b"x"));
    }
    let one = |end: &End, told: usize, segment: &Segment| assert!(end.announce_object(1, told as u64, &[segment.fd()]));
    for (told, len) in [(PAGE + 1, PAGE), (PAGE, 2 * PAGE), (0, 2 * PAGE), (usize::MAX, PAGE), (1 << 40, PAGE)] {
        assert_found("another size", Violation::SegmentSize, |end| {
            one(end, told, &Segment::of(&vec![1; len]).sealed_finally());
        });
    }
    assert_found("unsealed", Violation::Seals, |end| one(end, PAGE, &Segment::of(&[1; PAGE])));
    assert_found("a region", Violation::Seals, |end| one(end, PAGE, &Segment::of(&[1; PAGE]).sealed(SEALS)));
    assert_found("half sealed", Violation::Seals, |end| {
        let seals = FINAL_SEALS - rustix::fs::SealFlags::WRITE;
        one(end, PAGE, &Segment::of(&[1; PAGE]).sealed(seals));
    });
    assert_found("holes", Violation::Sparse, |end| one(end, 8 * PAGE, &Segment::new(8 * PAGE).sealed_finally()));
    assert_found("no descriptor", Violation::Descriptors, |end| assert!(end.announce_object(1, 10, &[])));
    assert_found("two descriptors", Violation::Descriptors, |end| {
        let segment = Segment::of(b"x").sealed_finally();
        assert!(end.announce_object(1, 1, &[segment.fd(), segment.fd()]));
    });
    assert_found("a device", Violation::Seals, |end| {
        let null = File::open("/dev/null").expect("every system has it");
        assert!(end.announce_object(1, 10, &[null.as_fd()]));
    });
}

#[test]
fn what_is_taken_back_must_be_there_and_only_once() {
    let _watchdog = watchdog("bad records of taking back");
    for number in [1, u64::MAX] {
        assert_found("not there", Violation::Object, |end| assert!(end.socket.send(&take_back(number, 0))));
    }
    for position in [0, 64, u64::MAX] {
        assert_found("twice", Violation::Object, |end| {
            assert!(end.socket.send(&[take_back(0, position), take_back(0, position)].concat()));
        });
    }
    assert_found("with a descriptor", Violation::Descriptors, |end| {
        let segment = Segment::of(b"x").sealed_finally();
        assert!(end.socket.send_with(&take_back(0, 0), &[segment.fd()]));
    });
}

#[test]
fn more_objects_than_there_may_be() {
    let _watchdog = watchdog("too many objects");
    for never in [false, true] {
        let (_scratch, end, mut bus) = receiver(Options::default());
        let segment = Segment::of(b"x").sealed_finally();
        for number in 0..256 {
            assert!(end.announce_object(number, 1, &[segment.fd()]));
            assert_eq!(bus.state(), State::Open);
            if never {
                // What will never be passed keeps its place.
                assert!(end.socket.send(&take_back(number, u64::MAX)));
                assert_eq!(bus.state(), State::Open);
            }
        }
        assert_eq!(bus.stats().shared_known, 256);
        assert!(end.announce_object(256, 1, &[segment.fd()]));
        assert_eq!(bus.recv().err(), Some(Cause::Corrupt(Violation::Object)));
    }
}

#[test]
fn objects_that_come_and_go_cost_nothing() {
    let _watchdog = watchdog("objects come and go");
    let (_scratch, mut end, mut bus) = receiver(Options::default());
    for number in 0..1000 {
        end.make_object(number, &number.to_le_bytes());
        end.name_objects(DATA, 0, 0, b"", &[number]);
        assert!(end.socket.send(&take_back(number, end.tail)));
        let lease = bus.recv().expect("a frame");
        assert_eq!(lease.shared()[0][..], number.to_le_bytes());
        drop(lease);
        assert_eq!(bus.try_recv().err(), Some(Cause::Empty));
        assert_eq!((bus.state(), bus.stats().shared_known), (State::Open, 0));
        assert_eq!(end.theirs.load_u64(SEEN), 2 * (number + 1));
    }
}

type Forgery = fn(&mut End);

#[test]
fn calls_find_the_same_faults() {
    let _watchdog = watchdog("forged objects in calls");
    let forgeries: [(&str, Violation, Forgery); 3] = [
        ("unknown", Violation::Object, |end| end.name_objects(REQUEST, 0, 1 << 16, b"x", &[7])),
        ("no room for a deadline", Violation::Descriptor, |end| {
            end.name_objects(REQUEST | TIMED, 0, 1 << 16, b"x", &[0]);
        }),
        ("a reply to nothing", Violation::Correlation, |end| end.name_objects(4, 0, 1 << 16, b"x", &[0])),
    ];
    for (what, violation, forge) in forgeries {
        for options in ways() {
            let scratch = Scratch::new();
            let mut listener = Listener::bind(&scratch.path("rpc"), &options).expect("a name");
            let (mut end, mut rpc): (End, RpcBus) = raw::caller_of(&mut listener);
            end.make_object(0, b"an object");
            forge(&mut end);
            assert_eq!(rpc.serve().err(), Some(Cause::Corrupt(violation)), "{what}");
        }
    }
    let scratch = Scratch::new();
    let mut listener = Listener::bind(&scratch.path("rpc"), &Options::default()).expect("a name");
    let (mut end, mut rpc) = raw::caller_of(&mut listener);
    end.make_object(0, b"an object");
    let deadline_and_payload = [&u64::MAX.to_le_bytes()[..], b"payload"].concat();
    end.say_told(REQUEST | TIMED, 5, 1 << 16, &deadline_and_payload, &[0], told(in_frame(7), 1));
    let request = rpc.serve().expect("a request");
    assert_eq!((&request[..], &request.shared()[0][..]), (&b"payload"[..], &b"an object"[..]));
}

#[test]
fn a_reader_that_says_it_took_more_than_was_said() {
    let _watchdog = watchdog("forged counts of records");
    for seen in [1, 9, u64::MAX] {
        let scratch = Scratch::new();
        let (end, mut bus) = raw::listener_for(&scratch.path("bus"), 4096, &Options::default());
        end.mine.store_u64(SEEN, seen);
        let table = SharedBuffer::from_slice(b"x").expect("memory");
        assert_eq!(bus.publish_shared(0, b"", &[&table]), Err(Cause::Corrupt(Violation::Region)));
    }
}

#[test]
fn random_objects_end_in_corrupt_or_in_nothing() {
    let _watchdog = watchdog("random objects");
    let mut chance = Chance::of_today();
    let end_of_test = Instant::now() + Duration::from_millis(1500);
    while Instant::now() < end_of_test {
        let (_scratch, mut end, mut bus) = receiver(Options::default().trust(Trust::Untrusted).shared_limit(3 * 4096));
        let mut announced = 0;
        for _ in 0..chance.below(200) {
            match chance.below(5) {
                0 => {
                    end.make_object(announced, &vec![announced as u8; chance.below(9000)]);
                    announced += 1;
                }
                1 => assert!(end.socket.send(&take_back(chance.number() % (announced + 1), chance.number() % 100_000))),
                _ => {
                    let numbers: Vec<_> = (0..chance.below(9)).map(|_| chance.number() % (announced + 1)).collect();
                    if end.tail % 4096 < 3800 {
                        end.name_objects(DATA, 0, 0, b"x", &numbers);
                    }
                }
            }
            match bus
                .try_recv()
                .map(|lease| lease.shared().iter().all(|shared| shared.windows(2).all(|w| w[0] == w[1])))
            {
                Ok(whole) => assert!(whole),
                Err(Cause::Empty) => {}
                Err(Cause::Corrupt(_)) => break,
                Err(cause) => panic!("a strange answer: {cause:?}"),
            }
        }
    }
}
