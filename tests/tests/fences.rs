//! Wake-ups without `membarrier`: by option, for want of trust, and on a kernel that refuses the call, on either side and
//! before or after the handshake. Both roles park and wake thousands of times, and none sleeps for ever.

use slipring::{Bus, Fence, Listener, Options, Stats, Trust, Wait};
use slipring_tests::alone::alone;
use slipring_tests::chance::Chance;
use slipring_tests::pair::bus_pair;
use slipring_tests::peer::Peer;
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog_for;
use slipring_tests::{frames, peer, seccomp};
use std::thread;
use std::time::{Duration, Instant};

/// How often the receiving end here parks and is woken in each test.
const PARKS: u64 = 3000;

/// Rounds between two in which the peer sleeps for longer than a nap.
const LONG_SLEEP: u64 = 100;

/// Races between a frame and a sleep, of each kind.
const RACES: u64 = 20_000;

/// How long a peer may take from its last frame to its sleep. A loss needs a hit within some nanoseconds of that.
const LONGEST_WAY: Duration = Duration::from_micros(8);

/// When the peer's kernel begins to refuse the call.
#[derive(Clone, Copy, PartialEq)]
enum Refused {
    Never,
    FromTheStart,
    AfterTheHandshake,
}

/// A session each way with a process that sends back what it gets.
fn sessions(scratch: &Scratch, options: &Options, peers_options: &str, refused: Refused) -> (Bus, Bus, Peer) {
    let mut peer = peer!();
    let refuse = format!("refuse-membarrier {}", libc::EPERM);
    if refused == Refused::FromTheStart {
        peer.must(&refuse);
    }
    let (ours, theirs) = (scratch.path("ours"), scratch.path("theirs"));
    let options = options.clone().capacity(4096);
    let mut listener = Listener::bind(&ours, &options).expect("a name");
    peer.tell(&format!("connect {ours} wait=park {peers_options}"));
    let receives = listener.accept_bus().expect("a session");
    assert_eq!(peer.answer(), "ok");
    peer.must(&format!("bind {theirs} wait=park capacity=4096 {peers_options}"));
    peer.tell("accept");
    let sends = Bus::connect(&theirs, &options).expect("a session");
    assert_eq!(peer.answer(), "ok");
    if refused == Refused::AfterTheHandshake {
        peer.must(&refuse);
    }
    (sends, receives, peer)
}

/// Round trips until the receiving end here has parked thousands of times. What that end has counted, and the naps of the
/// peer's.
fn rounds(options: &Options, peers_options: &str, refused: Refused) -> (Stats, u64) {
    let scratch = Scratch::new();
    let options = options.clone().wait(Wait::Park);
    let (mut sends, mut receives, mut peer) = sessions(&scratch, &options, peers_options, refused);
    peer.tell("echo 10000000");
    let mut number = 0;
    while receives.stats().parks < PARKS {
        if number % LONG_SLEEP == 0 {
            thread::sleep(Duration::from_millis(3));
        }
        sends.publish(frames::type_id(number), &frames::payload(number, 30)).expect("open");
        let lease = receives.recv().expect("the same frame");
        assert!(frames::is(number, lease.type_id(), &lease));
        number += 1;
    }
    drop(sends);
    assert_eq!(peer.answer(), format!("err {number} Closed"));
    let stats = receives.stats();
    assert!(stats.bells_heard > PARKS / 2, "{stats:?}");
    // How often it parks depends on who is scheduled when; never would mean that it does not wait at all.
    assert!(peer.number("stat parks") > PARKS / 10);
    assert!(peer.number("stat bells-heard") > PARKS / 20);
    (stats, peer.number("stat naps"))
}

#[test]
fn with_the_barrier_long_sleeps_begin_with_a_nap_unless_sleeping_is_a_habit() {
    let _watchdog = watchdog_for("parking with membarrier", Duration::from_secs(30));
    let (mut sends, mut receives) = bus_pair(&Options::default(), &Options::default().wait(Wait::Park));
    // So many sleeps of several milliseconds, with one frame after each; how many naps there were in all.
    let sleep = |sends: &mut Bus, receives: &mut Bus, times: u32| {
        for _ in 0..times {
            thread::scope(|scope| {
                scope.spawn(|| {
                    thread::sleep(Duration::from_millis(4));
                    sends.publish(1, b"wake up").expect("open");
                });
                assert_eq!(receives.recv().expect("a frame").type_id(), 1);
            });
        }
        receives.stats().naps
    };
    let first = sleep(&mut sends, &mut receives, 10);
    assert!(first >= 5, "a sleep of 4 ms outlasts its nap: {first}");
    let habit = sleep(&mut sends, &mut receives, 30);
    assert_eq!(sleep(&mut sends, &mut receives, 20), habit, "who sleeps all the time has the peer fence instead");
    // A stream, all of which is there before anybody sleeps.
    for number in 0..10_000 {
        sends.publish(frames::type_id(number), &frames::payload(number, 30)).expect("room");
    }
    for number in 0..10_000 {
        let lease = receives.recv().expect("a frame");
        assert!(frames::is(number, lease.type_id(), &lease));
    }
    assert!(sleep(&mut sends, &mut receives, 10) >= habit + 5, "and it naps again when that is over");
}

#[test]
fn with_the_barrier_no_wake_up_is_lost_between_any_two_frames() {
    let _watchdog = watchdog_for("parking with membarrier", Duration::from_secs(30));
    let (stats, _) = rounds(&Options::default(), "", Refused::Never);
    assert!(stats.parks >= PARKS);
}

#[test]
fn either_side_that_asks_for_fences_gets_them_on_both() {
    let _watchdog = watchdog_for("parking with fences", Duration::from_secs(30));
    let always = Options::default().fence(Fence::Always);
    for (options, peers_options) in [(&always, ""), (&Options::default(), "fence=always"), (&always, "fence=always")] {
        let (stats, naps) = rounds(options, peers_options, Refused::Never);
        // Who fences needs no nap.
        assert_eq!((stats.naps, naps), (0, 0), "{peers_options}");
    }
}

#[test]
fn either_side_that_does_not_trust_the_other_fences() {
    let _watchdog = watchdog_for("parking without trust", Duration::from_secs(30));
    let untrusted = Options::default().trust(Trust::Untrusted);
    for (options, peers_options) in
        [(&untrusted, ""), (&Options::default(), "trust=untrusted"), (&untrusted, "trust=untrusted")]
    {
        let (stats, naps) = rounds(options, peers_options, Refused::Never);
        assert_eq!((stats.naps, naps), (0, 0), "{peers_options}");
    }
}

#[test]
fn a_kernel_that_refuses_the_call_from_the_start_means_fences_on_both_sides() {
    let _watchdog = watchdog_for("parking without membarrier", Duration::from_secs(30));
    let (stats, naps) = rounds(&Options::default(), "", Refused::FromTheStart);
    assert_eq!((stats.naps, naps), (0, 0));
}

#[test]
fn a_kernel_that_refuses_the_call_later_leaves_naps_that_wake_all_the_same() {
    let _watchdog = watchdog_for("parking when membarrier goes away", Duration::from_secs(30));
    let (_, naps) = rounds(&Options::default(), "", Refused::AfterTheHandshake);
    // Three milliseconds of sleep, a millisecond at a time.
    assert!(naps >= PARKS / LONG_SLEEP, "{naps}");
}

#[test]
fn our_own_kernel_may_refuse_the_call_too() {
    alone("our_own_kernel_may_refuse_the_call_too", || {
        let _watchdog = watchdog_for("parking without membarrier of our own", Duration::from_secs(30));
        let scratch = Scratch::new();
        // Agreed upon before, refused afterwards.
        let (mut sends, mut receives, mut peer) =
            sessions(&scratch, &Options::default().wait(Wait::Park), "", Refused::Never);
        seccomp::refuse_membarrier(libc::ENOSYS);
        peer.tell("echo 500");
        for number in 0..500 {
            sends.publish(frames::type_id(number), &frames::payload(number, 30)).expect("open");
            assert!(receives.recv().is_ok_and(|lease| frames::is(number, lease.type_id(), &lease)));
        }
        assert_eq!(peer.answer(), "ok 500");
        // This process remembers that it registered once; what is new in it fails, and is noticed.
        let (stats, _) = rounds(&Options::default(), "", Refused::FromTheStart);
        assert_eq!(stats.naps, 0);
    });
}

#[test]
fn frames_that_meet_the_peer_on_its_way_to_sleep_wake_it() {
    let _watchdog = watchdog_for("racing the peer to its sleep", Duration::from_secs(30));
    let mut chance = Chance::of_today();
    for (options, peers_options) in [
        (Options::default().fence(Fence::Always), ""),
        (Options::default().trust(Trust::Untrusted), "trust=untrusted"),
        (Options::default(), ""),
    ] {
        let scratch = Scratch::new();
        // This side spins, so that it is quick enough to meet the other, which parks at once.
        let options = options.wait(Wait::Spin);
        let (mut sends, mut receives, mut peer) = sessions(&scratch, &options, peers_options, Refused::Never);
        peer.tell(&format!("echo {RACES}"));
        for number in 0..RACES {
            let moment = Instant::now() + chance.time(LONGEST_WAY);
            while Instant::now() < moment {
                std::hint::spin_loop();
            }
            sends.publish(frames::type_id(number), &frames::payload(number, 8)).expect("open");
            let lease = receives.recv().expect("the same frame");
            assert!(frames::is(number, lease.type_id(), &lease));
        }
        assert_eq!(peer.answer(), format!("ok {RACES}"));
    }
}

#[test]
fn a_full_ring_of_an_untrusted_pair_wakes_its_writer_each_time() {
    let _watchdog = watchdog_for("waiting for room without trust", Duration::from_secs(30));
    for (options, peers_options) in [
        (Options::default().trust(Trust::Untrusted), "trust=untrusted"),
        (Options::default().fence(Fence::Always), ""),
        (Options::default(), ""),
    ] {
        let scratch = Scratch::new();
        let mut peer = peer!();
        peer.must(&format!("bind {} capacity=256 wait=park {peers_options}", scratch.path("bus")));
        peer.tell("accept");
        let mut bus = Bus::connect(&scratch.path("bus"), &options.wait(Wait::Park)).expect("a session");
        assert_eq!(peer.answer(), "ok");
        peer.tell("recv 20000");
        for number in 0..20_000 {
            bus.publish(frames::type_id(number), &frames::payload(number, 100)).expect("open");
        }
        assert_eq!(peer.answer(), "ok 20000");
        assert!(bus.stats().parks > 100, "{:?}", bus.stats());
    }
}
