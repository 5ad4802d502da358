//! Every example in C runs as a newcomer runs it, says what it says, and leaves nothing behind; and what the guide shows compiles.

use slipring_tests::c::{root, run_examples};
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog_for;
use std::process::Command;
use std::time::Duration;

#[test]
fn all_of_them() {
    // The library may have to be built.
    let _watchdog = watchdog_for("the examples in C, or building the library", Duration::from_secs(240));
    let said = [
        "heard 3 messages; then: the peer has closed the session",
        "the square of 12 is 144",
        "the sum of the first 20 squares is 2470",
        "the peer answered with error 404: no such question",
        "13107200 bytes read in place, then 1000 small messages in batches",
        "another thread looked at 1000000 bytes, after the session had ended",
        "3 processes read one table",
        "2000 calls of 20 clients served by one thread",
        "50 messages beside",
        "12! = 479001600",
        "100! is refused: the peer answered with error 1: calls are nested too deeply",
        "a reply came too late: yes",
        "5 messages, and 64 MiB written by two threads and read in place, whose sum is right",
        "client: everything was read by the second server",
        "12 messages of 3 MiB are kept, 12 of them whole",
        "2 sessions, 2 since the listener began",
    ];
    run_examples("examples/c", &[], &said);
}

#[test]
fn what_the_guide_shows_of_c_compiles() {
    let _watchdog = watchdog_for("a compiler of C", Duration::from_secs(120));
    let chapter = std::fs::read_to_string(root().join("docs/guide/src/embedding.md")).expect("the chapter");
    let boxes: Vec<&str> = chapter.split("```c\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)).collect();
    assert!(boxes.len() >= 6, "the boxes of C are not where they are looked for");
    let scratch = Scratch::new();
    for (number, code) in boxes.into_iter().enumerate() {
        let file = scratch.path(&format!("box-{number}.c"));
        std::fs::write(&file, code).expect("write a program");
        let output = Command::new("cc")
            .args(["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-fsyntax-only", "-I"])
            .arg(root().join("include"))
            .arg(&file)
            .output()
            .expect("run the compiler");
        assert!(output.status.success(), "{code}\n{}", String::from_utf8_lossy(&output.stderr));
    }
}
