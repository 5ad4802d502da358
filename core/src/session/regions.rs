//! Regions: the segments of the arenas of both sides, made and announced by one, checked and mapped by the other.
//!
//! A region is announced by a record with its descriptor before any frame names it. The reader maps it when it comes to
//! read the socket, at the latest when a frame names a region that it does not know. What cannot be mapped for want of memory
//! or descriptors stays in the socket, and is tried again at the next look.
//!
//! A [spill region](RegionKind::Spill) is a file, not memory: it counts towards the number of regions and not towards their sum.
//! It may be as long as the longest payload needs, because payloads that fit nowhere else are what it is for.

use crate::arena;
use crate::blocks::Limits;
use crate::capabilities::Capabilities;
use crate::deadline::Deadline;
use crate::error::{Cause, Error, Violation};
use crate::placement::{self, Placement};
use crate::session::backing::Backing;
use crate::session::line::{Line, must_wait};
use crate::session::record::Record;
use crate::shm::placed::Premises;
use crate::shm::{OwnSegment, PeerSegment, SegmentKind};
use crate::side::RegionKind;
use crate::span::WriteSpan;
use crate::sys::fork::Fd;

/// What this side has mapped of the peer's arena, against what it said that it would.
#[derive(Debug)]
pub(crate) struct Regions {
    told: Limits,
    backing: Backing,
    /// The peer's regions by id: kind and size; `None` once forgotten.
    known: Vec<Option<(SegmentKind, u64)>>,
    /// A region of ours that is made, but whose announcement did not fit into the socket.
    unsent: Option<(u32, RegionKind, OwnSegment)>,
    /// Where our outbox and our regions in memory are.
    premises: Premises,
}

impl Regions {
    pub(crate) fn new(told: Limits, backing: Backing) -> Self {
        Self { told, backing, known: Vec::new(), unsent: None, premises: Premises::default() }
    }

    /// The same, beside an outbox of ours.
    pub(crate) fn beside(outbox: &OwnSegment, told: Limits, backing: Backing) -> Self {
        let mut regions = Self::new(told, backing);
        regions.premises.add(outbox);
        regions
    }

    /// Where our outbox and our regions in memory are.
    pub(crate) fn placement(&self) -> Placement {
        placement::look(&self.premises, self.backing.wishes, self.capabilities().backend)
    }

    /// Has them come to `node`, and those that are made later be made there.
    pub(crate) fn move_to(&mut self, node: u32) {
        self.backing.wishes.node = Some(node);
        self.premises.move_to(node);
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        self.backing.capabilities()
    }

    /// Makes region `id` of ours, and announces it. `None`: the socket is full; the region waits for the next try.
    ///
    /// # Errors
    /// [`Cause::OutOfMemory`] where memory, the disk or descriptors run out; [`Cause::Unsupported`] for a spill region where
    /// there can be none; [`Cause::Timeout`] and [`Cause::Interrupted`] while reserving.
    pub(crate) fn make(
        &mut self,
        line: &Line,
        id: u32,
        bytes: u64,
        kind: RegionKind,
        deadline: Deadline,
    ) -> Result<Option<WriteSpan>, Error> {
        let mut segment = match self.unsent.take() {
            Some((made, of, segment)) if (made, of) == (id, kind) && segment.len() as u64 >= bytes => segment,
            _ => self.new_region(kind, bytes, deadline)?,
        };
        let fd = segment.fd().expect("a fresh segment has its descriptor");
        let record = Record::Announce { region: id, bytes: segment.len() as u64, kind: self.backing.kind_of(kind) };
        match line.say(record, Some(fd)) {
            Ok(()) => {
                segment.forget_fd();
                Ok(Some(segment.span()))
            }
            Err(error) if must_wait(&error) => {
                self.unsent = Some((id, kind, segment));
                Ok(None)
            }
            Err(error) => Err(Error::system(format!("announce a region of {bytes} bytes"), error)),
        }
    }

    fn new_region(&mut self, kind: RegionKind, bytes: u64, deadline: Deadline) -> Result<OwnSegment, Error> {
        let segment = self.backing.region(kind, bytes as usize, deadline)?;
        if kind == RegionKind::Memory {
            self.premises.add(&segment);
        }
        Ok(segment)
    }

    /// Maps a region of the peer's that has been announced.
    pub(crate) fn attach(&mut self, id: u32, bytes: u64, kind: SegmentKind, fd: Fd) -> Result<PeerSegment, Error> {
        let known = self.known.iter().flatten();
        let count = known.clone().count();
        let mapped: u64 = known.filter(|(kind, _)| *kind != SegmentKind::Spill).map(|(_, bytes)| bytes).sum();
        let tried = || format!("map region {id} of {bytes} bytes beside {mapped} bytes in {count} regions");
        let corrupt = |violation| Error::new(Cause::Corrupt(violation), tried());
        self.backing.check(kind).map_err(corrupt)?;
        if id as usize != self.known.len() || id > arena::REGION_MAX {
            return Err(corrupt(Violation::Region));
        }
        let left = match kind {
            SegmentKind::Spill => self.spill_max(),
            SegmentKind::Sealed | SegmentKind::Posix => self.told.region.min(self.told.memory.saturating_sub(mapped)),
        };
        if bytes > left || count >= self.told.regions as usize {
            return Err(corrupt(Violation::SegmentSize));
        }
        let segment = PeerSegment::attach(fd, kind, bytes, left)?;
        self.known.push(Some((kind, bytes)));
        Ok(segment)
    }

    /// The longest spill region that we map: what the longest payload that we take needs.
    fn spill_max(&self) -> u64 {
        self.told.message.checked_next_power_of_two().unwrap_or(u64::MAX).max(self.told.region)
    }

    /// Forgets a region of the peer's. Whether there was one.
    pub(crate) fn forget(&mut self, id: u32) -> bool {
        self.known.get_mut(id as usize).and_then(Option::take).is_some()
    }
}

#[cfg(test)]
mod tests;
