//! Workers: the processes that are measured.
//!
//! A worker is this program started again with a task as its argument. It does the task and nothing else, on one thread
//! and on its own CPU (but for the crowds of `fanin`, `rtt --beside` and `connect --clients`, which share both); it is told nothing further except over its link, tells its parent what it found in lines of JSON
//! on standard output, and never outlives its parent.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::beside::{self, CrowdPlan};
use crate::blocks::{self, BlockPlan};
use crate::connect::{self, ConnectPlan};
use crate::connect_many::{self, ManyPlan};
use crate::death::{self, DeathPlan};
use crate::fanin::{self, CallerPlan, ServerPlan};
use crate::fault::Fault;
use crate::idle;
use crate::link::{Link, Side};
use crate::pin::pin;
use crate::plan::BusPlan;
use crate::run::carry::{self, CarryPlan};
use crate::run::held::{self, HeldPlan};
use crate::shared::attach::{self, AttachPlan};
use crate::shared::readers::{self, OwnerPlan};

/// What a worker is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    /// The process that is to outlive this one.
    pub(crate) parent: u32,
    pub(crate) cpu: Option<usize>,
    pub(crate) side: Side,
    pub(crate) job: Job,
}

/// The jobs that there are. Unless told otherwise, each takes two workers joined by a link.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Job {
    Blocks(BlockPlan),
    Connect(ConnectPlan),
    ConnectMany(ManyPlan),
    Attach(AttachPlan),
    Idle(BusPlan),
    /// The survivor leads, the victim follows; they need no link.
    Death(DeathPlan),
    Carry(CarryPlan),
    Held(HeldPlan),
    /// Serves many, as the starting process tells it over its link.
    Serve(ServerPlan),
    /// Clients of such a server, told by the starting process too.
    Call(CallerPlan),
    /// Has an object that others read, until the starting process ends it.
    Own(OwnerPlan),
    /// One of those others.
    Read(BusPlan),
    /// Sends or is woken beside a measurement, as the leading process of that says.
    Crowd(CrowdPlan),
}

/// What a worker says, one line each.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Said {
    /// Everything is set up, and the wait begins; with what was found out so far.
    Ready(Value),
    /// So much of the work is done.
    Progress(u64),
    /// The job is done, with this result.
    Done(Value),
    /// The job failed, with this exit code.
    Failed { code: u8, why: String },
}

/// The whole life of a worker.
pub(crate) fn main(task: &str) -> ExitCode {
    let said = match work(task) {
        Ok(found) => Said::Done(found),
        Err(error) => Said::Failed { code: Fault::code_of(&error), why: format!("{error:#}") },
    };
    let code = if let Said::Failed { code, .. } = &said { *code } else { 0 };
    match say(&said) {
        Ok(()) => ExitCode::from(code),
        // Nobody listens any more, so nobody needs the reason.
        Err(_) => ExitCode::from(Fault::OTHER),
    }
}

/// Tells the parent.
pub(crate) fn say(said: &Said) -> Result<()> {
    let mut line = serde_json::to_string(said).context("write a line of JSON")?;
    line.push('\n');
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).context("tell the parent")
}

fn work(task: &str) -> Result<Value> {
    let task: Task = serde_json::from_str(task).context("understand the task")?;
    stay_with(task.parent)?;
    if let Some(cpu) = task.cpu {
        pin(cpu)?;
    }
    let link = || Link::from_stdin(task.side);
    let found = match &task.job {
        Job::Blocks(plan) => serde_json::to_value(blocks::work(plan, &link()?)?),
        Job::Connect(plan) => serde_json::to_value(connect::work(plan, &link()?)?),
        Job::ConnectMany(plan) => serde_json::to_value(connect_many::work(plan, &link()?)?),
        Job::Attach(plan) => serde_json::to_value(attach::work(plan, &link()?)?),
        Job::Own(plan) => serde_json::to_value(readers::own(plan, &link()?)?),
        Job::Read(plan) => serde_json::to_value(readers::read(plan, &link()?)?),
        Job::Crowd(plan) => serde_json::to_value(beside::work(plan, &link()?)?),
        Job::Idle(plan) => serde_json::to_value(idle::work(plan, task.side)?),
        Job::Death(plan) => serde_json::to_value(death::work(plan, task.side)?),
        Job::Carry(plan) => serde_json::to_value(carry::work(plan, &link()?)?),
        Job::Held(plan) => serde_json::to_value(held::work(plan, &link()?)?),
        Job::Serve(plan) => serde_json::to_value(fanin::serve(plan, link()?)?),
        Job::Call(plan) => serde_json::to_value(fanin::call(plan, &link()?)?),
    };
    found.context("write the result as JSON")
}

/// Dies with `parent`, whatever it dies of.
fn stay_with(parent: u32) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("ask to die with the parent")?;
    let now = getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get().unsigned_abs());
    ensure!(now == Some(parent), "the parent is gone");
    Ok(())
}
