//! Prints the sessions of a name, once or every second, as any process of the same user can. Nobody who is watched notices.
//!
//! `cargo run -p slipring-examples --example watch -- NAME [every]`
//!
//! Without a name it has something to watch: a server in a process of its own, and two clients of it here.

use slipring::{Deadline, Observation, Observer, Options, RpcBus, Server, Stats};
use std::error::Error;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next(), arguments.next().as_deref()) {
        (None, _) => demonstrate(),
        (Some(name), Some("serve")) => serve(&name),
        (Some(name), Some("every")) => {
            let observer = Observer::connect(&name, Deadline::after(SOON))?;
            loop {
                print(&observer.look());
                thread::sleep(Duration::from_secs(1));
            }
        }
        (Some(name), _) => {
            print(&Observer::connect(&name, Deadline::after(SOON))?.look());
            Ok(())
        }
    }
}

/// What can be seen at one look.
fn print(seen: &Observation) {
    println!("{} sessions, {} since the listener began", seen.open, seen.opened);
    if seen.unshown > 0 || seen.torn > 0 {
        println!("  ({} of them are not shown, {} could not be read)", seen.unshown, seen.torn);
    }
    println!("  session  kind  process      age  frames in / out     KiB in / out   sleeps  the client's: in / out");
    for one in &seen.sessions {
        let Stats { frames_received, frames_sent, bytes_received, bytes_sent, parks, .. } = one.ours;
        let theirs = one.theirs.map_or("not shown".into(), |theirs| frames(theirs.frames_received, theirs.frames_sent));
        println!(
            "  {:>7}  {:<4}  {:>7}  {:>5} ms  {:>15}  {:>15}  {parks:>7}  {theirs:>22}",
            one.session,
            format!("{:?}", one.kind),
            one.pid,
            one.age.as_millis(),
            frames(frames_received, frames_sent),
            frames(bytes_received / 1024, bytes_sent / 1024),
        );
    }
}

fn frames(received: u64, sent: u64) -> String {
    format!("{received} / {sent}")
}

/// Answers every call, for as long as somebody reads from this process's parent.
fn serve(name: &str) -> Result<(), Box<dyn Error>> {
    let mut server = Server::bind(name, &Options::default())?.on_request(|_, request| {
        // A client that is gone needs no reply.
        let _ = request.reply(1, &[0; 4096]);
    });
    let stopper = server.stopper();
    let waiting = thread::spawn(move || {
        // Until the parent closes its end, or ends.
        let ended = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        stopper.stop();
        ended
    });
    server.run()?;
    waiting.join().expect("it does not panic")?;
    Ok(())
}

fn demonstrate() -> Result<(), Box<dyn Error>> {
    let name = format!("watch-{}", std::process::id());
    let mut server = Command::new(std::env::current_exe()?).args([&name, "serve"]).stdin(Stdio::piped()).spawn()?;
    let connect = || RpcBus::connect_until(&name, &Options::default(), Deadline::after(SOON));
    let mut clients = [connect()?, connect()?];
    let observer = Observer::connect(&name, Deadline::after(SOON))?;
    for calls in [10, 1000] {
        for (client, calls) in clients.iter_mut().zip([calls, 2 * calls]) {
            for _ in 0..calls {
                drop(client.request_until(1, b"?", Deadline::after(SOON))?);
            }
        }
        // What is printed is what each side wrote down last: it does so before it sleeps.
        thread::sleep(Duration::from_millis(100));
        print(&observer.look());
    }
    drop(clients);
    // Closing its input is how it is told to end.
    drop(server.stdin.take());
    if server.wait()?.success() { Ok(()) } else { Err("the server failed".into()) }
}
