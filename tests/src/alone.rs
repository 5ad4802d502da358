//! Running the body of a test in a process of its own.
//!
//! Limits, signal handlers, forks and counts of descriptors belong to a process, and the harness runs several tests in
//! one. So such a test starts its own program again, for itself alone.

use crate::scratch::Scratch;
use std::process::Command;

/// In the environment of the second start: which test it is for.
const VARIABLE: &str = "SLIPRING_TESTS_ALONE";

/// Runs `body` in a process of its own, with a runtime directory of its own, on behalf of the test function called `test`;
/// panics if it fails there.
pub fn alone(test: &str, body: impl FnOnce()) {
    if std::env::var(VARIABLE).is_ok_and(|name| name == test) {
        end_with_parent();
        println!("{VARIABLE}: {test}");
        return body();
    }
    let program = std::env::current_exe().expect("the harness is a file");
    let runtime = Scratch::new();
    let mut command = Command::new(program);
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(VARIABLE, test).env("SLIPRING_RUNTIME_DIR", runtime.dir());
    let output = command.output().expect("start the harness again");
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains(&format!("{VARIABLE}: {test}")), "there is no test called {test}");
    assert!(output.status.success(), "{test} failed in its own process: {}", output.status);
}

/// Has the kernel kill this process when the thread that started it ends, however it ends.
pub fn end_with_parent() {
    // SAFETY: the option takes one plain number.
    let done = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    assert_eq!(done, 0, "every kernel knows PR_SET_PDEATHSIG");
}

/// Forks, runs `body` in the child, and gives what it returns: at most 125, or the negative number of the signal that
/// ended it.
///
/// The child is a copy of this thread alone. An alarm ends it after ten seconds.
pub fn in_child(body: impl FnOnce() -> i32) -> i32 {
    fork(body).wait()
}

/// A forked child. Killed and waited for on drop.
#[derive(Debug)]
pub struct Forked(libc::pid_t);

impl Forked {
    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.unsigned_abs()
    }

    /// Waits until it ends: its exit code, or the negative number of the signal that ended it.
    ///
    /// # Panics
    /// If somebody else has waited for it.
    #[must_use]
    pub fn wait(self) -> i32 {
        let mut status = 0;
        // SAFETY: this is a child of ours that nobody else waits for, and `status` a place for the answer.
        let waited = unsafe { libc::waitpid(self.0, &raw mut status, 0) };
        assert_eq!(waited, self.0, "wait for a child");
        std::mem::forget(self);
        if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -libc::WTERMSIG(status) }
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        // SAFETY: `kill` takes numbers, and this child has not been waited for, so the number is still its own.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        // SAFETY: as above; no status is asked for.
        unsafe { libc::waitpid(self.0, std::ptr::null_mut(), 0) };
    }
}

/// Forks and runs `body` in the child, which then ends with what it returns. An alarm ends it after ten seconds.
pub fn fork(body: impl FnOnce() -> i32) -> Forked {
    match split() {
        Some(child) => child,
        None => end_child(std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(125)),
    }
}

/// Forks. `None` in the child, which is to end by [`end_child`], and which an alarm ends after ten seconds.
#[must_use]
pub fn split() -> Option<Forked> {
    // SAFETY: the child has one thread. It goes on with what its caller does, which the C library keeps able to allocate
    // after a fork, and leaves by `_exit`, so that nothing of the parent's is run twice.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid > 0 {
        return Some(Forked(pid));
    }
    // SAFETY: takes a number of seconds.
    unsafe { libc::alarm(10) };
    None
}

/// Ends a forked child, and runs nothing on the way.
pub fn end_child(code: i32) -> ! {
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(code) }
}
