//! A server that runs while a test does its work.

use slipring::{Server, Stopper};
use std::thread;

/// Stops a server when it is dropped, so that a test that fails does not hang.
struct Stops(Stopper);

impl Drop for Stops {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Runs `server` in a thread of its own while `work` runs; then stops it.
///
/// # Panics
/// If the server ends for another reason than that it was stopped.
pub fn while_running<T>(server: &mut Server, work: impl FnOnce() -> T) -> T {
    let stops = Stops(server.stopper());
    thread::scope(|scope| {
        let runs = scope.spawn(|| server.run().expect("it runs until it is stopped"));
        let worked = {
            let _stops = stops;
            work()
        };
        runs.join().expect("no panic");
        worked
    })
}
