//! Calls: one `RpcBus`, on which the leading side calls. Each request is released before its reply is claimed, as the
//! library asks for.

use std::time::Duration;

use anyhow::{Context, Result};
use slipring_bench_kit::patience::yielding;
use slipring_bench_kit::rival::{Job, Role, Wait};
use tachyon_ipc::{RpcBus, RpcTxGuard, TachyonError};

use crate::ring::{capacity, connect, path, spins};

/// The message types of requests and of replies.
const REQUEST: u32 = 1;
const REPLY: u32 = 2;

/// One end of the session.
pub(crate) struct Calls {
    rpc: RpcBus,
    spins: u32,
    patience: Duration,
}

impl Calls {
    pub(crate) fn open(job: &Job) -> Result<Self> {
        let path = path(job, "calls")?;
        let rpc = if job.role == Role::Lead {
            connect(job.patience, || RpcBus::connect(&path))?
        } else {
            let ring = |len| capacity(len).map_err(anyhow::Error::msg);
            RpcBus::listen(&path, ring(job.payload)?, ring(job.reply)?).context("listen")?
        };
        rpc.set_polling_mode(job.wait == Wait::Spin);
        Ok(Self { rpc, spins: spins(job), patience: job.patience })
    }

    #[inline]
    pub(crate) fn request<T>(
        &mut self,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<T> {
        let mut claim = claimed(self.patience, || self.rpc.acquire_call(len))?;
        fill(claim.as_mut_slice());
        let call = claim.commit(len, REQUEST).context("call")?;
        let reply = self.rpc.wait(call, self.spins).context("wait for the reply")?;
        let found = read(reply.data());
        reply.commit().context("release the reply")?;
        Ok(found)
    }

    #[inline]
    pub(crate) fn serve<T>(
        &mut self,
        reply: usize,
        read: impl FnOnce(&[u8]) -> T,
        fill: impl FnOnce(&mut [u8], &T),
    ) -> Result<T> {
        let request = self.rpc.serve(self.spins).context("wait for a request")?;
        let (call, found) = (request.correlation_id, read(request.data()));
        request.commit().context("release the request")?;
        let mut claim = claimed(self.patience, || self.rpc.acquire_reply(call, reply))?;
        fill(claim.as_mut_slice(), &found);
        claim.commit(reply, REPLY).context("reply")?;
        Ok(found)
    }
}

/// Tries until there is room, which with one call at a time is at once.
#[inline]
fn claimed<'r>(
    patience: Duration,
    acquire: impl Fn() -> Result<RpcTxGuard<'r>, TachyonError>,
) -> Result<RpcTxGuard<'r>> {
    yielding(patience, || match acquire() {
        Err(TachyonError::BufferFull) => Ok(None),
        claim => claim.map(Some).context("acquire"),
    })
}
