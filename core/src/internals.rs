//! Parts for benchmarks of their own. Not for users: whatever stands here may change with every version.

use crate::arena::{self, Arena, Block};

/// The bookkeeping of an arena, without memory.
#[derive(Debug)]
pub struct Bookkeeping(Arena);

/// A block that is out.
#[derive(Clone, Copy, Debug)]
pub struct Out(Block);

impl Bookkeeping {
    /// One region of `region` bytes, a power of two, of which `window` bytes are preferred to the rest.
    #[must_use]
    pub fn new(region: u64, window: u64) -> Self {
        let mut arena = Arena::new(u32::MAX, window);
        arena.add_region(0, region);
        Self(arena)
    }

    /// A block for `len` bytes, as if a frame named it; `None` if there is none.
    #[inline]
    pub fn alloc(&mut self, len: u64) -> Option<Out> {
        let block = self.0.alloc(len).ok()?;
        self.0.commit(block);
        Some(Out(block))
    }

    /// A block has come back from the reader.
    ///
    /// # Panics
    /// If it had come back already.
    #[inline]
    pub fn give_back(&mut self, out: Out) {
        let Block { region, index, generation, .. } = out.0;
        let entry = arena::entry(region, index, generation).expect("a block has the numbers of one");
        self.0.give_back(entry).expect("a block that is out comes back once");
    }
}
