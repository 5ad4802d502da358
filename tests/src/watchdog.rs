//! An end for tests that hang: the process aborts and says which wait it was.

use std::fs;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
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

/// Watches calls, each on its own: as long as one follows the other, the whole may take any time.
#[derive(Debug)]
#[must_use = "a watchdog that is dropped watches nothing"]
pub struct Heartbeat {
    /// How many calls began, and the last of them; the thread that looks at it ends with this.
    beats: Arc<Mutex<(u64, &'static str)>>,
}

impl Heartbeat {
    /// The last call has ended, and `what` begins.
    ///
    /// # Panics
    /// Never: nobody panics while counting.
    pub fn beat(&self, what: &'static str) {
        let mut beats = self.beats.lock().expect("nobody panics while counting");
        *beats = (beats.0 + 1, what);
    }
}

/// Aborts this process, naming the call, unless one [beat](Heartbeat::beat) follows the other within ten seconds.
///
/// # Panics
/// Never: nobody panics while counting.
pub fn heartbeat() -> Heartbeat {
    let beats = Arc::new(Mutex::new((0, "the first call")));
    let watched = Arc::downgrade(&beats);
    thread::spawn(move || {
        block_signals();
        let (mut last, mut steps) = (0, 0);
        while let Some(beats) = watched.upgrade() {
            let (number, what) = *beats.lock().expect("nobody panics while counting");
            drop(beats);
            (last, steps) = if number == last { (last, steps + 1) } else { (number, 0) };
            if STEP * steps > PATIENCE {
                let text = format!("\nwatchdog: {what} did not end\n{}", threads());
                let _ = rustix::io::write(std::io::stderr(), text.as_bytes());
                std::process::abort();
            }
            thread::sleep(STEP);
        }
    });
    Heartbeat { beats }
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
