//! A Unix socket of sequenced packets: each message is one packet, and each call to the kernel moves one.

use std::os::fd::OwnedFd;
use std::process::ExitCode;

use anyhow::{Context, Result};
use rival_os::bytes::appear;
use rival_os::kernel::{self, failed, gone, limit};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_send_buffer_size, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen,
    recv, send, socket_with,
};
use slipring_bench_kit::rival::{End, Job, Rival, Role, Wait, Work, main as host};

/// What the kernel keeps of a socket's buffer for its own books, generously.
const BOOKS: usize = 4096;

struct Packets;

/// One end: a socket, and what packets are written into and read into.
struct Packet {
    socket: OwnedFd,
    out: Vec<u8>,
    back: Vec<u8>,
    spins: bool,
}

fn main() -> ExitCode {
    host::<Packets>()
}

impl Rival for Packets {
    const NAME: &'static str = "unix-seqpacket";

    type End = Packet;

    fn version() -> String {
        kernel::version()
    }

    fn supports(job: &Job) -> Result<(), String> {
        kernel::supports(job, false)?;
        // The kernel doubles what it is asked for, and a packet must fit.
        let most = (2 * limit("net/core/wmem_max", 212_992)).saturating_sub(BOOKS);
        if job.payload.max(job.reply) > most { Err(format!("packets end at {most} bytes")) } else { Ok(()) }
    }

    fn open(job: &Job) -> Result<Packet> {
        let address = SocketAddrUnix::new(job.path()).context("name the socket")?;
        let make = || socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let socket = if job.role == Role::Lead {
            let socket = make().context("make a socket")?;
            appear(job.patience, || Ok(connect(&socket, &address)?))?;
            socket
        } else {
            let listener = make().context("make a socket")?;
            bind(&listener, &address).context("bind the socket")?;
            listen(&listener, 1).context("listen")?;
            accept_with(&listener, SocketFlags::CLOEXEC).context("accept the leading side")?
        };
        let len = job.payload.max(job.reply);
        if len + BOOKS > limit("net/core/wmem_default", 0) {
            set_socket_send_buffer_size(&socket, len + BOOKS).context("set the buffer")?;
        }
        rustix::io::ioctl_fionbio(&socket, job.wait == Wait::Spin).context("set how the socket waits")?;
        for way in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&socket, way, Some(job.patience)).context("bound the wait")?;
        }
        let asks = job.role == Role::Lead && job.work == Work::Call;
        let reads = if asks { job.reply } else { job.payload };
        Ok(Packet { socket, out: vec![0; len], back: vec![0; reads], spins: job.wait == Wait::Spin })
    }
}

/// Calls until it no longer says that it would have blocked, if the end spins.
#[inline]
fn call<T>(what: &str, spins: bool, mut call: impl FnMut() -> Result<T, Errno>) -> Result<T> {
    loop {
        match call() {
            Err(Errno::AGAIN) if spins => std::hint::spin_loop(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(failed(what, error)),
            Ok(done) => return Ok(done),
        }
    }
}

impl End for Packet {
    #[inline]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let bytes = &mut self.out[..len];
        fill(bytes);
        call("send", self.spins, || send(&self.socket, &*bytes, SendFlags::NOSIGNAL)).map(drop)
    }

    #[inline]
    fn receive<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let (socket, back) = (&self.socket, &mut self.back);
        let (len, _) = call("receive", self.spins, || recv(socket, &mut back[..], RecvFlags::empty()))?;
        // A packet of no bytes is the end: every message has some.
        if len == 0 { Err(gone()) } else { Ok(read(&self.back[..len])) }
    }
}
