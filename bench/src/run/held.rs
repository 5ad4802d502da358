//! Part (b): the file once more, in blocks, of which the reader holds many while it reads on.
//!
//! Each piece lies in a block of the sender's memory and is kept where it is. When the reader holds as many as it wants, it
//! lets go of one of them, chosen at random, for each that comes; the last ones go when the sender is gone. A piece is
//! hashed when it comes and again right before it goes: a block that was given to another message too early, or unmapped
//! with its owner, would show.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use slipring::Cause;

use crate::bus::{self, fault};
use crate::crew::Crew;
use crate::fault::Fault;
use crate::link::{Link, Side};
use crate::plan::{Api, Backend, BusPlan, Counters, DEFAULT_INLINE, DEFAULT_RING, Fence, Trust, Wait};
use crate::run::Tour;
use crate::run::carry::{Carried, Sum, send_by_bus};
use crate::run::file::{Real, patience};
use crate::table::time;
use crate::worker::Job;

/// Where the receiving side listens, within its private directory.
const ADDRESS: &str = "held";
/// Bytes of a piece: more than rides in the ring, so each is a block.
const PIECE: usize = 16 << 10;
/// Blocks that the reader holds.
const HOLD: usize = 1_000;

/// What the two processes do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HeldPlan {
    path: PathBuf,
    bus: BusPlan,
}

/// What one side saw.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HeldReport {
    carried: Carried,
    /// Pieces that came.
    pieces: u64,
    /// The most that were held in place at once, as the library counts them.
    held: u64,
    /// Pieces that were not, when they went, what they had been when they came.
    changed: u64,
    /// Until the last one was let go.
    time: Duration,
}

/// Carries the file and says in one line how the blocks fared.
pub(crate) fn part(tour: &Tour, real: &Real) -> Result<()> {
    let (wait, api, trust, fence) = (Wait::Adaptive, Api::Claim, Trust::SameUser, Fence::Auto);
    let bus = BusPlan {
        wait,
        api,
        backend: Backend::Memfd,
        trust,
        fence,
        counters: Counters::On,
        ring: DEFAULT_RING,
        inline: DEFAULT_INLINE,
    };
    let job = Job::Held(HeldPlan { path: real.path.clone(), bus });
    let crew = Crew::start(&tour.runtime, tour.cpus, &job)?;
    let [sent, received] = crew.finish::<HeldReport>(&patience(real.bytes), |_| {})?;
    if received.changed > 0 || !real.is_what(&sent.carried) || !real.is_what(&received.carried) {
        let (changed, pieces) = (received.changed, received.pieces);
        let why = format!("{changed} of {pieces} pieces changed while they were held, or the file arrived as another");
        return Err(Fault::Damaged(why).into());
    }
    println!(
        "  {} blocks of 16 KiB, up to {} held in place at once and dropped in random order: every SHA-256 right ({})\n",
        received.pieces,
        received.held,
        time(received.time.as_nanos() as f64)
    );
    Ok(())
}

/// A worker's part.
pub(crate) fn work(plan: &HeldPlan, link: &Link) -> Result<HeldReport> {
    match link.side() {
        Side::Lead => {
            let carried = send_by_bus(&plan.path, PIECE, bus::connect(ADDRESS, &plan.bus)?, link)?;
            Ok(HeldReport { time: carried.time, carried, pieces: 0, held: 0, changed: 0 })
        }
        Side::Follow => receive_and_hold(plan, link),
    }
}

fn receive_and_hold(plan: &HeldPlan, link: &Link) -> Result<HeldReport> {
    let mut bus = bus::listen(ADDRESS, &plan.bus)?;
    link.ready()?;
    let (mut sum, mut hold) = (Sum::new(), Hold::new(HOLD));
    let (mut pieces, mut held) = (0, 0);
    loop {
        match bus.recv() {
            Ok(piece) => {
                sum.add(&piece);
                hold.keep(piece.keep());
            }
            Err(Cause::Closed) => break,
            Err(cause) => return Err(fault(cause)),
        }
        pieces += 1;
        held = held.max(bus.stats().held_blocks);
    }
    let carried = sum.done();
    let begin = Instant::now();
    drop(bus);
    let changed = hold.let_go_of_all();
    Ok(HeldReport { time: carried.time + begin.elapsed(), carried, pieces, held, changed })
}

/// Messages that are held, each with the hash that it came with. Generic, so that tests can hold what changes.
struct Hold<M> {
    most: usize,
    held: Vec<(M, [u8; 32])>,
    random: u64,
    changed: u64,
}

impl<M: std::ops::Deref<Target = [u8]>> Hold<M> {
    fn new(most: usize) -> Self {
        // Any seed but zero: every tour draws the same order.
        Self { most, held: Vec::with_capacity(most), random: 0x9E37_79B9_7F4A_7C15, changed: 0 }
    }

    /// Keeps one more, and lets go of another if they would be too many.
    fn keep(&mut self, message: M) {
        if self.held.len() == self.most {
            self.let_go_of_one();
        }
        let hash = Sha256::digest(&*message).into();
        self.held.push((message, hash));
    }

    /// Lets go of one, chosen at random, after a last look at it.
    fn let_go_of_one(&mut self) {
        // Xorshift (Marsaglia 2003), as good as it need be.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let at = (self.random % self.held.len() as u64) as usize;
        let (message, hash) = self.held.swap_remove(at);
        let now: [u8; 32] = Sha256::digest(&*message).into();
        self.changed += u64::from(now != hash);
    }

    /// Lets go of what is left; how many of all have changed.
    fn let_go_of_all(mut self) -> u64 {
        while !self.held.is_empty() {
            self.let_go_of_one();
        }
        self.changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::ops::Deref;

    /// Says when it goes, and can be made to look different then.
    struct Piece<'a> {
        bytes: [u8; 1],
        gone: &'a Cell<Vec<u8>>,
        looks: Cell<u32>,
        changes: bool,
    }

    impl Deref for Piece<'_> {
        type Target = [u8];

        fn deref(&self) -> &[u8] {
            self.looks.set(self.looks.get() + 1);
            if self.changes && self.looks.get() > 1 { b"another" } else { &self.bytes }
        }
    }

    impl Drop for Piece<'_> {
        fn drop(&mut self) {
            let mut gone = self.gone.take();
            gone.push(self.bytes[0]);
            self.gone.set(gone);
        }
    }

    fn pass(changes: impl Fn(u8) -> bool) -> (u64, Vec<u8>) {
        let gone = Cell::new(Vec::new());
        let mut hold = Hold::new(10);
        for number in 0..100 {
            hold.keep(Piece { bytes: [number], gone: &gone, looks: Cell::new(0), changes: changes(number) });
            assert!(hold.held.len() <= 10);
        }
        (hold.let_go_of_all(), gone.take())
    }

    #[test]
    fn all_go_once_and_not_in_the_order_in_which_they_came() {
        let (changed, mut gone) = pass(|_| false);
        assert_eq!(changed, 0);
        assert!(!gone.is_sorted());
        gone.sort_unstable();
        assert_eq!(gone, (0..100).collect::<Vec<u8>>());
    }

    #[test]
    fn what_changed_while_it_was_held_is_counted() {
        assert_eq!(pass(|number| number % 10 == 3).0, 10);
    }
}
