//! Watched ends: a foreign event loop sleeps on the descriptor, and cannot nap and look again.
//!
//! The loop of these models does what the documentation tells it to: when the descriptor is readable it tries until the
//! answer is `Empty` (or `Full`), and then it sleeps until the descriptor is readable. A wake-up that is lost is a deadlock.

use super::{Scheme, Wire, explore, session};
use crate::deadline::Deadline;
use crate::error::Cause;
use crate::ring::Show;
use crate::side::{Patience, Side};
use loom::thread;

const FOREVER: Patience = Patience::Until(Deadline::NEVER);

/// Receives `count` frames as a foreign loop does.
fn foreign_loop(side: &mut Side<Wire>, count: u32, look_at_state: bool) {
    side.watch();
    let mut expected = 1;
    loop {
        match side.take(Patience::None) {
            Ok(frame) => {
                assert_eq!(frame.type_id, expected);
                expected += 1;
            }
            Err(Cause::Empty) if expected > count => return,
            Err(Cause::Empty) => {
                side.channel().await_readable();
                if look_at_state {
                    side.state();
                }
            }
            Err(cause) => panic!("{cause}"),
        }
    }
}

fn two_frames(look_at_state: bool) {
    let (mut sends, mut receives) = session(Scheme::Barrier);
    let sender = thread::spawn(move || {
        for type_id in 1..=2 {
            sends.publish(type_id, b"", Show::Now, FOREVER).expect("the peer is there");
        }
    });
    foreign_loop(&mut receives, 2, look_at_state);
    sender.join().expect("the sender ends");
}

/// Permitted: both frames arrive.
#[test]
fn a_watched_descriptor_becomes_readable() {
    explore("watched", None, || two_frames(false));
}

/// The same where the loop asks for the state first, which looks at the socket and so hears the bell.
///
/// Permitted: both frames arrive.
#[test]
fn a_bell_that_was_heard_in_passing_arms_anew() {
    explore("watched, state", None, || two_frames(true));
}

/// The watched end sends into a full ring; the other side takes everything.
///
/// Permitted: the fourth frame goes out.
#[test]
fn a_watched_descriptor_tells_of_room() {
    explore("watched, room", None, || {
        let (mut sends, mut receives) = session(Scheme::Barrier);
        for type_id in 0..3 {
            sends.publish(type_id, b"", Show::Now, FOREVER).expect("the peer is there");
        }
        let receiver = thread::spawn(move || {
            for type_id in 0..4 {
                assert_eq!(receives.take(FOREVER).map(|frame| frame.type_id), Ok(type_id));
            }
        });
        sends.watch();
        while let Err(cause) = sends.publish(3, b"", Show::Now, Patience::None) {
            assert_eq!(cause, Cause::Full);
            sends.channel().await_readable();
        }
        receiver.join().expect("the receiver ends");
    });
}
