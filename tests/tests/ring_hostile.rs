//! Senders that break the rules of the ring: the receiver gets what was good before, then `Corrupt` with the rule that was
//! broken, whatever call it makes.

use slipring::{Bus, Cause, Deadline, Listener, Options, State, Trust, Violation, Wait};
use slipring_tests::chance::Chance;
use slipring_tests::meanwhile::meanwhile;
use slipring_tests::peer;
use slipring_tests::raw::layout::{self, CLOSE, DATA, FOR_ROOM, PAD, PARKED, STARVING, asleep, commit_word};
use slipring_tests::raw::records::{BAD_RECORDS, BadRecord};
use slipring_tests::raw::{self, End};
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog;
use std::thread;
use std::time::{Duration, Instant};

/// Eight lines.
const RING: u64 = 512;

fn session(options: Options) -> (Scratch, End, Bus) {
    let scratch = Scratch::new();
    let mut listener = Listener::bind(&scratch.path("bus"), &options.capacity(RING as usize)).expect("a name");
    let (end, bus) = raw::client_of(&mut listener);
    (scratch, end, bus)
}

/// A call that receives, answering how many frames it got.
type Call = fn(&mut Bus) -> Result<usize, Cause>;

/// Every one of them.
const CALLS: [Call; 9] = [
    |bus| bus.recv().map(|_| 1),
    |bus| bus.try_recv().map(|_| 1),
    |bus| bus.recv_until(Deadline::after(Duration::from_secs(60))).map(|_| 1),
    |bus| bus.poll(1, |_| ()),
    |bus| bus.try_poll(1, |_| ()),
    |bus| bus.poll_until(1, Deadline::after(Duration::from_secs(60)), |_| ()),
    |bus| bus.drain(9).map(|batch| batch.len()),
    |bus| bus.try_drain(9).map(|batch| batch.len()),
    |bus| bus.drain_until(9, Deadline::after(Duration::from_secs(60))).map(|batch| batch.len()),
];

/// The end of a session that was broken: one answer to everything.
fn assert_corrupt(bus: &mut Bus, violation: Violation, what: &str) {
    for call in CALLS {
        assert_eq!(call(bus), Err(Cause::Corrupt(violation)), "{what}");
    }
    assert_eq!(bus.state(), State::Corrupt, "{what}");
}

/// Two good frames, then what `forge` does; the receiver must get two frames and the violation, by whatever call.
fn assert_found(what: &str, violation: Violation, forge: impl Fn(&mut End)) {
    for (index, call) in CALLS.into_iter().enumerate() {
        for options in
            [Options::default().wait(Wait::Park), Options::default().wait(Wait::Spin).trust(Trust::Untrusted)]
        {
            let (_scratch, mut end, mut bus) = session(options);
            end.publish(1, b"good");
            end.publish(2, &[3; 60]);
            forge(&mut end);
            let mut good = 0;
            let cause = loop {
                match call(&mut bus) {
                    Ok(frames) => good += frames,
                    Err(Cause::Empty) => {}
                    Err(cause) => break cause,
                }
            };
            assert_eq!((good, cause), (2, Cause::Corrupt(violation)), "{what}, call {index}");
            assert_corrupt(&mut bus, violation, what);
            assert!(bus.close(Duration::from_secs(60)).is_ok() && !end.mine.is_empty(), "closing is no trouble");
        }
    }
}

#[test]
fn commit_words_that_belong_to_no_frame() {
    let _watchdog = watchdog("forged commit words");
    let lap = RING as u32;
    for word in [2, 3, 0xffff_ffff, 0x8000_0000, 1, lap | 1, 193 + lap, 193 - 64, 193 + 64, 192] {
        assert_found(&format!("commit word {word:#x}"), Violation::CommitWord, |end| {
            assert_eq!(commit_word(end.tail), 193);
            end.mine.store_u32(end.at(end.tail), word);
        });
    }
}

#[test]
fn frames_of_unknown_kinds() {
    let _watchdog = watchdog("forged kinds");
    for kind in [0, 3, 4, 16, 31] {
        assert_found(&format!("kind {kind}"), Violation::FrameKind, |end| {
            end.write_frame(end.tail, kind, 4, 0, b"evil");
            end.commit(end.tail);
        });
    }
}

#[test]
fn frames_longer_than_a_frame_may_be_or_past_the_end_of_the_ring() {
    let _watchdog = watchdog("forged lengths");
    // A frame has at most half the ring; the third stands at line 3 of 8.
    for len in [256 - 16 + 1, 512, (1 << 27) - 1] {
        assert_found(&format!("length {len}"), Violation::FrameLength, |end| {
            end.write_frame(end.tail, DATA, len, 0, b"evil");
            end.commit(end.tail);
        });
    }
    assert_found("a frame that would wrap", Violation::FrameLength, |end| {
        // A frame of a good length would end at the end of the ring; this one ends a line behind it.
        end.tail = 0;
        end.publish(1, &[0; 48]);
        end.publish(2, &[0; 240]);
        assert_eq!(end.tail, 320);
        end.write_frame(end.tail, DATA, 192 - 16 + 1, 0, b"evil");
        end.commit(end.tail);
    });
}

#[test]
fn pads_where_none_can_be() {
    let _watchdog = watchdog("forged pads");
    for call in CALLS {
        let (_scratch, mut end, mut bus) = session(Options::default());
        end.publish(1, b"good");
        assert_eq!(bus.recv().expect("a frame").len(), 4);
        end.write_frame(end.tail, PAD, 0, 0, b"");
        end.write_frame(RING, PAD, 0, 0, b"");
        end.commit(RING);
        end.commit(end.tail);
        assert_eq!(call(&mut bus), Err(Cause::Corrupt(Violation::Pad)), "a pad behind a pad");
    }
    for call in CALLS {
        let (_scratch, end, mut bus) = session(Options::default());
        end.write_frame(0, PAD, u64::MAX >> 37, u32::MAX, b"");
        end.commit(0);
        assert_eq!(call(&mut bus), Err(Cause::Corrupt(Violation::Pad)), "a pad at the start");
    }
}

#[test]
fn a_pad_alone_is_nothing_yet() {
    let _watchdog = watchdog("a lone pad");
    let pad = |end: &End| {
        end.write_frame(64, PAD, 12345, 77, b"");
        end.mine.store_u32(end.at(RING), 0);
        end.commit(64);
    };
    fn soon() -> Deadline {
        Deadline::after(Duration::from_millis(5))
    }
    let nothing: [(Call, Cause); 6] = [
        (|bus| bus.try_recv().map(|_| 1), Cause::Empty),
        (|bus| bus.try_poll(9, |_| ()), Cause::Empty),
        (|bus| bus.try_drain(9).map(|batch| batch.len()), Cause::Empty),
        (|bus| bus.recv_until(soon()).map(|_| 1), Cause::Timeout),
        (|bus| bus.poll_until(9, soon(), |_| ()), Cause::Timeout),
        (|bus| bus.drain_until(9, soon()).map(|batch| batch.len()), Cause::Timeout),
    ];
    for (index, (call, answer)) in nothing.into_iter().enumerate() {
        let (_scratch, mut end, mut bus) = session(Options::default());
        end.publish(1, b"good");
        assert_eq!(bus.recv().expect("a frame").len(), 4);
        pad(&end);
        assert_eq!(call(&mut bus), Err(answer), "call {index}");
        assert_eq!(call(&mut bus), Err(answer), "call {index}, again");
        end.tail = RING;
        end.publish(2, b"behind it");
        assert_eq!(bus.recv().expect("a frame").len(), 9);
    }
}

#[test]
fn goodbyes_that_disagree_with_the_frames_before_them() {
    let _watchdog = watchdog("forged close words");
    for word in [193 + 64, 193 - 64, 1, 192, 194, 2, u64::MAX, 193 + (1 << 32), 1 << 63] {
        assert_found(&format!("close word {word:#x}"), Violation::CloseWord, |end| {
            assert_eq!(end.tail | 1, 193);
            end.close_with(word);
        });
    }
    // The true one is a goodbye, and none at all is a death.
    for (word, cause) in [(193, Cause::Closed), (0, Cause::PeerDied)] {
        for call in CALLS {
            let (_scratch, mut end, mut bus) = session(Options::default());
            end.publish(1, b"good");
            end.publish(2, &[3; 60]);
            end.close_with(word);
            let last = loop {
                match call(&mut bus) {
                    Ok(_) | Err(Cause::Empty) => {}
                    Err(cause) => break cause,
                }
            };
            assert_eq!(last, cause);
        }
    }
}

#[test]
fn frames_whose_bell_was_never_rung_are_delivered_before_the_end() {
    let _watchdog = watchdog("a peer that ends before it rings");
    for wait in [Wait::Park, Wait::Spin, Wait::Adaptive] {
        for (word, cause) in [(0, Cause::PeerDied), (193, Cause::Closed)] {
            let (_scratch, mut end, mut bus) = session(Options::default().wait(wait));
            thread::scope(|scope| {
                let receiver = scope.spawn(move || {
                    let mut frames = 0;
                    loop {
                        match bus.recv() {
                            Ok(_) => frames += 1,
                            Err(cause) => return (frames, cause),
                        }
                    }
                });
                // It sleeps, or spins, when all of this comes at once: a process that was killed between frame and bell.
                thread::sleep(Duration::from_millis(5));
                end.publish(1, b"good");
                end.publish(2, &[3; 60]);
                end.close_with(word);
                assert_eq!(receiver.join().expect("no panic"), (2, cause), "{wait:?}");
            });
        }
    }
}

#[test]
fn a_goodbye_from_somebody_who_stays_means_nothing() {
    let (_scratch, mut end, mut bus) = session(Options::default());
    end.mine.store_u64(CLOSE, 1);
    assert_eq!(bus.recv_until(Deadline::after(Duration::from_millis(5))).err(), Some(Cause::Timeout));
    end.publish(1, b"still here");
    assert_eq!(bus.recv().expect("a frame").len(), 10);
    assert_eq!(bus.state(), State::Open);
}

#[test]
fn epochs_that_go_back() {
    let _watchdog = watchdog("forged epochs");
    for (first, second) in [(2, 1), (u64::MAX >> 8, 1), (u64::MAX >> 8, (u64::MAX >> 8) - 1), (1 << 40, 0)] {
        let (_scratch, mut end, mut bus) = session(Options::default());
        // A starving sender is told at each frame how far its reader is, and rung for if it sleeps.
        end.mine.store_u64(STARVING, u64::MAX);
        end.mine.store_u64(PARKED, asleep(first, FOR_ROOM));
        end.publish(1, b"one");
        assert_eq!(bus.try_recv().expect("a frame").len(), 3);
        assert_eq!(bus.try_recv().err(), Some(Cause::Empty));
        assert_eq!(bus.stats().bells_rung, 1);
        end.mine.store_u64(PARKED, asleep(second, FOR_ROOM));
        end.publish(2, b"two");
        assert_eq!(bus.try_recv().expect("a frame").len(), 3);
        assert_corrupt(&mut bus, Violation::Parked, "an epoch that goes back");
    }
}

#[test]
fn reasons_and_words_of_the_header_without_meaning_are_no_harm() {
    let _watchdog = watchdog("odd header words");
    let (_scratch, mut end, mut bus) = session(Options::default());
    let mut chance = Chance::of_today();
    for number in 1..2000_u64 {
        // A later epoch each time; reasons, starving and mode as chance has them.
        end.mine.store_u64(PARKED, number << 8 | chance.number() & 0xff);
        end.mine.store_u64(STARVING, chance.number());
        end.mine.store_u64(STARVING + 16, chance.number() & 3);
        end.mine.store_u64(layout::READ, 0);
        if end.tail % RING + 128 > RING {
            end.write_frame(end.tail, PAD, chance.number() & 0xffff, 0, b"");
            end.mine.store_u32(end.at(RING), 0);
            end.commit(end.tail);
            end.tail = end.tail.next_multiple_of(RING);
        }
        end.publish(number as u32, &number.to_le_bytes());
        let lease = bus.recv().expect("a frame");
        assert_eq!((lease.type_id(), &lease[..]), (number as u32, &number.to_le_bytes()[..]));
    }
    assert_eq!(bus.state(), State::Open);
}

#[test]
fn records_that_should_not_come() {
    let _watchdog = watchdog("bad records");
    for BadRecord { what, violation, send } in BAD_RECORDS {
        for (index, call) in CALLS.into_iter().enumerate() {
            let (_scratch, end, mut bus) = session(Options::default());
            send(&end);
            let mut answer = call(&mut bus);
            // Calls that do not wait look at the socket about every millisecond.
            while answer == Err(Cause::Empty) {
                answer = call(&mut bus);
            }
            assert_eq!(answer, Err(Cause::Corrupt(violation)), "{what}, call {index}");
            assert_corrupt(&mut bus, violation, what);
        }
    }
}

#[test]
fn a_storm_of_bells_that_keeps_pace_with_the_sleeps_does_not_hold_up_a_deadline() {
    let _watchdog = watchdog("a steady storm of bells");
    for wait in [Wait::Park, Wait::Adaptive, Wait::Spin] {
        let (_scratch, end, mut bus) = session(Options::default().wait(wait));
        // As many bells as the receiver has had sleeps, which is all that it may hear.
        let mut rung = 0;
        let storm = || {
            while rung < end.theirs.load_u64(PARKED) >> 8 {
                rung += end.socket.flood(&[0]) as u64;
            }
        };
        meanwhile(storm, || {
            let time = Duration::from_millis(50);
            let start = Instant::now();
            assert_eq!(bus.recv_until(Deadline::after(time)).err(), Some(Cause::Timeout), "{wait:?}");
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
    let mut sessions = 0;
    while Instant::now() < end_of_test {
        sessions += 1;
        let options = Options::default().trust(Trust::Untrusted).wait(Wait::Park);
        let (_scratch, mut end, mut bus) = session(options);
        end.publish(1, b"good");
        let mut attacker = Chance::new(chance.number());
        meanwhile(|| scribble(&end, &mut attacker), || survive(&mut bus, &mut chance));
    }
    println!("{sessions} sessions");
}

/// Receives for a while, by all calls, from a peer that may say anything.
fn survive(bus: &mut Bus, chance: &mut Chance) {
    let over = Instant::now() + Duration::from_millis(30);
    while Instant::now() < over {
        match CALLS[[1, 4, 7][chance.below(3)]](bus) {
            Err(Cause::Corrupt(_)) => break,
            Ok(_) | Err(Cause::Empty | Cause::Closed | Cause::PeerDied) => {}
            Err(cause) => panic!("a strange answer: {cause:?}"),
        }
        let time = Deadline::after(Duration::from_micros(50));
        let waited = bus.poll_until(3, time, |frame| assert!(frame.len() <= RING as usize / 2));
        assert!(!matches!(waited, Err(Cause::Empty | Cause::Full)), "{waited:?}");
    }
}

/// Writes something somewhere: mostly what could pass for the next frames.
fn scribble(end: &End, chance: &mut Chance) {
    let position = chance.below(16) as u64 * 64;
    match chance.below(10) {
        0..5 => {
            let (kind, len) = (chance.below(3) as u64, chance.below(260) as u64);
            end.write_frame(position, kind, len, chance.number() as u32, b"");
            end.commit(position);
        }
        5 => end.mine.store_u32(end.at(position), 0),
        6 => end.mine.store_u64(PARKED, chance.number() >> chance.below(64)),
        7 => end.mine.store_u64(STARVING, chance.number() & 1),
        8 => end.mine.store_u64(chance.below(end.mine.len() / 8) * 8, chance.number()),
        _ => drop(end.socket.flood(&[0][..chance.below(2)])),
    }
}

#[test]
fn payloads_of_a_peer_that_is_not_trusted_stay_what_they_were_when_they_were_first_seen() {
    let _watchdog = watchdog("payloads that change");
    let options = || Options::default().trust(Trust::Untrusted);
    let good = [7; 100];
    // Every byte of the ring becomes another while the frames are looked at.
    let overwrite = |end: &End| end.mine.write(layout::RING, &[0xee; RING as usize]);
    let (_scratch, mut end, mut bus) = session(options());
    end.publish(1, &good);
    let lease = bus.recv().expect("a frame");
    overwrite(&end);
    assert_eq!((lease.type_id(), &lease[..]), (1, &good[..]));
    assert_eq!(&lease.keep()[..], &good[..]);

    let (_scratch, mut end, mut bus) = session(options());
    end.publish(1, &good);
    end.publish(2, &good[..50]);
    let batch = bus.drain(9).expect("frames");
    overwrite(&end);
    assert_eq!(batch.iter().map(|frame| frame.len()).collect::<Vec<_>>(), [100, 50]);
    assert!(batch.iter().all(|frame| frame.bytes().iter().all(|&byte| byte == 7)));
    drop(batch);

    let (_scratch, mut end, mut bus) = session(options());
    end.publish(1, &good);
    let polled = bus.poll(1, |frame| {
        overwrite(&end);
        assert_eq!(frame.bytes(), good);
    });
    assert_eq!(polled, Ok(1));
}

#[test]
fn a_process_whose_peer_breaks_the_rules_goes_on_to_serve_others() {
    let _watchdog = watchdog("a survivor in its own process");
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    let mut survivor = peer!();
    survivor.must(&format!("bind {address} capacity={RING} wait=park"));
    for BadRecord { what, violation, send } in BAD_RECORDS {
        survivor.tell("accept");
        let end = raw::client_of_another_process(&address);
        assert_eq!(survivor.answer(), "ok");
        survivor.tell("recv 5");
        send(&end);
        assert_eq!(survivor.answer(), format!("err 0 Corrupt({violation:?})"), "{what}");
    }
    survivor.tell("accept");
    let mut good = peer!();
    good.must(&format!("connect {address}"));
    assert_eq!(survivor.answer(), "ok");
    survivor.tell("recv 5");
    good.must("send 5 20");
    assert_eq!(survivor.answer(), "ok 5");
}
