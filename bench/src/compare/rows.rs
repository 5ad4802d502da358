//! Rows of `compare`: those of every other work, with what a comparison adds.
//!
//! Each system has one row a cell. Where others were measured beside slipring, slipring has one for each of them: the same
//! figures, and the ratio of slipring's to theirs. Below 1 slipring takes less of what `ratio` is of: time, or for rates the
//! messages a second, of which more is better.

use serde::Serialize;

use super::cells::{Cell, Figure};
use super::contest::Outcome;
use super::fate::Fate;
use super::ratio::{Ratio, ratio};
use super::systems::System;
use crate::row::Row;
use crate::tally::Tally;

/// One result of a comparison.
#[derive(Clone, Debug, Serialize)]
pub(super) struct CompareRow {
    #[serde(flatten)]
    pub(super) row: Row,
    /// The system's own version.
    pub(super) version: Option<String>,
    /// Percent of its measured capacity at which it was sent to.
    pub(super) load_pct: Option<u32>,
    /// Processor time of both sides, for each message.
    pub(super) cpu_ns_per_message: Option<f64>,
    /// The median ratio of this row's figure to that of `against`, block by block, and the interval that it lies in.
    pub(super) ratio: Option<f64>,
    pub(super) ratio_low: Option<f64>,
    pub(super) ratio_high: Option<f64>,
    pub(super) against: Option<String>,
    /// How it went: ok, unsupported, failed, died, hung, damaged.
    pub(super) status: &'static str,
    /// Why it did not go well.
    pub(super) why: Option<String>,
}

impl CompareRow {
    /// A row without a comparison.
    pub(super) fn plain(row: Row) -> Self {
        Self {
            row,
            version: None,
            load_pct: None,
            cpu_ns_per_message: None,
            ratio: None,
            ratio_low: None,
            ratio_high: None,
            against: None,
            status: "ok",
            why: None,
        }
    }

    fn with_ratio(mut self, found: Ratio, against: &str) -> Self {
        self.ratio = Some(found.median);
        self.ratio_low = Some(found.low);
        self.ratio_high = Some(found.high);
        self.against = Some(against.to_owned());
        self
    }
}

/// What is kept of one system in one cell: its row, the curve of its percentiles, and the ratio of slipring to it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) row: CompareRow,
    /// Latencies at rising percentiles; see [`curve`].
    pub(super) curve: Vec<(f64, f64)>,
    pub(super) ours_to_it: Option<Ratio>,
    is_ours: bool,
    fate: Fate,
}

/// A cell after it was measured.
#[derive(Clone, Debug)]
pub(super) struct CellResult {
    pub(super) cell: Cell,
    pub(super) floors: Vec<CompareRow>,
    pub(super) entries: Vec<Entry>,
}

impl CellResult {
    /// What was found out, held against `floor`: its name, median and p99.
    pub(super) fn new(cell: Cell, floors: Vec<Row>, systems: &[System], outcomes: Vec<Outcome>) -> Self {
        let ours = systems.iter().position(|system| system.is_ours);
        let ours: Vec<Option<f64>> = ours.map(|index| outcomes[index].figures.clone()).unwrap_or_default();
        let mut entries = Vec::new();
        for (system, outcome) in systems.iter().zip(outcomes) {
            let compares = !system.is_ours && outcome.is_ok();
            let ours_to_it = compares.then(|| ratio(&ours, &outcome.figures)).flatten();
            let row = row_of(&cell, system, &outcome, &floors);
            let (curve, is_ours) = (curve(&outcome.tally), system.is_ours);
            entries.push(Entry { row, curve, ours_to_it, is_ours, fate: outcome.fate });
        }
        let floors = floors.into_iter().map(CompareRow::plain).collect();
        Self { cell, floors, entries }
    }

    /// How it ended for each system.
    pub(super) fn fates(&self) -> impl Iterator<Item = (&str, &Fate)> {
        self.entries.iter().map(|entry| (entry.row.row.system.as_str(), &entry.fate))
    }

    /// All rows as records have them.
    pub(super) fn rows(&self) -> Vec<CompareRow> {
        let mut rows = self.floors.clone();
        for entry in &self.entries {
            let against = self.entries.iter().filter(|_| entry.is_ours).filter_map(|other| {
                other.ours_to_it.map(|found| entry.row.clone().with_ratio(found, &other.row.row.system))
            });
            let compared: Vec<CompareRow> = against.collect();
            if compared.is_empty() { rows.push(entry.row.clone()) } else { rows.extend(compared) }
        }
        rows
    }
}

fn row_of(cell: &Cell, system: &System, outcome: &Outcome, floors: &[Row]) -> CompareRow {
    let mut row = Row::new(&cell.work(), system.name());
    row.payload = Some(cell.payload as u64);
    row.wait = Some(outcome.wait.word().to_owned());
    row.clients = Some(cell.clients as u64);
    row.reply = cell.has_replies().then_some(cell.payload as u64);
    row.verified = Some(outcome.is_ok());
    let mut compared = CompareRow {
        version: Some(system.who.version.clone()),
        load_pct: cell.load,
        status: outcome.fate.status.word(),
        why: Some(outcome.fate.why.clone()).filter(|why| !why.is_empty()),
        ..CompareRow::plain(row)
    };
    if outcome.is_ok() {
        compared.row = measured(compared.row, cell, outcome);
        let cpu = outcome.used_by_both.cpu.as_nanos() as f64 / outcome.messages as f64;
        // A sender that spins to each start of a pace says nothing about the system.
        compared.cpu_ns_per_message = Some(cpu).filter(|cpu| cpu.is_finite() && cell.load.is_none());
        compared.row = against_floor(compared.row, cell, floors);
    }
    compared
}

fn measured(mut row: Row, cell: &Cell, outcome: &Outcome) -> Row {
    if matches!(cell.figure(), Figure::Time | Figure::Rate)
        && let Some(summary) = outcome.tally.summary()
    {
        row = row.latencies(&summary);
    }
    if cell.figure() == Figure::Rate || cell.load.is_some() {
        row = row.rates(&outcome.moved, cell.payload);
    }
    row = row.used(outcome.used);
    row.gap_ns = Some(cell.block(outcome.gap).gap.as_nanos() as u64);
    if cell.figure() == Figure::Bytes {
        row.rss_bytes = Some(outcome.grown.rss);
        row.pss_bytes = Some(outcome.grown.pss);
    }
    row
}

/// Holds `row` against the floor that was measured right before and right after.
fn against_floor(mut row: Row, cell: &Cell, floors: &[Row]) -> Row {
    let times: Vec<f64> = floors.iter().filter_map(Row::time_ns).collect();
    let Some(first) = floors.first().filter(|_| !times.is_empty()) else { return row };
    // A round trip moves its payload twice.
    let twice = first.system == "floor-B" && cell.figure() == Figure::Time;
    let mean = times.iter().sum::<f64>() / times.len() as f64;
    row.floor = first.system.strip_prefix("floor-").map(ToOwned::to_owned);
    row.floor_p50_ns = Some(if twice { mean * 2.0 } else { mean });
    let p99: Vec<f64> = floors.iter().filter_map(|floor| floor.p99_ns).map(|ns| ns as f64).collect();
    row.floor_p99_ns = Some(p99.iter().sum::<f64>() / p99.len() as f64).filter(|ns| ns.is_finite());
    row
}

/// Points of a percentile curve for [`curve`]: eight for each factor of ten, up to one in ten thousand.
const POINTS: u32 = 32;

/// Latencies by percentile: the x of a point is how many samples there are for each one that took longer, so p90 is 10 and
/// p99.99 is 10 000. It ends where there are too few samples to tell.
fn curve(tally: &Tally) -> Vec<(f64, f64)> {
    let samples = tally.summary().map_or(0.0, |summary| summary.samples as f64);
    let xs = (0..=POINTS).map(|point| 10f64.powf(f64::from(point) / 8.0));
    let points = xs.take_while(|x| *x <= samples).map(|x| (x, tally.quantile(1.0 - 1.0 / x) as f64));
    points.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_curve_rises_to_where_its_samples_end() {
        let mut tally = Tally::new();
        for ns in 1..=1000 {
            tally.record(Duration::from_nanos(ns));
        }
        let points = curve(&tally);
        assert!(points.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{points:?}");
        assert_eq!(points.first().map(|point| point.0), Some(1.0));
        assert!((points.last().unwrap().0 - 1000.0).abs() < 1.0);
        assert!(curve(&Tally::new()).is_empty());
    }
}
