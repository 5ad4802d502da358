//! Round trips: one side asks, the other answers, and both check what they read.
//!
//! [`Echo`] is what a system must offer to be measured in round trips; [`ask_block`] and [`answer_block`] are the two
//! ends of one short block of them. The request carries the pattern of a running number, the reply the pattern of the
//! sum that the answering side found, so either side knows what it must read and a reply cannot be right by accident.
//!
//! Time is read with `Instant` (`CLOCK_MONOTONIC` through the vDSO) right before the payload is written and right after
//! the reply was read in full. A bare `rdtsc` would be cheaper by some 15 ns but is not ordered: inside a spinning loop
//! the processor reads it before the awaited line has arrived, and round trips come out a fifth too short.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::fault::Fault;
use crate::flow::Moved;
use crate::payload::expected;
use crate::tally::Tally;

/// A pair of one-way lines over which two processes exchange round trips of one payload length.
pub trait Echo {
    /// Sends the pattern of `seed` and answers the sum of the reply.
    fn ask(&mut self, seed: u64) -> Result<u64>;

    /// Waits for one request, replies with the pattern of its sum, and answers that sum; `None` at the end of a block.
    fn answer(&mut self) -> Result<Option<u64>>;

    /// Tells the answering side that the block is over.
    fn end(&mut self) -> Result<()>;

    /// The sum of the reply to the request of `seed` with `len` bytes of payload.
    fn right_reply(&self, seed: u64, len: usize) -> u64 {
        expected(expected(seed, len), len)
    }
}

/// When a block is over: after a time or a number of messages, whichever comes first.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// No message starts later than this after the block's first.
    pub span: Duration,
    /// And there are no more than this many.
    pub count: u64,
}

/// The distance between intended starts, and how the asking side passes the time until the next.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// From one intended start to the next; zero is back to back.
    pub gap: Duration,
    /// Whether the asking side spins through the gap instead of sleeping.
    pub spin: bool,
}

impl Pace {
    /// Waits for the intended start `next` and answers from when on the message's latency counts.
    ///
    /// A message that is late because the one before it took too long counts from its intended start; one whose start
    /// was waited for counts from the moment the wait ended, because what a timer adds is not the system's latency.
    fn start(self, next: Instant) -> Instant {
        let now = Instant::now();
        if self.gap.is_zero() {
            return now;
        }
        if now >= next {
            return next;
        }
        if !self.spin {
            std::thread::sleep(next - now);
        }
        loop {
            let now = Instant::now();
            if now >= next {
                return now;
            }
            std::hint::spin_loop();
        }
    }
}

/// The asking side of one block, and how many round trips it made. `seed` runs on from block to block; `damage` is a message
/// to spoil, to prove that the other side sees it.
pub fn ask_block(
    line: &mut impl Echo,
    len: usize,
    (pace, limit): (Pace, Limit),
    seed: &mut u64,
    damage: u64,
    tally: &mut Tally,
) -> Result<Moved> {
    let begin = Instant::now();
    let (mut next, mut moved) = (begin, Moved::default());
    for messages in 1..=limit.count {
        *seed += 1;
        next += pace.gap;
        let start = pace.start(next);
        let reply = line.ask(*seed + u64::from(*seed == damage))?;
        let end = Instant::now();
        tally.record(end - start);
        check("reply", *seed, reply, line.right_reply(*seed, len))?;
        moved = Moved { messages, time: end - begin };
        if moved.time >= limit.span {
            break;
        }
    }
    line.end()?;
    Ok(moved)
}

/// The answering side of one block.
pub fn answer_block(line: &mut impl Echo, len: usize, seed: &mut u64) -> Result<()> {
    while let Some(sum) = line.answer()? {
        *seed += 1;
        check("request", *seed, sum, expected(*seed, len))?;
    }
    Ok(())
}

/// Fails when message `number` does not have the sum that its writer gave it.
#[inline]
pub fn check(what: &str, number: u64, found: u64, right: u64) -> Result<()> {
    if found == right { Ok(()) } else { Err(damaged(what, number, found, right)) }
}

#[cold]
fn damaged(what: &str, number: u64, found: u64, right: u64) -> anyhow::Error {
    Fault::Damaged(format!("{what} {number} is lost or damaged: its words add up to {found:#x}, not {right:#x}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_sum_is_damage() {
        assert!(check("reply", 3, expected(3, 32), expected(3, 32)).is_ok());
        let error = check("reply", 3, expected(4, 32), expected(3, 32)).unwrap_err();
        assert_eq!(Fault::code_of(&error), 3);
        assert!(error.to_string().starts_with("reply 3 is lost or damaged"), "{error}");
    }

    #[test]
    fn a_late_message_counts_from_its_intended_start() {
        let pace = Pace { gap: Duration::from_millis(1), spin: true };
        let due = Instant::now();
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(pace.start(due), due);
        let next = Instant::now() + Duration::from_millis(1);
        assert!(pace.start(next) >= next);
    }
}
