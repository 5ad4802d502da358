//! What a user can learn about an end without disturbing it: its state and its counters.

/// How a session stands, as far as this end has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Both sides are there.
    Open,
    /// The peer has closed. What it sent before can still be received.
    Closed,
    /// The peer died. What it had committed before can still be received.
    PeerDied,
    /// The peer broke the protocol; the session is over.
    Corrupt,
}

/// What an end has done since it was opened. Counts of this end alone, from zero, never reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Frames published by this end.
    pub frames_sent: u64,
    /// Payload bytes in them.
    pub bytes_sent: u64,
    /// Frames handed to the user of this end.
    pub frames_received: u64,
    /// Payload bytes in them.
    pub bytes_received: u64,
    /// How often a call found the ring full.
    pub waits_for_room: u64,
    /// How often a wait went to sleep.
    pub parks: u64,
    /// Short sleeps that ended without anything to hear.
    pub naps: u64,
    /// Bells rung to wake the peer.
    pub bells_rung: u64,
    /// Bells heard from the peer.
    pub bells_heard: u64,
    /// Regions of memory that this end has made for long payloads, at the moment.
    pub regions: u32,
    /// All their bytes.
    pub region_bytes: u64,
    /// Blocks of them that are claimed, or that the peer has not yet given back.
    pub blocks_out: u32,
    /// All their bytes, rounded up as blocks are.
    pub block_bytes_out: u64,
    /// The most that this ever was.
    pub block_bytes_high: u64,
    /// Blocks of the peer's that are held here.
    pub held_blocks: u64,
    /// Their payload bytes.
    pub held_bytes: u64,
    /// Shared objects of which the peer was told, less those that were taken back.
    pub shared_told: u32,
    /// Shared objects of the peer's that this end knows. Each has a descriptor.
    pub shared_known: u32,
    /// Bytes of them that are kept mapped for the next message that names them ([`Options::shared_limit`](crate::Options::shared_limit)).
    pub shared_mapped: u64,
    /// Replies that came when nobody waited for them any more.
    pub late_replies: u64,
}
