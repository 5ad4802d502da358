//! Clients: several leading ends of one process, each on a thread of its own, all at work in the same blocks.

use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Context, Result};

use super::drive::{Seat, Side};
use super::{Block, Job, Report, Rival};
use crate::tally::Tally;

/// The threads, told what to do one block at a time.
pub(super) struct Clients {
    tell: Vec<Sender<Block>>,
    heard: Receiver<Result<Report>>,
}

impl Clients {
    /// Opens `job.here` ends, numbered from `job.client` on, one after the other: a server need not bear a rush.
    pub(super) fn open<R: Rival>(job: &Job) -> Result<Self> {
        let (report, heard) = channel();
        let mut clients = Self { tell: Vec::new(), heard };
        for client in job.client..job.client + job.here {
            let (told, blocks) = channel();
            let (job, report) = (Job { client, ..job.clone() }, report.clone());
            std::thread::Builder::new()
                .spawn(move || work::<R>(&job, &blocks, &report))
                .context("start a client's thread")?;
            clients.tell.push(told);
            clients.heard.recv().context("a client is gone")??;
        }
        Ok(clients)
    }

    /// One block of all.
    pub(super) fn block(&self, block: &Block) -> Result<Report> {
        for client in &self.tell {
            client.send(*block).context("a client is gone")?;
        }
        self.gather()
    }

    /// The reports of all as one: the slowest takes the longest.
    fn gather(&self) -> Result<Report> {
        let (mut tally, mut all) = (Tally::new(), Report::default());
        for _ in &self.tell {
            let report = self.heard.recv().context("a client is gone")??;
            tally.add(&report.counts);
            all.moved.messages += report.moved.messages;
            all.moved.time = all.moved.time.max(report.moved.time);
        }
        Ok(Report { counts: tally.counts(), ..all })
    }
}

/// A client's thread: an empty report says that its end stands.
fn work<R: Rival>(job: &Job, blocks: &Receiver<Block>, report: &Sender<Result<Report>>) {
    let mut seat = match R::open(job) {
        Ok(end) => Seat::new(end, Side::Lead),
        Err(error) => return drop(report.send(Err(error))),
    };
    if report.send(Ok(Report::default())).is_err() {
        return;
    }
    for block in blocks {
        let found = seat.block(job, &block);
        let failed = found.is_err();
        // Nobody listens any more once another client has failed.
        if report.send(found).is_err() || failed {
            return;
        }
    }
}
