//! What must not come over a session socket once the handshake is over.

use super::memory::Segment;
use super::{End, wire};
use slipring::Violation;
use std::fs::File;
use std::os::fd::AsFd;

/// Something to send, and what its reader must find.
#[derive(Clone, Copy, Debug)]
pub struct BadRecord {
    /// For people.
    pub what: &'static str,
    /// The rule that it breaks.
    pub violation: Violation,
    /// Sends it.
    pub send: fn(&End),
}

/// All of them.
pub const BAD_RECORDS: [BadRecord; 8] = [
    // One would do for an end that has not slept; the first look may come after the first sleep.
    BadRecord { what: "a bell too many", violation: Violation::Bells, send: |end| assert!(end.socket.send(&[0, 0])) },
    BadRecord {
        what: "a storm of bells",
        violation: Violation::Bells,
        send: |end| while end.socket.flood(&[0; 4096]) > 0 {},
    },
    BadRecord { what: "an unknown record", violation: Violation::Record, send: |end| assert!(end.socket.send(&[5])) },
    BadRecord { what: "garbage", violation: Violation::Record, send: |end| assert!(end.socket.send(&[0xff; 1000])) },
    BadRecord {
        what: "a message of the handshake",
        violation: Violation::Record,
        send: |end| assert!(end.socket.send(&wire::hello().bytes())),
    },
    BadRecord {
        what: "an announcement without its descriptor",
        violation: Violation::Descriptors,
        send: |end| assert!(end.announce(0, 4096, &[])),
    },
    BadRecord {
        what: "an announcement of two",
        violation: Violation::Descriptors,
        send: |end| {
            let region = Segment::region(4096);
            assert!(end.announce(0, 4096, &[region.fd(), region.fd()]));
        },
    },
    BadRecord { what: "many descriptors", violation: Violation::Descriptors, send: |end| send_descriptors(end, 200) },
];

fn send_descriptors(end: &End, count: usize) {
    let null = File::open("/dev/null").expect("every system has it");
    assert!(end.socket.send_with(&[0], &vec![null.as_fd(); count]));
}
