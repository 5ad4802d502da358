//! The arena of a hostile peer: regions announced as one likes, descriptors that name what one likes, and blocks of the other
//! side's given back as often as one likes.

use super::memory::Segment;
use super::{End, layout};
use std::os::fd::BorrowedFd;

/// Bytes of a record on the session socket, but of a bell.
const RECORD: usize = 24;

/// The record that announces a region.
#[must_use]
pub fn announcement(region: u32, bytes: u64) -> [u8; RECORD] {
    record(1, region, bytes)
}

/// The record that asks for a region to be forgotten.
#[must_use]
pub fn forget(region: u32) -> [u8; RECORD] {
    record(2, region, 0)
}

fn record(name: u8, region: u32, bytes: u64) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[0] = name;
    record[4..8].copy_from_slice(&region.to_le_bytes());
    record[8..16].copy_from_slice(&bytes.to_le_bytes());
    record
}

/// What a frame whose payload is in a block ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Number of the region.
    pub region: u32,
    /// How often the block was given out.
    pub generation: u32,
    /// Where it starts.
    pub offset: u64,
    /// Bytes of payload.
    pub len: u64,
}

impl Descriptor {
    /// As it stands in a frame.
    #[must_use]
    pub fn bytes(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..4].copy_from_slice(&self.region.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.generation.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.offset.to_le_bytes());
        bytes[16..].copy_from_slice(&self.len.to_le_bytes());
        bytes
    }

    /// The last of a frame's bytes, taken apart.
    ///
    /// # Panics
    /// If there are too few.
    #[must_use]
    pub fn of(frame: &[u8]) -> Self {
        let bytes = frame.last_chunk::<24>().expect("a descriptor has 24 bytes");
        let half = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        Self { region: half(0), generation: half(4), offset: word(8), len: word(16) }
    }

    /// The entry by which the block is given back: region, start in 256 bytes, generation.
    #[must_use]
    pub fn entry(&self) -> u64 {
        (u64::from(self.region) << 44) | ((self.offset / 256) << 20) | u64::from(self.generation)
    }
}

impl End {
    /// Announces a region with these descriptors. Whether it could be sent.
    pub fn announce(&self, region: u32, bytes: u64, fds: &[BorrowedFd<'_>]) -> bool {
        self.socket.send_with(&announcement(region, bytes), fds)
    }

    /// Makes a region of `len` bytes and announces it, as it should be.
    ///
    /// # Panics
    /// If the other side has hung up.
    pub fn make_region(&self, region: u32, len: usize) -> Segment {
        let segment = Segment::region(len);
        assert!(self.announce(region, len as u64, &[segment.fd()]));
        segment
    }

    /// Publishes a frame of this kind that ends with a descriptor.
    pub fn name_block(&mut self, kind: u64, type_id: u32, correlation: u32, block: Descriptor) {
        self.say(kind | layout::BLOCK, type_id, correlation, &block.bytes());
    }

    /// Writes one entry into our return ring, and says so.
    pub fn give_back(&mut self, entry: u64) {
        let at = layout::RING + self.ring as usize + (self.returned % self.returns) as usize * 8;
        self.mine.store_u64(at, entry);
        self.returned += 1;
        self.mine.store_u64(layout::RETURNS, self.returned);
    }
}
