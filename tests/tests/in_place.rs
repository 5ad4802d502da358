//! Where bytes lie that were received: in the sender's own memory if the sender is trusted, as the kernel's table of this process
//! says of their addresses; and an object is in there once, however often it comes.

use slipring::{Backend, Bus, Message, Options, RpcBus, Trust};
use slipring_tests::backend::has_seals;
use slipring_tests::frames;
use slipring_tests::objects::{is_object, object};
use slipring_tests::pair::{bus_pair, rpc_pair, soon};
use slipring_tests::proc::{Area, area_of, areas, page_frame};
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog;

const MIB: usize = 1 << 20;
/// Needs a block.
const LONG: usize = 100_000;

fn with(backend: Backend) -> Options {
    Options::default().backend(backend)
}

/// What regions of this backend are called.
fn region(backend: Backend) -> &'static str {
    if backend == Backend::Posix { "/dev/shm/" } else { "/memfd:slipring-region" }
}

/// The area in which received bytes lie, all of them, and which must be for reading only.
fn read_only_area(bytes: &[u8]) -> Area {
    let area = area_of(&bytes[0]);
    assert!(area.range.contains(&(&raw const bytes[bytes.len() - 1]).addr()), "one map has all of it: {area:?}");
    assert!(area.rights.starts_with("r--"), "{area:?}");
    area
}

/// Sends a payload through a claim. Which pages it was written to, the first and the last.
fn send(sends: &mut Bus, len: usize) -> [u64; 2] {
    let mut claim = sends.claim_until(len, soon()).expect("a block");
    frames::fill(7, &mut claim);
    let pages = [&claim[0], &claim[len - 1]].map(page_frame);
    claim.commit(frames::type_id(7), len).expect("an open claim");
    pages
}

#[test]
fn a_payload_in_a_block_is_read_where_its_sender_wrote_it() {
    let _watchdog = watchdog("blocks in place");
    for backend in [Backend::Memfd, Backend::Posix] {
        // In a block of a region, and in a region of its own.
        for len in [LONG, 40 * MIB] {
            let (mut sends, mut receives) = bus_pair(&with(backend), &with(Backend::Memfd));
            let written = send(&mut sends, len);
            let lease = receives.recv_until(soon()).expect("a frame");
            let area = read_only_area(&lease);
            assert!(area.name.starts_with(region(backend)), "{area:?}");
            assert_eq!([&lease[0], &lease[len - 1]].map(page_frame), written, "the same memory");
            let at = lease.as_ptr();
            let kept: Message = lease.keep();
            assert_eq!(kept.as_ptr(), at, "and it stays there when it is kept");
            assert!(frames::is(7, kept.type_id(), &kept));
        }
    }
}

#[test]
fn a_request_and_its_reply_are_read_where_they_were_written() {
    let _watchdog = watchdog("calls in place");
    for backend in [Backend::Memfd, Backend::Posix] {
        let (mut calls, mut serves): (RpcBus, RpcBus) = rpc_pair(&with(backend), &with(backend));
        let payload = frames::payload(1, LONG);
        let call = calls.call_until(1, &payload, soon()).expect("a block");
        let request = serves.serve_until(soon()).expect("a request");
        assert!(read_only_area(&request).name.starts_with(region(backend)));
        request.reply(1, &payload).expect("a block");
        let reply = calls.wait_until(call, soon()).expect("a reply");
        assert!(read_only_area(&reply).name.starts_with(region(backend)));
    }
}

#[test]
fn a_payload_of_a_peer_that_is_not_trusted_is_read_in_memory_of_ones_own() {
    if !has_seals("a_payload_of_a_peer_that_is_not_trusted_is_read_in_memory_of_ones_own") {
        return;
    }
    let _watchdog = watchdog("copies");
    let (mut sends, mut receives) = bus_pair(&Options::default(), &Options::default().trust(Trust::Untrusted));
    send(&mut sends, LONG);
    let lease = receives.recv_until(soon()).expect("a frame");
    let area = area_of(&lease[0]);
    assert!(!area.name.contains("slipring") && area.rights.starts_with("rw-p"), "{area:?}");
    assert!(frames::is(7, lease.type_id(), &lease));
}

#[test]
fn a_spilled_payload_is_read_in_a_file_of_the_spill_directory() {
    let _watchdog = watchdog("spilled, in place");
    let scratch = Scratch::new();
    let directory = scratch.dir().to_str().expect("a plain name");
    let (mut sends, mut receives) =
        bus_pair(&Options::default().memory_limit(MIB as u64).spill_dir(directory), &Options::default());
    send(&mut sends, 2 * MIB);
    let lease = receives.recv_until(soon()).expect("a frame");
    let area = read_only_area(&lease);
    assert!(area.name.starts_with(directory) && area.name.ends_with("(deleted)"), "{area:?}");
    assert!(frames::is(7, lease.type_id(), &lease));
}

#[test]
fn an_object_is_mapped_once_by_a_receiver_whoever_it_trusts_and_however_often_it_comes() {
    let _watchdog = watchdog("one map of an object");
    for trust in slipring_tests::backend::trusts("an object is mapped once") {
        let (mut sends, mut receives) = bus_pair(&Options::default(), &Options::default().trust(*trust));
        let table = object(3, 2 * MIB);
        let maps =
            || areas().into_iter().filter(|area| area.name.contains("slipring-object") && holds(area, table.id()));
        let ours = read_only_area(&table);
        assert_eq!(maps().count(), 1, "the owner's");
        let mut at = None;
        for round in 0..20 {
            sends.publish_shared(round, b"x", &[&table]).expect("room");
            let lease = receives.recv_until(soon()).expect("a frame");
            let shared = &lease.shared()[0];
            let area = read_only_area(shared);
            assert!(area.name.starts_with("/memfd:slipring-object") && area.range != ours.range, "{area:?}");
            assert_eq!(*at.get_or_insert(shared.as_ptr()), shared.as_ptr(), "the first map serves all");
            assert_eq!(page_frame(&shared[MIB]), page_frame(&table[MIB]), "the same memory");
            assert!(is_object(3, shared));
            drop(lease);
            assert_eq!(maps().count(), 2, "{trust:?}, round {round}: the owner's and the receiver's");
        }
    }
}

/// Whether an area shows the file with this number.
fn holds(area: &Area, number: u64) -> bool {
    area.inode == number
}
