//! Shared objects between two ends: attached to messages, calls and replies, kept, passed on, and given back.

use slipring::{Bus, Cause, Options, RpcBus, SharedBuffer, State, Trust, Wait};
use slipring_tests::alone::{alone, in_child};
use slipring_tests::backend::{has_seals, trusts};
use slipring_tests::frames;
use slipring_tests::objects::{await_known, is_object, object};
use slipring_tests::pair::{bus_pair, in_a_moment, rpc_pair, soon};
use slipring_tests::proc::{await_that, page_frame};
use slipring_tests::watchdog::watchdog;
use std::os::fd::AsFd;
use std::thread;

const MIB: usize = 1 << 20;

fn options() -> Options {
    Options::default()
}

#[test]
fn an_object_is_read_where_it_was_written_however_often_it_is_named_and_whomever_one_trusts() {
    let _watchdog = watchdog("one object, many messages");
    for &trust in trusts("an_object_is_read_where_it_was_written_however_often_it_is_named_and_whomever_one_trusts") {
        let (mut sends, mut receives) = bus_pair(&options(), &options().trust(trust));
        let table = object(7, 3 * MIB + 5);
        for (number, len) in [0, 1, 40, 1000, 1024, 1025, 100_000].into_iter().enumerate() {
            let payload = frames::payload(number as u64, len);
            sends.publish_shared(number as u32, &payload, &[&table]).expect("room");
            let lease = receives.recv().expect("a frame");
            assert!(frames::is(number as u64, lease.type_id(), &lease) && lease.len() == len, "{len} bytes");
            let [shared] = lease.shared() else { panic!("one object") };
            assert!(is_object(7, shared) && shared.len() == table.len() && shared.id() == table.id());
            assert_ne!(shared.as_ptr(), table.as_ptr(), "a map of its own");
            for at in [0, MIB, 3 * MIB] {
                assert_eq!(page_frame(&shared[at]), page_frame(&table[at]), "and the same memory");
            }
        }
        let (sent, received) = (sends.stats(), receives.stats());
        assert_eq!((sent.shared_told, received.shared_known), (1, 1), "told of once");
        assert_eq!(received.shared_mapped, table.len() as u64);
        assert_eq!((sent.frames_sent, sent.bytes_sent), (received.frames_received, received.bytes_received));
        assert_eq!(sent.bytes_sent, 103_090, "payloads are counted, and nothing else");
    }
}

#[test]
fn many_objects_come_with_one_message_in_their_order_and_one_may_come_twice() {
    let _watchdog = watchdog("eight objects a message");
    let (mut sends, mut receives) = bus_pair(&options(), &options().capacity(256));
    let objects: Vec<_> = (0..8).map(|number| object(number, 100 * number as usize)).collect();
    let mut shared: Vec<_> = objects.iter().collect();
    for payload in [&b"short"[..], &[7; 5000]] {
        sends.publish_shared_until(1, payload, &shared, soon()).expect("room");
        let lease = receives.recv().expect("a frame");
        assert_eq!((&lease[..], lease.shared().len()), (payload, 8));
        assert!(lease.shared().iter().zip(0..).all(|(found, number)| is_object(number, found)));
    }
    sends.publish_shared(2, b"twice", &[shared[3], shared[3]]).expect("room");
    let lease = receives.recv().expect("a frame");
    assert_eq!(lease.shared()[0].as_ptr(), lease.shared()[1].as_ptr());
    drop(lease);
    sends.publish_shared(3, b"none", &[]).expect("room");
    assert!(receives.recv().expect("a frame").shared().is_empty());
    shared.push(&objects[0]);
    for attempt in [Bus::publish_shared, Bus::try_publish_shared] {
        assert!(matches!(attempt(&mut sends, 4, b"nine", &shared), Err(Cause::InvalidArgument { .. })));
    }
    assert!(matches!(receives.publish_shared(4, b"", &[]), Err(Cause::InvalidArgument { .. })), "the other end");
    assert_eq!(receives.try_recv().err(), Some(Cause::Empty));
}

#[test]
fn batches_and_handlers_see_the_objects_of_each_frame() {
    let _watchdog = watchdog("objects in batches");
    for &trust in trusts("batches_and_handlers_see_the_objects_of_each_frame") {
        let (mut sends, mut receives) = bus_pair(&options(), &options().trust(trust));
        let objects = [object(0, 100), object(1, 5000)];
        let send = |sends: &mut Bus| {
            sends.publish(0, b"plain").expect("room");
            sends.publish_shared(1, b"first", &[&objects[0]]).expect("room");
            sends.publish(2, &[2; 3000]).expect("room");
            sends.publish_shared(3, &[3; 3000], &[&objects[1], &objects[0]]).expect("room");
        };
        let numbers = |shared: &[SharedBuffer]| {
            let number =
                |buffer: &SharedBuffer| (0..2).find(|&at| objects[at].id() == buffer.id()).expect("one of them");
            shared.iter().map(number).collect::<Vec<_>>()
        };
        let seen_by = |type_id: u32, bytes: &[u8], shared: &[SharedBuffer]| (type_id, bytes.len(), numbers(shared));
        let expected = [(0, 5, vec![]), (1, 5, vec![0]), (2, 3000, vec![]), (3, 3000, vec![1, 0])];
        send(&mut sends);
        let batch = receives.drain(9).expect("frames");
        let seen: Vec<_> = batch.iter().map(|frame| seen_by(frame.type_id(), &frame, frame.shared())).collect();
        assert_eq!(seen, expected);
        drop(batch);
        send(&mut sends);
        let mut seen = Vec::new();
        receives.poll(9, |frame| seen.push(seen_by(frame.type_id(), &frame, frame.shared()))).expect("frames");
        assert_eq!(seen, expected);
        assert_eq!(receives.stats().held_blocks, 0);
    }
}

#[test]
fn what_is_kept_outlives_message_session_and_owner_on_any_thread() {
    let _watchdog = watchdog("kept objects");
    for &trust in trusts("what_is_kept_outlives_message_session_and_owner_on_any_thread") {
        let (mut sends, mut receives) = bus_pair(&options(), &options().trust(trust));
        for payload in [&b"short"[..], &[5; 5000]] {
            let table = object(3, MIB);
            sends.publish_shared(9, payload, &[&table]).expect("room");
            let lease = receives.recv().expect("a frame");
            let view = lease.shared()[0].clone();
            let message = lease.keep();
            drop(table);
            await_known(&mut sends, &mut receives, 0);
            thread::spawn(move || {
                assert!(is_object(3, &view) && is_object(3, &message.shared()[0]));
                assert_eq!(&message[..], payload);
            })
            .join()
            .expect("no panic");
        }
        sends.publish_shared(1, b"last", &[&object(4, 5000)]).expect("room");
        let kept = receives.recv().expect("a frame").keep();
        drop((sends, receives));
        assert!(is_object(4, &kept.shared()[0]));
    }
}

#[test]
fn a_message_in_the_ring_still_finds_what_its_sender_has_dropped() {
    let _watchdog = watchdog("dropped before it is read");
    let (mut sends, mut receives) = bus_pair(&options(), &options());
    for number in 0..50 {
        sends.publish_shared(number as u32, b"x", &[&object(number, 5000)]).expect("room");
        // The receiver hears of all of it before it reads any.
        assert_eq!(receives.state(), State::Open);
        assert_eq!(receives.stats().shared_known, number as u32 + 1);
    }
    assert_eq!(sends.stats().shared_told, 0);
    for number in 0..50 {
        let lease = receives.recv().expect("a frame");
        assert!(is_object(number, &lease.shared()[0]), "object {number}");
    }
    await_known(&mut sends, &mut receives, 0);
    assert_eq!(receives.stats().shared_mapped, 0);
}

#[test]
fn the_last_drop_on_any_thread_takes_an_object_back_from_every_session() {
    let _watchdog = watchdog("last drops");
    for wait in [Wait::Park, Wait::Spin] {
        let mut pairs: Vec<_> = (0..3).map(|_| bus_pair(&options(), &options().wait(wait))).collect();
        let table = object(1, MIB);
        for (sends, receives) in &mut pairs {
            sends.publish_shared(1, b"", &[&table]).expect("room");
            assert!(is_object(1, &receives.recv().expect("a frame").shared()[0]));
            assert_eq!(receives.try_recv().err(), Some(Cause::Empty));
        }
        let clone = table.clone();
        drop(table);
        for (sends, receives) in &mut pairs {
            assert_eq!((sends.stats().shared_told, receives.state()), (1, State::Open));
            assert_eq!(receives.stats().shared_mapped, MIB as u64, "a clone is a holder");
        }
        thread::spawn(move || drop(clone)).join().expect("no panic");
        for (sends, receives) in &mut pairs {
            assert_eq!(sends.stats().shared_told, 0);
            assert_eq!(receives.recv_until(in_a_moment()).err(), Some(Cause::Timeout));
            let stats = receives.stats();
            assert_eq!((stats.shared_known, stats.shared_mapped), (0, 0));
        }
    }
}

#[test]
fn what_was_received_is_passed_on_without_a_copy_and_lives_on_without_its_maker() {
    if !has_seals("what_was_received_is_passed_on_without_a_copy_and_lives_on_without_its_maker") {
        return;
    }
    let _watchdog = watchdog("passing on");
    let (mut first, mut second) = bus_pair(&options(), &options().trust(Trust::Untrusted));
    let (mut third, mut fourth) = bus_pair(&options().trust(Trust::Untrusted), &options());
    let table = object(5, MIB);
    let (id, frame) = (table.id(), page_frame(&table[0]));
    first.publish_shared(1, b"", &[&table]).expect("room");
    let lease = second.recv().expect("a frame");
    third.publish_shared(2, b"", &[&lease.shared()[0]]).expect("room");
    drop((lease, table));
    drop((first, second));
    let kept = fourth.recv().expect("a frame").keep();
    let shared = &kept.shared()[0];
    assert!(is_object(5, shared));
    assert_eq!((shared.id(), page_frame(&shared[0])), (id, frame));
}

#[test]
fn an_object_goes_there_and_back_in_one_session() {
    let _watchdog = watchdog("there and back");
    let (mut calls, mut serves) = rpc_pair(&options(), &options());
    let table = object(2, MIB);
    let call = calls.call_shared(1, b"", &[&table]).expect("room");
    let request = serves.serve().expect("a request");
    let shared = request.shared()[0].clone();
    request.reply_shared(1, b"", &[&shared]).expect("room");
    let reply = calls.wait(call).expect("a reply");
    assert_eq!(page_frame(&reply.shared()[0][0]), page_frame(&table[0]));
    drop((reply, shared, table));
    // Each side's drop lets the other's go.
    await_that(|| {
        assert_eq!((calls.state(), serves.try_serve().err()), (State::Open, Some(Cause::Empty)));
        assert_eq!(calls.try_serve().err(), Some(Cause::Empty));
        let (one, other) = (calls.stats(), serves.stats());
        [one.shared_known, one.shared_told, other.shared_known, other.shared_told] == [0; 4]
    });
}

#[test]
fn requests_and_replies_carry_objects_in_every_way() {
    let _watchdog = watchdog("calls with objects");
    for &trust in trusts("requests_and_replies_carry_objects_in_every_way") {
        let (mut calls, mut serves) = rpc_pair(&options(), &options().trust(trust));
        let server = thread::spawn(move || {
            loop {
                let mut request = match serves.serve() {
                    Ok(request) => request,
                    Err(cause) => return cause,
                };
                let shared: Vec<_> = request.shared().to_vec();
                let (id, type_id, payload) = (request.id(), request.type_id(), request.to_vec());
                let kept = request.keep();
                assert_eq!((&kept[..], kept.shared().len()), (&payload[..], shared.len()));
                drop(request);
                let shared: Vec<_> = shared.iter().collect();
                let answer = if type_id % 2 == 0 {
                    serves.reply_shared(id, type_id, &payload, &shared)
                } else {
                    serves.reply_shared_until(id, type_id, &payload, &shared, soon())
                };
                answer.expect("a reply");
            }
        });
        let objects: Vec<_> = (0..8).map(|number| object(number, 1000)).collect();
        for (number, len) in [0, 1, 48, 1000, 1024, 1025, 50_000].into_iter().enumerate() {
            let payload = frames::payload(number as u64, len);
            let shared: Vec<_> = objects.iter().take(number + 1).collect();
            let reply = if number % 2 == 0 {
                calls.request_shared_until(number as u32, &payload, &shared, soon())
            } else {
                calls.request_shared(number as u32, &payload, &shared)
            };
            let reply = reply.expect("a reply");
            assert!(frames::is(number as u64, reply.type_id(), &reply) && reply.len() == len, "{len} bytes");
            assert_eq!(reply.shared().len(), number + 1);
            assert!(reply.shared().iter().zip(0..).all(|(found, number)| is_object(number, found)));
            let kept = reply.keep();
            assert!(kept.len() == len && is_object(0, &kept.shared()[0]));
        }
        drop(calls);
        assert_eq!(server.join().expect("no panic"), Cause::Closed);
    }
}

#[test]
fn a_request_that_cannot_have_its_reply_stays_open_and_nobody_replies_twice() {
    let _watchdog = watchdog("replies with too many objects");
    let small = || options().capacity(1024).capacity_reverse(1024).inline_limit(48).in_flight(1);
    let (mut calls, mut serves) = rpc_pair(&small(), &small());
    let objects: Vec<_> = (0..9).map(|number| object(number, 10)).collect();
    let all: Vec<_> = objects.iter().collect();
    let call = calls.call_shared_until(1, b"", &all[..8], soon()).expect("room");
    let request = serves.serve().expect("a request");
    assert_eq!(request.shared().len(), 8);
    let id = request.id();
    drop(request);
    for count in [4, 8, 9] {
        let refused = serves.reply_shared(id, 1, b"", &all[..count]);
        assert!(matches!(refused, Err(Cause::InvalidArgument { .. })), "{count}: {refused:?}");
    }
    assert_eq!(serves.reply_shared(id, 2, b"", &all[..3]), Ok(()));
    for attempt in [&all[..0], &all[..1]] {
        assert!(matches!(serves.reply_shared(id, 3, b"", attempt), Err(Cause::InvalidArgument { .. })));
    }
    let reply = calls.wait(call).expect("a reply");
    assert_eq!((reply.type_id(), reply.shared().len()), (2, 3));
}

#[test]
fn a_forked_child_reads_objects_and_takes_none_of_them_back() {
    alone("a_forked_child_reads_objects_and_takes_none_of_them_back", || {
        let _watchdog = watchdog("objects in a forked child");
        let (mut sends, mut receives) = bus_pair(&options(), &options());
        let table = object(1, 5000);
        sends.publish_shared(1, b"", &[&table]).expect("room");
        let mut kept = Some((table.clone(), receives.recv().expect("a frame").keep()));
        let mut table = Some(table);
        let mut built = Some(SharedBuffer::build(100).expect("memory"));
        let code = in_child(|| {
            let (own, message) = kept.take().expect("a copy");
            let read = is_object(1, &own) && is_object(1, &message.shared()[0]);
            let refused = sends.publish_shared(1, b"", &[&own]) == Err(Cause::Forked);
            let unsealed = built.take().expect("a copy").seal().is_err_and(|error| error.cause() == Cause::Forked);
            let (mut child_sends, child_receives) = bus_pair(&options(), &options());
            let handed_on = child_sends.publish_shared(1, b"", &[&own]) != Err(Cause::Forked);
            drop((own, message, table.take(), child_sends, child_receives));
            // A child makes objects of its own.
            let fresh = is_object(9, &object(9, 5000));
            i32::from(!read)
                | i32::from(!refused) << 1
                | i32::from(!unsealed) << 2
                | i32::from(!fresh) << 3
                | i32::from(handed_on) << 4
        });
        assert_eq!(code, 0, "bit 0: not readable, 1: published, 2: sealed, 3: none of its own, 4: handed on");
        assert_eq!(receives.recv_until(in_a_moment()).err(), Some(Cause::Timeout));
        assert_eq!(receives.stats().shared_known, 1, "nothing was taken back");
        drop((kept, table));
        assert_eq!(receives.recv_until(in_a_moment()).err(), Some(Cause::Timeout));
        assert_eq!(receives.stats().shared_known, 0);
        drop(built.expect("still here").seal().expect("the parent's"));
    });
}

#[test]
fn when_the_peer_is_gone_its_objects_go_after_its_last_message() {
    let _watchdog = watchdog("objects of a closed peer");
    let (mut sends, mut receives) = bus_pair(&options(), &options());
    let table = object(1, 5000);
    sends.publish_shared(1, b"", &[&table]).expect("room");
    drop(receives.recv().expect("a frame"));
    sends.publish_shared(2, b"", &[&table]).expect("room");
    drop((sends, table));
    assert_eq!(receives.state(), State::Closed);
    let kept = receives.recv().expect("what was committed").keep();
    assert!(is_object(1, &kept.shared()[0]));
    assert_eq!(receives.recv().err(), Some(Cause::Closed));
    let stats = receives.stats();
    assert_eq!((stats.shared_known, stats.shared_mapped), (0, 0), "what is kept here is no holder");
    assert!(is_object(1, &kept.shared()[0]));
}

#[test]
fn a_descriptor_that_came_by_another_way_is_attached_after_the_same_checks() {
    let _watchdog = watchdog("attaching a descriptor");
    let table = object(6, 5000);
    let sent = || table.as_fd().try_clone_to_owned().expect("a copy");
    let attached = SharedBuffer::attach(sent(), 5000).expect("as it was made");
    assert!(is_object(6, &attached) && attached.id() == table.id());
    for len in [4096, 8193, usize::MAX] {
        let refused = SharedBuffer::attach(sent(), len).expect_err("another length");
        assert!(matches!(refused.cause(), Cause::Corrupt(_)), "{refused}");
    }
    let null = std::fs::File::open("/dev/null").expect("every system has it");
    assert!(SharedBuffer::attach(null.into(), 0).is_err());
    let (mut sends, mut receives) = bus_pair(&options(), &options());
    sends.publish_shared(1, b"", &[&attached]).expect("room");
    assert!(is_object(6, &receives.recv().expect("a frame").shared()[0]));
}

#[test]
fn handlers_see_objects_and_a_note_has_none() {
    let _watchdog = watchdog("objects in handlers");
    let (mut calls, mut serves) = rpc_pair(&options(), &options());
    serves.on_request(|request| {
        let sum = request.shared().iter().map(|shared| shared.len() as u64).sum::<u64>();
        request.reply(0, &sum.to_le_bytes()).expect("a reply");
    });
    let server = thread::spawn(move || serves.run_until(soon()));
    let objects = [object(0, 100), object(1, 23)];
    for turn in 0..100 {
        calls.note(0, b"").expect("room");
        let shared = [&objects[0], &objects[1]];
        let reply = calls.request_shared_until(turn, &[], &shared[..turn as usize % 3], soon()).expect("a reply");
        assert_eq!(reply[..], [0, 100, 123_u64][turn as usize % 3].to_le_bytes());
    }
    assert_eq!(calls.stats().shared_told, 2);
    drop(calls);
    assert_eq!(server.join().expect("no panic"), Err(Cause::Closed));
}

#[test]
fn calls_with_objects_wait_for_a_place_and_time_out() {
    let _watchdog = watchdog("calls that are full");
    let (mut calls, serves): (RpcBus, RpcBus) = rpc_pair(&options().in_flight(2), &options());
    let table = object(0, 100);
    let _first = calls.try_call_shared(0, b"", &[&table]).expect("a place");
    let _second = calls.try_call_shared(0, &[1; 5000], &[&table]).expect("a place");
    assert_eq!(calls.try_call_shared(0, b"", &[&table]), Err(Cause::Full));
    assert_eq!(calls.call_shared_until(0, b"", &[&table], in_a_moment()), Err(Cause::Timeout));
    drop(serves);
    assert_eq!(calls.call_shared_until(0, b"", &[&table], soon()), Err(Cause::Closed));
}
