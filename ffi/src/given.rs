//! What C gives: pointers, lengths and texts, checked before anything is done with them; and where answers go.

use crate::boundary::{Failure, invalid};
use std::ffi::{c_char, c_void};
use std::ptr::NonNull;

/// The longest address or directory that is looked at, in bytes: as long as a path can be (`PATH_MAX`, linux/limits.h).
const TEXT_MAX: usize = 4096;

/// The bytes of a payload.
///
/// # Safety
/// - `data` leads to `len` bytes that nobody changes before the function returns, or `len` is 0.
#[inline]
pub(crate) unsafe fn bytes<'a>(data: *const c_void, len: usize) -> Result<&'a [u8], Failure> {
    check(data, len)?;
    // SAFETY: what our caller promises, and it was checked.
    Ok(unsafe { checked(data, len) })
}

/// Whether there can be `len` bytes at `data`.
#[inline]
pub(crate) fn check(data: *const c_void, len: usize) -> Result<(), Failure> {
    if data.is_null() && len != 0 {
        return Err(invalid("data is null, and len is not 0"));
    }
    if len > isize::MAX as usize {
        return Err(invalid("len is more than there can be"));
    }
    Ok(())
}

/// The bytes of a payload that was checked.
///
/// # Safety
/// - As for [`bytes`], and [`check`] had nothing against them.
#[inline]
pub(crate) unsafe fn checked<'a>(data: *const c_void, len: usize) -> &'a [u8] {
    // C may have no address for nothing, or any.
    let data = if len == 0 { NonNull::<u8>::dangling().as_ptr().cast_const() } else { data.cast() };
    // SAFETY: what our caller promises.
    unsafe { std::slice::from_raw_parts(data, len) }
}

/// An array.
///
/// # Safety
/// - `items` leads to `count` of them that nobody changes before the function returns, or `count` is 0.
pub(crate) unsafe fn array<'a, T>(items: *const T, count: usize) -> Result<&'a [T], Failure> {
    if count == 0 {
        return Ok(&[]);
    }
    if items.is_null() {
        return Err(invalid("an array is null, and its count is not 0"));
    }
    if !items.is_aligned() || count > isize::MAX as usize / size_of::<T>() {
        return Err(invalid("an array has an impossible address or count"));
    }
    // SAFETY: what our caller promises, and address and count are possible.
    Ok(unsafe { std::slice::from_raw_parts(items, count) })
}

/// A text that ends with a NUL.
///
/// # Safety
/// - `text` is null or leads to bytes up to a NUL, or to at least 4096 of them.
pub(crate) unsafe fn text<'a>(text: *const c_char, is_null: &'static str) -> Result<&'a str, Failure> {
    if text.is_null() {
        return Err(invalid(is_null));
    }
    let is_end = |&at: &usize| {
        let byte = text.wrapping_add(at);
        // SAFETY: no byte before this one was the NUL, and it is one of the first 4096.
        unsafe { *byte == 0 }
    };
    let len = (0..TEXT_MAX).find(is_end).ok_or_else(|| invalid("a text is longer than 4095 bytes, or does not end"))?;
    // SAFETY: these are the bytes before the NUL.
    let bytes = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), len) };
    std::str::from_utf8(bytes).map_err(|_| invalid("a text is not UTF-8"))
}

/// A place for an answer, checked before anything is done, so that a call which cannot answer does nothing.
pub(crate) struct Out<T>(*mut T);

/// # Safety
/// - `place` is null or leads to memory that a `T` can be written to.
#[inline]
pub(crate) unsafe fn out<T>(place: *mut T) -> Result<Out<T>, Failure> {
    if place.is_null() || !place.is_aligned() {
        return Err(invalid("the place for the answer is null, or not aligned"));
    }
    Ok(Out(place))
}

impl<T> Out<T> {
    #[inline]
    pub(crate) fn set(self, answer: T) {
        // SAFETY: whoever made this promised that the place can be written to, and it is neither null nor askew. The old content
        // is nobody's: C may not have set it.
        unsafe { self.0.write(answer) };
    }
}

/// Copies a text and a NUL to `place`, as much as fits, and answers how many bytes it has in all, without the NUL.
///
/// # Safety
/// - `place` leads to `capacity` bytes that can be written to, or `capacity` is 0.
pub(crate) unsafe fn put_text(text: &str, place: *mut c_char, capacity: usize) -> usize {
    if place.is_null() || capacity == 0 {
        return text.len();
    }
    // A letter of several bytes is not cut in two.
    let mut fits = text.len().min(capacity - 1);
    while !text.is_char_boundary(fits) {
        fits -= 1;
    }
    // SAFETY: `fits` is less than `capacity`, and the text is not in memory that the caller can write.
    unsafe { text.as_ptr().copy_to_nonoverlapping(place.cast(), fits) };
    let end = place.wrapping_add(fits);
    // SAFETY: `fits` is less than `capacity`.
    unsafe { end.write(0) };
    text.len()
}
