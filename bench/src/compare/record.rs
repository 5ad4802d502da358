//! Records: where the rows of a comparison are kept, and on which machine they came about. Never a host's name.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::systems::System;
use crate::bench::Bench;
use crate::report::commit;

/// The file that the rows stand in.
const ROWS: &str = "compare.jsonl";

/// A folder for one comparison.
pub(super) struct Record {
    folder: PathBuf,
    rows: File,
}

impl Record {
    /// Makes the folder and the file for the rows: before anything is measured, so that nothing is measured in vain. A record
    /// that is there already is left alone.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let told = |what: &str| format!("--record {}: {what}", folder.display());
        std::fs::create_dir_all(folder).with_context(|| told("nothing can be written there"))?;
        let rows = File::create_new(folder.join(ROWS)).map_err(|error| {
            let what = match error.kind() {
                ErrorKind::AlreadyExists => {
                    format!("there is a record already ({ROWS}); name another folder, or remove it")
                }
                _ => "nothing can be written there".to_owned(),
            };
            anyhow::Error::new(error).context(told(&what))
        })?;
        Ok(Self { folder: folder.to_owned(), rows })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps a row, at once.
    pub(super) fn row(&mut self, line: &str) -> Result<()> {
        writeln!(self.rows, "{line}").context("write a row into the record")
    }

    /// Writes a file beside the rows.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }
}

/// What belongs to every number: when, where, of what, and by which command.
pub(super) fn machine(systems: &[System], bench: &Bench) -> Vec<String> {
    let model = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("model name"))?;
        Some(line.trim_start_matches([' ', '\t', ':']).to_owned())
    });
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let versions: Vec<String> =
        systems.iter().map(|system| format!("{} {}", system.name(), system.who.version)).collect();
    let steal = bench.steal_percent().map_or("unknown".to_owned(), |percent| format!("{percent} %"));
    vec![
        format!("date {}", said("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
        format!("cpu {}", model.unwrap_or_else(|| "unknown".to_owned())),
        format!("cpus {}", std::thread::available_parallelism().map_or(1, usize::from)),
        format!("pinned to {}", bench.cpus.label().unwrap_or_else(|| "none".to_owned())),
        format!("kernel {}", kernel.trim()),
        format!("compiler {}", said("rustc", &["--version"])),
        format!("commit {}", commit().unwrap_or_else(|| "unknown".to_owned())),
        format!("steal {steal}"),
        format!("systems {}", versions.join(", ")),
        format!("command slipring-bench {}", arguments.join(" ")),
    ]
}

/// What a short command says, or "unknown".
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output();
    let text = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let text = text.map(|text| String::from_utf8_lossy(&text).trim().to_owned());
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}
