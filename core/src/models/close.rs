//! Goodbye and death: everything that was committed before is delivered, then the cause.

use super::{FOREVER, Scheme, Wire, explore, session};
use crate::deadline::Deadline;
use crate::error::Cause;
use crate::ring::Show;
use crate::side::Side;
use loom::thread;

/// Receives until there is nothing more: the type ids, and why the stream ended.
fn receive_all(side: &mut Side<Wire>) -> (Vec<u32>, Cause) {
    let mut received = Vec::new();
    loop {
        match side.take(FOREVER) {
            Ok(frame) => received.push(frame.type_id),
            Err(cause) => return (received, cause),
        }
    }
}

/// Sends one frame and two that are held back, and ends: by a goodbye, after showing the group, or by death.
fn stream(scheme: Scheme, goodbye: bool) {
    let (mut sends, mut receives) = session(scheme);
    let sender = thread::spawn(move || {
        sends.publish(1, b"", Show::Now, FOREVER).expect("the peer is there");
        sends.publish(2, b"", Show::Later, FOREVER).expect("the peer is there");
        if goodbye {
            sends.flush().expect("the peer is there");
            sends.say_goodbye();
        }
        sends.channel().hang_up();
    });
    let expected = if goodbye { (vec![1, 2], Cause::Closed) } else { (vec![1], Cause::PeerDied) };
    assert_eq!(receive_all(&mut receives), expected);
    sender.join().expect("the sender ends");
}

/// Permitted: every frame, then `Closed`.
#[test]
fn after_a_goodbye_everything_arrives_and_then_closed() {
    explore("goodbye, barrier", Some(5), || stream(Scheme::Barrier, true));
    explore("goodbye, fences", Some(4), || stream(Scheme::Fences, true));
}

/// Permitted: what was shown, then `PeerDied`; never a frame of a group that was still hidden.
#[test]
fn after_a_death_what_was_committed_arrives_and_then_peer_died() {
    explore("death, barrier", None, || stream(Scheme::Barrier, false));
    explore("death, fences", None, || stream(Scheme::Fences, false));
}

/// One side waits until everything is read; the other reads it and closes.
///
/// Permitted: the wait ends well, even if the goodbye overtakes the credit's bell.
#[test]
fn lingering_ends_when_everything_was_read() {
    explore("linger", None, || {
        let (mut sends, mut receives) = session(Scheme::Barrier);
        sends.publish(1, b"", Show::Now, FOREVER).expect("the peer is there");
        let reader = thread::spawn(move || {
            assert_eq!(receives.take(FOREVER).map(|frame| frame.type_id), Ok(1));
            // What closing an end does.
            receives.release().expect("the peer is there");
            receives.give_credit().expect("the peer is there");
            receives.say_goodbye();
            receives.channel().hang_up();
        });
        assert_eq!(sends.wait_until_read(Deadline::NEVER), Ok(()));
        reader.join().expect("the reader ends");
    });
}

/// One side waits for room; the other dies.
///
/// Permitted: `PeerDied`.
#[test]
fn a_wait_for_room_ends_with_the_peer() {
    explore("no room, death", None, || {
        let (mut sends, receives) = session(Scheme::Barrier);
        for type_id in 0..3 {
            sends.publish(type_id, b"", Show::Now, FOREVER).expect("the peer is there");
        }
        let dies = thread::spawn(move || receives.channel().hang_up());
        assert_eq!(sends.publish(3, b"", Show::Now, FOREVER), Err(Cause::PeerDied));
        dies.join().expect("the peer ends");
    });
}

/// Both sides close at once, and then look for more.
///
/// Permitted: each finds the other closed, and nothing that was left.
#[test]
fn both_may_close_at_once() {
    explore("both close", None, || {
        let (left, right) = session(Scheme::Barrier);
        let close = |mut side: Side<Wire>| {
            side.say_goodbye();
            side.channel().hang_up();
            assert_eq!(side.take(FOREVER), Err(Cause::Closed));
        };
        let other = thread::spawn(move || close(right));
        close(left);
        other.join().expect("the other ends");
    });
}
