//! How a side idles: which strategy, how long a spin is worth it, and when the socket is due for a look.
//!
//! A strategy decides only how a wait passes its time. What is waited for, and how a sleep is made safe, are decided
//! elsewhere; so no strategy can lose a message or miss a death.

use std::time::{Duration, Instant};

/// How a waiting call passes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Wait {
    /// Look without a pause, for the lowest latency at the price of a processor. The socket is looked at about every
    /// millisecond, so the peer's death ends the wait all the same. Signals do not interrupt it.
    Spin,
    /// Sleep at once. The lowest cost where messages are rare.
    Park,
    /// Spin for about as long as a wake-up would take, then sleep; stop spinning while it does not pay. The default.
    #[default]
    Adaptive,
}

/// What it costs to put a side to sleep and to wake it, one way: half of the sleeping round trip that was measured on the
/// virtual machine of this project's records (70 us, `bench/record`). Spinning for as long as the sleep would cost is never
/// more than twice as dear as the better of the two choices made with hindsight (Karlin et al., "Competitive randomized
/// algorithms for nonuniform problems", 1990).
const WAKE_COST: Duration = Duration::from_micros(40);

/// A budget below this is not worth reading the clock for.
const LEAST_BUDGET: Duration = Duration::from_micros(2);

/// How long the next wait may spin before it sleeps.
#[derive(Debug)]
pub(crate) struct Budget {
    now: Duration,
    /// One processor cannot spin for another.
    useless: bool,
}

impl Budget {
    pub(crate) fn new(one_cpu: bool) -> Self {
        Self { now: if one_cpu { Duration::ZERO } else { WAKE_COST }, useless: one_cpu }
    }

    /// How long to spin now. Zero: not at all.
    pub(crate) fn get(&self) -> Duration {
        self.now
    }

    /// What was waited for came while spinning.
    #[inline]
    pub(crate) fn paid(&mut self) {
        self.now = WAKE_COST;
    }

    /// Spinning was in vain, and the side went to sleep.
    pub(crate) fn wasted(&mut self) {
        self.now /= 2;
        if self.now < LEAST_BUDGET {
            self.now = Duration::ZERO;
        }
    }

    /// A sleep ended after the wait had lasted `time` in all: if a full budget would have covered it, spin again.
    pub(crate) fn slept(&mut self, time: Duration) {
        if time < WAKE_COST * 2 && !self.useless {
            self.now = WAKE_COST;
        }
    }
}

/// So many frames taken without a wait make a stream, and not a burst; and so many frames behind the writer a reader does not
/// disturb it. A power of two.
pub(crate) const STREAM: u64 = 16;

/// How long an adaptive reader that has come close to the writer of a stream leaves it alone. On the writer's heels it would
/// take each line away while the next word is being stored into it, or prefetch the line beside it. Frames of 32 bytes then
/// cost 31 to 45 ns each, and 15 to 19 ns with such a breath now and then, in which about 150 of them arrive
/// (`docs/decisions/0005-breath.md`).
pub(crate) const BREATH: Duration = Duration::from_micros(2);

/// How long may pass without a look at the session socket.
pub(crate) const PULSE: Duration = Duration::from_millis(1);

/// Calls between two looks at the clock, at the most.
const STRIDE_MAX: u32 = 32;

/// Tells when about a millisecond has passed, without reading the clock at every call.
///
/// The stride adapts: callers that come often read the clock at every 32nd call, callers that come rarely at each.
#[derive(Debug)]
pub(crate) struct Pulse {
    countdown: u32,
    stride: u32,
    last_look: Option<Instant>,
    last_clock: Option<Instant>,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        Self { countdown: 1, stride: 1, last_look: None, last_clock: None }
    }

    /// Counts one call; whether the socket is due.
    #[inline]
    pub(crate) fn beat(&mut self) -> bool {
        self.countdown -= 1;
        self.countdown == 0 && self.read_clock()
    }

    #[cold]
    #[inline(never)]
    fn read_clock(&mut self) -> bool {
        let now = now();
        let since_clock = self.last_clock.map_or(PULSE, |last| now - last);
        self.stride = if since_clock > PULSE / 4 {
            (self.stride / 8).max(1)
        } else if since_clock < PULSE / 16 {
            (self.stride * 2).min(STRIDE_MAX)
        } else {
            self.stride
        };
        self.countdown = self.stride;
        self.last_clock = Some(now);
        let due = self.last_look.is_none_or(|last| now - last >= PULSE);
        if due {
            self.last_look = Some(now);
        }
        due
    }

    /// The socket has just been looked at.
    pub(crate) fn looked(&mut self) {
        self.last_look = Some(now());
    }
}

/// The time. In a model time stands still: loom replays a run only if nothing outside it decides anything.
pub(crate) fn now() -> Instant {
    #[cfg(not(loom))]
    {
        Instant::now()
    }
    #[cfg(loom)]
    {
        static STILL: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *STILL.get_or_init(Instant::now)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_budget_shrinks_to_nothing_while_spinning_is_in_vain_and_returns_when_it_would_have_paid() {
        let mut budget = Budget::new(false);
        for _ in 0..10 {
            budget.wasted();
        }
        assert_eq!(budget.get(), Duration::ZERO);
        budget.slept(Duration::from_millis(10));
        assert_eq!(budget.get(), Duration::ZERO);
        budget.slept(WAKE_COST);
        assert_eq!(budget.get(), WAKE_COST);
    }

    #[test]
    fn one_processor_never_spins() {
        let mut budget = Budget::new(true);
        budget.slept(Duration::ZERO);
        assert_eq!(budget.get(), Duration::ZERO);
    }

    #[test]
    fn a_pulse_is_due_first_at_once_and_then_not_before_a_millisecond() {
        let mut pulse = Pulse::new();
        assert!(pulse.beat());
        let start = Instant::now();
        while !pulse.beat() {}
        assert!(start.elapsed() >= PULSE - Duration::from_micros(100));
    }

    #[test]
    fn a_rare_caller_is_due_at_each_call() {
        let mut pulse = Pulse::new();
        for _ in 0..1000 {
            pulse.beat();
        }
        let slow = |pulse: &mut Pulse| {
            std::thread::sleep(PULSE * 2);
            pulse.beat()
        };
        // The stride falls from 32 to 1 within two looks at the clock.
        for _ in 0..64 {
            slow(&mut pulse);
        }
        assert!((0..8).all(|_| slow(&mut pulse)));
    }
}
