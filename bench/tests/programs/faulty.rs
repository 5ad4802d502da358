//! Systems that misbehave, for the tests of `compare`: one program, whose name says which fault it has. All of them are a Unix
//! socket otherwise, which the honest one is throughout.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use slipring_bench_kit::rival::{self, End, Job, Rival, Role, Wait, Work};

const HONEST: u8 = 0;
const CRASHES: u8 = 1;
const HANGS: u8 = 2;
const DAMAGES: u8 = 3;
const LOSES: u8 = 4;
const REFUSES: u8 = 5;
const CANNOT_OPEN: u8 = 6;
const HANGS_OPENING: u8 = 7;
const LINGERS: u8 = 8;

/// The message at which a fault shows.
const AT: u64 = 20;

fn main() -> ExitCode {
    let name = std::env::args().next().unwrap_or_default();
    match name.rsplit('/').next().unwrap_or_default() {
        "crasher" => rival::main::<Faulty<CRASHES>>(),
        "hanger" => rival::main::<Faulty<HANGS>>(),
        "damager" => rival::main::<Faulty<DAMAGES>>(),
        "loser" => rival::main::<Faulty<LOSES>>(),
        "refuser" => rival::main::<Faulty<REFUSES>>(),
        "closed" => rival::main::<Faulty<CANNOT_OPEN>>(),
        "sleeper" => rival::main::<Faulty<HANGS_OPENING>>(),
        "lingerer" => rival::main::<Faulty<LINGERS>>(),
        _ => rival::main::<Faulty<HONEST>>(),
    }
}

struct Faulty<const FAULT: u8>;

struct Socket<const FAULT: u8> {
    socket: UnixStream,
    follows: bool,
    buffer: Vec<u8>,
    received: u64,
}

impl<const FAULT: u8> Rival for Faulty<FAULT> {
    const NAME: &'static str = match FAULT {
        CRASHES => "crasher",
        HANGS => "hanger",
        DAMAGES => "damager",
        LOSES => "loser",
        REFUSES => "refuser",
        CANNOT_OPEN => "closed",
        HANGS_OPENING => "sleeper",
        LINGERS => "lingerer",
        _ => "honest",
    };

    type End = Socket<FAULT>;

    fn version() -> String {
        "1.2.3".to_owned()
    }

    fn supports(job: &Job) -> Result<(), String> {
        match (FAULT, job.work, job.wait) {
            (REFUSES, ..) => Err("on principle".to_owned()),
            (_, Work::Call | Work::FanIn, _) => Err("no requests".to_owned()),
            (_, _, Wait::Park) => Ok(()),
            _ => Err("it sleeps".to_owned()),
        }
    }

    fn open(job: &Job) -> Result<Socket<FAULT>> {
        if FAULT == CANNOT_OPEN {
            bail!("there is nothing to open");
        }
        if FAULT == HANGS_OPENING {
            hang();
        }
        let follows = job.role == Role::Follow;
        let socket = if follows {
            UnixListener::bind(job.path())?.accept()?.0
        } else {
            let begin = Instant::now();
            loop {
                match UnixStream::connect(job.path()) {
                    Ok(socket) => break socket,
                    Err(error) if begin.elapsed() > job.patience => return Err(error).context("connect"),
                    Err(_) => std::thread::sleep(Duration::from_millis(1)),
                }
            }
        };
        println!("what a system prints is no part of what it tells the harness");
        Ok(Socket { socket, follows, buffer: vec![0; job.payload], received: 0 })
    }
}

impl<const FAULT: u8> End for Socket<FAULT> {
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        fill(&mut self.buffer[..len]);
        self.socket.write_all(&self.buffer[..len]).context("write")
    }

    fn receive<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        self.socket.read_exact(&mut self.buffer).context("read")?;
        self.received += 1;
        if self.follows && self.received == AT {
            match FAULT {
                CRASHES => std::process::abort(),
                HANGS => hang(),
                DAMAGES => self.buffer[3] ^= 0x40,
                LOSES => self.socket.read_exact(&mut self.buffer).context("read")?,
                _ => {}
            }
        }
        Ok(read(&self.buffer))
    }
}

impl<const FAULT: u8> Drop for Socket<FAULT> {
    fn drop(&mut self) {
        if FAULT == LINGERS {
            hang();
        }
    }
}

/// Says and does nothing more.
fn hang() -> ! {
    loop {
        std::thread::park();
    }
}
