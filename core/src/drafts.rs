//! Blocks that are written wherever their user holds them: any number at a time, beside all other traffic, on any thread.
//!
//! A draft has its block, and one line of the ring is kept for the frame that will name it, so that sending it never waits.
//! Only the thread that has the side touches the arena; a draft that drops unsent leaves its block at home, where that thread
//! finds it the next time it looks for a block or for room.
//!
//! What was sent can go on being looked at by its holder ([`Sent`]): its block is free when both the peer has given it back and
//! the holder has let go, so what he sees does not change, however soon the peer is done.

use crate::arena::Block;
use crate::arena::memory::Piece;
use crate::error::Violation;
use crate::returns::held::Bell;
use crate::sync::{AtomicBool, Ordering::Relaxed};
use std::collections::HashMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// The drafts of one side.
#[derive(Debug)]
pub(crate) struct Drafts {
    home: Arc<Home>,
    open: u32,
    /// Return entries of blocks that were sent and are still looked at here, each with whether the peer has given it back.
    seen: HashMap<u64, bool>,
}

/// What a holder has left at home.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Left {
    /// The block of a draft that was never sent.
    Unsent(Block),
    /// What was sent and is looked at no more, by its return entry.
    Sent(u64),
}

/// A block that was sent and is still looked at here. It keeps the memory, and the block from being used again.
pub(crate) struct Sent {
    piece: Piece,
    entry: u64,
    home: Arc<Home>,
}

/// Where drafts that were dropped leave their blocks.
struct Home {
    dropped: Mutex<Vec<Left>>,
    /// Whether there are some: a hint, so that a look costs no lock.
    some: AtomicBool,
    /// Knows whether the process is the one that made the drafts.
    bell: Arc<dyn Bell>,
}

/// A block that is being written.
pub(crate) struct Draft {
    piece: Piece,
    /// Taken when it is sent.
    block: Option<Block>,
    home: Arc<Home>,
}

impl Drafts {
    pub(crate) fn new(bell: Arc<dyn Bell>) -> Self {
        let home = Home { dropped: Mutex::default(), some: AtomicBool::new(false), bell };
        Self { home: Arc::new(home), open: 0, seen: HashMap::new() }
    }

    /// How many are open, or were dropped and have not been [taken](Self::take_dropped).
    pub(crate) fn open(&self) -> u32 {
        self.open
    }

    pub(crate) fn begin(&mut self, block: Block, piece: Piece) -> Draft {
        self.open += 1;
        Draft { piece, block: Some(block), home: Arc::clone(&self.home) }
    }

    /// Whether `draft` is one of these.
    pub(crate) fn has(&self, draft: &Draft) -> bool {
        Arc::ptr_eq(&self.home, &draft.home)
    }

    /// Takes the block out of a draft that is sent now.
    pub(crate) fn end(&mut self, draft: &mut Draft) -> Block {
        self.open -= 1;
        draft.block.take().expect("a draft has its block until it is sent")
    }

    /// What was just sent goes on being looked at. The peer gives it back by `entry`.
    pub(crate) fn keep(&mut self, draft: Draft, entry: u64) -> Sent {
        self.open += 1;
        self.seen.insert(entry, false);
        let (piece, home) = draft.into_parts();
        Sent { piece, entry, home }
    }

    /// The peer gives a block back. Whether it is still looked at here: then it is free when that ends.
    pub(crate) fn is_seen(&mut self, entry: u64) -> Result<bool, Violation> {
        if self.seen.is_empty() {
            return Ok(false);
        }
        match self.seen.get_mut(&entry) {
            None => Ok(false),
            Some(returned) if *returned => Err(Violation::Return),
            Some(returned) => {
                *returned = true;
                Ok(true)
            }
        }
    }

    /// It is looked at no more. Whether the peer has given it back.
    pub(crate) fn let_go(&mut self, entry: u64) -> bool {
        self.seen.remove(&entry).unwrap_or(false)
    }

    pub(crate) fn has_dropped(&self) -> bool {
        self.home.some.load(Relaxed)
    }

    /// What was left by those that were dropped.
    pub(crate) fn take_dropped(&mut self) -> Vec<Left> {
        if !self.has_dropped() {
            return Vec::new();
        }
        let mut dropped = self.home.lock();
        self.home.some.store(false, Relaxed);
        self.open -= dropped.len() as u32;
        std::mem::take(&mut dropped)
    }
}

impl Home {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Left>> {
        // Nothing is done under the lock that could end half way.
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, left: Left) {
        if self.bell.is_ours() {
            self.lock().push(left);
            self.some.store(true, Relaxed);
        }
    }
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Home").finish_non_exhaustive()
    }
}

impl Draft {
    /// The piece of a draft that was sent.
    fn into_parts(mut self) -> (Piece, Arc<Home>) {
        debug_assert!(self.block.is_none(), "what is kept was sent");
        (self.piece.take(), Arc::clone(&self.home))
    }

    fn check_ours(&self) {
        assert!(self.home.bell.is_ours(), "a forked child has no part in its parent's claims");
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").field("len", &self.piece.len()).finish_non_exhaustive()
    }
}

impl Deref for Draft {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.check_ours();
        &self.piece
    }
}

impl DerefMut for Draft {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.check_ours();
        &mut self.piece
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            self.home.leave(Left::Unsent(block));
        }
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sent").field("len", &self.piece.len()).finish_non_exhaustive()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.home.leave(Left::Sent(self.entry));
    }
}
