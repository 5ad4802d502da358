//! The twin: whether the floors say the same as a short C program that does the same.
//!
//! A floor that a compiler or a library made slower would flatter every row. So `bench/floor.c` restates F, W and B in
//! C, and here both run in turns, each time as fresh processes; the medians of what they say must agree.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::bench::Bench;
use crate::lane::{Lane, System};
use crate::row::Row;
use crate::table::{Table, time};

/// Turns of each: odd, so that there is a median.
const TURNS: u32 = 15;
/// How far the medians may lie apart.
const TOLERANCE: f64 = 0.05;
/// The floors that both know.
const FLOORS: [System; 3] = [System::FloorF, System::FloorW, System::FloorB];

/// Times by floor.
type Times = BTreeMap<String, Vec<f64>>;

/// Runs both in turns, shows both, and fails if they disagree.
pub(crate) fn compare(bench: &Bench, program: &Path, payload: usize) -> Result<()> {
    let (mut ours, mut theirs) = (Times::new(), Times::new());
    let slice = bench.seconds / TURNS;
    let lanes = FLOORS.map(|system| Lane::floor(system, payload));
    for _ in 0..TURNS {
        for measured in bench.measure_for(&lanes, slice)? {
            note(&mut ours, &measured.row("floor"));
        }
        for row in ask_twin(program, payload, slice, bench.cpus.label())? {
            note(&mut theirs, &row);
        }
    }
    show(ours, theirs)
}

fn note(times: &mut Times, row: &Row) {
    if let Some(ns) = row.time_ns() {
        times.entry(row.system.clone()).or_default().push(ns);
    }
}

/// One run of the C program.
fn ask_twin(program: &Path, payload: usize, slice: Duration, cpus: Option<String>) -> Result<Vec<Row>> {
    let (payload, seconds) = (payload.to_string(), slice.as_secs_f64().to_string());
    let mut command = Command::new(program);
    command.args(["--payload", &payload, "--seconds", &seconds]).stdin(Stdio::null());
    if let Some(cpus) = cpus {
        command.args(["--cpus", &cpus]);
    }
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("run {}", program.display()))?;
    ensure!(output.status.success(), "{} ended with {}", program.display(), output.status);
    let text = String::from_utf8(output.stdout).context("read what the twin says")?;
    text.lines().map(|line| serde_json::from_str(line).context("understand what the twin says")).collect()
}

fn show(mut ours: Times, mut theirs: Times) -> Result<()> {
    let mut table = Table::new(&["floor", "here", "twin", "here / twin"]);
    let mut apart = Vec::new();
    for (system, times) in &mut ours {
        let Some(twin) = theirs.get_mut(system) else { bail!("the twin does not tell {system}") };
        let (here, there) = (median(times), median(twin));
        table.line(vec![system.clone(), time(here), time(there), format!("{:.3}", here / there)]);
        if (here / there - 1.0).abs() > TOLERANCE {
            apart.push(system.clone());
        }
    }
    print!("{table}");
    println!("\n  medians of {TURNS} turns each, in fresh processes every time");
    ensure!(apart.is_empty(), "the floors disagree by more than {} %: {}", TOLERANCE * 100.0, apart.join(", "));
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twins_that_agree_pass_and_others_are_named() {
        let times = |ns: f64| Times::from([("floor-F".to_owned(), vec![900.0, ns, 1.0])]);
        assert!(show(times(300.0), times(310.0)).is_ok());
        let error = show(times(300.0), times(330.0)).unwrap_err().to_string();
        assert!(error.contains("floor-F"), "{error}");
        assert!(show(times(300.0), Times::new()).is_err());
    }
}
