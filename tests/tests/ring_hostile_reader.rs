//! Receivers that break the rules: the sender gets `Corrupt` with the rule that was broken, whatever call it makes, and
//! is never held up beyond its deadline.

use slipring::{Bus, Cause, Deadline, Options, State, Trust, Violation, Wait};
use slipring_tests::chance::Chance;
use slipring_tests::hostile::ways;
use slipring_tests::meanwhile::meanwhile;
use slipring_tests::peer;
use slipring_tests::raw::layout::{CLOSE, FOR_DATA, FOR_ROOM, PARKED, READ, asleep};
use slipring_tests::raw::records::{BAD_RECORDS, BadRecord};
use slipring_tests::raw::{self, End};
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog;
use std::thread;
use std::time::{Duration, Instant};

/// Eight lines, so room for seven frames of one.
const RING: u64 = 512;
const ROOM: usize = 7;

fn session(options: &Options) -> (Scratch, End, Bus) {
    let scratch = Scratch::new();
    let (end, bus) = raw::listener_for(&scratch.path("bus"), RING, options);
    (scratch, end, bus)
}

/// A call that sends a frame of one line.
type Call = fn(&mut Bus) -> Result<(), Cause>;

/// Every one of them.
const CALLS: [Call; 8] = [
    |bus| bus.publish(0, b"x"),
    |bus| bus.try_publish(0, b"x"),
    |bus| bus.publish_until(0, b"x", Deadline::after(Duration::from_secs(60))),
    |bus| bus.publish_vectored(0, &[]),
    |bus| bus.publish_later(0, b"x"),
    |bus| bus.publish_batch([(0, b"x")]).map(drop),
    |bus| bus.claim(8).and_then(|claim| claim.commit(0, 8).map_err(Cause::from)),
    |bus| bus.try_claim(8).and_then(|claim| claim.commit_later(0, 8).map_err(Cause::from)),
];

fn assert_corrupt(bus: &mut Bus, violation: Violation, what: &str) {
    for call in CALLS {
        assert_eq!(call(bus), Err(Cause::Corrupt(violation)), "{what}");
    }
    assert_eq!(bus.state(), State::Corrupt, "{what}");
}

#[test]
fn impossible_read_positions() {
    let _watchdog = watchdog("forged read positions");
    let tail = ROOM as u64 * 64;
    for position in [1, 65, tail + 64, u64::MAX, u64::MAX - 63] {
        for (index, call) in CALLS.into_iter().enumerate() {
            for options in ways() {
                let (_scratch, end, mut bus) = session(&options);
                for _ in 0..ROOM {
                    bus.publish(0, b"x").expect("room");
                }
                end.read_up_to(position);
                let what = format!("read up to {position:#x}, call {index}");
                assert_eq!(call(&mut bus), Err(Cause::Corrupt(Violation::ReadPosition)), "{what}");
                assert_corrupt(&mut bus, Violation::ReadPosition, &what);
            }
        }
    }
}

#[test]
fn a_read_position_that_goes_back() {
    let _watchdog = watchdog("a read position that goes back");
    let (_scratch, end, mut bus) = session(&Options::default());
    for lap in 1..5 {
        for _ in 0..ROOM {
            bus.publish(0, b"x").expect("room");
        }
        end.read_up_to(lap * ROOM as u64 * 64);
    }
    bus.publish(0, b"x").expect("room");
    end.read_up_to(64);
    let cause = loop {
        if let Err(cause) = bus.publish(0, b"x") {
            break cause;
        }
    };
    assert_eq!(cause, Cause::Corrupt(Violation::ReadPosition));
}

#[test]
fn a_reader_cannot_have_read_what_it_was_not_shown() {
    let _watchdog = watchdog("a reader that has read a hidden group");
    let (_scratch, end, mut bus) = session(&Options::default());
    bus.publish(0, b"x").expect("room");
    for _ in 1..ROOM {
        bus.publish_later(0, b"x").expect("room");
    }
    end.read_up_to(128);
    assert_eq!(bus.try_publish(0, b"x"), Err(Cause::Corrupt(Violation::ReadPosition)));
}

#[test]
fn lingering_for_an_impossible_reader_is_corrupt() {
    let _watchdog = watchdog("a close that lingers for an impossible reader");
    for options in ways() {
        for position in [64 + 1, 128, u64::MAX - 63] {
            let (_scratch, end, mut bus) = session(&options);
            bus.publish(0, b"x").expect("room");
            end.read_up_to(position);
            let closed = bus.close(Duration::from_secs(60));
            assert_eq!(closed, Err(Cause::Corrupt(Violation::ReadPosition)), "{position}");
        }
    }
}

#[test]
fn epochs_that_go_back() {
    let _watchdog = watchdog("forged epochs");
    for call in CALLS {
        for (first, second) in [(2, 1), (u64::MAX >> 8, 1), (u64::MAX >> 8, (u64::MAX >> 8) - 1), (1 << 40, 0)] {
            let (_scratch, end, mut bus) = session(&Options::default());
            end.mine.store_u64(PARKED, asleep(first, FOR_DATA | FOR_ROOM));
            bus.publish(0, b"x").expect("an epoch like any other");
            assert_eq!(bus.stats().bells_rung, 1);
            end.mine.store_u64(PARKED, asleep(second, FOR_DATA));
            // A frame that was committed stays so; the next call says what is wrong.
            let mut answers = (0..ROOM).map(|_| call(&mut bus).and_then(|()| bus.flush()));
            assert_eq!(answers.find(Result::is_err), Some(Err(Cause::Corrupt(Violation::Parked))));
            assert_corrupt(&mut bus, Violation::Parked, "an epoch that goes back");
        }
    }
}

#[test]
fn a_claim_that_is_open_when_the_peer_is_found_out_can_still_be_looked_at_and_dropped() {
    let _watchdog = watchdog("a claim in a broken session");
    let (_scratch, end, mut bus) = session(&Options::default());
    end.mine.store_u64(PARKED, asleep(9, FOR_DATA));
    bus.publish(0, b"x").expect("open");
    let mut claim = bus.claim(100).expect("room");
    end.mine.store_u64(PARKED, asleep(3, FOR_DATA));
    claim.fill(7);
    if let Err(error) = claim.commit(0, 100) {
        assert_eq!(error.cause, Cause::Corrupt(Violation::Parked));
        let mut claim = error.claim;
        claim.fill(8);
        assert_eq!(claim.commit(0, 50).expect_err("over").cause, Cause::Corrupt(Violation::Parked));
    }
    assert_corrupt(&mut bus, Violation::Parked, "after the claim");
}

#[test]
fn a_storm_of_epochs_costs_a_bell_each_and_no_more() {
    let _watchdog = watchdog("a storm of epochs");
    let (_scratch, end, mut bus) = session(&Options::default());
    for epoch in 1..=3000 {
        end.mine.store_u64(PARKED, asleep(epoch, FOR_DATA));
        bus.publish(0, b"x").expect("the bells that nobody hears hold up nobody");
        end.read_up_to(epoch * 64);
    }
    assert_eq!(bus.stats().bells_rung, 3000);
    // The same epoch again, and again, is rung for once.
    for _ in 0..ROOM {
        bus.publish(0, b"x").expect("room");
    }
    assert_eq!(bus.stats().bells_rung, 3000);
    assert_eq!(bus.state(), State::Open);
}

#[test]
fn records_that_should_not_come() {
    let _watchdog = watchdog("bad records");
    for BadRecord { what, violation, send } in BAD_RECORDS {
        for (index, call) in CALLS.into_iter().enumerate() {
            for options in ways() {
                let (_scratch, end, mut bus) = session(&options);
                send(&end);
                let mut answer = Ok(());
                // A sender that does not wait looks at the socket about every millisecond; one that waits, at once.
                while matches!(answer, Ok(()) | Err(Cause::Full)) {
                    answer = call(&mut bus);
                }
                assert_eq!(answer, Err(Cause::Corrupt(violation)), "{what}, call {index}");
                assert_corrupt(&mut bus, violation, what);
            }
        }
    }
}

#[test]
fn goodbyes_that_no_receiver_says() {
    let _watchdog = watchdog("forged close words");
    // It has sent nothing, so its last word is that of position 0.
    for (word, cause) in [(1, Cause::Closed), (0, Cause::PeerDied)]
        .into_iter()
        .chain([2, 67, 1 << 40, u64::MAX].map(|word| (word, Cause::Corrupt(Violation::CloseWord))))
    {
        for call in CALLS {
            let (_scratch, end, mut bus) = session(&Options::default());
            end.close_with(word);
            let mut answer = Ok(());
            while matches!(answer, Ok(()) | Err(Cause::Full)) {
                answer = call(&mut bus);
            }
            assert_eq!(answer, Err(cause), "close word {word:#x}");
        }
    }
    let (_scratch, end, mut bus) = session(&Options::default());
    end.mine.store_u64(CLOSE, 1);
    thread::sleep(Duration::from_millis(3));
    assert_eq!((bus.publish(0, b"x"), bus.state()), (Ok(()), State::Open), "a goodbye from somebody who stays");
}

#[test]
fn a_storm_of_bells_that_keeps_pace_with_the_sleeps_does_not_hold_up_a_deadline() {
    let _watchdog = watchdog("a steady storm of bells");
    for options in ways() {
        let (_scratch, end, mut bus) = session(&options);
        for _ in 0..ROOM {
            bus.publish(0, b"x").expect("room");
        }
        let mut rung = 0;
        let storm = || {
            while rung < end.theirs.load_u64(PARKED) >> 8 {
                rung += end.socket.flood(&[0]) as u64;
            }
        };
        meanwhile(storm, || {
            let time = Duration::from_millis(30);
            let start = Instant::now();
            assert_eq!(bus.publish_until(0, b"x", Deadline::after(time)), Err(Cause::Timeout));
            assert!(start.elapsed() >= time);
        });
        assert_eq!(bus.state(), State::Open);
    }
}

#[test]
fn words_that_change_while_they_are_looked_at_end_in_corrupt_or_in_nothing() {
    let _watchdog = watchdog("random memory");
    let mut chance = Chance::of_today();
    let end_of_test = Instant::now() + Duration::from_millis(1500);
    while Instant::now() < end_of_test {
        let (_scratch, end, mut bus) = session(&Options::default().trust(Trust::Untrusted).wait(Wait::Park));
        let mut attacker = Chance::new(chance.number());
        meanwhile(|| scribble(&end, &mut attacker), || survive(&mut bus, &mut chance));
    }
}

/// Sends for a while, by all calls, to a peer that may say anything.
fn survive(bus: &mut Bus, chance: &mut Chance) {
    let over = Instant::now() + Duration::from_millis(30);
    while Instant::now() < over {
        let len = chance.below(bus.inline_limit() + 1);
        let time = Deadline::after(Duration::from_micros(50));
        let answer = match chance.below(5) {
            0 => bus.try_publish(0, &vec![1; len]),
            1 => bus.publish_until(0, &vec![1; len], time),
            2 => bus.try_publish_later(0, &vec![1; len]),
            3 => bus.claim_until(len, time).and_then(|mut claim| {
                claim.fill(2);
                claim.commit(0, len / 2).map_err(Cause::from)
            }),
            _ => bus.publish_batch_until((0..5).map(|_| (0, vec![3; len])), time).map(drop),
        };
        match answer {
            Err(Cause::Corrupt(_)) => break,
            Ok(()) | Err(Cause::Full | Cause::Timeout | Cause::Closed | Cause::PeerDied) => {}
            Err(cause) => panic!("a strange answer: {cause:?}"),
        }
    }
}

/// Writes something somewhere: mostly read positions that could be true.
fn scribble(end: &End, chance: &mut Chance) {
    match chance.below(8) {
        0..4 => {
            // How far the sender says that it reads is of no help; how far it has written stands nowhere but in its ring.
            let read = chance.below(64) as u64 * 64;
            end.mine.store_u64(READ, read);
        }
        4 => end.mine.store_u64(PARKED, chance.number() >> chance.below(64)),
        5 => end.mine.store_u64(chance.below(end.mine.len() / 8) * 8, chance.number()),
        6 => drop(end.socket.flood(&[0][..chance.below(2)])),
        _ => end.mine.store_u64(CLOSE, chance.number() & 1),
    }
}

#[test]
fn a_process_whose_reader_breaks_the_rules_goes_on_to_serve_others() {
    let _watchdog = watchdog("a survivor in its own process");
    let scratch = Scratch::new();
    let mut survivor = peer!();
    for (count, BadRecord { what, violation, send }) in BAD_RECORDS.into_iter().enumerate() {
        let address = scratch.path(&count.to_string());
        let end = raw::listener_for_another_process(&address, RING, || survivor.tell(&format!("connect {address}")));
        assert_eq!(survivor.answer(), "ok");
        survivor.tell("send 100 20");
        send(&end);
        let answer = survivor.answer();
        assert!(
            answer.starts_with("err ") && answer.ends_with(&format!(" Corrupt({violation:?})")),
            "{what}: {answer}"
        );
    }
    let address = scratch.path("good");
    let mut good = peer!();
    good.must(&format!("bind {address}"));
    good.tell("accept");
    survivor.must(&format!("connect {address}"));
    assert_eq!(good.answer(), "ok");
    good.tell("recv 5");
    survivor.must("send 5 20");
    assert_eq!(good.answer(), "ok 5");
}
