//! Observers: what the sessions of a listener count, seen from another process.
//!
//! A look is a handle of its own, which never changes. So what it tells of a session can grow with the library, and nothing of it
//! has to be fetched at once.

use crate::boundary::{Failure, boundary, boundary_or, invalid};
use crate::given::{out, text};
use crate::handle::{create, enter, object, slot};
use crate::patience::deadline;
use crate::sized::{init, place, sized};
use crate::stats::slipring_stats_t;
use crate::status::slipring_status_t;
use std::ffi::c_char;
use transport::{Observation as Seen, Observed, SessionKind};

/// Of slipring_observed_t: messages from the connecting to the listening end.
pub const SLIPRING_KIND_BUS: i32 = 1;
/// Of slipring_observed_t: calls both ways.
pub const SLIPRING_KIND_RPC: i32 = 2;

/// Sees what the sessions of a listener or server count, without their doing anything for it. It may be used by any number of threads at
/// once, but for its freeing, and in a child of fork.
pub struct slipring_observer_t {
    _opaque: [u8; 0],
}

/// What an observer saw at one look. It never changes, and may be used by any number of threads at once, but for its freeing.
pub struct slipring_observation_t {
    _opaque: [u8; 0],
}

/// What the listener says of all its sessions. Begin with slipring_totals_init.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_totals_t {
    /// Bytes of this struct, as slipring_totals_init sets it.
    pub size: usize,
    /// Sessions that were opened so far.
    pub opened: u64,
    /// Sessions that are open. May be out of step with those that are shown while some come or go.
    pub open: u64,
    /// How many of them are not shown: there are 1023 places, and memory for them may be short.
    pub unshown: u64,
    /// Entries that were being written whenever they were looked at, by a process that was stopped, or killed, in the middle of one.
    pub torn: u64,
}

/// A session, as the listening process last showed it. Begin with slipring_observed_init.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_observed_t {
    /// Bytes of this struct, as slipring_observed_init sets it.
    pub size: usize,
    /// Its number among the listener's sessions, from 1.
    pub session: u64,
    /// How long ago this was written, in nanoseconds: about every millisecond while the listening process is at work on the session,
    /// and before it sleeps for it.
    pub age_ns: u64,
    /// What it is for: SLIPRING_KIND_... A newer listener may have others.
    pub kind: i32,
    /// Whether the connecting end shows its counters: 1, else 0.
    pub peer_shows: i32,
    /// The process that connected; 0 for one of another pid namespace. For people: it may be gone.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
}

sized!(slipring_totals_t, "totals");
sized!(slipring_observed_t, "observed");

/// What a handle of an observer leads to.
struct Observer {
    inner: transport::Observer,
}

/// What a handle of a look leads to.
struct Observation {
    seen: Seen,
}

object!(Observer, slipring_observer_t, b"slr obsv", "observer");
object!(Observation, slipring_observation_t, b"slr seen", "observation");

impl Observation {
    fn session(&self, index: usize) -> Result<&Observed, Failure> {
        self.seen.sessions.get(index).ok_or(invalid("index: so many sessions were not seen"))
    }
}

fn number(kind: SessionKind) -> i32 {
    match kind {
        SessionKind::Bus => SLIPRING_KIND_BUS,
        SessionKind::Rpc => SLIPRING_KIND_RPC,
        _ => 0,
    }
}

/// Fills totals of `size` bytes with zeros. Call it as slipring_totals_init(&totals).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_totals_init_sized(totals: *mut slipring_totals_t, size: usize) -> slipring_status_t {
    // SAFETY: as the caller promises.
    boundary(|| unsafe { init(totals, size) })
}

/// Fills what is to be told of a session, of `size` bytes, with zeros. Call it as slipring_observed_init(&observed).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_observed_init_sized(
    observed: *mut slipring_observed_t,
    size: usize,
) -> slipring_status_t {
    // SAFETY: as the caller promises.
    boundary(|| unsafe { init(observed, size) })
}

/// Asks the listener at `address`, which answers once, in an accepting call, if it is of this user. From then on neither knows of the
/// other: a listener that is stopped, or busy, or dead, is read as it last was. The timeout is for the listener to appear, as with
/// slipring_bus_connect; for its answer it has 5 s more. Sessions of slipring_bus_listen and slipring_rpc_listen cannot be observed:
/// their name is gone when they stand. The observer is the caller's, to be freed by slipring_observer_free.
///
/// SLIPRING_NOT_FOUND, SLIPRING_REFUSED, SLIPRING_VERSION_MISMATCH, SLIPRING_TIMEOUT, SLIPRING_CORRUPT, SLIPRING_PEER_DIED if the listener
/// hung up, SLIPRING_OUT_OF_MEMORY, SLIPRING_INTERRUPTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_observer_connect(
    address: *const c_char,
    timeout_ns: i64,
    observer: *mut *mut slipring_observer_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let observer = unsafe { out(observer) }?;
        // SAFETY: as the caller promises.
        let address = unsafe { text(address, "address is null") }?;
        let inner = transport::Observer::connect(address, deadline(timeout_ns)?)?;
        observer.set(create(Observer { inner }));
        Ok(())
    })
}

/// Looks at every open session that is shown: each as it was at one moment, each at its own. Never waits. The observation is the
/// caller's, to be freed by slipring_observation_free; it outlives the observer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_observer_look(
    observer: *const slipring_observer_t,
    observation: *mut *mut slipring_observation_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let observation = unsafe { out(observation) }?;
        // SAFETY: as the caller promises.
        let seen = unsafe { slot::<Observer>(observer) }?.peek().inner.look();
        observation.set(create(Observation { seen }));
        Ok(())
    })
}

/// Frees an observer. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_observer_free(observer: *mut slipring_observer_t) -> slipring_status_t {
    boundary(|| {
        if !observer.is_null() {
            // SAFETY: as the caller promises.
            drop(unsafe { enter::<Observer>(observer) }?.free());
        }
        Ok(())
    })
}

/// How many sessions were seen; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_observation_count(observation: *const slipring_observation_t) -> usize {
    // SAFETY: as the caller promises.
    boundary_or(0, || Ok(unsafe { slot::<Observation>(observation) }?.peek().seen.sessions.len()))
}

/// What the listener said of all its sessions, if it is to be believed. Begin with slipring_totals_init(&totals).
///
/// SLIPRING_STRUCT_SIZE if that was forgotten.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_observation_totals(
    observation: *const slipring_observation_t,
    totals: *mut slipring_totals_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let totals = unsafe { place(totals) }?;
        // SAFETY: as the caller promises.
        let seen = &unsafe { slot::<Observation>(observation) }?.peek().seen;
        totals.set(slipring_totals_t {
            size: 0,
            opened: seen.opened,
            open: seen.open,
            unshown: seen.unshown,
            torn: seen.torn.into(),
        });
        Ok(())
    })
}

/// The session number `index` of those that were seen, in the order of their numbers. Begin with slipring_observed_init(&observed).
///
/// SLIPRING_INVALID_ARGUMENT if there are not so many; SLIPRING_STRUCT_SIZE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_observation_session(
    observation: *const slipring_observation_t,
    index: usize,
    observed: *mut slipring_observed_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let observed = unsafe { place(observed) }?;
        // SAFETY: as the caller promises.
        let seen = unsafe { slot::<Observation>(observation) }?.peek().session(index)?;
        observed.set(slipring_observed_t {
            size: 0,
            session: seen.session,
            age_ns: u64::try_from(seen.age.as_nanos()).unwrap_or(u64::MAX),
            kind: number(seen.kind),
            peer_shows: i32::from(seen.theirs.is_some()),
            pid: seen.pid,
            uid: seen.uid,
        });
        Ok(())
    })
}

/// What the listening end of session number `index` has counted. Begin with slipring_stats_init(&stats).
///
/// As for slipring_observation_session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_observation_stats(
    observation: *const slipring_observation_t,
    index: usize,
    stats: *mut slipring_stats_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let stats = unsafe { place(stats) }?;
        // SAFETY: as the caller promises.
        let seen = unsafe { slot::<Observation>(observation) }?.peek().session(index)?;
        stats.set(slipring_stats_t::of(&seen.ours));
        Ok(())
    })
}

/// What the connecting end of session number `index` showed, as the listening end read it then.
///
/// SLIPRING_UNSUPPORTED if it shows none; else as for slipring_observation_session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_observation_peer_stats(
    observation: *const slipring_observation_t,
    index: usize,
    stats: *mut slipring_stats_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let stats = unsafe { place(stats) }?;
        // SAFETY: as the caller promises.
        let seen = unsafe { slot::<Observation>(observation) }?.peek().session(index)?;
        stats.set(slipring_stats_t::shown(seen.theirs)?);
        Ok(())
    })
}

/// Frees an observation. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_observation_free(observation: *mut slipring_observation_t) -> slipring_status_t {
    boundary(|| {
        if !observation.is_null() {
            // SAFETY: as the caller promises.
            drop(unsafe { enter::<Observation>(observation) }?.free());
        }
        Ok(())
    })
}
