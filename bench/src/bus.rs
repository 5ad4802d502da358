//! `Bus` as the system under test: the public API, as any user would call it.
//!
//! A `Bus` is one-way, so round trips take two, one each way. The leading side connects the first and sends on it; it
//! listens at the second, which the following side connects when the first stands.

use std::time::Duration;

use anyhow::{Context, Result};
use slipring::{Bus, Cause, Deadline, Message, Options};

use crate::echo::{Echo, check};
use crate::fault::Fault;
use crate::flow::Flow;
use crate::link::Side;
use crate::payload::{fill, sum};
use crate::plan::{Api, Backend, BusPlan, Counters, Fence, FlowPlan, Trust, Wait};

/// The message type of everything that is measured.
pub(crate) const DATA: u32 = 1;
/// The message type that ends a block.
pub(crate) const END: u32 = 2;

/// How long the connecting side waits for the listening side to appear.
pub(crate) const APPEAR: Duration = Duration::from_secs(10);

/// Frames that the receiving side of a stream takes at once: a sixteenth of what the default ring holds.
const AT_ONCE: usize = 1024;

/// As many, or a mebibyte of longer ones: what was taken at once is counted at once, and a block is short.
fn at_once(len: usize) -> usize {
    ((1 << 20) / len.max(1)).clamp(1, AT_ONCE)
}

/// The library's options for a plan.
pub(crate) fn options(plan: &BusPlan) -> Options {
    Options::default()
        .capacity(plan.ring)
        .inline_limit(plan.inline)
        .wait(match plan.wait {
            Wait::Spin => slipring::Wait::Spin,
            Wait::Park => slipring::Wait::Park,
            Wait::Adaptive => slipring::Wait::Adaptive,
        })
        .backend(match plan.backend {
            Backend::Memfd => slipring::Backend::Memfd,
            Backend::Posix => slipring::Backend::Posix,
        })
        .trust(match plan.trust {
            Trust::SameUser => slipring::Trust::SameUser,
            Trust::Untrusted => slipring::Trust::Untrusted,
        })
        .fence(match plan.fence {
            Fence::Auto => slipring::Fence::Auto,
            Fence::Always => slipring::Fence::Always,
        })
        .counters(plan.counters == Counters::On)
}

/// The sending end at `address`, waiting for the listening end to appear.
pub(crate) fn connect(address: &str, plan: &BusPlan) -> Result<Bus> {
    Bus::connect_until(address, &options(plan), Deadline::after(APPEAR))
        .with_context(|| format!("connect to {address}"))
}

/// The receiving end at `address`.
pub(crate) fn listen(address: &str, plan: &BusPlan) -> Result<Bus> {
    Bus::listen_until(address, &options(plan), Deadline::after(APPEAR)).with_context(|| format!("listen at {address}"))
}

/// A cause in the middle of a measurement, as the fault it is.
#[cold]
pub(crate) fn fault(cause: Cause) -> anyhow::Error {
    match cause {
        Cause::Corrupt(_) => Fault::Damaged(format!("the session ended: {cause}")).into(),
        Cause::PeerDied | Cause::Closed | Cause::Timeout => Fault::Died(format!("the session ended: {cause}")).into(),
        _ => anyhow::Error::new(cause).context("a call failed"),
    }
}

/// A sending end and what it writes its payloads with.
pub(crate) struct Sender {
    bus: Bus,
    api: Api,
    buffer: Vec<u8>,
}

impl Sender {
    pub(crate) fn new(bus: Bus, api: Api, len: usize) -> Self {
        Self { bus, api, buffer: vec![0; len] }
    }

    /// Sends the pattern of `seed`.
    #[inline(always)]
    pub(crate) fn put(&mut self, seed: u64) -> Result<()> {
        match self.api {
            Api::Copy => {
                fill(&mut self.buffer, seed);
                self.bus.publish(DATA, &self.buffer).map_err(fault)
            }
            Api::Claim => {
                let len = self.buffer.len();
                let mut claim = self.bus.claim(len).map_err(fault)?;
                fill(&mut claim, seed);
                claim.commit(DATA, len).map_err(|failed| fault(failed.cause))
            }
        }
    }

    pub(crate) fn end(&mut self) -> Result<()> {
        self.bus.publish(END, &[]).map_err(fault)
    }

    /// Ends the session when all was read, or after `linger`.
    pub(crate) fn close(self, linger: Duration) -> Result<()> {
        self.bus.close(linger).map_err(fault)
    }
}

/// Round trips over two `Bus`es.
pub(crate) struct BusEcho {
    out: Sender,
    back: Bus,
}

impl BusEcho {
    pub(crate) fn open(side: Side, name: &str, plan: &BusPlan, len: usize) -> Result<Self> {
        let (there, back) = (format!("{name}-there"), format!("{name}-back"));
        let (out, back) = match side {
            Side::Lead => {
                let out = connect(&there, plan)?;
                (out, listen(&back, plan)?)
            }
            Side::Follow => {
                let requests = listen(&there, plan)?;
                (connect(&back, plan)?, requests)
            }
        };
        Ok(Self { out: Sender::new(out, plan.api, len), back })
    }

    /// Waits for a message that never comes; why the wait ended.
    pub(crate) fn wait_for_the_end(&mut self) -> Cause {
        loop {
            if let Err(cause) = self.back.recv() {
                return cause;
            }
        }
    }
}

impl Echo for BusEcho {
    #[inline]
    fn ask(&mut self, seed: u64) -> Result<u64> {
        self.out.put(seed)?;
        let reply = self.back.recv().map_err(fault)?;
        Ok(sum(&reply))
    }

    #[inline]
    fn answer(&mut self) -> Result<Option<u64>> {
        let request = self.back.recv().map_err(fault)?;
        if request.type_id() == END {
            return Ok(None);
        }
        let found = sum(&request);
        drop(request);
        self.out.put(found)?;
        Ok(Some(found))
    }

    fn end(&mut self) -> Result<()> {
        self.out.end()
    }
}

/// A stream over one `Bus`.
pub(crate) enum BusFlow {
    Sending(Sender),
    Receiving(Bus, usize),
    Holding(Bus, Held, usize),
}

impl BusFlow {
    pub(crate) fn open(side: Side, name: &str, plan: &FlowPlan, len: usize) -> Result<Self> {
        let bus = &plan.bus;
        Ok(match side {
            Side::Lead => Self::Sending(Sender::new(connect(name, bus)?, bus.api, len)),
            Side::Follow if plan.hold == 0 => Self::Receiving(listen(name, bus)?, at_once(len)),
            Side::Follow => Self::Holding(listen(name, bus)?, Held::new(plan.hold), at_once(len)),
        })
    }
}

/// The messages that were received last, with their sums.
pub(crate) struct Held {
    most: usize,
    messages: Vec<(Message, u64)>,
}

impl Held {
    fn new(most: usize) -> Self {
        Self { most, messages: Vec::with_capacity(most) }
    }

    fn is_full(&self) -> bool {
        self.messages.len() == self.most
    }

    /// What is kept must still be what was received.
    fn look_back(&self) -> Result<()> {
        let mut kept = self.messages.iter().zip(1..);
        kept.try_for_each(|((message, right), number)| check("kept message", number, sum(message), *right))
    }
}

/// Waits for one message, and keeps it. `false` at the end of a block.
#[inline]
fn receive_and_keep(bus: &mut Bus, held: &mut Held, each: &mut impl FnMut(u64) -> Result<()>) -> Result<bool> {
    let lease = bus.recv().map_err(fault)?;
    if lease.type_id() == END {
        return Ok(false);
    }
    let found = sum(&lease);
    held.messages.push((lease.keep(), found));
    each(found).map(|()| true)
}

/// The side that a stream is opened for decides what is called on it.
const WRONG_END: &str = "a stream's leading side only sends and its following side only receives";

impl Flow for BusFlow {
    #[inline]
    fn send(&mut self, seed: u64) -> Result<()> {
        match self {
            Self::Sending(sender) => sender.put(seed),
            Self::Receiving(..) | Self::Holding(..) => anyhow::bail!(WRONG_END),
        }
    }

    #[inline]
    fn receive(&mut self, each: &mut impl FnMut(u64) -> Result<()>) -> Result<bool> {
        let (bus, at_once) = match self {
            Self::Receiving(bus, at_once) => (bus, *at_once),
            Self::Holding(bus, held, at_once) if held.is_full() => (bus, *at_once),
            Self::Holding(bus, held, _) => return receive_and_keep(bus, held, each),
            Self::Sending(_) => anyhow::bail!(WRONG_END),
        };
        let mut more = true;
        let mut checked = Ok(());
        bus.poll(at_once, |frame| {
            if frame.type_id() == END {
                more = false;
            } else if checked.is_ok() {
                checked = each(sum(&frame));
            }
        })
        .map_err(fault)?;
        checked.map(|()| more)
    }

    fn end(&mut self) -> Result<()> {
        match self {
            Self::Sending(sender) => sender.end(),
            Self::Receiving(..) | Self::Holding(..) => anyhow::bail!(WRONG_END),
        }
    }

    fn look_back(&mut self) -> Result<()> {
        if let Self::Holding(_, held, _) = self { held.look_back() } else { Ok(()) }
    }
}
