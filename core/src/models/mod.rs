//! Models: the ring, the returns, parking and the side that ship, run by loom through every order of their steps that the
//! memory model allows (C11 without load buffering), each checked against the outcomes that its comment permits.
//!
//! Here is what they share: outboxes of loom's memory, two sides of a session joined by a [`Wire`], and [`explore`]. A long
//! sleep on a wire is a wait on loom's condition variable, so a wake-up that is lost for good is a deadlock, which loom reports;
//! a nap is one look that answers "timed out", because what is proved must not rest on time. Time itself stands still; what the
//! product does only after a while, such as giving idle memory back, a model does at once (`cfg!(loom)` in `blocks/growing.rs`).
//!
//! loom knows no `membarrier`. Where the product issues one, the model has a `SeqCst` fence on either side (`crate::sync`);
//! that the call may stand for the pair is argued in `docs/PROTOCOL.md` and tried by `make litmus`. Models of sessions that
//! fence instead run without that stand-in, so that the fences of the product are all that protects them.
//!
//! What the models cost and what they catch when the protocol is broken on purpose: `README.md` beside this file.

mod announce;
mod close;
mod polled;
mod returns;
mod ring;
mod sleep;
mod teardown;
mod watch;

use crate::arena::BLOCK_MIN;
use crate::blocks::Limits;
use crate::deadline::Deadline;
use crate::error::Cause;
use crate::layout::{Geometry, PARKED, RING, RingSize};
use crate::park::Parking;
use crate::returns::held::{Bell, Held};
use crate::ring::{Reader, Show, Writer};
use crate::side::{Channel, Heard, News, Outbox, Patience, RegionKind, Side, Terms};
use crate::span::{WriteHeader, WriteSpan};
use crate::sync::{BARRIER_EXISTS, Ordering::Relaxed, full_fence};
use crate::wait::Wait;
use loom::sync::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Runs `model` through all its executions, with at most `preemptions` switches away from a thread that could go on
/// (`None`: any number), and says how many there were.
fn explore(name: &str, preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    // What the environment says (`LOOM_MAX_PREEMPTIONS`) goes first.
    builder.preemption_bound = builder.preemption_bound.or(preemptions);
    builder.max_threads = 3;
    let runs = Arc::new(std::sync::Mutex::new(0_u64));
    let counted = Arc::clone(&runs);
    let start = std::time::Instant::now();
    BARRIER_EXISTS.set(true);
    builder.check(move || {
        *counted.lock().expect("one execution at a time") += 1;
        model();
    });
    let runs = *runs.lock().expect("no execution is left");
    println!("{name}: {runs} executions in {:.1} s", start.elapsed().as_secs_f32());
}

/// The memory that one side writes: header and ring.
fn outbox(size: RingSize) -> (WriteSpan, WriteSpan) {
    let whole = WriteSpan::heap(RING + size.bytes() as usize);
    (whole.sub(0, RING), whole.sub(RING, size.bytes() as usize))
}

/// The smallest ring there is: four lines, of which three can be filled.
fn smallest() -> RingSize {
    RingSize::new(256).expect("the smallest size")
}

/// All of an outbox, with a return ring of so many entries.
fn whole_outbox(size: RingSize, returns: u32) -> Outbox<WriteSpan> {
    let (header, ring) = outbox(size);
    let (entries, geometry) = (WriteSpan::table(returns as usize), Geometry::new(size, returns).expect("a geometry"));
    Outbox { header, ring, returns: entries, geometry }
}

/// Both ends of one ring, without a side around them.
fn ends(size: RingSize) -> (Writer, Reader) {
    let (ours, ring) = outbox(size);
    let (theirs, _) = outbox(smallest());
    let reader = Reader::new(theirs.clone(), ring.reader(), ours.reader(), size);
    (Writer::new(ours, ring, theirs.reader(), size), reader)
}

/// What one side is to hear, and how it sleeps until there is something.
#[derive(Debug, Default)]
struct Post {
    mail: Mutex<Mail>,
    came: Condvar,
}

/// What stands in a socket: bells and the end as they were counted, records of regions in their order.
#[derive(Debug, Default)]
struct Mail {
    heard: Heard,
    news: VecDeque<News>,
}

impl Mail {
    fn is_empty(&self) -> bool {
        self.heard == Heard::default() && self.news.is_empty()
    }
}

impl Post {
    fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().expect("no thread panics")
    }

    /// Puts something into the mail, and wakes who sleeps for it.
    fn put(&self, put: impl FnOnce(&mut Mail)) {
        put(&mut self.mail());
        self.came.notify_one();
    }
}

/// A side's end of the connection.
#[derive(Debug)]
struct Wire {
    ours: Arc<Post>,
    theirs: Arc<Post>,
    /// What was heard of regions and is not yet acted on.
    news: VecDeque<News>,
    /// Records that have gone out, bells aside.
    said: u64,
}

impl Wire {
    fn new(ours: &Arc<Post>, theirs: &Arc<Post>) -> Self {
        Self { ours: Arc::clone(ours), theirs: Arc::clone(theirs), news: VecDeque::new(), said: 0 }
    }

    /// What a foreign event loop does: sleeps until there is something to hear, and leaves it there.
    fn await_readable(&self) {
        let mut mail = self.ours.mail();
        while mail.is_empty() {
            mail = self.ours.came.wait(mail).expect("no thread panics");
        }
    }

    /// What shutting the socket down does, and what the kernel does for the dead.
    fn hang_up(&self) {
        self.theirs.put(|mail| mail.heard.hung_up = true);
    }
}

/// What a thread needs that only wants to wake the other side.
#[derive(Debug)]
struct WireBell(Arc<Post>);

impl Bell for WireBell {
    fn ring(&self) {
        self.0.put(|mail| mail.heard.bells += 1);
    }

    fn is_ours(&self) -> bool {
        true
    }
}

impl Channel for Wire {
    fn ring(&self) {
        self.theirs.put(|mail| mail.heard.bells += 1);
    }

    fn bell(&self) -> Arc<dyn Bell> {
        Arc::new(WireBell(Arc::clone(&self.theirs)))
    }

    fn news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    fn may_spill(&self) -> bool {
        false
    }

    fn make_region(
        &mut self,
        id: u32,
        bytes: u64,
        _kind: RegionKind,
        _deadline: Deadline,
    ) -> Result<Option<WriteSpan>, Cause> {
        // A socket that is shut takes nothing; the next look tells why.
        if self.ours.mail().heard.hung_up {
            return Ok(None);
        }
        // A model's memory has lines behind a header only.
        let region = WriteSpan::heap(RING + bytes as usize).sub(RING, bytes as usize);
        let span = region.reader();
        self.theirs.put(|mail| {
            let unread = mail.news.iter().filter(|news| matches!(news, News::Region { .. })).count();
            assert_eq!(unread, 0, "a model announces one region ahead of the peer");
            mail.news.push_back(News::Region { id, span });
        });
        self.said += 1;
        Ok(Some(region))
    }

    fn forget_region(&mut self, id: u32) -> bool {
        self.theirs.put(|mail| mail.news.push_back(News::Forget { id }));
        self.said += 1;
        true
    }

    fn said(&self) -> u64 {
        self.said
    }

    fn passed(&mut self, _position: u64) {}

    fn all_read(&mut self) {}

    fn sleep(&mut self, time: Option<Duration>) -> Result<bool, Cause> {
        if time.is_none() {
            self.await_readable();
            return Ok(true);
        }
        Ok(!self.ours.mail().is_empty())
    }

    fn hear(&mut self) -> Heard {
        let mut mail = self.ours.mail();
        self.news.append(&mut mail.news);
        let heard = mail.heard;
        mail.heard.bells = 0;
        heard
    }

    fn barrier(&self) -> bool {
        full_fence();
        true
    }

    fn is_ours(&self) -> bool {
        true
    }
}

/// How a pair of sides keeps wake-ups from being lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    /// The sleeper naps, then issues the barrier; the other side fences nothing.
    Barrier,
    /// Both sides fence.
    Fences,
}

/// The two sides of a session, each with the smallest ring, both of whom sleep as soon as they have to wait.
fn session(scheme: Scheme) -> (Side<Wire>, Side<Wire>) {
    session_of(scheme, smallest())
}

/// The same with another size of ring.
fn session_of(scheme: Scheme, size: RingSize) -> (Side<Wire>, Side<Wire>) {
    // No payload is too long for the ring, so there is no block to come back: the return rings are as short as can be.
    build(scheme, size, 1, size.payload_max(), Limits { message: 0, memory: 0, region: 0, regions: 0 })
}

/// A session whose payloads all go into blocks: at most so many regions a side, a power of two, of one block each. The return
/// rings have an entry for each block and none to spare.
fn session_of_blocks(scheme: Scheme, regions: u32) -> (Side<Wire>, Side<Wire>) {
    let limits = Limits { message: BLOCK_MIN, memory: u64::from(regions) * BLOCK_MIN, region: BLOCK_MIN, regions };
    build(scheme, smallest(), regions, 0, limits)
}

fn build(
    scheme: Scheme,
    size: RingSize,
    returns: u32,
    inline_limit: usize,
    limits: Limits,
) -> (Side<Wire>, Side<Wire>) {
    let (left, right): (Arc<Post>, Arc<Post>) = Default::default();
    let (left_memory, right_memory) = (whole_outbox(size, returns), whole_outbox(size, returns));
    let fences = scheme == Scheme::Fences;
    BARRIER_EXISTS.set(!fences);
    for outbox in [&left_memory, &right_memory] {
        WriteHeader::new(outbox.header.clone()).store_u64(PARKED, Parking::first_word(fences), Relaxed);
    }
    let side = |ours: &Outbox<WriteSpan>, theirs: &Outbox<WriteSpan>, wire| {
        let mine = Outbox {
            header: ours.header.clone(),
            ring: ours.ring.clone(),
            returns: ours.returns.clone(),
            geometry: ours.geometry,
        };
        let theirs = Outbox {
            header: theirs.header.reader(),
            ring: theirs.ring.reader(),
            returns: theirs.returns.reader(),
            geometry: theirs.geometry,
        };
        let message_max = limits.message;
        let terms = Terms {
            strategy: Wait::Park,
            fences,
            one_cpu: false,
            inline_limit,
            limits,
            message_max,
            window: 1 << 20,
            counts: false,
        };
        let mut side = Side::new(mine, theirs, wire, terms);
        // The first beat looks at the socket, and time stands still: none does after this one.
        side.beat();
        side
    };
    let (sends, receives) = (Wire::new(&left, &right), Wire::new(&right, &left));
    (side(&left_memory, &right_memory, sends), side(&right_memory, &left_memory, receives))
}

/// Of calls that are to wait.
const FOREVER: Patience = Patience::Until(Deadline::NEVER);

/// The payload of a block: bytes on both sides of the end of a line's first word, which a model keeps apart.
fn payload(type_id: u32) -> [u8; 8] {
    [type_id as u8 ^ 0x5A; 8]
}

/// Publishes a frame whose payload is in a block, waiting for one.
fn lend(side: &mut Side<Wire>, type_id: u32) -> Result<(), Cause> {
    side.publish(type_id, &payload(type_id), Show::Now, FOREVER)
}

/// Takes a frame, waiting for one, and holds its block.
fn hold(side: &mut Side<Wire>) -> Result<(u32, Held), Cause> {
    let frame = side.take(FOREVER)?;
    let told = side.descriptor(frame)?;
    Ok((frame.type_id, side.resolve(frame, told)?))
}

/// What [`lend`] put in is still there.
fn assert_whole((type_id, held): &(u32, Held)) {
    let mut bytes = [0; 8];
    held.copy(&mut bytes);
    assert_eq!(bytes, payload(*type_id), "the payload of frame {type_id}");
}
