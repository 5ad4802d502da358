//! Receiving: what the reading end of a side does, frame by frame.
//!
//! A frame that was taken counts as consumed, whatever becomes of whoever looks at it; its lines go back to the writer when
//! it is released, at the latest at the next receive.

use crate::error::Cause;
use crate::ring::Taken;
use crate::side::{Channel, Patience, Side, Want};

impl<C: Channel> Side<C> {
    /// Takes the next frame, waiting for it if asked to. What was taken before is released.
    #[inline(always)]
    pub(crate) fn take(&mut self, patience: Patience) -> Result<Taken, Cause> {
        self.check_readable()?;
        if let Some(frame) = self.unresolved {
            self.unresolved = None;
            return Ok(frame);
        }
        if self.reader.holds() {
            self.release()?;
        }
        loop {
            if let Some(frame) = self.take_now()? {
                return Ok(frame);
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
                self.stats.frames_received += 1;
                self.stats.bytes_received += frame.len as u64;
                Ok(Some(frame))
            }
            Ok(None) => Ok(None),
            Err(violation) => Err(self.corrupt(violation)),
        }
    }

    /// Gives back the lines of everything taken.
    #[inline]
    pub(crate) fn release(&mut self) -> Result<(), Cause> {
        self.check_ours()?;
        if self.reader.release() { self.give_credit() } else { Ok(()) }
    }

    /// After nothing was found: waits, or answers `Empty` with all that such an answer owes. `Ok` means: look again.
    #[inline(never)]
    fn await_data(&mut self, patience: Patience) -> Result<(), Cause> {
        match patience {
            Patience::Until(deadline) => match self.wait(Want::Data, deadline) {
                Err(Cause::Closed) => Err(self.end_of_stream()),
                other => other,
            },
            Patience::None => {
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
