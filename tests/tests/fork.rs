//! Forks, on either side and in the middle of anything: the child owns nothing of its parent's, and disturbs nothing.

use slipring::{Bus, Cause, Deadline, Listener, Options, Wait};
use slipring_tests::alone::{alone, end_child, fork, in_child, split};
use slipring_tests::meanwhile::meanwhile;
use slipring_tests::peer::Peer;
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog;
use slipring_tests::{frames, peer, proc};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Everything that a process can have of us: a name, an end to send on, an end to receive from; and the process at the
/// other ends.
struct Ends {
    listener: Listener,
    sends: Bus,
    receives: Bus,
}

fn ends(scratch: &Scratch, options: &Options) -> (Ends, Peer) {
    let mut peer = peer!();
    let (ours, theirs) = (scratch.path("ours"), scratch.path("theirs"));
    let mut listener = Listener::bind(&ours, options).expect("a name");
    peer.tell(&format!("connect {ours}"));
    let receives = listener.accept_bus().expect("a session");
    assert_eq!(peer.answer(), "ok");
    peer.must(&format!("bind {theirs} capacity=256"));
    peer.tell("accept");
    let sends = Bus::connect(&theirs, options).expect("a session");
    assert_eq!(peer.answer(), "ok");
    (Ends { listener, sends, receives }, peer)
}

/// Sends `count` frames to the peer and back, which proves that both sessions are whole.
fn round_trips(ends: &mut Ends, peer: &mut Peer, numbers: std::ops::Range<u64>) {
    peer.tell(&format!("echo {}", numbers.end - numbers.start));
    for number in numbers {
        ends.sends.publish(frames::type_id(number), &frames::payload(number, 40)).expect("open");
        let lease = ends.receives.recv().expect("the same frame");
        assert!(frames::is(number, lease.type_id(), &lease));
    }
    assert!(peer.answer().starts_with("ok "));
}

/// How many of the calls of a sending end do not say that it belongs to another process.
fn senders_calls_that_work(bus: &mut Bus) -> usize {
    let soon = Deadline::after(Duration::from_secs(5));
    let answers = [
        bus.publish(0, b"x"),
        bus.try_publish(0, b"x"),
        bus.publish_until(0, b"x", soon),
        bus.publish_vectored(0, &[]),
        bus.publish_later(0, b"x"),
        bus.flush(),
        bus.publish_batch([(0, b"x")]).map(drop),
        bus.claim(5).map(drop),
        bus.try_claim(5).map(drop),
    ];
    answers.iter().filter(|answer| **answer != Err(Cause::Forked)).count()
}

fn receivers_calls_that_work(bus: &mut Bus) -> usize {
    let soon = Deadline::after(Duration::from_secs(5));
    let answers = [
        bus.recv().map(drop),
        bus.try_recv().map(drop),
        bus.recv_until(soon).map(drop),
        bus.poll(1, |_| ()).map(drop),
        bus.try_poll(1, |_| ()).map(drop),
        bus.drain(1).map(drop),
        bus.try_drain(1).map(drop),
    ];
    answers.iter().filter(|answer| **answer != Err(Cause::Forked)).count()
}

fn listeners_calls_that_work(listener: &mut Listener) -> usize {
    let soon = Deadline::after(Duration::from_secs(5));
    let answers = [listener.accept_bus(), listener.try_accept_bus(), listener.accept_bus_until(soon)];
    answers.iter().filter(|answer| answer.as_ref().err().map(slipring::Error::cause) != Some(Cause::Forked)).count()
}

#[test]
fn every_use_in_a_forked_child_is_forked_and_a_drop_there_disturbs_nothing() {
    alone("every_use_in_a_forked_child_is_forked_and_a_drop_there_disturbs_nothing", || {
        let _watchdog = watchdog("the calls of a forked child");
        let scratch = Scratch::new();
        let (ends, mut peer) = ends(&scratch, &Options::default().capacity(256));
        let mut ends = Some(ends);
        peer.must("send 2 40");
        for drops in [true, false] {
            let worked = in_child(|| {
                let mut ends = ends.take().expect("a copy of them");
                let worked = senders_calls_that_work(&mut ends.sends)
                    + receivers_calls_that_work(&mut ends.receives)
                    + listeners_calls_that_work(&mut ends.listener);
                // These ask nothing of the session.
                let _ = (ends.sends.state(), ends.receives.stats(), ends.listener.refused(), ends.listener.address());
                let closed = if drops {
                    drop(ends);
                    Err(Cause::Forked)
                } else {
                    ends.sends.close(Duration::from_secs(5)).and(ends.receives.close(Duration::ZERO))
                };
                worked as i32 + i32::from(closed != Err(Cause::Forked))
            });
            assert_eq!(worked, 0, "as many calls did not answer Forked");
        }
        let mut ends = ends.expect("ours are still here");
        for number in 0..2 {
            let lease = ends.receives.recv().expect("what came before the forks");
            assert!(frames::is(number, lease.type_id(), &lease));
        }
        drop(ends.receives);
        assert!(std::fs::exists(scratch.path("ours")).expect("look"), "the name was not given back");
        peer.tell(&format!("connect {}", scratch.path("ours")));
        ends.receives = ends.listener.accept_bus().expect("the listener listens");
        assert_eq!(peer.answer(), "ok");
        round_trips(&mut ends, &mut peer, 0..500);
    });
}

#[test]
fn leases_and_batches_that_a_child_inherits_are_readable_and_dropped_without_trace() {
    alone("leases_and_batches_that_a_child_inherits_are_readable_and_dropped_without_trace", || {
        let _watchdog = watchdog("leases across a fork");
        let scratch = Scratch::new();
        // A ring in which every frame is worth a credit at once.
        let (mut ends, mut peer) = ends(&scratch, &Options::default().capacity(256));
        peer.must("send 3 40");
        {
            let mut lease = Some(ends.receives.recv().expect("a frame"));
            let code = in_child(|| {
                let lease = lease.take().expect("a copy of it");
                let whole = frames::is(0, lease.type_id(), &lease);
                drop(lease);
                i32::from(!whole)
            });
            assert_eq!(code, 0);
            assert!(lease.is_some_and(|lease| frames::is(0, lease.type_id(), &lease)));
        }
        {
            let mut batch = Some(ends.receives.drain(9).expect("frames"));
            let code = in_child(|| {
                let batch = batch.take().expect("a copy of it");
                let whole = batch.iter().zip(1..).all(|(frame, number)| frames::is(number, frame.type_id(), &frame));
                drop(batch);
                i32::from(!whole)
            });
            assert_eq!(code, 0);
            assert_eq!(batch.map(|batch| batch.len()), Some(2));
        }
        peer.tell("send 20 40");
        for number in 3..23 {
            let lease = ends.receives.recv().expect("a frame");
            assert!(frames::is(number, lease.type_id(), &lease));
        }
        assert_eq!(peer.answer(), "ok 20");
    });
}

#[test]
fn a_handler_that_forks_comes_back_in_both_processes() {
    alone("a_handler_that_forks_comes_back_in_both_processes", || {
        let _watchdog = watchdog("a fork in a handler");
        let scratch = Scratch::new();
        let (mut ends, mut peer) = ends(&scratch, &Options::default().capacity(256));
        peer.must("send 2 40");
        let mut child = None;
        let polled = ends.receives.poll(1, |_| child = Some(split()));
        let Some(child) = child.expect("the handler ran") else {
            // The frame was handled; what comes next is no longer this process's.
            let next = ends.receives.poll(1, |_| ());
            let back = matches!(polled, Ok(1) | Err(Cause::Forked));
            end_child(i32::from(!back) | i32::from(next != Err(Cause::Forked)) << 1);
        };
        assert_eq!((polled, child.wait()), (Ok(1), 0));
        assert_eq!(ends.receives.poll(9, |frame| assert!(frames::is(1, frame.type_id(), &frame))), Ok(1));
    });
}

#[test]
fn a_claim_that_a_child_inherits_cannot_be_committed_there() {
    alone("a_claim_that_a_child_inherits_cannot_be_committed_there", || {
        let _watchdog = watchdog("a claim across a fork");
        let scratch = Scratch::new();
        let (mut ends, mut peer) = ends(&scratch, &Options::default());
        let mut claim = ends.sends.claim(40).expect("room");
        frames::fill(0, &mut claim);
        let mut claim = Some(claim);
        let code = in_child(|| {
            let answer = claim.take().expect("a copy of it").commit(7, 40);
            match answer {
                Err(error) if error.cause == Cause::Forked => match error.claim.commit_later(7, 40) {
                    Err(error) if error.cause == Cause::Forked => 0,
                    _ => 2,
                },
                _ => 1,
            }
        });
        assert_eq!(code, 0);
        assert_eq!(in_child(|| claim.take().map_or(1, |claim| i32::from(claim.len() != 40))), 0);
        claim.expect("ours").commit(frames::type_id(0), 40).expect("open");
        peer.must("recv 1");
        round_trips(&mut ends, &mut peer, 1..1);
    });
}

#[test]
fn a_fork_in_the_middle_of_another_threads_wait_changes_nothing_for_it() {
    alone("a_fork_in_the_middle_of_another_threads_wait_changes_nothing_for_it", || {
        let _watchdog = watchdog("forks in mid-wait");
        for (wait, dies) in [(Wait::Park, true), (Wait::Park, false), (Wait::Spin, true), (Wait::Adaptive, false)] {
            let scratch = Scratch::new();
            let (ends, mut peer) = ends(&scratch, &Options::default().capacity(256).wait(wait));
            let (mut receives, mut sends) = (ends.receives, ends.sends);
            thread::scope(|scope| {
                let receiver = scope.spawn(move || {
                    let mut next = 0;
                    loop {
                        match receives.recv() {
                            Ok(lease) => assert!(frames::is(next, lease.type_id(), &lease)),
                            Err(cause) => return (next, cause),
                        }
                        next += 1;
                    }
                });
                let sender = scope.spawn(move || {
                    let mut next = 0;
                    loop {
                        match sends.publish(frames::type_id(next), &frames::payload(next, 40)) {
                            Ok(()) => next += 1,
                            Err(cause) => return (next, cause),
                        }
                    }
                });
                thread::sleep(Duration::from_millis(20));
                // The first ends at once, the others outlive the session.
                assert_eq!(in_child(|| 0), 0);
                let _children = [(); 2].map(|()| fork(sleep_for_ever));
                peer.must("send 50 40");
                peer.must("recv 50");
                let _late_child = fork(sleep_for_ever);
                let cause = if dies { Cause::PeerDied } else { Cause::Closed };
                if dies {
                    peer.kill()
                } else {
                    peer.must("drop")
                }
                assert_eq!(receiver.join().expect("no panic"), (50, cause));
                let (sent, end) = sender.join().expect("no panic");
                assert!(sent >= 50 && end == cause, "{sent} frames, then {end:?}");
            });
        }
    });
}

fn sleep_for_ever() -> i32 {
    thread::sleep(Duration::from_secs(3600));
    0
}

#[test]
fn forks_during_a_stream_lose_nothing() {
    alone("forks_during_a_stream_lose_nothing", || {
        let _watchdog = watchdog("forks during a stream");
        let scratch = Scratch::new();
        let (ends, mut peer) = ends(&scratch, &Options::default().capacity(4096));
        let mut receives = ends.receives;
        peer.tell("send 20000 40");
        thread::scope(|scope| {
            let receiver = scope.spawn(move || {
                for number in 0..20_000 {
                    let lease = receives.recv().expect("a frame");
                    assert!(frames::is(number, lease.type_id(), &lease));
                }
            });
            let mut forks = 0;
            while !receiver.is_finished() || forks < 20 {
                assert_eq!(in_child(|| 0), 0);
                forks += 1;
            }
            receiver.join().expect("no panic");
        });
        assert_eq!(peer.answer(), "ok 20000");
    });
}

#[test]
fn forks_of_the_peer_in_the_middle_of_its_waits_lose_nothing() {
    let _watchdog = watchdog("a peer that forks");
    let scratch = Scratch::new();
    let (mut ends, mut peer) = ends(&scratch, &Options::default().capacity(256));
    for round in 0..10 {
        peer.number("fork");
        round_trips(&mut ends, &mut peer, round * 20..(round + 1) * 20);
    }
    peer.must("drop");
    assert_eq!(ends.receives.recv().err(), Some(Cause::Closed), "its children hold nothing open");
}

#[test]
fn a_child_may_use_the_library_for_itself_while_its_parent_goes_on() {
    alone("a_child_may_use_the_library_for_itself_while_its_parent_goes_on", || {
        let _watchdog = watchdog("a child with sessions of its own");
        let scratch = Scratch::new();
        let (mut ends, mut peer) = ends(&scratch, &Options::default());
        let address = scratch.path("childs");
        let mut second = peer!();
        second.tell(&format!("connect {address} within=9000"));
        let child = fork(|| {
            let mut listener = Listener::bind(&address, &Options::default()).expect("a name of the child's");
            let mut bus = listener.accept_bus().expect("a session of the child's");
            for number in 0..100 {
                let lease = bus.recv().expect("a frame");
                assert!(frames::is(number, lease.type_id(), &lease));
            }
            i32::from(bus.recv().err() != Some(Cause::Closed))
        });
        assert_eq!(second.answer(), "ok");
        second.must("send 100 40");
        round_trips(&mut ends, &mut peer, 0..500);
        second.must("close 9000");
        drop(child);
    });
}

#[test]
fn programs_that_are_started_inherit_nothing() {
    let _watchdog = watchdog("started programs");
    let scratch = Scratch::new();
    let (mut ends, mut peer) = ends(&scratch, &Options::default());
    let child = u32::try_from(peer.number("exec")).expect("a number of a process");
    proc::await_that(|| proc::is_program(child, "sleep"));
    // What whoever started the tests has left open is here too.
    let mut strange = proc::open_files(std::process::id());
    strange.retain(|file| !file.contains("memfd:"));
    let held: Vec<_> = proc::open_files(peer.pid()).into_iter().filter(|file| is_ours(file)).collect();
    assert!(held.len() >= 4, "its parent holds two sessions and a listener: {held:?}");
    let inherited = proc::open_files(child).into_iter().filter(|file| is_ours(file) && !strange.contains(file));
    assert_eq!(inherited.collect::<Vec<_>>(), Vec::<String>::new());
    round_trips(&mut ends, &mut peer, 0..100);
    peer.kill();
    assert_eq!(ends.receives.recv().err(), Some(Cause::PeerDied), "the program lives on and hides nothing");
    assert!(proc::is_program(child, "sleep"));
}

/// Makes and ends one session after the other with `client`, in a thread of its own, while `work` is done.
fn while_sessions_come_and_go(scratch: &Scratch, work: impl FnOnce()) {
    let address = scratch.path("churn");
    let mut listener = Listener::bind(&address, &Options::default().capacity(256)).expect("a name");
    let mut client = peer!();
    client.tell(&format!("churn {address} 1000000"));
    let session = || {
        let mut bus = listener.accept_bus().expect("a client");
        assert_eq!(&bus.recv().expect("one thing")[..], b"here");
        assert_eq!(bus.recv().err(), Some(Cause::Closed));
    };
    meanwhile(session, work);
}

/// Whether a descriptor leads to something of ours: of all that this process opens, only that is of these kinds.
fn is_ours(file: &str) -> bool {
    file.starts_with("socket:") || file.contains("memfd:") || file.starts_with("anon_inode:")
}

#[test]
fn no_fork_catches_a_descriptor_between_its_birth_and_its_registration() {
    alone("no_fork_catches_a_descriptor_between_its_birth_and_its_registration", || {
        let _watchdog = watchdog("forks while sessions come and go");
        let scratch = Scratch::new();
        let count = || proc::open_files(std::process::id()).iter().filter(|file| is_ours(file)).count() as i32;
        // What whoever started the tests has left open.
        let before = count();
        while_sessions_come_and_go(&scratch, || {
            for _ in 0..200 {
                assert_eq!(in_child(count), before);
            }
        });
    });
}

#[test]
fn no_program_that_is_started_catches_a_descriptor() {
    alone("no_program_that_is_started_catches_a_descriptor", || {
        let _watchdog = watchdog("programs started while sessions come and go");
        let scratch = Scratch::new();
        let count = || {
            let listed = Command::new("ls").args(["-l", "/proc/self/fd"]).output().expect("start another program");
            let text = String::from_utf8_lossy(&listed.stdout).into_owned();
            assert!(text.contains("/proc/"), "{text}");
            text.lines().filter_map(|line| line.split(" -> ").nth(1)).filter(|file| is_ours(file)).count()
        };
        let before = count();
        while_sessions_come_and_go(&scratch, || {
            for _ in 0..40 {
                assert_eq!(count(), before);
            }
        });
    });
}
