//! `slipring-bench`: latency and throughput of slipring between two processes, beside floors measured in the same run.
//!
//! The starting process reads the command line, starts two worker processes of this same program, sleeps while they
//! measure, and prints what they found. From the bottom up: `payload` is what is sent and checked, `echo`, `inflight` and
//! `flow` are the patterns of traffic, `floor`, `bus`, `fresh`, `handover`, `beside`, `calls` and `wire` the systems that carry it, `lane`
//! and `blocks` measure several of them in turns, `worker` and `crew` are the processes, and one file for each work stands on top.

mod bench;
mod beside;
mod blocks;
mod bus;
mod calls;
mod cli;
mod clock;
mod connect;
mod connect_many;
mod crew;
mod death;
mod echo;
mod fanin;
mod fault;
mod floor;
mod floor_lanes;
mod floors;
mod flow;
mod fresh;
mod handover;
mod idle;
mod inflight;
mod lane;
mod link;
mod meter;
mod payload;
mod pin;
mod plan;
mod report;
mod row;
mod rpc;
mod rtt;
mod run;
mod shared;
mod stream;
mod table;
mod tally;
mod twin;
mod wake;
mod watchdog;
mod wire;
mod worker;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Work};
use crate::fault::Fault;

fn main() -> ExitCode {
    let done = match Cli::parse().work {
        Work::Worker { task } => return worker::main(&task),
        Work::Floor(args) => floors::measure(&args),
        Work::Rtt(args) => rtt::measure(&args),
        Work::Rpc(args) => rpc::measure(&args),
        Work::Stream(args) => stream::measure(&args),
        Work::Fanin(args) => fanin::measure(&args),
        Work::Wake(args) => wake::measure(&args),
        Work::Shared(args) => shared::measure(&args),
        Work::Connect(args) if args.clients > 1 => connect_many::measure(&args),
        Work::Connect(args) => connect::measure(&args),
        Work::Idle(args) => idle::measure(&args),
        Work::Death(args) => death::measure(&args),
        Work::Run(args) => run::tour(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slipring-bench: {error:#}");
            ExitCode::from(Fault::code_of(&error))
        }
    }
}
