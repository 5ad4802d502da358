//! `rtt`: round trips over two `Bus`es, back to back or at a distance, beside the floor of their wait and payload. With
//! `--shared` the requests hand over an object; with `--beside` the same is measured alone and beside a crowd.

use anyhow::Result;

use crate::bench::Bench;
use crate::beside::BesidePlan;
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
    let mut bench = Bench::new(&args.common)?;
    let cpus = bench.cpus.0;
    let systems = |bus| match args.beside {
        _ if args.shared => vec![System::SharedEcho(bus)],
        Some(sessions) => vec![System::BusEcho(bus), System::BesideEcho(BesidePlan { bus, sessions, cpus })],
        None => vec![System::BusEcho(bus)],
    };
    let lanes_of = |(payload, bus)| systems(bus).into_iter().map(move |system| Lane { system, payload, gap_ns });
    let lanes: Vec<Lane> = plans.into_iter().flat_map(lanes_of).collect();
    bench.measure_with_floors(work, &lanes)?;
    bench.finish()
}
