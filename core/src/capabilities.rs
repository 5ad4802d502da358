//! What a session can promise beyond what every session does: it depends on what the segments of both sides are made of.

use crate::options::Backend;

/// What an open end can promise, and what it can do. Settled by the handshake; it does not change afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// What this end's memory is made of.
    pub backend: Backend,
    /// This end's memory is sealed: the kernel lets no other process write it, or make it shorter.
    pub sealed: bool,
    /// The peer's memory is sealed: reading it cannot fail, whatever the peer does. Else a peer that makes its memory shorter
    /// ends this process with `SIGBUS`.
    pub peer_sealed: bool,
    /// This end can have payloads in files: it has a [spill directory](crate::Options::spill_dir), and the peer takes them.
    pub spill: bool,
}
