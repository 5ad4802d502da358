//! A session as an honest process would use it, by code of our own: frames, calls, replies, blocks and what comes back, each
//! by the rules, as long as nobody else writes over what is said ([`scribble`](super::scribble)).
//!
//! It does everything a little, at random, and never waits. On wish it also lies now and then, by whole frames and records
//! that are well-formed and not true.

use super::blocks::{Descriptor, announcement, forget};
use super::memory::Segment;
use super::wire::CALLS;
use super::{End, layout};
use crate::chance::Chance;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex};

/// Bytes of a block of ours, and of a page.
const BLOCK: u64 = 4096;
/// How many regions it makes.
const REGIONS: usize = 4;
/// The longest payload that it puts into the ring: what is agreed for calls.
const INLINE: usize = (CALLS >> 32) as usize;
/// Calls in flight, as agreed.
const PLACES: usize = CALLS as u32 as usize;
/// How many frames it hears in one go.
const HEARD: usize = 8;

/// What the talker and whoever writes over its words both know.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    /// Where the next frame starts.
    pub tail: Arc<AtomicU64>,
    /// The regions that were made.
    pub regions: Arc<Mutex<Vec<Arc<Segment>>>>,
}

/// One side of a session, with what it knows of the other's calls and blocks.
#[derive(Debug)]
pub struct Talker {
    end: End,
    chance: Chance,
    shared: Shared,
    /// Whether it publishes at all, and whether by calls.
    sends: bool,
    calls: bool,
    lies: bool,
    /// Our blocks: which, and whether it is out.
    blocks: Vec<(Descriptor, bool)>,
    /// Entries of the other side's return ring that were read.
    collected: u64,
    /// Blocks of the other side's that are to go back.
    held: Vec<Descriptor>,
    /// Requests of the other side's that are to be answered, and whether they are notes.
    owed: Vec<(u32, bool)>,
    /// Our places for calls: how often each was taken, and whether it is.
    places: [(u32, bool); PLACES],
    /// How many of the other side's regions we say that we have mapped.
    seen: u64,
    /// The epoch that was rung for last.
    rung: u64,
    /// What came makes no sense any more, because the other side was told lies of what has been read.
    deaf: bool,
}

impl Talker {
    /// Talks by `end`: it publishes if it `sends`, requests and replies for `calls`.
    #[must_use]
    pub fn new(end: End, chance: Chance, shared: Shared, [sends, calls, lies]: [bool; 3]) -> Self {
        Self {
            end,
            chance,
            shared,
            sends,
            calls,
            lies,
            blocks: Vec::new(),
            collected: 0,
            held: Vec::new(),
            owed: Vec::new(),
            places: [(0, false); PLACES],
            seen: 0,
            rung: 0,
            deaf: false,
        }
    }

    /// Does one thing. Whether the other side is still there.
    pub fn step(&mut self) -> bool {
        self.hear();
        match self.chance.below(16) {
            0 => return self.end.socket.drain(),
            1 if self.sends => self.make_region(),
            2..4 => self.collect(),
            4..7 => self.give_one_back(),
            7..10 if self.calls => self.answer_one(),
            10 if self.lies && self.chance.below(50) == 0 => self.lie(),
            11.. if self.calls => self.call(),
            11.. if self.sends => drop(self.say(layout::DATA, 0)),
            _ => {}
        }
        true
    }

    /// Ends the session, with a goodbye or without.
    pub fn leave(&mut self, goodbye: bool) {
        if goodbye {
            self.end.close_with(self.end.tail | 1);
        } else {
            self.end.socket.hang_up();
        }
    }

    /// Publishes a frame of some length, in the ring or in a block. Whether there was room.
    fn say(&mut self, kind: u64, correlation: u32) -> bool {
        let block = self.blocks.iter().position(|(_, out)| !out).filter(|_| self.chance.below(3) == 0);
        let Some(number) = block else {
            let payload = vec![7; self.chance.below(INLINE + 1)];
            return self.publish(kind, correlation, &payload);
        };
        let (mut block, _) = self.blocks[number];
        block.len = self.chance.below(BLOCK as usize + 1) as u64;
        let said = self.publish(kind | layout::BLOCK, correlation, &block.bytes());
        self.blocks[number].1 = said;
        said
    }

    /// Publishes a frame, behind a pad where it would not fit before the ring's end.
    fn publish(&mut self, kind: u64, correlation: u32, payload: &[u8]) -> bool {
        let need = (payload.len() as u64 + layout::HEADER as u64).next_multiple_of(layout::LINE);
        let to_end = self.end.ring - self.end.tail % self.end.ring;
        let pad = if need > to_end { to_end } else { 0 };
        let read = self.end.theirs.load_u64(layout::READ);
        let fits = self.end.tail + pad + need + layout::LINE <= read + self.end.ring;
        self.end.mine.store_u64(layout::STARVING, u64::from(!fits));
        if !fits {
            return false;
        }
        if pad > 0 {
            let start = self.end.tail;
            self.end.tail += pad;
            self.end.mine.store_u32(self.end.at(self.end.tail), 0);
            self.end.write_frame(start, layout::PAD, 0, 0, &[]);
            self.end.commit(start);
        }
        self.end.say(kind, 1, correlation, payload);
        self.shared.tail.store(self.end.tail, Ordering::Relaxed);
        self.ring(layout::FOR_DATA);
        true
    }

    /// Rings, if the other side sleeps for this and was not rung for yet.
    #[expect(clippy::disallowed_methods, reason = "the door of the product is not for its opponents")]
    fn ring(&mut self, reason: u64) {
        fence(Ordering::SeqCst);
        let word = self.end.theirs.load_u64(layout::PARKED);
        if word & 1 == 1 && word & reason != 0 && word >> 8 != self.rung {
            self.rung = word >> 8;
            self.end.socket.flood(&[0]);
        }
    }

    /// Calls, or says something of which no reply is awaited, or gives up a call that is out.
    fn call(&mut self) {
        let place = self.chance.below(PLACES);
        let (turn, taken) = self.places[place];
        if taken {
            if self.chance.below(8) == 0 && self.lies {
                self.publish(layout::CANCEL, turn << 16 | place as u32, &[]);
            }
            return;
        }
        let turn = turn % 0xFFFF + 1;
        let kind = [layout::REQUEST, layout::REQUEST, layout::NOTE][self.chance.below(3)];
        if self.say(kind, turn << 16 | place as u32) {
            self.places[place] = (turn, true);
        }
    }

    /// Answers one of the requests that came, not always the first.
    fn answer_one(&mut self) {
        if self.owed.is_empty() {
            return;
        }
        let (id, note) = self.owed.swap_remove(self.chance.below(self.owed.len()));
        let said = match self.chance.below(6) {
            _ if note => self.publish(layout::REPLY, id, &[]),
            0 => self.publish(layout::ERROR, id, b"no"),
            _ => self.say(layout::REPLY, id),
        };
        if !said {
            self.owed.push((id, note));
        }
    }

    fn make_region(&mut self) {
        let number = self.shared.regions.lock().expect("nobody panics while pushing").len();
        if number == REGIONS {
            return;
        }
        let len = BLOCK << self.chance.below(4);
        let segment = Arc::new(Segment::region(len as usize));
        if self.end.socket.try_send_with(&announcement(number as u32, len), &[segment.fd()]) {
            let block = |at| Descriptor { region: number as u32, generation: 1, offset: at * BLOCK, len: 0 };
            self.blocks.extend((0..len / BLOCK).map(|at| (block(at), false)));
            self.shared.regions.lock().expect("nobody panics while pushing").push(segment);
        }
    }

    /// Takes note of blocks of ours that came back.
    fn collect(&mut self) {
        let tail = self.end.theirs.load_u64(layout::RETURNS);
        while self.collected < tail {
            let at = (self.collected % self.end.their_returns) as usize * 8;
            let entry = self.end.theirs.load_u64(layout::RING + self.end.their_ring as usize + at);
            self.collected += 1;
            if let Some((block, out)) = self.blocks.iter_mut().find(|(block, out)| *out && block.entry() == entry) {
                (block.generation, *out) = (block.generation + 1, false);
            }
        }
    }

    fn give_one_back(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let block = self.held.swap_remove(self.chance.below(self.held.len()));
        self.end.give_back(block.entry());
        self.ring(layout::FOR_BLOCKS);
    }

    /// Takes what the other side has said.
    fn hear(&mut self) {
        for _ in 0..HEARD {
            let at = layout::RING + (self.end.head % self.end.their_ring) as usize;
            if self.deaf || self.end.theirs.load_u32(at) != layout::commit_word(self.end.head) {
                return;
            }
            let rest = self.end.theirs.load_u64(at + 8);
            let (len, kind) = (rest & ((1 << 27) - 1), u64::from(rest as u32 >> 27));
            let left = self.end.their_ring - self.end.head % self.end.their_ring;
            let size = if kind == layout::PAD { left } else { (len + 16).next_multiple_of(layout::LINE) };
            self.deaf = size > left;
            if self.deaf {
                return;
            }
            if kind & layout::BLOCK != 0 {
                let bytes = self.end.theirs.read(at + layout::HEADER, (len as usize).max(24));
                self.hold(Descriptor::of(&bytes));
            }
            self.note(kind & 7, (rest >> 32) as u32);
            self.end.head += size;
            self.end.read_up_to(self.end.head);
            self.ring(layout::FOR_ROOM);
        }
    }

    fn hold(&mut self, block: Descriptor) {
        self.held.push(block);
        if u64::from(block.region) >= self.seen {
            self.seen = u64::from(block.region) + 1;
            self.end.mine.store_u64(layout::SEEN, self.seen);
            self.ring(layout::FOR_BLOCKS);
        }
    }

    fn note(&mut self, kind: u64, id: u32) {
        match kind {
            layout::REQUEST | layout::NOTE => self.owed.push((id, kind == layout::NOTE)),
            layout::REPLY | layout::ERROR => {
                if let Some(place) = self.places.get_mut((id & 0xFFFF) as usize) {
                    place.1 = false;
                }
            }
            _ => {}
        }
    }

    /// Says something well-formed that is not so.
    fn lie(&mut self) {
        let number = self.chance.number();
        match self.chance.below(8) {
            0 => self.end.give_back(number),
            1 => drop(self.end.socket.flood(&forget(number as u32 % 6))),
            2 => drop(self.end.socket.flood(&[0])),
            3 => self.end.mine.store_u64(layout::SEEN, number % 8),
            4 => self.held.extend(self.held.last().copied()),
            5 => {
                let (turn, place) = (number as u32 % 4, number as u32 % (PLACES as u32 + 1));
                self.owed.push((turn << 16 | place, self.chance.below(2) == 0));
            }
            6 => self.places[number as usize % PLACES].1 = false,
            _ => {
                let block = Descriptor { region: 0, generation: 1, offset: number % 300 * 256, len: number >> 40 };
                self.publish(layout::REQUEST | layout::BLOCK, 1 << 16, &block.bytes());
            }
        }
    }
}
