//! The session socket after the handshake: bells, the peer's end, and nothing else yet.
//!
//! The socket carries whole records, each from one `sendmsg`; in this layout version the only record is the bell, a zero
//! byte. One function reads them, [`Link::hear`], and what it cannot understand ends the session.

use crate::error::{Cause, Violation};
use crate::side::{Channel, Heard};
use crate::sys::fork::{Birth, Fd};
use crate::sys::{self, barrier, socket};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// A bell, as a record.
const BELL: u8 = 0;

/// How many bytes are read at once; a peer that keeps to the protocol has at most one bell out.
const CHUNK: usize = 64;

/// How often one look reads on. A peer that floods the socket is found out by the count of its bells; until then one look
/// reads no more than this.
const READS: usize = 8;

/// The connection of one session.
#[derive(Debug)]
pub(crate) struct Link {
    socket: Fd,
    birth: Birth,
    /// Whether sleeps here may rely on `membarrier`.
    barrier: bool,
}

impl Link {
    pub(crate) fn new(socket: Fd, birth: Birth, barrier: bool) -> Self {
        Self { socket, birth, barrier }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Tells the peer that nothing more comes. Its next look sees the close word.
    pub(crate) fn hang_up(&self) {
        socket::shutdown(self.socket.as_fd());
    }

    /// Reads once. `None`: nothing (more) has come.
    fn read(&self, heard: &mut Heard) -> Option<()> {
        let mut bytes = [0; CHUNK];
        let received = match socket::receive(self.socket.as_fd(), &mut bytes, false) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            // Whatever else a receive can fail with means that the connection is no more.
            Err(_) => {
                heard.hung_up = true;
                return None;
            }
        };
        if received.truncated || received.starved || !received.fds.is_empty() {
            heard.violation = Some(Violation::Descriptors);
            return None;
        }
        if received.bytes == 0 {
            heard.hung_up = true;
            return None;
        }
        let records = &bytes[..received.bytes];
        if records.iter().any(|&record| record != BELL) {
            heard.violation = Some(Violation::Record);
            return None;
        }
        heard.bells += records.len() as u64;
        // A short read has emptied the queue; a hang-up behind it shows at the next look.
        (received.bytes == CHUNK).then_some(())
    }
}

impl Channel for Link {
    fn ring(&self) {
        // A full buffer means that it rings already; a peer that is gone is told by the next look.
        if let Err(error) = socket::ring(self.socket.as_fd()) {
            tracing::trace!(%error, "the bell could not be rung");
        }
    }

    fn sleep(&mut self, time: Option<Duration>) -> Result<bool, Cause> {
        sys::poll_readable(self.socket.as_fd(), time).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => Cause::Interrupted,
            _ => Cause::System,
        })
    }

    fn hear(&mut self) -> Heard {
        let mut heard = Heard::default();
        for _ in 0..READS {
            if self.read(&mut heard).is_none() {
                break;
            }
        }
        heard
    }

    fn barrier(&self) -> bool {
        self.barrier && barrier::heavy()
    }

    #[inline]
    fn is_ours(&self) -> bool {
        self.birth.is_ours()
    }
}
