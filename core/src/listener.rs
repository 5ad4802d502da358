//! Listeners, as users see them: a name, and the sessions that come to it.

use crate::bus::Bus;
use crate::deadline::Deadline;
use crate::error::{Cause, Error};
use crate::layout::SessionKind;
use crate::options::Options;
use crate::rpc::RpcBus;
use crate::session::listener::Acceptor;
use std::os::fd::{AsFd, BorrowedFd};

/// A name at which any number of peers can connect.
///
/// It works only inside its accepting calls; there is no thread behind it. Clients that send garbage or nothing cost the
/// others nothing. Dropping it gives the name back; the sessions that it made live on.
#[derive(Debug)]
pub struct Listener(Acceptor);

impl Listener {
    /// Takes `address`: a bare name (`[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}`, in the user's runtime directory), a path (anything
    /// with a `/`), or either behind `ipc://`.
    ///
    /// # Errors
    /// As for [`Bus::listen`].
    pub fn bind(address: &str, options: &Options) -> Result<Self, Error> {
        Acceptor::bind(address, options, true).map(Self)
    }

    /// As [`bind`](Self::bind), for one session, after which the name goes: nobody could observe it.
    pub(crate) fn bind_for_one(address: &str, options: &Options) -> Result<Self, Error> {
        Acceptor::bind(address, options, false).map(Self)
    }

    /// The next session, waiting for it: its receiving end.
    ///
    /// # Errors
    /// [`Cause::Interrupted`](crate::Cause::Interrupted) if a signal handler ran; [`Cause::OutOfMemory`](crate::Cause::OutOfMemory); [`Cause::Forked`](crate::Cause::Forked). What single clients do
    /// wrong is told to them, and counted by [`refused`](Self::refused); it is no error here.
    pub fn accept_bus(&mut self) -> Result<Bus, Error> {
        self.accept_bus_until(Deadline::NEVER)
    }

    /// As [`accept_bus`](Self::accept_bus), until `deadline`, then [`Cause::Timeout`](crate::Cause::Timeout).
    ///
    /// # Errors
    /// As for [`accept_bus`](Self::accept_bus).
    pub fn accept_bus_until(&mut self, deadline: Deadline) -> Result<Bus, Error> {
        self.accept(Some(deadline))
    }

    /// As [`accept_bus`](Self::accept_bus), or [`Cause::Empty`](crate::Cause::Empty) if no handshake can be completed now.
    ///
    /// # Errors
    /// As for [`accept_bus`](Self::accept_bus).
    pub fn try_accept_bus(&mut self) -> Result<Bus, Error> {
        self.accept(None)
    }

    /// The next session for calls, waiting for it. A client that asks for the other kind of session than the one that is being
    /// accepted is refused.
    ///
    /// # Errors
    /// As for [`accept_bus`](Self::accept_bus); [`Cause::InvalidArgument`](crate::Cause::InvalidArgument) for options that fit no
    /// calls.
    pub fn accept_rpc(&mut self) -> Result<RpcBus, Error> {
        self.accept_rpc_until(Deadline::NEVER)
    }

    /// As [`accept_rpc`](Self::accept_rpc), until `deadline`, then [`Cause::Timeout`](crate::Cause::Timeout).
    ///
    /// # Errors
    /// As for [`accept_rpc`](Self::accept_rpc).
    pub fn accept_rpc_until(&mut self, deadline: Deadline) -> Result<RpcBus, Error> {
        self.accept_call(Some(deadline))
    }

    /// As [`accept_rpc`](Self::accept_rpc), or [`Cause::Empty`](crate::Cause::Empty) if no handshake can be completed now.
    ///
    /// # Errors
    /// As for [`accept_rpc`](Self::accept_rpc).
    pub fn try_accept_rpc(&mut self) -> Result<RpcBus, Error> {
        self.accept_call(None)
    }

    pub(crate) fn check_ours(&self) -> Result<(), Cause> {
        if self.0.is_ours() { Ok(()) } else { Err(Cause::Forked) }
    }

    /// For the poller: whether a session waits to be taken of which the descriptor does not tell.
    pub(crate) fn has_ready(&self) -> bool {
        self.0.has_ready()
    }

    /// For the poller: when an accepting call has something to do even if nothing comes.
    pub(crate) fn duty(&self) -> Deadline {
        self.0.duty()
    }

    fn accept_call(&mut self, deadline: Option<Deadline>) -> Result<RpcBus, Error> {
        let session = self.0.accept(SessionKind::Rpc, deadline)?;
        Ok(RpcBus::new(*session, self.0.settings(), true))
    }

    fn accept(&mut self, deadline: Option<Deadline>) -> Result<Bus, Error> {
        let session = self.0.accept(SessionKind::Bus, deadline)?;
        Ok(Bus::receiving(session.side, self.0.settings().trust))
    }

    /// The address, as it can be given to [`Bus::connect`].
    #[must_use]
    pub fn address(&self) -> String {
        self.0.address().to_string()
    }

    /// How many clients were turned down, or gave up in mid-handshake, so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.0.refused()
    }
}

/// Readable when [`try_accept_bus`](Listener::try_accept_bus) has something to do, level-triggered.
impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd()
    }
}
