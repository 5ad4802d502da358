//! Lanes: the systems that one run measures beside each other, and what either side does in a block of one.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::beside::{BesideEcho, BesidePlan};
use crate::bus::{BusEcho, BusFlow};
use crate::calls::Calls;
use crate::echo::{Limit, Pace, answer_block, ask_block};
use crate::floor::LINE_PAYLOAD;
use crate::floor_lanes::{BlockFloor, LineFloor};
use crate::flow::{Moved, receive_block, send_block};
use crate::fresh::FreshFlow;
use crate::handover::{MESSAGE, SharedEcho, SharedFlow};
use crate::inflight::ask_ahead;
use crate::link::Link;
use crate::plan::{BusPlan, FlowPlan, RpcPlan, Wait};
use crate::tally::Tally;
use crate::wire::{WireEcho, WireKind};

/// What carries the messages of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum System {
    FloorF,
    FloorW,
    FloorB,
    FloorB0,
    FloorS,
    /// Round trips over a `Bus` each way.
    BusEcho(BusPlan),
    /// A stream over one `Bus`.
    BusFlow(FlowPlan),
    /// A stream over one `Bus` after the other, each message in memory that none was in before.
    FreshFlow(BusPlan),
    /// Round trips over a `Bus` each way, the requests with a shared object.
    SharedEcho(BusPlan),
    /// A stream over one `Bus`, each message with the same shared object.
    SharedFlow(BusPlan),
    /// Round trips over a `Bus` each way, beside many sessions that park.
    BesideEcho(BesidePlan),
    /// Calls over one `RpcBus`.
    Rpc(RpcPlan),
    /// Round trips over a pipe each way, or a Unix socket.
    Wire(WireKind),
}

/// One system with one payload at one pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lane {
    pub(crate) system: System,
    /// Bytes of a message, or of the object that comes with it. F and W always carry [`LINE_PAYLOAD`].
    pub(crate) payload: usize,
    pub(crate) gap_ns: u64,
}

impl Lane {
    /// A floor, back to back.
    pub(crate) fn floor(system: System, payload: usize) -> Self {
        let payload = if matches!(system, System::FloorF | System::FloorW) { LINE_PAYLOAD } else { payload };
        Self { system, payload, gap_ns: 0 }
    }

    /// The same lane with `gap_ns` from one start to the next.
    pub(crate) fn with_gap(self, gap_ns: u64) -> Self {
        Self { gap_ns, ..self }
    }

    /// Bytes of a message itself.
    pub(crate) fn message(&self) -> usize {
        if matches!(self.system, System::SharedEcho(_) | System::SharedFlow(_)) { MESSAGE } else { self.payload }
    }

    /// Opens this side's end. Both sides open their lanes in the same order.
    pub(crate) fn open(&self, index: usize, link: &Link) -> Result<Line> {
        let (side, name, len) = (link.side(), format!("lane-{index}"), self.payload);
        Ok(match &self.system {
            System::FloorF => Line::Spinning(LineFloor::open(link)?),
            System::FloorW => Line::Sleeping(LineFloor::open(link)?),
            System::FloorB => Line::Blocks(BlockFloor::open(link, len, false)?),
            System::FloorB0 => Line::Blocks(BlockFloor::open(link, len, true)?),
            System::FloorS => Line::OneBlock(BlockFloor::open(link, len, false)?),
            System::BusEcho(plan) => Line::BusEcho(Box::new(BusEcho::open(side, &name, plan, len)?)),
            System::BusFlow(plan) => Line::BusFlow(Box::new(BusFlow::open(side, &name, plan, len)?)),
            System::FreshFlow(plan) => Line::FreshFlow(Box::new(FreshFlow::new(side, &name, plan, len))),
            System::SharedEcho(plan) => Line::SharedEcho(Box::new(SharedEcho::open(side, &name, plan, len)?)),
            System::SharedFlow(plan) => Line::SharedFlow(Box::new(SharedFlow::open(side, &name, plan, len)?)),
            System::BesideEcho(plan) => Line::BesideEcho(Box::new(BesideEcho::open(side, &name, plan, len)?)),
            System::Rpc(plan) => Line::Rpc(Box::new(Calls::open(side, &name, plan, len)?), plan.inflight as usize),
            System::Wire(kind) => Line::Wire(WireEcho::open(link, *kind, len)?),
        })
    }

    /// The asking side sleeps through its gaps, except where the system under test never sleeps either.
    pub(crate) fn pace(&self) -> Pace {
        let spin = match &self.system {
            System::FloorF => true,
            System::BusEcho(plan) | System::SharedEcho(plan) => plan.wait == Wait::Spin,
            System::BesideEcho(plan) => plan.bus.wait == Wait::Spin,
            _ => false,
        };
        Pace { gap: std::time::Duration::from_nanos(self.gap_ns), spin }
    }
}

/// An open end of a lane.
pub(crate) enum Line {
    Spinning(LineFloor<false>),
    Sleeping(LineFloor<true>),
    Blocks(BlockFloor),
    OneBlock(BlockFloor),
    BusEcho(Box<BusEcho>),
    BusFlow(Box<BusFlow>),
    FreshFlow(Box<FreshFlow>),
    SharedEcho(Box<SharedEcho>),
    SharedFlow(Box<SharedFlow>),
    BesideEcho(Box<BesideEcho>),
    /// With the number of calls that are kept in flight.
    Rpc(Box<Calls>, usize),
    Wire(WireEcho),
}

impl Line {
    /// The leading side of one block, and how many round trips or calls it made: only the following side knows how much of a
    /// stream has moved. `seed` counts the lane's messages; the one numbered `damage` is spoiled.
    pub(crate) fn lead(
        &mut self,
        lane: &Lane,
        limit: Limit,
        seed: &mut u64,
        damage: u64,
        tally: &mut Tally,
    ) -> Result<Moved> {
        let (len, when) = (lane.message(), (lane.pace(), limit));
        match self {
            Self::Spinning(line) => ask_block(line, len, when, seed, damage, tally),
            Self::Sleeping(line) => ask_block(line, len, when, seed, damage, tally),
            Self::OneBlock(line) => ask_block(line, len, when, seed, damage, tally),
            Self::BusEcho(line) => ask_block(&mut **line, len, when, seed, damage, tally),
            Self::SharedEcho(line) => ask_block(&mut **line, len, when, seed, damage, tally),
            Self::BesideEcho(line) => line.ask_block(len, when, seed, damage, tally),
            Self::Rpc(line, 1) => ask_block(&mut **line, len, when, seed, damage, tally),
            Self::Rpc(line, most) => ask_ahead(&mut **line, len, (*most, limit), seed, damage, tally),
            Self::Wire(line) => ask_block(line, len, when, seed, damage, tally),
            Self::Blocks(line) => send_block(line, len, limit, seed, damage).map(|()| Moved::default()),
            Self::BusFlow(line) => send_block(&mut **line, len, limit, seed, damage).map(|()| Moved::default()),
            Self::FreshFlow(line) => send_block(&mut **line, len, limit, seed, damage).map(|()| Moved::default()),
            Self::SharedFlow(line) => send_block(&mut **line, len, limit, seed, damage).map(|()| Moved::default()),
        }
    }

    /// The following side of one block. Only streams tell how much they moved; round trips are timed where they begin.
    pub(crate) fn follow(&mut self, lane: &Lane, seed: &mut u64) -> Result<Moved> {
        let len = lane.message();
        match self {
            Self::Spinning(line) => answer_block(line, len, seed)?,
            Self::Sleeping(line) => answer_block(line, len, seed)?,
            Self::OneBlock(line) => answer_block(line, len, seed)?,
            Self::BusEcho(line) => answer_block(&mut **line, len, seed)?,
            Self::SharedEcho(line) => answer_block(&mut **line, len, seed)?,
            Self::BesideEcho(line) => answer_block(line.echo(), len, seed)?,
            Self::Rpc(line, _) => answer_block(&mut **line, len, seed)?,
            Self::Wire(line) => answer_block(line, len, seed)?,
            Self::Blocks(line) => return receive_block(line, len, seed),
            Self::BusFlow(line) => return receive_block(&mut **line, len, seed),
            Self::FreshFlow(line) => return receive_block(&mut **line, len, seed),
            Self::SharedFlow(line) => return receive_block(&mut **line, len, seed),
        }
        Ok(Moved::default())
    }
}
