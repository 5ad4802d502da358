//! Regions and shared objects that cannot be announced because too many descriptors of the user's are under way: unix(7), `ETOOMANYREFS`. That is
//! as a full ring: it passes.
//!
//! The kernel counts them for all processes of a user, against the limit of descriptors of the one that sends, and not at all
//! for root. So each test becomes a user of its own, and sends itself more than that; nobody else's limit is so low.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use slipring::{Bus, Cause, Error, Listener, Options, Poller, Refusal, RpcBus, SharedBuffer, State, Wait};
use slipring_tests::alone::alone;
use slipring_tests::frames;
use slipring_tests::pair::{bus_pair, in_a_moment, rpc_pair, soon};
use slipring_tests::raw::socket::{MOST_FDS, Socket};
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog_for;
use std::fs::File;
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

/// The first of the users, one for each test, that no system gives to anybody.
const USER: libc::uid_t = 61_240;
/// The limit of descriptors, which this process is far below.
const LIMIT: u64 = 100;
/// The longest payload here, which needs a region.
const LONG: usize = 100_000;
/// For tests in which four waits may take all the time that they have.
const PATIENCE: Duration = Duration::from_secs(60);

/// Gives up all rights: the rest of this process is an ordinary user's.
fn become_nobody(which: libc::uid_t) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let user = USER + which;
    // SAFETY: takes plain numbers, and changes all threads of this process.
    let group = unsafe { libc::setresgid(user, user, user) };
    // SAFETY: as above.
    let user = unsafe { libc::setresuid(user, user, user) };
    assert_eq!((group, user), (0, 0), "root may become anybody");
}

/// More descriptors under way than this process may have, until this is dropped.
struct Crowd(#[expect(dead_code, reason = "held, so that what was sent stays under way")] [Socket; 2]);

/// `None`, and a word about it, where the kernel does not count.
fn crowd() -> Option<Crowd> {
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(LIMIT), ..before }).expect("less is always allowed");
    let (one, other) = Socket::pair();
    let null = File::open("/dev/null").expect("every system has it");
    assert!(one.send_with(b"x", &vec![null.as_fd(); MOST_FDS]), "the first is let through");
    if one.send_with(b"x", &[null.as_fd()]) {
        println!("skipped: this process may have any number of descriptors under way");
        return None;
    }
    Some(Crowd([one, other]))
}

fn options(wait: Wait) -> Options {
    Options::default().wait(wait)
}

/// Sends a payload that needs a region.
fn publish(bus: &mut Bus, number: u64) -> Result<(), Cause> {
    bus.publish_until(frames::type_id(number), &frames::payload(number, LONG), soon())
}

fn assert_came(bus: &mut Bus, number: u64) {
    let lease = bus.recv_until(soon()).expect("a frame");
    assert!(lease.len() == LONG && frames::is(number, lease.type_id(), &lease));
}

#[test]
fn a_region_that_cannot_be_announced_yet_is_full_or_a_timeout_and_nothing_is_lost() {
    alone("a_region_that_cannot_be_announced_yet_is_full_or_a_timeout_and_nothing_is_lost", || {
        let _watchdog = watchdog_for("too many descriptors under way", PATIENCE);
        become_nobody(0);
        for wait in [Wait::Park, Wait::Spin] {
            let (mut sends, mut receives) = bus_pair(&options(wait), &options(wait));
            let Some(crowd) = crowd() else { return };
            let payload = frames::payload(0, LONG);
            for _ in 0..3 {
                assert_eq!(sends.try_publish(0, &payload), Err(Cause::Full), "{wait:?}");
                assert_eq!(sends.publish_until(0, &payload, in_a_moment()), Err(Cause::Timeout), "{wait:?}");
                assert_eq!(sends.publish(7, b"the ring goes on"), Ok(()));
                assert_eq!(receives.recv_until(soon()).expect("a frame").type_id(), 7);
            }
            assert_eq!((sends.state(), sends.stats().regions), (State::Open, 0));
            drop(crowd);
            assert_eq!(publish(&mut sends, 1), Ok(()), "{wait:?}");
            assert_came(&mut receives, 1);
        }
    });
}

#[test]
fn whoever_waits_for_a_region_goes_on_when_it_can_be_announced() {
    alone("whoever_waits_for_a_region_goes_on_when_it_can_be_announced", || {
        let _watchdog = watchdog_for("a wait while too many descriptors are under way", PATIENCE);
        become_nobody(1);
        for wait in [Wait::Park, Wait::Spin] {
            let (mut sends, mut receives) = bus_pair(&options(wait), &options(wait));
            let Some(crowd) = crowd() else { return };
            let other = thread::spawn(move || {
                thread::sleep(Duration::from_millis(20));
                // Nobody of this session has to do with it, so nobody is told.
                drop(crowd);
            });
            assert_eq!(publish(&mut sends, 0), Ok(()), "{wait:?}");
            other.join().expect("no panic");
            assert_came(&mut receives, 0);
        }
    });
}

#[test]
fn an_object_that_cannot_be_announced_yet_is_full_or_a_timeout_and_goes_out_when_it_can() {
    alone("an_object_that_cannot_be_announced_yet_is_full_or_a_timeout_and_goes_out_when_it_can", || {
        let _watchdog = watchdog_for("objects while too many descriptors are under way", PATIENCE);
        become_nobody(4);
        let table = SharedBuffer::from_slice(b"for all").expect("memory");
        for wait in [Wait::Park, Wait::Spin] {
            let (mut sends, mut receives) = bus_pair(&options(wait), &options(wait));
            let Some(crowd) = crowd() else { return };
            for _ in 0..3 {
                assert_eq!(sends.try_publish_shared(0, b"", &[&table]), Err(Cause::Full), "{wait:?}");
                let late = sends.publish_shared_until(0, b"", &[&table], in_a_moment());
                assert_eq!(late, Err(Cause::Timeout), "{wait:?}");
            }
            assert_eq!((sends.state(), sends.stats().shared_told), (State::Open, 0));
            let other = thread::spawn(move || {
                thread::sleep(Duration::from_millis(20));
                // Nobody of this session has to do with it, so nobody is told.
                drop(crowd);
            });
            assert_eq!(sends.publish_shared_until(1, b"", &[&table], soon()), Ok(()), "{wait:?}");
            other.join().expect("no panic");
            assert_eq!(&receives.recv_until(soon()).expect("a frame").shared()[0][..], b"for all");
        }
    });
}

#[test]
fn a_poller_says_when_an_object_is_worth_another_try() {
    alone("a_poller_says_when_an_object_is_worth_another_try", || {
        let _watchdog = watchdog_for("a poller while too many descriptors are under way", PATIENCE);
        become_nobody(5);
        let table = SharedBuffer::from_slice(b"for all").expect("memory");
        for wait in [Wait::Park, Wait::Adaptive, Wait::Spin] {
            let (sends, mut receives) = bus_pair(&options(wait), &options(wait));
            let mut poller = Poller::new(&options(wait)).expect("a poller");
            let key = poller.add(sends).expect("room");
            let Some(crowd) = crowd() else { return };
            let mut crowd = Some(crowd);
            let mut ready = Vec::new();
            for tries in 0.. {
                let sends = poller.bus(key).expect("a session");
                match sends.try_publish_shared(0, b"", &[&table]) {
                    Ok(()) => break,
                    Err(cause) => assert_eq!(cause, Cause::Full, "{wait:?}"),
                }
                if tries == 3 {
                    crowd.take();
                }
                ready.clear();
                poller.wait_until(&mut ready, soon()).expect("it may be worth another try");
                assert_eq!(ready, [key]);
            }
            assert!(crowd.is_none(), "not before");
            assert_eq!(&receives.recv_until(soon()).expect("a frame").shared()[0][..], b"for all");
        }
    });
}

#[test]
fn calls_wait_for_their_regions_and_replies_say_that_there_is_none() {
    alone("calls_wait_for_their_regions_and_replies_say_that_there_is_none", || {
        let _watchdog = watchdog_for("calls while too many descriptors are under way", PATIENCE);
        become_nobody(2);
        let (mut client, mut server) = rpc_pair(&Options::default(), &Options::default());
        let Some(crowd) = crowd() else { return };
        let payload = frames::payload(0, LONG);
        assert_eq!(client.try_call(0, &payload), Err(Cause::Full));
        assert_eq!(client.call_until(0, &payload, in_a_moment()), Err(Cause::Timeout));
        assert_eq!((client.state(), client.in_flight()), (State::Open, 0));
        // Not so for a reply, which waits for nobody.
        let call = client.call_until(1, b"short", soon()).expect("a place");
        let request = server.serve_until(soon()).expect("a request");
        assert_eq!(request.reply(1, &payload), Err(Cause::OutOfMemory));
        let waited = client.wait_until(call, soon()).map(drop).map_err(|error| error.cause());
        assert_eq!(waited, Err(Cause::OutOfMemory));
        drop(crowd);
        let call = client.call_until(2, &payload, soon()).expect("a place and a region");
        echo(&mut server);
        let reply = client.wait_until(call, soon()).expect("a reply");
        assert!(reply.type_id() == 2 && reply[..] == payload[..]);
    });
}

/// Serves one request by what came.
fn echo(server: &mut RpcBus) {
    let request = server.serve_until(soon()).expect("a request");
    let (type_id, payload) = (request.type_id(), request.to_vec());
    request.reply(type_id, &payload).expect("a region");
}

#[test]
fn whoever_cannot_send_its_outbox_is_out_of_descriptors_and_can_try_again() {
    alone("whoever_cannot_send_its_outbox_is_out_of_descriptors_and_can_try_again", || {
        let _watchdog = watchdog_for("a handshake while too many descriptors are under way", PATIENCE);
        become_nobody(3);
        let scratch = Scratch::new();
        let mut listener = Listener::bind(&scratch.path("bus"), &Options::default()).expect("a name");
        let Some(crowd) = crowd() else { return };
        let refused = connect_to(&mut listener).expect_err("no session");
        assert_eq!(refused.cause(), Cause::Refused { why: Refusal::OutOfMemory }, "{refused}");
        drop(crowd);
        assert!(connect_to(&mut listener).is_ok(), "as soon as there is room");
    });
}

/// A client of `listener`, which serves until it has a session or has turned it down.
fn connect_to(listener: &mut Listener) -> Result<(Bus, Bus), Error> {
    let (address, before) = (listener.address(), listener.refused());
    thread::scope(|scope| {
        let client = scope.spawn(|| Bus::connect_until(&address, &Options::default(), soon()));
        let accepted = loop {
            match listener.try_accept_bus() {
                Err(error) if error.cause() == Cause::Empty && listener.refused() == before => thread::yield_now(),
                other => break other,
            }
        };
        let client = client.join().expect("no panic");
        Ok((client?, accepted?))
    })
}
