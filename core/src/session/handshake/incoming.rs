//! One message of the handshake as it arrives: in however many pieces, with at most one descriptor, and not a byte more.

use super::Broken;
use crate::error::{Cause, Error, Violation};
use crate::layout;
use crate::session::wire::{BODY_MAX, Message, PREFIX, Prefix};
use crate::sys::fork::Fd;
use crate::sys::socket::{self, Credentials};
use std::io;
use std::os::fd::AsFd;

/// A message that is arriving, in however many pieces.
#[derive(Debug)]
pub(super) struct Incoming {
    bytes: [u8; PREFIX + BODY_MAX],
    pub(super) have: usize,
    fds: Vec<Fd>,
    sender: Option<Credentials>,
    want_sender: bool,
}

/// A message that has arrived, and what came with it.
pub(super) struct Arrived {
    pub(super) message: Message,
    fds: Vec<Fd>,
    pub(super) sender: Option<Credentials>,
}

impl Incoming {
    pub(super) fn new(want_sender: bool) -> Self {
        Self { bytes: [0; PREFIX + BODY_MAX], have: 0, fds: Vec::new(), sender: None, want_sender }
    }

    /// Reads what is there, and no byte of what follows the message. `None`: not complete yet.
    pub(super) fn receive(&mut self, socket: &Fd) -> Result<Option<Arrived>, Broken> {
        loop {
            let prefix = self.prefix()?;
            let end = PREFIX + prefix.map_or(0, |prefix| prefix.body);
            if let Some(prefix) = prefix
                && self.have == end
            {
                return self.complete(prefix).map(Some);
            }
            if !self.read(socket, end)? {
                return Ok(None);
            }
        }
    }

    /// The prefix, checked, once it is there.
    fn prefix(&self) -> Result<Option<Prefix>, Broken> {
        if self.have < PREFIX {
            return Ok(None);
        }
        let bytes = self.bytes.first_chunk().expect("the buffer is longer than a prefix");
        let prefix = Prefix::decode(bytes)?;
        if prefix.version != layout::VERSION {
            return Err(Broken::Version(prefix.version));
        }
        if prefix.body > BODY_MAX {
            return Err(Violation::Handshake.into());
        }
        Ok(Some(prefix))
    }

    /// Reads once, at most up to `end`. Whether something came.
    fn read(&mut self, socket: &Fd, end: usize) -> Result<bool, Broken> {
        let received = match socket::receive(socket.as_fd(), &mut self.bytes[self.have..end], self.want_sender) {
            Ok(received) => received,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::WouldBlock => Ok(false),
                    io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Err(Broken::Gone),
                    _ => Err(Broken::Ours(Error::system("read the handshake", error))),
                };
            }
        };
        if received.truncated {
            return Err(Violation::Descriptors.into());
        }
        if received.starved {
            return Err(Error::new(Cause::OutOfMemory, "take the peer's segment: no file descriptor is left").into());
        }
        if received.bytes == 0 {
            return Err(Broken::Gone);
        }
        self.have += received.bytes;
        self.fds.extend(received.fds);
        self.sender = received.credentials.or(self.sender);
        if self.fds.len() > 1 { Err(Violation::Descriptors.into()) } else { Ok(true) }
    }

    fn complete(&mut self, prefix: Prefix) -> Result<Arrived, Broken> {
        let message = prefix.decode_body(&self.bytes[PREFIX..self.have])?;
        self.have = 0;
        Ok(Arrived { message, fds: std::mem::take(&mut self.fds), sender: self.sender.take() })
    }
}

impl Arrived {
    /// The one descriptor of a message that must carry one.
    pub(super) fn one_fd(mut self) -> Result<Fd, Broken> {
        self.fds.pop().ok_or(Violation::Descriptors.into())
    }

    /// The message, which must come without descriptors.
    pub(super) fn bare(self) -> Result<Message, Broken> {
        if self.fds.is_empty() { Ok(self.message) } else { Err(Violation::Descriptors.into()) }
    }
}
