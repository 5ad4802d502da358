//! Payloads above the inline limit: blocks of our own arena on the way out, the peer's blocks on the way in.
//!
//! A block is found in what is free, then in what the peer has given back, then in a new region; only then is there
//! something to wait for. The frame that names it goes the way of every frame, so blocks keep their place in the stream.

mod told;

#[cfg(not(loom))]
pub(crate) use told::UNREAD_MAX;

use crate::arena::memory::Memory;
use crate::arena::{self, Arena, BLOCK_MIN, Block, NoBlock};
use crate::deadline::Deadline;
#[cfg(not(loom))]
use crate::drafts::{Draft, Drafts};
use crate::error::{Cause, Violation};
use crate::layout::Descriptor;
use crate::returns::ReturnReader;
use crate::returns::held::{Bell, Held, PeerRegion, Returner};
use crate::ring::{Slot, Taken};
use crate::side::{Channel, News, Patience, Side, Want};
use crate::wait::now;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The smallest region: what a side that has outgrown the ring is likely to need soon, made in a millisecond or two.
const FIRST_REGION: u64 = 4 << 20;

/// The largest region that is made before it is needed at that size.
const DOUBLE_UP_TO: u64 = 256 << 20;

/// How long a sender waits for a block to come back before it makes a new region: a few times what a reader of the longest
/// common blocks takes for one. Without it a stream of 256 KiB went through 67 MiB of blocks at half the rate (33 us a block
/// instead of 14).
const GROW_AFTER: Duration = Duration::from_micros(200);

/// How long a region is idle before it is given back.
const IDLE: Duration = Duration::from_secs(1);

/// What may be sent in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The longest payload, in bytes.
    pub(crate) message: u64,
    /// The sum of all regions, in bytes.
    pub(crate) memory: u64,
    /// The longest region, in bytes.
    pub(crate) region: u64,
    /// How many regions there may be at once.
    pub(crate) regions: u32,
}

impl Limits {
    /// What both allow.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            message: self.message.min(other.message),
            memory: self.memory.min(other.memory),
            region: self.region.min(other.region),
            regions: self.regions.min(other.regions),
        }
    }

    /// The same, as far as whole pages of `page` bytes go: a region has no part of one.
    pub(crate) fn in_pages(self, page: u64) -> Self {
        let whole = |bytes: u64| bytes - bytes % page;
        Self { memory: whole(self.memory), region: whole(self.region), ..self }
    }

    /// The longest payload that can be sent in a block: blocks are powers of two, and one is not longer than a region.
    fn payload_max(self) -> u64 {
        let room = self.memory.min(self.region);
        if room < BLOCK_MIN { 0 } else { self.message.min(1 << room.ilog2()) }
    }
}

/// Our own arena: its bookkeeping, its memory, and what comes back.
#[derive(Debug)]
pub(crate) struct Outgoing {
    arena: Arena,
    returns: ReturnReader,
    memory: Memory,
    limits: Limits,
    /// The block of the open claim, with the line that will name it.
    pub(crate) claimed: Option<(Block, Slot)>,
    #[cfg(not(loom))]
    drafts: Drafts,
    /// A region in which nothing is out, and since when.
    idle: Option<(u32, Instant)>,
    /// Something has come back since a block was last looked for: taken already, and so no longer to be seen in the ring.
    came_back: bool,
    /// Nothing more may be announced before the peer has taken more records than this.
    unseen: Option<u64>,
    /// Announcements that the peer may not have read: how many records had gone out behind each, itself included.
    unread: VecDeque<u64>,
}

/// The peer's arena: its regions by their ids, and the way back.
#[derive(Debug)]
pub(crate) struct Incoming {
    returner: Arc<Returner>,
    regions: Vec<Option<Arc<PeerRegion>>>,
    /// Records that were taken, bells aside.
    records: u64,
    /// The longest payload that we told the peer to send.
    message_max: u64,
}

impl Outgoing {
    /// `entries`: how many blocks may be out at once. `window`: bytes of memory that are preferred to the rest.
    pub(crate) fn new(
        returns: ReturnReader,
        entries: u32,
        window: u64,
        limits: Limits,
        #[cfg_attr(loom, expect(unused_variables, reason = "drafts hand out plain bytes, which a model has not"))]
        bell: Arc<dyn Bell>,
    ) -> Self {
        Self {
            #[cfg(not(loom))]
            drafts: Drafts::new(bell),
            arena: Arena::new(entries, window),
            returns,
            memory: Memory::default(),
            limits,
            claimed: None,
            idle: None,
            came_back: false,
            unseen: None,
            unread: VecDeque::new(),
        }
    }

    /// Whether a draft was dropped whose block and line are to be had.
    pub(crate) fn has_dropped_drafts(&self) -> bool {
        #[cfg(not(loom))]
        let dropped = self.drafts.has_dropped();
        #[cfg(loom)]
        let dropped = false;
        dropped
    }

    /// Frees the blocks of drafts that were dropped, and answers how many.
    fn take_dropped_drafts(&mut self) -> usize {
        #[cfg(not(loom))]
        let dropped = self.drafts.take_dropped();
        #[cfg(loom)]
        let dropped: [Block; 0] = [];
        for &block in &dropped {
            self.arena.free(block);
        }
        dropped.len()
    }

    /// Whether drafts are open: threads that know nothing of this side's sleep can drop them.
    pub(crate) fn has_drafts(&self) -> bool {
        #[cfg(not(loom))]
        let open = self.drafts.open() > 0;
        #[cfg(loom)]
        let open = false;
        open
    }

    /// Whether there is a reason to look for a block again: something has come back, or the peer, which says that it has taken
    /// `seen` records, has caught up.
    pub(crate) fn has_news(&self, seen: u64) -> bool {
        self.came_back
            || self.has_dropped_drafts()
            || self.returns.has_some()
            || self.unseen.is_some_and(|unseen| unseen != seen)
    }

    /// Before a look for a block: what is news from here on comes later.
    fn begin_look(&mut self) {
        (self.came_back, self.unseen) = (false, None);
    }

    /// How long a sleep may be before [idle memory](Side::give_idle_memory_back) is due; `None` if there is none.
    pub(crate) fn housekeeping_in(&self) -> Option<Duration> {
        self.idle.map(|(_, since)| IDLE.saturating_sub(now() - since))
    }

    pub(crate) fn usage(&self) -> arena::Usage {
        self.arena.usage()
    }

    /// Takes everything that has come back. Whether there was something.
    fn collect(&mut self) -> Result<bool, Violation> {
        let mut some = false;
        while let Some(entry) = self.returns.take()? {
            some = true;
            match arena::forgotten_region(entry) {
                Some(id) => {
                    self.arena.forgotten(id)?;
                    self.memory.forget(id);
                }
                None => self.arena.give_back(entry)?,
            }
        }
        self.came_back |= some;
        Ok(some)
    }

    /// How large the next region is to be so that a block of `needed` bytes fits; `None` where the limits forbid it.
    fn next_region(&self, needed: u64) -> Option<u64> {
        let usage = self.arena.usage();
        if usage.regions >= self.limits.regions {
            return None;
        }
        let left = self.limits.memory.saturating_sub(usage.bytes).min(self.limits.region);
        let doubled = usage.bytes.next_power_of_two().clamp(FIRST_REGION, DOUBLE_UP_TO).max(needed);
        let most = if left == 0 { 0 } else { 1 << left.ilog2() };
        let bytes = doubled.min(most);
        (bytes >= needed).then_some(bytes)
    }

    /// The memory that blocks lie in.
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The first `len` bytes of the claimed block.
    #[cfg(not(loom))]
    pub(crate) fn payload(&self, len: usize) -> &[u8] {
        self.memory.payload(self.claimed_block(), len)
    }

    /// As [`payload`](Self::payload), to be written in place.
    #[cfg(not(loom))]
    pub(crate) fn payload_mut(&mut self, len: usize) -> &mut [u8] {
        self.memory.payload_mut(self.claimed_block(), len)
    }

    #[cfg(not(loom))]
    fn claimed_block(&self) -> Block {
        self.claimed.expect("an open claim of a block has one").0
    }

    /// The block is about to be named by a frame.
    pub(crate) fn commit(&mut self, block: Block) {
        self.arena.commit(block);
    }

    /// A draft of `len` bytes in `block`.
    #[cfg(not(loom))]
    pub(crate) fn begin_draft(&mut self, block: Block, len: usize) -> Draft {
        let piece = self.memory.piece(block, len);
        self.drafts.begin(block, piece)
    }

    /// The block of a draft that is sent now; the draft itself if it is not of this side.
    #[cfg(not(loom))]
    pub(crate) fn end_draft(&mut self, draft: Draft) -> Result<Block, Draft> {
        if self.drafts.has(&draft) { Ok(self.drafts.end(draft)) } else { Err(draft) }
    }

    /// Gives up a block that was never sent.
    pub(crate) fn free(&mut self, block: Block) {
        self.arena.free(block);
    }
}

impl Incoming {
    pub(crate) fn new(returner: Arc<Returner>, message_max: u64) -> Self {
        Self { returner, regions: Vec::new(), records: 0, message_max }
    }

    pub(crate) fn returner(&self) -> &Returner {
        &self.returner
    }

    /// Acts on what came over the socket. Ids ascend: one that was used before is no news.
    fn take(&mut self, news: News) -> Result<(), Violation> {
        match news {
            News::Region { id, span } => {
                if id as usize != self.regions.len() {
                    return Err(Violation::Region);
                }
                self.regions.push(Some(PeerRegion::new(id, span, Arc::clone(&self.returner))));
            }
            News::Forget { id } => {
                let region = self.regions.get_mut(id as usize).and_then(Option::take).ok_or(Violation::Region)?;
                region.forget();
            }
            News::Object => {}
        }
        self.records += 1;
        Ok(())
    }

    fn region(&self, id: u32) -> Option<&Arc<PeerRegion>> {
        self.regions.get(id as usize)?.as_ref()
    }

    /// What a descriptor names, once its region is known.
    fn held(&self, told: Descriptor, region: &Arc<PeerRegion>) -> Result<Held, Violation> {
        let fits = told.offset < region.len() && told.len <= region.len() - told.offset;
        if !fits || !told.offset.is_multiple_of(BLOCK_MIN) || told.len > self.message_max {
            return Err(Violation::Descriptor);
        }
        let entry = arena::entry(told.region, (told.offset / BLOCK_MIN) as u32, told.generation);
        Ok(Held::new(Arc::clone(region), told.offset as usize, told.len as usize, entry.ok_or(Violation::Descriptor)?))
    }
}

impl<C: Channel> Side<C> {
    /// The longest payload that can be sent, in the ring or in a block.
    pub(crate) fn payload_max(&self) -> u64 {
        self.outgoing.limits.payload_max().max(self.inline_limit() as u64)
    }

    /// The longest request: blocks of requests leave an eighth of the memory to replies.
    pub(crate) fn request_max(&self) -> u64 {
        let limits = self.outgoing.limits;
        let share = Limits { memory: limits.memory / 8 * 7, ..limits };
        share.payload_max().max(self.inline_limit() as u64)
    }

    /// Whether a request of `len` bytes may have a block now; if not, `Full` as from any other call.
    #[cold]
    pub(crate) fn check_request_block(&mut self, len: usize) -> Result<(), Cause> {
        let (len, max) = (len as u64, self.request_max());
        if len > max {
            return Err(Cause::TooLarge { len, max });
        }
        let share = self.outgoing.limits.memory / 8 * 7;
        // One that was dropped or leaked: nothing else can be done while a claim is open.
        self.abort_claim();
        loop {
            self.outgoing.begin_look();
            if self.outgoing.arena.usage().bytes_out + len.next_power_of_two() <= share {
                return Ok(());
            }
            if self.take_back_drafts() {
                continue;
            }
            match self.outgoing.collect() {
                Ok(true) => {}
                Ok(false) => self.answer_no_block()?,
                Err(violation) => return Err(self.corrupt(violation)),
            }
        }
    }

    /// A block for a payload of `len` bytes.
    pub(crate) fn block(&mut self, len: u64, patience: Patience) -> Result<Block, Cause> {
        let max = self.payload_max();
        if len > max {
            return Err(Cause::TooLarge { len, max });
        }
        // One that was dropped or leaked: nothing else can be done while a claim is open.
        self.abort_claim();
        let mut waited = false;
        loop {
            self.outgoing.begin_look();
            let no_block = match self.outgoing.arena.alloc(len) {
                Ok(block) => return Ok(block),
                Err(no_block) => no_block,
            };
            if self.take_back_drafts() {
                continue;
            }
            match self.outgoing.collect() {
                Ok(true) => continue,
                Ok(false) => {}
                Err(violation) => return Err(self.corrupt(violation)),
            }
            if !waited {
                waited = true;
                // The peer cannot give back what it has not been shown.
                self.flush()?;
                self.stats.waits_for_room += 1;
                if self.one_comes_back_soon(patience)? {
                    continue;
                }
            }
            if let NoBlock::Region { needed } = no_block
                && self.grow(needed, patience)?
            {
                continue;
            }
            match patience {
                Patience::None => self.answer_no_block()?,
                Patience::Until(deadline) => self.wait(Want::Block, deadline)?,
            }
        }
    }

    /// Frees the blocks and the lines of drafts that were dropped. Whether there were some.
    pub(crate) fn take_back_drafts(&mut self) -> bool {
        let dropped = self.outgoing.take_dropped_drafts();
        for _ in 0..dropped {
            self.writer.redeem();
        }
        dropped > 0
    }

    /// Before the arena grows: whether a block comes back in a moment. A sender that is faster than its reader would else take
    /// ever more memory instead of its turn.
    fn one_comes_back_soon(&mut self, patience: Patience) -> Result<bool, Cause> {
        let Patience::Until(deadline) = patience else { return Ok(false) };
        if self.outgoing.arena.usage().blocks_out == 0 {
            return Ok(false);
        }
        match self.wait(Want::Block, deadline.min(Deadline::after(GROW_AFTER))) {
            Ok(()) => Ok(true),
            Err(Cause::Timeout) => Ok(false),
            Err(cause) => Err(cause),
        }
    }

    /// `Full`, after all that such an answer owes. `Ok` means: look again.
    pub(crate) fn answer_no_block(&mut self) -> Result<(), Cause> {
        self.full = Want::DataOrBlock;
        self.beat_idle();
        let came = self.arm(Want::Block);
        self.check_sendable(0)?;
        if came { Ok(()) } else { Err(Cause::Full) }
    }

    /// Makes one more region, if the limits allow it and the peer keeps up with them. Whether it did.
    #[cold]
    fn grow(&mut self, needed: u64, patience: Patience) -> Result<bool, Cause> {
        let id = self.outgoing.memory.regions() as u64;
        let Some(bytes) = self.outgoing.next_region(needed) else { return Ok(false) };
        if id > u64::from(arena::REGION_MAX) {
            // Ids are never used again, and these are all.
            return Err(Cause::OutOfMemory);
        }
        let seen = self.peer_seen();
        if !self.may_announce(seen)? {
            return Ok(false);
        }
        let deadline = match patience {
            Patience::None => Deadline::NEVER,
            Patience::Until(deadline) => deadline,
        };
        let Some(span) = self.channel_mut().make_region(id as u32, bytes, deadline)? else {
            self.await_reading(seen);
            return Ok(false);
        };
        self.announced();
        self.outgoing.memory.add(span);
        self.outgoing.arena.add_region(id as u32, bytes);
        Ok(true)
    }

    /// Takes what has come back, and gives a region back in which nothing has been out for a while. The peer unmaps it and
    /// confirms; until then it counts.
    pub(crate) fn trim(&mut self) -> Result<(), Violation> {
        self.take_back_drafts();
        self.outgoing.collect()?;
        let now = now();
        match (self.outgoing.arena.idle_region(), self.outgoing.idle) {
            (None, _) => self.outgoing.idle = None,
            (Some(id), Some((known, since))) if id == known => {
                if now - since >= IDLE && self.forget(id) {
                    self.outgoing.idle = None;
                }
            }
            (Some(id), _) => self.outgoing.idle = Some((id, now)),
        }
        Ok(())
    }

    /// Whether the peer could be told that region `id` is to go.
    fn forget(&mut self, id: u32) -> bool {
        let told = self.channel_mut().forget_region(id);
        if told {
            self.outgoing.arena.retire(id);
        }
        told
    }

    /// Before a sleep: whatever memory is idle now is given back during the sleep, if that is long.
    pub(crate) fn note_idle_memory(&mut self) -> Result<(), Cause> {
        if self.outgoing.arena.usage().regions < 2 {
            return Ok(());
        }
        self.trim().map_err(|violation| self.corrupt(violation))
    }

    /// After a second of sleep: gives back all that is idle, so that nothing has to wake up for it again.
    pub(crate) fn give_idle_memory_back(&mut self) -> Result<(), Cause> {
        if self.outgoing.housekeeping_in() != Some(Duration::ZERO) {
            return Ok(());
        }
        if let Err(violation) = self.outgoing.collect() {
            return Err(self.corrupt(violation));
        }
        self.outgoing.idle = None;
        while let Some(id) = self.outgoing.arena.idle_region() {
            if !self.forget(id) {
                self.outgoing.idle = Some((id, now()));
                break;
            }
        }
        Ok(())
    }

    /// Learns of what was announced since.
    pub(crate) fn take_news(&mut self) -> Result<(), Violation> {
        while let Some(news) = self.channel_mut().news() {
            self.incoming.take(news)?;
            self.tell_seen(self.incoming.records);
        }
        Ok(())
    }

    /// The block that a frame names. A region that is not known yet has been announced before: the socket tells.
    pub(crate) fn resolve(&mut self, frame: Taken, told: Descriptor) -> Result<Held, Cause> {
        if self.incoming.region(told.region).is_none() {
            self.learn_for(frame)?;
        }
        let held = match self.incoming.region(told.region) {
            Some(region) => self.incoming.held(told, region),
            None => Err(Violation::Region),
        };
        match held {
            Ok(held) => {
                self.count_payload(frame, held.len());
                Ok(held)
            }
            Err(violation) => Err(self.corrupt(violation)),
        }
    }
}
