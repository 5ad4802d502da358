//! Calls that are given up: by `cancel`, which the handler can see, and by a deadline, which travels with the call. Either way
//! a reply still comes; where nobody waits for it any more it is counted and dropped.
//!
//! `cargo run -p slipring-examples --example cancel`

use slipring::{Cause, Deadline, Options, Request, RpcBus};
use std::error::Error;
use std::process::Command;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);
const A_MOMENT: Duration = Duration::from_millis(50);

const SEARCH: u32 = 1;
const PING: u32 = 2;
/// The error by which a search says that it was stopped.
const STOPPED: u32 = 1;

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        None => client(),
        Some(name) => server(&name),
    }
}

fn client() -> Result<(), Box<dyn Error>> {
    let name = format!("cancel-{}", std::process::id());
    let mut server = Command::new(std::env::current_exe()?).arg(&name).spawn()?;
    let mut rpc = RpcBus::connect_until(&name, &Options::default(), Deadline::after(SOON))?;

    // A wait that ends leaves the call in flight; it can be waited for again, or cancelled.
    let search = rpc.call(SEARCH, b"a needle")?;
    let waited = rpc.wait_until(search, Deadline::after(A_MOMENT)).map(drop).expect_err("a search takes long");
    println!("client: {waited}; cancels the search");
    rpc.cancel(search);
    until_all_have_answered(&mut rpc)?;

    // With a deadline the server need not be told: it knows, and may even say so before we notice.
    let gone = rpc.request_until(SEARCH, b"a pin", Deadline::after(A_MOMENT)).map(drop).expect_err("that takes longer");
    println!("client: {gone}");
    until_all_have_answered(&mut rpc)?;

    let late = rpc.stats().late_replies;
    println!("client: no call is left in flight; replies that came too late: {late}");
    let given_up = matches!(gone.cause(), Cause::Timeout | Cause::Remote { code: STOPPED });
    let right = waited.cause() == Cause::Timeout && given_up && late >= 1;
    rpc.close(SOON)?;
    if right && server.wait()?.success() { Ok(()) } else { Err("not what was asked".into()) }
}

/// Other calls go on meanwhile. A call that was given up keeps its place until its reply has come.
fn until_all_have_answered(rpc: &mut RpcBus) -> Result<(), Box<dyn Error>> {
    let end = Deadline::after(SOON);
    while rpc.in_flight() > 0 {
        drop(rpc.request_until(PING, b"", end)?);
    }
    Ok(())
}

fn server(name: &str) -> Result<(), Box<dyn Error>> {
    let mut rpc = RpcBus::listen_until(name, &Options::default(), Deadline::after(SOON))?;
    rpc.on_request(|request| {
        let replied = match request.type_id() {
            SEARCH => search(request),
            _ => request.reply(PING, b""),
        };
        if let Err(cause) = replied {
            eprintln!("server: the reply could not be sent: {cause}");
        }
    });
    match rpc.run_until(Deadline::after(2 * SOON)) {
        Err(Cause::Closed) => Ok(()),
        Err(cause) => Err(cause.into()),
        Ok(()) => Ok(()),
    }
}

/// Looks for something in many small steps, and for news of its caller between two.
fn search(mut request: Request<'_>) -> Result<(), Cause> {
    for step in 1..=5000 {
        std::thread::sleep(Duration::from_millis(1));
        // Takes in what has come, and serves it by the same handler: that is how a cancel is seen.
        match request.bus().run_until(Deadline::NOW) {
            Ok(()) | Err(Cause::Timeout) => {}
            Err(cause) => return Err(cause),
        }
        let why = if request.deadline().has_passed() {
            "too late"
        } else if request.is_cancelled() {
            "cancelled"
        } else {
            continue;
        };
        println!("server: {why}; it stops the search for {:?}", String::from_utf8_lossy(&request));
        // The one reply that is due, though nobody waits for it.
        return request.reply_error(STOPPED, &format!("{why} after {step} steps"));
    }
    request.reply(SEARCH, b"found")
}
