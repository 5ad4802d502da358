//! Where memory and threads stand: what is asked for is got, or its cause is told; and no session fails for it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, CpuSet, capabilities, sched_getaffinity, set_capabilities};
use slipring::{Asked, Backend, Bus, Cause, Lack, Listener, Options, RpcBus, Trust, limit_memory, pin_thread};
use slipring_tests::alone::{alone, in_child};
use slipring_tests::backend::skip;
use slipring_tests::cgroup::Group;
use slipring_tests::pair::{bus_pair, rpc_pair, soon};
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog;
use slipring_tests::{frames, seccomp};
use std::fs;
use std::thread;

const EITHER: [Backend; 2] = [Backend::Memfd, Backend::Posix];

const MIB: u64 = 1 << 20;

fn with(backend: Backend) -> Options {
    Options::default().trust(Trust::SameUser).backend(backend)
}

/// Sends and receives payloads that ride in the ring, and that do not.
fn use_it(sends: &mut Bus, receives: &mut Bus) {
    for (number, len) in [(0, 100), (1, 3 << 20), (2, 5 << 20)] {
        sends.publish_until(frames::type_id(number), &frames::payload(number, len), soon()).expect("room");
        let lease = receives.recv_until(soon()).expect("a frame");
        assert!(frames::is(number, lease.type_id(), &lease), "payload {number}");
    }
}

fn lack(asked: Asked) -> Lack {
    match asked {
        Asked::Refused(lack) => lack,
        other => panic!("not refused: {other:?}"),
    }
}

/// A file of `/sys` or `/proc`; nothing where there is none.
fn told(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

/// Whether the kernel says on which nodes pages are.
fn knows_nodes() -> bool {
    fs::exists("/proc/self/numa_maps").unwrap_or(false)
}

#[test]
fn an_end_of_which_nothing_was_asked_says_where_it_is_all_the_same() {
    let _watchdog = watchdog("placement of ends that ask for nothing");
    for backend in EITHER {
        let (mut sends, mut receives) = bus_pair(&with(backend), &with(backend));
        let outbox = sends.placement();
        assert_eq!((&outbox.numa_node, &outbox.huge_pages, &outbox.lock_memory), (&Asked::No, &Asked::No, &Asked::No));
        assert!(outbox.bytes > MIB && outbox.locked_bytes == 0, "{outbox:?}");
        use_it(&mut sends, &mut receives);
        let all = sends.placement();
        assert_eq!(all.bytes, outbox.bytes + sends.stats().region_bytes, "{backend:?}");
        assert_eq!(all.nodes.values().sum::<u64>(), if knows_nodes() { all.bytes } else { 0 }, "{all:?}");
        assert!(receives.placement().bytes < MIB, "a receiver's outbox has hardly a ring");
    }
}

#[test]
fn memory_is_on_the_node_that_was_asked_for_from_the_start_or_later() {
    let _watchdog = watchdog("memory on a node");
    if !knows_nodes() {
        return skip("memory_is_on_the_node_that_was_asked_for", "this kernel knows no nodes");
    }
    for backend in EITHER {
        let (mut sends, mut receives) = bus_pair(&with(backend).numa_node(0), &with(backend));
        use_it(&mut sends, &mut receives);
        let placement = sends.placement();
        assert_eq!(placement.numa_node, Asked::Got, "{placement:?}");
        assert_eq!(placement.nodes[&0], placement.bytes);
        receives.set_numa_node(0).expect("a node that there is");
        assert_eq!(receives.placement().numa_node, Asked::Got, "{backend:?}");
        let (mut client, mut server) = rpc_pair(&with(backend), &with(backend).numa_node(0));
        assert_eq!((client.placement().numa_node, server.placement().numa_node), (Asked::No, Asked::Got));
        client.set_numa_node(0).expect("a node that there is");
        let call = client.call_until(1, &frames::payload(1, 3 << 20), soon()).expect("a call");
        let request = server.serve_until(soon()).expect("a request");
        request.reply(2, b"done").expect("a reply");
        assert_eq!(&client.wait_until(call, soon()).expect("a reply")[..], b"done");
        let placement = client.placement();
        assert!(placement.numa_node == Asked::Got && placement.bytes > 3 * MIB, "{placement:?}");
    }
}

#[test]
fn nonsense_is_an_error_that_names_what_there_is() {
    let _watchdog = watchdog("nonsense");
    let scratch = Scratch::new();
    let nowhere = Options::default().numa_node(4_000_000);
    let invalid = |error: slipring::Error| {
        let text = error.to_string();
        assert!(matches!(error.cause(), Cause::InvalidArgument { .. }), "{text}");
        text
    };
    for refused in [
        invalid(Listener::bind(&scratch.path("bus"), &nowhere).expect_err("no such node")),
        invalid(Bus::connect(&scratch.path("bus"), &nowhere).expect_err("no such node")),
        invalid(RpcBus::connect(&scratch.path("bus"), &nowhere).expect_err("no such node")),
        invalid(bus_pair(&Options::default(), &Options::default()).0.set_numa_node(4_000_000).expect_err("none")),
        invalid(rpc_pair(&Options::default(), &Options::default()).0.set_numa_node(4_000_000).expect_err("none")),
    ] {
        assert!(refused.contains("4000000, where there is 0"), "{refused}");
    }
    assert!(invalid(pin_thread(&[]).expect_err("nothing")).contains("at least one"));
    let refused = invalid(pin_thread(&[0, 70_000]).expect_err("no such processor"));
    assert!(refused.contains("70000 is not among 0"), "{refused}");
}

#[test]
fn locked_memory_counts_against_its_limit_and_what_is_beyond_it_is_told() {
    let test = "locked_memory_counts_against_its_limit_and_what_is_beyond_it_is_told";
    alone(test, || {
        let _watchdog = watchdog("locked memory");
        give_up_locking_for_free();
        if let Err(refused) = limit_locking(8 * MIB) {
            return skip(test, &format!("this user may not lock 8 MiB: {refused}"));
        }
        for backend in EITHER {
            let locked = with(backend).lock_memory(true);
            limit_locking(8 * MIB).expect("as before");
            let (mut sends, mut receives) = bus_pair(&locked, &with(backend));
            send_long(&mut sends, &mut receives);
            let placement = sends.placement();
            assert_eq!((&placement.lock_memory, placement.locked_bytes), (&Asked::Got, placement.bytes));
            drop((sends, receives));

            limit_locking(2 * MIB).expect("less");
            let (mut sends, mut receives) = bus_pair(&locked, &with(backend));
            let outbox = sends.placement();
            assert_eq!(outbox.lock_memory, Asked::Got, "{backend:?}");
            send_long(&mut sends, &mut receives);
            let placement = sends.placement();
            let Asked::Partly { bytes, of, why } = placement.lock_memory else { panic!("{placement:?}") };
            assert_eq!((bytes, of), (outbox.bytes, placement.bytes));
            assert_eq!(why.raw_os_error(), Some(libc::ENOMEM));
            assert!(why.to_string().contains("RLIMIT_MEMLOCK: 2097152 bytes"), "{why}");
            drop((sends, receives));

            limit_locking(0).expect("less");
            let (mut sends, mut receives) = bus_pair(&locked, &with(backend));
            assert_eq!(lack(sends.placement().lock_memory).raw_os_error(), Some(libc::EPERM));
            send_long(&mut sends, &mut receives);
            let (client, _server) = rpc_pair(&locked, &with(backend));
            assert_eq!(lack(client.placement().lock_memory).raw_os_error(), Some(libc::EPERM));
        }
    });
}

/// One payload, for which a region of 4 MiB is made.
fn send_long(sends: &mut Bus, receives: &mut Bus) {
    sends.publish_until(frames::type_id(3), &frames::payload(3, 3 << 20), soon()).expect("room");
    let lease = receives.recv_until(soon()).expect("a frame");
    assert!(frames::is(3, lease.type_id(), &lease));
}

/// Root may lock without a limit.
fn give_up_locking_for_free() {
    let mut own = capabilities(None).expect("our own capabilities");
    own.effective.remove(CapabilitySet::IPC_LOCK);
    set_capabilities(None, own).expect("fewer are always allowed");
}

/// Up to what the system allows this process.
fn limit_locking(bytes: u64) -> rustix::io::Result<()> {
    setrlimit(Resource::Memlock, Rlimit { current: Some(bytes), ..getrlimit(Resource::Memlock) })
}

#[test]
fn a_kernel_that_refuses_every_wish_is_told_by_its_error_and_the_session_works() {
    alone("a_kernel_that_refuses_every_wish_is_told_by_its_error_and_the_session_works", || {
        let _watchdog = watchdog("a kernel that refuses");
        seccomp::refuse(libc::SYS_mbind, libc::ENOSYS);
        seccomp::refuse(libc::SYS_mlock, libc::EPERM);
        seccomp::refuse_third(libc::SYS_madvise, libc::MADV_HUGEPAGE, libc::EINVAL);
        for backend in EITHER {
            let wishes = with(backend).numa_node(0).lock_memory(true).huge_pages(true);
            let (mut sends, mut receives) = bus_pair(&wishes, &wishes);
            use_it(&mut sends, &mut receives);
            let placement = sends.placement();
            let refused = [&placement.numa_node, &placement.lock_memory, &placement.huge_pages];
            let errors = refused.map(|asked| lack(asked.clone()).raw_os_error().expect("the kernel's own"));
            assert_eq!(errors, [libc::ENOSYS, libc::EPERM, libc::EINVAL], "{placement:?}");
            assert_eq!((placement.locked_bytes, placement.huge_bytes), (0, 0));
            sends.set_numa_node(0).expect("told by the placement, not by this");
            assert_eq!(lack(sends.placement().numa_node).raw_os_error(), Some(libc::ENOSYS));
            use_it(&mut sends, &mut receives);
        }
    });
}

#[test]
fn huge_pages_are_got_or_what_stands_against_them_is_told() {
    let _watchdog = watchdog("huge pages");
    for backend in EITHER {
        let wishes = with(backend).huge_pages(true);
        let (mut sends, mut receives) = bus_pair(&wishes, &wishes);
        let short = lack(sends.placement().huge_pages);
        assert!(short.to_string().contains("as long as a huge page"), "{short}");
        use_it(&mut sends, &mut receives);
        let placement = sends.placement();
        match &placement.huge_pages {
            Asked::Got | Asked::Partly { .. } => assert!(placement.huge_bytes >= 2 * MIB, "{placement:?}"),
            Asked::Refused(why) => {
                let why = why.to_string();
                let known = ["shmem_enabled is \"never\"", "shmem_enabled is \"deny\"", "huge=advise", "was free"];
                assert!(known.iter().any(|known| why.contains(known)), "{why}");
            }
            Asked::No => panic!("it was asked for"),
            other => panic!("{other:?}"),
        }
        if backend == Backend::Memfd {
            let never = told("/sys/kernel/mm/transparent_hugepage/shmem_enabled").contains("[never]");
            println!("huge pages of memfds: {:?}, never: {never}", placement.huge_pages);
        }
    }
}

#[test]
fn a_forked_child_moves_nothing_and_has_nothing() {
    alone("a_forked_child_moves_nothing_and_has_nothing", || {
        let _watchdog = watchdog("a forked child");
        let (mut sends, _receives) = bus_pair(&Options::default(), &Options::default());
        let code = in_child(|| {
            let forked = sends.set_numa_node(0).expect_err("in a child").cause() == Cause::Forked;
            i32::from(!forked) | i32::from(sends.placement().bytes != 0) << 1
        });
        assert_eq!(code, 0, "bit 0: another answer, bit 1: it has memory");
    });
}

/// Runs `body` in a thread of its own, whose mask ends with it.
fn in_a_thread(body: impl FnOnce() + Send + 'static) {
    thread::spawn(body).join().expect("no panic");
}

fn mask() -> Vec<u32> {
    let mask = sched_getaffinity(None).expect("our own mask");
    (0..CpuSet::MAX_CPU).filter(|&cpu| mask.is_set(cpu)).map(|cpu| cpu as u32).collect()
}

#[test]
fn a_pinned_thread_is_where_it_was_pinned_and_can_go_back() {
    let _watchdog = watchdog("pinning");
    in_a_thread(|| {
        let all = mask();
        for &cpu in &all {
            let pinned = pin_thread(&[cpu]).expect("it may run there");
            assert_eq!((&pinned.cpus, mask()), (&vec![cpu], vec![cpu]));
            assert_eq!(pin_thread(&pinned.before).expect("as before").cpus, all);
        }
        pin_thread(&[all[0], 70_000]).expect_err("one of them there is not");
        assert_eq!(mask(), all, "as it was");
    });
}

#[test]
fn a_kernel_that_refuses_to_pin_is_told_by_its_error() {
    alone("a_kernel_that_refuses_to_pin_is_told_by_its_error", || {
        seccomp::refuse(libc::SYS_sched_setaffinity, libc::EPERM);
        let refused = pin_thread(&mask()).expect_err("refused");
        assert_eq!(refused.cause(), Cause::System);
        assert!(refused.to_string().contains("not permitted"), "{refused}");
    });
}

#[test]
fn a_processor_that_a_control_group_keeps_from_us_is_told_beside_those_that_it_leaves() {
    let test = "a_processor_that_a_control_group_keeps_from_us_is_told_beside_those_that_it_leaves";
    alone(test, || {
        let cpus = mask();
        let [first, second, ..] = cpus[..] else { return skip(test, "there is one processor only") };
        let group = match Group::with_cpu(first) {
            Ok(group) => group,
            Err(why) => return skip(test, &why),
        };
        for asked in [vec![second], vec![first, second]] {
            let refused = pin_thread(&asked).expect_err("not ours");
            assert!(matches!(refused.cause(), Cause::InvalidArgument { .. }), "{refused}");
            assert!(refused.to_string().contains(&format!("{second} is not among {first}")), "{refused}");
            assert_eq!(mask(), [first]);
        }
        assert_eq!(pin_thread(&[first]).expect("ours").cpus, [first]);
        drop(group);
    });
}

#[test]
fn placed_memory_is_given_back_and_counts_like_any_other() {
    alone("placed_memory_is_given_back_and_counts_like_any_other", || {
        let _watchdog = watchdog("placed memory and limits");
        limit_memory(16 * MIB);
        let wishes = with(Backend::Memfd).numa_node(0).lock_memory(true).huge_pages(true).memory_limit(64 * MIB);
        let (mut sends, mut receives) = bus_pair(&wishes, &wishes);
        use_it(&mut sends, &mut receives);
        assert_eq!(sends.claim(32 << 20).map(drop).expect_err("more than the process may have"), Cause::OutOfMemory);
        use_it(&mut sends, &mut receives);
        let before = sends.placement().bytes;
        assert_eq!(before, slipring::memory_taken() - receives.placement().bytes);
        drop((sends, receives));
        assert_eq!(slipring::memory_taken(), 0);
    });
}
