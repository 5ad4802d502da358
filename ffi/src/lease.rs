//! Leases: what was received, as C holds it. A frame of a Bus, a request, a reply, or a message that is the holder's own.
//!
//! The transport's guards borrow their bus, which C cannot. So they are set aside in the bus, and the handle has the ticket by which
//! they are found again. Where its payload is, it learned when it was made. Whether it is over it learns from the bus: by the
//! epoch of a Bus, which every receive ends, and on an RpcBus by a mark that whoever ends a request or a reply leaves.

use crate::boundary::{Failure, boundary, boundary_or, invalid};
use crate::bus::{Bus, SPARE};
use crate::given::out;
use crate::handle::{Entered, Slot, create, enter, give_back, look, object};
use crate::rpc::Rpc;
use crate::shared::{Shared, slipring_shared_t};
use crate::status::slipring_status_t;
use std::ffi::c_void;
use transport::{CallId, LeaseTicket, Message, RequestTicket, SharedBuffer};

/// Something that was received: a message, a request or a reply.
pub struct slipring_lease_t {
    _opaque: [u8; 0],
}

/// What a handle of a lease leads to.
pub(crate) struct Lease {
    pub(crate) source: Source,
    /// Of an RpcBus's: the request was replied to, or the reply given up.
    pub(crate) over: bool,
    pub(crate) view: View,
}

/// What is told of a lease without asking its bus.
#[derive(Clone, Copy)]
pub(crate) struct View {
    data: *const u8,
    len: usize,
    type_id: u32,
    correlation_id: u64,
}

impl View {
    #[inline]
    pub(crate) fn new(bytes: &[u8], type_id: u32, correlation_id: u64) -> Self {
        Self { data: bytes.as_ptr(), len: bytes.len(), type_id, correlation_id }
    }

    pub(crate) fn correlation_id(&self) -> u64 {
        self.correlation_id
    }
}

/// Where what was received is.
pub(crate) enum Source {
    Frame { bus: &'static Slot<Bus>, life: u64, epoch: u64, ticket: LeaseTicket },
    Request { rpc: &'static Slot<Rpc>, life: u64, ticket: RequestTicket, note: bool },
    Reply { rpc: &'static Slot<Rpc>, life: u64, call: CallId },
    Kept(Message),
}

object!(Lease, slipring_lease_t, b"slr leas", "lease");

const OVER: Failure = Failure::Here(
    slipring_status_t::SLIPRING_OVER,
    "the lease is over: its bus received again, was closed or freed; or its request was replied to",
);

impl Lease {
    #[inline]
    fn is_over(&self) -> bool {
        match &self.source {
            Source::Frame { bus, epoch, .. } => !bus.is_alive() || bus.epoch() != *epoch,
            Source::Request { rpc, life, .. } | Source::Reply { rpc, life, .. } => {
                self.over || !rpc.is_alive() || rpc.life() != *life
            }
            Source::Kept(_) => false,
        }
    }

    #[inline]
    fn check(&self) -> Result<(), Failure> {
        if self.is_over() { Err(OVER) } else { Ok(()) }
    }

    /// Gives back what the lease has, so that its handle can be used for the next.
    fn give_up(&mut self, own: &'static Slot<Self>) -> Result<(), Failure> {
        if self.is_over() {
            return Ok(());
        }
        match &self.source {
            Source::Frame { bus, ticket, .. } => {
                let mut bus = bus.enter()?;
                drop(bus.home.reach()?.take_up_lease(*ticket)?);
            }
            Source::Request { rpc, ticket, note, .. } => {
                let mut rpc = rpc.enter()?;
                if *note {
                    drop(rpc.home.reach()?.take_up_request(*ticket)?);
                }
                rpc.forget(own);
            }
            Source::Reply { rpc, call, .. } => {
                let mut rpc = rpc.enter()?;
                // A reply that is there is given back at once, and nobody is told.
                rpc.home.reach()?.cancel(*call);
                rpc.forget(own);
            }
            Source::Kept(_) => {}
        }
        Ok(())
    }

    /// Makes it the holder's own.
    fn keep(&mut self, own: &'static Slot<Self>) -> Result<(), Failure> {
        self.check()?;
        let message = match &self.source {
            Source::Kept(_) => return Ok(()),
            Source::Frame { bus, ticket, .. } => {
                let mut bus = bus.enter()?;
                let mut end = bus.home.reach()?;
                end.take_up_lease(*ticket)?.keep()
            }
            Source::Request { rpc, ticket, .. } => {
                let mut rpc = rpc.enter()?;
                let message = rpc.home.reach()?.take_up_request(*ticket)?.keep();
                rpc.forget(own);
                message
            }
            Source::Reply { rpc, call, .. } => {
                let mut rpc = rpc.enter()?;
                let message = rpc.home.reach()?.try_wait(*call)?.keep();
                rpc.forget(own);
                message
            }
        };
        self.view = View::new(&message, message.type_id(), message.correlation_id());
        self.source = Source::Kept(message);
        Ok(())
    }

    /// Looks at the shared objects that came with it.
    fn with_shared<R>(&mut self, look: impl FnOnce(&[SharedBuffer]) -> R) -> Result<R, Failure> {
        self.check()?;
        match &mut self.source {
            Source::Kept(message) => Ok(look(message.shared())),
            Source::Frame { bus, ticket, .. } => {
                let mut bus = bus.enter()?;
                let mut end = bus.home.reach()?;
                let lease = end.take_up_lease(*ticket)?;
                let seen = look(lease.shared());
                *ticket = lease.set_aside();
                Ok(seen)
            }
            Source::Request { rpc, ticket, .. } => {
                let mut rpc = rpc.enter()?;
                let mut end = rpc.home.reach()?;
                let request = end.take_up_request(*ticket)?;
                let seen = look(request.shared());
                *ticket = request.set_aside();
                Ok(seen)
            }
            Source::Reply { rpc, call, .. } => {
                let mut rpc = rpc.enter()?;
                let mut end = rpc.home.reach()?;
                let reply = end.try_wait(*call)?;
                let seen = look(reply.shared());
                reply.set_aside();
                Ok(seen)
            }
        }
    }
}

/// Gives a message of a bus back, which is what most leases are, and lets the memory of the handle wait with the bus.
#[inline]
fn release_frame(lease: Entered<Lease>, mut bus: Entered<Bus>, epoch: u64, ticket: LeaseTicket) -> Result<(), Failure> {
    if bus.slot().epoch() == epoch {
        drop(bus.home.reach()?.take_up_lease(ticket)?);
    }
    let memory = lease.retire();
    if bus.leases.len() < SPARE {
        bus.leases.push(memory)
    } else {
        give_back(memory)
    }
    Ok(())
}

/// Gives anything else back. The memory of the handle waits with its RpcBus, if that lives, else with all others.
#[inline(never)]
fn release_other(mut lease: Entered<Lease>) -> Result<(), Failure> {
    let own = lease.slot();
    lease.give_up(own)?;
    let (lease, slot) = lease.end();
    let waits = match lease.source {
        Source::Request { rpc, life, .. } | Source::Reply { rpc, life, .. } if rpc.is_alive() && rpc.life() == life => {
            rpc.enter().is_ok_and(|mut rpc| {
                let has_room = rpc.leases.len() < SPARE;
                if has_room {
                    rpc.leases.push(slot);
                }
                has_room
            })
        }
        _ => false,
    };
    if !waits {
        give_back(slot);
    }
    Ok(())
}

/// Ends a lease that a callback was lent, unless the callback made it its own or released it.
pub(crate) fn end_lent(slot: &'static Slot<Lease>, life: u64) {
    if !slot.is_alive() || slot.life() != life {
        return;
    }
    if let Ok(mut lease) = slot.enter()
        && !matches!(lease.source, Source::Kept(_))
    {
        // An error here is the session's end, which whoever waits is told.
        let _ = lease.give_up(slot);
        lease.free();
    }
}

/// Where the payload is: readable until the lease is released or over. NULL for a lease that is over, or NULL: then
/// slipring_last_error says why. Not NULL for an empty payload.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_lease_data(lease: *mut slipring_lease_t) -> *const c_void {
    boundary_or(std::ptr::null(), || {
        // SAFETY: as the caller promises.
        unsafe { look::<Lease, _>(lease, |lease| lease.check().map(|()| lease.view.data.cast())) }
    })
}

/// How long the payload is, in bytes; 0 for a lease that is over, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_lease_len(lease: *mut slipring_lease_t) -> usize {
    boundary_or(0, || {
        // SAFETY: as the caller promises.
        unsafe { look::<Lease, _>(lease, |lease| lease.check().map(|()| lease.view.len)) }
    })
}

/// The sender's type id; 0 for NULL. Lives as long as the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_lease_type_id(lease: *mut slipring_lease_t) -> u32 {
    // SAFETY: as the caller promises.
    boundary_or(0, || unsafe { look::<Lease, _>(lease, |lease| Ok(lease.view.type_id)) })
}

/// The correlation id: of a request, what slipring_rpc_reply is to be given; of a reply, the call that it answers; 0 on a Bus.
/// Lives as long as the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_lease_correlation_id(lease: *mut slipring_lease_t) -> u64 {
    // SAFETY: as the caller promises.
    boundary_or(0, || unsafe { look::<Lease, _>(lease, |lease| Ok(lease.view.correlation_id)) })
}

/// Makes it the holder's own, for as long as it likes: from here on it may be used and released on any thread, by one at a time, and
/// outlives the bus, and the peer. A payload of more than the inline limit stays where it is; a shorter one is copied, so ask for
/// slipring_lease_data again. A request stays open, and is still to be replied to.
///
/// SLIPRING_OVER.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_lease_keep(lease: *mut slipring_lease_t) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let mut lease = unsafe { enter::<Lease>(lease) }?;
        let own = lease.slot();
        lease.keep(own)
    })
}

/// One more handle of a lease that is the holder's own (slipring_lease_keep), of the very same bytes: each belongs to whoever has it,
/// on whatever thread, and what is kept goes back with the last.
///
/// SLIPRING_INVALID_ARGUMENT for a lease that was not kept; SLIPRING_OVER.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_lease_clone(
    lease: *mut slipring_lease_t,
    clone: *mut *mut slipring_lease_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let clone = unsafe { out(clone) }?;
        // SAFETY: as the caller promises.
        let lease = unsafe { enter::<Lease>(lease) }?;
        lease.check()?;
        let Source::Kept(message) = &lease.source else {
            return Err(invalid("the lease is not one's own: slipring_lease_keep makes it so"));
        };
        // Where a clone's payload is, only the clone knows.
        let message = message.clone();
        let view = View::new(&message, message.type_id(), message.correlation_id());
        clone.set(create(Lease { source: Source::Kept(message), over: false, view }));
        Ok(())
    })
}

/// Gives back what was received, and frees the handle. NULL is fine, and so is a lease that is over. A request that was not replied
/// to stays open.
///
/// SLIPRING_WRONG_THREAD: the bus of the lease is in use; the lease is still there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_lease_release(lease: *mut slipring_lease_t) -> slipring_status_t {
    boundary(|| {
        if lease.is_null() {
            return Ok(());
        }
        // SAFETY: as the caller promises.
        let lease = unsafe { enter::<Lease>(lease) }?;
        match lease.source {
            // Of this bus, and not of the next that lives in the same memory, which may be another thread's.
            Source::Frame { bus, life, epoch, ticket } if bus.is_alive() && bus.life() == life => {
                release_frame(lease, bus.enter()?, epoch, ticket)
            }
            _ => release_other(lease),
        }
    })
}

/// How many shared objects came with it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_lease_shared_count(
    lease: *mut slipring_lease_t,
    count: *mut usize,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let count = unsafe { out(count) }?;
        // SAFETY: as the caller promises.
        let mut lease = unsafe { enter::<Lease>(lease) }?;
        count.set(lease.with_shared(<[_]>::len)?);
        Ok(())
    })
}

/// The shared object number `index` of those that came with it, to be freed by slipring_shared_free. It outlives the lease.
///
/// SLIPRING_OVER; SLIPRING_INVALID_ARGUMENT if there are not so many.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_lease_shared(
    lease: *mut slipring_lease_t,
    index: usize,
    shared: *mut *mut slipring_shared_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let shared = unsafe { out(shared) }?;
        // SAFETY: as the caller promises.
        let mut lease = unsafe { enter::<Lease>(lease) }?;
        let buffer = lease.with_shared(|all| all.get(index).cloned())?;
        shared.set(Shared::open(buffer.ok_or(invalid("so many shared objects did not come with it"))?));
        Ok(())
    })
}

/// Whether it is a request that nobody awaits a reply to: 1, else 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_lease_is_note(lease: *mut slipring_lease_t) -> i32 {
    boundary_or(0, || {
        // SAFETY: as the caller promises.
        let lease = unsafe { enter::<Lease>(lease) }?;
        Ok(i32::from(matches!(lease.source, Source::Request { note: true, .. })))
    })
}

/// Of a request: how much time is left before its caller gives up, in nanoseconds, 0 if it has, -1 if it never does; and whether it
/// is known to have given up: 1, else 0. The reply is due all the same.
///
/// SLIPRING_OVER; SLIPRING_INVALID_ARGUMENT for what is no open request.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_lease_deadline(
    lease: *mut slipring_lease_t,
    left_ns: *mut i64,
    cancelled: *mut i32,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let left_ns = unsafe { out(left_ns) }?;
        // SAFETY: as the caller promises.
        let cancelled = unsafe { out(cancelled) }?;
        // SAFETY: as the caller promises.
        let mut lease = unsafe { enter::<Lease>(lease) }?;
        lease.check()?;
        let Source::Request { rpc, ticket, .. } = &mut lease.source else {
            return Err(invalid("the lease is of no request"));
        };
        let mut rpc = rpc.enter()?;
        let mut end = rpc.home.reach()?;
        let request = end.take_up_request(*ticket)?;
        let left = request.deadline().remaining();
        let given_up = request.is_cancelled();
        *ticket = request.set_aside();
        left_ns.set(left.map_or(-1, |left| i64::try_from(left.as_nanos()).unwrap_or(i64::MAX)));
        cancelled.set(i32::from(given_up));
        Ok(())
    })
}
