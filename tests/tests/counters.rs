//! Counters that each end of a session shows to the other: never fewer than what was received, exact after the close, nothing
//! where an end shows nothing, and only numbers where a peer shows nonsense.

use slipring::{Bus, Cause, Deadline, Listener, Options, RpcBus, Stats, Trust, Wait};
use slipring_tests::alone::{alone, in_child};
use slipring_tests::backend::{has_seals, trusts};
use slipring_tests::pair::{bus_pair, keep_many, rpc_pair, soon};
use slipring_tests::proc::await_that;
use slipring_tests::raw::layout::COUNTERS;
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog;
use slipring_tests::{peer, raw};
use std::thread;
use std::time::Duration;

fn of_peer(bus: &Bus) -> Stats {
    bus.peer_stats().expect("it shows them")
}

#[test]
fn what_was_received_has_been_counted_as_sent() {
    let _watchdog = watchdog("counters of a stream");
    for &trust in trusts("counters under Untrusted") {
        for wait in [Wait::Spin, Wait::Park, Wait::Adaptive] {
            let options = Options::default().trust(trust).wait(wait);
            let (mut sends, mut receives) = bus_pair(&options, &options);
            let sender = thread::spawn(move || {
                for _ in 0..2000 {
                    sends.publish(1, &[7; 100]).expect("room");
                }
                sends
            });
            for number in 1..=2000 {
                drop(receives.recv().expect("a frame"));
                let claimed = of_peer(&receives);
                assert!(claimed.frames_sent >= number && claimed.bytes_sent >= 100 * number, "{number}: {claimed:?}");
                assert!(claimed.frames_sent <= 2000);
            }
            drop(sender.join().expect("no panic"));
        }
    }
}

#[test]
fn after_the_close_both_sides_agree() {
    let _watchdog = watchdog("counters after a close");
    let (mut sends, mut receives) = bus_pair(&Options::default(), &Options::default());
    drop(keep_many(&mut sends, &mut receives, 20, 100));
    drop(keep_many(&mut sends, &mut receives, 20, 100_000));
    let (sum, sent) = (20 * 100_100, sends.stats());
    assert_eq!((sent.frames_sent, sent.bytes_sent), (40, sum));
    assert!(sent.regions > 0 && sent.block_bytes_high >= 100_000);
    sends.close(Duration::ZERO).expect("open");
    assert_eq!(receives.recv().err(), Some(Cause::Closed));
    let (ours, theirs) = (receives.stats(), of_peer(&receives));
    assert_eq!((ours.frames_received, ours.bytes_received), (40, sum));
    assert_eq!((theirs.frames_sent, theirs.bytes_sent, theirs.frames_received), (40, sum, 0));
    assert!(theirs.block_bytes_high >= 100_000);
}

#[test]
fn the_receiver_s_counts_come_with_its_goodbye() {
    let _watchdog = watchdog("counters of a receiver");
    let (mut sends, mut receives) = bus_pair(&Options::default(), &Options::default());
    drop(keep_many(&mut sends, &mut receives, 30, 50));
    receives.close(Duration::ZERO).expect("nothing to wait for");
    let theirs = of_peer(&sends);
    assert_eq!((theirs.frames_received, theirs.bytes_received), (30, 1500));
}

#[test]
fn calls_count_the_same_at_both_ends_with_deadlines_and_without() {
    let _watchdog = watchdog("counters of calls");
    let (mut calls, mut serves) = rpc_pair(&Options::default(), &Options::default());
    let server = thread::spawn(move || {
        for _ in 0..20 {
            let request = serves.serve_until(soon()).expect("a request");
            request.reply(2, &[5; 30]).expect("a reply never waits");
        }
        assert_eq!(serves.serve_until(soon()).err(), Some(Cause::Closed));
        (serves.stats(), serves.peer_stats().expect("it shows them"))
    });
    for call in 0..20 {
        let deadline = if call % 2 == 0 { soon() } else { Deadline::NEVER };
        let reply = calls.request_until(1, &[3; 40], deadline).expect("a reply");
        assert_eq!(reply.len(), 30);
    }
    let mine = calls.stats();
    calls.close(Duration::ZERO).expect("open");
    let (ours, theirs) = server.join().expect("no panic");
    assert_eq!((ours.frames_received, ours.bytes_received), (20, 800));
    assert_eq!((ours.frames_sent, ours.bytes_sent), (20, 600));
    assert_eq!((theirs.frames_sent, theirs.bytes_sent), (20, 800));
    assert_eq!((theirs.frames_received, theirs.bytes_received), (20, 600));
    assert_eq!((mine.frames_received, mine.bytes_received), (20, 600));
}

#[test]
fn an_end_that_shows_nothing_is_no_number_to_the_other() {
    let _watchdog = watchdog("counters that are off");
    let off = Options::default().counters(false);
    let (mut sends, mut receives) = bus_pair(&off, &Options::default());
    drop(keep_many(&mut sends, &mut receives, 5, 10));
    assert_eq!(receives.peer_stats(), None);
    assert_eq!(sends.stats().frames_sent, 5, "its own user still learns it");
    let _ = receives.stats();
    assert_eq!(of_peer(&sends).frames_received, 5, "what the other end shows is its own choice");
    let (calls, serves) = rpc_pair(&off, &off);
    assert_eq!((calls.peer_stats(), serves.peer_stats()), (None, None));
}

#[test]
fn words_of_an_end_that_shows_nothing_stay_zero() {
    let _watchdog = watchdog("the words of counters");
    if !has_seals("a look into an outbox") {
        return;
    }
    for shown in [false, true] {
        let scratch = Scratch::new();
        let options = Options::default().counters(shown);
        let mut listener = Listener::bind(&scratch.path("bus"), &options).expect("a name");
        let (mut end, mut bus) = raw::client_of(&mut listener);
        end.publish(1, b"five.");
        drop(bus.recv().expect("a frame"));
        let _ = bus.stats();
        let words: Vec<u64> = (0..64).map(|word| end.theirs.load_u64(COUNTERS + 8 * word)).collect();
        if shown {
            assert_eq!(words[..5], [1, 0, 0, 1, 5]);
        } else {
            assert_eq!(words, [0; 64]);
        }
    }
}

#[test]
fn nonsense_in_the_counters_is_only_numbers() {
    let _watchdog = watchdog("forged counters");
    if !has_seals("a hostile peer") {
        return;
    }
    for trust in [Trust::SameUser, Trust::Untrusted] {
        let scratch = Scratch::new();
        let mut listener = Listener::bind(&scratch.path("bus"), &Options::default().trust(trust)).expect("a name");
        let (mut end, mut bus) = raw::client_of(&mut listener);
        for forged in [u64::MAX, 1 << 63, 0, u64::from(u32::MAX) + 1] {
            for word in 0..64 {
                end.mine.store_u64(COUNTERS + 8 * word, forged);
            }
            end.publish(1, b"good");
            drop(bus.recv().expect("a frame"));
            let claimed = bus.peer_stats();
            match forged {
                0 => assert_eq!(claimed, None),
                _ => assert_eq!(claimed.map(|claimed| claimed.parks), Some(forged)),
            }
            assert_eq!(claimed.map_or(u32::MAX, |claimed| claimed.regions), u32::MAX);
        }
        assert_eq!(bus.stats().frames_received, 4);
    }
}

#[test]
fn counters_of_a_peer_that_was_killed_can_still_be_read() {
    let _watchdog = watchdog("counters of the dead");
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    let mut listener = Listener::bind(&address, &Options::default()).expect("a name");
    let mut sender = peer!();
    sender.tell(&format!("connect {address} within=10000"));
    let mut bus = listener.accept_bus().expect("a session");
    assert_eq!(sender.answer(), "ok");
    sender.must("send 100 10");
    sender.kill();
    for _ in 0..100 {
        drop(bus.recv().expect("what was committed before"));
    }
    assert_eq!(bus.recv().err(), Some(Cause::PeerDied));
    let last = of_peer(&bus);
    assert_eq!((last.frames_sent, last.bytes_sent), (100, 1000));
}

#[test]
fn sleeps_show_before_they_begin() {
    let _watchdog = watchdog("counters of a sleeper");
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    let mut receiver = peer!();
    receiver.must(&format!("bind {address} wait=park"));
    receiver.tell("accept");
    let mut bus = Bus::connect_until(&address, &Options::default(), soon()).expect("a session");
    assert_eq!(receiver.answer(), "ok");
    bus.publish(slipring_tests::frames::type_id(0), &slipring_tests::frames::payload(0, 10)).expect("room");
    receiver.tell("recv 2");
    await_that(|| of_peer(&bus).parks > 0 && of_peer(&bus).frames_received == 1);
}

#[test]
fn a_forked_child_reads_what_it_can_and_shows_nothing() {
    alone("a_forked_child_reads_what_it_can_and_shows_nothing", || {
        let _watchdog = watchdog("counters across a fork");
        let (mut sends, mut receives) = bus_pair(&Options::default(), &Options::default());
        drop(keep_many(&mut sends, &mut receives, 3, 10));
        let before = of_peer(&sends);
        let code = in_child(|| {
            let mine = receives.stats();
            i32::from(mine.frames_received != 3 || receives.peer_stats().is_none() || sends.peer_stats().is_none())
        });
        assert_eq!(code, 0);
        assert_eq!(of_peer(&sends), before, "the child has no part in it");
        drop(keep_many(&mut sends, &mut receives, 3, 10));
    });
}

#[test]
fn an_end_for_calls_shows_late_replies() {
    let _watchdog = watchdog("late replies");
    let (mut calls, mut serves): (RpcBus, RpcBus) = rpc_pair(&Options::default(), &Options::default());
    let late = calls.call(1, b"?").expect("room");
    let id = serves.serve_until(soon()).expect("a request").id();
    calls.cancel(late);
    serves.reply(id, 1, b"!").expect("a reply never waits");
    await_that(|| {
        let _ = calls.try_serve();
        calls.stats().late_replies == 1
    });
    assert_eq!(serves.peer_stats().map(|theirs| theirs.late_replies), Some(1));
}
