//! The command line of `compare`, and what is wrong with one before anything is started.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use slipring_bench_kit::rival::Wait;

use super::systems::OURS;
use crate::cli::Common;
use crate::fault::Fault;
use crate::pin::parse_pair;

/// The longest payload of the sweep.
pub(super) const LONGEST: usize = 16 << 20;
/// The shortest: one word, so that a message can tell itself from another.
const SHORTEST: usize = 8;
/// The longest that every row may be asked to take.
const HOUR: f64 = 3600.0;

/// Arguments of `compare`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CompareArgs {
    /// The systems [default: slipring and all that `bench/rivals/build.sh` has built]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub(crate) systems: Option<Vec<String>>,
    /// The works [default: all]
    #[arg(long, value_enum, value_name = "X,Y", value_delimiter = ',')]
    pub(crate) works: Option<Vec<WorkName>>,
    /// How they wait [default: the ways of each work]
    #[arg(long, value_enum, value_name = "A,B", value_delimiter = ',')]
    pub(crate) waits: Option<Vec<WaitName>>,
    /// The system that the others are held against.
    #[arg(long, value_name = "NAME", default_value = OURS)]
    pub(crate) ours: String,
    /// Bytes of a message, from 8 to 16 MiB [default: those of each work]
    #[arg(long, value_name = "BYTES", value_delimiter = ',', value_parser = parse_payload)]
    pub(crate) payload: Option<Vec<usize>>,
    /// Measured time of each system in each row; never fewer than 20 blocks.
    #[arg(long, value_name = "S", default_value = "1", value_parser = parse_seconds)]
    pub(crate) seconds: Duration,
    /// Only sees that the harness works: few payloads, three short blocks each.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Writes rows, tables, plots and the machine into this folder, which must hold no other such record.
    #[arg(long, value_name = "DIR")]
    pub(crate) record: Option<PathBuf>,
    /// The CPUs of the two sides; by default the first two that may be used.
    #[arg(long, value_name = "A,B", value_parser = parse_pair)]
    pub(crate) cpus: Option<[usize; 2]>,
    /// One JSON object a line on standard output, and nothing else there.
    #[arg(long)]
    pub(crate) json: bool,
    /// Where the other systems' programs are [default: the folder `rivals` in the build folder]
    #[arg(long, value_name = "DIR", env = "SLIPRING_BENCH_RIVALS", hide = true)]
    pub(crate) rivals: Option<PathBuf>,
    /// Spoil this message of every system, to see that the other side finds it (exit code 3).
    #[arg(long, value_name = "N", default_value_t = 0, hide = true)]
    pub(crate) damage: u64,
    /// How long a process may say nothing beyond what its block should take.
    #[arg(long, value_name = "S", default_value = "10", value_parser = parse_seconds, hide = true)]
    pub(crate) patience: Duration,
}

/// A way to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WaitName {
    /// Looking without a pause.
    Spin,
    /// What the system does unless told otherwise.
    Adaptive,
    /// Asleep at once.
    Park,
}

impl WaitName {
    /// What systems are told.
    pub(super) fn wait(self) -> Wait {
        match self {
            Self::Spin => Wait::Spin,
            Self::Adaptive => Wait::Adaptive,
            Self::Park => Wait::Park,
        }
    }
}

/// What there is to compare, the most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WorkName {
    /// Round trips of two one-way messages.
    Rtt,
    /// Requests and their replies.
    Rpc,
    /// One-way streams over payloads from 8 bytes to 16 MiB.
    Stream,
    /// Latency at 10, 50 and 80 % of each system's own capacity, from the intended send.
    OpenLoop,
    /// Round trips that find the other side asleep.
    Wake,
    /// From nothing to the first message.
    Connect,
    /// What one more session takes.
    Memory,
    /// What two sides use while nothing is sent.
    Idle,
    /// Round trips with both sides on one CPU.
    OneCpu,
    /// Round trips beside twice as many busy processes as CPUs.
    Crowded,
    /// Calls of 1, 8, 64 and 512 clients to one server.
    Fanin,
}

impl WorkName {
    /// Whether two CPUs mean nothing to it.
    pub(super) fn does_with_one_cpu(self) -> bool {
        matches!(self, Self::OneCpu | Self::Connect | Self::Memory | Self::Idle)
    }
}

impl CompareArgs {
    /// What a run has in common with those of other works.
    pub(super) fn common(&self) -> Common {
        Common { seconds: self.seconds, cpus: self.cpus, json: self.json, damage: 0 }
    }

    /// The works asked for.
    pub(super) fn works(&self) -> Vec<WorkName> {
        self.works.clone().unwrap_or_else(|| WorkName::value_variants().to_vec())
    }

    /// Fails where the machine or the command line cannot be.
    pub(super) fn check(&self, pinned: bool) -> Result<(), Fault> {
        let wants_two = self.works().into_iter().find(|work| !work.does_with_one_cpu());
        match wants_two {
            Some(work) if !pinned => Err(Fault::Usage(format!(
                "only one CPU may be used, and {} compares processes that run at the same time; on one CPU there are \
                 --works one-cpu,connect,memory,idle",
                crate::plan::word(work)
            ))),
            _ => Ok(()),
        }
    }
}

fn parse_payload(text: &str) -> Result<usize, String> {
    let payload = text.parse().map_err(|_| format!("'{text}' is not a number of bytes"))?;
    if (SHORTEST..=LONGEST).contains(&payload) {
        Ok(payload)
    } else {
        Err(format!("{payload} is not from {SHORTEST} to {LONGEST} bytes"))
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.001..=HOUR).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| format!("'{text}' is not a time from 0.001 to {HOUR} seconds"))
}
