//! Shared objects with numbers: each holds the bytes of the frame with its number, so that whoever gets one knows which it is, and
//! whether it is whole.

use crate::frames;
use crate::proc::await_that;
use slipring::{Bus, Cause, SharedBuffer, State};

/// Object `number`, `len` bytes long.
///
/// # Panics
/// If there is no memory for it.
#[must_use]
pub fn object(number: u64, len: usize) -> SharedBuffer {
    let mut built = SharedBuffer::build(len).expect("memory");
    frames::fill(number, &mut built);
    built.seal().expect("nobody else has it")
}

/// Whether this is object `number`, undamaged.
#[must_use]
pub fn is_object(number: u64, shared: &[u8]) -> bool {
    frames::is(number, frames::type_id(number), shared)
}

/// Has both ends look at their sockets until the receiving one knows `count` objects.
///
/// # Panics
/// If either session is over, or a frame comes.
pub fn await_known(sends: &mut Bus, receives: &mut Bus, count: u32) {
    await_that(|| {
        assert_eq!((sends.state(), receives.try_recv().err()), (State::Open, Some(Cause::Empty)));
        receives.stats().shared_known == count
    });
}
