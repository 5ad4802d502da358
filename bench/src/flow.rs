//! Streams: one side sends as fast as there is room, the other reads and checks every message in its order.
//!
//! [`Flow`] is what a system must offer to be measured as a stream; [`send_block`] and [`receive_block`] are the two
//! ends of one short block. Message number n carries the pattern of n, so a message lost, repeated or out of order is
//! seen where it happens.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::echo::{Limit, check};
use crate::payload::expected;

/// How many small messages are sent between two looks at the clock: a reading costs as much as several of them.
const PER_LOOK: u64 = 512;

/// Messages longer than this take longer than the look, so each gets one.
const SMALL: usize = 4096;

/// However long a message takes, a block has this many: the first one starts the receiving side's clock and does not count.
pub(crate) const LEAST: u64 = 3;

/// A one-way line for messages of one payload length.
pub(crate) trait Flow {
    /// Sends the pattern of `seed`, waiting for room.
    fn send(&mut self, seed: u64) -> Result<()>;

    /// Waits until something has arrived and hands the sum of each message that has to `each`, in order; `false` at the
    /// end of a block.
    fn receive(&mut self, each: &mut impl FnMut(u64) -> Result<()>) -> Result<bool>;

    /// Tells the receiving side that the block is over.
    fn end(&mut self) -> Result<()>;

    /// Looks once more at what the receiving side has kept of the block, or lets go of it, after its time was taken.
    fn look_back(&mut self) -> Result<()> {
        Ok(())
    }

    /// The most messages that one block may have.
    fn most(&self) -> u64 {
        u64::MAX
    }
}

/// What one block moved.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Moved {
    /// Messages read.
    pub(crate) messages: u64,
    /// From the first message to the end of the block, at the receiving side.
    pub(crate) time: Duration,
}

/// The sending side of one block. `seed` runs on from block to block; `damage` is a message to spoil, to prove that
/// the other side sees it.
pub(crate) fn send_block(line: &mut impl Flow, len: usize, limit: Limit, seed: &mut u64, damage: u64) -> Result<()> {
    let begin = Instant::now();
    let per_look = if len <= SMALL { PER_LOOK } else { 1 };
    let mut left = limit.count.min(line.most());
    let mut sent = 0;
    while left > 0 && (sent < LEAST || begin.elapsed() < limit.span) {
        let turn = per_look.min(left);
        sent += turn;
        for _ in 0..turn {
            *seed += 1;
            line.send(*seed + u64::from(*seed == damage))?;
        }
        left -= turn;
    }
    line.end()
}

/// The receiving side of one block. The clock starts when the first messages are there: before that the sender had not
/// begun, and they are not counted.
pub(crate) fn receive_block(line: &mut impl Flow, len: usize, seed: &mut u64) -> Result<Moved> {
    let mut receive = |seed: &mut u64| {
        line.receive(&mut |sum| {
            *seed += 1;
            check("message", *seed, sum, expected(*seed, len))
        })
    };
    if !receive(seed)? {
        return Ok(Moved::default());
    }
    let (begin, before) = (Instant::now(), *seed);
    while receive(seed)? {}
    let moved = Moved { messages: *seed - before, time: begin.elapsed() };
    line.look_back()?;
    Ok(moved)
}
