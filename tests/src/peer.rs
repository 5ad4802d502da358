//! The second process: started, told what to do line by line, stopped, and killed.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

/// A running second process that obeys the lines of [`script`](crate::script). Killed on drop.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Starts a peer. A macro, because only a test knows where the program is.
#[macro_export]
macro_rules! peer {
    () => {
        $crate::peer::Peer::start(&mut ::std::process::Command::new($crate::peer_program!()))
    };
}

/// The path of the peer's program.
#[macro_export]
macro_rules! peer_program {
    () => {
        env!("CARGO_BIN_EXE_peer")
    };
}

impl Peer {
    /// Starts `command`, which is the peer's program with whatever environment, user or limits a test wants.
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = loop {
            match command.spawn() {
                // A program that was just copied is busy while a process that was forked during the copy has not yet
                // become another program.
                Err(busy) if busy.kind() == ErrorKind::ExecutableFileBusy => thread::yield_now(),
                started => break started.expect("start the second process"),
            }
        };
        let orders = child.stdin.take().expect("stdin is a pipe");
        let answers = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        Self { child, orders, answers }
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a line and does not wait for the answer.
    pub fn tell(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("the peer lives");
    }

    /// The next answer. Panics if the peer ended before it.
    pub fn answer(&mut self) -> String {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line).expect("the peer writes text");
        assert!(read > 0, "the peer ended instead of answering: {:?}", self.child.wait());
        line.trim_end().to_owned()
    }

    /// Whether an answer, or the end of the peer, waits to be read.
    #[must_use]
    pub fn has_answered(&self) -> bool {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut fds = [PollFd::new(self.answers.get_ref(), PollFlags::IN)];
        !self.answers.buffer().is_empty() || poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready > 0)
    }

    /// Sends a line and waits for its answer.
    pub fn ask(&mut self, order: &str) -> String {
        self.tell(order);
        self.answer()
    }

    /// As [`ask`](Self::ask), and the answer must be that all went well.
    pub fn must(&mut self, order: &str) {
        let answer = self.ask(order);
        assert!(answer == "ok" || answer.starts_with("ok "), "{order}: {answer}");
    }

    /// As [`ask`](Self::ask), for orders that are answered with a number.
    pub fn number(&mut self, order: &str) -> u64 {
        let answer = self.ask(order);
        let number = answer.strip_prefix("ok ").and_then(|number| number.parse().ok());
        number.unwrap_or_else(|| panic!("{order}: {answer}"))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("a child that was not waited for can be signalled");
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill a child of ours");
        self.child.wait().expect("wait for a child of ours");
    }

    /// Lets it end by itself, by giving it no more orders, and waits until it has.
    pub fn end(mut self) {
        let (_, unread) = std::io::pipe().expect("a pipe");
        drop(std::mem::replace(&mut self.orders, OwnedFd::from(unread).into()));
        let ended = self.child.wait().expect("wait for a child of ours");
        assert!(ended.success(), "the peer ended with {ended}");
    }

    /// Stops it, and waits until it has stopped.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        crate::proc::await_state(self.pid(), 'T');
    }

    /// Lets it go on after [`stop`](Self::stop).
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits until it sleeps in a parked end.
    pub fn await_parked(&self) {
        crate::proc::await_parked(self.pid());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended, or been killed, before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
