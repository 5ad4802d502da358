//! Many sessions in one thread: who is ready is said, who is not costs nothing, and nobody can hold up the others.

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use slipring::{Bus, Cause, Deadline, Fence, Key, Lease, Listener, Options, Poller, RpcBus, Source, Trust, Wait};
use slipring_tests::alone::in_child;
use slipring_tests::backend::trusts;
use slipring_tests::chance::Chance;
use slipring_tests::frames::{self, payload, type_id};
use slipring_tests::pair::{bus_pair, in_a_moment, rpc_pair, soon};
use slipring_tests::peer;
use slipring_tests::peer::Peer;
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::{watchdog, watchdog_for};
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

fn parks() -> Options {
    Options::small().wait(Wait::Park)
}

fn poller(wait: Wait) -> Poller {
    Poller::new(&Options::default().wait(wait)).expect("a poller")
}

/// A poller with the receiving ends of `count` sessions, and their sending ends.
fn crowd(count: usize, wait: Wait, options: &Options) -> (Poller, Vec<Key>, Vec<Bus>) {
    let mut poller = poller(wait);
    let (mut keys, mut clients) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let (sends, receives) = bus_pair(options, options);
        keys.push(poller.add(receives).expect("room"));
        clients.push(sends);
    }
    (poller, keys, clients)
}

/// What the next wait gives, which must not be nothing.
fn next(poller: &mut Poller) -> Vec<Key> {
    let mut ready = Vec::new();
    poller.wait_until(&mut ready, soon()).expect("something is ready");
    ready
}

fn nothing_is_ready(poller: &mut Poller) -> bool {
    poller.try_wait(&mut Vec::new()) == Err(Cause::Empty)
}

/// Takes everything that has come by `key`. How many frames, and what came after them.
fn take_all(poller: &mut Poller, key: Key) -> (u64, Cause) {
    let bus = poller.bus(key).expect("a session");
    let mut taken = 0;
    loop {
        match bus.try_recv() {
            Ok(_) => taken += 1,
            Err(cause) => return (taken, cause),
        }
    }
}

/// Lets everything fall asleep.
fn settle(poller: &mut Poller) {
    for _ in 0..3 {
        assert_eq!(poller.wait_until(&mut Vec::new(), in_a_moment()), Err(Cause::Timeout));
    }
}

#[test]
fn ready_is_who_has_something_until_it_is_taken() {
    let _watchdog = watchdog("who is ready");
    for wait in [Wait::Park, Wait::Adaptive, Wait::Spin] {
        let (mut poller, keys, mut clients) = crowd(3, wait, &parks());
        assert!(nothing_is_ready(&mut poller));
        clients[1].publish(7, b"one").expect("room");
        clients[1].publish(7, b"two").expect("room");
        for _ in 0..2 {
            assert_eq!(next(&mut poller), [keys[1]], "what is left is reported again");
            assert_eq!(poller.bus(keys[1]).expect("a session").try_recv().expect("a frame").len(), 3);
        }
        assert!(nothing_is_ready(&mut poller));
        settle(&mut poller);
        clients[0].publish(7, b"three").expect("room");
        clients[2].publish(7, b"four").expect("room");
        let mut both = next(&mut poller);
        while both.len() < 2 {
            both = next(&mut poller);
        }
        both.sort_unstable();
        assert_eq!(both, [keys[0], keys[2]]);
    }
}

#[test]
fn sessions_of_every_kind_and_listeners_wait_together() {
    let _watchdog = watchdog("every kind");
    let scratch = Scratch::new();
    let mut poller = poller(Wait::Adaptive);
    let listener = poller.add(Listener::bind(&scratch.path("bus"), &parks()).expect("a name")).expect("room");
    let (mut sends, receives) = bus_pair(&parks(), &parks());
    let (mut calls, serves) = rpc_pair(&parks(), &parks());
    let (bus, rpc) = (poller.add(receives).expect("room"), poller.add(serves).expect("room"));
    assert_eq!(poller.len(), 3);
    settle(&mut poller);

    sends.publish(1, b"x").expect("room");
    assert_eq!(next(&mut poller), [bus]);
    assert_eq!(take_all(&mut poller, bus), (1, Cause::Empty));

    let call = calls.call(2, b"request").expect("room");
    assert_eq!(next(&mut poller), [rpc]);
    let request = poller.rpc(rpc).expect("a session").try_serve().expect("a request");
    request.reply(3, b"reply").expect("the caller lives");
    assert_eq!(&calls.wait(call).expect("a reply")[..], b"reply");

    let address = scratch.path("bus");
    thread::scope(|scope| {
        let client = scope.spawn(|| Bus::connect(&address, &parks()).expect("a session"));
        let accepted = loop {
            assert_eq!(next(&mut poller), [listener]);
            match poller.listener(listener).expect("a listener").try_accept_bus() {
                Ok(bus) => break poller.add(bus).expect("room"),
                Err(error) => assert_eq!(error.cause(), Cause::Empty),
            }
        };
        client.join().expect("no panic").publish(1, b"first").expect("room");
        assert_eq!(next(&mut poller), [accepted]);
    });
}

#[test]
fn replies_are_events_for_the_caller() {
    let _watchdog = watchdog("replies");
    let (calls, mut serves) = rpc_pair(&parks(), &parks());
    let mut poller = poller(Wait::Park);
    let key = poller.add(calls).expect("room");
    let call = poller.rpc(key).expect("a session").call(1, b"?").expect("room");
    settle(&mut poller);
    thread::scope(|scope| {
        scope.spawn(|| serves.serve().expect("a request").reply(2, b"!").expect("the caller lives"));
        assert_eq!(next(&mut poller), [key]);
    });
    assert_eq!(&poller.rpc(key).expect("a session").try_wait(call).expect("the reply")[..], b"!");
}

#[test]
fn room_is_told_of_once_where_there_was_none() {
    let _watchdog = watchdog("room");
    let options = Options::default().capacity(256);
    let (sends, mut receives) = bus_pair(&options, &options);
    let mut poller = poller(Wait::Park);
    let key = poller.add(sends).expect("room");
    let bus = poller.bus(key).expect("a session");
    while bus.try_publish(0, b"x").is_ok() {}
    settle(&mut poller);
    thread::scope(|scope| {
        scope.spawn(|| while receives.recv_until(in_a_moment()).is_ok() {});
        assert_eq!(next(&mut poller), [key]);
    });
    assert_eq!(poller.bus(key).expect("a session").try_publish(0, b"x"), Ok(()));
    assert!(nothing_is_ready(&mut poller));
}

#[test]
fn a_flood_does_not_hide_the_others() {
    let _watchdog = watchdog("a flood");
    for wait in [Wait::Park, Wait::Adaptive, Wait::Spin] {
        let (mut poller, keys, mut clients) = crowd(3, wait, &parks());
        settle(&mut poller);
        // The flood is always ready, so every wait ends at once, and only looks in between can find the others.
        let refill = |clients: &mut [Bus]| while clients[0].try_publish(0, b"flood").is_ok() {};
        for turn in 1..=2 {
            refill(&mut clients);
            clients[turn].publish(0, b"one").expect("room");
            loop {
                refill(&mut clients);
                let ready = next(&mut poller);
                for _ in 0..8 {
                    let _ = poller.bus(keys[0]).expect("a session").try_recv();
                }
                if ready.contains(&keys[turn]) {
                    break;
                }
            }
            assert_eq!(take_all(&mut poller, keys[turn]), (1, Cause::Empty));
        }
    }
}

#[test]
fn busy_sessions_are_all_reported_by_each_wait() {
    let _watchdog = watchdog("all busy");
    let (mut poller, keys, mut clients) = crowd(8, Wait::Adaptive, &parks());
    for client in &mut clients {
        while client.try_publish(0, b"busy").is_ok() {}
    }
    let mut served = BTreeMap::from_iter(keys.iter().map(|&key| (key, 0)));
    while next(&mut poller).len() < keys.len() {}
    for _ in 0..20 {
        for key in next(&mut poller) {
            for _ in 0..10 {
                drop(poller.bus(key).expect("a session").try_recv().expect("they are full"));
            }
            *served.get_mut(&key).expect("one of ours") += 10;
        }
    }
    assert!(served.values().all(|&frames| frames == 200), "{served:?}");
}

#[test]
fn sleepers_with_a_peer_that_fences_neither_nap_nor_issue_a_barrier() {
    let _watchdog = watchdog("fencing peers");
    let untrusting = trusts("sleepers with a peer that is not trusted").iter().map(|&trust| parks().trust(trust));
    for options in untrusting.skip(1).chain([parks().fence(Fence::Always)]) {
        let (mut poller, keys, mut clients) = crowd(4, Wait::Park, &options);
        for turn in 0..20 {
            settle(&mut poller);
            clients[turn % 4].publish(0, b"x").expect("room");
            assert_eq!(next(&mut poller), [keys[turn % 4]]);
            assert_eq!(take_all(&mut poller, keys[turn % 4]), (1, Cause::Empty));
        }
        let stats = poller.stats();
        assert_eq!((stats.naps, stats.barriers), (0, 0));
    }
}

/// The receiving ends of `count` peers that send at random moments.
fn paced(count: usize, poller: &mut Poller, options: &Options, order: &str) -> (Vec<Key>, Vec<Peer>) {
    let scratch = Scratch::new();
    let mut listener = Listener::bind(&scratch.path("bus"), options).expect("a name");
    (0..count)
        .map(|_| {
            let mut peer = peer!();
            peer.tell(&format!("connect {}", scratch.path("bus")));
            let key = poller.add(listener.accept_bus().expect("a session")).expect("room");
            assert_eq!(peer.answer(), "ok");
            peer.tell(order);
            (key, peer)
        })
        .unzip()
}

/// Takes all frames that come by `keys`, each of which must be the next of its session.
fn take_in_order(poller: &mut Poller, ready: &[Key], counts: &mut BTreeMap<Key, u64>) {
    for &key in ready {
        let bus = poller.bus(key).expect("a session");
        let count = counts.entry(key).or_default();
        loop {
            match bus.try_recv() {
                Ok(lease) => assert!(frames::is(*count, lease.type_id(), &lease)),
                Err(cause) => break assert_eq!(cause, Cause::Empty),
            }
            *count += 1;
        }
    }
}

#[test]
fn no_wake_up_is_lost_over_thousands_of_frames_at_random_moments() {
    let _watchdog = watchdog_for("random moments", Duration::from_secs(60));
    const FRAMES: u64 = 1500;
    for (wait, options) in [
        (Wait::Park, parks()),
        (Wait::Adaptive, Options::default().capacity(512)),
        (Wait::Park, parks().fence(Fence::Always)),
        (Wait::Spin, parks()),
    ] {
        let mut poller = poller(wait);
        let (keys, mut peers) = paced(4, &mut poller, &options, &format!("pace {FRAMES} 30 200"));
        let mut counts = BTreeMap::new();
        while keys.iter().any(|key| counts.get(key) != Some(&FRAMES)) {
            let ready = next(&mut poller);
            take_in_order(&mut poller, &ready, &mut counts);
        }
        for peer in &mut peers {
            assert_eq!(peer.answer(), format!("ok {FRAMES}"));
        }
        assert!(nothing_is_ready(&mut poller));
    }
}

#[test]
fn a_foreign_event_loop_on_the_one_descriptor_loses_no_wake_up() {
    let _watchdog = watchdog_for("a foreign loop", Duration::from_secs(40));
    const FRAMES: u64 = 1500;
    for &trust in trusts("a_foreign_event_loop_on_the_one_descriptor_loses_no_wake_up") {
        let options = parks().trust(trust);
        let trust = if trust == Trust::Untrusted { "untrusted" } else { "same-user" };
        let mut poller = poller(Wait::Adaptive);
        let event_loop = epoll::create(CreateFlags::CLOEXEC).expect("an event loop");
        epoll::add(&event_loop, &poller, EventData::new_u64(0), EventFlags::IN).expect("a descriptor to watch");
        let order = format!("pace {FRAMES} 30 200");
        let scratch = Scratch::new();
        let mut listener = Listener::bind(&scratch.path("bus"), &options).expect("a name");
        let mut peers: Vec<_> = (0..4).map(|_| peer!()).collect();
        for peer in &mut peers {
            peer.tell(&format!("connect {} trust={trust}", scratch.path("bus")));
            poller.add(listener.accept_bus().expect("a session")).expect("room");
            peer.tell(&order);
        }
        let (mut counts, mut events, mut ready) = (BTreeMap::new(), 0, Vec::new());
        while counts.values().sum::<u64>() < 4 * FRAMES {
            match poller.try_wait(&mut ready) {
                Ok(()) => take_in_order(&mut poller, &ready, &mut counts),
                Err(cause) => {
                    assert_eq!(cause, Cause::Empty);
                    let mut some = Vec::with_capacity(1);
                    // The watchdog bounds it: a wake-up that is lost is a test that hangs.
                    epoll::wait(&event_loop, rustix::buffer::spare_capacity(&mut some), None).expect("no signal");
                    events += 1;
                }
            }
        }
        assert!(events > FRAMES / 20, "{events} events");
        assert_eq!(poller.stats().sleeps, 0);
    }
}

#[test]
fn what_was_removed_is_nobodys_any_more_and_lives_on() {
    let _watchdog = watchdog("removing");
    let (mut poller, keys, mut clients) = crowd(3, Wait::Park, &parks());
    settle(&mut poller);
    for client in &mut clients {
        client.publish(0, b"x").expect("room");
    }
    let ready = next(&mut poller);
    assert!(!ready.is_empty());
    let Some(Source::Bus(mut removed)) = poller.remove(keys[0]) else { panic!("a session") };
    assert!(poller.get_mut(keys[0]).is_none() && poller.remove(keys[0]).is_none());
    assert_eq!(removed.recv().expect("its frame").len(), 1);
    clients[0].publish(0, b"later").expect("room");
    assert_eq!(removed.recv().expect("it works by itself").len(), 5);
    // What takes the place has another key, and hears nothing of the old one.
    let (mut sends, receives) = bus_pair(&parks(), &parks());
    let new = poller.add(receives).expect("room");
    assert!(!keys.contains(&new) && poller.get_mut(keys[0]).is_none());
    clients[0].publish(0, b"not here").expect("room");
    for &key in &keys[1..] {
        while take_all(&mut poller, key).0 == 0 {
            next(&mut poller);
        }
    }
    settle(&mut poller);
    sends.publish(0, b"here").expect("room");
    assert_eq!(next(&mut poller), [new]);
    let again = poller.add(*removed).expect("what was removed can be added again");
    while !next(&mut poller).contains(&again) {}
}

#[test]
fn sessions_come_and_go_while_the_others_are_busy() {
    let _watchdog = watchdog_for("coming and going", Duration::from_secs(30));
    let mut chance = Chance::of_today();
    let (mut poller, _, _) = crowd(0, Wait::Adaptive, &parks());
    let mut open: Vec<(Key, Bus, u64, u64)> = Vec::new();
    for _ in 0..600 {
        match chance.below(6) {
            0 if open.len() < 20 => {
                let (sends, receives) = bus_pair(&parks(), &parks());
                open.push((poller.add(receives).expect("room"), sends, 0, 0));
            }
            1 if !open.is_empty() => {
                let (key, sends, ..) = open.swap_remove(chance.below(open.len()));
                if chance.below(2) == 0 {
                    drop(poller.remove(key));
                }
                // Otherwise its end is found by the poller.
                drop(sends);
            }
            _ if !open.is_empty() => {
                let at = chance.below(open.len());
                let (_, sends, sent, _) = &mut open[at];
                sends.publish(type_id(*sent), &payload(*sent, 20)).expect("room");
                *sent += 1;
            }
            _ => {}
        }
        let mut ready = Vec::new();
        let _ = poller.wait_until(&mut ready, Deadline::after(Duration::from_micros(50)));
        for key in ready {
            let known = open.iter_mut().find(|(other, ..)| *other == key);
            match (poller.bus(key).expect("a session").try_recv().map(Lease::keep), known) {
                (Ok(lease), Some((.., received))) => {
                    assert!(frames::is(*received, lease.type_id(), &lease));
                    *received += 1;
                }
                (Err(Cause::Empty), Some(_)) | (Ok(_), None) => {}
                (Err(Cause::Closed), None) => drop(poller.remove(key)),
                (other, known) => panic!("{other:?} {known:?}"),
            }
        }
    }
    while open.iter().any(|(_, _, sent, received)| sent != received) {
        for key in next(&mut poller) {
            let known = open.iter_mut().find(|(other, ..)| *other == key);
            match (poller.bus(key).expect("a session").try_recv().map(Lease::keep), known) {
                (Ok(_), Some((.., received))) => *received += 1,
                (Err(Cause::Closed), None) => drop(poller.remove(key)),
                _ => {}
            }
        }
    }
}

#[test]
fn a_death_is_an_event_after_what_was_committed() {
    let _watchdog = watchdog("deaths");
    for wait in [Wait::Park, Wait::Spin] {
        let mut poller = poller(wait);
        let (keys, mut peers) = paced(3, &mut poller, &parks(), "state");
        settle(&mut poller);
        peers[1].tell("send 3 10");
        let (state, sent) = (peers[1].answer(), peers[1].answer());
        assert_eq!((&state[..], &sent[..]), ("err 0 Open", "ok 3"));
        peers[1].kill();
        let mut frames = 0;
        let cause = loop {
            assert_eq!(next(&mut poller), [keys[1]]);
            match take_all(&mut poller, keys[1]) {
                (taken, Cause::Empty) => frames += taken,
                (taken, cause) => {
                    frames += taken;
                    break cause;
                }
            }
        };
        assert_eq!((frames, cause), (3, Cause::PeerDied));
        assert_eq!(next(&mut poller), [keys[1]], "it is reported until it is removed");
        drop(poller.remove(keys[1]));
        assert!(nothing_is_ready(&mut poller));
    }
}

#[test]
fn a_session_may_die_or_be_removed_when_it_is_about_to_be_dispatched() {
    let _watchdog = watchdog("dispatch");
    let mut poller = poller(Wait::Park);
    let (keys, mut peers) = paced(3, &mut poller, &parks(), "send 1 10");
    let mut ready = Vec::new();
    while ready.len() < 3 {
        ready = next(&mut poller);
    }
    peers[0].kill();
    drop(poller.remove(keys[1]));
    let mut seen = Vec::new();
    for key in ready {
        if let Some(bus) = poller.bus(key) {
            assert_eq!(bus.try_recv().expect("it was committed").len(), 10);
            seen.push(key);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, [keys[0], keys[2]]);
    assert_eq!(next(&mut poller), [keys[0]]);
    assert_eq!(take_all(&mut poller, keys[0]), (0, Cause::PeerDied));
}

#[test]
fn a_stopped_peer_among_many_holds_up_nobody() {
    let _watchdog = watchdog_for("a stopped peer", Duration::from_secs(30));
    let mut poller = poller(Wait::Adaptive);
    let (keys, mut peers) = paced(4, &mut poller, &parks(), "pace 1000000 20 100");
    peers[2].stop();
    let mut counts = BTreeMap::new();
    let others = || keys.iter().filter(|&&key| key != keys[2]);
    while others().any(|key| counts.get(key).is_none_or(|&count| count < 1000)) {
        let ready = next(&mut poller);
        take_in_order(&mut poller, &ready, &mut counts);
    }
    let before = counts.get(&keys[2]).copied();
    peers[2].go_on();
    while counts.get(&keys[2]).copied() == before {
        let ready = next(&mut poller);
        take_in_order(&mut poller, &ready, &mut counts);
    }
    peers.iter_mut().for_each(Peer::kill);
}

#[test]
fn a_notification_ends_a_wait_or_the_next_one() {
    let _watchdog = watchdog("notifications");
    for wait in [Wait::Park, Wait::Spin] {
        let (mut poller, keys, _clients) = crowd(2, wait, &parks());
        let notifier = poller.notifier();
        let mut ready = vec![keys[0]];
        notifier.notify();
        notifier.notify();
        assert_eq!(poller.wait(&mut ready), Ok(()));
        assert!(ready.is_empty());
        assert!(nothing_is_ready(&mut poller));
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(5));
                notifier.notify();
            });
            assert_eq!(poller.wait(&mut ready), Ok(()));
        });
    }
}

#[test]
fn waits_end_at_their_deadline_and_in_a_forked_child() {
    let _watchdog = watchdog("ends of waits");
    for wait in [Wait::Park, Wait::Adaptive, Wait::Spin] {
        let (mut poller, keys, _clients) = crowd(2, wait, &parks());
        let mut ready = vec![keys[0]];
        assert_eq!(poller.wait_until(&mut ready, in_a_moment()), Err(Cause::Timeout));
        assert_eq!(poller.wait_until(&mut ready, Deadline::NOW), Err(Cause::Timeout));
        assert!(ready.is_empty());
        let code = in_child(move || {
            let forked = poller.wait(&mut ready) == Err(Cause::Forked);
            poller.notifier().notify();
            let refused = poller.remove(keys[0]).is_some_and(|source| poller.add(source).is_err());
            drop(poller);
            i32::from(!forked) | i32::from(!refused) << 1
        });
        assert_eq!(code, 0, "bit 0: waited, bit 1: added");
    }
}

#[test]
fn clients_of_a_listener_that_say_nothing_are_given_up_though_nothing_comes() {
    let _watchdog = watchdog("silent clients");
    let scratch = Scratch::new();
    let options = parks().handshake_timeout(Duration::from_millis(50));
    let mut poller = poller(Wait::Park);
    let listener = Listener::bind(&scratch.path("bus"), &options).expect("a name");
    let key = poller.add(listener).expect("room");
    let mut peer = peer!();
    peer.must(&format!("knock {} connected", scratch.path("bus")));
    while poller.listener(key).expect("a listener").refused() == 0 {
        assert_eq!(next(&mut poller), [key]);
        let listener = poller.listener(key).expect("a listener");
        assert_eq!(listener.try_accept_bus().expect_err("it says nothing").cause(), Cause::Empty);
    }
    assert!(nothing_is_ready(&mut poller));
}

#[test]
fn sessions_that_became_ready_together_are_all_reported_by_their_listener() {
    let _watchdog = watchdog("one by one");
    let scratch = Scratch::new();
    let mut poller = poller(Wait::Park);
    let key = poller.add(Listener::bind(&scratch.path("rpc"), &parks()).expect("a name")).expect("room");
    let address = scratch.path("rpc");
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..10).map(|_| scope.spawn(|| RpcBus::connect(&address, &parks()).expect("a session"))).collect();
        let mut accepted = Vec::new();
        while accepted.len() < 10 {
            assert_eq!(next(&mut poller), [key]);
            // One at a time, though several may be ready.
            accepted.extend(poller.listener(key).expect("a listener").try_accept_rpc());
        }
        clients.into_iter().for_each(|client| drop(client.join().expect("no panic")));
    });
}
