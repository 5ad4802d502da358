//! The session socket as everything that speaks over it has it, from whatever thread.
//!
//! Bells need no order. All other records are counted, because the peer says how many it has taken: so they go out one at a time.

use crate::returns::held::Bell;
use crate::session::record::{LEN, Record};
use crate::sys::fork::{Birth, Fd};
use crate::sys::socket;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

/// The socket, and how many records have gone out.
#[derive(Debug)]
pub(crate) struct Line {
    socket: Fd,
    said: Mutex<u64>,
}

impl Line {
    pub(crate) fn new(socket: Fd) -> Self {
        Self { socket, said: Mutex::new(0) }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(crate) fn ring(&self) {
        // A full buffer means that it rings already; a peer that is gone is told by the next look.
        if let Err(error) = socket::ring(self.fd()) {
            tracing::trace!(%error, "the bell could not be rung");
        }
    }

    /// Sends a record, which is no bell, with the descriptor that belongs to it. It goes out whole or not at all, and without
    /// waiting.
    ///
    /// # Errors
    /// What the socket says; see [`must_wait`].
    pub(crate) fn say(&self, record: Record, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let mut room = [0; LEN];
        let mut said = self.lock();
        socket::send(self.fd(), record.encode(&mut room), fd.as_slice(), false)?;
        *said += 1;
        Ok(())
    }

    /// How many records have gone out.
    pub(crate) fn said(&self) -> u64 {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        // The count is right at every step.
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a record cannot be sent now, which is no fault: the buffer is full, too many descriptors are under way, or the peer is
/// gone, of which the next look at the socket tells more.
pub(crate) fn must_wait(error: &io::Error) -> bool {
    let later = [libc::EAGAIN, libc::ETOOMANYREFS, libc::EPIPE, libc::ECONNRESET];
    error.raw_os_error().is_some_and(|code| later.contains(&code))
}

/// The way to the peer for whoever gives something back. It keeps no session open.
#[derive(Debug)]
pub(crate) struct LineBell {
    pub(crate) line: Weak<Line>,
    pub(crate) birth: Birth,
}

impl Bell for LineBell {
    fn ring(&self) {
        if let Some(line) = self.line.upgrade() {
            line.ring();
        }
    }

    fn is_ours(&self) -> bool {
        self.birth.is_ours()
    }
}
