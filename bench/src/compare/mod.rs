//! `compare`: slipring beside other systems, on the same work, on the same machine, in the same minutes.
//!
//! From the bottom up: `fate` is how a system's part can end, `ratio` what pairs of blocks say, `cells` what there is to do,
//! `systems` who does it, `player` and `contest` have them do it in turns, `rows` is what came out, and `paper`, `plots` and
//! `record` tell it. slipring takes part as a rival among rivals (`ours.rs`): nothing here treats it differently, except that
//! the others are held against it.

mod args;
mod busy;
mod cells;
mod contest;
mod fate;
mod paper;
mod player;
mod plots;
mod ratio;
mod record;
mod rows;
mod systems;

pub(crate) use args::CompareArgs;
pub(crate) use busy::compute;

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};

use crate::bench::Bench;
use crate::lane::{Lane, System as FloorSystem};
use crate::row::Row;
use args::WorkName;
use cells::{Cell, Figure, cells};
use contest::Arena;
use fate::{Fate, Status};
use record::Record;
use rows::CellResult;
use slipring_bench_kit::rival::Wait;
use systems::System;

/// How long a floor is measured before and after each cell.
const FLOOR: Duration = Duration::from_millis(100);
const QUICK_FLOOR: Duration = Duration::from_millis(10);
/// Payloads from here on are held against the rate of two alternating blocks.
const BLOCK_FLOOR_FROM: usize = 16 << 10;
/// A system that hung this often is not waited for again.
const HANGS: usize = 2;

/// Compares, tells, and ends with the code of the worst thing that happened.
pub(crate) fn compare(args: &CompareArgs) -> Result<()> {
    let bench = Bench::new(&args.common())?;
    args.check(bench.cpus.0.is_some())?;
    let systems = systems::choose(args)?;
    let mut record = args.record.as_deref().map(Record::open).transpose()?;
    let cells = cells(args);
    let progress = Progress::of(&cells, systems.len());
    let mut results: Vec<CellResult> = Vec::new();
    for (number, cell) in cells.iter().enumerate() {
        progress.show(cell);
        let result = one_cell(args, &bench, (number, cell), &systems, &results, &progress)?;
        for mut row in result.rows() {
            bench.place(&mut row.row);
            let line = serde_json::to_string(&row).context("write a row as JSON")?;
            if args.json {
                writeln!(std::io::stdout(), "{line}").context("write a row")?;
            }
            if let Some(record) = &mut record {
                record.row(&line)?;
            }
        }
        results.push(result);
    }
    progress.bar.finish_and_clear();
    let machine = record::machine(&systems, &bench);
    if !args.json {
        write!(std::io::stdout(), "{}", paper::text(&results, &machine)).context("write the tables")?;
    }
    if let Some(record) = &record {
        record.write("machine-compare.txt", &machine.join("\n"))?;
        let pictures = plots::draw(record.folder(), &results)?;
        record.write("compare.md", &paper::markdown(&results, &machine, &pictures))?;
    }
    fate::verdict(results.iter().flat_map(CellResult::fates))
}

fn one_cell(
    args: &CompareArgs,
    bench: &Bench,
    (number, cell): (usize, &Cell),
    systems: &[System],
    before: &[CellResult],
    progress: &Progress,
) -> Result<CellResult> {
    let arena = Arena { runtime: &bench.runtime, cpus: bench.cpus, patience: args.patience, damage: args.damage };
    let left_out: Vec<_> = systems.iter().map(|system| left_out(system, before)).collect();
    let mut floors = floor(args, bench, cell)?;
    let outcomes = contest::run(&arena, (number, cell), systems, &left_out, &mut || progress.bar.inc(cost(cell)));
    floors.extend(floor(args, bench, cell)?);
    Ok(CellResult::new(*cell, floors, systems, outcomes))
}

/// The floor that the cell is held against, if there is one.
fn floor(args: &CompareArgs, bench: &Bench, cell: &Cell) -> Result<Vec<Row>> {
    let has_floor = matches!(cell.name, WorkName::Rtt | WorkName::Rpc | WorkName::Stream | WorkName::Wake);
    if !has_floor {
        return Ok(Vec::new());
    }
    let system = match (cell.payload >= BLOCK_FLOOR_FROM, cell.wait) {
        (true, _) => FloorSystem::FloorB,
        (false, Wait::Park) => FloorSystem::FloorW,
        (false, Wait::Spin | Wait::Adaptive) => FloorSystem::FloorF,
    };
    let time = if args.quick { QUICK_FLOOR } else { FLOOR };
    let measured = bench.measure_for(&[Lane::floor(system, cell.payload)], time)?;
    Ok(measured.iter().map(|measured| measured.row(&cell.work())).collect())
}

/// The fate of a system that hung too often to be waited for again.
fn left_out(system: &System, before: &[CellResult]) -> Option<Fate> {
    let rows = before.iter().flat_map(|result| &result.entries).map(|entry| &entry.row);
    let hangs = rows.filter(|row| row.row.system == system.name() && row.status == Status::Hung.word()).count();
    (hangs >= HANGS).then(|| Fate::new(Status::Hung, format!("left out after it hung {HANGS} times")))
}

/// How far it has come, for people who watch.
struct Progress {
    bar: ProgressBar,
}

impl Progress {
    fn of(cells: &[Cell], systems: usize) -> Self {
        let blocks = |cell: &Cell| u64::from(cell.rounds + 1) * systems as u64 * cost(cell);
        let style = ProgressStyle::with_template("  [{bar:32}] {percent:>3} %  {eta} left  {msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
        Self { bar: ProgressBar::new(cells.iter().map(blocks).sum()).with_style(style) }
    }

    fn show(&self, cell: &Cell) {
        self.bar.set_message(cell.title());
    }
}

/// What a block of `cell` costs, in milliseconds, for the time that is left.
fn cost(cell: &Cell) -> u64 {
    let opened = if cell.figure() == Figure::Bytes || cell.name == WorkName::Connect { 50 } else { 0 };
    cell.span.as_millis() as u64 + opened + 1
}
