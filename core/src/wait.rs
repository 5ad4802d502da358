//! How a side idles: which strategy, how long a spin is worth it, and when the socket is due for a look.
//!
//! A strategy decides only how a wait passes its time. What is waited for, and how a sleep is made safe, are decided
//! elsewhere; so no strategy can lose a message or miss a death.

use std::time::{Duration, Instant};

/// How a waiting call passes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Wait {
    /// Look without a pause, for the lowest latency at the price of a processor. The socket is looked at about every
    /// millisecond, so the peer's death ends the wait all the same. Signals do not interrupt it. In a stream there is
    /// a pause all the same, of at most a microsecond each time: see [`Wait::Adaptive`].
    Spin,
    /// Sleep at once. The lowest cost where messages are rare.
    ///
    /// Where both sides share one processor, this strategy, too, hands that over to the peer twice before it sleeps: the
    /// message that is waited for cannot be made otherwise, and both are spared a sleep.
    Park,
    /// Spin for about as long as a wake-up would take, then sleep; stop spinning while it does not pay. The default.
    ///
    /// A receiver that has taken 16 frames or more without a wait leaves the ring alone for a moment when it comes close to
    /// the sender: 32 ns for each of those frames, at most 10 us. Streams are the faster for it, because two processors no
    /// longer quarrel over each line, and the frame that follows such a run may be seen that much later. [`Wait::Spin`]
    /// does so for at most 1 us.
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

/// When a side that shares its only processor with its peer hands that over before it sleeps.
///
/// `sched_yield` lets the peer run and make what is waited for, and neither has to be put to sleep and woken: a round trip of
/// 32 bytes on one processor took 1.5 us so, 2.4 us by two pipes and 4.5 us by sleeps (`docs/decisions/0012-one-processor.md`).
/// But a side that yields does not come before a third one that computes, as one that is woken does. So when the processor
/// comes back late, the next waits sleep at once: 64 of them, and twice as many every time that it happens again.
#[derive(Debug)]
pub(crate) struct Turns {
    /// Waits that are still to sleep at once.
    skip: u32,
    /// How many more of them there are after the next late turn.
    penalty: u32,
}

impl Turns {
    /// How often a wait hands over: the second time is for a peer that had something else to finish.
    pub(crate) const EACH: u32 = 2;
    const PENALTY: u32 = 64;
    const PENALTY_MAX: u32 = 1 << 16;

    pub(crate) fn new() -> Self {
        Self { skip: 0, penalty: Self::PENALTY }
    }

    /// Whether this wait may hand over.
    pub(crate) fn may(&mut self) -> bool {
        let may = self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        may
    }

    /// The processor came back after `time`.
    pub(crate) fn took(&mut self, time: Duration) {
        if time >= WAKE_COST * 2 {
            self.skip = self.penalty;
            self.penalty = (self.penalty * 2).min(Self::PENALTY_MAX);
        } else if self.penalty > Self::PENALTY {
            // One late turn in thousands is anybody's interrupt.
            self.penalty -= 1;
        }
    }
}

/// So many frames taken without a wait make a stream, and not a burst.
pub(crate) const STREAM: u64 = 16;

/// So many frames behind the writer a reader does not disturb it.
pub(crate) const DISTANCE: u64 = 64;

/// How long a reader that has come close to the writer of a stream leaves it alone, after a run of so many frames.
///
/// On the writer's heels it would take each line away while the next word is being stored into it, or prefetch the line
/// beside it: frames of 32 bytes then cost 31 to 45 ns each, and 9 to 11 ns with such a breath now and then, in which several
/// hundred of them arrive (`docs/decisions/0005-breath.md`). It is never much longer than the run was, so a short burst is not
/// held up for long. A reader that spins does so for a microsecond at most (200 ns were too short to help): without it,
/// one that was a little faster than its writer halved the rate of a stream of 8 to 32 bytes.
pub(crate) fn breath(strategy: Wait, run: u64) -> Duration {
    let most = if strategy == Wait::Spin { 1_000 } else { 10_000 };
    Duration::from_nanos(run.saturating_mul(32).min(most))
}

/// With so many calls in flight it is worth letting them gather.
pub(crate) const GATHER: u32 = 8;

/// How long a side that finds nothing leaves the other alone while so many calls are with it: about what those take. Looking
/// for each frame as it is being written costs both sides a line's way to and fro (`docs/decisions/0007-calls.md`).
pub(crate) fn gathering(calls: u32) -> Duration {
    Duration::from_nanos((u64::from(calls) * 56).min(10_000))
}

/// Whether a side sleeps so often that it should ask its peer for fences.
///
/// A nap has a timer, and setting and clearing one costs as much as a tenth of a wake-up. That is nothing where sleeps are
/// rare, and a fence for each store is nothing where the peer sleeps between any two of them. So a side that sleeps again
/// and again after a few frames asks for fences and goes without naps, until it sees a stream.
#[derive(Debug, Default)]
pub(crate) struct Sleeps {
    /// Frames moved when the last sleep began.
    frames: u64,
    /// Sleeps in a row with few frames between them.
    short: u32,
}

impl Sleeps {
    /// So few frames between two sleeps are no stream.
    const FEW: u64 = 64;
    /// So many short runs in a row are a habit. A model has no time for more.
    const OFTEN: u32 = if cfg!(loom) { 2 } else { 16 };
    /// So many frames without a sleep are a stream, in which every fence counts.
    const MANY: u64 = 2048;

    /// A sleep begins after `frames` in all. Whether such sleeps have become a habit.
    pub(crate) fn begin(&mut self, frames: u64) -> bool {
        self.short = if frames - self.frames < Self::FEW { self.short.saturating_add(1) } else { 0 };
        self.frames = frames;
        self.short >= Self::OFTEN
    }

    /// Whether a stream has come since the last sleep.
    pub(crate) fn streams(&self, frames: u64) -> bool {
        frames - self.frames >= Self::MANY
    }
}

/// How long may pass without a look at the session socket.
pub(crate) const PULSE: Duration = Duration::from_millis(1);

/// How long whoever waits on many sessions, and finds something in those that it looks at, may leave the others to their bells:
/// half of what waking somebody costs, so that it adds little to that. The look costs a system call, some 2 % of this.
pub(crate) const GLANCE: Duration = Duration::from_micros(20);

/// Calls between two looks at the clock, at the most: a reading costs as much as several frames (100 ns on the virtual
/// machine of this project's records, where at every 32nd frame it was a fifth of a stream's time).
const STRIDE_MAX: u64 = 256;

/// What a call that did nothing counts for, because only a run of such calls can be the user's whole wait.
const IDLE: u64 = 8;

/// Calls that send look after so many periods only. A look is a system call, some 0.4 us: at every millisecond it met one of
/// 1,500 round trips of 32 bytes, which so had a p99.9 of 2.2 times their median, where their floor has 1.2 times. And a sender
/// whose peer is gone has lost nothing yet; without room, or without a reply, it looks at the pace of those that wait.
const BUSY: u32 = 4;

/// Tells when about a millisecond, or another period, has passed, without reading the clock at every call.
///
/// The stride adapts: callers that come often read the clock at every 256th call, callers that come rarely at each.
#[derive(Debug)]
pub(crate) struct Pulse {
    /// How long may pass between two looks.
    period: Duration,
    /// The same while each call does something.
    busy: Duration,
    /// The count of calls at which the clock is read next.
    due: u64,
    stride: u64,
    last_look: Option<Instant>,
    last_clock: Option<Instant>,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        Self { busy: PULSE * BUSY, ..Self::every(PULSE) }
    }

    /// One with another period, whatever is done.
    pub(crate) fn every(period: Duration) -> Self {
        Self { period, busy: period, due: 0, stride: 1, last_look: None, last_clock: None }
    }

    /// Whether the socket is due, after `calls` calls that the caller counts anyway, and that did something.
    #[inline]
    pub(crate) fn beat(&mut self, calls: u64) -> bool {
        calls >= self.due && self.read_clock(calls, self.busy)
    }

    /// The same after a call that did nothing, and that is not counted in `calls`.
    pub(crate) fn beat_idle(&mut self, calls: u64) -> bool {
        self.due = self.due.saturating_sub(IDLE);
        calls >= self.due && self.read_clock(calls, self.period)
    }

    #[cold]
    #[inline(never)]
    fn read_clock(&mut self, calls: u64, period: Duration) -> bool {
        let now = now();
        let since_clock = self.last_clock.map_or(self.period, |last| now - last);
        self.stride = if since_clock > self.period / 4 {
            (self.stride / 8).max(1)
        } else if since_clock < self.period / 16 {
            (self.stride * 2).min(STRIDE_MAX)
        } else {
            self.stride
        };
        self.due = calls + self.stride;
        self.last_clock = Some(now);
        let due = self.last_look.is_none_or(|last| now - last >= period);
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
    fn sleeps_are_a_habit_after_many_with_little_between_and_no_longer_after_a_run() {
        let mut sleeps = Sleeps::default();
        assert!((0..15).all(|frame| !sleeps.begin(frame)));
        assert!(sleeps.begin(77) && sleeps.begin(79));
        assert!(!sleeps.streams(79 + 2047) && sleeps.streams(79 + 2048));
        assert!(!sleeps.begin(79 + 64), "a run of frames ends the habit");
    }

    #[test]
    fn one_processor_never_spins() {
        let mut budget = Budget::new(true);
        budget.slept(Duration::ZERO);
        assert_eq!(budget.get(), Duration::ZERO);
    }

    #[test]
    fn a_processor_that_comes_back_late_is_handed_over_less_and_less_and_more_again_when_it_comes_in_time() {
        let mut turns = Turns::new();
        let mut waits_until_the_next = || {
            turns.took(WAKE_COST * 2);
            (0..).position(|_: u32| turns.may()).expect("some time")
        };
        assert_eq!([waits_until_the_next(), waits_until_the_next(), waits_until_the_next()], [64, 128, 256]);
        for _ in 0..512 {
            assert!(turns.may());
            turns.took(WAKE_COST);
        }
        turns.took(WAKE_COST * 2);
        assert_eq!((0..).position(|_: u32| turns.may()), Some(64));
    }

    #[test]
    fn a_pulse_is_due_first_at_once_and_then_not_before_four_milliseconds_of_work() {
        let mut pulse = Pulse::new();
        assert!(pulse.beat(1));
        let start = Instant::now();
        assert!((2..).any(|calls| pulse.beat(calls)));
        assert!(start.elapsed() >= PULSE * BUSY - Duration::from_micros(100));
    }

    #[test]
    fn calls_that_do_nothing_make_a_pulse_due_after_one() {
        let mut pulse = Pulse::new();
        assert!(pulse.beat(1));
        let start = Instant::now();
        while !pulse.beat_idle(1) {}
        assert!(start.elapsed() >= PULSE - Duration::from_micros(100));
    }

    #[test]
    fn a_rare_caller_is_due_at_each_call() {
        let mut pulse = Pulse::new();
        for calls in 0..1000 {
            pulse.beat(calls);
        }
        // The stride falls from 256 to 1 within three looks at the clock.
        let mut due = (1000..1310).map(|calls| {
            std::thread::sleep(PULSE * BUSY);
            pulse.beat(calls)
        });
        assert!(due.by_ref().skip(300).take(8).all(|due| due));
    }
}
