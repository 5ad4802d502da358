//! The serving process of a row of `fanin`: a `Server` that answers every request with the pattern of the sum that it read.
//!
//! It runs when it is told over its link to go, stops when it is told so again, and says then what it used meanwhile. The
//! words come to a thread of their own, which sleeps all the time between them; serving is done by the first thread alone.

use std::cell::RefCell;
use std::sync::mpsc::{Receiver, channel};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use slipring::{Request, Server, Stopper, raise_descriptor_limit};

use crate::bus::{DATA, END, options};
use crate::link::Link;
use crate::meter::Used;
use crate::payload::{fill, sum};
use crate::plan::RpcPlan;
use crate::worker::{Said, say};

/// What the server does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ServerPlan {
    pub(crate) name: String,
    pub(crate) plan: RpcPlan,
}

/// Serves until the starting process lets go of its link.
pub(crate) fn work(plan: &ServerPlan, link: Link) -> Result<()> {
    raise_descriptor_limit().context("prepare for many sessions")?;
    let options = options(&plan.plan.bus).capacity_reverse(plan.plan.bus.ring);
    let reply = plan.plan.reply;
    let mut server = Server::bind(&plan.name, &options)
        .with_context(|| format!("serve at {}", plan.name))?
        .on_request(move |_, request| answer(request, reply));
    let orders = obey(link, server.stopper())?;
    ready(Used::default())?;
    loop {
        // Nobody is left to tell it: the row is measured.
        let Ok(()) = orders.recv() else { return Ok(()) };
        let before = Used::by_self()?;
        server.run().context("serve")?;
        ready(Used::by_self()?.since(before))?;
    }
}

/// Has a thread pass on what the starting process says: first to go, then to stop, and so on.
fn obey(link: Link, stopper: Stopper) -> Result<Receiver<()>> {
    let (send, orders) = channel();
    let listen = move || {
        while link.wait_ready().is_ok() && send.send(()).is_ok() {
            let told = link.wait_ready();
            // Whether it was told or has nobody left to tell it: this run is over.
            stopper.stop();
            if told.is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("orders".into()).spawn(listen).context("start a thread")?;
    Ok(orders)
}

thread_local! {
    /// What replies are written into.
    static REPLY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Replies with the pattern of the request's sum, which only its caller can know beforehand. A caller that gets no reply says
/// why, so nothing has to be done about it here.
fn answer(request: Request<'_>, len: usize) {
    if request.type_id() == END {
        let _ = request.reply(END, &[]);
        return;
    }
    let found = sum(&request);
    REPLY.with_borrow_mut(|buffer| {
        buffer.resize(len, 0);
        fill(buffer, found);
        let _ = request.reply(DATA, buffer);
    });
}

fn ready(used: Used) -> Result<()> {
    say(&Said::Ready(serde_json::to_value(used).context("write what was used as JSON")?))
}
