//! The bridge for Rust and C++ in one build: its example is built as a user of cxx builds it, runs, and leaves nothing behind.

use slipring_tests::c::{has, root};
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog_for;
use std::process::Command;
use std::time::Duration;

#[test]
fn the_example_of_the_bridge_runs() {
    if !has("c++") {
        return;
    }
    let _watchdog = watchdog_for("the example of the cxx bridge, or building it", Duration::from_secs(400));
    let names = Scratch::new();
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["run", "--quiet", "--package", "slipring-examples-cxx"])
        .current_dir(root())
        .env("SLIPRING_RUNTIME_DIR", names.dir())
        .output()
        .expect("start cargo");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for said in [
        "hello from C++",
        "1048576 bytes that C++ wrote in place; right: true",
        "a table: 4096 sevens",
        "the sum is 300000",
        "call 2: the peer answered with error 404: no such question",
        "C++ served 2 calls",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert_eq!(std::fs::read_dir(names.dir()).expect("our directory").count(), 0, "a name was left behind");
}

#[test]
fn the_c_library_does_not_need_the_bridge() {
    let _watchdog = watchdog_for("cargo tree", Duration::from_secs(60));
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["tree", "--offline", "--package", "slipring-ffi", "--edges", "normal,build"])
        .current_dir(root())
        .output()
        .expect("start cargo");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("slipring"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("cxx"), "{text}");
}
