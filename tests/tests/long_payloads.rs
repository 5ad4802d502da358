//! Payloads for which a power of two would be a waste: each has a region of its own, and the same calls send it.

use slipring::{Bus, Cause, Options, State, limit_memory, memory_taken};
use slipring_tests::alone::alone;
use slipring_tests::backend::trusts;
use slipring_tests::chance::Chance;
use slipring_tests::pair::{bus_pair, in_a_moment, rpc_pair, soon};
use slipring_tests::proc::available_memory;
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::{watchdog, watchdog_for};
use std::time::Duration;

const MIB: usize = 1 << 20;

fn options() -> Options {
    Options::default()
}

fn pair(limit: usize) -> (Bus, Bus) {
    bus_pair(&options().memory_limit(limit as u64), &options())
}

/// Marks a payload at places that nobody else marks so.
fn mark(bytes: &mut [u8], number: u64) {
    let len = bytes.len();
    for at in places(len) {
        bytes[at..at + 8].copy_from_slice(&(number ^ at as u64).to_le_bytes());
    }
}

fn is_marked(bytes: &[u8], number: u64) -> bool {
    places(bytes.len()).into_iter().all(|at| bytes[at..at + 8] == (number ^ at as u64).to_le_bytes())
}

/// The first and the last bytes, and some between.
fn places(len: usize) -> Vec<usize> {
    let mut chance = Chance::new(len as u64);
    let mut places: Vec<_> = (0..64).map(|_| chance.below(len / 8) * 8).filter(|at| at + 8 <= len).collect();
    places.extend([0, len - 8]);
    // The last one may lie over its neighbour.
    places.retain(|at| *at == len - 8 || at + 8 <= len - 8);
    places
}

fn send(bus: &mut Bus, len: usize, number: u64) {
    let mut claim = bus.claim_until(len, soon()).expect("a block");
    mark(&mut claim, number);
    claim.commit(number as u32, len).expect("an open claim");
}

#[test]
fn lengths_around_the_border_arrive_whole_however_they_are_sent() {
    let _watchdog = watchdog_for("long payloads", Duration::from_secs(60));
    for &trust in trusts("lengths_around_the_border_arrive_whole_however_they_are_sent") {
        let (mut sends, mut receives) = bus_pair(&options().memory_limit(512 << 20).trust(trust), &options());
        for (number, len) in (1..).zip([32 * MIB, 32 * MIB + 1, 33 * MIB, 50 * MIB, 64 * MIB + 1]) {
            send(&mut sends, len, number);
            let lease = receives.recv_until(soon()).expect("a frame");
            assert_eq!(lease.len(), len);
            assert!(is_marked(&lease, number), "claimed, {len}");
            drop(lease);
            let mut bytes = vec![3; len];
            mark(&mut bytes, number + 100);
            sends.publish_until(0, &bytes, soon()).expect("a block");
            assert!(is_marked(&receives.recv_until(soon()).expect("a frame"), number + 100), "copied, {len}");
        }
    }
}

#[test]
fn payloads_of_about_one_length_share_a_region_and_waste_little() {
    let _watchdog = watchdog("a pool");
    let (mut sends, mut receives) = pair(1 << 30);
    for number in 0..20 {
        let len = 40 * MIB + 1 + number as usize * 4096;
        send(&mut sends, len, number);
        assert!(is_marked(&receives.recv_until(soon()).expect("a frame"), number));
    }
    let stats = sends.stats();
    assert_eq!(stats.regions, 1);
    assert!(stats.region_bytes <= 43 << 20, "{}", stats.region_bytes);
}

#[test]
fn the_limit_is_all_that_limits_a_payload() {
    let _watchdog = watchdog("a payload as long as the limit");
    let (mut sends, mut receives) = pair(70 * MIB);
    assert_eq!(sends.payload_max(), 70 << 20);
    // What is idle makes way, the first region of short blocks, too.
    send(&mut sends, 2000, 1);
    assert!(is_marked(&receives.recv_until(soon()).expect("a frame"), 1));
    for (number, len) in [(2, 70 * MIB), (3, 5000), (4, 35 * MIB + 1), (5, 70 * MIB), (6, 32 * MIB), (7, 70 * MIB)] {
        let reader = std::thread::scope(|scope| {
            let reader = scope.spawn(|| is_marked(&receives.recv_until(soon()).expect("a frame"), number));
            send(&mut sends, len, number);
            reader.join().expect("no panic")
        });
        assert!(reader, "{len}");
        assert!(sends.stats().region_bytes <= 70 << 20);
    }
    let too_large = Cause::TooLarge { len: (70 << 20) + 1, max: 70 << 20 };
    assert_eq!(sends.try_claim(70 * MIB + 1).err(), Some(too_large));
}

#[test]
fn a_long_payload_that_is_held_is_waited_for_and_others_go_on() {
    let _watchdog = watchdog("a held payload");
    let (mut sends, mut receives) = pair(80 * MIB);
    send(&mut sends, 60 * MIB, 1);
    let kept = receives.recv_until(soon()).expect("a frame").keep();
    assert_eq!(sends.claim_until(60 * MIB, in_a_moment()).err(), Some(Cause::Timeout));
    assert_eq!(sends.try_claim(60 * MIB).err(), Some(Cause::Full));
    send(&mut sends, 5000, 2);
    assert!(is_marked(&receives.recv_until(soon()).expect("a frame"), 2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            drop(kept);
        });
        send(&mut sends, 60 * MIB, 3);
    });
    assert!(is_marked(&receives.recv_until(soon()).expect("a frame"), 3));
}

#[test]
fn a_process_has_a_limit_for_all_its_sessions_together() {
    alone("a_process_has_a_limit_for_all_its_sessions_together", || {
        let _watchdog = watchdog("the limit of a process");
        let before = memory_taken();
        let (mut one, there) = pair(64 * MIB);
        let (mut two, mut receives) = pair(64 * MIB);
        let rings = memory_taken() - before;
        assert!((2 << 20..3 << 20).contains(&rings), "two rings, and the short ones of the readers: {rings}");
        limit_memory(before + rings + (6 << 20));
        send(&mut one, 2000, 1);
        assert_eq!(memory_taken(), before + rings + (4 << 20));
        assert_eq!(two.claim_until(2000, soon()).err(), Some(Cause::OutOfMemory), "the first region has 4 MiB");
        drop((one, there));
        send(&mut two, 2000, 2);
        assert!(is_marked(&receives.recv_until(soon()).expect("a frame"), 2));
        drop((two, receives));
        assert_eq!(memory_taken(), before);
    });
}

/// How many bytes this process has mapped of files of `directory`.
fn mapped_of(directory: &str) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("/proc is there");
    let of = |line: &str| {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        Some(usize::from_str_radix(to, 16).ok()? - usize::from_str_radix(from, 16).ok()?)
    };
    maps.lines().filter(|line| line.contains(directory)).filter_map(of).sum()
}

#[test]
fn what_memory_has_no_room_for_goes_to_the_spill_directory_and_nothing_stays_there() {
    let _watchdog = watchdog_for("spilling", Duration::from_secs(60));
    let scratch = Scratch::new();
    let place = scratch.path("spills");
    std::fs::create_dir(&place).expect("a fresh directory");
    let spills = options().memory_limit(8 << 20).spill_dir(&place);
    let (mut sends, mut receives) = bus_pair(&spills, &options());
    assert!(sends.capabilities().spill);
    assert_eq!(sends.payload_max(), 16 << 30, "no memory limits a payload");
    let mut kept = Vec::new();
    for (number, len) in (0..).zip([6 * MIB, 6 * MIB, 50 * MIB, 3000, 40 * MIB]) {
        send(&mut sends, len, number);
        kept.push(receives.recv_until(soon()).expect("a frame").keep());
    }
    assert!((0..).zip(&kept).all(|(number, message)| is_marked(message, number)));
    // Both ends are in this process.
    assert!(mapped_of(&place) >= 2 * (50 + 40) * MIB, "{}", mapped_of(&place));
    let spilled = sends.stats().region_bytes;
    assert!(spilled > 90 << 20, "{spilled}");
    drop(kept);
    // A payload that fits into memory takes what memory there is.
    send(&mut sends, 3000, 9);
    assert!(is_marked(&receives.recv_until(soon()).expect("a frame"), 9));
    drop((sends, receives));
    assert_eq!(mapped_of(&place), 0);
    assert_eq!(std::fs::read_dir(&place).expect("it is still there").count(), 0, "the files never had a name");
}

#[test]
fn requests_that_memory_has_no_room_for_are_spilled_too() {
    let _watchdog = watchdog("spilled requests");
    let scratch = Scratch::new();
    let place = scratch.path("spills");
    std::fs::create_dir(&place).expect("a fresh directory");
    let spills = options().memory_limit(8 << 20).spill_dir(&place);
    let (mut client, mut server) = rpc_pair(&spills, &options());
    for (number, len) in [(1, 3 * MIB), (2, 8 * MIB), (3, 20 * MIB), (4, 40 * MIB)] {
        let mut claim = client.claim_owned_until(len, soon()).expect("a block");
        mark(&mut claim, number);
        let call = client.call_owned_until(1, claim, len, soon()).expect("a place");
        let mut bytes = vec![0; len];
        mark(&mut bytes, number + 10);
        let copied = client.call_until(2, &bytes, soon()).expect("a block");
        for number in [number, number + 10] {
            let request = server.serve_until(soon()).expect("a request");
            assert!(is_marked(&request, number), "{len}");
            request.reply(0, b"").expect("room");
        }
        for call in [call, copied] {
            assert!(client.wait_until(call, soon()).is_ok(), "{len}");
        }
    }
}

#[test]
fn a_spilling_sender_keeps_to_what_a_modest_reader_takes() {
    let _watchdog = watchdog("a modest reader");
    let scratch = Scratch::new();
    let place = scratch.path("spills");
    std::fs::create_dir(&place).expect("a fresh directory");
    let modest = options().memory_limit(1 << 20).max_message(500_000);
    let (mut sends, mut receives) = bus_pair(&options().spill_dir(&place), &modest);
    let kept: Vec<_> = (0..12)
        .map(|number| {
            send(&mut sends, 500_000, number);
            receives.recv_until(soon()).expect("a frame").keep()
        })
        .collect();
    assert!((0..).zip(&kept).all(|(number, message)| is_marked(message, number)));
    assert_eq!((sends.state(), receives.state()), (State::Open, State::Open));
}

#[test]
fn a_process_that_may_have_no_more_memory_spills() {
    alone("a_process_that_may_have_no_more_memory_spills", || {
        let _watchdog = watchdog("a spilling process");
        let scratch = Scratch::new();
        let place = scratch.path("spills");
        std::fs::create_dir(&place).expect("a fresh directory");
        let (mut sends, mut receives) = bus_pair(&options().spill_dir(&place), &options());
        limit_memory(memory_taken());
        send(&mut sends, 5000, 1);
        let lease = receives.recv_until(soon()).expect("a frame");
        assert!(is_marked(&lease, 1) && mapped_of(&place) > 0);
    });
}

#[test]
fn calls_carry_them_both_ways() {
    let _watchdog = watchdog_for("long calls", Duration::from_secs(30));
    let (mut client, mut server) = rpc_pair(&options(), &options());
    let mut request = client.claim_request(40 * MIB).expect("a block");
    mark(&mut request, 5);
    let call = request.commit(1, 40 * MIB).expect("an open claim");
    let request = server.serve().expect("a request");
    assert!(is_marked(&request, 5));
    let id = request.id();
    drop(request);
    let mut reply = server.claim_reply(id, 48 * MIB).expect("a block");
    mark(&mut reply, 6);
    reply.commit(1, 48 * MIB).expect("an open claim");
    assert!(is_marked(&client.wait(call).expect("a reply"), 6));
    assert_eq!((server.stats().held_blocks, client.stats().held_blocks), (0, 0));
}

#[test]
fn more_than_four_gibibytes_are_a_payload_like_any_other() {
    const LEN: usize = (4 << 30) + 1;
    if available_memory() < 8 << 30 {
        eprintln!("skipped: a payload of 4 GiB and a byte needs 8 GiB of memory to spare");
        return;
    }
    let _watchdog = watchdog_for("4 GiB and a byte", Duration::from_secs(120));
    let (mut sends, mut receives) = pair(5 << 30);
    let mut claim = sends.claim(LEN).expect("a block");
    mark(&mut claim, 9);
    claim.commit(1, LEN).expect("an open claim");
    let lease = receives.recv().expect("a frame");
    assert_eq!(lease.len(), LEN);
    assert!(is_marked(&lease, 9));
}
