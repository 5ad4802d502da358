//! Ends by their handles: each function is the calls that a C program makes in its place.

use std::ffi::{CString, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use slipring_bench_kit::rival::{Job, Wait, Work};

use crate::abi::*;

/// Payloads up to here are copied in, as the Rust end does.
const COPIED: usize = 64;
/// Short messages that a stream sends together.
const BATCH: usize = 128;
/// The type id of everything that is sent.
const DATA: u32 = 1;
/// Rings of ends of which there are many, as the Rust end has them.
const SMALL_RING: u64 = 64 << 10;

/// The whole cause, where a call did not do its work.
#[inline]
pub(crate) fn check(status: c_int, what: &str) -> Result<()> {
    if status == OK { Ok(()) } else { Err(failed(status, what)) }
}

#[cold]
fn failed(status: c_int, what: &str) -> anyhow::Error {
    let mut text = [0u8; 512];
    // SAFETY: there is room for as many bytes as are told.
    let len = unsafe { slipring_last_error(text.as_mut_ptr().cast::<c_char>(), text.len()) };
    anyhow!("{what}: status {status}: {}", String::from_utf8_lossy(&text[..len.min(text.len() - 1)]))
}

/// A config for `job`.
pub(crate) fn config(job: &Job) -> Result<Config> {
    let mut config = MaybeUninit::<Config>::zeroed();
    // SAFETY: there is room for as many bytes as are told.
    let begun = unsafe { slipring_config_init_sized(config.as_mut_ptr(), size_of::<Config>()) };
    check(begun, "begin a config")?;
    // SAFETY: it has been filled, and any bytes are a config.
    let mut config = unsafe { config.assume_init() };
    config.wait = match job.wait {
        Wait::Adaptive => WAIT_ADAPTIVE,
        Wait::Spin => WAIT_SPIN,
        Wait::Park => WAIT_PARK,
    };
    if job.work == Work::FanIn {
        (config.capacity, config.capacity_reverse) = (SMALL_RING, SMALL_RING);
    }
    Ok(config)
}

pub(crate) fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// A function that opens an end.
type Opening = unsafe extern "C" fn(*const c_char, *const Config, i64, *mut Handle) -> c_int;

fn open(opening: Opening, name: &str, job: &Job) -> Result<Handle> {
    let (name, config, mut end) = (CString::new(name)?, config(job)?, null_mut());
    // SAFETY: a text that ends, a config that was begun, and a place for a handle.
    check(unsafe { opening(name.as_ptr(), &config, nanoseconds(job.patience), &mut end) }, "open an end")?;
    Ok(end)
}

/// The bytes of what was received.
///
/// # Safety
/// - `lease` is a lease that is not over for as long as they are looked at.
#[inline]
unsafe fn bytes<'l>(lease: Handle) -> Result<&'l [u8]> {
    // SAFETY: what our caller promises.
    let data = unsafe { slipring_lease_data(lease) };
    // SAFETY: what our caller promises.
    let len = unsafe { slipring_lease_len(lease) };
    ensure!(!data.is_null(), "a lease is over");
    // SAFETY: so many bytes are there until the lease is released.
    Ok(unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// Writes in place what was claimed.
#[inline]
fn fill_claim(claim: Handle, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
    // SAFETY: a claim that is open.
    let data = unsafe { slipring_claim_data(claim) };
    ensure!(!data.is_null(), "a claim is over");
    // SAFETY: so many bytes were claimed, and are nobody else's until the commit.
    fill(unsafe { std::slice::from_raw_parts_mut(data.cast(), len) });
    Ok(())
}

/// Short messages of a stream that go out together: their bytes, and the list that says where each has its own.
pub(crate) struct Batch {
    bytes: Box<[[u8; COPIED]; BATCH]>,
    messages: Box<[Message]>,
    filled: usize,
}

impl Batch {
    /// `None` where messages are not sent in batches: long ones are written in place, and all but those of a stream go at once.
    pub(crate) fn of(job: &Job) -> Option<Self> {
        let batched = job.work == Work::Stream && job.payload <= COPIED;
        batched.then(|| {
            let bytes = Box::new([[0; COPIED]; BATCH]);
            let messages =
                bytes.iter().map(|bytes| Message { data: bytes.as_ptr().cast(), len: 0, type_id: DATA }).collect();
            Self { bytes, messages, filled: 0 }
        })
    }

    /// Writes a message behind the others. Whether the batch is full.
    #[inline]
    pub(crate) fn add(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> bool {
        fill(&mut self.bytes[self.filled][..len]);
        self.messages[self.filled].len = len;
        self.filled += 1;
        self.filled == BATCH
    }
}

/// A `slipring_bus_t *`.
pub(crate) struct Bus(Handle);

impl Bus {
    pub(crate) fn listen(name: &str, job: &Job) -> Result<Self> {
        open(slipring_bus_listen, name, job).map(Self)
    }

    pub(crate) fn connect(name: &str, job: &Job) -> Result<Self> {
        open(slipring_bus_connect, name, job).map(Self)
    }

    #[inline]
    pub(crate) fn send(&self, buffer: &mut [u8], len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        if let Some(buffer) = buffer.get_mut(..len) {
            fill(buffer);
            // SAFETY: a handle that is open, and so many bytes.
            return check(unsafe { slipring_bus_send(self.0, DATA, buffer.as_ptr().cast(), len, FOREVER) }, "send");
        }
        let mut claim = null_mut();
        // SAFETY: a handle that is open, and a place for another.
        check(unsafe { slipring_bus_claim(self.0, len, FOREVER, &mut claim) }, "claim")?;
        fill_claim(claim, len, fill)?;
        // SAFETY: the claim is open.
        check(unsafe { slipring_claim_commit(claim, DATA, len) }, "commit")
    }

    /// Sends what stands in `batch`.
    #[inline(never)]
    pub(crate) fn send_batch(&self, batch: &mut Batch) -> Result<()> {
        let (messages, mut sent) = (&batch.messages[..batch.filled], 0);
        if messages.is_empty() {
            return Ok(());
        }
        // SAFETY: a handle that is open, so many messages whose bytes stand in the batch, and a place for a number.
        let status = unsafe { slipring_bus_send_batch(self.0, messages.as_ptr(), messages.len(), FOREVER, &mut sent) };
        check(status, "send a batch")?;
        ensure!(sent == messages.len(), "{sent} of {} messages went out", messages.len());
        batch.filled = 0;
        Ok(())
    }

    #[inline]
    pub(crate) fn receive<T>(&self, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let mut frame = MaybeUninit::uninit();
        // SAFETY: a handle that is open, and a place for a frame.
        check(unsafe { slipring_bus_recv_frame(self.0, FOREVER, frame.as_mut_ptr()) }, "receive")?;
        // SAFETY: it was written.
        let frame: Frame = unsafe { frame.assume_init() };
        // SAFETY: a frame has as many bytes as it says, until the next is received.
        Ok(read(unsafe { std::slice::from_raw_parts(frame.data.cast(), frame.len) }))
    }

    #[inline]
    pub(crate) fn receive_some<F: FnMut(&[u8])>(&self, at_once: usize, each: &mut F) -> Result<()> {
        let (mut count, user) = (0, std::ptr::from_mut(each).cast());
        // SAFETY: a handle that is open, a function with what it wants, and a place for a number.
        check(unsafe { slipring_bus_poll(self.0, at_once, FOREVER, on_frame::<F>, user, &mut count) }, "poll")
    }
}

/// Hands a frame to the function behind `user`.
///
/// # Safety
/// - `user` leads to an `F` that nobody else uses, and `frame` to a frame, until this returns.
unsafe extern "C" fn on_frame<F: FnMut(&[u8])>(user: *mut c_void, frame: *const Frame) {
    // SAFETY: what our caller promises.
    let each = unsafe { &mut *user.cast::<F>() };
    // SAFETY: what our caller promises.
    let frame = unsafe { &*frame };
    // SAFETY: a frame has as many bytes as it says.
    each(unsafe { std::slice::from_raw_parts(frame.data.cast(), frame.len) });
}

impl Drop for Bus {
    fn drop(&mut self) {
        // SAFETY: a handle that is ours, for the last time.
        unsafe { slipring_bus_free(self.0) };
    }
}

/// A `slipring_rpc_t *`.
pub(crate) struct Rpc(Handle);

impl Rpc {
    pub(crate) fn listen(name: &str, job: &Job) -> Result<Self> {
        open(slipring_rpc_listen, name, job).map(Self)
    }

    pub(crate) fn connect(name: &str, job: &Job) -> Result<Self> {
        open(slipring_rpc_connect, name, job).map(Self)
    }

    /// One that was accepted.
    pub(crate) fn of(handle: Handle) -> Self {
        Self(handle)
    }

    pub(crate) fn handle(&self) -> Handle {
        self.0
    }

    #[inline]
    pub(crate) fn request<T>(
        &self,
        buffer: &mut [u8],
        len: usize,
        fill: impl FnOnce(&mut [u8]),
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<T> {
        let (mut id, mut reply) = (0, null_mut());
        if let Some(buffer) = buffer.get_mut(..len) {
            fill(buffer);
            let data = buffer.as_ptr().cast();
            // SAFETY: a handle that is open, so many bytes, and a place for a number.
            check(unsafe { slipring_rpc_call(self.0, DATA, data, len, FOREVER, &mut id) }, "call")?;
        } else {
            let mut claim = null_mut();
            // SAFETY: a handle that is open, and a place for another.
            check(unsafe { slipring_rpc_claim_request(self.0, len, FOREVER, &mut claim) }, "claim")?;
            fill_claim(claim, len, fill)?;
            // SAFETY: the claim is open, and there is a place for a number.
            check(unsafe { slipring_claim_commit_call(claim, DATA, len, &mut id) }, "commit")?;
        }
        // SAFETY: a handle that is open, and a place for another.
        check(unsafe { slipring_rpc_wait(self.0, id, FOREVER, &mut reply) }, "wait for the reply")?;
        // SAFETY: it was given just now.
        let found = read(unsafe { bytes(reply) }?);
        // SAFETY: it was given just now.
        check(unsafe { slipring_lease_release(reply) }, "release")?;
        Ok(found)
    }

    /// The next request and what `read` finds in it; `None` if there is none and it is not to wait.
    #[inline]
    pub(crate) fn serve<T>(&self, timeout: i64, read: impl FnOnce(&[u8]) -> T) -> Result<Option<(u32, T)>> {
        let mut request = null_mut();
        // SAFETY: a handle that is open, and a place for another.
        let status = unsafe { slipring_rpc_serve(self.0, timeout, &mut request) };
        if status == EMPTY {
            return Ok(None);
        }
        check(status, "serve")?;
        // SAFETY: it was given just now.
        let found = read(unsafe { bytes(request) }?);
        // SAFETY: it was given just now.
        let id = unsafe { slipring_lease_correlation_id(request) };
        // SAFETY: it was given just now.
        check(unsafe { slipring_lease_release(request) }, "release")?;
        Ok(Some((id as u32, found)))
    }

    /// Replies to request `id` with `len` bytes.
    #[inline]
    pub(crate) fn reply(&self, id: u32, (buffer, len): (&mut [u8], usize), fill: impl FnOnce(&mut [u8])) -> Result<()> {
        if let Some(buffer) = buffer.get_mut(..len) {
            fill(buffer);
            let data = buffer.as_ptr().cast();
            // SAFETY: a handle that is open, and so many bytes.
            return check(unsafe { slipring_rpc_reply(self.0, id, DATA, data, len, 0) }, "reply");
        }
        let mut claim = null_mut();
        // SAFETY: a handle that is open, and a place for another.
        check(unsafe { slipring_rpc_claim_reply(self.0, id, len, &mut claim) }, "claim")?;
        fill_claim(claim, len, fill)?;
        // SAFETY: the claim is open.
        check(unsafe { slipring_claim_commit(claim, DATA, len) }, "commit")
    }
}

impl Drop for Rpc {
    fn drop(&mut self) {
        // SAFETY: a handle that is ours, for the last time.
        unsafe { slipring_rpc_free(self.0) };
    }
}

/// What short messages are written into.
pub(crate) fn buffer() -> Vec<u8> {
    vec![0; COPIED]
}
