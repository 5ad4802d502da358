//! What goes before a frame and stands at its end: announcements over the socket, and the descriptor that rests on them.
//!
//! Regions and shared objects are announced before a frame names them, and only so many ahead of what the peer has read. A frame
//! that names what is not known yet is a reason to read the socket; what cannot be taken from there now costs a frame its
//! moment, but not the frame.

use super::Outgoing;
use crate::error::{Cause, Violation};
#[cfg(not(loom))]
use crate::layout::Names;
use crate::layout::{DEADLINE, Descriptor};
use crate::ring::Taken;
use crate::side::{Channel, Side};
use crate::wait::now;
use std::time::Duration;

/// How many announcements of a side may wait to be read. A model comes to the limit with its second.
pub(crate) const UNREAD_MAX: usize = if cfg!(loom) { 1 } else { 8 };

/// When what could not be announced is tried again: whoever makes room in the socket, or takes descriptors that are under way
/// somewhere else, does not tell us. And when a peer has had its time to let go of idle memory that is to make way.
const TRY_AGAIN: Duration = Duration::from_millis(10);

impl Outgoing {
    /// A wait for a block ends in a moment, whatever comes back: there may be another way then.
    pub(super) fn look_again_soon(&mut self) {
        self.try_again = Some(now() + TRY_AGAIN);
    }
}

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
            self.outgoing.unseen = Some(seen);
        }
        Ok(may)
    }

    /// A region or object has just been announced.
    pub(crate) fn announced(&mut self) {
        let said = self.channel().said();
        self.outgoing.unread.push_back(said);
    }

    /// What was to be announced could not be sent: the socket is full, or shut, or descriptors are under way elsewhere. If the peer
    /// is gone there is no use in trying again; else a wait for a block ends in a moment, or as soon as the peer has taken other than
    /// `seen` records. (Counted before it was tried: else the peer's progress in between would be missed.)
    pub(crate) fn announce_later(&mut self, seen: u64) -> Result<(), Cause> {
        self.attend();
        self.check_sendable(0)?;
        self.outgoing.unseen = Some(seen);
        self.outgoing.look_again_soon();
        Ok(())
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
    pub(crate) fn descriptor(&mut self, frame: Taken) -> Result<Descriptor, Cause> {
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
