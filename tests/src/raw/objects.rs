//! The shared objects of a hostile peer: announced, named and taken back as one likes.

use super::blocks::Descriptor;
use super::memory::Segment;
use super::{End, layout};
use rustix::fs::SealFlags;
use std::os::fd::BorrowedFd;

/// The seals that an object must have.
pub const FINAL_SEALS: SealFlags =
    SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::WRITE).union(SealFlags::SEAL);

/// The record that announces an object.
#[must_use]
pub fn object(number: u64, bytes: u64) -> [u8; 24] {
    record(3, bytes, number)
}

/// The record that takes an object back.
#[must_use]
pub fn take_back(number: u64, position: u64) -> [u8; 24] {
    record(4, position, number)
}

fn record(name: u8, middle: u64, last: u64) -> [u8; 24] {
    let mut record = [0; 24];
    record[0] = name;
    record[8..16].copy_from_slice(&middle.to_le_bytes());
    record[16..].copy_from_slice(&last.to_le_bytes());
    record
}

/// What ends a frame that carries `payload` itself, names so many objects, and is otherwise a block's.
#[must_use]
pub fn told(block: Descriptor, names: u32) -> [u8; 24] {
    let mut bytes = block.bytes();
    bytes[7] |= (names << 4) as u8;
    bytes
}

/// The descriptor of a payload of `len` bytes that stands in its frame.
#[must_use]
pub fn in_frame(len: usize) -> Descriptor {
    Descriptor { region: 0, generation: 0, offset: 0, len: len as u64 }
}

impl End {
    /// Announces an object with these descriptors. Whether it could be sent.
    pub fn announce_object(&self, number: u64, bytes: u64, fds: &[BorrowedFd<'_>]) -> bool {
        self.socket.send_with(&object(number, bytes), fds)
    }

    /// Makes an object that holds `bytes`, and announces it, as it should be.
    ///
    /// # Panics
    /// If the other side has hung up.
    pub fn make_object(&self, number: u64, bytes: &[u8]) {
        let segment = Segment::of(bytes).sealed_finally();
        assert!(self.announce_object(number, bytes.len() as u64, &[segment.fd()]));
    }

    /// Publishes a frame of this kind that carries `payload` and names objects.
    pub fn name_objects(&mut self, kind: u64, type_id: u32, correlation: u32, payload: &[u8], numbers: &[u64]) {
        let end = told(in_frame(payload.len()), numbers.len() as u32);
        self.say_told(kind, type_id, correlation, payload, numbers, end);
    }

    /// The same, with any end.
    pub fn say_told(&mut self, kind: u64, type_id: u32, id: u32, payload: &[u8], numbers: &[u64], end: [u8; 24]) {
        let mut bytes = payload.to_vec();
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        bytes.extend(end);
        self.say(kind | layout::BLOCK, type_id, id, &bytes);
    }
}
