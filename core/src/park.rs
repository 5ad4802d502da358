//! Parking: how a side says that it sleeps, and how the other learns that it must ring.
//!
//! The sleeper stores an odd **epoch** with what it sleeps for into its own header, looks once more, and sleeps. The other
//! side, after every store that can end such a sleep, loads that word; if it is odd and for this reason, it rings the bell,
//! once an epoch. No word is written by both.
//!
//! The danger is the store buffer: *store frame, load parked* on one side against *store parked, load frame* on the other may
//! each miss the other's store. A full fence on both sides forbids that and costs more than the whole message. So by default
//! the waking side pays nothing, and the sleeping side makes up for it: it first **naps**, for a time so short that losing a
//! wake-up does not matter, and only when nothing comes does it issue one `membarrier`, which acts as a full fence on every
//! running thread of registered processes, look again, and sleep for good. Where the barrier cannot be had, or the sleeper is
//! watched by a foreign event loop and cannot nap, both sides fence.
//!
//! This file knows the words, not how to sleep or to ring.

use crate::error::Violation;
use crate::layout::{MODE, MODE_FENCED, PARKED};
use crate::span::{ReadHeader, ReadSpan, WriteHeader, WriteSpan};
use crate::sync::{
    AtomicU64,
    Ordering::{Relaxed, Release},
    full_fence, light_barrier,
};

/// What a side sleeps for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reasons(u64);

impl Reasons {
    /// Frames in the peer's ring.
    pub(crate) const DATA: Self = Self(1 << 1);
    /// Room in our own ring.
    pub(crate) const ROOM: Self = Self(1 << 2);

    fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

const ASLEEP: u64 = 1;
const EPOCH_SHIFT: u32 = 8;

/// One side's parking: its own word, and its view of the peer's.
#[derive(Debug)]
pub(crate) struct Parking {
    header: WriteHeader,
    peer: ReadHeader,
    /// Our sleeps so far.
    epoch: u64,
    /// What the open epoch is for; `None` while awake.
    open: Option<Reasons>,
    /// The peer's last epoch for which we rang. Leases drop on any thread, so it is won by compare-exchange.
    rung: AtomicU64,
    /// Whether we must fence after each store, as agreed at the handshake.
    fences: bool,
}

impl Parking {
    /// `fences`: this side fences after its stores because the peer cannot rely on `membarrier` reaching it.
    pub(crate) fn new(header: WriteSpan, peer: ReadSpan, fences: bool) -> Self {
        let (header, peer) = (WriteHeader::new(header), ReadHeader::new(peer));
        Self { header, peer, epoch: 0, open: None, rung: AtomicU64::new(0), fences }
    }

    /// Sleeps begun so far: the peer may not ring more often.
    pub(crate) fn epochs(&self) -> u64 {
        self.epoch
    }

    /// Whether an epoch is open for (at least) these reasons.
    pub(crate) fn is_open_for(&self, reasons: Reasons) -> bool {
        self.open.is_some_and(|open| open.contains(reasons))
    }

    /// Opens a new epoch. The caller looks after this, and after whatever fence its scheme needs, before it sleeps.
    pub(crate) fn begin(&mut self, reasons: Reasons) {
        self.epoch += 1;
        self.open = Some(reasons);
        // Release, so that a peer that sees the epoch also sees the read position published before it.
        self.header.store_u64(PARKED, self.epoch << EPOCH_SHIFT | reasons.0 | ASLEEP, Release);
    }

    /// Closes the open epoch, if there is one.
    pub(crate) fn end(&mut self) {
        if self.open.take().is_some() {
            self.header.store_u64(PARKED, self.epoch << EPOCH_SHIFT, Relaxed);
        }
    }

    /// Asks the peer to fence after its stores, because this side will sleep where it cannot nap.
    pub(crate) fn ask_for_fences(&self) {
        self.header.store_u64(MODE, MODE_FENCED, Release);
    }

    /// To be called after every store that can end the peer's sleep for `reason`: whether a bell is due.
    #[inline]
    pub(crate) fn must_ring(&self, reason: Reasons) -> Result<bool, Violation> {
        light_barrier();
        if self.fences || self.peer.load_u64(MODE, Relaxed) == MODE_FENCED {
            full_fence();
        }
        let parked = self.peer.load_u64(PARKED, Relaxed);
        if parked & ASLEEP == 0 {
            return Ok(false);
        }
        self.claim_bell(parked, reason)
    }

    #[cold]
    #[inline(never)]
    fn claim_bell(&self, parked: u64, reason: Reasons) -> Result<bool, Violation> {
        if !Reasons(parked).contains(reason) {
            return Ok(false);
        }
        let epoch = parked >> EPOCH_SHIFT;
        let rung = self.rung.load(Relaxed);
        if epoch == rung {
            return Ok(false);
        }
        if epoch < rung {
            return Err(Violation::Parked);
        }
        // Whoever loses has seen somebody else ring for this epoch, or for a later one.
        Ok(self.rung.compare_exchange(rung, epoch, Relaxed, Relaxed).is_ok())
    }
}
