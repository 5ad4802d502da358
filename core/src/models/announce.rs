//! Regions between two sides: announced before a frame names them, announced no faster than the peer maps them, and forgotten.
//!
//! Every region has room for one block, and the return ring an entry for each, so that each block, each entry and each record
//! is the only one that can do. What is lost leaves a thread asleep, which loom reports as a deadlock.

use super::{Post, Scheme, WireBell, assert_whole, explore, hold, lend, outbox, session_of_blocks, smallest};
use crate::arena;
use crate::deadline::Deadline;
use crate::park::Waker;
use crate::returns::held::{Held, PeerRegion, Returner, Shared};
use crate::returns::{ReturnReader, ReturnWriter};
use crate::side::Want;
use crate::span::WriteSpan;
use loom::thread;
use std::sync::Arc;

/// Two payloads go through one block of one region, so that the second waits for the first to come back.
///
/// Permitted: both arrive whole, in order, and the block comes back each time. A payload that is written while the one before
/// it is read fails the model.
fn announced(scheme: Scheme) {
    let (mut sends, mut receives) = session_of_blocks(scheme, 1);
    let sender = thread::spawn(move || {
        for type_id in 1..=2 {
            lend(&mut sends, type_id).expect("the peer is there");
        }
        sends
    });
    for type_id in 1..=2 {
        let held = hold(&mut receives).expect("the peer is there");
        assert_eq!(held.0, type_id);
        assert_whole(&held);
    }
    let mut sends = sender.join().expect("the sender ends");
    sends.attend();
    let stats = sends.stats();
    assert_eq!((stats.regions, stats.blocks_out, sends.is_over()), (1, 0, false));
}

#[test]
fn a_region_is_known_when_a_frame_names_it_and_its_block_is_used_again() {
    explore("announced, barrier", Some(2), || announced(Scheme::Barrier));
    explore("announced, fences", Some(2), || announced(Scheme::Fences));
}

/// The second payload needs a second region, which may be announced only when the first is mapped. Nothing is given back, so
/// that the word of what the peer has mapped is all that can end the wait.
///
/// Permitted: both arrive.
fn at_the_limit(scheme: Scheme) {
    let (mut sends, mut receives) = session_of_blocks(scheme, 2);
    let sender = thread::spawn(move || {
        for type_id in 1..=2 {
            lend(&mut sends, type_id).expect("the peer is there");
        }
    });
    let held = [1, 2].map(|_| hold(&mut receives).expect("the peer is there"));
    sender.join().expect("the sender ends");
    assert_eq!(held.each_ref().map(|(type_id, _)| *type_id), [1, 2]);
    held.iter().for_each(assert_whole);
}

#[test]
fn a_sender_that_is_ahead_with_its_announcements_goes_on_when_they_are_read() {
    explore("unread, barrier", Some(2), || at_the_limit(Scheme::Barrier));
    explore("unread, fences", Some(2), || at_the_limit(Scheme::Fences));
}

/// A side's own look at a region of the peer's that is no longer wanted, while two other threads drop what they hold of it.
///
/// Permitted: the entry of each block, in either order, and behind them the confirmation, once.
#[test]
fn the_last_holder_of_a_forgotten_region_confirms() {
    const ID: u32 = 3;
    explore("confirmed", None, || {
        let (header, _) = outbox(smallest());
        let (owner, _) = outbox(smallest());
        let entries = WriteSpan::table(4);
        let mut returned = ReturnReader::new(header.reader(), entries.reader(), 4);
        let returner = Returner::new(
            ReturnWriter::new(header, entries, 4),
            Waker::new(owner.reader()),
            Arc::new(WireBell(Arc::new(Post::default()))),
        );
        let region = PeerRegion::new(ID, WriteSpan::table(64).reader(), Arc::new(returner));
        let blocks = [1, 2].map(|generation| arena::entry(ID, 0, generation).expect("numbers of a block"));
        let drops = blocks.map(|entry| {
            let held = Held::new(Shared::clone(&region), 0, 8, entry);
            thread::spawn(move || drop(held))
        });
        region.forget();
        drop(region);
        drops.into_iter().for_each(|thread| thread.join().expect("the holder drops"));
        let mut seen: Vec<_> = std::iter::from_fn(|| returned.take().expect("an honest peer breaks nothing")).collect();
        assert_eq!(seen.pop(), Some(arena::forgotten_entry(ID)), "behind every block");
        seen.sort_unstable();
        assert_eq!(seen, blocks);
    });
}

/// Both regions are in use. A third thread drops the block of the second; the owner finds that region idle, has it forgotten,
/// and needs one more, for which the limits leave room only when the reader has confirmed.
///
/// Permitted: the confirmation comes, once, from whichever thread held the region last, and ends the wait; the payload in the
/// new region arrives, and what is held of the first is untouched.
fn forgotten(scheme: Scheme) {
    let (mut sends, mut receives) = session_of_blocks(scheme, 2);
    let [kept, dropped] = [1, 2].map(|type_id| {
        lend(&mut sends, type_id).expect("the peer is there");
        hold(&mut receives).expect("the peer is there")
    });
    let reader = thread::spawn(move || {
        receives.channel().await_readable();
        receives.attend();
        receives
    });
    let third = thread::spawn(move || drop(dropped));
    sends.wait(Want::Block, Deadline::NEVER).expect("the peer is there");
    // One look finds the region idle, the next has it forgotten.
    sends.attend();
    sends.attend();
    lend(&mut sends, 3).expect("the peer is there");
    assert_eq!((sends.stats().regions, sends.is_over()), (2, false));
    third.join().expect("the third ends");
    let mut receives = reader.join().expect("the reader ends");
    let last = hold(&mut receives).expect("the peer is there");
    assert_eq!(last.0, 3);
    [kept, last].iter().for_each(assert_whole);
}

#[test]
fn a_forgotten_region_makes_room_for_another() {
    explore("forgotten, barrier", Some(2), || forgotten(Scheme::Barrier));
    explore("forgotten, fences", Some(2), || forgotten(Scheme::Fences));
}
