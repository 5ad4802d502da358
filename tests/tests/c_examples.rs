//! Every example in C runs as a newcomer runs it, says what it says, and leaves nothing behind.

use slipring_tests::c::{library, root};
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog_for;
use std::process::Command;
use std::time::Duration;

#[test]
fn all_of_them() {
    // The library may have to be built.
    let _watchdog = watchdog_for("the examples in C, or building the library", Duration::from_secs(240));
    let (built, names) = (Scratch::new(), Scratch::new());
    let folder = library().parent().expect("a library lies in a folder").display().to_string();
    let output = Command::new("make")
        .args(["-s", "-C"])
        .arg(root().join("examples/c"))
        .args(["run", "GIVEN=1", &format!("LIB={folder}"), &format!("OUT={}", built.dir().display())])
        .env("SLIPRING_RUNTIME_DIR", names.dir())
        .output()
        .expect("run make");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for said in [
        "heard 3 messages; then: the peer has closed the session",
        "the square of 12 is 144",
        "the sum of the first 20 squares is 2470",
        "the peer answered with error 404: no such question",
        "13107200 bytes read in place, then 1000 small messages in batches",
        "another thread looked at 1000000 bytes, after the session had ended",
        "3 processes read one table",
        "2000 calls of 20 clients served by one thread",
        "50 messages beside",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert_eq!(std::fs::read_dir(names.dir()).expect("our directory").count(), 0, "a name was left behind");
}
