//! Who is waited for: every source under its key, and in which state of rest it is.
//!
//! A key is the number of a slot and how often that was taken, so a key of something that was removed, or an event of its
//! descriptor that was on its way, means nobody. A source is in one state at a time, and each state that somebody has to go
//! through has its list; a slot knows where in the list it stands, so that changing the state costs the same however many there
//! are.

use super::{Key, Source};
use std::time::Instant;

/// The number under which something else than a source is watched: no key has it, because generations begin with one.
pub(super) const NOBODY: u64 = 0;

/// How a source rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is looked at in every round.
    Hot,
    /// Its epoch is open, and nothing yet protects a long sleep.
    Dozing,
    /// Its descriptor tells when there is something.
    Quiet,
    /// It has something to take for which memory or descriptors are missing.
    Starved,
    /// Somebody else has it for a while.
    Lent,
}

/// How many of the stages have a list.
const LISTS: usize = 5;

#[derive(Debug)]
pub(super) struct Slot {
    generation: u32,
    stage: Stage,
    /// Where it stands in the list of its stage.
    place: usize,
    /// Since when it has been idle if it is hot, since when it has rested if it is not.
    pub(super) since: Option<Instant>,
    /// The wait in which it was last reported.
    pub(super) told_in: u64,
    /// Its descriptor is watched.
    pub(super) watched: bool,
    /// When it has something to do though nothing comes, as it is written down.
    pub(super) chore: Option<Instant>,
    pub(super) source: Option<Source>,
}

#[derive(Debug, Default)]
pub(super) struct Roster {
    slots: Vec<Slot>,
    vacant: Vec<u32>,
    lists: [Vec<u32>; LISTS],
}

impl Roster {
    /// Takes a source in, hot.
    pub(super) fn add(&mut self, source: Source) -> Key {
        let list = &mut self.lists[Stage::Hot as usize];
        let place = list.len();
        if let Some(index) = self.vacant.pop() {
            let slot = &mut self.slots[index as usize];
            let generation = slot.generation;
            *slot = Slot::new(generation, place, source);
            list.push(index);
            return Key { index, generation };
        }
        let index = u32::try_from(self.slots.len()).expect("there are fewer descriptors than this");
        self.slots.push(Slot::new(1, place, source));
        list.push(index);
        Key { index, generation: 1 }
    }

    /// Takes the source out for good.
    pub(super) fn remove(&mut self, key: Key) -> Option<Slot> {
        self.slot(key)?;
        self.unlist(key.index);
        let next = Slot { source: None, ..Slot::empty(key.generation.checked_add(1).unwrap_or(1)) };
        self.vacant.push(key.index);
        Some(std::mem::replace(&mut self.slots[key.index as usize], next))
    }

    /// How many there are, lent ones included.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }

    pub(super) fn slot(&self, key: Key) -> Option<&Slot> {
        let slot = self.slots.get(key.index as usize)?;
        (slot.generation == key.generation && slot.is_taken()).then_some(slot)
    }

    pub(super) fn slot_mut(&mut self, key: Key) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(key.index as usize)?;
        (slot.generation == key.generation && slot.is_taken()).then_some(slot)
    }

    /// The slot with this number, which a list named.
    #[inline]
    pub(super) fn at(&mut self, index: u32) -> &mut Slot {
        &mut self.slots[index as usize]
    }

    pub(super) fn key(&self, index: u32) -> Key {
        Key { index, generation: self.slots[index as usize].generation }
    }

    /// The numbers of all slots with a source.
    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &Source)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| Some((index as u32, slot.source.as_ref()?)))
    }

    /// The sources in a stage.
    #[inline]
    pub(super) fn list(&self, stage: Stage) -> &[u32] {
        &self.lists[stage as usize]
    }

    /// Moves the source with this number to another stage.
    pub(super) fn enter(&mut self, index: u32, stage: Stage) {
        if self.slots[index as usize].stage == stage {
            return;
        }
        self.unlist(index);
        let list = &mut self.lists[stage as usize];
        let slot = &mut self.slots[index as usize];
        (slot.stage, slot.place) = (stage, list.len());
        list.push(index);
    }

    fn unlist(&mut self, index: u32) {
        let Slot { stage, place, .. } = self.slots[index as usize];
        let list = &mut self.lists[stage as usize];
        list.swap_remove(place);
        if let Some(&moved) = list.get(place) {
            self.slots[moved as usize].place = place;
        }
    }
}

impl Slot {
    fn new(generation: u32, place: usize, source: Source) -> Self {
        Self { place, source: Some(source), ..Self::empty(generation) }
    }

    fn empty(generation: u32) -> Self {
        let (stage, source) = (Stage::Hot, None);
        Self { generation, stage, place: 0, since: None, told_in: 0, watched: false, chore: None, source }
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    fn is_taken(&self) -> bool {
        self.source.is_some() || self.stage == Stage::Lent
    }
}

impl Key {
    /// The key as a number, for callers that can hold nothing else.
    #[must_use]
    pub fn number(self) -> u64 {
        self.token()
    }

    /// As it stands in the epoll set.
    pub(super) fn token(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub(super) fn of_token(token: u64) -> Self {
        Self { index: token as u32, generation: (token >> 32) as u32 }
    }
}
