//! A table of 16 MiB that is made once and read by four processes, where it is.
//!
//! `cargo run -p slipring-examples --example shared_object`

use slipring::{Cause, Deadline, Listener, Options, RpcBus, SharedBuffer};
use std::error::Error;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(5);
const READERS: usize = 4;
const NUMBERS: u64 = 2 << 20;
const TABLE: u32 = 1;

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        None => serve(),
        Some(name) => read(&name),
    }
}

/// Makes the table, and hands it to whoever asks.
fn serve() -> Result<(), Box<dyn Error>> {
    let mut table = SharedBuffer::build(NUMBERS as usize * 8)?;
    for (place, number) in table.chunks_exact_mut(8).zip(0_u64..) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    // From here on nobody can change it, this process neither.
    let table = table.seal()?;

    let name = format!("shared-object-{}", std::process::id());
    let mut listener = Listener::bind(&name, &Options::default())?;
    let program = std::env::current_exe()?;
    let start = || Command::new(&program).arg(&name).spawn();
    let mut readers = (0..READERS).map(|_| start()).collect::<Result<Vec<Child>, _>>()?;

    for _ in 0..READERS {
        let mut rpc = listener.accept_rpc_until(Deadline::after(SOON))?;
        for _ in 0..2 {
            let request = rpc.serve_until(Deadline::after(SOON))?;
            // The first time this hands a descriptor over, the second time a number. The bytes stay where they are.
            request.reply_shared(TABLE, b"the table", &[&table])?;
        }
        match rpc.serve_until(Deadline::after(SOON)) {
            Err(Cause::Closed) => {}
            other => {
                return Err(format!("a reader did not say goodbye: {:?}", other.map(|request| request.id())).into());
            }
        }
    }
    let ended = readers.iter_mut().map(Child::wait).collect::<Result<Vec<_>, _>>()?;
    if ended.iter().any(|ended| !ended.success()) {
        return Err("a reader failed".into());
    }
    println!("{READERS} processes read {NUMBERS} numbers each, of which there was one copy");
    Ok(())
}

/// Asks for the table, twice, and adds it up.
fn read(name: &str) -> Result<(), Box<dyn Error>> {
    let mut rpc = RpcBus::connect_until(name, &Options::default(), Deadline::after(SOON))?;
    let first = rpc.request_until(TABLE, b"", Deadline::after(SOON))?.keep();
    let start = Instant::now();
    let again = rpc.request_until(TABLE, b"", Deadline::after(SOON))?.keep();
    let time = start.elapsed();
    let (table, same) = (&first.shared()[0], &again.shared()[0]);
    assert_eq!(table.as_ptr(), same.as_ptr(), "it was mapped once");
    rpc.close(SOON)?;
    // What is kept needs neither the session nor the process that made it.
    let numbers = table.chunks_exact(8).map(|number| u64::from_le_bytes(number.try_into().expect("eight bytes")));
    let sum: u64 = numbers.sum();
    println!("process {} got the table again in {time:.1?}; its sum is {sum}", std::process::id());
    if sum == NUMBERS * (NUMBERS - 1) / 2 { Ok(()) } else { Err("a wrong sum".into()) }
}
