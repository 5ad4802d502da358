//! A clock that can be taken from time.
//!
//! The library looks at the socket about every millisecond, and learns by the clock when that is. Under callgrind all goes fifty
//! times slower, and not always equally slow, so it would look now more often and now less. While instructions are counted time
//! goes on only by being looked at, a little each time, so that what waits for a moment comes to its end, and always after as many
//! looks: this program has its own `clock_gettime`, which stands before the one of the C library wherever the program itself
//! asks for the time.

use std::cell::Cell;
use std::ffi::{c_int, c_long};

use rustix::time::{ClockId, Timespec, clock_gettime as ask};

const _: () = assert!(size_of::<Timespec>() == 2 * size_of::<c_long>(), "C's timespec and rustix's are the same");

/// By how much a look at the clock makes it later, in nanoseconds: about what a look takes.
const STEP: c_long = 50;

thread_local! {
    static STILL: Cell<Option<Timespec>> = const { Cell::new(None) };
}

/// From now on time goes on for this thread only when it asks for it.
pub(crate) fn still_the_clock() {
    STILL.set(Some(ask(ClockId::Monotonic)));
}

/// The time of a thread whose clock is still.
fn look() -> Option<Timespec> {
    let mut now = STILL.get()?;
    now.tv_nsec += STEP;
    if now.tv_nsec >= 1_000_000_000 {
        (now.tv_sec, now.tv_nsec) = (now.tv_sec + 1, now.tv_nsec - 1_000_000_000);
    }
    STILL.set(Some(now));
    Some(now)
}

/// What the standard library reads a clock with.
///
/// # Safety
/// - `time` is valid for writing.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int {
    debug_assert!(!time.is_null(), "a time goes somewhere");
    let clock = if clock == ClockId::Realtime as c_int { ClockId::Realtime } else { ClockId::Monotonic };
    let now = look().unwrap_or_else(|| ask(clock));
    // SAFETY: the caller guarantees that `time` is valid for writing.
    unsafe { time.write(now) };
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn time_goes_on_until_the_clock_is_still_and_then_by_looks() {
        std::thread::spawn(|| {
            let start = Instant::now();
            while start.elapsed() < Duration::from_micros(10) {}
            still_the_clock();
            let still = Instant::now();
            std::thread::sleep(Duration::from_millis(2));
            for looks in 1..50_000_000_u32 / STEP as u32 {
                assert_eq!(still.elapsed(), Duration::from_nanos(u64::from(looks) * STEP as u64));
            }
            assert!(still > start);
        })
        .join()
        .expect("no panic");
    }
}
