//! The segments of one end as places: where its outbox and its regions of memory stand, and what the system said to the wishes
//! for them.
//!
//! It keeps none of them alive. Spill regions are not among them: what is on a disk stands nowhere in memory.

use super::OwnSegment;
use crate::sys::huge;
use crate::sys::memory::Mapping;
use crate::sys::place::{self, Refusals};
use crate::sys::standing::{self, Standing};
use std::ops::Range;
use std::sync::{Arc, Weak};

/// One segment, as long as it lasts.
#[derive(Debug)]
struct Placed {
    mapping: Weak<Mapping>,
    refusals: Refusals,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Premises(Vec<Placed>);

/// What was found about one segment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) bytes: u64,
    /// The bytes of it that huge pages have room for.
    pub(crate) huge_room: u64,
    pub(crate) refusals: Refusals,
    /// What the kernel says of its pages, if it says anything.
    pub(crate) standing: Option<Standing>,
}

impl Premises {
    /// One more segment. Those that are gone are forgotten.
    pub(crate) fn add(&mut self, segment: &OwnSegment) {
        self.0.retain(|placed| placed.mapping.strong_count() > 0);
        self.0.push(Placed { mapping: Arc::downgrade(&segment.mapping), refusals: segment.refusals });
    }

    /// Has the pages of all of them come to `node`, as far as they may.
    pub(crate) fn move_to(&mut self, node: u32) {
        for placed in &mut self.0 {
            if let Some(mapping) = placed.mapping.upgrade() {
                placed.refusals.node = place::move_to(&mapping, node);
            }
        }
    }

    /// Looks where they are now. A forked child has none of them.
    pub(crate) fn look(&self) -> Vec<Found> {
        let there = |placed: &Placed| placed.mapping.upgrade().map(|mapping| (mapping, placed.refusals));
        let segments: Vec<_> = self.0.iter().filter_map(there).filter(|(mapping, _)| mapping.is_ours()).collect();
        let ranges: Vec<_> = segments.iter().map(|(mapping, _)| addresses(mapping)).collect();
        let mut standings = standing::look_at(&ranges).map(Vec::into_iter);
        let found = segments.iter().map(|(mapping, refusals)| Found {
            bytes: mapping.len() as u64,
            huge_room: (mapping.len() - mapping.len() % huge::page()) as u64,
            refusals: *refusals,
            standing: standings.as_mut().and_then(Iterator::next),
        });
        found.collect()
    }
}

fn addresses(mapping: &Mapping) -> Range<usize> {
    let start = mapping.base().as_ptr().addr();
    start..start + mapping.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::Deadline;
    use crate::sys::page_size;
    use crate::sys::place::Wishes;

    #[test]
    fn what_is_gone_is_forgotten_and_what_is_there_is_looked_at() {
        let segment =
            |len| OwnSegment::create("slipring-test", len, Wishes::default(), Deadline::NEVER).expect("memory");
        let (first, second) = (segment(page_size()), segment(3 << 20));
        let mut premises = Premises::default();
        premises.add(&first);
        drop(first);
        premises.add(&second);
        assert_eq!(premises.0.len(), 1);
        let found = premises.look();
        assert_eq!((found.len(), found[0].bytes), (1, 3 << 20));
        assert_eq!(found[0].huge_room, ((3 << 20) - (3 << 20) % huge::page()) as u64);
        let standing = found[0].standing.as_ref().expect("/proc/self/smaps");
        assert_eq!(standing.locked, 0);
        // All pages are there, on whatever nodes; a kernel without nodes does not say.
        let on_nodes: u64 = standing.nodes.values().sum();
        assert!(standing.nodes.is_empty() || on_nodes == 3 << 20, "{standing:?}");
        drop(second);
        assert_eq!(premises.look(), []);
    }
}
