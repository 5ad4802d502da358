//! Where received payloads are looked at: in the ring, in the peer's blocks, or in copies of either; and the shared objects that
//! came with them.

use crate::error::{Cause, Violation};
use crate::layout::Form;
use crate::returns::held::Held;
use crate::ring::Taken;
use crate::session::link::Link;
use crate::shared::SharedBuffer;
use crate::side::Side;

/// What a receiving end needs beside the ring: where payloads of untrusted peers are copied, what came in blocks or with
/// objects, and what a batch holds.
#[derive(Debug)]
pub(super) struct Inbox {
    copies: bool,
    bytes: Vec<u8>,
    pub(super) long: Vec<Long>,
    pub(super) batch: Vec<Item>,
}

/// A frame that is being looked at: where its payload is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) frame: Taken,
    /// Of the copy in the inbox, or of what came with a descriptor among the inbox's.
    at: usize,
    len: usize,
}

/// What came with a descriptor.
#[derive(Debug)]
pub(super) struct Long {
    pub(super) payload: Payload,
    pub(super) shared: Vec<SharedBuffer>,
}

#[derive(Debug)]
pub(super) enum Payload {
    Held(Held),
    /// In the ring, at the start of its frame.
    InFrame,
    /// In the inbox's copies, from here on.
    Copied(usize),
}

impl Inbox {
    /// `copies`: the peer is not trusted to leave alone what we look at.
    pub(super) fn new(copies: bool) -> Self {
        Self { copies, bytes: Vec::new(), long: Vec::new(), batch: Vec::new() }
    }

    /// Makes room for what comes next: copies are overwritten, blocks go back.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        if !self.long.is_empty() {
            self.long.clear();
        }
    }

    /// Copies the payload out if the peer is not trusted to leave it alone, and finds what is not in the frame.
    #[inline(always)]
    pub(super) fn admit(&mut self, side: &mut Side<Link>, frame: Taken) -> Result<Item, Cause> {
        if frame.form != Form::DATA {
            let (at, len) = self.admit_long(side, frame)?;
            return Ok(Item { frame, at, len });
        }
        let at = if self.copies { self.copy(side, frame, frame.len) } else { 0 };
        Ok(Item { frame, at, len: frame.len })
    }

    /// Where the copy of the first `len` bytes of `frame` is.
    #[inline(never)]
    fn copy(&mut self, side: &Side<Link>, frame: Taken, len: usize) -> usize {
        let at = self.bytes.len();
        self.bytes.resize(at + len, 0);
        side.reader.copy_part(frame, 0, &mut self.bytes[at..]);
        at
    }

    /// As [`admit`](Self::admit), of what comes with a descriptor: where an [`Item`] finds it, and how long the payload is.
    #[cold]
    #[inline(never)]
    fn admit_long(&mut self, side: &mut Side<Link>, frame: Taken) -> Result<(usize, usize), Cause> {
        if frame.form != Form::DATA.in_block() {
            return Err(side.corrupt(Violation::FrameKind));
        }
        let told = side.descriptor(frame)?;
        // The frame has been taken and is not lost: the next call finds it there.
        if self.copies && self.bytes.try_reserve(side.told_len(told)).is_err() {
            side.unresolved = Some(frame);
            return Err(Cause::OutOfMemory);
        }
        // Before the block: what is held would go back if something were still missing.
        let shared = side.objects(frame, told)?.into_iter().map(SharedBuffer::new).collect();
        let (payload, len) = if told.is_in_frame() {
            let len = told.len as usize;
            side.count_payload(frame, len);
            (if self.copies { Payload::Copied(self.copy(side, frame, len)) } else { Payload::InFrame }, len)
        } else {
            let held = side.resolve(frame, told)?;
            let len = held.len();
            (if self.copies { self.copy_block(&held)? } else { Payload::Held(held) }, len)
        };
        self.long.push(Long { payload, shared });
        Ok((self.long.len() - 1, len))
    }

    fn copy_block(&mut self, held: &Held) -> Result<Payload, Cause> {
        let at = self.bytes.len();
        self.bytes.try_reserve(held.len()).map_err(|_| Cause::OutOfMemory)?;
        self.bytes.resize(at + held.len(), 0);
        held.copy(&mut self.bytes[at..]);
        Ok(Payload::Copied(at))
    }

    #[inline(always)]
    pub(super) fn view<'a>(&'a self, side: &'a Side<Link>, item: Item) -> &'a [u8] {
        if item.frame.form.is_in_block() {
            self.view_of(side, item, &self.long[item.at].payload)
        } else if self.copies {
            &self.bytes[item.at..item.at + item.len]
        } else {
            side.reader.payload(item.frame)
        }
    }

    #[cold]
    pub(super) fn view_of<'a>(&'a self, side: &'a Side<Link>, item: Item, payload: &'a Payload) -> &'a [u8] {
        match payload {
            Payload::Held(held) => held,
            Payload::InFrame => &side.reader.payload(item.frame)[..item.len],
            Payload::Copied(at) => &self.bytes[*at..at + item.len],
        }
    }

    /// The objects that came with a frame.
    #[inline]
    pub(super) fn shared(&self, item: Item) -> &[SharedBuffer] {
        if item.frame.form.is_in_block() { &self.long[item.at].shared } else { &[] }
    }
}
