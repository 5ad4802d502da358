//! One buddy system: a power-of-two number of equal units, given out in runs of a power of two of them, each at a
//! multiple of its own length. It counts units and knows neither what one is nor where it lies.
//!
//! ```text
//!   order 2  │                               │ free since 0                  │   lists[2]: 4
//!   order 1  │               │ free since 7  │                               │   lists[1]: 2
//!   order 0  │ out   │ since 9                                               │   lists[0]: 1
//!   unit       0       1       2       3       4       5       6       7
//! ```
//!
//! The idea: **merging waits until somebody needs it**. A run that comes back goes to the young end of the list of its
//! order. Only when a request finds no run that is long enough, a **sweep** merges what can be merged. A run carries
//! the time since when it has been free: a half carries its whole's, a whole that of the half that came back later.
//!
//! Invariants:
//! - The free runs and the runs that are out tile the units. A slot of the table describes the run that starts there.
//! - Every list is in the order of those times, oldest first. A sweep keeps it so: it walks from the young end, so that
//!   what it merges comes out in order, too, and is threaded into the next list from its young end.
//! - Two buddies that are both free are known of (`pairs`), and one of them became free after the last sweep. So a
//!   sweep looks only at what is younger than the one before, and its work is paid for by the calls that made those
//!   runs.

/// Ends a list. Also what a link says that leads nowhere.
const NONE: u32 = u32::MAX;

/// Generations have so many bits, which is what a return entry has room for. Zero is none: no forgotten field is ever
/// right.
pub(super) const GENERATION_BITS: u32 = 20;

/// Which of the free runs that are long enough is taken.
#[cfg_attr(test, derive(PartialEq))]
#[derive(Clone, Copy, Debug)]
pub(super) enum Pick {
    /// One that has gone cold: the oldest of the shortest if half of all units came back since it did, else the one
    /// that has been free for longest, however long it is. Taking the longest-free in every case costs a split for
    /// nearly every claim and a merge later (measured, 13 sizes mixed: 49 ns a claim instead of 21), and makes no run
    /// colder than cold.
    Cold,
    /// The oldest of the shortest, so that long ones stay whole.
    Tightest,
}

/// What starts at a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing: it lies inside a run.
    Inside,
    Free,
    /// A run that the owner is filling; nobody else knows of it.
    Claimed,
    /// A run that the peer was told of.
    Out,
}

/// What is known of the run that starts at a unit.
#[cfg_attr(test, derive(PartialEq))]
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Neighbours in the list of its order, while it is free.
    older: u32,
    younger: u32,
    /// While it is free, since when. While it is not, how many bytes were asked for.
    since_or_asked: u64,
    /// Of the last run given out that started here. Outlives splits and merges.
    generation: u32,
    order: u8,
    state: State,
}

/// The free runs of one order.
#[cfg_attr(test, derive(PartialEq))]
#[derive(Clone, Copy, Debug)]
struct List {
    oldest: u32,
    youngest: u32,
    /// Since when the oldest has been free: kept here, so that orders are compared without a look at their runs.
    since: u64,
}

#[cfg_attr(test, derive(Clone, PartialEq))]
#[derive(Debug)]
pub(super) struct Buddy {
    slots: Vec<Slot>,
    /// By order, up to that of the whole.
    lists: Vec<List>,
    /// A bit for each order that has a free run.
    filled: u32,
    /// Two buddies may both be free.
    pairs: bool,
    pick: Pick,
    /// Runs claimed or out.
    live: u32,
    /// Counts the units that came back.
    clock: u64,
    /// The clock at the last sweep.
    swept: u64,
}

impl Buddy {
    /// `1 << whole` units, all of them free.
    pub(super) fn new(whole: u8, pick: Pick) -> Self {
        debug_assert!(whole < 31);
        let nothing =
            Slot { older: NONE, younger: NONE, since_or_asked: 0, generation: 0, order: 0, state: State::Inside };
        let empty = List { oldest: NONE, youngest: NONE, since: 0 };
        let slots = vec![nothing; 1 << whole];
        let lists = vec![empty; usize::from(whole) + 1];
        let mut buddy = Self { slots, lists, filled: 0, pairs: false, pick, live: 0, clock: 0, swept: 0 };
        buddy.make_free(0, whole, 0, NONE);
        buddy
    }

    /// The unit at which a claimed run of `1 << order` units starts, or none if no such run can be made.
    #[inline]
    pub(super) fn claim(&mut self, order: u8, asked: u64) -> Option<u32> {
        if self.filled >> order == 0 {
            if !self.pairs {
                return None;
            }
            self.sweep();
            if self.filled >> order == 0 {
                return None;
            }
        }
        let from = self.picked(order);
        let list = self.lists[usize::from(from)];
        let unit = list.oldest;
        self.unlink(unit, from);
        for half in (order..from).rev() {
            // No run of this order, if there is one, is older: it would have been picked.
            let oldest = self.lists[usize::from(half)].oldest;
            self.make_free(unit + (1 << half), half, list.since, oldest);
        }
        self.live += 1;
        let slot = &mut self.slots[unit as usize];
        slot.generation = next_generation(slot.generation);
        (slot.order, slot.state, slot.since_or_asked) = (order, State::Claimed, asked);
        Some(unit)
    }

    /// The peer is about to be told of the claimed run at `unit`.
    #[inline]
    pub(super) fn send(&mut self, unit: u32) {
        self.slots[unit as usize].state = State::Out;
    }

    /// Takes the run at `unit` back. Returns its order and what was asked for it.
    #[inline]
    pub(super) fn release(&mut self, unit: u32) -> (u8, u64) {
        let Slot { order, since_or_asked: asked, state, .. } = self.slots[unit as usize];
        debug_assert!(matches!(state, State::Claimed | State::Out), "only a run that was given out comes back");
        self.live -= 1;
        self.clock += 1 << order;
        self.make_free(unit, order, self.clock, NONE);
        self.pairs |= self.free_buddy(unit, order).is_some();
        (order, asked)
    }

    /// Whether a run of this generation starts at `unit` and is in this state.
    #[inline]
    pub(super) fn is(&self, unit: u32, generation: u32, state: State) -> bool {
        let slot = self.slots[unit as usize];
        slot.generation == generation && slot.state == state
    }

    #[inline]
    pub(super) fn generation(&self, unit: u32) -> u32 {
        self.slots[unit as usize].generation
    }

    /// For the first unit of a system inside another's unit: what starts there starts in both, and has one generation.
    pub(super) fn set_generation(&mut self, unit: u32, generation: u32) {
        self.slots[unit as usize].generation = generation;
    }

    /// One more than the highest order that a claim may succeed with; 0 if none can. Exact, unless there are pairs:
    /// then the claim that comes in vain sweeps, and it is exact.
    #[inline]
    pub(super) fn reach(&self) -> u8 {
        if self.pairs { self.lists.len() as u8 } else { (u32::BITS - self.filled.leading_zeros()) as u8 }
    }

    /// Whether nothing is claimed or out.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.live == 0
    }

    /// Merges all free buddies, however long that makes the runs.
    pub(super) fn sweep(&mut self) {
        for order in 0..self.lists.len() as u8 - 1 {
            self.sweep_order(order);
        }
        (self.swept, self.pairs) = (self.clock, false);
    }

    /// Merges the free buddies of one order, which must be those that a sweep of the orders below left.
    fn sweep_order(&mut self, order: u8) {
        let mut unit = self.lists[usize::from(order)].youngest;
        // The last run merged: those to come are older, and their place in the list is before it.
        let mut after = NONE;
        while unit != NONE && self.slots[unit as usize].since_or_asked > self.swept {
            let Some(buddy) = self.free_buddy(unit, order) else {
                unit = self.slots[unit as usize].older;
                continue;
            };
            // The walk meets the younger of two first, so the whole has been free since then.
            let since = self.slots[unit as usize].since_or_asked;
            debug_assert!(self.slots[buddy as usize].since_or_asked <= since);
            self.unlink(buddy, order);
            let next = self.slots[unit as usize].older;
            self.unlink(unit, order);
            let whole = unit.min(buddy);
            after = self.place(order + 1, since, after);
            self.make_free(whole, order + 1, since, after);
            after = whole;
            unit = next;
        }
    }

    /// Before which run of the list of `order` one belongs that has been free since `since`, searched from `before`
    /// towards the old end.
    fn place(&self, order: u8, since: u64, mut before: u32) -> u32 {
        loop {
            let older = match before {
                NONE => self.lists[usize::from(order)].youngest,
                _ => self.slots[before as usize].older,
            };
            if older == NONE || self.slots[older as usize].since_or_asked <= since {
                return before;
            }
            before = older;
        }
    }

    /// The order from which a request for `order` is served. There is one.
    #[inline]
    fn picked(&self, order: u8) -> u8 {
        let mut rest = self.filled >> order << order;
        let tightest = rest.trailing_zeros() as u8;
        let age = self.clock - self.lists[usize::from(tightest)].since;
        if matches!(self.pick, Pick::Tightest) || age >= self.cold_age() {
            return tightest;
        }
        let mut oldest = tightest;
        loop {
            rest &= rest - 1;
            if rest == 0 {
                return oldest;
            }
            let order = rest.trailing_zeros() as u8;
            if self.lists[usize::from(order)].since < self.lists[usize::from(oldest)].since {
                oldest = order;
            }
        }
    }

    /// How many units must have come back since a run did for it to have gone cold.
    #[inline]
    fn cold_age(&self) -> u64 {
        self.slots.len() as u64 / 2
    }

    /// The other half of the whole that the run at `unit` is a half of, if that is free in one piece.
    #[inline]
    fn free_buddy(&self, unit: u32, order: u8) -> Option<u32> {
        let buddy = unit ^ (1 << order);
        // The whole has no buddy: what would be its number is outside.
        let slot = self.slots.get(buddy as usize)?;
        (slot.state == State::Free && slot.order == order).then_some(buddy)
    }

    /// Makes a free run of what starts at `unit`, and puts it before `younger` in its list, or at the young end.
    #[inline]
    fn make_free(&mut self, unit: u32, order: u8, since: u64, younger: u32) {
        let list = &mut self.lists[usize::from(order)];
        let older = match younger {
            NONE => std::mem::replace(&mut list.youngest, unit),
            _ => std::mem::replace(&mut self.slots[younger as usize].older, unit),
        };
        match older {
            NONE => (list.oldest, list.since) = (unit, since),
            _ => self.slots[older as usize].younger = unit,
        }
        self.filled |= 1 << order;
        let slot = &mut self.slots[unit as usize];
        (slot.older, slot.younger, slot.since_or_asked) = (older, younger, since);
        (slot.order, slot.state) = (order, State::Free);
    }

    /// Takes a free run out of its list; what starts at `unit` is then the caller's to say.
    #[inline]
    fn unlink(&mut self, unit: u32, order: u8) {
        let list = &mut self.lists[usize::from(order)];
        let slot = &mut self.slots[unit as usize];
        slot.state = State::Inside;
        let (older, younger) = (slot.older, slot.younger);
        match younger {
            NONE => list.youngest = older,
            _ => self.slots[younger as usize].older = older,
        }
        match (older, younger) {
            (NONE, NONE) => (list.oldest, self.filled) = (NONE, self.filled & !(1 << order)),
            (NONE, _) => (list.oldest, list.since) = (younger, self.slots[younger as usize].since_or_asked),
            _ => self.slots[older as usize].younger = younger,
        }
    }
}

#[inline]
fn next_generation(generation: u32) -> u32 {
    let next = (generation + 1) & ((1 << GENERATION_BITS) - 1);
    next.max(1)
}

#[cfg(all(test, not(loom)))]
mod tests;
