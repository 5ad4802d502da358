//! Kills at random moments: of a sender and of a listener, from before they are ready until they are busy. After each, the
//! survivor has an unbroken prefix of what was sent and the right cause, nothing is left open, and the name is free.
//!
//! `SLIPRING_STORM_N` says how many; `SLIPRING_TEST_SEED` repeats a run.

use slipring::{Bus, Cause, Deadline, Listener, Options, Wait};
use slipring_tests::alone::alone;
use slipring_tests::chance::Chance;
use slipring_tests::peer::Peer;
use slipring_tests::proc::{Holdings, await_that, holdings};
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::{watchdog, watchdog_for};
use slipring_tests::{frames, peer};
use std::thread;
use std::time::Duration;

/// The latest moment of a kill after the victim was started: by then it has long been busy.
const LATEST: Duration = Duration::from_millis(12);

/// Kills of each test.
fn kills() -> u64 {
    let told = std::env::var("SLIPRING_STORM_N").ok().and_then(|number| number.parse::<u64>().ok());
    told.map_or(75, |number| number.div_ceil(2))
}

fn watch(what: &str) -> slipring_tests::watchdog::Watchdog {
    watchdog_for(what, Duration::from_secs(20 + kills() / 5))
}

/// Runs `survive` while `victim` is killed at a random moment. `survive` is told by its argument whether that has happened.
fn kill_meanwhile<T>(victim: &mut Peer, chance: &mut Chance, survive: impl FnOnce(&dyn Fn() -> bool) -> T) -> T {
    let delay = chance.time(LATEST);
    thread::scope(|scope| {
        let killer = scope.spawn(move || {
            thread::sleep(delay);
            victim.kill();
        });
        survive(&|| killer.is_finished())
    })
}

fn any_wait(chance: &mut Chance) -> (Wait, &'static str) {
    [(Wait::Park, "wait=park"), (Wait::Spin, "wait=spin"), (Wait::Adaptive, "wait=adaptive")][chance.below(3)]
}

#[test]
fn a_sender_killed_at_any_moment_leaves_a_prefix_and_its_death() {
    alone("a_sender_killed_at_any_moment_leaves_a_prefix_and_its_death", || {
        let _watchdog = watch("killed senders");
        let mut chance = Chance::of_today();
        let scratch = Scratch::new();
        let address = scratch.path("bus");
        let (mut sessions, mut frames) = (0, 0);
        let before = holdings(std::process::id());
        for kill in 0..kills() {
            let (wait, _) = any_wait(&mut chance);
            let (_, theirs) = any_wait(&mut chance);
            let capacity = 256 << chance.below(6);
            let options = Options::default().capacity(capacity).wait(wait);
            let mut listener = Listener::bind(&address, &options).expect("the name is free at once");
            let mut victim = peer!();
            victim.tell(&format!("connect {address} within=5000 {theirs}"));
            let group = chance.below(40);
            for _ in 0..50 {
                // Plain frames, then a group that is hidden and shown; never the whole of it by the time of the kill.
                victim.tell(&format!("send {} {}", 1 + chance.below(200), chance.below(100)));
                victim.tell(&format!("later {group} {}", chance.below(100)));
                victim.tell("flush");
            }
            let received =
                kill_meanwhile(&mut victim, &mut chance, |killed| receive_until_death(&mut listener, killed));
            sessions += u64::from(received.is_some());
            frames += received.unwrap_or(0);
            drop((victim, listener));
            assert_nothing_stays(before, kill);
        }
        println!("{sessions} of {} victims had a session; {frames} frames", kills());
    });
}

/// Compares with what was open before the first kill.
fn assert_nothing_stays(before: Holdings, kill: u64) {
    let now = || holdings(std::process::id());
    // The thread that killed has been joined, but the kernel may not have taken it down.
    await_that(|| now().threads == before.threads);
    let now = now();
    assert_eq!((now.fds, now.segments), (before.fds, before.segments), "after kill {kill}");
}

/// Receives from a victim until it dies: how many frames, or `None` if it was killed before it had a session.
fn receive_until_death(listener: &mut Listener, killed: &dyn Fn() -> bool) -> Option<u64> {
    let mut bus = loop {
        // Asked before the last try, so that a session that was made just before the kill is found.
        let last = killed();
        match listener.accept_bus_until(Deadline::after(Duration::from_millis(1))) {
            Ok(bus) => break bus,
            Err(error) => assert_eq!(error.cause(), Cause::Timeout, "{error}"),
        }
        if last {
            return None;
        }
    };
    let mut next = 0;
    loop {
        match bus.recv() {
            Ok(lease) => assert!(frames::is(next, lease.type_id(), &lease), "frame {next}"),
            Err(cause) => {
                assert_eq!(cause, Cause::PeerDied);
                return Some(next);
            }
        }
        next += 1;
    }
}

#[test]
fn a_listener_killed_at_any_moment_is_its_death_and_its_name_is_free() {
    alone("a_listener_killed_at_any_moment_is_its_death_and_its_name_is_free", || {
        let _watchdog = watch("killed listeners");
        let mut chance = Chance::of_today();
        let scratch = Scratch::new();
        let address = scratch.path("bus");
        let (mut sessions, mut frames) = (0, 0);
        let before = holdings(std::process::id());
        for kill in 0..kills() {
            let (wait, _) = any_wait(&mut chance);
            let (_, theirs) = any_wait(&mut chance);
            let mut victim = peer!();
            victim.tell(&format!("bind {address} capacity={} {theirs}", 256 << chance.below(6)));
            victim.tell("accept");
            victim.tell(["recv 1000000", "slow 1000000 100", "look 1000000"][chance.below(3)]);
            let options = Options::default().wait(wait);
            let len = chance.below(100);
            let sent =
                kill_meanwhile(&mut victim, &mut chance, |killed| send_until_death(&address, &options, len, killed));
            sessions += u64::from(sent.is_some());
            frames += sent.unwrap_or(0);
            // The next at the same name, right away: another process, or this one.
            if chance.below(2) == 0 {
                drop(Listener::bind(&address, &options).expect("the name is free at once"));
            }
            drop(victim);
            assert_nothing_stays(before, kill);
        }
        println!("{sessions} of {} victims had a session; {frames} frames", kills());
    });
}

/// Sends to a victim until it dies: how many frames, or `None` if it was killed before there was a session.
fn send_until_death(address: &str, options: &Options, len: usize, killed: &dyn Fn() -> bool) -> Option<u64> {
    let mut bus = loop {
        let last = killed();
        match Bus::connect(address, options) {
            Ok(bus) => break bus,
            Err(error) => assert!(matches!(error.cause(), Cause::NotFound | Cause::PeerDied), "{error}"),
        }
        if last {
            return None;
        }
    };
    let mut next = 0;
    loop {
        match bus.publish(frames::type_id(next), &frames::payload(next, len)) {
            Ok(()) => next += 1,
            Err(cause) => {
                assert_eq!(cause, Cause::PeerDied);
                return Some(next);
            }
        }
    }
}

#[test]
fn a_busy_server_goes_on_while_one_client_after_the_other_is_killed() {
    let _watchdog = watchdog("killed clients of a busy server");
    let mut chance = Chance::of_today();
    let scratch = Scratch::new();
    let mut listener = Listener::bind(&scratch.path("bus"), &Options::default().capacity(4096)).expect("a name");
    let mut steady = peer!();
    steady.tell(&format!("connect {}", scratch.path("bus")));
    let mut bus = listener.accept_bus().expect("a session");
    assert_eq!(steady.answer(), "ok");
    steady.tell("send 1000000 40");
    let mut next = 0;
    for _ in 0..20 {
        let mut victim = peer!();
        victim.tell(&format!("connect {}", scratch.path("bus")));
        victim.tell("send 100000 40");
        let mut others = Vec::new();
        kill_meanwhile(&mut victim, &mut chance, |killed| {
            while !killed() {
                others.extend(listener.try_accept_bus().ok());
                next += bus.try_poll(64, |_| ()).unwrap_or(0);
            }
        });
        for other in &mut others {
            let end = loop {
                if let Err(cause) = other.recv() {
                    break cause;
                }
            };
            assert_eq!(end, Cause::PeerDied);
        }
    }
    assert!(next > 0);
    let lease = bus.recv().expect("the steady client is served");
    assert!(frames::is(next as u64, lease.type_id(), &lease));
}
