//! What C++ asks for, in the words of `slipring`: timeouts and options.

use crate::failure::{Failure, Outcome};
use crate::{Options, WaitStrategy};
use slipring::{Deadline, Trust, Wait};
use std::time::Duration;

/// How long a call may wait.
#[derive(Clone, Copy)]
pub(crate) enum Patience {
    /// Not at all.
    Try,
    /// Until then.
    Until(Deadline),
}

impl Patience {
    /// What a timeout in nanoseconds asks for.
    pub(crate) fn of(timeout_ns: i64) -> Outcome<Self> {
        match timeout_ns {
            0 => Ok(Self::Try),
            -1 => Ok(Self::Until(Deadline::NEVER)),
            time if time > 0 => Ok(Self::Until(Deadline::after(Duration::from_nanos(time.unsigned_abs())))),
            _ => Err(Failure::invalid("a timeout must be 0 (try), positive (nanoseconds) or -1 (for ever)")),
        }
    }

    /// The same for calls that always wait, if only for no time.
    pub(crate) fn deadline(timeout_ns: i64) -> Outcome<Deadline> {
        Self::of(timeout_ns).map(|patience| match patience {
            Self::Try => Deadline::NOW,
            Self::Until(deadline) => deadline,
        })
    }
}

/// How long a close may wait.
pub(crate) fn linger(linger_ns: i64) -> Outcome<Duration> {
    match linger_ns {
        -1 => Ok(Duration::MAX),
        time if time >= 0 => Ok(Duration::from_nanos(time.unsigned_abs())),
        _ => Err(Failure::invalid("a linger must be 0 or more (nanoseconds) or -1 (for ever)")),
    }
}

/// Options without what is left to its default.
pub(crate) fn options(asked: &Options) -> slipring::Options {
    let mut options = slipring::Options::default();
    if asked.capacity != 0 {
        options = options.capacity(asked.capacity);
    }
    if asked.capacity_reverse != 0 {
        options = options.capacity_reverse(asked.capacity_reverse);
    }
    if asked.inline_limit != 0 {
        options = options.inline_limit(asked.inline_limit);
    }
    if asked.max_message != 0 {
        options = options.max_message(asked.max_message);
    }
    if asked.memory_limit != 0 {
        options = options.memory_limit(asked.memory_limit);
    }
    if asked.in_flight != 0 {
        options = options.in_flight(asked.in_flight);
    }
    if asked.untrusted {
        options = options.trust(Trust::Untrusted);
    }
    match asked.wait {
        WaitStrategy::Adaptive => options.wait(Wait::Adaptive),
        WaitStrategy::Spin => options.wait(Wait::Spin),
        WaitStrategy::Park => options.wait(Wait::Park),
        // cxx knows no enum without unknown values.
        _ => options,
    }
}
