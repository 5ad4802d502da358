//! Two threads at once: streams by every form of call, and every wait that has to be ended by the other thread.

use super::*;
use std::io::IoSlice;
use std::thread;

/// How many frames a stream has.
const FRAMES: u32 = if cfg!(miri) { 40 } else { 10_000 };

const SCHEMES: [Scheme; 3] = [Scheme::Barrier, Scheme::Naps, Scheme::Fences];
const STRATEGIES: [Wait; 3] = [Wait::Spin, Wait::Park, Wait::Adaptive];

/// The payload of frame `number`: its length changes, its bytes tell the number.
fn payload(number: u32, max: usize) -> Vec<u8> {
    let mut len = number.wrapping_mul(2_654_435_761) as usize % (max + 1);
    if cfg!(miri) {
        // Miri's weak memory does not bear plain bytes over a part of what was an atomic word.
        len &= !3;
    }
    vec![number as u8 ^ 0x3C; len]
}

/// Sends frame `number` by one of the ways there are.
fn send_by_turns(side: &mut Side<Cord>, number: u32, max: usize) -> Result<(), Cause> {
    let payload = payload(number, max);
    match number % 7 {
        0 | 1 => side.publish(number, &payload, Show::Now, soon()),
        2 => side.publish(number, &payload, Show::Later, soon()),
        3 => {
            // Claimed longer than used.
            let slot = side.slot(max, soon())?;
            side.writer.payload_mut(slot)[..payload.len()].copy_from_slice(&payload);
            side.commit(slot, Label::data(number), &[], payload.len(), Show::Now)
        }
        4 => side.publish_batch([(number, &payload)], soon()).map(|sent| assert_eq!(sent, 1)),
        5 => {
            let (front, back) = payload.split_at(payload.len() / 2);
            side.publish_vectored(number, &[IoSlice::new(front), IoSlice::new(back)], soon())
        }
        _ => {
            let give_up = Instant::now() + SOON;
            while let Err(cause) = side.publish(number, &payload, Show::Now, Patience::None) {
                assert!(cause == Cause::Full && Instant::now() < give_up, "{cause}");
                thread::yield_now();
            }
            Ok(())
        }
    }
}

/// Receives the next frame, waiting or trying by turns.
fn receive_by_turns(side: &mut Side<Cord>, number: u32, max: usize) {
    let give_up = Instant::now() + SOON;
    let frame = loop {
        let patience = if number.is_multiple_of(5) { Patience::None } else { soon() };
        match side.take(patience) {
            Ok(frame) => break frame,
            Err(Cause::Empty) if Instant::now() < give_up => thread::yield_now(),
            Err(cause) => panic!("{cause} instead of frame {number}"),
        }
    };
    assert_eq!(frame.type_id, number);
    assert_eq!(side.reader.payload(frame), payload(number, max));
    if number.is_multiple_of(3) {
        side.release().expect("the peer is there");
    }
}

fn stream(bytes: u64, strategy: Wait, scheme: Scheme) {
    let Pair { mut sends, mut receives, .. } = pair(bytes, strategy, scheme);
    let max = sends.inline_limit();
    let sender = thread::spawn(move || {
        for number in 0..FRAMES {
            send_by_turns(&mut sends, number, max).expect("the peer is there");
        }
        sends.flush().expect("the peer is there");
        sends.say_goodbye();
        sends.channel().hang_up();
        sends.stats
    });
    for number in 0..FRAMES {
        receive_by_turns(&mut receives, number, max);
    }
    assert_eq!(receives.take(soon()), Err(Cause::Closed));
    assert_eq!(receives.state(), State::Closed);
    let sent = sender.join().expect("the sender ends");
    assert_eq!((sent.frames_sent, sent.bytes_sent), (receives.stats.frames_received, receives.stats.bytes_received));
    assert!(sent.bells_rung >= receives.stats.bells_heard);
}

#[test]
fn a_stream_arrives_whole_by_every_strategy_and_scheme() {
    for strategy in STRATEGIES {
        for scheme in SCHEMES {
            stream(256, strategy, scheme);
            stream(4096, strategy, scheme);
        }
    }
}

/// Runs `ends` in another thread after both sides had the time to fall asleep for long.
fn meanwhile(ends: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(10));
        ends();
    })
}

#[test]
fn a_long_sleep_ends_with_a_frame() {
    for scheme in SCHEMES {
        let Pair { mut sends, mut receives, .. } = pair(256, Wait::Park, scheme);
        let other = meanwhile(move || send(&mut sends, 5, b"good morning"));
        let frame = receives.take(soon()).expect("a frame comes");
        assert_eq!(receives.reader.payload(frame), b"good morning");
        assert_eq!(receives.stats.parks, 1);
        assert_eq!(receives.stats.naps > 0, scheme != Scheme::Fences);
        other.join().expect("the other ends");
    }
}

#[test]
fn a_long_sleep_ends_with_a_group_that_is_shown() {
    let Pair { mut sends, mut receives, .. } = pair(256, Wait::Park, Scheme::Barrier);
    let other = meanwhile(move || {
        sends.publish(5, b"", Show::Later, Patience::None).expect("room");
        sends.flush().expect("the peer is there");
    });
    assert_eq!(receives.take(soon()).map(|frame| frame.type_id), Ok(5));
    other.join().expect("the other ends");
}

#[test]
fn a_long_sleep_for_room_ends_with_a_release() {
    for scheme in SCHEMES {
        let Pair { mut sends, mut receives, .. } = pair(256, Wait::Park, scheme);
        assert_eq!(fill(&mut sends), 3);
        let other = meanwhile(move || {
            receives.take(Patience::None).expect("a frame");
            receives.release().expect("the peer is there");
        });
        assert_eq!(sends.publish(3, b"", Show::Now, soon()), Ok(()));
        other.join().expect("the other ends");
    }
}

#[test]
fn a_group_is_shown_before_its_sender_waits_for_room() {
    let Pair { mut sends, mut receives, .. } = pair(256, Wait::Adaptive, Scheme::Barrier);
    let other = thread::spawn(move || {
        for type_id in 0..20 {
            assert_eq!(receives.take(soon()).map(|frame| frame.type_id), Ok(type_id));
        }
    });
    for type_id in 0..20 {
        sends.publish(type_id, b"", Show::Later, soon()).expect("the group is shown, read, and makes room");
    }
    sends.flush().expect("the peer is there");
    other.join().expect("the other ends");
}

#[test]
fn a_batch_larger_than_the_ring_goes_out_in_groups() {
    let Pair { mut sends, mut receives, .. } = pair(256, Wait::Park, Scheme::Barrier);
    let other = thread::spawn(move || {
        for type_id in 0..100 {
            assert_eq!(receives.take(soon()).map(|frame| frame.type_id), Ok(type_id));
        }
    });
    assert_eq!(sends.publish_batch((0..100).map(|type_id| (type_id, b"x")), soon()), Ok(100));
    other.join().expect("the other ends");
}

#[test]
fn a_signal_that_comes_during_a_sleep_ends_it() {
    let Pair { sends, mut receives, .. } = pair(256, Wait::Park, Scheme::Fences);
    let post = Arc::clone(&receives.channel().ours);
    let other = meanwhile(move || post.change(|mail| mail.signal = true));
    assert_eq!(receives.take(soon()), Err(Cause::Interrupted));
    other.join().expect("the other ends");
    drop(sends);
}

#[test]
fn a_foreign_loop_misses_nothing() {
    let rounds = if cfg!(miri) { 20 } else { 3_000 };
    let Pair { mut sends, mut receives, .. } = pair(1024, Wait::Park, Scheme::Barrier);
    receives.watch();
    let other = thread::spawn(move || {
        for number in 0..rounds {
            sends.publish(number, b"", Show::Now, soon()).expect("the peer is there");
            if number % 16 == 0 {
                thread::yield_now();
            }
        }
    });
    let mut expected = 0;
    while expected < rounds {
        match receives.take(Patience::None) {
            Ok(frame) => {
                assert_eq!(frame.type_id, expected);
                expected += 1;
            }
            Err(Cause::Empty) => assert!(receives.channel().await_readable(SOON), "nobody rang for {expected}"),
            Err(cause) => panic!("{cause}"),
        }
    }
    other.join().expect("the other ends");
}
