//! Statuses: causes as numbers, which are for ever, and their texts.

use crate::boundary;
use crate::given::put_text;
use std::ffi::{CStr, c_char};
use transport::Cause;

/// What a function answers. A number keeps its meaning for ever; new ones are added behind the last of their range. 1 to 63 are
/// causes that every language of slipring has; from 64 on they are what only a C program can meet. Take an unknown number for
/// SLIPRING_SYSTEM.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum slipring_status_t {
    /// All went well.
    SLIPRING_OK = 0,
    /// No room has been seen free. Only where the timeout is 0.
    SLIPRING_FULL = 1,
    /// Nothing has arrived yet. Only where the timeout is 0.
    SLIPRING_EMPTY = 2,
    /// The timeout passed.
    SLIPRING_TIMEOUT = 3,
    /// The peer said goodbye, and everything that it had sent was delivered.
    SLIPRING_CLOSED = 4,
    /// The peer ended without a goodbye; everything that it had sent was delivered.
    SLIPRING_PEER_DIED = 5,
    /// The peer broke the protocol. The session is over; this process was not touched.
    SLIPRING_CORRUPT = 6,
    /// The payload is longer than what fits; the text says both numbers.
    SLIPRING_TOO_LARGE = 7,
    /// The listener turned the connection down; the text says why.
    SLIPRING_REFUSED = 8,
    /// The two sides have different versions of the memory's layout.
    SLIPRING_VERSION_MISMATCH = 9,
    /// Nobody listens there; of a call: the peer serves no calls.
    SLIPRING_NOT_FOUND = 10,
    /// A living listener has the address.
    SLIPRING_ADDRESS_IN_USE = 11,
    /// Memory, or a descriptor, could not be had.
    SLIPRING_OUT_OF_MEMORY = 12,
    /// A signal handler ran during the wait. Call again to go on waiting.
    SLIPRING_INTERRUPTED = 13,
    /// The peer has more to do than it takes on: calls are nested too deeply.
    SLIPRING_OVERLOADED = 14,
    /// The call was given up before it was served.
    SLIPRING_CANCELLED = 15,
    /// The peer answered the call with an error: see slipring_remote_code, and slipring_last_error for its text.
    SLIPRING_REMOTE = 16,
    /// An argument can never be right: null where null may not be, a freed handle, a number out of range. The text says which.
    SLIPRING_INVALID_ARGUMENT = 17,
    /// The platform, or the peer, cannot do this.
    SLIPRING_UNSUPPORTED = 18,
    /// A setting, from the environment or from the config, is not usable.
    SLIPRING_CONFIG = 19,
    /// The handle belongs to the process that forked this one.
    SLIPRING_FORKED = 20,
    /// The operating system refused, for a reason that the text says.
    SLIPRING_SYSTEM = 21,
    /// The handle is in use by another thread, or by the call out of which this one is made.
    SLIPRING_WRONG_THREAD = 64,
    /// A fault of the library's own, caught at its door. Nothing more is known of the handle: free it.
    SLIPRING_PANIC = 65,
    /// The lease or claim is over: its bus received again, was closed or freed; or its request was replied to.
    SLIPRING_OVER = 66,
    /// The size of a struct is none that this library knows; or the header is newer, and asks for something in a part that this
    /// library does not have.
    SLIPRING_STRUCT_SIZE = 67,
    /// This end was closed here.
    SLIPRING_USE_AFTER_CLOSE = 68,
}

use slipring_status_t::*;

impl slipring_status_t {
    /// The number of a cause.
    pub(crate) fn of(cause: Cause) -> Self {
        match cause {
            Cause::Full => SLIPRING_FULL,
            Cause::Empty => SLIPRING_EMPTY,
            Cause::Timeout => SLIPRING_TIMEOUT,
            Cause::Closed => SLIPRING_CLOSED,
            Cause::PeerDied => SLIPRING_PEER_DIED,
            Cause::Corrupt(_) => SLIPRING_CORRUPT,
            Cause::TooLarge { .. } => SLIPRING_TOO_LARGE,
            Cause::Refused { .. } => SLIPRING_REFUSED,
            Cause::Version { .. } => SLIPRING_VERSION_MISMATCH,
            Cause::NotFound => SLIPRING_NOT_FOUND,
            Cause::AddressInUse => SLIPRING_ADDRESS_IN_USE,
            Cause::OutOfMemory => SLIPRING_OUT_OF_MEMORY,
            Cause::Interrupted => SLIPRING_INTERRUPTED,
            Cause::Overloaded => SLIPRING_OVERLOADED,
            Cause::Cancelled => SLIPRING_CANCELLED,
            Cause::Remote { .. } => SLIPRING_REMOTE,
            Cause::InvalidArgument { .. } => SLIPRING_INVALID_ARGUMENT,
            Cause::Unsupported { .. } => SLIPRING_UNSUPPORTED,
            Cause::Config => SLIPRING_CONFIG,
            Cause::Forked => SLIPRING_FORKED,
            _ => SLIPRING_SYSTEM,
        }
    }
}

/// Every status with its text.
const TEXTS: [(slipring_status_t, &CStr); 27] = [
    (SLIPRING_OK, c"all went well"),
    (SLIPRING_FULL, c"the ring is full"),
    (SLIPRING_EMPTY, c"nothing has arrived"),
    (SLIPRING_TIMEOUT, c"the timeout passed"),
    (SLIPRING_CLOSED, c"the peer has closed the session"),
    (SLIPRING_PEER_DIED, c"the peer died"),
    (SLIPRING_CORRUPT, c"the peer broke the protocol"),
    (SLIPRING_TOO_LARGE, c"the payload is too large"),
    (SLIPRING_REFUSED, c"the listener refused"),
    (SLIPRING_VERSION_MISMATCH, c"the peer has another layout version"),
    (SLIPRING_NOT_FOUND, c"nobody is there"),
    (SLIPRING_ADDRESS_IN_USE, c"the address is in use"),
    (SLIPRING_OUT_OF_MEMORY, c"out of memory or descriptors"),
    (SLIPRING_INTERRUPTED, c"interrupted by a signal"),
    (SLIPRING_OVERLOADED, c"the peer is overloaded"),
    (SLIPRING_CANCELLED, c"the call was cancelled"),
    (SLIPRING_REMOTE, c"the peer answered with an error"),
    (SLIPRING_INVALID_ARGUMENT, c"invalid argument"),
    (SLIPRING_UNSUPPORTED, c"unsupported"),
    (SLIPRING_CONFIG, c"unusable configuration"),
    (SLIPRING_FORKED, c"this handle belongs to the process that forked"),
    (SLIPRING_SYSTEM, c"the operating system refused"),
    (SLIPRING_WRONG_THREAD, c"the handle is in use"),
    (SLIPRING_PANIC, c"a fault of the library's own"),
    (SLIPRING_OVER, c"the lease or claim is over"),
    (SLIPRING_STRUCT_SIZE, c"a struct of a size that this library does not know"),
    (SLIPRING_USE_AFTER_CLOSE, c"this end was closed here"),
];

/// A short text for a status, of any number. It lives for ever. What happened in particular: slipring_last_error.
#[unsafe(no_mangle)]
pub extern "C" fn slipring_strerror(status: i32) -> *const c_char {
    let known = TEXTS.iter().find(|(known, _)| *known as i32 == status);
    known.map_or(c"a status that this library does not know", |(_, text)| text).as_ptr()
}

/// Why the last function that failed in this thread did: the whole cause, with names, numbers and what the operating system
/// said. Writes as much as fits into `text`, always ended by a NUL where `capacity` is not 0, and answers the length of the whole,
/// without the NUL: an answer of `capacity` or more says that the text was cut. Empty if nothing failed yet. Functions that succeed
/// leave it alone, so ask only after a failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_last_error(text: *mut c_char, capacity: usize) -> usize {
    // Not through the boundary: that would put its own failure in the place of what is asked for.
    let said = std::panic::catch_unwind(boundary::last_text).unwrap_or_default();
    // SAFETY: as the caller promises.
    unsafe { put_text(&said, text, capacity) }
}

/// The number that the peer gave with its error, if the last failure of this thread was SLIPRING_REMOTE; else 0. From 2147483648
/// on it is the peer's library that says it: its handler failed, or ended without a reply.
#[unsafe(no_mangle)]
pub extern "C" fn slipring_remote_code() -> u32 {
    boundary::last_remote_code()
}
