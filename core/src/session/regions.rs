//! Regions: the segments of the arenas of both sides, made and announced by one, checked and mapped by the other.
//!
//! A region is announced by a record with its descriptor before any frame names it. The reader maps it when it comes to
//! read the socket, at the latest when a frame names a region that it does not know. What cannot be mapped for want of memory
//! or descriptors stays in the socket, and is tried again at the next look.

use crate::arena;
use crate::blocks::Limits;
use crate::deadline::Deadline;
use crate::error::{Cause, Error, Violation};
use crate::session::line::{Line, must_wait};
use crate::session::record::Record;
use crate::shm::{OwnSegment, PeerSegment};
use crate::span::WriteSpan;
use crate::sys::fork::Fd;

/// What this side has mapped of the peer's arena, against what it said that it would.
#[derive(Debug)]
pub(crate) struct Regions {
    told: Limits,
    /// Sizes of the peer's regions by id; `None` once forgotten.
    sizes: Vec<Option<u64>>,
    /// Regions of ours that are made, but whose announcement did not fit into the socket.
    unsent: Option<(u32, OwnSegment)>,
}

impl Regions {
    pub(crate) fn new(told: Limits) -> Self {
        Self { told, sizes: Vec::new(), unsent: None }
    }

    /// Makes region `id` of ours, and announces it. `None`: the socket is full; the region waits for the next try.
    pub(crate) fn make(
        &mut self,
        line: &Line,
        id: u32,
        bytes: u64,
        deadline: Deadline,
    ) -> Result<Option<WriteSpan>, Error> {
        let mut segment = match self.unsent.take() {
            Some((made, segment)) if made == id && segment.len() as u64 >= bytes => segment,
            _ => OwnSegment::create("slipring-region", bytes as usize, deadline)?,
        };
        let fd = segment.fd().expect("a fresh segment has its descriptor");
        match line.say(Record::Announce { region: id, bytes: segment.len() as u64 }, Some(fd)) {
            Ok(()) => {
                segment.forget_fd();
                Ok(Some(segment.span()))
            }
            Err(error) if must_wait(&error) => {
                self.unsent = Some((id, segment));
                Ok(None)
            }
            Err(error) => Err(Error::system(format!("announce a region of {bytes} bytes"), error)),
        }
    }

    /// Maps a region of the peer's that has been announced.
    pub(crate) fn attach(&mut self, id: u32, bytes: u64, fd: Fd) -> Result<PeerSegment, Error> {
        let mapped: u64 = self.sizes.iter().flatten().sum();
        let count = self.sizes.iter().flatten().count();
        let tried = || format!("map region {id} of {bytes} bytes beside {mapped} bytes in {count} regions");
        if id as usize != self.sizes.len() || id > arena::REGION_MAX {
            return Err(Error::new(Cause::Corrupt(Violation::Region), tried()));
        }
        let over = bytes > self.told.region || bytes > self.told.memory.saturating_sub(mapped);
        if over || count >= self.told.regions as usize || !bytes.is_power_of_two() {
            return Err(Error::new(Cause::Corrupt(Violation::SegmentSize), tried()));
        }
        let segment = PeerSegment::attach(fd, bytes, self.told.region)?;
        self.sizes.push(Some(bytes));
        Ok(segment)
    }

    /// Forgets a region of the peer's. Whether there was one.
    pub(crate) fn forget(&mut self, id: u32) -> bool {
        self.sizes.get_mut(id as usize).and_then(Option::take).is_some()
    }
}
