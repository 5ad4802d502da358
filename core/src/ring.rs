//! The frame ring: one writer, one reader, frames on whole lines, and no index that both look at.
//!
//! The idea: a frame says itself that it is there. Its first word, the **commit word**, carries the frame's own position;
//! the writer stores it last, and the reader waits for exactly the value that belongs where it stands. So a small message
//! moves in one cache line, and nothing else has to move with it.
//!
//! ```text
//!     head                                        tail          tail + one line
//!      │ committed, not yet read                   │ cleared      │
//!   ───┼──────────┬───────────────┬────────────────┼──────────────┼──────
//!      │ frame    │ frame         │ frame          │ 0            │ old bytes of an earlier lap
//!   ───┴──────────┴───────────────┴────────────────┴──────────────┴──────
//! ```
//!
//! Old bytes could look like any commit word. Hence the invariant on which all rests: **the commit word at `tail` is zero
//! before the frame in front of it becomes visible**. The room for that one line is part of every reservation. *When* it is
//! cleared decides the latency: stores become visible in order, so a clear between payload and commit makes the commit wait
//! for a second line, and the polling reader takes the first one back meanwhile (measured: a round trip of 2.2 times the
//! floor). Therefore [`Writer::reserve`] clears before any payload is written, and [`Writer::commit`], once the frame is out,
//! already clears the word behind a next frame of the same size; in a steady stream `reserve` then has nothing to clear.
//!
//! A frame never wraps: a pad fills the end of the ring. It is committed after the frame behind it, so that the two appear
//! together. The reader tells how far it has read (a *credit*) lazily, but always in time: at every eighth of the ring, when
//! it finds the ring empty, before it sleeps, and whenever the writer says that it is starving.
//!
//! A group (`hold`) keeps back the commit word of its first frame only; the frames behind it are complete but cannot be
//! reached. Showing the group is one release store.
//!
//! What the reader loads from the ring is the peer's word and not to be trusted: each is loaded once, checked, and then used.
//! This file knows no process, no segment and no waiting.

use crate::error::Violation;
use crate::layout::{
    COMMIT, Form, HEADER, LINE, LINE_PAYLOAD, READ, REST, Rest, RingSize, STARVING, TYPE_ID, commit_word, frame_bytes,
};
use crate::span::{ReadHeader, ReadRing, ReadSpan, WriteHeader, WriteRing, WriteSpan};
use crate::sync::Ordering::{Acquire, Relaxed, Release};

/// How far ahead of the tail the lines of a frame to come are asked for, if they are free: far enough for many requests to
/// be under way at once, and beyond what a reader's own prefetching takes back. Measured from 0 to 4096: frames of 1 KiB
/// cost 60 ns instead of 120, of 256 bytes 20 instead of 30 (`docs/decisions/0005-breath.md`).
const AHEAD: u64 = 3072;

/// For longer frames the requests would only queue up, and whatever was fetched first would be gone again.
const AHEAD_FRAME: u64 = 80 * LINE;

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
    /// A frame may end here at the latest: everything that was seen read, plus the ring, less the spare line.
    limit: u64,
    /// A frame that ends here at the latest is nothing special: it is within the limit, needs no pad, and nobody starves.
    window: u64,
    /// The read position last seen.
    seen: u64,
    /// The first frame of a group that has not been shown, if there is one.
    held: Option<u64>,
    /// How far behind `tail` a commit word was cleared ahead of its time; 0 if none was.
    cleared: u64,
    starving: bool,
}

/// Room for one frame that no other process knows of: given up by forgetting it.
///
/// Two words, and on the way to the user never a struct in memory: bytes stored one by one and loaded together are not
/// forwarded, so such a load waits until every line stored before has become ours (measured: 250-byte claims at 95 ns
/// instead of 34).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Where the frame starts; the payload follows its header.
    start: u64,
    len: usize,
}

impl Slot {
    /// No place in the ring: a payload of `len` bytes that is written elsewhere.
    pub(crate) fn elsewhere(len: usize) -> Self {
        Self { start: u64::MAX, len }
    }

    #[inline]
    pub(crate) fn is_elsewhere(self) -> bool {
        self.start == u64::MAX
    }

    /// Bytes of payload that it has room for.
    #[inline]
    pub(crate) fn len(self) -> usize {
        self.len
    }

    /// Where the next frame will start.
    #[inline]
    fn end(self) -> u64 {
        self.start + frame_bytes(self.len)
    }
}

/// What a frame says of itself, beside its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) form: Form,
    pub(crate) type_id: u32,
    pub(crate) correlation: u32,
}

impl Label {
    /// A frame that carries its payload itself, and answers nothing.
    #[inline]
    pub(crate) fn data(type_id: u32) -> Self {
        Self { form: Form::DATA, type_id, correlation: 0 }
    }
}

/// Why there is no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// The ring has not been seen free up to this position.
    Until(u64),
    Corrupt(Violation),
}

/// Whether a frame is shown at once or stays in the group that the next one shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    Now,
    Later,
}

impl Writer {
    /// The writer of a fresh, zeroed ring. `header` and `ring` lie in our outbox, `peer` is the peer's header.
    pub(crate) fn new(header: WriteSpan, ring: WriteSpan, peer: ReadSpan, size: RingSize) -> Self {
        let limit = size.bytes() - LINE;
        let (ring, header, peer) = (WriteRing::new(ring, size), WriteHeader::new(header), ReadHeader::new(peer));
        let window = limit.min(size.bytes());
        Self { ring, header, peer, tail: 0, limit, window, seen: 0, held: None, cleared: 0, starving: false }
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
        Ok(Slot { start, len })
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
        let shown = self.held.unwrap_or(self.tail);
        if !read.is_multiple_of(LINE) || read < self.seen || read > shown {
            return Err(Violation::ReadPosition);
        }
        self.seen = read;
        self.limit = read + self.size().bytes() - LINE;
        self.open_window();
        Ok(end <= self.limit)
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
        // `has_room`) and looks no further than the commit word at `tail`, which payload bytes do not cover. Nobody on
        // this side touches them while `self` is borrowed, and `self` keeps the memory.
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

/// The reading end of a frame ring.
#[derive(Debug)]
pub(crate) struct Reader {
    /// The ring's bytes, in the peer's outbox.
    ring: ReadRing,
    /// The peer's header, for its starving word.
    peer: ReadHeader,
    /// Our header, for the read position.
    header: WriteHeader,
    /// The next frame to look at.
    head: u64,
    /// Everything before this has been given back by the user.
    released: u64,
    /// What the writer was told last.
    told: u64,
    /// How much may be read before the writer is told without being asked.
    step: u64,
    /// The longest frame, in bytes.
    frame_max: u64,
    /// Bytes of the last frame taken.
    last_bytes: u64,
}

/// A frame that has been checked and taken out of the stream; its bytes stand until [`Reader::release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) form: Form,
    pub(crate) type_id: u32,
    pub(crate) correlation: u32,
    pub(crate) len: usize,
    /// Where the frame starts.
    start: u64,
}

impl Taken {
    /// No frame, to be overwritten.
    pub(crate) const NONE: Self = Self { form: Form::PAD, type_id: 0, correlation: 0, len: 0, start: 0 };
}

impl Reader {
    /// The reader of a fresh ring in the peer's outbox.
    pub(crate) fn new(header: WriteSpan, ring: ReadSpan, peer: ReadSpan, size: RingSize) -> Self {
        let (ring, header, peer) = (ReadRing::new(ring, size), WriteHeader::new(header), ReadHeader::new(peer));
        Self {
            ring,
            peer,
            header,
            head: 0,
            released: 0,
            told: 0,
            step: size.credit_step(),
            frame_max: size.frame_max(),
            last_bytes: LINE,
        }
    }

    /// Where the next frame is expected.
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// Whether something stands where the next frame is expected. Not nothing stays not nothing until it is taken.
    #[inline]
    pub(crate) fn has_data(&self) -> bool {
        self.commit_at_head() != 0
    }

    #[inline]
    fn commit_at_head(&self) -> u32 {
        // SYNC commit→poll: acquire, the partner of the writer's release.
        self.ring.load_u32(self.head, COMMIT, Acquire)
    }

    /// Whether a close word can be true: the goodbye of a stream that ends at a line, not before what was read, and not
    /// further on than a ring holds.
    pub(crate) fn may_end_with(&self, close: u64) -> bool {
        let Some(ahead) = (close & !1).checked_sub(self.head) else { return false };
        close & (LINE - 1) == 1 && ahead <= self.size().bytes()
    }

    /// Takes the next frame out of the stream, stepping over a pad; `None` if there is none yet.
    #[inline]
    pub(crate) fn take(&mut self) -> Result<Option<Taken>, Violation> {
        loop {
            match self.commit_at_head() {
                0 => return Ok(None),
                word if word == commit_word(self.head) => {}
                _ => return Err(Violation::CommitWord),
            }
            let start = self.head;
            let to_end = self.size().to_end(start);
            let rest = Rest::decode(self.ring.load_u64(start, REST, Relaxed))?;
            if rest.form == Form::PAD {
                // At index 0 a pad would be a whole ring long. Elsewhere it ends at index 0, so this loop turns twice at most.
                if to_end == self.size().bytes() {
                    return Err(Violation::Pad);
                }
                self.head += to_end;
                continue;
            }
            let len = rest.len as usize;
            let bytes = frame_bytes(len);
            if bytes > self.frame_max || bytes > to_end {
                return Err(Violation::FrameLength);
            }
            let type_id = self.ring.load_u32(start, TYPE_ID, Relaxed);
            self.step_over(bytes);
            return Ok(Some(Taken { form: rest.form, type_id, correlation: rest.correlation, len, start }));
        }
    }

    /// Moves on to the next frame.
    ///
    /// Mostly it starts as far on as the last one was long. Guessing that, and only then looking whether it was right, lets
    /// the processor load the next frames before this one's length has arrived (measured: 6.4 instead of 20 ns a frame in a
    /// bare ring). The black box keeps the compiler from seeing that the two ways add the same number.
    #[inline]
    fn step_over(&mut self, bytes: u64) {
        let guess = std::hint::black_box(self.last_bytes);
        if bytes == guess {
            self.head += guess;
        } else {
            self.head += bytes;
            self.last_bytes = bytes;
        }
    }

    /// Whether the writer has certainly left the next `frames` frames behind it, if they are as long as the last one.
    pub(crate) fn is_far_behind(&self, frames: u64) -> bool {
        let position = self.head + frames * self.last_bytes;
        // Behind the end of the ring a pad may have moved everything; then it is no matter either.
        frames * self.last_bytes > self.size().to_end(self.head)
            || self.ring.load_u32(position, COMMIT, Relaxed) == commit_word(position)
    }

    /// Copies a taken frame's payload out.
    #[inline]
    pub(crate) fn copy(&self, frame: Taken, out: &mut [u8]) {
        debug_assert!(out.len() == frame.len && self.still_holds(frame));
        self.ring.read(frame.start + HEADER as u64, out);
    }

    /// Copies a piece of a taken frame's payload out, from `at` on.
    pub(crate) fn copy_part(&self, frame: Taken, at: usize, out: &mut [u8]) {
        assert!(at + out.len() <= frame.len && self.still_holds(frame), "a piece of a frame that is held");
        self.ring.read(frame.start + (HEADER + at) as u64, out);
    }

    /// Copies the first line's bytes out from `frame`'s payload on, whatever its length: a copy of constant length is a few
    /// loads, where another is a call. What is not payload are old bytes of the frame's own line.
    #[inline]
    pub(crate) fn copy_line(&self, frame: Taken, out: &mut [u8; LINE_PAYLOAD]) {
        debug_assert!(self.still_holds(frame));
        self.ring.read(frame.start + HEADER as u64, out);
    }

    /// A taken frame's payload, where it is: for peers that are trusted to leave committed frames alone.
    ///
    /// # Panics
    /// If the frame has been released, which makes its bytes the writer's again.
    #[inline]
    pub(crate) fn payload(&self, frame: Taken) -> &[u8] {
        assert!(self.still_holds(frame), "a frame that has been released");
        // SAFETY: the writer does not touch a committed frame before it is given back, and giving it back takes `&mut
        // self`. That the peer keeps to this is the stated promise of `Trust::SameUser`; callers of an untrusted peer copy.
        unsafe { self.ring.bytes(frame.start + HEADER as u64, frame.len) }
    }

    #[inline]
    fn still_holds(&self, frame: Taken) -> bool {
        frame.start >= self.released && frame.start < self.head
    }

    /// Whether something was taken and not released.
    #[inline]
    pub(crate) fn holds(&self) -> bool {
        self.head != self.released
    }

    /// Gives back every taken frame. Returns whether the writer is owed a credit now.
    #[inline]
    pub(crate) fn release(&mut self) -> bool {
        self.released = self.head;
        self.released - self.told >= self.step || self.is_starving()
    }

    /// Whether the writer says that it waits for room. It may have found some since.
    #[inline]
    fn is_starving(&self) -> bool {
        self.peer.load_u64(STARVING, Relaxed) != 0
    }

    /// Tells the writer how far the user has given back. Returns whether that was news.
    pub(crate) fn give_credit(&mut self) -> bool {
        if self.told == self.released {
            return false;
        }
        self.told = self.released;
        // SYNC credit: release, so that our loads of the lines come before the writer's next stores to them.
        self.header.store_u64(READ, self.released, Release);
        true
    }

    #[inline]
    fn size(&self) -> RingSize {
        self.ring.size()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
