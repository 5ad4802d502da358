//! Blocks of the peer's arena that are held here, and how they go back.
//!
//! A block belongs to whoever looks at it: to a lease, or to something that a user keeps for as long as he likes, on
//! whatever thread. The last drop writes the block's number into this side's return ring, under a short lock of this
//! process, and wakes the owner if it sleeps for just that. The ring has an entry for every block that the owner may have
//! out, so giving back never waits and cannot fail.
//!
//! A region of the peer's stays mapped as long as something holds a piece of it. Once the owner has asked to forget it, the
//! last drop confirms that by an entry of its own.

use crate::arena;
use crate::park::{Reasons, Waker};
use crate::returns::ReturnWriter;
use crate::span::ReadSpan;
use crate::sync::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, PoisonError};

/// What the holders of a region share, and the lock of the way back. loom has its own, because what is proved rests on them:
/// that the last holder comes after all others, and that one thread at a time writes an entry.
#[cfg(loom)]
pub(crate) use loom::sync::{Arc as Shared, Mutex};
#[cfg(not(loom))]
pub(crate) use std::sync::{Arc as Shared, Mutex};

/// How to wake the peer, from any thread.
pub(crate) trait Bell: fmt::Debug + Send + Sync {
    /// Wakes the peer. A bell that is already ringing is not an error, and neither is a peer that is gone.
    fn ring(&self);

    /// Whether this object still belongs to this process.
    fn is_ours(&self) -> bool;
}

/// Gives blocks back to their owner, from any thread.
#[derive(Debug)]
pub(crate) struct Returner {
    ring: Mutex<ReturnWriter>,
    waker: Waker,
    bell: Arc<dyn Bell>,
    held: Counts,
}

/// What is held at the moment.
#[derive(Debug, Default)]
struct Counts {
    blocks: AtomicU64,
    bytes: AtomicU64,
    bells: AtomicU64,
}

impl Returner {
    pub(crate) fn new(ring: ReturnWriter, waker: Waker, bell: Arc<dyn Bell>) -> Self {
        Self { ring: Mutex::new(ring), waker, bell, held: Counts::default() }
    }

    /// Blocks held, and their payload bytes.
    pub(crate) fn held(&self) -> (u64, u64) {
        (self.held.blocks.load(Relaxed), self.held.bytes.load(Relaxed))
    }

    /// Bells rung from here.
    pub(crate) fn bells(&self) -> u64 {
        self.held.bells.load(Relaxed)
    }

    /// Publishes an entry and wakes the owner if it sleeps for blocks. In a forked child, which owns nothing, it does nothing.
    fn push(&self, entry: u64) {
        if !self.bell.is_ours() {
            return;
        }
        // A thread that panicked here had either published its entry or not begun to: both leave the ring whole.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        // A peer that broke the protocol is found out by the session's own thread.
        if self.waker.must_ring(Reasons::BLOCKS) == Ok(true) {
            self.held.bells.fetch_add(1, Relaxed);
            self.bell.ring();
        }
    }
}

/// A region of the peer's arena, as this side has mapped it.
#[derive(Debug)]
pub(crate) struct PeerRegion {
    id: u32,
    span: ReadSpan,
    returner: Arc<Returner>,
    /// The owner has asked to forget it, and waits for the confirmation.
    forgotten: AtomicBool,
}

impl PeerRegion {
    pub(crate) fn new(id: u32, span: ReadSpan, returner: Arc<Returner>) -> Shared<Self> {
        Shared::new(Self { id, span, returner, forgotten: AtomicBool::new(false) })
    }

    /// The owner wants it forgotten, and whoever calls lets go of it: the last holder confirms.
    pub(crate) fn forget(&self) {
        // Relaxed: letting go comes after this, and orders it before what the last holder does.
        self.forgotten.store(true, Relaxed);
    }

    pub(crate) fn len(&self) -> u64 {
        self.span.len() as u64
    }
}

impl Drop for PeerRegion {
    fn drop(&mut self) {
        if self.forgotten.load(Relaxed) {
            self.returner.push(arena::forgotten_entry(self.id));
        }
    }
}

/// A payload in a block of the peer's. Dropping it gives the block back, from whatever thread.
#[derive(Debug)]
pub(crate) struct Held {
    region: Shared<PeerRegion>,
    at: usize,
    len: usize,
    entry: u64,
}

impl Held {
    /// The `len` bytes at `at` of `region`, which the caller has checked to be inside it.
    pub(crate) fn new(region: Shared<PeerRegion>, at: usize, len: usize, entry: u64) -> Self {
        let held = &region.returner.held;
        held.blocks.fetch_add(1, Relaxed);
        held.bytes.fetch_add(len as u64, Relaxed);
        Self { region, at, len, entry }
    }

    /// Bytes of payload.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Copies the payload out: for peers that are not trusted to leave it alone.
    pub(crate) fn copy(&self, out: &mut [u8]) {
        debug_assert_eq!(out.len(), self.len);
        self.region.span.read(self.at, out);
    }
}

/// The payload, where it is: for peers that are trusted to leave it alone.
impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the owner does not touch a block that is out, and it is out until `self` drops. That the peer keeps to
        // this is the stated promise of `Trust::SameUser`; callers of an untrusted peer copy. `self` keeps the map.
        unsafe { self.region.span.bytes(self.at, self.len) }
    }
}

/// A payload that belongs to its holder: copied out, or still in its block.
#[derive(Clone, Debug)]
pub(crate) enum Kept {
    Copied(Box<[u8]>),
    Held(Arc<Held>),
}

impl Deref for Kept {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Held(held) => held,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let returner = &self.region.returner;
        returner.held.blocks.fetch_sub(1, Relaxed);
        returner.held.bytes.fetch_sub(self.len as u64, Relaxed);
        returner.push(self.entry);
    }
}
