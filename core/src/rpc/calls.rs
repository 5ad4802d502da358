//! The calls that this side has made: which are in flight, and what came back.
//!
//! A call has a place from the moment it is made until its reply has come *and* nobody looks at it any more; an abandoned one
//! keeps its place until the reply comes. So there are never more than agreed, and an id means one call at a time: it is the
//! number of the place, and how often that was taken.

use super::body::Body;
use super::vacancies::Vacancies;
use crate::error::Violation;

/// Bits of an id that are the number of the place.
const PLACE_BITS: u32 = 16;

#[derive(Debug)]
struct Place {
    /// How often the place was taken; never zero in an id, so no id is.
    turn: u16,
    state: State,
    body: Body,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Waiting,
    /// Nobody waits for the reply any more.
    Abandoned,
    /// Nobody ever did: a note.
    Noted,
    Done(Outcome),
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Reply { type_id: u32 },
    Error { code: u32 },
}

/// What is known of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Waiting,
    Done(Outcome),
    /// Never made, abandoned, or its reply was taken.
    Unknown,
}

#[derive(Debug)]
pub(super) struct Calls {
    places: Vec<Place>,
    free: Vacancies,
    /// Places with a reply that nobody has taken yet.
    done: u32,
}

impl Calls {
    pub(super) fn new(most: u32) -> Self {
        let place = || Place { turn: 0, state: State::Free, body: Body::default() };
        let most = u16::try_from(most).expect("no more calls are agreed than an id has places");
        Self { places: (0..most).map(|_| place()).collect(), free: Vacancies::new(most), done: 0 }
    }

    /// How many calls may be in flight.
    pub(super) fn most(&self) -> u32 {
        self.places.len() as u32
    }

    /// Calls in flight.
    #[inline]
    pub(super) fn in_flight(&self) -> u32 {
        self.free.taken()
    }

    pub(super) fn has_place(&self) -> bool {
        self.free.has_some()
    }

    /// Whether every place has a reply, so that none becomes free before one of them is taken.
    pub(super) fn all_done(&self) -> bool {
        self.done as usize == self.places.len()
    }

    /// The id of a new call, if there is a place for it.
    #[inline]
    pub(super) fn begin(&mut self, note: bool) -> Option<u32> {
        let number = self.free.take()?;
        let place = &mut self.places[usize::from(number)];
        place.turn = place.turn.checked_add(1).unwrap_or(1);
        place.state = if note { State::Noted } else { State::Waiting };
        Some(u32::from(place.turn) << PLACE_BITS | u32::from(number))
    }

    /// The call `id` was never sent.
    pub(super) fn withdraw(&mut self, id: u32) {
        let number = (id & 0xFFFF) as u16;
        self.places[usize::from(number)].state = State::Free;
        self.free.put(number);
    }

    #[inline]
    fn place(&self, id: u32) -> Option<&Place> {
        let place = self.places.get((id & 0xFFFF) as usize)?;
        (u32::from(place.turn) == id >> PLACE_BITS && place.state != State::Free).then_some(place)
    }

    #[inline]
    fn place_mut(&mut self, id: u32) -> Option<&mut Place> {
        let place = self.places.get_mut((id & 0xFFFF) as usize)?;
        (u32::from(place.turn) == id >> PLACE_BITS && place.state != State::Free).then_some(place)
    }

    #[inline]
    pub(super) fn look(&self, id: u32) -> Known {
        match self.place(id).map(|place| place.state) {
            Some(State::Waiting) => Known::Waiting,
            Some(State::Done(outcome)) => Known::Done(outcome),
            _ => Known::Unknown,
        }
    }

    /// Where the reply to `id` goes. Nobody may reply to what was not asked, or twice.
    #[inline]
    pub(super) fn expects(&mut self, id: u32) -> Result<&mut Body, Violation> {
        match self.place_mut(id) {
            Some(Place { state: State::Waiting | State::Abandoned | State::Noted, body, .. }) => Ok(body),
            _ => Err(Violation::Correlation),
        }
    }

    /// The reply to `id` has come. Whether it came too late, for a call that was given up.
    #[inline]
    pub(super) fn finish(&mut self, id: u32, outcome: Outcome) -> bool {
        let Some(place) = self.place_mut(id) else { return false };
        let was = std::mem::replace(&mut place.state, State::Done(outcome));
        self.done += 1;
        if was != State::Waiting {
            self.take(id);
        }
        was == State::Abandoned
    }

    /// The body of a reply that has come.
    #[inline]
    pub(super) fn body(&self, id: u32) -> &Body {
        &self.place(id).expect("a reply that is looked at keeps its place").body
    }

    pub(super) fn body_mut(&mut self, id: u32) -> &mut Body {
        &mut self.place_mut(id).expect("a reply that is looked at keeps its place").body
    }

    /// Nobody looks at the reply to `id` any more.
    #[inline(always)]
    pub(super) fn take(&mut self, id: u32) {
        let Some(place) = self.place_mut(id) else { return };
        place.body.clear();
        debug_assert!(matches!(place.state, State::Done(_)), "only a reply that has come is taken");
        place.state = State::Free;
        self.done -= 1;
        self.free.put((id & 0xFFFF) as u16);
    }

    /// Nobody will wait for `id`. Whether it was in flight.
    pub(super) fn abandon(&mut self, id: u32) -> bool {
        match self.place_mut(id) {
            Some(place) if place.state == State::Waiting => {
                place.state = State::Abandoned;
                true
            }
            Some(Place { state: State::Done(_), .. }) => {
                self.take(id);
                false
            }
            _ => false,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const REPLY: Outcome = Outcome::Reply { type_id: 7 };

    #[test]
    fn there_are_as_many_places_as_agreed_and_a_taken_reply_frees_one() {
        let mut calls = Calls::new(2);
        let ids = [calls.begin(false), calls.begin(false)].map(|id| id.expect("a place"));
        assert_eq!(calls.begin(false), None);
        assert!(!calls.finish(ids[0], REPLY));
        assert_eq!(calls.begin(false), None, "the reply is still to be looked at");
        calls.take(ids[0]);
        let again = calls.begin(false).expect("a place");
        assert_ne!(again, ids[0], "another call has another id");
        assert_eq!((calls.look(ids[0]), calls.look(again)), (Known::Unknown, Known::Waiting));
    }

    #[test]
    fn an_abandoned_call_keeps_its_place_until_its_reply_comes() {
        let mut calls = Calls::new(1);
        let id = calls.begin(false).expect("a place");
        assert!(calls.abandon(id));
        assert!(!calls.abandon(id));
        assert_eq!((calls.begin(false), calls.look(id)), (None, Known::Unknown));
        assert!(calls.expects(id).is_ok());
        assert!(calls.finish(id, REPLY), "too late");
        assert!(calls.has_place());
    }

    #[test]
    fn the_reply_to_a_note_is_never_late_and_never_seen() {
        let mut calls = Calls::new(1);
        let id = calls.begin(true).expect("a place");
        assert_eq!((calls.look(id), calls.abandon(id), calls.has_place()), (Known::Unknown, false, false));
        assert!(calls.expects(id).is_ok());
        assert!(!calls.finish(id, REPLY));
        assert!(calls.has_place());
    }

    #[test]
    fn a_reply_to_nothing_or_a_second_one_is_a_violation() {
        let mut calls = Calls::new(2);
        let id = calls.begin(false).expect("a place");
        for wrong in [0, 1, id + 1, id ^ 1 << 16, u32::MAX, 2 | 1 << 16] {
            assert_eq!(calls.expects(wrong).err(), Some(Violation::Correlation), "{wrong:#x}");
        }
        calls.finish(id, REPLY);
        assert_eq!(calls.expects(id).err(), Some(Violation::Correlation));
    }

    #[test]
    fn ids_stay_unique_and_never_zero_past_their_range() {
        let mut calls = Calls::new(1);
        let mut last = 0;
        for _ in 0..200_000 {
            let id = calls.begin(false).expect("a place");
            assert!(id != last && id >> PLACE_BITS != 0);
            calls.finish(id, REPLY);
            calls.take(id);
            last = id;
        }
    }
}
