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

    /// Whether its latencies are the leading side's.
    pub(super) fn is_timed_by_lead(&self) -> bool {
        matches!(self.traffic(), Work::RoundTrip | Work::Call | Work::FanIn)
    }
}

/// Everything that `args` asks for, in the order in which it is measured.
pub(super) fn cells(args: &CompareArgs) -> Vec<Cell> {
    args.works().into_iter().flat_map(|work| cells_of(work, args)).collect()
}

fn cells_of(name: WorkName, args: &CompareArgs) -> Vec<Cell> {
    use Wait::{Adaptive, Park, Spin};
    let sizes = |all: &[usize], quick: &[usize]| {
        args.payload.clone().unwrap_or_else(|| if args.quick { quick.to_vec() } else { all.to_vec() })
    };
    let over = |sizes: Vec<usize>, waits: &[Wait]| -> Vec<Cell> {
        let cells = waits.iter().flat_map(|&wait| sizes.iter().map(move |&size| Cell::new(name, size, wait, args)));
        cells.collect()
    };
    let with = |cells: Vec<Cell>, change: &dyn Fn(Cell) -> Cell| cells.into_iter().map(change).collect();
    match name {
        WorkName::Rtt => over(sizes(&[32, 64, 1 << 10, 64 << 10, 1 << 20], &[32, 64 << 10]), &[Spin, Adaptive, Park]),
        WorkName::Rpc => over(sizes(&[32, 1 << 10, 64 << 10], &[32]), &[Spin, Adaptive, Park]),
        WorkName::Stream => {
            let sweep: Vec<usize> =
                vec![8, 32, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20];
            over(sizes(&sweep, &[8, 64 << 10, 16 << 20]), &[Spin, Adaptive])
        }
        WorkName::OpenLoop => {
            let loads: &[u32] = if args.quick { &[50] } else { &[10, 50, 80] };
            let cells = over(sizes(&[64], &[64]), &[Spin, Adaptive]);
            loads.iter().flat_map(|&load| cells.iter().map(move |cell| Cell { load: Some(load), ..*cell })).collect()
        }
        WorkName::Wake => over(sizes(&[32], &[32]), &[Adaptive, Park]),
        WorkName::Connect => over(sizes(&[32], &[32]), &[Adaptive]),
        WorkName::Memory => with(over(sizes(&[64], &[64]), &[Adaptive]), &|cell| Cell { rounds: QUICK, ..cell }),
        WorkName::Idle => {
            let span = if args.quick { QUICK_IDLE } else { IDLE };
            with(over(sizes(&[32], &[32]), &[Adaptive, Park]), &|cell| Cell { span, rounds: 1, ..cell })
        }
        WorkName::OneCpu => {
            with(over(sizes(&[32], &[32]), &[Adaptive, Park]), &|cell| Cell { place: Place::Together, ..cell })
        }
        WorkName::Crowded => with(over(sizes(&[32], &[32]), &[Adaptive, Park]), &|cell| Cell {
            place: Place::Crowded,
            // Several turns of the scheduler.
            span: cell.span * 5,
            ..cell
        }),
        WorkName::Fanin => {
            let crowds: &[usize] = if args.quick { &[1, 8] } else { &[1, 8, 64, 512] };
            let cells = over(sizes(&[32], &[32]), &[Adaptive]);
            let crowd = |clients: usize| {
                cells.iter().map(move |cell| {
                    let span = cell.span.max(SPAN_EACH * clients as u32);
                    Cell { clients, span, ..*cell }
                })
            };
            crowds.iter().flat_map(|&clients| crowd(clients)).collect()
        }
    }
}
