//! How a call waits in Python: at first with the interpreter's lock, then without it, and never deaf to signals.
//!
//! A look costs some nanoseconds, letting the lock go and taking it again costs as much as a short message; so [`soon`] looks for
//! about a microsecond before it does. [`patiently`] then waits without the lock, in slices: a signal may be delivered to another
//! thread than the one that waits, or come while it spins, so after each slice the handlers that are due run.

use crate::logging;
use pyo3::prelude::*;
use slipring::{CallError, Cause, Deadline, Error};
use std::time::Duration;

/// How long a wait is deaf to signals at most.
const SLICE: Duration = Duration::from_millis(100);

/// How often to look with the lock held. A look that finds nothing takes some 20 ns.
pub(crate) const LOOKS: u32 = 48;

/// What can end a slice and not the wait.
pub(crate) trait Answer {
    /// Nothing was there, or there was no room.
    fn is_not_yet(&self) -> bool;
    /// The slice is over, or a signal handler ran.
    fn is_pause(&self) -> bool;
}

impl Answer for Cause {
    #[inline]
    fn is_not_yet(&self) -> bool {
        matches!(self, Self::Empty | Self::Full)
    }

    fn is_pause(&self) -> bool {
        matches!(self, Self::Timeout | Self::Interrupted)
    }
}

impl Answer for CallError {
    #[inline]
    fn is_not_yet(&self) -> bool {
        self.cause().is_not_yet()
    }

    /// A peer that answers `Timeout` says so in words; our own clock does not.
    fn is_pause(&self) -> bool {
        self.cause().is_pause() && self.text().is_empty()
    }
}

impl Answer for Error {
    fn is_not_yet(&self) -> bool {
        self.cause().is_not_yet()
    }

    fn is_pause(&self) -> bool {
        self.cause().is_pause()
    }
}

/// Looks again and again for about a microsecond, with the lock held. `None`: not yet.
#[inline]
pub(crate) fn soon<T, E: Answer>(looks: u32, mut look: impl FnMut() -> Result<T, E>) -> Option<Result<T, E>> {
    for _ in 0..looks.max(1) {
        match look() {
            Err(answer) if answer.is_not_yet() => std::hint::spin_loop(),
            other => return Some(other),
        }
    }
    None
}

/// Waits by `attempt`, which is given the end of each slice, without the lock.
pub(crate) fn patiently<T, E>(
    py: Python<'_>,
    deadline: Deadline,
    attempt: impl FnMut(Deadline) -> Result<T, E> + Send,
) -> PyResult<Result<T, E>>
where
    T: Send,
    E: Answer + Send,
{
    patiently_for(py, 0, deadline, attempt)
}

/// As [`patiently`], for a payload of `len` bytes. Memory for it may have to be reserved, which takes some 0.7 s a GiB and begins
/// anew in each slice; a signal interrupts it.
pub(crate) fn patiently_for<T, E>(
    py: Python<'_>,
    len: usize,
    deadline: Deadline,
    mut attempt: impl FnMut(Deadline) -> Result<T, E> + Send,
) -> PyResult<Result<T, E>>
where
    T: Send,
    E: Answer + Send,
{
    let length = SLICE + Duration::from_nanos(len as u64);
    loop {
        let slice = deadline.min(Deadline::after(length));
        match py.detach(|| attempt(slice)) {
            Err(answer) if answer.is_pause() => {
                py.check_signals()?;
                logging::deliver(py);
                if deadline.has_passed() {
                    return Ok(Err(answer));
                }
            }
            other => return Ok(other),
        }
    }
}
