//! What every measurement of one command shares: its CPUs, its runtime directory, its time, and how its rows come out.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::blocks::{BlockPlan, LaneReport};
use crate::cli::Common;
use crate::crew::{Crew, Runtime};
use crate::flow::LEAST;
use crate::lane::{Lane, System};
use crate::meter::Steal;
use crate::pin::Cpus;
use crate::plan::Wait;
use crate::report::{commit, table};
use crate::row::Row;
use crate::tally::Summary;
use crate::watchdog::{SLOWEST, Watchdog};
use crate::worker::Job;

/// Length of a block: long enough that its start does not count, short enough that a drifting machine treats all lanes
/// alike.
const SPAN: Duration = Duration::from_millis(20);
/// A block holds at least this many messages at their distance.
const GAPS: u32 = 20;
/// And about this many of its longest messages, at the speed that memory has at the least where such messages are measured.
const MESSAGES: u64 = 3;
const BYTES_PER_NS: u64 = 8;
/// Payloads from here on are held against the rate of two alternating blocks.
const BLOCK_FLOOR_FROM: usize = 16 << 10;
/// What writing and reading a payload in place may cost a call, in times of the block that S fills and sums.
const BLOCK_TIMES: f64 = 1.15;
/// What handing over an object that is mapped already may add to two round trips.
const HANDOVER: Duration = Duration::from_micros(5);
/// What stands for the api in the rows of messages with an object.
const SHARED: &str = "shared";
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
        let longest = lanes.iter().map(Lane::message).max().unwrap_or(0);
        let several = Duration::from_nanos(longest as u64 / BYTES_PER_NS * MESSAGES);
        let span = SPAN.max(Duration::from_nanos(gap) * GAPS).max(several).min(time);
        let rounds = (time.as_secs_f64() / span.as_secs_f64()).round().max(1.0) as u32;
        let plan = BlockPlan { lanes: lanes.to_vec(), rounds, span, count: u64::MAX, damage: self.damage };
        measure_blocks(&self.runtime, self.cpus, plan)
    }

    /// Measures `ours` beside the floors that they are held against, and shows the rows of both, the floors first.
    pub(crate) fn measure_with_floors(&mut self, work: &str, ours: &[Lane]) -> Result<()> {
        let mut floors: Vec<Lane> = Vec::new();
        for floor in ours.iter().flat_map(floors_of) {
            if !floors.contains(&floor) {
                floors.push(floor);
            }
        }
        let measured = self.measure(&[&floors[..], ours].concat())?;
        let (floors, ours) = measured.split_at(floors.len());
        for floor in floors {
            self.show(floor.row(work))?;
        }
        for measured in ours {
            let row_of = |lane| floors.iter().find(|floor| floor.lane == lane).map(|floor| floor.row(work));
            let floors: Vec<_> = floors_of(&measured.lane).into_iter().filter_map(row_of).collect();
            self.show(against(measured.row(work), &floors))?;
        }
        Ok(())
    }

    /// Shows a row: at once as JSON, or keeps it for the table at the end.
    pub(crate) fn show(&mut self, mut row: Row) -> Result<()> {
        self.place(&mut row);
        if self.json {
            let line = serde_json::to_string(&row).context("write a row as JSON")?;
            writeln!(std::io::stdout(), "{line}").context("write a row")?;
        }
        self.rows.push(row);
        Ok(())
    }

    /// Says in a row where and of what it was measured.
    pub(crate) fn place(&self, row: &mut Row) {
        row.cpus = row.cpus.take().or_else(|| self.cpus.label());
        row.steal_pct = self.steal_percent();
        row.commit.clone_from(&self.commit);
    }

    /// How much of the CPUs' time the host took away so far.
    pub(crate) fn steal_percent(&self) -> Option<f64> {
        self.steal.percent()
    }

    /// Ends the command: prints the table for people, if it is for people.
    pub(crate) fn finish(self) -> Result<()> {
        self.finish_as("two processes", "rows and floors in turns")
    }

    /// The same for other processes than two, or another order.
    pub(crate) fn finish_as(self, processes: &str, order: &str) -> Result<()> {
        if self.json {
            return Ok(());
        }
        let mut out = std::io::stdout();
        write!(out, "{}", table(&self.rows)).context("write the table")?;
        let cpus = self
            .rows
            .first()
            .and_then(|row| row.cpus.clone())
            .map_or("not pinned".to_owned(), |cpus| format!("CPUs {cpus}"));
        let steal = self.steal.percent().map_or(String::new(), |steal| format!(", {steal} % of their time stolen"));
        writeln!(out, "\n  {processes}, {cpus}{steal}; {order}; every payload written, read and checked")
            .context("write the table")
    }
}

/// Measures the lanes of `plan` with a crew of its own.
pub(crate) fn measure_blocks(runtime: &Runtime, cpus: Cpus, plan: BlockPlan) -> Result<Vec<Measured>> {
    let lanes = plan.lanes.clone();
    // However short a block is meant to be, so many messages are in it.
    let block_of = |lane: &Lane| plan.span.max(Duration::from_secs(LEAST * lane.payload as u64 / SLOWEST));
    let expected = START + lanes.iter().map(block_of).sum::<Duration>() * (plan.rounds + 1);
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
            System::BusEcho(plan) => Row::new(work, "slipring").bus(plan),
            System::BusFlow(plan) => Row { hold: Some(plan.hold as u64), ..Row::new(work, "slipring").bus(&plan.bus) },
            System::FreshFlow(plan) => Row::new(work, "slipring").bus(plan),
            System::SharedEcho(plan) | System::SharedFlow(plan) => {
                Row { api: Some(SHARED.to_owned()), ..Row::new(work, "slipring").bus(plan) }
            }
            System::BesideEcho(plan) => {
                Row { clients: Some(1 + u64::from(plan.sessions)), ..Row::new(work, "slipring").bus(&plan.bus) }
            }
            System::Rpc(plan) => {
                let (reply, inflight) = (Some(plan.reply as u64), Some(plan.inflight.into()));
                Row { reply, inflight, ..Row::new(work, "slipring").bus(&plan.bus) }
            }
            System::Wire(kind) => Row::new(work, kind.name()),
        };
        let mut row = match &self.lead.summary {
            Some(summary) => Row { gap_ns: Some(lane.gap_ns), ..row.latencies(summary) },
            None => row.rates(&self.follow.moved, lane.message()),
        };
        if let System::Rpc(plan) = &lane.system {
            row = row.rates(&self.lead.moved, lane.payload + plan.reply);
        }
        row.payload = Some(lane.payload as u64);
        row.used(self.lead.used.busier(self.follow.used))
    }

    /// The latencies of the asking side.
    pub(crate) fn summary(&self) -> Option<&Summary> {
        self.lead.summary.as_ref()
    }
}

/// The floors that `lane` is held against, at the same pace. Calls have, beside that of their wait, one for each payload that
/// is long enough to be read in place.
fn floors_of(lane: &Lane) -> Vec<Lane> {
    let line = |wait| {
        let system = if wait == Wait::Park { System::FloorW } else { System::FloorF };
        Lane::floor(system, lane.payload).with_gap(lane.gap_ns)
    };
    let wait = match &lane.system {
        System::Rpc(plan) => {
            let long = [lane.payload, plan.reply].into_iter().filter(|&len| len >= BLOCK_FLOOR_FROM);
            let blocks = long.map(|len| Lane::floor(System::FloorS, len));
            return [line(plan.bus.wait)].into_iter().chain(blocks).collect();
        }
        System::FreshFlow(_) => return vec![Lane::floor(System::FloorB0, lane.payload)],
        System::BusEcho(plan) | System::SharedEcho(plan) | System::SharedFlow(plan) => plan.wait,
        System::BesideEcho(plan) => plan.bus.wait,
        System::BusFlow(plan) => plan.bus.wait,
        _ => Wait::Adaptive,
    };
    if lane.message() >= BLOCK_FLOOR_FROM { vec![Lane::floor(System::FloorB, lane.payload)] } else { vec![line(wait)] }
}

/// Holds `row` against the sum of `floors`. A round trip moves two payloads, so two blocks of B are its floor. One that hands over
/// an object may take as long as two, and [`HANDOVER`].
fn against(mut row: Row, floors: &[Row]) -> Row {
    let hands_over = row.api.as_deref() == Some(SHARED) && row.gap_ns.is_some();
    let (mut names, mut sum) = (Vec::new(), 0.0);
    for floor in floors {
        let (name, times) = match floor.system.as_str() {
            "floor-W" if hands_over => ("2 W".to_owned(), 2.0),
            "floor-F" if hands_over => ("2 F".to_owned(), 2.0),
            "floor-W" => ("W".to_owned(), 1.0),
            "floor-B0" => ("B0".to_owned(), 1.0),
            "floor-B" if row.gap_ns.is_some() => ("B".to_owned(), 2.0),
            "floor-B" => ("B".to_owned(), 1.0),
            "floor-S" => (format!("{BLOCK_TIMES} S({})", floor.payload.unwrap_or_default()), BLOCK_TIMES),
            _ => ("F".to_owned(), 1.0),
        };
        names.push(name);
        sum += floor.time_ns().unwrap_or(f64::NAN) * times;
    }
    if hands_over {
        names.push(format!("{} us", HANDOVER.as_micros()));
        sum += HANDOVER.as_nanos() as f64;
    }
    row.floor = Some(names.join(" + "));
    row.floor_p50_ns = Some(sum).filter(|sum| sum.is_finite());
    // What the slowest hundredth of one floor adds to another's nobody can tell, nor that of calls that wait for each other.
    if let [floor] = floors
        && !row.overlaps()
        && !hands_over
    {
        row.floor_p99_ns = floor.p99_ns.map(|ns| ns as f64);
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Api, Backend, BusPlan, Counters, DEFAULT_INLINE, DEFAULT_RING, Fence, FlowPlan, RpcPlan, Trust};

    fn bus(wait: Wait) -> BusPlan {
        let (api, trust, fence) = (Api::Copy, Trust::SameUser, Fence::Auto);
        BusPlan {
            wait,
            api,
            backend: Backend::Memfd,
            trust,
            fence,
            counters: Counters::On,
            ring: DEFAULT_RING,
            inline: DEFAULT_INLINE,
        }
    }

    fn rpc(wait: Wait, payload: usize, reply: usize, inflight: u32) -> Lane {
        Lane { system: System::Rpc(RpcPlan { bus: bus(wait), reply, inflight }), payload, gap_ns: 0 }
    }

    #[test]
    fn each_lane_has_the_floor_of_its_wait_and_payload() {
        let flow = |wait, payload| {
            let system = System::BusFlow(FlowPlan { bus: bus(wait), hold: 0 });
            floors_of(&Lane { system, payload, gap_ns: 0 })
        };
        let floor = |system, payload| Lane::floor(system, payload);
        assert_eq!(flow(Wait::Spin, 32), [floor(System::FloorF, 32)]);
        assert_eq!(flow(Wait::Park, 32), [floor(System::FloorW, 32)]);
        assert_eq!(flow(Wait::Park, BLOCK_FLOOR_FROM), [floor(System::FloorB, BLOCK_FLOOR_FROM)]);
        assert_eq!(floors_of(&rpc(Wait::Adaptive, 32, 32, 1)), [floor(System::FloorF, 32)]);
        let [line, block] = [floor(System::FloorW, 32), floor(System::FloorS, 65536)];
        assert_eq!(floors_of(&rpc(Wait::Park, 32, 65536, 1)), [line, block]);
        assert_eq!(floors_of(&rpc(Wait::Park, 65536, 65536, 1)), [line, block, block]);
    }

    #[test]
    fn a_long_reply_is_held_against_a_line_and_its_block() {
        let floor = |system, payload, ns| Row { payload: Some(payload), p50_ns: Some(ns), ..Row::new("rpc", system) };
        let row = Row { p50_ns: Some(2000), ..Row::new("rpc", "slipring") };
        let row = against(row, &[floor("floor-F", 32, 300), floor("floor-S", 65536, 2000)]);
        assert_eq!((row.floor.as_deref(), row.floor_p50_ns), (Some("F + 1.15 S(65536)"), Some(2600.0)));
        assert_eq!(row.floor_p99_ns, None);
    }

    #[test]
    fn only_messages_one_by_one_have_a_slowest_hundredth_to_compare() {
        let floor = [Row { p50_ns: Some(300), p99_ns: Some(400), ..Row::new("rpc", "floor-F") }];
        let alone = against(Row { inflight: Some(1), ..Row::new("rpc", "slipring") }, &floor);
        assert_eq!((alone.floor.as_deref(), alone.floor_p99_ns), (Some("F"), Some(400.0)));
        let many = against(Row { inflight: Some(64), ..Row::new("rpc", "slipring") }, &floor);
        assert_eq!((many.floor_p50_ns, many.floor_p99_ns), (Some(300.0), None));
    }
}
