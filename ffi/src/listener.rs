//! Listeners: a name, and the sessions that come to it.

use crate::boundary::boundary;
use crate::bus::{Bus, slipring_bus_t};
use crate::config::{self, slipring_config_t};
use crate::given::{out, put_text, text};
use crate::handle::{create, enter, object};
use crate::home::Home;
use crate::patience::by_patience;
use crate::rpc::{Rpc, slipring_rpc_t};
use crate::status::slipring_status_t;
use std::ffi::c_char;
use std::os::fd::{AsFd, AsRawFd};

/// A name at which any number of peers can connect.
pub struct slipring_listener_t {
    _opaque: [u8; 0],
}

/// What a handle of a listener leads to.
pub(crate) struct Listener {
    pub(crate) home: Home<transport::Listener>,
}

object!(Listener, slipring_listener_t, b"slr lstn", "listener");

/// Takes `address`. It works only inside its accepting calls; clients that send garbage or nothing cost the others nothing. The
/// listener is the caller's, to be freed by slipring_listener_free.
///
/// As for slipring_bus_listen.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_listener_bind(
    address: *const c_char,
    config: *const slipring_config_t,
    listener: *mut *mut slipring_listener_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let listener = unsafe { out(listener) }?;
        // SAFETY: as the caller promises.
        let address = unsafe { text(address, "address is null") }?;
        // SAFETY: as the caller promises.
        let options = unsafe { config::options(config) }?;
        let bound = transport::Listener::bind(address, &options)?;
        listener.set(create(Listener { home: Home::Here(Box::new(bound)) }));
        Ok(())
    })
}

/// The next session, waiting for it until the timeout: its receiving end, which is the caller's.
///
/// SLIPRING_EMPTY, SLIPRING_TIMEOUT, SLIPRING_INTERRUPTED, SLIPRING_OUT_OF_MEMORY. What single clients do wrong is told to them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_listener_accept_bus(
    listener: *mut slipring_listener_t,
    timeout_ns: i64,
    bus: *mut *mut slipring_bus_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let bus = unsafe { out(bus) }?;
        // SAFETY: as the caller promises.
        let mut listener = unsafe { enter::<Listener>(listener) }?;
        let mut end = listener.home.reach()?;
        let accepted = by_patience!(timeout_ns, end.try_accept_bus()?, |deadline| end.accept_bus_until(deadline)?);
        bus.set(Bus::open(accepted));
        Ok(())
    })
}

/// The next session for calls, as slipring_listener_accept_bus. A client that asks for the other kind is refused.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_listener_accept_rpc(
    listener: *mut slipring_listener_t,
    timeout_ns: i64,
    rpc: *mut *mut slipring_rpc_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let rpc = unsafe { out(rpc) }?;
        // SAFETY: as the caller promises.
        let mut listener = unsafe { enter::<Listener>(listener) }?;
        let mut end = listener.home.reach()?;
        let accepted = by_patience!(timeout_ns, end.try_accept_rpc()?, |deadline| end.accept_rpc_until(deadline)?);
        rpc.set(Rpc::open(accepted));
        Ok(())
    })
}

/// The address, as clients can be given it: as much as fits into `address`, ended by a NUL; `len` is the length of the whole.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_listener_address(
    listener: *mut slipring_listener_t,
    address: *mut c_char,
    capacity: usize,
    len: *mut usize,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let len = unsafe { out(len) }?;
        // SAFETY: as the caller promises.
        let mut listener = unsafe { enter::<Listener>(listener) }?;
        let told = listener.home.reach()?.address();
        // SAFETY: as the caller promises.
        len.set(unsafe { put_text(&told, address, capacity) });
        Ok(())
    })
}

/// How many clients were turned down, or gave up in mid-handshake, so far.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_listener_refused(
    listener: *mut slipring_listener_t,
    count: *mut u64,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let count = unsafe { out(count) }?;
        // SAFETY: as the caller promises.
        count.set(unsafe { enter::<Listener>(listener) }?.home.reach()?.refused());
        Ok(())
    })
}

/// A descriptor for an event loop: readable when accepting with a timeout of 0 has something to do. It remains the library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_listener_fd(listener: *mut slipring_listener_t, fd: *mut i32) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let fd = unsafe { out(fd) }?;
        // SAFETY: as the caller promises.
        fd.set(unsafe { enter::<Listener>(listener) }?.home.reach()?.as_fd().as_raw_fd());
        Ok(())
    })
}

/// Gives the name back and frees the handle. The sessions that came to it live on. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_listener_free(listener: *mut slipring_listener_t) -> slipring_status_t {
    boundary(|| {
        if listener.is_null() {
            return Ok(());
        }
        // SAFETY: as the caller promises.
        let listener = unsafe { enter::<Listener>(listener) }?;
        listener.home.check_free()?;
        drop(listener.free());
        Ok(())
    })
}
