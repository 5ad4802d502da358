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

/// Both ends of a system between threads, each on one of its own. The first thread only listens to them: when one fails while
/// the other waits for it in vain, the process ends with the cause.
struct Pair {
    tell: [Sender<Block>; 2],
    heard: Receiver<(Side, Result<Report>)>,
}

impl Pair {
    fn open<E: End + Send + 'static>(job: &Job, [lead, follow]: [E; 2]) -> Result<Self> {
        let (report, heard) = channel();
        let ends = [(Side::Lead, lead), (Side::Follow, follow)];
        let tell = ends.map(|(side, end)| start_end(job, side, end, report.clone()));
        let [lead, follow] = tell;
        let pair = Self { tell: [lead?, follow?], heard };
        pair.gather()?;
        Ok(pair)
    }

    /// What both say, the leading one's first.
    fn gather(&self) -> Result<Vec<Report>> {
        let mut reports = [Report::default(), Report::default()];
        for _ in 0..reports.len() {
            let (side, report) = self.heard.recv().context("both threads are gone")?;
            reports[usize::from(side == Side::Follow)] = report?;
        }
        Ok(reports.into())
    }
}

impl Works for Pair {
    fn block(&mut self, _: &Job, block: &Block, _: &mut Mouth) -> Result<Vec<Report>> {
        for tell in self.tell.iter().rev() {
            tell.send(*block).context("a thread is gone")?;
        }
        self.gather()
    }
}

/// Starts the thread of one end, which says first that it stands, and then what it saw of each block. It ends with its first
/// failure, and takes its end with it.
fn start_end<E: End + Send + 'static>(
    job: &Job,
    side: Side,
    end: E,
    report: Sender<(Side, Result<Report>)>,
) -> Result<Sender<Block>> {
    let (tell, blocks) = channel::<Block>();
    let job = job.clone();
    let work = move || {
        let mut seat = Seat::new(end, side);
        let pinned = job.cpus.map_or(Ok(()), |cpus| pin(cpus[usize::from(side == Side::Follow)]));
        let mut found = pinned.map(|()| Report::default());
        loop {
            let failed = found.is_err();
            if report.send((side, found)).is_err() || failed {
                return;
            }
            let Ok(block) = blocks.recv() else { return };
            found = measured(&mut seat, &job, &block);
        }
    };
    std::thread::Builder::new().spawn(work).context("start a thread")?;
    Ok(tell)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rival::Wait;
    use std::time::Duration;

    /// A system between two threads, of one channel each way.
    struct Channel {
        out: Sender<Vec<u8>>,
        back: Receiver<Vec<u8>>,
        /// The message of those received that is lost; 0 loses none.
        loses: u64,
        received: u64,
    }

    impl End for Channel {
        fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
            let mut message = vec![0; len];
            fill(&mut message);
            self.out.send(message).map_err(|_| anyhow!("gone"))
        }

        fn receive<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
            let wait = Duration::from_secs(60);
            self.received += 1;
            if self.received == self.loses {
                self.back.recv_timeout(wait)?;
            }
            Ok(read(&self.back.recv_timeout(wait)?))
        }

        fn request<T>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]), read: impl FnOnce(&[u8]) -> T) -> Result<T> {
            self.send(len, fill)?;
            self.receive(read)
        }

        fn serve<T>(
            &mut self,
            reply: usize,
            read: impl FnOnce(&[u8]) -> T,
            fill: impl FnOnce(&mut [u8], &T),
        ) -> Result<T> {
            let found = self.receive(read)?;
            self.send(reply, |bytes| fill(bytes, &found))?;
            Ok(found)
        }
    }

    fn job(work: Work, damage: u64) -> Job {
        Job {
            parent: 0,
            role: Role::Both,
            work,
            wait: Wait::Park,
            payload: 40,
            reply: 24,
            dir: "/nowhere".into(),
            name: "none".to_owned(),
            cpus: None,
            clients: 1,
            client: 0,
            here: 1,
            patience: Duration::from_secs(60),
            damage,
        }
    }

    /// Two blocks of a hundred messages: the reports of the second.
    fn run(work: Work, gap: Duration, (damage, loses): (u64, u64)) -> Result<Vec<Report>> {
        let ((out, far_back), (far_out, back)) = (channel(), channel());
        let lead = Channel { out, back, loses: 0, received: 0 };
        let follow = Channel { out: far_out, back: far_back, loses, received: 0 };
        let job = job(work, damage);
        let mut pair = Pair::open(&job, [lead, follow])?;
        let mut mouth = Mouth(File::options().write(true).open("/dev/null")?);
        let block = Block { span: Duration::from_secs(60), count: 100, gap };
        pair.block(&job, &block, &mut mouth)?;
        pair.block(&job, &block, &mut mouth)
    }

    #[test]
    fn each_pattern_counts_all_its_messages_on_the_side_that_knows() {
        let seen = |work, gap| {
            let [lead, follow] = run(work, gap, (0, 0)).unwrap().try_into().expect("two reports");
            let samples = |report: &Report| report.counts.iter().map(|&(_, count)| count).sum::<u64>();
            let messages = (lead.moved.messages, follow.moved.messages);
            (messages, (samples(&lead), samples(&follow)))
        };
        let none = Duration::ZERO;
        assert_eq!(seen(Work::RoundTrip, none), ((100, 0), (100, 0)));
        assert_eq!(seen(Work::Call, none), ((100, 0), (100, 0)));
        // The first one starts the clock, and the one that ends the block is one more.
        assert_eq!(seen(Work::Stream, none), ((0, 100), (0, 0)));
        assert_eq!(seen(Work::Paced, none), ((100, 100), (0, 100)));
        assert_eq!(seen(Work::Paced, Duration::from_micros(10)), ((100, 100), (0, 100)));
    }

    #[test]
    fn damage_and_loss_are_found_in_each_pattern() {
        let pace = Duration::from_micros(10);
        for (work, gap) in [
            (Work::RoundTrip, Duration::ZERO),
            (Work::Call, Duration::ZERO),
            (Work::Stream, Duration::ZERO),
            (Work::Paced, pace),
        ] {
            let error = run(work, gap, (42, 0)).unwrap_err();
            assert_eq!(Fault::code_of(&error), 3, "{work:?}: {error:#}");
        }
        for (work, gap) in [(Work::Stream, Duration::ZERO), (Work::Paced, pace)] {
            let error = run(work, gap, (0, 42)).unwrap_err();
            assert_eq!(Fault::code_of(&error), 3, "{work:?}: {error:#}");
        }
    }
}
