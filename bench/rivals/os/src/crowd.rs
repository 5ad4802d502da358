//! A crowd: many clients of one serving end, each over a stream of its own, looked after by one `epoll`.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, bail};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use slipring_bench_kit::rival::{End, Job, Wait};

use crate::bytes::Bytes;
use crate::kernel::failed;

/// The most clients that one look finds.
const AT_ONCE: usize = 128;

/// The serving end of many streams.
pub struct Crowd<S> {
    members: Vec<Bytes<S>>,
    events: OwnedFd,
    /// Who has sent something, and was not served yet.
    ready: Vec<u64>,
    found: Vec<epoll::Event>,
    /// How long a look may sleep: not at all, or until something comes, or for the job's patience.
    nap: Timespec,
}

impl<S: Read + Write + AsFd> Crowd<S> {
    /// Watches `members`.
    ///
    /// # Errors
    ///
    /// If the kernel has no room for that.
    pub fn new(members: Vec<Bytes<S>>, job: &Job) -> Result<Self> {
        let events = epoll::create(epoll::CreateFlags::CLOEXEC).context("make an epoll")?;
        for (number, member) in members.iter().enumerate() {
            let data = epoll::EventData::new_u64(number as u64);
            epoll::add(&events, member.source(), data, epoll::EventFlags::IN).context("watch a client")?;
        }
        let nap = if job.wait == Wait::Spin { Timespec::default() } else { job.patience.try_into()? };
        Ok(Self { members, events, ready: Vec::new(), found: Vec::with_capacity(AT_ONCE), nap })
    }

    /// The next client that has sent something. A client that was found is served before the next look, so none is served
    /// twice while another waits.
    fn next(&mut self) -> Result<&mut Bytes<S>> {
        while self.ready.is_empty() {
            self.found.clear();
            let into = rustix::buffer::spare_capacity(&mut self.found);
            match epoll::wait(&self.events, into, Some(&self.nap)) {
                Ok(0) if self.nap == Timespec::default() => std::hint::spin_loop(),
                Ok(0) => return Err(failed("wait for a client", Errno::TIMEDOUT)),
                Ok(_) | Err(Errno::INTR) => self.ready.extend(self.found.iter().map(|event| event.data.u64())),
                Err(error) => return Err(failed("wait for a client", error)),
            }
        }
        let number = self.ready.pop().context("somebody is ready")?;
        self.members.get_mut(number as usize).context("the client is one of ours")
    }
}

impl<S: Read + Write + AsFd> End for Crowd<S> {
    fn send(&mut self, _: usize, _: impl FnOnce(&mut [u8])) -> Result<()> {
        bail!("a serving end only replies")
    }

    fn receive<T>(&mut self, _: impl FnOnce(&[u8]) -> T) -> Result<T> {
        bail!("a serving end only takes requests")
    }

    fn serve<T>(&mut self, reply: usize, read: impl FnOnce(&[u8]) -> T, fill: impl FnOnce(&mut [u8], &T)) -> Result<T> {
        self.next()?.serve(reply, read, fill)
    }
}
