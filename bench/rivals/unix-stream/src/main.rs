//! A Unix stream socket: what most programs on one host talk over.
//!
//! All messages of a job have the same length, so no frames are needed. A wait sleeps in the kernel, or spins on a socket
//! that does not block; the kernel has nothing in between.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use slipring_bench_kit::rival::{self, End, Job, Rival, Role, Wait, Work};

/// How often the leading side looks for the other's socket.
const LOOK: Duration = Duration::from_micros(100);

fn main() -> ExitCode {
    rival::main::<UnixStreams>()
}

struct UnixStreams;

/// One end: a socket, and what messages are written into and read into.
struct Socket {
    socket: UnixStream,
    buffer: Vec<u8>,
    payload: usize,
    reply: usize,
    spins: bool,
}

impl Rival for UnixStreams {
    const NAME: &'static str = "unix-stream";

    type End = Socket;

    fn version() -> String {
        std::fs::read_to_string("/proc/sys/kernel/osrelease")
            .map_or("unknown".into(), |text| format!("linux {}", text.trim()))
    }

    fn supports(job: &Job) -> Result<(), String> {
        match (job.work, job.wait) {
            (Work::FanIn, _) => Err("one client only".into()),
            (_, Wait::Adaptive) => Err("a socket sleeps or does not".into()),
            _ => Ok(()),
        }
    }

    fn open(job: &Job) -> Result<Socket> {
        let socket = if job.role == Role::Follow { accept(job)? } else { connect(job)? };
        let spins = job.wait == Wait::Spin;
        socket.set_nonblocking(spins).context("set how the socket waits")?;
        socket.set_read_timeout(Some(job.patience)).context("bound the wait")?;
        socket.set_write_timeout(Some(job.patience)).context("bound the wait")?;
        Ok(Socket {
            socket,
            buffer: vec![0; job.payload.max(job.reply)],
            payload: job.payload,
            reply: job.reply,
            spins,
        })
    }
}

fn accept(job: &Job) -> Result<UnixStream> {
    let listener = UnixListener::bind(job.path()).context("bind the socket")?;
    Ok(listener.accept().context("accept the leading side")?.0)
}

fn connect(job: &Job) -> Result<UnixStream> {
    let begin = Instant::now();
    loop {
        match UnixStream::connect(job.path()) {
            Ok(socket) => return Ok(socket),
            Err(error) if begin.elapsed() > job.patience => return Err(error).context("connect"),
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}

impl Socket {
    fn write(&mut self, len: usize) -> Result<()> {
        let mut rest = &self.buffer[..len];
        while !rest.is_empty() {
            match self.socket.write(rest) {
                Ok(0) => bail!("the other side is gone"),
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock && self.spins => std::hint::spin_loop(),
                Err(error) => return Err(error).context("write"),
            }
        }
        Ok(())
    }

    fn read(&mut self, len: usize) -> Result<()> {
        let mut rest = &mut self.buffer[..len];
        while !rest.is_empty() {
            match self.socket.read(rest) {
                Ok(0) => bail!("the other side is gone"),
                Ok(read) => rest = &mut rest[read..],
                Err(error) if error.kind() == ErrorKind::WouldBlock && self.spins => std::hint::spin_loop(),
                Err(error) => return Err(error).context("read"),
            }
        }
        Ok(())
    }
}

impl End for Socket {
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        fill(&mut self.buffer[..len]);
        self.write(len)
    }

    fn receive<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        // Requests and replies may differ in length, but then they come by the other two calls.
        self.read(self.payload)?;
        Ok(read(&self.buffer[..self.payload]))
    }

    fn request<T>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]), read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        self.send(len, fill)?;
        self.read(self.reply)?;
        Ok(read(&self.buffer[..self.reply]))
    }

    fn serve<T>(&mut self, reply: usize, read: impl FnOnce(&[u8]) -> T, fill: impl FnOnce(&mut [u8], &T)) -> Result<T> {
        let found = self.receive(read)?;
        self.send(reply, |bytes| fill(bytes, &found))?;
        Ok(found)
    }
}
