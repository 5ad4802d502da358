//! What the second process does: one order a line, one answer a line.
//!
//! An answer is `ok`, `ok NUMBER`, or `err NUMBER CAUSE`, where the number counts what went well before. Frames are
//! numbered ([`frames`]) from 0 in each direction, and what is received must be the next of them, undamaged. A wait that a
//! signal interrupts is counted and taken up again. Orders, with `[within=MS]` where they may wait:
//!
//! ```text
//! bind ADDRESS [OPTION..]        take a name             accept                    the next session, to receive from
//! listen ADDRESS [OPTION..]      a session, at once      connect ADDRESS [OPTION..] a session, to send to
//! send COUNT LEN                 publish                 later COUNT LEN           publish, hidden        flush
//! fill LEN                       try until it is full    claim LEN                 claim, and stay so for ever
//! pace COUNT LEN US              send with random gaps   echo COUNT                send back what comes
//! recv COUNT                     receive                 slow COUNT US             receive with random gaps
//! look COUNT                     receive by trying       hold COUNT                a batch, kept for ever
//! keep COUNT                     receive, and keep       let-go                    of all that is kept
//! close [MS]                     goodbye, lingering      drop                      goodbye
//! state   refused   stat NAME    learn how it stands     interrupted               waits that a signal ended
//! fork   exec                    have a child; its number
//! storm US                       signals to oneself      refuse-membarrier ERRNO   a kernel without it
//! knock ADDRESS STAGE   pose ADDRESS STAGE               a handshake that goes no further (client, listener)
//! observe ADDRESS                how many sessions it sees, of which it keeps an eye for ever
//! scribble ADDRESS SEED          a session of a peer that writes over its own words; says so when it listens
//! race ADDRESS WITNESS ROUNDS [killed]   see `race`      churn ADDRESS COUNT       connect, say one thing, close
//! ```
//!
//! and the orders of [`calls`], [`objects`] and [`mob`]. OPTION: `capacity=` `reverse=` `inline=` `wait=` `trust=` `backend=` `fence=`
//! `handshake=MS` `memory=` `message=` `spill=` `shared=` `in-flight=` `serves=yes|no` `counters=yes|no`.

mod calls;
mod crowd;
mod mob;
mod objects;

use crate::alone::{self, Forked};
use crate::chance::Chance;
use crate::{alarm, frames, raw, seccomp};
use slipring::{
    Backend, Bus, Cause, Deadline, Error, Fence, Listener, Message, Observer, Options, RpcBus, Trust, Wait,
};
use std::io::{BufRead, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// Obeys every line of `input` until it ends.
pub fn run(input: impl BufRead) {
    let mut script = Script::default();
    for line in input.lines() {
        let line = line.expect("orders are text");
        let answer = match script.obey(&Order::parse(&line)) {
            Ok(None) => "ok".to_owned(),
            Ok(Some(number)) => format!("ok {number}"),
            Err(stop) => format!("err {} {}", stop.after, stop.why),
        };
        say(&answer);
    }
}

/// Answers. By one write, so that a test which kills this process finds a whole line or none.
fn say(answer: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{answer}").and_then(|()| out.flush()).expect("somebody reads the answers");
}

/// Stays as it is until it is killed.
fn stay() -> ! {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

/// A line, taken apart.
struct Order<'a> {
    verb: &'a str,
    words: Vec<&'a str>,
    settings: Vec<(&'a str, &'a str)>,
}

impl<'a> Order<'a> {
    fn parse(line: &'a str) -> Self {
        let mut parts = line.split_ascii_whitespace();
        let verb = parts.next().unwrap_or("");
        let (mut words, mut settings) = (Vec::new(), Vec::new());
        for part in parts {
            match part.split_once('=') {
                Some(setting) => settings.push(setting),
                None => words.push(part),
            }
        }
        Self { verb, words, settings }
    }

    fn word(&self, index: usize) -> &'a str {
        self.words.get(index).unwrap_or_else(|| panic!("{}: word {index} is missing", self.verb))
    }

    fn number(&self, index: usize) -> u64 {
        number(self.word(index))
    }

    fn deadline(&self) -> Deadline {
        let within = self.settings.iter().find(|(name, _)| *name == "within");
        within.map_or(Deadline::NEVER, |(_, time)| Deadline::after(Duration::from_millis(number(time))))
    }

    fn options(&self) -> Options {
        self.settings.iter().fold(Options::default(), |options, &(name, value)| match (name, value) {
            ("capacity", bytes) => options.capacity(number(bytes) as usize),
            ("inline", bytes) => options.inline_limit(number(bytes) as usize),
            ("handshake", time) => options.handshake_timeout(Duration::from_millis(number(time))),
            ("wait", "spin") => options.wait(Wait::Spin),
            ("wait", "park") => options.wait(Wait::Park),
            ("wait", "adaptive") => options.wait(Wait::Adaptive),
            ("trust", "untrusted") => options.trust(Trust::Untrusted),
            ("trust", "same-user") => options.trust(Trust::SameUser),
            ("backend", "memfd") => options.backend(Backend::Memfd),
            ("backend", "posix") => options.backend(Backend::Posix),
            ("fence", "always") => options.fence(Fence::Always),
            ("reverse", bytes) => options.capacity_reverse(number(bytes) as usize),
            ("memory", bytes) => options.memory_limit(number(bytes)),
            ("spill", directory) => options.spill_dir(directory),
            ("shared", bytes) => options.shared_limit(number(bytes)),
            ("message", bytes) => options.max_message(number(bytes)),
            ("in-flight", calls) => options.in_flight(number(calls) as u32),
            ("counters", yes) => options.counters(yes == "yes"),
            ("serves", yes) => options.serves(yes == "yes"),
            ("within", _) => options,
            _ => panic!("an unknown option {name}={value}"),
        })
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}

/// Why an order could not be carried out, and how much of it had been.
struct Stop {
    after: u64,
    why: String,
}

impl From<Cause> for Stop {
    fn from(cause: Cause) -> Self {
        Self { after: 0, why: format!("{cause:?}") }
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        error.cause().into()
    }
}

type Outcome = Result<Option<u64>, Stop>;

/// Turns how many times something was done, and why no more, into an answer.
fn counted(done: u64, wanted: u64, why: Option<String>) -> Outcome {
    match why {
        Some(why) if done < wanted => Err(Stop { after: done, why }),
        _ => Ok(Some(done)),
    }
}

/// What this process has.
#[derive(Default)]
struct Script {
    listener: Option<Listener>,
    sends: Option<Bus>,
    receives: Option<Bus>,
    sent: u64,
    received: u64,
    interrupted: u64,
    forked: Vec<Forked>,
    started: Vec<Child>,
    raw: Option<raw::Holding>,
    kept: Vec<Message>,
    rpc: Option<RpcBus>,
    calls: calls::Calls,
    objects: objects::Objects,
    crowd: Vec<RpcBus>,
    observer: Option<Observer>,
}

impl Script {
    fn obey(&mut self, order: &Order<'_>) -> Outcome {
        match order.verb {
            "bind" => self.listener = Some(Listener::bind(order.word(0), &order.options())?),
            "accept" => self.accept(order.deadline())?,
            "listen" => {
                self.receives = Some(Bus::listen_until(order.word(0), &order.options(), order.deadline())?);
                self.received = 0;
            }
            "connect" => self.connect(order)?,
            "send" | "later" | "pace" | "fill" | "flush" | "claim" => return self.send(order),
            "recv" | "slow" | "look" | "hold" | "keep" | "echo" => return self.receive(order),
            "let-go" => {
                self.kept.clear();
                self.objects.let_go();
            }
            "share" | "unshare" | "get" | "pass" | "inspect" => return self.obey_for_objects(order),
            "close" => {
                let linger = order.words.first().map_or(0, |time| number(time));
                let bus = self.sends.take().or_else(|| self.receives.take()).expect("a session");
                bus.close(Duration::from_millis(linger))?;
            }
            "drop" => (self.listener, self.sends, self.receives, self.rpc) = (None, None, None, None),
            "mob" => return mob::mob(order),
            "crowd" => return self.crowd(order),
            "rounds" => return self.rounds(order),
            "race" => {
                let some_are_killed = order.words.get(3) == Some(&"killed");
                return crowd::race(order.word(0), order.word(1), order.number(2), some_are_killed);
            }
            "observe" => {
                let observer = self.observer.insert(Observer::connect(order.word(0), order.deadline())?);
                return Ok(Some(observer.sessions().len() as u64));
            }
            "churn" => return crowd::churn(order.word(0), order.number(1)),
            "knock" => self.raw = Some(raw::knock(order.word(0), order.word(1))),
            "pose" => self.raw = Some(raw::pose(order.word(0), order.word(1), || say("ok"))),
            "scribble" => raw::scribble::run(raw::scribble::Plan::of(order.number(1)), order.word(0), || say("ok")),
            "storm" => alarm::interrupt_this_thread_every(Duration::from_micros(order.number(0))),
            "refuse-membarrier" => seccomp::refuse_membarrier(order.number(0) as i32),
            _ => return self.tell(order),
        }
        Ok(None)
    }

    fn accept(&mut self, deadline: Deadline) -> Result<(), Stop> {
        loop {
            match self.listener.as_mut().expect("a listener").accept_bus_until(deadline) {
                Err(error) if error.cause() == Cause::Interrupted => self.interrupted += 1,
                accepted => {
                    self.receives = Some(accepted?);
                    self.received = 0;
                    return Ok(());
                }
            }
        }
    }

    /// Connects. Without `within=`, at once or not at all.
    fn connect(&mut self, order: &Order<'_>) -> Result<(), Stop> {
        let waits = order.settings.iter().any(|(name, _)| *name == "within");
        let deadline = if waits { order.deadline() } else { Deadline::NOW };
        loop {
            match Bus::connect_until(order.word(0), &order.options(), deadline) {
                Err(error) if error.cause() == Cause::Interrupted => self.interrupted += 1,
                connected => {
                    self.sends = Some(connected?);
                    self.sent = 0;
                    return Ok(());
                }
            }
        }
    }

    fn tell(&mut self, order: &Order<'_>) -> Outcome {
        let number = match order.verb {
            "state" if self.rpc.is_some() => {
                let state = self.rpc.as_mut().map(RpcBus::state);
                return Err(Stop { after: 0, why: format!("{:?}", state.expect("a session")) });
            }
            "state" => {
                let bus = self.sends.as_mut().or(self.receives.as_mut()).expect("a session");
                return Err(Stop { after: 0, why: format!("{:?}", bus.state()) });
            }
            "stat" => self.stat(order.word(0)),
            "refused" => self.listener.as_ref().expect("a listener").refused(),
            "interrupted" => self.interrupted,
            "fork" => {
                let child = alone::fork(|| stay());
                let pid = child.pid();
                self.forked.push(child);
                pid.into()
            }
            "exec" => {
                let mut command = Command::new("sleep");
                let child = command.arg("60").stdin(Stdio::null()).stdout(Stdio::null()).spawn();
                let child = child.expect("start another program");
                let pid = child.id();
                self.started.push(child);
                pid.into()
            }
            _ => return self.obey_for_calls(order),
        };
        Ok(Some(number))
    }

    fn stat(&mut self, name: &str) -> u64 {
        let stats = match &self.rpc {
            Some(rpc) => rpc.stats(),
            None => {
                let bus = self.receives.as_mut().or(self.sends.as_mut()).expect("a session");
                // What came back is counted when somebody looks.
                bus.state();
                bus.stats()
            }
        };
        match name {
            "naps" => stats.naps,
            "parks" => stats.parks,
            "bells-heard" => stats.bells_heard,
            "bells-rung" => stats.bells_rung,
            "blocks-out" => stats.blocks_out.into(),
            "held-blocks" => stats.held_blocks,
            "late-replies" => stats.late_replies,
            "shared-known" => stats.shared_known.into(),
            "shared-told" => stats.shared_told.into(),
            other => panic!("an unknown counter {other}"),
        }
    }

    fn send(&mut self, order: &Order<'_>) -> Outcome {
        match order.verb {
            "flush" => {
                self.sends.as_mut().expect("a session").flush()?;
                return Ok(None);
            }
            "claim" => return self.claim_for_ever(order.number(0) as usize),
            "fill" => return self.fill(order.number(0) as usize),
            _ => {}
        }
        let (count, len) = (order.number(0), order.number(1) as usize);
        let mut chance = Chance::new(count);
        let gap = if order.verb == "pace" { Duration::from_micros(order.number(2)) } else { Duration::ZERO };
        for done in 0..count {
            pause(&mut chance, gap);
            if let Err(cause) = self.send_one(len, order.verb == "later", order.deadline()) {
                return counted(done, count, Some(format!("{cause:?}")));
            }
        }
        Ok(Some(count))
    }

    fn send_one(&mut self, len: usize, later: bool, deadline: Deadline) -> Result<(), Cause> {
        let bus = self.sends.as_mut().expect("a session");
        let (type_id, payload) = (frames::type_id(self.sent), frames::payload(self.sent, len));
        loop {
            let done = match later {
                true => bus.publish_later_until(type_id, &payload, deadline),
                false => bus.publish_until(type_id, &payload, deadline),
            };
            match done {
                Err(Cause::Interrupted) => self.interrupted += 1,
                Ok(()) => {
                    self.sent += 1;
                    return Ok(());
                }
                Err(cause) => return Err(cause),
            }
        }
    }

    fn fill(&mut self, len: usize) -> Outcome {
        let bus = self.sends.as_mut().expect("a session");
        let mut done = 0;
        loop {
            match bus.try_publish(frames::type_id(self.sent), &frames::payload(self.sent, len)) {
                Ok(()) => (self.sent, done) = (self.sent + 1, done + 1),
                Err(Cause::Full) => return Ok(Some(done)),
                Err(cause) => return Err(Stop { after: done, ..cause.into() }),
            }
        }
    }

    fn claim_for_ever(&mut self, len: usize) -> Outcome {
        let mut claim = self.sends.as_mut().expect("a session").claim(len)?;
        frames::fill(self.sent, &mut claim);
        say("ok");
        stay()
    }

    fn receive(&mut self, order: &Order<'_>) -> Outcome {
        let count = order.number(0);
        if order.verb == "hold" {
            let batch = self.receives.as_mut().expect("a session").drain(count as usize)?;
            say(&format!("ok {}", batch.len()));
            stay()
        }
        let mut chance = Chance::new(count);
        let gap = if order.verb == "slow" { Duration::from_micros(order.number(1)) } else { Duration::ZERO };
        for done in 0..count {
            pause(&mut chance, gap);
            if let Err(why) = self.receive_one(order.verb, order.deadline()) {
                return counted(done, count, Some(why));
            }
        }
        Ok(Some(count))
    }

    fn receive_one(&mut self, verb: &str, deadline: Deadline) -> Result<(), String> {
        let bus = self.receives.as_mut().expect("a session");
        let number = self.received;
        let message = loop {
            let taken = if verb == "look" { bus.try_recv() } else { bus.recv_until(deadline) };
            match taken {
                Ok(lease) => break lease.keep(),
                Err(Cause::Interrupted) => self.interrupted += 1,
                Err(Cause::Empty) => {}
                Err(cause) => return Err(format!("{cause:?}")),
            }
        };
        if !frames::is(number, message.type_id(), &message) {
            return Err(format!("frame {number} came as {} with {} bytes", message.type_id(), message.len()));
        }
        self.received += 1;
        if verb == "keep" {
            self.kept.push(message);
            return Ok(());
        }
        if verb == "echo" {
            return self.send_one(message.len(), false, deadline).map_err(|cause| format!("{cause:?}"));
        }
        Ok(())
    }
}

/// Pauses for a random time, often not at all.
fn pause(chance: &mut Chance, longest: Duration) {
    if !longest.is_zero() && chance.below(4) > 0 {
        thread::sleep(chance.time(longest));
    }
}
