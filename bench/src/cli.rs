//! The command line. Each work has the flags that apply to it and no others; a flag that does not apply is a usage
//! error.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::pin::parse_pair;
use crate::plan::{Api, BusPlan, Fence, Trust, Wait, While, geometry};

/// Measures slipring between two processes, beside what the hardware and the kernel can do at all.
///
/// Exit codes: 0 measured, 1 could not be set up, 2 usage, 3 lost or damaged data, 4 a process died or the watchdog
/// fired.
#[derive(Debug, Parser)]
#[command(name = "slipring-bench", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) work: Work,
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Work {
    /// The floors alone: F, W, B, B0 and S over one raw shared page.
    Floor(FloorArgs),
    /// Round trips, back to back or at a distance.
    Rtt(EchoArgs),
    /// A stream: as many messages as there is room for.
    Stream(StreamArgs),
    /// Round trips that each find the other side asleep for good.
    Wake(EchoArgs),
    /// From a fresh connection to its first message.
    Connect(ConnectArgs),
    /// What two sides cost while nothing is sent.
    Idle(IdleArgs),
    /// From the SIGKILL of one side to the other side's error. The row's `wait` says what the survivor was doing.
    Death(DeathArgs),
    /// A tour for newcomers: a real file, round trips, a kill, and what is left behind, beside pipe and Unix socket.
    Run(RunArgs),
    /// One process of a measurement; started by the others.
    #[command(hide = true)]
    Worker {
        /// What to do, as JSON.
        task: String,
    },
}

/// What every measurement has.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// Measured time of each row.
    #[arg(long, value_name = "S", default_value = "2", value_parser = parse_seconds)]
    pub(crate) seconds: Duration,
    /// The CPUs of the two processes; by default the first two that may be used.
    #[arg(long, value_name = "A,B", value_parser = parse_pair)]
    pub(crate) cpus: Option<[usize; 2]>,
    /// One JSON object a line on standard output, and nothing else there.
    #[arg(long)]
    pub(crate) json: bool,
    /// Spoil this message of every lane, to see that the other side finds it (exit code 3).
    #[arg(long, value_name = "N", default_value_t = 0, hide = true)]
    pub(crate) damage: u64,
}

/// How the ends are opened.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Ends {
    /// Whom the ends trust.
    #[arg(long, value_enum, default_value_t = Trust::SameUser)]
    trust: Trust,
    /// How a wake-up is kept from getting lost.
    #[arg(long, value_enum, default_value_t = Fence::Auto)]
    fence: Fence,
    /// Size of the frame ring: a power of two from 256 [default: 1 MiB, or more for large payloads]
    #[arg(long, value_name = "BYTES")]
    ring: Option<usize>,
    /// Longest payload that rides in the ring [default: 1 KiB, or the payload]
    #[arg(long, value_name = "BYTES")]
    inline: Option<usize>,
}

impl Ends {
    /// The plan of ends that carry `payload`.
    pub(crate) fn plan(&self, wait: Wait, api: Api, payload: usize) -> anyhow::Result<BusPlan> {
        let (ring, inline) = geometry(payload, self.ring, self.inline)?;
        Ok(BusPlan { wait, api, trust: self.trust, fence: self.fence, ring, inline })
    }
}

/// What is sent, and how. Several values make several rows, measured in turns.
#[derive(Clone, Debug, Args)]
pub(crate) struct Traffic {
    /// Bytes of a message; several make several rows.
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_value = "32", value_parser = parse_payload)]
    pub(crate) payload: Vec<usize>,
    /// How both sides wait; several make several rows [default: adaptive, for wake: park]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) wait: Vec<Wait>,
    /// How a payload gets into the ring; several make several rows.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Api::Copy])]
    pub(crate) api: Vec<Api>,
    #[command(flatten)]
    pub(crate) ends: Ends,
}

impl Traffic {
    /// One plan for each combination, `wait` being the default, with its payload.
    pub(crate) fn plans(&self, wait: Wait) -> anyhow::Result<Vec<(usize, BusPlan)>> {
        let waits = if self.wait.is_empty() { vec![wait] } else { self.wait.clone() };
        let mut plans = Vec::new();
        for &payload in &self.payload {
            for &wait in &waits {
                for &api in &self.api {
                    plans.push((payload, self.ends.plan(wait, api, payload)?));
                }
            }
        }
        Ok(plans)
    }
}

/// Arguments of `floor`.
#[derive(Debug, Args)]
pub(crate) struct FloorArgs {
    /// Bytes of a block of B, B0 and S. F and W always carry 32.
    #[arg(long, value_name = "BYTES", default_value = "65536", value_parser = parse_payload)]
    pub(crate) payload: usize,
    /// Run this C program in turns with ourselves and compare what both say of F, W and B.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) twin: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `rtt` and `wake`.
#[derive(Debug, Args)]
pub(crate) struct EchoArgs {
    #[command(flatten)]
    pub(crate) traffic: Traffic,
    /// From one intended start to the next [default: 0, back to back; for wake: 3 ms, longer than any nap]
    #[arg(long, value_name = "N")]
    pub(crate) gap_ns: Option<u64>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `stream`.
#[derive(Debug, Args)]
pub(crate) struct StreamArgs {
    #[command(flatten)]
    pub(crate) traffic: Traffic,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `connect`.
#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// Bytes of the first message.
    #[arg(long, value_name = "BYTES", default_value = "32", value_parser = parse_payload)]
    pub(crate) payload: usize,
    /// How both sides wait.
    #[arg(long, value_enum, default_value_t = Wait::Adaptive)]
    pub(crate) wait: Wait,
    #[command(flatten)]
    pub(crate) ends: Ends,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `idle`.
#[derive(Debug, Args)]
pub(crate) struct IdleArgs {
    /// How both sides wait.
    #[arg(long, value_enum, default_value_t = Wait::Adaptive)]
    pub(crate) wait: Wait,
    #[command(flatten)]
    pub(crate) ends: Ends,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `death`.
#[derive(Debug, Args)]
pub(crate) struct DeathArgs {
    /// What the survivor does meanwhile; without it, one row for each.
    #[arg(long = "while", value_enum)]
    pub(crate) during: Option<While>,
    #[command(flatten)]
    pub(crate) ends: Ends,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The file to carry over [default: the largest of the installed Rust toolchain]
    #[arg(long, env = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The CPUs of the two processes; by default the first two that may be used.
    #[arg(long, value_name = "A,B", value_parser = parse_pair)]
    pub(crate) cpus: Option<[usize; 2]>,
}

/// The shortest message: one word, so that it can tell itself from another.
const SHORTEST: usize = 8;
/// The longest: a frame fills at most half of the largest ring, and 128 MiB.
const LONGEST: usize = 128 << 20;

fn parse_payload(text: &str) -> Result<usize, String> {
    let payload: usize = text.parse().map_err(|_| format!("'{text}' is not a number of bytes"))?;
    if (SHORTEST..=LONGEST).contains(&payload) {
        Ok(payload)
    } else {
        Err(format!("{payload} is not from {SHORTEST} to {LONGEST} bytes"))
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let longest = f64::from(24 * 3600);
    let seconds = text.parse().ok().filter(|seconds| (0.001..=longest).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("'{text}' is not a time from 0.001 to {longest} seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn several_values_make_every_combination() {
        let line = ["slipring-bench", "rtt", "--payload", "32,64", "--wait", "spin,park", "--api", "copy,claim"];
        let Work::Rtt(args) = Cli::try_parse_from(line).unwrap().work else { panic!("rtt was asked for") };
        assert_eq!(args.traffic.plans(Wait::Adaptive).unwrap().len(), 8);
    }

    #[test]
    fn a_flag_that_does_not_apply_is_an_error() {
        for wrong in
            ["idle --payload 32", "stream --gap-ns 5", "floor --wait spin", "rtt --while spin", "rtt --clients 2"]
        {
            assert!(Cli::try_parse_from(["slipring-bench"].into_iter().chain(wrong.split(' '))).is_err(), "{wrong}");
        }
    }
}
