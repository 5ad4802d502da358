//! Timeouts: the three ways of waiting, as one number.

use crate::boundary::{Failure, invalid};
use std::time::Duration;
use transport::Deadline;

/// Do not wait.
pub(crate) const TRY: i64 = 0;
/// Wait for as long as it takes.
pub(crate) const FOREVER: i64 = -1;

/// How long a call may wait.
#[derive(Clone, Copy)]
pub(crate) enum Patience {
    /// Not at all: it answers `EMPTY` or `FULL`.
    Try,
    /// Until then: it answers `TIMEOUT`.
    Until(Deadline),
}

/// What a timeout in nanoseconds asks for. The clock is read only where there is a time to reckon with.
#[inline]
pub(crate) fn patience(timeout_ns: i64) -> Result<Patience, Failure> {
    match timeout_ns {
        TRY => Ok(Patience::Try),
        FOREVER => Ok(Patience::Until(Deadline::NEVER)),
        time if time > 0 => Ok(Patience::Until(Deadline::after(Duration::from_nanos(time.unsigned_abs())))),
        _ => Err(invalid("a timeout must be 0 (try), positive (nanoseconds) or -1 (for ever)")),
    }
}

/// The same for calls that always wait, if only for no time.
pub(crate) fn deadline(timeout_ns: i64) -> Result<Deadline, Failure> {
    match patience(timeout_ns)? {
        Patience::Try => Ok(Deadline::NOW),
        Patience::Until(deadline) => Ok(deadline),
    }
}

/// Calls the form of a function that fits the timeout: `try_x()`, or `x_until(deadline)`.
macro_rules! by_patience {
    ($timeout:expr, $at_once:expr, |$deadline:ident| $until:expr) => {
        match $crate::patience::patience($timeout)? {
            $crate::patience::Patience::Try => $at_once,
            $crate::patience::Patience::Until($deadline) => $until,
        }
    };
}
pub(crate) use by_patience;
