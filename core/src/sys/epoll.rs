//! Waiting for any of many descriptors, and one descriptor to watch in their place.

use crate::sys::fork::Fd;
use crate::sys::poll_readable;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
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

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
