//! Payloads above the inline limit: blocks of our own arena on the way out, the peer's blocks on the way in.
//!
//! A block is found in what is free, then in what the peer has given back, then in a new region; only then is there
//! something to wait for. The frame that names it goes the way of every frame, so blocks keep their place in the stream.

mod growing;
mod told;

#[cfg(not(loom))]
pub(crate) use told::UNREAD_MAX;

use crate::arena::memory::Memory;
use crate::arena::{self, Arena, BLOCK_MIN, Block, NoBlock};
#[cfg(not(loom))]
use crate::drafts::{Draft, Drafts, Left, Sent};
use crate::error::{Cause, Violation};
use crate::layout::Descriptor;
use crate::returns::ReturnReader;
use crate::returns::held::{Bell, Held, PeerRegion, Returner, Shared};
use crate::ring::{Slot, Taken};
use crate::side::{Channel, News, Patience, Side, Want};
use crate::wait::now;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

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

    /// The longest payload that can be sent in a block, which is a power of two, or a region of its own.
    fn payload_max(self) -> u64 {
        let room = self.memory.min(self.region);
        if room < BLOCK_MIN { 0 } else { self.message.min(arena::payload_max(room)) }
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
    /// When a sleep began while blocks were out of memory that could be given back: they may come back without a bell.
    out_since: Option<Instant>,
    /// Something has come back since a block was last looked for: taken already, and so no longer to be seen in the ring.
    came_back: bool,
    /// Bytes of the longest block that has come back since the last region was made.
    pub(crate) longest_back: u64,
    /// Nothing more may be announced before the peer has taken more records than this.
    unseen: Option<u64>,
    /// Announcements that the peer may not have read: how many records had gone out behind each, itself included.
    unread: VecDeque<u64>,
    /// When what could not be announced, or found no memory, is to be tried again.
    try_again: Option<Instant>,
    /// Regions that are no memory, with their bytes.
    spilled: Vec<(u32, u64)>,
}

/// The peer's arena: its regions by their ids, and the way back.
#[derive(Debug)]
pub(crate) struct Incoming {
    returner: Arc<Returner>,
    regions: Vec<Option<Shared<PeerRegion>>>,
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
            out_since: None,
            came_back: false,
            longest_back: 0,
            unseen: None,
            unread: VecDeque::new(),
            try_again: None,
            spilled: Vec::new(),
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

    /// Frees the blocks of drafts that were dropped, and of what was sent and is looked at no more. How many lines were kept for
    /// them, or `None` if there were none.
    #[cfg(not(loom))]
    fn take_dropped_drafts(&mut self) -> Option<usize> {
        let dropped = self.drafts.take_dropped();
        let mut lines = 0;
        for &left in &dropped {
            match left {
                Left::Unsent(block) => {
                    self.arena.free(block);
                    lines += 1;
                }
                Left::Sent(entry) => {
                    if self.drafts.let_go(entry) {
                        let free = self.arena.give_back(entry);
                        debug_assert!(free.is_ok(), "what is looked at is out");
                    }
                }
            }
        }
        if dropped.is_empty() { None } else { Some(lines) }
    }

    #[cfg(loom)]
    fn take_dropped_drafts(&mut self) -> Option<usize> {
        None
    }

    /// The peer gives back what `entry` names.
    fn give_back(&mut self, entry: u64) -> Result<(), Violation> {
        #[cfg(not(loom))]
        if self.drafts.is_seen(entry)? {
            return Ok(());
        }
        let out = self.arena.usage().bytes_out;
        self.arena.give_back(entry)?;
        self.longest_back = self.longest_back.max(out - self.arena.usage().bytes_out);
        Ok(())
    }

    /// Whether drafts are open, or looked at after they were sent: threads that know nothing of this side's sleep can drop them.
    pub(crate) fn has_drafts(&self) -> bool {
        #[cfg(not(loom))]
        let open = self.drafts.open() > 0;
        #[cfg(loom)]
        let open = false;
        open
    }

    /// Whether there is a reason to look for a block again: something has come back, or the peer, which says that it has taken
    /// `seen` records, has caught up, or an announcement is to be tried again.
    pub(crate) fn has_news(&self, seen: u64) -> bool {
        self.came_back
            || self.has_dropped_drafts()
            || self.returns.has_some()
            || self.unseen.is_some_and(|unseen| unseen != seen)
            || self.try_again.is_some_and(|at| now() >= at)
    }

    /// Before a look for a block: what is news from here on comes later.
    fn begin_look(&mut self) {
        (self.came_back, self.unseen, self.try_again) = (false, None, None);
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
                    self.spilled.retain(|(spilled, _)| *spilled != id);
                }
                None => self.give_back(entry)?,
            }
        }
        self.came_back |= some;
        Ok(some)
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

    /// The block of a draft that is sent now; `None` if it is not of this side.
    #[cfg(not(loom))]
    pub(crate) fn end_draft(&mut self, draft: &mut Draft) -> Option<Block> {
        if self.drafts.has(draft) { Some(self.drafts.end(draft)) } else { None }
    }

    /// What was just sent in `block` goes on being looked at.
    #[cfg(not(loom))]
    pub(crate) fn keep_sent(&mut self, draft: Draft, block: Block) -> Sent {
        self.drafts.keep(draft, Arena::entry(block))
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

    fn region(&self, id: u32) -> Option<&Shared<PeerRegion>> {
        self.regions.get(id as usize)?.as_ref()
    }

    /// What a descriptor names, once its region is known.
    fn held(&self, told: Descriptor, region: &Shared<PeerRegion>) -> Result<Held, Violation> {
        let fits = told.offset < region.len() && told.len <= region.len() - told.offset;
        if !fits || !told.offset.is_multiple_of(BLOCK_MIN) || told.len > self.message_max {
            return Err(Violation::Descriptor);
        }
        let entry = arena::entry(told.region, (told.offset / BLOCK_MIN) as u32, told.generation);
        Ok(Held::new(
            Shared::clone(region),
            told.offset as usize,
            told.len as usize,
            entry.ok_or(Violation::Descriptor)?,
        ))
    }
}

impl<C: Channel> Side<C> {
    /// The longest payload that can be sent, in the ring or in a block.
    pub(crate) fn payload_max(&self) -> u64 {
        self.longest(self.outgoing.limits)
    }

    /// The longest payload within `limits`, or in no memory at all.
    fn longest(&self, limits: Limits) -> u64 {
        let most = if self.channel().may_spill() { limits.message } else { limits.payload_max() };
        most.max(self.inline_limit() as u64)
    }

    /// The longest request: blocks of requests leave an eighth of the memory to replies.
    pub(crate) fn request_max(&self) -> u64 {
        let limits = self.outgoing.limits;
        let share = Limits { memory: limits.memory / 8 * 7, ..limits };
        self.longest(share)
    }

    /// Whether a request of `len` bytes may have a block now; if not, `Full` as from any other call.
    #[cold]
    pub(crate) fn check_request_block(&mut self, len: usize) -> Result<(), Cause> {
        let (len, max) = (len as u64, self.request_max());
        if len > max {
            return Err(Cause::TooLarge { len, max });
        }
        if self.channel().may_spill() {
            // Replies find a block however many are out, so nothing is kept for them.
            return Ok(());
        }
        let share = self.outgoing.limits.memory / 8 * 7;
        // One that was dropped or leaked: nothing else can be done while a claim is open.
        self.abort_claim();
        loop {
            self.outgoing.begin_look();
            if self.outgoing.arena.usage().bytes_out + arena::least_for(len) <= share {
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
                if self.one_comes_back_soon(len, patience)? {
                    continue;
                }
            }
            if self.grow(no_block, len, patience)? {
                continue;
            }
            // A region that is too long is better than none.
            if matches!(no_block, NoBlock::Whole { .. })
                && let Ok(block) = self.outgoing.arena.alloc_whole(len, true)
            {
                return Ok(block);
            }
            match patience {
                Patience::None | Patience::OnlyToMake(_) => self.answer_no_block()?,
                Patience::Until(deadline) => self.wait(Want::Block, deadline)?,
            }
        }
    }

    /// Frees the blocks and the lines of drafts that were dropped. Whether there were some.
    pub(crate) fn take_back_drafts(&mut self) -> bool {
        let Some(lines) = self.outgoing.take_dropped_drafts() else { return false };
        for _ in 0..lines {
            self.writer.redeem();
        }
        true
    }

    /// `Full`, after all that such an answer owes. `Ok` means: look again.
    pub(crate) fn answer_no_block(&mut self) -> Result<(), Cause> {
        self.full = Want::DataOrBlock;
        self.beat_idle();
        let came = self.arm(Want::Block);
        self.check_sendable(0)?;
        if came { Ok(()) } else { Err(Cause::Full) }
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
