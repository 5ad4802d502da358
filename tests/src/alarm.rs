//! A storm of signals: a timer that interrupts the calling thread thousands of times a second.

use std::time::Duration;

/// Interrupts the calling thread with `SIGALRM` every `period`, for the rest of the life of this process.
///
/// The handler does nothing and is installed without `SA_RESTART`, so that every system call that can be interrupted is.
pub fn interrupt_this_thread_every(period: Duration) {
    install_handler();
    // SAFETY: plain numbers and unions of them, for which zero is valid.
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    event.sigev_notify = libc::SIGEV_THREAD_ID;
    event.sigev_signo = libc::SIGALRM;
    event.sigev_notify_thread_id = rustix::thread::gettid().as_raw_nonzero().get();
    let mut timer: libc::timer_t = std::ptr::null_mut();
    // SAFETY: reads the event and writes the timer, which both live through the call.
    let made = unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) };
    assert_eq!(made, 0, "a timer: {}", std::io::Error::last_os_error());
    let nanoseconds = libc::c_long::try_from(period.as_nanos()).expect("a period below a second");
    let period = libc::timespec { tv_sec: 0, tv_nsec: nanoseconds };
    let times = libc::itimerspec { it_interval: period, it_value: period };
    // SAFETY: the timer was just made, and the times live through the call.
    let set = unsafe { libc::timer_settime(timer, 0, &raw const times, std::ptr::null_mut()) };
    assert_eq!(set, 0, "start the timer: {}", std::io::Error::last_os_error());
}

fn install_handler() {
    extern "C" fn ignore(_signal: libc::c_int) {}
    // SAFETY: plain numbers, for which zero is valid: no flags, no other signals blocked.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = ignore as *const () as libc::sighandler_t;
    // SAFETY: the handler does nothing, which is safe at any moment; the action lives through the call.
    let set = unsafe { libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()) };
    assert_eq!(set, 0, "a handler: {}", std::io::Error::last_os_error());
}
