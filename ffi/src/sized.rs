//! Structs that answers are written to, and that can grow at their end.
//!
//! Their first field says how much of one there is. A program that was built with an older header has less of it, and is told what
//! it has room for; one that was built with a newer header has more, and what this library does not know of it stays as it was
//! begun: zero.

use crate::boundary::{Failure, invalid};
use crate::status::slipring_status_t;

/// No struct of any version is longer.
const SIZE_MAX: usize = 4096;

/// A struct that begins with its size, a `usize`, and of which zeros are a value.
///
/// # Safety
/// - It is `repr(C)`, its first field is `size: usize`, and it has no padding whose bytes could be told from others.
pub(crate) unsafe trait Growing: Copy {
    const IS_NULL: &'static str;
    const IS_NONE: &'static str;

    /// Sets the first field.
    fn with_size(self, size: usize) -> Self;
}

/// Says of a struct what [`Growing`] asks.
macro_rules! sized {
    ($type:ty, $name:literal) => {
        // SAFETY: it begins with its size, and is as C has it.
        unsafe impl $crate::sized::Growing for $type {
            const IS_NULL: &'static str = concat!($name, " is null, or not aligned");
            const IS_NONE: &'static str =
                concat!($name, ".size is of no version of this struct: begin with slipring_", $name, "_init");

            fn with_size(self, size: usize) -> Self {
                Self { size, ..self }
            }
        }
    };
}
pub(crate) use sized;

fn check<T: Growing>(place: *const T, size: usize) -> Result<(), Failure> {
    if place.is_null() || !place.is_aligned() {
        return Err(invalid(T::IS_NULL));
    }
    if (size_of::<usize>()..=SIZE_MAX).contains(&size) && size.is_multiple_of(align_of::<T>()) {
        return Ok(());
    }
    Err(Failure::Here(slipring_status_t::SLIPRING_STRUCT_SIZE, T::IS_NONE))
}

/// Fills a struct of `size` bytes with zeros, and says in it how long it is.
///
/// # Safety
/// - `place` is null, or leads to `size` bytes that can be written to.
pub(crate) unsafe fn init<T: Growing>(place: *mut T, size: usize) -> Result<(), Failure> {
    check(place, size)?;
    // SAFETY: the caller has `size` bytes there.
    unsafe { place.cast::<u8>().write_bytes(0, size) };
    // SAFETY: the size is the first field, and the smallest that was let through has room for it.
    unsafe { place.cast::<usize>().write(size) };
    Ok(())
}

/// A place for an answer, checked before anything is done.
pub(crate) struct Place<T> {
    place: *mut T,
    size: usize,
}

/// Finds out how much room the caller has.
///
/// # Safety
/// - `place` is null, or leads to a `usize` and to as many bytes as that says.
pub(crate) unsafe fn place<T: Growing>(place: *mut T) -> Result<Place<T>, Failure> {
    check(place, size_of::<usize>())?;
    // SAFETY: what our caller promises.
    let size = unsafe { place.cast::<usize>().read() };
    check(place, size)?;
    Ok(Place { place, size })
}

impl<T: Growing> Place<T> {
    /// Writes the answer as far as the caller has room for it.
    pub(crate) fn set(self, answer: T) {
        let answer = answer.with_size(self.size);
        let known = self.size.min(size_of::<T>());
        // SAFETY: `known` is at most what the caller has, and at most what we have.
        unsafe { std::ptr::from_ref(&answer).cast::<u8>().copy_to_nonoverlapping(self.place.cast(), known) };
    }
}
