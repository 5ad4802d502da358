//! Teams: the processes of one row of `fanin`, and what they do in a block.
//!
//! The starting process tells each of them over a link of its own when to begin, and sleeps until all have said that they are
//! done. Clients connect before those that stay idle, so that no more processes connect at a time than the server has places
//! for.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Blocks, CallerPlan, Entry, ServerPlan};
use crate::crew::{Member, Runtime};
use crate::flow::Moved;
use crate::link::{Link, Side};
use crate::meter::{Memory, Used};
use crate::pin::{Cpus, allowed};
use crate::tally::Tally;
use crate::watchdog::Watchdog;
use crate::worker::Job;

/// Which CPUs a measurement runs on: one for the server, and those that the clients share. Neither where there is only one.
#[derive(Clone, Debug)]
pub(crate) struct Seats {
    server: Option<usize>,
    clients: Vec<usize>,
}

impl Seats {
    /// Those asked for, or `chosen` for the server and all others that this process may use for the clients.
    pub(crate) fn choose(asked: Option<[usize; 2]>, chosen: Cpus) -> Result<Self> {
        let server = chosen.of(0);
        let clients = match (asked, server) {
            (Some([_, clients]), _) => vec![clients],
            (None, Some(server)) => allowed()?.into_iter().filter(|&cpu| cpu != server).collect(),
            (None, None) => Vec::new(),
        };
        Ok(Self { server, clients })
    }

    fn of_client_process(&self, index: usize) -> Option<usize> {
        (!self.clients.is_empty()).then(|| self.clients[index % self.clients.len()])
    }

    /// As records show them: the server's first.
    pub(crate) fn label(&self) -> Option<String> {
        let all: Vec<_> = self.server.iter().chain(&self.clients).map(ToString::to_string).collect();
        (!all.is_empty()).then(|| all.join(","))
    }
}

/// A process and the link to it.
type Linked = (Member, Link);

/// The processes of one row.
pub(crate) struct Team {
    server: Linked,
    callers: Vec<Linked>,
    idle: Vec<Linked>,
    found: Found,
}

/// What was found out about one row.
pub(crate) struct Found {
    /// Calls of each client.
    made: Vec<u64>,
    time: Duration,
    /// By the server.
    pub(crate) used: Used,
    /// By all processes of idle sessions together.
    pub(crate) idle_used: Used,
    /// Of all processes together.
    pub(crate) memory: Memory,
    pub(crate) tally: Tally,
}

impl Team {
    /// Starts the processes of `entry`, opens all sessions, and leaves the server stopped.
    pub(crate) fn start(
        runtime: &Runtime,
        seats: &Seats,
        index: usize,
        entry: &Entry,
        blocks: &Blocks,
        watchdog: &Watchdog,
    ) -> Result<Self> {
        let crowd = entry.crowd;
        let name = format!("fanin-{index}");
        let job = Job::Serve(ServerPlan { name: name.clone(), plan: entry.plan });
        let mut server = Member::linked(runtime, seats.server, Side::Follow, &job)?;
        server.0.ready::<Used>(watchdog)?;
        server.1.ready()?;
        let base = CallerPlan {
            name,
            plan: entry.plan,
            payload: entry.payload,
            gap_ns: entry.gap_ns,
            first: 0,
            clients: 0,
            blocks: blocks.rounds + 1,
            span: blocks.span,
            damage: blocks.damage,
        };
        let open = |base: &CallerPlan, sessions| open(runtime, seats, base, (sessions, crowd.processes), watchdog);
        let callers = open(&base, crowd.clients)?;
        let idle = open(&CallerPlan { first: crowd.clients, blocks: 0, ..base }, crowd.idle)?;
        server.1.ready()?;
        server.0.ready::<Used>(watchdog)?;
        let (used, idle_used, memory) = (Used::default(), Used::default(), Memory::default());
        let made = vec![0; crowd.clients];
        let found = Found { made, time: Duration::ZERO, used, idle_used, memory, tally: Tally::new() };
        Ok(Self { server, callers, idle, found })
    }

    /// One block of all clients that call. What they did is accounted if it `counts`.
    pub(crate) fn block(&mut self, counts: bool, watchdog: &Watchdog) -> Result<()> {
        let idle_before = self.used_by_idle()?;
        let begin = Instant::now();
        self.server.1.ready()?;
        for (_, link) in &self.callers {
            link.ready()?;
        }
        let mut made = Vec::with_capacity(self.found.made.len());
        for (member, _) in &mut self.callers {
            made.extend(member.ready::<Vec<u64>>(watchdog)?);
        }
        let time = begin.elapsed();
        self.server.1.ready()?;
        let used = self.server.0.ready(watchdog)?;
        self.idle.iter_mut().try_for_each(|(member, _)| member.check())?;
        if counts {
            self.found.made.iter_mut().zip(made).for_each(|(sum, made)| *sum += made);
            self.found.time += time;
            self.found.used += used;
            self.found.idle_used += self.used_by_idle()?.since(idle_before);
        }
        Ok(())
    }

    fn used_by_idle(&self) -> Result<Used> {
        let mut all = Used::default();
        for (member, _) in &self.idle {
            all += Used::by(member.pid())?;
        }
        Ok(all)
    }

    /// Weighs all processes as they stand, hears what the clients found out, and ends them.
    pub(crate) fn finish(mut self, watchdog: &Watchdog) -> Result<Found> {
        let members = self.callers.iter().chain(&self.idle).chain([&self.server]);
        for (member, _) in members {
            let memory = Memory::of(member.pid())?;
            self.found.memory.rss += memory.rss;
            self.found.memory.pss += memory.pss;
        }
        for (member, link) in self.callers.iter_mut().chain(&mut self.idle) {
            link.ready()?;
            self.found.tally.add(&member.result::<Vec<(u64, u64)>>(watchdog)?);
        }
        let (mut server, link) = self.server;
        drop(link);
        server.result::<()>(watchdog)?;
        Ok(self.found)
    }
}

/// Spreads `sessions` over at most so many processes and waits until all are open.
fn open(
    runtime: &Runtime,
    seats: &Seats,
    base: &CallerPlan,
    (sessions, processes): (usize, usize),
    watchdog: &Watchdog,
) -> Result<Vec<Linked>> {
    let mut all = Vec::new();
    for (index, (first, clients)) in shares(sessions, processes).into_iter().enumerate() {
        let job = Job::Call(CallerPlan { first: base.first + first, clients, ..base.clone() });
        all.push(Member::linked(runtime, seats.of_client_process(index), Side::Lead, &job)?);
    }
    for (member, _) in &mut all {
        member.ready::<()>(watchdog)?;
    }
    Ok(all)
}

/// The first of each process's sessions and their number: as even as can be, and no process without any.
fn shares(sessions: usize, processes: usize) -> Vec<(usize, usize)> {
    let processes = processes.min(sessions);
    let bound = |process: usize| sessions * process / processes.max(1);
    (0..processes).map(|process| (bound(process), bound(process + 1) - bound(process))).collect()
}

impl Found {
    /// The calls of all clients, in the time of all blocks.
    pub(crate) fn moved(&self) -> Moved {
        Moved { messages: self.made.iter().sum(), time: self.time }
    }

    /// The rate of the slowest client over the mean of all.
    pub(crate) fn slowest_share(&self) -> Option<f64> {
        let slowest = *self.made.iter().min()? as f64;
        let mean = self.moved().messages as f64 / self.made.len() as f64;
        Some(slowest / mean).filter(|share| share.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_spread_evenly_and_none_is_forgotten() {
        assert_eq!(shares(8, 8), [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1)]);
        assert_eq!(shares(3, 8), [(0, 1), (1, 1), (2, 1)]);
        assert_eq!(shares(10, 4), [(0, 2), (2, 3), (5, 2), (7, 3)]);
        assert!(shares(0, 8).is_empty());
    }

    #[test]
    fn the_slowest_is_held_against_the_mean() {
        let (used, memory, tally) = (Used::default(), Memory::default(), Tally::new());
        let (made, time) = (vec![100, 50, 150], Duration::from_secs(1));
        let mut found = Found { made, time, used, idle_used: used, memory, tally };
        assert_eq!((found.moved().messages, found.slowest_share()), (300, Some(0.5)));
        found.made = vec![0, 0];
        assert_eq!(found.slowest_share(), None);
    }

    #[test]
    fn clients_share_the_cpus_that_the_server_does_not_have() {
        let seats = Seats::choose(Some([3, 5]), Cpus(Some([3, 5]))).unwrap();
        assert_eq!((seats.server, seats.of_client_process(7), seats.label()), (Some(3), Some(5), Some("3,5".into())));
        let none = Seats::choose(None, Cpus(None)).unwrap();
        assert_eq!((none.server, none.of_client_process(0), none.label()), (None, None, None));
    }
}
