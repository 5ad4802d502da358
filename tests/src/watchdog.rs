//! An end for tests that hang: the process aborts and says which wait it was.

use std::fs;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// How long a test may take that states no other time.
const PATIENCE: Duration = Duration::from_secs(10);

/// One step of that.
const STEP: Duration = Duration::from_millis(50);

/// Watches until it is dropped.
#[derive(Debug)]
#[must_use = "a watchdog that is dropped watches nothing"]
pub struct Watchdog {
    /// Dropped with the watchdog, which is how its thread learns that all is well.
    _alive: Sender<()>,
}

/// Aborts this process, naming `what`, unless the answer is dropped within ten seconds.
pub fn watchdog(what: &str) -> Watchdog {
    watchdog_for(what, PATIENCE)
}

/// The same with another time, for tests that do something a thousand times over.
pub fn watchdog_for(what: &str, patience: Duration) -> Watchdog {
    let (alive, dropped) = channel();
    let what = what.to_owned();
    thread::spawn(move || {
        block_signals();
        if !is_dropped_within(&dropped, patience) {
            // Straight to the descriptor: the harness captures what `eprintln` says until the test has ended.
            let text = format!("\nwatchdog: {what} did not end within {} s\n{}", patience.as_secs(), threads());
            let _ = rustix::io::write(std::io::stderr(), text.as_bytes());
            std::process::abort();
        }
    });
    Watchdog { _alive: alive }
}

/// Waits in small steps and counts those, not the time: where real-time processes keep a machine to themselves for most of
/// each second, a step takes that second, and the tests have as long as they would have had alone.
fn is_dropped_within(dropped: &Receiver<()>, patience: Duration) -> bool {
    let steps = patience.as_nanos() / STEP.as_nanos();
    (0..steps).any(|_| dropped.recv_timeout(STEP) == Err(RecvTimeoutError::Disconnected))
}

/// What every thread of this process does, for whoever looks for the fault: its name, and the number and arguments of the
/// system call that it is in.
fn threads() -> String {
    let mut text = String::new();
    for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |file| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        text += &format!("  {}: {}\n", read("comm").trim_end(), read("syscall").trim_end());
    }
    text
}

/// Signals of this process are for the threads that the tests are about.
fn block_signals() {
    // SAFETY: a signal set is plain numbers, for which zero is valid.
    let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: fills the set that it is given.
    unsafe { libc::sigfillset(&raw mut all) };
    // SAFETY: reads the set that was just filled; no old set is asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut()) };
}
