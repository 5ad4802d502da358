//! Where received payloads are looked at: in the ring, in the peer's blocks, or in copies of either.

use crate::error::{Cause, Violation};
use crate::layout::Form;
use crate::returns::held::Held;
use crate::ring::Taken;
use crate::session::link::Link;
use crate::side::Side;

/// What a receiving end needs beside the ring: where payloads of untrusted peers are copied, the blocks of those that are
/// not, and what a batch holds.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) copies: bool,
    pub(super) bytes: Vec<u8>,
    pub(super) blocks: Vec<Held>,
    pub(super) batch: Vec<Item>,
}

/// A frame that is being looked at: where its payload is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) frame: Taken,
    /// Of the copy in the inbox, or of the block among the inbox's blocks.
    at: usize,
    len: usize,
}

impl Inbox {
    /// Makes room for what comes next: copies are overwritten, blocks go back.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        if !self.blocks.is_empty() {
            self.blocks.clear();
        }
    }

    /// Copies the payload out if the peer is not trusted to leave it alone, and finds the block if it is in one.
    #[inline(always)]
    pub(super) fn admit(&mut self, side: &mut Side<Link>, frame: Taken) -> Result<Item, Cause> {
        if frame.form != Form::DATA {
            let (at, len) = self.admit_block(side, frame)?;
            return Ok(Item { frame, at, len });
        }
        let at = if self.copies { self.copy(side, frame) } else { 0 };
        Ok(Item { frame, at, len: frame.len })
    }

    /// Where the copy of the payload of `frame` is.
    #[inline(never)]
    fn copy(&mut self, side: &Side<Link>, frame: Taken) -> usize {
        let at = self.bytes.len();
        self.bytes.resize(at + frame.len, 0);
        side.reader.copy(frame, &mut self.bytes[at..]);
        at
    }

    /// As [`admit`](Self::admit), of a payload in a block: where an [`Item`] finds it, and how long it is.
    #[cold]
    #[inline(never)]
    fn admit_block(&mut self, side: &mut Side<Link>, frame: Taken) -> Result<(usize, usize), Cause> {
        if frame.form != Form::DATA.in_block() {
            return Err(side.corrupt(Violation::FrameKind));
        }
        // The frame has been taken and is not lost: the next call finds it there.
        if self.copies && self.bytes.try_reserve(side.told_len(frame)).is_err() {
            side.unresolved = Some(frame);
            return Err(Cause::OutOfMemory);
        }
        let held = side.resolve(frame)?;
        let len = held.len();
        if self.copies {
            let at = self.bytes.len();
            self.bytes.try_reserve(len).map_err(|_| Cause::OutOfMemory)?;
            self.bytes.resize(at + len, 0);
            held.copy(&mut self.bytes[at..]);
            return Ok((at, len));
        }
        self.blocks.push(held);
        Ok((self.blocks.len() - 1, len))
    }

    #[inline(always)]
    pub(super) fn view<'a>(&'a self, side: &'a Side<Link>, item: Item) -> &'a [u8] {
        if self.copies {
            &self.bytes[item.at..item.at + item.len]
        } else if item.frame.form.is_in_block() {
            &self.blocks[item.at]
        } else {
            side.reader.payload(item.frame)
        }
    }
}
