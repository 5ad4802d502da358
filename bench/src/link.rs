//! The link: the Unix socket that joins the two worker processes of a measurement, each worker's standard input.
//!
//! It carries what has to be in step but is not measured: descriptors for the floors, pipes and sockets, and one byte
//! by which the following side says that it is ready for the next block. Where many are measured at once each has a link to the
//! process that started it, which says by that byte when a block begins.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

use crate::fault::Fault;

/// Which end of a measurement a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Side {
    /// Asks, sends, and makes what is shared.
    Lead,
    /// Answers, receives, and is handed what is shared.
    Follow,
}

/// One end of the link.
#[derive(Debug)]
pub(crate) struct Link {
    socket: UnixStream,
    side: Side,
}

impl Link {
    /// The end that this process was given as its standard input.
    pub(crate) fn from_stdin(side: Side) -> Result<Self> {
        let socket = std::io::stdin().as_fd().try_clone_to_owned().context("duplicate the link")?;
        Ok(Self { socket: UnixStream::from(socket), side })
    }

    /// The end of the process that starts a worker, for telling it when to go on, and the worker's standard input.
    pub(crate) fn to_worker() -> Result<(Self, OwnedFd)> {
        let (socket, theirs) = UnixStream::pair().context("make the link")?;
        Ok((Self { socket, side: Side::Lead }, theirs.into()))
    }

    /// Which end this is.
    pub(crate) fn side(&self) -> Side {
        self.side
    }

    /// The leading side makes a descriptor and sends it; both sides answer theirs.
    pub(crate) fn share(&self, make: impl FnOnce() -> Result<OwnedFd>) -> Result<OwnedFd> {
        match self.side {
            Side::Lead => {
                let fd = make()?;
                self.send_fd(&fd)?;
                Ok(fd)
            }
            Side::Follow => self.receive_fd(),
        }
    }

    /// The leading side makes a descriptor and gives it away.
    pub(crate) fn give(&self, fd: OwnedFd) -> Result<()> {
        self.send_fd(&fd)
    }

    fn send_fd(&self, fd: &OwnedFd) -> Result<()> {
        let fds = [fd.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&fds));
        sendmsg(&self.socket, &[IoSlice::new(&[1])], &mut control, SendFlags::NOSIGNAL).context("send a descriptor")?;
        Ok(())
    }

    /// Takes a descriptor that the other side made.
    pub(crate) fn receive_fd(&self) -> Result<OwnedFd> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        recvmsg(&self.socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)
            .context("receive a descriptor")?;
        control
            .drain()
            .find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
                _ => None,
            })
            .ok_or_else(gone)
    }

    /// Says that this side is ready.
    pub(crate) fn ready(&self) -> Result<()> {
        (&self.socket).write_all(&[0]).map_err(|_| gone())
    }

    /// Waits until the other side is.
    pub(crate) fn wait_ready(&self) -> Result<()> {
        (&self.socket).read_exact(&mut [0]).map_err(|_| gone())
    }

    /// Whether the other side says so before `time` is over. What it said is still there for [`wait_ready`](Self::wait_ready).
    pub(crate) fn is_ready_within(&self, time: Duration) -> Result<bool> {
        let time = Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&time)) {
            Ok(count) => Ok(count > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error).context("wait for a word over the link"),
        }
    }
}

fn gone() -> anyhow::Error {
    Fault::Died("the process at the other end of the link is gone".into()).into()
}
