//! Players: the processes of one system in one cell, from their start to their end.
//!
//! They are told and heard in lines of JSON (`slipring_bench_kit::rival`), always under a watchdog. When one of them fails
//! the others are heard once more, so that the cause is told and not its consequence, and all are ended.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use slipring_bench_kit::rival::{Block, Job, Report, Role, Said, Told, Work};

use super::fate::{Fate, Status};
use super::systems::System;
use crate::watchdog::Watchdog;

/// How long the others may still speak after one process failed.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long processes may take to end when they are told to.
const LEAVE: Duration = Duration::from_secs(2);
/// The most processes that clients are spread over.
const PROCESSES: usize = 8;
/// What opening one session takes at the most, on a quiet machine.
const OPEN: Duration = Duration::from_millis(20);

/// How long one step may take: `patience` beyond three times what is expected of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience(pub(super) Duration);

impl Patience {
    fn with(self, expected: Duration) -> Watchdog {
        Watchdog::expecting(expected).at_most(expected * 3 + self.0)
    }
}

/// The processes of one system.
#[derive(Debug)]
pub(super) struct Player {
    /// The following one first, unless one process has both ends.
    members: Vec<Member>,
    in_process: bool,
    patience: Patience,
    expected: Duration,
}

/// What both sides saw of one block.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) lead: Report,
    pub(super) follow: Report,
}

impl Player {
    /// Starts the processes for `job`, whose role and clients are filled in here, and has them open their ends.
    pub(super) fn start(system: &System, job: &Job, patience: Patience) -> Result<Self, Fate> {
        let expected = OPEN * job.clients as u32;
        let mut player = Self { members: Vec::new(), in_process: system.who.in_process, patience, expected };
        for job in jobs(job, player.in_process) {
            player.members.push(Member::start(system, &job).map_err(|error| Fate::failed(&error))?);
        }
        let watchdog = patience.with(expected);
        for index in 0..player.members.len() {
            match player.members[index].hear(&watchdog) {
                Ok(Said::Ready) => {}
                Ok(Said::Refused(why)) => return Err(Fate::new(Status::Unsupported, why)),
                other => return Err(player.end_for(fate_of(other))),
            }
        }
        Ok(player)
    }

    /// Whether both sides are threads of one process.
    pub(super) fn is_in_process(&self) -> bool {
        self.in_process
    }

    /// Which processes there are.
    pub(super) fn pids(&self) -> impl Iterator<Item = u32> {
        self.members.iter().map(|member| member.child.id())
    }

    /// Ends them in good order: their standard input ends, and they may take leave of what they have open.
    pub(super) fn leave(mut self) {
        for member in &mut self.members {
            member.stdin = None;
        }
        let watchdog = Watchdog::expecting(Duration::ZERO).at_most(LEAVE);
        for member in &mut self.members {
            // Who does not end is ended.
            while member.hear(&watchdog).is_ok() {}
        }
    }

    /// One block.
    pub(super) fn block(&mut self, block: &Block) -> Result<Seen, Fate> {
        self.begin(block)?;
        self.go(block)?;
        self.finish(block)
    }

    /// Has the following side begin to wait for what comes.
    pub(super) fn begin(&mut self, block: &Block) -> Result<(), Fate> {
        if self.in_process {
            return Ok(());
        }
        let watchdog = self.patience.with(self.expected);
        let follow = &mut self.members[0];
        match follow.tell(&Told::Block(*block)).and_then(|()| follow.hear(&watchdog)) {
            Ok(Said::Started) => Ok(()),
            other => Err(self.end_for(fate_of(other))),
        }
    }

    /// Has the leading side begin.
    pub(super) fn go(&mut self, block: &Block) -> Result<(), Fate> {
        let first = usize::from(!self.in_process);
        for index in first..self.members.len() {
            if let Err(fate) = self.members[index].tell(&Told::Block(*block)) {
                return Err(self.end_for(fate));
            }
        }
        Ok(())
    }

    /// Waits until all are done.
    pub(super) fn finish(&mut self, block: &Block) -> Result<Seen, Fate> {
        let opened = if block.count == u64::MAX { Duration::ZERO } else { OPEN * block.count as u32 };
        let watchdog = self.patience.with(block.span + opened + self.expected);
        let mut reports = Vec::new();
        // From the last to the first: the leading side ends a block.
        for index in (0..self.members.len()).rev() {
            match self.members[index].hear(&watchdog) {
                Ok(Said::Done(found)) => reports.extend(found),
                other => return Err(self.end_for(fate_of(other))),
            }
        }
        if !self.in_process {
            let follow = reports.pop().unwrap_or_default();
            return Ok(Seen { lead: merge(&reports), follow });
        }
        let mut reports = reports.into_iter();
        Ok(Seen { lead: reports.next().unwrap_or_default(), follow: reports.next().unwrap_or_default() })
    }

    /// The worst of `first` and what the others have to say.
    fn end_for(&mut self, first: Fate) -> Fate {
        let watchdog = Watchdog::expecting(Duration::ZERO).at_most(LAST_WORDS);
        let mut worst = first;
        for member in self.members.iter_mut().filter(|member| !member.told_its_end) {
            let last = loop {
                match member.hear(&watchdog) {
                    Ok(Said::Done(_) | Said::Ready) => break None,
                    Ok(Said::Started | Said::Refused(_)) => {}
                    Ok(said @ Said::Failed { .. }) => break Some(fate_of(Ok(said))),
                    Err(fate) => break Some(fate),
                }
            };
            if let Some(last) = last.filter(|last| last.status > worst.status) {
                worst = last;
            }
        }
        worst
    }
}

/// The jobs of all processes, the following side's first.
fn jobs(job: &Job, in_process: bool) -> Vec<Job> {
    if in_process {
        return vec![Job { role: Role::Both, ..job.clone() }];
    }
    let processes = if job.work == Work::FanIn { job.clients.min(PROCESSES) } else { 1 };
    let mut jobs = vec![Job { role: Role::Follow, ..job.clone() }];
    let mut client = 0;
    for left in (1..=processes).rev() {
        let here = (job.clients - client).div_ceil(left);
        jobs.push(Job { role: Role::Lead, client, here, ..job.clone() });
        client += here;
    }
    jobs
}

/// Several leading processes as one side.
fn merge(reports: &[Report]) -> Report {
    let mut tally = crate::tally::Tally::new();
    let mut all = Report::default();
    for report in reports {
        tally.add(&report.counts);
        all.moved.messages += report.moved.messages;
        all.moved.time = all.moved.time.max(report.moved.time);
        all.used += report.used;
        all.grown.rss += report.grown.rss;
        all.grown.pss += report.grown.pss;
    }
    Report { counts: tally.counts(), ..all }
}

/// What it means that a process said this, where it was to say something else.
fn fate_of(heard: Result<Said, Fate>) -> Fate {
    match heard {
        Ok(Said::Failed { code: 3, why }) => Fate::new(Status::Damaged, why),
        Ok(Said::Failed { why, .. }) => Fate::new(Status::Failed, why),
        Ok(other) => Fate::new(Status::Failed, format!("it said {other:?} out of turn")),
        Err(fate) => fate,
    }
}

/// One process.
#[derive(Debug)]
struct Member {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    heard: Vec<u8>,
    told_its_end: bool,
}

impl Member {
    fn start(system: &System, job: &Job) -> Result<Self> {
        let mut child = system
            .command()
            .env("SLIPRING_RUNTIME_DIR", &job.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", system.name()))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let stdout = stdout.context("a child's standard output is a pipe")?;
        let mut member = Self { child, stdin, stdout, heard: Vec::new(), told_its_end: false };
        // One that is gone already is heard of when it is to answer.
        let _ = member.tell(&Told::Open(job.clone()));
        Ok(member)
    }

    fn tell(&mut self, told: &Told) -> Result<(), Fate> {
        let line = serde_json::to_string(told).unwrap_or_default() + "\n";
        let told = self.stdin.as_mut().is_some_and(|stdin| stdin.write_all(line.as_bytes()).is_ok());
        if told { Ok(()) } else { Err(self.death()) }
    }

    /// The next thing it says.
    fn hear(&mut self, watchdog: &Watchdog) -> Result<Said, Fate> {
        loop {
            if let Some(end) = self.heard.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.heard.drain(..=end).collect();
                let said = serde_json::from_slice(&line);
                self.told_its_end |= matches!(said, Ok(Said::Failed { .. } | Said::Refused(_)));
                return said.map_err(|_| Fate::new(Status::Failed, "it said what is no answer"));
            }
            if watchdog.wait(&[self.stdout.as_fd()]).is_err() {
                self.told_its_end = true;
                return Err(Fate::new(Status::Hung, format!("process {} said nothing in time", self.child.id())));
            }
            let mut bytes = [0; 8192];
            match self.stdout.read(&mut bytes) {
                Ok(0) => return Err(self.death()),
                Ok(count) => self.heard.extend_from_slice(&bytes[..count]),
                Err(error) => return Err(Fate::new(Status::Failed, format!("hear it: {error}"))),
            }
        }
    }

    /// How it ended; it is to be over.
    fn death(&mut self) -> Fate {
        self.told_its_end = true;
        // One that closed its pipes but goes on is ended here, after a moment in which it may end by itself.
        std::thread::sleep(Duration::from_millis(20));
        let _ = self.child.kill();
        let how = match self.child.wait().ok().map(|status| (status.signal(), status)) {
            Some((Some(signal), _)) => format!("of signal {signal}"),
            Some((None, status)) => format!("with {status}"),
            None => "unseen".to_owned(),
        };
        Fate::new(Status::Died, format!("process {} died {how}", self.child.id()))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Both fail only for a process that has ended and been collected, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slipring_bench_kit::rival::Wait;

    fn job(work: Work, clients: usize) -> Job {
        Job {
            parent: 1,
            role: Role::Lead,
            work,
            wait: Wait::Spin,
            payload: 32,
            reply: 32,
            dir: "/tmp".into(),
            name: "x".to_owned(),
            cpus: None,
            clients,
            client: 0,
            here: 1,
            patience: Duration::from_secs(1),
            damage: 0,
        }
    }

    #[test]
    fn clients_are_spread_over_a_few_processes_and_none_is_forgotten() {
        for clients in [1, 5, 8, 9, 512] {
            let jobs = jobs(&job(Work::FanIn, clients), false);
            assert_eq!(jobs[0].role, Role::Follow);
            assert!(jobs.len() <= 1 + PROCESSES);
            let mut next = 0;
            for lead in &jobs[1..] {
                assert_eq!(lead.client, next);
                next += lead.here;
            }
            assert_eq!(next, clients);
        }
        assert_eq!(jobs(&job(Work::Stream, 1), false).len(), 2);
        assert_eq!(jobs(&job(Work::Stream, 1), true)[0].role, Role::Both);
    }

    #[test]
    fn damage_is_told_apart_from_other_failures() {
        let fate = |code| fate_of(Ok(Said::Failed { code, why: "x".to_owned() })).status;
        assert_eq!((fate(3), fate(4), fate(1)), (Status::Damaged, Status::Failed, Status::Failed));
    }
}
