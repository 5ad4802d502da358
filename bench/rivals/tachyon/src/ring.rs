//! Rings: how long they have to be, how long a receiver spins, and how two ends meet.

use std::time::Duration;

use anyhow::{Context, Result};
use slipring_bench_kit::patience::nap_until;
use slipring_bench_kit::rival::{Job, Wait};
use tachyon_ipc::TachyonError;

/// Bytes of the header before each message and the multiple that every message is rounded up to.
const LINE: usize = 64;

/// A receiver gives room back after so many messages, so a ring must hold more: these, one more that is written, and what
/// is lost at the end of the ring.
const PLACES: usize = 34;

/// The ring that the library's own benchmarks between processes use.
const USUAL: usize = 1 << 20;

/// The library keeps lengths in 32 bits.
const LONGEST: usize = 1 << 31;

/// The spin threshold of the library's examples.
const USUAL_SPINS: u32 = 10_000;

/// Bytes of a ring for messages of `len` bytes.
pub(crate) fn capacity(len: usize) -> Result<usize, String> {
    let place = len.next_multiple_of(LINE) + LINE;
    let capacity = (place * PLACES).next_power_of_two().max(USUAL);
    if capacity > LONGEST {
        return Err(format!("{PLACES} messages of {len} bytes do not fit its longest ring, 2 GiB"));
    }
    Ok(capacity)
}

/// How often a receiver looks before it sleeps.
pub(crate) fn spins(job: &Job) -> u32 {
    match job.wait {
        Wait::Spin => u32::MAX,
        Wait::Adaptive => USUAL_SPINS,
        Wait::Park => 0,
    }
}

/// Connects to the other end as soon as it listens. The library fails at once if nobody does.
pub(crate) fn connect<T>(patience: Duration, connect: impl Fn() -> Result<T, TachyonError>) -> Result<T> {
    nap_until(patience, "the listening end", || match connect() {
        Err(TachyonError::NetworkError) => Ok(None),
        found => found.map(Some).context("connect"),
    })
}

/// The socket `part` of `job`, as the library takes it.
pub(crate) fn path(job: &Job, part: &str) -> Result<String> {
    let path = job.path().with_extension(part);
    path.into_os_string().into_string().ok().context("the path of the socket is not text")
}
