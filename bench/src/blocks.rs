//! Blocks: how two processes measure several lanes beside each other.
//!
//! A shared machine drifts from second to second, so a row and its floor are measured in turns of some ten milliseconds
//! each: floor, row, floor, row. The leading process decides when a block is over; between two blocks the following one
//! says over the link that it is ready, so no block carries anything of the one before it. The first round warms up and
//! does not count.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::echo::Limit;
use crate::flow::Moved;
use crate::lane::{Lane, Line};
use crate::link::{Link, Side};
use crate::meter::Used;
use crate::tally::{Summary, Tally};

/// What the two processes do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BlockPlan {
    pub(crate) lanes: Vec<Lane>,
    /// Rounds that count.
    pub(crate) rounds: u32,
    /// Longest time of a block, and most messages in it.
    pub(crate) span: Duration,
    pub(crate) count: u64,
    /// The message of each lane that is spoiled, from 1; 0 spoils none.
    pub(crate) damage: u64,
}

/// What one side saw of one lane.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct LaneReport {
    pub(crate) summary: Option<Summary>,
    pub(crate) moved: Moved,
    pub(crate) used: Used,
    /// Time that its blocks took.
    pub(crate) time: Duration,
}

/// A lane at work on one side.
struct Station {
    lane: Lane,
    line: Line,
    seed: u64,
    tally: Tally,
    report: LaneReport,
}

/// Runs all blocks of `plan` on this side of the link.
pub(crate) fn work(plan: &BlockPlan, link: &Link) -> Result<Vec<LaneReport>> {
    let mut stations = Vec::new();
    for (index, lane) in plan.lanes.iter().enumerate() {
        let line = lane.open(index, link)?;
        stations.push(Station { lane: *lane, line, seed: 0, tally: Tally::new(), report: LaneReport::default() });
    }
    for round in 0..=plan.rounds {
        for station in &mut stations {
            let counts = round > 0;
            match link.side() {
                Side::Lead => station.lead(plan, link, counts)?,
                Side::Follow => station.follow(link, counts)?,
            }
        }
    }
    let tell = |station: Station| LaneReport { summary: station.tally.summary(), ..station.report };
    Ok(stations.into_iter().map(tell).collect())
}

impl Station {
    fn lead(&mut self, plan: &BlockPlan, link: &Link, counts: bool) -> Result<()> {
        let limit = Limit { span: plan.span, count: plan.count };
        link.wait_ready()?;
        let (before, begin) = (Used::by_self()?, Instant::now());
        let moved = self.line.lead(&self.lane, limit, &mut self.seed, plan.damage, &mut self.tally)?;
        if counts {
            self.account(before, begin, moved)
        } else {
            self.tally.reset();
            Ok(())
        }
    }

    fn follow(&mut self, link: &Link, counts: bool) -> Result<()> {
        let (before, begin) = (Used::by_self()?, Instant::now());
        link.ready()?;
        let moved = self.line.follow(&self.lane, &mut self.seed)?;
        if counts { self.account(before, begin, moved) } else { Ok(()) }
    }

    fn account(&mut self, before: Used, begin: Instant, moved: Moved) -> Result<()> {
        self.report.used += Used::by_self()?.since(before);
        self.report.time += begin.elapsed();
        self.report.moved.messages += moved.messages;
        self.report.moved.time += moved.time;
        Ok(())
    }
}
