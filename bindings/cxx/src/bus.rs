//! One end of a one-way stream of messages.

use crate::Options;
use crate::failure::{Failure, Outcome};
use crate::options::{Patience, linger, options};
use crate::payload::{Claim, Lease, SharedBuffer};
use slipring::{Cause, Message};
use std::os::fd::{AsFd, AsRawFd};

/// One end of a one-way stream of messages.
#[derive(Debug)]
pub struct Bus {
    /// None after it was closed.
    bus: Option<slipring::Bus>,
    /// What [`more`](Self::more) has found, and [`recv`](Self::recv) is to hand out.
    found: Option<Message>,
}

/// Listens for one peer, and receives from it.
pub(crate) fn listen_bus(address: &str, timeout_ns: i64, asked: &Options) -> Outcome<Box<Bus>> {
    Ok(Bus::new(slipring::Bus::listen_until(address, &options(asked), Patience::deadline(timeout_ns)?)?))
}

/// Connects, to send.
pub(crate) fn connect_bus(address: &str, timeout_ns: i64, asked: &Options) -> Outcome<Box<Bus>> {
    let bus = match Patience::of(timeout_ns)? {
        Patience::Try => slipring::Bus::connect(address, &options(asked))?,
        Patience::Until(deadline) => slipring::Bus::connect_until(address, &options(asked), deadline)?,
    };
    Ok(Bus::new(bus))
}

impl Bus {
    fn new(bus: slipring::Bus) -> Box<Self> {
        Box::new(Self { bus: Some(bus), found: None })
    }

    fn open(&mut self) -> Outcome<&mut slipring::Bus> {
        self.bus.as_mut().ok_or_else(Failure::closed_here)
    }

    pub(crate) fn send(&mut self, type_id: u32, payload: &[u8], timeout_ns: i64) -> Outcome<()> {
        let bus = self.open()?;
        match Patience::of(timeout_ns)? {
            Patience::Try => bus.try_publish(type_id, payload)?,
            Patience::Until(deadline) => bus.publish_until(type_id, payload, deadline)?,
        }
        Ok(())
    }

    pub(crate) fn send_shared(
        &mut self,
        type_id: u32,
        payload: &[u8],
        shared: &SharedBuffer,
        timeout_ns: i64,
    ) -> Outcome<()> {
        let bus = self.open()?;
        match Patience::of(timeout_ns)? {
            Patience::Try => bus.try_publish_shared(type_id, payload, &[&shared.0])?,
            Patience::Until(deadline) => bus.publish_shared_until(type_id, payload, &[&shared.0], deadline)?,
        }
        Ok(())
    }

    pub(crate) fn claim(&mut self, len: usize, timeout_ns: i64) -> Outcome<Box<Claim>> {
        let bus = self.open()?;
        let claim = match Patience::of(timeout_ns)? {
            Patience::Try => bus.try_claim_owned(len)?,
            Patience::Until(deadline) => bus.claim_owned_until(len, deadline)?,
        };
        Ok(Claim::new(claim))
    }

    pub(crate) fn send_claim(&mut self, type_id: u32, claim: &mut Claim, used: usize) -> Outcome<()> {
        let bus = self.open()?;
        claim.give(|claim| bus.publish_owned(type_id, claim, used))
    }

    pub(crate) fn more(&mut self, timeout_ns: i64) -> Outcome<bool> {
        if self.found.is_none() {
            match self.next(timeout_ns)? {
                Ok(message) => self.found = Some(message),
                Err(Cause::Closed) => return Ok(false),
                Err(cause) => return Err(cause.into()),
            }
        }
        Ok(true)
    }

    pub(crate) fn recv(&mut self, timeout_ns: i64) -> Outcome<Box<Lease>> {
        match self.found.take() {
            Some(found) => Ok(Lease::new(found)),
            None => Ok(Lease::new(self.next(timeout_ns)??)),
        }
    }

    fn next(&mut self, timeout_ns: i64) -> Outcome<Result<Message, Cause>> {
        let bus = self.open()?;
        let received = match Patience::of(timeout_ns)? {
            Patience::Try => bus.try_recv(),
            Patience::Until(deadline) => bus.recv_until(deadline),
        };
        Ok(received.map(slipring::Lease::keep))
    }

    pub(crate) fn close(&mut self, linger_ns: i64) -> Outcome<()> {
        let linger = linger(linger_ns)?;
        self.bus.take().ok_or_else(Failure::closed_here)?.close(linger)?;
        Ok(())
    }

    pub(crate) fn fd(&self) -> Outcome<i32> {
        Ok(self.bus.as_ref().ok_or_else(Failure::closed_here)?.as_fd().as_raw_fd())
    }
}
