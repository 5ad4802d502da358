//! Handlers: callbacks that serve the calls that arrive while an end waits.
//!
//! The end is inside the call out of which the handler is called, so the handler gets a handle of its own to it, and to the request,
//! for as long as it runs. Both end with it, but for what it keeps.

use crate::boundary::{boundary, invalid};
use crate::given::out;
use crate::handle::{Slot, enter};
use crate::home::Home;
use crate::lease::{Source, View, end_lent, slipring_lease_t};
use crate::patience::deadline;
use crate::rpc::{Rpc, slipring_rpc_t};
use crate::status::slipring_status_t;
use std::ffi::c_void;
use transport::{Request, RpcBus};

/// Serves a request. `rpc` and `request` are lent to it until it returns: `rpc` is for replying, and for calling out, by which it may
/// be called again, up to 8 deep. It replies by slipring_rpc_reply and the like; if it does not, the caller gets SLIPRING_REMOTE. It may
/// make the request its own by slipring_lease_keep, and then releases it itself. `session` says which client of a server it is;
/// 0 if there is no server. It must return: no exception, no longjmp.
pub type slipring_on_request_t = Option<
    unsafe extern "C" fn(user: *mut c_void, session: u64, rpc: *mut slipring_rpc_t, request: *mut slipring_lease_t),
>;

/// A function of C's with what it wants to be given.
#[derive(Clone, Copy)]
pub(crate) struct Callback<F> {
    pub(crate) function: F,
    pub(crate) user: *mut c_void,
}

// SAFETY: a function is the same in every thread, and what `user` leads to is the caller's, who was told in which threads it is used.
unsafe impl<F: Copy> Send for Callback<F> {}
// SAFETY: as above.
unsafe impl<F: Copy> Sync for Callback<F> {}

pub(crate) type OnRequest =
    unsafe extern "C" fn(user: *mut c_void, session: u64, rpc: *mut slipring_rpc_t, request: *mut slipring_lease_t);

impl Callback<OnRequest> {
    /// Has C serve a request.
    pub(crate) fn serve(self, session: u64, request: Request<'_>) {
        let lent = Slot::<Rpc>::blank();
        let handle = lent.begin(Rpc::new(Home::Closed));
        let view = View::new(&request, request.type_id(), request.id().into());
        let note = request.is_note();
        request.set_aside_for(|bus, ticket| {
            let source = Source::Request { rpc: lent, life: lent.life(), ticket, note };
            let (lease, life) = {
                let Ok(mut rpc) = lent.enter() else { return };
                rpc.home = Home::Lent(std::ptr::from_mut::<RpcBus>(bus));
                rpc.lend_slot(source, view)
            };
            // SAFETY: a function of the caller's, with what it was promised to get.
            unsafe { (self.function)(self.user, session, handle, lease.handle()) };
            end_lent(lease, life);
            if let Ok(rpc) = lent.enter() {
                drop(rpc.free());
            }
        });
    }
}

/// From now on `on_request` serves the calls that arrive while this end waits for anything: for a reply, for room, or in
/// slipring_rpc_run. It runs in the thread that waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_on_request(
    rpc: *mut slipring_rpc_t,
    on_request: slipring_on_request_t,
    user: *mut c_void,
) -> slipring_status_t {
    boundary(|| {
        let function = on_request.ok_or(invalid("on_request is null"))?;
        let callback = Callback { function, user };
        // SAFETY: as the caller promises.
        let mut rpc = unsafe { enter::<Rpc>(rpc) }?;
        rpc.home.reach()?.on_request(move |request| callback.serve(0, request));
        Ok(())
    })
}

/// Serves by the handler until the timeout has passed (SLIPRING_TIMEOUT) or the session ends.
///
/// SLIPRING_TIMEOUT, SLIPRING_INTERRUPTED; what ends the session; SLIPRING_INVALID_ARGUMENT if there is no handler.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_run(rpc: *mut slipring_rpc_t, timeout_ns: i64) -> slipring_status_t {
    boundary(|| {
        let deadline = deadline(timeout_ns)?;
        // SAFETY: as the caller promises.
        unsafe { enter::<Rpc>(rpc) }?.home.reach()?.run_until(deadline)?;
        Ok(())
    })
}

/// Serves at most `limit` requests by the handler, without waiting for them, and says how many.
///
/// SLIPRING_EMPTY if none was there; what ends the session; SLIPRING_INVALID_ARGUMENT if there is no handler.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_run_some(
    rpc: *mut slipring_rpc_t,
    limit: usize,
    count: *mut usize,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let count = unsafe { out(count) }?;
        // SAFETY: as the caller promises.
        count.set(unsafe { enter::<Rpc>(rpc) }?.home.reach()?.try_run(limit)?);
        Ok(())
    })
}
