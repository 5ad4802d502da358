//! Calls in flight: one side asks ahead of the replies, so that a number of calls is always under way.
//!
//! The replies are taken in the order of the calls, and for each one that was taken the next call goes out. Every eighth
//! call is timed, from before its request was written to after its reply was read: reading the clock costs half as much as
//! a call among many, and would be most of what is measured. The answering side does not know the difference to round trips
//! ([`answer_block`]).
//!
//! [`answer_block`]: crate::echo::answer_block

use std::collections::VecDeque;
use std::time::Instant;

use anyhow::Result;

use crate::echo::{Echo, Limit, check};
use crate::fault::Fault;
use crate::flow::Moved;
use crate::tally::Tally;

/// A line over which several calls can be under way at once.
pub trait InFlight: Echo {
    /// What a call is known by until its reply was taken.
    type Call;

    /// Sends the pattern of `seed`, or answers `None` if there is no room before a reply was taken. Waits if none is due.
    fn send(&mut self, seed: u64) -> Result<Option<Self::Call>>;

    /// Waits for the reply to `call` and answers its sum.
    fn take(&mut self, call: Self::Call) -> Result<u64>;
}

/// One call in so many is timed.
const TIMED: u64 = 8;

/// A call that is under way.
struct Open<C> {
    call: C,
    seed: u64,
    /// When it began, if it is timed.
    start: Option<Instant>,
}

/// The asking side of one block, with `most` calls in flight. `seed` runs on from block to block; `damage` is a message to
/// spoil, to prove that the other side sees it.
pub fn ask_ahead<L: InFlight>(
    line: &mut L,
    len: usize,
    (most, limit): (usize, Limit),
    seed: &mut u64,
    damage: u64,
    tally: &mut Tally,
) -> Result<Moved> {
    let mut open: VecDeque<Open<L::Call>> = VecDeque::with_capacity(most);
    let begin = Instant::now();
    let (mut sent, mut messages, mut reached, mut over) = (0, 0, 0, false);
    loop {
        while open.len() < most && sent < limit.count && !over {
            let number = *seed + 1;
            let start = number.is_multiple_of(TIMED).then(Instant::now);
            over = start.is_some_and(|now| now - begin >= limit.span);
            let Some(call) = line.send(number + u64::from(number == damage))? else { break };
            (*seed, sent) = (number, sent + 1);
            open.push_back(Open { call, seed: number, start });
        }
        reached = open.len().max(reached);
        let Some(next) = open.pop_front() else { break };
        let reply = line.take(next.call)?;
        if let Some(start) = next.start {
            tally.record(start.elapsed());
        }
        check("reply", next.seed, reply, line.right_reply(next.seed, len))?;
        messages += 1;
    }
    let time = begin.elapsed();
    line.end()?;
    if reached < most && sent > reached as u64 {
        let why = format!("--inflight {most}: only {reached} such calls find room at once; raise --ring");
        return Err(Fault::Usage(why).into());
    }
    Ok(Moved { messages, time })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::expected;
    use std::time::Duration;

    /// Answers each call itself, and has room for a few.
    struct Mirror {
        room: usize,
        out: VecDeque<u64>,
        deepest: usize,
        ended: bool,
    }

    impl Mirror {
        fn with_room(room: usize) -> Self {
            Self { room, out: VecDeque::new(), deepest: 0, ended: false }
        }
    }

    impl Echo for Mirror {
        fn ask(&mut self, seed: u64) -> Result<u64> {
            Ok(expected(expected(seed, 32), 32))
        }

        fn answer(&mut self) -> Result<Option<u64>> {
            Ok(None)
        }

        fn end(&mut self) -> Result<()> {
            assert!(self.out.is_empty(), "a block ends when every reply was taken");
            self.ended = true;
            Ok(())
        }
    }

    impl InFlight for Mirror {
        type Call = u64;

        fn send(&mut self, seed: u64) -> Result<Option<u64>> {
            if self.out.len() == self.room {
                return Ok(None);
            }
            self.out.push_back(seed);
            self.deepest = self.deepest.max(self.out.len());
            Ok(Some(seed))
        }

        fn take(&mut self, call: u64) -> Result<u64> {
            assert_eq!(self.out.pop_front(), Some(call), "replies are taken in the order of the calls");
            self.ask(call)
        }
    }

    fn run(line: &mut Mirror, most: usize, count: u64, damage: u64) -> Result<(Moved, u64)> {
        let (mut seed, mut tally) = (0, Tally::new());
        let limit = Limit { span: Duration::from_secs(60), count };
        let moved = ask_ahead(line, 32, (most, limit), &mut seed, damage, &mut tally)?;
        assert_eq!(tally.summary().map_or(0, |summary| summary.samples), moved.messages / TIMED);
        Ok((moved, seed))
    }

    #[test]
    fn as_many_calls_as_asked_for_are_in_flight_and_all_replies_are_taken() {
        let mut line = Mirror::with_room(8);
        let (moved, seed) = run(&mut line, 8, 100, 0).unwrap();
        assert_eq!((moved.messages, seed, line.deepest, line.ended), (100, 100, 8, true));
    }

    #[test]
    fn a_block_shorter_than_that_is_no_error() {
        assert_eq!(run(&mut Mirror::with_room(8), 8, 3, 0).unwrap().0.messages, 3);
    }

    #[test]
    fn fewer_in_flight_than_asked_for_is_a_usage_error() {
        let error = run(&mut Mirror::with_room(5), 8, 100, 0).unwrap_err();
        assert_eq!(Fault::code_of(&error), 2);
        assert!(error.to_string().contains("only 5"), "{error}");
    }

    #[test]
    fn a_spoiled_call_is_found() {
        let error = run(&mut Mirror::with_room(8), 8, 100, 42).unwrap_err();
        assert_eq!(Fault::code_of(&error), 3);
        assert!(error.to_string().starts_with("reply 42 "), "{error}");
    }
}
