//! The Rust side of what goes over between Rust and programs in C or C++: every payload, byte by byte.

use crate::c::{Program, must_end_well};
use crate::watchdog::{Watchdog, watchdog_for};
use slipring::{Bus, Cause, Deadline, Options, RpcBus};
use std::process::{Child, Stdio};
use std::time::Duration;

/// As in `check.h` and `check.hpp`.
pub const LENGTHS: [usize; 13] = [0, 1, 47, 48, 49, 1023, 1024, 1025, 4096, 65536, 1_048_576, 5_000_001, 67_108_864];

const LONG: Duration = Duration::from_secs(200);

/// A watchdog for a test that may have to build the library.
pub fn patience(what: &str) -> Watchdog {
    watchdog_for(what, Duration::from_secs(240))
}

/// When a test with a watchdog of that [`patience`] gives up by itself.
#[must_use]
pub fn soon() -> Deadline {
    Deadline::after(LONG)
}

/// As `fill` in `check.h` and `check.hpp`.
#[must_use]
pub fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index.wrapping_mul(31).wrapping_add(index >> 8).wrapping_add(len)) as u8).collect()
}

/// Starts `program` in a role, at the address of `at`, which may be another program's.
///
/// # Panics
/// If it cannot be started.
#[must_use]
pub fn start(program: &Program, role: &str, at: &Program, more: &[&str]) -> Child {
    let mut command = program.command();
    command.args([role, &at.address()]).args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("start a program of ours")
}

/// Waits for the end of a program.
///
/// # Panics
/// If it does not end well, with what it said.
pub fn ends_well(child: Child) {
    must_end_well(&child.wait_with_output().expect("wait for a child of ours"));
}

/// Sends every length to `program`, which receives.
///
/// # Panics
/// If one does not arrive as it was sent.
pub fn rust_sends(program: &Program) {
    let child = start(program, "receive", program, &[]);
    let mut bus = Bus::connect_until(&program.address(), &Options::default(), soon()).expect("a session");
    for (index, len) in LENGTHS.into_iter().enumerate() {
        for _ in 0..3 {
            bus.publish_until(index as u32, &payload(len), soon()).expect("room");
        }
    }
    bus.close(LONG).expect("all is read");
    ends_well(child);
}

/// Receives what `program` sends.
///
/// # Panics
/// If something does not arrive as it was sent.
pub fn rust_receives(program: &Program) {
    let child = start(program, "send", program, &[]);
    let mut bus = Bus::listen_until(&program.address(), &Options::default(), soon()).expect("a session");
    for (index, len) in LENGTHS.into_iter().enumerate() {
        let expected = payload(len);
        for _ in 0..3 {
            let lease = bus.recv_until(soon()).expect("a message");
            assert!(lease.type_id() == index as u32 && lease[..] == expected, "{len} bytes");
        }
    }
    assert_eq!(bus.recv_until(soon()).err(), Some(Cause::Closed));
    ends_well(child);
}

/// Asks `program`, which answers with what it was asked.
///
/// # Panics
/// If an answer is another.
pub fn rust_asks(program: &Program) {
    let child = start(program, "serve", program, &[]);
    let mut rpc = RpcBus::connect_until(&program.address(), &Options::default(), soon()).expect("a session");
    for (index, len) in LENGTHS.into_iter().enumerate() {
        let expected = payload(len);
        // One is answered by a copy, the other in place.
        for _ in 0..2 {
            let reply = rpc.request_until(index as u32, &expected, soon()).expect("a reply");
            assert!(reply.type_id() == index as u32 + 1 && reply[..] == expected, "{len} bytes");
        }
    }
    rpc.close(LONG).expect("all is read");
    ends_well(child);
}

/// Answers `program` with what it asks; it looks whether that is so.
///
/// # Panics
/// If it does not end well.
pub fn rust_answers(program: &Program) {
    let child = start(program, "call", program, &[]);
    let mut rpc = RpcBus::listen_until(&program.address(), &Options::default(), soon()).expect("a session");
    let end = loop {
        match rpc.serve_until(soon()) {
            Ok(request) => {
                let bytes = request.to_vec();
                let type_id = request.type_id() + 1;
                request.reply(type_id, &bytes).expect("a reply");
            }
            Err(end) => break end,
        }
    };
    assert_eq!(end, Cause::Closed);
    ends_well(child);
}
