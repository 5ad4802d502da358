//! The return ring alone, and together with the frames by which blocks go out: what the owner can come to see.
//!
//! The owner looks a fixed number of times instead of waiting, so that an execution ends; what it has not seen by then is
//! looked for after the others are done, when it must be there.

use super::{explore, outbox, smallest};
use crate::layout::{RING, RingSize};
use crate::returns::{ReturnReader, ReturnWriter};
use crate::ring::{Reader, Show, Writer};
use crate::span::WriteSpan;
use loom::sync::Mutex;
use loom::thread;
use std::sync::Arc;

/// Both ends of a ring of `n` entries, the writing one in the outbox with this header.
fn ends(header: WriteSpan, n: u32) -> (ReturnWriter, ReturnReader) {
    let entries = WriteSpan::table(n as usize);
    let reader = ReturnReader::new(header.reader(), entries.reader(), n);
    (ReturnWriter::new(header, entries, n), reader)
}

/// The next entry that came back, if there is one; a look that a wait would end with must have been right.
fn take(reader: &mut ReturnReader) -> Option<u64> {
    let told = reader.has_some();
    let entry = reader.take().expect("an honest peer breaks nothing");
    assert!(entry.is_some() || !told, "what was there has gone");
    entry
}

/// Two leases drop on two threads, in the second lap of a ring whose words still hold the entries of the first; the owner
/// collects meanwhile.
///
/// Permitted: none of them, either, or both, each as it was pushed and once, in either order. Never an old entry.
#[test]
fn what_two_threads_give_back_arrives_once_and_whole() {
    explore("returns", None, || {
        let (mut writer, mut reader) = ends(WriteSpan::heap(RING), 2);
        for old in [0xAAAA, 0xBBBB] {
            writer.push(old);
            assert_eq!(take(&mut reader), Some(old));
        }
        let writer = Arc::new(Mutex::new(writer));
        let drops = [0x1_0000_0001, 0x2_0000_0002].map(|entry| {
            let writer = Arc::clone(&writer);
            thread::spawn(move || writer.lock().expect("no thread panics").push(entry))
        });
        let mut returned: Vec<_> = (0..2).filter_map(|_| take(&mut reader)).collect();
        drops.into_iter().for_each(|thread| thread.join().expect("the lease drops"));
        returned.extend(std::iter::from_fn(|| take(&mut reader)));
        returned.sort_unstable();
        assert_eq!(returned, [0x1_0000_0001, 0x2_0000_0002]);
    });
}

/// The owner's side: one block after the other goes out by a frame.
struct Owner {
    frames: Writer,
    returns: ReturnReader,
    /// The block that is out.
    out: u32,
}

impl Owner {
    fn lend(&mut self, block: u32) {
        let slot = self.frames.reserve(0).expect("no more frames than lines");
        self.frames.commit(slot, block, 0, 0, Show::Now);
        self.out = block;
    }

    /// Takes what came back, which can only be what is out, and lends the next block in its place.
    fn collect(&mut self) {
        if let Some(entry) = take(&mut self.returns) {
            assert_eq!(entry, u64::from(self.out), "only what is out comes back");
            self.lend(self.out + 1);
        }
    }
}

/// The reader's side: takes a frame, if there is one, and gives its block back.
fn give_back(frames: &mut Reader, returns: &mut ReturnWriter) {
    if let Some(frame) = frames.take().expect("an honest writer breaks nothing") {
        returns.push(u64::from(frame.type_id));
    }
}

/// One block is out at a time, so the ring has one entry, which every return overwrites. Nothing but the next frame tells the
/// reader that the last one was taken.
///
/// Permitted: nothing, or the entry of the block that is out. Never that of one before or after it.
#[test]
fn an_entry_is_overwritten_only_after_it_was_taken() {
    const BLOCKS: u32 = 3;
    explore("returns, one entry", None, || {
        let size = RingSize::new(512).expect("a size");
        let (ours, ring) = outbox(size);
        let (theirs, _) = outbox(smallest());
        let mut frames = Reader::new(theirs.clone(), ring.reader(), ours.reader(), size);
        let (mut gives, returns) = ends(theirs.clone(), 1);
        let mut owner = Owner { frames: Writer::new(ours, ring, theirs.reader(), size), returns, out: 0 };
        owner.lend(1);
        let peer = thread::spawn(move || {
            (0..BLOCKS).for_each(|_| give_back(&mut frames, &mut gives));
            (frames, gives)
        });
        (0..BLOCKS).for_each(|_| owner.collect());
        let (mut frames, mut gives) = peer.join().expect("the peer ends");
        while owner.out <= BLOCKS {
            give_back(&mut frames, &mut gives);
            owner.collect();
        }
    });
}
