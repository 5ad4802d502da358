//! What a side has counted, for its own user, for its peer, and for whoever observes the session.
//!
//! A side keeps its counts in private memory. At *calm moments* it copies them into its outbox, where the peer may look at them:
//! before it sleeps, at each look at the socket, when it rings, when memory is made, at the close, and when its user asks. No
//! message costs a store. That a peer has sent what we received we know without being told, so its claim is raised to that.
//!
//! Frames and bytes received stand there before the read position that covers them (`SYNC credit`), and everything before the
//! goodbye (`SYNC close`). What the peer wrote is only numbers: nothing is decided by them.

use super::{Channel, Side};
use crate::layout::{COUNTERS, counter_at};
use crate::observe::{Counts, Stats};
use crate::sync::Ordering::Relaxed;

/// How many frames are received between two looks at what is shown, where nothing calm happens in between: so many that
/// showing all of it costs none of them anything that could be measured.
const NOW_AND_THEN: u64 = 4096;

/// The counts of frames and bytes, both ways, which come first.
const FRAMES: usize = 4;

impl<C: Channel> Side<C> {
    /// What was done so far, by this end and on its behalf.
    pub(crate) fn stats(&self) -> Stats {
        let usage = self.outgoing.usage();
        let (held_blocks, held_bytes) = self.incoming.returner().held();
        let mut stats = Stats {
            bells_rung: self.stats.bells_rung + self.incoming.returner().bells(),
            regions: usage.regions,
            region_bytes: usage.bytes,
            blocks_out: usage.blocks_out,
            block_bytes_out: usage.bytes_out,
            block_bytes_high: usage.high_water,
            held_blocks,
            held_bytes,
            ..self.stats
        };
        self.channel.count(&mut stats);
        stats
    }

    /// What the peer shows that it has done; `None` if it shows nothing. Each word is read once.
    pub(crate) fn peer_stats(&self) -> Option<Stats> {
        if self.peer.load_u64(COUNTERS, Relaxed) == 0 {
            return None;
        }
        let told = Stats::from_words(std::array::from_fn(|number| self.peer.load_u64(counter_at(number), Relaxed)));
        let Stats { frames_received, bytes_received, .. } = self.stats;
        Some(Stats {
            frames_sent: told.frames_sent.max(frames_received),
            bytes_sent: told.bytes_sent.max(bytes_received),
            ..told
        })
    }

    /// Shows everything, to the peer and to whoever observes. In a forked child, whose memory this is not, it does nothing.
    pub(crate) fn show_counters(&self) {
        if !self.counts || !self.channel.is_ours() {
            return;
        }
        self.shown_at.set(self.stats.frames_received);
        let ours = self.stats();
        // Relaxed: each is a number of its own. Those that go with another word stand before its release.
        for (number, word) in ours.to_words().into_iter().enumerate() {
            self.header.store_u64(counter_at(number), word, Relaxed);
        }
        self.channel.note(&Counts { ours, theirs: self.peer_stats() });
    }

    /// Shows frames and bytes, which is cheap.
    pub(super) fn show_frames(&self) {
        if self.counts {
            for (number, word) in self.stats.to_words().into_iter().take(FRAMES).enumerate() {
                self.header.store_u64(counter_at(number), word, Relaxed);
            }
        }
    }

    /// Shows everything if much was received since: a reader in the middle of a stream may not come to rest for long.
    pub(super) fn show_now_and_then(&self) {
        if self.counts && self.stats.frames_received - self.shown_at.get() >= NOW_AND_THEN {
            self.show_counters();
        }
    }
}
