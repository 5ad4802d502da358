//! One end of a session for calls.

use crate::Options;
use crate::failure::{Failure, Outcome};
use crate::options::{Patience, linger, options};
use crate::payload::{Claim, Lease, SharedBuffer};
use slipring::{CallId, Cause, Message};
use std::os::fd::{AsFd, AsRawFd};

/// One end of a session for calls.
#[derive(Debug)]
pub struct RpcBus {
    /// None after it was closed.
    rpc: Option<slipring::RpcBus>,
    /// The request that [`more`](Self::more) has found, and [`serve`](Self::serve) is to hand out.
    found: Option<Message>,
}

/// Listens for one peer.
pub(crate) fn listen_rpc(address: &str, timeout_ns: i64, asked: &Options) -> Outcome<Box<RpcBus>> {
    Ok(RpcBus::new(slipring::RpcBus::listen_until(address, &options(asked), Patience::deadline(timeout_ns)?)?))
}

/// Connects.
pub(crate) fn connect_rpc(address: &str, timeout_ns: i64, asked: &Options) -> Outcome<Box<RpcBus>> {
    let rpc = match Patience::of(timeout_ns)? {
        Patience::Try => slipring::RpcBus::connect(address, &options(asked))?,
        Patience::Until(deadline) => slipring::RpcBus::connect_until(address, &options(asked), deadline)?,
    };
    Ok(RpcBus::new(rpc))
}

impl RpcBus {
    fn new(rpc: slipring::RpcBus) -> Box<Self> {
        Box::new(Self { rpc: Some(rpc), found: None })
    }

    fn open(&mut self) -> Outcome<&mut slipring::RpcBus> {
        self.rpc.as_mut().ok_or_else(Failure::closed_here)
    }

    pub(crate) fn call(&mut self, type_id: u32, payload: &[u8], timeout_ns: i64) -> Outcome<u32> {
        let rpc = self.open()?;
        let call = match Patience::of(timeout_ns)? {
            Patience::Try => rpc.try_call(type_id, payload)?,
            Patience::Until(deadline) => rpc.call_until(type_id, payload, deadline)?,
        };
        Ok(call.number())
    }

    pub(crate) fn claim(&mut self, len: usize, timeout_ns: i64) -> Outcome<Box<Claim>> {
        let rpc = self.open()?;
        let claim = match Patience::of(timeout_ns)? {
            Patience::Try => rpc.try_claim_owned(len)?,
            Patience::Until(deadline) => rpc.claim_owned_until(len, deadline)?,
        };
        Ok(Claim::new(claim))
    }

    pub(crate) fn call_claim(&mut self, type_id: u32, claim: &mut Claim, used: usize, timeout_ns: i64) -> Outcome<u32> {
        let rpc = self.open()?;
        let call = match Patience::of(timeout_ns)? {
            Patience::Try => claim.give(|claim| rpc.try_call_owned(type_id, claim, used))?,
            Patience::Until(deadline) => claim.give(|claim| rpc.call_owned_until(type_id, claim, used, deadline))?,
        };
        Ok(call.number())
    }

    pub(crate) fn wait(&mut self, id: u32, timeout_ns: i64) -> Outcome<Box<Lease>> {
        let rpc = self.open()?;
        let call = CallId::from_number(id);
        let reply = match Patience::of(timeout_ns)? {
            Patience::Try => rpc.try_wait(call)?,
            Patience::Until(deadline) => rpc.wait_until(call, deadline)?,
        };
        Ok(Lease::new(reply.keep()))
    }

    pub(crate) fn request(&mut self, type_id: u32, payload: &[u8], timeout_ns: i64) -> Outcome<Box<Lease>> {
        let deadline = Patience::deadline(timeout_ns)?;
        Ok(Lease::new(self.open()?.request_until(type_id, payload, deadline)?.keep()))
    }

    pub(crate) fn cancel(&mut self, id: u32) -> Outcome<()> {
        self.open()?.cancel(CallId::from_number(id));
        Ok(())
    }

    pub(crate) fn more(&mut self, timeout_ns: i64) -> Outcome<bool> {
        if self.found.is_none() {
            match self.next(timeout_ns)? {
                Ok(request) => self.found = Some(request),
                Err(Cause::Closed) => return Ok(false),
                Err(cause) => return Err(cause.into()),
            }
        }
        Ok(true)
    }

    pub(crate) fn serve(&mut self, timeout_ns: i64) -> Outcome<Box<Lease>> {
        match self.found.take() {
            Some(found) => Ok(Lease::new(found)),
            None => Ok(Lease::new(self.next(timeout_ns)??)),
        }
    }

    /// The next request's payload. The request itself stays open, to be replied to by its number.
    fn next(&mut self, timeout_ns: i64) -> Outcome<Result<Message, Cause>> {
        let rpc = self.open()?;
        let request = match Patience::of(timeout_ns)? {
            Patience::Try => rpc.try_serve(),
            Patience::Until(deadline) => rpc.serve_until(deadline),
        };
        Ok(request.map(|mut request| request.keep()))
    }

    pub(crate) fn reply(&mut self, id: u32, type_id: u32, payload: &[u8]) -> Outcome<()> {
        Ok(self.open()?.reply(id, type_id, payload)?)
    }

    pub(crate) fn reply_shared(&mut self, id: u32, type_id: u32, payload: &[u8], shared: &SharedBuffer) -> Outcome<()> {
        Ok(self.open()?.reply_shared(id, type_id, payload, &[&shared.0])?)
    }

    pub(crate) fn reply_claim(&mut self, id: u32, type_id: u32, claim: &mut Claim, used: usize) -> Outcome<()> {
        let rpc = self.open()?;
        claim.give(|claim| rpc.reply_owned(id, type_id, claim, used))
    }

    pub(crate) fn reply_error(&mut self, id: u32, code: u32, text: &str) -> Outcome<()> {
        Ok(self.open()?.reply_error(id, code, text)?)
    }

    pub(crate) fn close(&mut self, linger_ns: i64) -> Outcome<()> {
        let linger = linger(linger_ns)?;
        self.rpc.take().ok_or_else(Failure::closed_here)?.close(linger)?;
        Ok(())
    }

    pub(crate) fn fd(&self) -> Outcome<i32> {
        Ok(self.rpc.as_ref().ok_or_else(Failure::closed_here)?.as_fd().as_raw_fd())
    }
}
