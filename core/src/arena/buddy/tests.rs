//! One buddy system against a list of free runs that is searched from end to end for everything.

use super::*;
use proptest::prelude::*;

/// A free run: start, order, since when.
type Run = (u32, u8, u64);

impl Buddy {
    /// Asserts every invariant of the tables.
    pub(in crate::arena) fn check(&self) {
        let mut tiles: Vec<(u32, u32)> = Vec::new();
        for (order, list) in self.lists.iter().enumerate() {
            let runs = self.runs(order as u8);
            assert!(runs.is_sorted_by_key(|run| run.2), "a list is oldest first");
            assert_eq!(self.filled >> order & 1 == 1, !runs.is_empty());
            if let Some(oldest) = runs.first() {
                assert_eq!((list.oldest, list.since), (oldest.0, oldest.2));
            }
            for (unit, order, since) in runs {
                assert_eq!(unit % (1 << order), 0);
                tiles.push((unit, 1 << order));
                let buddy = self.free_buddy(unit, order).map(|buddy| self.slots[buddy as usize].since_or_asked);
                assert!(buddy.is_none_or(|buddy| self.pairs && since.max(buddy) > self.swept), "a pair is known of");
            }
        }
        let live = (0..).zip(&self.slots).filter(|(_, slot)| matches!(slot.state, State::Claimed | State::Out));
        let live: Vec<_> = live.map(|(unit, slot)| (unit, 1 << slot.order)).collect();
        assert_eq!(live.len(), self.live as usize);
        tiles.extend(live);
        tiles.sort_unstable();
        let end = tiles.iter().fold(0, |end, &(unit, units)| {
            assert_eq!(unit, end, "runs tile the units");
            unit + units
        });
        assert_eq!(end as usize, self.slots.len());
        let inside = self.slots.iter().filter(|slot| slot.state == State::Inside).count();
        assert_eq!(inside + tiles.len(), self.slots.len());
    }

    /// The list of one order, from the oldest, read both ways.
    fn runs(&self, order: u8) -> Vec<Run> {
        let list = self.lists[usize::from(order)];
        let (mut runs, mut unit, mut older) = (Vec::new(), list.oldest, NONE);
        while unit != NONE {
            let slot = self.slots[unit as usize];
            assert_eq!((slot.state, slot.order, slot.older), (State::Free, order, older));
            runs.push((unit, order, slot.since_or_asked));
            (older, unit) = (unit, slot.younger);
        }
        assert_eq!(list.youngest, older);
        runs
    }

    /// Everything that could grow.
    pub(in crate::arena) fn capacity(&self) -> usize {
        self.slots.capacity() + self.lists.capacity()
    }
}

/// The same with no tables.
struct Plain {
    whole: u8,
    pick: Pick,
    free: Vec<Run>,
    live: Vec<(u32, u8)>,
    clock: u64,
}

impl Plain {
    fn new(whole: u8, pick: Pick) -> Self {
        Self { whole, pick, free: vec![(0, whole, 0)], live: Vec::new(), clock: 0 }
    }

    /// The runs of which one must serve a request for `order`.
    fn candidates(&mut self, order: u8) -> Vec<Run> {
        if self.free.iter().all(|run| run.1 < order) {
            self.merge();
        }
        let fit = self.free.iter().filter(|run| run.1 >= order);
        let tightest = fit.clone().map(|run| (run.1, run.2)).min();
        let oldest = fit.clone().map(|run| (run.2, run.1)).min().map(|(since, order)| (order, since));
        let cold = tightest.is_some_and(|(_, since)| 2 * (self.clock - since) >= 1 << self.whole);
        let best = if matches!(self.pick, Pick::Tightest) || cold { tightest } else { oldest };
        fit.filter(|run| Some((run.1, run.2)) == best).copied().collect()
    }

    fn merge(&mut self) {
        for order in 0..self.whole {
            while let Some((a, b)) = self.pair(order) {
                let (one, other) = (self.free[a], self.free[b]);
                self.free.retain(|run| *run != one && *run != other);
                self.free.push((one.0.min(other.0), order + 1, one.2.max(other.2)));
            }
        }
    }

    fn pair(&self, order: u8) -> Option<(usize, usize)> {
        let buddies = |a: usize, b: usize| {
            let (a, b) = (self.free[a], self.free[b]);
            a.1 == order && b.1 == order && a.0 ^ b.0 == 1 << order
        };
        (0..self.free.len()).flat_map(|a| (0..a).map(move |b| (a, b))).find(|&(a, b)| buddies(a, b))
    }

    fn claim(&mut self, order: u8, buddy: &mut Buddy) {
        let candidates = self.candidates(order);
        let claimed = buddy.claim(order, 0);
        let run = candidates.iter().find(|run| Some(run.0) == claimed).copied();
        assert_eq!(run.is_none(), candidates.is_empty(), "{claimed:?} of {candidates:?}");
        let Some(run) = run else { return assert_eq!(claimed, None) };
        self.free.retain(|free| *free != run);
        self.free.extend((order..run.1).map(|half| (run.0 + (1 << half), half, run.2)));
        self.live.push((run.0, order));
    }

    fn release(&mut self, at: usize, buddy: &mut Buddy) {
        if self.live.is_empty() {
            return;
        }
        let (unit, order) = self.live.swap_remove(at % self.live.len());
        assert_eq!(buddy.release(unit), (order, 0));
        self.clock += 1 << order;
        self.free.push((unit, order, self.clock));
    }

    fn compare(&mut self, buddy: &Buddy) {
        buddy.check();
        let mut runs: Vec<_> = (0..=self.whole).flat_map(|order| buddy.runs(order)).collect();
        runs.sort_unstable();
        self.free.sort_unstable();
        assert_eq!(runs, self.free);
        let longest = self.free.iter().map(|run| run.1 + 1).max().unwrap_or(0);
        assert_eq!(buddy.reach(), if buddy.pairs { self.whole + 1 } else { longest });
        assert_eq!(buddy.is_idle(), self.live.is_empty());
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Claim(u8),
    Release(usize),
    Sweep,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let claim = prop_oneof![4 => 0..2_u8, 2 => 2..5_u8, 1 => 5..9_u8].prop_map(Step::Claim);
    let step = prop_oneof![8 => claim, 8 => any::<usize>().prop_map(Step::Release), 1 => Just(Step::Sweep)];
    prop::collection::vec(step, 0..if cfg!(miri) { 40 } else { 200 })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 1024 },
        // Miri keeps programs away from files.
        failure_persistence: if cfg!(miri) { None } else { ProptestConfig::default().failure_persistence },
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_sequence_of_calls_leaves_the_free_runs_of_the_plain_model(
        whole in 0..8_u8,
        pick in prop_oneof![Just(Pick::Cold), Just(Pick::Tightest)],
        steps in steps(),
    ) {
        let (mut buddy, mut plain) = (Buddy::new(whole, pick), Plain::new(whole, pick));
        for step in steps {
            match step {
                Step::Claim(order) => plain.claim(order, &mut buddy),
                Step::Release(at) => plain.release(at, &mut buddy),
                Step::Sweep => {
                    buddy.sweep();
                    plain.merge();
                }
            }
            plain.compare(&buddy);
        }
    }
}

#[test]
fn blocks_of_one_size_go_round_in_the_order_in_which_they_came_back() {
    let mut buddy = Buddy::new(6, Pick::Cold);
    let first: Vec<_> = (0..16).filter_map(|_| buddy.claim(2, 0)).collect();
    assert_eq!(first, (0..16).map(|at| at * 4).collect::<Vec<_>>(), "fresh units in the order of their places");
    let back: Vec<_> = first.iter().map(|at| (at * 7) % 64).collect();
    for &unit in &back {
        buddy.release(unit);
    }
    let again: Vec<_> = (0..16).filter_map(|_| buddy.claim(2, 0)).collect();
    assert_eq!(again, back);
    assert_eq!(buddy.claim(2, 0), None);
}

#[test]
fn one_block_at_a_time_is_not_used_again_before_half_of_all_came_back() {
    for order in 0..4 {
        let mut buddy = Buddy::new(8, Pick::Cold);
        let mut last = std::collections::HashMap::new();
        for turn in 0..1000 {
            let unit = buddy.claim(order, 0).expect("all is free");
            let before = last.insert(unit, turn);
            assert!(
                before.is_none_or(|before| (turn - before) << order >= 128),
                "{unit} again after {before:?} in {turn}"
            );
            buddy.release(unit);
        }
    }
}

#[test]
fn generations_wrap_past_zero() {
    assert_eq!(next_generation(0), 1);
    assert_eq!(next_generation(1), 2);
    assert_eq!(next_generation((1 << GENERATION_BITS) - 2), (1 << GENERATION_BITS) - 1);
    assert_eq!(next_generation((1 << GENERATION_BITS) - 1), 1);
}
