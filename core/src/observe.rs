//! What a user can learn about an end without disturbing it: its state and its counters.

use crate::layout::COUNTS;

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

/// What an end has done since it was opened. Counts of one end alone, from zero, never reset.
///
/// Of this end they are exact ([`Bus::stats`](crate::Bus::stats)). Of the peer's ([`Bus::peer_stats`](crate::Bus::peer_stats)) they
/// are what it last showed.
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
    /// Regions that this end has made for long payloads, at the moment, those in a spill directory too.
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

impl Stats {
    /// As they stand in shared memory: in the order of the fields.
    pub(crate) fn to_words(self) -> [u64; COUNTS] {
        [
            self.frames_sent,
            self.bytes_sent,
            self.frames_received,
            self.bytes_received,
            self.waits_for_room,
            self.parks,
            self.naps,
            self.bells_rung,
            self.bells_heard,
            self.regions.into(),
            self.region_bytes,
            self.blocks_out.into(),
            self.block_bytes_out,
            self.block_bytes_high,
            self.held_blocks,
            self.held_bytes,
            self.shared_told.into(),
            self.shared_known.into(),
            self.shared_mapped,
            self.late_replies,
        ]
    }

    /// What somebody else wrote, who may have written anything: each word is only a number, and one that is too large for its
    /// field is the largest.
    pub(crate) fn from_words(words: [u64; COUNTS]) -> Self {
        let small = |word: u64| u32::try_from(word).unwrap_or(u32::MAX);
        Self {
            frames_sent: words[0],
            bytes_sent: words[1],
            frames_received: words[2],
            bytes_received: words[3],
            waits_for_room: words[4],
            parks: words[5],
            naps: words[6],
            bells_rung: words[7],
            bells_heard: words[8],
            regions: small(words[9]),
            region_bytes: words[10],
            blocks_out: small(words[11]),
            block_bytes_out: words[12],
            block_bytes_high: words[13],
            held_blocks: words[14],
            held_bytes: words[15],
            shared_told: small(words[16]),
            shared_known: small(words[17]),
            shared_mapped: words[18],
            late_replies: words[19],
        }
    }
}

/// What both sides of a session have done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) ours: Stats,
    /// `None` if the peer does not show it.
    pub(crate) theirs: Option<Stats>,
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn counters_survive_the_way_through_memory_each_at_its_place() {
        let words = std::array::from_fn(|at| at as u64 + 1);
        assert_eq!(Stats::from_words(words).to_words(), words);
        assert_eq!((Stats::from_words(words).frames_sent, Stats::from_words(words).late_replies), (1, 20));
    }

    #[test]
    fn counters_stand_where_the_layout_page_has_them() {
        let at = |number| crate::layout::counter_at(number);
        assert_eq!((crate::layout::COUNTERS, at(0), at(10), at(COUNTS - 1)), (512, 520, 600, 672));
    }

    #[test]
    fn whatever_stands_there_is_a_number() {
        let stats = Stats::from_words([u64::MAX; COUNTS]);
        assert_eq!((stats.frames_sent, stats.regions, stats.shared_known), (u64::MAX, u32::MAX, u32::MAX));
    }
}
