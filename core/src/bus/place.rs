//! Where the memory of an end stands.

use super::Bus;
use crate::error::Error;
use crate::placement::{Placement, check_node};

impl Bus {
    /// Where this end's memory is, beside where it was asked to be: on which NUMA nodes, in huge pages, locked. Looks at every map
    /// of the process, which takes milliseconds where there are thousands.
    #[must_use]
    pub fn placement(&self) -> Placement {
        self.side.channel().placement()
    }

    /// Has this end's memory come to a NUMA node, as far as the kernel moves it, and what is made later be made there.
    /// [`Options::numa_node`](crate::Options::numa_node) does so from the first byte on, which is better: pages that the peer has
    /// mapped are moved only for processes with `CAP_SYS_NICE`. What was got is in the [`placement`](Self::placement).
    ///
    /// # Errors
    /// [`Cause::InvalidArgument`](crate::Cause::InvalidArgument) for a node that this machine does not have, with those that it has;
    /// [`Cause::Forked`](crate::Cause::Forked).
    pub fn set_numa_node(&mut self, node: u32) -> Result<(), Error> {
        self.side.check_ours()?;
        check_node(node, "move memory to NUMA node")?;
        self.side.channel_mut().move_to(node);
        Ok(())
    }
}
