//! What every measurement of one command shares: its CPUs, its runtime directory, its time, and how its rows come out.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::blocks::{BlockPlan, LaneReport};
use crate::cli::Common;
use crate::crew::{Crew, Runtime};
use crate::lane::{Lane, System};
use crate::meter::Steal;
use crate::pin::Cpus;
use crate::plan::Wait;
use crate::report::{commit, table};
use crate::row::Row;
use crate::tally::Summary;
use crate::watchdog::Watchdog;
use crate::worker::Job;

/// Length of a block: long enough that its start does not count, short enough that a drifting machine treats all lanes
/// alike.
const SPAN: Duration = Duration::from_millis(20);
/// A block holds at least this many messages at their distance.
const GAPS: u32 = 20;
/// Payloads from here on are held against the rate of two alternating blocks.
const BLOCK_FLOOR_FROM: usize = 16 << 10;
/// What starting and connecting a crew takes at the most, on a quiet machine.
const START: Duration = Duration::from_secs(2);

/// One command at work.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) cpus: Cpus,
    pub(crate) runtime: Runtime,
    pub(crate) seconds: Duration,
    json: bool,
    damage: u64,
    steal: Steal,
    commit: Option<String>,
    rows: Vec<Row>,
}

/// What the two sides found out about one lane.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) lane: Lane,
    lead: LaneReport,
    follow: LaneReport,
}

impl Bench {
    pub(crate) fn new(common: &Common) -> Result<Self> {
        let cpus = Cpus::choose(common.cpus)?;
        Ok(Self {
            cpus,
            runtime: Runtime::create()?,
            seconds: common.seconds,
            json: common.json,
            damage: common.damage,
            steal: Steal::watch(cpus.0),
            commit: commit(),
            rows: Vec::new(),
        })
    }

    /// Measures all lanes beside each other, each for the time asked for.
    pub(crate) fn measure(&self, lanes: &[Lane]) -> Result<Vec<Measured>> {
        self.measure_for(lanes, self.seconds)
    }

    /// Measures all lanes beside each other, each for `time`.
    pub(crate) fn measure_for(&self, lanes: &[Lane], time: Duration) -> Result<Vec<Measured>> {
        let gap = lanes.iter().map(|lane| lane.gap_ns).max().unwrap_or(0);
        let span = SPAN.max(Duration::from_nanos(gap) * GAPS).min(time);
        let rounds = (time.as_secs_f64() / span.as_secs_f64()).round().max(1.0) as u32;
        let plan = BlockPlan { lanes: lanes.to_vec(), rounds, span, count: u64::MAX, damage: self.damage };
        measure_blocks(&self.runtime, self.cpus, plan)
    }

    /// Measures `ours` beside the floors that they are held against, and shows the rows of both, the floors first.
    pub(crate) fn measure_with_floors(&mut self, work: &str, ours: &[Lane]) -> Result<()> {
        let mut floors: Vec<Lane> = Vec::new();
        let mut floor_index = Vec::new();
        for lane in ours {
            let floor = floor_of(lane);
            let known = floors.iter().position(|known| *known == floor);
            floor_index.push(known.unwrap_or(floors.len()));
            if known.is_none() {
                floors.push(floor);
            }
        }
        let measured = self.measure(&[&floors, ours].concat())?;
        let (floors, ours) = measured.split_at(floors.len());
        for floor in floors {
            self.show(floor.row(work))?;
        }
        for (lane, &index) in ours.iter().zip(&floor_index) {
            self.show(against(lane.row(work), &floors[index]))?;
        }
        Ok(())
    }

    /// Shows a row: at once as JSON, or keeps it for the table at the end.
    pub(crate) fn show(&mut self, mut row: Row) -> Result<()> {
        row.cpus = self.cpus.label();
        row.steal_pct = self.steal.percent();
        row.commit.clone_from(&self.commit);
        if self.json {
            let line = serde_json::to_string(&row).context("write a row as JSON")?;
            writeln!(std::io::stdout(), "{line}").context("write a row")?;
        }
        self.rows.push(row);
        Ok(())
    }

    /// Ends the command: prints the table for people, if it is for people.
    pub(crate) fn finish(self) -> Result<()> {
        if self.json {
            return Ok(());
        }
        let mut out = std::io::stdout();
        write!(out, "{}", table(&self.rows)).context("write the table")?;
        let cpus = self.cpus.label().map_or("not pinned".to_owned(), |cpus| format!("CPUs {cpus}"));
        let steal = self.steal.percent().map_or(String::new(), |steal| format!(", {steal} % of their time stolen"));
        writeln!(
            out,
            "\n  two processes, {cpus}{steal}; rows and floors in turns; every payload written, read and checked"
        )
        .context("write the table")
    }
}

/// Measures the lanes of `plan` with a crew of its own.
pub(crate) fn measure_blocks(runtime: &Runtime, cpus: Cpus, plan: BlockPlan) -> Result<Vec<Measured>> {
    let lanes = plan.lanes.clone();
    let expected = START + plan.span * (plan.rounds + 1) * lanes.len() as u32;
    let crew = Crew::start(runtime, cpus, &Job::Blocks(plan))?;
    let [lead, follow] = crew.finish::<Vec<LaneReport>>(&Watchdog::expecting(expected), |_| {})?;
    let both = lead.into_iter().zip(follow);
    Ok(lanes.into_iter().zip(both).map(|(lane, (lead, follow))| Measured { lane, lead, follow }).collect())
}

impl Measured {
    /// The row of `work` for this lane.
    pub(crate) fn row(&self, work: &str) -> Row {
        let lane = &self.lane;
        let row = match &lane.system {
            System::FloorF => Row::new(work, "floor-F"),
            System::FloorW => Row::new(work, "floor-W"),
            System::FloorB => Row::new(work, "floor-B"),
            System::FloorB0 => Row::new(work, "floor-B0"),
            System::FloorS => Row::new(work, "floor-S"),
            System::BusEcho(plan) | System::BusFlow(plan) => Row::new(work, "slipring").bus(plan),
            System::Wire(kind) => Row::new(work, kind.name()),
        };
        let mut row = match &self.lead.summary {
            Some(summary) => Row { gap_ns: Some(lane.gap_ns), ..row.latencies(summary) },
            None => row.rates(&self.follow.moved, lane.payload),
        };
        row.payload = Some(lane.payload as u64);
        row.used(self.lead.used.busier(self.follow.used))
    }

    /// The latencies of the asking side.
    pub(crate) fn summary(&self) -> Option<&Summary> {
        self.lead.summary.as_ref()
    }
}

/// The floor that `lane` is held against, at the same pace.
fn floor_of(lane: &Lane) -> Lane {
    let sleeps = match &lane.system {
        System::BusEcho(plan) | System::BusFlow(plan) => plan.wait == Wait::Park,
        _ => false,
    };
    if lane.payload >= BLOCK_FLOOR_FROM {
        Lane::floor(System::FloorB, lane.payload)
    } else {
        Lane::floor(if sleeps { System::FloorW } else { System::FloorF }, lane.payload).with_gap(lane.gap_ns)
    }
}

/// Holds `row` against `floor`. A round trip moves two payloads, so two blocks of B are its floor.
fn against(mut row: Row, floor: &Measured) -> Row {
    let (name, times) = match floor.lane.system {
        System::FloorW => ("W", 1.0),
        System::FloorB if row.gap_ns.is_some() => ("B", 2.0),
        System::FloorB => ("B", 1.0),
        _ => ("F", 1.0),
    };
    let floor = floor.row("floor");
    row.floor = Some(name.to_owned());
    row.floor_p50_ns = floor.time_ns().map(|ns| ns * times);
    row.floor_p99_ns = floor.p99_ns.map(|ns| ns as f64);
    row
}
