//! Payloads that are written where they will be read: claimed, filled in place, committed, and summed up in place.
//!
//! `cargo run -p slipring-examples --example zero_copy`

use slipring::{Bus, Cause, Deadline, Options};
use std::error::Error;
use std::process::Command;
use std::time::{Duration, Instant};

/// Numbers in a block, eight bytes each. A block goes through the ring itself, so it must fit into half of it.
const NUMBERS: u64 = 4096;
const BLOCKS: u64 = 2000;
const CAPACITY: usize = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        None => sum_up(),
        Some(name) => produce(&name),
    }
}

fn sum_up() -> Result<(), Box<dyn Error>> {
    let name = format!("zero-copy-{}", std::process::id());
    let mut producer = Command::new(std::env::current_exe()?).arg(&name).spawn()?;
    // The listening end decides how large the ring is.
    let options = Options::default().capacity(CAPACITY);
    let mut bus = Bus::listen_until(&name, &options, Deadline::after(Duration::from_secs(5)))?;
    let start = Instant::now();
    let (mut blocks, mut bytes, mut sum) = (0, 0, 0_u64);
    let end = loop {
        // The closure sees the frames in the memory that the producer wrote. Nothing is copied.
        let polled = bus.poll_until(64, Deadline::after(Duration::from_secs(5)), |block| {
            let numbers =
                block.chunks_exact(8).map(|number| u64::from_le_bytes(number.try_into().expect("eight bytes")));
            sum = numbers.fold(sum, u64::wrapping_add);
            blocks += 1;
            bytes += block.len();
        });
        if let Err(end) = polled {
            break end;
        }
    };
    let time = start.elapsed();
    println!("{blocks} blocks, {:.1} MiB in {time:.1?}, sum {sum}; then: {end}", bytes as f64 / f64::from(1 << 20));
    let expected = (0..NUMBERS * BLOCKS).sum::<u64>();
    let ended = producer.wait()?;
    if end == Cause::Closed && sum == expected && ended.success() { Ok(()) } else { Err("a wrong sum".into()) }
}

fn produce(name: &str) -> Result<(), Box<dyn Error>> {
    let len = NUMBERS as usize * 8;
    // Each end decides how long a payload it puts into the ring.
    let options = Options::default().inline_limit(len);
    let mut bus = Bus::connect_until(name, &options, Deadline::after(Duration::from_secs(5)))?;
    let mut next = 0_u64;
    for _ in 0..BLOCKS {
        let mut claim = bus.claim(len)?;
        for place in claim.chunks_exact_mut(8) {
            place.copy_from_slice(&next.to_le_bytes());
            next += 1;
        }
        // Until here nobody has seen a byte of it, and dropping the claim would leave no trace.
        claim.commit(1, len).map_err(|error| error.cause)?;
    }
    bus.close(Duration::from_secs(5))?;
    Ok(())
}
