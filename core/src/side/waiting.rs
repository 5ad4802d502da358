//! Waiting: by looking, by sleeping, and by way of a foreign event loop.
//!
//! Each ends when what is wanted is there, when the deadline has passed, when a signal came, or when the peer is gone. How a
//! sleep is made safe is told in `park.rs`; here it is done.

use super::{Channel, Patience, Side, Want};
use crate::deadline::Deadline;
use crate::error::Cause;
use crate::sync::{full_fence, spin_hint};
use crate::wait::{DISTANCE, GATHER, PULSE, STREAM, Turns, Wait, breath, gathering, now};
use std::time::{Duration, Instant};

/// How often a spin looks between two looks at the clock: one to two microseconds, which is longer than a lively peer takes
/// to answer, so that lively traffic never reads the clock. A model looks once, because each
/// look multiplies the runs that it has to go through.
const LOOKS: u32 = if cfg!(loom) { 1 } else { 1024 };

/// How long a spinning writer waits before it asks for a credit out of turn: about what a reader takes for an eighth of a
/// default ring, so that a reader that is at work is not asked at all.
const STARVE_AFTER: Duration = Duration::from_micros(50);

/// The longest sleep that nothing protects. It bounds what a wake-up lost in a store buffer can cost.
pub(crate) const NAP: Duration = Duration::from_millis(1);

impl<C: Channel> Side<C> {
    /// Whether what is wanted is there. A violation counts as there: the caller's next step finds and reports it.
    #[inline]
    pub(super) fn is_there(&mut self, want: Want) -> bool {
        match want {
            Want::Data => self.reader.has_data(),
            Want::Room(end) => self.writer.has_room(end).unwrap_or(true) || self.outgoing.has_dropped_drafts(),
            Want::Block => self.outgoing.has_news(self.peer_seen()),
            Want::DataOrRoom(end) => self.reader.has_data() || self.is_there(Want::Room(end)),
            Want::DataOrRead(position) => self.reader.has_data() || self.is_there(Want::Read(position)),
            Want::DataOrBlock => self.reader.has_data() || self.is_there(Want::Block),
            Want::Read(position) => self.writer.has_room(u64::MAX).is_err() || self.writer.seen_read() >= position,
        }
    }

    /// A few looks before anything is set up, because in lively traffic the message is about to arrive. Whether it did.
    #[inline]
    pub(crate) fn look_a_while(&mut self, want: Want) -> bool {
        if self.one_cpu {
            return self.hand_over(want);
        }
        if self.strategy == Wait::Park {
            return false;
        }
        self.let_a_stream_get_ahead(want);
        for _ in 0..LOOKS {
            if self.is_there(want) {
                self.budget.paid();
                return true;
            }
        }
        false
    }

    /// Lets the peer have the only processor, so that it can do what we wait for. Whether it did.
    #[inline(never)]
    fn hand_over(&mut self, want: Want) -> bool {
        if self.is_there(want) {
            return true;
        }
        if !self.turns.may() {
            return false;
        }
        let start = now();
        let came = (0..Turns::EACH).any(|_| {
            std::thread::yield_now();
            self.is_there(want)
        });
        self.turns.took(now() - start);
        came
    }

    /// Waits until `want` is there, the deadline passes, a signal comes, or the peer is gone and `want` will never come.
    #[inline(never)]
    pub(crate) fn wait(&mut self, want: Want, deadline: Deadline) -> Result<(), Cause> {
        if self.look_a_while(want) { Ok(()) } else { self.wait_long(want, deadline) }
    }

    /// After a run of frames, leaves the writer alone for a moment.
    #[inline]
    fn let_a_stream_get_ahead(&mut self, want: Want) {
        if want == Want::Data && self.is_in_a_stream() {
            self.breathe();
        }
        self.received_before = self.stats.frames_received;
    }

    /// In the middle of a run of frames, leaves the writer alone for a moment if it is too close ahead: a reader that is as
    /// fast as the writer would otherwise stay on its heels without ever finding the ring empty.
    #[inline(never)]
    pub(super) fn keep_distance(&mut self) {
        if self.is_in_a_stream() && !self.reader.is_far_behind(DISTANCE) {
            self.breathe();
            self.received_before = self.stats.frames_received;
        }
    }

    /// Before a wait for a call or its reply: leaves the peer alone for a moment if nothing is here, but many calls are there,
    /// so that several of them have come at the next look.
    #[inline]
    pub(crate) fn let_calls_gather(&mut self, patience: Patience, elsewhere: impl FnOnce() -> u32) {
        if patience == Patience::None || self.reader.has_data() || self.strategy == Wait::Park || self.one_cpu {
            return;
        }
        self.received_before = self.stats.frames_received;
        let calls = elsewhere();
        if calls >= GATHER {
            leave_alone(gathering(calls));
        }
    }

    /// Whether frames come one behind the other, so that a moment is nothing: not so in a model, where time stands still.
    #[inline]
    fn is_in_a_stream(&self) -> bool {
        !cfg!(loom)
            && self.stats.frames_received - self.received_before >= STREAM
            && self.strategy != Wait::Park
            && !self.one_cpu
    }

    fn breathe(&self) {
        leave_alone(breath(self.strategy, self.stats.frames_received - self.received_before));
    }

    fn wait_long(&mut self, want: Want, deadline: Deadline) -> Result<(), Cause> {
        self.give_credit()?;
        if self.over.is_some() {
            return self.look_for_the_peer(want);
        }
        let start = now();
        let spin = match self.strategy {
            Wait::Park => Duration::ZERO,
            Wait::Adaptive => self.budget.get(),
            Wait::Spin => Duration::MAX,
        };
        if !spin.is_zero() {
            if self.spin(want, deadline, start, spin)? {
                self.budget.paid();
                return Ok(());
            }
            self.budget.wasted();
        }
        self.park(want, deadline)?;
        self.budget.slept(now() - start);
        Ok(())
    }

    /// Looks without sleeping for at most `time`. Whether what was wanted came.
    fn spin(&mut self, want: Want, deadline: Deadline, start: Instant, time: Duration) -> Result<bool, Cause> {
        let mut last_look = start;
        let looks = if self.one_cpu { 1 } else { LOOKS };
        loop {
            for _ in 0..looks {
                if self.is_there(want) {
                    return Ok(true);
                }
            }
            if self.one_cpu {
                std::thread::yield_now();
            }
            spin_hint();
            let now = now();
            if now - last_look >= PULSE {
                last_look = now;
                self.look_for_the_peer(want)?;
            }
            if deadline.has_passed() {
                return if self.is_there(want) { Ok(true) } else { Err(Cause::Timeout) };
            }
            if now - start >= time {
                return Ok(false);
            }
            if now - start >= STARVE_AFTER {
                self.starve_for(want);
            }
        }
    }

    /// Asks the peer for a credit, if that is what is waited for.
    pub(super) fn starve_for(&mut self, want: Want) {
        if matches!(want, Want::Room(_) | Want::Read(_) | Want::DataOrRoom(_) | Want::DataOrRead(_)) {
            self.writer.starve();
        }
    }

    /// Looks at the socket; an error if the peer is gone and left nothing of what is wanted.
    fn look_for_the_peer(&mut self, want: Want) -> Result<(), Cause> {
        self.attend();
        let ends = self.over.or(self.starved.then_some(Cause::OutOfMemory));
        match ends {
            Some(cause) if !self.is_there(want) => Err(cause),
            _ => Ok(()),
        }
    }

    /// Sleeps until what is wanted is there. Each turn of the loop is one epoch.
    fn park(&mut self, want: Want, deadline: Deadline) -> Result<(), Cause> {
        self.stats.parks += 1;
        if self.unheard {
            self.look_for_the_peer(want)?;
        }
        self.weigh_fences();
        self.show_counters();
        loop {
            // What is left of the ring goes back first: the peer may be waiting for just that.
            self.give_credit()?;
            self.starve_for(want);
            self.parking.begin(want.reasons());
            if self.parking.asks_for_fences() {
                full_fence();
            }
            let slept = self.sleep_out_epoch(want, deadline);
            self.parking.end();
            match slept {
                Ok(Woken::There) => return Ok(()),
                // The bell is read before the next sleep: whoever waits for the frame does not wait for that, too.
                Ok(Woken::Heard) if self.is_there(want) => self.unheard = true,
                Ok(Woken::Heard) => self.look_for_the_peer(want)?,
                Err(cause) => return Err(cause),
            }
            if self.is_there(want) {
                return Ok(());
            }
        }
    }

    /// Before a sleep: asks the peer for fences if such sleeps are frequent.
    pub(super) fn weigh_fences(&mut self) {
        let often = self.sleeps.begin(self.stats.frames_received + self.stats.frames_sent);
        if !often || self.parking.asks_for_fences() {
            return;
        }
        self.parking.ask_for_fences();
        // Whatever the peer stored before it saw that is visible after this.
        if self.channel.barrier() {
            self.fenced_for_now.set(true);
        } else {
            self.parking.stop_asking();
        }
    }

    /// In a stream: lets the peer off the fences that were asked for while sleeps were frequent.
    pub(super) fn spare_fences(&mut self) {
        let frames = self.stats.frames_received + self.stats.frames_sent;
        if self.fenced_for_now.get() && self.sleeps.streams(frames) {
            self.fenced_for_now.set(false);
            self.parking.end();
            self.parking.stop_asking();
        }
    }

    /// Sleeps within one open epoch: first a nap, then, behind a barrier, for as long as it takes.
    fn sleep_out_epoch(&mut self, want: Want, deadline: Deadline) -> Result<Woken, Cause> {
        let mut naps = !self.parking.asks_for_fences();
        self.note_idle_memory()?;
        loop {
            if self.is_there(want) {
                return Ok(Woken::There);
            }
            if let Some(cause) = self.over {
                return Err(cause);
            }
            let left = deadline.remaining();
            if left == Some(Duration::ZERO) {
                return Err(Cause::Timeout);
            }
            // Whoever drops a draft, on whatever thread, knows nothing of this sleep.
            let nap = naps || want != Want::Data && self.outgoing.has_drafts();
            let limit = if nap { Some(NAP) } else { self.outgoing.next_duty(want) };
            let time = left.map_or(limit, |left| Some(limit.map_or(left, |limit| limit.min(left))));
            if self.channel.sleep(time)? {
                return Ok(Woken::Heard);
            }
            if naps {
                self.stats.naps += 1;
                // From here on a store that the peer made before it saw our epoch is visible to us, or it sees our epoch.
                naps = !self.channel.barrier();
            } else if !nap {
                self.give_idle_memory_back()?;
            }
        }
    }

    /// From now on a foreign event loop watches the descriptor, which cannot nap and look again.
    pub(crate) fn watch(&self) {
        if self.watched.replace(true) {
            return;
        }
        self.ask_for_fences();
        // A peer that had already loaded the old word has, after this, also made the store before it visible. Where the
        // barrier cannot be had, a nap does the same: no store stays in a store buffer that long.
        if !self.channel.barrier() {
            std::thread::sleep(NAP);
        }
    }

    /// Before `Empty` or `Full` is answered: makes sure that the peer will ring when that changes, if somebody watches.
    /// Whether what was wanted has come meanwhile.
    pub(crate) fn arm(&mut self, want: Want) -> bool {
        if !self.watched.get() {
            return false;
        }
        self.attend();
        if !self.parking.is_open_for(want.reasons()) {
            self.parking.begin(want.reasons());
        }
        full_fence();
        self.is_there(want)
    }
}

/// Passes the time without touching what the peer writes.
fn leave_alone(time: Duration) {
    let start = now();
    while now() - start < time {
        spin_hint();
    }
}

/// How a sleep ended, when it did not fail.
enum Woken {
    /// What was wanted is there.
    There,
    /// Something came over the socket.
    Heard,
}
