//! Receiving on a Bus: one lease or frame at a time, or many frames by a callback.

use crate::boundary::{boundary, invalid};
use crate::bus::{Bus, slipring_bus_t};
use crate::given::out;
use crate::handle::{Slot, enter};
use crate::lease::{Lease, Source, View, slipring_lease_t};
use crate::patience::by_patience;
use crate::shared::{Shared, slipring_shared_t};
use crate::status::slipring_status_t;
use std::ffi::c_void;
use transport::{Frame, SharedBuffer};

/// A message in place. What it leads to is gone when the callback returns that was given it; from slipring_bus_recv_frame, with the
/// next call that receives on the bus, and with its close.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_frame_t {
    /// The payload.
    pub data: *const c_void,
    /// Its length in bytes.
    pub len: usize,
    /// The correlation id; 0 on a Bus.
    pub correlation_id: u64,
    /// The sender's type id.
    pub type_id: u32,
    /// How many shared objects came with it: see slipring_frame_shared.
    pub shared_count: u32,
    /// The library's.
    pub shared: *const c_void,
}

impl slipring_frame_t {
    #[inline]
    pub(crate) fn new(frame: &Frame<'_>) -> Self {
        Self {
            data: frame.bytes().as_ptr().cast(),
            len: frame.len(),
            correlation_id: frame.correlation_id(),
            type_id: frame.type_id(),
            shared_count: frame.shared().len() as u32,
            shared: frame.shared().as_ptr().cast(),
        }
    }

    #[inline]
    fn of_lease(lease: &transport::Lease<'_>) -> Self {
        Self {
            data: lease.as_ptr().cast(),
            len: lease.len(),
            correlation_id: lease.correlation_id(),
            type_id: lease.type_id(),
            shared_count: lease.shared().len() as u32,
            shared: lease.shared().as_ptr().cast(),
        }
    }
}

/// Is given a message. It must not use the bus that the message came by, and must return: no exception, no longjmp.
pub type slipring_on_frame_t = Option<unsafe extern "C" fn(user: *mut c_void, frame: *const slipring_frame_t)>;

/// Is given messages that came together, in their order. Rules as for slipring_on_frame_t.
pub type slipring_on_frames_t =
    Option<unsafe extern "C" fn(user: *mut c_void, frames: *const slipring_frame_t, count: usize)>;

/// Receives the next message, waiting for it until the timeout. It is read where it is, by slipring_lease_data and the like, until
/// slipring_lease_release gives it back to the sender; slipring_lease_keep makes it the caller's own. The next call that receives on
/// this bus, successful or not, ends a lease that was not kept: its functions answer SLIPRING_OVER then, and its handle is still to
/// be released.
///
/// SLIPRING_EMPTY, SLIPRING_TIMEOUT, SLIPRING_INTERRUPTED; SLIPRING_CLOSED or SLIPRING_PEER_DIED after everything that the peer sent;
/// SLIPRING_CORRUPT; SLIPRING_OUT_OF_MEMORY; SLIPRING_INVALID_ARGUMENT on the sending end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_recv(
    bus: *mut slipring_bus_t,
    timeout_ns: i64,
    lease: *mut *mut slipring_lease_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let place = unsafe { out(lease) }?;
        // SAFETY: as the caller promises.
        let mut bus = unsafe { enter::<Bus>(bus) }?;
        let slot = bus.slot();
        let bus = &mut *bus;
        let mut end = bus.home.reach()?;
        slot.end_epoch();
        let lease = by_patience!(timeout_ns, end.try_recv()?, |deadline| end.recv_until(deadline)?);
        let view = View::new(&lease, lease.type_id(), lease.correlation_id());
        let source = Source::Frame { bus: slot, life: slot.life(), epoch: slot.epoch(), ticket: lease.set_aside() };
        let memory = bus.leases.pop().unwrap_or_else(Slot::blank);
        place.set(memory.begin(Lease { source, over: false, view }));
        Ok(())
    })
}

/// Receives the next message as slipring_bus_recv, without a handle: `frame` is where it is, to be read until the next call that
/// receives on this bus, which gives it back, as the close does. For programs that look at each message once, this is the shortest way.
///
/// As for slipring_bus_recv.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_recv_frame(
    bus: *mut slipring_bus_t,
    timeout_ns: i64,
    frame: *mut slipring_frame_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let place = unsafe { out(frame) }?;
        // SAFETY: as the caller promises.
        let mut bus = unsafe { enter::<Bus>(bus) }?;
        let slot = bus.slot();
        let mut end = bus.home.reach()?;
        slot.end_epoch();
        let lease = by_patience!(timeout_ns, end.try_recv()?, |deadline| end.recv_until(deadline)?);
        place.set(slipring_frame_t::of_lease(&lease));
        // It stays with the bus, which counts on nobody's coming for it.
        lease.set_aside();
        Ok(())
    })
}

/// Hands up to `limit` messages that are there to `on_frame`, waiting for the first until the timeout, and says how many. Each is
/// given back when its callback returns.
///
/// As for slipring_bus_recv.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_poll(
    bus: *mut slipring_bus_t,
    limit: usize,
    timeout_ns: i64,
    on_frame: slipring_on_frame_t,
    user: *mut c_void,
    count: *mut usize,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let count = unsafe { out(count) }?;
        let on_frame = on_frame.ok_or(invalid("on_frame is null"))?;
        // SAFETY: as the caller promises.
        let mut bus = unsafe { enter::<Bus>(bus) }?;
        let slot = bus.slot();
        let mut end = bus.home.reach()?;
        slot.end_epoch();
        // SAFETY: a function of the caller's, with what it was promised to get.
        let handler = |frame: Frame<'_>| unsafe { on_frame(user, &slipring_frame_t::new(&frame)) };
        let handled = by_patience!(timeout_ns, end.try_poll(limit, handler)?, |deadline| {
            end.poll_until(limit, deadline, handler)?
        });
        count.set(handled);
        Ok(())
    })
}

/// Takes up to `limit` messages that are there, waiting for the first until the timeout, hands them to `on_frames` all together, and
/// says how many. They are given back together when it returns.
///
/// As for slipring_bus_recv.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_drain(
    bus: *mut slipring_bus_t,
    limit: usize,
    timeout_ns: i64,
    on_frames: slipring_on_frames_t,
    user: *mut c_void,
    count: *mut usize,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let count = unsafe { out(count) }?;
        let on_frames = on_frames.ok_or(invalid("on_frames is null"))?;
        // SAFETY: as the caller promises.
        let mut bus = unsafe { enter::<Bus>(bus) }?;
        let slot = bus.slot();
        let bus = &mut *bus;
        let mut end = bus.home.reach()?;
        slot.end_epoch();
        let batch = by_patience!(timeout_ns, end.try_drain(limit)?, |deadline| end.drain_until(limit, deadline)?);
        bus.batch.clear();
        bus.batch.extend(batch.iter().map(|frame| slipring_frame_t::new(&frame)));
        // SAFETY: a function of the caller's, with what it was promised to get.
        unsafe { on_frames(user, bus.batch.as_ptr(), bus.batch.len()) };
        bus.batch.clear();
        count.set(batch.len());
        Ok(())
    })
}

/// The shared object number `index` of those that came with `frame`, while that is good, to be freed by slipring_shared_free. It
/// outlives the frame.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_frame_shared(
    frame: *const slipring_frame_t,
    index: usize,
    shared: *mut *mut slipring_shared_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let shared = unsafe { out(shared) }?;
        // SAFETY: null, or a frame that is still good.
        let frame = unsafe { frame.as_ref() }.ok_or(invalid("frame is null"))?;
        if index >= frame.shared_count as usize {
            return Err(invalid("so many shared objects did not come with it"));
        }
        let object = frame.shared.cast::<SharedBuffer>().wrapping_add(index);
        // SAFETY: a frame has as many objects as it says, for as long as it is good.
        let object = unsafe { &*object };
        shared.set(Shared::open(object.clone()));
        Ok(())
    })
}
