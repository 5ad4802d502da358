//! Memory that is made when it is needed, and given back when it is not.
//!
//! A region costs half a millisecond a mebibyte to make, and holds memory; so a sender first takes its turn, as far as that
//! is cheaper. Under a limit it makes way for itself: what is idle goes first.

use super::{Outgoing, Side};
use crate::arena::{self, NoBlock};
use crate::deadline::Deadline;
use crate::error::{Cause, Violation};
use crate::side::{Channel, Patience, RegionKind, Want};
use crate::wait::now;
use std::time::Duration;

/// The smallest region: what a side that has outgrown the ring is likely to need soon, made in a millisecond or two.
const FIRST_REGION: u64 = 4 << 20;

/// The largest region that is made before it is needed at that size.
const DOUBLE_UP_TO: u64 = 256 << 20;

/// How long a sender waits for a block to come back before it makes a new region: a few times what a reader of short blocks
/// takes for one. Without it a stream of 256 KiB went through 67 MiB of blocks at half the rate (33 us a block instead of 14).
/// In a model, where time stands still, it has passed at once.
const GROW_AFTER: Duration = if cfg!(loom) { Duration::ZERO } else { Duration::from_micros(200) };

/// The same for each mebibyte of a long one, if one as long has come back since the last region was made: about what a reader
/// takes, and a third of what making it would. Of a reader that has given back none there is nothing to expect: waiting for it
/// made first use of 256 MiB 1.4 times as slow as memory itself.
const GROW_AFTER_MIB: Duration = Duration::from_micros(200);

/// How long a region is idle before it is given back. In a model the second look finds it so.
const IDLE: Duration = if cfg!(loom) { Duration::ZERO } else { Duration::from_secs(1) };

/// What is missing: a region of so many bytes.
#[derive(Clone, Copy)]
struct Missing {
    bytes: u64,
    /// It is to be one block.
    whole: bool,
}

impl Missing {
    fn of(no_block: NoBlock) -> Option<Self> {
        match no_block {
            NoBlock::Returns => None,
            NoBlock::Region { needed } => Some(Self { bytes: needed, whole: false }),
            NoBlock::Whole { needed } => Some(Self { bytes: needed, whole: true }),
        }
    }
}

impl Outgoing {
    /// How long the next region is to be, so that what is missing fits, or at least `len` bytes; `None` where the limits forbid it.
    fn next_region(&self, missing: Missing, len: u64) -> Option<u64> {
        let usage = self.arena.usage();
        if usage.regions >= self.limits.regions {
            return None;
        }
        let left = self.limits.memory.saturating_sub(usage.bytes - self.spilled()).min(self.limits.region);
        if missing.whole {
            return if missing.bytes <= left { Some(missing.bytes) } else { (len <= left).then_some(len) };
        }
        let doubled = usage.bytes.next_power_of_two().clamp(FIRST_REGION, DOUBLE_UP_TO).max(missing.bytes);
        let most = if left == 0 { 0 } else { 1 << left.min(arena::REGION_BYTES_MAX).ilog2() };
        let bytes = doubled.min(most);
        (bytes >= missing.bytes).then_some(bytes)
    }

    /// How long the next region that is no memory is to be: not longer than the reader takes, which is what its longest payload, or
    /// its longest region of memory, needs.
    fn next_spill(&self, missing: Missing) -> u64 {
        if missing.whole {
            return missing.bytes;
        }
        let taken = self.limits.message.checked_next_power_of_two().unwrap_or(u64::MAX).max(self.limits.region);
        let doubled = self.spilled().next_power_of_two().clamp(FIRST_REGION, DOUBLE_UP_TO);
        missing.bytes.max(doubled.min(1 << taken.ilog2()))
    }

    /// How long a block of `bytes` is worth waiting for, before a region is made instead.
    pub(crate) fn patience_before_growing(&self, bytes: u64) -> Duration {
        let long = if self.longest_back >= bytes { u32::try_from(bytes >> 20).unwrap_or(u32::MAX) } else { 0 };
        GROW_AFTER.max(GROW_AFTER_MIB * long)
    }

    /// Bytes of all regions that are no memory.
    fn spilled(&self) -> u64 {
        self.spilled.iter().map(|(_, bytes)| bytes).sum()
    }

    /// How long a sleep may be before [idle memory](Side::give_idle_memory_back) is due, or an announcement is to be tried again by
    /// whoever waits for a block; `None` if there is nothing of the kind.
    pub(crate) fn next_duty(&self, want: Want) -> Option<Duration> {
        let since = self.idle.map(|(_, since)| since).or(self.out_since);
        let idle = since.map(|since| IDLE.saturating_sub(now() - since));
        let again = self.try_again.filter(|_| matches!(want, Want::Block | Want::DataOrBlock));
        let again = again.map(|at| at.saturating_duration_since(now()));
        idle.into_iter().chain(again).min()
    }
}

impl<C: Channel> Side<C> {
    /// Before the arena grows by a block of `bytes`: whether one comes back in a moment. A sender that is faster than its reader
    /// would else take ever more memory instead of its turn.
    pub(super) fn one_comes_back_soon(&mut self, bytes: u64, patience: Patience) -> Result<bool, Cause> {
        let Patience::Until(deadline) = patience else { return Ok(false) };
        if self.outgoing.arena.usage().blocks_out == 0 {
            return Ok(false);
        }
        let worth = self.outgoing.patience_before_growing(bytes);
        match self.wait(Want::Block, deadline.min(Deadline::after(worth))) {
            Ok(()) => Ok(true),
            Err(Cause::Timeout) => Ok(false),
            Err(cause) => Err(cause),
        }
    }

    /// Makes one more region for a payload of `len` bytes, if the limits allow it and the peer keeps up with them. Whether it did.
    #[cold]
    pub(super) fn grow(&mut self, no_block: NoBlock, len: u64, patience: Patience) -> Result<bool, Cause> {
        let Some(missing) = Missing::of(no_block) else { return Ok(false) };
        let id = self.outgoing.memory.regions() as u64;
        let (bytes, kind) = match self.outgoing.next_region(missing, len) {
            Some(bytes) => (bytes, RegionKind::Memory),
            // Memory that lies idle is better than none. The peer may be slow to let go of it: no reason to wait for a disk.
            None if self.make_way() => {
                if self.may_spill() {
                    self.outgoing.look_again_soon();
                }
                return Ok(false);
            }
            None if self.may_spill() => (self.outgoing.next_spill(missing), RegionKind::Spill),
            None => return Ok(false),
        };
        if id > u64::from(arena::REGION_MAX) {
            // Ids are never used again, and these are all.
            return Err(Cause::OutOfMemory);
        }
        let seen = self.peer_seen();
        if !self.may_announce(seen)? {
            return Ok(false);
        }
        let deadline = match patience {
            Patience::None => Deadline::NEVER,
            Patience::OnlyToMake(deadline) | Patience::Until(deadline) => deadline,
        };
        let (made, kind) = match self.channel_mut().make_region(id as u32, bytes, kind, deadline) {
            // The machine, or the process, has less than this session may have.
            Err(Cause::OutOfMemory) if kind == RegionKind::Memory && self.may_spill() => {
                let (bytes, kind) = (self.outgoing.next_spill(missing), RegionKind::Spill);
                (self.channel_mut().make_region(id as u32, bytes, kind, deadline)?, kind)
            }
            made => (made?, kind),
        };
        let Some(span) = made else {
            self.announce_later(seen)?;
            return Ok(false);
        };
        self.announced();
        if missing.whole {
            self.outgoing.arena.add_whole(id as u32, span.len() as u64);
        } else {
            self.outgoing.arena.add_region(id as u32, span.len() as u64);
        }
        if kind == RegionKind::Spill {
            self.outgoing.spilled.push((id as u32, span.len() as u64));
        }
        self.outgoing.memory.add(span);
        self.outgoing.longest_back = 0;
        self.show_counters();
        Ok(true)
    }

    /// Gives back all that is idle, because the limits leave no room for what is missing. The peer says when it has let go.
    /// Whether there was something.
    fn make_way(&mut self) -> bool {
        let mut some = false;
        while let Some(id) = self.outgoing.arena.spare_region() {
            if !self.forget(id) {
                break;
            }
            some = true;
        }
        some
    }

    /// Whether there may be one more region that is no memory.
    fn may_spill(&self) -> bool {
        self.channel().may_spill() && self.outgoing.arena.usage().regions < self.outgoing.limits.regions
    }

    /// Takes what has come back, and gives a region back in which nothing has been out for a while. The peer unmaps it and
    /// confirms; until then it counts.
    pub(crate) fn trim(&mut self) -> Result<(), Violation> {
        self.take_back_drafts();
        self.outgoing.collect()?;
        let now = now();
        match (self.outgoing.arena.idle_region(), self.outgoing.idle) {
            (None, _) => self.outgoing.idle = None,
            (Some(id), Some((known, since))) if id == known => {
                if now - since >= IDLE && self.forget(id) {
                    self.outgoing.idle = None;
                }
            }
            (Some(id), _) => self.outgoing.idle = Some((id, now)),
        }
        Ok(())
    }

    /// Whether the peer could be told that region `id` is to go.
    fn forget(&mut self, id: u32) -> bool {
        let told = self.channel_mut().forget_region(id);
        if told {
            self.outgoing.arena.retire(id);
        }
        told
    }

    /// Before a sleep: whatever memory is idle now is given back during the sleep, if that is long.
    pub(crate) fn note_idle_memory(&mut self) -> Result<(), Cause> {
        if self.outgoing.arena.idle_region().is_none() {
            let usage = self.outgoing.arena.usage();
            self.outgoing.out_since = (usage.regions > 1 && usage.blocks_out > 0).then(now);
            return Ok(());
        }
        self.trim().map_err(|violation| self.corrupt(violation))
    }

    /// After a second of sleep: gives back all that is idle, so that nothing has to wake up for it again.
    pub(crate) fn give_idle_memory_back(&mut self) -> Result<(), Cause> {
        if self.outgoing.next_duty(Want::Data) != Some(Duration::ZERO) {
            return Ok(());
        }
        if let Err(violation) = self.outgoing.collect() {
            return Err(self.corrupt(violation));
        }
        (self.outgoing.idle, self.outgoing.out_since) = (None, None);
        while let Some(id) = self.outgoing.arena.idle_region() {
            if !self.forget(id) {
                self.outgoing.idle = Some((id, now()));
                break;
            }
        }
        Ok(())
    }
}
