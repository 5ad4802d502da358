//! Part (e): the server is killed while its client provably waits, or works.

use anyhow::Result;

use crate::death::{DeathPlan, one_death, wait_of};
use crate::plan::{Api, Backend, BusPlan, Counters, Fence, Trust, While, geometry};
use crate::run::Tour;
use crate::table::{Table, time};

/// Kills of each kind.
const KILLS: usize = 5;

/// Kills a few servers and shows what their clients were told, and when.
pub(crate) fn part(tour: &Tour) -> Result<()> {
    let (ring, inline) = geometry(None, None)?;
    let mut table = Table::new(&["the client", "was told", "fastest", "slowest"]);
    for (during, what) in [
        (While::Park, "slept, waiting for a message"),
        (While::Spin, "spun, waiting for a message"),
        (While::Send, "was sending"),
    ] {
        let (wait, api, backend) = (wait_of(during), Api::Copy, Backend::Memfd);
        let bus = BusPlan {
            wait,
            api,
            backend,
            trust: Trust::SameUser,
            fence: Fence::Auto,
            counters: Counters::On,
            ring,
            inline,
        };
        let deaths = (0..KILLS)
            .map(|_| one_death(&tour.runtime, tour.cpus, &DeathPlan { during, bus }))
            .collect::<Result<Vec<_>>>()?;
        let times = || deaths.iter().map(|death| death.took.as_nanos() as f64);
        table.line(vec![
            what.to_owned(),
            deaths.first().map_or(String::new(), |death| format!("\"{}\"", death.cause)),
            time(times().fold(f64::INFINITY, f64::min)),
            time(times().fold(0.0, f64::max)),
        ]);
    }
    println!("{table}");
    println!(
        "  {KILLS} servers each. What they had sent before was received first, and checked. Each client was watched"
    );
    println!("  from outside until it had provably slept, or run, for ten milliseconds; then came the kill.\n");
    Ok(())
}
