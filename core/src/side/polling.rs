//! One side among many that the same thread waits for: what its poller does with it.
//!
//! A side that sleeps alone goes through its epoch from the word to the barrier by itself (`waiting.rs`). Of many that sleep
//! together each only does its own part here: it [lies down](Side::lie_down), which stores its word, is looked at, and
//! [gets up](Side::get_up), which ends its epoch. The nap, the barrier and the sleep in between are one for all of them, and are
//! the poller's; what it owes each side for a safe sleep is the same as there.

use super::{Channel, Side, Want};
use crate::error::Cause;
use crate::sync::full_fence;
use std::time::Duration;

/// What a side that has lain down still needs before its bell can be relied on, beside one more look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing: its peer fences.
    Guarded,
    /// A barrier, or that somebody looks every so often.
    Unguarded,
}

impl<C: Channel> Side<C> {
    /// Whether its user has something to do here: a frame, the end of the session, or room where he last found none.
    ///
    /// Not while an announced region cannot be taken: what comes behind it would not be had either.
    #[inline]
    pub(crate) fn is_due(&mut self) -> bool {
        self.over.is_some() || !self.starved && (self.unresolved.is_some() || self.is_there(self.full))
    }

    /// Gives back what was read, opens a new epoch for what the user waits for, and, where that will do, fences. The caller
    /// looks after this, and after whatever else the answer says that it takes.
    pub(crate) fn lie_down(&mut self) -> Result<Rest, Cause> {
        self.give_credit()?;
        // What has come back is idle memory too, though nobody has asked for a block since.
        if self.outgoing.usage().regions > 0
            && let Err(violation) = self.trim()
        {
            return Err(self.corrupt(violation));
        }
        let want = self.full;
        self.starve_for(want);
        self.stats.parks += 1;
        self.show_counters();
        self.parking.begin(want.reasons());
        if self.parking.asks_for_fences() {
            full_fence();
        }
        Ok(if self.parking.asks_for_fences() && !self.is_restless() { Rest::Guarded } else { Rest::Unguarded })
    }

    /// There is no memory for what comes next here. Nothing is due until a look at the socket has passed.
    pub(crate) fn hold_off(&mut self) {
        self.starved = true;
    }

    /// Whether somebody has to look every so often: a draft may be dropped on another thread, which rings no bell.
    pub(crate) fn is_restless(&self) -> bool {
        self.full != Want::Data && self.outgoing.has_drafts()
    }

    /// Ends the open epoch, if there is one: somebody looks here again.
    pub(crate) fn get_up(&mut self) {
        self.parking.end();
    }

    /// The user is told that there is something to do. Room is told of once: whether he still wants it he says by finding none.
    pub(crate) fn told(&mut self) {
        self.get_up();
        self.full = Want::Data;
    }

    /// Whether an epoch is open. Hearing a bell ends it.
    pub(crate) fn is_down(&self) -> bool {
        self.parking.is_open_for(self.full.reasons())
    }

    /// Asks the peer to fence after its stores from now on, however its traffic goes. A barrier, or a nap's length, must follow
    /// before anything is built on it.
    pub(crate) fn ask_for_fences(&self) {
        self.fenced_for_now.set(false);
        self.parking.ask_for_fences();
    }

    /// When memory that is idle now is to be given back, or what the user waits for may be worth another try though nothing came.
    pub(crate) fn next_duty(&self) -> Option<Duration> {
        self.outgoing.next_duty(self.full)
    }

    /// How long it is worth spinning for this side, by what spinning for it has brought so far.
    pub(crate) fn spin_budget(&self) -> Duration {
        self.budget.get()
    }

    /// Spinning brought what was waited for.
    pub(crate) fn spin_paid(&mut self) {
        self.budget.paid();
    }

    /// Spinning was in vain.
    pub(crate) fn spin_wasted(&mut self) {
        self.budget.wasted();
    }

    /// It was woken after so long.
    pub(crate) fn slept(&mut self, time: Duration) {
        self.budget.slept(time);
    }

    /// Whether this side and its peer have one processor between them.
    pub(crate) fn has_one_cpu(&self) -> bool {
        self.one_cpu
    }
}
