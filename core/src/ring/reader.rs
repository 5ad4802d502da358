//! The reading end: looking for the next frame, checking it, and giving its lines back.

use super::Taken;
use crate::error::Violation;
use crate::layout::{
    COMMIT, Form, HEADER, LINE, LINE_PAYLOAD, READ, REST, Rest, RingSize, STARVING, TYPE_ID, commit_word, frame_bytes,
};
use crate::span::{ReadHeader, ReadRing, ReadSpan, WriteHeader, WriteSpan};
use crate::sync::Ordering::{Acquire, Relaxed, Release};

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

    /// As if everything before `position` had been read.
    #[cfg(all(test, not(loom)))]
    pub(super) fn start_at(&mut self, position: u64) {
        (self.head, self.released, self.told) = (position, position, position);
    }

    /// Where the next frame is expected.
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// Up to where nobody looks at frames any more, whether or not the writer knows.
    pub(crate) fn released(&self) -> u64 {
        self.released
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

    /// Whether the user has given back what the writer was not told of.
    pub(crate) fn owes_credit(&self) -> bool {
        self.told != self.released
    }

    /// Tells the writer how far the user has given back. Returns whether that was news.
    pub(crate) fn give_credit(&mut self) -> bool {
        if !self.owes_credit() {
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
