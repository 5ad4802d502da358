//! Which places are free: the lowest is taken first.
//!
//! So the number of a place says something to whoever sees it: at least as many calls are in flight.

/// A set of free places, a bit each.
#[derive(Debug)]
pub(super) struct Vacancies {
    words: Vec<u64>,
    /// No word before this one has a bit.
    first: usize,
    taken: u32,
}

impl Vacancies {
    /// All of `places` are free.
    pub(super) fn new(places: u16) -> Self {
        let mut words = vec![u64::MAX; usize::from(places / 64)];
        if !places.is_multiple_of(64) {
            words.push((1 << (places % 64)) - 1);
        }
        Self { words, first: 0, taken: 0 }
    }

    /// How many places are taken.
    #[inline]
    pub(super) fn taken(&self) -> u32 {
        self.taken
    }

    #[inline]
    pub(super) fn has_some(&self) -> bool {
        self.words[self.first..].iter().any(|&word| word != 0)
    }

    /// Takes the lowest free place.
    #[inline]
    pub(super) fn take(&mut self) -> Option<u16> {
        let at = self.first + self.words[self.first..].iter().position(|&word| word != 0)?;
        let bit = self.words[at].trailing_zeros();
        self.words[at] &= self.words[at] - 1;
        (self.first, self.taken) = (at, self.taken + 1);
        Some((at as u32 * 64 + bit) as u16)
    }

    /// Gives a place back that was taken.
    #[inline]
    pub(super) fn put(&mut self, place: u16) {
        let at = usize::from(place / 64);
        debug_assert!(self.words[at] >> (place % 64) & 1 == 0, "a place is given back once");
        self.words[at] |= 1 << (place % 64);
        (self.first, self.taken) = (self.first.min(at), self.taken - 1);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_more_places_than_there_are() {
        for places in [1, 2, 63, 64, 65, 128, 1000] {
            let mut free = Vacancies::new(places);
            assert!((0..places).all(|place| free.take() == Some(place)));
            assert_eq!((free.take(), free.has_some(), free.taken()), (None, false, u32::from(places)));
        }
    }

    proptest! {
        #[test]
        fn the_lowest_is_always_taken_first(places in 1_u16..200, steps in prop::collection::vec(any::<u16>(), 0..400)) {
            let (mut free, mut plain) = (Vacancies::new(places), (0..places).collect::<BTreeSet<_>>());
            for step in steps {
                if step % 2 == 0 {
                    prop_assert_eq!(free.take(), plain.pop_first());
                } else if plain.insert(step % places) {
                    free.put(step % places);
                }
                prop_assert_eq!(free.taken() as usize, usize::from(places) - plain.len());
                prop_assert_eq!(free.has_some(), !plain.is_empty());
            }
        }
    }
}
