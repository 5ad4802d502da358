//! A Unix stream socket: what most programs on one host talk over.

use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use anyhow::Result;
use rival_os::kernel;
use rival_os::socket::{Line, open};
use slipring_bench_kit::rival::{Job, Rival, main as host};

struct UnixStreams;

fn main() -> ExitCode {
    host::<UnixStreams>()
}

impl Rival for UnixStreams {
    const NAME: &'static str = "unix-stream";

    type End = Line<UnixStream>;

    fn version() -> String {
        kernel::version()
    }

    fn supports(job: &Job) -> Result<(), String> {
        kernel::supports(job, true)
    }

    fn open(job: &Job) -> Result<Self::End> {
        open(job)
    }
}
