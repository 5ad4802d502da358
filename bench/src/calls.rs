//! `RpcBus` as the system under test: the public API, as any user would call it.
//!
//! One session carries both ways: the leading side connects and calls, the following side listens and serves. A block ends
//! with a call of its own type, whose empty reply says that the serving side has come to it.

use anyhow::{Context, Result};
use slipring::{CallError, CallId, Cause, Deadline, Options, RpcBus};

use crate::bus::{APPEAR, DATA, END, fault, options};
use crate::echo::Echo;
use crate::inflight::InFlight;
use crate::link::Side;
use crate::payload::{expected, fill, sum};
use crate::plan::{Api, DEFAULT_CALLS, RpcPlan};

/// One end of the session, and what it writes its payloads with.
pub(crate) struct Calls {
    rpc: RpcBus,
    api: Api,
    reply: usize,
    /// Of what this end writes: requests or replies.
    buffer: Vec<u8>,
}

impl Calls {
    pub(crate) fn open(side: Side, name: &str, plan: &RpcPlan, len: usize) -> Result<Self> {
        match side {
            Side::Lead => Self::connect(name, plan, len),
            Side::Follow => {
                let rpc = RpcBus::listen_until(name, &call_options(plan), Deadline::after(APPEAR));
                Ok(Self::new(rpc.context("listen for calls")?, plan, plan.reply))
            }
        }
    }

    /// The calling end, of a session with whoever listens or serves at `name`.
    pub(crate) fn connect(name: &str, plan: &RpcPlan, len: usize) -> Result<Self> {
        let rpc = RpcBus::connect_until(name, &call_options(plan), Deadline::after(APPEAR));
        Ok(Self::new(rpc.context("connect for calls")?, plan, len))
    }

    fn new(rpc: RpcBus, plan: &RpcPlan, len: usize) -> Self {
        Self { rpc, api: plan.bus.api, reply: plan.reply, buffer: vec![0; len] }
    }

    /// Sends the request of `seed`.
    #[inline(always)]
    fn call(&mut self, seed: u64) -> Result<CallId> {
        match self.api {
            Api::Copy => {
                fill(&mut self.buffer, seed);
                self.rpc.call(DATA, &self.buffer).map_err(fault)
            }
            Api::Claim => {
                let len = self.buffer.len();
                let mut claim = self.rpc.claim_request(len).map_err(fault)?;
                fill(&mut claim, seed);
                claim.commit(DATA, len).map_err(|failed| fault(failed.cause))
            }
        }
    }

    /// As [`call`](Self::call), but `Full` where there is no room at once.
    #[inline(always)]
    fn try_call(&mut self, seed: u64) -> Result<CallId, Cause> {
        match self.api {
            Api::Copy => {
                fill(&mut self.buffer, seed);
                self.rpc.try_call(DATA, &self.buffer)
            }
            Api::Claim => {
                let len = self.buffer.len();
                let mut claim = self.rpc.try_claim_request(len)?;
                fill(&mut claim, seed);
                Ok(claim.commit(DATA, len)?)
            }
        }
    }

    /// Waits for the reply and answers its sum.
    #[inline(always)]
    fn wait(&mut self, call: CallId) -> Result<u64> {
        let reply = self.rpc.wait(call).map_err(failed)?;
        Ok(sum(&reply))
    }
}

/// The library's options for a plan of calls.
fn call_options(plan: &RpcPlan) -> Options {
    options(&plan.bus).capacity_reverse(plan.bus.ring).in_flight(plan.inflight.max(DEFAULT_CALLS))
}

/// An error that came instead of a reply.
#[cold]
fn failed(error: CallError) -> anyhow::Error {
    fault(error.cause())
}

impl Echo for Calls {
    #[inline]
    fn ask(&mut self, seed: u64) -> Result<u64> {
        let call = self.call(seed)?;
        self.wait(call)
    }

    #[inline]
    fn answer(&mut self) -> Result<Option<u64>> {
        let request = self.rpc.serve().map_err(fault)?;
        if request.type_id() == END {
            request.reply(END, &[]).map_err(fault)?;
            return Ok(None);
        }
        let found = sum(&request);
        match self.api {
            Api::Copy => {
                fill(&mut self.buffer, found);
                request.reply(DATA, &self.buffer).map_err(fault)?;
            }
            Api::Claim => {
                let id = request.id();
                drop(request);
                let mut claim = self.rpc.claim_reply(id, self.reply).map_err(fault)?;
                fill(&mut claim, found);
                claim.commit(DATA, self.reply).map_err(|failed| fault(failed.cause))?;
            }
        }
        Ok(Some(found))
    }

    fn end(&mut self) -> Result<()> {
        self.rpc.request(END, &[]).map(drop).map_err(failed)
    }

    fn right_reply(&self, seed: u64, len: usize) -> u64 {
        expected(expected(seed, len), self.reply)
    }
}

impl InFlight for Calls {
    type Call = CallId;

    #[inline]
    fn send(&mut self, seed: u64) -> Result<Option<CallId>> {
        // What is in flight makes room when its replies are taken, which a call that waits would not do.
        if self.rpc.in_flight() == 0 {
            return self.call(seed).map(Some);
        }
        match self.try_call(seed) {
            Ok(call) => Ok(Some(call)),
            Err(Cause::Full) => Ok(None),
            Err(cause) => Err(fault(cause)),
        }
    }

    #[inline]
    fn take(&mut self, call: CallId) -> Result<u64> {
        self.wait(call)
    }
}
