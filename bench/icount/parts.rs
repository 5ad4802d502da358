//! The paths that are counted, each with both ends in one thread.
//!
//! A path runs in turns of [`BATCH`] messages. Before a turn everything is made ready for it and after it everything is taken
//! away, which does not count: so sending is counted without receiving, and the other way round. Nothing that is counted waits,
//! and a path that would have to is broken, and says so. Payloads are made beforehand, and whoever receives one only gets to
//! see where it is: what is counted is the library, and the C library's copying.

use std::hint::black_box;
use std::thread;
use std::time::Duration;

use slipring::{Bus, Deadline, Key, Listener, Options, Poller, RpcBus, Wait};

use crate::still::still_the_clock;

/// Messages in a turn.
pub(crate) const BATCH: u32 = 64;

/// What the function is called in which callgrind collects.
pub(crate) const COUNTED: &str = "counted_turn";

/// One path.
#[derive(Debug)]
pub(crate) struct Part {
    /// What tables and people call it.
    pub(crate) name: &'static str,
    /// What a message does in it.
    pub(crate) what: &'static str,
    /// Runs so many turns.
    pub(crate) run: fn(u32),
}

const fn part(name: &'static str, what: &'static str, run: fn(u32)) -> Part {
    Part { name, what, run }
}

/// All of them, in the order in which they are told.
pub(crate) const PARTS: &[Part] = &[
    part("publish-32", "publish a copy of 32 bytes", |turns| publish(turns, 32)),
    part("publish-1024", "publish a copy of 1 KiB, the longest in the ring", |turns| publish(turns, 1024)),
    part("publish-4096", "publish a copy of 4 KiB, in a block that came back", |turns| publish(turns, 4096)),
    part("publish-later-32", "publish 32 bytes in a group of 64 that is shown at once", publish_later),
    part("claim-32", "claim 32 bytes of the ring and commit them", |turns| claim(turns, 32)),
    part("claim-4096", "claim a block of 4 KiB that came back and commit it", |turns| claim(turns, 4096)),
    part("owned-4096", "claim an owned block of 4 KiB and publish it", owned),
    part("recv-32", "receive 32 bytes and give them back", |turns| receive(turns, 32)),
    part("recv-4096", "receive a block of 4 KiB and return it", |turns| receive(turns, 4096)),
    part("keep-4096", "receive a block of 4 KiB, keep it, and return it by dropping it", keep),
    part("poll-32", "poll a frame of 32 bytes, one of 64", poll),
    part("drain-32", "drain a frame of 32 bytes, one of 64", drain),
    part("poller-32", "publish 32 bytes, find the session by a poller of one, receive them", poller),
    part("call-32", "call with 32 bytes, serve, reply with 32 bytes, take the reply", |turns| call(turns, 32)),
    part("call-4096", "the same with blocks of 4 KiB", |turns| call(turns, 4096)),
    part("calls-32", "the same as call-32, a call of 64 in flight", calls),
    part("handler-32", "the same as call-32, served by a handler", handler),
    #[cfg(feature = "icount")]
    part("arena-alloc", "find a block of 4 KiB in the arena's bookkeeping", arena::alloc),
    #[cfg(feature = "icount")]
    part("arena-return", "take a block of 4 KiB back into the arena's bookkeeping", arena::give_back),
];

/// Runs `turns` turns over `state`: what is to be ready, what is counted, what is taken away.
fn drive<S>(
    turns: u32,
    state: &mut S,
    mut ready: impl FnMut(&mut S),
    mut counted: impl FnMut(&mut S),
    mut away: impl FnMut(&mut S),
) {
    still_the_clock();
    for _ in 0..turns {
        ready(state);
        counted_turn(state, &mut counted);
        away(state);
    }
}

/// What callgrind collects, by this name.
#[inline(never)]
fn counted_turn<S>(state: &mut S, counted: &mut impl FnMut(&mut S)) {
    counted(state);
}

/// So often in each turn.
#[inline(always)]
fn each(mut act: impl FnMut()) {
    for _ in 0..BATCH {
        act();
    }
}

/// A payload of `len` bytes. It begins on a line: copying takes more steps where it does not.
fn payload(len: usize) -> &'static [u8] {
    #[repr(align(64))]
    struct Lines([u8; 4096]);
    static BYTES: Lines = Lines([0x5A; 4096]);
    black_box(&BYTES.0[..len])
}

/// Both ends of a session, which are opened by two threads as two processes would. Only one is left when counting begins.
fn meet<T: Send>(
    open: impl FnOnce(&str, &Options) -> Result<T, slipring::Error> + Send,
    accept: impl FnOnce(&mut Listener, Deadline) -> Result<T, slipring::Error>,
) -> (T, T) {
    let address = format!("slipring-icount-{}", std::process::id());
    let options = Options::default().wait(Wait::Spin);
    let mut listener = Listener::bind(&address, &options).expect("the name is ours");
    thread::scope(|scope| {
        let opened = scope.spawn(|| open(&address, &options));
        let accepted = accept(&mut listener, Deadline::after(Duration::from_secs(30))).expect("the other end comes");
        (opened.join().expect("it does not panic").expect("the listener is there"), accepted)
    })
}

/// The ends of a bus.
struct Pair {
    sends: Bus,
    receives: Bus,
}

impl Pair {
    fn new() -> Self {
        let (sends, receives) = meet(Bus::connect, Listener::accept_bus_until);
        Self { sends, receives }
    }

    #[inline(always)]
    fn publish(&mut self, payload: &[u8]) {
        self.sends.try_publish(7, payload).expect("there is room");
    }

    #[inline(always)]
    fn receive(&mut self) {
        let lease = self.receives.try_recv().expect("there is a frame");
        black_box(&lease[..]);
    }

    fn publish_turn(&mut self, len: usize) {
        each(|| self.publish(payload(len)));
    }

    fn receive_turn(&mut self) {
        each(|| self.receive());
    }
}

fn publish(turns: u32, len: usize) {
    let payload = payload(len);
    drive(turns, &mut Pair::new(), |_| {}, |pair| each(|| pair.publish(payload)), Pair::receive_turn);
}

fn publish_later(turns: u32) {
    let payload = payload(32);
    let counted = |pair: &mut Pair| {
        each(|| pair.sends.try_publish_later(7, payload).expect("there is room"));
        pair.sends.flush().expect("the session stands");
    };
    drive(turns, &mut Pair::new(), |_| {}, counted, Pair::receive_turn);
}

fn claim(turns: u32, len: usize) {
    let counted = |pair: &mut Pair| {
        each(|| {
            let mut claim = pair.sends.try_claim(len).expect("there is room");
            black_box(&mut claim[..]);
            claim.commit(7, len).expect("as long as it was claimed");
        });
    };
    drive(turns, &mut Pair::new(), |_| {}, counted, Pair::receive_turn);
}

fn owned(turns: u32) {
    let counted = |pair: &mut Pair| {
        each(|| {
            let mut claim = pair.sends.try_claim_owned(4096).expect("there is room");
            black_box(&mut claim[..]);
            pair.sends.publish_owned(7, claim, 4096).expect("as long as it was claimed");
        });
    };
    drive(turns, &mut Pair::new(), |_| {}, counted, Pair::receive_turn);
}

fn receive(turns: u32, len: usize) {
    drive(turns, &mut Pair::new(), |pair| pair.publish_turn(len), |pair| each(|| pair.receive()), |_| {});
}

fn keep(turns: u32) {
    let counted = |pair: &mut Pair| {
        each(|| drop(black_box(pair.receives.try_recv().expect("there is a frame").keep())));
    };
    drive(turns, &mut Pair::new(), |pair| pair.publish_turn(4096), counted, |_| {});
}

fn poll(turns: u32) {
    let counted = |pair: &mut Pair| {
        let polled = pair.receives.try_poll(BATCH as usize, |frame| {
            black_box(frame.bytes());
        });
        assert_eq!(polled, Ok(BATCH as usize), "all are there");
    };
    drive(turns, &mut Pair::new(), |pair| pair.publish_turn(32), counted, |_| {});
}

fn drain(turns: u32) {
    let counted = |pair: &mut Pair| {
        let batch = pair.receives.try_drain(BATCH as usize).expect("there are frames");
        assert_eq!(batch.len(), BATCH as usize, "all are there");
        batch.iter().for_each(|frame| {
            black_box(frame.bytes());
        });
    };
    drive(turns, &mut Pair::new(), |pair| pair.publish_turn(32), counted, |_| {});
}

/// A poller that has the receiving end.
struct Polled {
    sends: Bus,
    poller: Poller,
    ready: Vec<Key>,
}

fn poller(turns: u32) {
    let Pair { sends, receives } = Pair::new();
    let mut poller = Poller::new(&Options::default().wait(Wait::Spin)).expect("a poller");
    poller.add(receives).expect("there is room for one");
    let payload = payload(32);
    let counted = |polled: &mut Polled| {
        each(|| {
            polled.sends.try_publish(7, payload).expect("there is room");
            polled.poller.try_wait(&mut polled.ready).expect("it has a frame");
            let bus = polled.poller.bus(polled.ready[0]).expect("it is a bus");
            let lease = bus.try_recv().expect("there is a frame");
            black_box(&lease[..]);
        });
    };
    drive(turns, &mut Polled { sends, poller, ready: Vec::new() }, |_| {}, counted, |_| {});
}

/// The ends of a session for calls.
struct Ends {
    calls: RpcBus,
    serves: RpcBus,
}

impl Ends {
    fn new() -> Self {
        let (calls, serves) = meet(RpcBus::connect, Listener::accept_rpc_until);
        Self { calls, serves }
    }

    #[inline(always)]
    fn serve(&mut self, payload: &[u8]) {
        let request = self.serves.try_serve().expect("there is a request");
        black_box(&request[..]);
        request.reply(8, payload).expect("a reply has room");
    }
}

fn call(turns: u32, len: usize) {
    let payload = payload(len);
    let counted = |ends: &mut Ends| {
        each(|| {
            let call = ends.calls.try_call(7, payload).expect("there is room");
            ends.serve(payload);
            let reply = ends.calls.try_wait(call).expect("there is a reply");
            black_box(&reply[..]);
        });
    };
    drive(turns, &mut Ends::new(), |_| {}, counted, |_| {});
}

fn calls(turns: u32) {
    let payload = payload(32);
    let counted = |ends: &mut Ends| {
        let mut calls = [None; BATCH as usize];
        for call in &mut calls {
            *call = Some(ends.calls.try_call(7, payload).expect("as many may be in flight"));
        }
        each(|| ends.serve(payload));
        for call in calls.into_iter().flatten() {
            let reply = ends.calls.try_wait(call).expect("there is a reply");
            black_box(&reply[..]);
        }
    };
    drive(turns, &mut Ends::new(), |_| {}, counted, |_| {});
}

fn handler(turns: u32) {
    let payload = payload(32);
    let mut ends = Ends::new();
    ends.serves.on_request(|request| {
        black_box(&request[..]);
        request.reply(8, payload).expect("a reply has room");
    });
    let counted = |ends: &mut Ends| {
        each(|| {
            let call = ends.calls.try_call(7, payload).expect("there is room");
            assert_eq!(ends.serves.try_run(1), Ok(1), "there is a request");
            let reply = ends.calls.try_wait(call).expect("there is a reply");
            black_box(&reply[..]);
        });
    };
    drive(turns, &mut ends, |_| {}, counted, |_| {});
}

/// The arena's bookkeeping, which only the library's own benchmarks see.
#[cfg(feature = "icount")]
mod arena {
    use super::{black_box, drive, each};
    use slipring::internals::{Bookkeeping, Out};

    /// A region of 4 MiB of which a window of 1 MiB is preferred, and what is out of it.
    fn arena() -> (Bookkeeping, Vec<Out>) {
        (Bookkeeping::new(4 << 20, 1 << 20), Vec::with_capacity(64))
    }

    #[inline(always)]
    fn alloc_turn((arena, out): &mut (Bookkeeping, Vec<Out>)) {
        each(|| out.push(arena.alloc(black_box(4096)).expect("there is a block")));
    }

    #[inline(always)]
    fn return_turn((arena, out): &mut (Bookkeeping, Vec<Out>)) {
        out.drain(..).for_each(|block| arena.give_back(block));
    }

    pub(super) fn alloc(turns: u32) {
        drive(turns, &mut arena(), |_| {}, alloc_turn, return_turn);
    }

    pub(super) fn give_back(turns: u32) {
        drive(turns, &mut arena(), alloc_turn, return_turn, |_| {});
    }
}
