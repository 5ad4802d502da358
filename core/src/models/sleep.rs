//! Sleeping and waking: no wake-up is lost for good, and none is rung twice.
//!
//! A lost wake-up leaves a thread in a long sleep, which loom reports as a deadlock. So what these models check above all is
//! that they end.

use super::{FOREVER, Scheme, Wire, explore, outbox, session, session_of, smallest};
use crate::layout::RingSize;
use crate::park::{Parking, Reasons, Waker};
use crate::ring::Show;
use crate::side::Side;
use loom::thread;

fn publish(side: &mut Side<Wire>, type_id: u32) {
    side.publish(type_id, b"", Show::Now, FOREVER).expect("the peer is there");
}

fn take(side: &mut Side<Wire>) -> u32 {
    side.take(FOREVER).expect("the peer is there").type_id
}

/// One side sends two frames, the second by way of a group, the other waits for both.
///
/// Permitted: both arrive, in order. The bells are as many as the sleeps at the most, which the receiver checks itself.
fn two_frames(scheme: Scheme) {
    let (mut sends, mut receives) = session(scheme);
    let sender = thread::spawn(move || {
        publish(&mut sends, 1);
        sends.publish(2, b"", Show::Later, FOREVER).expect("the peer is there");
        sends.flush().expect("the peer is there");
        sends
    });
    assert_eq!([take(&mut receives), take(&mut receives)], [1, 2]);
    let sends = sender.join().expect("the sender ends");
    receives.attend();
    assert!(!receives.is_over(), "no bell too many");
    assert_eq!(sends.stats.bells_rung, receives.stats.bells_heard);
}

#[test]
fn a_sleeper_behind_nap_and_barrier_is_woken() {
    explore("woken, barrier", Some(5), || two_frames(Scheme::Barrier));
}

#[test]
fn a_sleeper_whose_peer_fences_is_woken() {
    explore("woken, fences", Some(4), || two_frames(Scheme::Fences));
}

/// The ring is full. One side waits for room for one more frame, the other takes all four.
///
/// Permitted: all arrive, in order.
fn room(scheme: Scheme) {
    let (mut sends, mut receives) = session(scheme);
    for type_id in 0..3 {
        publish(&mut sends, type_id);
    }
    let sender = thread::spawn(move || publish(&mut sends, 3));
    for type_id in 0..4 {
        assert_eq!(take(&mut receives), type_id);
    }
    sender.join().expect("the sender ends");
}

#[test]
fn a_sleeper_for_room_is_woken_behind_the_barrier() {
    explore("room, barrier", Some(4), || room(Scheme::Barrier));
}

#[test]
fn a_sleeper_for_room_is_woken_where_both_fence() {
    explore("room, fences", Some(4), || room(Scheme::Fences));
}

/// The sender needs the whole ring for one frame and the pad before it, while the reader holds a credit of one line, too
/// little to be told out of turn.
///
/// Permitted: both frames arrive, because the reader tells of the line before it sleeps.
fn last_line(scheme: Scheme) {
    let size = RingSize::new(1024).expect("a size whose credit step is two lines");
    let (mut sends, mut receives) = session_of(scheme, size);
    for type_id in 0..8 {
        publish(&mut sends, type_id);
        assert_eq!(take(&mut receives), type_id);
    }
    receives.release().expect("the peer is there");
    let sender = thread::spawn(move || {
        publish(&mut sends, 8);
        // 7 lines are left before the end, and the frame takes 8.
        sends.publish(9, &vec![0; size.payload_max()], Show::Now, FOREVER).expect("the peer is there");
    });
    assert_eq!([take(&mut receives), take(&mut receives)], [8, 9]);
    sender.join().expect("the sender ends");
}

#[test]
fn a_reader_that_falls_asleep_gives_its_last_line_back_first() {
    explore("last line, barrier", Some(3), || last_line(Scheme::Barrier));
    explore("last line, fences", Some(3), || last_line(Scheme::Fences));
}

/// Two threads of one side (a lease may drop on any) both find the peer asleep.
///
/// Permitted: exactly one of them rings.
#[test]
fn one_bell_an_epoch() {
    explore("one bell", None, || {
        let (sleeper, _) = outbox(smallest());
        let mut asleep = Parking::new(sleeper.clone(), false);
        asleep.begin(Reasons::DATA);
        let awake = Waker::new(sleeper.reader());
        let rings = |waker: &Waker| waker.must_ring(Reasons::DATA).expect("an honest peer");
        let other = thread::spawn({
            let awake = awake.clone();
            move || rings(&awake)
        });
        let here = rings(&awake);
        let there = other.join().expect("the other ends");
        assert!(here != there, "one of the two");
        assert!(!rings(&awake), "the epoch has been rung");
        asleep.end();
        asleep.begin(Reasons::ROOM);
        assert!(!rings(&awake), "asleep, but not for this");
    });
}

/// The same while the peer wakes by itself and falls asleep anew.
///
/// Permitted: no epoch is rung twice, and neither thread takes the other's newer epoch for a peer that went back.
#[test]
fn an_older_look_at_the_peer_is_no_violation() {
    explore("older look", None, || {
        let (sleeper, _) = outbox(smallest());
        let mut asleep = Parking::new(sleeper.clone(), false);
        asleep.begin(Reasons::DATA);
        let awake = Waker::new(sleeper.reader());
        let rings = |waker: &Waker| u64::from(waker.must_ring(Reasons::DATA).expect("an honest peer"));
        let other = thread::spawn({
            let awake = awake.clone();
            move || rings(&awake)
        });
        let peer = thread::spawn(move || {
            asleep.end();
            asleep.begin(Reasons::DATA);
            asleep
        });
        let bells = rings(&awake) + other.join().expect("the other ends");
        let asleep = peer.join().expect("the peer ends");
        assert!(bells <= asleep.epochs(), "no more bells than sleeps");
    });
}
