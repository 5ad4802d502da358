//! A Bus as C holds it: opening and closing.

use crate::boundary::{Failure, boundary};
use crate::claim::Claim;
use crate::config::{self, slipring_config_t};
use crate::given::{out, text};
use crate::handle::{Slot, create, enter, give_back, object};
use crate::home::Home;
use crate::lease::Lease;
use crate::patience::deadline;
use crate::status::slipring_status_t;
use std::ffi::c_char;
use std::time::Duration;
use transport::Bus as End;

/// One end of a one-way stream of messages: the end that listens receives, the end that connects sends.
pub struct slipring_bus_t {
    _opaque: [u8; 0],
}

/// How many pieces of memory wait with a bus for its next lease, or claim. More are open at once only where leases that are over
/// were not released.
pub(crate) const SPARE: usize = 64;

/// What a handle of a bus leads to.
pub(crate) struct Bus {
    pub(crate) home: Home<End>,
    /// Memory for handles of leases and claims that were given back: a message needs no other.
    pub(crate) leases: Vec<&'static Slot<Lease>>,
    pub(crate) claims: Vec<&'static Slot<Claim>>,
    /// The frames of a batch, and what was borrowed for them: empty but for the time of a callback.
    pub(crate) batch: Vec<crate::bus_recv::slipring_frame_t>,
}

object!(Bus, slipring_bus_t, b"slr bus ", "bus");

impl Bus {
    pub(crate) fn open(end: End) -> *mut slipring_bus_t {
        let home = Home::Here(Box::new(end));
        create(Self { home, leases: Vec::new(), claims: Vec::new(), batch: Vec::new() })
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.leases.drain(..).for_each(give_back);
        self.claims.drain(..).for_each(give_back);
    }
}

/// Listens at `address` for one peer, and receives from it. An address is a bare name (letters, digits, '.', '_' and '-', at most 64)
/// in the user's runtime directory, or a path: anything with a '/'. Waits for the peer until the timeout; the name is given back as
/// soon as the session stands. For any number of peers: slipring_listener_bind. The bus is the caller's, to be freed by
/// slipring_bus_free.
///
/// SLIPRING_ADDRESS_IN_USE, SLIPRING_TIMEOUT, SLIPRING_CONFIG, SLIPRING_OUT_OF_MEMORY, SLIPRING_INTERRUPTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_listen(
    address: *const c_char,
    config: *const slipring_config_t,
    timeout_ns: i64,
    bus: *mut *mut slipring_bus_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let bus = unsafe { out(bus) }?;
        // SAFETY: as the caller promises.
        let address = unsafe { text(address, "address is null") }?;
        // SAFETY: as the caller promises.
        let options = unsafe { config::options(config) }?;
        bus.set(Bus::open(End::listen_until(address, &options, deadline(timeout_ns)?)?));
        Ok(())
    })
}

/// Connects to the listener at `address`, to send to it. The timeout is for the listener to appear: with 0 it must be there. The bus
/// is the caller's, to be freed by slipring_bus_free.
///
/// SLIPRING_NOT_FOUND (the text says where was looked), SLIPRING_REFUSED, SLIPRING_VERSION_MISMATCH, SLIPRING_TIMEOUT, SLIPRING_CONFIG,
/// SLIPRING_OUT_OF_MEMORY, SLIPRING_INTERRUPTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_connect(
    address: *const c_char,
    config: *const slipring_config_t,
    timeout_ns: i64,
    bus: *mut *mut slipring_bus_t,
) -> slipring_status_t {
    boundary(|| {
        // SAFETY: as the caller promises.
        let bus = unsafe { out(bus) }?;
        // SAFETY: as the caller promises.
        let address = unsafe { text(address, "address is null") }?;
        // SAFETY: as the caller promises.
        let options = unsafe { config::options(config) }?;
        bus.set(Bus::open(End::connect_until(address, &options, deadline(timeout_ns)?)?));
        Ok(())
    })
}

/// Says goodbye and ends the session, after waiting at most `linger_ns` until the peer has read everything. What was sent before
/// can be read by the peer either way. Afterwards the handle can only be freed; leases and claims of it are over.
///
/// SLIPRING_TIMEOUT if the time passed before everything was read; the peer's end if that came first. It is closed all the same.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_close(bus: *mut slipring_bus_t, linger_ns: i64) -> slipring_status_t {
    boundary(|| {
        let linger = linger(linger_ns)?;
        // SAFETY: as the caller promises.
        let mut bus = unsafe { enter::<Bus>(bus) }?;
        let end = bus.home.take()?;
        bus.slot().end_life();
        Ok(end.close(linger)?)
    })
}

/// How long a close waits; -1 is for ever.
pub(crate) fn linger(linger_ns: i64) -> Result<Duration, Failure> {
    match linger_ns {
        -1 => Ok(Duration::MAX),
        time => u64::try_from(time)
            .map(Duration::from_nanos)
            .map_err(|_| crate::boundary::invalid("linger_ns must be 0, positive, or -1 for ever")),
    }
}

/// Closes the bus without waiting, if it is open, and frees the handle. NULL is fine. Leases and claims of it are over, but for those
/// that are the caller's own (slipring_lease_keep, slipring_bus_claim_owned); their handles are still to be released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_bus_free(bus: *mut slipring_bus_t) -> slipring_status_t {
    boundary(|| {
        if bus.is_null() {
            return Ok(());
        }
        // SAFETY: as the caller promises.
        let bus = unsafe { enter::<Bus>(bus) }?;
        bus.home.check_free()?;
        drop(bus.free());
        Ok(())
    })
}
