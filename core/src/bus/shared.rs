//! Messages with shared objects.

use super::{Bus, Role};
use crate::deadline::Deadline;
use crate::error::Cause;
use crate::ring::{Label, Show};
use crate::shared::{SharedBuffer, check_count};
use crate::side::Patience;

/// Sending shared objects.
impl Bus {
    /// Publishes one frame that carries `payload`, and with it `shared`: any number of objects up to 8, of one's own or received. The
    /// receiver finds them by [`Lease::shared`](super::Lease::shared) in this order.
    ///
    /// The first message that names an object in this session hands over its descriptor; later ones only say its number. Waits for
    /// room, for a block where the payload needs one, and for the peer where it has not yet taken what was handed over before.
    /// A session names at most 256 objects at a time: for one more, the one that was named longest ago makes room.
    ///
    /// # Errors
    /// As for [`publish`](Self::publish); [`Cause::InvalidArgument`] for more than 8 objects; [`Cause::Forked`] also for an object of
    /// this process's parent, which can be read here, but not handed on.
    pub fn publish_shared(&mut self, type_id: u32, payload: &[u8], shared: &[&SharedBuffer]) -> Result<(), Cause> {
        self.publish_shared_until(type_id, payload, shared, Deadline::NEVER)
    }

    /// As [`publish_shared`](Self::publish_shared), until `deadline`, then [`Cause::Timeout`].
    ///
    /// # Errors
    /// As for [`publish_shared`](Self::publish_shared).
    pub fn publish_shared_until(
        &mut self,
        type_id: u32,
        payload: &[u8],
        shared: &[&SharedBuffer],
        deadline: Deadline,
    ) -> Result<(), Cause> {
        self.publish_shared_with(type_id, payload, shared, Patience::Until(deadline))
    }

    /// As [`publish_shared`](Self::publish_shared), or [`Cause::Full`] at once.
    ///
    /// # Errors
    /// As for [`publish_shared`](Self::publish_shared).
    pub fn try_publish_shared(&mut self, type_id: u32, payload: &[u8], shared: &[&SharedBuffer]) -> Result<(), Cause> {
        self.publish_shared_with(type_id, payload, shared, Patience::None)
    }

    fn publish_shared_with(
        &mut self,
        type_id: u32,
        payload: &[u8],
        shared: &[&SharedBuffer],
        patience: Patience,
    ) -> Result<(), Cause> {
        self.must(Role::Sends)?;
        check_count(shared)?;
        if shared.is_empty() {
            return self.side.publish(type_id, payload, Show::Now, patience);
        }
        let objects = || shared.iter().map(|buffer| buffer.object());
        let names = self.side.introduce(objects(), patience)?;
        self.side.publish_named(Label::data(type_id), &[], payload, &names, patience)?;
        self.side.named(objects());
        Ok(())
    }
}
