//! Watched ends: a foreign event loop sleeps on the descriptor, and cannot nap and look again.
//!
//! The loop of these models does what the documentation tells it to: when the descriptor is readable it tries until the
//! answer is `Empty` (or `Full`), and then it sleeps until the descriptor is readable. A wake-up that is lost is a deadlock.

use super::{FOREVER, Scheme, Wire, explore, session};
use crate::error::Cause;
use crate::ring::Show;
use crate::side::{Patience, Side};
use crate::sync::BARRIER_EXISTS;
use loom::thread;

/// Receives frames 1 to `count` as a foreign loop does, which may ask for the state whenever it is woken.
fn foreign_loop(side: &mut Side<Wire>, count: u32, asks_for_state: bool) {
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
                if asks_for_state {
                    side.state();
                }
            }
            Err(cause) => panic!("{cause}"),
        }
    }
}

fn publish(mut side: Side<Wire>, type_ids: std::ops::RangeInclusive<u32>) {
    for type_id in type_ids {
        side.publish(type_id, b"", Show::Now, FOREVER).expect("the peer is there");
    }
}

/// The descriptor is handed out while the peer is sending.
///
/// Permitted: both frames arrive.
#[test]
fn a_descriptor_handed_out_late_becomes_readable_all_the_same() {
    explore("watched late", Some(6), || {
        let (sends, mut receives) = session(Scheme::Barrier);
        let sender = thread::spawn(move || publish(sends, 1..=2));
        receives.watch();
        foreign_loop(&mut receives, 2, false);
        sender.join().expect("the sender ends");
    });
}

/// Asking for the state looks at the socket, and so hears the bell in passing.
///
/// Permitted: both frames arrive.
#[test]
fn a_bell_that_was_heard_in_passing_arms_anew() {
    explore("watched, state", Some(6), || {
        let (sends, mut receives) = session(Scheme::Barrier);
        let sender = thread::spawn(move || publish(sends, 1..=2));
        receives.watch();
        foreign_loop(&mut receives, 2, true);
        sender.join().expect("the sender ends");
    });
}

/// The descriptor was handed out before; nothing stands in for the barrier, so that all rests on the mode word, the fence
/// behind it, and the fence of arming.
///
/// Permitted: both frames arrive.
#[test]
fn the_peer_of_a_watched_end_fences() {
    explore("watched, mode", Some(4), || {
        let (sends, mut receives) = session(Scheme::Barrier);
        receives.watch();
        BARRIER_EXISTS.set(false);
        let sender = thread::spawn(move || publish(sends, 1..=2));
        foreign_loop(&mut receives, 2, false);
        sender.join().expect("the sender ends");
    });
}

/// The watched end sends into a full ring; the other side takes everything.
///
/// Permitted: the fourth frame goes out.
#[test]
fn a_watched_descriptor_tells_of_room() {
    explore("watched, room", Some(5), || {
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
