//! `death`: from the SIGKILL of one side to the moment at which the other side holds the error.
//!
//! Every repetition starts two fresh, small processes. The survivor first receives what its peer had committed, says
//! that it is about to wait, and is then watched from outside until it provably does what the row is about. The kill is
//! stamped right before it is sent, the error right after the call has returned it, both by the clock that processes
//! share.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use slipring::{Bus, Cause};

use crate::bench::Bench;
use crate::bus::{self, DATA, Sender, fault};
use crate::cli::DeathArgs;
use crate::clock::{between, monotonic_ns};
use crate::crew::{Member, Runtime};
use crate::echo::check;
use crate::fault::Fault;
use crate::link::Side;
use crate::meter::Used;
use crate::payload::{expected, sum};
use crate::pin::Cpus;
use crate::plan::{Api, BusPlan, Wait, While, word};
use crate::row::Row;
use crate::tally::Tally;
use crate::watchdog::Watchdog;
use crate::worker::{Job, Said, say};

/// Where the listening side listens, within its private directory.
const ADDRESS: &str = "death";
/// Bytes of a message.
const PAYLOAD: usize = 32;
/// Messages that the victim commits before it is killed.
const COMMITTED: u64 = 3;
/// Time over which the survivor must be seen asleep, or at work: ten naps.
const WATCHED: Duration = Duration::from_millis(10);
/// Time between two messages of a survivor that only sends: so slow that the ring is far from full when it learns.
const SENDS_EVERY: Duration = Duration::from_micros(10);
/// Repetitions of each row, at the least.
const LEAST: u64 = 3;
/// What one repetition takes.
const REPETITION: Duration = Duration::from_millis(100);

/// What the two processes do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct DeathPlan {
    pub(crate) during: While,
    pub(crate) bus: BusPlan,
}

/// What the survivor saw.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Survived {
    cause: String,
    at_ns: u64,
}

/// One death, as told to whoever asked for it.
#[derive(Clone, Debug)]
pub(crate) struct Death {
    pub(crate) cause: String,
    pub(crate) took: Duration,
}

pub(crate) fn measure(args: &DeathArgs) -> Result<()> {
    let modes = args.during.map_or(While::ALL.to_vec(), |during| vec![during]);
    let mut bench = Bench::new(&args.common)?;
    for during in modes {
        let plan = DeathPlan { during, bus: args.ends.plan(wait_of(during), Api::Copy)? };
        let mut tally = Tally::new();
        let begin = Instant::now();
        for number in 0.. {
            if number >= LEAST && begin.elapsed() >= bench.seconds {
                break;
            }
            tally.record(one_death(&bench.runtime, bench.cpus, &plan)?.took);
        }
        let summary = tally.summary().context("there are no samples")?;
        let row = Row::new("death", "slipring").session(&plan.bus).latencies(&summary);
        bench.show(Row { wait: Some(word(during)), ..row })?;
    }
    bench.finish()
}

/// How the ends of a survivor wait: as it is to wait, or else by the default.
pub(crate) fn wait_of(during: While) -> Wait {
    match during {
        While::Park => Wait::Park,
        While::Spin => Wait::Spin,
        While::Send | While::Try => Wait::Adaptive,
    }
}

/// Starts two processes, kills one while the other does what the plan says, and answers what that one saw.
pub(crate) fn one_death(runtime: &Runtime, cpus: Cpus, plan: &DeathPlan) -> Result<Death> {
    let watchdog = Watchdog::expecting(REPETITION);
    let job = Job::Death(*plan);
    let mut survivor = Member::alone(runtime, cpus, Side::Lead, &job)?;
    let mut victim = Member::alone(runtime, cpus, Side::Follow, &job)?;
    survivor.ready::<()>(&watchdog)?;
    until_provably(plan.during, survivor.pid(), &watchdog)?;
    let killed_ns = monotonic_ns();
    victim.kill()?;
    let survived: Survived = survivor.result(&watchdog)?;
    victim.reap()?;
    survivor.reap()?;
    if survived.cause != Cause::PeerDied.to_string() {
        return Err(Fault::Damaged(format!("the survivor was told the wrong cause: {}", survived.cause)).into());
    }
    Ok(Death { cause: survived.cause, took: between(killed_ns, survived.at_ns) })
}

/// Watches the survivor until it has slept without a break, or has been at work, for as long as [`WATCHED`].
fn until_provably(during: While, survivor: u32, watchdog: &Watchdog) -> Result<()> {
    loop {
        watchdog.check()?;
        let before = Used::by(survivor)?;
        std::thread::sleep(WATCHED);
        let used = Used::by(survivor)?.since(before);
        let proven = match during {
            While::Park => used == Used::default(),
            While::Spin | While::Send | While::Try => used.cpu >= WATCHED / 4,
        };
        if proven {
            return Ok(());
        }
    }
}

/// A worker's part. The survivor answers what it saw; the victim never answers.
pub(crate) fn work(plan: &DeathPlan, side: Side) -> Result<serde_json::Value> {
    match (side, plan.during) {
        (Side::Follow, While::Send) => {
            let mut bus = bus::listen(ADDRESS, &plan.bus)?;
            loop {
                drop(bus.recv().map_err(fault)?);
            }
        }
        (Side::Follow, _) => {
            let mut sender = Sender::new(bus::connect(ADDRESS, &plan.bus)?, plan.bus.api, PAYLOAD);
            for seed in 1..=COMMITTED {
                sender.put(seed)?;
            }
            loop {
                std::thread::park();
            }
        }
        (Side::Lead, during) => {
            let cause = survive(plan, during)?;
            let survived = Survived { at_ns: monotonic_ns(), cause: cause.to_string() };
            serde_json::to_value(survived).context("write what was seen as JSON")
        }
    }
}

/// Does what it is told until the session ends; why it ended.
fn survive(plan: &DeathPlan, during: While) -> Result<Cause> {
    if during == While::Send {
        let mut bus = bus::connect(ADDRESS, &plan.bus)?;
        ready()?;
        return Ok(send_until_the_end(&mut bus));
    }
    let mut bus = bus::listen(ADDRESS, &plan.bus)?;
    for seed in 1..=COMMITTED {
        let found = sum(&bus.recv().map_err(fault)?);
        check("message", seed, found, expected(seed, PAYLOAD))?;
    }
    ready()?;
    loop {
        let received = if during == While::Try { bus.try_recv() } else { bus.recv() };
        match received {
            Err(Cause::Empty) => {}
            Err(cause) => return Ok(cause),
            Ok(_) => return Err(Fault::Damaged("a message that nobody sent".into()).into()),
        }
    }
}

fn send_until_the_end(bus: &mut Bus) -> Cause {
    let mut next = Instant::now();
    loop {
        if let Err(cause) = bus.publish(DATA, &[0; PAYLOAD]) {
            return cause;
        }
        next += SENDS_EVERY;
        while Instant::now() < next {
            std::hint::spin_loop();
        }
    }
}

fn ready() -> Result<()> {
    say(&Said::Ready(serde_json::Value::Null))
}
