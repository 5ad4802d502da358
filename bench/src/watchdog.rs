//! The watchdog: no measurement waits for ever.
//!
//! The starting process never runs while something is measured; it sleeps in `poll` on what its workers may say, until
//! they have said it or the time is up. Then it ends them, and the program with exit code 4.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::fault::Fault;

/// Time beyond what a measurement should take, for a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes that are reserved, written and read a second, at the least: not yet touched, of a machine that is busy.
pub(crate) const SLOWEST: u64 = 200 << 20;

/// When the patience with a measurement ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watchdog {
    due: Instant,
    allowed: Duration,
}

impl Watchdog {
    /// For work that takes about `expected`: it barks after three times that and half a minute.
    pub(crate) fn expecting(expected: Duration) -> Self {
        let allowed = expected.saturating_mul(3).saturating_add(PATIENCE);
        let far = Instant::now() + Duration::from_secs(u64::from(u32::MAX));
        Self { due: Instant::now().checked_add(allowed).unwrap_or(far), allowed }
    }

    /// The same, but not later than `time` from now.
    pub(crate) fn at_most(self, time: Duration) -> Self {
        Self { due: self.due.min(Instant::now() + time), ..self }
    }

    /// The fault of exit code 4 when the time is up.
    pub(crate) fn check(&self) -> Result<()> {
        if Instant::now() < self.due {
            return Ok(());
        }
        Err(Fault::Died(format!("the watchdog fired: nothing came within {:?}", self.allowed)).into())
    }

    /// Sleeps until one of `fds` can be read or has ended; which ones.
    pub(crate) fn wait(&self, fds: &[BorrowedFd<'_>]) -> Result<Vec<bool>> {
        loop {
            self.check()?;
            let left = self.due.saturating_duration_since(Instant::now());
            let time = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
            let mut watched: Vec<_> = fds.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
            match poll(&mut watched, Some(&time)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(watched.iter().map(|fd| !fd.revents().is_empty()).collect()),
                Err(error) => return Err(error).context("wait for the workers"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn silence_ends_with_exit_code_4() {
        let (silent, _writer) = std::io::pipe().unwrap();
        let watchdog = Watchdog::expecting(Duration::ZERO).at_most(Duration::from_millis(5));
        let error = watchdog.wait(&[silent.as_fd()]).unwrap_err();
        assert_eq!(Fault::code_of(&error), 4);
    }

    #[test]
    fn an_end_is_seen() {
        let (ended, writer) = std::io::pipe().unwrap();
        drop(writer);
        assert_eq!(Watchdog::expecting(Duration::ZERO).wait(&[ended.as_fd()]).unwrap(), [true]);
    }
}
