//! Publishing: what the sending end of a side does, frame by frame.
//!
//! Every call goes the same way: room (waiting for it if asked to), bytes, commit, and a bell if the peer sleeps. A call that
//! fails has changed nothing.

use crate::error::Cause;
use crate::park::Reasons;
use crate::ring::{NoRoom, Show, Slot};
use crate::side::{Channel, Patience, Side, Want};
use std::io::IoSlice;

impl<C: Channel> Side<C> {
    /// Publishes one frame that carries `payload`.
    #[inline(always)]
    pub(crate) fn publish(
        &mut self,
        type_id: u32,
        payload: &[u8],
        show: Show,
        patience: Patience,
    ) -> Result<(), Cause> {
        let slot = self.slot(payload.len(), patience)?;
        self.writer.fill(slot, 0, payload);
        self.finish(slot, type_id, payload.len(), show);
        Ok(())
    }

    /// Publishes one frame that carries `parts`, one behind the other.
    pub(crate) fn publish_vectored(
        &mut self,
        type_id: u32,
        parts: &[IoSlice<'_>],
        patience: Patience,
    ) -> Result<(), Cause> {
        let len = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        let slot = self.slot(len, patience)?;
        let mut at = 0;
        for part in parts {
            self.writer.fill(slot, at, part);
            at += part.len();
        }
        self.finish(slot, type_id, len, Show::Now);
        Ok(())
    }

    /// Publishes every frame of `frames`, in groups as large as the ring has room for. Answers how many went out, or why
    /// not even one did.
    pub(crate) fn publish_batch<F: AsRef<[u8]>>(
        &mut self,
        frames: impl IntoIterator<Item = (u32, F)>,
        patience: Patience,
    ) -> Result<usize, Cause> {
        let mut sent = 0;
        for (type_id, payload) in frames {
            match self.publish(type_id, payload.as_ref(), Show::Later, patience) {
                Ok(()) => sent += 1,
                Err(cause) if sent == 0 => return Err(cause),
                Err(_) => break,
            }
        }
        self.flush()?;
        Ok(sent)
    }

    /// Shows the frames that were held back, and wakes the peer if it sleeps.
    pub(crate) fn flush(&mut self) -> Result<(), Cause> {
        self.check_ours()?;
        if self.writer.show_group() { self.stored(Reasons::DATA) } else { Ok(()) }
    }

    /// Room for a frame with `len` bytes of payload.
    #[inline(always)]
    pub(crate) fn slot(&mut self, len: usize, patience: Patience) -> Result<Slot, Cause> {
        self.check_sendable(len)?;
        match self.writer.reserve(len) {
            Ok(slot) => Ok(slot),
            // Taken apart and put together again, so that the slot is never a struct in memory (see `Slot`).
            Err(no_room) => match self.slot_in_full_ring(len, no_room, patience) {
                Ok(slot) => Ok(slot),
                Err(cause) => Err(cause),
            },
        }
    }

    #[cold]
    #[inline(never)]
    fn slot_in_full_ring(&mut self, len: usize, mut no_room: NoRoom, patience: Patience) -> Result<Slot, Cause> {
        // The peer cannot make room by reading what it has not been shown.
        self.flush()?;
        self.stats.waits_for_room += 1;
        loop {
            let end = match no_room {
                NoRoom::Until(end) => end,
                NoRoom::Corrupt(violation) => return Err(self.corrupt(violation)),
            };
            match patience {
                Patience::None => self.answer_full(end)?,
                Patience::Until(deadline) => self.wait(Want::Room(end), deadline)?,
            }
            match self.writer.reserve(len) {
                Ok(slot) => return Ok(slot),
                Err(still) => no_room = still,
            }
        }
    }

    /// `Full`, after all that such an answer owes: the reader is told, and the socket is looked at in its time.
    fn answer_full(&mut self, end: u64) -> Result<(), Cause> {
        self.writer.starve();
        self.beat_idle();
        let came = self.arm(Want::Room(end));
        self.check_sendable(0)?;
        if came { Ok(()) } else { Err(Cause::Full) }
    }

    /// Commits a `slot` that the user has held open, maybe across a fork.
    #[inline(always)]
    pub(crate) fn commit(&mut self, slot: Slot, type_id: u32, used: usize, show: Show) -> Result<(), Cause> {
        self.check_ours()?;
        self.finish(slot, type_id, used, show);
        Ok(())
    }

    /// Commits `slot`, and wakes the peer if it sleeps and the frame is shown.
    ///
    /// This cannot fail: if the peer turns out to have broken the protocol, the next call says so.
    #[inline(always)]
    fn finish(&mut self, slot: Slot, type_id: u32, used: usize, show: Show) {
        self.writer.commit(slot, type_id, used, 0, show);
        self.stats.frames_sent += 1;
        self.stats.bytes_sent += used as u64;
        if show == Show::Later || self.stored(Reasons::DATA).is_ok() {
            self.beat();
        }
    }
}
