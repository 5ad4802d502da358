//! The memory that blocks lie in: one span a region. Which block is whose is for the bookkeeping to say.

use super::Block;
use crate::span::WriteSpan;
#[cfg(not(loom))]
use std::ops::{Deref, DerefMut};

/// The spans of an arena's regions, by their ids; `None` once forgotten.
#[derive(Debug, Default)]
pub(crate) struct Memory(Vec<Option<WriteSpan>>);

impl Memory {
    /// Regions so far, those that are forgotten included: the next one's id.
    pub(crate) fn regions(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn add(&mut self, region: WriteSpan) {
        self.0.push(Some(region));
    }

    pub(crate) fn forget(&mut self, id: u32) {
        self.0[id as usize] = None;
    }

    fn span(&self, block: Block) -> &WriteSpan {
        self.0[block.region as usize].as_ref().expect("a block that is out keeps its region")
    }

    /// Copies `bytes` into a block, `at` bytes from its start.
    pub(crate) fn fill(&self, block: Block, at: u64, bytes: &[u8]) {
        self.span(block).write((block.offset() + at) as usize, bytes);
    }

    /// A block has been written in place, maybe with streaming stores, which a release store does not order.
    pub(crate) fn settle(&self, block: Block) {
        self.span(block).settle_streaming_stores();
    }

    /// The first `len` bytes of a claimed block.
    #[cfg(not(loom))]
    pub(crate) fn payload(&self, block: Block, len: usize) -> &[u8] {
        assert!(len as u64 <= block.size());
        // SAFETY: a block that is claimed is written by nobody but its one claim, which is borrowed meanwhile.
        unsafe { self.span(block).bytes(block.offset() as usize, len) }
    }

    /// As [`payload`](Self::payload), to be written in place.
    #[cfg(not(loom))]
    pub(crate) fn payload_mut(&mut self, block: Block, len: usize) -> &mut [u8] {
        assert!(len as u64 <= block.size());
        // SAFETY: the block is claimed: the arena hands out no other piece that overlaps it, the peer has given it back
        // (the entry was acquired), and `self` is borrowed exclusively.
        unsafe { self.span(block).bytes_mut(block.offset() as usize, len) }
    }

    /// The first `len` bytes of a claimed block for its one holder, who asks for them once.
    #[cfg(not(loom))]
    pub(crate) fn piece(&self, block: Block, len: usize) -> Piece {
        assert!(len as u64 <= block.size());
        Piece { span: self.span(block).clone(), at: block.offset() as usize, len }
    }
}

/// The bytes of a claimed block, in the hands of its one holder. It keeps the memory.
#[cfg(not(loom))]
pub(crate) struct Piece {
    span: WriteSpan,
    at: usize,
    len: usize,
}

#[cfg(not(loom))]
impl Piece {
    /// Leaves one of no bytes behind, which keeps the same memory.
    pub(crate) fn take(&mut self) -> Self {
        let empty = Self { span: self.span.clone(), at: self.at, len: 0 };
        std::mem::replace(self, empty)
    }
}

#[cfg(not(loom))]
impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the block is claimed, so the arena hands out no other piece that overlaps it; the one holder of this one
        // writes through it alone, and only while it is borrowed exclusively. It keeps the memory.
        unsafe { self.span.bytes(self.at, self.len) }
    }
}

#[cfg(not(loom))]
impl DerefMut for Piece {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; and the peer has given the block back (the entry was acquired).
        unsafe { self.span.bytes_mut(self.at, self.len) }
    }
}
