//! ipc-channel as a rival: a channel of bytes in each direction.
//!
//! Channels of bytes skip the encoding that typed ones have, and are what the crate recommends for them. A message is copied
//! into a sequenced-packet socket and out of it into a fresh vector; one that does not fit the socket's buffer goes in
//! fragments over a socket made for it. Receiving blocks, and without an end: what hangs is killed by the harness, but a peer
//! that died is noticed. The receive that does not block makes three calls to the kernel for every look and is no wait to
//! spin on; `adaptive` is the same as `park`. Calls are a message each way.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};
use ipc_channel::IpcError;
use ipc_channel::ipc::{IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcSender, bytes_channel};
use slipring_bench_kit::fault::Fault;
use slipring_bench_kit::patience::nap_until;
use slipring_bench_kit::rival::{End, Job, Rival, Role, Wait, Work, main as host};

struct IpcChannel;

/// What one end sends by and what it receives by, which is also what the leading side sends the other to begin with.
type Ends = (IpcBytesSender, IpcBytesReceiver);

/// One end, and what messages are written into: the crate takes a slice and copies it.
struct Pair {
    out: IpcBytesSender,
    back: IpcBytesReceiver,
    buffer: Vec<u8>,
}

fn main() -> ExitCode {
    host::<IpcChannel>()
}

impl Rival for IpcChannel {
    const NAME: &'static str = "ipc-channel";

    type End = Pair;

    fn version() -> String {
        // The version that `Cargo.lock` names; the crate does not tell it.
        "0.23.1".into()
    }

    fn supports(job: &Job) -> Result<(), String> {
        match (job.work, job.wait) {
            (Work::FanIn, _) => Err("one client a channel of bytes".into()),
            (_, Wait::Spin) => Err("three system calls for every look".into()),
            _ => Ok(()),
        }
    }

    fn open(job: &Job) -> Result<Pair> {
        let (out, back) = if job.role == Role::Lead { connect(job)? } else { accept(job)? };
        Ok(Pair { out, back, buffer: vec![0; job.payload.max(job.reply)] })
    }
}

/// Tells the leading side the name of a server, which the crate makes up, and takes what is sent to it.
fn accept(job: &Job) -> Result<Ends> {
    let (server, name) = IpcOneShotServer::<Ends>::new().context("make a server")?;
    let (written, seen) = (job.path().with_extension("new"), job.path());
    fs::write(&written, name).context("write the server's name")?;
    fs::rename(&written, &seen).context("tell the server's name")?;
    Ok(server.accept().context("accept the leading side")?.1)
}

/// Makes both channels and sends the other side its ends of them.
fn connect(job: &Job) -> Result<Ends> {
    let name = nap_until(job.patience, "the other end's server", || Ok(fs::read_to_string(job.path()).ok()))?;
    let server = IpcSender::<Ends>::connect(name).context("connect")?;
    let (out, there) = bytes_channel().context("make a channel")?;
    let (answers, back) = bytes_channel().context("make a channel")?;
    server.send((answers, there)).context("send the other side its ends")?;
    Ok((out, back))
}

impl Pair {
    #[inline]
    fn take(&self) -> Result<Vec<u8>> {
        self.back.recv().map_err(|error| match error {
            IpcError::Disconnected => Fault::Died("the other side is gone".into()).into(),
            other => anyhow::Error::new(other).context("receive"),
        })
    }
}

impl End for Pair {
    #[inline]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let bytes = &mut self.buffer[..len];
        fill(bytes);
        self.out.send(bytes).context("send")
    }

    #[inline]
    fn receive<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        Ok(read(&self.take()?))
    }
}
