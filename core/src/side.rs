//! One side of a session: its ring to write, the peer's to read, and the one place in which it waits.
//!
//! Everything above works on a [`Side`]: it publishes and takes frames, and it waits, for frames or for room, with a
//! deadline, until the peer is gone. What differs between the product and the models is behind [`Channel`]: how to ring, how to
//! sleep, what came over the socket, and the barrier. So the models run the waiting that ships.

mod counting;
mod polling;
mod waiting;

pub(crate) use polling::Rest;
#[cfg(not(loom))]
pub(crate) use waiting::NAP;

use crate::blocks::{Incoming, Limits, Outgoing};
use crate::deadline::Deadline;
use crate::error::{Cause, Violation};
use crate::layout::{CLOSE, Geometry, SEEN};
use crate::observe::{Counts, State, Stats};
use crate::park::{Parking, Reasons, Waker};
use crate::returns::held::{Bell, Returner};
use crate::returns::{ReturnReader, ReturnWriter};
use crate::ring::{Reader, Taken, Writer};
use crate::span::{ReadHeader, ReadSpan, WriteHeader, WriteSpan};
use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::wait::{Budget, Pulse, Sleeps, Turns, Wait};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

/// What a side needs of the connection beside the memory.
pub(crate) trait Channel {
    /// Wakes the peer. A bell that is already ringing is not an error, and neither is a peer that is gone: the next look
    /// tells that.
    fn ring(&self);

    /// How any thread of this side wakes the peer.
    fn bell(&self) -> Arc<dyn Bell>;

    /// Sleeps until something is to be heard or `time` has passed (`None`: no limit). Whether there is something to hear.
    fn sleep(&mut self, time: Option<Duration>) -> Result<bool, Cause>;

    /// Reads everything that has come, without waiting.
    fn hear(&mut self) -> Heard;

    /// What came with it, record by record in their order: regions that are mapped, or to be forgotten, and objects.
    fn news(&mut self) -> Option<News>;

    /// How many records, bells aside, have gone out to the peer from any thread of this side.
    fn said(&self) -> u64;

    /// Nobody looks at frames before `position` any more: what was to go with them goes.
    fn passed(&mut self, position: u64);

    /// Everything that the peer ever said has been read.
    fn all_read(&mut self);

    /// Whether regions can be made that are no memory.
    fn may_spill(&self) -> bool;

    /// Makes region `id` of our arena and announces it. `None`: the peer has to read its socket first.
    fn make_region(
        &mut self,
        id: u32,
        bytes: u64,
        kind: RegionKind,
        deadline: Deadline,
    ) -> Result<Option<WriteSpan>, Cause>;

    /// Tells the peer to forget a region of ours. Whether the record went out.
    fn forget_region(&mut self, id: u32) -> bool;

    /// Adds what is counted here, and not by the side.
    fn count(&self, _stats: &mut Stats) {}

    /// The session has come to a calm moment, with so much done by either side, as far as that is shown: for whoever observes it.
    fn note(&self, _counts: &Counts) {}

    /// A full fence on every running thread of the peer; false if it cannot be had.
    fn barrier(&self) -> bool;

    /// Whether this object still belongs to this process.
    fn is_ours(&self) -> bool;
}

/// What came over the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) bells: u64,
    /// The peer's end is shut: goodbye or death, which its close word tells apart.
    pub(crate) hung_up: bool,
    pub(crate) violation: Option<Violation>,
    /// A region was announced that cannot be taken for want of memory or descriptors. It stays announced.
    pub(crate) starved: bool,
}

/// Where a region of ours is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RegionKind {
    /// In memory, of which there is as much as both sides allow.
    Memory,
    /// In a file, where this side has a directory for it and the peer takes such regions.
    Spill,
}

/// What a record told.
#[derive(Debug)]
pub(crate) enum News {
    Region {
        id: u32,
        span: ReadSpan,
    },
    Forget {
        id: u32,
    },
    /// Of a shared object, which is the channel's business.
    Object,
}

/// What a wait is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// A frame to take.
    Data,
    /// Room for a frame that ends at this position.
    Room(u64),
    /// That the peer has read up to this position.
    Read(u64),
    /// That a block of our arena has come back.
    Block,
    /// A frame to take, or room: whoever calls keeps reading.
    DataOrRoom(u64),
    /// A frame to take, or a block.
    DataOrBlock,
    /// A frame to take, or that the peer has read up to this position.
    DataOrRead(u64),
}

impl Want {
    fn reasons(self) -> Reasons {
        match self {
            Self::Data => Reasons::DATA,
            Self::Room(_) | Self::Read(_) => Reasons::ROOM,
            Self::Block => Reasons::BLOCKS,
            Self::DataOrRoom(_) | Self::DataOrRead(_) => Reasons::DATA.or(Reasons::ROOM),
            Self::DataOrBlock => Reasons::DATA.or(Reasons::BLOCKS),
        }
    }
}

/// How a call that may have to wait is to behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Answer `Empty` or `Full` at once.
    None,
    /// The same, but memory that has to be made for it may take until then.
    OnlyToMake(Deadline),
    /// Wait, at most until then.
    Until(Deadline),
}

impl Patience {
    /// For a step of a call that waits elsewhere: it reads and serves meanwhile, which a wait in this step would keep it from.
    pub(crate) fn elsewhere(self) -> Self {
        match self {
            Self::Until(deadline) => Self::OnlyToMake(deadline),
            other => other,
        }
    }

    /// The same, until `piece` at the latest.
    pub(crate) fn at_most(self, piece: Deadline) -> Self {
        match self {
            Self::Until(deadline) => Self::Until(deadline.min(piece)),
            other => other,
        }
    }

    /// For whoever found something else than it waits for: [`Cause::Timeout`] once the deadline has passed.
    #[cold]
    pub(crate) fn check(self) -> Result<(), Cause> {
        match self {
            Self::Until(deadline) if deadline.has_passed() => Err(Cause::Timeout),
            _ => Ok(()),
        }
    }
}

/// The answer to whatever would send while a claim is set aside.
const CLAIM_OPEN: Cause = Cause::InvalidArgument { which: "a claim is open on this end: commit or abort it first" };

/// One side of a session.
#[derive(Debug)]
pub(crate) struct Side<C> {
    pub(crate) writer: Writer,
    pub(crate) reader: Reader,
    pub(crate) stats: Stats,
    pub(crate) outgoing: Outgoing,
    pub(crate) incoming: Incoming,
    /// A frame that was taken and names a region that could not be mapped yet.
    pub(crate) unresolved: Option<Taken>,
    header: WriteHeader,
    peer: ReadHeader,
    parking: Parking,
    waker: Waker,
    channel: C,
    pub(crate) strategy: Wait,
    budget: Budget,
    turns: Turns,
    pulse: Pulse,
    /// Why the session is over, once it is.
    over: Option<Cause>,
    /// An announced region could not be taken at the last look.
    starved: bool,
    /// Something came over the socket that has not been read.
    unheard: bool,
    /// What the last answer `Full` was for, or a frame.
    pub(crate) full: Want,
    /// A foreign event loop watches the descriptor.
    watched: Cell<bool>,
    sleeps: Sleeps,
    /// The peer is asked to fence for as long as sleeps are frequent, and by nobody for good.
    fenced_for_now: Cell<bool>,
    one_cpu: bool,
    inline_limit: usize,
    /// Payloads shorter than this may be sent; none once the session is over, or while a claim is set aside. (One comparison
    /// for all.)
    pub(crate) send_below: usize,
    /// A claim is open whose holder has no borrow of this side, so that nothing may be sent before it is dealt with.
    set_aside: bool,
    /// Frames received when the last wait for one began.
    received_before: u64,
    /// Whether counters are shown.
    counts: bool,
    /// Frames received when the counters were last shown.
    shown_at: Cell<u64>,
}

/// What the handshake settled, and what the user chose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) strategy: Wait,
    /// The barrier cannot be had: both sides are to fence.
    pub(crate) fences: bool,
    /// Both sides run on the same single processor.
    pub(crate) one_cpu: bool,
    /// The longest payload that this end puts into its ring, in bytes, if the ring is large enough.
    pub(crate) inline_limit: usize,
    /// What this end may send in blocks.
    pub(crate) limits: Limits,
    /// The longest payload that this end accepts.
    pub(crate) message_max: u64,
    /// Bytes of arena that are preferred to the rest.
    pub(crate) window: u64,
    /// Whether this end shows what it counts.
    pub(crate) counts: bool,
}

/// The pieces of one side's outbox.
#[derive(Debug)]
pub(crate) struct Outbox<S> {
    pub(crate) header: S,
    pub(crate) ring: S,
    pub(crate) returns: S,
    pub(crate) geometry: Geometry,
}

impl<C: Channel> Side<C> {
    pub(crate) fn new(mine: Outbox<WriteSpan>, theirs: Outbox<ReadSpan>, channel: C, terms: Terms) -> Self {
        let (header, peer) = (mine.header, theirs.header);
        let writer = Writer::new(header.clone(), mine.ring, peer.clone(), mine.geometry.ring);
        let reader = Reader::new(header.clone(), theirs.ring, peer.clone(), theirs.geometry.ring);
        let parking = Parking::new(header.clone(), terms.fences);
        let waker = Waker::new(peer.clone());
        let returns = ReturnWriter::new(header.clone(), mine.returns, mine.geometry.returns());
        let returner = Arc::new(Returner::new(returns, waker.clone(), channel.bell()));
        let incoming = Incoming::new(returner, terms.message_max);
        let entries = theirs.geometry.returns();
        let returns = ReturnReader::new(peer.clone(), theirs.returns, entries);
        let outgoing = Outgoing::new(returns, entries, terms.window, terms.limits, channel.bell());
        let inline_limit = terms.inline_limit.min(writer.payload_max());
        Self {
            writer,
            reader,
            outgoing,
            incoming,
            unresolved: None,
            stats: Stats::default(),
            parking,
            waker,
            header: WriteHeader::new(header),
            peer: ReadHeader::new(peer),
            channel,
            strategy: terms.strategy,
            budget: Budget::new(terms.one_cpu),
            turns: Turns::new(),
            pulse: Pulse::new(),
            over: None,
            starved: false,
            unheard: false,
            full: Want::Data,
            watched: Cell::new(false),
            sleeps: Sleeps::default(),
            fenced_for_now: Cell::new(false),
            one_cpu: terms.one_cpu,
            inline_limit,
            send_below: inline_limit + 1,
            set_aside: false,
            received_before: 0,
            counts: terms.counts,
            shown_at: Cell::new(0),
        }
    }

    pub(crate) fn channel(&self) -> &C {
        &self.channel
    }

    /// The state as last seen; a look at the socket may find that the peer is gone.
    pub(crate) fn state(&mut self) -> State {
        if self.over.is_none() && self.channel.is_ours() {
            self.attend();
        }
        match self.over {
            None => State::Open,
            Some(Cause::Closed) => State::Closed,
            Some(Cause::PeerDied) => State::PeerDied,
            Some(_) => State::Corrupt,
        }
    }

    /// Whether this end may be used at all: the first thing that every call asks.
    #[inline]
    pub(crate) fn check_ours(&self) -> Result<(), Cause> {
        if self.channel.is_ours() { Ok(()) } else { Err(Cause::Forked) }
    }

    /// As [`check_ours`](Self::check_ours), for calls that send `len` bytes: there is no use in sending to a peer that is
    /// gone.
    #[inline]
    pub(crate) fn check_sendable(&self, len: usize) -> Result<(), Cause> {
        self.check_ours()?;
        if len < self.send_below { Ok(()) } else { Err(self.why_not_send(len)) }
    }

    #[cold]
    #[inline(never)]
    fn why_not_send(&self, len: usize) -> Cause {
        match self.over {
            Some(cause) => cause,
            None if self.set_aside => CLAIM_OPEN,
            None => Cause::TooLarge { len: len as u64, max: self.inline_limit as u64 },
        }
    }

    /// A claim stays open without a borrow: until it is [taken up](Self::take_up) nothing else may be sent.
    #[cfg(not(loom))]
    pub(crate) fn set_aside(&mut self) {
        self.set_aside = true;
        self.send_below = 0;
    }

    /// Takes up the claim that was set aside.
    #[cfg(not(loom))]
    pub(crate) fn take_up(&mut self) {
        self.set_aside = false;
        if self.over.is_none() {
            self.send_below = self.inline_limit + 1;
        }
    }

    /// For calls that may have to send something of their own while they wait.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn check_no_claim(&self) -> Result<(), Cause> {
        if self.set_aside { Err(CLAIM_OPEN) } else { Ok(()) }
    }

    /// As [`check_ours`](Self::check_ours), for calls that receive: a peer that is gone may have left something, one that
    /// broke the protocol has not.
    #[inline]
    pub(crate) fn check_readable(&self) -> Result<(), Cause> {
        self.check_ours()?;
        match self.over {
            Some(cause @ Cause::Corrupt(_)) => Err(cause),
            _ => Ok(()),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// Whether an announced region could not be taken at the last look.
    pub(crate) fn is_starved(&self) -> bool {
        self.starved
    }

    pub(crate) fn channel_mut(&mut self) -> &mut C {
        &mut self.channel
    }

    /// How many of our records the peer says that it has taken.
    pub(crate) fn peer_seen(&self) -> u64 {
        self.peer.load_u64(SEEN, Relaxed)
    }

    /// Says how many of the peer's records were taken here: it may announce more.
    pub(crate) fn tell_seen(&mut self, records: u64) {
        self.header.store_u64(SEEN, records, Release);
        // A peer that broke the protocol is over after this, and the next call says so.
        let _ = self.stored(Reasons::BLOCKS);
    }

    /// The longest payload that this end puts into the ring.
    #[inline]
    pub(crate) fn inline_limit(&self) -> usize {
        self.inline_limit
    }

    /// Ends the session because the peer broke the protocol.
    #[cold]
    pub(crate) fn corrupt(&mut self, violation: Violation) -> Cause {
        self.end(Cause::Corrupt(violation))
    }

    /// From here on the session is over because of `cause`.
    fn end(&mut self, cause: Cause) -> Cause {
        self.over = Some(cause);
        self.send_below = 0;
        cause
    }

    /// After a store that can end the peer's sleep for `reason`: ring if it sleeps.
    #[inline]
    pub(crate) fn stored(&mut self, reason: Reasons) -> Result<(), Cause> {
        match self.waker.must_ring(reason) {
            Ok(false) => Ok(()),
            Ok(true) => {
                self.ring();
                Ok(())
            }
            Err(violation) => Err(self.corrupt(violation)),
        }
    }

    #[cold]
    #[inline(never)]
    fn ring(&mut self) {
        self.stats.bells_rung += 1;
        self.show_frames();
        self.channel.ring();
    }

    /// Waits until the peer has read everything that was published.
    pub(crate) fn wait_until_read(&mut self, deadline: Deadline) -> Result<(), Cause> {
        let end = self.writer.tail();
        self.wait(Want::Read(end), deadline)?;
        self.is_read(end).map(drop)
    }

    /// Whether the peer has read up to `end`.
    pub(crate) fn is_read(&mut self, end: u64) -> Result<bool, Cause> {
        match self.writer.has_room(0) {
            Ok(_) => Ok(self.writer.seen_read() >= end),
            Err(violation) => Err(self.corrupt(violation)),
        }
    }

    /// Tells the peer how far we have read, if that is news. (Apart, so that a frame that owes nothing pays nothing for it.)
    #[inline(never)]
    pub(crate) fn give_credit(&mut self) -> Result<(), Cause> {
        if self.reader.owes_credit() {
            self.show_frames();
        }
        if !self.reader.give_credit() {
            return Ok(());
        }
        self.show_now_and_then();
        self.keep_distance();
        self.channel.passed(self.reader.released());
        self.spare_fences();
        self.stored(Reasons::ROOM)
    }

    /// Counts a frame that went out without waiting, and looks at the socket about every fourth millisecond of such
    /// calls.
    #[inline]
    pub(crate) fn beat(&mut self) {
        if self.pulse.beat(self.stats.frames_sent) {
            self.attend();
        }
    }

    /// As [`beat`](Self::beat), for a call that did nothing, after which nothing else may come that notices the peer's end.
    pub(crate) fn beat_idle(&mut self) {
        if self.pulse.beat_idle(self.stats.frames_sent) {
            self.attend();
        }
    }

    /// Looks at the socket, and learns whether the peer is gone.
    #[cold]
    #[inline(never)]
    pub(crate) fn attend(&mut self) {
        self.pulse.looked();
        self.unheard = false;
        let trimmed = self.trim();
        self.channel.passed(self.reader.released());
        let heard = self.channel.hear();
        self.stats.bells_heard += heard.bells;
        if heard.bells > 0 {
            // The peer rings once an epoch; one that it rang for wakes nobody any more.
            self.parking.end();
        }
        self.starved = heard.starved;
        let violation = match trimmed.and_then(|()| self.take_news()) {
            Err(violation) => Some(violation),
            Ok(()) if self.stats.bells_heard > self.parking.epochs() => Some(Violation::Bells),
            Ok(()) => heard.violation,
        };
        if let Some(violation) = violation {
            self.corrupt(violation);
        } else if heard.hung_up && self.over.is_none() {
            // SYNC close: acquire, so that what was committed before the goodbye is seen after it.
            let close = self.peer.load_u64(CLOSE, Acquire);
            self.end(match close {
                0 => Cause::PeerDied,
                // What is left is delivered first; `end_of_stream` then compares exactly.
                _ if self.reader.has_data() || self.reader.may_end_with(close) => Cause::Closed,
                _ => Cause::Corrupt(Violation::CloseWord),
            });
        }
        self.show_counters();
    }

    /// Why the session is over, once nothing is left to take from it.
    ///
    /// The close word says where the stream ends; a peer that said goodbye must have committed all of it.
    pub(crate) fn end_of_stream(&mut self) -> Cause {
        let over = self.over.unwrap_or(Cause::PeerDied);
        if over == Cause::Closed && self.peer.load_u64(CLOSE, Acquire) != self.reader.head() | 1 {
            return self.corrupt(Violation::CloseWord);
        }
        self.channel.all_read();
        over
    }

    /// Leaves the final state behind, and the goodbye. The caller shuts the connection down after this.
    pub(crate) fn farewell(&mut self) {
        // The last credits and the last group: whoever looks after the goodbye finds the final state. A peer that broke
        // the protocol has no use for them.
        if self.release().and_then(|()| self.flush()).and_then(|()| self.give_credit()).is_err() {
            tracing::debug!("closed a session that was over");
        }
        self.show_counters();
        self.say_goodbye();
    }

    /// Stores the goodbye. The caller shuts the socket down after this.
    pub(crate) fn say_goodbye(&self) {
        // SYNC close: release, after the last commit.
        self.header.store_u64(CLOSE, self.writer.tail() | 1, Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
