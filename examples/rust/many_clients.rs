//! One thread serves hundreds of clients: eight processes with twenty-five sessions each, most of them idle most of the time.
//!
//! A session is dropped without a goodbye when its process ends suddenly, as one of these does; the others do not notice.
//!
//! `cargo run -p slipring-examples --example many_clients`

use slipring::{Cause, Deadline, Options, RpcBus, Server, raise_descriptor_limit};
use std::collections::BTreeSet;
use std::error::Error;
use std::process::{Child, Command};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const PROCESSES: u64 = 8;
const SESSIONS: u64 = 25;
const CALLS: u64 = 20;
const SQUARE: u32 = 1;

/// What the server has seen. Handlers may run on several threads, so it stands behind a lock.
static SEEN: Mutex<Seen> = Mutex::new(Seen { sessions: BTreeSet::new(), calls: 0, closed: 0, died: 0 });

struct Seen {
    sessions: BTreeSet<slipring::Key>,
    calls: u64,
    closed: u64,
    died: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next(), arguments.next()) {
        (Some(name), Some(number)) => client(&name, number.parse()?),
        _ => serve_all(),
    }
}

fn serve_all() -> Result<(), Box<dyn Error>> {
    println!("up to {} descriptors", raise_descriptor_limit()?);
    let name = format!("many-clients-{}", std::process::id());
    let mut server = Server::bind(&name, &Options::default())?
        .on_request(|session, request| {
            let mut seen = SEEN.lock().expect("nobody panics with it");
            seen.sessions.insert(session);
            seen.calls += 1;
            let number = request[..].try_into().map(u64::from_le_bytes).unwrap_or_default();
            // A client that is gone needs no reply.
            let _ = request.reply(SQUARE, &(number * number).to_le_bytes());
        })
        .on_end(|_, cause| {
            let mut seen = SEEN.lock().expect("nobody panics with it");
            match cause {
                Cause::Closed => seen.closed += 1,
                _ => seen.died += 1,
            }
        });
    let program = std::env::current_exe()?;
    let start = |number: u64| Command::new(&program).args([name.as_str(), &number.to_string()]).spawn();
    let clients = (0..PROCESSES).map(start).collect::<Result<Vec<_>, _>>()?;
    let began = Instant::now();
    let stopper = server.stopper();
    let waiter = std::thread::spawn(move || {
        let ended = await_all(clients);
        stopper.stop();
        ended
    });
    server.run()?;
    waiter.join().expect("it does not panic")?;
    // What the last of them left behind.
    while server.sessions() > 0 {
        match server.run_until(Deadline::after(Duration::from_millis(10))) {
            Err(error) if error.cause() == Cause::Timeout => {}
            other => other?,
        }
    }
    let seen = SEEN.lock().expect("nobody panics with it");
    println!("{} sessions, {} calls served by one thread in {:?}", seen.sessions.len(), seen.calls, began.elapsed());
    println!("{} sessions were closed, {} died with their process", seen.closed, seen.died);
    println!("{:?}", server.stats());
    if seen.died == SESSIONS && seen.closed == (PROCESSES - 1) * SESSIONS { Ok(()) } else { Err("miscounted".into()) }
}

fn await_all(clients: Vec<Child>) -> Result<(), String> {
    for mut client in clients {
        let ended = client.wait().map_err(|error| error.to_string())?;
        if ended.code() != Some(0) {
            return Err(format!("a client ended with {ended}"));
        }
    }
    Ok(())
}

/// One process with many sessions, of which one at a time has something to say.
fn client(name: &str, number: u64) -> Result<(), Box<dyn Error>> {
    let soon = || Deadline::after(Duration::from_secs(10));
    let connect = |_| RpcBus::connect_until(name, &Options::default(), soon());
    let mut sessions = (0..SESSIONS).map(connect).collect::<Result<Vec<_>, _>>()?;
    for call in 0..CALLS {
        for session in &mut sessions {
            let reply = session.request_until(SQUARE, &call.to_le_bytes(), soon())?;
            assert_eq!(reply[..], (call * call).to_le_bytes());
        }
    }
    if number == 0 {
        // No destructor runs: nobody says goodbye.
        std::process::exit(0);
    }
    for session in sessions {
        session.close(Duration::from_secs(5))?;
    }
    Ok(())
}
