//! Every example in C++ runs as a newcomer runs it, says what it says, and leaves nothing behind.

use slipring_tests::c::{has, run_examples};
use slipring_tests::watchdog::watchdog_for;
use std::time::Duration;

#[test]
fn all_of_them() {
    if !has("c++") {
        return;
    }
    // The library may have to be built.
    let _watchdog = watchdog_for("the examples in C++, or building the library", Duration::from_secs(240));
    let said = [
        "heard 3 messages",
        "2000 blocks, 65536000 bytes",
        "60 pictures were kept and looked at by 3 threads",
        "4 processes read 2097152 numbers each, of which there was one copy",
        "the square of 12 is 144",
        "800000 bytes of squares, in place",
        "call 99: the peer answered with error 404: no such question",
        "a number has eight bytes",
        "logs: that was all",
        "12! = 479001600",
        "nested too deeply",
        "client: no call is left in flight",
        "3 sessions, 12 messages",
        "client: the peer died",
        "everything was read by the second server",
        "5 messages of up to 1048576 bytes, and an array of 64 MiB without a copy",
        "12 messages of 3 MiB are kept, all whole: yes",
        "2000 calls of 20 clients served by one thread",
    ];
    run_examples("examples/cpp", &["CXXFLAGS=-O1"], &said);
}
