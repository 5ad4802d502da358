//! A server that is killed in the middle, and a client that finds out, waits for the next server, and goes on.
//!
//! `cargo run -p slipring-examples --example peer_restart`

use slipring::{Bus, Cause, Deadline, Options};
use std::error::Error;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Messages that each server is to get.
const MESSAGES: u64 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        None => client(),
        Some(name) => server(&name),
    }
}

fn client() -> Result<(), Box<dyn Error>> {
    let name = format!("restart-{}", std::process::id());
    let mut first = start_server(&name)?;
    let mut bus = connect(&name)?;
    for number in 0..MESSAGES {
        bus.publish(0, &number.to_le_bytes())?;
    }
    std::thread::sleep(Duration::from_millis(50));

    println!("client: kills the server (SIGKILL)");
    first.kill()?;
    let killed = Instant::now();
    let died = loop {
        // What is published to a dead peer goes nowhere; within about a millisecond the call says so.
        if let Err(cause) = bus.publish(0, b"is anybody there?") {
            break cause;
        }
    };
    println!("client: {died}, {:.1?} after the kill", killed.elapsed());
    first.wait()?;

    // Nothing of the first stands in the way of the second, which takes the same name; the client waits until it has.
    let mut second = start_server(&name)?;
    let mut bus = connect(&name)?;
    for number in 0..MESSAGES {
        bus.publish(0, &number.to_le_bytes())?;
    }
    bus.close(Duration::from_secs(5))?;
    let ended = second.wait()?;
    println!("client: everything was read by the second server");
    if died == Cause::PeerDied && ended.success() { Ok(()) } else { Err("the second server failed".into()) }
}

fn start_server(name: &str) -> Result<Child, std::io::Error> {
    Command::new(std::env::current_exe()?).arg(name).spawn()
}

fn connect(name: &str) -> Result<Bus, slipring::Error> {
    Bus::connect_until(name, &Options::default(), Deadline::after(Duration::from_secs(5)))
}

fn server(name: &str) -> Result<(), Box<dyn Error>> {
    let pid = std::process::id();
    let mut bus = Bus::listen_until(name, &Options::default(), Deadline::after(Duration::from_secs(5)))?;
    let mut next = 0;
    let end = loop {
        match bus.recv_until(Deadline::after(Duration::from_secs(5))) {
            Ok(lease) if lease[..] == u64::to_le_bytes(next) => next += 1,
            Ok(lease) => return Err(format!("message {next} came as {lease:?}").into()),
            Err(end) => break end,
        }
        println!("server {pid}: has {next} of {MESSAGES} messages");
    };
    println!("server {pid}: {end}");
    if end == Cause::Closed && next == MESSAGES { Ok(()) } else { Err("a message is missing".into()) }
}
