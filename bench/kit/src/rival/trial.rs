//! The trial of a rival: what a program does when its only argument is `self-test`.
//!
//! It plays the harness to itself: for every work, every wait and a few lengths it starts both of its processes and has them
//! do two short blocks. That all messages are there, in turn and whole, is what the processes check anyway. Once it has a
//! message spoiled, which must be found. Nothing here asks how fast anything is.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::{Block, Job, Report, Role, Said, Told, Wait, Who, Work};
use crate::fault::Fault;

/// The longest that a process may take to say something.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes of a message that are tried: the shortest that is allowed, lengths around a line, a page, and many pages.
const PAYLOADS: [usize; 6] = [8, 60, 64, 1000, 4096, 65_536];

/// Tries these lengths instead, in bytes, with commas between.
const OTHER_PAYLOADS: &str = "RIVAL_PAYLOADS";

/// How many clients a serving end gets.
const CROWD: usize = 3;

/// Tries so many clients instead.
const OTHER_CROWD: &str = "RIVAL_CLIENTS";

/// Works, each with the gap of its blocks and the most messages in one.
const WORKS: [(Work, Duration, u64); 6] = [
    (Work::RoundTrip, Duration::ZERO, 300),
    (Work::Call, Duration::ZERO, 300),
    (Work::Stream, Duration::ZERO, 3000),
    (Work::Paced, Duration::from_micros(20), 300),
    (Work::FanIn, Duration::ZERO, 100),
    (Work::Fresh, Duration::ZERO, 3),
];

/// The message that is spoiled once: the first, for a long one may be alone in its block.
const SPOILED: u64 = 1;

/// Tries all that `supports` allows and tells on standard output what was done.
pub(super) fn run(who: &Who, supports: impl Fn(&Job) -> Result<(), String>) -> ExitCode {
    match try_all(who, supports) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{}: failed: {error:#}", who.name);
            ExitCode::from(Fault::code_of(&error))
        }
    }
}

fn try_all(who: &Who, supports: impl Fn(&Job) -> Result<(), String>) -> Result<()> {
    let place = Place::make()?;
    let payloads = numbers(OTHER_PAYLOADS)?.unwrap_or(PAYLOADS.to_vec());
    let crowd = numbers(OTHER_CROWD)?.map_or(CROWD, |numbers| numbers[0]);
    let (mut number, mut spoiled) = (0, false);
    for wait in [Wait::Spin, Wait::Adaptive, Wait::Park] {
        for (work, gap, count) in WORKS {
            let mut tried = Vec::new();
            for &payload in &payloads {
                number += 1;
                let clients = if work == Work::FanIn { crowd } else { 1 };
                if wait == Wait::Spin && clients > CROWD {
                    // So many that spin would only take turns on the processors.
                    continue;
                }
                let job = job(&place, number, (work, wait), payload, clients);
                if let Err(why) = supports(&job) {
                    println!("{}: {} {work:?} {payload} B: unsupported: {why}", who.name, wait.word());
                    continue;
                }
                let block = Block { span: Duration::from_millis(20), count, gap };
                let what = || format!("{} {work:?} of {payload} bytes", wait.word());
                try_one(who, &job, &block).with_context(what)?;
                tried.push(payload.to_string());
                if work == Work::RoundTrip && !spoiled {
                    spoil_one(who, &job, &block).with_context(what)?;
                    spoiled = true;
                }
            }
            if !tried.is_empty() {
                println!("{}: {} {work:?} of {} bytes: verified", who.name, wait.word(), tried.join(", "));
            }
        }
    }
    ensure!(spoiled, "it makes round trips with no wait");
    Ok(())
}

/// The numbers that the variable `name` of the environment lists, if it is set: at least one.
fn numbers(name: &str) -> Result<Option<Vec<usize>>> {
    let Ok(text) = std::env::var(name) else { return Ok(None) };
    let numbers = text.split(',').map(str::parse).collect::<Result<_, _>>();
    numbers.map(Some).with_context(|| format!("{name}={text}: numbers with commas between are wanted"))
}

fn job(place: &Place, number: u32, (work, wait): (Work, Wait), payload: usize, clients: usize) -> Job {
    Job {
        parent: std::process::id(),
        role: Role::Lead,
        work,
        wait,
        payload,
        // Another length than the request's, where there are replies.
        reply: if work == Work::Call { payload.div_ceil(2).max(8) } else { payload },
        dir: place.0.clone(),
        name: format!("trial-{}-{number}", std::process::id()),
        cpus: None,
        clients,
        client: 0,
        here: clients,
        patience: PATIENCE,
        damage: 0,
    }
}

/// Two blocks of `job`, with messages in each.
fn try_one(who: &Who, job: &Job, block: &Block) -> Result<()> {
    let mut crew = Crew::start(who, job)?;
    for _ in 0..2 {
        let reports = crew.block(block)?;
        let moved = reports.iter().map(|report| report.moved.messages).max();
        // A stream's clock starts when the first messages have come, and those may be all of a short block.
        ensure!(moved > Some(0) || job.work == Work::Stream, "a block had no message");
    }
    crew.end()
}

/// The same with a message spoiled, which must be found.
fn spoil_one(who: &Who, job: &Job, block: &Block) -> Result<()> {
    let job = Job { damage: SPOILED, name: format!("{}-spoiled", job.name), ..job.clone() };
    let mut crew = Crew::start(who, &job)?;
    match crew.block(block) {
        Ok(_) => bail!("message {SPOILED} was spoiled and nobody saw it"),
        Err(error) if Fault::code_of(&error) == 3 => Ok(()),
        Err(error) => Err(error.context("a spoiled message was not called damaged")),
    }
}

/// A private directory, gone with this value.
struct Place(PathBuf);

impl Place {
    fn make() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("rival-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning of its temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The processes of one job, the following one first.
struct Crew(Vec<Member>);

/// One of them. It is killed with this value.
struct Member {
    process: Child,
    /// Until it is to end.
    tell: Option<ChildStdin>,
    heard: Receiver<Said>,
}

impl Crew {
    fn start(who: &Who, job: &Job) -> Result<Self> {
        let roles: &[Role] = if who.in_process { &[Role::Both] } else { &[Role::Follow, Role::Lead] };
        let start = |role: &Role| Member::start(&Job { role: *role, ..job.clone() });
        let mut crew = Self(roles.iter().map(start).collect::<Result<_>>()?);
        for member in &mut crew.0 {
            member.expect("stand", |said| matches!(said, Said::Ready).then_some(()))?;
        }
        Ok(crew)
    }

    /// One block of all. The following side finds damage, and says so before the leading side misses it.
    fn block(&mut self, block: &Block) -> Result<Vec<Report>> {
        let last = self.0.len() - 1;
        for (at, member) in self.0.iter_mut().enumerate() {
            member.tell(&Told::Block(*block))?;
            if at < last {
                member.expect("start", |said| matches!(said, Said::Started).then_some(()))?;
            }
        }
        let mut reports = Vec::new();
        for member in &mut self.0 {
            reports.extend(
                member.expect("end the block", |said| if let Said::Done(all) = said { Some(all) } else { None })?,
            );
        }
        Ok(reports)
    }

    /// Ends the processes by ending what they listen to, and asks that they end well.
    fn end(self) -> Result<()> {
        for member in self.0 {
            member.end()?;
        }
        Ok(())
    }
}

impl Member {
    fn start(job: &Job) -> Result<Self> {
        let program = std::env::current_exe().context("find this program")?;
        let mut process =
            Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("start")?;
        let tell = process.stdin.take();
        let out = process.stdout.take().context("its standard output is a pipe")?;
        let (say, heard) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let Ok(said) = serde_json::from_str(&line) else { return };
                if say.send(said).is_err() {
                    return;
                }
            }
        });
        let mut member = Self { process, tell, heard };
        member.tell(&Told::Open(job.clone()))?;
        Ok(member)
    }

    fn tell(&mut self, told: &Told) -> Result<()> {
        let mut line = serde_json::to_string(told).context("write a line of JSON")?;
        line.push('\n');
        let tell = self.tell.as_mut().context("a process was told to end")?;
        tell.write_all(line.as_bytes()).context("tell a process")
    }

    /// Waits for what `wanted` picks out.
    fn expect<T>(&mut self, what: &str, wanted: impl FnOnce(Said) -> Option<T>) -> Result<T> {
        match self.heard.recv_timeout(PATIENCE) {
            Ok(Said::Failed { code, why }) => {
                Err(Fault::from_code(code, why.clone()).map_or_else(|| anyhow!(why), anyhow::Error::from))
            }
            Ok(said) => wanted(said).with_context(|| format!("a process should {what} and said something else")),
            Err(error) => Err(Fault::Died(format!("a process should {what}: {error}")).into()),
        }
    }

    /// Ends what it listens to, waits until it says nothing more, and asks how it ended.
    fn end(mut self) -> Result<()> {
        self.tell = None;
        match self.heard.recv_timeout(PATIENCE) {
            Err(RecvTimeoutError::Disconnected) => {}
            _ => return Err(Fault::Died("a process should end and did not".into()).into()),
        }
        let status = self.process.wait().context("wait for a process")?;
        ensure!(status.success(), "a process ended with {status}");
        Ok(())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // One that has ended already can neither be killed nor waited for again, and that is as it should be.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
