//! A peer that writes over its own words: one thread of it talks as it should ([`talk`](super::talk)), another changes, at
//! any moment, what stands in its outbox and its regions.
//!
//! What it does follows from one number ([`Plan`]), so that whoever starts it knows how the session may end. Its handshake is
//! an honest one.

use super::memory::Segment;
use super::talk::{Shared, Talker};
use super::{End, answering, client_of_another_process_by, layout, listener_for_another_process_by, receiving, wire};
use crate::chance::Chance;
use crate::meanwhile::meanwhile;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of every ring that it offers.
pub const RING: u64 = 16 << 10;

/// Words of the header that the other side reads.
const WORDS: [usize; 6] =
    [layout::PARKED, layout::STARVING, layout::CLOSE, layout::READ, layout::RETURNS, layout::SEEN];

/// What it is in the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Connects, and sends frames.
    Sends,
    /// Listens, and is sent frames.
    Receives,
    /// Connects, for calls.
    Calls,
    /// Listens, for calls.
    Answers,
}

/// What is written over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// The payloads of blocks, which belong to it, and bytes that mean nothing: no rule is broken.
    Harmless,
    /// One word of the header, by its offset.
    Word(usize),
    /// All words of the header.
    Header,
    /// The headers of frames, near the last of them.
    Frames,
    /// The return ring.
    Returns,
    /// All of the outbox.
    Anything,
}

/// A session of such a peer.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What it is.
    pub role: Role,
    /// What it writes over.
    pub aim: Aim,
    /// Whether its first thread lies too.
    pub lies: bool,
    /// Whether it ends with a goodbye.
    pub goodbye: bool,
    /// The longest pause between two strokes.
    gap: Duration,
    /// How long it stays.
    lasts: Duration,
    /// Where the rest follows from.
    seed: u64,
}

impl Plan {
    /// The session that follows from `seed`.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let word = Aim::Word(WORDS[chance.below(WORDS.len())]);
        let aim = [Aim::Harmless, word, word, Aim::Header, Aim::Frames, Aim::Returns, Aim::Anything][chance.below(7)];
        Self {
            role: [Role::Sends, Role::Receives, Role::Calls, Role::Answers][chance.below(4)],
            aim,
            lies: aim != Aim::Harmless && chance.below(2) == 0,
            goodbye: chance.below(2) == 0,
            gap: Duration::from_micros([0, 20, 200, 2000][chance.below(4)]),
            lasts: chance.time(Duration::from_millis(25)),
            seed: chance.number(),
        }
    }

    /// Whether it breaks no rule, so that nobody may say that it did.
    #[must_use]
    pub fn is_honest(&self) -> bool {
        self.aim == Aim::Harmless
    }

    fn join(&self, address: &str, bound: impl FnOnce()) -> End {
        let listen = |offer| {
            let end = listener_for_another_process_by(address, offer, bound);
            fs::remove_file(address).expect("the name that was just bound");
            end
        };
        match self.role {
            Role::Sends => client_of_another_process_by(address, &wire::hello()),
            Role::Calls => client_of_another_process_by(address, &wire::hello().for_calls()),
            Role::Receives => listen(receiving(RING)),
            Role::Answers => listen(answering(RING)),
        }
    }
}

/// Goes through one session at `address`, as a client or as a listener, and says when it listens.
///
/// # Panics
/// If the handshake goes wrong.
pub fn run(plan: Plan, address: &str, bound: impl FnOnce()) {
    let end = plan.join(address, bound);
    let mut chance = Chance::new(plan.seed);
    let shared = Shared::default();
    let (mine, ring) = (Arc::clone(&end.mine), end.ring);
    let mut hand = Hand { plan, mine, ring, shared: shared.clone(), chance: Chance::new(chance.number()) };
    let calls = matches!(plan.role, Role::Calls | Role::Answers);
    let mut talker =
        Talker::new(end, Chance::new(chance.number()), shared, [plan.role != Role::Receives, calls, plan.lies]);
    meanwhile(
        || hand.stroke(),
        || {
            let over = Instant::now() + plan.lasts;
            while Instant::now() < over && talker.step() {}
            talker.leave(plan.goodbye);
            // What was said last, and the goodbye, are looked at after the end: they change too.
            thread::sleep(chance.time(Duration::from_millis(1)));
        },
    );
}

/// The second thread.
struct Hand {
    plan: Plan,
    mine: Arc<Segment>,
    ring: u64,
    shared: Shared,
    chance: Chance,
}

impl Hand {
    /// Writes one word, and pauses.
    fn stroke(&mut self) {
        match self.plan.aim {
            Aim::Harmless => self.touch_nothing_of_meaning(),
            Aim::Word(word) => {
                let value = self.likely();
                self.mine.store_u64(word, value);
            }
            Aim::Header => {
                let value = self.likely();
                self.mine.store_u64(WORDS[self.chance.below(WORDS.len())], value);
            }
            Aim::Frames => self.touch_a_frame(),
            Aim::Returns => {
                let start = layout::RING + self.ring as usize;
                let entries = (self.mine.len() - start) / 8;
                // Entries are used from the front, so most of a session's are there.
                let entries = entries.min([32, 32, 32, entries][self.chance.below(4)]);
                let value = self.likely();
                self.mine.store_u64(start + self.chance.below(entries) * 8, value);
            }
            Aim::Anything => {
                let value = self.likely();
                self.mine.store_u64(self.chance.below(self.mine.len() / 8) * 8, value);
            }
        }
        if !self.plan.gap.is_zero() {
            thread::sleep(self.chance.time(self.plan.gap));
        }
    }

    fn touch_nothing_of_meaning(&mut self) {
        let regions = self.shared.regions.lock().expect("nobody panics while pushing").clone();
        let value = self.chance.number();
        match self.chance.below(regions.len() + 1).checked_sub(1) {
            Some(number) => regions[number].store_u64(self.chance.below(regions[number].len() / 8) * 8, value),
            // What is kept for counters, and the words of identity.
            None => self.mine.store_u64([0, 8, 512, 520, 1016][self.chance.below(5)], value),
        }
    }

    /// A word of one of the last lines, or of the next.
    fn touch_a_frame(&mut self) {
        let tail = self.shared.tail.load(Ordering::Relaxed);
        let line = (tail / layout::LINE + 2).saturating_sub(self.chance.below(16) as u64) * layout::LINE;
        let at = layout::RING + (line % self.ring) as usize;
        if self.chance.below(2) == 0 {
            let word = [0, layout::commit_word(line), self.chance.number() as u32][self.chance.below(3)];
            return self.mine.store_u32(at, word);
        }
        let len = [0, 24, 48, 256, self.ring / 2, (1 << 27) - 1, self.chance.number() >> 37][self.chance.below(7)];
        let kind = self.chance.below(32) as u64;
        self.mine.store_u64(at + 8, len | kind << 27 | (self.chance.number() % 4) << 48);
    }

    /// A number that could be meant: a position, an epoch, a count, or any.
    fn likely(&mut self) -> u64 {
        let tail = self.shared.tail.load(Ordering::Relaxed);
        let near = tail.wrapping_add(64 * self.chance.below(5) as u64).wrapping_sub(128);
        let any = self.chance.number() >> self.chance.below(64);
        [0, 1, near, near | 1, layout::asleep(any >> 8, 7 << 1), any & 0xFFF, any][self.chance.below(7)]
    }
}
