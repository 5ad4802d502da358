//! Two sides that may run on one processor only: it is handed over, and whatever else a wait promises holds there, too.

use slipring::{Bus, Cause, Deadline, Listener, Options, Wait, pin_thread};
use slipring_tests::alone::alone;
use slipring_tests::pair::soon;
use slipring_tests::peer::Peer;
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog_for;
use slipring_tests::{frames, peer};
use std::time::Duration;

/// Two sessions, one each way, with a peer that is confined to the same processor.
fn ends(scratch: &Scratch, wait: Wait) -> (Bus, Bus, Peer) {
    let cpu = u32::try_from(rustix::thread::sched_getcpu()).expect("a number of a processor");
    pin_thread(&[cpu]).expect("we run there");
    let options = Options::default().wait(wait);
    let mut peer = peer!();
    let (ours, theirs) = (scratch.path("ours"), scratch.path("theirs"));
    let mut listener = Listener::bind(&ours, &options).expect("a name");
    peer.tell(&format!("connect {ours}"));
    let receives = listener.accept_bus_until(soon()).expect("a session");
    assert_eq!(peer.answer(), "ok");
    peer.must(&format!("bind {theirs}"));
    peer.tell("accept");
    let sends = Bus::connect_until(&theirs, &options, soon()).expect("a session");
    assert_eq!(peer.answer(), "ok");
    (sends, receives, peer)
}

#[test]
fn round_trips_deadlines_and_the_peers_death_are_as_anywhere() {
    alone("round_trips_deadlines_and_the_peers_death_are_as_anywhere", || {
        let _watchdog = watchdog_for("one processor", Duration::from_secs(50));
        for wait in [Wait::Spin, Wait::Adaptive, Wait::Park] {
            let scratch = Scratch::new();
            let (mut sends, mut receives, mut peer) = ends(&scratch, wait);
            peer.tell("echo 2000");
            for number in 0..2000 {
                sends.publish_until(frames::type_id(number), &frames::payload(number, 40), soon()).expect("open");
                let lease = receives.recv_until(soon()).expect("the same frame");
                assert!(frames::is(number, lease.type_id(), &lease));
            }
            assert!(peer.answer().starts_with("ok "));
            let passed = receives.recv_until(Deadline::after(Duration::from_millis(5)));
            assert_eq!(passed.err(), Some(Cause::Timeout));
            // It dies while it waits for us, and we for it.
            peer.tell("echo 1");
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_millis(20));
                    peer.kill();
                });
                assert_eq!(receives.recv_until(soon()).err(), Some(Cause::PeerDied), "{wait:?}");
            });
        }
    });
}
