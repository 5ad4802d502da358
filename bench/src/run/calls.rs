//! Part (d): calls through an `RpcBus`, beside requests and replies of the same length over a Unix socket.

use std::time::Duration;

use anyhow::Result;

use crate::bench::measure_blocks;
use crate::blocks::BlockPlan;
use crate::lane::{Lane, System};
use crate::plan::{Api, Backend, BusPlan, Counters, DEFAULT_INLINE, DEFAULT_RPC_RING, Fence, RpcPlan, Trust, Wait};
use crate::run::Tour;
use crate::run::trips::{percentiles, summaries};
use crate::wire::WireKind;

/// Calls of each system, in blocks that take turns.
const CALLS: u64 = 200_000;
const PER_BLOCK: u64 = 2_000;
/// A block that takes longer than this ends early.
const SPAN: Duration = Duration::from_secs(2);
/// Bytes of a request, and of a reply.
const PAYLOAD: usize = 32;

/// Measures and shows the percentiles of both.
pub(crate) fn part(tour: &Tour) -> Result<()> {
    let (wait, api, trust, fence) = (Wait::Adaptive, Api::Copy, Trust::SameUser, Fence::Auto);
    let bus = BusPlan {
        wait,
        api,
        backend: Backend::Memfd,
        trust,
        fence,
        counters: Counters::On,
        ring: DEFAULT_RPC_RING,
        inline: DEFAULT_INLINE,
    };
    let systems = [
        ("slipring RpcBus", System::Rpc(RpcPlan { bus, reply: PAYLOAD, inflight: 1 })),
        ("Unix socket", System::Wire(WireKind::UnixSocket)),
    ];
    let lanes = systems.iter().map(|(_, system)| Lane { system: *system, payload: PAYLOAD, gap_ns: 0 }).collect();
    let rounds = (CALLS / PER_BLOCK) as u32;
    let plan = BlockPlan { lanes, rounds, span: SPAN, count: PER_BLOCK, damage: 0 };
    let measured = measure_blocks(&tour.runtime, tour.cpus, plan)?;
    println!("{}", percentiles(&summaries(&systems, &measured)?));
    Ok(())
}
