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
//! running thread of registered processes, look again, and sleep for good. Where the barrier cannot be had, or the sleeper
//! cannot or does not want to nap, its word says *fenced*: the waking side, which loads the word anyway, then fences and loads
//! it once more, and the sleeping side fences between the word and its look.
//!
//! This file knows the words, not how to sleep or to ring.

use crate::error::Violation;
use crate::layout::PARKED;
use crate::span::{ReadHeader, ReadSpan, WriteHeader, WriteSpan};
use crate::sync::{
    AtomicU64,
    Ordering::{AcqRel, Relaxed, Release},
    full_fence, light_barrier,
};
use std::cell::Cell;
use std::sync::Arc;

/// What a side sleeps for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reasons(u64);

impl Reasons {
    /// Frames in the peer's ring.
    pub(crate) const DATA: Self = Self(1 << 1);
    /// Room in our own ring.
    pub(crate) const ROOM: Self = Self(1 << 2);
    /// Blocks of our own arena, given back.
    pub(crate) const BLOCKS: Self = Self(1 << 3);

    /// Either.
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

const ASLEEP: u64 = 1;
const FENCED: u64 = 1 << 7;
const EPOCH_SHIFT: u32 = 8;

/// One side's own word: how it sleeps.
#[derive(Debug)]
pub(crate) struct Parking {
    header: WriteHeader,
    /// Our sleeps so far.
    epoch: u64,
    /// What the open epoch is for; `None` while awake.
    open: Option<Reasons>,
    /// [`FENCED`] while the peer is asked to fence after its stores, else zero.
    fenced: Cell<u64>,
}

/// One side's view of the peer's word: whether it must be woken. Leases drop on any thread, so every thread that stores
/// something for the peer has one.
#[derive(Clone, Debug)]
pub(crate) struct Waker {
    peer: ReadHeader,
    /// The peer's last epoch for which we rang, whichever thread did.
    rung: Arc<AtomicU64>,
}

impl Parking {
    /// `fenced`: the peer is asked to fence from the beginning, and [`first_word`](Self::first_word) told it so.
    pub(crate) fn new(header: WriteSpan, fenced: bool) -> Self {
        let fenced = Cell::new(Self::first_word(fenced));
        Self { header: WriteHeader::new(header), epoch: 0, open: None, fenced }
    }

    /// What must stand in our header before the peer sees it.
    pub(crate) fn first_word(fenced: bool) -> u64 {
        if fenced { FENCED } else { 0 }
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
        self.store();
    }

    /// Closes the open epoch, if there is one.
    pub(crate) fn end(&mut self) {
        if self.open.take().is_some() {
            self.store();
        }
    }

    /// Asks the peer to fence after its stores. A barrier must follow before anything is built on that.
    pub(crate) fn ask_for_fences(&self) {
        self.fenced.set(FENCED);
        self.store();
    }

    /// The peer need not fence any more; the next sleep is protected otherwise. Not while an epoch is open.
    pub(crate) fn stop_asking(&self) {
        debug_assert!(self.open.is_none(), "an open epoch counts on the fences");
        self.fenced.set(0);
        self.store();
    }

    /// Whether the peer is asked to fence.
    pub(crate) fn asks_for_fences(&self) -> bool {
        self.fenced.get() != 0
    }

    fn store(&self) {
        let open = self.open.map_or(0, |reasons| reasons.0 | ASLEEP);
        self.header.store_u64(PARKED, self.epoch << EPOCH_SHIFT | self.fenced.get() | open, Release);
    }
}

impl Waker {
    pub(crate) fn new(peer: ReadSpan) -> Self {
        Self { peer: ReadHeader::new(peer), rung: Arc::new(AtomicU64::new(0)) }
    }

    /// To be called after every store that can end the peer's sleep for `reason`: whether a bell is due.
    #[inline]
    pub(crate) fn must_ring(&self, reason: Reasons) -> Result<bool, Violation> {
        light_barrier();
        let parked = self.peer.load_u64(PARKED, Relaxed);
        if parked & (ASLEEP | FENCED) == 0 { Ok(false) } else { self.look_closer(parked, reason) }
    }

    /// The peer sleeps, or asks for fences.
    #[inline(never)]
    fn look_closer(&self, mut parked: u64, reason: Reasons) -> Result<bool, Violation> {
        if parked & FENCED != 0 {
            full_fence();
            parked = self.peer.load_u64(PARKED, Relaxed);
        }
        if wakes(parked, reason) { self.claim_bell(parked >> EPOCH_SHIFT, reason) } else { Ok(false) }
    }

    /// Whether this thread is the one to ring for `epoch`.
    #[cold]
    fn claim_bell(&self, epoch: u64, reason: Reasons) -> Result<bool, Violation> {
        // SYNC rung: whoever finds a later epoch here looks again no earlier than the thread that rang for it did.
        let rung = self.rung.fetch_max(epoch, AcqRel);
        if epoch >= rung {
            return Ok(epoch > rung);
        }
        // Another thread of this side has rung for a later epoch since we looked; or the peer went back.
        let parked = self.peer.load_u64(PARKED, Relaxed);
        if wakes(parked, reason) && parked >> EPOCH_SHIFT < rung { Err(Violation::Parked) } else { Ok(false) }
    }
}

/// Whether a parked word says that its side sleeps for `reason`.
fn wakes(parked: u64, reason: Reasons) -> bool {
    parked & ASLEEP != 0 && Reasons(parked).contains(reason)
}
