//! Payloads in blocks between two threads: held, handed on to others, dropped there, and waited for.

use super::*;
use crate::arena;
use crate::ring::Slot;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

const STREAM: u32 = if cfg!(miri) { 40 } else { 5_000 };

/// Another length, and other bytes, for each number; all too long for a ring of 256 bytes.
fn payload(number: u32) -> Vec<u8> {
    let len = 200 + number.wrapping_mul(2_654_435_761) as usize % if cfg!(miri) { 2_000 } else { 40_000 };
    vec![number as u8 ^ 0x5A; len]
}

fn publish(side: &mut Side<Cord>, number: u32, patience: Patience) -> Result<(), Cause> {
    side.publish(number, &payload(number), Show::Now, patience)
}

/// Takes one payload, and holds it.
fn hold(side: &mut Side<Cord>, patience: Patience) -> Result<(u32, Held), Cause> {
    let frame = side.take(patience)?;
    Ok((frame.type_id, resolve(side, frame)?))
}

/// Holds what it is given for a while, checks it, and drops it in another order than it came.
fn keeper(held: &Receiver<(u32, Held)>) {
    let mut kept: Vec<(u32, Held)> = Vec::new();
    for (number, held) in held {
        kept.push((number, held));
        if kept.len() > 3 {
            drop(kept.swap_remove(number as usize % 3));
        }
        for (number, held) in &kept {
            assert_eq!(**held, payload(*number));
        }
    }
}

#[test]
fn blocks_are_held_and_dropped_by_other_threads_while_the_stream_goes_on() {
    for (strategy, scheme) in [
        (Wait::Spin, Scheme::Barrier),
        (Wait::Park, Scheme::Barrier),
        (Wait::Park, Scheme::Naps),
        (Wait::Adaptive, Scheme::Fences),
    ] {
        let Pair { mut sends, mut receives, .. } = pair(256, strategy, scheme);
        let sender = thread::spawn(move || {
            for number in 0..STREAM {
                publish(&mut sends, number, soon()).expect("something comes back");
            }
            sends
        });
        // Two keepers hold at most eight blocks, which is how many may be out: one is always on its way back.
        let hands: Vec<_> = (0..2)
            .map(|_| {
                let (hand, held) = channel();
                (hand, thread::spawn(move || keeper(&held)))
            })
            .collect();
        for number in 0..STREAM {
            let (found, held) = hold(&mut receives, soon()).expect("a frame");
            assert_eq!(found, number);
            assert_eq!(*held, payload(number));
            if number % 3 != 0 {
                hands[number as usize % 2].0.send((number, held)).expect("the keeper lives");
            }
        }
        for (hand, thread) in hands {
            drop(hand);
            thread.join().expect("all were whole");
        }
        let mut sends = sender.join().expect("the sender ends");
        sends.attend();
        let (sent, received) = (sends.stats(), receives.stats());
        assert_eq!((sent.blocks_out, sent.block_bytes_out, received.held_blocks, received.held_bytes), (0, 0, 0, 0));
        assert_eq!((sent.frames_sent, sent.bytes_sent), (received.frames_received, received.bytes_received));
        assert!(sent.bells_heard <= received.bells_rung);
    }
}

#[test]
fn a_sleep_for_a_block_ends_with_a_drop_in_a_third_thread() {
    for scheme in [Scheme::Barrier, Scheme::Naps, Scheme::Fences] {
        let Pair { mut sends, mut receives, .. } = pair(256, Wait::Park, scheme);
        let mut held: Vec<_> = (0..RETURNS)
            .map(|number| {
                publish(&mut sends, number, Patience::None).expect("a block");
                hold(&mut receives, Patience::None).expect("a frame")
            })
            .collect();
        assert_eq!(publish(&mut sends, RETURNS, Patience::None), Err(Cause::Full), "as many as may be out");
        let third = thread::spawn(move || {
            thread::sleep(Duration::from_millis(10));
            drop(held.swap_remove(3));
            held
        });
        assert_eq!(publish(&mut sends, RETURNS, soon()), Ok(()));
        for (number, held) in third.join().expect("the third thread ends") {
            assert_eq!(*held, payload(number));
        }
        assert_eq!(hold(&mut receives, Patience::None).map(|(number, _)| number), Ok(RETURNS));
    }
}

#[test]
fn a_long_block_is_worth_waiting_for_once_one_as_long_has_come_back() {
    let Pair { mut sends, mut receives, .. } = pair(256, Wait::Park, Scheme::Fences);
    let (short, long) = (Duration::from_micros(200), Duration::from_millis(3));
    assert!(sends.outgoing.patience_before_growing(16 << 20) <= short, "nothing is known of the reader");
    publish(&mut sends, 1, Patience::None).expect("a block");
    drop(hold(&mut receives, Patience::None).expect("a frame"));
    sends.attend();
    assert!(sends.outgoing.patience_before_growing(16 << 20) <= short, "that was a short one");
    sends.outgoing.longest_back = 16 << 20;
    assert!(sends.outgoing.patience_before_growing(16 << 20) > long);
    assert!(sends.outgoing.patience_before_growing(32 << 20) <= short);
}

#[test]
fn what_came_back_while_the_socket_was_looked_at_is_not_waited_for() {
    let Pair { mut sends, mut receives, .. } = pair(256, Wait::Park, Scheme::Fences);
    let held: Vec<_> = (0..RETURNS)
        .map(|number| {
            publish(&mut sends, number, Patience::None).expect("a block");
            hold(&mut receives, Patience::None).expect("a frame")
        })
        .collect();
    assert_eq!(publish(&mut sends, 0, Patience::None), Err(Cause::Full));
    drop(held);
    // Looks, and takes what has come back.
    sends.attend();
    assert_eq!(sends.stats().blocks_out, 0);
    assert_eq!(sends.wait(Want::Block, Deadline::after(SOON)), Ok(()));
    assert_eq!(publish(&mut sends, 0, Patience::None), Ok(()));
    assert_eq!(sends.wait(Want::Block, Deadline::NOW), Err(Cause::Timeout), "that was no news any more");
}

#[test]
fn a_claim_of_a_block_that_is_dropped_or_leaked_gives_way_to_what_comes_next() {
    let Pair { mut sends, mut receives, .. } = pair(256, Wait::Park, Scheme::Barrier);
    let mut held = Vec::new();
    for number in 0..RETURNS - 1 {
        publish(&mut sends, number, Patience::None).expect("a block");
        held.push(hold(&mut receives, Patience::None).expect("a frame"));
    }
    // The last block that may be out.
    let slot = sends.claim(0, 5_000, Patience::None).expect("a block");
    sends.claimed_mut(slot).fill(7);
    assert_eq!(sends.stats().blocks_out, RETURNS);
    assert_eq!(publish(&mut sends, 9, Patience::None), Ok(()));
    assert_eq!(receive(&mut receives), (9, payload(9)));
    sends.claim(0, 5_000, Patience::None).expect("a block");
    let slot = sends.claim(0, 6_000, Patience::None).expect("the same once more");
    sends.claimed_mut(slot).fill(8);
    assert_eq!(sends.commit(slot, Label::data(10), &[], 6_000, Show::Now), Ok(()));
    assert_eq!(receive(&mut receives), (10, vec![8; 6_000]));
}

#[test]
fn a_block_given_back_before_it_was_sent_is_corrupt_and_so_is_one_given_back_twice() {
    let ways: [fn(&mut Pair); 2] = [
        |pair| {
            let (_, entry) = claim(pair);
            forge_return(pair, 0, entry);
        },
        |pair| {
            let (slot, entry) = claim(pair);
            pair.sends.commit(slot, Label::data(1), &[], 5_000, Show::Now).expect("an open claim");
            forge_return(pair, 0, entry);
            pair.sends.attend();
            assert_eq!(pair.sends.stats().blocks_out, 0, "given back unseen, which is its right");
            forge_return(pair, 1, entry);
        },
    ];
    for way in ways {
        let mut pair = pair(256, Wait::Park, Scheme::Fences);
        way(&mut pair);
        assert_eq!(pair.sends.state(), State::Corrupt);
        assert_eq!(publish(&mut pair.sends, 2, Patience::None), Err(Cause::Corrupt(Violation::Return)));
    }
}

/// A claimed block, and the entry by which it would be given back.
fn claim(pair: &mut Pair) -> (Slot, u64) {
    let slot = pair.sends.claim(0, 5_000, Patience::None).expect("a block");
    let (block, _) = pair.sends.outgoing.claimed.expect("it was just claimed");
    (slot, arena::entry(block.region, block.index, block.generation).expect("a block has the numbers of one"))
}

/// Writes an entry into the receiver's return ring, as its `count`-th.
fn forge_return(pair: &Pair, count: u64, entry: u64) {
    pair.returns.store_u64(count as usize * 8, entry, Relaxed);
    pair.receiver.store_u64(crate::layout::RETURNS, count + 1, Release);
}

#[test]
fn a_region_that_is_idle_goes_back_and_is_made_again_when_it_is_needed() {
    if cfg!(miri) {
        // It takes a second of real time.
        return;
    }
    let Pair { mut sends, mut receives, .. } = pair(256, Wait::Park, Scheme::Barrier);
    let long = vec![3; MESSAGE_MAX as usize];
    for round in 1..3 {
        let mut held = Vec::new();
        for _ in 0..6 {
            sends.publish(0, &long, Show::Now, Patience::None).expect("a block");
            held.push(hold(&mut receives, Patience::None).expect("a frame"));
        }
        assert_eq!(sends.stats().regions, 2);
        drop(held);
        let give_up = Instant::now() + SOON;
        while sends.stats().regions > 1 {
            assert!(Instant::now() < give_up, "round {round}");
            thread::sleep(Duration::from_millis(20));
            assert_eq!((sends.state(), receives.state()), (State::Open, State::Open));
        }
    }
    assert!(sends.stats().block_bytes_high >= 6 << 20);
}
