//! Programs in C++ against this library, against Rust and against C: every payload comes through byte by byte, whoever dies is told
//! of, and the headers are clean under every compiler that is here. The programs are in `ffi/tests/cpp`.

use slipring::{Cause, Options, RpcBus};
use slipring_tests::across::{
    ends_well, patience, payload, rust_answers, rust_asks, rust_receives, rust_sends, soon, start,
};
use slipring_tests::c::{Program, has, must_end_well, root};
use slipring_tests::peer;
use slipring_tests::scratch::Scratch;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// How far the instruments go, which are slow.
const SHORT: &str = "1048576";

const STRICT: [&str; 6] = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"];
const SANITIZED: [&str; 2] = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
const VALGRIND: [&str; 5] =
    ["valgrind", "-q", "--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=definite"];

/// A program of `ffi/tests/cpp`, under the same warnings as the headers.
fn program(name: &str, more: &[&str]) -> Program {
    Program::compile(&format!("ffi/tests/cpp/{name}.cpp"), &[&["-Wshadow"], more].concat())
}

fn run(program: &Program) -> String {
    must_end_well(&program.command().arg(program.address()).output().expect("run it"))
}

/// Has a pair of programs carry everything, each in both roles of a Bus and of an RpcBus.
fn carry_both_ways(one: &Program, other: &Program, more: &[&str]) {
    for (first, second) in [("receive", "send"), ("serve", "call")] {
        for (listens, connects) in [(one, other), (other, one)] {
            let first = start(listens, first, listens, more);
            let second = start(connects, second, listens, more);
            ends_well(second);
            ends_well(first);
        }
    }
}

#[test]
fn what_rust_sends_and_asks_cpp_receives_and_answers() {
    let _watchdog = patience("Rust to C++");
    let program = program("pair", &["-O2"]);
    rust_sends(&program);
    rust_asks(&program);
}

#[test]
fn what_cpp_sends_and_asks_rust_receives_and_answers() {
    let _watchdog = patience("C++ to Rust");
    let program = program("pair", &["-O2"]);
    rust_receives(&program);
    rust_answers(&program);
}

#[test]
fn what_goes_over_between_c_and_cpp_is_the_same() {
    let _watchdog = patience("C and C++");
    carry_both_ways(&Program::compile("ffi/tests/c/pair.c", &["-O2"]), &program("pair", &["-O2"]), &[]);
}

#[test]
fn what_goes_over_between_cpp_and_cpp_is_the_same() {
    let _watchdog = patience("C++ and C++");
    // Of two standards, so that what one compiles the other understands.
    carry_both_ways(&program("pair", &["-O2"]), &program("pair", &["-std=c++20", "-O2"]), &[]);
}

#[test]
fn all_of_the_header_works_under_both_standards_and_sanitizers() {
    let _watchdog = patience("the header");
    for standard in ["-std=c++17", "-std=c++20"] {
        for name in ["owners", "more"] {
            run(&program(name, &[&[standard], &SANITIZED[..]].concat()));
        }
    }
    let sanitized = program("pair", &SANITIZED);
    carry_both_ways(&sanitized, &sanitized, &[SHORT]);
}

#[test]
fn valgrind_finds_nothing() {
    let _watchdog = patience("valgrind");
    if !has("valgrind") {
        return;
    }
    for name in ["owners", "more"] {
        let program = program(name, &[]);
        must_end_well(&program.command_under(&VALGRIND).arg(program.address()).output().expect("run it"));
    }
    let program = program("pair", &[]);
    for (first, second) in [("receive", "send"), ("serve", "call")] {
        let begin = |role: &str| {
            let mut command = program.command_under(&VALGRIND);
            command.args([role, program.address().as_str(), "65536"]).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("start a program of ours")
        };
        let (first, second) = (begin(first), begin(second));
        ends_well(second);
        ends_well(first);
    }
}

#[test]
fn a_message_and_a_call_allocate_nothing() {
    let _watchdog = patience("counting allocations");
    let text = run(&program("count", &["-O2"]));
    assert!(text.starts_with("0 allocations"), "{text}");
}

#[test]
fn a_server_in_cpp_survives_the_killing_of_a_client_in_rust() {
    let _watchdog = patience("a client in Rust is killed");
    let program = program("survivor", &[]);
    let mut command = program.command();
    command.args(["serve", &program.address()]).stdout(Stdio::piped());
    let mut server = command.spawn().expect("start a program of ours");
    let mut said = BufReader::new(server.stdout.take().expect("a pipe")).lines();
    let mut line = || said.next().expect("a line").expect("text");
    assert_eq!(line(), "ready");
    for round in 0..3 {
        let mut client = peer!();
        client.must(&format!("connect-rpc {}", program.address()));
        client.must("call 10 100");
        client.must("call 1 100000");
        client.kill();
        assert_eq!(line(), format!("died after 11 calls, number {round}"));
    }
    let rpc = RpcBus::connect_until(&program.address(), &Options::default(), soon()).expect("a session");
    rpc.close(Duration::from_secs(100)).expect("nothing is left");
    assert_eq!(line(), "closed after 0 calls, number 3");
    assert!(server.wait().expect("wait for a child of ours").success());
}

#[test]
fn a_server_in_rust_survives_the_killing_of_a_client_in_cpp() {
    let _watchdog = patience("a client in C++ is killed");
    let program = program("survivor", &[]);
    let mut listener = slipring::Listener::bind(&program.address(), &Options::default()).expect("a name");
    for _ in 0..3 {
        let mut client = start(&program, "flood", &program, &[]);
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

/// The headers of C++, by their names below `include`.
fn headers() -> Vec<String> {
    let folder = root().join("include/slipring/hpp");
    let names = fs::read_dir(folder).expect("the headers").map(|entry| entry.expect("an entry").file_name());
    let mut headers: Vec<String> = names.map(|name| format!("slipring/hpp/{}", name.to_string_lossy())).collect();
    headers.push("slipring/slipring.hpp".to_owned());
    assert!(headers.len() > 5, "the headers are not where they are looked for: {headers:?}");
    headers
}

/// What `compiler` says of a program that includes these, in the folder `include`.
fn includes(compiler: &str, include: &str, flags: &[&str], headers: &[&str]) -> Output {
    let scratch = Scratch::new();
    let source = scratch.path("source.cpp");
    let text: String = headers.iter().map(|header| format!("#include <{header}>\n")).collect();
    fs::write(&source, text + "int main() {}\n").expect("write a program");
    let mut command = Command::new(compiler);
    command.args(flags).args(["-fsyntax-only", "-I", include, &source]);
    command.output().expect("run the compiler")
}

fn compiles(compiler: &str, include: &str, flags: &[&str], headers: &[&str]) {
    let output = includes(compiler, include, &[flags, &STRICT[..]].concat(), headers);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{compiler} {flags:?} {headers:?}: {said}");
}

#[test]
fn the_headers_are_clean_each_by_itself_under_every_compiler() {
    let _watchdog = patience("compiling the headers");
    let include = root().join("include").display().to_string();
    for compiler in ["g++", "clang++"] {
        if !has(compiler) {
            continue;
        }
        for standard in ["-std=c++17", "-std=c++20"] {
            for header in headers() {
                compiles(compiler, &include, &[standard], &[&header]);
            }
            compiles(compiler, &include, &[standard, "-fno-exceptions"], &["slipring/slipring.hpp"]);
        }
    }
}

/// A header without the lines that keep it from being read twice is no longer taken twice: so these lines do that, and a program that
/// includes one twice (as `owners.cpp` does) sees it when they are wrong.
#[test]
fn the_guards_of_the_headers_are_what_lets_them_be_included_twice() {
    let _watchdog = patience("compiling headers without their guards");
    let copy = Scratch::new();
    fs::create_dir_all(copy.path("slipring/hpp")).expect("a folder");
    for header in headers().into_iter().chain(["slipring/slipring.h".to_owned()]) {
        fs::copy(root().join("include").join(&header), copy.path(&header)).expect("copy a header");
    }
    let include = copy.path("");
    let all = headers();
    let twice: Vec<&str> = all.iter().chain(&all).map(String::as_str).collect();
    compiles("c++", &include, &["-std=c++17"], &twice);
    for header in all.iter().filter(|header| header.contains("/hpp/")) {
        let twice = [header.as_str(); 2];
        let whole = fs::read_to_string(copy.path(header)).expect("a header");
        let guard = whole.lines().find_map(|line| line.strip_prefix("#ifndef ")).expect("a guard").to_owned();
        let bare = whole.replacen(&format!("#define {guard}\n"), "", 1);
        fs::write(copy.path(header), bare).expect("write a header");
        assert!(!includes("c++", &include, &["-std=c++17"], &twice).status.success(), "{header} without its guard");
        fs::write(copy.path(header), whole).expect("write a header");
    }
}
