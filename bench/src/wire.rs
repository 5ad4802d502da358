//! Wires: pipes and Unix sockets as systems under test, for scale.
//!
//! Messages are of one length, so no framing is needed; the end of a block is the first word that no seed reaches.

use std::fs::File;
use std::io::{Read, Write, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::echo::Echo;
use crate::fault::Fault;
use crate::link::{Link, Side};
use crate::payload::{fill, seed_of, sum};

/// Which kind of wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum WireKind {
    Pipe,
    UnixSocket,
}

impl WireKind {
    /// Its name as a system.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pipe => "pipe",
            Self::UnixSocket => "unix-socket",
        }
    }
}

/// Opens a one-way wire: the leading side gets the end to write, the following side the end to read. Each holds no more
/// than its own end, so that the reader sees the end of the stream.
pub(crate) fn one_way(link: &Link, kind: WireKind) -> Result<File> {
    if link.side() == Side::Follow {
        return Ok(File::from(link.receive_fd()?));
    }
    let (ours, theirs) = ends(kind)?;
    link.give(theirs)?;
    Ok(File::from(ours))
}

/// The end to write and the end to read.
fn ends(kind: WireKind) -> Result<(OwnedFd, OwnedFd)> {
    match kind {
        WireKind::Pipe => {
            let (reader, writer) = pipe().context("make a pipe")?;
            Ok((writer.into(), reader.into()))
        }
        WireKind::UnixSocket => {
            let (writer, reader) = UnixStream::pair().context("make a pair of Unix sockets")?;
            Ok((writer.into(), reader.into()))
        }
    }
}

/// Round trips over a wire.
pub(crate) struct WireEcho {
    out: File,
    back: File,
    buffer: Vec<u8>,
}

/// No seed counts up to this, so a request that starts with it ends a block.
const END: u64 = u64::MAX;

impl WireEcho {
    /// The two ends of one link make the two ends of one wire each way.
    pub(crate) fn open(link: &Link, kind: WireKind, len: usize) -> Result<Self> {
        let buffer = vec![0; len];
        let (out, back) = match (kind, link.side()) {
            // A socket carries both ways.
            (WireKind::UnixSocket, _) => {
                let socket = one_way(link, kind)?;
                (socket.try_clone().context("duplicate a socket")?, socket)
            }
            (WireKind::Pipe, Side::Lead) => {
                let (back_writer, back) = ends(kind)?;
                let out = one_way(link, kind)?;
                link.give(back_writer)?;
                (out, File::from(back))
            }
            (WireKind::Pipe, Side::Follow) => {
                let back = one_way(link, kind)?;
                (File::from(link.receive_fd()?), back)
            }
        };
        Ok(Self { out, back, buffer })
    }

    fn put(&mut self, seed: u64) -> Result<()> {
        fill(&mut self.buffer, seed);
        self.out.write_all(&self.buffer).map_err(|error| Fault::Died(format!("write to the wire: {error}")).into())
    }

    fn get(&mut self) -> Result<u64> {
        self.back.read_exact(&mut self.buffer).map_err(|error| Fault::Died(format!("read from the wire: {error}")))?;
        Ok(sum(&self.buffer))
    }
}

impl Echo for WireEcho {
    fn ask(&mut self, seed: u64) -> Result<u64> {
        self.put(seed)?;
        self.get()
    }

    fn answer(&mut self) -> Result<Option<u64>> {
        let sum = self.get()?;
        if seed_of(&self.buffer) == Some(END) {
            return Ok(None);
        }
        self.put(sum)?;
        Ok(Some(sum))
    }

    fn end(&mut self) -> Result<()> {
        self.put(END)
    }
}
