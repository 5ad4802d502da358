//! Servers: one process that serves any number of clients, by callbacks.

use crate::boundary::{Failure, boundary, invalid};
use crate::bus_recv::slipring_frame_t;
use crate::config::{self, slipring_config_t};
use crate::given::{out, put_text, text};
use crate::handle::{create, enter, object, slot};
use crate::patience::deadline;
use crate::rpc_handler::{Callback, slipring_on_request_t};
use crate::status::slipring_status_t;
use std::ffi::{c_char, c_void};
use transport::{Cause, Frame, Key, Server as Inner};

/// Serves any number of clients at one name.
pub struct slipring_server_t {
    _opaque: [u8; 0],
}

/// Stops a server from any thread. It may be used by any number of threads at once, but for its freeing.
pub struct slipring_stopper_t {
    _opaque: [u8; 0],
}

/// Is given a message of session `session`. It must return: no exception, no longjmp.
pub type slipring_on_session_frame_t =
    Option<unsafe extern "C" fn(user: *mut c_void, session: u64, frame: *const slipring_frame_t)>;

/// Is told that session `session` ended, and why: SLIPRING_CLOSED, SLIPRING_PEER_DIED or SLIPRING_CORRUPT. Numbers of sessions are not
/// used again. It must return.
pub type slipring_on_end_t = Option<unsafe extern "C" fn(user: *mut c_void, session: u64, why: slipring_status_t)>;

/// What a handle of a server leads to. None is what a panic in the middle of a change leaves.
pub(crate) struct Server {
    inner: Option<Box<Inner>>,
}

/// What a handle of a stopper leads to.
struct Stopper {
    inner: transport::Stopper,
}

object!(Server, slipring_server_t, b"slr serv", "server");
object!(Stopper, slipring_stopper_t, b"slr stop", "stopper");

const BROKEN: Failure = invalid("the server is broken: a call to it failed by a fault of the library's");

impl Server {
    pub(crate) fn inner(&mut self) -> Result<&mut Inner, Failure> {
        self.inner.as_deref_mut().ok_or(BROKEN)
    }

    fn change(&mut self, change: impl FnOnce(Inner) -> Inner) -> Result<(), Failure> {
        let inner = self.inner.take().ok_or(BROKEN)?;
        self.inner = Some(Box::new(change(*inner)));
        Ok(())
    }
}

/// Takes `address`. Clients can connect from here on; they are accepted when the server runs. Where the config names no capacity, rings
/// have 64 KiB. The server is the caller's, to be freed by slipring_server_free.
///
/// As for slipring_listener_bind.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_server_bind(
    address: *const c_char,
    config: *const slipring_config_t,
    server: *mut *mut slipring_server_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let server = unsafe { out(server) }?;
        // SAFETY: as the caller promises.
        let address = unsafe { text(address, "address is null") }?;
        // SAFETY: as the caller promises.
        let inner = Inner::bind(address, &unsafe { config::options(config) }?)?;
        server.set(create(Server { inner: Some(Box::new(inner)) }));
        Ok(())
    })
}

/// Serves calls by `on_request`. With workers it is called in several threads at once, for different sessions: `user` must be fit for
/// that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_server_on_request(
    server: *mut slipring_server_t,
    on_request: slipring_on_request_t,
    user: *mut c_void,
) -> slipring_status_t {
    boundary(|| {
        let function = on_request.ok_or(invalid("on_request is null"))?;
        let callback = Callback { function, user };
        // SAFETY: as the caller promises.
        let mut server = unsafe { enter::<Server>(server) }?;
        server.change(|inner| inner.on_request(move |key, request| callback.serve(key.number(), request)))
    })
}

/// Receives messages by `on_frame`, instead of serving calls. Threads as for slipring_server_on_request.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_server_on_frame(
    server: *mut slipring_server_t,
    on_frame: slipring_on_session_frame_t,
    user: *mut c_void,
) -> slipring_status_t {
    boundary(|| {
        let function = on_frame.ok_or(invalid("on_frame is null"))?;
        let callback = Callback { function, user };
        let handler = move |key: Key, frame: Frame<'_>| {
            // All of it goes into the handler, and not only the pointer that is not Send.
            let Callback { function, user } = { callback };
            // SAFETY: a function of the caller's, with what it was promised to get.
            unsafe { function(user, key.number(), &slipring_frame_t::new(&frame)) };
        };
        // SAFETY: as the caller promises.
        let mut server = unsafe { enter::<Server>(server) }?;
        server.change(|inner| inner.on_frame(handler))
    })
}

/// Tells `on_end` of every session that ended, after everything that the client had sent was served.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_server_on_end(
    server: *mut slipring_server_t,
    on_end: slipring_on_end_t,
    user: *mut c_void,
) -> slipring_status_t {
    boundary(|| {
        let function = on_end.ok_or(invalid("on_end is null"))?;
        let callback = Callback { function, user };
        let handler = move |key: Key, cause: Cause| {
            // As in slipring_server_on_frame.
            let Callback { function, user } = { callback };
            // SAFETY: a function of the caller's, with what it was promised to get.
            unsafe { function(user, key.number(), slipring_status_t::of(cause)) };
        };
        // SAFETY: as the caller promises.
        let mut server = unsafe { enter::<Server>(server) }?;
        server.change(|inner| inner.on_end(handler))
    })
}

/// Serves in `threads` threads of their own while the server runs; with 0, the default, in the thread that runs it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_server_workers(server: *mut slipring_server_t, threads: usize) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let mut server = unsafe { enter::<Server>(server) }?;
        server.change(|inner| inner.workers(threads))
    })
}

/// Serves until a stopper stops it (SLIPRING_OK) or the timeout has passed (SLIPRING_TIMEOUT). The sessions stay open, and a later run
/// goes on with them.
///
/// SLIPRING_TIMEOUT, SLIPRING_INTERRUPTED, SLIPRING_OUT_OF_MEMORY, SLIPRING_FORKED; SLIPRING_INVALID_ARGUMENT if there is no handler. What
/// happens to single clients is no error here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_server_run(server: *mut slipring_server_t, timeout_ns: i64) -> slipring_status_t {
    boundary(|| {
        let deadline = deadline(timeout_ns)?;
        // SAFETY: as the caller promises.
        Ok(unsafe { enter::<Server>(server) }?.inner()?.run_until(deadline)?)
    })
}

/// How many clients have a session now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_server_sessions(
    server: *mut slipring_server_t,
    count: *mut usize,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let count = unsafe { out(count) }?;
        // SAFETY: as the caller promises.
        count.set(unsafe { enter::<Server>(server) }?.inner()?.sessions());
        Ok(())
    })
}

/// The address, as slipring_listener_address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_server_address(
    server: *mut slipring_server_t,
    address: *mut c_char,
    capacity: usize,
    len: *mut usize,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let len = unsafe { out(len) }?;
        // SAFETY: as the caller promises.
        let told = unsafe { enter::<Server>(server) }?.inner()?.address();
        // SAFETY: as the caller promises.
        len.set(unsafe { put_text(&told, address, capacity) });
        Ok(())
    })
}

/// What stops this server from other threads; the caller's, to be freed by slipring_stopper_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_server_stopper(
    server: *mut slipring_server_t,
    stopper: *mut *mut slipring_stopper_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let stopper = unsafe { out(stopper) }?;
        // SAFETY: as the caller promises.
        let inner = unsafe { enter::<Server>(server) }?.inner()?.stopper();
        stopper.set(create(Stopper { inner }));
        Ok(())
    })
}

/// Ends the server's run, or the next one if there is none. From any thread, and from callbacks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_stopper_stop(stopper: *const slipring_stopper_t) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        unsafe { slot::<Stopper>(stopper) }?.peek().inner.stop();
        Ok(())
    })
}

/// Frees a stopper. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_stopper_free(stopper: *mut slipring_stopper_t) -> slipring_status_t {
    boundary(|| {
        if !stopper.is_null() {
            // SAFETY: as the caller promises.
            drop(unsafe { enter::<Stopper>(stopper) }?.free());
        }
        Ok(())
    })
}

/// Closes all sessions and frees the server. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_server_free(server: *mut slipring_server_t) -> slipring_status_t {
    boundary(|| {
        if !server.is_null() {
            // SAFETY: as the caller promises.
            drop(unsafe { enter::<Server>(server) }?.free());
        }
        Ok(())
    })
}
