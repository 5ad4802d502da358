//! rtrb between two threads, as a reference: a ring of bytes each way.
//!
//! Messages of a job have one length, so a ring whose capacity is a multiple of it never breaks one in two, and each is
//! written in place and read in place. What is written is first set to zeros, as the crate's safe interface does. It has no
//! wait but to look again.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use rtrb::{Consumer, Producer, RingBuffer};
use slipring_bench_kit::fault::Fault;
use slipring_bench_kit::patience::spin;
use slipring_bench_kit::rival::{End, InProcess, Job, Wait, Work, main_in_process};

/// Bytes of a ring, unless that is less than the fewest messages or more than the most.
const RING: usize = 1 << 20;
const FEWEST: usize = 4;
const MOST: usize = 1 << 14;

struct Rtrb;

/// One end: what it writes to and reads from, and the length of what it reads.
struct Rings {
    out: Producer<u8>,
    back: Consumer<u8>,
    reads: usize,
    patience: Duration,
}

fn main() -> ExitCode {
    main_in_process::<Rtrb>()
}

impl InProcess for Rtrb {
    const NAME: &'static str = "rtrb";

    type End = Rings;

    fn version() -> String {
        // The version that `Cargo.lock` names; the crate does not tell it.
        "0.4.1".into()
    }

    fn supports(job: &Job) -> Result<(), String> {
        match (job.work, job.wait) {
            (Work::FanIn, _) => Err("one producer, one consumer".into()),
            (Work::Fresh, _) => Err("between threads there is nothing to connect".into()),
            (_, Wait::Spin) => Ok(()),
            _ => Err("no wait that sleeps".into()),
        }
    }

    fn open(job: &Job) -> Result<[Rings; 2]> {
        let answers = job.answer();
        let (there, asked) = ring(job.payload);
        let (answer, back) = ring(answers);
        let patience = job.patience;
        let lead = Rings { out: there, back, reads: answers, patience };
        Ok([lead, Rings { out: answer, back: asked, reads: job.payload, patience }])
    }
}

fn ring(len: usize) -> (Producer<u8>, Consumer<u8>) {
    RingBuffer::new(len * (RING / len).clamp(FEWEST, MOST))
}

impl End for Rings {
    #[inline]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let out = &mut self.out;
        spin(self.patience, || {
            if out.cached_slots() >= len || out.slots() >= len {
                return Ok(Some(()));
            }
            if out.is_abandoned() { Err(gone()) } else { Ok(None) }
        })?;
        let mut chunk = out.write_chunk(len)?;
        let (bytes, rest) = chunk.as_mut_slices();
        if !rest.is_empty() {
            bail!("a message was broken in two");
        }
        fill(bytes);
        chunk.commit_all();
        Ok(())
    }

    #[inline]
    fn receive<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let (back, len) = (&mut self.back, self.reads);
        spin(self.patience, || {
            if back.cached_slots() >= len || back.slots() >= len {
                return Ok(Some(()));
            }
            if back.is_abandoned() { Err(gone()) } else { Ok(None) }
        })?;
        let chunk = back.read_chunk(len)?;
        let found = read(chunk.as_slices().0);
        chunk.commit_all();
        Ok(found)
    }
}

#[cold]
fn gone() -> anyhow::Error {
    Fault::Died("the other thread is gone".into()).into()
}
