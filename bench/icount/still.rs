//! A clock that can be stopped.
//!
//! The library looks at the socket about every millisecond, and learns by the clock when that is. Under callgrind all goes fifty
//! times slower, and not always equally slow, so it would look now more often and now less. While instructions are counted time
//! stands still, as it nearly does between two messages of a stream: this program has its own `clock_gettime`, which stands
//! before the one of the C library wherever the program itself asks for the time.

use std::cell::Cell;
use std::ffi::{c_int, c_long};

use rustix::time::{ClockId, Timespec, clock_gettime as ask};

const _: () = assert!(size_of::<Timespec>() == 2 * size_of::<c_long>(), "C's timespec and rustix's are the same");

thread_local! {
    static STOPPED: Cell<Option<Timespec>> = const { Cell::new(None) };
}

/// From now on it is always now, for this thread.
pub(crate) fn stop_the_clock() {
    STOPPED.set(Some(ask(ClockId::Monotonic)));
}

/// What the standard library reads a clock with.
///
/// # Safety
/// - `time` is valid for writing.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int {
    debug_assert!(!time.is_null(), "a time goes somewhere");
    let clock = if clock == ClockId::Realtime as c_int { ClockId::Realtime } else { ClockId::Monotonic };
    let now = STOPPED.get().unwrap_or_else(|| ask(clock));
    // SAFETY: the caller guarantees that `time` is valid for writing.
    unsafe { time.write(now) };
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn time_goes_on_until_it_is_stopped_and_then_not() {
        std::thread::spawn(|| {
            let start = Instant::now();
            while start.elapsed() < Duration::from_micros(10) {}
            stop_the_clock();
            let stopped = Instant::now();
            std::thread::sleep(Duration::from_millis(2));
            assert_eq!(stopped.elapsed(), Duration::ZERO);
            assert!(stopped > start);
        })
        .join()
        .expect("no panic");
    }
}
