//! `fanin`: many clients in many processes call one server, beside what one client reaches alone in the same run.
//!
//! Every row has a server process and client processes of its own (`fanin/team.rs`), and the rows are measured in turns: the
//! server of a row runs only in its blocks, so that it takes nothing from the others while it has nobody to serve. The first
//! row of each payload, wait and counters is one client alone, without idle sessions: what the rows after it are to be compared with.
//!
//! Rates are counted by the clock of the starting process, from the word to begin to the last client's word that it is
//! done. They are too low by what that costs, some 0.1 %, and alike in all rows.

mod call;
mod serve;
mod team;

pub(crate) use call::{CallerPlan, work as call};
pub(crate) use serve::{ServerPlan, work as serve};

use std::time::Duration;

use anyhow::Result;

use crate::bench::Bench;
use crate::cli::FaninArgs;
use crate::crew::Runtime;
use crate::plan::RpcPlan;
use crate::row::Row;
use crate::watchdog::Watchdog;
use team::Team;
pub(crate) use team::{Found, Seats};

/// Length of a block, and what it is for each client at the least: clients that share a CPU get turns of some milliseconds on
/// it, and each needs several in a block.
const SPAN: Duration = Duration::from_millis(200);
const SPAN_EACH: Duration = Duration::from_millis(25);
/// A block holds at least this many calls of a client at their distance.
const GAPS: u32 = 20;
/// What starting and connecting a process, or a session, takes at the most on a quiet machine.
const START: Duration = Duration::from_millis(100);
const CONNECT: Duration = Duration::from_millis(2);

/// Who calls in one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crowd {
    /// Sessions that call.
    pub(crate) clients: usize,
    /// Sessions that are open and say nothing.
    pub(crate) idle: usize,
    /// The most processes that either are spread over.
    pub(crate) processes: usize,
}

/// One row to be measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) crowd: Crowd,
    pub(crate) payload: usize,
    pub(crate) gap_ns: u64,
    pub(crate) plan: RpcPlan,
}

/// How long a row is measured, and in how many blocks that count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocks {
    pub(crate) span: Duration,
    pub(crate) rounds: u32,
    /// The call of the first client that is spoiled; 0 spoils none.
    pub(crate) damage: u64,
}

impl Blocks {
    fn of(time: Duration, most_clients: usize, gap_ns: u64, damage: u64) -> Self {
        let span = SPAN.max(SPAN_EACH * most_clients as u32).max(Duration::from_nanos(gap_ns) * GAPS).min(time);
        let rounds = (time.as_secs_f64() / span.as_secs_f64()).round().max(1.0) as u32;
        Self { span, rounds, damage }
    }
}

pub(crate) fn measure(args: &FaninArgs) -> Result<()> {
    let entries = args.entries()?;
    let mut bench = Bench::new(&args.common)?;
    let seats = Seats::choose(args.common.cpus, bench.cpus)?;
    let most_clients = entries.iter().map(|entry| entry.crowd.clients).max().unwrap_or_default();
    let blocks = Blocks::of(bench.seconds, most_clients, args.gap_ns, args.common.damage);
    let watchdog = Watchdog::expecting(expected(&entries, &blocks));
    let mut teams = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        teams.push(Team::start(&bench.runtime, &seats, index, entry, &blocks, &watchdog)?);
    }
    for round in 0..=blocks.rounds {
        for team in &mut teams {
            // The first round warms up.
            team.block(round > 0, &watchdog)?;
        }
    }
    for (entry, team) in entries.iter().zip(teams) {
        let found = team.finish(&watchdog)?;
        if entry.crowd.idle > 0 {
            let (sessions, used) = (entry.crowd.idle, found.idle_used);
            let (cpu, time, wakeups) = (used.cpu, found.moved().time, used.wakeups);
            eprintln!(
                "slipring-bench: {sessions} idle sessions used {cpu:.1?} of {time:.1?}, and woke {wakeups} times"
            );
        }
        bench.show(Row { cpus: seats.label(), ..row(entry, &found) })?;
    }
    bench.finish_as("one server process, clients in others", "rows in turns")
}

/// One row's crowd by itself, without another beside it.
pub(crate) fn measure_one(runtime: &Runtime, seats: &Seats, entry: &Entry, time: Duration) -> Result<Found> {
    let blocks = Blocks::of(time, entry.crowd.clients, entry.gap_ns, 0);
    let watchdog = Watchdog::expecting(expected(&[*entry], &blocks));
    let mut team = Team::start(runtime, seats, 0, entry, &blocks, &watchdog)?;
    for round in 0..=blocks.rounds {
        team.block(round > 0, &watchdog)?;
    }
    team.finish(&watchdog)
}

/// The time that all of it takes on a quiet machine.
fn expected(entries: &[Entry], blocks: &Blocks) -> Duration {
    let crowds = entries.iter().map(|entry| entry.crowd);
    let sessions: usize = crowds.clone().map(|crowd| crowd.clients + crowd.idle).sum();
    let processes: usize = crowds.map(|crowd| 1 + 2 * crowd.processes).sum();
    let measured = blocks.span * (blocks.rounds + 1) * entries.len() as u32;
    measured + CONNECT * sessions as u32 + START * processes as u32
}

/// What was found out, as a row.
fn row(entry: &Entry, found: &Found) -> Row {
    let moved = found.moved();
    let mut row = Row::new("fanin", "slipring").bus(&entry.plan.bus);
    if let Some(summary) = found.tally.summary() {
        row = row.latencies(&summary);
    }
    row = row.rates(&moved, entry.payload + entry.plan.reply).used(found.used);
    row.payload = Some(entry.payload as u64);
    row.reply = Some(entry.plan.reply as u64);
    row.gap_ns = Some(entry.gap_ns);
    row.clients = Some(entry.crowd.clients as u64);
    row.idle = Some(entry.crowd.idle as u64);
    row.inflight = Some(entry.plan.inflight.into());
    row.slowest_share = found.slowest_share();
    row.rss_bytes = Some(found.memory.rss);
    row.pss_bytes = Some(found.memory.pss);
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_fill_the_time_and_hold_several_calls() {
        let blocks = Blocks::of(Duration::from_secs(2), 8, 0, 0);
        assert_eq!((blocks.span, blocks.rounds), (SPAN, 10));
        let blocks = Blocks::of(Duration::from_secs(2), 8, 50_000_000, 0);
        assert_eq!((blocks.span, blocks.rounds), (Duration::from_secs(1), 2));
        let blocks = Blocks::of(Duration::from_secs(2), 20, 0, 0);
        assert_eq!((blocks.span, blocks.rounds), (Duration::from_millis(500), 4));
        let blocks = Blocks::of(Duration::from_millis(50), 8, 0, 0);
        assert_eq!((blocks.span, blocks.rounds), (Duration::from_millis(50), 1));
    }
}
