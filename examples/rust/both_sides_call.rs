//! Two processes that call each other out of each other's handlers: a factorial of which each computes every second step.
//!
//! While a side waits for a reply it serves the calls that arrive, so nobody locks anybody up; and how deep that goes is
//! bounded, so nobody runs out of stack.
//!
//! `cargo run -p slipring-examples --example both_sides_call`

use slipring::{CallError, Cause, Deadline, Options, Request, RpcBus};
use std::error::Error;
use std::process::Command;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);
const FACTORIAL: u32 = 1;
/// The error by which a handler passes on that somebody below it could not answer.
const TOO_DEEP: u32 = 1;

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        None => first(),
        Some(name) => second(&name),
    }
}

fn first() -> Result<(), Box<dyn Error>> {
    let name = format!("both-{}", std::process::id());
    let mut other = Command::new(std::env::current_exe()?).arg(&name).spawn()?;
    // The end that connects serves no calls, unless it says so or has a handler.
    let mut rpc = RpcBus::connect_until(&name, &Options::default(), Deadline::after(SOON))?;
    rpc.on_request(serve);

    let factorial = ask(&mut rpc, 12)?;
    println!("12! = {factorial}, by {} calls to the other and {} from it", 6, 5);

    let refused = ask(&mut rpc, 100).expect_err("a hundred calls within each other are too many");
    println!("100! is refused: {refused}");
    // That cost this call alone.
    let again = ask(&mut rpc, 5)?;
    println!("5! = {again}");

    rpc.close(SOON)?;
    let ended = other.wait()?;
    let right = factorial == (1..=12).product::<u64>() && again == 120;
    if right && refused.cause() == (Cause::Remote { code: TOO_DEEP }) && ended.success() {
        Ok(())
    } else {
        Err("a wrong factorial".into())
    }
}

fn second(name: &str) -> Result<(), Box<dyn Error>> {
    let mut rpc = RpcBus::listen_until(name, &Options::default(), Deadline::after(SOON))?;
    rpc.on_request(serve);
    match rpc.run_until(Deadline::after(SOON)) {
        Err(Cause::Closed) => Ok(()),
        Err(cause) => Err(cause.into()),
        Ok(()) => Ok(()),
    }
}

/// The handler of both sides: asks the other for the factorial of one less.
fn serve(mut request: Request<'_>) {
    let Ok(bytes) = request[..].try_into() else { return };
    let n = u64::from_le_bytes(bytes);
    let below = if n <= 1 { Ok(1) } else { ask(request.bus(), n - 1) };
    let replied = match below {
        Ok(below) => request.reply(FACTORIAL, &(n * below).to_le_bytes()),
        Err(error) => request.reply_error(TOO_DEEP, error.text()),
    };
    if let Err(cause) = replied {
        eprintln!("{}: the reply could not be sent: {cause}", std::process::id());
    }
}

fn ask(rpc: &mut RpcBus, n: u64) -> Result<u64, CallError> {
    let reply = rpc.request_until(FACTORIAL, &n.to_le_bytes(), Deadline::after(SOON))?;
    Ok(u64::from_le_bytes(reply[..].try_into().expect("a factorial has eight bytes")))
}
