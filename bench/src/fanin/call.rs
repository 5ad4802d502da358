//! A client process of a row of `fanin`: one session and one thread for each of its clients, or sessions that say nothing.
//!
//! It calls for one block each time it is told so over its link, then says how many calls its clients made. After the last
//! block it is told once more, and answers every latency; until then its sessions stay open. Each client counts its requests
//! from a number of its own, so a reply that went to another client is found as damage.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use slipring::raise_descriptor_limit;

use crate::calls::Calls;
use crate::echo::{Echo, Limit, Pace, ask_block, check};
use crate::link::Link;
use crate::plan::{RpcPlan, Wait};
use crate::tally::Tally;
use crate::worker::{Said, say};

/// Bits of a request's number that count a client's calls; the client's own number is above them.
const CALLS_BITS: u32 = 40;

/// What a client process does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CallerPlan {
    pub(crate) name: String,
    pub(crate) plan: RpcPlan,
    pub(crate) payload: usize,
    pub(crate) gap_ns: u64,
    /// The number of its first client, and how many there are.
    pub(crate) first: usize,
    pub(crate) clients: usize,
    /// Blocks of calls, the one that warms up among them; none for clients that say nothing.
    pub(crate) blocks: u32,
    pub(crate) span: Duration,
    /// The call of client 0 that is spoiled; 0 spoils none.
    pub(crate) damage: u64,
}

/// One client and its session.
struct Client {
    calls: Calls,
    seed: u64,
    /// None before the first block: it is as large as a session, and those that stay idle are to be weighed without.
    tally: Option<Tally>,
}

/// The latencies of all clients of this process, as values and how often they came.
pub(crate) fn work(plan: &CallerPlan, link: &Link) -> Result<Vec<(u64, u64)>> {
    raise_descriptor_limit().context("prepare for many sessions")?;
    let mut clients = Vec::with_capacity(plan.clients);
    for number in plan.first..plan.first + plan.clients {
        clients.push(Client::connect(plan, number)?);
    }
    say(&Said::Ready(serde_json::Value::Null))?;
    for block in 0..plan.blocks {
        link.wait_ready()?;
        let made = call(plan, &mut clients)?;
        say(&Said::Ready(serde_json::to_value(made).context("write the numbers of calls as JSON")?))?;
        if block == 0 {
            clients.iter_mut().for_each(|client| client.tally = None);
        }
    }
    link.wait_ready()?;
    let mut all = Tally::new();
    clients.iter().filter_map(|client| client.tally.as_ref()).for_each(|tally| all.add(&tally.counts()));
    Ok(all.counts())
}

/// One block of every client, each on a thread of its own unless it is the only one; how many calls each made.
fn call(plan: &CallerPlan, clients: &mut [Client]) -> Result<Vec<u64>> {
    if let [client] = clients {
        return Ok(vec![client.block(plan)?]);
    }
    std::thread::scope(|scope| {
        let mut threads = Vec::with_capacity(clients.len());
        for client in clients {
            let block = move || client.block(plan);
            threads.push(std::thread::Builder::new().spawn_scoped(scope, block).context("start a client's thread")?);
        }
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err(anyhow!("a client's thread panicked")))
        };
        threads.into_iter().map(join).collect()
    })
}

impl Client {
    /// Opens the session and makes one call, so that what is measured or left idle is a session that works.
    fn connect(plan: &CallerPlan, number: usize) -> Result<Self> {
        let mut calls = Calls::connect(&plan.name, &plan.plan, plan.payload)?;
        let seed = (number as u64) << CALLS_BITS;
        let reply = calls.ask(seed)?;
        check("reply", 0, reply, calls.right_reply(seed, plan.payload))?;
        Ok(Self { calls, seed, tally: None })
    }

    fn block(&mut self, plan: &CallerPlan) -> Result<u64> {
        let pace = Pace { gap: Duration::from_nanos(plan.gap_ns), spin: plan.plan.bus.wait == Wait::Spin };
        let limit = Limit { span: plan.span, count: u64::MAX };
        let (calls, tally) = (&mut self.calls, self.tally.get_or_insert_with(Tally::new));
        Ok(ask_block(calls, plan.payload, (pace, limit), &mut self.seed, plan.damage, tally)?.messages)
    }
}
