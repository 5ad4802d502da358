//! Rivals: the systems that are measured beside each other, each a small program of its own.
//!
//! A rival implements [`Rival`] and [`End`] (or [`InProcess`], for what works between threads only) and calls [`main`] (or
//! [`main_in_process`]); everything else, from the clock to the check of every payload, is the kit's. The harness starts two
//! processes of it, one in each [`Role`], and speaks with them in lines of JSON: a [`Job`] to open, then one [`Block`] after
//! the other, each answered by a [`Report`]. Between two blocks the processes sleep on their standard input.
//!
//! All messages of a job have the same length, so a system without frames needs none. What ends a block is a message like
//! any other, whose first word no other message has; an end never sees the difference.

mod client;
mod drive;
mod fresh;
mod host;
mod paced;
mod protocol;
mod trial;

pub use host::{main, main_in_process};
pub use protocol::{Block, Job, PREFIX, Report, Role, Said, Told, Wait, Who, Work};

use anyhow::Result;

/// A system between two processes.
pub trait Rival {
    /// Its name in every row: letters, digits and hyphens.
    const NAME: &'static str;

    /// One end of it.
    type End: End;

    /// Its version, and where it matters that of the library or the kernel it stands on.
    fn version() -> String;

    /// Whether it can do `job` in the way asked for; the reason stands in the row.
    ///
    /// # Errors
    ///
    /// Why not, in a few words: "no such wait", "messages end at 64 KiB".
    fn supports(job: &Job) -> Result<(), String>;

    /// Opens the end of `job.role`. Both ends are opened at about the same time; the leading one waits for the other to
    /// appear, up to `job.patience`.
    ///
    /// # Errors
    ///
    /// Any. The row says so, and the run goes on with the other systems.
    fn open(job: &Job) -> Result<Self::End>;
}

/// A system between two threads, measured as a reference for what a process boundary costs.
pub trait InProcess {
    /// Its name in every row.
    const NAME: &'static str;

    /// One end of it.
    type End: End + Send + 'static;

    /// Its version.
    fn version() -> String;

    /// As [`Rival::supports`].
    ///
    /// # Errors
    ///
    /// Why not, in a few words.
    fn supports(job: &Job) -> Result<(), String>;

    /// Both ends: the leading one first.
    ///
    /// # Errors
    ///
    /// Any. The row says so, and the run goes on with the other systems.
    fn open(job: &Job) -> Result<[Self::End; 2]>;
}

/// One end of a system: what the kit asks of it, always on one thread.
///
/// Every call waits as the job's [`Wait`] says. It ends with an error when the peer is gone, and may do so when
/// `job.patience` has passed; the harness kills a process that hangs.
pub trait End {
    /// Sends one message of `len` bytes, written by `fill`: in place where the system can, else into a buffer of the end's
    /// own. `fill` writes every byte and reads none, so the bytes before need no meaning. Waits for room.
    ///
    /// # Errors
    ///
    /// When the message cannot be sent.
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()>;

    /// Lets go of what was held back: sends in groups are the best mode of some systems for a stream. Called after the last
    /// message of a stream's block, and where a paced sender has time until the next; never between two messages of a stream.
    ///
    /// # Errors
    ///
    /// When the messages cannot be sent.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    /// Waits for the next message and hands it to `read`, in place where the system can.
    ///
    /// # Errors
    ///
    /// When none can come any more.
    fn receive<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Result<T>;

    /// Waits until something has arrived and hands each message that has to `each`, in order. A system that takes messages
    /// in batches does so here.
    ///
    /// # Errors
    ///
    /// When none can come any more.
    fn receive_some(&mut self, each: &mut impl FnMut(&[u8])) -> Result<()> {
        self.receive(each)
    }

    /// The leading end of [`Work::Call`] and [`Work::FanIn`]: sends a request of `len` bytes, waits for its reply and hands
    /// that to `read`. Where a system has no requests of its own, a message each way is one.
    ///
    /// # Errors
    ///
    /// When no reply can come.
    #[inline]
    fn request<T>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]), read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        self.send(len, fill)?;
        self.receive(read)
    }

    /// The following end of [`Work::Call`] and [`Work::FanIn`]: waits for the next request of any client, hands it to
    /// `read`, and sends a reply of `reply` bytes, written by `fill` from what `read` answered, to whom it came from.
    ///
    /// # Errors
    ///
    /// When no request can come any more.
    #[inline]
    fn serve<T>(&mut self, reply: usize, read: impl FnOnce(&[u8]) -> T, fill: impl FnOnce(&mut [u8], &T)) -> Result<T> {
        let found = self.receive(read)?;
        self.send(reply, |bytes| fill(bytes, &found))?;
        Ok(found)
    }
}
