//! Threads that serve: sessions are handed to them for a turn each, and come back.
//!
//! Whoever has a session has it alone, so nothing about a session is shared. What is shared is a queue of sessions to serve and a
//! list of those that were served, each under a lock that is held for as long as it takes to move one. The loop is told by a
//! [`Notifier`] that something has come back.

use super::{Error, Server, Service};
use crate::deadline::Deadline;
use crate::error::Cause;
use crate::poller::{Key, Notifier, Source};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A session that is to be served.
struct Job {
    key: Key,
    source: Source,
}

/// A session that was, and whether it goes on.
pub(super) struct Done {
    key: Key,
    source: Source,
    served: Result<(), Cause>,
}

/// Where loop and workers meet.
pub(super) struct Floor {
    service: Service,
    notifier: Notifier,
    jobs: Mutex<Jobs>,
    came: Condvar,
    done: Mutex<Vec<Done>>,
}

#[derive(Default)]
struct Jobs {
    queue: VecDeque<Job>,
    closed: bool,
}

impl Floor {
    pub(super) fn new(service: Service, notifier: Notifier) -> Self {
        Self { service, notifier, jobs: Mutex::default(), came: Condvar::new(), done: Mutex::default() }
    }

    /// Everything that has come back.
    pub(super) fn take_done(&self) -> Vec<Done> {
        std::mem::take(&mut lock(&self.done))
    }

    fn hand_out(&self, job: Job) {
        lock(&self.jobs).queue.push_back(job);
        self.came.notify_one();
    }

    /// No more jobs are handed out. Those that nobody has begun come back as they are.
    fn close(&self) {
        let mut jobs = lock(&self.jobs);
        jobs.closed = true;
        let left = jobs.queue.drain(..).map(|Job { key, source }| Done { key, source, served: Ok(()) });
        lock(&self.done).extend(left);
        self.came.notify_all();
    }

    /// The next job, waited for. `None`: there are none any more.
    fn next(&self) -> Option<Job> {
        let mut jobs = lock(&self.jobs);
        loop {
            if let Some(job) = jobs.queue.pop_front() {
                return Some(job);
            }
            if jobs.closed {
                return None;
            }
            jobs = self.came.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What a worker does.
    fn work(&self) {
        while let Some(Job { key, mut source }) = self.next() {
            let served = self.service.turn(key, &mut source);
            let mut done = lock(&self.done);
            done.push(Done { key, source, served });
            let first = done.len() == 1;
            drop(done);
            // The loop takes all that is there, so it is told once.
            if first {
                self.notifier.notify();
            }
        }
    }
}

/// Handlers do not run under these locks, so nobody who held one has panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes the floor however the loop ends, so that the workers end too.
struct Closing<'a>(&'a Floor);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Server {
    /// Runs the loop while workers serve. When this returns no worker is left, and every session is back or on the floor's list.
    pub(super) fn run_with(&mut self, floor: &Floor, deadline: Deadline) -> Result<(), Error> {
        thread::scope(|scope| {
            let _closing = Closing(floor);
            for number in 0..self.workers {
                let worker = thread::Builder::new().name(format!("slipring-worker-{number}"));
                worker
                    .spawn_scoped(scope, || floor.work())
                    .map_err(|error| Error::system("start a worker of a server", error))?;
            }
            self.deal_out(floor, deadline)
        })
    }

    /// Hands every session that is ready to a worker.
    fn deal_out(&mut self, floor: &Floor, deadline: Deadline) -> Result<(), Error> {
        let mut ready = Vec::new();
        while self.next(&mut ready, deadline)? {
            for done in floor.take_done() {
                self.take_back(done);
            }
            for &key in ready.iter().filter(|&&key| key != self.listener) {
                if let Some(source) = self.poller.lend(key) {
                    floor.hand_out(Job { key, source });
                }
            }
        }
        Ok(())
    }

    /// A session is back from a worker.
    pub(super) fn take_back(&mut self, done: Done) {
        let Done { key, source, served } = done;
        let back = self.poller.take_back(key, source).and(served);
        if let Err(cause) = back {
            self.end(key, cause);
        }
    }
}
