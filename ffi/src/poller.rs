//! Pollers: one thread waits for many sessions and listeners.
//!
//! A poller of the transport's owns what it waits for. Here the handles stay good: they lead to their ends through the poller
//! (`home`). By which token the caller knows an end, stands here.

use crate::boundary::{Failure, boundary, invalid};
use crate::bus::{Bus, slipring_bus_t};
use crate::config::{self, slipring_config_t};
use crate::given::out;
use crate::handle::{Entered, create, enter, object, slot};
use crate::home::{End, Home, Place};
use crate::listener::{Listener, slipring_listener_t};
use crate::patience::by_patience;
use crate::rpc::{Rpc, slipring_rpc_t};
use crate::status::slipring_status_t;
use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd};
use transport::Key;

/// Waits for any number of sessions and listeners at once.
pub struct slipring_poller_t {
    _opaque: [u8; 0],
}

/// Wakes a poller from any thread. It may be used by any number of threads at once, but for its freeing.
pub struct slipring_notifier_t {
    _opaque: [u8; 0],
}

/// What a handle of a poller leads to.
pub(crate) struct Poller {
    pub(crate) inner: transport::Poller,
    tokens: HashMap<Key, u64>,
    /// What was ready, and not yet told: the caller had no room.
    ready: Vec<Key>,
}

/// What a handle of a notifier leads to.
struct Notifier {
    inner: transport::Notifier,
}

object!(Poller, slipring_poller_t, b"slr poll", "poller");
object!(Notifier, slipring_notifier_t, b"slr ntfy", "notifier");

const ELSEWHERE: Failure = invalid("it is not in this poller");

impl Poller {
    /// Moves an end from its handle into the poller.
    fn add<T: End>(poller: &mut Entered<Self>, home: &mut Home<T>, token: u64) -> Result<(), Failure> {
        let end = home.take()?;
        let (slot, life) = (poller.slot(), poller.slot().life());
        match poller.inner.add(T::into_source(end)) {
            Ok(key) => {
                poller.tokens.insert(key, token);
                *home = Home::Poller(Place { poller: slot, life, key });
                Ok(())
            }
            Err(error) => {
                if let Some(end) = T::from_source(error.source) {
                    *home = Home::Here(end);
                }
                Err(error.cause.into())
            }
        }
    }

    /// Moves an end from the poller back to its handle.
    fn remove<T: End>(poller: &mut Entered<Self>, home: &mut Home<T>) -> Result<(), Failure> {
        let Home::Poller(place) = home else { return Err(ELSEWHERE) };
        if !std::ptr::eq(place.poller, poller.slot()) || place.life != poller.slot().life() {
            return Err(ELSEWHERE);
        }
        let key = place.key;
        let end = poller.inner.remove(key).and_then(T::from_source).ok_or(ELSEWHERE)?;
        poller.tokens.remove(&key);
        poller.ready.retain(|&ready| ready != key);
        *home = Home::Here(end);
        Ok(())
    }
}

/// A poller that waits for nothing yet. Of the config only the wait strategy counts. It is the caller's, to be freed by
/// slipring_poller_free. It belongs to one thread at a time, with all that is in it.
///
/// SLIPRING_CONFIG, SLIPRING_OUT_OF_MEMORY, SLIPRING_SYSTEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_poller_new(
    config: *const slipring_config_t,
    poller: *mut *mut slipring_poller_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let poller = unsafe { out(poller) }?;
        // SAFETY: as the caller promises.
        let inner = transport::Poller::new(&unsafe { config::options(config) }?)?;
        poller.set(create(Poller { inner, tokens: HashMap::new(), ready: Vec::new() }));
        Ok(())
    })
}

/// Takes a bus in. Its handle stays good, and every function of it works as before, but for closing and freeing: it is removed
/// first. `token` is what slipring_poller_wait says when the bus has something to do: a frame, or its end; or, after SLIPRING_FULL on a
/// sending end, that it may be worth trying again.
///
/// SLIPRING_OUT_OF_MEMORY, SLIPRING_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_poller_add_bus(
    poller: *mut slipring_poller_t,
    bus: *mut slipring_bus_t,
    token: u64,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let mut poller = unsafe { enter::<Poller>(poller) }?;
        // SAFETY: as the caller promises.
        let mut bus = unsafe { enter::<Bus>(bus) }?;
        Poller::add(&mut poller, &mut bus.home, token)
    })
}

/// Takes an RpcBus in, as slipring_poller_add_bus: it has something to do when a request or a reply is there, or its end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_poller_add_rpc(
    poller: *mut slipring_poller_t,
    rpc: *mut slipring_rpc_t,
    token: u64,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let mut poller = unsafe { enter::<Poller>(poller) }?;
        // SAFETY: as the caller promises.
        let mut rpc = unsafe { enter::<Rpc>(rpc) }?;
        Poller::add(&mut poller, &mut rpc.home, token)
    })
}

/// Takes a listener in, as slipring_poller_add_bus: it has something to do when a client may have come, or has to be given up.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_poller_add_listener(
    poller: *mut slipring_poller_t,
    listener: *mut slipring_listener_t,
    token: u64,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let mut poller = unsafe { enter::<Poller>(poller) }?;
        // SAFETY: as the caller promises.
        let mut listener = unsafe { enter::<Listener>(listener) }?;
        Poller::add(&mut poller, &mut listener.home, token)
    })
}

/// Lets a bus go, open as it is.
///
/// SLIPRING_INVALID_ARGUMENT if it is not in this poller.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_poller_remove_bus(
    poller: *mut slipring_poller_t,
    bus: *mut slipring_bus_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let mut poller = unsafe { enter::<Poller>(poller) }?;
        // SAFETY: as the caller promises.
        let mut bus = unsafe { enter::<Bus>(bus) }?;
        Poller::remove(&mut poller, &mut bus.home)
    })
}

/// Lets an RpcBus go, as slipring_poller_remove_bus.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_poller_remove_rpc(
    poller: *mut slipring_poller_t,
    rpc: *mut slipring_rpc_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let mut poller = unsafe { enter::<Poller>(poller) }?;
        // SAFETY: as the caller promises.
        let mut rpc = unsafe { enter::<Rpc>(rpc) }?;
        Poller::remove(&mut poller, &mut rpc.home)
    })
}

/// Lets a listener go, as slipring_poller_remove_bus.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_poller_remove_listener(
    poller: *mut slipring_poller_t,
    listener: *mut slipring_listener_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let mut poller = unsafe { enter::<Poller>(poller) }?;
        // SAFETY: as the caller promises.
        let mut listener = unsafe { enter::<Listener>(listener) }?;
        Poller::remove(&mut poller, &mut listener.home)
    })
}

/// Waits until something is ready, and writes the tokens of what is to `tokens`, at most `capacity`; `count` is how many. More are
/// told by the next call. Use the functions of what is ready with a timeout of 0; what is left there is told again. A session that
/// is over is told until it is removed. Now and then something is told for nothing. `count` is 0 if a notifier ended the wait.
///
/// SLIPRING_EMPTY, SLIPRING_TIMEOUT, SLIPRING_INTERRUPTED, SLIPRING_FORKED, SLIPRING_SYSTEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_poller_wait(
    poller: *mut slipring_poller_t,
    timeout_ns: i64,
    tokens: *mut u64,
    capacity: usize,
    count: *mut usize,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let count = unsafe { out(count) }?;
        if capacity == 0 || tokens.is_null() || !tokens.is_aligned() {
            return Err(invalid("tokens is null or not aligned, or capacity is 0"));
        }
        // SAFETY: as the caller promises.
        let mut poller = unsafe { enter::<Poller>(poller) }?;
        let Poller { inner, tokens: known, ready } = &mut *poller;
        if ready.is_empty() {
            by_patience!(timeout_ns, inner.try_wait(ready)?, |deadline| inner.wait_until(ready, deadline)?);
        }
        let told = ready.len().min(capacity);
        for (at, key) in ready.drain(..told).enumerate() {
            let place = tokens.wrapping_add(at);
            // SAFETY: the caller has room for `capacity`, and `at` is less.
            unsafe { place.write(known.get(&key).copied().unwrap_or_default()) };
        }
        count.set(told);
        Ok(())
    })
}

/// One descriptor for an event loop, in the place of those of all sessions. Call slipring_poller_wait with a timeout of 0 right after
/// adding it, and whenever it is readable, until it answers SLIPRING_EMPTY: that arms it. It remains the library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_poller_fd(poller: *mut slipring_poller_t, fd: *mut i32) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let fd = unsafe { out(fd) }?;
        // SAFETY: as the caller promises.
        fd.set(unsafe { enter::<Poller>(poller) }?.inner.as_fd().as_raw_fd());
        Ok(())
    })
}

/// What wakes this poller from other threads, for as long as it lives; the caller's, to be freed by slipring_notifier_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_poller_notifier(
    poller: *mut slipring_poller_t,
    notifier: *mut *mut slipring_notifier_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let notifier = unsafe { out(notifier) }?;
        // SAFETY: as the caller promises.
        let inner = unsafe { enter::<Poller>(poller) }?.inner.notifier();
        notifier.set(create(Notifier { inner }));
        Ok(())
    })
}

/// Ends the poller's wait, or the next one if there is none. From any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_notifier_notify(notifier: *const slipring_notifier_t) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        unsafe { slot::<Notifier>(notifier) }?.peek().inner.notify();
        Ok(())
    })
}

/// Frees a notifier. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_notifier_free(notifier: *mut slipring_notifier_t) -> slipring_status_t {
    boundary(|| {
        if !notifier.is_null() {
            // SAFETY: as the caller promises.
            drop(unsafe { enter::<Notifier>(notifier) }?.free());
        }
        Ok(())
    })
}

/// Frees the poller, and closes what is still in it: those handles can then only be freed. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_poller_free(poller: *mut slipring_poller_t) -> slipring_status_t {
    boundary(|| {
        if !poller.is_null() {
            // SAFETY: as the caller promises.
            drop(unsafe { enter::<Poller>(poller) }?.free());
        }
        Ok(())
    })
}
