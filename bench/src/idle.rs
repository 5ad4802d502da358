//! `idle`: what two sides cost while nothing is sent.
//!
//! Each side waits without a deadline in a receive, and the starting process reads from outside what they use, from a
//! second after they began to wait. At the end it kills one; that the other then hears of its death proves that it
//! waited.
//!
//! Before that each side measures what one more session adds to it, a `Bus` with its first message read: `rss_bytes` is
//! the growth of the side that grows more, `pss_bytes` what both grow together with shared pages counted once.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::bench::Bench;
use crate::bus::{self, BusEcho, Sender, fault};
use crate::cli::IdleArgs;
use crate::crew::Crew;
use crate::echo::{Echo, check};
use crate::fault::Fault;
use crate::link::Side;
use crate::meter::{Memory, Used};
use crate::payload::{expected, sum};
use crate::plan::{Api, BusPlan};
use crate::row::Row;
use crate::watchdog::Watchdog;
use crate::worker::{Job, Said, say};

/// Bytes of the messages that show that the sessions work.
const PAYLOAD: usize = 32;
/// Time after which a side that waits has settled.
const SETTLE: Duration = Duration::from_secs(1);

/// What one more session added to one side, in bytes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Growth {
    rss: u64,
    pss: u64,
}

pub(crate) fn measure(args: &IdleArgs) -> Result<()> {
    let plan = args.ends.plan(args.wait, Api::Copy)?;
    let mut bench = Bench::new(&args.common)?;
    let watchdog = Watchdog::expecting(SETTLE + bench.seconds);
    let mut crew = Crew::start(&bench.runtime, bench.cpus, &Job::Idle(plan))?;
    let lead: Growth = crew.lead.ready(&watchdog)?;
    let follow: Growth = crew.follow.ready(&watchdog)?;
    std::thread::sleep(SETTLE);
    let pids = [crew.lead.pid(), crew.follow.pid()];
    let before = [Used::by(pids[0])?, Used::by(pids[1])?];
    std::thread::sleep(bench.seconds);
    let after = [Used::by(pids[0])?, Used::by(pids[1])?];
    crew.follow.kill()?;
    let cause: String = crew.lead.result(&watchdog)?;
    if cause != slipring::Cause::PeerDied.to_string() {
        return Err(Fault::Damaged(format!("the idle side was to hear of its peer's death and heard: {cause}")).into());
    }
    let row = Row::new("idle", "slipring").bus(&plan).used(after[0].since(before[0]).busier(after[1].since(before[1])));
    bench.show(Row { rss_bytes: Some(lead.rss.max(follow.rss)), pss_bytes: Some(lead.pss + follow.pss), ..row })?;
    bench.finish()
}

/// A worker's part; answers how its wait ended.
pub(crate) fn work(plan: &BusPlan, side: Side) -> Result<String> {
    let mut pair = BusEcho::open(side, "idle", plan, PAYLOAD)?;
    converse(&mut pair, side)?;
    let before = Memory::of_self()?;
    let _another = one_more(plan, side)?;
    let after = Memory::of_self()?;
    let growth = Growth { rss: after.rss.saturating_sub(before.rss), pss: after.pss.saturating_sub(before.pss) };
    say(&Said::Ready(serde_json::to_value(growth).context("write the growth as JSON")?))?;
    Ok(pair.wait_for_the_end().to_string())
}

/// One round trip, so that what is measured afterwards is a session at rest and not one that was never used.
fn converse(pair: &mut BusEcho, side: Side) -> Result<()> {
    match side {
        Side::Lead => {
            let reply = pair.ask(1)?;
            check("reply", 1, reply, pair.right_reply(1, PAYLOAD))
        }
        Side::Follow => {
            let request = pair.answer()?.unwrap_or_default();
            check("request", 1, request, expected(1, PAYLOAD))
        }
    }
}

/// The ends of one more session.
enum Another {
    Sending(#[expect(dead_code, reason = "held open")] Sender),
    Receiving(#[expect(dead_code, reason = "held open")] slipring::Bus),
}

fn one_more(plan: &BusPlan, side: Side) -> Result<Another> {
    const NAME: &str = "one-more";
    Ok(match side {
        Side::Lead => {
            let mut sender = Sender::new(bus::connect(NAME, plan)?, plan.api, PAYLOAD);
            sender.put(2)?;
            Another::Sending(sender)
        }
        Side::Follow => {
            let mut bus = bus::listen(NAME, plan)?;
            let found = sum(&bus.recv().map_err(fault)?);
            check("message", 2, found, expected(2, PAYLOAD))?;
            Another::Receiving(bus)
        }
    })
}
