//! A side that a poller waits for: what the poller owes each of its sessions is done here for one.
//!
//! It lies down, is looked at, naps (which nothing may rest on, so here that is skipped), is looked at again behind a barrier unless
//! its peer fences, and sleeps until it hears something. A wake-up that is lost is a deadlock.

use super::{Scheme, Wire, explore, session};
use crate::deadline::Deadline;
use crate::ring::Show;
use crate::side::{Channel, Patience, Rest, Side};
use loom::thread;

const FOREVER: Patience = Patience::Until(Deadline::NEVER);

/// Waits as a poller does until there is something to do.
fn wait(side: &mut Side<Wire>) {
    loop {
        let guarded = side.is_down() || side.lie_down() == Ok(Rest::Guarded);
        if find(side) || !guarded && side.channel().barrier() && find(side) {
            return;
        }
        side.channel().await_readable();
        side.attend();
        if find(side) {
            return;
        }
    }
}

/// Whether there is something, which ends the epoch.
fn find(side: &mut Side<Wire>) -> bool {
    let due = side.is_due();
    if due {
        side.told();
    }
    due
}

/// The peer sends two frames, and the loop waits for each.
///
/// Permitted: both arrive, in order, with no more bells than sleeps.
fn two_frames(scheme: Scheme) {
    let (mut sends, mut receives) = session(scheme);
    let sender = thread::spawn(move || {
        for type_id in 1..=2 {
            sends.publish(type_id, b"", Show::Now, FOREVER).expect("the peer is there");
        }
        sends
    });
    let mut expected = 1;
    while expected <= 2 {
        match receives.take(Patience::None) {
            Ok(frame) => {
                assert_eq!(frame.type_id, expected);
                expected += 1;
            }
            Err(_) => wait(&mut receives),
        }
    }
    let sends = sender.join().expect("the sender ends");
    receives.attend();
    assert!(!receives.is_over(), "no bell too many");
    assert_eq!(sends.stats.bells_rung, receives.stats.bells_heard);
}

#[test]
fn a_polled_side_behind_the_barrier_is_woken() {
    explore("polled, barrier", Some(4), || two_frames(Scheme::Barrier));
}

#[test]
fn a_polled_side_whose_peer_fences_is_woken() {
    explore("polled, fences", Some(4), || two_frames(Scheme::Fences));
}

/// The user found no room and waits for it; the other side takes everything.
///
/// Permitted: the fourth frame goes out.
fn room(scheme: Scheme) {
    let (mut sends, mut receives) = session(scheme);
    for type_id in 0..3 {
        sends.publish(type_id, b"", Show::Now, FOREVER).expect("the peer is there");
    }
    let receiver = thread::spawn(move || {
        for type_id in 0..4 {
            assert_eq!(receives.take(FOREVER).map(|frame| frame.type_id), Ok(type_id));
        }
    });
    while sends.publish(3, b"", Show::Now, Patience::None).is_err() {
        wait(&mut sends);
    }
    receiver.join().expect("the receiver ends");
}

#[test]
fn a_polled_side_is_told_of_room() {
    explore("polled, room, barrier", Some(4), || room(Scheme::Barrier));
    explore("polled, room, fences", Some(4), || room(Scheme::Fences));
}
