//! Pollers at their limits: a thousand sessions sleep through whatever one of them does, many that come and die leave nothing,
//! and a session for which descriptors are missing costs the others nothing.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use slipring::{Bus, Cause, Deadline, Key, Listener, Options, Poller, RpcBus, Source, Wait, raise_descriptor_limit};
use slipring_tests::alone::alone;
use slipring_tests::chance::Chance;
use slipring_tests::pair::{bus_pair, soon};
use slipring_tests::peer;
use slipring_tests::peer::Peer;
use slipring_tests::proc::{await_that, holdings};
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog_for;
use std::thread;
use std::time::Duration;

const IDLE: usize = 1000;

/// A poller with `IDLE` ends that serve calls and one more, and the ends that call.
fn thousand(scratch: &Scratch) -> (Poller, Vec<Key>, Vec<RpcBus>) {
    let address = scratch.path("rpc");
    let options = Options::small().wait(Wait::Park).in_flight(4);
    let mut poller = Poller::new(&Options::default().wait(Wait::Park)).expect("a poller");
    let listener = poller.add(Listener::bind(&address, &options).expect("a name")).expect("room");
    let (mut keys, mut ready) = (Vec::new(), Vec::new());
    let clients = thread::scope(|scope| {
        let connect =
            || (0..=IDLE).map(|_| RpcBus::connect(&address, &options).expect("a session")).collect::<Vec<_>>();
        let clients = scope.spawn(connect);
        while keys.len() <= IDLE {
            poller.wait_until(&mut ready, soon()).expect("a client");
            while let Ok(accepted) = poller.listener(listener).expect("a listener").try_accept_rpc() {
                keys.push(poller.add(accepted).expect("room"));
            }
        }
        clients.join().expect("no panic")
    });
    (poller, keys, clients)
}

/// Waits until nothing is left to do: a wait that sleeps once, without a nap, to its deadline.
fn settle(poller: &mut Poller) {
    loop {
        let before = poller.stats();
        let waited = poller.wait_until(&mut Vec::new(), Deadline::after(Duration::from_millis(50)));
        let after = poller.stats();
        if waited == Err(Cause::Timeout) && (after.sleeps, after.naps) == (before.sleeps + 1, before.naps) {
            return;
        }
    }
}

#[test]
fn a_thousand_idle_sessions_sleep_through_what_one_of_them_does() {
    alone("a_thousand_idle_sessions_sleep_through_what_one_of_them_does", || {
        let _watchdog = watchdog_for("a thousand sessions", Duration::from_secs(60));
        assert!(
            raise_descriptor_limit().expect("a limit") > 2 * IDLE as u64 + 100,
            "this machine has no room for them"
        );
        let scratch = Scratch::new();
        let (mut poller, keys, mut clients) = thousand(&scratch);
        settle(&mut poller);

        // Nothing happens, and nothing is done: one sleep, to its end.
        let before = poller.stats();
        let quiet = Deadline::after(Duration::from_millis(200));
        assert_eq!(poller.wait_until(&mut Vec::new(), quiet), Err(Cause::Timeout));
        let after = poller.stats();
        let done = [after.sleeps - before.sleeps, after.naps - before.naps, after.events - before.events];
        assert_eq!(done, [1, 0, 0], "sleeps, naps, events");
        let parked: Vec<_> = keys.iter().map(|&key| stats(&mut poller, key)).collect();
        settle(&mut poller);

        // One is busy. The others do not take part.
        const CALLS: u64 = 500;
        let mut hot = clients.pop().expect("the last one");
        let before: Vec<_> = keys.iter().map(|&key| parks(&mut poller, key)).collect();
        settle(&mut poller);
        let start = poller.stats();
        let (mut ready, mut served, mut woken) = (Vec::new(), 0, 0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..CALLS {
                    assert_eq!(&hot.request(1, b"?").expect("a reply")[..], b"!");
                }
            });
            while served < CALLS {
                poller.wait_until(&mut ready, soon()).expect("a request");
                for &key in &ready {
                    match poller.rpc(key).expect("a session").try_serve() {
                        Ok(request) => request.reply(1, b"!").expect("the caller lives"),
                        Err(cause) => {
                            assert_eq!(cause, Cause::Empty);
                            continue;
                        }
                    }
                    assert_eq!(Some(&key), keys.last(), "only the hot one has something to say");
                    (served, woken) = (served + 1, woken + 1);
                }
            }
        });
        let spent = poller.stats();
        assert_eq!(woken, CALLS);
        // Each call is at most one bell, and a nap that it did not come in is one more sleep.
        assert!(spent.events - start.events <= CALLS, "{start:?} {spent:?}");
        assert!(spent.sleeps - start.sleeps <= 2 * CALLS + 2, "{start:?} {spent:?}");
        // Looking at their counters has made the idle ones lie down once more; the hot one's calls have not.
        let slept: Vec<_> = keys.iter().map(|&key| parks(&mut poller, key)).collect();
        for at in 0..IDLE {
            assert!(slept[at] <= before[at] + 1, "session {at} lay down {} times, then {}", before[at], slept[at]);
        }
        assert!(parked.iter().take(IDLE).all(|stats| stats.bells_heard == 0 && stats.frames_received == 0));
    });
}

fn stats(poller: &mut Poller, key: Key) -> slipring::Stats {
    poller.rpc(key).expect("a session").stats()
}

fn parks(poller: &mut Poller, key: Key) -> u64 {
    stats(poller, key).parks
}

#[test]
fn sessions_that_are_opened_and_killed_at_random_leave_nothing() {
    alone("sessions_that_are_opened_and_killed_at_random_leave_nothing", || {
        let kills = std::env::var("SLIPRING_STORM_N").ok().and_then(|number| number.parse().ok()).unwrap_or(60_u64);
        let _watchdog = watchdog_for("random kills", Duration::from_secs(30 + kills / 4));
        let scratch = Scratch::new();
        let address = scratch.path("bus");
        let mut chance = Chance::of_today();
        let mut poller = Poller::new(&Options::default()).expect("a poller");
        let key = poller.add(Listener::bind(&address, &Options::small()).expect("a name")).expect("room");
        let before = holdings(std::process::id());
        let (mut peers, mut killed, mut ended): (Vec<Peer>, _, _) = (Vec::new(), 0, 0);
        while killed < kills {
            if peers.len() < 6 {
                let mut peer = peer!();
                peer.tell(&format!("connect {address} within=5000"));
                peer.tell(&format!("pace 100000 {} 100", chance.below(2000)));
                peers.push(peer);
            }
            if chance.below(3) == 0 {
                peers.swap_remove(chance.below(peers.len())).kill();
                killed += 1;
            }
            ended += serve_for(&mut poller, key, chance.time(Duration::from_millis(10)));
        }
        drop(peers);
        // All that was accepted comes to its end.
        while poller.len() > 1 {
            ended += serve_for(&mut poller, key, Duration::from_millis(5));
        }
        println!("{ended} sessions of {killed} killed and some more");
        // Handshakes that were cut off are dropped by the same look that finds it.
        await_that(|| {
            serve_for(&mut poller, key, Duration::from_millis(1));
            let now = holdings(std::process::id());
            (now.fds, now.segments, now.threads) == (before.fds, before.segments, before.threads)
        });
    });
}

/// Serves until the time is over. How many sessions ended, each by the death of its peer.
fn serve_for(poller: &mut Poller, listener: Key, time: Duration) -> usize {
    let (deadline, mut ready, mut ended) = (Deadline::after(time), Vec::new(), 0);
    while !deadline.has_passed() && poller.wait_until(&mut ready, deadline).is_ok() {
        for &key in &ready {
            match poller.get_mut(key) {
                Some(Source::Listener(listener)) => {
                    if let Ok(bus) = listener.try_accept_bus() {
                        poller.add(bus).expect("room");
                    }
                }
                Some(Source::Bus(bus)) => {
                    if let Err(cause) = take_some(bus) {
                        assert_eq!(cause, Cause::PeerDied);
                        drop(poller.remove(key));
                        ended += 1;
                    }
                }
                _ => panic!("nothing else was added"),
            }
        }
    }
    assert!(poller.listener(listener).is_some());
    ended
}

/// Takes at most a few frames.
fn take_some(bus: &mut Bus) -> Result<(), Cause> {
    for _ in 0..8 {
        match bus.try_recv() {
            Ok(_) => {}
            Err(Cause::Empty) => return Ok(()),
            Err(cause) => return Err(cause),
        }
    }
    Ok(())
}

#[test]
fn a_session_whose_region_cannot_be_taken_is_left_alone_until_it_can() {
    alone("a_session_whose_region_cannot_be_taken_is_left_alone_until_it_can", || {
        let _watchdog = watchdog_for("no descriptor for a region", Duration::from_secs(20));
        for wait in [Wait::Park, Wait::Adaptive, Wait::Spin] {
            let scratch = Scratch::new();
            let address = scratch.path("bus");
            let mut listener = Listener::bind(&address, &Options::small()).expect("a name");
            let mut poller = Poller::new(&Options::default().wait(wait)).expect("a poller");
            let mut peers = [peer!(), peer!()];
            let keys = peers.each_mut().map(|peer| {
                peer.tell(&format!("connect {address} within=5000"));
                let key = poller.add(listener.accept_bus().expect("a client")).expect("room");
                assert_eq!(peer.answer(), "ok");
                key
            });
            let before = getrlimit(Resource::Nofile);
            let free = (0..).find(|number| std::fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_err());
            setrlimit(Resource::Nofile, Rlimit { current: free, ..before }).expect("less is always allowed");
            peers[0].must("send 1 100000");
            let mut ready = Vec::new();
            while poller.bus(keys[0]).expect("a session").try_recv().err() != Some(Cause::OutOfMemory) {
                poller.wait_until(&mut ready, soon()).expect("something is there");
            }
            // The other goes on, and this one neither is reported again and again nor ends.
            let (mut reports, mut received) = (0, 0);
            while received < 20 {
                peers[1].must("send 1 10");
                poller.wait_until(&mut ready, soon()).expect("a frame");
                reports += ready.iter().filter(|&&key| key == keys[0]).count();
                received += u64::from(poller.bus(keys[1]).expect("a session").try_recv().is_ok());
            }
            assert!(reports <= 2, "{reports} reports");
            setrlimit(Resource::Nofile, before).expect("back to what was allowed");
            loop {
                poller.wait_until(&mut ready, soon()).expect("the frame");
                if ready.contains(&keys[0]) {
                    assert_eq!(poller.bus(keys[0]).expect("a session").try_recv().expect("it was kept").len(), 100_000);
                    break;
                }
            }
        }
    });
}

#[test]
fn idle_memory_goes_back_during_a_sleep_of_many() {
    let _watchdog = watchdog_for("idle memory", Duration::from_secs(20));
    let (mut sends, mut receives) = bus_pair(&Options::default(), &Options::default());
    for _ in 0..4 {
        sends.publish(0, &vec![7; 3 << 20]).expect("room");
    }
    (0..4).for_each(|_| drop(receives.recv().expect("a frame")));
    let before = sends.stats().regions;
    assert!(before > 1, "{before} regions");
    let mut poller = Poller::new(&Options::default().wait(Wait::Park)).expect("a poller");
    let key = poller.add(sends).expect("room");
    // Nobody touches it meanwhile: whatever is given back is given back by the wait.
    let waited = poller.wait_until(&mut Vec::new(), Deadline::after(Duration::from_millis(2500)));
    assert_eq!(waited, Err(Cause::Timeout));
    // The peer has been told; a region counts until it says that it has let go.
    receives.state();
    let sends = poller.bus(key).expect("a session");
    sends.state();
    assert_eq!(sends.stats().regions, 1);
    assert!(poller.stats().sleeps <= 4, "{:?}", poller.stats());
}
