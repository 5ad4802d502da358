//! The life of a rival's process: it opens what it is told to, does one block after the other, and ends with its standard
//! input, or with its parent.

use std::fs::File;
use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal, getppid, getrlimit, set_parent_process_death_signal, setrlimit};

use super::client::Clients;
use super::drive::{Seat, Side};
use super::fresh::Fresh;
use super::{Block, End, InProcess, Job, Report, Rival, Role, Said, Told, Who, Work, trial};
use crate::fault::Fault;
use crate::meter::Used;
use crate::pin::pin;

/// The whole program of a system between two processes.
pub fn main<R: Rival>() -> ExitCode {
    let who = || Who { name: R::NAME.to_owned(), version: R::version(), in_process: false };
    host(who, R::supports, |job| {
        Ok(match (job.work, job.role) {
            (_, Role::Both) => return Err(anyhow!("this system has one end in each process")),
            (Work::Fresh, role) => Stand::Fresh(Fresh::<R>::new(side(role))),
            (Work::FanIn, Role::Lead) => Stand::Clients(Clients::open::<R>(job)?),
            (_, role) => Stand::End(Seat::new(R::open(job)?, side(role))),
        })
    })
}

/// The whole program of a system between two threads.
pub fn main_in_process<R: InProcess>() -> ExitCode {
    let who = || Who { name: R::NAME.to_owned(), version: R::version(), in_process: true };
    host(who, R::supports, |job| {
        ensure!(job.role == Role::Both, "this system has both ends in one process");
        Pair::open(job, R::open(job)?)
    })
}

fn side(role: Role) -> Side {
    if role == Role::Follow { Side::Follow } else { Side::Lead }
}

/// What a process has open.
trait Works {
    /// One block; says at the right moment that the leading side may begin.
    fn block(&mut self, job: &Job, block: &Block, mouth: &mut Mouth) -> Result<Vec<Report>>;
}

/// What one process of two has open.
enum Stand<R: Rival> {
    End(Seat<R::End>),
    Clients(Clients),
    Fresh(Fresh<R>),
}

impl<R: Rival> Works for Stand<R> {
    fn block(&mut self, job: &Job, block: &Block, mouth: &mut Mouth) -> Result<Vec<Report>> {
        let before = Used::by_self()?;
        if job.role == Role::Follow {
            mouth.say(&Said::Started)?;
        }
        let report = match self {
            Self::End(seat) => seat.block(job, block)?,
            Self::Clients(clients) => clients.block(block)?,
            Self::Fresh(fresh) => fresh.block(job, block)?,
        };
        Ok(vec![Report { used: Used::by_self()?.since(before), ..report }])
    }
}

/// Both ends of a system between threads: the leading one here, the following one on a thread of its own.
struct Pair<E> {
    lead: Seat<E>,
    tell: Sender<Block>,
    heard: Receiver<Result<Report>>,
}

impl<E: End + Send + 'static> Pair<E> {
    fn open(job: &Job, [lead, follow]: [E; 2]) -> Result<Self> {
        let (tell, blocks) = channel::<Block>();
        let (report, heard) = channel();
        let job = job.clone();
        let work = move || {
            let pinned = job.cpus.map_or(Ok(()), |cpus| pin(cpus[1]));
            if report.send(pinned.map(|()| Report::default())).is_err() {
                return;
            }
            let mut seat = Seat::new(follow, Side::Follow);
            for block in blocks {
                let found = measured(&mut seat, &job, &block);
                let failed = found.is_err();
                // A side that failed drops its end, so that the other does not wait for it.
                if report.send(found).is_err() || failed {
                    return;
                }
            }
        };
        std::thread::Builder::new().spawn(work).context("start the following thread")?;
        heard.recv().context("the following thread is gone")??;
        Ok(Self { lead: Seat::new(lead, Side::Lead), tell, heard })
    }
}

impl<E: End + Send + 'static> Works for Pair<E> {
    fn block(&mut self, job: &Job, block: &Block, _: &mut Mouth) -> Result<Vec<Report>> {
        self.tell.send(*block).context("the following thread is gone")?;
        let lead = measured(&mut self.lead, job, block);
        // Damage is found by the following side, and explains what the leading side then meets.
        let follow = self.heard.recv().context("the following thread is gone")??;
        Ok(vec![lead?, follow])
    }
}

fn measured<E: End>(seat: &mut Seat<E>, job: &Job, block: &Block) -> Result<Report> {
    let before = Used::by_thread()?;
    let report = seat.block(job, block)?;
    Ok(Report { used: Used::by_thread()?.since(before), ..report })
}

/// Where the harness listens: what was the standard output. What a system prints there goes to the standard error.
struct Mouth(File);

impl Mouth {
    fn take() -> Result<Self> {
        let out = rustix::io::dup(rustix::stdio::stdout()).context("duplicate the standard output")?;
        rustix::stdio::dup2_stdout(rustix::stdio::stderr()).context("put the standard error in its place")?;
        Ok(Self(File::from(out)))
    }

    fn say(&mut self, said: &Said) -> Result<()> {
        let mut line = serde_json::to_string(said).context("write a line of JSON")?;
        line.push('\n');
        self.0.write_all(line.as_bytes()).context("tell the harness")
    }
}

fn host<W: Works>(
    who: impl FnOnce() -> Who,
    supports: impl Fn(&Job) -> Result<(), String>,
    open: impl FnOnce(&Job) -> Result<W>,
) -> ExitCode {
    match std::env::args().next_back().as_deref() {
        Some("describe") => {
            println!("{}", serde_json::to_string(&who()).unwrap_or_default());
            return ExitCode::SUCCESS;
        }
        Some("self-test") => return trial::run(&who(), supports),
        _ => {}
    }
    let Ok(mut mouth) = Mouth::take() else { return ExitCode::from(Fault::OTHER) };
    let Err(error) = serve(supports, open, &mut mouth) else { return ExitCode::SUCCESS };
    let code = Fault::code_of(&error);
    // Where nobody listens any more nobody needs the reason.
    let _ = mouth.say(&Said::Failed { code, why: format!("{error:#}") });
    ExitCode::from(code)
}

fn serve<W: Works>(
    supports: impl FnOnce(&Job) -> Result<(), String>,
    open: impl FnOnce(&Job) -> Result<W>,
    mouth: &mut Mouth,
) -> Result<()> {
    let mut told = std::io::stdin().lock().lines();
    let Some(job) = told.next().transpose().context("hear the harness")? else { return Ok(()) };
    let Told::Open(job) = serde_json::from_str(&job).context("understand the harness")? else {
        return Err(anyhow!("a job is to be opened first"));
    };
    stay_with(job.parent)?;
    raise_descriptor_limit()?;
    if let Err(why) = supports(&job) {
        return mouth.say(&Said::Refused(why));
    }
    if let Some([lead, follow]) = job.cpus {
        pin(if job.role == Role::Follow { follow } else { lead })?;
    }
    let mut stand = open(&job)?;
    mouth.say(&Said::Ready)?;
    for line in told {
        let line = line.context("hear the harness")?;
        let Told::Block(block) = serde_json::from_str(&line).context("understand the harness")? else {
            return Err(anyhow!("only one job can be opened"));
        };
        let reports = stand.block(&job, &block, mouth)?;
        mouth.say(&Said::Done(reports))?;
    }
    Ok(())
}

/// Lets the process have as many descriptors as it may: several hundred clients need more than the usual limit.
fn raise_descriptor_limit() -> Result<()> {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).context("raise the limit of descriptors")
}

/// Dies with `parent`, whatever it dies of.
fn stay_with(parent: u32) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("ask to die with the parent")?;
    let now = getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get().unsigned_abs());
    ensure!(now == Some(parent), "the parent is gone");
    Ok(())
}
