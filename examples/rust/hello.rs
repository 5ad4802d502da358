//! Two processes: one says a few things, the other hears them.
//!
//! `cargo run -p slipring-examples --example hello`

use slipring::{Bus, Cause, Deadline, Options};
use std::error::Error;
use std::process::Command;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    // Started with a name, this program is the second process.
    match std::env::args().nth(1) {
        None => hear(),
        Some(name) => say(&name),
    }
}

fn hear() -> Result<(), Box<dyn Error>> {
    let name = format!("hello-{}", std::process::id());
    let mut second = Command::new(std::env::current_exe()?).arg(&name).spawn()?;
    let mut bus = Bus::listen_until(&name, &Options::default(), Deadline::after(Duration::from_secs(5)))?;
    let mut heard = 0;
    let end = loop {
        match bus.recv_until(Deadline::after(Duration::from_secs(5))) {
            Ok(lease) => {
                heard += 1;
                println!("{} heard type {}: {}", std::process::id(), lease.type_id(), std::str::from_utf8(&lease)?);
            }
            Err(end) => break end,
        }
    };
    // A peer that says goodbye is told from one that dies.
    println!("{} heard {heard} messages; then: {end}", std::process::id());
    let ended = second.wait()?;
    if end == Cause::Closed && heard == 3 && ended.success() { Ok(()) } else { Err("not what was said".into()) }
}

fn say(name: &str) -> Result<(), Box<dyn Error>> {
    // The listener may not be there yet.
    let mut bus = Bus::connect_until(name, &Options::default(), Deadline::after(Duration::from_secs(5)))?;
    for (type_id, text) in [(1, "hello"), (1, "from another process"), (2, "goodbye")] {
        println!("{} says  type {type_id}: {text}", std::process::id());
        bus.publish(type_id, text.as_bytes())?;
    }
    // Stays until everything has been read.
    bus.close(Duration::from_secs(5))?;
    Ok(())
}
