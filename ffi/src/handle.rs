//! Handles: what C holds in place of an object, in memory that stays what it is.
//!
//! Memory of a handle is never given back to the allocator. When its object is freed it waits in the pool of its type for the
//! next one, and its first word says so. So a handle that was freed, or is of another type, is found out and answered with a
//! status, and no memory of somebody else's is ever looked at. (One that was freed *and given out again* is the new one: that
//! cannot be told.)
//!
//! A handle belongs to one thread at a time. Who is inside says so by a plain flag: a second thread that comes at the same time is
//! told, not always, but at no cost. Nothing here ever waits.
//!
//! `life` counts the objects that lived in this memory, and `epoch` the times at which what was lent out by it ended. What was lent
//! out remembers the count, and so knows when it is over without having to be found.

use crate::boundary::{Failure, invalid};
use crate::status::slipring_status_t;
use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The tag of memory whose object was freed.
const FREED: u64 = u64::from_le_bytes(*b"slr free");

/// How often the pool is tried before memory is made, or left. Who holds it does so for some ten instructions.
const TRIES: u32 = 1000;

/// What a type of handles is.
pub(crate) trait Object: Sized + 'static {
    /// What C sees.
    type Opaque;
    /// The first word of a living handle.
    const TAG: u64;
    const IS_NULL: &'static str;
    const IS_NONE: &'static str;

    /// Where the memory of freed handles waits.
    fn pool() -> &'static Pool<Self>;
}

/// Says of a type what [`Object`] asks.
macro_rules! object {
    ($type:ty, $opaque:ty, $tag:literal, $name:literal) => {
        impl $crate::handle::Object for $type {
            type Opaque = $opaque;
            const TAG: u64 = u64::from_le_bytes(*$tag);
            const IS_NULL: &'static str = concat!($name, " is null");
            const IS_NONE: &'static str = concat!($name, " is no such handle: it was freed, or is of another type");

            fn pool() -> &'static $crate::handle::Pool<Self> {
                static POOL: $crate::handle::Pool<$type> = $crate::handle::Pool::new();
                &POOL
            }
        }
    };
}
pub(crate) use object;

/// The memory of a handle.
#[repr(C)]
pub(crate) struct Slot<T> {
    /// Which type lives here, if any. The first word in every type of slot, so that it can be looked at before the type is known.
    tag: AtomicU64,
    life: AtomicU64,
    epoch: AtomicU64,
    busy: AtomicBool,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: the value is reached by who has set `busy` alone, and by one thread at a time, which is what every caller of a C function
// promises of a handle; the other fields are atomics.
unsafe impl<T> Sync for Slot<T> {}
// SAFETY: as above; objects of the transport may move between threads between calls.
unsafe impl<T> Send for Slot<T> {}

/// Where the memory of freed handles waits.
pub(crate) struct Pool<T: 'static>(Mutex<Vec<&'static Slot<T>>>);

impl<T> Pool<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Does something with the pool, unless another thread is there for too long: it may be one that a fork has left behind.
    fn with<R>(&self, act: impl FnOnce(&mut Vec<&'static Slot<T>>) -> R) -> Option<R> {
        for _ in 0..TRIES {
            if let Ok(mut free) = self.0.try_lock() {
                return Some(act(&mut free));
            }
            std::hint::spin_loop();
        }
        None
    }
}

impl<T: Object> Slot<T> {
    /// Memory in which nothing lives: from the pool, or made.
    pub(crate) fn blank() -> &'static Self {
        let waiting = T::pool().with(Vec::pop).flatten();
        waiting.unwrap_or_else(|| {
            Box::leak(Box::new(Self {
                tag: AtomicU64::new(FREED),
                life: AtomicU64::new(0),
                epoch: AtomicU64::new(0),
                busy: AtomicBool::new(false),
                value: UnsafeCell::new(None),
            }))
        })
    }

    /// Begins a life in memory in which nothing lives.
    #[inline]
    pub(crate) fn begin(&'static self, value: T) -> *mut T::Opaque {
        debug_assert_eq!(self.tag.load(Ordering::Relaxed), FREED);
        let place = self.value.get();
        // SAFETY: nothing lives here, and whoever begins a life has this memory from the pool, or made it, and nobody else has it.
        unsafe { *place = Some(value) };
        self.count(&self.life);
        self.count(&self.epoch);
        self.tag.store(T::TAG, Ordering::Release);
        self.handle()
    }

    /// What C holds.
    pub(crate) fn handle(&'static self) -> *mut T::Opaque {
        std::ptr::from_ref(self).cast_mut().cast()
    }

    /// Adds one to a count that only the owning thread changes.
    fn count(&self, count: &AtomicU64) {
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Whoever was lent something by this handle has it no more.
    #[inline]
    pub(crate) fn end_epoch(&self) {
        self.count(&self.epoch);
    }

    #[inline]
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Whoever relied on the object has lost it, though the handle lives on.
    pub(crate) fn end_life(&self) {
        self.count(&self.life);
        self.end_epoch();
    }

    #[inline]
    pub(crate) fn life(&self) -> u64 {
        self.life.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn is_alive(&self) -> bool {
        self.tag.load(Ordering::Acquire) == T::TAG
    }

    /// Comes in, unless somebody is inside.
    #[inline]
    pub(crate) fn enter(&'static self) -> Result<Entered<T>, Failure> {
        if self.busy.load(Ordering::Relaxed) {
            return Err(in_use());
        }
        self.busy.store(true, Ordering::Relaxed);
        Ok(Entered { slot: self })
    }

    /// Looks at an object that any number of threads may use at once.
    pub(crate) fn peek(&'static self) -> &'static T
    where
        T: Sync,
    {
        let place = self.value.get();
        // SAFETY: objects of types that are only peeked at are never changed between their making and their freeing, and whoever
        // frees one promises that nobody uses it any more.
        let value: &Option<T> = unsafe { &*place };
        value.as_ref().expect("a living handle has an object")
    }
}

#[cold]
fn in_use() -> Failure {
    Failure::Here(
        slipring_status_t::SLIPRING_WRONG_THREAD,
        "the handle is in use: by another thread, or by the call out of which this one is made",
    )
}

/// Finds the memory behind a handle.
///
/// # Safety
/// - `handle` is null, or was given out by this library, as a handle of whatever type, freed or not.
#[inline]
pub(crate) unsafe fn slot<T: Object>(handle: *const T::Opaque) -> Result<&'static Slot<T>, Failure> {
    if handle.is_null() {
        return Err(invalid(T::IS_NULL));
    }
    let first_word = handle.cast::<AtomicU64>();
    if !first_word.is_aligned() {
        return Err(invalid(T::IS_NONE));
    }
    // SAFETY: a handle leads to the memory of a slot, which is never given back, and whose first word is its tag.
    let tag = unsafe { &*first_word };
    if tag.load(Ordering::Acquire) != T::TAG {
        return Err(invalid(T::IS_NONE));
    }
    // SAFETY: the tag says that this is the memory of a slot of this type, and such memory is never given back.
    Ok(unsafe { &*handle.cast::<Slot<T>>() })
}

/// Finds the object behind a handle, and keeps others out.
///
/// # Safety
/// As for [`slot`].
#[inline]
pub(crate) unsafe fn enter<T: Object>(handle: *mut T::Opaque) -> Result<Entered<T>, Failure> {
    // SAFETY: what our caller promises.
    unsafe { slot::<T>(handle) }?.enter()
}

/// Finds the object behind a handle to read it, which leaves no mark: nobody else is inside, and nobody comes in meanwhile, if the
/// caller keeps the handle to one thread.
///
/// # Safety
/// As for [`slot`]; and no other call is made with this handle before `read` has returned.
#[inline]
pub(crate) unsafe fn look<T: Object, R>(
    handle: *const T::Opaque,
    read: impl FnOnce(&T) -> Result<R, Failure>,
) -> Result<R, Failure> {
    // SAFETY: what our caller promises.
    let slot = unsafe { slot::<T>(handle) }?;
    if slot.busy.load(Ordering::Relaxed) {
        return Err(in_use());
    }
    let place = slot.value.get();
    // SAFETY: nobody is inside, and nobody comes in before this is over.
    let value: &Option<T> = unsafe { &*place };
    read(value.as_ref().expect("a living handle has an object"))
}

/// Makes a handle of an object.
pub(crate) fn create<T: Object>(value: T) -> *mut T::Opaque {
    Slot::blank().begin(value)
}

/// An object that nobody else is to reach before this drops.
pub(crate) struct Entered<T: Object> {
    slot: &'static Slot<T>,
}

impl<T: Object> Entered<T> {
    #[inline]
    pub(crate) fn slot(&self) -> &'static Slot<T> {
        self.slot
    }

    /// Ends the life of the object. Its memory is for the caller to use again.
    #[inline]
    pub(crate) fn end(self) -> (T, &'static Slot<T>) {
        let place = self.slot.value.get();
        // SAFETY: whoever is inside is alone with the value.
        let value = unsafe { (*place).take() };
        self.slot.tag.store(FREED, Ordering::Relaxed);
        self.slot.end_life();
        (value.expect("a living handle has an object"), self.slot)
    }

    /// Ends the life of an object that has nothing to drop: it stays where it is until the memory is used again, which is for the
    /// caller to see to.
    #[inline]
    pub(crate) fn retire(self) -> &'static Slot<T> {
        self.slot.tag.store(FREED, Ordering::Relaxed);
        self.slot.end_life();
        self.slot
    }

    /// Ends the life of the object, and lets the memory wait in the pool. Where that cannot be reached the memory is lost.
    pub(crate) fn free(self) -> T {
        let (value, slot) = self.end();
        give_back(slot);
        value
    }
}

/// Lets memory in which nothing lives wait in the pool.
pub(crate) fn give_back<T: Object>(slot: &'static Slot<T>) {
    let _ = T::pool().with(|free| free.push(slot));
}

impl<T: Object> Deref for Entered<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        let place = self.slot.value.get();
        // SAFETY: whoever is inside is alone with the value.
        let value: &Option<T> = unsafe { &*place };
        value.as_ref().expect("a living handle has an object")
    }
}

impl<T: Object> DerefMut for Entered<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        let place = self.slot.value.get();
        // SAFETY: whoever is inside is alone with the value.
        let value: &mut Option<T> = unsafe { &mut *place };
        value.as_mut().expect("a living handle has an object")
    }
}

impl<T: Object> Drop for Entered<T> {
    #[inline]
    fn drop(&mut self) {
        self.slot.busy.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) struct thing_t;
    struct Thing(u32);
    object!(Thing, thing_t, b"tst thng", "thing");
    pub(super) struct other_t;
    struct Other;
    object!(Other, other_t, b"tst othr", "other");

    fn text<T>(result: Result<T, Failure>) -> String {
        match result {
            Err(Failure::Cause(cause)) => cause.to_string(),
            Err(Failure::Here(_, text)) => text.to_owned(),
            _ => String::new(),
        }
    }

    #[test]
    fn a_freed_a_foreign_and_a_null_handle_are_told() {
        let handle = create(Thing(7));
        // SAFETY: a handle.
        assert_eq!(unsafe { enter::<Thing>(handle) }.expect("alive").0, 7);
        // SAFETY: a handle, of another type.
        assert!(text(unsafe { enter::<Other>(handle.cast()) }).contains("of another type"));
        // SAFETY: a handle.
        let life = unsafe { enter::<Thing>(handle) }.expect("alive");
        assert!(text(life.slot().enter()).contains("in use"));
        let slot = life.slot();
        assert_eq!(life.free().0, 7);
        // SAFETY: a handle that was freed.
        assert!(text(unsafe { enter::<Thing>(handle) }).contains("it was freed"));
        // SAFETY: null.
        assert!(text(unsafe { enter::<Thing>(std::ptr::null_mut()) }).ends_with("thing is null"));
        let life = slot.life();
        assert_eq!(create(Thing(8)), handle, "the memory is used again");
        assert!(slot.life() > life);
    }
}
