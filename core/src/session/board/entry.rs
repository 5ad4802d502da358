//! One session's entry on a board, and reading a board from elsewhere.
//!
//! The writer of a slot is one thread at a time, under a lock of its process; readers are any number, and it does not know of them. It makes the generation
//! odd, stores the words, and makes it even again. A reader takes the words between two looks at the generation, and keeps them
//! if both found the same, even number:
//!
//! - `SYNC entry`: a reader that finds generation *g* by acquire sees every word that was stored before *g* by release;
//! - `SYNC word`: a reader that finds a word of a later entry, each by acquire, of which each is stored by release behind the odd
//!   generation, finds that number or a later one at its second look.
//!
//! So what it keeps is one whole entry. It tries so often, and then says that it was torn: a writer that was stopped in the middle
//! of an entry stays there.

use crate::layout::board::{
    FLAGS, GENERATION, KIND, MAGIC, NUMBER, OPEN, OPENED, OURS, PEER, SLOTS, THEIRS, TIME, UNSHOWN, USED, WORDS,
    slot_at,
};
use crate::layout::{COUNTS, SessionKind};
use crate::shm::PeerSegment;
use crate::span::{ReadTable, WriteTable};
use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::sync::spin_hint;

/// How often a reader tries. An entry is written in some ten nanoseconds, at calm moments only.
const TRIES: u32 = 1000;

const THEIRS_SHOWN: u64 = 1;

/// What a slot says of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// 0: nobody's.
    pub(crate) number: u64,
    pub(crate) kind: u64,
    pub(crate) pid: u32,
    pub(crate) uid: u32,
    /// When this was written, on the monotonic clock.
    pub(crate) time: u64,
    pub(crate) ours: [u64; COUNTS],
    /// `None` where the peer shows nothing.
    pub(crate) theirs: Option<[u64; COUNTS]>,
}

impl Entry {
    /// Writes this into the slot that starts at `at` and whose last entry had this `generation`. The next generation.
    pub(crate) fn write(&self, words: &WriteTable, at: u64, generation: u64) -> u64 {
        words.store(at + GENERATION, generation + 1, Relaxed);
        // SYNC word: release, behind the odd generation.
        let put = |word: u64, value: u64| words.store(at + word, value, Release);
        put(NUMBER, self.number);
        put(KIND, self.kind);
        put(PEER, u64::from(self.uid) << 32 | u64::from(self.pid));
        put(TIME, self.time);
        put(FLAGS, if self.theirs.is_some() { THEIRS_SHOWN } else { 0 });
        for (word, value) in (OURS..).zip(self.ours) {
            put(word, value);
        }
        for (word, value) in (THEIRS..).zip(self.theirs.unwrap_or_default()) {
            put(word, value);
        }
        // SYNC entry: release, behind all of it.
        words.store(at + GENERATION, generation + 2, Release);
        generation + 2
    }

    /// The kind of the session, if it is one that there is.
    pub(crate) fn kind(&self) -> Option<SessionKind> {
        [SessionKind::Bus, SessionKind::Rpc].into_iter().find(|kind| *kind as u64 == self.kind)
    }
}

/// A slot was being written at every look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Torn;

/// A board, as its readers see it.
#[derive(Debug)]
pub(crate) struct Page(ReadTable);

impl Page {
    /// The board in a segment of its length; `None` if it does not say that it is one.
    pub(crate) fn new(segment: &PeerSegment) -> Option<Self> {
        Self::of(ReadTable::new(segment.span(), WORDS))
    }

    fn of(words: ReadTable) -> Option<Self> {
        (words.load(0, Acquire) == MAGIC).then_some(Self(words))
    }

    /// How many slots there may be something in. No slot beyond exists.
    pub(crate) fn used(&self) -> u32 {
        // SYNC used: acquire, so that the first entry of each is seen.
        u32::try_from(self.0.load(USED, Acquire)).unwrap_or(u32::MAX).min(SLOTS)
    }

    pub(crate) fn opened(&self) -> u64 {
        self.0.load(OPENED, Relaxed)
    }

    pub(crate) fn open(&self) -> u64 {
        self.0.load(OPEN, Relaxed)
    }

    pub(crate) fn unshown(&self) -> u64 {
        self.0.load(UNSHOWN, Relaxed)
    }

    /// What stands in a slot before [`used`](Self::used); `None`: it is nobody's.
    pub(crate) fn entry(&self, slot: u32) -> Result<Option<Entry>, Torn> {
        let at = slot_at(slot.min(SLOTS - 1));
        for _ in 0..TRIES {
            // SYNC entry: acquire, so that its words are seen, or later ones.
            let generation = self.0.load(at + GENERATION, Acquire);
            if generation.is_multiple_of(2) {
                let entry = self.read(at);
                // Relaxed: the acquires of the words stand between the two looks.
                if self.0.load(at + GENERATION, Relaxed) == generation {
                    return Ok(Some(entry).filter(|entry| entry.number != 0));
                }
            }
            spin_hint();
        }
        Err(Torn)
    }

    fn read(&self, at: u64) -> Entry {
        // SYNC word: acquire, so that a word of a later entry brings that one's generation along.
        let get = |word: u64| self.0.load(at + word, Acquire);
        let counts = |start: u64| std::array::from_fn(|number| get(start + number as u64));
        let peer = get(PEER);
        Entry {
            number: get(NUMBER),
            kind: get(KIND),
            pid: peer as u32,
            uid: (peer >> 32) as u32,
            time: get(TIME),
            ours: counts(OURS),
            theirs: (get(FLAGS) & THEIRS_SHOWN != 0).then(|| counts(THEIRS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::board::BYTES;
    use crate::span::WriteSpan;
    use std::thread;

    /// An entry all of whose words are of one number.
    fn entry(number: u64) -> Entry {
        let theirs = number.is_multiple_of(2).then_some([number; COUNTS]);
        Entry { number, kind: 1, pid: number as u32, uid: 3, time: number, ours: [number; COUNTS], theirs }
    }

    fn board() -> (WriteTable, Page) {
        let span = WriteSpan::heap(BYTES);
        let words = WriteTable::new(span.clone(), WORDS);
        words.store(0, MAGIC, Relaxed);
        (words, Page::of(ReadTable::new(span.reader(), WORDS)).expect("a board"))
    }

    #[test]
    fn what_is_read_is_one_whole_entry_however_often_it_is_written() {
        let rounds = if cfg!(miri) { 50 } else { 200_000 };
        let (words, page) = board();
        thread::scope(|scope| {
            let writer = scope.spawn(move || {
                let write = |generation, number| entry(number).write(&words, slot_at(5), generation);
                (1..=rounds).fold(0, write)
            });
            let mut last = 0;
            while last < rounds {
                match page.entry(5) {
                    Ok(Some(found)) => {
                        assert_eq!(found, entry(found.number), "of one entry");
                        assert!(found.number >= last, "it does not go back");
                        last = found.number;
                    }
                    Ok(None) => assert_eq!(last, 0),
                    Err(Torn) => {}
                }
            }
            assert_eq!(writer.join().expect("no panic"), 2 * rounds);
        });
    }

    #[test]
    fn an_entry_that_is_never_finished_is_torn_and_not_waited_for() {
        let (words, page) = board();
        let generation = entry(4).write(&words, slot_at(0), 0);
        assert_eq!(page.entry(0), Ok(Some(entry(4))));
        words.store(slot_at(0) + GENERATION, generation + 1, Relaxed);
        assert_eq!(page.entry(0), Err(Torn));
    }

    #[test]
    fn a_board_that_says_anything_is_read_within_its_bounds() {
        let (words, page) = board();
        words.store(USED, u64::MAX, Relaxed);
        assert_eq!(page.used(), SLOTS);
        assert_eq!(page.entry(u32::MAX), Ok(None));
        let odd = Entry { kind: 99, ..entry(2) };
        odd.write(&words, slot_at(1), 0);
        assert!(matches!(page.entry(1), Ok(Some(found)) if found.kind().is_none()));
    }
}
