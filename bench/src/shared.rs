//! `shared`: what objects cost that are read in place by many: the first attach, the first look at the pages, and the memory of many
//! readers.
//!
//! The rows' `api` says which: `attach` is from the publish of a message with a fresh object to the moment at which the other side
//! has it mapped, `touch` the first read of one byte of each of its pages after that, and `readers` is no time but the memory that
//! the object takes in its owner and all its readers together. Handing over an object that is mapped already is measured by `rtt
//! --shared` and `stream --shared`.

pub(crate) mod attach;
pub(crate) mod readers;

use anyhow::{Context, Result};

use crate::bench::Bench;
use crate::cli::SharedArgs;
use crate::crew::Crew;
use crate::plan::Api;
use crate::row::Row;
use crate::tally::Summary;
use crate::watchdog::Watchdog;
use crate::worker::Job;
use attach::{AttachPlan, AttachReport};
use readers::Source;

pub(crate) fn measure(args: &SharedArgs) -> Result<()> {
    let plan = args.ends.plan(args.wait, Api::Copy)?;
    let mut bench = Bench::new(&args.common)?;
    let (payload, damage, time) = (args.payload, args.common.damage, bench.seconds);
    let job = Job::Attach(AttachPlan { bus: plan, payload, time, damage });
    let crew = Crew::start(&bench.runtime, bench.cpus, &job)?;
    let watchdog = Watchdog::expecting(time + attach::expected(payload));
    let [lead, follow] = crew.finish::<AttachReport>(&watchdog, |_| {})?;
    let used = lead.used.busier(follow.used);
    let row = |api: &str| {
        let row = Row::new("shared", "slipring").bus(&plan);
        Row { api: Some(api.to_owned()), payload: Some(payload as u64), ..row }
    };
    let timed = |api, summary: &Option<Summary>| {
        let summary = summary.as_ref().context("there are no samples")?;
        anyhow::Ok(row(api).latencies(summary).used(used))
    };
    bench.show(timed("attach", &follow.attach)?)?;
    bench.show(timed("touch", &follow.touch)?)?;
    let spoiled = damage > 0;
    let found = readers::read_by_many(&bench.runtime, &plan, Source::Pattern { len: payload, spoiled }, args.readers)?;
    let (rss_bytes, pss_bytes) = (Some(found.memory.rss), Some(found.memory.pss));
    bench.show(Row { clients: Some(args.readers as u64), rss_bytes, pss_bytes, ..row("readers") })?;
    bench.finish_as("an owner and its readers, each a process", "one row after the other")
}
