//! Part (c): round trips over a `Bus` each way, a pipe each way, and a Unix socket.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::bench::{Measured, measure_blocks};
use crate::blocks::BlockPlan;
use crate::lane::{Lane, System};
use crate::plan::{Api, Backend, BusPlan, Counters, DEFAULT_INLINE, DEFAULT_RING, Fence, Trust, Wait};
use crate::run::Tour;
use crate::table::{Table, time};
use crate::tally::Summary;
use crate::wire::WireKind;

/// Round trips of each system, in blocks that take turns.
const TRIPS: u64 = 20_000;
const PER_BLOCK: u64 = 1_000;
/// A block that takes longer than this ends early.
const SPAN: Duration = Duration::from_secs(2);
/// Bytes of a message.
const PAYLOAD: usize = 32;
/// Width of what stands before the bars.
const LABEL: usize = 15;
/// Width of the number behind a bar.
const CELL: usize = 10;
/// Width of a bar that stands for all samples.
const BAR: usize = 16;
/// A share that is shown with a dot, because its bar has no length.
const LEAST_SHARE: f64 = 0.0001;

/// Measures and shows the percentiles and a histogram of each.
pub(crate) fn part(tour: &Tour) -> Result<()> {
    let bus = |wait| {
        let (api, trust, fence) = (Api::Copy, Trust::SameUser, Fence::Auto);
        System::BusEcho(BusPlan {
            wait,
            api,
            backend: Backend::Memfd,
            trust,
            fence,
            counters: Counters::On,
            ring: DEFAULT_RING,
            inline: DEFAULT_INLINE,
        })
    };
    let systems = [
        ("slipring Bus", bus(Wait::Adaptive)),
        ("Bus, sleeping at once", bus(Wait::Park)),
        ("pipe", System::Wire(WireKind::Pipe)),
        ("Unix socket", System::Wire(WireKind::UnixSocket)),
    ];
    let lanes = systems.iter().map(|(_, system)| Lane { system: *system, payload: PAYLOAD, gap_ns: 0 }).collect();
    let rounds = (TRIPS / PER_BLOCK) as u32;
    let plan = BlockPlan { lanes, rounds, span: SPAN, count: PER_BLOCK, damage: 0 };
    let measured = measure_blocks(&tour.runtime, tour.cpus, plan)?;
    let summaries = summaries(&systems, &measured)?;
    println!("{}", percentiles(&summaries));
    print!("{}", histogram(&summaries));
    Ok(())
}

/// What was measured of each system, by its name.
pub(crate) fn summaries<'a>(
    systems: &[(&'a str, System)],
    measured: &'a [Measured],
) -> Result<Vec<(&'a str, &'a Summary)>> {
    let both = systems.iter().zip(measured);
    both.map(|((name, _), measured)| Ok((*name, measured.summary().context("there are no samples")?))).collect()
}

/// One line of percentiles for each system.
pub(crate) fn percentiles(summaries: &[(&str, &Summary)]) -> Table {
    let mut table = Table::new(&["", "number", "p50", "p90", "p99", "p99.9", "p99.99", "max"]);
    for (name, summary) in summaries {
        let times = [summary.p50_ns, summary.p90_ns, summary.p99_ns, summary.p999_ns, summary.p9999_ns, summary.max_ns];
        let label = [(*name).to_owned(), summary.samples.to_string()];
        table.line(label.into_iter().chain(times.map(|ns| time(ns as f64))).collect());
    }
    table
}

/// One line for each octave that has a share worth drawing, one column of bars for each system.
fn histogram(summaries: &[(&str, &Summary)]) -> String {
    let mut octaves = BTreeSet::new();
    for (_, summary) in summaries {
        let drawn = summary.octaves.iter().filter(|octave| octave.count as f64 >= LEAST_SHARE * summary.samples as f64);
        octaves.extend(drawn.map(|octave| octave.from_ns));
    }
    let mut text = format!("  {:LABEL$}", "took");
    for (name, _) in summaries {
        text += &format!("  {name:width$}", width = BAR + CELL);
    }
    for from_ns in octaves {
        text = format!("{}\n  {:>LABEL$}", text.trim_end(), format!("{} and up", time(from_ns as f64)));
        for (_, summary) in summaries {
            let count =
                summary.octaves.iter().find(|octave| octave.from_ns == from_ns).map_or(0, |octave| octave.count);
            text += &format!("  {:width$}", bar(count as f64 / summary.samples as f64), width = BAR + CELL);
        }
    }
    text.trim_end().to_owned() + "\n\n"
}

/// A share of the samples as a bar and a number; nothing for nothing.
fn bar(share: f64) -> String {
    let length = (share * BAR as f64).round() as usize;
    let bar = if length == 0 && share >= LEAST_SHARE { ".".to_owned() } else { "#".repeat(length) };
    if share < LEAST_SHARE { String::new() } else { format!("{bar:BAR$} {:>7.2} %", share * 100.0) }
}
