//! Every example runs as a newcomer runs it, says something, and ends well by itself.

use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog_for;
use std::process::Command;
use std::time::Duration;

/// Runs `cargo run --example` and gives what it printed. The first of these tests may have to build it.
fn run(example: &str) -> String {
    let _watchdog = watchdog_for(&format!("the example {example}, or building it"), Duration::from_secs(240));
    let scratch = Scratch::new();
    // Cargo tells its tests where it is; somebody who starts this test by hand has it in the path.
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["run", "--quiet", "--package", "slipring-examples", "--example", example]);
    if is_release() {
        command.arg("--release");
    }
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("SLIPRING_RUNTIME_DIR", scratch.dir());
    let output = command.output().expect("start cargo");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{example} ended with {}", output.status);
    assert_eq!(std::fs::read_dir(scratch.dir()).expect("our directory").count(), 0, "{example} left something behind");
    text
}

/// Whether this test was built for release, so that what it runs is the same build.
fn is_release() -> bool {
    let program = std::env::current_exe().expect("a test is a file");
    program.iter().any(|part| part == "release")
}

#[test]
fn hello() {
    let text = run("hello");
    assert!(text.contains("from another process") && text.contains("heard 3 messages"), "{text}");
}

#[test]
fn watch() {
    let text = run("watch");
    assert!(text.contains("2 sessions, 2 since the listener began") && text.contains("Rpc"), "{text}");
}

#[test]
fn zero_copy() {
    let text = run("zero_copy");
    assert!(text.contains("2000 blocks"), "{text}");
}

#[test]
fn epoll() {
    let text = run("epoll");
    assert!(text.contains("3 sessions, 12 messages"), "{text}");
}

#[test]
fn peer_restart() {
    let text = run("peer_restart");
    assert!(text.contains("the peer died") && text.contains("read by the second server"), "{text}");
}

#[test]
fn rpc() {
    let text = run("rpc");
    assert!(text.contains("the square of 12 is 144") && text.contains("800000 bytes of squares"), "{text}");
    assert!(text.contains("no such question") && text.contains("logs: that was all"), "{text}");
}

#[test]
fn held_leases() {
    let text = run("held_leases");
    assert!(text.contains("200 pictures") && text.contains("10 are still held, 1000000 bytes"), "{text}");
}

#[test]
fn shared_object() {
    let text = run("shared_object");
    assert!(text.contains("4 processes read 2097152 numbers") && text.contains("one copy"), "{text}");
}

#[test]
fn both_sides_call() {
    let text = run("both_sides_call");
    assert!(
        text.contains("12! = 479001600") && text.contains("nested too deeply") && text.contains("5! = 120"),
        "{text}"
    );
}

#[test]
fn cancel() {
    let text = run("cancel");
    assert!(text.contains("cancelled; it stops the search") && text.contains("no call is left in flight"), "{text}");
}

#[test]
fn many_clients() {
    let text = run("many_clients");
    assert!(text.contains("200 sessions, 4000 calls served by one thread"), "{text}");
    assert!(text.contains("175 sessions were closed, 25 died with their process"), "{text}");
}

#[test]
fn large_block() {
    let text = run("large_block");
    assert!(text.contains("5 messages of up to 1048576 bytes") && text.contains("without a copy"), "{text}");
}

#[test]
fn spill() {
    let text = run("spill");
    assert!(text.contains("12 messages of 3 MiB are kept, all whole: true") && text.contains("(0 are left)"), "{text}");
}
