//! Carrying a file from one process to the other, with a SHA-256 at both ends.
//!
//! The sending side reads the file piece by piece into what the carrier will send, hashes it there and sends it; the
//! receiving side hashes what arrives. On a `Bus` the piece is read straight into the ring, hashed in place on both
//! sides, and copied by nobody; a pipe and a socket get the same pieces through a buffer on either side.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use slipring::{Bus, Cause};

use crate::bus::{self, DATA, fault};
use crate::fault::Fault;
use crate::link::{Link, Side};
use crate::plan::BusPlan;
use crate::wire::{WireKind, one_way};
use crate::worker::{Said, say};

/// Where the receiving side listens, within its private directory.
const ADDRESS: &str = "file";
/// How long the sending side waits at the end until all was read.
const LINGER: Duration = Duration::from_secs(30);
/// Progress is told this often.
const STEPS: u64 = 200;

/// What carries the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Carrier {
    Bus(BusPlan),
    Wire(WireKind),
}

/// What the two processes do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CarryPlan {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) carrier: Carrier,
    /// Bytes of a piece.
    pub(crate) piece: usize,
}

/// What one side saw.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Carried {
    pub(crate) digest: String,
    pub(crate) bytes: u64,
    /// From when both sides were ready to the last byte's hash.
    pub(crate) time: Duration,
}

/// Bytes so far and their hash.
pub(crate) struct Sum {
    hash: Sha256,
    bytes: u64,
    begin: Instant,
}

impl Sum {
    pub(crate) fn new() -> Self {
        Self { hash: Sha256::new(), bytes: 0, begin: Instant::now() }
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    pub(crate) fn done(self) -> Carried {
        Carried { digest: hex(&self.hash.finalize()), bytes: self.bytes, time: self.begin.elapsed() }
    }
}

/// A worker's part.
pub(crate) fn work(plan: &CarryPlan, link: &Link) -> Result<Carried> {
    match (plan.carrier, link.side()) {
        (Carrier::Bus(bus), Side::Lead) => send_by_bus(&plan.path, plan.piece, bus::connect(ADDRESS, &bus)?, link),
        (Carrier::Bus(bus), Side::Follow) => receive_by_bus(plan, bus::listen(ADDRESS, &bus)?, link),
        (Carrier::Wire(kind), Side::Lead) => send_by_wire(plan, one_way(link, kind)?, link),
        (Carrier::Wire(kind), Side::Follow) => receive_by_wire(plan, one_way(link, kind)?, link),
    }
}

fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("open {}", path.display()))
}

/// Sends the file in pieces of so many bytes, as soon as the other side is ready, and closes.
pub(crate) fn send_by_bus(path: &Path, piece: usize, mut bus: Bus, link: &Link) -> Result<Carried> {
    let mut file = open(path)?;
    link.wait_ready()?;
    let mut sum = Sum::new();
    loop {
        let mut claim = bus.claim(piece).map_err(fault)?;
        let len = file.read(&mut claim).context("read the file")?;
        if len == 0 {
            claim.abort();
            break;
        }
        sum.add(&claim[..len]);
        claim.commit(DATA, len).map_err(|failed| fault(failed.cause))?;
    }
    bus.close(LINGER).map_err(fault)?;
    Ok(sum.done())
}

fn receive_by_bus(plan: &CarryPlan, mut bus: Bus, link: &Link) -> Result<Carried> {
    let mut told = Progress::new(plan);
    link.ready()?;
    let mut sum = Sum::new();
    loop {
        match bus.recv() {
            Ok(piece) => sum.add(&piece),
            Err(Cause::Closed) => return Ok(sum.done()),
            Err(cause) => return Err(fault(cause)),
        }
        told.tell(sum.bytes)?;
    }
}

fn send_by_wire(plan: &CarryPlan, mut wire: File, link: &Link) -> Result<Carried> {
    let mut file = open(&plan.path)?;
    let mut buffer = vec![0; plan.piece];
    link.wait_ready()?;
    let mut sum = Sum::new();
    loop {
        let len = file.read(&mut buffer).context("read the file")?;
        if len == 0 {
            return Ok(sum.done());
        }
        sum.add(&buffer[..len]);
        wire.write_all(&buffer[..len]).map_err(|error| Fault::Died(format!("write to the wire: {error}")))?;
    }
}

fn receive_by_wire(plan: &CarryPlan, mut wire: File, link: &Link) -> Result<Carried> {
    let mut told = Progress::new(plan);
    let mut buffer = vec![0; plan.piece];
    link.ready()?;
    let mut sum = Sum::new();
    loop {
        let len = wire.read(&mut buffer).context("read from the wire")?;
        if len == 0 {
            return Ok(sum.done());
        }
        sum.add(&buffer[..len]);
        told.tell(sum.bytes)?;
    }
}

/// Tells how much has arrived, now and then.
struct Progress {
    step: u64,
    next: u64,
}

impl Progress {
    fn new(plan: &CarryPlan) -> Self {
        let step = (plan.bytes / STEPS).max(1);
        Self { step, next: step }
    }

    fn tell(&mut self, bytes: u64) -> Result<()> {
        if bytes < self.next {
            return Ok(());
        }
        self.next = bytes + self.step;
        say(&Said::Progress(bytes))
    }
}

/// A digest as people compare it.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_that_of_all_its_pieces() {
        let mut sum = Sum::new();
        sum.add(b"a");
        sum.add(b"bc");
        let carried = sum.done();
        assert_eq!(carried.bytes, 3);
        // FIPS 180-2, appendix B.1: the digest of "abc".
        assert_eq!(carried.digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
