//! A point in time at which a wait gives up.

use std::time::{Duration, Instant};

/// When a wait gives up: never, at once, or at a point of the monotonic clock.
///
/// ```
/// use slipring::Deadline;
/// use std::time::Duration;
/// let soon = Deadline::after(Duration::from_millis(20));
/// assert!(!soon.has_passed());
/// assert!(Deadline::NOW.has_passed());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(When);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Never,
    Now,
    At(Instant),
}

impl Deadline {
    /// The wait ends only with what it waits for, or with the peer.
    pub const NEVER: Self = Self(When::Never);
    /// The deadline has passed already: whatever is not there now is a [`Timeout`](crate::Cause::Timeout).
    pub const NOW: Self = Self(When::Now);

    /// `time` from now. A time too long to be told apart from for ever is for ever.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        if time.is_zero() {
            return Self::NOW;
        }
        Self(Instant::now().checked_add(time).map_or(When::Never, When::At))
    }

    /// At `instant`.
    #[must_use]
    pub fn at(instant: Instant) -> Self {
        Self(When::At(instant))
    }

    /// Whether it has passed.
    #[must_use]
    pub fn has_passed(self) -> bool {
        self.remaining() == Some(Duration::ZERO)
    }

    /// How long is left; `None` means for ever, zero that it has passed.
    #[must_use]
    pub fn remaining(self) -> Option<Duration> {
        match self.0 {
            When::Never => None,
            When::Now => Some(Duration::ZERO),
            When::At(at) => Some(at.saturating_duration_since(Instant::now())),
        }
    }

    /// The earlier of the two.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        match (self.0, other.0) {
            (When::Never, _) => other,
            (_, When::Never) | (When::Now, _) => self,
            (_, When::Now) => other,
            (When::At(a), When::At(b)) => Self(When::At(a.min(b))),
        }
    }
}

impl From<Duration> for Deadline {
    fn from(time: Duration) -> Self {
        Self::after(time)
    }
}
