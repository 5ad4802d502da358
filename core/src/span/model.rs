//! Spans over loom's memory, so that the models run the very protocols that ship.
//!
//! Here an outbox is made of what the protocols make of it, and no more, because every word costs a model time:
//!
//! - the header words are loom's atomics;
//! - the first word of each line of the ring is one too, always. The payload of a longer frame covers the first words of its
//!   later lines; such copies go through the atomic, relaxed, so that old payload bytes which look like a commit word are
//!   there for a later lap to stumble on;
//! - the other 60 bytes of a line are one of loom's cells. Whoever touches them without having been ordered after the other
//!   side's last access fails the model. That holds for the rest of a frame's header too: the product reads it through
//!   atomics only because a faulty peer might be writing it.
//!
//! A table of words is memory of its own here: each word is an atomic, and there is nothing else.

use crate::layout::{CLOSE, LINE, PARKED, READ, RETURNS, RING, SEEN, STARVING};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use loom::cell::UnsafeCell;
use std::fmt;
use std::sync::Arc;

/// The header words that a protocol uses.
const WORDS: [usize; 6] = [PARKED, STARVING, CLOSE, READ, RETURNS, SEEN];

/// Bytes of such a word.
const WORD: usize = size_of::<u64>();

const LINE_LEN: usize = LINE as usize;
/// Bytes of a line's first word.
const FIRST: usize = 4;

/// One line of the ring.
struct Line {
    first: AtomicU32,
    rest: UnsafeCell<[u8; LINE_LEN - FIRST]>,
}

// SAFETY: every access to the cell goes through loom, which fails the model if two threads' accesses are not ordered.
unsafe impl Send for Line {}
// SAFETY: as for `Send`.
unsafe impl Sync for Line {}

impl Line {
    /// Copies `bytes` in, `at` bytes from the line's start.
    fn write(&self, at: usize, bytes: &[u8]) {
        let (first, rest) = bytes.split_at(FIRST.saturating_sub(at).min(bytes.len()));
        if !first.is_empty() {
            // The writer's own last store is what it loads.
            let mut word = self.first.load(Ordering::Relaxed).to_le_bytes();
            word[at..at + first.len()].copy_from_slice(first);
            self.first.store(u32::from_le_bytes(word), Ordering::Relaxed);
        }
        if !rest.is_empty() {
            let at = at.max(FIRST) - FIRST;
            self.rest.with_mut(|cell| {
                // SAFETY: loom has just checked that this access is ordered after every other.
                let cell = unsafe { &mut *cell };
                cell[at..at + rest.len()].copy_from_slice(rest);
            });
        }
    }

    /// Copies the bytes out, `at` bytes from the line's start.
    fn read(&self, at: usize, out: &mut [u8]) {
        let (first, rest) = out.split_at_mut(FIRST.saturating_sub(at).min(out.len()));
        if !first.is_empty() {
            let word = self.first.load(Ordering::Relaxed).to_le_bytes();
            first.copy_from_slice(&word[at..at + first.len()]);
        }
        if !rest.is_empty() {
            let at = at.max(FIRST) - FIRST;
            self.rest.with(|cell| {
                // SAFETY: loom has just checked that this access is ordered after every write.
                let cell = unsafe { &*cell };
                rest.copy_from_slice(&cell[at..at + rest.len()]);
            });
        }
    }
}

/// The memory of one outbox, or of one table.
struct Memory {
    /// The words that are atomics, each with where it stands.
    words: Vec<(usize, AtomicU64)>,
    /// What stands from [`RING`] on, in an outbox.
    lines: Vec<Line>,
}

impl Memory {
    /// All of it, as the side that owns it sees it.
    fn new(len: usize, words: impl Iterator<Item = usize>, lines: Vec<Line>) -> WriteSpan {
        let words = words.map(|at| (at, AtomicU64::new(0))).collect();
        WriteSpan(Piece { memory: Arc::new(Self { words, lines }), start: 0, len })
    }
}

/// A piece of such memory.
#[derive(Clone)]
struct Piece {
    memory: Arc<Memory>,
    start: usize,
    len: usize,
}

impl Piece {
    /// Where `len` bytes at `at` stand in the memory.
    fn at(&self, at: usize, len: usize) -> usize {
        assert!(at <= self.len && len <= self.len - at, "{len} bytes at {at} are outside a span of {}", self.len);
        self.start + at
    }

    fn word(&self, at: usize) -> Option<&AtomicU64> {
        let at = self.at(at, WORD);
        self.memory.words.iter().find(|(word, _)| *word == at).map(|(_, word)| word)
    }

    /// The lines that `len` bytes at `at` touch, each with where it is touched first and how many bytes of it are.
    fn lines(&self, at: usize, len: usize) -> impl Iterator<Item = (&Line, usize, usize)> {
        let start = self.at(at, len).checked_sub(RING).expect("the header is reached by words only");
        let (mut at, end) = (start, start + len);
        std::iter::from_fn(move || {
            let here = (LINE_LEN - at % LINE_LEN).min(end - at);
            let item = (here > 0).then(|| (&self.memory.lines[at / LINE_LEN], at % LINE_LEN, here));
            at += here;
            item
        })
    }

    fn read(&self, at: usize, mut out: &mut [u8]) {
        for (line, at, len) in self.lines(at, out.len()) {
            let (here, rest) = out.split_at_mut(len);
            line.read(at, here);
            out = rest;
        }
    }

    fn sub(&self, at: usize, len: usize) -> Self {
        Self { memory: Arc::clone(&self.memory), start: self.at(at, len), len }
    }
}

/// Memory that this side alone writes.
#[derive(Clone)]
pub(crate) struct WriteSpan(Piece);

/// Memory that the other side writes and this side only reads.
#[derive(Clone)]
pub(crate) struct ReadSpan(Piece);

impl WriteSpan {
    /// A zeroed outbox of `len` bytes: header and ring.
    pub(crate) fn heap(len: usize) -> Self {
        let line = || Line { first: AtomicU32::new(0), rest: UnsafeCell::new([0; LINE_LEN - FIRST]) };
        let lines = (RING..len).step_by(LINE_LEN).map(|_| line()).collect();
        Memory::new(len, WORDS.into_iter(), lines)
    }

    /// A zeroed table of so many words.
    pub(crate) fn table(words: usize) -> Self {
        Memory::new(words * WORD, (0..words).map(|index| index * WORD), Vec::new())
    }

    /// The same memory as the other side sees it.
    pub(crate) fn reader(&self) -> ReadSpan {
        ReadSpan(self.0.clone())
    }

    /// The `len` bytes at `at`, as a span of their own.
    pub(crate) fn sub(&self, at: usize, len: usize) -> Self {
        Self(self.0.sub(at, len))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len
    }

    /// # Safety
    /// None here: the model checks.
    pub(crate) unsafe fn store_u32_unchecked(&self, at: usize, value: u32, order: Ordering) {
        let (line, within, _) = self.0.lines(at, FIRST).next().expect("a word is in a line");
        if within == 0 {
            line.first.store(value, order);
        } else {
            line.write(within, &value.to_le_bytes());
        }
    }

    /// # Safety
    /// None here: the model checks.
    pub(crate) unsafe fn store_u64_unchecked(&self, at: usize, value: u64, order: Ordering) {
        match self.0.word(at) {
            Some(word) => word.store(value, order),
            None => self.write(at, &value.to_le_bytes()),
        }
    }

    /// A model has no streaming stores.
    pub(crate) fn settle_streaming_stores(&self) {}

    /// A model has no caches.
    pub(crate) fn prefetch_for_writing(&self, _at: usize) {}

    /// Copies `bytes` in at `at`.
    pub(crate) fn write(&self, at: usize, mut bytes: &[u8]) {
        for (line, at, len) in self.0.lines(at, bytes.len()) {
            let (here, rest) = bytes.split_at(len);
            line.write(at, here);
            bytes = rest;
        }
    }
}

impl ReadSpan {
    pub(crate) fn len(&self) -> usize {
        self.0.len
    }

    /// # Safety
    /// None here: the model checks.
    pub(crate) unsafe fn load_u32_unchecked(&self, at: usize, order: Ordering) -> u32 {
        let (line, within, _) = self.0.lines(at, FIRST).next().expect("a word is in a line");
        if within == 0 {
            return line.first.load(order);
        }
        let mut bytes = [0; 4];
        line.read(within, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// # Safety
    /// None here: the model checks.
    pub(crate) unsafe fn load_u64_unchecked(&self, at: usize, order: Ordering) -> u64 {
        if let Some(word) = self.0.word(at) {
            return word.load(order);
        }
        let mut bytes = [0; 8];
        self.read(at, &mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// Copies the bytes at `at` out.
    pub(crate) fn read(&self, at: usize, out: &mut [u8]) {
        self.0.read(at, out);
    }

    /// The `len` bytes at `at`, as a copy that is never freed: a line's first word is no byte that could be borrowed.
    ///
    /// # Safety
    /// None here; the promises are those of the span that ships.
    pub(crate) unsafe fn bytes<'a>(&self, at: usize, len: usize) -> &'a [u8] {
        let mut copy = vec![0; len];
        self.read(at, &mut copy);
        copy.leak()
    }
}

impl fmt::Debug for WriteSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteSpan").field("len", &self.0.len).finish_non_exhaustive()
    }
}

impl fmt::Debug for ReadSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadSpan").field("len", &self.0.len).finish_non_exhaustive()
    }
}
