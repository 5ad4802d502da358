//! Loans: how memory that is lent without initialization is written in place.
//!
//! The crate lends its data segment as `MaybeUninit` bytes. Initializing them first would write every payload twice, which
//! its best mode does not; so the kit's writer gets the very bytes.

use std::mem::MaybeUninit;

/// The bytes of a loan, to be written.
///
/// # Safety
///
/// * `lent` stands in a segment that the operating system mapped, as every loan of this crate does: its bytes have values,
///   even if nobody knows which.
#[inline]
pub(crate) unsafe fn bytes_of(lent: &mut [MaybeUninit<u8>]) -> &mut [u8] {
    let bytes: *mut [u8] = lent as *mut [MaybeUninit<u8>] as *mut [u8];
    // SAFETY: the two slices have the same layout, the borrow of `lent` is exclusive and lives as long as the answer, and the
    // caller promises that the bytes have values.
    unsafe { &mut *bytes }
}
