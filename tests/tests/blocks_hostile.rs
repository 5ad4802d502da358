//! Owners and readers of blocks that break the rules: the other end gets `Corrupt` with the rule that was broken, whatever
//! call it makes, and nothing of it is touched.

use slipring::{Bus, Cause, Deadline, Options, State, Trust, Violation};
use slipring_tests::chance::Chance;
use slipring_tests::hostile::{RECEIVES, assert_corrupt, receiver, receivers, sender, ways};
use slipring_tests::meanwhile::meanwhile;
use slipring_tests::raw::End;
use slipring_tests::raw::blocks::{Descriptor, forget};
use slipring_tests::raw::layout::{BLOCK, DATA, RETURNS, RING, SEEN};
use slipring_tests::raw::memory::{SEALS, Segment};
use slipring_tests::watchdog::watchdog;
use std::fs::File;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

const PAGE: usize = 4096;

/// A good frame in a good block, then what `forge` does; the receiver must get the frame and the violation.
fn assert_found(what: &str, violation: Violation, forge: impl Fn(&mut End)) {
    for (how, call, options) in receivers() {
        let (_scratch, mut end, mut bus) = receiver(options.memory_limit(1 << 20).max_message(100_000));
        let region = end.make_region(0, 2 * PAGE);
        region.write(256, b"good");
        end.name_block(DATA, 1, 0, Descriptor { region: 0, generation: 1, offset: 256, len: 4 });
        let lease = bus.recv().expect("a good frame");
        assert_eq!((lease.type_id(), &lease[..]), (1, &b"good"[..]));
        drop(lease);
        forge(&mut end);
        assert_corrupt(&mut bus, call, violation, &format!("{what}, {how}"));
    }
}

#[test]
fn an_owner_gets_its_block_back_when_the_lease_drops() {
    let _watchdog = watchdog("honest blocks of a raw peer");
    for trust in [Trust::SameUser, Trust::Untrusted] {
        let (_scratch, mut end, mut bus) = receiver(Options::default().trust(trust));
        let region = end.make_region(0, PAGE);
        region.write(512, b"here");
        let block = Descriptor { region: 0, generation: 77, offset: 512, len: 4 };
        end.name_block(DATA, 1, 0, block);
        assert_eq!(&bus.recv().expect("a frame")[..], b"here");
        assert_eq!((end.theirs.load_u64(RETURNS), end.theirs.load_u64(SEEN)), (1, 1));
        assert_eq!(end.theirs.load_u64(RING + end.their_ring as usize), block.entry());
    }
}

#[test]
fn descriptors_that_name_no_block() {
    let _watchdog = watchdog("forged descriptors");
    let good = Descriptor { region: 0, generation: 1, offset: 256, len: 4 };
    let size = 2 * PAGE as u64;
    for (what, violation, forged) in [
        ("an unknown region", Violation::Region, Descriptor { region: 1, ..good }),
        ("the last region that a number names", Violation::Region, Descriptor { region: u32::MAX, ..good }),
        ("a start behind the end", Violation::Descriptor, Descriptor { offset: size, len: 0, ..good }),
        ("a start far behind the end", Violation::Descriptor, Descriptor { offset: 1 << 40, ..good }),
        (
            "a start and a length that overflow",
            Violation::Descriptor,
            Descriptor { offset: u64::MAX - 255, len: 512, ..good },
        ),
        ("a start between blocks", Violation::Descriptor, Descriptor { offset: 257, ..good }),
        ("a byte too long", Violation::Descriptor, Descriptor { len: size - 255, ..good }),
        ("endless", Violation::Descriptor, Descriptor { len: u64::MAX, ..good }),
        ("generation 0", Violation::Descriptor, Descriptor { generation: 0, ..good }),
        ("a generation that no block has", Violation::Descriptor, Descriptor { generation: 1 << 20, ..good }),
        ("the last generation", Violation::Descriptor, Descriptor { generation: u32::MAX, ..good }),
    ] {
        assert_found(what, violation, |end| end.name_block(DATA, 0, 0, forged));
    }
    assert_found("longer than may be sent", Violation::Descriptor, |end| {
        let region = end.make_region(1, 1 << 17);
        end.name_block(DATA, 0, 0, Descriptor { region: 1, generation: 1, offset: 0, len: 100_001 });
        drop(region);
    });
    for len in [0, 1, 23] {
        assert_found("a descriptor cut short", Violation::Descriptor, |end| end.say(DATA | BLOCK, 0, 0, &vec![0; len]));
    }
    for call in RECEIVES {
        let (_scratch, mut end, mut bus) = receiver(Options::default());
        drop(end.make_region(0, 2 * PAGE));
        assert!(end.socket.send(&forget(0)));
        assert_eq!(bus.state(), State::Open);
        end.name_block(DATA, 0, 0, good);
        assert_eq!(call(&mut bus), Err(Cause::Corrupt(Violation::Region)), "a forgotten region");
    }
}

#[test]
fn announcements_that_should_not_come() {
    let _watchdog = watchdog("bad announcements");
    let announce = |end: &End, region: u32, told: usize, segment: Segment| {
        assert!(end.announce(region, told as u64, &[segment.fd()]));
    };
    assert_found("the same region twice", Violation::Region, |end| announce(end, 0, PAGE, Segment::region(PAGE)));
    for region in [2, 1 << 20, u32::MAX] {
        assert_found("a region out of turn", Violation::Region, |end| {
            announce(end, region, PAGE, Segment::region(PAGE))
        });
    }
    for (told, len) in [
        (PAGE, 2 * PAGE),
        (2 * PAGE, PAGE),
        (0, PAGE),
        (1, PAGE),
        (3 * PAGE / 2, 3 * PAGE / 2),
        (PAGE / 2, PAGE / 2),
        (1 << 40, PAGE),
    ] {
        assert_found(&format!("{told} bytes told of {len}"), Violation::SegmentSize, |end| {
            announce(end, 1, told, Segment::new(len).reserved().sealed(SEALS));
        });
    }
    assert_found("a region beyond the limit", Violation::SegmentSize, |end| {
        announce(end, 1, 2 << 20, Segment::region(2 << 20))
    });
    assert_found("a sum beyond the limit", Violation::SegmentSize, |end| {
        announce(end, 1, 1 << 20, Segment::region(1 << 20))
    });
    assert_found("unsealed", Violation::Seals, |end| announce(end, 1, PAGE, Segment::new(PAGE).reserved()));
    assert_found("holes", Violation::Sparse, |end| announce(end, 1, 16 * PAGE, Segment::new(16 * PAGE).sealed(SEALS)));
    assert_found("no descriptor", Violation::Descriptors, |end| assert!(end.announce(1, PAGE as u64, &[])));
    assert_found("two descriptors", Violation::Descriptors, |end| {
        let region = Segment::region(PAGE);
        assert!(end.announce(1, PAGE as u64, &[region.fd(), region.fd()]));
    });
    assert_found("a device", Violation::Seals, |end| {
        let null = File::open("/dev/null").expect("every system has it");
        assert!(end.announce(1, PAGE as u64, &[null.as_fd()]));
    });
    for region in [1, u32::MAX] {
        assert_found("a region to forget that is not there", Violation::Region, |end| {
            assert!(end.socket.send(&forget(region)))
        });
    }
    assert_found("a region to forget twice", Violation::Region, |end| {
        assert!(end.socket.send(&[forget(0), forget(0)].concat()));
    });
    assert_found("a descriptor with a forget", Violation::Descriptors, |end| {
        let region = Segment::region(PAGE);
        assert!(end.socket.send_with(&forget(0), &[region.fd()]));
    });
}

#[test]
fn more_regions_than_there_may_be() {
    let _watchdog = watchdog("too many regions");
    let (_scratch, end, mut bus) = receiver(Options::default());
    let region = Segment::region(PAGE);
    let mut announced = 0;
    let cause = loop {
        // Announced by the same memory each time: nobody forbids that.
        if announced < 1025 && end.announce(announced, PAGE as u64, &[region.fd()]) {
            announced += 1;
        }
        match bus.recv_until(Deadline::NOW).map(drop) {
            Err(Cause::Timeout) => {}
            Err(cause) => break cause,
            Ok(()) => panic!("a frame"),
        }
        assert_eq!(bus.state() == State::Corrupt, announced > 1024);
    };
    assert_eq!((announced, cause), (1025, Cause::Corrupt(Violation::SegmentSize)));
}

#[test]
fn regions_that_are_never_used_and_forgotten_cost_nothing() {
    let _watchdog = watchdog("regions come and go");
    let (_scratch, mut end, mut bus) = receiver(Options::default().memory_limit(1 << 20));
    for region in 0..200 {
        drop(end.make_region(region, 1 << 20));
        assert!(end.socket.send(&forget(region)));
        assert_eq!(bus.state(), State::Open);
        assert_eq!(end.theirs.load_u64(SEEN), 2 * (u64::from(region) + 1), "each record that is no bell");
        assert_eq!(end.theirs.load_u64(RETURNS), u64::from(region) + 1, "confirmed at once");
    }
    let region = end.make_region(200, PAGE);
    region.write(0, b"kept");
    end.name_block(DATA, 0, 0, Descriptor { region: 200, generation: 1, offset: 0, len: 4 });
    let kept = bus.recv().expect("a frame").keep();
    assert!(end.socket.send(&forget(200)));
    assert_eq!((bus.state(), end.theirs.load_u64(RETURNS)), (State::Open, 200), "it is held");
    drop(region);
    assert_eq!(&kept[..], b"kept");
    thread::spawn(move || drop(kept)).join().expect("no panic");
    assert_eq!(end.theirs.load_u64(RETURNS), 202, "the block, and the region");
}

/// A call that needs a block.
type Send = fn(&mut Bus, &[u8]) -> Result<(), Cause>;

const SENDS: [Send; 4] = [
    |bus, payload| bus.publish(0, payload),
    |bus, payload| bus.try_publish(0, payload),
    |bus, payload| bus.claim(payload.len()).and_then(|claim| claim.commit(0, 1).map_err(Cause::from)),
    |bus, payload| bus.publish_batch_until([(0, payload)], Deadline::after(Duration::from_secs(60))).map(drop),
];

/// What is done to what names a block.
type Forgery = fn(&mut Descriptor);

/// Two blocks out, of which one has come back, then what `forge` does; the sender must find it.
fn assert_found_by_owner(what: &str, violation: Violation, forge: impl Fn(&mut End, [Descriptor; 2])) {
    for (index, call) in SENDS.into_iter().enumerate() {
        for options in ways() {
            let (_scratch, mut end, mut bus) = sender(&options.memory_limit(16 * PAGE as u64));
            let payload = vec![1; 4 * PAGE];
            let blocks = [0, 1].map(|_| {
                bus.publish(0, &payload).expect("a block");
                Descriptor::of(&end.hear().bytes)
            });
            end.mine.store_u64(SEEN, 1);
            end.give_back(blocks[0].entry());
            assert_eq!(bus.state(), State::Open);
            forge(&mut end, blocks);
            let mut answer = Ok(());
            while matches!(answer, Ok(()) | Err(Cause::Full)) {
                answer = call(&mut bus, &payload);
                while end.try_hear().is_some() {}
            }
            assert_eq!(answer, Err(Cause::Corrupt(violation)), "{what}, call {index}");
            assert_eq!((call(&mut bus, b"x"), bus.state()), (answer, State::Corrupt), "{what}");
        }
    }
}

#[test]
fn returns_of_what_is_not_out() {
    let _watchdog = watchdog("forged returns");
    assert_found_by_owner("twice", Violation::Return, |end, [first, _]| end.give_back(first.entry()));
    assert_found_by_owner("both twice", Violation::Return, |end, [_, second]| {
        end.give_back(second.entry());
        end.give_back(second.entry());
    });
    let forgeries: [(&str, Forgery); 5] = [
        ("an unknown region", |block| block.region = 1),
        ("a block elsewhere", |block| block.offset += 256),
        ("a start behind the region", |block| block.offset = 1 << 31),
        ("an earlier generation", |block| block.generation = block.generation.wrapping_sub(1) & 0xF_FFFF),
        ("a later generation", |block| block.generation += 1),
    ];
    for (what, forgery) in forgeries {
        assert_found_by_owner(what, Violation::Return, |end, [_, mut second]| {
            forgery(&mut second);
            end.give_back(second.entry());
        });
    }
    for entry in [0, 1 << 44, u64::MAX, u64::MAX << 44] {
        assert_found_by_owner(&format!("entry {entry:#x}"), Violation::Return, |end, _| end.give_back(entry));
    }
}

#[test]
fn tails_of_returns_that_cannot_be() {
    let _watchdog = watchdog("forged return tails");
    for tail in [0, 4098, 1 << 32, u64::MAX] {
        assert_found_by_owner(&format!("tail {tail}"), Violation::Returns, |end, _| end.mine.store_u64(RETURNS, tail));
    }
    // As many as there can be, of which none is true.
    assert_found_by_owner("a full ring of nothing", Violation::Return, |end, _| end.mine.store_u64(RETURNS, 4097));
}

#[test]
fn regions_that_were_seen_before_they_were_made() {
    let _watchdog = watchdog("forged counts of regions");
    for seen in [2, 1 << 40, u64::MAX] {
        for options in ways() {
            let (_scratch, end, mut bus) = sender(&options.memory_limit(1 << 20));
            bus.publish(0, &[1; 5000]).expect("a block");
            end.mine.store_u64(SEEN, seen);
            // Found when the next region is to be made, or when memory has run out.
            let mut answer = Ok(());
            while answer == Ok(()) {
                answer = bus.publish_until(0, &[1; 5000], Deadline::after(Duration::from_millis(20)));
            }
            assert!(matches!(answer, Err(Cause::Corrupt(Violation::Region) | Cause::Timeout)), "{answer:?}");
        }
    }
}

#[test]
fn a_reader_that_gives_nothing_back_runs_dry_itself() {
    let _watchdog = watchdog("a reader that keeps everything");
    for options in ways() {
        let (_scratch, mut end, mut bus) = sender(&options.memory_limit(1 << 20));
        let mut sent = 0;
        while bus.try_publish(0, &[1; 5000]) == Ok(()) {
            while end.try_hear().is_some() {
                end.mine.store_u64(SEEN, 1);
            }
            sent += 1;
        }
        assert_eq!(sent, 128);
        for _ in 0..3 {
            let time = Duration::from_millis(20);
            let start = Instant::now();
            assert_eq!(bus.publish_until(0, &[1; 5000], Deadline::after(time)), Err(Cause::Timeout));
            assert!(start.elapsed() >= time);
            assert_eq!(bus.publish(0, b"the ring goes on"), Ok(()));
        }
        assert_eq!(bus.state(), State::Open);
    }
}

#[test]
fn blocks_that_change_while_they_are_looked_at_are_copied_first_where_the_peer_is_not_trusted() {
    let _watchdog = watchdog("blocks that change");
    let (_scratch, mut end, mut bus) = receiver(Options::default().trust(Trust::Untrusted));
    let region = end.make_region(0, 1 << 16);
    for round in 0..200_u32 {
        end.name_block(DATA, round, 0, Descriptor { region: 0, generation: 1 + round, offset: 0, len: 1 << 16 });
        let message = meanwhile(
            || (0..64).for_each(|word| region.store_u64(word * 1024, u64::from(round))),
            || {
                let lease = bus.recv().expect("a frame");
                let seen = lease.to_vec();
                thread::yield_now();
                assert!(lease[..] == seen[..], "what is looked at does not change");
                lease.keep()
            },
        );
        assert_eq!(message.len(), 1 << 16);
        // Lines are free again when they have been read.
        end.tail %= 1 << 62;
    }
}

#[test]
fn an_arena_of_random_words_ends_in_corrupt_or_in_nothing() {
    let _watchdog = watchdog("random returns and descriptors");
    let mut chance = Chance::of_today();
    let end_of_test = Instant::now() + Duration::from_millis(1500);
    while Instant::now() < end_of_test {
        let (_scratch, mut end, mut bus) = sender(&Options::default().memory_limit(1 << 20).trust(Trust::Untrusted));
        let mut known = vec![0];
        for _ in 0..chance.below(200) {
            match bus.try_publish(0, &vec![1; 1025 + chance.below(60_000)]) {
                Ok(()) | Err(Cause::Full) => {}
                Err(Cause::Corrupt(_)) => break,
                Err(cause) => panic!("a strange answer: {cause:?}"),
            }
            while let Some(said) = end.try_hear() {
                known.push(Descriptor::of(&said.bytes).entry());
            }
            match chance.below(20) {
                0 => end.mine.store_u64(RETURNS, chance.number() >> chance.below(64)),
                1 => end.give_back(chance.number()),
                2 => end.mine.store_u64(SEEN, chance.number() >> chance.below(64)),
                3 => end.give_back(known[chance.below(known.len())]),
                _ => end.give_back(known.pop().unwrap_or(0)),
            }
        }
    }
}
