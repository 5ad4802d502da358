//! The frame ring alone: what the reader can come to see while the writer writes.
//!
//! A reader here looks a fixed number of times instead of waiting, so that an execution ends; what it has not seen by then is
//! looked for after the writer is done, when it must be there. Every payload is compared, and loom compares every access to
//! it.

use super::{ends, explore, smallest};
use crate::layout::{Form, LINE, Rest, RingSize, commit_word};
use crate::ring::{Label, Reader, Show, Writer};
use loom::thread;

/// Commits one frame, for which there is room.
fn send(writer: &mut Writer, type_id: u32, payload: &[u8], show: Show) {
    assert!(try_send(writer, type_id, payload, show), "there is room");
}

/// Commits one frame if there is room.
fn try_send(writer: &mut Writer, type_id: u32, payload: &[u8], show: Show) -> bool {
    let Ok(slot) = writer.reserve(payload.len()) else { return false };
    writer.fill(slot, 0, payload);
    writer.commit(slot, Label::data(type_id), payload.len(), show);
    true
}

/// The next frame, copied out, if there is one.
fn take(reader: &mut Reader) -> Option<(u32, Vec<u8>)> {
    let frame = reader.take().expect("an honest writer breaks nothing")?;
    let mut payload = vec![0; frame.len];
    reader.copy(frame, &mut payload);
    Some((frame.type_id, payload))
}

/// Takes the next frame, gives it back, and tells the writer.
fn receive(reader: &mut Reader) -> Option<(u32, Vec<u8>)> {
    let frame = take(reader)?;
    reader.release();
    reader.give_credit();
    Some(frame)
}

/// Sends and receives `lines` frames of one line each, so that what follows starts there.
fn turn(writer: &mut Writer, reader: &mut Reader, lines: u32) {
    for line in 0..lines {
        send(writer, line, &[], Show::Now);
        assert_eq!(receive(reader), Some((line, Vec::new())));
    }
}

/// A payload that takes two lines.
fn two_lines(byte: u8) -> Vec<u8> {
    vec![byte; 100]
}

/// A frame of two lines is sent where only one is left before the end, so a pad goes before it; a short one follows.
///
/// Permitted: none of them, the first, or both, in this order and whole. Never the pad.
#[test]
fn frames_behind_a_pad_arrive_whole_and_in_order() {
    explore("pad", None, || {
        let (mut writer, mut reader) = ends(RingSize::new(512).expect("a size"));
        turn(&mut writer, &mut reader, 7);
        let sender = thread::spawn(move || {
            send(&mut writer, 1, &two_lines(0xA1), Show::Now);
            send(&mut writer, 2, b"short", Show::Now);
        });
        let sent = [(1, two_lines(0xA1)), (2, b"short".to_vec())];
        let mut seen: Vec<_> = (0..3).filter_map(|_| take(&mut reader)).collect();
        sender.join().expect("the sender ends");
        seen.extend(std::iter::from_fn(|| take(&mut reader)));
        assert_eq!(seen, sent);
    });
}

/// The payload of an earlier lap holds, exactly where the frame after the next will start, a whole false header: the commit
/// word of that position, a kind and a length.
///
/// Permitted: nothing, the first, or both of the frames that are sent. Never the false one.
#[test]
fn old_bytes_that_look_like_the_next_commit_word_are_no_frame() {
    explore("old bytes", None, || {
        let (mut writer, mut reader) = ends(smallest());
        let mut bait = two_lines(0);
        // Line 1 of the ring starts 48 bytes behind the start of the payload in line 0.
        bait[48..52].copy_from_slice(&commit_word(smallest().bytes() + LINE).to_le_bytes());
        let rest = Rest::new(Form::DATA, 1, 0);
        bait[56..64].copy_from_slice(&rest.encode().to_le_bytes());
        send(&mut writer, 0, &bait, Show::Now);
        assert_eq!(receive(&mut reader), Some((0, bait)));
        turn(&mut writer, &mut reader, 2);
        let sender = thread::spawn(move || {
            send(&mut writer, 1, b"one", Show::Now);
            send(&mut writer, 2, b"two", Show::Now);
        });
        let mut seen: Vec<_> = (0..3).filter_map(|_| take(&mut reader)).collect();
        sender.join().expect("the sender ends");
        seen.extend(std::iter::from_fn(|| take(&mut reader)));
        assert_eq!(seen, [(1, b"one".to_vec()), (2, b"two".to_vec())]);
    });
}

/// The ring is full; while the reader takes frames and gives credit, the writer tries to send two more into their lines.
///
/// Permitted: any number of the two go out; what arrives is the full ring, then those, unspoiled. A line that is written
/// while it is read fails the model.
#[test]
fn credit_keeps_the_writer_off_lines_that_are_being_read() {
    explore("credit", None, || {
        let (mut writer, mut reader) = ends(smallest());
        for byte in 0..3 {
            send(&mut writer, byte, &[byte as u8; 8], Show::Now);
        }
        let sender = thread::spawn(move || {
            // The first goes into the line that was spare, the second where the first frame stood.
            (3..5).take_while(|&byte| try_send(&mut writer, byte, &[byte as u8; 8], Show::Now)).count()
        });
        let mut seen: Vec<_> = (0..3).filter_map(|_| receive(&mut reader)).collect();
        let sent = 3 + sender.join().expect("the sender ends");
        seen.extend(std::iter::from_fn(|| receive(&mut reader)));
        assert_eq!(seen, (0..sent as u32).map(|byte| (byte, vec![byte as u8; 8])).collect::<Vec<_>>());
    });
}

/// A claim is given up, and then frames of several lengths, one of them claimed longer than it is used, go around the ring,
/// the last behind a pad, as far as the reader gives credit.
///
/// Permitted: what goes out arrives, whole and in order; nothing of what was given up does.
#[test]
fn a_stream_goes_around_the_ring() {
    /// Length of the claim, and of what is used of it.
    const FRAMES: [(usize, usize); 5] = [(8, 8), (100, 100), (100, 8), (200, 200), (8, 8)];
    fn send_from(writer: &mut Writer, first: usize) -> usize {
        let out = FRAMES[first..].iter().take_while(|&&(claim, used)| {
            let Ok(slot) = writer.reserve(claim) else { return false };
            writer.fill(slot, 0, &vec![used as u8; used]);
            writer.commit(slot, Label::data(used as u32), used, Show::Now);
            true
        });
        first + out.count()
    }
    explore("stream", None, || {
        let (mut writer, mut reader) = ends(RingSize::new(512).expect("a size"));
        turn(&mut writer, &mut reader, 1);
        let sender = thread::spawn(move || {
            let slot = writer.reserve(100).expect("an empty ring has room");
            writer.fill(slot, 0, &[0xFF; 100]);
            let sent = send_from(&mut writer, 0);
            (writer, sent)
        });
        let mut seen: Vec<_> = (0..4).filter_map(|_| receive(&mut reader)).collect();
        let (mut writer, mut sent) = sender.join().expect("the sender ends");
        while seen.len() < FRAMES.len() {
            seen.extend(std::iter::from_fn(|| receive(&mut reader)));
            sent = send_from(&mut writer, sent);
        }
        assert_eq!(seen, FRAMES.map(|(_, used)| (used as u32, vec![used as u8; used])));
    });
}

/// Two frames are held back, a pad between them, and shown: by a flush, or by the frame that follows.
///
/// Permitted: nothing, or the whole group. Whoever sees its first frame sees the others without looking twice.
#[test]
fn a_group_is_seen_whole_or_not_at_all() {
    for by_flush in [true, false] {
        explore(if by_flush { "group, flushed" } else { "group, shown by the next" }, None, move || {
            let (mut writer, mut reader) = ends(RingSize::new(512).expect("a size"));
            turn(&mut writer, &mut reader, 6);
            let sender = thread::spawn(move || {
                send(&mut writer, 1, b"one", Show::Later);
                send(&mut writer, 2, &two_lines(0xB2), Show::Later);
                if by_flush {
                    assert!(writer.show_group());
                } else {
                    send(&mut writer, 3, b"three", Show::Now);
                }
            });
            let mut group = vec![(1, b"one".to_vec()), (2, two_lines(0xB2))];
            if !by_flush {
                group.push((3, b"three".to_vec()));
            }
            let see = |reader: &mut Reader| {
                let Some(first) = take(reader) else { return false };
                let others = (1..group.len()).map(|_| take(reader).expect("the group is seen whole"));
                assert_eq!(std::iter::once(first).chain(others).collect::<Vec<_>>(), group);
                true
            };
            let seen = see(&mut reader) || see(&mut reader);
            sender.join().expect("the sender ends");
            assert!(seen || see(&mut reader), "what was shown arrives");
            assert_eq!(take(&mut reader), None);
        });
    }
}

/// The reader asks whether something is there, and takes it; the writer sends a frame that needs a pad before it.
///
/// Permitted: nothing there, or a frame to take. Never something there and nothing to take.
#[test]
fn what_is_there_can_be_taken() {
    explore("there", None, || {
        let (mut writer, mut reader) = ends(smallest());
        turn(&mut writer, &mut reader, 3);
        let sender = thread::spawn(move || send(&mut writer, 1, &two_lines(0xC3), Show::Now));
        let taken = reader.has_data().then(|| take(&mut reader).expect("there is something"));
        sender.join().expect("the sender ends");
        let taken = taken.or_else(|| take(&mut reader));
        assert_eq!(taken, Some((1, two_lines(0xC3))));
    });
}
