//! slipring from C, as a rival of slipring from Rust: the same work by the functions of `slipring.h`, in the shared library that
//! `make install` installs.
//!
//! It does what `bench/src/ours.rs` does: messages of a line are copied in, longer ones are written in place, one is received by
//! `slipring_bus_recv_frame` and a stream by `slipring_bus_poll`; everything else is the library's default. A stream of short
//! messages goes out by `slipring_bus_send_batch`, 128 at a time, while the Rust end publishes one by one: there the ratio is not
//! what the way through C costs, but what is left of that in batches (`docs/decisions/0013-lines-asked-for-twice.md` has both).
//! Everywhere else it is what the way through C costs.

mod abi;
mod crowd;
mod ends;

use std::ffi::CStr;
use std::process::ExitCode;

use anyhow::{Result, bail};
use slipring_bench_kit::rival::{End, Job, Rival, Role, Work, main as host};

use crate::abi::FOREVER;
use crate::crowd::Crowd;
use crate::ends::{Batch, Bus, Rpc, buffer};

/// Frames that the receiving end of a stream takes at once, or a mebibyte of longer ones, as the Rust end does.
const AT_ONCE: usize = 1024;
const BYTES_AT_ONCE: usize = 1 << 20;

const WRONG_END: &str = "this end was opened for other traffic";

struct SlipringC;

/// One end of it.
struct OneEnd {
    line: Line,
    /// What short messages are written into.
    buffer: Vec<u8>,
    at_once: usize,
    batch: Option<Batch>,
}

enum Line {
    /// One bus each way.
    Pair {
        out: Bus,
        back: Bus,
    },
    Out(Bus),
    In(Bus),
    Rpc(Rpc),
    Crowd(Crowd),
}

fn main() -> ExitCode {
    host::<SlipringC>()
}

impl Rival for SlipringC {
    const NAME: &'static str = "slipring-c";

    type End = OneEnd;

    fn version() -> String {
        // SAFETY: a text that lives for ever.
        let version = unsafe { CStr::from_ptr(abi::slipring_version()) };
        version.to_string_lossy().into_owned()
    }

    fn supports(_: &Job) -> Result<(), String> {
        Ok(())
    }

    fn open(job: &Job) -> Result<OneEnd> {
        let name = job.path().display().to_string();
        let back = format!("{name}-back");
        let line = match (job.work, job.role) {
            (Work::RoundTrip, Role::Follow) => {
                let heard = Bus::listen(&name, job)?;
                Line::Pair { out: Bus::connect(&back, job)?, back: heard }
            }
            (Work::RoundTrip, _) => {
                let out = Bus::connect(&name, job)?;
                Line::Pair { out, back: Bus::listen(&back, job)? }
            }
            (Work::FanIn, Role::Follow) => Line::Crowd(Crowd::gather(&name, job)?),
            (Work::Call, Role::Follow) => Line::Rpc(Rpc::listen(&name, job)?),
            (Work::Call | Work::FanIn, _) => Line::Rpc(Rpc::connect(&name, job)?),
            (Work::Stream | Work::Paced | Work::Fresh, Role::Follow) => Line::In(Bus::listen(&name, job)?),
            (Work::Stream | Work::Paced | Work::Fresh, _) => Line::Out(Bus::connect(&name, job)?),
        };
        let at_once = (BYTES_AT_ONCE / job.payload.max(1)).clamp(1, AT_ONCE);
        Ok(OneEnd { line, buffer: buffer(), at_once, batch: Batch::of(job) })
    }
}

impl End for OneEnd {
    #[inline]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let (Line::Pair { out: bus, .. } | Line::Out(bus)) = &self.line else { bail!(WRONG_END) };
        let Some(batch) = &mut self.batch else { return bus.send(&mut self.buffer, len, fill) };
        if batch.add(len, fill) { bus.send_batch(batch) } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        match (&self.line, &mut self.batch) {
            (Line::Out(bus), Some(batch)) => bus.send_batch(batch),
            _ => Ok(()),
        }
    }

    #[inline]
    fn receive<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let (Line::Pair { back: bus, .. } | Line::In(bus)) = &self.line else { bail!(WRONG_END) };
        bus.receive(read)
    }

    #[inline]
    fn receive_some(&mut self, each: &mut impl FnMut(&[u8])) -> Result<()> {
        let Line::In(bus) = &self.line else { bail!(WRONG_END) };
        bus.receive_some(self.at_once, each)
    }

    #[inline]
    fn request<T>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]), read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let Line::Rpc(rpc) = &self.line else { bail!(WRONG_END) };
        rpc.request(&mut self.buffer, len, fill, read)
    }

    #[inline]
    fn serve<T>(&mut self, reply: usize, read: impl FnOnce(&[u8]) -> T, fill: impl FnOnce(&mut [u8], &T)) -> Result<T> {
        let buffer = &mut self.buffer;
        let mut answer = |rpc: &Rpc, id, found: &T| rpc.reply(id, (buffer, reply), |bytes| fill(bytes, found));
        match &mut self.line {
            Line::Rpc(rpc) => {
                let Some((id, found)) = rpc.serve(FOREVER, read)? else { bail!("a wait without an end has ended") };
                answer(rpc, id, &found).map(|()| found)
            }
            Line::Crowd(crowd) => {
                let mut read = Some(read);
                loop {
                    let rpc = crowd.next()?;
                    // Now and then a session is reported for nothing.
                    let look = |bytes: &[u8]| read.take().map(|read| read(bytes));
                    if let Some((id, Some(found))) = rpc.serve(0, look)? {
                        return answer(rpc, id, &found).map(|()| found);
                    }
                }
            }
            Line::Pair { .. } | Line::Out(_) | Line::In(_) => bail!(WRONG_END),
        }
    }
}
