//! What a poller waits for, whatever kind it is of.

use crate::bus::Bus;
use crate::deadline::Deadline;
use crate::error::{Cause, Error};
use crate::listener::Listener;
use crate::rpc::RpcBus;
use crate::session::link::Link;
use crate::side::{Rest, Side};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};

/// What a [`Poller`](super::Poller) can wait for. Made from any of the three by `into`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Source {
    /// An end of a one-way session.
    Bus(Box<Bus>),
    /// An end of a session for calls.
    Rpc(Box<RpcBus>),
    /// A name, and the clients that come to it.
    Listener(Box<Listener>),
}

impl From<Bus> for Source {
    fn from(bus: Bus) -> Self {
        Self::Bus(Box::new(bus))
    }
}

impl From<RpcBus> for Source {
    fn from(rpc: RpcBus) -> Self {
        Self::Rpc(Box::new(rpc))
    }
}

impl From<Listener> for Source {
    fn from(listener: Listener) -> Self {
        Self::Listener(Box::new(listener))
    }
}

/// Why something was not added, with what it was.
#[derive(Debug)]
pub struct AddError {
    /// What was to be added, as it was.
    pub source: Source,
    /// Why.
    pub cause: Cause,
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not be added to the poller: {}", self.cause)
    }
}

impl std::error::Error for AddError {}

impl From<AddError> for Cause {
    fn from(error: AddError) -> Self {
        error.cause
    }
}

impl From<AddError> for Error {
    fn from(error: AddError) -> Self {
        Self::new(error.cause, "add to a poller")
    }
}

impl Source {
    #[inline]
    pub(super) fn side_mut(&mut self) -> Option<&mut Side<Link>> {
        match self {
            Self::Bus(bus) => Some(bus.side_mut()),
            Self::Rpc(rpc) => Some(rpc.side_mut()),
            Self::Listener(_) => None,
        }
    }

    fn side(&self) -> Option<&Side<Link>> {
        match self {
            Self::Bus(bus) => Some(bus.side()),
            Self::Rpc(rpc) => Some(rpc.side()),
            Self::Listener(_) => None,
        }
    }

    pub(super) fn check_ours(&self) -> Result<(), Cause> {
        match self {
            Self::Listener(listener) => listener.check_ours(),
            _ => self.side().map_or(Ok(()), Side::check_ours),
        }
    }

    /// The descriptor, without what `as_fd` asks of the peer.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Bus(bus) => bus.side().channel().fd(),
            Self::Rpc(rpc) => rpc.side().channel().fd(),
            Self::Listener(listener) => listener.as_fd(),
        }
    }

    /// Whether it is a session that has one processor together with its peer.
    pub(super) fn has_one_cpu(&self) -> bool {
        self.side().is_some_and(Side::has_one_cpu)
    }

    /// Whether the user has something to do here, as far as memory tells.
    #[inline]
    pub(super) fn is_due(&mut self) -> bool {
        match self {
            Self::Bus(bus) => bus.side_mut().is_due(),
            Self::Rpc(rpc) => rpc.is_due(),
            Self::Listener(listener) => listener.has_ready(),
        }
    }

    /// Somebody looks here from now on. In a forked child the word that says so is not there.
    pub(super) fn get_up(&mut self) {
        if let Some(side) = self.side_mut()
            && side.check_ours().is_ok()
        {
            side.get_up();
        }
    }

    /// There is no memory for what comes next here.
    pub(crate) fn hold_off(&mut self) {
        if let Some(side) = self.side_mut() {
            side.hold_off();
        }
    }

    /// Nobody looks here from now on. A listener has nothing to say about that.
    pub(super) fn lie_down(&mut self) -> Result<Rest, Cause> {
        if let Self::Rpc(rpc) = self {
            rpc.say_what_is_left();
        }
        self.side_mut().map_or(Ok(Rest::Guarded), Side::lie_down)
    }

    /// Asks the peer to fence. Whether there is one.
    pub(super) fn ask_for_fences(&self) -> bool {
        let side = self.side();
        side.inspect(|side| side.ask_for_fences()).is_some()
    }

    /// When a listener has something to do even if nobody comes.
    pub(super) fn duty(&self) -> Deadline {
        match self {
            Self::Listener(listener) => listener.duty(),
            _ => Deadline::NEVER,
        }
    }
}
