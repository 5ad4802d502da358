//! Counting: this program under callgrind, twice, with so many messages and with more.
//!
//! Only what runs inside of [`counted_turn`](crate::parts) is collected, so neither the handshake nor what stands ready for a
//! turn counts. The difference of the two runs leaves out what only the first messages do: growing memory, first looks.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::parts::{BATCH, COUNTED, Part};

/// Turns of the shorter run: one lap of the default ring with small messages, after which memory has grown and what is
/// looked at for the first time has been seen.
const FEW: u32 = 256;

/// Turns that the longer run has in addition: two laps.
const MORE: u32 = 512;

/// The longest that a run may take; it takes a second or two.
const WATCHDOG: Duration = Duration::from_secs(120);

/// Variables that say where valgrind has its parts, and where files and names may stand. No other one is passed on: the
/// library reads some, and so does the C library.
const PASSED_ON: [&str; 4] = ["PATH", "VALGRIND_LIB", "TMPDIR", "HOME"];

/// How many instructions a message takes on its way through `part`.
pub(crate) fn instructions(part: &Part) -> Result<f64> {
    let few = run(part, FEW)?;
    let many = run(part, FEW + MORE)?;
    let messages = f64::from(MORE) * f64::from(BATCH);
    Ok((many as f64 - few as f64) / messages)
}

/// What callgrind collects in so many turns.
fn run(part: &Part, turns: u32) -> Result<u64> {
    let mut command = Command::new("valgrind");
    command.env_clear().envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(format!("--toggle-collect=*{COUNTED}*"));
    command.arg(std::env::current_exe().context("find this program")?);
    command.args(["turns", part.name, &turns.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("start valgrind")?;
    if !has_ended(&mut child)? {
        child.kill().context("end it")?;
        child.wait().context("wait for its end")?;
        bail!("{} did not end within {WATCHDOG:?} under callgrind", part.name);
    }
    let output = child.wait_with_output().context("read what valgrind says")?;
    let said = String::from_utf8_lossy(&output.stderr);
    match collected(&said) {
        Some(count) if output.status.success() && count > 0 => Ok(count),
        _ => bail!("callgrind counted nothing of {} ({}):\n{said}", part.name, output.status),
    }
}

/// Whether it ends in time. What it says meanwhile is a page, which the pipe holds.
fn has_ended(child: &mut Child) -> Result<bool> {
    let start = Instant::now();
    while child.try_wait().context("ask for its end")?.is_none() {
        if start.elapsed() >= WATCHDOG {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(true)
}

/// The number in `==1234== Collected : 5678`.
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().find_map(|line| line.split_once("Collected :"))?;
    line.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callgrind_collected_is_read_from_what_it_says() {
        let said = "==7== Events    : Ir\n==7== Collected : 113690\n==7== \n==7== I   refs:      113,690\n";
        assert_eq!(collected(said), Some(113_690));
        assert_eq!(collected("==7== nothing"), None);
    }
}
