//! The command line. Each work has the flags that apply to it and no others; a flag that does not apply is a usage
//! error.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::fanin::{Crowd, Entry};
use crate::fault::Fault;
use crate::pin::parse_pair;
use crate::plan::{
    Api, Backend, BusPlan, Counters, Fence, FlowPlan, RpcPlan, SMALL_RING, Trust, Wait, While, geometry, rpc_geometry,
};

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
    /// Calls: requests and their replies over one session, one after the other or many in flight.
    Rpc(RpcArgs),
    /// A stream: as many messages as there is room for.
    Stream(StreamArgs),
    /// Many clients in many processes call one server, beside one client alone.
    Fanin(FaninArgs),
    /// Round trips that each find the other side asleep for good.
    Wake(EchoArgs),
    /// Shared objects: the first attach, the first look at the pages, and the memory of many readers.
    Shared(SharedArgs),
    /// From a fresh connection to its first message, or to the last accept of many.
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
    /// What the memory of the ends is made of; untrusting ends need memfd.
    #[arg(long, value_enum, default_value_t = Backend::Memfd)]
    backend: Backend,
    /// Whom the ends trust.
    #[arg(long, value_enum, default_value_t = Trust::SameUser)]
    trust: Trust,
    /// How a wake-up is kept from getting lost.
    #[arg(long, value_enum, default_value_t = Fence::Auto)]
    fence: Fence,
    /// Size of the frame ring: a power of two from 256, for calls from 1024 [default: 1 MiB, for calls 256 KiB each way, or
    /// more for a large inline limit or many calls]
    #[arg(long, value_name = "BYTES")]
    ring: Option<usize>,
    /// Longest payload that rides in the ring; what is longer goes into a block [default: 1 KiB]
    #[arg(long, value_name = "BYTES")]
    inline: Option<usize>,
}

impl Ends {
    /// The plan of the ends of a `Bus`.
    pub(crate) fn plan(&self, wait: Wait, api: Api) -> anyhow::Result<BusPlan> {
        self.with(wait, api, geometry(self.ring, self.inline)?)
    }

    /// The plan of the ends of an `RpcBus` with `inflight` calls in flight.
    pub(crate) fn rpc_plan(&self, wait: Wait, api: Api, inflight: u32) -> anyhow::Result<BusPlan> {
        self.with(wait, api, rpc_geometry(inflight, self.ring, self.inline)?)
    }

    /// The plan of the ends of many `Bus`es.
    pub(crate) fn many_plan(&self, wait: Wait) -> anyhow::Result<BusPlan> {
        self.with(wait, Api::Copy, geometry(self.ring.or(Some(SMALL_RING)), self.inline)?)
    }

    /// The plan of the ends of a server's many sessions, each with one call in flight.
    pub(crate) fn fanin_plan(&self, wait: Wait) -> anyhow::Result<BusPlan> {
        self.with(wait, Api::Copy, rpc_geometry(1, self.ring.or(Some(SMALL_RING)), self.inline)?)
    }

    fn with(&self, wait: Wait, api: Api, (ring, inline): (usize, usize)) -> anyhow::Result<BusPlan> {
        let Self { backend, trust, fence, .. } = *self;
        if (backend, trust) == (Backend::Posix, Trust::Untrusted) {
            return Err(Fault::Usage("--backend posix has no seals, which --trust untrusted needs".into()).into());
        }
        let counters = Counters::On;
        Ok(BusPlan { wait, api, backend, trust, fence, counters, ring, inline })
    }
}

/// What is sent, and how. Several values make several rows, measured in turns.
#[derive(Clone, Debug, Args)]
pub(crate) struct Traffic {
    /// Bytes of a message; several make several rows.
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_value = "32", value_parser = parse_message)]
    pub(crate) payload: Vec<usize>,
    /// How both sides wait; several make several rows [default: adaptive, for wake: park]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) wait: Vec<Wait>,
    /// How a payload gets into the ring; several make several rows.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Api::Copy])]
    pub(crate) api: Vec<Api>,
    /// Whether the ends show their counters to each other; several make several rows.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Counters::On])]
    counters: Vec<Counters>,
    #[command(flatten)]
    pub(crate) ends: Ends,
}

impl Traffic {
    /// One plan for each combination, `wait` being the default, with its payload.
    pub(crate) fn plans(&self, wait: Wait) -> anyhow::Result<Vec<(usize, BusPlan)>> {
        let one = |(payload, wait, api, counters)| Ok((payload, BusPlan { counters, ..self.ends.plan(wait, api)? }));
        self.combinations(wait).into_iter().map(one).collect()
    }

    /// Payload, wait, api and counters in every combination, `wait` being the default.
    fn combinations(&self, wait: Wait) -> Vec<(usize, Wait, Api, Counters)> {
        let waits = if self.wait.is_empty() { vec![wait] } else { self.wait.clone() };
        let mut all = Vec::new();
        for &payload in &self.payload {
            for &wait in &waits {
                for &api in &self.api {
                    all.extend(self.counters.iter().map(|&counters| (payload, wait, api, counters)));
                }
            }
        }
        all
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
    /// Hand over a shared object of `--payload` bytes that the other side has mapped already, with a request of 32 bytes.
    #[arg(long, conflicts_with = "api")]
    pub(crate) shared: bool,
    /// Measure once more, in turns, beside N other sessions whose readers park 1,000 times a second each.
    #[arg(long, value_name = "N", value_parser = parse_beside, conflicts_with = "shared")]
    pub(crate) beside: Option<u32>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `rpc`.
#[derive(Debug, Args)]
pub(crate) struct RpcArgs {
    #[command(flatten)]
    pub(crate) traffic: Traffic,
    /// Bytes of a reply [default: as many as the request's]
    #[arg(long, value_name = "BYTES", value_parser = parse_payload)]
    reply: Option<usize>,
    /// Calls that are kept in flight; several make several rows.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1", value_parser = parse_calls)]
    inflight: Vec<u32>,
    #[command(flatten)]
    pub(crate) common: Common,
}

impl RpcArgs {
    /// One plan for each combination, with its request's payload.
    pub(crate) fn plans(&self) -> anyhow::Result<Vec<(usize, RpcPlan)>> {
        let mut plans = Vec::new();
        for (payload, wait, api, counters) in self.traffic.combinations(Wait::Adaptive) {
            for &inflight in &self.inflight {
                let bus = BusPlan { counters, ..self.traffic.ends.rpc_plan(wait, api, inflight)? };
                plans.push((payload, RpcPlan { bus, reply: self.reply.unwrap_or(payload), inflight }));
            }
        }
        Ok(plans)
    }
}

/// Arguments of `stream`.
#[derive(Debug, Args)]
pub(crate) struct StreamArgs {
    #[command(flatten)]
    pub(crate) traffic: Traffic,
    /// Keep the first N messages to the end while reading on; several make several rows.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "0", value_parser = parse_hold)]
    hold: Vec<usize>,
    /// Every message in memory that none was in before: a session for each block, and the reader keeps all messages of it.
    #[arg(long, conflicts_with = "hold")]
    pub(crate) fresh: bool,
    /// Messages of 32 bytes that each come with the same shared object of `--payload` bytes.
    #[arg(long, conflicts_with_all = ["hold", "fresh", "api"])]
    pub(crate) shared: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

impl StreamArgs {
    /// One plan for each combination, with its payload.
    pub(crate) fn plans(&self) -> anyhow::Result<Vec<(usize, FlowPlan)>> {
        let plans = self.traffic.plans(Wait::Adaptive)?;
        let each = |(payload, bus)| self.hold.iter().map(move |&hold| (payload, FlowPlan { bus, hold }));
        Ok(plans.into_iter().flat_map(each).collect())
    }
}

/// Arguments of `fanin`.
#[derive(Debug, Args)]
pub(crate) struct FaninArgs {
    /// Clients that call at the same time; several make several rows. One alone is always measured beside them.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "8", value_parser = parse_clients)]
    clients: Vec<usize>,
    /// Sessions that are open beside them and say nothing; the client alone has none.
    #[arg(long, value_name = "N", default_value = "0", value_parser = parse_idle)]
    idle: usize,
    /// The most processes that the clients are spread over, and as many again for the idle sessions.
    #[arg(long, value_name = "N", default_value = "8", value_parser = parse_processes)]
    processes: usize,
    /// Bytes of a request and of its reply; several make several rows.
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_value = "32", value_parser = parse_payload)]
    payload: Vec<usize>,
    /// How server and clients wait; several make several rows.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Wait::Adaptive])]
    wait: Vec<Wait>,
    /// Whether the ends show their counters to each other; several make several rows.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Counters::On])]
    counters: Vec<Counters>,
    /// From one intended start of a client's call to the next; 0 is back to back.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) gap_ns: u64,
    #[command(flatten)]
    ends: Ends,
    #[command(flatten)]
    pub(crate) common: Common,
}

impl FaninArgs {
    /// What is to be measured, one client alone before the crowds with the same payload, wait and counters.
    pub(crate) fn entries(&self) -> anyhow::Result<Vec<Entry>> {
        let alone = Crowd { clients: 1, idle: 0, processes: 1 };
        let crowd = |&clients| Crowd { clients, idle: self.idle, processes: self.processes };
        let crowds = self.clients.iter().map(crowd).filter(|crowd| (crowd.clients, crowd.idle) != (1, 0));
        let crowds: Vec<_> = [alone].into_iter().chain(crowds).collect();
        let mut entries = Vec::new();
        for &payload in &self.payload {
            for &wait in &self.wait {
                for &counters in &self.counters {
                    let bus = BusPlan { counters, ..self.ends.fanin_plan(wait)? };
                    let plan = RpcPlan { bus, reply: payload, inflight: 1 };
                    entries.extend(crowds.iter().map(|&crowd| Entry { crowd, payload, gap_ns: self.gap_ns, plan }));
                }
            }
        }
        Ok(entries)
    }
}

/// Arguments of `shared`.
#[derive(Debug, Args)]
pub(crate) struct SharedArgs {
    /// Bytes of an object.
    #[arg(long, value_name = "BYTES", default_value = "268435456", value_parser = parse_message)]
    pub(crate) payload: usize,
    /// Processes that read one object at the same time.
    #[arg(long, value_name = "N", default_value = "10", value_parser = parse_processes)]
    pub(crate) readers: usize,
    /// How both sides wait; whoever does not spin is woken for each object, which then counts as attaching.
    #[arg(long, value_enum, default_value_t = Wait::Spin)]
    pub(crate) wait: Wait,
    #[command(flatten)]
    pub(crate) ends: Ends,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Arguments of `connect`.
#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// Sessions that are opened at once and stay open; with more than one, the time of all of them is measured.
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_clients)]
    pub(crate) clients: usize,
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
/// The longest of what has several floors or systems beside it, each with two blocks of its own or three: so that they fit any
/// machine.
const LONGEST: usize = 128 << 20;
/// The longest of what has one floor: its two blocks and those of the sender are some 6 GiB.
const LONGEST_MESSAGE: usize = 1 << 30;
/// The most calls in flight that the library agrees to.
const MOST_CALLS: u32 = 4096;
/// Each client is a thread.
const MOST_CLIENTS: usize = 1024;
/// Each idle session takes a descriptor of the server's, and memory.
const MOST_IDLE: usize = 10_000;
/// So many processes can connect at the same time without being turned down.
const MOST_PROCESSES: usize = 64;
/// Half of the blocks that a sender can have out, so that the stream flows on beside those that are kept.
const MOST_HELD: usize = 2048;

fn parse_payload(text: &str) -> Result<usize, String> {
    parse_bytes(text, LONGEST)
}

fn parse_message(text: &str) -> Result<usize, String> {
    parse_bytes(text, LONGEST_MESSAGE)
}

fn parse_bytes(text: &str, longest: usize) -> Result<usize, String> {
    let payload: usize = text.parse().map_err(|_| format!("'{text}' is not a number of bytes"))?;
    if (SHORTEST..=longest).contains(&payload) {
        Ok(payload)
    } else {
        Err(format!("{payload} is not from {SHORTEST} to {longest} bytes"))
    }
}

fn parse_calls(text: &str) -> Result<u32, String> {
    let calls = text.parse().ok().filter(|calls| (1..=MOST_CALLS).contains(calls));
    calls.ok_or_else(|| format!("'{text}' is not a number of calls from 1 to {MOST_CALLS}"))
}

fn parse_hold(text: &str) -> Result<usize, String> {
    let held = text.parse().ok().filter(|held| (0..=MOST_HELD).contains(held));
    held.ok_or_else(|| format!("'{text}' is not a number of messages from 0 to {MOST_HELD}"))
}

fn parse_clients(text: &str) -> Result<usize, String> {
    parse_count(text, "clients", 1..=MOST_CLIENTS)
}

fn parse_idle(text: &str) -> Result<usize, String> {
    parse_count(text, "idle sessions", 0..=MOST_IDLE)
}

fn parse_beside(text: &str) -> Result<u32, String> {
    parse_count(text, "sessions", 1..=MOST_CLIENTS).map(|count| count as u32)
}

fn parse_processes(text: &str) -> Result<usize, String> {
    parse_count(text, "processes", 1..=MOST_PROCESSES)
}

fn parse_count(text: &str, what: &str, range: RangeInclusive<usize>) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| range.contains(count));
    count.ok_or_else(|| format!("'{text}' is not a number of {what} from {} to {}", range.start(), range.end()))
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
    fn counters_are_on_or_off_or_both_in_turns() {
        let counters = |line: &str| -> Vec<_> {
            match Cli::try_parse_from(line.split(' ')).unwrap().work {
                Work::Stream(args) => args.plans().unwrap().iter().map(|(_, plan)| plan.bus.counters).collect(),
                Work::Rpc(args) => args.plans().unwrap().iter().map(|(_, plan)| plan.bus.counters).collect(),
                Work::Fanin(args) => args.entries().unwrap().iter().map(|entry| entry.plan.bus.counters).collect(),
                _ => panic!("nothing else was asked for"),
            }
        };
        let (on, off) = (Counters::On, Counters::Off);
        assert_eq!(counters("slipring-bench stream"), [on]);
        assert_eq!(counters("slipring-bench stream --counters on,off"), [on, off]);
        assert_eq!(counters("slipring-bench rpc --counters off"), [off]);
        assert_eq!(counters("slipring-bench fanin --counters off,on"), [off, off, on, on]);
    }

    #[test]
    fn calls_have_a_reply_of_the_request_s_length_unless_told_otherwise() {
        let plans = |line: &str| {
            let Work::Rpc(args) = Cli::try_parse_from(line.split(' ')).unwrap().work else {
                panic!("rpc was asked for")
            };
            args.plans().unwrap()
        };
        let found = plans("slipring-bench rpc --payload 32,64 --inflight 1,64 --wait spin");
        let told: Vec<_> = found.iter().map(|(payload, plan)| (*payload, plan.reply, plan.inflight)).collect();
        assert_eq!(told, [(32, 32, 1), (32, 32, 64), (64, 64, 1), (64, 64, 64)]);
        let found = plans("slipring-bench rpc --backend posix");
        assert_eq!(found[0].1.bus.backend, Backend::Posix);
        let found = plans("slipring-bench rpc --reply 65536 --trust untrusted");
        assert_eq!((found[0].1.reply, found[0].1.bus.trust), (65536, Trust::Untrusted));
    }

    #[test]
    fn streams_are_held_or_not() {
        let line = ["slipring-bench", "stream", "--hold", "0,1000", "--api", "copy,claim"];
        let Work::Stream(args) = Cli::try_parse_from(line).unwrap().work else { panic!("stream was asked for") };
        let held: Vec<_> = args.plans().unwrap().iter().map(|(_, plan)| (plan.bus.api, plan.hold)).collect();
        assert_eq!(held, [(Api::Copy, 0), (Api::Copy, 1000), (Api::Claim, 0), (Api::Claim, 1000)]);
    }

    #[test]
    fn a_client_alone_comes_before_every_crowd_and_only_once() {
        let crowds = |line: &str| -> Vec<_> {
            let Work::Fanin(args) = Cli::try_parse_from(line.split(' ')).unwrap().work else {
                panic!("fanin was asked for")
            };
            args.entries().unwrap().iter().map(|entry| (entry.payload, entry.crowd.clients, entry.crowd.idle)).collect()
        };
        assert_eq!(crowds("slipring-bench fanin"), [(32, 1, 0), (32, 8, 0)]);
        assert_eq!(crowds("slipring-bench fanin --clients 1,4"), [(32, 1, 0), (32, 4, 0)]);
        assert_eq!(crowds("slipring-bench fanin --clients 1 --idle 9"), [(32, 1, 0), (32, 1, 9)]);
        let found = crowds("slipring-bench fanin --payload 32,64 --wait spin,park");
        assert_eq!(found.len(), 8);
        assert_eq!(found[4], (64, 1, 0));
    }

    #[test]
    fn a_flag_that_does_not_apply_is_an_error() {
        for wrong in [
            "idle --payload 32",
            "idle --counters off",
            "rtt --counters maybe",
            "stream --gap-ns 5",
            "floor --wait spin",
            "rtt --while spin",
            "rtt --clients 2",
            "rtt --inflight 2",
            "rtt --hold 2",
            "stream --reply 32",
            "stream --hold 2049",
            "rpc --inflight 0",
            "rpc --inflight 4097",
            "rpc --hold 1",
            "rpc --reply 7",
            "rtt --backend shm",
            "rtt --shared --api claim",
            "rtt --beside 0",
            "rpc --shared",
            "stream --fresh --hold 5",
            "stream --shared --fresh",
            "shared --readers 0",
            "fanin --clients 0",
            "fanin --clients 2000",
            "fanin --processes 0",
            "fanin --processes 65",
            "fanin --idle 10001",
            "fanin --inflight 2",
            "fanin --api claim",
            "floor --backend posix",
        ] {
            assert!(Cli::try_parse_from(["slipring-bench"].into_iter().chain(wrong.split(' '))).is_err(), "{wrong}");
        }
    }
}
