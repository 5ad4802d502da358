//! A peer that breaks the protocol: each forged word gives its violation at the next call that can tell; no call panics,
//! blocks or goes on for ever.

use super::*;
use crate::layout::{CLOSE, COMMIT, LINE, REST, Rest, commit_word};
use crate::span::WriteRing;
use proptest::prelude::*;

const WORDS: [usize; 4] = [PARKED, STARVING, CLOSE, READ];

fn corrupt<T>(violation: Violation) -> Result<T, Cause> {
    Err(Cause::Corrupt(violation))
}

impl Peer {
    fn forge(&self, at: usize, value: u64) {
        self.header.store_u64(at, value, Release);
    }

    /// A frame without a payload, as an honest peer commits it.
    fn commit_at(&self, position: u64) {
        let ring = WriteRing::new(self.ring.clone(), RingSize::new(256).expect("the smallest"));
        ring.store_u64(position, REST, Rest::data(0, 0).encode(), Release);
        ring.store_u32(position, COMMIT, commit_word(position), Release);
    }

    fn hang_up(&self) {
        self.cord.hang_up();
    }
}

#[test]
fn an_epoch_that_goes_back_is_corrupt_for_the_next_call() {
    let (mut side, peer) = receiver_of_a_forger();
    // Epoch 9, odd, for data.
    peer.forge(PARKED, 9 << 8 | 2 | 1);
    send(&mut side, 1, b"");
    assert_eq!(side.stats.bells_rung, 1);
    send(&mut side, 2, b"");
    assert_eq!(side.stats.bells_rung, 1, "one bell an epoch");
    peer.forge(PARKED, 8 << 8 | 2 | 1);
    let slot = side.slot(8, Patience::None).expect("room");
    assert_eq!(
        side.commit(slot, Label::data(3), &[], 8, Show::Now),
        Ok(()),
        "the frame is out; no claim is left to be tried again"
    );
    assert_eq!(side.publish(4, b"", Show::Now, Patience::None), corrupt(Violation::Parked));
    assert_eq!(side.take(soon()), corrupt(Violation::Parked));
    assert_eq!(side.state(), State::Corrupt);
}

#[test]
fn a_storm_of_epochs_costs_a_bell_each_and_nothing_more() {
    let (mut side, peer) = receiver_of_a_forger();
    for epoch in 1..=100 {
        peer.forge(READ, side.writer.tail());
        peer.forge(PARKED, ((u64::MAX >> 8) - 100 + epoch) << 8 | 7);
        send(&mut side, 1, b"");
        assert_eq!(side.stats.bells_rung, epoch);
    }
}

#[test]
fn more_bells_than_sleeps_are_corrupt() {
    let (mut side, peer) = receiver_of_a_forger();
    peer.cord.ring();
    assert_eq!(side.state(), State::Corrupt);
    assert_eq!(side.take(soon()), corrupt(Violation::Bells));
    assert_eq!(side.publish(1, b"", Show::Now, soon()), corrupt(Violation::Bells));
}

#[test]
fn a_storm_of_bells_ends_a_wait_as_corrupt() {
    let (mut side, peer) = receiver_of_a_forger();
    // Each sleep allows one bell, so two at a time are too many, however slowly they come.
    let storm = std::thread::spawn(move || {
        (0..50).for_each(|_| peer.cord.theirs.change(|mail| mail.heard.bells += 2));
    });
    assert_eq!(side.take(soon()), corrupt(Violation::Bells));
    storm.join().expect("the storm passes");
}

#[test]
fn a_goodbye_that_disagrees_with_the_frames_is_corrupt_behind_them() {
    // One frame is there, so 65 would be right.
    for close in [1, 2, 64, 66, 129, 1 << 20 | 1, u64::MAX] {
        for patience in [soon, || Patience::None] {
            let (mut side, peer) = receiver_of_a_forger();
            peer.commit_at(0);
            peer.forge(CLOSE, close);
            peer.hang_up();
            assert!(side.take(patience()).is_ok(), "what was committed is delivered");
            assert_eq!(side.take(patience()), corrupt(Violation::CloseWord), "{close}");
            assert_eq!(side.state(), State::Corrupt);
        }
    }
}

#[test]
fn a_wait_ends_with_a_forged_frame() {
    let (mut side, peer) = receiver_of_a_forger();
    let other = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(3));
        let ring = WriteRing::new(peer.ring.clone(), RingSize::new(256).expect("the smallest"));
        ring.store_u32(0, COMMIT, 0x1234_5678, Release);
        peer.cord.ring();
    });
    assert_eq!(side.take(soon()), corrupt(Violation::CommitWord));
    other.join().expect("the forger ends");
}

#[test]
fn a_wait_for_room_ends_with_a_forged_read_position() {
    for read in [32, 64 * 4, u64::MAX] {
        let (mut side, peer) = receiver_of_a_forger();
        assert_eq!(fill(&mut side), 3);
        peer.forge(READ, read);
        assert_eq!(side.publish(1, b"", Show::Now, soon()), corrupt(Violation::ReadPosition), "{read}");
        assert_eq!(side.state(), State::Corrupt);
    }
}

#[test]
fn lingering_for_a_forged_reader_is_corrupt() {
    let (mut side, peer) = receiver_of_a_forger();
    send(&mut side, 1, b"");
    peer.forge(READ, 1 << 40);
    assert_eq!(side.wait_until_read(Deadline::after(SOON)), corrupt(Violation::ReadPosition));
}

#[test]
fn what_the_connection_finds_wrong_ends_the_session() {
    let (mut side, peer) = receiver_of_a_forger();
    peer.cord.theirs.change(|mail| mail.heard.violation = Some(Violation::Record));
    assert_eq!(side.take(soon()), corrupt(Violation::Record));
}

/// Every kind of call once, none of which waits.
fn use_all(side: &mut Side<Cord>) {
    for show in [Show::Later, Show::Now] {
        let _ = side.publish(1, b"payload", show, Patience::None);
    }
    if let Ok(frame) = side.take(Patience::None) {
        let _ = side.reader.payload(frame).len();
    }
    let _ = side.wait(Want::Data, Deadline::NOW);
    let _ = side.wait(Want::Room(side.writer.tail() + LINE), Deadline::NOW);
    let _ = side.wait_until_read(Deadline::NOW);
    let _ = side.release();
    let _ = side.flush();
    let _ = side.state();
    let _ = side.arm(Want::Data);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 1024 },
        // Miri keeps programs away from files.
        failure_persistence: if cfg!(miri) { None } else { ProptestConfig::default().failure_persistence },
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_header_of_arbitrary_words_breaks_nothing(
        words in prop::collection::vec((0_usize..4, prop_oneof![any::<u64>(), 0_u64..1024]), 1..20),
        ring in prop::collection::vec((0_u64..32, any::<u64>()), 0..8),
        bells in 0_u64..4,
        watched in any::<bool>(),
        hung_up in any::<bool>(),
    ) {
        let (mut side, peer) = receiver_of_a_forger();
        if watched {
            side.watch();
        }
        for (position, value) in ring {
            peer.ring.store_u64(position as usize * 8, value, Release);
        }
        for (word, value) in words {
            peer.forge(WORDS[word], value);
            use_all(&mut side);
        }
        (0..bells).for_each(|_| peer.cord.ring());
        if hung_up {
            peer.hang_up();
        }
        use_all(&mut side);
    }
}

/// A second thread changes every word of the peer's memory while this side uses it, waiting with short deadlines.
#[test]
fn memory_that_changes_all_the_time_breaks_nothing() {
    let sessions = if cfg!(miri) { 3 } else { 300 };
    let current = Arc::new(Mutex::new(None::<(WriteSpan, WriteRing)>));
    let mutator = std::thread::spawn({
        let current = Arc::clone(&current);
        let mut random = 0x2545_F491_4F6C_DD1D_u64;
        move || {
            loop {
                let Some((header, ring)) = &*current.lock().expect("no thread panics") else { return };
                for _ in 0..200 {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let line = (random >> 8) % 4 * LINE;
                    let small = random >> 32 & 0x3FF;
                    match random % 4 {
                        0 => header.store_u64(WORDS[(random >> 16) as usize % 4], small, Release),
                        1 => {
                            ring.store_u32(line, COMMIT, if random & 16 == 0 { 0 } else { commit_word(line) }, Release)
                        }
                        2 => ring.store_u64(line, REST, Rest::data(small as u32 % 128, 0).encode(), Release),
                        _ => ring.store_u64(line, REST, random, Release),
                    }
                }
                std::thread::yield_now();
            }
        }
    });
    let size = RingSize::new(256).expect("the smallest");
    for _ in 0..sessions {
        let (mut side, peer) = receiver_of_a_forger();
        *current.lock().expect("no thread panics") = Some((peer.header.clone(), WriteRing::new(peer.ring, size)));
        for _ in 0..20 {
            let patience = Patience::Until(Deadline::after(Duration::from_micros(100)));
            let _ = side.publish(1, b"payload", Show::Now, patience);
            let _ = side.take(patience);
            let _ = side.wait_until_read(Deadline::after(Duration::from_micros(50)));
        }
    }
    *current.lock().expect("no thread panics") = None;
    mutator.join().expect("the mutator ends");
}
