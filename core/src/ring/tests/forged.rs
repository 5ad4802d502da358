//! A peer that breaks the protocol: each forged word gives its violation; never a panic, never an endless loop.

use super::*;
use crate::layout::{FRAME_MAX, HEADER, STARVING, frame_bytes};
use proptest::prelude::*;

/// A header's second half with any content: length, kind, correlation id.
fn forged_rest(kind: u32, len: u32) -> u64 {
    u64::from(len) | u64::from(kind) << 27
}

#[test]
fn a_commit_word_of_another_position_is_corrupt() {
    for at in [0, 192, 4096, (1 << 32) - LINE] {
        let right = commit_word(at);
        let wrong = [right + 1, right ^ 0x40, right | 2, right.wrapping_sub(1) | 0x8000_0000, 2, u32::MAX];
        for word in wrong.into_iter().filter(|&word| word != right && word != 0) {
            let mut ends = Ends::at(256, at);
            ends.forge(at, word, Rest::data(0, 0).encode());
            assert_eq!(ends.reader.take(), Err(Violation::CommitWord), "{word:#x} at {at}");
            assert!(ends.reader.has_data(), "a wait ends with it");
        }
    }
}

#[test]
fn the_commit_word_of_an_earlier_lap_is_corrupt() {
    let mut ends = Ends::at(256, 1024);
    ends.forge(1024, commit_word(1024 - 256), Rest::data(0, 0).encode());
    assert_eq!(ends.reader.take(), Err(Violation::CommitWord));
}

#[test]
fn every_kind_that_there_is_not_is_corrupt() {
    for kind in [0, 8, 9, 10, 12, 13, 14, 15, 16, 18, 22, 24, 25, 26, 28, 29, 30, 31] {
        let mut ends = Ends::at(256, 64);
        ends.forge(64, commit_word(64), forged_rest(kind, 0));
        assert_eq!(ends.reader.take(), Err(Violation::FrameKind), "kind {kind}");
    }
}

#[test]
fn a_frame_that_no_ring_of_this_size_can_hold_is_corrupt() {
    let longest = ring_size(1024).payload_max() as u32;
    for len in [longest + 1, longest + 64, 1 << 20, FRAME_MAX as u32 - 1] {
        let mut ends = Ends::new(1024);
        ends.forge(0, commit_word(0), forged_rest(1, len));
        assert_eq!(ends.reader.take(), Err(Violation::FrameLength), "{len} bytes");
    }
    let mut ends = Ends::new(1024);
    ends.forge(0, commit_word(0), forged_rest(1, longest));
    assert_eq!(ends.take().len, longest as usize);
}

#[test]
fn a_frame_that_runs_past_the_end_of_the_ring_is_corrupt() {
    for lines in 1..8_u64 {
        let at = 1024 - lines * LINE;
        let fits = (lines * LINE) as usize - HEADER;
        let mut ends = Ends::at(1024, at);
        ends.forge(at, commit_word(at), forged_rest(1, fits as u32));
        assert_eq!(ends.take().len, fits);
        let mut ends = Ends::at(1024, at);
        ends.forge(at, commit_word(at), forged_rest(1, fits as u32 + 1));
        assert_eq!(ends.reader.take(), Err(Violation::FrameLength), "{lines} lines before the end");
    }
}

#[test]
fn a_pad_at_the_start_of_the_ring_is_corrupt_also_behind_a_pad() {
    let mut ends = Ends::at(256, 256);
    ends.forge(256, commit_word(256), Rest::pad().encode());
    assert_eq!(ends.reader.take(), Err(Violation::Pad));

    let mut ends = Ends::at(256, 192);
    ends.forge(192, commit_word(192), Rest::pad().encode());
    ends.forge(256, commit_word(256), Rest::pad().encode());
    assert_eq!(ends.reader.take(), Err(Violation::Pad));
}

#[test]
fn a_pad_with_nothing_behind_it_is_stepped_over_once_and_takes_no_frame() {
    let mut ends = Ends::at(256, 64);
    ends.forge(64, commit_word(64), forged_rest(2, (1 << 27) - 1));
    assert_eq!(ends.reader.take(), Ok(None));
    assert_eq!(ends.reader.head(), 256, "its length is what the position says, not what it says");
    assert_eq!(ends.reader.take(), Ok(None));
}

#[test]
fn an_impossible_read_position_is_corrupt() {
    // Told 1024; one frame of one line is out, and one more that is not shown.
    for read in [1, 64, 1023, 960, 1025, 1088 + 64, 1 << 33, u64::MAX, u64::MAX - 63] {
        let mut ends = Ends::at(256, 1024);
        ends.send(1, b"");
        let slot = ends.writer.reserve(0).expect("room");
        ends.writer.commit(slot, Label::data(2), 0, Show::Later);
        ends.theirs.store_u64(READ, read, Release);
        assert_eq!(ends.writer.has_room(0), Err(Violation::ReadPosition), "{read}");
        assert_eq!(ends.writer.reserve(112), Err(NoRoom::Corrupt(Violation::ReadPosition)), "{read}");
    }
    for read in [1024, 1088] {
        let mut ends = Ends::at(256, 1024);
        ends.send(1, b"");
        ends.theirs.store_u64(READ, read, Release);
        assert_eq!(ends.writer.has_room(0), Ok(true), "{read}");
    }
}

#[test]
fn a_starving_word_of_any_value_asks_for_credit_and_nothing_more() {
    for word in [1, 2, u64::MAX] {
        let ours = WriteSpan::heap(RING);
        let ring = WriteSpan::heap(256);
        let mut reader = Reader::new(WriteSpan::heap(RING), ring.reader(), ours.reader(), ring_size(256));
        ours.store_u64(STARVING, word, Release);
        assert!(reader.release());
        assert!(!reader.give_credit(), "there is no news to tell");
    }
}

/// Takes until there is nothing or it is corrupt, which no content may put off for longer than a lap.
fn exhaust(ends: &mut Ends) {
    let lines = ends.size.bytes() / LINE;
    let mut copy = Vec::new();
    for _ in 0..=lines {
        let Ok(Some(frame)) = ends.reader.take() else { return };
        assert!(frame_bytes(frame.len) <= ends.size.frame_max());
        copy.resize(frame.len, 0);
        ends.reader.copy(frame, &mut copy);
        assert_eq!(ends.reader.payload(frame), copy);
        if ends.reader.release() {
            ends.reader.give_credit();
        }
    }
    panic!("more frames than the ring has lines");
}

/// What a forger puts over a line: the right words, near misses, or anything.
fn forged_line() -> impl Strategy<Value = (Option<u32>, u64, [u64; 6])> {
    let rest = prop_oneof![
        (0_u32..200).prop_map(|len| forged_rest(1, len)),
        Just(Rest::pad().encode()),
        (0_u32..32, any::<u32>()).prop_map(|(kind, len)| forged_rest(kind, len & ((1 << 27) - 1))),
        any::<u64>(),
    ];
    (prop_oneof![3 => Just(None), 1 => any::<u32>().prop_map(Some)], rest, any::<[u64; 6]>())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 2048 },
        // Miri keeps programs away from files.
        failure_persistence: if cfg!(miri) { None } else { ProptestConfig::default().failure_persistence },
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_ring_of_arbitrary_lines_is_read_to_an_end(
        lines in prop_oneof![
            prop::collection::vec(forged_line(), 4),
            prop::collection::vec(forged_line(), if cfg!(miri) { 4 } else { 16 }),
            prop::collection::vec(forged_line(), if cfg!(miri) { 8 } else { 64 }),
        ],
        turned in 0_u64..64,
    ) {
        let bytes = lines.len() as u64 * LINE;
        let start = turned * LINE;
        let mut ends = Ends::at(bytes, start);
        for (line, (commit, rest, payload)) in lines.into_iter().enumerate() {
            let position = start + line as u64 * LINE;
            for (word, value) in payload.into_iter().enumerate() {
                let at = position + HEADER as u64 + 8 * word as u64;
                ends.ring.store_u64(at, (at % LINE) as usize, value, Release);
            }
            ends.forge(position, commit.unwrap_or(commit_word(position)), rest);
        }
        exhaust(&mut ends);
    }

    #[test]
    fn a_read_position_of_any_value_is_possible_or_corrupt(
        frames in 0_u64..3,
        read in prop_oneof![any::<u64>(), (0_u64..64).prop_map(|line| line * 32)],
    ) {
        let mut ends = Ends::at(256, 512);
        for _ in 0..frames {
            ends.send(1, b"");
        }
        ends.theirs.store_u64(READ, read, Release);
        let possible = read % LINE == 0 && (512..=512 + frames * LINE).contains(&read);
        prop_assert_eq!(ends.writer.has_room(0).is_ok(), possible);
        prop_assert_eq!(ends.writer.seen_read(), if possible { read } else { 512 });
    }
}

/// A second thread changes the words of a ring while it is read, right ones and wrong ones by turns.
#[test]
fn a_ring_that_changes_while_it_is_read_is_read_to_an_end() {
    let rounds = if cfg!(miri) { 4 } else { 2000 };
    let mut ends = Ends::new(1024);
    let ring = Arc::clone(&ends.ring);
    let stop = Arc::new(std::sync::Mutex::new(false));
    let mutator = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let mut random = 0x9E37_79B9_7F4A_7C15_u64;
            while !*stop.lock().expect("no thread panics") {
                for _ in 0..64 {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let line = (random >> 40) % 16 * LINE;
                    let word = [commit_word(line), 0, random as u32][(random >> 20) as usize % 3];
                    let rest = [forged_rest(1, random as u32 % 300), Rest::pad().encode(), random];
                    // Each word by stores of its own size, as a peer's would be; the product reads them by such loads.
                    ring.store_u64(line, REST, rest[(random >> 10) as usize % 3], Release);
                    ring.store_u32(line, COMMIT, word, Release);
                }
                std::thread::yield_now();
            }
        }
    });
    for _ in 0..rounds {
        ends.turn_to(0);
        let taken = (0..=16).take_while(|_| matches!(ends.reader.take(), Ok(Some(_)))).count();
        assert!(taken <= 16, "more frames than the ring has lines");
    }
    *stop.lock().expect("no thread panics") = true;
    mutator.join().expect("the mutator ends");
}
