//! Round trips beside a crowd: many other sessions, whose readers fall asleep and are woken a thousand times a second each.
//!
//! The crowd's processes belong to the leading process of the round trips, which lets them go on for its blocks and stop for those
//! of others; so the same round trips are measured alone and beside the crowd, in turns. They have the processors that the round
//! trips leave them, or where there are none, all. Every message of theirs is checked, too.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use slipring::Cause;

use crate::bus::{self, BusEcho, DATA, fault};
use crate::crew::Member;
use crate::echo::{Limit, Pace, ask_block, check};
use crate::flow::Moved;
use crate::link::{Link, Side};
use crate::payload::{expected, fill, sum};
use crate::pin::{others, pin_to};
use crate::plan::{BusPlan, SMALL_RING, Wait};
use crate::tally::Tally;
use crate::watchdog::Watchdog;
use crate::worker::{Job, Said, say};

/// The most processes that send, and as many again that are woken.
const PROCESSES: usize = 4;
/// From one message of a session to the next.
const TICK: Duration = Duration::from_millis(1);
/// Bytes of a message.
const PAYLOAD: usize = 32;
/// What starting the crowd takes at the most, on a quiet machine.
const START: Duration = Duration::from_secs(5);

/// Round trips, and who is beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BesidePlan {
    pub(crate) bus: BusPlan,
    pub(crate) sessions: u32,
    /// The processors that the round trips have for themselves, where there are others.
    pub(crate) cpus: Option<[usize; 2]>,
}

/// What a process of the crowd does: of so many sessions it has all sending ends, or all receiving ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CrowdPlan {
    bus: BusPlan,
    first: usize,
    sessions: usize,
    cpus: Vec<usize>,
}

/// One side of the round trips; the leading one has the crowd.
pub(crate) struct BesideEcho {
    echo: BusEcho,
    crowd: Option<Crowd>,
}

impl BesideEcho {
    pub(crate) fn open(side: Side, name: &str, plan: &BesidePlan, len: usize) -> Result<Self> {
        let echo = BusEcho::open(side, name, &plan.bus, len)?;
        let crowd = (side == Side::Lead).then(|| Crowd::start(plan)).transpose()?;
        Ok(Self { echo, crowd })
    }

    /// The round trips alone, for the side that answers.
    pub(crate) fn echo(&mut self) -> &mut BusEcho {
        &mut self.echo
    }

    /// A block of round trips, in which the crowd is awake from the first to the last.
    pub(crate) fn ask_block(
        &mut self,
        len: usize,
        when: (Pace, Limit),
        seed: &mut u64,
        damage: u64,
        tally: &mut Tally,
    ) -> Result<Moved> {
        let crowd = self.crowd.as_mut().context("only the leading side asks")?;
        crowd.wake()?;
        let moved = ask_block(&mut self.echo, len, when, seed, damage, tally)?;
        crowd.rest()?;
        Ok(moved)
    }
}

/// The processes of the crowd.
struct Crowd {
    senders: Vec<(Member, Link)>,
    readers: Vec<Member>,
    sessions: u64,
    messages: u64,
    awake: Duration,
    since: Instant,
}

impl Crowd {
    fn start(plan: &BesidePlan) -> Result<Self> {
        let sessions = plan.sessions as usize;
        let processes = PROCESSES.min(sessions);
        let (cpus, watchdog) = (others(plan.cpus)?, Watchdog::expecting(START));
        let bus = BusPlan { wait: Wait::Park, ring: SMALL_RING, ..plan.bus };
        let (mut senders, mut readers) = (Vec::new(), Vec::new());
        for process in 0..processes {
            let first = sessions * process / processes;
            let count = sessions * (process + 1) / processes - first;
            let job = Job::Crowd(CrowdPlan { bus, first, sessions: count, cpus: cpus.clone() });
            readers.push(Member::inherited(Side::Follow, &job)?.0);
            senders.push(Member::inherited(Side::Lead, &job)?);
        }
        for (sender, _) in &mut senders {
            sender.ready::<u64>(&watchdog)?;
        }
        let (sessions, since) = (u64::from(plan.sessions), Instant::now());
        Ok(Self { senders, readers, sessions, messages: 0, awake: Duration::ZERO, since })
    }

    fn wake(&mut self) -> Result<()> {
        self.since = Instant::now();
        self.senders.iter().try_for_each(|(_, link)| link.ready())
    }

    fn rest(&mut self) -> Result<()> {
        self.senders.iter().try_for_each(|(_, link)| link.ready())?;
        self.awake += self.since.elapsed();
        let watchdog = Watchdog::expecting(START);
        for (sender, _) in &mut self.senders {
            self.messages += sender.ready::<u64>(&watchdog)?;
        }
        self.readers.iter_mut().try_for_each(Member::check)
    }
}

impl Drop for Crowd {
    /// Says how awake it was: a machine with too few processors lets it do less than it should.
    fn drop(&mut self) {
        let rate = self.messages as f64 / self.sessions as f64 / self.awake.as_secs_f64();
        eprintln!("slipring-bench: {} sessions beside got {rate:.0} messages a second each", self.sessions);
    }
}

/// A process of the crowd.
pub(crate) fn work(plan: &CrowdPlan, link: &Link) -> Result<()> {
    pin_to(&plan.cpus)?;
    match link.side() {
        Side::Lead => send(plan, link),
        Side::Follow => read(plan),
    }
}

fn name(session: usize) -> String {
    format!("crowd-{session}")
}

/// Sends on each session at every tick while it is told to. What it is late for it leaves out.
fn send(plan: &CrowdPlan, link: &Link) -> Result<()> {
    let numbers = plan.first..plan.first + plan.sessions;
    let mut sessions = numbers.map(|number| bus::connect(&name(number), &plan.bus)).collect::<Result<Vec<_>>>()?;
    let (mut seed, mut buffer) = (0, [0; PAYLOAD]);
    ready(0)?;
    loop {
        link.wait_ready()?;
        let mut sent = 0;
        let mut next = Instant::now();
        while !link.is_ready_within(next.saturating_duration_since(Instant::now()))? {
            seed += 1;
            fill(&mut buffer, seed);
            for session in &mut sessions {
                session.publish(DATA, &buffer).map_err(fault)?;
                sent += 1;
            }
            next = (next + TICK).max(Instant::now());
        }
        link.wait_ready()?;
        ready(sent)?;
    }
}

fn ready(sent: u64) -> Result<()> {
    say(&Said::Ready(sent.into()))
}

/// Reads each session on a thread of its own, until its sender is gone.
fn read(plan: &CrowdPlan) -> Result<()> {
    thread::scope(|scope| {
        let mut threads = Vec::with_capacity(plan.sessions);
        for number in plan.first..plan.first + plan.sessions {
            let session = move || read_one(&name(number), &plan.bus);
            threads.push(thread::Builder::new().spawn_scoped(scope, session).context("start a reader's thread")?);
        }
        let join = |reader: thread::ScopedJoinHandle<'_, _>| {
            reader.join().unwrap_or_else(|_| Err(anyhow!("a reader's thread panicked")))
        };
        threads.into_iter().try_for_each(join)
    })
}

fn read_one(name: &str, plan: &BusPlan) -> Result<()> {
    let mut bus = bus::listen(name, plan)?;
    for number in 1.. {
        match bus.recv() {
            Ok(message) => check("message of the crowd", number, sum(&message), expected(number, PAYLOAD))?,
            Err(Cause::Closed | Cause::PeerDied) => break,
            Err(cause) => return Err(fault(cause)),
        }
    }
    Ok(())
}
