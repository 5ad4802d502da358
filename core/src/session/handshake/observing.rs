//! The handshake of an observer, who wants no session.
//!
//! ```text
//!   observer                                 listener
//!     │ observe                                  │
//!     ├────────────────────────────────────────▶ │ version, user; else refusal, with why
//!     │ board: [fd], [creds]                     │
//!     │ ◀────────────────────────────────────────┤ hangs up
//!     │ checks user, seals, size; maps           │
//! ```
//!
//! Observers are of the listener's own user, whomever its sessions trust: what the sessions of others count is nobody else's
//! business. After this neither knows of the other.

use super::{Broken, Incoming, TimeLimit, hear, is_same_user, say, send};
use crate::error::{Error, Refusal, Violation};
use crate::layout::board::BYTES;
use crate::session::board::Board;
use crate::session::board::entry::Page;
use crate::session::wire::Message;
use crate::shm::PeerSegment;
use crate::sys::fork::Fd;
use crate::sys::socket;
use std::os::fd::AsFd;

/// The observer's side, on a connected socket.
pub(crate) fn observe(socket: &Fd, mut limit: TimeLimit) -> Result<Page, Broken> {
    socket::enable_passcred(socket.as_fd()).map_err(|error| Error::system("ask for credentials", error))?;
    say(socket, &Message::Observe, &[])?;
    let arrived = hear(&mut Incoming::new(true), socket, &mut limit)?;
    let Message::Board(told) = arrived.message else { return Err(Violation::Handshake.into()) };
    let sender = arrived.sender.ok_or(Violation::Handshake)?;
    if !is_same_user(sender) {
        let text = format!("the listener belongs to user {}; only its own user observes it", sender.uid);
        return Err(Broken::Refused(Refusal::User, text));
    }
    if told != BYTES as u64 {
        return Err(Violation::SegmentSize.into());
    }
    let board = PeerSegment::attach_begun(arrived.one_fd()?, told)?;
    Page::new(&board).ok_or(Violation::Handshake.into())
}

/// The listener's answer.
pub(crate) fn show(socket: &Fd, board: &mut Board) -> Result<(), Broken> {
    board.with_fd(|fd| send(socket, &Message::Board(BYTES as u64), &[fd], true))?
}
