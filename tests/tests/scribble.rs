//! A peer that speaks the protocol with one thread and writes over its own words with another, for as many sessions as there
//! is time for: whoever talks to it never crashes, hangs or grows, each session ends for a reason, and the honest client at
//! the same listener is served throughout.
//!
//! `SLIPRING_SCRIBBLE_SECONDS` says how long; `SLIPRING_TEST_SEED` repeats a run.

use slipring::{Bus, Cause, Deadline, Listener, Message, Options, Request, RpcBus, State, Trust, Wait};
use slipring_tests::alone::alone;
use slipring_tests::chance::Chance;
use slipring_tests::pair::soon;
use slipring_tests::peer::Peer;
use slipring_tests::proc::{Holdings, await_that, holdings, peaks_kib};
use slipring_tests::raw::scribble::{Plan, RING, Role};
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::{Heartbeat, heartbeat};
use slipring_tests::{frames, peer};
use std::hint::black_box;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Sessions before the first measurement, in which the allocator and the library take what they keep.
const WARM_UP: u64 = 40;
/// What either side may have beside its ring.
const MEMORY: u64 = 1 << 20;
/// The longest payload.
const LONGEST: usize = 60_000;
/// How much memory may come and go without being a leak, in KiB.
const NOISE: u64 = 4 << 10;
/// How much more memory than at the beginning there may ever be, in KiB: resident, and address space, of which each arena of
/// the allocator takes 64 MiB (`malloc(3)`).
const MOST: (u64, u64) = (48 << 10, 256 << 10);
/// Calls on a session between two exchanges with an honest client.
const BETWEEN: u64 = 24;

fn time_there_is() -> Duration {
    let told = std::env::var("SLIPRING_SCRIBBLE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(told.unwrap_or(5))
}

fn own() -> Holdings {
    holdings(std::process::id())
}

/// A deadline that often passes.
fn briefly() -> Deadline {
    Deadline::after(Duration::from_micros(200))
}

/// Looks at every byte.
fn read(payload: &[u8]) {
    black_box(payload.iter().fold(0, |sum, byte| sum ^ byte));
}

/// Whether a session is over.
fn ends(cause: Cause) -> bool {
    matches!(cause, Cause::Corrupt(_) | Cause::Closed | Cause::PeerDied)
}

/// What a session did, for people.
#[derive(Debug, Default)]
struct Tally {
    corrupt: u64,
    closed: u64,
    died: u64,
    left: u64,
    calls: u64,
}

/// A listener, and the honest client that it serves beside whoever else comes.
struct Inn {
    listener: Listener,
    client: Peer,
    rpc: Option<RpcBus>,
    bus: Option<Bus>,
    served: u64,
}

impl Inn {
    fn open(address: &str, options: &Options, calls: bool) -> Self {
        let listener = Listener::bind(address, options).expect("a name");
        let mut inn = Self { listener, client: peer!(), rpc: None, bus: None, served: 0 };
        inn.welcome(calls);
        inn
    }

    /// Takes the honest client's session.
    fn welcome(&mut self, calls: bool) {
        let verb = if calls { "connect-rpc" } else { "connect" };
        self.client.tell(&format!("{verb} {} within=10000", self.listener.address()));
        if calls {
            self.rpc = Some(self.listener.accept_rpc_until(soon()).expect("an honest client"));
        } else {
            self.bus = Some(self.listener.accept_bus_until(soon()).expect("an honest client"));
        }
        assert_eq!(self.client.answer(), "ok");
        self.served = 0;
    }

    /// One frame, or one call and its reply.
    fn exchange(&mut self) {
        let number = self.served;
        let len = [40, 5000][number as usize % 2];
        if let Some(bus) = &mut self.bus {
            self.client.tell(&format!("send 1 {len}"));
            let lease = bus.recv_until(soon()).expect("an honest frame");
            assert!(lease.len() == len && frames::is(number, lease.type_id(), &lease), "frame {number}");
        } else if let Some(rpc) = &mut self.rpc {
            self.client.tell(&format!("call 1 {len}"));
            let request = rpc.serve_until(soon()).expect("an honest request");
            let (type_id, payload) = (request.type_id(), request.to_vec());
            request.reply(type_id, &payload).expect("room");
        }
        assert_eq!(self.client.answer(), "ok 1");
        self.served += 1;
    }

    /// The honest client goes.
    fn farewell(&mut self) {
        self.client.must("drop");
        (self.bus, self.rpc) = (None, None);
    }

    /// Another comes, because one numbers all that it sends.
    fn turn_over(&mut self) {
        let calls = self.rpc.is_some();
        self.farewell();
        self.client = peer!();
        self.welcome(calls);
    }
}

/// The process under test: its listeners, and what it keeps over the end of sessions.
struct Victim {
    scratch: Scratch,
    inns: [[Inn; 2]; 2],
    hostile: Peer,
    heart: Heartbeat,
    chance: Chance,
    kept: Vec<Message>,
    dropper: Sender<Message>,
    tally: Tally,
}

const TRUSTS: [Trust; 2] = [Trust::SameUser, Trust::Untrusted];

fn options(trust: Trust, wait: Wait) -> Options {
    let ring = RING as usize;
    let options = Options::default().trust(trust).wait(wait).memory_limit(MEMORY).max_message(LONGEST as u64);
    options.capacity(ring).capacity_reverse(ring)
}

impl Victim {
    fn new() -> Self {
        let scratch = Scratch::new();
        let inn = |name: &str, trust, calls| Inn::open(&scratch.path(name), &options(trust, Wait::Adaptive), calls);
        let inns = [
            [inn("bus", Trust::SameUser, false), inn("rpc", Trust::SameUser, true)],
            [inn("distrustful-bus", Trust::Untrusted, false), inn("distrustful-rpc", Trust::Untrusted, true)],
        ];
        let (dropper, dropped) = channel::<Message>();
        thread::spawn(move || {
            for message in dropped {
                read(&message);
            }
        });
        let (heart, chance) = (heartbeat(), Chance::of_today());
        Self { scratch, inns, hostile: peer!(), heart, chance, kept: Vec::new(), dropper, tally: Tally::default() }
    }

    /// What this process has beside its sessions: those of the honest clients end for that, and then begin again.
    fn rest(&mut self) -> Holdings {
        self.heart.beat("honest clients that come and go");
        self.inns.as_flattened_mut().iter_mut().for_each(Inn::farewell);
        // A message that was kept may still be on its way out, in the other thread.
        await_that(|| own().segments == 0);
        let now = own();
        for (number, inn) in self.inns.as_flattened_mut().iter_mut().enumerate() {
            inn.client = peer!();
            inn.welcome(number % 2 == 1);
        }
        now
    }

    /// One session with the hostile peer, from the handshake to an end that was to be expected.
    fn session(&mut self, number: u64) {
        let seed = self.chance.number() >> 1;
        let plan = Plan::of(seed);
        let trust = self.chance.below(2);
        self.heart.beat("a handshake");
        let end = match plan.role {
            Role::Sends => {
                self.hostile.tell(&format!("scribble {} {seed}", self.inns[trust][0].listener.address()));
                let bus = self.inns[trust][0].listener.accept_bus_until(soon()).expect("a hostile client");
                self.receive_from(bus, trust)
            }
            Role::Calls => {
                self.hostile.tell(&format!("scribble {} {seed}", self.inns[trust][1].listener.address()));
                let bus = self.inns[trust][1].listener.accept_rpc_until(soon()).expect("a hostile client");
                self.call_and_serve(bus, trust)
            }
            Role::Receives | Role::Answers => self.visit(plan, seed, trust),
        };
        println!("session {number}: {plan:?}, {:?}: {end:?}", TRUSTS[trust]);
        self.judge(plan, end);
        self.heart.beat("the hostile peer's own end");
        // It has said that it is bound where it listened; here it says that it has come to its end.
        assert_eq!(self.hostile.answer(), "ok", "{plan:?}");
        for message in self.kept.drain(..) {
            read(&message);
        }
        self.heart.beat("an honest client");
        self.inns[trust][number as usize % 2].exchange();
        if self.chance.below(50) == 0 {
            self.inns[trust][number as usize % 2].turn_over();
        }
    }

    /// A session with a hostile listener.
    fn visit(&mut self, plan: Plan, seed: u64, trust: usize) -> Option<Cause> {
        let address = self.scratch.path("hostile");
        assert_eq!(self.hostile.ask(&format!("scribble {address} {seed}")), "ok", "it listens");
        let options = options(TRUSTS[trust], [Wait::Park, Wait::Spin, Wait::Adaptive][self.chance.below(3)]);
        if plan.role == Role::Receives {
            let bus = Bus::connect_until(&address, &options, soon()).expect("a hostile listener");
            return self.send_to(bus, trust);
        }
        let options = options.serves(self.chance.below(4) > 0);
        let bus = RpcBus::connect_until(&address, &options, soon()).expect("a hostile listener");
        self.call_and_serve(bus, trust)
    }

    /// Whether that end was to be expected; `None`: we left first.
    fn judge(&mut self, plan: Plan, end: Option<Cause>) {
        match end {
            None => self.tally.left += 1,
            Some(Cause::Corrupt(_)) => self.tally.corrupt += 1,
            Some(Cause::Closed) => self.tally.closed += 1,
            Some(Cause::PeerDied) => self.tally.died += 1,
            Some(other) => panic!("{plan:?} ended with {other:?}"),
        }
        if let (true, Some(end)) = (plan.is_honest(), end) {
            assert_eq!(end, if plan.goodbye { Cause::Closed } else { Cause::PeerDied }, "{plan:?} breaks no rule");
        }
    }

    /// Uses a session by `step` until it is over, or for a while; an honest client is served meanwhile.
    fn use_up<T>(
        &mut self,
        bus: &mut T,
        trust: usize,
        step: fn(&mut Self, &mut T) -> Result<(), Cause>,
    ) -> Option<Cause> {
        let patience = if self.chance.below(4) == 0 { self.chance.below(400) as u64 } else { u64::MAX };
        for turn in 0..patience {
            if let Err(cause) = step(self, bus)
                && ends(cause)
            {
                return Some(cause);
            }
            if turn % BETWEEN == BETWEEN - 1 {
                self.heart.beat("an honest client");
                let inn = self.chance.below(2);
                self.inns[trust][inn].exchange();
            }
        }
        None
    }

    fn receive_from(&mut self, mut bus: Bus, trust: usize) -> Option<Cause> {
        let end = self.use_up(&mut bus, trust, Self::receive);
        if let Some(end) = end {
            self.heart.beat("a receive after the end");
            let again = bus.recv().expect_err("it is over");
            assert!(again == end || (ends(again) && !matches!(end, Cause::Corrupt(_))), "{end:?}, then {again:?}");
            assert_ne!(bus.state(), State::Open);
        }
        self.part(bus, Bus::close);
        end
    }

    fn send_to(&mut self, mut bus: Bus, trust: usize) -> Option<Cause> {
        let end = self.use_up(&mut bus, trust, Self::send);
        if let Some(end) = end {
            self.heart.beat("a send after the end");
            assert_eq!(bus.publish(0, b"x"), Err(end));
            assert_ne!(bus.state(), State::Open);
        }
        self.part(bus, Bus::close);
        end
    }

    fn call_and_serve(&mut self, mut bus: RpcBus, trust: usize) -> Option<Cause> {
        if self.chance.below(2) == 0 {
            bus.on_request(ask_back_and_reply);
        }
        let mut end = self.use_up(&mut bus, trust, Self::call);
        if end.is_some() {
            // A caller learns of the end before it has read what came before it.
            self.heart.beat("a serve after the end");
            end = loop {
                if let Err(cause) = bus.serve().map(drop) {
                    break Some(cause);
                }
            };
            assert_ne!(bus.state(), State::Open);
        }
        self.part(bus, RpcBus::close);
        end
    }

    /// Drops an end, or closes it by the book.
    fn part<T>(&mut self, bus: T, close: fn(T, Duration) -> Result<(), Cause>) {
        self.heart.beat("a close");
        match self.chance.below(3) {
            0 => drop(bus),
            1 => drop(close(bus, Duration::ZERO)),
            _ => drop(close(bus, Duration::from_millis(1))),
        }
    }

    fn payload(&mut self) -> Vec<u8> {
        let most = [60, 1500, LONGEST][self.chance.below(3)];
        vec![1; self.chance.below(most + 1)]
    }

    /// A number of frames.
    fn some(&mut self) -> usize {
        1 + self.chance.below(20)
    }

    /// Keeps a message for a while, and drops some, here or in another thread.
    fn keep(&mut self, message: Message) {
        self.kept.push(message);
        while self.kept.len() > self.chance.below(8) {
            let message = self.kept.swap_remove(self.chance.below(self.kept.len()));
            if self.chance.below(2) == 0 {
                self.dropper.send(message).expect("the other thread lives");
            }
        }
    }

    /// One call of `calls`, the first of which waits for ever and is made less often.
    fn one_of<T>(&mut self, bus: &mut T, calls: &[(&'static str, Step<T>)]) -> Result<(), Cause> {
        let number = if self.chance.below(20) == 0 { 0 } else { 1 + self.chance.below(calls.len() - 1) };
        let (name, call) = calls[number];
        self.heart.beat(name);
        let answer = call(self, bus);
        self.tally.calls += u64::from(answer.is_ok());
        answer
    }

    fn receive(&mut self, bus: &mut Bus) -> Result<(), Cause> {
        allow(self.one_of(bus, &RECEIVES), &[Cause::Empty, Cause::Timeout])
    }

    fn send(&mut self, bus: &mut Bus) -> Result<(), Cause> {
        allow(self.one_of(bus, &SENDS), &[Cause::Full, Cause::Timeout])
    }

    fn call(&mut self, bus: &mut RpcBus) -> Result<(), Cause> {
        match self.one_of(bus, &CALLS) {
            // What a call was answered with, by whoever may answer anything; and our own want of a block for a reply.
            Err(Cause::Remote { .. } | Cause::NotFound | Cause::OutOfMemory | Cause::Overloaded | Cause::Cancelled) => {
                Ok(())
            }
            other => allow(other, &[Cause::Full, Cause::Timeout, Cause::Empty]),
        }
    }

    fn serve(&mut self, bus: &mut RpcBus, deadline: Deadline) -> Result<(), Cause> {
        let payload = self.payload();
        let mut request = bus.serve_until(deadline)?;
        read(&request);
        if self.chance.below(3) == 0 {
            self.keep(request.keep());
        }
        match self.chance.below(4) {
            _ if request.is_note() => Ok(()),
            0 => request.reply_error(7, "no"),
            _ => request.reply(0, &payload),
        }
    }
}

/// A call that the victim makes.
type Step<T> = fn(&mut Victim, &mut T) -> Result<(), Cause>;

const RECEIVES: [(&str, Step<Bus>); 7] = [
    ("recv", |victim, bus| bus.recv().map(|lease| victim.keep(lease.keep()))),
    ("recv_until", |_, bus| bus.recv_until(briefly()).map(|lease| read(&lease))),
    ("try_recv", |victim, bus| bus.try_recv().map(|lease| victim.keep(lease.keep()))),
    ("poll_until", |victim, bus| bus.poll_until(victim.some(), briefly(), |frame| read(&frame)).map(drop)),
    ("drain_until", |victim, bus| {
        bus.drain_until(victim.some(), briefly()).map(|batch| batch.iter().for_each(|frame| read(&frame)))
    }),
    ("try_drain", |victim, bus| bus.try_drain(victim.some()).map(|batch| batch.iter().for_each(|frame| read(&frame)))),
    ("state", |_, bus| {
        bus.state();
        Ok(())
    }),
];

const SENDS: [(&str, Step<Bus>); 8] = [
    ("publish", |victim, bus| bus.publish(0, &victim.payload())),
    ("publish_until", |victim, bus| bus.publish_until(0, &victim.payload(), briefly())),
    ("try_publish", |victim, bus| bus.try_publish(0, &victim.payload())),
    ("claim_until", |victim, bus| {
        let payload = victim.payload();
        let mut claim = bus.claim_until(payload.len(), briefly())?;
        claim.copy_from_slice(&payload);
        claim.commit(0, payload.len() / 2).map_err(Cause::from)
    }),
    ("a claim that is dropped", |victim, bus| bus.try_claim(victim.payload().len()).map(drop)),
    ("publish_later_until", |victim, bus| {
        bus.publish_later_until(0, &victim.payload(), briefly()).and_then(|()| bus.flush())
    }),
    ("publish_batch_until", |victim, bus| {
        bus.publish_batch_until([(1, victim.payload()), (2, victim.payload())], briefly()).map(drop)
    }),
    ("state", |_, bus| {
        bus.state();
        Ok(())
    }),
];

const CALLS: [(&str, Step<RpcBus>); 9] = [
    ("serve", |victim, bus| victim.serve(bus, Deadline::NEVER)),
    ("serve_until", |victim, bus| victim.serve(bus, briefly())),
    ("run_until", |victim, bus| match bus.run_until(briefly()) {
        Err(Cause::InvalidArgument { .. }) => victim.serve(bus, briefly()),
        other => other,
    }),
    ("request_until", |victim, bus| {
        let reply = bus.request_until(0, &victim.payload(), briefly()).map_err(|error| error.cause());
        reply.map(|reply| victim.keep(reply.keep()))
    }),
    ("a call that is waited for", |victim, bus| {
        let call = bus.call_until(0, &victim.payload(), briefly())?;
        let reply = bus.wait(call).map_err(|error| error.cause());
        reply.map(|reply| read(&reply))
    }),
    ("a call that is cancelled", |victim, bus| {
        bus.call_until(0, &victim.payload(), briefly()).map(|call| bus.cancel(call))
    }),
    ("a claim of a request", |victim, bus| {
        let payload = victim.payload();
        let mut claim = bus.claim_request_until(payload.len(), briefly())?;
        claim.copy_from_slice(&payload);
        let call = claim.commit(0, payload.len() / 2).map_err(|failed| failed.cause)?;
        bus.cancel(call);
        Ok(())
    }),
    ("note_until", |victim, bus| bus.note_until(0, &victim.payload(), briefly())),
    ("state", |_, bus| {
        bus.state();
        Ok(())
    }),
];

/// A handler that calls its caller.
fn ask_back_and_reply(mut request: Request<'_>) {
    read(&request);
    // Whatever becomes of that is found by the call in which this runs.
    let _ = request.bus().request_until(0, b"why", briefly());
    let _ = request.reply(0, &[2; 2000]);
}

/// Only these are answers of a session that goes on.
fn allow(answer: Result<(), Cause>, causes: &[Cause]) -> Result<(), Cause> {
    if let Err(cause) = answer {
        assert!(ends(cause) || causes.contains(&cause), "a strange answer: {cause:?}");
    }
    answer
}

#[test]
fn a_peer_that_writes_over_its_own_words_hurts_nobody_else() {
    alone("a_peer_that_writes_over_its_own_words_hurts_nobody_else", || {
        let mut victim = Victim::new();
        (0..WARM_UP).for_each(|number| victim.session(number));
        let (before, peaks) = (victim.rest(), peaks_kib(std::process::id()));
        let over = Instant::now() + time_there_is();
        let mut sessions = WARM_UP;
        while Instant::now() < over {
            victim.session(sessions);
            sessions += 1;
        }
        let after = victim.rest();
        println!("{sessions} sessions: {:?}; {before:?}, {after:?}", victim.tally);
        assert_eq!((after.fds, after.threads), (before.fds, before.threads));
        assert!(after.maps <= before.maps + 8 && after.rss <= before.rss + NOISE, "{before:?}, {after:?}");
        let most = peaks_kib(std::process::id());
        assert!(most.0 <= peaks.0 + MOST.0 && most.1 <= peaks.1 + MOST.1, "{peaks:?}, {most:?}");
    });
}
