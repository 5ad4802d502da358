//! The kernel: its version, its limits, and what its errors mean for a message.

use std::fs;
use std::io::{Error, ErrorKind};

use anyhow::Context;
use slipring_bench_kit::fault::Fault;
use slipring_bench_kit::rival::{Job, Work};

/// What every system here stands on.
pub fn version() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").map_or("unknown".into(), |text| format!("linux {}", text.trim()))
}

/// A limit of the kernel: the number in the file `name` below `/proc/sys`, or `fallback` where there is none.
pub fn limit(name: &str, fallback: usize) -> usize {
    let text = fs::read_to_string(format!("/proc/sys/{name}"));
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(fallback)
}

/// The size to ask for a socket's or a pipe's buffer, if the usual `default` holds less than two messages: room for two, up
/// to a mebibyte, beyond which a longer buffer only falls out of the cache.
pub fn buffer_for(len: usize, default: usize) -> Option<usize> {
    const LONGEST: usize = 1 << 20;
    let wanted = (2 * len).min(LONGEST);
    (wanted > default).then_some(wanted)
}

/// Whether a system that serves `clients` clients at most can do `job`.
///
/// # Errors
///
/// Why not.
pub fn supports(job: &Job, many: bool) -> Result<(), String> {
    if job.work == Work::FanIn && !many { Err("one client a session".into()) } else { Ok(()) }
}

/// What an error of the kernel says of the peer.
#[cold]
pub fn failed(what: &str, error: impl Into<Error>) -> anyhow::Error {
    let error = error.into();
    match error.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => gone(),
        // Only a wait with an end comes back like this: where there is none the caller looks again.
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Fault::Died(format!("{what}: nothing came in time")).into(),
        _ => Err::<(), _>(error).context(what.to_owned()).unwrap_err(),
    }
}

/// The peer has closed its end.
#[cold]
pub fn gone() -> anyhow::Error {
    Fault::Died("the other side is gone".into()).into()
}
