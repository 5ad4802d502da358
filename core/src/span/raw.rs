//! Spans over real memory: a mapped segment, or the heap.

use crate::sync::{AtomicU32, AtomicU64, Ordering};
use std::any::Any;
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// Whatever must stay alive as long as a span into it does.
type Keeper = Arc<dyn Any + Send + Sync>;

/// Payloads up to this many bytes are copied word by word. `memcpy` loads them by vectors, and a vector load of bytes that
/// were stored a moment ago by words cannot be forwarded: it waits until every store before has left the store buffer
/// (Intel 64 Optimization Reference Manual, "Store Forwarding"), which in a stream is a wait for other lines.
const BY_WORDS: usize = 64;

/// What both kinds of span are: a base, a length, and the keeper of the memory.
///
/// Invariant: `base..base + len` is one allocation or mapping, aligned to 8, of a multiple of 8 bytes, valid for reads (and, in a [`WriteSpan`], for
/// writes) for as long as `_keeper` lives.
#[derive(Clone)]
struct Raw {
    base: NonNull<u8>,
    len: usize,
    _keeper: Keeper,
}

// SAFETY: the memory is shared between processes anyway; all words in it are reached through atomics, and the functions
// that hand out plain bytes are unsafe and put the exclusion of others on their callers.
unsafe impl Send for Raw {}
// SAFETY: as for `Send`.
unsafe impl Sync for Raw {}

impl Raw {
    /// The address of `len` bytes at `at`.
    #[inline]
    fn at(&self, at: usize, len: usize) -> *mut u8 {
        if at > self.len || len > self.len - at {
            out_of_span(at, len, self.len);
        }
        // SAFETY: `at <= self.len`, so the result is inside the allocation or one past its end.
        unsafe { self.base.as_ptr().add(at) }
    }

    /// The word at `at`.
    ///
    /// # Safety
    /// - `at` is less than the length, and a multiple of 4.
    #[inline]
    unsafe fn word32(&self, at: usize) -> &AtomicU32 {
        debug_assert!(at < self.len && at.is_multiple_of(4));
        // SAFETY: inside the allocation by the caller's promise.
        let word = unsafe { self.base.as_ptr().add(at) }.cast::<u32>();
        // SAFETY: aligned because base and offset are, and whole because the length is a multiple of eight; alive as long
        // as `self`; the process touches these bytes through atomics only while a frame is being agreed on, and a peer's
        // stores cannot be told from atomic ones.
        unsafe { AtomicU32::from_ptr(word) }
    }

    /// As [`word32`](Self::word32), of eight bytes.
    ///
    /// # Safety
    /// - `at` is less than the length, and a multiple of 8.
    #[inline]
    unsafe fn word64(&self, at: usize) -> &AtomicU64 {
        debug_assert!(at < self.len && at.is_multiple_of(8));
        // SAFETY: inside the allocation by the caller's promise.
        let word = unsafe { self.base.as_ptr().add(at) }.cast::<u64>();
        // SAFETY: as in `word32`.
        unsafe { AtomicU64::from_ptr(word) }
    }

    fn check(&self, at: usize) -> usize {
        if at >= self.len || !at.is_multiple_of(8) {
            out_of_span(at, 8, self.len);
        }
        at
    }

    fn new(base: NonNull<u8>, len: usize, keeper: Keeper) -> Self {
        assert!(base.as_ptr().cast::<u64>().is_aligned() && len.is_multiple_of(8), "a span of whole, aligned words");
        Self { base, len, _keeper: keeper }
    }

    fn sub(&self, at: usize, len: usize) -> Self {
        let base = NonNull::new(self.at(at, len)).expect("an address inside an allocation is not null");
        Self::new(base, len, Arc::clone(&self._keeper))
    }
}

#[cold]
#[inline(never)]
fn out_of_span(at: usize, len: usize, span: usize) -> ! {
    panic!("{len} bytes at {at} are outside a span of {span}: an offset was used unchecked")
}

/// Memory that this side alone writes.
#[derive(Clone)]
pub(crate) struct WriteSpan(Raw);

/// Memory that the other side writes and this side only reads.
#[derive(Clone)]
pub(crate) struct ReadSpan(Raw);

impl WriteSpan {
    /// A span over memory that `keeper` keeps.
    ///
    /// # Safety
    /// - `base..base + len` is valid for reads and writes as long as `keeper` lives.
    /// - Nothing else in this process writes it, except through spans.
    pub(crate) unsafe fn from_raw(base: NonNull<u8>, len: usize, keeper: Keeper) -> Self {
        Self(Raw::new(base, len, keeper))
    }

    /// Zeroed memory of this process, for tests and models of the protocols.
    #[cfg(test)]
    pub(crate) fn heap(len: usize) -> Self {
        let block = Arc::new(super::heap::HeapBlock::new(len));
        let base = block.base;
        // SAFETY: `HeapBlock` allocates exactly `len` bytes aligned to 128 and frees them on drop.
        unsafe { Self::from_raw(base, len, block) }
    }

    /// The same memory as the other side sees it.
    #[cfg(test)]
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

    /// Stores the word at `at`, a multiple of 8.
    pub(crate) fn store_u64(&self, at: usize, value: u64, order: Ordering) {
        // SAFETY: checked in the same breath.
        unsafe { self.store_u64_unchecked(self.0.check(at), value, order) }
    }

    /// Stores the word at `at`, a multiple of 4.
    ///
    /// # Safety
    /// - `at` is less than the length, and a multiple of 4.
    #[inline]
    pub(crate) unsafe fn store_u32_unchecked(&self, at: usize, value: u32, order: Ordering) {
        // SAFETY: by the caller's promise.
        unsafe { self.0.word32(at) }.store(value, order);
    }

    /// Stores the word at `at`, a multiple of 8.
    ///
    /// # Safety
    /// - `at` is less than the length, and a multiple of 8.
    #[inline]
    pub(crate) unsafe fn store_u64_unchecked(&self, at: usize, value: u64, order: Ordering) {
        // SAFETY: by the caller's promise.
        unsafe { self.0.word64(at) }.store(value, order);
    }

    /// Asks for the line at `at` to be ours by the time it is written.
    #[inline]
    pub(crate) fn prefetch_for_writing(&self, at: usize) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            let line = self.0.base.as_ptr().wrapping_add(at);
            // SAFETY: a prefetch is a hint; it cannot fault, whatever the address, and processors without it ignore it. (The
            // intrinsic with the same name becomes a prefetch for reading where the target is not known to have this.)
            unsafe { std::arch::asm!("prefetchw [{}]", in(reg) line, options(nostack, preserves_flags)) };
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let _ = at;
    }

    /// Orders the streaming stores of this thread before every store that follows. Others need nothing of the kind before a
    /// release.
    pub(crate) fn settle_streaming_stores(&self) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        // SAFETY: the instruction orders stores and does nothing else; every x86-64 processor has it.
        unsafe {
            std::arch::x86_64::_mm_sfence();
        }
    }

    /// Copies `bytes` in at `at`.
    #[inline(always)]
    pub(crate) fn write(&self, at: usize, bytes: &[u8]) {
        let to = self.0.at(at, bytes.len());
        if bytes.len() > BY_WORDS || !to.cast::<u64>().is_aligned() {
            // SAFETY: `to` has room for `bytes` (checked above), cannot overlap them (no reference to span memory is alive
            // while its owner writes to it), and this side alone writes here.
            return unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        }
        let (lots, rest) = bytes.as_chunks::<32>();
        let (words, tail) = rest.as_chunks::<8>();
        let mut to = to.cast::<u64>();
        let mut put = |word: [u8; 8]| {
            // SAFETY: inside the `bytes.len()` bytes that `to` had room for at first, and aligned as it was. Volatile only
            // so that this does not become a `memcpy`.
            unsafe { to.write_volatile(u64::from_ne_bytes(word)) };
            // SAFETY: at most one past those bytes.
            to = unsafe { to.add(1) };
        };
        for lot in lots {
            let (words, _) = lot.as_chunks::<8>();
            words.iter().copied().for_each(&mut put);
        }
        words.iter().copied().for_each(&mut put);
        let to = to.cast::<u8>();
        for (index, byte) in tail.iter().enumerate() {
            // SAFETY: inside the `bytes.len()` bytes that there is room for.
            let to = unsafe { to.add(index) };
            // SAFETY: as above.
            unsafe { to.write_volatile(*byte) };
        }
    }

    /// The `len` bytes at `at`, as this side left them.
    ///
    /// # Safety
    /// - Nothing in this process writes these bytes during `'a`, and nobody else may.
    /// - The memory outlives `'a`.
    #[inline]
    pub(crate) unsafe fn bytes<'a>(&self, at: usize, len: usize) -> &'a [u8] {
        let start = self.0.at(at, len);
        // SAFETY: in bounds by `at`; unchanged and alive during `'a` by the caller's promise.
        unsafe { std::slice::from_raw_parts(start, len) }
    }

    /// The `len` bytes at `at`, to be written in place.
    ///
    /// # Safety
    /// - Nobody, in any process that keeps the protocol, reads or writes these bytes during `'a`.
    /// - The memory outlives `'a`.
    #[inline]
    pub(crate) unsafe fn bytes_mut<'a>(&self, at: usize, len: usize) -> &'a mut [u8] {
        let start = self.0.at(at, len);
        // SAFETY: in bounds by `at`; exclusive and alive during `'a` by the caller's promise; any bytes are valid `u8`s.
        unsafe { std::slice::from_raw_parts_mut(start, len) }
    }
}

impl ReadSpan {
    /// A span over memory that `keeper` keeps.
    ///
    /// # Safety
    /// - `base..base + len` is valid for reads as long as `keeper` lives.
    pub(crate) unsafe fn from_raw(base: NonNull<u8>, len: usize, keeper: Keeper) -> Self {
        Self(Raw::new(base, len, keeper))
    }

    /// The `len` bytes at `at`, as a span of their own.
    pub(crate) fn sub(&self, at: usize, len: usize) -> Self {
        Self(self.0.sub(at, len))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len
    }

    /// Loads the word at `at`, a multiple of 4.
    ///
    /// # Safety
    /// - `at` is less than the length, and a multiple of 4.
    #[inline]
    pub(crate) unsafe fn load_u32_unchecked(&self, at: usize, order: Ordering) -> u32 {
        // SAFETY: by the caller's promise.
        unsafe { self.0.word32(at) }.load(order)
    }

    /// Loads the word at `at`, a multiple of 8.
    ///
    /// # Safety
    /// - `at` is less than the length, and a multiple of 8.
    #[inline]
    pub(crate) unsafe fn load_u64_unchecked(&self, at: usize, order: Ordering) -> u64 {
        // SAFETY: by the caller's promise.
        unsafe { self.0.word64(at) }.load(order)
    }

    /// Copies the bytes at `at` out.
    ///
    /// A peer that breaks the protocol may change them meanwhile; then `out` holds some mixture of bytes, never anything
    /// else, and nothing that is parsed is read twice.
    #[inline]
    pub(crate) fn read(&self, at: usize, out: &mut [u8]) {
        let from = self.0.at(at, out.len());
        // SAFETY: in bounds by `at`; `out` is a fresh exclusive borrow and cannot overlap the peer's memory. The copy goes
        // through a raw pointer, so no reference to bytes that a peer could change is formed.
        unsafe { ptr::copy_nonoverlapping(from, out.as_mut_ptr(), out.len()) };
    }

    /// The `len` bytes at `at`, where they are.
    ///
    /// # Safety
    /// - No process that keeps the protocol writes these bytes during `'a`; the caller has decided to trust the peer in
    ///   that (`Trust::SameUser`).
    /// - The memory outlives `'a`.
    #[inline]
    pub(crate) unsafe fn bytes<'a>(&self, at: usize, len: usize) -> &'a [u8] {
        let start = self.0.at(at, len);
        // SAFETY: in bounds by `at`; unchanged and alive during `'a` by the caller's promise.
        unsafe { std::slice::from_raw_parts(start, len) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_side_writes_the_other_reads() {
        let mine = WriteSpan::heap(256);
        let theirs = mine.reader();
        mine.write(3, b"hello");
        mine.sub(128, 64).store_u64(8, 9, Ordering::Release);
        let mut out = [0; 5];
        theirs.read(3, &mut out);
        assert_eq!(&out, b"hello");
        let mut word = [0; 8];
        theirs.sub(64, 128).read(72, &mut word);
        assert_eq!(u64::from_le_bytes(word), 9);
    }

    #[test]
    #[should_panic(expected = "outside a span")]
    fn an_access_past_the_end_panics_instead() {
        WriteSpan::heap(64).write(60, b"12345");
    }

    #[test]
    #[should_panic(expected = "outside a span")]
    fn an_offset_that_wraps_around_panics_instead() {
        WriteSpan::heap(64).reader().read(usize::MAX, &mut [0; 2]);
    }
}
