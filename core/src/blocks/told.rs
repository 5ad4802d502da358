//! What goes before a frame and stands at its end: announcements over the socket, and the descriptor that rests on them.
//!
//! Regions and shared objects are announced before a frame names them, and only so many ahead of what the peer has read. A frame
//! that names what is not known yet is a reason to read the socket; what cannot be taken from there now costs a frame its
//! moment, but not the frame.

use crate::error::{Cause, Violation};
#[cfg(not(loom))]
use crate::layout::Names;
use crate::layout::{DEADLINE, Descriptor};
use crate::ring::Taken;
use crate::side::{Channel, Side};

/// How many announcements of a side may wait to be read.
pub(crate) const UNREAD_MAX: usize = 8;

/// Announcing.
impl<C: Channel> Side<C> {
    /// Whether one more region or object may be announced, where the peer says that it has taken `seen` records. If not, a wait for
    /// a block ends when it has taken more.
    pub(crate) fn may_announce(&mut self, seen: u64) -> Result<bool, Cause> {
        if seen > self.channel().said() {
            return Err(self.corrupt(Violation::Region));
        }
        while self.outgoing.unread.front().is_some_and(|&said| said <= seen) {
            self.outgoing.unread.pop_front();
        }
        let may = self.outgoing.unread.len() < UNREAD_MAX;
        if !may {
            self.await_reading(seen);
        }
        Ok(may)
    }

    /// A region or object has just been announced.
    pub(crate) fn announced(&mut self) {
        let said = self.channel().said();
        self.outgoing.unread.push_back(said);
    }

    /// A wait for a block is to end when the peer has taken other than `seen` records. (Counted before what could not be sent was
    /// tried: else the peer's progress in between would be missed, and it makes no more.)
    pub(crate) fn await_reading(&mut self, seen: u64) {
        self.outgoing.unseen = Some(seen);
    }

    /// Takes whatever would end a wait for a block, for a caller that needs none of it.
    #[cfg(not(loom))]
    pub(crate) fn take_block_news(&mut self) -> Result<(), Cause> {
        self.outgoing.begin_look();
        self.take_back_drafts();
        self.outgoing.collect().map(drop).map_err(|violation| self.corrupt(violation))
    }
}

/// Reading what frames name.
impl<C: Channel> Side<C> {
    /// What stands at the end of a frame that is in a block, loaded once, and true as far as the frame alone can tell.
    pub(crate) fn told(&mut self, frame: Taken) -> Result<Descriptor, Cause> {
        let mut bytes = [0; Descriptor::BYTES];
        let head = if frame.form.is_timed() { DEADLINE } else { 0 };
        let Some(at) = frame.len.checked_sub(bytes.len()) else { return Err(self.corrupt(Violation::Descriptor)) };
        self.reader.copy_part(frame, at, &mut bytes);
        Descriptor::decode(bytes, frame.len, head).map_err(|violation| self.corrupt(violation))
    }

    /// The numbers of the objects that a frame names, which stand before its descriptor.
    #[cfg(not(loom))]
    pub(crate) fn told_names(&self, frame: Taken, told: Descriptor) -> Names {
        let mut names = Names::of(told.names);
        let bytes = names.bytes_mut();
        self.reader.copy_part(frame, frame.len - Descriptor::BYTES - bytes.len(), bytes);
        names
    }

    /// Counts a payload of `len` bytes instead of what stands in the ring, which was counted when the frame was taken.
    pub(crate) fn count_payload(&mut self, frame: Taken, len: usize) {
        self.stats.bytes_received += len as u64;
        self.stats.bytes_received -= frame.len as u64;
    }

    /// Reads the socket for the sake of a frame that names what is not known yet. Where that cannot be taken, the frame is not
    /// lost: the next call finds it again.
    pub(crate) fn learn_for(&mut self, frame: Taken) -> Result<(), Cause> {
        self.attend();
        // What the announcement itself did wrong says more than that it is not there.
        self.check_readable()?;
        if self.is_starved() {
            self.unresolved = Some(frame);
            return Err(Cause::OutOfMemory);
        }
        Ok(())
    }

    /// How long the payload is said to be: no more than may be sent.
    #[cfg(not(loom))]
    pub(crate) fn told_len(&self, told: Descriptor) -> usize {
        told.len.min(self.incoming.message_max) as usize
    }
}
