//! Tachyon as a rival: a `Bus` each way for messages, an `RpcBus` for calls.
//!
//! Its best documented mode to spin is the pure-spin mode, in which a producer leaves out the fence and the look at whether
//! anybody sleeps; `adaptive` is the spin threshold of its examples; to park is a threshold of nothing. Payloads are written
//! and read in place. In a stream messages are committed without a flush, of which the library itself makes one for every 32.
//!
//! The ring has to hold more than 32 messages: a receiver tells how far it has read only after every 32nd, and with fewer
//! places the sender would stand still for good. Where there is no room a sender can only try again; unless it is to spin it
//! gives its processor away in between. No wait of the library has an end: what hangs is killed by the harness. One session has one
//! client; a server cannot look at several, for there is no receive that does not wait.

mod bus;
mod calls;
mod ring;

use std::process::ExitCode;

use anyhow::{Result, bail};
use slipring_bench_kit::rival::{End, Job, Rival, Work, main as host};

use crate::bus::Lines;
use crate::calls::Calls;

struct Tachyon;

/// An end of either kind.
enum Line {
    Messages(Lines),
    Calls(Calls),
}

fn main() -> ExitCode {
    host::<Tachyon>()
}

impl Rival for Tachyon {
    const NAME: &'static str = "tachyon";

    type End = Line;

    fn version() -> String {
        // The manifest asks for this very version; the crate does not tell it.
        "0.5.1".into()
    }

    fn supports(job: &Job) -> Result<(), String> {
        if job.work == Work::FanIn {
            return Err("one client a session".into());
        }
        ring::capacity(job.payload.max(job.reply)).map(drop)
    }

    fn open(job: &Job) -> Result<Line> {
        Ok(match job.work {
            Work::Call | Work::FanIn => Line::Calls(Calls::open(job)?),
            _ => Line::Messages(Lines::open(job)?),
        })
    }
}

impl End for Line {
    #[inline]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        match self {
            Self::Messages(lines) => lines.send(len, fill),
            Self::Calls(_) => bail!("an end for calls sends no messages"),
        }
    }

    #[inline]
    fn flush(&mut self) -> Result<()> {
        match self {
            Self::Messages(lines) => lines.flush(),
            Self::Calls(_) => Ok(()),
        }
    }

    #[inline]
    fn receive<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        match self {
            Self::Messages(lines) => lines.receive(read),
            Self::Calls(_) => bail!("an end for calls receives no messages"),
        }
    }

    #[inline]
    fn receive_some(&mut self, each: &mut impl FnMut(&[u8])) -> Result<()> {
        match self {
            Self::Messages(lines) => lines.receive_some(each),
            Self::Calls(_) => bail!("an end for calls receives no messages"),
        }
    }

    #[inline]
    fn request<T>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]), read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        match self {
            Self::Calls(calls) => calls.request(len, fill, read),
            Self::Messages(_) => bail!("an end for messages makes no requests"),
        }
    }

    #[inline]
    fn serve<T>(&mut self, reply: usize, read: impl FnOnce(&[u8]) -> T, fill: impl FnOnce(&mut [u8], &T)) -> Result<T> {
        match self {
            Self::Calls(calls) => calls.serve(reply, read, fill),
            Self::Messages(_) => bail!("an end for messages takes no requests"),
        }
    }
}
