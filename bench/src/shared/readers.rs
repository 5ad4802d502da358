//! One object, its owner, and many processes that read it where it is.
//!
//! Each reader asks the owner for the object twice: the second time it must get it at the same address. Then it reads all of it, and
//! all keep it while the starting process reads from outside what the object's pages take in all of them together.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use slipring::{Deadline, Listener, RpcBus, SharedBuffer};

use crate::bus::{APPEAR, DATA, fault, options};
use crate::crew::{Member, Runtime};
use crate::echo::check;
use crate::fault::Fault;
use crate::handover::make_object;
use crate::link::{Link, Side};
use crate::meter::Memory;
use crate::payload::{expected, sum};
use crate::plan::BusPlan;
use crate::watchdog::Watchdog;
use crate::worker::{Job, Said, say};

/// Where the owner listens, within its private directory.
const ADDRESS: &str = "table";
/// What is asked for.
const TABLE: u32 = DATA;
/// How often each reader asks.
const REQUESTS: usize = 2;
/// The seed of a pattern.
const SEED: u64 = 11;
/// What building, reading and starting take at the most, on a quiet machine.
const EXPECTED: Duration = Duration::from_secs(10);

/// What the object holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Source {
    /// So many bytes of the pattern, or of another one.
    Pattern { len: usize, spoiled: bool },
    /// The beginning of a file, up to so many bytes.
    File { path: PathBuf, most: u64 },
}

/// What the owner does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OwnerPlan {
    bus: BusPlan,
    source: Source,
    readers: usize,
}

/// What a process has of the object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct View {
    /// The object's number: the same everywhere.
    pub(crate) id: u64,
    pub(crate) len: usize,
    pub(crate) sum: u64,
    /// Where this process has it mapped.
    pub(crate) address: usize,
    /// From the second request to its reply.
    pub(crate) again: Duration,
}

/// What was found out.
pub(crate) struct Found {
    /// The owner's first.
    pub(crate) views: Vec<View>,
    /// Of the object's pages, in all processes.
    pub(crate) memory: Memory,
}

/// Starts an owner and its readers, and answers what they saw when all had read all of it.
pub(crate) fn read_by_many(runtime: &Runtime, bus: &BusPlan, source: Source, readers: usize) -> Result<Found> {
    let watchdog = Watchdog::expecting(EXPECTED);
    let right = match &source {
        Source::Pattern { len, .. } => Some(expected(SEED, *len)),
        Source::File { .. } => None,
    };
    let job = Job::Own(OwnerPlan { bus: *bus, source, readers });
    let mut all = vec![Member::linked(runtime, None, Side::Lead, &job)?];
    let mut views = vec![all[0].0.ready::<View>(&watchdog)?];
    for _ in 0..readers {
        all.push(Member::linked(runtime, None, Side::Follow, &Job::Read(*bus))?);
    }
    for (member, _) in &mut all[1..] {
        views.push(member.ready(&watchdog)?);
    }
    let (id, right) = (views[0].id, right.unwrap_or(views[0].sum));
    for (number, view) in (0..).zip(&views) {
        check("object at reader", number, view.sum, right)?;
        if (view.id, view.len) != (id, views[0].len) {
            return Err(Fault::Damaged(format!("reader {number} got another object")).into());
        }
    }
    let mut memory = Memory::default();
    for (member, _) in &all {
        let part = Memory::of_file(member.pid(), id)?;
        memory.rss += part.rss;
        memory.pss += part.pss;
    }
    all.iter().try_for_each(|(_, link)| link.ready())?;
    all.iter_mut().try_for_each(|(member, _)| member.result::<()>(&watchdog))?;
    Ok(Found { views, memory })
}

/// The owner's part: makes the object, hands it to each reader as often as it asks, and keeps it until it is told to end.
pub(crate) fn own(plan: &OwnerPlan, link: &Link) -> Result<()> {
    let table = build(&plan.source)?;
    let mut listener = Listener::bind(ADDRESS, &options(&plan.bus)).context("bind the owner's listener")?;
    tell(&table, Duration::ZERO)?;
    let mut sessions = Vec::with_capacity(plan.readers);
    for _ in 0..plan.readers {
        let mut rpc = listener.accept_rpc_until(Deadline::after(APPEAR)).context("accept a reader")?;
        for _ in 0..REQUESTS {
            let request = rpc.serve_until(Deadline::after(APPEAR)).map_err(fault)?;
            request.reply_shared(TABLE, &[], &[&table]).map_err(fault)?;
        }
        sessions.push(rpc);
    }
    link.wait_ready()
}

fn build(source: &Source) -> Result<SharedBuffer> {
    match source {
        Source::Pattern { len, spoiled } => make_object(*len, SEED + u64::from(*spoiled)),
        Source::File { path, most } => {
            let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
            let len = file.metadata().context("ask for a file's length")?.len().clamp(1, *most);
            let mut built = SharedBuffer::build(len as usize).context("build a shared object")?;
            file.read_exact(&mut built).with_context(|| format!("read {}", path.display()))?;
            built.seal().context("seal a shared object")
        }
    }
}

/// A reader's part.
pub(crate) fn read(plan: &BusPlan, link: &Link) -> Result<()> {
    let mut rpc = RpcBus::connect_until(ADDRESS, &options(plan), Deadline::after(APPEAR)).context("connect")?;
    let mut ask = || {
        let reply = rpc.request_until(TABLE, &[], Deadline::after(APPEAR));
        let reply = reply.map_err(|error| fault(error.cause()))?;
        let table = reply.shared().first().cloned();
        table.ok_or_else(|| anyhow::Error::new(Fault::Damaged("the owner's object is lost or damaged".into())))
    };
    let first = ask()?;
    let begin = Instant::now();
    let table = ask()?;
    let again = begin.elapsed();
    if table.as_ptr() != first.as_ptr() {
        return Err(Fault::Damaged("an object that was handed over twice was mapped twice".into()).into());
    }
    tell(&table, again)?;
    link.wait_ready()
}

/// Reads all of it, and says what it found.
fn tell(table: &SharedBuffer, again: Duration) -> Result<()> {
    let (address, len) = (table.as_ptr().addr(), table.len());
    let view = View { id: table.id(), len, sum: sum(table), address, again };
    say(&Said::Ready(serde_json::to_value(view).context("write what was seen as JSON")?))
}
