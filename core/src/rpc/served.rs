//! The calls that the peer has made: which wait to be served, and which are being served.
//!
//! A request has a place from its arrival until its reply goes out, and exactly one reply does. The place is the one that
//! the peer's id names, so a peer that has more calls out than agreed, or uses an id twice, is found out at once.

use super::body::Body;
use crate::error::Violation;
use std::collections::VecDeque;

#[derive(Debug)]
struct Place {
    id: u32,
    state: State,
    request: Request,
    body: Body,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Queued,
    /// Handed to the user, and not yet replied to.
    Open,
}

/// What a request says, beside its payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) type_id: u32,
    /// When the caller gives up, on this side's monotonic clock in nanoseconds.
    pub(super) deadline: Option<u64>,
    pub(super) note: bool,
    pub(super) cancelled: bool,
}

#[derive(Debug)]
pub(super) struct Served {
    places: Vec<Place>,
    queue: VecDeque<u16>,
    /// How many cancels may still come. Each is for a request that came before it, and there are not many more than places of
    /// which the peer has not told yet; so nobody can keep this side reading for ever.
    cancellable: usize,
    /// Requests that are here: queued or open.
    here: u32,
    /// As many calls were in flight since the last pause, by the numbers of their places.
    seen: u32,
}

impl Served {
    pub(super) fn new(most: u32) -> Self {
        let place = || Place { id: 0, state: State::Free, request: Request::default(), body: Body::default() };
        Self { places: (0..most).map(|_| place()).collect(), queue: VecDeque::new(), cancellable: 0, here: 0, seen: 0 }
    }

    /// The place for a request that has arrived.
    #[inline]
    pub(super) fn expects(&mut self, id: u32) -> Result<&mut Body, Violation> {
        match self.places.get_mut((id & 0xFFFF) as usize) {
            Some(Place { state: State::Free, body, .. }) if id >> 16 != 0 => Ok(body),
            _ => Err(Violation::Correlation),
        }
    }

    /// A request whose body is in its place is open from here on, or until it is [queued](Self::queue).
    #[inline]
    pub(super) fn enter(&mut self, id: u32, request: Request) {
        self.cancellable = (self.cancellable + usize::from(!request.note)).min(2 * self.places.len());
        let place = &mut self.places[(id & 0xFFFF) as usize];
        (place.id, place.state, place.request) = (id, State::Open, request);
        (self.here, self.seen) = (self.here + 1, self.seen.max((id & 0xFFFF) + 1));
    }

    /// A request that has just been entered waits for its turn.
    pub(super) fn queue(&mut self, id: u32) {
        let number = (id & 0xFFFF) as u16;
        self.places[usize::from(number)].state = State::Queued;
        self.queue.push_back(number);
    }

    /// How many calls the peer has in flight, as far as is known, that are not here: their replies are on their way, or being
    /// looked at. Only calls that came since this was asked last are counted on.
    #[inline]
    pub(super) fn elsewhere(&mut self) -> u32 {
        std::mem::take(&mut self.seen).saturating_sub(self.here)
    }

    /// The peer no longer waits for `id`. One that was replied to meanwhile is no news.
    ///
    /// # Errors
    /// [`Violation::Correlation`] for more cancels than there were requests.
    pub(super) fn cancel(&mut self, id: u32) -> Result<(), Violation> {
        self.cancellable = self.cancellable.checked_sub(1).ok_or(Violation::Correlation)?;
        if let Some(place) = self.places.get_mut((id & 0xFFFF) as usize)
            && place.id == id
            && place.state != State::Free
        {
            place.request.cancelled = true;
        }
        Ok(())
    }

    #[inline]
    pub(super) fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Opens the request that has waited longest.
    pub(super) fn open(&mut self) -> Option<u32> {
        let number = self.queue.pop_front()?;
        let place = &mut self.places[usize::from(number)];
        place.state = State::Open;
        Some(place.id)
    }

    /// The same, but no note.
    pub(super) fn open_request(&mut self) -> Option<u32> {
        let at = self.queue.iter().position(|&number| !self.places[usize::from(number)].request.note)?;
        let number = self.queue.remove(at)?;
        let place = &mut self.places[usize::from(number)];
        place.state = State::Open;
        Some(place.id)
    }

    #[inline]
    fn place(&self, id: u32) -> Option<&Place> {
        let place = self.places.get((id & 0xFFFF) as usize)?;
        (place.id == id && place.state == State::Open).then_some(place)
    }

    #[inline]
    pub(super) fn is_open(&self, id: u32) -> bool {
        self.place(id).is_some()
    }

    /// What an open request says; `None` if there is no open request with this id.
    pub(super) fn request(&self, id: u32) -> Option<Request> {
        self.place(id).map(|place| place.request)
    }

    #[inline]
    pub(super) fn body(&self, id: u32) -> &Body {
        &self.place(id).expect("a request that is looked at is open").body
    }

    pub(super) fn body_mut(&mut self, id: u32) -> &mut Body {
        let place = &mut self.places[(id & 0xFFFF) as usize];
        debug_assert!(place.id == id && place.state == State::Open);
        &mut place.body
    }

    /// The reply to `id` has gone out.
    #[inline]
    pub(super) fn close(&mut self, id: u32) {
        let place = &mut self.places[(id & 0xFFFF) as usize];
        debug_assert!(place.id == id && place.state == State::Open);
        place.state = State::Free;
        place.body.clear();
        self.here -= 1;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const ID: u32 = 1 << 16;

    fn arrives(served: &mut Served, id: u32, request: Request) {
        served.enter(id, request);
        served.queue(id);
    }

    #[test]
    fn requests_are_opened_in_their_order_and_replied_to_once() {
        let mut served = Served::new(3);
        for id in [ID | 2, ID, ID | 1] {
            served.expects(id).expect("a place");
            arrives(&mut served, id, Request::default());
        }
        assert_eq!(
            [served.open(), served.open(), served.open(), served.open()],
            [Some(ID | 2), Some(ID), Some(ID | 1), None]
        );
        assert!(served.request(ID).is_some());
        served.close(ID);
        assert_eq!(served.request(ID), None);
        assert!(served.expects(2 * ID).is_ok(), "the place is free again");
    }

    #[test]
    fn more_than_agreed_and_ids_in_use_are_violations() {
        let mut served = Served::new(2);
        served.expects(ID).expect("a place");
        arrives(&mut served, ID, Request::default());
        for wrong in [ID, 2 * ID, ID | 2, u32::MAX, 0, 1] {
            assert_eq!(served.expects(wrong).err(), Some(Violation::Correlation), "{wrong:#x}");
        }
    }

    #[test]
    fn a_cancel_finds_a_request_in_the_queue_or_open_and_nothing_else() {
        let mut served = Served::new(2);
        served.expects(ID | 1).expect("a place");
        arrives(&mut served, ID | 1, Request::default());
        assert_eq!(served.cancel(u32::MAX), Ok(()));
        served.expects(ID).expect("a place");
        arrives(&mut served, ID, Request::default());
        assert_eq!(served.cancel(2 * ID), Ok(()));
        served.cancellable = 1;
        assert_eq!(served.cancel(ID), Ok(()));
        assert_eq!([served.open(), served.open()], [Some(ID | 1), Some(ID)]);
        assert!(served.request(ID).is_some_and(|request| request.cancelled));
        assert!(served.request(ID | 1).is_some_and(|request| !request.cancelled));
    }

    #[test]
    fn more_cancels_than_requests_are_a_violation_and_notes_cannot_be_cancelled() {
        let mut served = Served::new(2);
        assert_eq!(served.cancel(ID), Err(Violation::Correlation));
        arrives(&mut served, ID, Request { note: true, ..Request::default() });
        assert_eq!(served.cancel(ID), Err(Violation::Correlation));
        arrives(&mut served, ID | 1, Request::default());
        assert_eq!(served.cancel(7 * ID), Ok(()));
        assert_eq!(served.cancel(7 * ID), Err(Violation::Correlation));
        for turn in 2..100 {
            arrives(&mut served, turn * ID, Request::default());
        }
        assert_eq!([(); 5].map(|()| served.cancel(ID)).iter().filter(|answer| answer.is_ok()).count(), 4);
    }

    #[test]
    fn requests_can_be_opened_past_notes_that_stay_where_they_are() {
        let mut served = Served::new(3);
        for (id, note) in [(ID, true), (ID | 1, false), (ID | 2, true)] {
            arrives(&mut served, id, Request { note, ..Request::default() });
        }
        assert_eq!([served.open_request(), served.open_request()], [Some(ID | 1), None]);
        assert_eq!([served.open(), served.open(), served.open()], [Some(ID), Some(ID | 2), None]);
    }
}
