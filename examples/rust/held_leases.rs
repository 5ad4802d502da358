//! Payloads that are kept: a reader hands long messages to worker threads that look at them for as long as they like, while it
//! reads on, and even after the session is over. Nothing is copied.
//!
//! `cargo run -p slipring-examples --example held_leases`

use slipring::{Bus, Cause, Deadline, Message, Options};
use std::error::Error;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);

/// Pictures that are sent, and their bytes.
const PICTURES: u32 = 200;
const PICTURE: usize = 100_000;
const WORKERS: usize = 3;
/// The pictures that are kept to the end.
const KEPT: u32 = 10;

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        None => look_at_pictures(),
        Some(name) => paint(&name),
    }
}

fn look_at_pictures() -> Result<(), Box<dyn Error>> {
    let name = format!("held-{}", std::process::id());
    let mut painter = Command::new(std::env::current_exe()?).arg(&name).spawn()?;
    // How much the painter may have out at once, whatever we keep of it.
    let options = Options::default().memory_limit(64 << 20);
    let mut bus = Bus::listen_until(&name, &options, Deadline::after(SOON))?;

    let (album, right) = std::thread::scope(|scope| -> Result<_, Box<dyn Error>> {
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            let (give, given) = mpsc::channel::<Message>();
            // A picture goes back to the painter when its last holder drops it: here, on the worker's thread.
            workers.push((give, scope.spawn(move || given.iter().filter(is_right).count())));
        }
        let mut album = Vec::new();
        let mut most_held = 0;
        let end = loop {
            let message = match bus.recv_until(Deadline::after(SOON)) {
                Ok(lease) => lease.keep(),
                Err(end) => break end,
            };
            if message.type_id() % (PICTURES / KEPT) == 0 {
                // A second holder of the same bytes.
                album.push(message.clone());
            }
            let (worker, _) = &workers[message.type_id() as usize % WORKERS];
            worker.send(message)?;
            most_held = most_held.max(bus.stats().held_blocks);
        };
        println!("{PICTURES} pictures; up to {most_held} were held at once; then: {end}");
        if end != Cause::Closed {
            return Err(end.into());
        }
        let mut right = 0;
        for (give, worker) in workers {
            drop(give);
            right += worker.join().expect("a worker does not panic");
        }
        Ok((album, right))
    })?;

    let ended = painter.wait()?;
    let stats = bus.stats();
    drop(bus);
    // The painter is gone, the session closed; what is held stays as it is.
    let well_kept = album.iter().filter(|message| is_right(message)).count();
    println!("{well_kept} are still held, {} bytes, and as they were", stats.held_bytes);
    let all = right == PICTURES as usize && well_kept == KEPT as usize && stats.held_blocks == u64::from(KEPT);
    if all && ended.success() { Ok(()) } else { Err("a picture is missing or damaged".into()) }
}

/// The colour of a picture.
fn colour(picture: u32) -> u8 {
    picture as u8 ^ 0x5A
}

fn is_right(message: &Message) -> bool {
    message.len() == PICTURE && message.iter().all(|&pixel| pixel == colour(message.type_id()))
}

fn paint(name: &str) -> Result<(), Box<dyn Error>> {
    let mut bus = Bus::connect_until(name, &Options::default(), Deadline::after(SOON))?;
    for picture in 0..PICTURES {
        // Longer than the inline limit, so this is a block of shared memory; it waits if too many are held.
        let mut claim = bus.claim_until(PICTURE, Deadline::after(SOON))?;
        claim.fill(colour(picture));
        claim.commit(picture, PICTURE).map_err(|error| error.cause)?;
    }
    bus.close(SOON)?;
    Ok(())
}
