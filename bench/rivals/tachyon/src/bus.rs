//! Messages: one `Bus` for each direction.

use std::time::Duration;

use anyhow::{Context, Result};
use slipring_bench_kit::patience::{spin, yielding};
use slipring_bench_kit::rival::{Job, Role, Wait, Work};
use tachyon_ipc::{Bus, TachyonError, TxGuard};

use crate::ring::{capacity, connect, path, spins};

/// The message type of everything that is sent.
const DATA: u32 = 1;

/// The most messages that are received at once, and the bytes that they may come to: who takes more keeps the sender waiting
/// for room.
const AT_ONCE: usize = 256;
const BYTES_AT_ONCE: usize = 256 << 10;

/// The directions that this side has.
pub(crate) struct Lines {
    out: Option<Bus>,
    back: Option<Bus>,
    spins: u32,
    patience: Duration,
    /// Messages that are received at once, where some are waiting.
    at_once: usize,
    /// Whether messages are held back to go out in groups.
    grouped: bool,
}

impl Lines {
    /// The following side listens for one direction after the other, as the library's own benchmark does: one thread cannot
    /// listen on both at once.
    pub(crate) fn open(job: &Job) -> Result<Self> {
        let there = open(job, "there")?;
        let back = if job.work == Work::RoundTrip { Some(open(job, "back")?) } else { None };
        let (out, back) = if job.role == Role::Lead { (Some(there), back) } else { (back, Some(there)) };
        let at_once = (BYTES_AT_ONCE / job.payload).clamp(1, AT_ONCE);
        let grouped = matches!(job.work, Work::Stream | Work::Paced);
        Ok(Self { out, back, spins: spins(job), patience: job.patience, at_once, grouped })
    }

    #[inline]
    pub(crate) fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let out = self.out.as_ref().context("this end only receives")?;
        let mut claim = match out.acquire_tx(len) {
            Err(TachyonError::BufferFull) => self.wait_for_room(out, len)?,
            claim => claim.context("acquire")?,
        };
        // SAFETY: the slice is as long as what was acquired, and the kit writes no further than a slice goes.
        let bytes = unsafe { claim.as_mut_slice() };
        fill(bytes);
        let committed = if self.grouped { claim.commit_unflushed(len, DATA) } else { claim.commit(len, DATA) };
        committed.context("commit")
    }

    #[inline]
    pub(crate) fn flush(&mut self) -> Result<()> {
        if let Some(out) = &self.out {
            out.flush();
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn receive<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let back = self.back.as_ref().context("this end only sends")?;
        let message = back.acquire_rx(self.spins).context("receive")?;
        let found = read(message.data());
        message.commit().context("release")?;
        Ok(found)
    }

    #[inline]
    pub(crate) fn receive_some(&mut self, each: &mut impl FnMut(&[u8])) -> Result<()> {
        let back = self.back.as_ref().context("this end only sends")?;
        let messages = back.drain_batch(self.at_once, self.spins).context("receive")?;
        for message in &messages {
            each(message.data());
        }
        messages.commit().context("release")
    }

    /// Tries again until there is room. What was held back has to go out first, or nobody would make any.
    #[cold]
    fn wait_for_room<'b>(&self, out: &'b Bus, len: usize) -> Result<TxGuard<'b>> {
        out.flush();
        let look = || match out.acquire_tx(len) {
            Err(TachyonError::BufferFull) => Ok(None),
            claim => claim.map(Some).context("acquire"),
        };
        if self.spins == u32::MAX { spin(self.patience, look) } else { yielding(self.patience, look) }
    }
}

fn open(job: &Job, part: &str) -> Result<Bus> {
    let path = path(job, part)?;
    let bus = if job.role == Role::Lead {
        connect(job.patience, || Bus::connect(&path))?
    } else {
        Bus::listen(&path, capacity(job.payload).map_err(anyhow::Error::msg)?).context("listen")?
    };
    if job.wait == Wait::Spin {
        bus.set_polling_mode(1);
    }
    Ok(bus)
}
