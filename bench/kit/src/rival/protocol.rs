//! What the harness and a rival's process say to each other, one JSON object a line.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::flow::Moved;
use crate::meter::{Memory, Used};

/// Which part of a measurement a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Sends, asks, connects.
    Lead,
    /// Receives, answers, listens.
    Follow,
    /// Both, on a thread each: systems that work in one process only.
    Both,
}

/// How an end passes the time of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// Looks without a pause and never asks the kernel to sleep.
    Spin,
    /// Looks for a while, then sleeps: what the system does by default where it adapts. One that does not says so, and is
    /// measured parked.
    Adaptive,
    /// Sleeps in the kernel at once, or as soon as the system can.
    Park,
}

impl Wait {
    /// Its word in records.
    pub fn word(self) -> &'static str {
        match self {
            Self::Spin => "spin",
            Self::Adaptive => "adaptive",
            Self::Park => "park",
        }
    }
}

/// What kind of traffic an end is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// [`End::send`] and [`End::receive`] in turns, on both sides: one message is under way at a time.
    ///
    /// [`End::send`]: crate::rival::End::send
    /// [`End::receive`]: crate::rival::End::receive
    RoundTrip,
    /// [`End::request`] on the leading side, [`End::serve`] on the following one.
    ///
    /// [`End::request`]: crate::rival::End::request
    /// [`End::serve`]: crate::rival::End::serve
    Call,
    /// [`End::send`] on the leading side, [`End::receive_some`] on the following one.
    ///
    /// [`End::send`]: crate::rival::End::send
    /// [`End::receive_some`]: crate::rival::End::receive_some
    Stream,
    /// The same at a given pace.
    Paced,
    /// As [`Work::Call`], from [`Job::clients`] ends of which this one is number [`Job::client`].
    FanIn,
    /// As [`Work::Stream`], over fresh ends that are opened for one message.
    Fresh,
}

/// What a process is to open, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The process that must outlive this one.
    pub parent: u32,
    /// Which end it is.
    pub role: Role,
    /// What it is opened for.
    pub work: Work,
    /// How it waits.
    pub wait: Wait,
    /// Bytes of every message, and of every request: at least 8.
    pub payload: usize,
    /// Bytes of every reply.
    pub reply: usize,
    /// A directory of this run's own, short enough for a socket's path, gone after it.
    pub dir: PathBuf,
    /// A name that both ends share and no other session of this machine has: letters, digits and hyphens.
    pub name: String,
    /// The CPUs of the leading and of the following end. The kit pins; a system that starts threads need do nothing, they
    /// inherit it.
    pub cpus: Option<[usize; 2]>,
    /// How many leading ends there are. More than one only for [`Work::FanIn`].
    pub clients: usize,
    /// Which of them this is, from 0.
    pub client: usize,
    /// How many of them this process opens, each on a thread of its own.
    pub here: usize,
    /// The longest that any one call may wait.
    pub patience: Duration,
    /// The message to spoil, from 1; 0 spoils none.
    pub damage: u64,
}

/// How the names of what belongs to a run begin; the process that made it follows.
pub const PREFIX: &str = "slipring-bench-";

impl Job {
    /// A path in the run's directory that both ends share.
    pub fn path(&self) -> PathBuf {
        self.dir.join(&self.name)
    }

    /// How long the messages are that the leading side receives.
    pub fn answer(&self) -> usize {
        if matches!(self.work, Work::Call | Work::FanIn) { self.reply } else { self.payload }
    }

    /// How the names begin that a system gives to shared memory outside the directory: what a run's processes leave when they
    /// are killed is removed by this name after the run, or by the next.
    pub fn shared_prefix(&self) -> String {
        format!("{PREFIX}{}-", self.parent)
    }

    /// The same job for another session.
    pub(crate) fn named(&self, suffix: &str) -> Self {
        Self { name: format!("{}-{suffix}", self.name), ..self.clone() }
    }
}

/// One short block of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// No message starts later than this after the block's first.
    pub span: Duration,
    /// And there are no more than this many; for [`Work::Fresh`], exactly.
    pub count: u64,
    /// From one intended start to the next; zero is back to back.
    pub gap: Duration,
}

/// What one side saw in a block.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Latencies in nanoseconds and how often each was seen, as [`Tally::counts`](crate::tally::Tally::counts) tells them.
    pub counts: Vec<(u64, u64)>,
    /// Messages and the time that they took.
    pub moved: Moved,
    /// Processor time and wake-ups.
    pub used: Used,
    /// By how much the process has grown: only for [`Work::Fresh`].
    pub grown: Memory,
}

/// What the harness says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// Open this. Said first, and once.
    Open(Job),
    /// Do one block. The following side is told first.
    Block(Block),
}

/// Who a program is: what it prints when its only argument is `describe`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The system's name in every row.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whether one process has both ends.
    pub in_process: bool,
}

/// What a rival's process says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// The end stands.
    Ready,
    /// The system cannot do this job; why.
    Refused(String),
    /// The following side is about to receive: the leading side may begin.
    Started,
    /// The block is over. One report, or for [`Role::Both`] that of the leading and that of the following side.
    Done(Vec<Report>),
    /// The process ends, with this exit code of the harness.
    Failed {
        /// 3 for damage, 4 for a peer that is gone, 1 for all else.
        code: u8,
        /// Why.
        why: String,
    },
}
