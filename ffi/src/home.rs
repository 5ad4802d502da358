//! Where the end behind a handle is: with the handle, lent to it for the time of a callback, or in a poller.
//!
//! A handle stays good wherever its end goes, so that a C program has one set of functions for all. A poller must know when an end
//! of its is touched, because the next wait has to look at it: that is why the way there leads through the poller.

use crate::boundary::{Failure, boundary};
use crate::given::out;
use crate::handle::{Entered, Object, Slot, enter};
use crate::poller::Poller;
use crate::status::slipring_status_t;
use std::ops::{Deref, DerefMut};
use transport::{Bus, Key, Listener, RpcBus, Source};

/// An end that can be in a poller.
pub(crate) trait End: Sized {
    fn in_poller(poller: &mut transport::Poller, key: Key) -> Option<&mut Self>;
    fn into_source(end: Box<Self>) -> Source;
    fn from_source(source: Source) -> Option<Box<Self>>;
}

/// Says of an end how a poller has it.
macro_rules! end {
    ($type:ty, $variant:ident, $get:ident) => {
        impl End for $type {
            fn in_poller(poller: &mut transport::Poller, key: Key) -> Option<&mut Self> {
                poller.$get(key)
            }

            fn into_source(end: Box<Self>) -> Source {
                Source::$variant(end)
            }

            fn from_source(source: Source) -> Option<Box<Self>> {
                match source {
                    Source::$variant(end) => Some(end),
                    _ => None,
                }
            }
        }
    };
}

end!(Bus, Bus, bus);
end!(RpcBus, Rpc, rpc);
end!(Listener, Listener, listener);

/// What a handle leads to that has an end.
pub(crate) trait HasEnd: Object {
    type End: End;
    fn home(&mut self) -> &mut Home<Self::End>;
}

/// Says of a type where its end is.
macro_rules! has_end {
    ($type:ty, $end:ty) => {
        impl HasEnd for $type {
            type End = $end;

            #[inline]
            fn home(&mut self) -> &mut Home<$end> {
                &mut self.home
            }
        }
    };
}

has_end!(crate::bus::Bus, Bus);
has_end!(crate::rpc::Rpc, RpcBus);
has_end!(crate::listener::Listener, Listener);

/// Puts what the end behind a handle answers where the caller wants it: what most functions are that ask an end for something.
///
/// # Safety
/// - As for [`enter`] and [`out`].
#[inline]
pub(crate) unsafe fn answer<T: HasEnd, A>(
    handle: *mut T::Opaque,
    place: *mut A,
    ask: impl FnOnce(&mut T::End) -> Result<A, Failure>,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: what our caller promises.
        let place = unsafe { out(place) }?;
        // SAFETY: what our caller promises.
        let mut object = unsafe { enter::<T>(handle) }?;
        place.set(ask(&mut *object.home().reach()?)?);
        Ok(())
    })
}

/// A place in a poller.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) poller: &'static Slot<Poller>,
    /// Of the poller: the handle could be freed, and its memory be another's.
    pub(crate) life: u64,
    pub(crate) key: Key,
}

/// Where an end is.
pub(crate) enum Home<T> {
    Here(Box<T>),
    /// For the time of a callback. Whoever lends it ends the handle before the end goes away.
    Lent(*mut T),
    Poller(Place),
    Closed,
}

/// An end that has been reached, and, if it is in a poller, nobody else reaches another of that poller's.
pub(crate) struct Reached<'a, T> {
    end: &'a mut T,
    _poller: Option<Entered<Poller>>,
}

const CLOSED: Failure = Failure::Here(slipring_status_t::SLIPRING_USE_AFTER_CLOSE, "this end was closed here");
const LENT: Failure = crate::boundary::invalid("a handle that a callback was lent cannot be closed, freed or moved");
const IN_POLLER: Failure = crate::boundary::invalid("it is in a poller: remove it there first");
const POLLER_GONE: Failure =
    Failure::Here(slipring_status_t::SLIPRING_USE_AFTER_CLOSE, "this end was closed with the poller that it was in");

impl<T: End> Home<T> {
    #[inline]
    pub(crate) fn reach(&mut self) -> Result<Reached<'_, T>, Failure> {
        match self {
            Self::Here(end) => Ok(Reached { end, _poller: None }),
            Self::Lent(end) => {
                let end = *end;
                // SAFETY: whoever lends an end has it for himself until the callback has returned, and then ends this handle; and
                // who reaches it came in by the handle alone.
                Ok(Reached { end: unsafe { &mut *end }, _poller: None })
            }
            Self::Poller(place) => reach_in_poller(*place),
            Self::Closed => Err(CLOSED),
        }
    }

    /// Takes the end out for good, leaving the handle closed.
    pub(crate) fn take(&mut self) -> Result<Box<T>, Failure> {
        match std::mem::replace(self, Self::Closed) {
            Self::Here(end) => Ok(end),
            Self::Closed => Err(CLOSED),
            Self::Lent(end) => {
                *self = Self::Lent(end);
                Err(LENT)
            }
            Self::Poller(place) => {
                *self = Self::Poller(place);
                Err(IN_POLLER)
            }
        }
    }

    /// Whether the handle may be freed, and with it the end, if it is here.
    pub(crate) fn check_free(&self) -> Result<(), Failure> {
        match self {
            Self::Lent(_) => Err(LENT),
            Self::Poller(place) if place.poller.is_alive() && place.poller.life() == place.life => Err(IN_POLLER),
            _ => Ok(()),
        }
    }
}

#[inline(never)]
fn reach_in_poller<'a, T: End>(place: Place) -> Result<Reached<'a, T>, Failure> {
    if !place.poller.is_alive() || place.poller.life() != place.life {
        return Err(POLLER_GONE);
    }
    let mut poller = place.poller.enter()?;
    let end: *mut T = T::in_poller(&mut poller.inner, place.key).ok_or(POLLER_GONE)?;
    // SAFETY: the end lies in a box of the poller's, and nobody else reaches the poller while it is entered, which is as long as
    // this reference lives.
    Ok(Reached { end: unsafe { &mut *end }, _poller: Some(poller) })
}

impl<T> Deref for Reached<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.end
    }
}

impl<T> DerefMut for Reached<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.end
    }
}
