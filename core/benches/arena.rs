//! What a block costs to find and to take back: `cargo bench -p slipring --features internals --bench arena`.
//!
//! Each scenario keeps so many bytes out, and then in turns of 64 takes blocks and gives others back that it picks at
//! random, so the occupancy stays and no order helps. Both halves are timed apart; the aim is 25 ns each.

use criterion::{Criterion, criterion_group, criterion_main};
use slipring::internals::{Bookkeeping, Out};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Blocks in a turn.
const TURN: usize = 64;

/// Four times the second-level cache of the machine of the records.
const WINDOW: u64 = 8 << 20;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// One mix of sizes in one region.
struct Scenario {
    name: &'static str,
    region: u64,
    /// Per cent of the region that is out.
    out: u64,
    /// The length of the next payload, of a random number.
    len: fn(u64) -> u64,
}

const SCENARIOS: [Scenario; 8] = [
    Scenario { name: "4 KiB, 6 % of 4 MiB out", region: 4 * MIB, out: 6, len: |_| 4 * KIB },
    Scenario { name: "4 KiB, 90 % of 4 MiB out", region: 4 * MIB, out: 90, len: |_| 4 * KIB },
    Scenario { name: "4 KiB, 99 % of 64 MiB out", region: 64 * MIB, out: 99, len: |_| 4 * KIB },
    Scenario { name: "256 B, 99 % of 64 MiB out", region: 64 * MIB, out: 99, len: |_| 256 },
    Scenario { name: "1 to 64 KiB evenly, 10 % of 4 MiB out", region: 4 * MIB, out: 10, len: even },
    Scenario { name: "1 to 64 KiB evenly, 60 % of 4 MiB out", region: 4 * MIB, out: 60, len: even },
    Scenario { name: "256 B to 1 MiB, small ones mostly, 6 % of 64 MiB out", region: 64 * MIB, out: 6, len: skewed },
    Scenario { name: "256 B to 1 MiB, small ones mostly, 30 % of 64 MiB out", region: 64 * MIB, out: 30, len: skewed },
];

/// Powers of two from 1 to 64 KiB.
fn even(random: u64) -> u64 {
    KIB << (random % 7)
}

/// Thirteen sizes, each half as often as the one before.
fn skewed(random: u64) -> u64 {
    256 << (random | 1 << 12).trailing_zeros()
}

/// Xorshift: enough for picking.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// A scenario at work.
struct Load {
    arena: Bookkeeping,
    random: Random,
    out: Vec<Out>,
    len: fn(u64) -> u64,
    /// The lengths of the next turn, drawn beforehand.
    next: [u64; TURN],
}

impl Load {
    fn new(scenario: &Scenario) -> Self {
        let mut load = Self {
            arena: Bookkeeping::new(scenario.region, WINDOW),
            random: Random(0x9E37_79B9_7F4A_7C15),
            out: Vec::new(),
            len: scenario.len,
            next: [0; TURN],
        };
        let mut left = scenario.region / 100 * scenario.out;
        loop {
            let len = (load.len)(load.random.next());
            match load.arena.alloc(len) {
                Some(block) if len <= left => {
                    left -= len;
                    load.out.push(block);
                }
                Some(block) => {
                    load.arena.give_back(block);
                    break;
                }
                None => break,
            }
        }
        load
    }

    /// One turn; the time of the blocks that were found, and of those that were given back.
    fn turn(&mut self) -> (Duration, Duration) {
        for len in &mut self.next {
            *len = (self.len)(self.random.next());
        }
        let mut found = [None; TURN];
        let start = Instant::now();
        for (block, len) in found.iter_mut().zip(self.next) {
            *block = self.arena.alloc(black_box(len));
        }
        let allocs = start.elapsed();
        self.out.extend(found.iter().flatten());
        let count = found.iter().flatten().count();
        let mut goes = Vec::with_capacity(TURN);
        for _ in 0..count {
            let at = self.random.next() as usize % self.out.len();
            goes.push(self.out.swap_remove(at));
        }
        let start = Instant::now();
        for &block in &goes {
            self.arena.give_back(black_box(block));
        }
        (allocs, start.elapsed())
    }
}

fn half(criterion: &mut Criterion, name: &str, pick: fn((Duration, Duration)) -> Duration) {
    let mut group = criterion.benchmark_group(name);
    for scenario in &SCENARIOS {
        group.bench_function(scenario.name, |bencher| {
            let mut load = Load::new(scenario);
            bencher.iter_custom(|rounds| {
                let turns = rounds.div_ceil(TURN as u64);
                let time: Duration = (0..turns).map(|_| pick(load.turn())).sum();
                time.mul_f64(rounds as f64 / (turns * TURN as u64) as f64)
            });
        });
    }
    group.finish();
}

fn costs(criterion: &mut Criterion) {
    half(criterion, "alloc", |(allocs, _)| allocs);
    half(criterion, "give_back", |(_, returns)| returns);
}

criterion_group!(benches, costs);
criterion_main!(benches);
