//! How sessions end: closed or dead, and what is still delivered.

use super::*;
use std::thread;

/// Says goodbye as an end that closes does.
fn close(side: &mut Side<Cord>) {
    side.release().expect("the peer is there");
    side.flush().expect("the peer is there");
    side.give_credit().expect("the peer is there");
    side.say_goodbye();
    side.channel().hang_up();
}

/// Receives until the stream ends.
fn receive_all(side: &mut Side<Cord>, patience: impl Fn() -> Patience) -> (Vec<u32>, Cause) {
    let mut received = Vec::new();
    loop {
        match side.take(patience()) {
            Ok(frame) => received.push(frame.type_id),
            // A trying call looks at the socket only now and then.
            Err(Cause::Empty) => thread::sleep(PULSE),
            Err(cause) => return (received, cause),
        }
    }
}

#[test]
fn after_a_goodbye_everything_is_delivered_and_then_closed() {
    for patience in [soon, || Patience::None] {
        let Pair { mut sends, mut receives, .. } = pair(512, Wait::Park, Scheme::Barrier);
        send(&mut sends, 0, b"");
        sends.publish(1, b"", Show::Later, Patience::None).expect("room");
        sends.publish(2, b"", Show::Later, Patience::None).expect("room");
        close(&mut sends);
        assert_eq!(receives.state(), State::Closed, "known before the rest is read");
        assert_eq!(receive_all(&mut receives, patience), (vec![0, 1, 2], Cause::Closed));
        assert_eq!(receives.take(patience()), Err(Cause::Closed), "for good");
    }
}

#[test]
fn after_a_death_what_was_committed_is_delivered_and_then_peer_died() {
    for patience in [soon, || Patience::None] {
        let Pair { mut sends, mut receives, .. } = pair(512, Wait::Park, Scheme::Barrier);
        send(&mut sends, 0, b"");
        sends.publish(1, b"", Show::Later, Patience::None).expect("room");
        let slot = sends.slot(8, Patience::None).expect("room");
        sends.writer.payload_mut(slot).fill(0xFF);
        sends.channel().hang_up();
        assert_eq!(receive_all(&mut receives, patience), (vec![0], Cause::PeerDied));
        assert_eq!(receives.state(), State::PeerDied);
        assert_eq!(receives.take(patience()), Err(Cause::PeerDied), "for good");
    }
}

#[test]
fn a_lease_outlives_its_writer() {
    let Pair { mut sends, mut receives, .. } = pair(256, Wait::Park, Scheme::Barrier);
    send(&mut sends, 0, b"last words");
    sends.channel().hang_up();
    drop(sends);
    let frame = receives.take(soon()).expect("it was committed");
    assert_eq!(receives.state(), State::PeerDied);
    assert_eq!(receives.reader.payload(frame), b"last words");
}

#[test]
fn sending_to_a_peer_that_is_gone_is_its_end() {
    for cause in [Cause::Closed, Cause::PeerDied] {
        let Pair { mut sends, mut receives, .. } = pair(256, Wait::Park, Scheme::Barrier);
        if cause == Cause::Closed {
            close(&mut receives);
        } else {
            receives.channel().hang_up();
        }
        // A call that need not wait looks at the socket only now and then.
        let give_up = Instant::now() + SOON;
        let seen = loop {
            match sends.publish(1, b"", Show::Now, Patience::None) {
                Ok(()) | Err(Cause::Full) => assert!(Instant::now() < give_up, "{cause} is never seen"),
                Err(seen) => break seen,
            }
        };
        assert_eq!(seen, cause);
        assert_eq!(sends.publish(1, b"", Show::Now, soon()), Err(cause));
        assert_eq!(sends.publish_batch([(1, b"")], soon()), Err(cause));
        assert_eq!(sends.slot(1, Patience::None).err(), Some(cause));
    }
}

#[test]
fn every_wait_ends_with_the_peer_whatever_the_strategy() {
    for strategy in [Wait::Spin, Wait::Park, Wait::Adaptive] {
        for cause in [Cause::Closed, Cause::PeerDied] {
            let Pair { mut sends, mut receives, .. } = pair(256, strategy, Scheme::Barrier);
            let end = move |side: &mut Side<Cord>| {
                thread::sleep(Duration::from_millis(5));
                if cause == Cause::Closed {
                    side.say_goodbye();
                }
                side.channel().hang_up();
            };
            thread::scope(|scope| {
                scope.spawn(|| end(&mut sends));
                assert_eq!(receives.take(soon()), Err(cause), "{strategy:?}, for data");
            });
            let Pair { mut sends, mut receives, .. } = pair(256, strategy, Scheme::Barrier);
            assert_eq!(fill(&mut sends), 3);
            thread::scope(|scope| {
                scope.spawn(|| end(&mut receives));
                assert_eq!(sends.publish(3, b"", Show::Now, soon()), Err(cause), "{strategy:?}, for room");
            });
        }
    }
}

#[test]
fn lingering_ends_when_everything_was_read_and_not_before() {
    let Pair { mut sends, mut receives, .. } = pair(4096, Wait::Park, Scheme::Barrier);
    for type_id in 0..5 {
        send(&mut sends, type_id, b"");
    }
    let short = Deadline::after(Duration::from_millis(3));
    assert_eq!(sends.wait_until_read(short), Err(Cause::Timeout));
    thread::scope(|scope| {
        scope.spawn(|| {
            for type_id in 0..5 {
                assert_eq!(receives.take(soon()).map(|frame| frame.type_id), Ok(type_id));
            }
            // The release of the last lease; far from a step of credit, but the writer waits.
            receives.release().expect("the peer is there");
        });
        assert_eq!(sends.wait_until_read(Deadline::after(SOON)), Ok(()));
    });
    assert_eq!(sends.writer.seen_read(), 5 * 64);
}

#[test]
fn a_reader_that_closes_with_everything_read_ends_the_lingering_well() {
    let Pair { mut sends, mut receives, .. } = pair(4096, Wait::Park, Scheme::Barrier);
    send(&mut sends, 1, b"");
    receives.take(soon()).expect("a frame");
    close(&mut receives);
    assert_eq!(sends.wait_until_read(Deadline::after(SOON)), Ok(()));
}

#[test]
fn a_reader_that_dies_with_something_unread_ends_the_lingering_as_dead() {
    let Pair { mut sends, receives, .. } = pair(4096, Wait::Park, Scheme::Barrier);
    send(&mut sends, 1, b"");
    receives.channel().hang_up();
    assert_eq!(sends.wait_until_read(Deadline::after(SOON)), Err(Cause::PeerDied));
}
