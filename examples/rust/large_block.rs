//! An array of 64 MiB that two threads fill where another process will read it, beside messages of any other length.
//!
//! `cargo run -p slipring-examples --example large_block`

use slipring::{Bus, Cause, Deadline, Options};
use std::error::Error;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Numbers in the array, eight bytes each.
const NUMBERS: usize = 8 << 20;
const MESSAGE: u32 = 1;
const ARRAY: u32 = 2;

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        None => read(),
        Some(name) => compute(&name),
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

fn read() -> Result<(), Box<dyn Error>> {
    let name = format!("large-block-{}", std::process::id());
    let mut other = Command::new(std::env::current_exe()?).arg(&name).spawn()?;
    let mut bus = Bus::listen_until(&name, &Options::default(), soon())?;
    let (mut messages, mut longest, mut sum) = (0, 0, 0_u64);
    let end = loop {
        match bus.recv_until(soon()) {
            Ok(lease) if lease.type_id() == ARRAY => {
                // These are the pages that the other process wrote.
                let numbers =
                    lease.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")));
                sum = numbers.fold(0, u64::wrapping_add);
            }
            Ok(lease) => (messages, longest) = (messages + 1, lease.len().max(longest)),
            Err(end) => break end,
        }
    };
    println!("{messages} messages of up to {longest} bytes, and an array whose sum is {sum}; then: {end}");
    let expected = (0..NUMBERS as u64).map(|number| number * number).fold(0, u64::wrapping_add);
    let ended = other.wait()?;
    if end == Cause::Closed && sum == expected && ended.success() { Ok(()) } else { Err("a wrong sum".into()) }
}

fn compute(name: &str) -> Result<(), Box<dyn Error>> {
    let mut bus = Bus::connect_until(name, &Options::default(), soon())?;
    // The claim is ours: it goes to other threads, and the bus is free meanwhile.
    let mut array = bus.claim_owned_until(NUMBERS * 8, soon())?;
    let start = Instant::now();
    thread::scope(|scope| -> Result<(), Cause> {
        for (half, part) in (0..).zip(array.chunks_exact_mut(NUMBERS * 4)) {
            scope.spawn(move || {
                for (number, word) in (half * NUMBERS as u64 / 2..).zip(part.chunks_exact_mut(8)) {
                    word.copy_from_slice(&(number * number).to_le_bytes());
                }
            });
        }
        // From nothing to a mebibyte by the same call.
        for len in [0, 1, 100, 10_000, 1 << 20] {
            bus.publish_until(MESSAGE, &vec![7; len], soon())?;
        }
        Ok(())
    })?;
    bus.publish_owned(ARRAY, array, NUMBERS * 8)?;
    println!("64 MiB written in place by two threads in {:.1?}, and sent without a copy", start.elapsed());
    bus.close(Duration::from_secs(10))?;
    Ok(())
}
