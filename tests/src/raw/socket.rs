//! The session socket of a hostile peer: bytes and descriptors, in whatever order and number it likes.

use super::wire::{Message, PREFIX};
use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

/// The most descriptors that one `sendmsg` takes (`SCM_MAX_FD`, unix(7)).
pub const MOST_FDS: usize = 253;

/// A connection, blocking.
#[derive(Debug)]
pub struct Socket(UnixStream);

/// A message that was received, with what came along.
#[derive(Debug)]
pub struct Received {
    /// The message.
    pub message: Message,
    /// The descriptors.
    pub fds: Vec<OwnedFd>,
}

impl Socket {
    /// Connects to a socket file.
    ///
    /// # Panics
    /// If nobody listens there.
    #[must_use]
    pub fn connect(path: &str) -> Self {
        Self(UnixStream::connect(path).expect("somebody listens"))
    }

    /// Two of them, connected to each other.
    ///
    /// # Panics
    /// If the system refuses.
    #[must_use]
    pub fn pair() -> (Self, Self) {
        let (one, other) = UnixStream::pair().expect("a pair");
        (Self(one), Self(other))
    }

    /// Sends `bytes`; whether they could be sent. They cannot when the other side has hung up.
    pub fn send(&self, bytes: &[u8]) -> bool {
        self.send_with(bytes, &[])
    }

    /// The same, with descriptors on the first byte.
    ///
    /// # Panics
    /// With more descriptors than one message takes.
    pub fn send_with(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> bool {
        self.send_by(bytes, fds, SendFlags::NOSIGNAL)
    }

    /// Sends as much of `bytes` as there is room for, without waiting. How much that was.
    pub fn flood(&self, bytes: &[u8]) -> usize {
        rustix::net::send(&self.0, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT).unwrap_or(0)
    }

    /// As [`send_with`](Self::send_with), but does not wait for room.
    ///
    /// # Panics
    /// With more descriptors than one message takes.
    pub fn try_send_with(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> bool {
        self.send_by(bytes, fds, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
    }

    fn send_by(&self, bytes: &[u8], fds: &[BorrowedFd<'_>], flags: SendFlags) -> bool {
        let mut space = vec![MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(fds.is_empty() || control.push(SendAncillaryMessage::ScmRights(fds)), "too many descriptors");
        sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, flags).is_ok()
    }

    /// Takes whatever has come, without waiting, and closes the descriptors that came along. Whether the other side is still
    /// there.
    pub fn drain(&self) -> bool {
        let mut bytes = [0; 256];
        loop {
            let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(4), ScmCredentials(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            match recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags) {
                Ok(received) if received.bytes > 0 => {}
                Err(Errno::AGAIN) => return true,
                Ok(_) | Err(_) => return false,
            }
        }
    }

    /// Waits for the next message; `None` when the other side has hung up instead.
    #[must_use]
    pub fn receive(&self) -> Option<Received> {
        let mut fds = Vec::new();
        let mut prefix = [0; PREFIX];
        self.fill(&mut prefix, &mut fds)?;
        let mut body = vec![0; Message::body_len(&prefix)];
        self.fill(&mut body, &mut fds)?;
        Some(Received { message: Message::parse(&prefix, &body), fds })
    }

    fn fill(&self, mut out: &mut [u8], fds: &mut Vec<OwnedFd>) -> Option<()> {
        while !out.is_empty() {
            let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(4), ScmCredentials(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let received = recvmsg(&self.0, &mut [IoSliceMut::new(out)], &mut control, RecvFlags::CMSG_CLOEXEC);
            let received = received.ok().filter(|received| received.bytes > 0)?;
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    fds.extend(rights);
                }
            }
            out = &mut out[received.bytes..];
        }
        Some(())
    }

    /// Waits until the other side has hung up, whatever it says before.
    pub fn await_hang_up(&self) {
        let mut bytes = [0; 64];
        let mut fds = Vec::new();
        while self.fill(&mut bytes[..1], &mut fds).is_some() {}
    }

    /// Hangs up, in both directions.
    pub fn hang_up(&self) {
        // The other side may have been faster.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// A name that a hostile peer holds.
#[derive(Debug)]
pub struct SocketListener(UnixListener);

impl SocketListener {
    /// Listens at a path that is free.
    ///
    /// # Panics
    /// If it is not.
    #[must_use]
    pub fn bind(path: &str) -> Self {
        Self(UnixListener::bind(path).expect("a free path"))
    }

    /// Waits for the next client.
    ///
    /// # Panics
    /// If the system refuses.
    #[must_use]
    pub fn accept(&self) -> Socket {
        Socket(self.0.accept().expect("a client").0)
    }
}
