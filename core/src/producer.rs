//! Publishing: what the sending end of a side does, frame by frame.
//!
//! Every call goes the same way: room (waiting for it if asked to), bytes, commit, and a bell if the peer sleeps. A call that
//! fails has changed nothing.

use crate::arena::Block;
#[cfg(not(loom))]
use crate::drafts::Draft;
use crate::error::Cause;
use crate::layout::Descriptor;
#[cfg(not(loom))]
use crate::layout::{DEADLINE, Form, HEADER, LINE, NAMES_MAX, Names, RING_MIN, frame_bytes, reply_max};
use crate::park::Reasons;
use crate::ring::{Label, NoRoom, Show, Slot};
use crate::side::{Channel, Patience, Side, Want};
use std::io::IoSlice;

/// The most that stands in a frame whose payload is in a block.
#[cfg(not(loom))]
const TOLD_MAX: usize = DEADLINE + Descriptor::BYTES;

#[cfg(not(loom))]
const _: () = assert!(frame_bytes(TOLD_MAX) == LINE, "a promise is one line");

/// What a frame that names objects, and is no reply, may hold whatever the inline limit: as much as it has lines for if it names
/// as many as it can.
#[cfg(not(loom))]
const NAMED_MAX: usize = frame_bytes(TOLD_MAX + NAMES_MAX * Names::EACH) as usize - HEADER;

#[cfg(not(loom))]
const _: () = assert!(NAMED_MAX as u64 + HEADER as u64 <= RING_MIN / 2, "it fits into the smallest ring");

/// What names the first `len` bytes of `block`, beside `names` objects.
fn told_of(block: Block, len: usize, names: usize) -> Descriptor {
    let Block { region, generation, .. } = block;
    Descriptor { region, generation, offset: block.offset(), len: len as u64, names }
}

/// Bytes of all parts together.
fn length(parts: &[IoSlice<'_>]) -> usize {
    parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()))
}

impl<C: Channel> Side<C> {
    /// Publishes one frame that carries `payload`.
    #[inline(always)]
    pub(crate) fn publish(
        &mut self,
        type_id: u32,
        payload: &[u8],
        show: Show,
        patience: Patience,
    ) -> Result<(), Cause> {
        if payload.len() >= self.send_below {
            return self.publish_block(Label::data(type_id), &[], &[IoSlice::new(payload)], show, patience);
        }
        let slot = self.slot(payload.len(), patience)?;
        self.writer.fill(slot, 0, payload);
        self.finish(slot, Label::data(type_id), payload.len(), payload.len(), show);
        Ok(())
    }

    /// Publishes one frame of any form, in which `head` stands before `payload`: a few bytes, a multiple of 8.
    #[inline]
    pub(crate) fn post(&mut self, label: Label, head: &[u8], payload: &[u8], patience: Patience) -> Result<(), Cause> {
        if payload.len() >= self.send_below {
            return self.publish_block(label, head, &[IoSlice::new(payload)], Show::Now, patience);
        }
        self.check_ours()?;
        let len = head.len() + payload.len();
        let slot = self.room(len, patience)?;
        self.writer.fill(slot, 0, head);
        self.writer.fill(slot, head.len(), payload);
        self.finish(slot, label, len, payload.len(), Show::Now);
        Ok(())
    }

    /// Publishes one frame that carries `parts`, one behind the other.
    pub(crate) fn publish_vectored(
        &mut self,
        type_id: u32,
        parts: &[IoSlice<'_>],
        patience: Patience,
    ) -> Result<(), Cause> {
        let len = length(parts);
        if len >= self.send_below {
            return self.publish_block(Label::data(type_id), &[], parts, Show::Now, patience);
        }
        let slot = self.slot(len, patience)?;
        let mut at = 0;
        for part in parts {
            self.writer.fill(slot, at, part);
            at += part.len();
        }
        self.finish(slot, Label::data(type_id), len, len, Show::Now);
        Ok(())
    }

    /// Publishes one frame whose payload goes into a block.
    #[cold]
    #[inline(never)]
    pub(crate) fn publish_block(
        &mut self,
        label: Label,
        head: &[u8],
        parts: &[IoSlice<'_>],
        show: Show,
        patience: Patience,
    ) -> Result<(), Cause> {
        self.check_sendable(0)?;
        let len = length(parts);
        let (block, slot) = self.block_and_room(len as u64, head.len() + Descriptor::BYTES, patience)?;
        let mut at = 0;
        for part in parts {
            self.outgoing.memory().fill(block, at, part);
            at += part.len() as u64;
        }
        self.writer.fill(slot, 0, head);
        self.finish_block(slot, block, label, head.len(), len, show);
        Ok(())
    }

    /// A block for a payload of `len` bytes, and room for the `in_ring` bytes of the frame that will name it.
    fn block_and_room(&mut self, len: u64, in_ring: usize, patience: Patience) -> Result<(Block, Slot), Cause> {
        let block = self.block(len, patience)?;
        match self.room(in_ring, patience) {
            Ok(slot) => Ok((block, slot)),
            Err(cause) => {
                self.outgoing.free(block);
                Err(cause)
            }
        }
    }

    /// How many bytes of the ring the frame has that carries `len` bytes of payload, names so many objects, and begins with `head`
    /// bytes; and whether its payload is among them. A reply may only take what is kept for it.
    #[cfg(not(loom))]
    pub(crate) fn named_len(&self, form: Form, head: usize, len: usize, names: usize) -> (usize, bool) {
        let without = head + names * Names::EACH + Descriptor::BYTES;
        let whole = without.saturating_add(len);
        let kept = reply_max(self.inline_limit());
        let most = if form == Form::REPLY { kept } else { kept.max(NAMED_MAX) };
        if whole <= most.min(self.writer.payload_max()) { (whole, true) } else { (without, false) }
    }

    /// Publishes one frame that carries `payload` and names shared objects, which the peer knows.
    #[cfg(not(loom))]
    pub(crate) fn publish_named(
        &mut self,
        label: Label,
        head: &[u8],
        payload: &[u8],
        names: &Names,
        patience: Patience,
    ) -> Result<(), Cause> {
        self.check_sendable(0)?;
        let (in_ring, in_frame) = self.named_len(label.form, head.len(), payload.len(), names.count());
        if !in_frame {
            return self.publish_named_block(label, head, payload, names, patience);
        }
        let slot = self.room(in_ring, patience)?;
        self.writer.fill(slot, 0, head);
        self.writer.fill(slot, head.len(), payload);
        let before = head.len() + payload.len();
        self.writer.fill(slot, before, names.bytes());
        let told = Descriptor::in_frame(payload.len(), names.count());
        self.finish_told(slot, before + names.bytes().len(), label, told, Show::Now);
        Ok(())
    }

    #[cfg(not(loom))]
    fn publish_named_block(
        &mut self,
        label: Label,
        head: &[u8],
        payload: &[u8],
        names: &Names,
        patience: Patience,
    ) -> Result<(), Cause> {
        let before = head.len() + names.bytes().len();
        let (block, slot) = self.block_and_room(payload.len() as u64, before + Descriptor::BYTES, patience)?;
        self.outgoing.memory().fill(block, 0, payload);
        self.writer.fill(slot, 0, head);
        self.writer.fill(slot, head.len(), names.bytes());
        self.outgoing.commit(block);
        self.finish_told(slot, before, label, told_of(block, payload.len(), names.count()), Show::Now);
        Ok(())
    }

    /// `Full` because something must be read up to `end` first, after all that such an answer owes. `Ok` means: look again.
    #[cfg(not(loom))]
    pub(crate) fn answer_unread(&mut self, end: u64) -> Result<(), Cause> {
        self.full = Want::DataOrRead(end);
        self.writer.starve();
        self.beat_idle();
        let came = self.arm(Want::Read(end));
        self.check_sendable(0)?;
        if came { Ok(()) } else { Err(Cause::Full) }
    }

    /// Room for a payload of `len` bytes that the user writes in place: in the ring, or in a block and a line for its name.
    /// Before it, in the ring, there is room for `head` bytes.
    #[inline(always)]
    pub(crate) fn claim(&mut self, head: usize, len: usize, patience: Patience) -> Result<Slot, Cause> {
        if len < self.send_below {
            self.check_ours()?;
            self.room(head + len, patience)
        } else {
            self.claim_block(head, len, patience)
        }
    }

    #[cold]
    #[inline(never)]
    fn claim_block(&mut self, head: usize, len: usize, patience: Patience) -> Result<Slot, Cause> {
        self.check_sendable(0)?;
        self.outgoing.claimed = Some(self.block_and_room(len as u64, head + Descriptor::BYTES, patience)?);
        Ok(Slot::elsewhere(len))
    }

    /// What was claimed, as it stands.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn claimed(&self, slot: Slot) -> &[u8] {
        if slot.is_elsewhere() { self.outgoing.payload(slot.len()) } else { self.writer.payload(slot) }
    }

    /// What was claimed, to be written in place.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn claimed_mut(&mut self, slot: Slot) -> &mut [u8] {
        if slot.is_elsewhere() { self.outgoing.payload_mut(slot.len()) } else { self.writer.payload_mut(slot) }
    }

    /// Gives up the claimed block, if there is one: an aborted claim, or one that was leaked.
    pub(crate) fn abort_claim(&mut self) {
        if let Some((block, _)) = self.outgoing.claimed.take() {
            self.outgoing.free(block);
        }
    }

    /// Commits the frame that names `block`, behind `head` bytes that stand in it already.
    fn finish_block(&mut self, slot: Slot, block: Block, label: Label, head: usize, len: usize, show: Show) {
        self.outgoing.commit(block);
        self.finish_told(slot, head, label, told_of(block, len, 0), show);
    }

    /// Commits the frame that ends with `told`, behind `before` bytes that stand in it already.
    fn finish_told(&mut self, slot: Slot, before: usize, label: Label, told: Descriptor, show: Show) {
        self.writer.fill(slot, before, &told.encode());
        let label = Label { form: label.form.in_block(), ..label };
        self.finish(slot, label, before + Descriptor::BYTES, told.len as usize, show);
    }

    /// Publishes every frame of `frames`, in groups as large as the ring has room for. Answers how many went out, or why
    /// not even one did.
    pub(crate) fn publish_batch<F: AsRef<[u8]>>(
        &mut self,
        frames: impl IntoIterator<Item = (u32, F)>,
        patience: Patience,
    ) -> Result<usize, Cause> {
        let mut sent = 0;
        for (type_id, payload) in frames {
            match self.publish(type_id, payload.as_ref(), Show::Later, patience) {
                Ok(()) => sent += 1,
                Err(cause) if sent == 0 => return Err(cause),
                Err(_) => break,
            }
        }
        self.flush()?;
        Ok(sent)
    }

    /// Shows the frames that were held back, and wakes the peer if it sleeps.
    pub(crate) fn flush(&mut self) -> Result<(), Cause> {
        self.check_ours()?;
        if self.writer.show_group() { self.stored(Reasons::DATA) } else { Ok(()) }
    }

    /// Room for a frame with `len` bytes of payload, which are no more than the inline limit.
    #[inline(always)]
    pub(crate) fn slot(&mut self, len: usize, patience: Patience) -> Result<Slot, Cause> {
        self.check_sendable(len)?;
        self.room(len, patience)
    }

    /// Room for a frame with `len` bytes, whatever the inline limit.
    #[inline(always)]
    fn room(&mut self, len: usize, patience: Patience) -> Result<Slot, Cause> {
        match self.writer.reserve(len) {
            Ok(slot) => Ok(slot),
            // Taken apart and put together again, so that the slot is never a struct in memory (see `Slot`).
            Err(no_room) => match self.slot_in_full_ring(len, no_room, patience) {
                Ok(slot) => Ok(slot),
                Err(cause) => Err(cause),
            },
        }
    }

    #[cold]
    #[inline(never)]
    fn slot_in_full_ring(&mut self, len: usize, mut no_room: NoRoom, patience: Patience) -> Result<Slot, Cause> {
        // The peer cannot make room by reading what it has not been shown.
        self.flush()?;
        self.stats.waits_for_room += 1;
        loop {
            let end = match no_room {
                NoRoom::Until(end) => end,
                NoRoom::Corrupt(violation) => return Err(self.corrupt(violation)),
            };
            match patience {
                Patience::None | Patience::OnlyToMake(_) => self.answer_full(end)?,
                Patience::Until(deadline) => self.wait(Want::Room(end), deadline)?,
            }
            self.take_back_drafts();
            match self.writer.reserve(len) {
                Ok(slot) => return Ok(slot),
                Err(still) => no_room = still,
            }
        }
    }

    /// Whether a frame with `len` bytes would leave `kept` bytes of the ring free; if not, `Full` as from any other call.
    #[inline]
    pub(crate) fn check_room(&mut self, len: usize, kept: u64) -> Result<(), Cause> {
        loop {
            let end = self.writer.end_of(len) + kept;
            match self.writer.is_free_until(end) {
                Ok(true) => return Ok(()),
                Ok(false) if self.take_back_drafts() => {}
                Ok(false) => self.answer_full(end)?,
                Err(violation) => return Err(self.corrupt(violation)),
            }
        }
    }

    /// `Full`, after all that such an answer owes: the reader is told, and the socket is looked at in its time.
    fn answer_full(&mut self, end: u64) -> Result<(), Cause> {
        self.full = Want::DataOrRoom(end);
        self.writer.starve();
        self.beat_idle();
        let came = self.arm(Want::Room(end));
        self.check_sendable(0)?;
        if came { Ok(()) } else { Err(Cause::Full) }
    }

    /// A block for a payload of `len` bytes that the user writes wherever he likes, with a line for its name; `kept` bytes of the
    /// ring stay free all the same.
    #[cfg(not(loom))]
    pub(crate) fn draft(&mut self, len: usize, kept: u64, patience: Patience) -> Result<Draft, Cause> {
        self.check_sendable(0)?;
        self.take_back_drafts();
        // What goes out now, with a pad before it, finds room beside all that is promised.
        let most =
            self.writer.size().bytes().saturating_sub(LINE + kept + 2 * frame_bytes(DEADLINE + self.inline_limit()));
        if self.writer.promised() + LINE > most.min(self.writer.size().bytes() / 4) {
            let which = "as many claims are open as the ring keeps lines for: commit or drop some, or make it longer";
            return Err(Cause::InvalidArgument { which });
        }
        let (block, _) = self.block_and_room(len as u64, TOLD_MAX, patience)?;
        self.writer.promise();
        Ok(self.outgoing.begin_draft(block, len))
    }

    /// Sends the first `used` bytes of a draft. Never waits. A draft that cannot be sent comes back; one that was sent can be
    /// [kept](crate::blocks::Outgoing::keep_sent), with the block that this answers.
    #[cfg(not(loom))]
    pub(crate) fn commit_draft(
        &mut self,
        mut draft: Draft,
        label: Label,
        head: &[u8],
        used: usize,
    ) -> Result<(Draft, Block), (Draft, Cause)> {
        debug_assert!(used <= draft.len() && head.len() + Descriptor::BYTES <= TOLD_MAX);
        if let Err(cause) = self.check_sendable(0) {
            return Err((draft, cause));
        }
        let Some(block) = self.outgoing.end_draft(&mut draft) else {
            let which = "a claim is sent by the end that it was made by";
            return Err((draft, Cause::InvalidArgument { which }));
        };
        self.outgoing.memory().settle(block);
        self.writer.redeem();
        let slot = self.writer.reserve(head.len() + Descriptor::BYTES).expect("a promised line is free");
        self.writer.fill(slot, 0, head);
        self.finish_block(slot, block, label, head.len(), used, Show::Now);
        Ok((draft, block))
    }

    /// Commits a `slot` that the user has held open, maybe across a fork, with `head` before the `used` bytes of his.
    #[inline(always)]
    pub(crate) fn commit(
        &mut self,
        slot: Slot,
        label: Label,
        head: &[u8],
        used: usize,
        show: Show,
    ) -> Result<(), Cause> {
        self.check_ours()?;
        if slot.is_elsewhere() {
            return self.commit_block(label, head, used, show);
        }
        self.writer.fill(slot, 0, head);
        self.finish(slot, label, head.len() + used, used, show);
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn commit_block(&mut self, label: Label, head: &[u8], used: usize, show: Show) -> Result<(), Cause> {
        let (block, slot) = self.outgoing.claimed.take().expect("an open claim of a block has one");
        self.outgoing.memory().settle(block);
        self.writer.fill(slot, 0, head);
        self.finish_block(slot, block, label, head.len(), used, show);
        Ok(())
    }

    /// Commits the first `used` bytes of `slot`, which stand for `payload` bytes, and wakes the peer if it sleeps and the frame is
    /// shown.
    ///
    /// This cannot fail: if the peer turns out to have broken the protocol, the next call says so.
    #[inline(always)]
    fn finish(&mut self, slot: Slot, label: Label, used: usize, payload: usize, show: Show) {
        self.writer.commit(slot, label, used, show);
        self.stats.frames_sent += 1;
        self.stats.bytes_sent += payload as u64;
        if show == Show::Later || self.stored(Reasons::DATA).is_ok() {
            self.beat();
        }
    }
}
