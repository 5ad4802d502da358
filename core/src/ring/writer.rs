//! The writing end: room, payload, commit, and the word behind it.

use super::{Label, NoRoom, Show, Slot};
use crate::error::Violation;
use crate::layout::{COMMIT, HEADER, LINE, READ, REST, Rest, RingSize, STARVING, TYPE_ID, commit_word, frame_bytes};
use crate::span::{ReadHeader, ReadSpan, WriteHeader, WriteRing, WriteSpan};
use crate::sync::Ordering::{Acquire, Relaxed, Release};

/// How far ahead of the tail the lines of a frame to come are asked for, if they are free: far enough for many requests to
/// be under way at once, and beyond what a reader's own prefetching takes back. Measured from 0 to 4096: frames of 1 KiB
/// cost 60 ns instead of 120, of 256 bytes 20 instead of 30 (`docs/decisions/0005-breath.md`).
const AHEAD: u64 = 3072;

/// For longer frames the requests would only queue up, and whatever was fetched first would be gone again.
const AHEAD_FRAME: u64 = 80 * LINE;

/// So long a frame has its lines asked for again right before it is written, all at once, and so many of them. In a round
/// trip those that were asked for ahead have been taken back meanwhile by the reader's prefetching, and a writer that stores
/// word by word gets them one or two at a time: 256 bytes by claim, to and fro, took 1.09 us instead of 0.54, and 1 KiB 2.09
/// instead of 0.82. (More lines than that only hold up a stream.)
const NEAR_FRAME: u64 = 4 * LINE;
const NEAR: u64 = 33;

/// The writing end of a frame ring.
#[derive(Debug)]
pub(crate) struct Writer {
    /// The ring's bytes, in our outbox.
    ring: WriteRing,
    /// Our header, for the starving word.
    header: WriteHeader,
    /// The peer's header, for its read position.
    peer: ReadHeader,
    /// Where the next frame (or the pad before it) starts.
    tail: u64,
    /// A frame may end here at the latest: everything that was seen read, plus the ring, less the spare line and
    /// what is promised.
    limit: u64,
    /// A frame that ends here at the latest is nothing special: it is within the limit, needs no pad, and nobody starves.
    window: u64,
    /// The read position last seen.
    seen: u64,
    /// The first frame of a group that has not been shown, if there is one.
    held: Option<u64>,
    /// Bytes that are kept for frames to come, and are not within the limit.
    promised: u64,
    /// How far behind `tail` a commit word was cleared ahead of its time; 0 if none was.
    cleared: u64,
    starving: bool,
}

impl Writer {
    /// The writer of a fresh, zeroed ring. `header` and `ring` lie in our outbox, `peer` is the peer's header.
    pub(crate) fn new(header: WriteSpan, ring: WriteSpan, peer: ReadSpan, size: RingSize) -> Self {
        let limit = size.bytes() - LINE;
        let (ring, header, peer) = (WriteRing::new(ring, size), WriteHeader::new(header), ReadHeader::new(peer));
        let window = limit.min(size.bytes());
        Self {
            ring,
            header,
            peer,
            tail: 0,
            limit,
            window,
            seen: 0,
            held: None,
            promised: 0,
            cleared: 0,
            starving: false,
        }
    }

    /// The longest payload that fits into a frame of this ring.
    pub(crate) fn payload_max(&self) -> usize {
        self.size().payload_max()
    }

    pub(crate) fn size(&self) -> RingSize {
        self.ring.size()
    }

    /// Where the next frame will start; what the close word says.
    pub(crate) fn tail(&self) -> u64 {
        self.tail
    }

    /// As if everything before `position` had been written and read.
    #[cfg(all(test, not(loom)))]
    pub(super) fn start_at(&mut self, position: u64) {
        (self.tail, self.seen, self.cleared) = (position, position, 0);
    }

    /// How far the reader can get: up to the first frame of a group that is not shown.
    pub(super) fn shown(&self) -> u64 {
        self.held.unwrap_or(self.tail)
    }

    /// The last read position that was seen.
    pub(crate) fn seen_read(&self) -> u64 {
        self.seen
    }

    /// Finds room for a frame with `len` bytes of payload, and clears the commit word behind it. Changes nothing that another
    /// process looks at.
    #[inline(always)]
    pub(crate) fn reserve(&mut self, len: usize) -> Result<Slot, NoRoom> {
        debug_assert!(len <= self.payload_max());
        let bytes = frame_bytes(len);
        let mut start = self.tail;
        if start + bytes > self.window {
            match self.start_outside_window(bytes) {
                Some(found) => start = found,
                None => return Err(self.no_room(bytes)),
            }
        }
        let end = start + bytes;
        if end != self.tail + self.cleared {
            // Payload may now be written over a word that was cleared for another size.
            self.cleared = 0;
            self.clear(end);
        }
        if bytes >= NEAR_FRAME {
            self.ask_for_lines(start, bytes);
        }
        Ok(Slot { start, len })
    }

    /// Asks for the lines of a frame that is about to be written, but for the first, which the clearing of its word has fetched.
    #[inline(always)]
    fn ask_for_lines(&self, start: u64, bytes: u64) {
        for line in 1..(bytes / LINE).min(NEAR) {
            self.ring.prefetch_for_writing(start + line * LINE);
        }
    }

    /// Where a frame of `bytes` goes when a pad may be needed, the limit may be old, or the reader has been asked for credit;
    /// `None` if there is no room.
    #[cold]
    #[inline(never)]
    fn start_outside_window(&mut self, bytes: u64) -> Option<u64> {
        let start = self.next_start(bytes);
        let end = start + bytes;
        if end > self.limit && !self.has_room(end).is_ok_and(|room| room) {
            return None;
        }
        if self.starving {
            self.starving = false;
            self.header.store_u64(STARVING, 0, Relaxed);
        }
        self.open_window();
        Some(start)
    }

    /// Where a frame of `bytes` would go: at the tail, or behind a pad.
    #[inline]
    fn next_start(&self, bytes: u64) -> u64 {
        let to_end = self.size().to_end(self.tail);
        if bytes > to_end { self.tail + to_end } else { self.tail }
    }

    /// Where a frame with `len` bytes of payload would end.
    #[inline]
    pub(crate) fn end_of(&self, len: usize) -> u64 {
        let bytes = frame_bytes(len);
        self.next_start(bytes) + bytes
    }

    /// Whether everything before `end` is free, looking at the peer's read position only if it must.
    #[inline]
    pub(crate) fn is_free_until(&mut self, end: u64) -> Result<bool, Violation> {
        if end <= self.limit { Ok(true) } else { self.has_room(end) }
    }

    #[cold]
    #[inline(never)]
    fn no_room(&mut self, bytes: u64) -> NoRoom {
        let end = self.next_start(bytes) + bytes;
        match self.has_room(end) {
            Ok(_) => NoRoom::Until(end),
            Err(violation) => NoRoom::Corrupt(violation),
        }
    }

    /// Sets the window for frames from `tail` on.
    fn open_window(&mut self) {
        self.window = if self.starving { 0 } else { self.limit.min(self.tail + self.size().to_end(self.tail)) };
    }

    /// Looks how far the peer has read, and whether a frame may now end at `end`.
    #[inline(never)]
    pub(crate) fn has_room(&mut self, end: u64) -> Result<bool, Violation> {
        // SYNC credit: acquire, so that the reader's loads of a line come before our next stores to it.
        let read = self.peer.load_u64(READ, Acquire);
        if !read.is_multiple_of(LINE) || read < self.seen || read > self.shown() {
            return Err(Violation::ReadPosition);
        }
        self.seen = read;
        self.limit = read + self.size().bytes() - LINE - self.promised;
        self.open_window();
        Ok(end <= self.limit)
    }

    /// Bytes that are kept for later.
    pub(crate) fn promised(&self) -> u64 {
        self.promised
    }

    /// Keeps a line, which was just seen free, for later: a frame that fits into it then never waits. (It needs no pad, wherever
    /// it comes to stand.)
    pub(crate) fn promise(&mut self) {
        debug_assert!(self.tail + LINE <= self.limit);
        self.promised += LINE;
        self.limit -= LINE;
        self.open_window();
    }

    /// A promised line may be used, or is given up.
    pub(crate) fn redeem(&mut self) {
        self.promised -= LINE;
        self.limit += LINE;
        self.open_window();
    }

    /// Tells the reader that it is kept waiting, so that it answers with credit at its next poll.
    pub(crate) fn starve(&mut self) {
        if !self.starving {
            self.starving = true;
            self.header.store_u64(STARVING, 1, Relaxed);
            self.open_window();
        }
    }

    /// Copies `bytes` into the slot's payload, `at` bytes from its start.
    #[inline(always)]
    pub(crate) fn fill(&self, slot: Slot, at: usize, bytes: &[u8]) {
        debug_assert!(at + bytes.len() <= slot.len);
        self.ring.write(slot.start + (HEADER + at) as u64, bytes);
    }

    /// The slot's payload, as it stands.
    #[cfg(not(loom))]
    pub(crate) fn payload(&self, slot: Slot) -> &[u8] {
        assert!(slot.start >= self.tail && slot.end() <= self.limit, "a slot that is no longer reserved");
        // SAFETY: as in `payload_mut`; what is written to the slot while `self` is borrowed so is nothing.
        unsafe { self.ring.bytes(slot.start + HEADER as u64, slot.len) }
    }

    /// The slot's payload, to be written in place.
    ///
    /// # Panics
    /// If something was committed since the slot was reserved, which makes it nobody's.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn payload_mut(&mut self, slot: Slot) -> &mut [u8] {
        assert!(slot.start >= self.tail && slot.end() <= self.limit, "a slot that is no longer reserved");
        // SAFETY: the lines of an uncommitted slot are ours: the reader has given them back (the credit acquired in
        // `has_room`) and reads no further than the commit word at `tail`, which payload bytes do not cover (but for
        // one atomic look in `Reader::is_far_behind`, of which nothing but a pause depends). Nobody on this side touches
        // them while `self` is borrowed, and `self` keeps the memory.
        unsafe { self.ring.bytes_mut(slot.start + HEADER as u64, slot.len) }
    }

    /// Commits the frame in `slot` with its first `used` bytes, and the pad before it if there is one.
    #[inline(always)]
    pub(crate) fn commit(&mut self, slot: Slot, label: Label, used: usize, show: Show) {
        debug_assert!(used <= slot.len && slot.start >= self.tail && slot.end() <= self.limit);
        let bytes = frame_bytes(used);
        let end = slot.start + bytes;
        if end != slot.end() {
            self.clear(end);
        }
        self.ring.store_u32(slot.start, TYPE_ID, label.type_id, Relaxed);
        let rest = Rest::new(label.form, used as u32, label.correlation);
        self.ring.store_u64(slot.start, REST, rest.encode(), Relaxed);
        if slot.start == self.tail {
            self.place(slot.start, show);
        } else {
            self.place_behind_pad(slot.start, show);
        }
        self.tail = end;
        if show == Show::Now && self.held.is_some() {
            self.show_group();
        }
        self.clear_ahead(bytes);
    }

    /// Clears the word behind a next frame of `bytes`, if that is known to be free and needs no pad: the line is then ours
    /// by the time it is needed, and its fetching delays no commit.
    #[inline]
    fn clear_ahead(&mut self, bytes: u64) {
        let next = self.tail + bytes;
        let ahead = self.tail + AHEAD.max(bytes);
        if bytes <= AHEAD_FRAME && ahead + bytes <= self.limit {
            for line in 0..bytes / LINE {
                self.ring.prefetch_for_writing(ahead + line * LINE);
            }
        }
        let cleared = if next <= self.window {
            self.clear(next);
            bytes
        } else {
            0
        };
        // A store less in a steady stream: those to the ring have to wait for their lines, and all others behind them.
        if self.cleared != cleared {
            self.cleared = cleared;
        }
    }

    /// The frame at `start` cannot be reached before the pad at the tail is seen, so the pad's word goes last and shows both.
    #[cold]
    #[inline(never)]
    fn place_behind_pad(&mut self, start: u64, show: Show) {
        self.store_commit(start);
        self.ring.store_u64(self.tail, REST, Rest::pad().encode(), Relaxed);
        self.place(self.tail, show);
        // The frame opens a new lap.
        self.window = self.limit.min(start + self.size().bytes());
    }

    /// Makes the held group visible. Returns whether there was one.
    pub(crate) fn show_group(&mut self) -> bool {
        let Some(first) = self.held.take() else { return false };
        self.store_commit(first);
        true
    }

    /// Stores the commit word of the frame at `position`, or holds it back if it opens a group.
    #[inline]
    fn place(&mut self, position: u64, show: Show) {
        if show == Show::Later && self.held.is_none() {
            self.held = Some(position);
        } else {
            self.store_commit(position);
        }
    }

    #[inline]
    fn store_commit(&self, position: u64) {
        // SYNC commit→poll: release, so that the payload, the rest of the header and the cleared word behind the frame are
        // seen by whoever sees this word.
        self.ring.store_u32(position, COMMIT, commit_word(position), Release);
    }

    #[inline]
    fn clear(&self, position: u64) {
        // Plain: the release of the commit in front of it orders it.
        self.ring.store_u32(position, COMMIT, 0, Relaxed);
    }
}
