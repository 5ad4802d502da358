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

use crate::error::Cause;
use crate::layout::{PARKED, RING, RingSize, outbox_bytes};
use crate::park::Parking;
use crate::ring::{Reader, Writer};
use crate::side::{Channel, Heard, Side, Terms};
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
    let whole = WriteSpan::heap(outbox_bytes(size));
    (whole.sub(0, RING), whole.sub(RING, size.bytes() as usize))
}

/// The smallest ring there is: four lines, of which three can be filled.
fn smallest() -> RingSize {
    RingSize::new(256).expect("the smallest size")
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

impl Channel for Wire {
    fn ring(&self) {
        self.theirs.heard.lock().expect("no thread panics").bells += 1;
        self.theirs.came.notify_one();
    }

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
    let (left_header, left_ring) = outbox(size);
    let (right_header, right_ring) = outbox(size);
    let fences = scheme == Scheme::Fences;
    BARRIER_EXISTS.set(!fences);
    for header in [&left_header, &right_header] {
        WriteHeader::new((*header).clone()).store_u64(PARKED, Parking::first_word(fences), Relaxed);
    }
    let side = |ours: (&WriteSpan, &WriteSpan), theirs: (&WriteSpan, &WriteSpan), wire| {
        let peer = theirs.0.reader();
        let writer = Writer::new(ours.0.clone(), ours.1.clone(), peer.clone(), size);
        let reader = Reader::new(ours.0.clone(), theirs.1.reader(), peer.clone(), size);
        let inline_limit = size.payload_max();
        let terms = Terms { strategy: Wait::Park, fences, one_cpu: false, inline_limit };
        let mut side = Side::new(ours.0.clone(), peer, writer, reader, wire, terms);
        // The first beat looks at the socket, and time stands still: none does after this one.
        side.beat();
        side
    };
    let sends = Wire { ours: Arc::clone(&left), theirs: Arc::clone(&right) };
    let receives = Wire { ours: right, theirs: left };
    (
        side((&left_header, &left_ring), (&right_header, &right_ring), sends),
        side((&right_header, &right_ring), (&left_header, &left_ring), receives),
    )
}
