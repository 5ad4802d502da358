//! `run`: a tour for newcomers, on a real file and with real processes, beside a pipe and a Unix socket.

mod calls;
pub(crate) mod carry;
mod file;
pub(crate) mod held;
mod kill;
mod leftovers;
mod many;
mod shared;
mod trips;

use std::time::Instant;

use anyhow::Result;

use crate::cli::RunArgs;
use crate::crew::Runtime;
use crate::pin::Cpus;
use crate::run::leftovers::Snapshot;

/// What the parts of the tour share.
#[derive(Debug)]
pub(crate) struct Tour {
    pub(crate) runtime: Runtime,
    pub(crate) cpus: Cpus,
}

/// The whole tour.
pub(crate) fn tour(args: &RunArgs) -> Result<()> {
    let begin = Instant::now();
    let tour = Tour { runtime: Runtime::create()?, cpus: Cpus::choose(args.cpus)? };
    let cpus = tour.cpus.label().map_or("not pinned".to_owned(), |cpus| format!("pinned to CPUs {cpus}"));
    println!("slipring: two processes talk over shared memory that each side alone writes.");
    println!("Every part below starts processes of its own, most of them two, {cpus}.\n");
    let before = Snapshot::take(tour.runtime.path())?;

    title("a", "A file from one process to the other, hashed with SHA-256 at both ends");
    // `FILE= make run` asks for no file in particular.
    let real = file::part(&tour, args.file.as_deref().filter(|path| !path.as_os_str().is_empty()))?;

    title("b", "The same file, while the reader holds 1,000 blocks of it and lets go of them in random order");
    held::part(&tour, &real)?;

    title("c", "Round trips: 32 bytes there and back, 20,000 times each, every reply checked");
    trips::part(&tour)?;

    title("d", "Calls: 200,000 requests of 32 bytes, each with its reply, every one checked");
    calls::part(&tour)?;

    title("e", "The server is killed (SIGKILL) while its client is at work: how long until the client knows?");
    kill::part(&tour)?;

    title("f", "Many at once: 8 clients in 8 processes call one server, as fast as they can, for a second");
    many::part(&tour)?;

    title("g", "One table for all: the file in shared memory, read by four processes where it is");
    shared::part(&tour, &real)?;

    title("h", "What is left behind after all that, the kills included");
    leftovers::compare(&before, &Snapshot::take(tour.runtime.path())?)?;

    println!("Everything arrived, every death was told, nothing is left: {:.1} s.", begin.elapsed().as_secs_f64());
    Ok(())
}

fn title(letter: &str, text: &str) {
    println!("({letter}) {text}\n");
}
