//! Receiving: what the reading end of a side does, frame by frame.
//!
//! A frame that was taken counts as consumed, whatever becomes of whoever looks at it; its lines go back to the writer when
//! it is released, at the latest at the next receive.

use crate::error::Cause;
use crate::ring::Taken;
use crate::side::{Channel, Patience, Side, Want};

impl<C: Channel> Side<C> {
    /// Takes the next frame, waiting for it if asked to. What was taken before is released.
    #[inline]
    pub(crate) fn take(&mut self, patience: Patience) -> Result<Taken, Cause> {
        let mut frame = Taken::NONE;
        self.take_into(patience, &mut frame)?;
        Ok(frame)
    }

    /// As [`take`](Self::take), for where each nanosecond counts.
    ///
    /// A frame in a `Result` shares its bytes with a [`Cause`], so the compiler stores it in pieces and loads it in others, and
    /// such a load waits until the pieces have left the store buffer (see `Slot`): 8 ns of a call, and as many of a message.
    #[inline(always)]
    pub(crate) fn take_into(&mut self, patience: Patience, frame: &mut Taken) -> Result<(), Cause> {
        self.check_readable()?;
        if let Some(unresolved) = self.unresolved {
            self.unresolved = None;
            *frame = unresolved;
            return Ok(());
        }
        if self.reader.holds() {
            self.release()?;
        }
        loop {
            match self.reader.take() {
                Ok(Some(taken)) => {
                    self.count_in(taken);
                    *frame = taken;
                    return Ok(());
                }
                Ok(None) => {}
                Err(violation) => return Err(self.corrupt(violation)),
            }
            if patience == Patience::None || !self.look_a_while(Want::Data) {
                self.await_data(patience)?;
            }
        }
    }

    /// Takes the next frame if it is there.
    #[inline]
    pub(crate) fn take_now(&mut self) -> Result<Option<Taken>, Cause> {
        match self.reader.take() {
            Ok(Some(frame)) => {
                self.count_in(frame);
                Ok(Some(frame))
            }
            Ok(None) => Ok(None),
            Err(violation) => Err(self.corrupt(violation)),
        }
    }

    #[inline]
    fn count_in(&mut self, frame: Taken) {
        self.stats.frames_received += 1;
        self.stats.bytes_received += frame.len as u64;
    }

    /// Gives back the lines of everything taken.
    #[inline(always)]
    pub(crate) fn release(&mut self) -> Result<(), Cause> {
        self.check_ours()?;
        if self.reader.release() { self.give_credit() } else { Ok(()) }
    }

    /// After nothing was found: waits, or answers `Empty` with all that such an answer owes. `Ok` means: look again.
    #[inline(never)]
    fn await_data(&mut self, patience: Patience) -> Result<(), Cause> {
        match patience {
            Patience::Until(deadline) => match self.wait(Want::Data, deadline) {
                Err(Cause::Closed | Cause::PeerDied) => Err(self.end_of_stream()),
                other => other,
            },
            Patience::None | Patience::OnlyToMake(_) => {
                self.give_credit()?;
                self.beat_idle();
                if self.arm(Want::Data) || self.reader.has_data() {
                    return Ok(());
                }
                Err(if self.is_over() { self.end_of_stream() } else { Cause::Empty })
            }
        }
    }
}
