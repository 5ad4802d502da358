//! iceoryx2 as a rival: `publish_subscribe` for messages, `request_response` for calls.
//!
//! Its best documented mode is a loan without initialization that is written in place and read in place, polled for without
//! a pause. Round trips use queues of one sample, as its own benchmark does; streams must lose nothing, so there the queue
//! is deep, does not overflow, and a publisher without room retries until it has delivered. A receiver that sleeps has to be
//! told by a second service of kind `event`, which every sender notifies after every message: it cannot know whether
//! anybody sleeps. There is no wait that adapts, so `adaptive` is that of a sleeper, too.
//!
//! What each file knows: `bell` the events, `node` what a process has once, `topic` messages, `calls` requests and replies,
//! `loan` how a loan is written in place.

mod bell;
mod calls;
mod loan;
mod node;
mod topic;

use std::process::ExitCode;

use anyhow::{Result, bail};
use slipring_bench_kit::rival::{End, Job, Rival, Role, Work, main as host};

use crate::calls::{Asking, Serving};
use crate::topic::Topic;

struct Iceoryx2;

/// An end of either kind.
enum Line {
    Topic(Topic),
    Asking(Asking),
    Serving(Serving),
}

fn main() -> ExitCode {
    host::<Iceoryx2>()
}

impl Rival for Iceoryx2 {
    const NAME: &'static str = "iceoryx2";

    type End = Line;

    fn version() -> String {
        node::VERSION.into()
    }

    fn supports(_: &Job) -> Result<(), String> {
        Ok(())
    }

    fn open(job: &Job) -> Result<Line> {
        let node = node::of_this_thread(job)?;
        Ok(match (job.work, job.role) {
            (Work::Call | Work::FanIn, Role::Lead) => Line::Asking(Asking::open(&node, job)?),
            (Work::Call | Work::FanIn, _) => Line::Serving(Serving::open(&node, job)?),
            _ => Line::Topic(Topic::open(&node, job)?),
        })
    }
}

impl End for Line {
    #[inline]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        match self {
            Self::Topic(topic) => topic.send(len, fill),
            _ => bail!("an end for calls sends no messages"),
        }
    }

    #[inline]
    fn receive<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        match self {
            Self::Topic(topic) => topic.receive(read),
            _ => bail!("an end for calls receives no messages"),
        }
    }

    #[inline]
    fn request<T>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]), read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        match self {
            Self::Asking(asking) => asking.request(len, fill, read),
            _ => bail!("only the asking end makes requests"),
        }
    }

    #[inline]
    fn serve<T>(&mut self, reply: usize, read: impl FnOnce(&[u8]) -> T, fill: impl FnOnce(&mut [u8], &T)) -> Result<T> {
        match self {
            Self::Serving(serving) => serving.serve(reply, read, fill),
            _ => bail!("only the serving end takes requests"),
        }
    }
}
