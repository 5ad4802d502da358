//! `rpc`: calls over one `RpcBus` session, one after the other or many in flight, beside the floor of their wait.
//!
//! A request or a reply that is long enough to be read in place adds to that floor what it takes to write and to read it:
//! 1.15 times S of its length, measured in the same run.

use anyhow::Result;

use crate::bench::Bench;
use crate::cli::RpcArgs;
use crate::lane::{Lane, System};

pub(crate) fn measure(args: &RpcArgs) -> Result<()> {
    let lane = |(payload, plan)| Lane { system: System::Rpc(plan), payload, gap_ns: 0 };
    let lanes: Vec<Lane> = args.plans()?.into_iter().map(lane).collect();
    let mut bench = Bench::new(&args.common)?;
    bench.measure_with_floors("rpc", &lanes)?;
    bench.finish()
}
