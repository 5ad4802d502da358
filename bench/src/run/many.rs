//! Part (f): many clients, each in a process of its own, call one server at the same time.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::fanin::{Crowd, Entry, Seats, measure_one};
use crate::plan::{Api, Backend, BusPlan, Counters, DEFAULT_INLINE, Fence, RpcPlan, SMALL_RING, Trust, Wait};
use crate::run::Tour;
use crate::table::{amount, time};

/// Clients, and their processes.
const CLIENTS: usize = 8;
/// For how long they call.
const TIME: Duration = Duration::from_secs(1);
/// Bytes of a request, and of a reply.
const PAYLOAD: usize = 32;

/// Lets them call and says how each fared.
pub(crate) fn part(tour: &Tour) -> Result<()> {
    let (wait, api, trust, fence) = (Wait::Adaptive, Api::Copy, Trust::SameUser, Fence::Auto);
    let bus = BusPlan {
        wait,
        api,
        backend: Backend::Memfd,
        trust,
        fence,
        counters: Counters::On,
        ring: SMALL_RING,
        inline: DEFAULT_INLINE,
    };
    let crowd = Crowd { clients: CLIENTS, idle: 0, processes: CLIENTS };
    let plan = RpcPlan { bus, reply: PAYLOAD, inflight: 1 };
    let entry = Entry { crowd, payload: PAYLOAD, gap_ns: 0, plan };
    let seats = Seats::choose(None, tour.cpus)?;
    let found = measure_one(&tour.runtime, &seats, &entry, TIME)?;
    let (moved, share) = (found.moved(), found.slowest_share().context("nobody called")?);
    let median = found.tally.summary().context("there are no samples")?.p50_ns;
    let rate = moved.messages as f64 / moved.time.as_secs_f64();
    println!(
        "  {} calls, {} a second together, each answered and checked; half of them took at most {}",
        moved.messages,
        amount(rate, ""),
        time(median as f64)
    );
    println!("  the slowest client got {:.0} % of what a client gets on average\n", share * 100.0);
    Ok(())
}
