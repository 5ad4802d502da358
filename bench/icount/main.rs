//! `slipring-icount`: how many instructions each hot path takes, a message, held against a table of what it took.
//!
//! A time on a shared machine moves by a tenth from run to run; the number of instructions does not move at all, so a path
//! that has grown by a hundredth is seen. It says nothing about caches, nor about two processors: that is what
//! `slipring-bench` measures. This program starts itself under callgrind, twice for each path (`count`), with so many messages
//! and with more (`parts`), and a clock that goes on only by being looked at (`still`); what it finds is compared with a committed
//! table for this compiler and processor (`table`).
//!
//! Exit codes: 0 no path has grown, or there is nothing to compare with; 1 a path has grown, the table is damaged, or a path
//! could not be counted; 2 usage.

mod count;
mod parts;
mod still;
mod table;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

use crate::parts::{PARTS, Part};
use crate::table::{Change, Table};

/// How much a path may grow, in per cent, before somebody has to say that it should.
const MAY_GROW: f64 = 3.0;

/// Where the tables are, from the root of the repository.
const TABLES: &str = "bench/icount/tables";

/// Counts the instructions of each hot path by callgrind, a message, and compares them with a table.
///
/// Exit codes: 0 no path has grown by more than 3 %, or there is no table for this compiler and processor, or no valgrind; 1 one
/// has, the table is damaged, or a path could not be counted; 2 usage.
#[derive(Debug, Parser)]
#[command(name = "slipring-icount", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Count, print, and compare with the table of this compiler and processor.
    Check(Which),
    /// Count, print, and write the table anew.
    Keep(Which),
    /// What is counted.
    List,
    /// Run a path, to be counted from outside.
    #[command(hide = true)]
    Turns {
        /// Its name.
        #[arg(value_parser = names())]
        part: String,
        /// How often, by 64 messages.
        turns: u32,
    },
}

/// What to count, and beside what.
#[derive(Debug, Args)]
struct Which {
    /// Only these paths.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = names())]
    only: Vec<String>,
    /// The folder of the tables.
    #[arg(long, value_name = "FOLDER", default_value = TABLES)]
    tables: PathBuf,
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Check(which) => check(&which),
        Verb::Keep(which) => keep(&which),
        Verb::List => {
            PARTS.iter().for_each(|part| println!("{:<18} {}", part.name, part.what));
            Ok(())
        }
        Verb::Turns { part, turns } => part_of(&part).map(|part| (part.run)(turns)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slipring-icount: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What may be named on the command line.
fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(PARTS.iter().map(|part| part.name))
}

fn part_of(name: &str) -> Result<&'static Part> {
    PARTS
        .iter()
        .find(|part| part.name == name)
        .with_context(|| format!("there is no path {name}: see slipring-icount list"))
}

fn chosen(only: &[String]) -> Result<Vec<&'static Part>> {
    if only.is_empty() { Ok(PARTS.iter().collect()) } else { only.iter().map(|name| part_of(name)).collect() }
}

/// Whether there is a callgrind to count with; says so if not, because then nothing is checked.
fn can_count() -> bool {
    let version = first_line("valgrind", &["--version"]);
    if version.is_none() {
        println!("skipped: instruction counts (no valgrind here)");
    }
    version.is_some()
}

fn check(which: &Which) -> Result<()> {
    let parts = chosen(&which.only)?;
    let (path, machine) = (table_here(&which.tables)?, machine());
    let table = Table::read(&path)?;
    if !can_count() {
        return Ok(());
    }
    let mut grown = Vec::new();
    println!("{:<18} {:>9} {:>9}", "path", "was", "is");
    for part in parts {
        let is = count::instructions(part)?;
        let was = table.as_ref().and_then(|table| table.get(part.name));
        let change = Change::of(was, is, MAY_GROW);
        println!("{:<18} {:>9} {is:>9.1}  {change}", part.name, was.map_or("-".to_owned(), |was| format!("{was:.1}")));
        if let (Change::Grown(by), Some(was)) = (change, was) {
            grown
                .push(format!("{} takes {is:.1} instructions a message, and took {was:.1}: {by:.1} % more", part.name));
        }
    }
    let Some(table) = table else {
        println!("nothing to compare with: there is no {}; make icount KEEP=1 writes it", path.display());
        return Ok(());
    };
    if grown.is_empty() {
        return Ok(());
    }
    let hint = "where it has to be so, make icount KEEP=1 writes the table anew, and the change says why";
    let (rows, then) = (grown.join("\n  "), table.machine);
    bail!("more than {MAY_GROW} % may not be added to a path:\n  {rows}\n{hint}\nthen: {then}\nnow:  {machine}")
}

fn keep(which: &Which) -> Result<()> {
    let parts = chosen(&which.only)?;
    let path = table_here(&which.tables)?;
    // Whoever counts all writes all: a table that was damaged is mended by that.
    let old = if which.only.is_empty() { None } else { Table::read(&path)? };
    ensure!(can_count(), "without it there is nothing to keep");
    let mut table = Table { machine: machine(), rows: old.map(|old| old.rows).unwrap_or_default() };
    for part in parts {
        let is = count::instructions(part)?;
        println!("{:<18} {is:>9.1}", part.name);
        table.set(part.name, is);
    }
    table.write(&path)?;
    println!("kept: {}", path.display());
    Ok(())
}

/// The table of this compiler and this processor.
fn table_here(folder: &Path) -> Result<PathBuf> {
    let compiler = compiler().context("ask rustc for its version, which says which table is meant")?;
    let version = compiler.split_whitespace().nth(1).unwrap_or("unknown").to_owned();
    Ok(folder.join(format!("rustc-{}-{}.txt", table::plain(&version, "."), table::plain(&processor(), ""))))
}

/// What the counts may depend on, for whoever compares two tables.
fn machine() -> String {
    let parts = [
        compiler(),
        first_line("valgrind", &["--version"]),
        first_line("getconf", &["GNU_LIBC_VERSION"]),
        Some(processor()),
    ];
    parts.map(|part| part.unwrap_or_else(|| "unknown".to_owned())).join(" | ")
}

fn compiler() -> Option<String> {
    first_line(&std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()), &["--version"])
}

fn processor() -> String {
    let all = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = all.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, model)| model.trim().to_owned())
}

/// The first line that a program prints, if it is there and can say it.
fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().next().map(|line| line.trim().to_owned())
}
