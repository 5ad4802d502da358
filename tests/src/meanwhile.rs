//! Something that goes on in another thread while a test does its work.

use std::sync::mpsc::{TryRecvError, channel};
use std::thread;

/// Runs `other` again and again in a thread of its own until `work` has ended, and gives what `work` gives.
pub fn meanwhile<T>(mut other: impl FnMut() + Send, work: impl FnOnce() -> T) -> T {
    // Dropped when `work` ends, also by a panic.
    let (working, over) = channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while over.try_recv() == Err(TryRecvError::Empty) {
                other();
            }
        });
        let _working = working;
        work()
    })
}
