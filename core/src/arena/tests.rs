//! The arena against a plain model, against a peer that says what is not so, and on examples that can be followed by
//! hand.

mod plain;

use super::*;

const KIB: u64 = 1024;

/// One region of `bytes`, and more returns than it can have blocks.
fn arena(bytes: u64, window: u64) -> Arena {
    let mut arena = Arena::new(u32::MAX, window);
    arena.add_region(0, bytes);
    arena
}

/// A block that the peer was told of.
fn sent(arena: &mut Arena, len: u64) -> Block {
    let block = arena.alloc(len).expect("there is room");
    arena.commit(block);
    block
}

fn give_back(arena: &mut Arena, block: Block) {
    arena.give_back(Arena::entry(block)).expect("the block is out");
}

/// The peer says `entry`, which is not so: it is refused, and nothing has changed.
fn refused(arena: &mut Arena, entry: u64) {
    let before = arena.clone();
    assert_eq!(arena.give_back(entry), Err(Violation::Return), "{entry:#x}");
    assert_eq!(*arena, before);
}

#[test]
fn sizes_are_powers_of_two_and_blocks_lie_at_multiples_of_them() {
    let mut arena = arena(64 * KIB, 64 * KIB);
    for (len, size) in [(0, 256), (1, 256), (256, 256), (257, 512), (4000, 4096), (4096, 4096), (4097, 8192)] {
        let block = arena.alloc(len).expect("there is room");
        assert_eq!(block.size(), size, "{len}");
        assert_eq!(block.offset() % size, 0, "{len}");
    }
}

#[test]
fn what_no_region_can_hold_says_how_large_one_must_be() {
    let mut arena = Arena::new(8, 64 * KIB);
    assert_eq!(arena.alloc(0), Err(NoBlock::Region { needed: 256 }));
    arena.add_region(0, 4 * KIB);
    assert_eq!(arena.alloc(4 * KIB + 1), Err(NoBlock::Region { needed: 8 * KIB }));
    assert_eq!(arena.alloc(32 << 20), Err(NoBlock::Region { needed: 32 << 20 }));
    assert_eq!(arena.alloc((32 << 20) + 1), Err(NoBlock::Whole { needed: 34 << 20 }));
    assert_eq!(arena.alloc(u64::MAX), Err(NoBlock::Whole { needed: u64::MAX }));
    assert_eq!(arena.usage().blocks_out, 0);
    assert_eq!(arena.alloc(4 * KIB).map(Block::size), Ok(4 * KIB));
    assert_eq!(arena.alloc(1), Err(NoBlock::Region { needed: 256 }));
}

#[test]
fn the_largest_region_has_entries_that_name_its_last_block() {
    let mut arena = Arena::new(u32::MAX, 8 * KIB * KIB);
    arena.add_region((1 << REGION_BITS) - 1, 4 << 30);
    let blocks: Vec<_> = (0..128).map(|_| sent(&mut arena, 32 << 20)).collect();
    assert!(matches!(arena.alloc(1), Err(NoBlock::Region { .. })), "that is all of it");
    let last = blocks.into_iter().max_by_key(|block| block.offset()).expect("there are some");
    assert_eq!(last.offset(), (4 << 30) - (32 << 20));
    assert_eq!(Arena::entry(last) >> 44, (1 << 20) - 1);
    assert_eq!(Arena::entry(last) >> 20 & 0xFF_FFFF, last.offset() / 256);
    give_back(&mut arena, last);
    refused(&mut arena, Arena::entry(last));
}

#[test]
fn long_payloads_have_regions_of_their_own_that_are_retired_first() {
    let mut arena = arena(64 * KIB, 64 * KIB);
    arena.add_whole(1, 102 << 20);
    let long = sent(&mut arena, 100 << 20);
    assert_eq!((long.region, long.offset()), (1, 0));
    assert_eq!(arena.usage().bytes_out, 102 << 20);
    refused(&mut arena, entry(1, 1, long.generation).expect("possible numbers"));
    let short = sent(&mut arena, 1);
    assert_eq!((short.region, arena.idle_region()), (0, None));
    give_back(&mut arena, long);
    refused(&mut arena, Arena::entry(long));
    assert_eq!(arena.idle_region(), Some(1));
    arena.retire(1);
    assert_eq!((arena.idle_region(), arena.spare_region()), (None, None));
    assert_eq!(arena.alloc(100 << 20), Err(NoBlock::Whole { needed: 100 << 20 }));
    assert_eq!(arena.forgotten(1), Ok(()));
    assert_eq!((arena.usage().regions, arena.usage().bytes, arena.forgotten(1)), (1, 64 * KIB, Err(Violation::Return)));
    give_back(&mut arena, short);
    assert_eq!(
        (arena.idle_region(), arena.spare_region()),
        (None, Some(0)),
        "the last one goes only for something longer"
    );
    let aborted = {
        arena.add_whole(2, 40 << 20);
        arena.alloc(40 << 20).expect("a region")
    };
    arena.free(aborted);
    assert_eq!(arena.usage().blocks_out, 0);
}

#[test]
fn no_more_is_out_than_the_return_ring_has_entries() {
    let mut arena = Arena::new(2, 64 * KIB);
    arena.add_region(0, 4 * KIB);
    arena.add_region(1, 4 * KIB);
    let first = sent(&mut arena, 1);
    arena.retire(1);
    assert_eq!(arena.alloc(1), Err(NoBlock::Returns), "the retired region's confirmation is a return, too");
    give_back(&mut arena, first);
    let second = sent(&mut arena, 1);
    assert_eq!(arena.alloc(1), Err(NoBlock::Returns));
    assert_eq!(arena.forgotten(1), Ok(()));
    assert!(arena.alloc(1).is_ok());
    assert_eq!(second.region, 0);
}

#[test]
fn a_block_is_given_back_once_and_only_while_it_is_out() {
    let mut arena = arena(4 * KIB, 4 * KIB);
    let block = arena.alloc(1000).expect("there is room");
    refused(&mut arena, Arena::entry(block));
    arena.commit(block);
    for other in [1, 1 << 19, 1 << 20, 1 << 22, 1 << 43, 1 << 44, 1 << 63] {
        refused(&mut arena, Arena::entry(block) ^ other);
    }
    give_back(&mut arena, block);
    refused(&mut arena, Arena::entry(block));
    refused(&mut arena, 0);
    refused(&mut arena, u64::MAX);
}

#[test]
fn an_entry_of_an_earlier_time_is_stale() {
    let mut arena = arena(256, 4 * KIB);
    let first = sent(&mut arena, 1);
    give_back(&mut arena, first);
    let second = sent(&mut arena, 1);
    assert_eq!((first.region, first.index), (second.region, second.index));
    refused(&mut arena, Arena::entry(first));
    give_back(&mut arena, second);
}

/// The same start, once of a block longer than an area, once of one inside it: one count of generations.
#[test]
fn an_entry_of_a_long_block_is_no_entry_of_a_short_one() {
    let mut arena = arena(4 * KIB, KIB);
    let mut old = Vec::new();
    for turn in 0..8 {
        let long = sent(&mut arena, 4 * KIB);
        old.iter().for_each(|&entry| refused(&mut arena, entry));
        give_back(&mut arena, long);
        old.push(Arena::entry(long));
        // As many as there are, so that one starts where the long one did.
        let short: Vec<_> = (0..16).map(|_| sent(&mut arena, 256)).collect();
        assert_eq!(short.iter().filter(|block| block.index == 0).count(), 1, "turn {turn}");
        old.iter().for_each(|&entry| refused(&mut arena, entry));
        short.into_iter().for_each(|block| {
            give_back(&mut arena, block);
            old.push(Arena::entry(block));
        });
    }
}

#[test]
fn an_aborted_claim_leaves_only_its_generation() {
    let mut arena = arena(4 * KIB, 4 * KIB);
    let block = arena.alloc(4 * KIB).expect("there is room");
    arena.free(block);
    assert_eq!(arena.usage().blocks_out, 0);
    let again = arena.alloc(4 * KIB).expect("there is room again");
    assert_ne!(again.generation, block.generation);
}

#[test]
fn more_than_the_window_is_used_only_while_that_is_full() {
    let mut arena = arena(64 * KIB, 16 * KIB);
    for _ in 0..100 {
        let block = sent(&mut arena, KIB);
        assert!(block.offset() < 16 * KIB);
        give_back(&mut arena, block);
    }
    let held: Vec<_> = (0..16).map(|_| sent(&mut arena, KIB)).collect();
    assert!(held.iter().all(|block| block.offset() < 16 * KIB));
    let beyond = sent(&mut arena, KIB);
    assert!(beyond.offset() >= 16 * KIB);
    held.into_iter().for_each(|block| give_back(&mut arena, block));
    for _ in 0..100 {
        let block = sent(&mut arena, KIB);
        assert!(block.offset() < 16 * KIB, "it has shrunk, whatever is still out beyond");
        give_back(&mut arena, block);
    }
    give_back(&mut arena, beyond);
}

#[test]
fn a_second_region_is_used_only_while_the_first_is_full() {
    let mut arena = arena(4 * KIB, 16 * KIB);
    arena.add_region(7, 4 * KIB);
    let first = sent(&mut arena, 4 * KIB);
    let second = sent(&mut arena, 1);
    assert_eq!((first.region, second.region), (0, 7));
    give_back(&mut arena, first);
    assert_eq!(arena.idle_region(), Some(0));
    assert_eq!(sent(&mut arena, 1).region, 0);
    assert_eq!(arena.idle_region(), None);
    give_back(&mut arena, second);
    assert_eq!(arena.idle_region(), Some(7));
}

#[test]
fn areas_left_open_are_closed_for_a_block_that_needs_them() {
    let mut arena = arena(16 * KIB, 4 * KIB);
    let short: Vec<_> = (0..64).map(|_| sent(&mut arena, 256)).collect();
    short.into_iter().for_each(|block| give_back(&mut arena, block));
    assert_eq!(arena.alloc(16 * KIB).map(Block::offset), Ok(0));
}

#[test]
fn a_region_is_forgotten_only_when_it_was_retired_and_nothing_of_it_is_out() {
    let mut arena = arena(4 * KIB, 4 * KIB);
    arena.add_region(1, 8 * KIB);
    arena.add_region(2, 4 * KIB);
    let block = sent(&mut arena, 8 * KIB);
    assert_eq!(block.region, 1);
    for id in [0, 1, 2, 3, u32::MAX] {
        assert_eq!(arena.forgotten(id), Err(Violation::Return));
    }
    arena.retire(1);
    assert_eq!(arena.alloc(8 * KIB), Err(NoBlock::Region { needed: 8 * KIB }));
    assert_eq!(arena.forgotten(1), Err(Violation::Return), "a block of it is out");
    give_back(&mut arena, block);
    assert_eq!((arena.usage().regions, arena.usage().bytes), (3, 16 * KIB));
    assert_eq!(arena.forgotten(1), Ok(()));
    assert_eq!((arena.usage().regions, arena.usage().bytes), (2, 8 * KIB));
    assert_eq!(arena.forgotten(1), Err(Violation::Return));
    refused(&mut arena, Arena::entry(block));
    let (first, second) = (sent(&mut arena, 4 * KIB), sent(&mut arena, 4 * KIB));
    assert_eq!((first.region, second.region), (0, 2));
}

#[test]
fn one_region_always_stays() {
    let mut arena = arena(4 * KIB, 4 * KIB);
    assert_eq!(arena.idle_region(), None);
    arena.add_region(1, 4 * KIB);
    arena.add_region(2, 4 * KIB);
    for id in [2, 1] {
        assert_eq!(arena.idle_region(), Some(id));
        arena.retire(id);
    }
    assert_eq!(arena.idle_region(), None);
}

#[test]
fn however_often_blocks_go_and_come_nothing_is_allocated() {
    let capacity = |arena: &Arena| {
        let tables = arena.areas.iter().filter_map(|area| area.blocks.as_ref());
        let tables = tables.chain(arena.regions.iter().map(|region| &region.areas));
        tables.map(Buddy::capacity).sum::<usize>() + arena.regions.capacity() + arena.areas.capacity()
    };
    let mut arena = arena(256 * KIB, 64 * KIB);
    let mut out = std::collections::VecDeque::new();
    let (mut turn, mut warm) = (0_u64, 0);
    let turns = if cfg!(miri) { 2000 } else { 1_000_000 };
    while turn < turns {
        turn += 1;
        // Sizes of all orders, most of them short, in an order without pattern.
        let chance = turn.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        match arena.alloc(256 << (chance.trailing_zeros().min(10))) {
            Ok(block) => {
                arena.commit(block);
                out.push_back(block);
            }
            Err(_) => give_back(&mut arena, out.pop_front().expect("something is out if nothing is free")),
        }
        if turn == turns / 2 {
            warm = capacity(&arena);
        }
    }
    assert_eq!(capacity(&arena), warm);
}
