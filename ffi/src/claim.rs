//! Claims: room that C writes in place, and then commits or gives up. Of a Bus or an RpcBus, or its holder's own.

use crate::boundary::{Failure, boundary, boundary_or, invalid};
use crate::bus::{Bus, SPARE};
use crate::given::out;
use crate::handle::{Entered, Slot, create, enter, give_back, object};
use crate::rpc::Rpc;
use crate::status::slipring_status_t;
use std::ffi::c_void;
use transport::{CallClaimTicket, ClaimTicket, OwnedClaim};

/// Room for a payload, to be written in place.
pub struct slipring_claim_t {
    _opaque: [u8; 0],
}

/// What a handle of a claim leads to.
pub(crate) struct Claim {
    pub(crate) source: Source,
    pub(crate) data: *mut u8,
    pub(crate) len: usize,
}

/// Where the room is.
pub(crate) enum Source {
    Bus {
        bus: &'static Slot<Bus>,
        life: u64,
        ticket: ClaimTicket,
    },
    /// `replies_to` is 0 for a request, which no id of an open request is.
    Rpc {
        rpc: &'static Slot<Rpc>,
        life: u64,
        ticket: CallClaimTicket,
        replies_to: u32,
    },
    Owned(OwnedClaim),
}

object!(Claim, slipring_claim_t, b"slr clam", "claim");

const OVER: Failure = Failure::Here(slipring_status_t::SLIPRING_OVER, "the claim is over: its bus was closed or freed");
const ONE_S_OWN: Failure = invalid("a claim of one's own is sent by slipring_bus_send_owned and the like");

impl Claim {
    #[inline]
    fn check(&self) -> Result<(), Failure> {
        let over = match &self.source {
            Source::Bus { bus, life, .. } => !bus.is_alive() || bus.life() != *life,
            Source::Rpc { rpc, life, .. } => !rpc.is_alive() || rpc.life() != *life,
            Source::Owned(_) => false,
        };
        if over { Err(OVER) } else { Ok(()) }
    }

    /// A handle of a claim that is the holder's own.
    pub(crate) fn own(mut claim: OwnedClaim) -> *mut slipring_claim_t {
        let (data, len) = (claim.as_mut_ptr(), claim.len());
        create(Self { source: Source::Owned(claim), data, len })
    }

    fn commit(&mut self, type_id: u32, used: usize, later: bool) -> Result<(), Failure> {
        self.check()?;
        match &mut self.source {
            Source::Bus { bus, ticket, .. } => {
                let mut bus = bus.enter()?;
                let mut end = bus.home.reach()?;
                let claim = end.take_up_claim(*ticket)?;
                let committed = if later { claim.commit_later(type_id, used) } else { claim.commit(type_id, used) };
                committed.map_err(|error| {
                    *ticket = error.claim.set_aside();
                    error.cause.into()
                })
            }
            Source::Rpc { replies_to: 0, .. } => Err(invalid("a request is committed by slipring_claim_commit_call")),
            Source::Rpc { .. } if later => Err(invalid("what is claimed for a reply cannot be committed later")),
            Source::Rpc { .. } => self.commit_rpc(type_id, used).map(drop),
            Source::Owned(_) => Err(ONE_S_OWN),
        }
    }

    fn commit_rpc(&mut self, type_id: u32, used: usize) -> Result<u32, Failure> {
        let Source::Rpc { rpc, ticket, replies_to, .. } = &mut self.source else {
            return Err(invalid("the claim is of no request"));
        };
        let mut rpc = rpc.enter()?;
        let mut end = rpc.home.reach()?;
        match end.take_up_claim(*ticket)?.commit(type_id, used) {
            Ok(call) => {
                drop(end);
                rpc.end_request(*replies_to);
                Ok(call.number())
            }
            Err(error) => {
                *ticket = error.claim.set_aside();
                Err(error.cause.into())
            }
        }
    }

    fn abort(&mut self) -> Result<(), Failure> {
        if self.check().is_err() {
            return Ok(());
        }
        match &self.source {
            Source::Bus { bus, ticket, .. } => bus.enter()?.home.reach()?.take_up_claim(*ticket)?.abort(),
            Source::Rpc { rpc, ticket, .. } => rpc.enter()?.home.reach()?.take_up_claim(*ticket)?.abort(),
            Source::Owned(_) => {}
        }
        Ok(())
    }
}

/// Frees the handle of a claim that has ended, and lets its memory wait: with its Bus, if that lives, else with all others.
fn recycle(claim: Entered<Claim>) {
    let (claim, slot) = claim.end();
    // Of this bus, and not of the next that lives in the same memory, which may be another thread's.
    if let Source::Bus { bus, life, .. } = claim.source
        && bus.is_alive()
        && bus.life() == life
        && let Ok(mut bus) = bus.enter()
        && bus.claims.len() < SPARE
    {
        bus.claims.push(slot);
        return;
    }
    give_back(slot);
}

/// Sends a claim that is its holder's own. `send` gives back what it could not send.
///
/// # Safety
/// - As for [`enter`].
pub(crate) unsafe fn send_own<R>(
    claim: *mut slipring_claim_t,
    send: impl FnOnce(OwnedClaim) -> Result<R, transport::OwnedClaimError>,
) -> Result<R, Failure> {
    // SAFETY: what our caller promises.
    let claim = unsafe { enter::<Claim>(claim) }?;
    if !matches!(claim.source, Source::Owned(_)) {
        return Err(invalid("the claim is not one's own: it is sent by slipring_claim_commit"));
    }
    let (Claim { source, data, len }, slot) = claim.end();
    let Source::Owned(own) = source else { return Err(ONE_S_OWN) };
    match send(own) {
        Ok(sent) => {
            give_back(slot);
            Ok(sent)
        }
        Err(error) => {
            slot.begin(Claim { source: Source::Owned(error.claim), data, len });
            Err(error.cause.into())
        }
    }
}

/// Where to write: as many bytes as were claimed, with old bytes of this side's in them. Everything up to what is committed is said
/// to the peer. NULL for a claim that is over, or NULL: then slipring_last_error says why.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_claim_data(claim: *mut slipring_claim_t) -> *mut c_void {
    boundary_or(std::ptr::null_mut(), || {
        // SAFETY: as the caller promises.
        let claim = unsafe { enter::<Claim>(claim) }?;
        claim.check()?;
        Ok(claim.data.cast())
    })
}

/// How many bytes were claimed; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_claim_len(claim: *mut slipring_claim_t) -> usize {
    // SAFETY: as the caller promises.
    boundary_or(0, || Ok(unsafe { enter::<Claim>(claim) }?.len))
}

/// Sends the first `used` bytes of a claim of slipring_bus_claim or slipring_rpc_claim_reply, and frees its handle. Where it fails
/// the claim is still open.
///
/// SLIPRING_INVALID_ARGUMENT if `used` is more than was claimed; SLIPRING_OVER; what ends the session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_claim_commit(
    claim: *mut slipring_claim_t,
    type_id: u32,
    used: usize,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let mut claim = unsafe { enter::<Claim>(claim) }?;
        claim.commit(type_id, used, false)?;
        recycle(claim);
        Ok(())
    })
}

/// As slipring_claim_commit, of a claim of slipring_bus_claim; hidden until slipring_bus_flush, as with slipring_bus_send_later.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_claim_commit_later(
    claim: *mut slipring_claim_t,
    type_id: u32,
    used: usize,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let mut claim = unsafe { enter::<Claim>(claim) }?;
        claim.commit(type_id, used, true)?;
        recycle(claim);
        Ok(())
    })
}

/// As slipring_claim_commit, of a claim of slipring_rpc_claim_request: gives the id by which slipring_rpc_wait finds the reply.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_claim_commit_call(
    claim: *mut slipring_claim_t,
    type_id: u32,
    used: usize,
    id: *mut u32,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let id = unsafe { out(id) }?;
        // SAFETY: as the caller promises.
        let mut claim = unsafe { enter::<Claim>(claim) }?;
        claim.check()?;
        if !matches!(claim.source, Source::Rpc { replies_to: 0, .. }) {
            return Err(invalid("the claim is of no request"));
        }
        id.set(claim.commit_rpc(type_id, used)?);
        recycle(claim);
        Ok(())
    })
}

/// Gives a claim of any kind up, and frees its handle. Nobody ever learns of it. NULL is fine, and so is a claim that is over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_claim_abort(claim: *mut slipring_claim_t) -> slipring_status_t {
    boundary(|| {
        if claim.is_null() {
            return Ok(());
        }
        // SAFETY: as the caller promises.
        let mut claim = unsafe { enter::<Claim>(claim) }?;
        claim.abort()?;
        recycle(claim);
        Ok(())
    })
}
