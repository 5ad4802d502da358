//! Waiting for any of many descriptors, one descriptor to watch in their place, and an alarm among them that any thread of this
//! process can ring.

use crate::sys::fork::Fd;
use crate::sys::poll_readable;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// How many events one wait takes; the rest waits for the next.
const EVENTS: usize = 64;

/// A set of descriptors, each under a number of the caller's choice, level-triggered.
#[derive(Debug)]
pub(crate) struct Epoll(Fd);

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        Fd::make(|| Ok(epoll::create(CreateFlags::CLOEXEC)?)).map(Self)
    }

    /// Watches `fd` for something to read or its end.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        Ok(epoll::add(&self.0, fd, EventData::new_u64(token), EventFlags::IN | EventFlags::RDHUP)?)
    }

    /// Watches `fd` no more. To be called before it is closed: a fork could keep its description, and so its events, alive.
    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(epoll::delete(&self.0, fd)?)
    }

    /// Waits at most `time` (`None`: no limit) and calls `ready` with the number of each descriptor that has something.
    pub(crate) fn wait(&self, time: Option<Duration>, mut ready: impl FnMut(u64)) -> io::Result<()> {
        // The wait itself is a `poll` of the set: `epoll_wait` says that it was interrupted whenever the process was stopped and
        // went on, handler or not (signal(7)).
        if time.is_none_or(|time| !time.is_zero()) && !poll_readable(self.0.as_fd(), time)? {
            return Ok(());
        }
        let mut events = [MaybeUninit::uninit(); EVENTS];
        let (events, _) = epoll::wait(&self.0, &mut events, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        for event in events {
            ready(event.data.u64());
        }
        Ok(())
    }
}

/// A descriptor that is readable from when any thread of this process rang it until it is silenced.
#[derive(Debug)]
pub(crate) struct Alarm(Fd);

impl Alarm {
    pub(crate) fn new() -> io::Result<Self> {
        Fd::make(|| Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)).map(Self)
    }

    /// Makes it readable. One that cannot count any further is readable already.
    pub(crate) fn ring(&self) {
        let rung = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
        debug_assert!(matches!(rung, Ok(8) | Err(Errno::AGAIN)), "an alarm of ours can be rung");
    }

    /// Makes it quiet.
    pub(crate) fn silence(&self) {
        let read = rustix::io::read(&self.0, &mut [0; 8]);
        debug_assert!(matches!(read, Ok(8) | Err(Errno::AGAIN)), "an alarm of ours can be silenced");
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_heard_until_it_is_silenced_however_often_it_rang() {
        let (epoll, alarm) = (Epoll::new().expect("a set"), Alarm::new().expect("an alarm"));
        epoll.add(alarm.as_fd(), 7).expect("a descriptor to watch");
        let heard = || {
            let mut heard = Vec::new();
            epoll.wait(Some(Duration::ZERO), |token| heard.push(token)).expect("no signal");
            heard
        };
        assert_eq!(heard(), []);
        alarm.ring();
        alarm.ring();
        assert_eq!([heard(), heard()], [[7], [7]]);
        alarm.silence();
        assert_eq!(heard(), []);
    }
}
