//! The first use of memory: a stream whose every message lies where none was before, beside B0, the floor of untouched pages.
//!
//! Each block has a session of its own, and the receiving side keeps all messages of the block, so that no memory comes back.
//! Making the session is not measured, as the clock starts at the first message; making its memory is, from the second message on.

use std::time::Duration;

use anyhow::Result;
use slipring::{Bus, Message};

use crate::bus::{END, Sender, connect, fault, listen};
use crate::floor_lanes::FRESH_BYTES;
use crate::flow::{Flow, LEAST};
use crate::link::Side;
use crate::payload::sum;
use crate::plan::BusPlan;

/// How long the sending side waits at the end of a block until all was read.
const LINGER: Duration = Duration::from_secs(30);
/// Half of the blocks that a sender can have out.
const MOST: usize = 2048;

/// A stream over one `Bus` after the other.
pub(crate) struct FreshFlow {
    side: Side,
    name: String,
    plan: BusPlan,
    len: usize,
    /// Sessions so far.
    count: u64,
    sender: Option<Sender>,
    reader: Option<(Bus, Vec<Message>)>,
}

impl FreshFlow {
    /// Opens nothing yet: that is for each block.
    pub(crate) fn new(side: Side, name: &str, plan: &BusPlan, len: usize) -> Self {
        Self { side, name: name.to_owned(), plan: *plan, len, count: 0, sender: None, reader: None }
    }

    fn next_name(&mut self) -> String {
        self.count += 1;
        format!("{}-{}", self.name, self.count)
    }

    fn sender(&mut self) -> Result<&mut Sender> {
        anyhow::ensure!(self.side == Side::Lead, "only the leading side sends");
        let opened = match self.sender.take() {
            Some(sender) => sender,
            None => Sender::new(connect(&self.next_name(), &self.plan)?, self.plan.api, self.len),
        };
        Ok(self.sender.insert(opened))
    }

    fn reader(&mut self) -> Result<&mut (Bus, Vec<Message>)> {
        anyhow::ensure!(self.side == Side::Follow, "only the following side receives");
        let opened = match self.reader.take() {
            Some(reader) => reader,
            None => (listen(&self.next_name(), &self.plan)?, Vec::with_capacity(MOST)),
        };
        Ok(self.reader.insert(opened))
    }
}

impl Flow for FreshFlow {
    fn send(&mut self, seed: u64) -> Result<()> {
        self.sender()?.put(seed)
    }

    fn receive(&mut self, each: &mut impl FnMut(u64) -> Result<()>) -> Result<bool> {
        let (bus, kept) = self.reader()?;
        let lease = bus.recv().map_err(fault)?;
        if lease.type_id() == END {
            return Ok(false);
        }
        let found = sum(&lease);
        kept.push(lease.keep());
        each(found).map(|()| true)
    }

    fn end(&mut self) -> Result<()> {
        self.sender()?.end()?;
        self.sender.take().map_or(Ok(()), |sender| sender.close(LINGER))
    }

    fn look_back(&mut self) -> Result<()> {
        self.reader = None;
        Ok(())
    }

    fn most(&self) -> u64 {
        ((FRESH_BYTES / self.len).min(MOST) as u64).max(LEAST)
    }
}
