//! Floors: what two processes can do over one raw shared page with nothing in between. Every row is held against them.
//!
//! **F**: a round trip of one 64-byte line each way, spun on. **W**: the same between two sleepers that wake each other
//! by eventfd and `poll`. **B**: a rate; blocks filled by one side and summed by the other, over two alternating
//! blocks. **B0**: the same on pages that nobody has touched. **S**: a time; fill, then sum, one block at a time. They
//! write and read with the very functions of the measured rows, and trust the peer with everything, as no product
//! could.
//!
//! Here stands everything that touches shared memory or sleeps; `floor_lanes` gives it the face of a measured system.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{read, write};
use rustix::mm::{MapFlags, ProtFlags, mmap};

use crate::payload::{fill, sum};

/// Bytes of payload in F and W: with the 8 bytes of the word before them they stay within one line.
pub(crate) const LINE_PAYLOAD: usize = 32;
/// Where the blocks of B, B0 and S start.
pub(crate) const BLOCKS_AT: usize = 4096;
/// As much as a default ring: places for F and W, each of two lines that are not fetched together. Every block of round
/// trips takes the next place, some pages on, because how far a line is from a core depends on its address.
pub(crate) const LINES: usize = 1 << 20;
const PLACE: usize = 81 * 256;
/// From the line (or word) of the side that speaks first to that of the side that answers.
const BACK: usize = 128;
const FILLED: usize = 0;
const DRAINED: usize = FILLED + BACK;
/// In a word: the block of messages ends here.
pub(crate) const END: u64 = 1 << 63;

/// A memfd mapped writable by both sides until the process ends. Its words are only used as atomics.
pub(crate) struct Page(*mut u8);

impl Page {
    pub(crate) fn map(fd: impl AsFd, len: usize) -> Result<Self> {
        let hint = std::ptr::null_mut();
        // SAFETY: without a hint the kernel chooses an unused range, so no existing mapping is replaced.
        let base = unsafe { mmap(hint, len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, fd, 0) };
        Ok(Self(base?.cast()))
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        // SAFETY: all offsets used here are multiples of 8 within the mapping, which outlives every borrow of it.
        unsafe { AtomicU64::from_ptr(self.0.wrapping_add(at).cast()) }
    }

    #[expect(clippy::mut_from_ref, reason = "whose turn it is to write is decided between two processes")]
    fn bytes(&self, at: usize, len: usize) -> &mut [u8] {
        // SAFETY: within the mapping; a word read with acquire has given this side the turn, and the other side comes
        // back to these bytes only after a release store of ours, when the slice is gone.
        unsafe { std::slice::from_raw_parts_mut(self.0.wrapping_add(at), len) }
    }

    /// Spins until the word at `at` has counted to `count`, and answers it.
    fn reach(&self, at: usize, count: u64) -> u64 {
        loop {
            let word = self.word(at).load(Acquire);
            if word & !END >= count {
                return word;
            }
        }
    }
}

/// F, or W with bells: eventfds, the answering side's and the asking side's.
pub(crate) struct Line<const SLEEP: bool> {
    page: Page,
    bells: Vec<OwnedFd>,
    at: usize,
}

impl<const SLEEP: bool> Line<SLEEP> {
    pub(crate) fn new(page: Page, bells: Vec<OwnedFd>) -> Self {
        Self { page, bells, at: 0 }
    }

    /// Writes the line of `side` and, where the other sleeps, wakes it.
    pub(crate) fn put(&self, side: usize, word: u64, seed: u64) -> Result<()> {
        let at = self.at + side * BACK;
        fill(self.page.bytes(at + 8, LINE_PAYLOAD), seed);
        self.page.word(at).store(word, Release);
        if SLEEP {
            write(&self.bells[side], &1u64.to_ne_bytes())?;
        }
        Ok(())
    }

    /// Waits for turn `turn` of the line of `side`: its sum, or `None` for an end.
    pub(crate) fn get(&self, side: usize, turn: u64) -> Result<Option<u64>> {
        let at = self.at + side * BACK;
        if SLEEP {
            poll(&mut [PollFd::new(&self.bells[side], PollFlags::IN)], None)?;
            read(&self.bells[side], &mut [0; 8])?;
        }
        let word = self.page.reach(at, turn);
        Ok((word & END == 0).then(|| sum(self.page.bytes(at + 8, LINE_PAYLOAD))))
    }

    pub(crate) fn next_place(&mut self) {
        self.at = (self.at + PLACE) % LINES;
    }
}

/// B, B0 and S: `count` blocks of `len` bytes, used in turn.
pub(crate) struct Blocks {
    pub(crate) page: Page,
    pub(crate) len: usize,
    pub(crate) count: u64,
}

impl Blocks {
    fn bytes(&self, turn: u64) -> &mut [u8] {
        let index = (turn % self.count) as usize;
        self.page.bytes(BLOCKS_AT + index * self.len.next_multiple_of(64), self.len)
    }

    /// Fills the block of `turn` once at most `ahead` blocks would stand unread.
    pub(crate) fn put(&self, turn: u64, ahead: u64, seed: u64) {
        self.drained(turn.saturating_sub(ahead));
        fill(self.bytes(turn), seed);
        self.page.word(FILLED).store(turn, Release);
    }

    /// Ends a block of messages and waits until all is read.
    pub(crate) fn end(&self, turn: u64) {
        self.page.word(FILLED).store(turn | END, Release);
        self.drained(turn);
    }

    /// Waits until `turn` blocks were read.
    pub(crate) fn drained(&self, turn: u64) {
        self.page.reach(DRAINED, turn);
    }

    /// Waits for the block of `turn`: its sum, or `None` for an end.
    pub(crate) fn get(&self, turn: u64) -> Option<u64> {
        let found = (self.page.reach(FILLED, turn) != turn | END).then(|| sum(self.bytes(turn)));
        self.page.word(DRAINED).store(turn, Release);
        found
    }
}
