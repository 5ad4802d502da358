//! How a poller waits: spinning on the few that are busy, and asleep for all together.
//!
//! Every source goes the same way round:
//!
//! ```text
//!    Hot ── idle for as long as spinning is worth it: lies down ──▶ Dozing ── nap, barrier, look ──▶ Quiet
//!     ▲                                                               │                                │
//!     └────────────── found with something, rang, or handed to the user ◀──────────────────────────────┘
//! ```
//!
//! Hot ones are looked at in memory in every round. Dozing ones have their epoch open, and nothing protects them yet: they are
//! looked at now and then, and after a nap's length one barrier and one more look make all of them quiet at once. Quiet ones
//! cost nothing; their bells are heard through one epoll set. Where the peer fences, lying down and one look are enough.
//!
//! While anything is hot the set is looked at every 20 us or so, so a busy session cannot hide a bell, a death or a client.

use super::{Key, NOBODY, Poller, Reverse, Stage};
use crate::deadline::Deadline;
use crate::error::Cause;
use crate::session::link::Link;
use crate::side::{NAP, Patience, Rest, Side};
use crate::sync::spin_hint;
use crate::sys::barrier;
use crate::wait::{GLANCE, Wait};
use std::io;
use std::time::{Duration, Instant};

/// How many looks at hot sources pass between two looks at the clock: one to two microseconds of them, whatever their number.
const LOOKS: usize = 512;

/// How often it is tried again to take what there was no memory or descriptor for.
const RETRY: Duration = Duration::from_millis(10);

impl Poller {
    pub(super) fn wait_with(&mut self, ready: &mut Vec<Key>, patience: Patience) -> Result<(), Cause> {
        self.check_ours()?;
        ready.clear();
        self.stats.waits += 1;
        self.first = self.first.wrapping_add(1);
        self.look_at_the_hot(ready);
        if !ready.is_empty() {
            if self.pulse.beat(self.stats.waits) {
                self.glance(ready)?;
            }
            return Ok(());
        }
        let waited = match patience {
            Patience::None | Patience::OnlyToMake(_) => self.look_everywhere(ready),
            Patience::Until(deadline) => self.wait_long(ready, deadline),
        };
        // A notification has been answered, whatever else was found.
        self.notified = false;
        waited
    }

    fn wait_long(&mut self, ready: &mut Vec<Key>, deadline: Deadline) -> Result<(), Cause> {
        loop {
            self.spin(ready, deadline)?;
            if self.has_news(ready) {
                return Ok(());
            }
            self.sleep(ready, deadline)?;
            if self.has_news(ready) {
                return Ok(());
            }
        }
    }

    /// Before `Empty` is answered: looks wherever something can be, and arms what a foreign loop is to be woken for.
    fn look_everywhere(&mut self, ready: &mut Vec<Key>) -> Result<(), Cause> {
        let now = self.glance(ready)?;
        if !self.has_news(ready) {
            if self.watched.get() {
                self.lay_all_down(now, ready);
            } else {
                self.cool(now, ready);
            }
        }
        if self.has_news(ready) { Ok(()) } else { Err(Cause::Empty) }
    }

    fn has_news(&self, ready: &[Key]) -> bool {
        !ready.is_empty() || self.notified
    }

    /// One round over everything that is hot, beginning with another one each time.
    #[inline]
    fn look_at_the_hot(&mut self, ready: &mut Vec<Key>) {
        let hot = self.roster.list(Stage::Hot).len();
        let first = self.first.checked_rem(hot).unwrap_or(0);
        for at in (first..hot).chain(0..first) {
            let index = self.roster.list(Stage::Hot)[at];
            let slot = self.roster.at(index);
            if slot.source.as_mut().is_some_and(|source| source.is_due()) {
                self.find(index, ready);
            }
        }
    }

    /// There is something to do at a source: it is hot, and the user is told.
    fn find(&mut self, index: u32, ready: &mut Vec<Key>) {
        let slot = self.roster.at(index);
        let (stage, since) = (slot.stage(), slot.since.take());
        if let Some(side) = slot.source.as_mut().and_then(|source| source.side_mut()) {
            side.told();
            match since {
                Some(_) if stage == Stage::Hot => side.spin_paid(),
                Some(since) => side.slept(since.elapsed()),
                None => {}
            }
        }
        self.roster.enter(index, Stage::Hot);
        self.report(index, ready);
    }

    /// Puts a source among the ready ones, once a wait.
    fn report(&mut self, index: u32, ready: &mut Vec<Key>) {
        let wait = self.stats.waits;
        if std::mem::replace(&mut self.roster.at(index).told_in, wait) != wait {
            ready.push(self.roster.key(index));
        }
    }

    /// Looks at hot sources until one has something, none is hot any more, or the deadline has passed.
    fn spin(&mut self, ready: &mut Vec<Key>, deadline: Deadline) -> Result<(), Cause> {
        if self.strategy != Wait::Park && !self.one_cpu && self.look_a_while(ready) {
            return Ok(());
        }
        loop {
            let mut now = Instant::now();
            if now - self.glanced >= GLANCE {
                now = self.glance(ready)?;
            }
            self.cool(now, ready);
            if self.has_news(ready) || self.roster.list(Stage::Hot).is_empty() {
                return Ok(());
            }
            let last = deadline.has_passed();
            if self.look_a_while(ready) {
                return Ok(());
            }
            if last {
                return Err(Cause::Timeout);
            }
        }
    }

    /// Some rounds without a look at the clock. Whether something was found.
    fn look_a_while(&mut self, ready: &mut Vec<Key>) -> bool {
        let hot = self.roster.list(Stage::Hot).len();
        for _ in 0..LOOKS.checked_div(hot).map_or(0, |rounds| rounds.max(1)) {
            self.look_at_the_hot(ready);
            if !ready.is_empty() {
                return true;
            }
            spin_hint();
        }
        false
    }

    /// Lays down what has been idle for longer than spinning is worth it.
    fn cool(&mut self, now: Instant, ready: &mut Vec<Key>) {
        let strategy = self.strategy;
        self.lay_down(now, ready, |side, since| {
            let budget = match strategy {
                Wait::Park => Duration::ZERO,
                Wait::Adaptive => side.spin_budget(),
                Wait::Spin => Duration::MAX,
            };
            if now.saturating_duration_since(since) < budget {
                if side.has_one_cpu() {
                    std::thread::yield_now();
                }
                return false;
            }
            if !budget.is_zero() {
                side.spin_wasted();
            }
            true
        });
    }

    /// Lays everything down that is not protected yet, for a foreign loop. All peers fence.
    fn lay_all_down(&mut self, now: Instant, ready: &mut Vec<Key>) {
        while let Some(&index) = self.roster.list(Stage::Dozing).first() {
            self.roster.enter(index, Stage::Hot);
        }
        self.dozing_since = None;
        self.lay_down(now, ready, |_, _| true);
    }

    /// Lays down those hot sources of which `is_cold` says so, who is told since when they are idle.
    fn lay_down(
        &mut self,
        now: Instant,
        ready: &mut Vec<Key>,
        mut is_cold: impl FnMut(&mut Side<Link>, Instant) -> bool,
    ) {
        let mut at = 0;
        while let Some(&index) = self.roster.list(Stage::Hot).get(at) {
            let slot = self.roster.at(index);
            let since = *slot.since.get_or_insert(now);
            let source = slot.source.as_mut().expect("what is hot is here");
            let cold = source.side_mut().is_none_or(|side| is_cold(side, since));
            // Whatever stays hot is passed over; what does not leaves its place to another.
            if !cold || !self.lay_one_down(index, now, ready) {
                at += 1;
            }
        }
    }

    /// Lays a hot source down. Whether it stays down: not if something is there meanwhile.
    fn lay_one_down(&mut self, index: u32, now: Instant, ready: &mut Vec<Key>) -> bool {
        let slot = self.roster.at(index);
        let source = slot.source.as_mut().expect("what is hot is here");
        if source.side_mut().is_some_and(|side| side.is_starved()) {
            self.starve(index, now);
            return true;
        }
        let rest = source.lie_down();
        // An error is the session's end, of which this look tells.
        if source.is_due() {
            self.find(index, ready);
            return false;
        }
        slot.since = Some(now);
        let duty = source.side_mut().and_then(|side| side.next_duty()).map(|time| now + time);
        if let Some(at) = duty
            && slot.chore.is_none_or(|known| at < known)
        {
            slot.chore = duty;
            self.chores.push(Reverse((at, self.roster.key(index))));
        }
        match rest {
            Ok(Rest::Guarded) => self.roster.enter(index, Stage::Quiet),
            _ => {
                self.dozing_since.get_or_insert(now);
                self.roster.enter(index, Stage::Dozing);
            }
        }
        true
    }

    /// Leaves a source alone, for whose news there is no memory or no descriptor. Its socket stays readable, so it is not watched.
    fn starve(&mut self, index: u32, now: Instant) {
        self.unwatch(index);
        self.roster.enter(index, Stage::Starved);
        self.starved_since.get_or_insert(now);
    }

    /// Sleeps once, until something is heard or something is due. Nothing is hot.
    fn sleep(&mut self, ready: &mut Vec<Key>, deadline: Deadline) -> Result<(), Cause> {
        self.look_at_the_dozing(ready);
        if !ready.is_empty() {
            return Ok(());
        }
        if deadline.has_passed() {
            return Err(Cause::Timeout);
        }
        self.stats.sleeps += 1;
        self.hear(self.time_to_sleep(deadline), ready)?;
        self.glanced = Instant::now();
        self.do_what_is_due(self.glanced, ready);
        Ok(())
    }

    /// How long nothing is to be done if nothing is heard.
    fn time_to_sleep(&self, deadline: Deadline) -> Option<Duration> {
        let later = |since: Option<Instant>, time| since.map(|since| Deadline::at(since + time));
        let chore = self.chores.peek().map(|Reverse((at, _))| Deadline::at(*at));
        let duties = self.listeners.iter().filter_map(|&key| Some(self.roster.slot(key)?.source.as_ref()?.duty()));
        let own = [later(self.dozing_since, NAP), later(self.starved_since, RETRY), chore];
        own.into_iter().flatten().chain(duties).fold(deadline, Deadline::min).remaining()
    }

    /// Looks at everything but the hot ones, without waiting. The time.
    fn glance(&mut self, ready: &mut Vec<Key>) -> Result<Instant, Cause> {
        self.pulse.looked();
        self.hear(Some(Duration::ZERO), ready)?;
        self.look_at_the_dozing(ready);
        self.glanced = Instant::now();
        self.do_what_is_due(self.glanced, ready);
        Ok(self.glanced)
    }

    fn look_at_the_dozing(&mut self, ready: &mut Vec<Key>) {
        let mut at = 0;
        while let Some(&index) = self.roster.list(Stage::Dozing).get(at) {
            if self.roster.at(index).source.as_mut().is_some_and(|source| source.is_due()) {
                self.find(index, ready);
            } else {
                at += 1;
            }
        }
        if at == 0 {
            self.dozing_since = None;
        }
    }

    /// What the clock says is to be done.
    fn do_what_is_due(&mut self, now: Instant, ready: &mut Vec<Key>) {
        if self.dozing_since.is_some_and(|since| now - since >= NAP) {
            self.end_the_nap(now, ready);
        }
        if self.starved_since.is_some_and(|since| now - since >= RETRY) {
            self.feed_the_starved(now);
        }
        while let Some(&Reverse((at, key))) = self.chores.peek()
            && at <= now
        {
            self.chores.pop();
            self.do_chore(key, now);
        }
        for at in 0..self.listeners.len() {
            let key = self.listeners[at];
            if self.roster.slot(key).and_then(|slot| slot.source.as_ref()).is_some_and(|it| it.duty().has_passed()) {
                self.report(key.index, ready);
            }
        }
    }

    /// Nothing came from those that doze: one barrier and one look for all of them, and they are quiet.
    fn end_the_nap(&mut self, now: Instant, ready: &mut Vec<Key>) {
        self.look_at_the_dozing(ready);
        if self.dozing_since.is_none() {
            return;
        }
        (self.stats.naps, self.stats.barriers) = (self.stats.naps + 1, self.stats.barriers + 1);
        // From here on a store that a peer made before it saw its epoch is visible to us, or it sees its epoch. Without the
        // barrier there is another nap.
        let protected = barrier::heavy();
        self.look_at_the_dozing(ready);
        let mut at = 0;
        while protected && let Some(&index) = self.roster.list(Stage::Dozing).get(at) {
            let source = self.roster.at(index).source.as_mut();
            if source.and_then(|source| source.side_mut()).is_some_and(|side| side.is_restless()) {
                at += 1;
            } else {
                self.roster.enter(index, Stage::Quiet);
            }
        }
        self.dozing_since = (!self.roster.list(Stage::Dozing).is_empty()).then_some(now);
    }

    /// Tries again to take what there was no memory or descriptor for.
    fn feed_the_starved(&mut self, now: Instant) {
        let mut at = 0;
        while let Some(&index) = self.roster.list(Stage::Starved).get(at) {
            let side = self.roster.at(index).source.as_mut().and_then(|source| source.side_mut());
            let fed = side.is_some_and(|side| {
                side.attend();
                side.is_over() || !side.is_starved()
            });
            // One that cannot be watched for want of memory is still starved.
            if fed && self.watch(index).is_ok() {
                self.roster.at(index).since = None;
                self.roster.enter(index, Stage::Hot);
            } else {
                at += 1;
            }
        }
        self.starved_since = (at > 0).then_some(now);
    }

    /// A session has slept until its duty: gives back all that is idle, and sees whether something is worth another try.
    fn do_chore(&mut self, key: Key, now: Instant) {
        let Some(slot) = self.roster.slot_mut(key) else { return };
        slot.chore = None;
        let rests = matches!(slot.stage(), Stage::Quiet | Stage::Dozing);
        let Some(side) = slot.source.as_mut().and_then(|source| source.side_mut()).filter(|_| rests) else { return };
        if side.give_idle_memory_back().is_err() || side.is_due() {
            // The next look tells what it is: the end, or something worth another try.
            side.get_up();
            self.roster.enter(key.index, Stage::Hot);
        } else if let Some(time) = side.next_duty() {
            slot.chore = Some(now + time);
            self.chores.push(Reverse((now + time, key)));
        }
    }

    /// Waits at most `time` for descriptors with something to hear, and hears it.
    fn hear(&mut self, time: Option<Duration>, ready: &mut Vec<Key>) -> Result<(), Cause> {
        let mut tokens = std::mem::take(&mut self.tokens);
        tokens.clear();
        let heard = self.epoll.wait(time, |token| tokens.push(token));
        for &token in &tokens {
            self.stats.events += 1;
            if token == NOBODY {
                self.alarm.silence();
                self.notified = true;
            } else {
                self.hear_one(Key::of_token(token), ready);
            }
        }
        self.tokens = tokens;
        heard.map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => Cause::Interrupted,
            _ => Cause::System,
        })
    }

    /// The descriptor of a source has something.
    fn hear_one(&mut self, key: Key, ready: &mut Vec<Key>) {
        let Some(slot) = self.roster.slot_mut(key) else { return };
        let (Some(source), index) = (slot.source.as_mut(), key.index) else { return };
        let Some(side) = source.side_mut() else {
            slot.since = None;
            self.roster.enter(index, Stage::Hot);
            return self.report(index, ready);
        };
        side.attend();
        let (over, starved, down) = (side.is_over(), side.is_starved(), side.is_down());
        let due = source.is_due();
        if over {
            // Its end is all that there is to hear from now on.
            self.unwatch(index);
        }
        if due {
            self.find(index, ready);
        } else if starved {
            self.starve(index, Instant::now());
            // The user is told once why nothing comes.
            self.report(index, ready);
        } else if !down {
            self.roster.at(index).since = None;
            self.roster.enter(index, Stage::Hot);
        }
    }
}
