//! Payloads of requests and replies, as they wait to be looked at: copied into a buffer that is used again and again, or in the
//! block in which they came.

use crate::error::Cause;
use crate::layout::{DEADLINE, Descriptor, LINE_PAYLOAD};
use crate::returns::held::{Held, Kept};
use crate::ring::Taken;
use crate::session::link::Link;
use crate::session::objects::Object;
use crate::shared::SharedBuffer;
use crate::side::Side;
use std::ops::Deref;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(super) struct Body {
    /// As long as the longest payload so far, so that a shorter one clears nothing, and at least as what a line holds.
    bytes: Vec<u8>,
    /// Where in it the payload starts, behind a deadline.
    start: usize,
    /// Where the payload ends.
    end: usize,
    held: Option<Held>,
    /// What came with it.
    shared: Vec<SharedBuffer>,
}

impl Body {
    /// Fills this from a frame that was just taken. `copies`: the peer is not trusted to leave a block alone.
    #[inline]
    pub(super) fn fetch(&mut self, side: &mut Side<Link>, frame: Taken, copies: bool) -> Result<(), Cause> {
        if frame.form.is_in_block() {
            return self.fetch_block(side, frame, copies);
        }
        self.start = if frame.form.is_timed() { DEADLINE } else { 0 };
        match self.bytes.first_chunk_mut() {
            Some(line) if frame.len <= LINE_PAYLOAD => {
                side.reader.copy_line(frame, line);
                self.end = frame.len;
                Ok(())
            }
            _ => self.fetch_lines(side, frame),
        }
    }

    /// More than a line holds, or a line's for the first time.
    #[inline(never)]
    fn fetch_lines(&mut self, side: &Side<Link>, frame: Taken) -> Result<(), Cause> {
        side.reader.copy(frame, self.room(frame.len)?);
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn fetch_block(&mut self, side: &mut Side<Link>, frame: Taken, copies: bool) -> Result<(), Cause> {
        let told = side.descriptor(frame)?;
        let shared = side.objects(frame, told)?;
        if told.is_in_frame() {
            let start = if frame.form.is_timed() { DEADLINE } else { 0 };
            let room = self.room(told.len as usize)?;
            side.reader.copy_part(frame, start, room);
            side.count_payload(frame, told.len as usize);
            self.start = 0;
            self.shared = wrap(shared);
            return Ok(());
        }
        let held = side.resolve(frame, told)?;
        self.shared = wrap(shared);
        if copies {
            self.start = 0;
            held.copy(self.room(held.len())?);
        } else {
            self.held = Some(held);
        }
        Ok(())
    }

    /// Room for `len` bytes.
    fn room(&mut self, len: usize) -> Result<&mut [u8], Cause> {
        let most = len.max(LINE_PAYLOAD);
        if self.bytes.len() < most {
            self.bytes.try_reserve(most - self.bytes.len()).map_err(|_| Cause::OutOfMemory)?;
            self.bytes.resize(most, 0);
        }
        self.end = len;
        Ok(&mut self.bytes[..len])
    }

    /// The objects that came with the payload.
    pub(super) fn shared(&self) -> &[SharedBuffer] {
        &self.shared
    }

    /// Gives the block back, and keeps the buffer unless it was made for something unusually large.
    #[inline]
    pub(super) fn clear(&mut self) {
        if self.held.is_some() {
            self.held = None;
        }
        if !self.shared.is_empty() {
            self.shared = Vec::new();
        }
        if self.bytes.len() > KEPT {
            self.bytes = Vec::new();
        }
        (self.start, self.end) = (0, 0);
    }

    /// Takes the payload out, with what came with it, to be kept for as long as one likes, and leaves an empty one.
    pub(super) fn keep(&mut self) -> (Kept, Vec<SharedBuffer>) {
        let kept = match self.held.take() {
            Some(held) => Kept::Held(Arc::new(held)),
            None => Kept::Copied(Box::from(&self.bytes[self.start..self.end])),
        };
        (self.start, self.end) = (0, 0);
        (kept, std::mem::take(&mut self.shared))
    }
}

fn wrap(objects: Vec<Arc<Object>>) -> Vec<SharedBuffer> {
    objects.into_iter().map(SharedBuffer::new).collect()
}

/// A larger buffer is not kept for the next payload.
const KEPT: usize = 1 << 20;

impl Deref for Body {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.held {
            Some(held) => held,
            None => &self.bytes[self.start..self.end],
        }
    }
}

/// The fewest bytes that a frame of this form can have.
#[inline]
pub(super) fn least_len(frame: Taken) -> usize {
    let head = if frame.form.is_timed() { DEADLINE } else { 0 };
    head + if frame.form.is_in_block() { Descriptor::BYTES } else { 0 }
}
