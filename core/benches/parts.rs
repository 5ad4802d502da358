//! What the parts of a session cost, one end at a time: `cargo bench -p slipring --features internals --bench parts`.
//!
//! Both ends are in one thread, and take turns of 64 messages; of each turn only one half is timed. So no line has to
//! travel between two processors and nobody waits: what two processes take is measured by `slipring-bench`, and comes to more.
//! Whoever sends writes every byte of a payload, and whoever receives reads every byte; the sum of what was written and of
//! what was read must be the same.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use slipring::{Bus, Deadline, Listener, Options, RpcBus, Wait};
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

/// Messages in a turn.
const TURN: u64 = 64;

/// Payloads: one line, some lines, the longest in the ring, and blocks.
const LENGTHS: [usize; 5] = [32, 256, 1024, 4096, 65_536];

/// No opening takes longer, unless it hangs.
const SOON: Duration = Duration::from_secs(30);

/// An address that nobody else uses, and whoever listens there.
fn listen(part: &str) -> (String, Listener) {
    let address = format!("slipring-parts-{part}-{}", std::process::id());
    let listener = Listener::bind(&address, &options()).expect("the name is ours");
    (address, listener)
}

fn options() -> Options {
    Options::default().wait(Wait::Spin)
}

/// Writes `number` all over `payload`; its sum.
fn write(payload: &mut [u8], number: u64) -> u64 {
    let (words, rest) = payload.as_chunks_mut::<8>();
    words.iter_mut().for_each(|word| *word = number.to_le_bytes());
    rest.fill(0);
    (words.len() as u64).wrapping_mul(number)
}

/// Reads `payload` to its end; its sum.
fn read(payload: &[u8]) -> u64 {
    let (words, rest) = payload.as_chunks::<8>();
    let sum = |sum: u64, word: &[u8; 8]| sum.wrapping_add(u64::from_le_bytes(*word));
    words.iter().fold(0, sum).wrapping_add(rest.iter().map(|byte| u64::from(*byte)).sum())
}

/// How a message is sent.
#[derive(Clone, Copy)]
enum Sending {
    Publish,
    PublishLater,
    Claim,
}

/// How messages are received.
#[derive(Clone, Copy)]
enum Receiving {
    Recv,
    Poll,
    Drain,
    /// Kept, and dropped after the turn: a block then goes back from where it is dropped.
    Keep,
}

/// Both ends of a bus.
struct Pair {
    sends: Bus,
    receives: Bus,
    payload: Vec<u8>,
    number: u64,
}

impl Pair {
    fn new(len: usize) -> Self {
        let (address, mut listener) = listen("bus");
        let (sends, receives) = thread::scope(|scope| {
            let sends = scope.spawn(|| Bus::connect(&address, &options()).expect("the listener is there"));
            let receives = listener.accept_bus_until(Deadline::after(SOON)).expect("the other end comes");
            (sends.join().expect("it does not panic"), receives)
        });
        Self { sends, receives, payload: vec![0; len], number: 0 }
    }

    /// A turn of messages goes out; their sum, and how long that took.
    fn send(&mut self, how: Sending) -> (u64, Duration) {
        let mut sum = 0_u64;
        let start = Instant::now();
        for _ in 0..TURN {
            self.number += 1;
            sum = sum.wrapping_add(match how {
                Sending::Claim => {
                    let mut claim = self.sends.try_claim(self.payload.len()).expect("there is room");
                    let written = write(&mut claim, self.number);
                    claim.commit(7, self.payload.len()).expect("as long as it was claimed");
                    written
                }
                Sending::Publish | Sending::PublishLater => {
                    let written = write(&mut self.payload, self.number);
                    let payload = black_box(&self.payload[..]);
                    let sent = match how {
                        Sending::Publish => self.sends.try_publish(7, payload),
                        _ => self.sends.try_publish_later(7, payload),
                    };
                    sent.expect("there is room");
                    written
                }
            });
        }
        self.sends.flush().expect("the session stands");
        (sum, start.elapsed())
    }

    /// A turn of messages comes in; their sum, and how long that took.
    fn receive(&mut self, how: Receiving) -> (u64, Duration) {
        let mut sum = 0_u64;
        let mut kept = Vec::with_capacity(TURN as usize);
        let start = Instant::now();
        match how {
            Receiving::Recv | Receiving::Keep => {
                for _ in 0..TURN {
                    let lease = self.receives.try_recv().expect("there is a frame");
                    sum = sum.wrapping_add(read(&lease));
                    if matches!(how, Receiving::Keep) {
                        kept.push(lease.keep());
                    }
                }
            }
            Receiving::Poll => {
                let polled = self.receives.try_poll(TURN as usize, |frame| sum = sum.wrapping_add(read(frame.bytes())));
                assert_eq!(polled, Ok(TURN as usize), "all are there");
            }
            Receiving::Drain => {
                let batch = self.receives.try_drain(TURN as usize).expect("there are frames");
                batch.iter().for_each(|frame| sum = sum.wrapping_add(read(frame.bytes())));
            }
        }
        drop(kept);
        (sum, start.elapsed())
    }

    /// A turn there; how long each half took.
    fn turn(&mut self, sending: Sending, receiving: Receiving) -> (Duration, Duration) {
        let (written, sent) = self.send(sending);
        let (read, received) = self.receive(receiving);
        assert_eq!(written, read, "what was read is what was written");
        (sent, received)
    }
}

/// The time of so many rounds, of which a turn has 64.
fn turns(rounds: u64, mut turn: impl FnMut() -> Duration) -> Duration {
    let turns = rounds.div_ceil(TURN);
    let time: Duration = (0..turns).map(|_| turn()).sum();
    time.mul_f64(rounds as f64 / (turns * TURN) as f64)
}

fn half(
    criterion: &mut Criterion,
    name: &str,
    (sending, receiving): (Sending, Receiving),
    pick: fn((Duration, Duration)) -> Duration,
) {
    let mut group = criterion.benchmark_group(name);
    for len in LENGTHS {
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(len.to_string(), |bencher| {
            let mut pair = Pair::new(len);
            bencher.iter_custom(|rounds| turns(rounds, || pick(pair.turn(sending, receiving))));
        });
    }
    group.finish();
}

fn sending(criterion: &mut Criterion) {
    half(criterion, "publish", (Sending::Publish, Receiving::Recv), |(sent, _)| sent);
    half(criterion, "publish_later, flush", (Sending::PublishLater, Receiving::Recv), |(sent, _)| sent);
    half(criterion, "claim, commit", (Sending::Claim, Receiving::Recv), |(sent, _)| sent);
}

fn receiving(criterion: &mut Criterion) {
    half(criterion, "recv, release", (Sending::Publish, Receiving::Recv), |(_, received)| received);
    half(criterion, "poll", (Sending::Publish, Receiving::Poll), |(_, received)| received);
    half(criterion, "drain", (Sending::Publish, Receiving::Drain), |(_, received)| received);
    half(criterion, "recv, keep, drop", (Sending::Publish, Receiving::Keep), |(_, received)| received);
}

/// A block's way back, without its payload: claimed and committed as it is, received and released unread.
fn returning(criterion: &mut Criterion) {
    criterion.bench_function("block there and back, unread", |bencher| {
        let mut pair = Pair::new(0);
        bencher.iter(|| {
            let claim = pair.sends.try_claim(4096).expect("there is room");
            claim.commit(7, 4096).expect("as long as it was claimed");
            black_box(pair.receives.try_recv().expect("there is a frame").len());
        });
    });
}

/// Both ends of a session for calls.
fn rpc_pair() -> (RpcBus, RpcBus) {
    let (address, mut listener) = listen("rpc");
    thread::scope(|scope| {
        let calls = scope.spawn(|| RpcBus::connect(&address, &options()).expect("the listener is there"));
        let serves = listener.accept_rpc_until(Deadline::after(SOON)).expect("the other end comes");
        (calls.join().expect("it does not panic"), serves)
    })
}

fn calling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("call, serve, reply, wait");
    for len in LENGTHS {
        group.bench_function(len.to_string(), |bencher| {
            let (mut calls, mut serves) = rpc_pair();
            let (mut asked, mut answer, mut number) = (vec![0; len], vec![0; len], 0);
            bencher.iter(|| {
                number += 1;
                let written = write(&mut asked, number);
                let call = calls.try_call(7, &asked).expect("there is room");
                let request = serves.try_serve().expect("there is a request");
                assert_eq!(read(&request), written, "what was read is what was written");
                let written = write(&mut answer, !number);
                request.reply(8, &answer).expect("a reply has room");
                let reply = calls.try_wait(call).expect("there is a reply");
                assert_eq!(read(&reply), written, "what was read is what was written");
            });
        });
    }
    group.finish();
}

/// From the call of `connect` to its answer, with the accepting end in another thread.
fn handshake(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("handshake");
    group.sample_size(20);
    group.bench_function("bus", |bencher| {
        let (address, mut listener) = listen("handshake");
        bencher.iter_custom(|rounds| {
            thread::scope(|scope| {
                let accepts = scope.spawn(|| {
                    let accept = |_| listener.accept_bus_until(Deadline::after(SOON)).expect("the other end comes");
                    (0..rounds).map(accept).filter(|bus| bus.inline_limit() > 0).count()
                });
                let connect = |_| {
                    let start = Instant::now();
                    let bus = Bus::connect(&address, &options()).expect("the listener is there");
                    let time = start.elapsed();
                    drop(bus);
                    time
                };
                let time = (0..rounds).map(connect).sum();
                assert_eq!(accepts.join().expect("it does not panic") as u64, rounds, "every client was accepted");
                time
            })
        });
    });
    group.bench_function("listen, accept, close", |bencher| bencher.iter(|| Pair::new(0)));
    group.finish();
}

criterion_group!(benches, sending, receiving, returning, calling, handshake);
criterion_main!(benches);
