//! Limits of shared objects: maps, places, announcements, descriptors, address space; and that nothing is left behind.

use slipring::{Bus, Cause, Options, Poller, SharedBuffer, State, Wait, limit_memory, memory_taken};
use slipring_tests::alone::alone;
use slipring_tests::limits;
use slipring_tests::objects::{await_known, is_object, object};
use slipring_tests::pair::{bus_pair, in_a_moment, soon};
use slipring_tests::proc::{await_that, holdings};
use slipring_tests::watchdog::{watchdog, watchdog_for};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

const MIB: usize = 1 << 20;

fn options() -> Options {
    Options::default()
}

#[test]
fn maps_within_the_limit_are_kept_and_others_are_made_anew() {
    let _watchdog = watchdog("a limit of maps");
    let (mut sends, mut receives) = bus_pair(&options(), &options().shared_limit(2 * MIB as u64));
    let objects: Vec<_> = (0..5).map(|number| object(number, MIB)).collect();
    let exchange = |sends: &mut Bus, receives: &mut Bus, number: usize| {
        sends.publish_shared(number as u32, b"", &[&objects[number]]).expect("room");
        let shared = receives.recv().expect("a frame").shared()[0].clone();
        assert!(is_object(number as u64, &shared));
        shared
    };
    for _ in 0..3 {
        for number in 0..5 {
            let first = exchange(&mut sends, &mut receives, number).as_ptr();
            let again = exchange(&mut sends, &mut receives, number).as_ptr();
            assert_eq!(first, again, "the last ones are kept");
            assert!(receives.stats().shared_mapped <= 2 * MIB as u64);
        }
    }
    assert_eq!(receives.stats().shared_known, 5, "descriptors stay");
    // What somebody holds is beyond any limit, and found again as long as it is held.
    let held: Vec<_> = (0..5).map(|number| exchange(&mut sends, &mut receives, number)).collect();
    for (number, held) in held.iter().enumerate() {
        assert_eq!(exchange(&mut sends, &mut receives, number).as_ptr(), held.as_ptr());
    }
    let (mut sends, mut receives) = bus_pair(&options(), &options().shared_limit(0));
    sends.publish_shared(0, b"", &[&objects[0]]).expect("room");
    assert!(is_object(0, &receives.recv().expect("a frame").shared()[0]));
    assert_eq!(receives.stats().shared_mapped, 0);
}

#[test]
fn more_objects_than_a_session_names_at_a_time_take_turns() {
    alone("more_objects_than_a_session_names_at_a_time_take_turns", || {
        let _watchdog = watchdog_for("600 objects", Duration::from_secs(30));
        limits::allow_descriptors(4096);
        let (mut sends, mut receives) = bus_pair(&options(), &options());
        let objects: Vec<_> = (0..600).map(|number| object(number, 10)).collect();
        for round in 0..2 {
            for (number, object) in objects.iter().enumerate() {
                sends.publish_shared_until(number as u32, b"", &[object], soon()).expect("a place");
                let lease = receives.recv().expect("a frame");
                assert!(is_object(number as u64, &lease.shared()[0]), "round {round}, object {number}");
                drop(lease);
                if number % 5 == 0 {
                    assert_eq!(receives.try_recv().err(), Some(Cause::Empty));
                }
            }
        }
        assert_eq!(sends.stats().shared_told, 256);
        assert_eq!(receives.try_recv().err(), Some(Cause::Empty));
        // All places are named by frames that nobody reads.
        let mut sent = 0;
        let full = loop {
            match sends.try_publish_shared(sent, b"", &[&objects[sent as usize]]) {
                Ok(()) => sent += 1,
                Err(cause) => break cause,
            }
            assert_eq!(receives.state(), State::Open);
        };
        assert!((full, sent >= 255) == (Cause::Full, true), "{full} after {sent}");
        assert_eq!(sends.publish_shared_until(0, b"", &[&objects[599]], in_a_moment()), Err(Cause::Timeout));
        assert_eq!(sends.publish(9999, b"others pass"), Ok(()));
        let reader = thread::spawn(move || {
            for number in 0..sent {
                assert!(is_object(number.into(), &receives.recv().expect("a frame").shared()[0]));
            }
            assert_eq!(receives.recv().expect("a frame").type_id(), 9999);
            assert!(is_object(599, &receives.recv().expect("a frame").shared()[0]));
        });
        sends.publish_shared_until(0, b"", &[&objects[599]], soon()).expect("a place, when some are read");
        reader.join().expect("no panic");
    });
}

#[test]
fn announcements_that_nobody_reads_are_full_and_then_a_timeout() {
    let _watchdog = watchdog("unread announcements");
    for wait in [Wait::Park, Wait::Spin, Wait::Adaptive] {
        let (mut sends, mut receives) = bus_pair(&options().wait(wait), &options());
        let objects: Vec<_> = (0..9).map(|number| object(number, 10)).collect();
        for (number, object) in objects.iter().take(8).enumerate() {
            assert_eq!(sends.try_publish_shared(number as u32, b"", &[object]), Ok(()));
        }
        for _ in 0..3 {
            assert_eq!(sends.try_publish_shared(8, b"", &[&objects[8]]), Err(Cause::Full));
            assert_eq!(sends.publish_shared_until(8, b"", &[&objects[8]], in_a_moment()), Err(Cause::Timeout));
        }
        assert_eq!(sends.try_publish_shared(8, b"", &[&objects[0]]), Ok(()), "what was announced can be named");
        let reader = thread::spawn(move || {
            for number in [0, 1, 2, 3, 4, 5, 6, 7, 0, 8] {
                assert!(is_object(number, &receives.recv().expect("a frame").shared()[0]));
            }
            receives
        });
        sends.publish_shared_until(8, b"", &[&objects[8]], soon()).expect("the reader reads");
        drop(reader.join().expect("no panic"));
    }
}

#[test]
fn drops_that_a_stopped_reader_does_not_hear_of_are_told_later() {
    alone("drops_that_a_stopped_reader_does_not_hear_of_are_told_later", || {
        let _watchdog = watchdog("a full socket");
        limits::allow_descriptors(4096);
        let (mut sends, mut receives) = bus_pair(&options(), &options());
        let mut round = 0;
        for _ in 0..10 {
            let objects: Vec<_> = (0..200).map(|number| object(number, 10)).collect();
            for (number, object) in objects.iter().enumerate() {
                sends.publish_shared(number as u32, b"", &[object]).expect("room");
                drop(receives.recv().expect("a frame"));
                assert_eq!(receives.try_recv().err(), Some(Cause::Empty));
            }
            // Nobody reads the socket meanwhile, and it may fill up.
            drop(objects);
            round += 1;
            if round % 3 == 0 {
                await_known(&mut sends, &mut receives, 0);
            }
        }
        await_known(&mut sends, &mut receives, 0);
        assert_eq!(sends.stats().shared_told, 0);
    });
}

#[test]
fn without_descriptors_nothing_is_lost_and_it_says_so() {
    alone("without_descriptors_nothing_is_lost_and_it_says_so", || {
        let _watchdog = watchdog("no descriptor for an object");
        for wait in [Wait::Park, Wait::Spin] {
            let (mut sends, mut receives) = bus_pair(&options(), &options().wait(wait));
            let table = object(1, 5000);
            sends.publish(0, b"before").expect("room");
            sends.publish_shared(1, b"with it", &[&table]).expect("room");
            limits::without_descriptors(|| {
                assert_eq!(receives.recv().expect("a frame").type_id(), 0);
                for _ in 0..3 {
                    assert_eq!(receives.recv().err(), Some(Cause::OutOfMemory));
                    assert_eq!(receives.try_recv().err(), Some(Cause::OutOfMemory));
                    assert_eq!(receives.poll(5, |_| ()).err(), Some(Cause::OutOfMemory));
                    assert_eq!(receives.drain(5).err(), Some(Cause::OutOfMemory));
                    assert_eq!(receives.state(), State::Open);
                }
                assert_eq!(SharedBuffer::build(10).expect_err("no descriptor").cause(), Cause::OutOfMemory);
            });
            let lease = receives.recv().expect("not lost");
            assert!(&lease[..] == b"with it" && is_object(1, &lease.shared()[0]));
        }
    });
}

#[test]
fn without_address_space_nothing_is_lost_and_blocks_go_back_once() {
    alone("without_address_space_nothing_is_lost_and_blocks_go_back_once", || {
        let _watchdog = watchdog("no room for a map");
        let (mut sends, mut receives) = bus_pair(&options(), &options());
        sends.publish(0, &[0; 5000]).expect("a block");
        drop(receives.recv().expect("a frame"));
        let table = object(1, 64 * MIB);
        sends.publish_shared(1, &[1; 5000], &[&table]).expect("room");
        limits::without_memory(|| {
            for _ in 0..3 {
                assert_eq!(receives.recv().err(), Some(Cause::OutOfMemory));
                assert_eq!(receives.try_recv().err(), Some(Cause::OutOfMemory));
            }
        });
        let lease = receives.recv().expect("not lost");
        assert!(lease[..] == [1; 5000] && is_object(1, &lease.shared()[0]));
        drop(lease);
        await_that(|| sends.state() == State::Open && sends.stats().blocks_out == 0);
    });
}

#[test]
fn a_thousand_objects_and_sessions_leave_nothing() {
    alone("a_thousand_objects_and_sessions_leave_nothing", || {
        let _watchdog = watchdog_for("a thousand objects", Duration::from_secs(60));
        let table = object(0, 5000);
        let exchange = |sends: &mut Bus, receives: &mut Bus, count: u64| {
            for number in 1..=count {
                let fresh = object(number, 5000);
                sends.publish_shared(1, b"x", &[&fresh, &table]).expect("room");
                drop(fresh);
                let lease = receives.recv().expect("a frame");
                assert!(is_object(number, &lease.shared()[0]) && is_object(0, &lease.shared()[1]));
                drop(lease);
                // Says how far it has read.
                assert_eq!(receives.try_recv().err(), Some(Cause::Empty));
            }
        };
        let (mut sends, mut receives) = bus_pair(&options(), &options());
        exchange(&mut sends, &mut receives, 10);
        await_known(&mut sends, &mut receives, 1);
        let before = holdings(std::process::id());
        exchange(&mut sends, &mut receives, 1000);
        await_known(&mut sends, &mut receives, 1);
        let after = holdings(std::process::id());
        assert_eq!((before.fds, before.segments), (after.fds, after.segments), "objects");
        for _ in 0..100 {
            let (mut sends, mut receives) = bus_pair(&options().capacity(4096), &options().capacity(4096));
            exchange(&mut sends, &mut receives, 1);
        }
        let after = holdings(std::process::id());
        assert_eq!((before.fds, before.segments), (after.fds, after.segments), "sessions");
    });
}

#[test]
fn what_a_process_built_counts_against_its_limit_as_long_as_it_has_it() {
    alone("what_a_process_built_counts_against_its_limit_as_long_as_it_has_it", || {
        let _watchdog = watchdog("objects and the limit of a process");
        let before = memory_taken();
        limit_memory(before + 3 * MIB as u64);
        let built = SharedBuffer::build(2 * MIB).expect("memory");
        assert_eq!(memory_taken(), before + 2 * MIB as u64);
        assert_eq!(SharedBuffer::build(2 * MIB).expect_err("too much").cause(), Cause::OutOfMemory);
        let sealed = built.seal().expect("nobody else has it");
        let same = sealed.clone();
        // What came by another way belongs to whoever made it.
        let fd = sealed.as_fd().try_clone_to_owned().expect("a copy");
        let attached = SharedBuffer::attach(fd, 2 * MIB).expect("as it was made");
        drop(sealed);
        assert_eq!(memory_taken(), before + 2 * MIB as u64);
        drop(same);
        assert_eq!((memory_taken(), attached.len()), (before, 2 * MIB));
        drop(SharedBuffer::build(2 * MIB).expect("memory"));
        assert_eq!(memory_taken(), before);
    });
}

#[test]
fn a_poller_finds_objects_and_room_for_more_of_them() {
    alone("a_poller_finds_objects_and_room_for_more_of_them", || {
        let _watchdog = watchdog_for("600 objects between two pollers", Duration::from_secs(30));
        limits::allow_descriptors(4096);
        for wait in [Wait::Park, Wait::Adaptive] {
            let (sends, receives) = bus_pair(&options(), &options());
            let receiver = thread::spawn(move || {
                let mut poller = Poller::new(&options().wait(wait)).expect("a poller");
                let key = poller.add(receives).expect("room");
                let mut taken = 0;
                while taken < 600 {
                    poller.wait_until(&mut Vec::new(), soon()).expect("a frame");
                    let bus = poller.bus(key).expect("a session");
                    while let Ok(lease) = bus.try_recv() {
                        assert!(is_object(taken, &lease.shared()[0]), "{wait:?}, object {taken}");
                        taken += 1;
                    }
                }
            });
            let mut poller = Poller::new(&options().wait(wait)).expect("a poller");
            let key = poller.add(sends).expect("room");
            for number in 0..600 {
                let object = object(number, 10);
                while let Err(cause) = poller.bus(key).expect("a session").try_publish_shared(0, b"", &[&object]) {
                    assert_eq!(cause, Cause::Full, "{wait:?}, object {number}");
                    poller.wait_until(&mut Vec::new(), soon()).expect("room");
                }
            }
            receiver.join().expect("all came");
        }
    });
}
