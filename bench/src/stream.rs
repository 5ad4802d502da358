//! `stream`: one side publishes as fast as there is room, the other polls, reads and checks every message. With `--hold` it
//! keeps the first ones to the end.

use anyhow::Result;

use crate::bench::Bench;
use crate::cli::StreamArgs;
use crate::lane::{Lane, System};

pub(crate) fn measure(args: &StreamArgs) -> Result<()> {
    let plans = args.plans()?;
    let lane = |(payload, plan)| Lane { system: System::BusFlow(plan), payload, gap_ns: 0 };
    let lanes: Vec<Lane> = plans.into_iter().map(lane).collect();
    let mut bench = Bench::new(&args.common)?;
    bench.measure_with_floors("stream", &lanes)?;
    bench.finish()
}
