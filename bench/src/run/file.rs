//! Part (a): a real file, hashed at both ends, through a `Bus`, a pipe and a Unix socket.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};

use crate::crew::Crew;
use crate::fault::Fault;
use crate::plan::{Api, Backend, BusPlan, Counters, DEFAULT_RING, Fence, Trust, Wait};
use crate::run::Tour;
use crate::run::carry::{Carried, Carrier, CarryPlan, hex};
use crate::table::{Table, amount, time};
use crate::watchdog::Watchdog;
use crate::wire::WireKind;
use crate::worker::Job;

/// Bytes of a piece: as much as a pipe holds, so that all three carriers move the same pieces.
const PIECE: usize = 64 << 10;
/// The slowest rate that is still no reason for alarm, in bytes a second.
const SLOWEST: u64 = 50 << 20;
/// Where there is no Rust toolchain, a large file can be found here.
const FALLBACK: &str = "/usr/lib";

/// A file that was read once, so that it is in memory.
#[derive(Debug)]
pub(crate) struct Real {
    pub(crate) path: PathBuf,
    pub(crate) digest: String,
    pub(crate) bytes: u64,
}

impl Real {
    /// Whether a side saw this file and nothing else.
    pub(crate) fn is_what(&self, side: &Carried) -> bool {
        side.digest == self.digest && side.bytes == self.bytes
    }
}

/// Carries the file three times, shows how fast it went, and answers which file it was.
pub(crate) fn part(tour: &Tour, asked: Option<&Path>) -> Result<Real> {
    let path = asked.map_or_else(find_large_file, |path| Ok(path.to_owned()))?;
    let (digest, bytes) = read_once(&path)?;
    let real = Real { path, digest, bytes };
    println!("  {} ({})", real.path.display(), amount(bytes as f64, "B"));
    println!("  SHA-256 {}, read here first, so that it is in memory for all three\n", real.digest);
    let mut table = Table::new(&["carrier", "time", "rate", "digest of the sender, of the receiver"]);
    let bus = BusPlan {
        wait: Wait::Adaptive,
        api: Api::Claim,
        backend: Backend::Memfd,
        trust: Trust::SameUser,
        fence: Fence::Auto,
        counters: Counters::On,
        ring: DEFAULT_RING,
        inline: PIECE,
    };
    let carriers = [
        ("slipring Bus", Carrier::Bus(bus)),
        ("pipe", Carrier::Wire(WireKind::Pipe)),
        ("Unix socket", Carrier::Wire(WireKind::UnixSocket)),
    ];
    let mut wrong = Vec::new();
    for (name, carrier) in carriers {
        let plan = CarryPlan { path: real.path.clone(), bytes, carrier, piece: PIECE };
        let [sent, received] = carry(tour, name, plan)?;
        let verdict = |side: &Carried| if real.is_what(side) { "right" } else { "WRONG" };
        if !(real.is_what(&sent) && real.is_what(&received)) {
            wrong.push(name);
        }
        let rate = bytes as f64 / received.time.as_secs_f64();
        table.line(vec![
            name.to_owned(),
            time(received.time.as_nanos() as f64),
            amount(rate, "B/s"),
            format!("{}, {}", verdict(&sent), verdict(&received)),
        ]);
    }
    println!("{table}");
    if wrong.is_empty() {
        return Ok(real);
    }
    Err(Fault::Damaged(format!("the file did not arrive as it was sent, by: {}", wrong.join(", "))).into())
}

/// One crossing, with a progress bar where somebody can see it.
fn carry(tour: &Tour, name: &str, plan: CarryPlan) -> Result<[Carried; 2]> {
    let watchdog = patience(plan.bytes);
    let style = ProgressStyle::with_template("  {prefix:12} [{bar:40}] {bytes} of {total_bytes}")
        .context("lay out the progress bar")?;
    let bar = ProgressBar::new(plan.bytes).with_style(style.progress_chars("=> ")).with_prefix(name.to_owned());
    let crew = Crew::start(&tour.runtime, tour.cpus, &Job::Carry(plan))?;
    let carried = crew.finish(&watchdog, |bytes| bar.set_position(bytes));
    bar.finish_and_clear();
    carried
}

/// For how long a crossing of so many bytes may be silent.
pub(crate) fn patience(bytes: u64) -> Watchdog {
    Watchdog::expecting(Duration::from_secs(bytes / SLOWEST + 1))
}

/// Reads the file once: its digest, its length, and its pages into memory.
fn read_once(path: &Path) -> Result<(String, u64)> {
    let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; PIECE];
    loop {
        let len = file.read(&mut buffer).with_context(|| format!("read {}", path.display()))?;
        if len == 0 {
            return Ok((hex(&hash.finalize()), bytes));
        }
        hash.update(&buffer[..len]);
        bytes += len as u64;
    }
}

/// The largest file of the installed Rust toolchain, or else of the system's libraries.
fn find_large_file() -> Result<PathBuf> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).stderr(Stdio::null()).output();
    let sysroot = sysroot.ok().filter(|output| output.status.success());
    let toolchain = sysroot.and_then(|output| String::from_utf8(output.stdout).ok());
    for root in toolchain.iter().map(|text| text.trim()).chain([FALLBACK]) {
        if let Some((_, path)) = largest_in(Path::new(root)) {
            return Ok(path);
        }
    }
    bail!("no large file was found to carry over; name one with FILE=... or --file")
}

/// The largest plain file under `root`, with its size. What cannot be looked at is passed over.
fn largest_in(root: &Path) -> Option<(u64, PathBuf)> {
    let mut largest: Option<(u64, PathBuf)> = None;
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let size = entry.metadata().map_or(0, |metadata| metadata.len());
                if largest.as_ref().is_none_or(|(most, _)| size > *most) {
                    largest = Some((size, entry.path()));
                }
            }
        }
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_file_is_found_in_any_folder() {
        let root = std::env::temp_dir().join(format!("slipring-bench-largest-{}", std::process::id()));
        fs::create_dir_all(root.join("deep/er")).unwrap();
        fs::write(root.join("small"), [1]).unwrap();
        fs::write(root.join("deep/er/large"), [1; 100]).unwrap();
        let found = largest_in(&root);
        let read = read_once(&root.join("deep/er/large")).unwrap();
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(found, Some((100, root.join("deep/er/large"))));
        assert_eq!(read.1, 100);
    }
}
