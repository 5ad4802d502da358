//! An RpcBus as C holds it: opening and closing, and which leases lead into it.

use crate::boundary::boundary;
use crate::bus::linger;
use crate::config::{self, slipring_config_t};
use crate::given::{out, text};
use crate::handle::{Slot, create, enter, give_back, object};
use crate::home::Home;
use crate::lease::{Lease, Source, View, slipring_lease_t};
use crate::patience::deadline;
use crate::status::slipring_status_t;
use std::ffi::c_char;
use transport::{CallId, Reply, Request, RpcBus as End};

/// One end of a session for calls: both ends may call, and both may serve.
pub struct slipring_rpc_t {
    _opaque: [u8; 0],
}

/// What a handle of an RpcBus leads to.
pub(crate) struct Rpc {
    pub(crate) home: Home<End>,
    /// Leases of requests and replies that are open.
    open: Vec<&'static Slot<Lease>>,
    /// Memory for handles of leases that were given back: a call needs no other.
    pub(crate) leases: Vec<&'static Slot<Lease>>,
}

object!(Rpc, slipring_rpc_t, b"slr rpc ", "rpc");

impl Rpc {
    pub(crate) fn new(home: Home<End>) -> Self {
        Self { home, open: Vec::new(), leases: Vec::new() }
    }

    pub(crate) fn open(end: End) -> *mut slipring_rpc_t {
        create(Self::new(Home::Here(Box::new(end))))
    }

    /// A lease that leads here ends by itself.
    pub(crate) fn forget(&mut self, lease: &'static Slot<Lease>) {
        self.open.retain(|open| !std::ptr::eq(*open, lease));
    }

    /// The request `id` was replied to: its payload is gone, whoever holds a lease of it.
    pub(crate) fn end_request(&mut self, id: u32) {
        self.end_where(|source| matches!(source, Source::Request { note: false, .. }), id);
    }

    /// The reply to call `id` is gone, whoever holds a lease of it.
    pub(crate) fn end_reply(&mut self, id: u32) {
        self.end_where(|source| matches!(source, Source::Reply { .. }), id);
    }

    /// Whether a lease holds the reply to call `id`.
    pub(crate) fn holds_reply(&self, id: CallId) -> bool {
        self.open.iter().any(|lease| {
            lease.enter().is_ok_and(|lease| matches!(lease.source, Source::Reply { call, .. } if call == id))
        })
    }

    fn end_where(&mut self, is: impl Fn(&Source) -> bool, id: u32) {
        self.open.retain(|slot| {
            let Ok(mut lease) = slot.enter() else { return true };
            if is(&lease.source) && lease.view.correlation_id() == u64::from(id) {
                lease.over = true;
                return false;
            }
            true
        });
    }

    /// Makes a lease that leads here, and remembers it.
    pub(crate) fn lend(&mut self, source: Source, view: View) -> *mut slipring_lease_t {
        self.lend_slot(source, view).0.handle()
    }

    /// The same, for whoever ends it himself: where it is, and the number of its life.
    pub(crate) fn lend_slot(&mut self, source: Source, view: View) -> (&'static Slot<Lease>, u64) {
        let memory = self.leases.pop().unwrap_or_else(Slot::blank);
        memory.begin(Lease { source, over: false, view });
        self.open.push(memory);
        (memory, memory.life())
    }
}

impl Drop for Rpc {
    fn drop(&mut self) {
        self.leases.drain(..).for_each(give_back);
    }
}

/// What a lease of a request is to know, and the request set aside.
pub(crate) fn set_request_aside(slot: &'static Slot<Rpc>, request: Request<'_>) -> (Source, View) {
    let view = View::new(&request, request.type_id(), request.id().into());
    let note = request.is_note();
    (Source::Request { rpc: slot, life: slot.life(), ticket: request.set_aside(), note }, view)
}

/// What a lease of a reply is to know, and the reply set aside.
pub(crate) fn set_reply_aside(slot: &'static Slot<Rpc>, reply: Reply<'_>) -> (Source, View) {
    let view = View::new(&reply, reply.type_id(), reply.call().number().into());
    (Source::Reply { rpc: slot, life: slot.life(), call: reply.set_aside() }, view)
}

/// Listens at `address` for one peer. As slipring_bus_listen. This end answers calls, unless the config says otherwise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_listen(
    address: *const c_char,
    config: *const slipring_config_t,
    timeout_ns: i64,
    rpc: *mut *mut slipring_rpc_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let rpc = unsafe { out(rpc) }?;
        // SAFETY: as the caller promises.
        let address = unsafe { text(address, "address is null") }?;
        // SAFETY: as the caller promises.
        let options = unsafe { config::options(config) }?;
        rpc.set(Rpc::open(End::listen_until(address, &options, deadline(timeout_ns)?)?));
        Ok(())
    })
}

/// Connects to the listener at `address`. As slipring_bus_connect. This end answers calls only if the config says so, or it has a
/// handler.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_connect(
    address: *const c_char,
    config: *const slipring_config_t,
    timeout_ns: i64,
    rpc: *mut *mut slipring_rpc_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let rpc = unsafe { out(rpc) }?;
        // SAFETY: as the caller promises.
        let address = unsafe { text(address, "address is null") }?;
        // SAFETY: as the caller promises.
        let options = unsafe { config::options(config) }?;
        rpc.set(Rpc::open(End::connect_until(address, &options, deadline(timeout_ns)?)?));
        Ok(())
    })
}

/// Says goodbye and ends the session, as slipring_bus_close.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_close(rpc: *mut slipring_rpc_t, linger_ns: i64) -> slipring_status_t {
    boundary(|| {
        let linger = linger(linger_ns)?;
        // SAFETY: as the caller promises.
        let mut rpc = unsafe { enter::<Rpc>(rpc) }?;
        let end = rpc.home.take()?;
        rpc.slot().end_life();
        rpc.open.clear();
        Ok(end.close(linger)?)
    })
}

/// Closes without waiting, if it is open, and frees the handle, as slipring_bus_free. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_free(rpc: *mut slipring_rpc_t) -> slipring_status_t {
    boundary(|| {
        if rpc.is_null() {
            return Ok(());
        }
        // SAFETY: as the caller promises.
        let rpc = unsafe { enter::<Rpc>(rpc) }?;
        rpc.home.check_free()?;
        drop(rpc.free());
        Ok(())
    })
}

/// How many calls of this end are in flight: made, and their replies not yet taken.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_in_flight(rpc: *mut slipring_rpc_t, calls: *mut u32) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let calls = unsafe { out(calls) }?;
        // SAFETY: as the caller promises.
        calls.set(unsafe { enter::<Rpc>(rpc) }?.home.reach()?.in_flight());
        Ok(())
    })
}
