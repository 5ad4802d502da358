//! Goodbye and death while blocks are under way: on their way to the reader, in its hands, or waited for by their owner.
//!
//! `close.rs` shows that the frames arrive. Here it is what they name: a region that was announced just before the end, a block
//! that is held beyond it, and the two things that a sender without a block sleeps for.

use super::{Scheme, Wire, assert_whole, explore, hold, lend, session_of_blocks};
use crate::error::Cause;
use crate::side::Side;
use loom::thread;

/// How a side ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Goodbye,
    Death,
}

impl End {
    /// What closing an end does, or what dying does.
    fn come_to(self, side: &mut Side<Wire>) {
        if matches!(self, Self::Goodbye) {
            side.farewell();
        }
        side.channel().hang_up();
    }

    fn cause(self) -> Cause {
        match self {
            Self::Goodbye => Cause::Closed,
            Self::Death => Cause::PeerDied,
        }
    }
}

/// A side announces a region, sends the one frame that names it, and ends. The other, which sleeps, receives all there is.
///
/// Permitted: the payload, whole, then the cause; and the block has come back to the owner, which looks after its own end.
fn named_last(scheme: Scheme, end: End) {
    let (mut sends, mut receives) = session_of_blocks(scheme, 1);
    let sender = thread::spawn(move || {
        lend(&mut sends, 1).expect("the peer is there");
        end.come_to(&mut sends);
        sends
    });
    let held = hold(&mut receives).expect("what was committed arrives");
    assert_eq!(held.0, 1);
    assert_whole(&held);
    drop(held);
    assert_eq!(hold(&mut receives).map(|_| ()), Err(end.cause()));
    let mut sends = sender.join().expect("the sender ends");
    sends.attend();
    assert_eq!((sends.stats().blocks_out, sends.is_over()), (0, false));
}

#[test]
fn a_payload_in_a_region_announced_just_before_the_end_arrives() {
    explore("named last, goodbye, barrier", Some(4), || named_last(Scheme::Barrier, End::Goodbye));
    explore("named last, goodbye, fences", Some(4), || named_last(Scheme::Fences, End::Goodbye));
    explore("named last, death, barrier", Some(4), || named_last(Scheme::Barrier, End::Death));
    explore("named last, death, fences", Some(4), || named_last(Scheme::Fences, End::Death));
}

/// The owner of a block ends while the other side holds it, and a third thread drops it.
///
/// Permitted: the payload stays whole, the end is told, and the block comes back once.
fn held_beyond(end: End) {
    let (mut sends, mut receives) = session_of_blocks(Scheme::Barrier, 1);
    lend(&mut sends, 1).expect("the peer is there");
    let held = hold(&mut receives).expect("the peer is there");
    let owner = thread::spawn(move || {
        end.come_to(&mut sends);
        sends
    });
    let third = thread::spawn(move || assert_whole(&held));
    assert_eq!(hold(&mut receives).map(|_| ()), Err(end.cause()));
    third.join().expect("the third ends");
    let mut sends = owner.join().expect("the owner ends");
    sends.attend();
    assert_eq!((sends.stats().blocks_out, sends.is_over()), (0, false));
}

#[test]
fn what_is_held_outlives_its_owner() {
    explore("held beyond goodbye", None, || held_beyond(End::Goodbye));
    explore("held beyond death", None, || held_beyond(End::Death));
}

/// The only block is out and stays out. Its owner sleeps for it, and the holder ends.
///
/// Permitted: the cause, at once and ever after.
fn never_back(scheme: Scheme, end: End) {
    let (mut sends, mut receives) = session_of_blocks(scheme, 1);
    lend(&mut sends, 1).expect("the peer is there");
    let held = hold(&mut receives).expect("the peer is there");
    let holder = thread::spawn(move || end.come_to(&mut receives));
    for _ in 0..2 {
        assert_eq!(lend(&mut sends, 2), Err(end.cause()));
    }
    assert_eq!(sends.stats().blocks_out, 1, "nobody gave it back");
    holder.join().expect("the holder ends");
    assert_whole(&held);
}

#[test]
fn a_wait_for_a_block_ends_with_its_holder() {
    explore("never back, goodbye", None, || never_back(Scheme::Barrier, End::Goodbye));
    explore("never back, death, barrier", None, || never_back(Scheme::Barrier, End::Death));
    explore("never back, death, fences", None, || never_back(Scheme::Fences, End::Death));
}

/// The same, but the holder gives the block back before it ends.
///
/// Permitted: the wait ends with the block, because what came before the end counts; the next look tells the end.
fn back_at_last(scheme: Scheme, end: End) {
    let (mut sends, mut receives) = session_of_blocks(scheme, 1);
    lend(&mut sends, 1).expect("the peer is there");
    let held = hold(&mut receives).expect("the peer is there");
    let holder = thread::spawn(move || {
        drop(held);
        end.come_to(&mut receives);
    });
    assert_eq!(lend(&mut sends, 2), Ok(()));
    assert_eq!(lend(&mut sends, 3), Err(end.cause()));
    assert_eq!(sends.stats().blocks_out, 1, "the second, which nobody reads");
    holder.join().expect("the holder ends");
}

#[test]
fn a_block_given_back_before_the_end_ends_the_wait_for_it() {
    explore("back at last, goodbye", Some(4), || back_at_last(Scheme::Barrier, End::Goodbye));
    explore("back at last, death, barrier", Some(4), || back_at_last(Scheme::Barrier, End::Death));
    explore("back at last, death, fences", Some(4), || back_at_last(Scheme::Fences, End::Death));
}

/// A sender has announced as much as it may, and sleeps until that is read. The peer ends without having looked.
///
/// Permitted: the cause.
fn never_read(scheme: Scheme, end: End) {
    let (mut sends, mut receives) = session_of_blocks(scheme, 2);
    lend(&mut sends, 1).expect("the peer is there");
    let reader = thread::spawn(move || end.come_to(&mut receives));
    assert_eq!(lend(&mut sends, 2), Err(end.cause()));
    assert_eq!(sends.stats().regions, 1);
    reader.join().expect("the reader ends");
}

#[test]
fn a_wait_for_announcements_to_be_read_ends_with_the_reader() {
    explore("never read, goodbye", None, || never_read(Scheme::Barrier, End::Goodbye));
    explore("never read, death, barrier", None, || never_read(Scheme::Barrier, End::Death));
    explore("never read, death, fences", None, || never_read(Scheme::Fences, End::Death));
}

/// A sender makes its first region while the peer ends.
///
/// Permitted: the payload goes out to nobody, or the cause is told at once; after that it is told in any case.
fn in_vain(end: End) {
    let (mut sends, mut receives) = session_of_blocks(Scheme::Barrier, 2);
    let reader = thread::spawn(move || end.come_to(&mut receives));
    let first = lend(&mut sends, 1);
    assert!(first == Ok(()) || first == Err(end.cause()), "{first:?}");
    reader.join().expect("the reader ends");
    assert_eq!(lend(&mut sends, 2), Err(end.cause()));
}

#[test]
fn a_region_announced_to_nobody_is_no_failure_of_another_kind() {
    explore("in vain, goodbye", None, || in_vain(End::Goodbye));
    explore("in vain, death", None, || in_vain(End::Death));
}
