//! Messages, calls and replies with shared objects.

use crate::boundary::{Failure, boundary, invalid};
use crate::bus::{Bus, slipring_bus_t};
use crate::given::{array, bytes, out};
use crate::handle::{enter, slot};
use crate::lease::slipring_lease_t;
use crate::patience::{by_patience, deadline};
use crate::rpc::{Rpc, set_reply_aside, slipring_rpc_t};
use crate::shared::{Shared, slipring_shared_t};
use crate::status::slipring_status_t;
use std::ffi::c_void;
use transport::SharedBuffer;

/// The objects behind handles, gathered without an allocation.
struct Gathered {
    objects: [Option<&'static SharedBuffer>; SharedBuffer::MOST_PER_MESSAGE],
}

/// # Safety
/// - `handles` leads to `count` of them, or `count` is 0.
unsafe fn gather(handles: *const *const slipring_shared_t, count: usize) -> Result<Gathered, Failure> {
    // SAFETY: what our caller promises.
    let handles = unsafe { array(handles, count) }?;
    let mut gathered = Gathered { objects: [None; SharedBuffer::MOST_PER_MESSAGE] };
    if count > gathered.objects.len() {
        return Err(invalid("at most 8 shared objects can come with one message"));
    }
    for (place, &handle) in gathered.objects.iter_mut().zip(handles) {
        // SAFETY: what our caller promises.
        *place = Some(&unsafe { slot::<Shared>(handle) }?.peek().buffer);
    }
    Ok(gathered)
}

impl Gathered {
    /// Does something with all of them.
    fn with<R>(&self, act: impl FnOnce(&[&SharedBuffer]) -> R) -> R {
        let Some(first) = self.objects[0] else { return act(&[]) };
        let mut all = [first; SharedBuffer::MOST_PER_MESSAGE];
        let mut count = 0;
        for object in self.objects.iter().flatten() {
            all[count] = object;
            count += 1;
        }
        act(&all[..count])
    }
}

/// As slipring_bus_send, and with the message go `count` shared objects, at most 8. The receiver finds them by slipring_lease_shared in
/// this order. The caller's handles remain the caller's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_send_shared(
    bus: *mut slipring_bus_t,
    type_id: u32,
    data: *const c_void,
    len: usize,
    shared: *const *const slipring_shared_t,
    count: usize,
    timeout_ns: i64,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let payload = unsafe { bytes(data, len) }?;
        // SAFETY: as the caller promises.
        let shared = unsafe { gather(shared, count) }?;
        // SAFETY: as the caller promises.
        let mut bus = unsafe { enter::<Bus>(bus) }?;
        let mut end = bus.home.reach()?;
        shared.with(|shared| {
            by_patience!(timeout_ns, end.try_publish_shared(type_id, payload, shared)?, |deadline| {
                end.publish_shared_until(type_id, payload, shared, deadline)?
            });
            Ok(())
        })
    })
}

/// As slipring_rpc_call, and with the request go `count` shared objects, at most 8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_call_shared(
    rpc: *mut slipring_rpc_t,
    type_id: u32,
    data: *const c_void,
    len: usize,
    shared: *const *const slipring_shared_t,
    count: usize,
    timeout_ns: i64,
    id: *mut u32,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let id = unsafe { out(id) }?;
        // SAFETY: as the caller promises.
        let payload = unsafe { bytes(data, len) }?;
        // SAFETY: as the caller promises.
        let shared = unsafe { gather(shared, count) }?;
        // SAFETY: as the caller promises.
        let mut rpc = unsafe { enter::<Rpc>(rpc) }?;
        let mut end = rpc.home.reach()?;
        let call = shared.with(|shared| {
            let call = by_patience!(timeout_ns, end.try_call_shared(type_id, payload, shared)?, |deadline| {
                end.call_shared_until(type_id, payload, shared, deadline)?
            });
            Ok::<_, Failure>(call)
        })?;
        id.set(call.number());
        Ok(())
    })
}

/// As slipring_rpc_request, and with the request go `count` shared objects, at most 8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_request_shared(
    rpc: *mut slipring_rpc_t,
    type_id: u32,
    data: *const c_void,
    len: usize,
    shared: *const *const slipring_shared_t,
    count: usize,
    timeout_ns: i64,
    reply: *mut *mut slipring_lease_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let place = unsafe { out(reply) }?;
        // SAFETY: as the caller promises.
        let payload = unsafe { bytes(data, len) }?;
        // SAFETY: as the caller promises.
        let shared = unsafe { gather(shared, count) }?;
        // SAFETY: as the caller promises.
        let mut rpc = unsafe { enter::<Rpc>(rpc) }?;
        let slot = rpc.slot();
        let mut end = rpc.home.reach()?;
        let deadline = deadline(timeout_ns)?;
        let (source, view) = shared.with(|shared| {
            let reply = end.request_shared_until(type_id, payload, shared, deadline)?;
            Ok::<_, Failure>(set_reply_aside(slot, reply))
        })?;
        drop(end);
        place.set(rpc.lend(source, view));
        Ok(())
    })
}

/// As slipring_rpc_reply, and with the reply go `count` shared objects, at most 8; 3 where an inline limit of at most 48 bytes was
/// agreed. With a timeout of 0 it does not wait for the caller to take objects that were handed over before: SLIPRING_FULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_rpc_reply_shared(
    rpc: *mut slipring_rpc_t,
    id: u32,
    type_id: u32,
    data: *const c_void,
    len: usize,
    shared: *const *const slipring_shared_t,
    count: usize,
    timeout_ns: i64,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let payload = unsafe { bytes(data, len) }?;
        // SAFETY: as the caller promises.
        let shared = unsafe { gather(shared, count) }?;
        // SAFETY: as the caller promises.
        let mut rpc = unsafe { enter::<Rpc>(rpc) }?;
        let mut end = rpc.home.reach()?;
        shared.with(|shared| {
            by_patience!(timeout_ns, end.reply_shared(id, type_id, payload, shared)?, |deadline| {
                end.reply_shared_until(id, type_id, payload, shared, deadline)?
            });
            Ok::<_, Failure>(())
        })?;
        drop(end);
        rpc.end_request(id);
        Ok(())
    })
}
