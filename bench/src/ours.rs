//! slipring as one system among those that are compared: the public API behind the kit's trait, as any other system's.
//!
//! Messages of a line are copied in; longer ones are written in place, between claim and commit. Up to a page they ride in the
//! ring, as the guide advises for traffic of such a length (`docs/guide/src/sizing.md`). Everything else is the library's default.

use anyhow::{Context, Result};
use slipring::{
    Bus, CallError, Cause, Deadline, Key, Listener, Options, Poller, RpcBus, Source, raise_descriptor_limit,
};
use slipring_bench_kit::rival::{End, Job, Rival, Role, Wait, Work};

use crate::bus::{DATA, fault};
use crate::plan::SMALL_RING;

/// Payloads up to here are copied in: they fit a frame's first line or two, and a claim's bookkeeping would cost more.
const COPIED: usize = 64;
/// Payloads up to here ride in the ring; blocks are for longer ones.
const IN_THE_RING: usize = 4096;
/// Frames that the receiving end of a stream takes at once, or a mebibyte of longer ones.
const AT_ONCE: usize = 1024;
const BYTES_AT_ONCE: usize = 1 << 20;

/// slipring.
pub(crate) struct Ours;

/// One end of it.
pub(crate) struct OurEnd {
    line: Line,
    /// What short messages are written into.
    buffer: Vec<u8>,
    at_once: usize,
}

#[expect(clippy::large_enum_variant, reason = "a process has one, and does not move it")]
enum Line {
    /// One `Bus` each way.
    Pair {
        out: Bus,
        back: Bus,
    },
    Out(Bus),
    In(Bus),
    Rpc(RpcBus),
    Crowd(Crowd),
}

impl Rival for Ours {
    const NAME: &'static str = "slipring";

    type End = OurEnd;

    fn version() -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    fn supports(_: &Job) -> Result<(), String> {
        Ok(())
    }

    fn open(job: &Job) -> Result<OurEnd> {
        let (address, options) = (job.path().display().to_string(), options(job));
        let deadline = Deadline::after(job.patience);
        let listen = |name: &str| Bus::listen_until(name, &options, deadline).context("listen");
        let connect = |name: &str| Bus::connect_until(name, &options, deadline).context("connect");
        let line = match (job.work, job.role) {
            (Work::RoundTrip, Role::Follow) => {
                let back = listen(&address)?;
                Line::Pair { out: connect(&format!("{address}-back"))?, back }
            }
            (Work::RoundTrip, _) => {
                let out = connect(&address)?;
                Line::Pair { out, back: listen(&format!("{address}-back"))? }
            }
            (Work::FanIn, Role::Follow) => Line::Crowd(Crowd::gather(&address, &options, job)?),
            (Work::Call, Role::Follow) => {
                Line::Rpc(RpcBus::listen_until(&address, &options, deadline).context("listen for calls")?)
            }
            (Work::Call | Work::FanIn, _) => {
                Line::Rpc(RpcBus::connect_until(&address, &options, deadline).context("connect for calls")?)
            }
            (Work::Stream | Work::Paced | Work::Fresh, Role::Follow) => Line::In(listen(&address)?),
            (Work::Stream | Work::Paced | Work::Fresh, _) => Line::Out(connect(&address)?),
        };
        let at_once = (BYTES_AT_ONCE / job.payload.max(1)).clamp(1, AT_ONCE);
        Ok(OurEnd { line, buffer: vec![0; COPIED], at_once })
    }
}

fn options(job: &Job) -> Options {
    let options = Options::default().wait(match job.wait {
        Wait::Spin => slipring::Wait::Spin,
        Wait::Adaptive => slipring::Wait::Adaptive,
        Wait::Park => slipring::Wait::Park,
    });
    let options = if job.payload <= IN_THE_RING { options.inline_limit(IN_THE_RING) } else { options };
    // As a `Server` has them, for sessions of which there are many.
    if job.work == Work::FanIn { options.capacity(SMALL_RING).capacity_reverse(SMALL_RING) } else { options }
}

const WRONG_END: &str = "this end was opened for other traffic";

impl End for OurEnd {
    #[inline]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let (Line::Pair { out: bus, .. } | Line::Out(bus)) = &mut self.line else { anyhow::bail!(WRONG_END) };
        if let Some(buffer) = self.buffer.get_mut(..len) {
            fill(buffer);
            return bus.publish(DATA, buffer).map_err(fault);
        }
        let mut claim = bus.claim(len).map_err(fault)?;
        fill(&mut claim);
        claim.commit(DATA, len).map_err(|failed| fault(failed.cause))
    }

    #[inline]
    fn receive<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let (Line::Pair { back: bus, .. } | Line::In(bus)) = &mut self.line else { anyhow::bail!(WRONG_END) };
        Ok(read(&bus.recv().map_err(fault)?))
    }

    #[inline]
    fn receive_some(&mut self, each: &mut impl FnMut(&[u8])) -> Result<()> {
        let Line::In(bus) = &mut self.line else { anyhow::bail!(WRONG_END) };
        bus.poll(self.at_once, |frame| each(&frame)).map(drop).map_err(fault)
    }

    #[inline]
    fn request<T>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]), read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let Line::Rpc(rpc) = &mut self.line else { anyhow::bail!(WRONG_END) };
        let call = if let Some(buffer) = self.buffer.get_mut(..len) {
            fill(buffer);
            rpc.call(DATA, buffer).map_err(fault)?
        } else {
            let mut claim = rpc.claim_request(len).map_err(fault)?;
            fill(&mut claim);
            claim.commit(DATA, len).map_err(|failed| fault(failed.cause))?
        };
        let reply = rpc.wait(call).map_err(|error: CallError| fault(error.cause()))?;
        Ok(read(&reply))
    }

    #[inline]
    fn serve<T>(&mut self, reply: usize, read: impl FnOnce(&[u8]) -> T, fill: impl FnOnce(&mut [u8], &T)) -> Result<T> {
        let buffer = &mut self.buffer;
        match &mut self.line {
            Line::Rpc(rpc) => {
                let request = rpc.serve().map_err(fault)?;
                let (id, found) = (request.id(), read(&request));
                drop(request);
                answer(rpc, id, (buffer, reply), |bytes| fill(bytes, &found)).map(|()| found)
            }
            Line::Crowd(crowd) => loop {
                let rpc = crowd.next()?;
                let (id, found) = match rpc.try_serve() {
                    Ok(request) => (request.id(), read(&request)),
                    // Now and then a session is reported for nothing.
                    Err(Cause::Empty) => continue,
                    Err(cause) => return Err(fault(cause)),
                };
                return answer(rpc, id, (buffer, reply), |bytes| fill(bytes, &found)).map(|()| found);
            },
            Line::Pair { .. } | Line::Out(_) | Line::In(_) => anyhow::bail!(WRONG_END),
        }
    }
}

/// Replies to the request `id` with `reply` bytes.
#[inline]
fn answer(rpc: &mut RpcBus, id: u32, (buffer, reply): (&mut [u8], usize), fill: impl FnOnce(&mut [u8])) -> Result<()> {
    if let Some(buffer) = buffer.get_mut(..reply) {
        fill(buffer);
        return rpc.reply(id, DATA, buffer).map_err(fault);
    }
    let mut claim = rpc.claim_reply(id, reply).map_err(fault)?;
    fill(&mut claim);
    claim.commit(DATA, reply).map(drop).map_err(|failed| fault(failed.cause))
}

/// The sessions of many clients.
struct Crowd {
    poller: Poller,
    ready: Vec<Key>,
}

impl Crowd {
    /// Waits until all clients are there.
    fn gather(address: &str, options: &Options, job: &Job) -> Result<Self> {
        raise_descriptor_limit().context("prepare for many sessions")?;
        let mut listener = Listener::bind(address, options).context("listen for clients")?;
        let mut poller = Poller::new(options).context("make a poller")?;
        for _ in 0..job.clients {
            let session = listener.accept_rpc_until(Deadline::after(job.patience)).context("accept a client")?;
            poller.add(session).map_err(|_| anyhow::anyhow!("a poller refused a session"))?;
        }
        Ok(Self { poller, ready: Vec::new() })
    }

    /// The next session that has something to do.
    fn next(&mut self) -> Result<&mut RpcBus> {
        let key = loop {
            if let Some(key) = self.ready.pop() {
                break key;
            }
            self.poller.wait(&mut self.ready).map_err(fault)?;
        };
        let Some(Source::Rpc(session)) = self.poller.get_mut(key) else { anyhow::bail!("a session is gone") };
        Ok(session)
    }
}
