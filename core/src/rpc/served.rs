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
}

impl Served {
    pub(super) fn new(most: u32) -> Self {
        let place = || Place { id: 0, state: State::Free, request: Request::default(), body: Body::default() };
        Self { places: (0..most).map(|_| place()).collect(), queue: VecDeque::new() }
    }

    /// The place for a request that has arrived.
    pub(super) fn expects(&mut self, id: u32) -> Result<&mut Body, Violation> {
        match self.places.get_mut((id & 0xFFFF) as usize) {
            Some(Place { state: State::Free, body, .. }) if id >> 16 != 0 => Ok(body),
            _ => Err(Violation::Correlation),
        }
    }

    /// A request that is answered without having been served.
    pub(super) fn open_at_once(&mut self, id: u32, request: Request) {
        let place = &mut self.places[(id & 0xFFFF) as usize];
        (place.id, place.state, place.request) = (id, State::Open, request);
    }

    /// Queues a request whose body is in its place.
    pub(super) fn queue(&mut self, id: u32, request: Request) {
        let number = (id & 0xFFFF) as u16;
        let place = &mut self.places[usize::from(number)];
        (place.id, place.state, place.request) = (id, State::Queued, request);
        self.queue.push_back(number);
    }

    /// The peer no longer waits for `id`. One that was replied to meanwhile is no news.
    pub(super) fn cancel(&mut self, id: u32) {
        if let Some(place) = self.places.get_mut((id & 0xFFFF) as usize)
            && place.id == id
            && place.state != State::Free
        {
            place.request.cancelled = true;
        }
    }

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

    fn place(&self, id: u32) -> Option<&Place> {
        let place = self.places.get((id & 0xFFFF) as usize)?;
        (place.id == id && place.state == State::Open).then_some(place)
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
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const ID: u32 = 1 << 16;

    #[test]
    fn requests_are_opened_in_their_order_and_replied_to_once() {
        let mut served = Served::new(3);
        for id in [ID | 2, ID, ID | 1] {
            served.expects(id).expect("a place");
            served.queue(id, Request::default());
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
        served.queue(ID, Request::default());
        for wrong in [ID, 2 * ID, ID | 2, u32::MAX, 0, 1] {
            assert_eq!(served.expects(wrong).err(), Some(Violation::Correlation), "{wrong:#x}");
        }
    }

    #[test]
    fn a_cancel_finds_a_request_in_the_queue_or_open_and_nothing_else() {
        let mut served = Served::new(2);
        served.cancel(ID);
        served.cancel(u32::MAX);
        served.expects(ID).expect("a place");
        served.queue(ID, Request::default());
        served.cancel(ID);
        served.cancel(2 * ID);
        assert_eq!(served.open(), Some(ID));
        assert!(served.request(ID).is_some_and(|request| request.cancelled));
    }
}
