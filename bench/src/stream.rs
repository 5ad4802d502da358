//! `stream`: one side publishes as fast as there is room, the other polls, reads and checks every message. With `--hold` it
//! keeps the first ones to the end; with `--fresh` no two messages of a block lie in the same memory; with `--shared` each hands
//! over the same object.

use anyhow::Result;

use crate::bench::Bench;
use crate::cli::StreamArgs;
use crate::lane::{Lane, System};
use crate::plan::FlowPlan;

pub(crate) fn measure(args: &StreamArgs) -> Result<()> {
    let plans = args.plans()?;
    let system = |plan: FlowPlan| match () {
        () if args.fresh => System::FreshFlow(plan.bus),
        () if args.shared => System::SharedFlow(plan.bus),
        () => System::BusFlow(plan),
    };
    let lane = |(payload, plan)| Lane { system: system(plan), payload, gap_ns: 0 };
    let lanes: Vec<Lane> = plans.into_iter().map(lane).collect();
    let mut bench = Bench::new(&args.common)?;
    bench.measure_with_floors("stream", &lanes)?;
    bench.finish()
}
