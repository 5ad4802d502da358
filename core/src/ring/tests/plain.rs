//! What any sequence of calls must do, told by a model so plain that it can be seen to be right: a queue of what is visible,
//! a queue of what is hidden, and three positions.

use super::*;
use crate::layout::frame_bytes;
use proptest::prelude::*;
use std::collections::VecDeque;

/// What becomes of a slot.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// Committed with so many per mille of its length.
    Used(usize),
    /// Written to and forgotten.
    Forgotten,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A slot of so many per mille of the longest payload, or of this many bytes around a whole number of lines.
    Send {
        len: Len,
        fate: Fate,
        show: Show,
    },
    ShowGroup,
    Take(usize),
    Release,
    Credit,
}

#[derive(Clone, Copy, Debug)]
enum Len {
    PerMille(usize),
    Lines { lines: usize, less: usize },
}

impl Len {
    fn of(self, max: usize) -> usize {
        match self {
            Self::PerMille(share) => max * share / 1000,
            Self::Lines { lines, less } => (lines * LINE as usize).saturating_sub(less).min(max),
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = prop_oneof![
        2 => (0_usize..=1000).prop_map(Len::PerMille),
        1 => Just(Len::PerMille(1000)),
        // A header is 16 bytes: one byte more than `64 n - 16` takes another line.
        4 => (1_usize..6, 14_usize..19).prop_map(|(lines, less)| Len::Lines { lines, less }),
    ];
    let fate = prop_oneof![
        6 => Just(Fate::Used(1000)),
        2 => (0_usize..=1000).prop_map(Fate::Used),
        1 => Just(Fate::Forgotten),
    ];
    let show = prop_oneof![3 => Just(Show::Now), 2 => Just(Show::Later)];
    let send = (len, fate, show).prop_map(|(len, fate, show)| Step::Send { len, fate, show });
    let step = prop_oneof![
        6 => send,
        1 => Just(Step::ShowGroup),
        4 => (1_usize..4).prop_map(Step::Take),
        2 => Just(Step::Release),
        2 => Just(Step::Credit),
    ];
    prop::collection::vec(step, 1..if cfg!(miri) { 40 } else { 300 })
}

/// A frame as the model knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plain {
    type_id: u32,
    payload: Vec<u8>,
    /// Where the next frame starts.
    end: u64,
}

/// The model, beside what it is compared with.
struct Bench {
    ends: Ends,
    visible: VecDeque<Plain>,
    hidden: VecDeque<Plain>,
    /// Taken and not released.
    leased: Vec<(Taken, Plain)>,
    tail: u64,
    head: u64,
    released: u64,
    told: u64,
    starving: bool,
    sent: u32,
}

impl Bench {
    fn new(bytes: u64, position: u64) -> Self {
        let ends = Ends::at(bytes, position);
        ends.plant_lies(position);
        Self {
            ends,
            visible: VecDeque::new(),
            hidden: VecDeque::new(),
            leased: Vec::new(),
            tail: position,
            head: position,
            released: position,
            told: position,
            starving: false,
            sent: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send { len, fate, show } => self.send(len.of(self.ends.size.payload_max()), fate, show),
            Step::ShowGroup => {
                assert_eq!(self.ends.writer.show_group(), !self.hidden.is_empty());
                self.visible.append(&mut self.hidden);
            }
            Step::Take(count) => (0..count).for_each(|_| self.take()),
            Step::Release => self.release(),
            Step::Credit => self.give_credit(),
        }
        let shown = self.ends.writer.shown();
        assert_eq!(self.ends.commit_word_at(shown), 0, "nothing is to be seen behind the last frame");
        assert_eq!(self.ends.commit_word_at(self.tail), 0, "nothing will be");
        assert_eq!((self.ends.writer.tail(), self.ends.reader.head()), (self.tail, self.head));
    }

    /// Where a frame with `len` bytes starts: here, or at the start of the ring if it does not fit in front of the end.
    fn start_of(&self, len: usize) -> u64 {
        let size = self.ends.size.bytes();
        let end_of_lap = (self.tail / size + 1) * size;
        if self.tail + frame_bytes(len) > end_of_lap { end_of_lap } else { self.tail }
    }

    fn send(&mut self, len: usize, fate: Fate, show: Show) {
        let start = self.start_of(len);
        let fits = start + frame_bytes(len) + LINE <= self.told + self.ends.size.bytes();
        let slot = match self.ends.writer.reserve(len) {
            Ok(slot) => slot,
            Err(no_room) => {
                assert!(!fits, "there is room for {len} bytes");
                assert_eq!(no_room, NoRoom::Until(start + frame_bytes(len)));
                self.ends.writer.starve();
                self.starving = true;
                return;
            }
        };
        assert!(fits, "there is no room for {len} bytes");
        self.starving = false;
        let payload = self.payload(start, len);
        assert_eq!(slot.len(), len);
        self.fill(slot, &payload);
        let Fate::Used(share) = fate else { return };
        let used = len * share / 1000;
        self.sent += 1;
        self.ends.writer.commit(slot, Label::data(self.sent), used, show);
        self.tail = start + frame_bytes(used);
        self.hidden.push_back(Plain { type_id: self.sent, payload: payload[..used].to_vec(), end: self.tail });
        if show == Show::Now {
            self.visible.append(&mut self.hidden);
        }
    }

    /// In place or copied in, by turns.
    fn fill(&mut self, slot: Slot, payload: &[u8]) {
        if self.sent.is_multiple_of(2) {
            self.ends.writer.payload_mut(slot).copy_from_slice(payload);
            assert_eq!(self.ends.writer.payload(slot), payload);
        } else {
            let (front, back) = payload.split_at(payload.len() / 3);
            self.ends.writer.fill(slot, front.len(), back);
            self.ends.writer.fill(slot, 0, front);
        }
    }

    /// Bytes that would be believed by whoever took the start of one of their lines for a frame: of this lap, or of the next.
    fn payload(&self, start: u64, len: usize) -> Vec<u8> {
        let mut payload: Vec<_> =
            (0..len).map(|at| (at as u32).wrapping_mul(31).wrapping_add(self.sent) as u8).collect();
        let lap = if self.sent.is_multiple_of(3) { 0 } else { self.ends.size.bytes() };
        for line in 1..frame_bytes(len) / LINE {
            let at = (line * LINE) as usize - 16;
            let word = commit_word(start + line * LINE + lap).to_le_bytes();
            let whole = payload.len().min(at + 4) - at;
            payload[at..at + whole].copy_from_slice(&word[..whole]);
        }
        payload
    }

    fn take(&mut self) {
        let taken = self.ends.reader.take().expect("an honest writer breaks nothing");
        assert_eq!(taken.is_some(), !self.visible.is_empty());
        let (Some(taken), Some(plain)) = (taken, self.visible.pop_front()) else { return };
        self.head = plain.end;
        let mut copy = vec![0; taken.len];
        self.ends.reader.copy(taken, &mut copy);
        assert_eq!((taken.type_id, copy), (plain.type_id, plain.payload.clone()));
        self.leased.push((taken, plain));
    }

    fn release(&mut self) {
        for (taken, plain) in self.leased.drain(..) {
            assert_eq!(self.ends.reader.payload(taken), plain.payload, "a lease stays as it was");
        }
        assert_eq!(self.ends.reader.holds(), self.head != self.released);
        self.released = self.head;
        let owed = self.released - self.told >= self.ends.size.credit_step() || self.starving;
        assert_eq!(self.ends.reader.release(), owed);
    }

    fn give_credit(&mut self) {
        assert_eq!(self.ends.reader.give_credit(), self.told != self.released);
        self.told = self.released;
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 512 },
        // Miri keeps programs away from files.
        failure_persistence: if cfg!(miri) { None } else { ProptestConfig::default().failure_persistence },
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_sequence_of_calls_does_what_the_plain_model_says(
        bits in 8_u32..=if cfg!(miri) { 9 } else { 16 },
        line in prop_oneof![0_u64..2048, (1_u64 << 26) - 64..1 << 26],
        steps in steps(),
    ) {
        let mut bench = Bench::new(1 << bits, line * LINE);
        for step in steps {
            bench.step(step);
        }
        // Whatever happened, all of it arrives.
        bench.step(Step::ShowGroup);
        bench.step(Step::Take(bench.visible.len() + 1));
        bench.step(Step::Release);
    }
}

/// Sends one frame at `position`, and then an empty one, through a ring full of lies.
fn cross(ends: &mut Ends, position: u64, payload: &[u8]) {
    ends.turn_to(position);
    ends.plant_lies(position);
    ends.send(1, payload);
    let frame = ends.take();
    assert!(frame.type_id == 1 && ends.reader.payload(frame) == payload, "{} bytes at {position}", payload.len());
    assert_eq!(ends.reader.take(), Ok(None), "{} bytes at {position}", payload.len());
    ends.reader.release();
    ends.reader.give_credit();
    ends.send(2, &[]);
    let frame = ends.take();
    assert_eq!((frame.type_id, frame.len), (2, 0));
    assert_eq!(ends.reader.take(), Ok(None), "{} bytes at {position}", payload.len());
}

/// Every ring size from the smallest, every payload length, at every line of the ring.
#[test]
fn every_length_at_every_line_of_every_small_ring() {
    let sizes: &[u64] = if cfg!(miri) { &[256] } else { &[256, 512, 1024, 2048, 4096] };
    for &bytes in sizes {
        let mut ends = Ends::new(bytes);
        let payload: Vec<_> = (0..ends.size.payload_max()).map(|at| at as u8 ^ 0x5A).collect();
        for len in (0..=payload.len()).step_by(if cfg!(miri) { 13 } else { 1 }) {
            for line in 0..bytes / LINE {
                // The last lap in front of the position that has no low half.
                cross(&mut ends, (1 << 32) - bytes + line * LINE, &payload[..len]);
            }
        }
    }
}

/// Of the larger rings, every size with the lengths at which something changes, at the lines around the wrap.
#[test]
#[cfg_attr(miri, ignore = "megabytes; the smaller rings take the same paths")]
fn the_lengths_that_matter_across_the_wrap_of_every_larger_ring() {
    for bits in 13..=20 {
        let mut ends = Ends::new(1 << bits);
        let max = ends.size.payload_max();
        let payload: Vec<_> = (0..max).map(|at| at as u8 ^ 0xA5).collect();
        for len in [0, 1, 47, 48, 49, 111, 112, 113, max / 2, max - 64, max - 1, max] {
            let lines = frame_bytes(len) / LINE;
            for before in [1, 2, lines.saturating_sub(1).max(1), lines, lines + 1] {
                cross(&mut ends, (5 << bits) - before * LINE, &payload[..len]);
            }
        }
    }
}
