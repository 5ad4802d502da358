//! The ends at work: the patterns of traffic over any [`End`], and one block of each.

use std::time::Duration;

use anyhow::{Result, bail};

use super::paced::{receive_paced, send_paced};
use super::{Block, End, Job, Report, Wait, Work};
use crate::echo::{Echo, Limit, Pace, answer_block, ask_block, check};
use crate::flow::{Flow, Moved, receive_block, send_block};
use crate::payload::{expected, fill, seed_of, sum};
use crate::tally::Tally;

/// The first word of the message that ends a block. No seed counts up to it, and no time of a clock does.
pub(super) const LAST: u64 = u64::MAX;

/// Which side of a session an end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Lead,
    Follow,
}

/// An open end with what it has counted so far.
pub(super) struct Seat<E> {
    end: E,
    side: Side,
    seed: u64,
}

impl<E: End> Seat<E> {
    pub(super) fn new(end: E, side: Side) -> Self {
        Self { end, side, seed: 0 }
    }

    /// One block on this side. What it used is the caller's to measure.
    pub(super) fn block(&mut self, job: &Job, block: &Block) -> Result<Report> {
        let mut tally = Tally::new();
        let moved = match self.side {
            Side::Lead => self.lead(job, block, &mut tally)?,
            Side::Follow => self.follow(job, block, &mut tally)?,
        };
        Ok(Report { counts: tally.counts(), moved, ..Report::default() })
    }

    fn lead(&mut self, job: &Job, block: &Block, tally: &mut Tally) -> Result<Moved> {
        let limit = Limit { span: block.span, count: block.count };
        let pace = Pace { gap: block.gap, spin: job.wait == Wait::Spin };
        let (len, damage, seed) = (job.payload, job.damage, &mut self.seed);
        match job.work {
            Work::RoundTrip => ask_block(&mut Trip::over(&mut self.end, job), len, (pace, limit), seed, damage, tally),
            Work::Call | Work::FanIn => {
                ask_block(&mut Calls::over(&mut self.end, job), len, (pace, limit), seed, damage, tally)
            }
            Work::Stream => {
                send_block(&mut OneWay::over(&mut self.end, job), len, limit, seed, damage)?;
                Ok(Moved::default())
            }
            Work::Paced => send_paced(&mut self.end, job, block, seed),
            Work::Fresh => bail!("fresh ends are opened for each message"),
        }
    }

    fn follow(&mut self, job: &Job, block: &Block, tally: &mut Tally) -> Result<Moved> {
        let (len, seed) = (job.payload, &mut self.seed);
        match job.work {
            Work::RoundTrip => answer_block(&mut Trip::over(&mut self.end, job), len, seed)?,
            Work::Call => answer_block(&mut Calls::over(&mut self.end, job), len, seed)?,
            Work::FanIn => serve_crowd(&mut Calls::over(&mut self.end, job), job)?,
            Work::Stream => {
                let moved = receive_block(&mut OneWay::over(&mut self.end, job), len, seed)?;
                // What ends the block is a message of full length, and its time has been taken.
                let last = u64::from(moved.time > Duration::ZERO);
                return Ok(Moved { messages: moved.messages + last, ..moved });
            }
            Work::Paced => return receive_paced(&mut self.end, job, block, tally),
            Work::Fresh => bail!("fresh ends are opened for each message"),
        }
        Ok(Moved::default())
    }
}

/// Round trips of two messages.
struct Trip<'e, E> {
    end: &'e mut E,
    len: usize,
}

impl<'e, E: End> Trip<'e, E> {
    fn over(end: &'e mut E, job: &Job) -> Self {
        Self { end, len: job.payload }
    }
}

impl<E: End> Echo for Trip<'_, E> {
    #[inline]
    fn ask(&mut self, seed: u64) -> Result<u64> {
        self.end.send(self.len, |bytes| fill(bytes, seed))?;
        self.end.receive(sum)
    }

    #[inline]
    fn answer(&mut self) -> Result<Option<u64>> {
        let (last, found) = self.end.receive(|bytes| (seed_of(bytes) == Some(LAST), sum(bytes)))?;
        if last {
            return check_last(found, self.len).map(|()| None);
        }
        self.end.send(self.len, |bytes| fill(bytes, found))?;
        Ok(Some(found))
    }

    fn end(&mut self) -> Result<()> {
        self.end.send(self.len, |bytes| fill(bytes, LAST))
    }
}

/// Requests and their replies.
struct Calls<'e, E> {
    end: &'e mut E,
    len: usize,
    reply: usize,
}

impl<'e, E: End> Calls<'e, E> {
    fn over(end: &'e mut E, job: &Job) -> Self {
        Self { end, len: job.payload, reply: job.reply }
    }

    /// Serves one request: the seed it shows and its sum. A request that ends a block has a reply like any other.
    #[inline]
    fn serve(&mut self) -> Result<(u64, u64)> {
        let read = |bytes: &[u8]| (seed_of(bytes).unwrap_or_default(), sum(bytes));
        self.end.serve(self.reply, read, |bytes, &(_, found)| fill(bytes, found))
    }
}

impl<E: End> Echo for Calls<'_, E> {
    #[inline]
    fn ask(&mut self, seed: u64) -> Result<u64> {
        self.end.request(self.len, |bytes| fill(bytes, seed), sum)
    }

    #[inline]
    fn answer(&mut self) -> Result<Option<u64>> {
        let (seed, found) = self.serve()?;
        if seed == LAST {
            return check_last(found, self.len).map(|()| None);
        }
        Ok(Some(found))
    }

    fn end(&mut self) -> Result<()> {
        let found = self.ask(LAST)?;
        check("reply", LAST, found, self.right_reply(LAST, self.len))
    }

    fn right_reply(&self, seed: u64, len: usize) -> u64 {
        expected(expected(seed, len), self.reply)
    }
}

/// Serves many clients until each has ended its block. Whether a request is the one whose turn it was only its client can
/// tell, from the reply; that it is whole is seen here.
fn serve_crowd<E: End>(calls: &mut Calls<'_, E>, job: &Job) -> Result<()> {
    let mut left = job.clients;
    while left > 0 {
        let (seed, found) = calls.serve()?;
        check("request", seed, found, expected(seed, calls.len))?;
        left -= usize::from(seed == LAST);
    }
    Ok(())
}

/// A stream.
struct OneWay<'e, E> {
    end: &'e mut E,
    len: usize,
}

impl<'e, E: End> OneWay<'e, E> {
    fn over(end: &'e mut E, job: &Job) -> Self {
        Self { end, len: job.payload }
    }
}

impl<E: End> Flow for OneWay<'_, E> {
    #[inline]
    fn send(&mut self, seed: u64) -> Result<()> {
        self.end.send(self.len, |bytes| fill(bytes, seed))
    }

    #[inline]
    fn receive(&mut self, each: &mut impl FnMut(u64) -> Result<()>) -> Result<bool> {
        let (len, mut more, mut checked) = (self.len, true, Ok(()));
        self.end.receive_some(&mut |bytes| {
            if checked.is_err() {
                return;
            }
            let found = sum(bytes);
            if seed_of(bytes) == Some(LAST) {
                more = false;
                checked = check_last(found, len);
            } else {
                checked = each(found);
            }
        })?;
        checked.map(|()| more)
    }

    fn end(&mut self) -> Result<()> {
        self.send(LAST)?;
        self.end.flush()
    }
}

/// Fails unless the message that ends a block is whole.
pub(super) fn check_last(found: u64, len: usize) -> Result<()> {
    check("last message", LAST, found, expected(LAST, len))
}
