//! POSIX message queues, one each way, with the limits that the kernel gives to everybody: ten messages of 8 KiB, unless this
//! machine says otherwise. They do not tell that the other side is gone, and a wait has no end: what hangs is killed by the
//! harness.

use std::io::ErrorKind;
use std::process::ExitCode;

use anyhow::{Context, Result};
use posixmq::{OpenOptions, PosixMq, remove_queue};
use rival_os::bytes::appear;
use rival_os::kernel::{self, failed, limit};
use slipring_bench_kit::rival::{End, Job, Rival, Role, Wait, Work, main as host};

struct Queues;

/// One end: both queues, and what messages are written into and read into.
struct Queue {
    out: PosixMq,
    back: PosixMq,
    buffer: Vec<u8>,
    spins: bool,
    /// The names that this side removes in the end.
    made: Vec<String>,
}

fn main() -> ExitCode {
    host::<Queues>()
}

impl Rival for Queues {
    const NAME: &'static str = "posix-mq";

    type End = Queue;

    fn version() -> String {
        kernel::version()
    }

    fn supports(job: &Job) -> Result<(), String> {
        kernel::supports(job, false)?;
        let most = limit("fs/mqueue/msgsize_max", 8192);
        if job.payload.max(job.reply) > most { Err(format!("messages end at {most} bytes")) } else { Ok(()) }
    }

    /// The following side makes both queues, first the one that the leading side opens last: what it finds is complete.
    fn open(job: &Job) -> Result<Queue> {
        let lead = job.role == Role::Lead;
        let (there, back) = (format!("/{}-there", job.name), format!("/{}-back", job.name));
        let answers = job.answer();
        let mut made = Vec::new();
        if !lead {
            make(&back, answers, &mut made)?;
            make(&there, job.payload, &mut made)?;
        }
        let opened = |name: &str, ours: bool| {
            let mut options = if ours { OpenOptions::writeonly() } else { OpenOptions::readonly() };
            if job.wait == Wait::Spin {
                options.nonblocking();
            }
            appear(job.patience, || options.open(name))
        };
        let (there, back) = (opened(&there, lead)?, opened(&back, !lead)?);
        let (out, back) = if lead { (there, back) } else { (back, there) };
        Ok(Queue { out, back, buffer: vec![0; job.payload.max(job.reply)], spins: job.wait == Wait::Spin, made })
    }
}

/// Makes the queue `name` for messages of up to `len` bytes, as deep as everybody may.
fn make(name: &str, len: usize, made: &mut Vec<String>) -> Result<()> {
    let mut options = OpenOptions::readwrite();
    options.create_new().max_msg_len(len).capacity(limit("fs/mqueue/msg_max", 10));
    options.open(name).context("make a queue")?;
    made.push(name.to_owned());
    Ok(())
}

impl Drop for Queue {
    fn drop(&mut self) {
        for name in &self.made {
            // If it is gone already, that is what was wanted.
            let _ = remove_queue(name);
        }
    }
}

/// Calls until it no longer says that it would have blocked, if the end spins.
#[inline]
fn call<T>(what: &str, spins: bool, mut call: impl FnMut() -> std::io::Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(error) if spins && error.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(what, error)),
            Ok(done) => return Ok(done),
        }
    }
}

impl End for Queue {
    #[inline]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let bytes = &mut self.buffer[..len];
        fill(bytes);
        call("send", self.spins, || self.out.send(0, bytes))
    }

    #[inline]
    fn receive<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let (back, buffer) = (&self.back, &mut self.buffer);
        let (_, len) = call("receive", self.spins, || back.recv(buffer))?;
        Ok(read(&self.buffer[..len]))
    }
}
