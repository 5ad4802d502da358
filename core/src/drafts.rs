//! Blocks that are written wherever their user holds them: any number at a time, beside all other traffic, on any thread.
//!
//! A draft has its block, and one line of the ring is kept for the frame that will name it, so that sending it never waits.
//! Only the thread that has the side touches the arena; a draft that drops unsent leaves its block at home, where that thread
//! finds it the next time it looks for a block or for room.

use crate::arena::Block;
use crate::arena::memory::Piece;
use crate::returns::held::Bell;
use crate::sync::{AtomicBool, Ordering::Relaxed};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// The drafts of one side.
#[derive(Debug)]
pub(crate) struct Drafts {
    home: Arc<Home>,
    open: u32,
}

/// Where drafts that were dropped leave their blocks.
struct Home {
    dropped: Mutex<Vec<Block>>,
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
        Self { home: Arc::new(home), open: 0 }
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
    pub(crate) fn end(&mut self, mut draft: Draft) -> Block {
        self.open -= 1;
        draft.block.take().expect("a draft has its block until it is sent")
    }

    pub(crate) fn has_dropped(&self) -> bool {
        self.home.some.load(Relaxed)
    }

    /// The blocks of those that were dropped.
    pub(crate) fn take_dropped(&mut self) -> Vec<Block> {
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
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Block>> {
        // Nothing is done under the lock that could end half way.
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Home").finish_non_exhaustive()
    }
}

impl Draft {
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
        let Some(block) = self.block.take() else { return };
        if self.home.bell.is_ours() {
            let mut dropped = self.home.lock();
            dropped.push(block);
            self.home.some.store(true, Relaxed);
        }
    }
}
