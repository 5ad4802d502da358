//! Fresh sessions: how long one takes from nothing to its first message, and what memory it adds.
//!
//! The following side opens first and waits; a little later the leading side opens, sends one message, and the time from
//! before its opening to the end of the read counts. All sessions of a block stay open until the next begins, so the growth
//! of either process is theirs, and no message is lost to an end that was closed too early.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::drive::Side;
use super::{Block, End as _, Job, Report, Rival};
use crate::clock::{between, monotonic_ns};
use crate::echo::check;
use crate::fault::Fault;
use crate::flow::Moved;
use crate::meter::Memory;
use crate::payload::{expected, fill, seed_of, sum};
use crate::tally::Tally;

/// What the following side has for getting to where it waits, before the leading side begins.
const HEAD_START: Duration = Duration::from_millis(5);

/// The sessions of the last block.
pub(super) struct Fresh<R: Rival> {
    side: Side,
    open: Vec<R::End>,
    seed: u64,
}

impl<R: Rival> Fresh<R> {
    pub(super) fn new(side: Side) -> Self {
        Self { side, open: Vec::new(), seed: 0 }
    }

    /// Opens as many sessions as the block counts, one after the other.
    pub(super) fn block(&mut self, job: &Job, block: &Block) -> Result<Report> {
        self.open.clear();
        let before = Memory::of_self()?;
        let (begin, mut tally) = (Instant::now(), Tally::new());
        for _ in 0..block.count {
            self.seed += 1;
            let job = job.named(&self.seed.to_string());
            match self.side {
                Side::Lead => self.lead(&job)?,
                Side::Follow => self.follow(&job, &mut tally)?,
            }
        }
        let after = Memory::of_self()?;
        let grown = Memory { rss: after.rss.saturating_sub(before.rss), pss: after.pss.saturating_sub(before.pss) };
        let moved = Moved { messages: block.count, time: begin.elapsed() };
        Ok(Report { counts: tally.counts(), moved, grown, ..Report::default() })
    }

    fn lead(&mut self, job: &Job) -> Result<()> {
        std::thread::sleep(HEAD_START);
        let start = monotonic_ns();
        let mut end = R::open(job)?;
        let spoiled = u8::from(self.seed == job.damage);
        end.send(job.payload, |bytes| {
            fill(bytes, start);
            bytes[job.payload - 1] ^= spoiled;
        })?;
        end.flush()?;
        self.open.push(end);
        Ok(())
    }

    fn follow(&mut self, job: &Job, tally: &mut Tally) -> Result<()> {
        let mut end = R::open(job)?;
        let (start, found) = end.receive(|bytes| (seed_of(bytes).unwrap_or_default(), sum(bytes)))?;
        let now = monotonic_ns();
        check("first message", self.seed, found, expected(start, job.payload))?;
        if start > now {
            return Err(Fault::Damaged(format!("first message {} was sent in the future", self.seed)).into());
        }
        tally.record(between(start, now));
        self.open.push(end);
        Ok(())
    }
}
