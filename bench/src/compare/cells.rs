//! Cells: one work with one payload and one way to wait. Every system does each cell that it can, in turns with the others.

use std::time::Duration;

use slipring_bench_kit::rival::{Block, Wait, Work};

use super::args::{CompareArgs, WorkName};
use crate::plan::word;

/// Length of a block, and how many there are at the least.
const SPAN: Duration = Duration::from_millis(20);
const LEAST: u32 = 20;
/// The same where only the harness is tested.
const QUICK_SPAN: Duration = Duration::from_millis(4);
const QUICK: u32 = 3;
/// A block has time for about this many of its longest messages, and for this many sleeps.
const MESSAGES: u64 = 5;
const SLEEPS: u32 = 10;
/// What memory moves at the least, in bytes a nanosecond, written and read once.
const BYTES_PER_NS: u64 = 2;
/// From one round trip to the next in `wake`: past the nap after which a side sleeps for good.
const WAKE_GAP: Duration = Duration::from_millis(3);
/// Clients that share a CPU get turns of some milliseconds, and each needs several in a block.
const SPAN_EACH: Duration = Duration::from_millis(2);
/// Sessions that are opened in one block.
const SESSIONS: u64 = 5;
const MANY_SESSIONS: u64 = 16;
/// By how much longer blocks are where computing processes take their turns.
const TURNS: u32 = 5;
/// How long two idle sides are looked at.
const IDLE: Duration = Duration::from_secs(2);
const QUICK_IDLE: Duration = Duration::from_millis(200);

/// Where the two sides run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On a CPU each.
    Apart,
    /// On the same one.
    Together,
    /// On a CPU each, with busy processes beside them.
    Crowded,
}

/// What is compared in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    /// The median latency.
    Time,
    /// Messages a second.
    Rate,
    /// What a process has grown by.
    Bytes,
    /// Processor time.
    Cpu,
}

/// One thing to compare.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub(super) name: WorkName,
    pub(super) payload: usize,
    pub(super) wait: Wait,
    pub(super) place: Place,
    pub(super) clients: usize,
    /// Percent of the measured capacity.
    pub(super) load: Option<u32>,
    pub(super) span: Duration,
    pub(super) rounds: u32,
}

impl Cell {
    fn new(name: WorkName, payload: usize, wait: Wait, args: &CompareArgs) -> Self {
        let several = Duration::from_nanos(payload as u64 / BYTES_PER_NS * MESSAGES);
        let (least, short) = if args.quick { (QUICK, QUICK_SPAN) } else { (LEAST, SPAN) };
        let span = short.max(several).max(if name == WorkName::Wake { WAKE_GAP * SLEEPS } else { Duration::ZERO });
        let rounds = if args.quick { 0 } else { (args.seconds.as_secs_f64() / span.as_secs_f64()).round() as u32 };
        Self { name, payload, wait, place: Place::Apart, clients: 1, load: None, span, rounds: rounds.max(least) }
    }

    /// Its name in rows.
    pub(super) fn work(&self) -> String {
        word(self.name)
    }

    /// What people call it: "rtt 32 B spin".
    pub(super) fn title(&self) -> String {
        let load = self.load.map_or(String::new(), |load| format!(" at {load} %"));
        let clients = if self.clients > 1 { format!(" {} clients", self.clients) } else { String::new() };
        format!("{} {} B {}{load}{clients}", self.work(), self.payload, self.wait.word())
    }

    /// What its ends are opened for.
    pub(super) fn traffic(&self) -> Work {
        match self.name {
            WorkName::Rtt | WorkName::Wake | WorkName::OneCpu | WorkName::Crowded => Work::RoundTrip,
            WorkName::Rpc => Work::Call,
            WorkName::Stream | WorkName::Idle => Work::Stream,
            WorkName::OpenLoop => Work::Paced,
            WorkName::Connect | WorkName::Memory => Work::Fresh,
            WorkName::Fanin => Work::FanIn,
        }
    }

    /// One block of it. Where there is a load, `gap` is the distance that it comes to.
    pub(super) fn block(&self, gap: Duration) -> Block {
        let count = match self.name {
            WorkName::Connect => SESSIONS,
            WorkName::Memory => MANY_SESSIONS,
            _ => u64::MAX,
        };
        Block { span: self.span, count, gap: if self.name == WorkName::Wake { WAKE_GAP } else { gap } }
    }

    /// What systems are compared by.
    pub(super) fn figure(&self) -> Figure {
        match self.name {
            WorkName::Stream | WorkName::Fanin => Figure::Rate,
            WorkName::Memory => Figure::Bytes,
            WorkName::Idle => Figure::Cpu,
            _ => Figure::Time,
        }
    }

    /// Whether messages are requests with replies, of the same length here.
    pub(super) fn has_replies(&self) -> bool {
        matches!(self.traffic(), Work::Call | Work::FanIn)
    }

    /// Whether its latencies are the leading side's.
    pub(super) fn is_timed_by_lead(&self) -> bool {
        self.has_replies() || self.traffic() == Work::RoundTrip
    }
}

/// Everything that `args` asks for, in the order in which it is measured.
pub(super) fn cells(args: &CompareArgs) -> Vec<Cell> {
    args.works().into_iter().flat_map(|work| cells_of(work, args)).collect()
}

/// Payloads, those of `--quick`, and ways to wait.
type Shape = (&'static [usize], &'static [usize], &'static [Wait]);

const SWEEP: [usize; 12] =
    [8, 32, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20];

fn shape_of(name: WorkName) -> Shape {
    use Wait::{Adaptive, Park, Spin};
    match name {
        WorkName::Rtt => (&[32, 64, 1 << 10, 64 << 10, 1 << 20], &[32, 64 << 10], &[Spin, Adaptive, Park]),
        WorkName::Rpc => (&[32, 1 << 10, 64 << 10], &[32], &[Spin, Adaptive, Park]),
        WorkName::Stream => (&SWEEP, &[8, 64 << 10, 16 << 20], &[Spin, Adaptive]),
        WorkName::OpenLoop => (&[64], &[64], &[Spin, Adaptive]),
        WorkName::Wake | WorkName::Idle | WorkName::OneCpu | WorkName::Crowded => (&[32], &[32], &[Adaptive, Park]),
        WorkName::Connect | WorkName::Memory | WorkName::Fanin => (&[32], &[32], &[Adaptive]),
    }
}

fn cells_of(name: WorkName, args: &CompareArgs) -> Vec<Cell> {
    let (all, quick, usual) = shape_of(name);
    let asked = args.waits.as_ref().map(|waits| waits.iter().map(|wait| wait.wait()).collect());
    let waits: Vec<Wait> = asked.unwrap_or_else(|| usual.to_vec());
    let sizes = args.payload.clone().unwrap_or_else(|| if args.quick { quick.to_vec() } else { all.to_vec() });
    let of_wait = |&wait: &Wait| sizes.iter().map(move |&size| Cell::new(name, size, wait, args));
    waits.iter().flat_map(of_wait).flat_map(|cell| variants(cell, args.quick)).collect()
}

/// What a work makes of one payload and one way to wait.
fn variants(cell: Cell, quick: bool) -> Vec<Cell> {
    match cell.name {
        WorkName::OpenLoop => {
            let loads: &[u32] = if quick { &[50] } else { &[10, 50, 80] };
            loads.iter().map(|&load| Cell { load: Some(load), ..cell }).collect()
        }
        WorkName::Fanin => {
            let crowds: &[usize] = if quick { &[1, 8] } else { &[1, 8, 64, 512] };
            let span = |clients| cell.span.max(SPAN_EACH * clients as u32);
            crowds.iter().map(|&clients| Cell { clients, span: span(clients), ..cell }).collect()
        }
        WorkName::Memory => vec![Cell { rounds: QUICK, ..cell }],
        WorkName::Idle => vec![Cell { span: if quick { QUICK_IDLE } else { IDLE }, rounds: 1, ..cell }],
        WorkName::OneCpu => vec![Cell { place: Place::Together, ..cell }],
        // Several turns of the scheduler.
        WorkName::Crowded => vec![Cell { place: Place::Crowded, span: cell.span * TURNS, ..cell }],
        _ => vec![cell],
    }
}
