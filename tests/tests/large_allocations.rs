//! Allocations that take long, and that find no room: a deadline ends them, signals do not spoil them, a full disk is an error of the
//! call that needed it; and nothing of what was not to be is left.

use slipring::{Backend, Bus, Cause, Deadline, Options, RpcBus, SharedBuffer, State, limit_memory, memory_taken};
use slipring_tests::alone::alone;
use slipring_tests::backend::skip;
use slipring_tests::mounts::{bytes_used, small_file_system};
use slipring_tests::pair::{bus_pair, rpc_pair, soon};
use slipring_tests::proc::{Holdings, available_memory, holdings};
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::{watchdog, watchdog_for};
use slipring_tests::{alarm, frames};
use std::path::Path;
use std::time::Duration;

const MIB: usize = 1 << 20;
/// What no machine reserves within [`TOO_SOON`].
const LONG: usize = 512 * MIB;
const TOO_SOON: Duration = Duration::from_millis(2);

/// Both, as far as this machine has room in them.
fn backends(test: &str) -> Vec<Backend> {
    let room = |backend: &Backend| {
        let there = match backend {
            Backend::Posix => free_at(Path::new("/dev/shm")),
            _ => available_memory(),
        };
        let enough = there > 2 * LONG as u64;
        if !enough {
            skip(test, &format!("{backend:?} memory has {there} bytes to spare"));
        }
        enough
    };
    [Backend::Memfd, Backend::Posix].into_iter().filter(room).collect()
}

fn free_at(place: &Path) -> u64 {
    rustix::fs::statvfs(place).map_or(0, |found| found.f_bavail * found.f_frsize)
}

fn own() -> Holdings {
    holdings(std::process::id())
}

/// What must be as it was when an allocation came to nothing.
fn taken() -> (usize, usize, u64) {
    let now = own();
    (now.fds, now.segments, memory_taken())
}

fn later() -> Deadline {
    Deadline::after(TOO_SOON)
}

#[test]
fn a_deadline_ends_a_large_allocation_and_leaves_nothing_of_it() {
    const TEST: &str = "a_deadline_ends_a_large_allocation_and_leaves_nothing_of_it";
    alone(TEST, || {
        let _watchdog = watchdog_for("deadlines of large allocations", Duration::from_secs(60));
        let (long, table) = (vec![0; LONG], SharedBuffer::from_slice(b"table").expect("memory"));
        for backend in backends(TEST) {
            let options = Options::default().backend(backend).memory_limit(2 * LONG as u64);
            let (mut sends, mut receives) = bus_pair(&options, &options);
            let (mut calls, mut serves) = rpc_pair(&options, &options);
            let before = taken();
            for _ in 0..3 {
                assert_eq!(sends.claim_until(LONG, later()).map(drop), Err(Cause::Timeout), "{backend:?}");
                assert_eq!(sends.claim_owned_until(LONG, later()).map(drop), Err(Cause::Timeout));
                assert_eq!(calls.claim_owned_until(LONG, later()).map(drop), Err(Cause::Timeout));
                assert_eq!(calls.claim_request_until(LONG, later()).map(drop), Err(Cause::Timeout));
                assert_eq!(calls.call_until(1, &long, later()).map(drop), Err(Cause::Timeout));
                assert_eq!(calls.call_shared_until(1, &long, &[&table], later()).map(drop), Err(Cause::Timeout));
                let built = SharedBuffer::build_until(LONG, later()).map(drop);
                assert_eq!(built.map_err(|error| error.cause()), Err(Cause::Timeout));
                assert_eq!(taken(), before, "{backend:?}");
            }
            // What needs no such thing goes on, and so does that when it has the time.
            sends.publish(1, b"short").expect("room");
            assert_eq!(receives.recv_until(soon()).expect("a frame").len(), 5);
            let call = calls.call_until(1, &[3; 5000], soon()).expect("a block");
            assert_eq!(serves.serve_until(soon()).expect("a request").len(), 5000);
            calls.cancel(call);
            let mut claim = sends.claim_until(LONG, Deadline::after(Duration::from_secs(30))).expect("a block");
            claim[LONG - 1] = 7;
            claim.commit(2, LONG).expect("an open claim");
            assert_eq!(receives.recv_until(soon()).expect("a frame")[LONG - 1], 7);
        }
    });
}

#[test]
fn signals_end_or_spoil_no_large_allocation() {
    const TEST: &str = "signals_end_or_spoil_no_large_allocation";
    alone(TEST, || {
        let _watchdog = watchdog_for("large allocations in a storm of signals", Duration::from_secs(60));
        let backends = backends(TEST);
        alarm::interrupt_this_thread_every(Duration::from_micros(500));
        for backend in backends {
            let options = Options::default().backend(backend).memory_limit(2 * LONG as u64);
            let (mut sends, mut receives) = again(|| Ok(bus_pair_in_a_storm(&options)));
            let before = taken();
            // It may say that it was interrupted, but not for ever: every call comes further, or there would be no end.
            let mut claim = again(|| sends.claim_owned_until(LONG, Deadline::after(Duration::from_secs(30))));
            claim[LONG - 1] = 9;
            sends.publish_owned(1, claim, LONG).expect("an open claim");
            let message = again(|| receives.recv_until(soon()).map(|lease| lease.keep()));
            assert_eq!((message.len(), message[LONG - 1]), (LONG, 9), "{backend:?}");
            drop(message);
            let built = again(|| SharedBuffer::build(LONG / 4).map_err(|error| error.cause()));
            assert_eq!(built.len(), LONG / 4);
            drop((built, sends, receives));
            let after = taken();
            assert!(after.0 < before.0 && after.1 < before.1 && after.2 <= before.2, "{before:?}, {after:?}");
        }
    });
}

/// Both ends are made by threads that no signal is for, as long as this one waits for them.
fn bus_pair_in_a_storm(options: &Options) -> (Bus, Bus) {
    std::thread::scope(|scope| scope.spawn(|| bus_pair(options, options)).join().expect("a session"))
}

/// Does `work` until a signal no longer ends it.
fn again<T>(mut work: impl FnMut() -> Result<T, Cause>) -> T {
    loop {
        match work() {
            Err(Cause::Interrupted) => {}
            done => return done.unwrap_or_else(|cause| panic!("{cause}")),
        }
    }
}

#[test]
fn a_full_spill_directory_is_an_error_of_the_call_that_needs_it_and_all_goes_on() {
    const TEST: &str = "a_full_spill_directory_is_an_error_of_the_call_that_needs_it_and_all_goes_on";
    alone(TEST, || {
        let _watchdog = watchdog("a full spill directory");
        let scratch = Scratch::new();
        if !small_file_system(scratch.dir(), 24 * MIB, TEST) {
            return;
        }
        for backend in [Backend::Memfd, Backend::Posix] {
            let spills = Options::default().backend(backend).memory_limit(4 * MIB as u64).spill_dir(scratch.dir());
            let (mut sends, mut receives) = bus_pair(&spills, &Options::default().backend(backend));
            let long = vec![5; 14 * MIB];
            sends.publish_until(1, &long, soon()).expect("the disk has room for one");
            let kept = receives.recv_until(soon()).expect("a frame").keep();
            let used = bytes_used(scratch.dir());
            assert!(used >= 14 * MIB as u64, "{used}");
            for _ in 0..3 {
                assert_eq!(sends.publish_until(2, &long, soon()), Err(Cause::OutOfMemory), "{backend:?}");
                assert_eq!(sends.try_publish(2, &long), Err(Cause::OutOfMemory));
                assert_eq!(sends.claim_until(14 * MIB, soon()).map(drop), Err(Cause::OutOfMemory));
                assert_eq!(sends.claim_owned_until(14 * MIB, soon()).map(drop), Err(Cause::OutOfMemory));
                assert_eq!(bytes_used(scratch.dir()), used, "what was reserved in vain is given back");
            }
            for (number, len) in [(3, 5), (4, MIB)] {
                sends.publish_until(number, &frames::payload(number.into(), len), soon()).expect("memory");
                let lease = receives.recv_until(soon()).expect("a frame");
                assert!(frames::is(number.into(), lease.type_id(), &lease));
            }
            assert!(kept.iter().all(|&byte| byte == 5), "what is held is whole");
            drop(kept);
            sends.publish_until(5, &long, soon()).expect("what came back is used again");
            assert_eq!(receives.recv_until(soon()).expect("a frame").len(), long.len());
            assert_eq!((sends.state(), receives.state()), (State::Open, State::Open));
            drop((sends, receives));
            assert_eq!(bytes_used(scratch.dir()), 0, "all of it goes with the session");
            assert_full_for_calls(&spills, &long, scratch.dir());
        }
    });
}

/// The same for calls: neither a request nor a reply finds room, and each says so to whoever waits for it.
fn assert_full_for_calls(spills: &Options, long: &[u8], place: &Path) {
    let (mut calls, mut serves): (RpcBus, RpcBus) = rpc_pair(spills, spills);
    let first = calls.call_until(1, long, soon()).expect("the disk has room for one");
    assert_eq!(calls.call_until(2, long, soon()), Err(Cause::OutOfMemory));
    let mut request = serves.serve_until(soon()).expect("a request");
    let held = request.keep();
    assert_eq!(request.reply(1, long), Err(Cause::OutOfMemory));
    assert!(calls.wait_until(first, soon()).is_err(), "the caller is told");
    drop(held);
    let second = calls.call_until(3, long, soon()).expect("what came back is used again");
    serves.serve_until(soon()).expect("a request").reply(3, b"short").expect("room");
    assert_eq!(&calls.wait_until(second, soon()).expect("a reply")[..], b"short");
    drop((calls, serves));
    assert_eq!(bytes_used(place), 0);
}

#[test]
fn a_limit_that_is_reached_in_mid_growth_leaves_what_there_is_in_use() {
    const TEST: &str = "a_limit_that_is_reached_in_mid_growth_leaves_what_there_is_in_use";
    alone(TEST, || {
        let _watchdog = watchdog("limits in mid-growth");
        for backend in [Backend::Memfd, Backend::Posix] {
            let options = Options::default().backend(backend);
            let (mut sends, mut receives) = bus_pair(&options, &options);
            // Room for the first two regions of this session and a part of the third, which would double what there is.
            let before = memory_taken();
            limit_memory(before + 11 * MIB as u64);
            let mut kept = Vec::new();
            let full = loop {
                match sends.try_publish(kept.len() as u32, &frames::payload(kept.len() as u64, MIB)) {
                    Ok(()) => kept.push(receives.recv_until(soon()).expect("a frame").keep()),
                    Err(cause) => break cause,
                }
                assert!(kept.len() < 12, "the limit does not hold");
            };
            assert!(matches!(full, Cause::Full | Cause::OutOfMemory), "{full}");
            assert!(kept.len() >= 8 && memory_taken() <= before + 11 * MIB as u64, "{} kept", kept.len());
            assert!(kept.iter().all(|message| frames::is(message.type_id().into(), message.type_id(), message)));
            sends.publish(9, b"short").expect("room");
            assert_eq!(receives.recv_until(soon()).expect("a frame").type_id(), 9);
            kept.pop();
            sends.publish_until(7, &frames::payload(7, MIB), soon()).expect("what came back is used again");
            let lease = receives.recv_until(soon()).expect("a frame");
            assert!(frames::is(7, lease.type_id(), &lease));
            drop((lease, kept));
            drop((sends, receives));
            limit_memory(u64::MAX);
        }
    });
}
