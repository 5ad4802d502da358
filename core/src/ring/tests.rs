//! The ring against a plain model, and against a peer that breaks every rule.
//!
//! Both ends stand over heap memory in one process, so that Miri can follow every access.

mod forged;
mod plain;

use super::{Label, NoRoom, Reader, Show, Slot, Taken, Writer};
use crate::error::Violation;
use crate::layout::{COMMIT, LINE, READ, REST, RING, Rest, RingSize, commit_word};
use crate::span::{ReadRing, WriteRing, WriteSpan};
use crate::sync::Ordering::{Acquire, Release};
use std::sync::Arc;

/// Both ends of a ring, and the memory under them.
struct Ends {
    writer: Writer,
    reader: Reader,
    size: RingSize,
    /// The bytes of the ring, to be forged and to be looked at.
    ring: Arc<WriteRing>,
    seen: ReadRing,
    /// The header of the reading side, which holds the read position.
    theirs: WriteSpan,
}

fn ring_size(bytes: u64) -> RingSize {
    RingSize::new(bytes).expect("a size that a ring may have")
}

impl Ends {
    fn new(bytes: u64) -> Self {
        let size = ring_size(bytes);
        let ours = WriteSpan::heap(RING + size.bytes() as usize);
        let theirs = WriteSpan::heap(RING);
        let (header, ring) = (ours.sub(0, RING), ours.sub(RING, bytes as usize));
        let reader = Reader::new(theirs.clone(), ring.reader(), header.reader(), size);
        let writer = Writer::new(header, ring.clone(), theirs.reader(), size);
        let seen = ReadRing::new(ring.reader(), size);
        Self { writer, reader, size, ring: Arc::new(WriteRing::new(ring, size)), seen, theirs }
    }

    /// As after everything up to `position` was sent, received and told.
    fn at(bytes: u64, position: u64) -> Self {
        let mut ends = Self::new(bytes);
        ends.turn_to(position);
        ends
    }

    fn turn_to(&mut self, position: u64) {
        self.writer.start_at(position);
        self.reader.start_at(position);
        self.theirs.store_u64(READ, position, Release);
        self.ring.store_u32(position, COMMIT, 0, Release);
        self.writer.has_room(0).expect("the read position is right");
    }

    /// Writes into every line but the one at `position` what this lap or the next would take for a frame.
    fn plant_lies(&self, position: u64) {
        for ahead in (LINE..self.size.bytes()).step_by(LINE as usize) {
            self.forge(position + ahead, commit_word(position + ahead), Rest::data(1, 7).encode());
        }
    }

    /// Writes a frame header at `position` as a peer might that keeps to nothing.
    fn forge(&self, position: u64, commit: u32, rest: u64) {
        self.ring.store_u64(position, REST, rest, Release);
        self.ring.store_u32(position, COMMIT, commit, Release);
    }

    fn commit_word_at(&self, position: u64) -> u32 {
        self.seen.load_u32(position, COMMIT, Acquire)
    }

    /// Commits one frame, for which there must be room.
    fn send(&mut self, type_id: u32, payload: &[u8]) {
        let slot = self.writer.reserve(payload.len()).expect("there is room");
        self.writer.fill(slot, 0, payload);
        self.writer.commit(slot, Label::data(type_id), payload.len(), Show::Now);
    }

    /// Takes the next frame, which must be there.
    fn take(&mut self) -> Taken {
        self.reader.take().expect("an honest writer breaks nothing").expect("a frame is there")
    }
}

#[test]
fn a_slot_that_is_given_up_leaves_no_trace() {
    let mut ends = Ends::at(256, 192);
    ends.plant_lies(192);
    for len in [0, 48, 49, 112] {
        let slot = ends.writer.reserve(len).expect("an empty ring has room for any frame");
        ends.writer.payload_mut(slot).fill(0xFF);
        assert_eq!(ends.reader.take(), Ok(None), "{len} bytes");
    }
    ends.send(1, b"seen");
    let frame = ends.take();
    assert_eq!((frame.type_id, ends.reader.payload(frame)), (1, &b"seen"[..]));
    assert_eq!(ends.reader.take(), Ok(None));
}

#[test]
fn a_slot_may_be_committed_shorter_and_the_rest_is_room_again() {
    let mut ends = Ends::new(256);
    for round in 0..20_u32 {
        let slot = ends.writer.reserve(112).expect("room for two lines");
        ends.writer.payload_mut(slot).fill(0xEE);
        ends.writer.commit(slot, Label { correlation: 9, ..Label::data(round) }, 3, Show::Now);
        let frame = ends.take();
        assert_eq!((frame.type_id, frame.correlation), (round, 9));
        assert_eq!(ends.reader.payload(frame), [0xEE; 3]);
        assert_eq!(ends.reader.take(), Ok(None));
        ends.reader.release();
        ends.reader.give_credit();
    }
    // A frame of one line each time, and no more than a pad a lap beside it.
    assert!(ends.writer.tail() <= 27 * LINE);
}

#[test]
#[should_panic(expected = "no longer reserved")]
fn a_slot_that_something_overtook_is_nobodys() {
    let mut ends = Ends::new(256);
    let slot = ends.writer.reserve(8).expect("room");
    ends.send(1, b"");
    ends.writer.payload(slot);
}

#[test]
#[should_panic(expected = "has been released")]
fn a_frame_that_was_released_is_not_readable_any_more() {
    let mut ends = Ends::new(256);
    ends.send(1, b"");
    let frame = ends.take();
    ends.reader.release();
    ends.reader.payload(frame);
}

#[test]
fn starving_is_answered_by_the_next_release() {
    let mut ends = Ends::new(4096);
    ends.send(1, b"");
    ends.take();
    assert!(!ends.reader.release(), "one line is no step of credit");
    ends.send(2, b"");
    ends.writer.starve();
    ends.take();
    assert!(ends.reader.release(), "the writer waits");
    assert!(ends.reader.give_credit());
    assert_eq!(ends.writer.has_room(u64::MAX), Ok(false));
    assert_eq!(ends.writer.seen_read(), 2 * LINE);
    ends.send(3, b"");
    ends.take();
    assert!(!ends.reader.release(), "a commit ends the starving");
}

#[test]
fn positions_pass_four_gigabytes_as_if_nothing_were() {
    let start = (1 << 32) - 3 * LINE;
    let mut ends = Ends::at(256, start);
    ends.plant_lies(start);
    for round in 0..8_u32 {
        ends.send(round, &round.to_le_bytes());
        let frame = ends.take();
        assert_eq!(ends.reader.payload(frame), round.to_le_bytes());
        assert_eq!(ends.reader.take(), Ok(None));
        ends.reader.release();
        ends.reader.give_credit();
    }
}
