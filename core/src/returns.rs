//! The return ring: how a reader of blocks tells their owner that it no longer needs them.
//!
//! The reader writes an **entry**, one 64-bit word, for each block that it is done with, into a ring of entries in *its own*
//! outbox, and publishes how many it has written so far: the **tail**, a count that only grows, in its header. The owner
//! compares the tail with how many it has taken, and takes the entries in between.
//!
//! ```text
//!         taken                       tail
//!          │ published, not yet taken  │
//!   ───────┼─────────┬─────────┬───────┼────────────
//!    taken │ entry   │ entry   │ entry │ old entries of an earlier lap, all taken
//!   ───────┴─────────┴─────────┴───────┴────────────
//! ```
//!
//! **Giving back cannot fail and cannot wait**, because the owner never has more blocks out than there are entries. A block
//! is out until its entry was taken; so when one more is given back, fewer than all entries are still to be taken, and the
//! word that is written now is one that the owner has taken. That it has is no news to anyone: the owner loaded the old entry
//! before it handed the block out anew, the frame that did so was published with release and read with acquire, and only then
//! can the block come back. Hence entries need no order of their own, and the owner publishes nothing about how far it is.
//!
//! Which words are entries of what, and whether a block is out at all, is for the owner's private table to say. It also bounds
//! how long taking can go on: every entry that it accepts is a block less out. This file knows words, not blocks.

pub(crate) mod held;

use crate::error::Violation;
use crate::layout::RETURNS;
use crate::span::{ReadHeader, ReadSpan, ReadTable, WriteHeader, WriteSpan, WriteTable};
use crate::sync::Ordering::{Acquire, Relaxed, Release};

/// The end that gives back: the reader of blocks. Leases drop on any thread, so whoever shares one puts a lock around it.
#[derive(Debug)]
pub(crate) struct ReturnWriter {
    header: WriteHeader,
    entries: WriteTable,
    /// How many entries were written.
    tail: u64,
}

impl ReturnWriter {
    /// The writer of a fresh, zeroed ring of `n` entries. `header` and `entries` lie in our outbox.
    ///
    /// # Panics
    /// If `n` is no power of two, or not what `entries` hold.
    pub(crate) fn new(header: WriteSpan, entries: WriteSpan, n: u32) -> Self {
        Self { header: WriteHeader::new(header), entries: WriteTable::new(entries, n), tail: 0 }
    }

    /// Gives one block back. The caller then looks whether the owner sleeps for blocks.
    #[inline]
    pub(crate) fn push(&mut self, entry: u64) {
        // Relaxed: the owner looks at no entry behind the tail that it has seen.
        self.entries.store(self.tail, entry, Relaxed);
        self.tail += 1;
        // SYNC return→take: release, so that whoever sees this tail sees the entry, and the reader's last look at the block
        // comes before whatever the owner does with it.
        self.header.store_u64(RETURNS, self.tail, Release);
    }
}

/// The end that gets back: the owner of the blocks.
#[derive(Debug)]
pub(crate) struct ReturnReader {
    peer: ReadHeader,
    entries: ReadTable,
    /// How many entries were taken.
    taken: u64,
    /// The tail last seen, never behind `taken` and at most a ring ahead.
    seen: u64,
}

impl ReturnReader {
    /// The reader of a fresh ring of `n` entries. `peer` is the peer's header, and `entries` lie in the peer's outbox.
    ///
    /// # Panics
    /// If `n` is no power of two, or not what `entries` hold.
    pub(crate) fn new(peer: ReadSpan, entries: ReadSpan, n: u32) -> Self {
        Self { peer: ReadHeader::new(peer), entries: ReadTable::new(entries, n), taken: 0, seen: 0 }
    }

    /// The next entry, if there is one. What it says is the peer's word, as good as any.
    ///
    /// # Errors
    /// [`Violation::Returns`] for a tail that cannot be; nothing is taken then.
    #[inline]
    pub(crate) fn take(&mut self) -> Result<Option<u64>, Violation> {
        if self.taken == self.seen {
            let tail = self.tail();
            // A tail that went back is, so counted, too far ahead as well.
            if tail.wrapping_sub(self.taken) > self.entries.words() {
                return Err(Violation::Returns);
            }
            if tail == self.taken {
                return Ok(None);
            }
            self.seen = tail;
        }
        // Relaxed: ordered behind the load of the tail, by its acquire.
        let entry = self.entries.load(self.taken, Relaxed);
        self.taken += 1;
        Ok(Some(entry))
    }

    /// Whether [`take`](Self::take) has something to say: an entry, or a violation. So a wait for blocks ends with either.
    #[inline]
    pub(crate) fn has_some(&self) -> bool {
        self.taken != self.seen || self.tail() != self.taken
    }

    #[inline]
    fn tail(&self) -> u64 {
        // SYNC return→take: acquire, the partner of the release in `push`.
        self.peer.load_u64(RETURNS, Acquire)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::layout::RING;
    use proptest::prelude::*;
    use std::sync::{Arc, Mutex, mpsc};
    use std::thread;
    use std::time::{Duration, Instant};

    /// Both ends of a ring of returns, and the header of the end that writes.
    struct Ends {
        writer: ReturnWriter,
        reader: ReturnReader,
        header: WriteSpan,
    }

    impl Ends {
        fn new(n: u32) -> Self {
            let (header, entries) = (WriteSpan::heap(RING), WriteSpan::heap(n as usize * 8));
            let reader = ReturnReader::new(header.reader(), entries.reader(), n);
            Self { writer: ReturnWriter::new(header.clone(), entries, n), reader, header }
        }

        /// As after so many entries were written and taken.
        fn at(n: u32, position: u64) -> Self {
            let mut ends = Self::new(n);
            (ends.writer.tail, ends.reader.taken, ends.reader.seen) = (position, position, position);
            ends.forge(position);
            ends
        }

        /// Stores a tail, as a peer might that keeps to nothing.
        fn forge(&self, tail: u64) {
            self.header.store_u64(RETURNS, tail, Release);
        }

        /// Takes entries until there are none.
        fn drain(&mut self) -> Result<Vec<u64>, Violation> {
            std::iter::from_fn(|| self.reader.take().transpose()).collect()
        }
    }

    #[test]
    fn what_is_given_back_is_taken_once_and_in_order() {
        for n in [1, 2, 8] {
            let mut ends = Ends::new(n);
            let mut next = 1;
            for round in 0..100 {
                assert!(!ends.reader.has_some());
                assert_eq!(ends.reader.take(), Ok(None));
                // From one entry to as many as there can be.
                let given: Vec<u64> = (next..=next + round % u64::from(n)).collect();
                given.iter().for_each(|&entry| ends.writer.push(entry));
                assert!(ends.reader.has_some());
                assert_eq!(ends.drain(), Ok(given.clone()), "{n} entries, round {round}");
                next += given.len() as u64;
            }
        }
    }

    #[test]
    fn entries_that_were_seen_need_no_second_look() {
        let mut ends = Ends::new(4);
        (1..=3).for_each(|entry| ends.writer.push(entry));
        assert_eq!(ends.reader.take(), Ok(Some(1)));
        // Whatever becomes of the tail, the three were there; it is judged when they are taken.
        ends.forge(0);
        assert!(ends.reader.has_some());
        assert_eq!(ends.reader.take(), Ok(Some(2)));
        assert_eq!(ends.reader.take(), Ok(Some(3)));
        assert_eq!(ends.reader.take(), Err(Violation::Returns));
    }

    #[test]
    fn a_tail_that_cannot_be_is_corrupt_and_takes_nothing() {
        const N: u64 = 8;
        for at in [0, 1, 7, 8, 1 << 32, u64::MAX / 2] {
            let wrong = [at + N + 1, at + (1 << 32), at.wrapping_sub(1), at.wrapping_sub(N), at ^ 1 << 63, u64::MAX];
            for tail in wrong {
                let mut ends = Ends::at(N as u32, at);
                ends.forge(tail);
                assert!(ends.reader.has_some(), "a wait ends with it");
                for _ in 0..2 {
                    assert_eq!(ends.reader.take(), Err(Violation::Returns), "{tail:#x} at {at:#x}");
                }
                ends.forge(at);
                ends.writer.push(5);
                assert_eq!(ends.drain(), Ok(vec![5]), "nothing was taken for it");
            }
            let mut ends = Ends::at(N as u32, at);
            ends.forge(at + N);
            assert_eq!(ends.drain().expect("a whole ring is not too much").len(), N as usize);
        }
    }

    #[test]
    #[should_panic(expected = "masked")]
    fn a_number_of_entries_that_is_no_power_of_two_is_no_ring() {
        Ends::new(6);
    }

    #[test]
    #[should_panic(expected = "as long as its words")]
    fn a_span_of_another_length_is_no_ring_of_so_many_entries() {
        ReturnWriter::new(WriteSpan::heap(RING), WriteSpan::heap(64), 16);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

        /// Whatever the peer's tail does, no more than what it claims is taken at a time, and never more than a ring.
        #[test]
        fn no_tail_takes_more_than_a_ring(bits in 0_u32..6, tails in prop::collection::vec(tail(), 1..40)) {
            let n = 1 << bits;
            let mut ends = Ends::new(n);
            for tail in tails {
                let before = ends.reader.taken;
                ends.forge(tail);
                let ahead = tail.wrapping_sub(before);
                prop_assert_eq!(ends.reader.has_some(), ahead != 0);
                match ends.drain() {
                    Ok(taken) => prop_assert!(ahead <= u64::from(n) && taken.len() as u64 == ahead),
                    Err(violation) => {
                        prop_assert_eq!(violation, Violation::Returns);
                        prop_assert!(ahead > u64::from(n) && ends.reader.taken == before);
                    }
                }
            }
        }
    }

    const CASES: u32 = if cfg!(miri) { 5 } else { 500 };

    /// Tails that a lap may hold, and any other.
    fn tail() -> impl Strategy<Value = u64> {
        prop_oneof![4 => 0_u64..100, 1 => any::<u64>()]
    }

    /// Two threads drop what the owner lends them, as fast as they can, through a ring that holds no more than is out.
    #[test]
    fn two_threads_give_back_what_one_lends() {
        const N: u32 = 4;
        const BLOCKS: u64 = if cfg!(miri) { 60 } else { 5_000 };
        let Ends { writer, mut reader, .. } = Ends::new(N);
        let writer = Arc::new(Mutex::new(writer));
        let lanes = [0, 1].map(|_| {
            let (lend, lent) = mpsc::channel();
            let writer = Arc::clone(&writer);
            let drops = move || lent.iter().for_each(|entry| writer.lock().expect("no thread panics").push(entry));
            (lend, thread::spawn(drops))
        });
        let give_up = Instant::now() + Duration::from_secs(30);
        let (mut lent, mut out, mut returned) = (0, Vec::new(), 0);
        while returned < BLOCKS {
            while lent < BLOCKS && out.len() < N as usize {
                lent += 1;
                out.push(lent);
                lanes[(lent % 2) as usize].0.send(lent).expect("the thread lives");
            }
            while let Some(entry) = reader.take().expect("an honest peer breaks nothing") {
                let at = out.iter().position(|&block| block == entry).expect("only what is out comes back");
                out.swap_remove(at);
                returned += 1;
            }
            assert!(Instant::now() < give_up, "{returned} came back");
            thread::yield_now();
        }
        for (lend, drops) in lanes {
            drop(lend);
            drops.join().expect("the thread ends");
        }
        assert!(out.is_empty() && !reader.has_some());
    }
}
