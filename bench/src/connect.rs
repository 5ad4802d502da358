//! `connect`: from the call that connects to the moment at which the other side has read the first message.
//!
//! One listener runs all the time; every repetition is a fresh session to it, closed before the next begins. The
//! message's seed is the time at which its sender began to connect, and both processes read the same clock. The first
//! session of a process does not count: it also pays for what a process does once.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use slipring::{Bus, Deadline, Listener};

use crate::bench::Bench;
use crate::bus::{DATA, END, fault, options};
use crate::cli::ConnectArgs;
use crate::clock::{between, monotonic_ns};
use crate::crew::Crew;
use crate::echo::check;
use crate::fault::Fault;
use crate::link::{Link, Side};
use crate::meter::Used;
use crate::payload::{expected, fill, seed_of, sum};
use crate::plan::{Api, BusPlan};
use crate::row::Row;
use crate::tally::{Summary, Tally};
use crate::watchdog::Watchdog;
use crate::worker::Job;

/// Where the listener listens, within its private directory.
const ADDRESS: &str = "connect";
/// How long a side may take to appear or to read.
const LINGER: Duration = Duration::from_secs(10);
/// Fresh sessions that count, at the least.
const LEAST: u64 = 3;

/// What the two processes do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ConnectPlan {
    bus: BusPlan,
    payload: usize,
    time: Duration,
    damage: u64,
}

/// What one side saw.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ConnectReport {
    summary: Option<Summary>,
    used: Used,
}

pub(crate) fn measure(args: &ConnectArgs) -> Result<()> {
    let plan = args.ends.plan(args.wait, Api::Copy)?;
    let mut bench = Bench::new(&args.common)?;
    let (time, damage) = (bench.seconds, args.common.damage);
    let job = Job::Connect(ConnectPlan { bus: plan, payload: args.payload, time, damage });
    let crew = Crew::start(&bench.runtime, bench.cpus, &job)?;
    let [lead, follow] = crew.finish::<ConnectReport>(&Watchdog::expecting(time), |_| {})?;
    let summary = follow.summary.context("there are no samples")?;
    let row = Row { payload: Some(args.payload as u64), ..Row::new("connect", "slipring").bus(&plan) };
    bench.show(row.latencies(&summary).used(lead.used.busier(follow.used)))?;
    bench.finish()
}

/// A worker's part.
pub(crate) fn work(plan: &ConnectPlan, link: &Link) -> Result<ConnectReport> {
    match link.side() {
        Side::Lead => connect_often(plan, link),
        Side::Follow => listen(plan, link),
    }
}

fn connect_often(plan: &ConnectPlan, link: &Link) -> Result<ConnectReport> {
    let options = options(&plan.bus);
    let mut buffer = vec![0; plan.payload];
    let (mut begin, mut before) = (Instant::now(), Used::by_self()?);
    for number in 0.. {
        link.wait_ready()?;
        let last = number > LEAST && begin.elapsed() >= plan.time;
        let start = monotonic_ns();
        let mut bus = Bus::connect(ADDRESS, &options).context("connect to the listener")?;
        fill(&mut buffer, start);
        if plan.damage > 0 && plan.damage == number {
            buffer[plan.payload - 1] ^= 1;
        }
        bus.publish(if last { END } else { DATA }, &buffer).map_err(fault)?;
        bus.close(LINGER).map_err(fault)?;
        if last {
            break;
        }
        if number == 0 {
            (begin, before) = (Instant::now(), Used::by_self()?);
        }
    }
    Ok(ConnectReport { summary: None, used: Used::by_self()?.since(before) })
}

fn listen(plan: &ConnectPlan, link: &Link) -> Result<ConnectReport> {
    let mut listener = Listener::bind(ADDRESS, &options(&plan.bus)).context("bind the listener")?;
    let mut tally = Tally::new();
    let mut before = Used::by_self()?;
    for number in 0.. {
        link.ready()?;
        let mut bus = listener.accept_bus_until(Deadline::after(LINGER)).context("accept a session")?;
        let message = bus.recv_until(Deadline::after(LINGER)).map_err(fault)?;
        let found = sum(&message);
        let now = monotonic_ns();
        let start = seed_of(&message).filter(|&start| start <= now);
        let start = start.ok_or_else(|| Fault::Damaged(format!("message {number} was sent in the future")))?;
        check("first message", number, found, expected(start, plan.payload))?;
        if message.type_id() == END {
            break;
        }
        if number == 0 {
            before = Used::by_self()?;
        } else {
            tally.record(between(start, now));
        }
    }
    Ok(ConnectReport { summary: tally.summary(), used: Used::by_self()?.since(before) })
}
