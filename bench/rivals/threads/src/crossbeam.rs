//! crossbeam-channel between two threads, as a reference: a bounded channel each way.
//!
//! A channel moves values, so a short message travels inside its value, and a long one as a vector whose ownership moves; the
//! vectors go back by a channel of their own to be written again. `spin` tries without a pause; `adaptive` is the channel's
//! own blocking wait, which looks for a while and then sleeps. There is none that sleeps at once.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use slipring_bench_kit::fault::Fault;
use slipring_bench_kit::patience::spin;
use slipring_bench_kit::rival::{End, InProcess, Job, Wait, Work, main_in_process};

/// The longest message that travels inside its value.
const SHORT: usize = 64;

/// Bytes of long messages that may be under way, and the bounds of how many messages a channel holds.
const UNDER_WAY: usize = 8 << 20;
const FEWEST: usize = 4;
const MOST: usize = 1 << 14;

struct Crossbeam;

/// A message.
enum Parcel {
    Short([u8; SHORT]),
    Long(Vec<u8>),
}

/// The two ends of a direction: messages one way, vectors to be written again the other.
type Out = (Sender<Parcel>, Receiver<Vec<u8>>);
type Back = (Receiver<Parcel>, Sender<Vec<u8>>);

/// One end: what it sends by, what it receives by, and the length of what it receives.
struct Channels {
    out: Out,
    back: Back,
    reads: usize,
    spins: bool,
    patience: Duration,
}

fn main() -> ExitCode {
    main_in_process::<Crossbeam>()
}

impl InProcess for Crossbeam {
    const NAME: &'static str = "crossbeam-channel";

    type End = Channels;

    fn version() -> String {
        // The version that `Cargo.lock` names; the crate does not tell it.
        "0.5.17".into()
    }

    fn supports(job: &Job) -> Result<(), String> {
        match (job.work, job.wait) {
            (Work::FanIn, _) => Err("measured with one client only".into()),
            (Work::Fresh, _) => Err("between threads there is nothing to connect".into()),
            (_, Wait::Park) => Err("no wait that sleeps at once".into()),
            _ => Ok(()),
        }
    }

    fn open(job: &Job) -> Result<[Channels; 2]> {
        let answers = job.answer();
        let (there, asked) = direction(job.payload);
        let (answer, back) = direction(answers);
        let end = |out, back, reads| {
            let spins = job.wait == Wait::Spin;
            Channels { out, back, reads, spins, patience: job.patience }
        };
        Ok([end(there, back, answers), end(answer, asked, job.payload)])
    }
}

fn direction(len: usize) -> (Out, Back) {
    let depth = (UNDER_WAY / len).clamp(FEWEST, MOST);
    let (sender, receiver) = bounded(depth);
    // Two more than may be under way, for the one that is written and the one that is read: giving one back never waits.
    let (give, spare) = bounded(depth + 2);
    ((sender, spare), (receiver, give))
}

impl Channels {
    #[inline]
    fn put(&self, parcel: Parcel) -> Result<()> {
        let out = &self.out.0;
        if !self.spins {
            return out.send_timeout(parcel, self.patience).map_err(|_| gone());
        }
        let mut held = Some(parcel);
        spin(self.patience, || {
            let parcel = held.take().context("a message was sent twice")?;
            match out.try_send(parcel) {
                Ok(()) => Ok(Some(())),
                Err(TrySendError::Full(parcel)) => {
                    held = Some(parcel);
                    Ok(None)
                }
                Err(TrySendError::Disconnected(_)) => Err(gone()),
            }
        })
    }

    #[inline]
    fn take(&self) -> Result<Parcel> {
        let back = &self.back.0;
        if !self.spins {
            return back.recv_timeout(self.patience).map_err(|_| gone());
        }
        spin(self.patience, || match back.try_recv() {
            Ok(parcel) => Ok(Some(parcel)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(gone()),
        })
    }
}

impl End for Channels {
    #[inline]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        if len <= SHORT {
            let mut bytes = [0; SHORT];
            fill(&mut bytes[..len]);
            return self.put(Parcel::Short(bytes));
        }
        let mut bytes = self.out.1.try_recv().unwrap_or_else(|_| vec![0; len]);
        fill(&mut bytes);
        self.put(Parcel::Long(bytes))
    }

    #[inline]
    fn receive<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        match self.take()? {
            Parcel::Short(bytes) => Ok(read(&bytes[..self.reads])),
            Parcel::Long(bytes) => {
                let found = read(&bytes);
                match self.back.1.try_send(bytes) {
                    Err(TrySendError::Full(_)) => bail!("more vectors came than there are"),
                    // A sender that is gone needs none.
                    Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(found),
                }
            }
        }
    }
}

#[cold]
fn gone() -> anyhow::Error {
    Fault::Died("the other thread is gone, or silent".into()).into()
}
