//! The floors as systems under test: turns are counted and blocks of messages ended here, the work is done in `floor`.

use std::os::fd::OwnedFd;

use anyhow::Result;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, ftruncate, memfd_create};

use crate::echo::Echo;
use crate::floor::{BLOCKS_AT, Blocks, END, LINES, Line, Page};
use crate::flow::Flow;
use crate::link::Link;

/// B0, and what is held against it, touches this much fresh memory in a block of messages, or two payloads if those are longer.
pub(crate) const FRESH_BYTES: usize = 64 << 20;

/// Blocks that B keeps in flight.
const ALTERNATING: u64 = 2;

/// F, or W with `SLEEP`.
pub(crate) struct LineFloor<const SLEEP: bool> {
    line: Line<SLEEP>,
    turn: u64,
}

impl<const SLEEP: bool> LineFloor<SLEEP> {
    /// The two ends of one link make the two sides of one floor.
    pub(crate) fn open(link: &Link) -> Result<Self> {
        let fd = shared_memory(link, LINES)?;
        let bell = || link.share(|| Ok(eventfd(0, EventfdFlags::CLOEXEC)?));
        let bells = if SLEEP { vec![bell()?, bell()?] } else { Vec::new() };
        Ok(Self { line: Line::new(Page::map(&fd, LINES)?, bells), turn: 0 })
    }
}

impl<const SLEEP: bool> Echo for LineFloor<SLEEP> {
    #[inline]
    fn ask(&mut self, seed: u64) -> Result<u64> {
        self.turn += 1;
        self.line.put(0, self.turn, seed)?;
        Ok(self.line.get(1, self.turn)?.unwrap_or_default())
    }

    #[inline]
    fn answer(&mut self) -> Result<Option<u64>> {
        self.turn += 1;
        let request = self.line.get(0, self.turn)?;
        match request {
            Some(sum) => self.line.put(1, self.turn, sum)?,
            None => self.line.next_place(),
        }
        Ok(request)
    }

    fn end(&mut self) -> Result<()> {
        self.turn += 1;
        self.line.put(0, self.turn | END, 0)?;
        self.line.next_place();
        Ok(())
    }
}

/// B and B0 as streams, S as round trips whose reply is the bare word that the block was read.
pub(crate) struct BlockFloor {
    blocks: Blocks,
    turn: u64,
    fresh: Option<OwnedFd>,
}

impl BlockFloor {
    /// The two ends of one link make the two sides of one floor.
    pub(crate) fn open(link: &Link, len: usize, fresh: bool) -> Result<Self> {
        let stride = len.next_multiple_of(64);
        let count = if fresh { (FRESH_BYTES / stride).max(3) as u64 } else { ALTERNATING };
        let bytes = BLOCKS_AT + stride * count as usize;
        let fd = shared_memory(link, bytes)?;
        let page = Page::map(&fd, bytes)?;
        Ok(Self { blocks: Blocks { page, len, count }, turn: 0, fresh: fresh.then_some(fd) })
    }
}

impl Flow for BlockFloor {
    #[inline]
    fn send(&mut self, seed: u64) -> Result<()> {
        self.turn += 1;
        self.blocks.put(self.turn, ALTERNATING, seed);
        Ok(())
    }

    #[inline]
    fn receive(&mut self, each: &mut impl FnMut(u64) -> Result<()>) -> Result<bool> {
        self.turn += 1;
        match self.blocks.get(self.turn) {
            Some(sum) => each(sum).map(|()| true),
            None => Ok(false),
        }
    }

    fn end(&mut self) -> Result<()> {
        self.turn += 1;
        self.blocks.end(self.turn);
        if let Some(fd) = &self.fresh {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let stride = self.blocks.len.next_multiple_of(64);
            fallocate(fd, flags, BLOCKS_AT as u64, self.blocks.count * stride as u64)?;
        }
        Ok(())
    }

    fn most(&self) -> u64 {
        // One turn goes to the end of the block; the rest each finds pages that were given back before.
        if self.fresh.is_some() { self.blocks.count - 1 } else { u64::MAX }
    }
}

impl Echo for BlockFloor {
    #[inline]
    fn ask(&mut self, seed: u64) -> Result<u64> {
        self.send(seed)?;
        self.blocks.drained(self.turn);
        Ok(0)
    }

    #[inline]
    fn answer(&mut self) -> Result<Option<u64>> {
        self.turn += 1;
        Ok(self.blocks.get(self.turn))
    }

    fn end(&mut self) -> Result<()> {
        Flow::end(self)
    }

    fn right_reply(&self, _seed: u64, _len: usize) -> u64 {
        0
    }
}

/// A memfd of `len` bytes that both ends of the link hold.
fn shared_memory(link: &Link, len: usize) -> Result<OwnedFd> {
    link.share(|| {
        let fd = memfd_create("slipring-bench-floor", MemfdFlags::CLOEXEC)?;
        ftruncate(&fd, len as u64)?;
        Ok(fd)
    })
}
