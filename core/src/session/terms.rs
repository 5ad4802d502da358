//! What two sides agree on: outboxes, and for calls how many and how long, as far as their rings can bear it.

use crate::error::Violation;
use crate::layout::{Geometry, RingSize, SessionKind as Kind, calls_fit};
use crate::options::{Fence, Settings, Trust};
use crate::session::backing;
use crate::session::wire::{Introduction, Offer};
use crate::sys::{self, barrier};

/// How many blocks a side may have out at the other: enough for a reader that holds a thousand.
const RETURNS: u32 = 4096;

/// The outboxes of the connecting and of the listening end. A side that is sent no blocks has the shortest return ring.
pub(super) fn geometries(settings: &Settings) -> (Geometry, Geometry) {
    let client_returns = if settings.kind == Kind::Rpc { RETURNS } else { 1 };
    let geometry = |ring, returns| Geometry::new(ring, returns).expect("a power of two");
    (geometry(settings.client_ring, client_returns), geometry(settings.server_ring, RETURNS))
}

/// What a side tells of itself.
pub(super) fn introduce(settings: &Settings) -> Introduction {
    Introduction {
        kind: settings.kind,
        trust: settings.trust,
        barrier: settings.fence == Fence::Auto && settings.trust == Trust::SameUser && barrier::register(),
        memory: backing::introduce(settings),
        cpu: sys::only_cpu(),
        clock: sys::monotonic_ns(),
        limits: settings.limits,
        calls: settings.in_flight,
        inline_limit: u32::try_from(settings.inline_limit).unwrap_or(u32::MAX),
    }
}

/// Whether sleeps may rely on `membarrier`: both sides must have registered for it, and want it.
pub(super) fn share_barrier(one: &Introduction, other: &Introduction) -> bool {
    one.barrier && other.barrier
}

/// What the listener offers to a client that wants `them`: no more calls and no longer frames than both want, and than the
/// rings can bear.
pub(super) fn agree(us: Introduction, them: Introduction, rings: (RingSize, RingSize)) -> Introduction {
    if us.kind == Kind::Bus {
        return us;
    }
    let ring = if rings.0.bytes() < rings.1.bytes() { rings.0 } else { rings.1 };
    let (mut calls, mut inline) = (us.calls.min(them.calls).max(1), us.inline_limit.min(them.inline_limit));
    while !calls_fit(ring, calls, inline as usize) {
        match (calls, inline) {
            (_, 257..) => inline /= 2,
            (17.., _) => calls /= 2,
            (_, 49..) => inline = (inline / 2).max(48),
            (2.., _) => calls /= 2,
            // One call in one line fits into the smallest ring there is for calls.
            _ => break,
        }
    }
    Introduction { calls, inline_limit: inline, ..us }
}

/// The longest payload that this end puts into its ring.
pub(super) fn inline_limit(settings: &Settings, agreed: Introduction) -> usize {
    if settings.kind == Kind::Bus { settings.inline_limit } else { agreed.inline_limit as usize }
}

/// Whether the listener keeps to what was asked of it: it lowers the number of calls and their size, and only to what its rings
/// can bear.
pub(super) fn check_terms(me: &Introduction, offer: &Offer) -> Result<(), Violation> {
    let Introduction { kind, calls, inline_limit, .. } = offer.about;
    if kind != me.kind {
        return Err(Violation::Handshake);
    }
    let ring =
        if offer.client.ring.bytes() < offer.server.ring.bytes() { offer.client.ring } else { offer.server.ring };
    let kept = (1..=me.calls).contains(&calls) && inline_limit <= me.inline_limit;
    let borne = kind == Kind::Bus || kept && calls_fit(ring, calls, inline_limit as usize);
    if borne { Ok(()) } else { Err(Violation::Geometry) }
}
