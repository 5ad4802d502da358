//! Models: the ring, the returns, parking and the side that ship, run by loom through every order of their steps that the
//! memory model allows (C11 without load buffering), each checked against the outcomes that its comment permits.
//!
//! Here is what they share: outboxes of loom's memory, two sides of a session joined by a [`Wire`], and [`explore`]. A long
//! sleep on a wire is a wait on loom's condition variable, so a wake-up that is lost for good is a deadlock, which loom reports;
//! a nap is one look that answers "timed out", because what is proved must not rest on time. Time itself stands still.
//!
//! loom knows no `membarrier`. Where the product issues one, the model has a `SeqCst` fence on either side (`crate::sync`);
//! that the call may stand for the pair is argued in `docs/PROTOCOL.md` and tried by `make litmus`. Models of sessions that
//! fence instead run without that stand-in, so that the fences of the product are all that protects them.
//!
//! What the models cost and what they catch when the protocol is broken on purpose: `README.md` beside this file.

mod close;
mod returns;
mod ring;
mod sleep;
mod watch;

use crate::blocks::Limits;
use crate::deadline::Deadline;
use crate::error::Cause;
use crate::layout::{Geometry, PARKED, RING, RingSize};
use crate::park::Parking;
use crate::returns::held::Bell;
use crate::ring::{Reader, Writer};
use crate::side::{Channel, Heard, News, Outbox, Side, Terms};
use crate::span::{WriteHeader, WriteSpan};
use crate::sync::{BARRIER_EXISTS, Ordering::Relaxed, full_fence};
use crate::wait::Wait;
use loom::sync::{Condvar, Mutex};
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

/// All of an outbox, with a return ring of one entry that no model of a whole side uses.
fn whole_outbox(size: RingSize) -> Outbox<WriteSpan> {
    let (header, ring) = outbox(size);
    Outbox { header, ring, returns: WriteSpan::table(1), geometry: Geometry::new(size, 1).expect("a geometry") }
}

/// Both ends of one ring, without a side around them.
fn ends(size: RingSize) -> (Writer, Reader) {
    let (ours, ring) = outbox(size);
    let (theirs, _) = outbox(smallest());
    let reader = Reader::new(theirs.clone(), ring.reader(), ours.reader(), size);
    (Writer::new(ours, ring, theirs.reader(), size), reader)
}

/// What one side hears.
#[derive(Debug, Default)]
struct Post {
    heard: Mutex<Heard>,
    came: Condvar,
}

/// A side's end of the connection.
#[derive(Debug)]
struct Wire {
    ours: Arc<Post>,
    theirs: Arc<Post>,
}

impl Wire {
    /// What a foreign event loop does: sleeps until there is something to hear, and leaves it there.
    fn await_readable(&self) {
        let mut heard = self.ours.heard.lock().expect("no thread panics");
        while *heard == Heard::default() {
            heard = self.ours.came.wait(heard).expect("no thread panics");
        }
    }

    /// What shutting the socket down does, and what the kernel does for the dead.
    fn hang_up(&self) {
        self.theirs.heard.lock().expect("no thread panics").hung_up = true;
        self.theirs.came.notify_one();
    }
}

/// What a thread needs that only wants to wake the other side.
#[derive(Debug)]
struct WireBell(Arc<Post>);

impl Bell for WireBell {
    fn ring(&self) {
        self.0.heard.lock().expect("no thread panics").bells += 1;
        self.0.came.notify_one();
    }

    fn is_ours(&self) -> bool {
        true
    }
}

impl Channel for Wire {
    fn ring(&self) {
        self.theirs.heard.lock().expect("no thread panics").bells += 1;
        self.theirs.came.notify_one();
    }

    fn bell(&self) -> std::sync::Arc<dyn Bell> {
        Arc::new(WireBell(Arc::clone(&self.theirs)))
    }

    fn news(&mut self) -> Option<News> {
        None
    }

    fn make_region(&mut self, _id: u32, _bytes: u64, _deadline: Deadline) -> Result<Option<WriteSpan>, Cause> {
        Ok(None)
    }

    fn forget_region(&mut self, _id: u32) -> bool {
        false
    }

    fn said(&self) -> u64 {
        0
    }

    fn passed(&mut self, _position: u64) {}

    fn all_read(&mut self) {}

    fn sleep(&mut self, time: Option<Duration>) -> Result<bool, Cause> {
        if time.is_none() {
            self.await_readable();
            return Ok(true);
        }
        let heard = self.ours.heard.lock().expect("no thread panics");
        Ok(*heard != Heard::default())
    }

    fn hear(&mut self) -> Heard {
        let mut heard = self.ours.heard.lock().expect("no thread panics");
        let news = *heard;
        heard.bells = 0;
        news
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
    let (left, right): (Arc<Post>, Arc<Post>) = Default::default();
    let (left_memory, right_memory) = (whole_outbox(size), whole_outbox(size));
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
        let limits = Limits { message: 0, memory: 0, region: 0, regions: 0 };
        let terms = Terms {
            strategy: Wait::Park,
            fences,
            one_cpu: false,
            inline_limit: size.payload_max(),
            limits,
            message_max: 0,
            window: 1 << 20,
        };
        let mut side = Side::new(mine, theirs, wire, terms);
        // The first beat looks at the socket, and time stands still: none does after this one.
        side.beat();
        side
    };
    let sends = Wire { ours: Arc::clone(&left), theirs: Arc::clone(&right) };
    let receives = Wire { ours: right, theirs: left };
    (side(&left_memory, &right_memory, sends), side(&right_memory, &left_memory, receives))
}
