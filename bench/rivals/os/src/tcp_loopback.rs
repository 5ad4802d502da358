//! TCP over the loopback interface, without Nagle's delay: what programs talk over that may stand on two hosts one day.

use std::net::TcpStream;
use std::process::ExitCode;

use anyhow::Result;
use rival_os::kernel;
use rival_os::socket::{Line, open};
use slipring_bench_kit::rival::{Job, Rival, main as host};

struct TcpLoopback;

fn main() -> ExitCode {
    host::<TcpLoopback>()
}

impl Rival for TcpLoopback {
    const NAME: &'static str = "tcp-loopback";

    type End = Line<TcpStream>;

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
