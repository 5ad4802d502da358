//! An end over streams of bytes: one to write to, one to read from, which may be the same.

use std::io::{Error, ErrorKind, Read, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use slipring_bench_kit::patience::nap_until;
use slipring_bench_kit::rival::{End, Job, Role, Wait, Work};

use crate::inbox::Inbox;
use crate::kernel::failed;

/// A stream that may be set not to block, in which case it is asked without a pause.
#[derive(Debug)]
pub struct Spinning<S> {
    stream: S,
    spins: bool,
}

impl<S> Spinning<S> {
    /// `stream`, which does not block if the job's wait is to spin.
    pub fn new(stream: S, job: &Job) -> Self {
        Self { stream, spins: job.wait == Wait::Spin }
    }

    /// The stream itself.
    pub fn get(&self) -> &S {
        &self.stream
    }

    /// Calls until it no longer says that it would have blocked.
    #[inline]
    fn call(&mut self, mut call: impl FnMut(&mut S) -> Result<usize, Error>) -> Result<usize, Error> {
        loop {
            match call(&mut self.stream) {
                Err(error) if self.spins && error.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
                done => return done,
            }
        }
    }
}

impl<S: Read> Read for Spinning<S> {
    #[inline]
    fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        self.call(|stream| stream.read(into))
    }
}

impl<S: Write> Write for Spinning<S> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        self.call(|stream| stream.write(bytes))
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.stream.flush()
    }
}

/// One end, with what messages are written into.
pub struct Bytes<S> {
    out: Spinning<S>,
    back: Spinning<S>,
    inbox: Inbox,
    buffer: Vec<u8>,
}

impl<S: Read + Write> Bytes<S> {
    /// The end of `job` over `out` and `back`.
    pub fn new(out: S, back: S, job: &Job) -> Self {
        let asks = job.role == Role::Lead && matches!(job.work, Work::Call | Work::FanIn);
        let reads = if asks { job.reply } else { job.payload };
        Self {
            out: Spinning::new(out, job),
            back: Spinning::new(back, job),
            inbox: Inbox::new(reads),
            buffer: vec![0; job.payload.max(job.reply)],
        }
    }

    /// The stream that this end reads from.
    pub fn source(&self) -> &S {
        self.back.get()
    }
}

impl<S: Read + Write> End for Bytes<S> {
    #[inline]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let bytes = &mut self.buffer[..len];
        fill(bytes);
        self.out.write_all(bytes).map_err(|error| failed("write", error))
    }

    #[inline]
    fn receive<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        self.inbox.take(&mut self.back, read)
    }

    #[inline]
    fn receive_some(&mut self, each: &mut impl FnMut(&[u8])) -> Result<()> {
        self.inbox.take_all(&mut self.back, each)
    }
}

/// Tries until the other end is there.
///
/// # Errors
///
/// What `open` fails with other than that nobody is there, and patience that has run out.
pub fn appear<S>(patience: Duration, mut open: impl FnMut() -> Result<S, Error>) -> Result<S> {
    nap_until(patience, "the other end", || match open() {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(None),
        found => found.map(Some).context("connect"),
    })
}
