//! The first attach: a fresh object with each message, and what the reader has to wait for.
//!
//! The message's seed is the time at which it was published, and both processes read the same clock. Objects are built and written
//! before that, and read in full after both times were taken.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::bus::{self, DATA, END, fault};
use crate::clock::{between, monotonic_ns};
use crate::echo::check;
use crate::fault::Fault;
use crate::handover::{MESSAGE, make_object};
use crate::link::{Link, Side};
use crate::meter::Used;
use crate::payload::{expected as expected_sum, fill, seed_of, sum};
use crate::plan::BusPlan;
use crate::tally::{Summary, Tally};
use crate::watchdog::SLOWEST;

/// Where the reading side listens, within its private directory.
const ADDRESS: &str = "attach";
/// Objects that count, at the least; one before them warms up.
const LEAST: u64 = 3;
/// A page as the kernel maps it; where its pages are larger some are looked at more than once.
const PAGE: usize = 4096;

/// What the two processes do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AttachPlan {
    pub(crate) bus: BusPlan,
    pub(crate) payload: usize,
    pub(crate) time: Duration,
    /// The object that is spoiled; 0 spoils none.
    pub(crate) damage: u64,
}

/// What one side saw; only the reading one has times.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AttachReport {
    pub(crate) attach: Option<Summary>,
    pub(crate) touch: Option<Summary>,
    pub(crate) used: Used,
}

/// How long the fewest objects of so many bytes take.
pub(crate) fn expected(payload: usize) -> Duration {
    Duration::from_secs((LEAST + 2) * (payload as u64 / SLOWEST + 1))
}

/// A worker's part.
pub(crate) fn work(plan: &AttachPlan, link: &Link) -> Result<AttachReport> {
    match link.side() {
        Side::Lead => give(plan, link),
        Side::Follow => take(plan, link),
    }
}

fn give(plan: &AttachPlan, link: &Link) -> Result<AttachReport> {
    let mut bus = bus::connect(ADDRESS, &plan.bus)?;
    let (begin, before, mut message) = (Instant::now(), Used::by_self()?, [0; MESSAGE]);
    for number in 0.. {
        let last = number > LEAST && begin.elapsed() >= plan.time;
        let spoiled = plan.damage > 0 && number == plan.damage;
        let object = make_object(plan.payload, number + u64::from(spoiled))?;
        link.wait_ready()?;
        fill(&mut message, monotonic_ns());
        bus.publish_shared(if last { END } else { DATA }, &message, &[&object]).map_err(fault)?;
        // The other side has seen all of it, and lets go of it first.
        link.wait_ready()?;
        if last {
            break;
        }
    }
    Ok(AttachReport { attach: None, touch: None, used: Used::by_self()?.since(before) })
}

fn take(plan: &AttachPlan, link: &Link) -> Result<AttachReport> {
    let mut bus = bus::listen(ADDRESS, &plan.bus)?;
    let (mut attach, mut touch, before) = (Tally::new(), Tally::new(), Used::by_self()?);
    for number in 0.. {
        link.ready()?;
        let message = bus.recv().map_err(fault)?;
        let [object] = message.shared() else {
            return Err(Fault::Damaged(format!("object {number} is lost or damaged: none came")).into());
        };
        let bytes: &[u8] = black_box(object);
        let mapped = monotonic_ns();
        bytes.iter().step_by(PAGE).for_each(|byte| {
            black_box(*byte);
        });
        let touched = monotonic_ns();
        let start = seed_of(&message).filter(|&start| start <= mapped);
        let start = start.ok_or_else(|| Fault::Damaged(format!("message {number} was sent in the future")))?;
        check("message", number, sum(&message), expected_sum(start, MESSAGE))?;
        check("object", number, sum(bytes), expected_sum(number, plan.payload))?;
        let last = message.type_id() == END;
        drop(message);
        link.ready()?;
        if number > 0 {
            attach.record(between(start, mapped));
            touch.record(between(mapped, touched));
        }
        if last {
            break;
        }
    }
    let used = Used::by_self()?.since(before);
    Ok(AttachReport { attach: attach.summary(), touch: touch.summary(), used })
}
