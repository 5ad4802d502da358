//! `rtt`: round trips over two `Bus`es, back to back or at a distance, beside the floor of their wait and payload.

use anyhow::Result;

use crate::bench::Bench;
use crate::cli::EchoArgs;
use crate::lane::{Lane, System};
use crate::plan::Wait;

pub(crate) fn measure(args: &EchoArgs) -> Result<()> {
    measure_as("rtt", args, Wait::Adaptive, 0)
}

/// Round trips of `work`, with its defaults for wait and gap.
pub(crate) fn measure_as(work: &str, args: &EchoArgs, wait: Wait, gap_ns: u64) -> Result<()> {
    let gap_ns = args.gap_ns.unwrap_or(gap_ns);
    let plans = args.traffic.plans(wait)?;
    let lane = |(payload, plan)| Lane { system: System::BusEcho(plan), payload, gap_ns };
    let lanes: Vec<Lane> = plans.into_iter().map(lane).collect();
    let mut bench = Bench::new(&args.common)?;
    bench.measure_with_floors(work, &lanes)?;
    bench.finish()
}
