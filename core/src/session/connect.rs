//! Connecting: finding the listener, waiting for it to appear if asked to, and joining it, or observing it.

use crate::deadline::Deadline;
use crate::error::{Cause, Error, Refusal};
use crate::options::Settings;
use crate::session::board::entry::Page;
use crate::session::handshake::{self, Broken, Session, TimeLimit};
use crate::session::name::{self, Address};
use crate::sys;
use crate::sys::barrier;
use crate::sys::fork::{Birth, Fd};
use std::time::Duration;

/// How long to leave a listener alone that was busy, closing, or gone in mid-handshake.
const AGAIN: Duration = Duration::from_millis(5);

/// How long the handshake of an observer may take: as long as any by default.
const OBSERVED_WITHIN: Duration = Duration::from_secs(5);

/// Joins the listener at `address`. `deadline` is how long the listener may take to appear; the handshake has its own time
/// on top of that, and has an end even where the deadline is never ([`TimeLimit`]).
pub(crate) fn connect(address: &str, settings: &Settings, deadline: Deadline) -> Result<Session, Error> {
    barrier::register();
    let birth = Birth::now().map_err(|error| Error::system("prepare for forks", error))?;
    let join = |socket, limit| handshake::join(socket, settings, birth, limit);
    meet("connect to", address, settings.handshake_timeout, deadline, join)
}

/// The board of the listener at `address`, with the same deadline.
pub(crate) fn observe(address: &str, deadline: Deadline) -> Result<Page, Error> {
    meet("observe", address, OBSERVED_WITHIN, deadline, |socket, limit| handshake::observe(&socket, limit))
}

/// Finds the listener, and shakes hands with it.
fn meet<T>(
    what: &str,
    address: &str,
    time: Duration,
    deadline: Deadline,
    shake_hands: impl Fn(Fd, TimeLimit) -> Result<T, Broken>,
) -> Result<T, Error> {
    let address = Address::parse(address)?;
    loop {
        let socket = name::connect(&address, deadline)?;
        let end = deadline.remaining().map_or(Deadline::NEVER, |left| Deadline::after(left.saturating_add(time)));
        let broken = match shake_hands(socket, TimeLimit::new(end, time)) {
            Ok(made) => return Ok(made),
            Err(broken) => broken,
        };
        if deadline.has_passed() || !is_worth_another_try(&broken) {
            return Err(broken.into_error(format!("{what} {address}")));
        }
        sys::pause(AGAIN).map_err(|error| Error::system(format!("wait for {address}"), error))?;
    }
}

/// Whether the listener, or the next one at the address, may answer differently in a moment.
fn is_worth_another_try(broken: &Broken) -> bool {
    match broken {
        Broken::Gone | Broken::Refused(Refusal::Busy | Refusal::Closing | Refusal::Slow, _) => true,
        Broken::Ours(error) => error.cause() == Cause::NotFound,
        _ => false,
    }
}
