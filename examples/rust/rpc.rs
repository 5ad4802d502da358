//! Calls from one process to another: a reply by copy, a long one that is read where it was written, many calls at once, an
//! error that the server says, and a note that nobody answers.
//!
//! `cargo run -p slipring-examples --example rpc`

use slipring::{Cause, Deadline, Options, Request, RpcBus};
use std::error::Error;
use std::process::Command;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);

/// What can be asked, by type id.
const SQUARE: u32 = 1;
const TABLE: u32 = 2;
const LOG: u32 = 3;

/// The error that the server answers with where it does not know what is asked.
const UNKNOWN: u32 = 1;

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        None => client(),
        Some(name) => server(&name),
    }
}

fn client() -> Result<(), Box<dyn Error>> {
    let name = format!("rpc-{}", std::process::id());
    let mut server = Command::new(std::env::current_exe()?).arg(&name).spawn()?;
    let mut rpc = RpcBus::connect_until(&name, &Options::default(), Deadline::after(SOON))?;

    // A call and the wait for its reply. The deadline travels: the server sees it, too.
    let reply = rpc.request_until(SQUARE, &12_u64.to_le_bytes(), Deadline::after(SOON))?;
    println!("the square of 12 is {}", number(&reply)?);
    drop(reply);

    // A long reply stands in the server's memory and is read there. It goes back when it drops.
    let table = rpc.request_until(TABLE, &100_000_u64.to_le_bytes(), Deadline::after(SOON))?;
    let sum = table.chunks_exact(8).map(number).sum::<Result<u64, _>>()?;
    println!("{} bytes of squares, in place; their sum is {sum}", table.len());
    drop(table);

    // Calls are made first and waited for later, in whatever order.
    let mut calls = Vec::new();
    for n in 0..10_u64 {
        calls.push(rpc.call_until(SQUARE, &n.to_le_bytes(), Deadline::after(SOON))?);
    }
    let mut squares = Vec::new();
    for &call in calls.iter().rev() {
        squares.push(number(&rpc.wait(call)?)?);
    }
    println!("ten at once: {squares:?}");

    let refused = rpc.request_until(99, b"", Deadline::after(SOON)).map(drop).expect_err("nobody knows what 99 is");
    println!("call 99: {refused}");

    rpc.note_until(LOG, b"that was all", Deadline::after(SOON))?;
    rpc.close(SOON)?;
    let ended = server.wait()?;
    let right = sum == (0..100_000).map(|n: u64| n * n).sum() && squares == [81, 64, 49, 36, 25, 16, 9, 4, 1, 0];
    if right && refused.cause() == (Cause::Remote { code: UNKNOWN }) && ended.success() {
        Ok(())
    } else {
        Err("not what was asked".into())
    }
}

fn server(name: &str) -> Result<(), Box<dyn Error>> {
    let mut rpc = RpcBus::listen_until(name, &Options::default(), Deadline::after(SOON))?;
    loop {
        let request = match rpc.serve_until(Deadline::after(SOON)) {
            Ok(request) => request,
            Err(Cause::Closed) => return Ok(()),
            Err(cause) => return Err(cause.into()),
        };
        match request.type_id() {
            SQUARE => {
                let n = number(&request)?;
                request.reply(SQUARE, &(n * n).to_le_bytes())?;
            }
            TABLE => table(request)?,
            LOG => println!("server {} logs: {}", std::process::id(), std::str::from_utf8(&request)?),
            _ => request.reply_error(UNKNOWN, "no such question")?,
        }
    }
}

/// Squares, written where the client will read them.
fn table(mut request: Request<'_>) -> Result<(), Box<dyn Error>> {
    let len = usize::try_from(number(&request)?)? * 8;
    let id = request.id();
    let mut claim = request.bus().claim_reply(id, len)?;
    for (place, n) in claim.chunks_exact_mut(8).zip(0_u64..) {
        place.copy_from_slice(&(n * n).to_le_bytes());
    }
    claim.commit(TABLE, len).map_err(|error| error.cause)?;
    Ok(())
}

fn number(bytes: &[u8]) -> Result<u64, std::array::TryFromSliceError> {
    Ok(u64::from_le_bytes(bytes.try_into()?))
}
