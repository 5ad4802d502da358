//! Pipes, one each way. They have names (`mkfifo`), so that two processes that share nothing can open them; the kernel moves
//! bytes through them by the same code as through those without.

use std::fs::{File, OpenOptions};
use std::process::ExitCode;

use anyhow::{Context, Result};
use rival_os::bytes::{Bytes, appear};
use rival_os::kernel::{self, buffer_for};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::pipe::fcntl_setpipe_size;
use slipring_bench_kit::rival::{Job, Rival, Role, Wait, main as host};

/// What a pipe holds unless it is asked to hold more.
const USUAL: usize = 64 << 10;

struct Pipes;

fn main() -> ExitCode {
    host::<Pipes>()
}

impl Rival for Pipes {
    const NAME: &'static str = "pipe";

    type End = Bytes<File>;

    fn version() -> String {
        kernel::version()
    }

    fn supports(job: &Job) -> Result<(), String> {
        kernel::supports(job, false)
    }

    /// Opening a pipe waits for whoever opens its other end, so both sides open the two in the same order. The one that is
    /// opened first is made last: when the leading side sees it, both are there.
    fn open(job: &Job) -> Result<Bytes<File>> {
        let (there, back) = (job.path().with_extension("there"), job.path().with_extension("back"));
        let (reads, writes) = (OpenOptions::new().read(true).to_owned(), OpenOptions::new().write(true).to_owned());
        let (out, source) = if job.role == Role::Lead {
            let out = appear(job.patience, || writes.open(&there))?;
            (out, reads.open(&back).context("open the pipe back")?)
        } else {
            for path in [&back, &there] {
                mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).context("make a pipe")?;
            }
            let source = reads.open(&there).context("open the pipe there")?;
            (writes.open(&back).context("open the pipe back")?, source)
        };
        for pipe in [&out, &source] {
            rustix::io::ioctl_fionbio(pipe, job.wait == Wait::Spin).context("set how the pipe waits")?;
            if let Some(size) = buffer_for(job.payload.max(job.reply), USUAL) {
                fcntl_setpipe_size(pipe, size).context("set what the pipe holds")?;
            }
        }
        Ok(Bytes::new(out, source, job))
    }
}
