//! `connect --clients N`: from the first of many connects to the last accept, with all sessions open at the end.
//!
//! One process connects on a few threads, one listener accepts. When all were accepted every session carries a message, which is
//! checked; then all are closed, and the next repetition begins. The first one does not count.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use slipring::{Bus, Deadline, Listener, raise_descriptor_limit};

use crate::bench::Bench;
use crate::bus::{APPEAR, DATA, END, fault, options};
use crate::cli::ConnectArgs;
use crate::clock::{between, monotonic_ns};
use crate::crew::Crew;
use crate::echo::check;
use crate::fault::Fault;
use crate::flow::Moved;
use crate::link::{Link, Side};
use crate::meter::Used;
use crate::payload::{expected, fill, seed_of, sum};
use crate::plan::BusPlan;
use crate::row::Row;
use crate::tally::Tally;
use crate::watchdog::Watchdog;
use crate::worker::Job;

/// Where the listener listens, within its private directory.
const ADDRESS: &str = "connect-many";
/// Threads that connect: fewer than the handshakes that a listener has under way at a time.
const THREADS: usize = 8;
/// What a session takes at the most, on a quiet machine.
const EACH: Duration = Duration::from_millis(5);
/// Repetitions, the first of which does not count.
const LEAST: usize = 2;

/// What the two processes do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ManyPlan {
    bus: BusPlan,
    payload: usize,
    clients: usize,
    time: Duration,
    damage: u64,
}

/// When each repetition began, or ended; without the first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ManyReport {
    stamps: Vec<u64>,
    used: Used,
}

pub(crate) fn measure(args: &ConnectArgs) -> Result<()> {
    let bus = args.ends.many_plan(args.wait)?;
    let mut bench = Bench::new(&args.common)?;
    let (time, damage, clients) = (bench.seconds, args.common.damage, args.clients);
    let job = Job::ConnectMany(ManyPlan { bus, payload: args.payload, clients, time, damage });
    let crew = Crew::start(&bench.runtime, bench.cpus, &job)?;
    let expected = time + EACH * clients as u32 * LEAST as u32;
    let [lead, follow] = crew.finish::<ManyReport>(&Watchdog::expecting(expected), |_| {})?;
    let (mut tally, mut moved) = (Tally::new(), Moved::default());
    for (&start, &end) in lead.stamps.iter().zip(&follow.stamps) {
        tally.record(between(start, end));
        moved.messages += clients as u64;
        moved.time += between(start, end);
    }
    let summary = tally.summary().context("there are no samples")?;
    let row = Row::new("connect", "slipring").bus(&bus).latencies(&summary).rates(&moved, args.payload);
    let row = Row { payload: Some(args.payload as u64), clients: Some(clients as u64), ..row };
    bench.show(row.used(lead.used.busier(follow.used)))?;
    bench.finish()
}

/// A worker's part.
pub(crate) fn work(plan: &ManyPlan, link: &Link) -> Result<ManyReport> {
    raise_descriptor_limit().context("prepare for many sessions")?;
    match link.side() {
        Side::Lead => connect(plan, link),
        Side::Follow => accept(plan, link),
    }
}

fn connect(plan: &ManyPlan, link: &Link) -> Result<ManyReport> {
    let (begin, mut report, mut before) = (Instant::now(), ManyReport::default(), Used::by_self()?);
    for number in 0.. {
        let last = number + 1 >= LEAST && begin.elapsed() >= plan.time;
        link.wait_ready()?;
        let start = monotonic_ns();
        let open = connect_all(plan, if last { END } else { DATA })?;
        link.wait_ready()?;
        drop(open);
        if number == 0 {
            before = Used::by_self()?;
        } else {
            report.stamps.push(start);
        }
        if last {
            break;
        }
    }
    Ok(ManyReport { used: Used::by_self()?.since(before), ..report })
}

/// All sessions, each with its message under way.
fn connect_all(plan: &ManyPlan, type_id: u32) -> Result<Vec<Bus>> {
    let options = options(&plan.bus);
    let one = |session: usize| {
        let mut bus = Bus::connect_until(ADDRESS, &options, Deadline::after(APPEAR)).context("connect")?;
        let mut message = vec![0; plan.payload];
        fill(&mut message, session as u64);
        if session as u64 + 1 == plan.damage {
            message[plan.payload - 1] ^= 1;
        }
        bus.publish(type_id, &message).map_err(fault)?;
        anyhow::Ok(bus)
    };
    thread::scope(|scope| {
        let share = |first: usize| (first..plan.clients).step_by(THREADS).map(one).collect::<Result<Vec<_>>>();
        let spawn = |first| thread::Builder::new().spawn_scoped(scope, move || share(first));
        let threads = (0..THREADS).map(spawn).collect::<Result<Vec<_>, _>>().context("start a thread")?;
        let mut open = Vec::with_capacity(plan.clients);
        for connecting in threads {
            open.extend(connecting.join().unwrap_or_else(|_| Err(anyhow!("a connecting thread panicked")))?);
        }
        Ok(open)
    })
}

fn accept(plan: &ManyPlan, link: &Link) -> Result<ManyReport> {
    let mut listener = Listener::bind(ADDRESS, &options(&plan.bus)).context("bind the listener")?;
    let (mut report, mut before) = (ManyReport::default(), Used::by_self()?);
    for number in 0.. {
        link.ready()?;
        let accept = |_| listener.accept_bus_until(Deadline::after(APPEAR)).context("accept a session");
        let mut open = (0..plan.clients).map(accept).collect::<Result<Vec<_>>>()?;
        let end = monotonic_ns();
        let last = read_all(plan, &mut open)?;
        link.ready()?;
        drop(open);
        if number == 0 {
            before = Used::by_self()?;
        } else {
            report.stamps.push(end);
        }
        if last {
            break;
        }
    }
    Ok(ManyReport { used: Used::by_self()?.since(before), ..report })
}

/// Each session has the message of one client, and each client has sent one. Whether they were the last.
fn read_all(plan: &ManyPlan, open: &mut [Bus]) -> Result<bool> {
    let (mut heard, mut last) = (vec![false; plan.clients], false);
    for bus in open {
        let message = bus.recv_until(Deadline::after(APPEAR)).map_err(fault)?;
        let seed = seed_of(&message).unwrap_or(u64::MAX);
        check("first message of client", seed, sum(&message), expected(seed, plan.payload))?;
        match heard.get_mut(seed as usize) {
            Some(heard) if !*heard => *heard = true,
            _ => {
                return Err(
                    Fault::Damaged(format!("the message of client {seed} came twice, or nobody sent it")).into()
                );
            }
        }
        last = message.type_id() == END;
    }
    Ok(last)
}
