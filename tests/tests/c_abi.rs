//! Programs in C against this library, and against Rust: every payload comes through byte by byte, whoever dies is told of, and
//! what C can do wrong has its own status. The programs are in `ffi/tests/c`.

use slipring::{Cause, Options};
use slipring_tests::across::{
    ends_well, patience, payload, rust_answers, rust_asks, rust_receives, rust_sends, soon, start,
};
use slipring_tests::c::{Program, has, must_end_well};
use slipring_tests::peer;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// How far the instruments go, which are slow.
const SHORT: &str = "5000001";

/// Programs that are both ends of what they open.
const SINGLE: [&str; 3] = ["ffi/tests/c/bad_input.c", "ffi/tests/c/more.c", "ffi/tests/c/looking.c"];

const SANITIZED: [&str; 2] = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
const VALGRIND: [&str; 5] =
    ["valgrind", "-q", "--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=definite"];

fn pair() -> Program {
    Program::compile("ffi/tests/c/pair.c", &[])
}

#[test]
fn what_rust_sends_c_receives() {
    let _watchdog = patience("Rust sends to C");
    rust_sends(&pair());
}

#[test]
fn what_c_sends_rust_receives() {
    let _watchdog = patience("C sends to Rust");
    rust_receives(&pair());
}

#[test]
fn what_rust_asks_c_answers() {
    let _watchdog = patience("Rust calls C");
    rust_asks(&pair());
}

#[test]
fn what_c_asks_rust_answers() {
    let _watchdog = patience("C calls Rust");
    rust_answers(&pair());
}

#[test]
fn what_c_asks_and_sends_c_answers_and_receives() {
    let _watchdog = patience("C and C");
    let program = pair();
    for (first, second) in [("receive", "send"), ("serve", "call")] {
        let (first, second) = (start(&program, first, &program, &[]), start(&program, second, &program, &[]));
        ends_well(second);
        ends_well(first);
    }
}

#[test]
fn payloads_come_through_between_untrusting_ends_too() {
    let _watchdog = patience("untrusting ends");
    let program = pair();
    for (first, second) in [("receive", "send"), ("serve", "call")] {
        let run = |role: &str| {
            let mut command = program.command();
            command.args([role, program.address().as_str(), SHORT]).env("SLIPRING_TRUST", "untrusted");
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start a program of ours")
        };
        let (first, second) = (run(first), run(second));
        ends_well(second);
        ends_well(first);
    }
}

#[test]
fn bad_input_has_its_own_status_each() {
    let _watchdog = patience("bad input");
    let program = Program::compile("ffi/tests/c/bad_input.c", &[]);
    must_end_well(&program.command().arg(program.address()).output().expect("run it"));
}

#[test]
fn handlers_objects_pollers_and_servers_work_from_c() {
    let _watchdog = patience("more");
    let program = Program::compile("ffi/tests/c/more.c", &[]);
    must_end_well(&program.command().arg(program.address()).output().expect("run it"));
}

#[test]
fn counters_sessions_placement_and_waits_can_be_asked_for_from_c() {
    let _watchdog = patience("looking");
    let program = Program::compile("ffi/tests/c/looking.c", &[]);
    must_end_well(&program.command().arg(program.address()).output().expect("run it"));
}

#[test]
fn a_message_and_a_call_allocate_nothing() {
    let _watchdog = patience("counting allocations");
    let program = Program::compile("ffi/tests/c/count.c", &[]);
    let text = must_end_well(&program.command().arg(program.address()).output().expect("run it"));
    assert!(text.starts_with("0 allocations"), "{text}");
}

#[test]
fn address_and_undefined_behaviour_sanitizers_find_nothing() {
    let _watchdog = patience("sanitizers");
    if !has("gcc") {
        return;
    }
    for source in SINGLE {
        let program = Program::compile(source, &SANITIZED);
        must_end_well(&program.command().arg(program.address()).output().expect("run it"));
    }
    let program = Program::compile("ffi/tests/c/pair.c", &SANITIZED);
    for (first, second) in [("receive", "send"), ("serve", "call")] {
        let run = |role: &str| {
            let mut command = program.command();
            command.args([role, program.address().as_str(), SHORT]).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("start a program of ours")
        };
        let (first, second) = (run(first), run(second));
        ends_well(second);
        ends_well(first);
    }
}

#[test]
fn valgrind_finds_nothing() {
    let _watchdog = patience("valgrind");
    if !has("valgrind") {
        return;
    }
    for source in SINGLE {
        let program = Program::compile(source, &[]);
        must_end_well(&program.command_under(&VALGRIND).arg(program.address()).output().expect("run it"));
    }
}

#[test]
fn a_server_in_c_survives_the_killing_of_a_client_in_rust() {
    let _watchdog = patience("a client in Rust is killed");
    let program = Program::compile("ffi/tests/c/survivor.c", &[]);
    let mut command = program.command();
    command.args(["serve", &program.address()]).stdout(Stdio::piped());
    let mut server = command.spawn().expect("start a program of ours");
    let mut said = BufReader::new(server.stdout.take().expect("a pipe")).lines();
    let mut line = || said.next().expect("a line").expect("text");
    assert_eq!(line(), "ready");
    for round in 0..3 {
        let mut client = peer!();
        client.must(&format!("connect {}", program.address()));
        client.must("send 10 100");
        client.must("send 1 100000");
        client.kill();
        assert_eq!(line(), format!("died after 11 messages, number {round}"));
    }
    let mut client = peer!();
    client.must(&format!("connect {}", program.address()));
    client.must("close 10000");
    assert_eq!(line(), "closed after 0 messages, number 3");
    assert!(server.wait().expect("wait for a child of ours").success());
}

#[test]
fn a_server_in_rust_survives_the_killing_of_a_client_in_c() {
    let _watchdog = patience("a client in C is killed");
    let program = Program::compile("ffi/tests/c/survivor.c", &[]);
    let mut listener = slipring::Listener::bind(&program.address(), &Options::default()).expect("a name");
    for _ in 0..3 {
        let mut command = program.command();
        command.args(["flood", &program.address()]);
        let mut client = command.spawn().expect("start a program of ours");
        let mut bus = listener.accept_bus_until(soon()).expect("a client");
        for _ in 0..100 {
            drop(bus.recv_until(soon()).expect("a message"));
        }
        client.kill().expect("kill a child of ours");
        client.wait().expect("wait for a child of ours");
        let end = loop {
            match bus.recv_until(soon()) {
                Ok(lease) => assert!(lease[..] == payload(lease.len()), "whole to the last"),
                Err(end) => break end,
            }
        };
        assert_eq!(end, Cause::PeerDied);
    }
}
