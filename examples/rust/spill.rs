//! A reader that keeps everything it gets, and a sender that may have 8 MiB of memory: the rest goes to a directory.
//!
//! `cargo run -p slipring-examples --example spill`

use slipring::{Bus, Cause, Deadline, Options};
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Bytes of a message, and how many of them are kept at once.
const LEN: usize = 3 << 20;
const MESSAGES: u32 = 12;

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        None => keep(),
        Some(name) => send(&name),
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

fn keep() -> Result<(), Box<dyn Error>> {
    let name = format!("spill-{}", std::process::id());
    let mut sender = Command::new(std::env::current_exe()?).arg(&name).spawn()?;
    let mut bus = Bus::listen_until(&name, &Options::default(), soon())?;
    let mut kept = Vec::new();
    let end = loop {
        match bus.recv_until(soon()) {
            Ok(lease) => kept.push(lease.keep()),
            Err(end) => break end,
        }
    };
    let whole = (0..).zip(&kept).all(|(number, message)| message.len() == LEN && message.iter().all(|&b| b == number));
    println!("{} messages of 3 MiB are kept, all whole: {whole}; then: {end}", kept.len());
    let ended = sender.wait()?;
    let right = whole && kept.len() == MESSAGES as usize && end == Cause::Closed && ended.success();
    if right { Ok(()) } else { Err("something was lost".into()) }
}

fn send(name: &str) -> Result<(), Box<dyn Error>> {
    let place = std::env::temp_dir().join(name);
    std::fs::create_dir(&place)?;
    let sent = send_through(name, &place);
    // The files in it never had names, and are gone with the last who maps them.
    let left = std::fs::read_dir(&place)?.count();
    std::fs::remove_dir(&place)?;
    let spilled = sent?;
    println!("8 MiB of memory, {} MiB in all, the rest in files without names ({left} are left)", spilled >> 20);
    Ok(())
}

fn send_through(name: &str, place: &Path) -> Result<u64, Box<dyn Error>> {
    let options = Options::default().memory_limit(8 << 20).spill_dir(place);
    let mut bus = Bus::connect_until(name, &options, soon())?;
    for number in 0..MESSAGES {
        bus.publish_until(number, &vec![number as u8; LEN], soon())?;
    }
    let bytes = bus.stats().region_bytes;
    bus.close(Duration::from_secs(10))?;
    Ok(bytes)
}
