//! The session socket after the handshake: bells, regions, shared objects, and the peer's end.
//!
//! The socket carries whole records ([`record`](super::record)). One function reads them, [`Link::hear`]: it looks at what
//! waits, understands it, and then takes exactly that, so that a descriptor which cannot be taken now stays where it is. What
//! it cannot understand ends the session.

use crate::blocks::UNREAD_MAX;
use crate::capabilities::Capabilities;
use crate::deadline::Deadline;
use crate::error::{Cause, Violation};
use crate::layout::OBJECTS_MAX;
use crate::observe::{Counts, Stats};
use crate::options::REGIONS;
use crate::placement::Placement;
use crate::returns::held::Bell;
use crate::session::board::Place;
use crate::session::line::{Line, LineBell};
use crate::session::objects::{Known, Told};
use crate::session::record::{LEN, Record};
use crate::session::regions::Regions;
use crate::side::{Channel, Heard, News, RegionKind};
use crate::span::WriteSpan;
use crate::sys::fork::{Birth, Fd};
use crate::sys::{self, barrier, socket};
use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

/// How many bytes are looked at at once.
const CHUNK: usize = 32 * LEN;

/// How often one look reads on: enough for all that an honest peer can have said. It may take back every region and object that we
/// know, and has few announcements unread, each of which ends a read. One that floods the socket is found out by the count of
/// its bells, or by those limits; until then one look reads no more than this.
const READS: usize = 64;

const _: () = assert!((READS - 2 * UNREAD_MAX) * CHUNK / LEN > REGIONS as usize + OBJECTS_MAX + 2 * UNREAD_MAX);

/// The connection of one session.
#[derive(Debug)]
pub(crate) struct Link {
    line: Arc<Line>,
    birth: Birth,
    /// Whether sleeps here may rely on `membarrier`.
    barrier: bool,
    regions: Regions,
    news: VecDeque<News>,
    /// The peer's objects that this side knows.
    pub(super) known: Known,
    /// The objects of which this side has told the peer.
    pub(super) told: Arc<Told>,
    /// Where observers of the listener that made this session see it.
    place: Option<Place>,
}

impl Link {
    /// `shared_limit`: how many bytes of the peer's objects stay mapped while nobody looks at them.
    pub(crate) fn new(socket: Fd, birth: Birth, barrier: bool, regions: Regions, shared_limit: u64) -> Self {
        let line = Arc::new(Line::new(socket));
        let told = Arc::new(Told::new(Arc::downgrade(&line), birth));
        Self {
            line,
            birth,
            barrier,
            regions,
            news: VecDeque::new(),
            known: Known::new(shared_limit),
            told,
            place: None,
        }
    }

    /// From now on observers see this session, there.
    pub(super) fn show_at(&mut self, place: Place) {
        self.place = Some(place);
    }

    /// What the memory of both sides can promise.
    pub(crate) fn capabilities(&self) -> Capabilities {
        self.regions.capabilities()
    }

    /// Where this side's memory is.
    pub(crate) fn placement(&self) -> Placement {
        self.regions.placement()
    }

    /// Has it come to a NUMA node.
    pub(crate) fn move_to(&mut self, node: u32) {
        self.regions.move_to(node);
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.line.fd()
    }

    /// Tells the peer that nothing more comes. Its next look sees the close word.
    pub(crate) fn hang_up(&self) {
        socket::shutdown(self.fd());
    }

    /// Looks once, and takes what it understood. `None`: nothing (more) is to be had now.
    fn read(&mut self, heard: &mut Heard) -> Option<()> {
        let mut bytes = [0; CHUNK];
        let mut received = match socket::peek(self.fd(), &mut bytes) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            // Whatever else a receive can fail with means that the connection is no more.
            Err(_) => {
                heard.hung_up = true;
                return None;
            }
        };
        if received.bytes == 0 {
            heard.hung_up = true;
            return None;
        }
        let emptied = received.bytes < CHUNK && received.fds.is_empty();
        let mut fd = received.fds.pop();
        if received.truncated || !received.fds.is_empty() {
            heard.violation = Some(Violation::Descriptors);
            return None;
        }
        let taken = match self.understand(&bytes[..received.bytes], received.starved, &mut fd, heard) {
            // Behind a full buffer the descriptor may be that of a record which was not shown, and is for the next look.
            Ok(taken) if taken > 0 && fd.is_some() && !heard.starved && received.bytes < CHUNK => {
                heard.violation = Some(Violation::Descriptors);
                return None;
            }
            // A record comes by one `sendmsg`, so it is there as a whole.
            Ok(0) if !heard.starved => {
                heard.violation = Some(Violation::Record);
                return None;
            }
            Ok(taken) => taken,
            Err(violation) => {
                heard.violation = Some(violation);
                return None;
            }
        };
        if socket::consume(self.fd(), taken).is_err() {
            heard.hung_up = true;
            return None;
        }
        // What was shorter than the room for it was all there is; a hang-up behind it shows at the next look.
        (!heard.starved && !emptied).then_some(())
    }

    /// Acts on the whole records of `bytes`, the last of which has the descriptor if there is one. How many bytes they are.
    fn understand(
        &mut self,
        bytes: &[u8],
        starved: bool,
        fd: &mut Option<Fd>,
        heard: &mut Heard,
    ) -> Result<usize, Violation> {
        let mut at = 0;
        while let Some((record, len)) = Record::decode(&bytes[at..])? {
            match record {
                Record::Bell => heard.bells += 1,
                Record::Announce { .. } | Record::Object { .. } if starved && at + len == bytes.len() => {
                    heard.starved = true;
                    return Ok(at);
                }
                Record::Announce { region, bytes, kind } => {
                    let fd = fd.take().ok_or(Violation::Descriptors)?;
                    match self.regions.attach(region, bytes, kind, fd).map_err(|error| error.cause()) {
                        Ok(segment) => self.news.push_back(News::Region { id: region, span: segment.span() }),
                        Err(Cause::Corrupt(violation)) => return Err(violation),
                        // No memory for the map: it stays announced.
                        Err(_) => {
                            heard.starved = true;
                            return Ok(at);
                        }
                    }
                }
                Record::Forget { region } => {
                    if !self.regions.forget(region) {
                        return Err(Violation::Region);
                    }
                    self.news.push_back(News::Forget { id: region });
                }
                Record::Object { number, bytes } => {
                    let fd = fd.take().ok_or(Violation::Descriptors)?;
                    match self.known.announce(number, bytes, fd).map_err(|error| error.cause()) {
                        Ok(()) => self.news.push_back(News::Object),
                        Err(Cause::Corrupt(violation)) => return Err(violation),
                        // The system could not be asked about it: it stays announced.
                        Err(_) => {
                            heard.starved = true;
                            return Ok(at);
                        }
                    }
                }
                Record::TakeBack { number, position } => {
                    self.known.take_back(number, position)?;
                    self.news.push_back(News::Object);
                }
            }
            at += len;
        }
        Ok(at)
    }
}

impl Channel for Link {
    fn ring(&self) {
        self.line.ring();
    }

    fn bell(&self) -> Arc<dyn Bell> {
        Arc::new(LineBell { line: Arc::downgrade(&self.line), birth: self.birth })
    }

    fn sleep(&mut self, time: Option<Duration>) -> Result<bool, Cause> {
        sys::poll_readable(self.fd(), time).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => Cause::Interrupted,
            _ => Cause::System,
        })
    }

    fn hear(&mut self) -> Heard {
        self.told.say_unsaid();
        let mut heard = Heard::default();
        for _ in 0..READS {
            if self.read(&mut heard).is_none() {
                break;
            }
        }
        heard
    }

    fn news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    fn may_spill(&self) -> bool {
        self.capabilities().spill
    }

    fn make_region(
        &mut self,
        id: u32,
        bytes: u64,
        kind: RegionKind,
        deadline: Deadline,
    ) -> Result<Option<WriteSpan>, Cause> {
        let line = Arc::clone(&self.line);
        self.regions.make(&line, id, bytes, kind, deadline).map_err(|error| {
            tracing::debug!(%error, "a region could not be made");
            error.cause()
        })
    }

    fn forget_region(&mut self, id: u32) -> bool {
        self.line.say(Record::Forget { region: id }, None).is_ok()
    }

    fn said(&self) -> u64 {
        self.line.said()
    }

    fn passed(&mut self, position: u64) {
        self.known.passed(position);
    }

    fn all_read(&mut self) {
        self.known.clear();
    }

    fn count(&self, stats: &mut Stats) {
        (stats.shared_known, stats.shared_mapped) = self.known.count();
        stats.shared_told = self.told.count();
    }

    fn note(&self, counts: &Counts) {
        if let Some(place) = &self.place {
            place.note(counts);
        }
    }

    fn barrier(&self) -> bool {
        self.barrier && barrier::heavy()
    }

    #[inline]
    fn is_ours(&self) -> bool {
        self.birth.is_ours()
    }
}
