//! Spans whose shape makes every access land inside: rings and tables, addressed by position, and headers, addressed by
//! constants.

use super::{ReadSpan, WriteSpan};
use crate::layout::{LINE, RING, RingSize};
use crate::sync::Ordering;

/// Bytes of a table's word.
const WORD: u64 = size_of::<u64>() as u64;

/// A ring that this side writes. Positions count bytes and never end; the ring's length masks them.
#[derive(Debug)]
pub(crate) struct WriteRing {
    span: WriteSpan,
    size: RingSize,
}

/// A ring that the other side writes.
#[derive(Debug)]
pub(crate) struct ReadRing {
    span: ReadSpan,
    size: RingSize,
}

/// The header that this side writes.
#[derive(Clone, Debug)]
pub(crate) struct WriteHeader(WriteSpan);

/// The header that the other side writes.
#[derive(Clone, Debug)]
pub(crate) struct ReadHeader(ReadSpan);

/// A table of 64-bit words that this side writes, a power of two of them. Positions count words and never end; the number of
/// words masks them.
#[derive(Debug)]
pub(crate) struct WriteTable {
    span: WriteSpan,
    mask: u64,
}

/// A table of words that the other side writes.
#[derive(Debug)]
pub(crate) struct ReadTable {
    span: ReadSpan,
    mask: u64,
}

impl WriteRing {
    /// # Panics
    /// If the span is not exactly as long as `size` says.
    pub(crate) fn new(span: WriteSpan, size: RingSize) -> Self {
        assert_eq!(span.len() as u64, size.bytes(), "a ring is as long as its size");
        Self { span, size }
    }

    #[inline]
    pub(crate) fn size(&self) -> RingSize {
        self.size
    }

    /// Asks for the line at `position` to be ours by the time it is written.
    #[inline]
    pub(crate) fn prefetch_for_writing(&self, position: u64) {
        self.span.prefetch_for_writing(self.size.index(position));
    }

    /// Stores the word `at` bytes into the line of `position`.
    #[inline]
    pub(crate) fn store_u32(&self, position: u64, at: usize, value: u32, order: Ordering) {
        let word = self.size.line(position) + in_line(at, 4);
        // SAFETY: a line ends at the latest where the ring does, which is as long as the span (checked in `new`).
        unsafe { self.span.store_u32_unchecked(word, value, order) }
    }

    /// Stores the word `at` bytes into the line of `position`.
    #[inline]
    pub(crate) fn store_u64(&self, position: u64, at: usize, value: u64, order: Ordering) {
        let word = self.size.line(position) + in_line(at, 8);
        // SAFETY: as in `store_u32`.
        unsafe { self.span.store_u64_unchecked(word, value, order) }
    }

    /// Copies `bytes` in from `position` on; they must not run past the ring's end.
    #[inline(always)]
    pub(crate) fn write(&self, position: u64, bytes: &[u8]) {
        self.span.write(self.size.index(position), bytes);
    }

    /// The `len` bytes from `position` on, as this side left them.
    ///
    /// # Safety
    /// As for [`WriteSpan::bytes`].
    #[cfg(not(loom))]
    #[inline]
    pub(crate) unsafe fn bytes<'a>(&self, position: u64, len: usize) -> &'a [u8] {
        // SAFETY: the caller's promise is the span's.
        unsafe { self.span.bytes(self.size.index(position), len) }
    }

    /// The `len` bytes from `position` on, to be written in place.
    ///
    /// # Safety
    /// As for [`WriteSpan::bytes_mut`].
    #[cfg(not(loom))]
    #[inline]
    pub(crate) unsafe fn bytes_mut<'a>(&self, position: u64, len: usize) -> &'a mut [u8] {
        // SAFETY: the caller's promise is the span's.
        unsafe { self.span.bytes_mut(self.size.index(position), len) }
    }
}

impl ReadRing {
    /// # Panics
    /// If the span is not exactly as long as `size` says.
    pub(crate) fn new(span: ReadSpan, size: RingSize) -> Self {
        assert_eq!(span.len() as u64, size.bytes(), "a ring is as long as its size");
        Self { span, size }
    }

    #[inline]
    pub(crate) fn size(&self) -> RingSize {
        self.size
    }

    /// Loads the word `at` bytes into the line of `position`.
    #[inline]
    pub(crate) fn load_u32(&self, position: u64, at: usize, order: Ordering) -> u32 {
        let word = self.size.line(position) + in_line(at, 4);
        // SAFETY: a line ends at the latest where the ring does, which is as long as the span (checked in `new`).
        unsafe { self.span.load_u32_unchecked(word, order) }
    }

    /// Loads the word `at` bytes into the line of `position`.
    #[inline]
    pub(crate) fn load_u64(&self, position: u64, at: usize, order: Ordering) -> u64 {
        let word = self.size.line(position) + in_line(at, 8);
        // SAFETY: as in `load_u32`.
        unsafe { self.span.load_u64_unchecked(word, order) }
    }

    /// Copies the bytes from `position` on out; they must not run past the ring's end.
    #[inline]
    pub(crate) fn read(&self, position: u64, out: &mut [u8]) {
        self.span.read(self.size.index(position), out);
    }

    /// The `len` bytes from `position` on, where they are.
    ///
    /// # Safety
    /// As for [`ReadSpan::bytes`].
    #[inline]
    pub(crate) unsafe fn bytes<'a>(&self, position: u64, len: usize) -> &'a [u8] {
        // SAFETY: the caller's promise is the span's.
        unsafe { self.span.bytes(self.size.index(position), len) }
    }
}

/// Refuses, at compile time where `at` is a constant, a word of `size` bytes outside a line.
#[inline]
fn in_line(at: usize, size: usize) -> usize {
    assert!(at.is_multiple_of(size) && at < LINE as usize, "a word of a line");
    at
}

/// Refuses, at compile time where `at` is a constant, a word outside the header.
#[inline]
fn in_header(at: usize) -> usize {
    assert!(at.is_multiple_of(8) && at < RING, "a word of the header");
    at
}

impl WriteHeader {
    /// # Panics
    /// If the span is shorter than a header.
    pub(crate) fn new(span: WriteSpan) -> Self {
        assert!(span.len() >= RING, "a header is whole");
        Self(span)
    }

    #[inline]
    pub(crate) fn store_u64(&self, at: usize, value: u64, order: Ordering) {
        // SAFETY: `at` is in the header, and the span is at least as long (checked in `new`).
        unsafe { self.0.store_u64_unchecked(in_header(at), value, order) }
    }
}

impl ReadHeader {
    /// # Panics
    /// If the span is shorter than a header.
    pub(crate) fn new(span: ReadSpan) -> Self {
        assert!(span.len() >= RING, "a header is whole");
        Self(span)
    }

    #[inline]
    pub(crate) fn load_u64(&self, at: usize, order: Ordering) -> u64 {
        // SAFETY: `at` is in the header, and the span is at least as long (checked in `new`).
        unsafe { self.0.load_u64_unchecked(in_header(at), order) }
    }
}

/// What masks the positions of a table of `words` words.
///
/// # Panics
/// If that is no power of two, or not what `span` bytes hold.
fn table_mask(span: usize, words: u32) -> u64 {
    assert!(words.is_power_of_two(), "a table is masked");
    assert_eq!(span as u64, u64::from(words) * WORD, "a table is as long as its words");
    u64::from(words) - 1
}

/// Where in its table the word at `position` stands.
#[inline]
fn in_table(position: u64, mask: u64) -> usize {
    ((position & mask) * WORD) as usize
}

impl WriteTable {
    /// # Panics
    /// If `words` is no power of two, or the span is not exactly as long.
    pub(crate) fn new(span: WriteSpan, words: u32) -> Self {
        let mask = table_mask(span.len(), words);
        Self { span, mask }
    }

    #[inline]
    pub(crate) fn store(&self, position: u64, value: u64, order: Ordering) {
        // SAFETY: a masked position is that of one of the table's words, which the span holds in full (checked in `new`).
        unsafe { self.span.store_u64_unchecked(in_table(position, self.mask), value, order) }
    }
}

impl ReadTable {
    /// # Panics
    /// If `words` is no power of two, or the span is not exactly as long.
    pub(crate) fn new(span: ReadSpan, words: u32) -> Self {
        let mask = table_mask(span.len(), words);
        Self { span, mask }
    }

    /// How many words it has.
    #[inline]
    pub(crate) fn words(&self) -> u64 {
        self.mask + 1
    }

    #[inline]
    pub(crate) fn load(&self, position: u64, order: Ordering) -> u64 {
        // SAFETY: a masked position is that of one of the table's words, which the span holds in full (checked in `new`).
        unsafe { self.span.load_u64_unchecked(in_table(position, self.mask), order) }
    }
}
