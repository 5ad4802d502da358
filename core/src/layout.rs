//! The bytes of an outbox: where each word stands, what a frame header holds, what geometry is allowed.
//!
//! ```text
//!  offset   what                                     written        read by the peer
//!  ------   --------------------------------------   ------------   --------------------------
//!       0   identity: magic, layout version          once           never (the handshake tells)
//!     128   calm line: parked, starving, close       on sleep,       after each of its stores
//!                                                    starvation,
//!                                                    close
//!     256   read position                            at credits      when its ring looks full
//!     384   return tail                              blocks given    when blocks run short
//!                                                    back
//!     512   counters                                 calm moments    when its user asks
//!    1024   frame ring, a power of two of bytes      every frame     polling
//!  behind   return ring, a power of two of 64-bit    blocks given    when blocks run short
//!           entries                                  back
//!
//!  a frame, on a line:
//!       0        4        8              12           16                            64
//!       ┌────────┬────────┬──────────────┬────────────┬─────────────────────────────┐
//!       │ commit │ type   │ length 27 b  │ correlation│ the first 48 payload bytes   │ …lines follow
//!       │ word   │ id     │ kind    5 b  │ id         │                             │
//!       └────────┴────────┴──────────────┴────────────┴─────────────────────────────┘
//! ```
//!
//! All numbers are little-endian. This file holds no algorithm and touches no memory. `docs/LAYOUT.md` tells it in prose; a
//! change here raises [`VERSION`] and adds a line to the history there.

#[cfg(not(loom))]
pub(crate) mod board;

use crate::error::Violation;
use std::fmt;

/// The version of everything in this file and of the handshake. A peer of another version is refused.
pub(crate) const VERSION: u32 = 4;

/// First word of an outbox, "SLIPRING" as bytes: for people who look at a dump.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"SLIPRING");

/// A cache line, and the unit of the ring. 64 bytes on every x86-64 and nearly every aarch64 (Intel 64 Optimization
/// Reference Manual, "Cache parameters"); fixed here because both sides must agree, whatever their processors.
pub(crate) const LINE: u64 = 64;

/// Distance of words that different moments write: two lines, because the adjacent-line prefetcher moves lines in pairs
/// (Intel 64 Optimization Reference Manual, "Spatial prefetcher").
pub(crate) const SPACING: usize = 128;

pub(crate) const IDENTITY: usize = 0;
pub(crate) const IDENTITY_VERSION: usize = IDENTITY + 8;

/// `epoch << 8 | fenced << 7 | reasons << 1 | asleep`.
pub(crate) const PARKED: usize = IDENTITY + SPACING;
/// Not zero while the writer has seen its ring full and not yet found room.
pub(crate) const STARVING: usize = PARKED + 8;
/// Zero, or the final position with bit 0 set: the goodbye.
pub(crate) const CLOSE: usize = STARVING + 8;
/// How far this side has read in the peer's ring.
pub(crate) const READ: usize = PARKED + SPACING;
/// How many blocks this side has given back to the peer's arena.
pub(crate) const RETURNS: usize = READ + SPACING;
/// How many records of the peer's, bells aside, this side has taken from the socket.
pub(crate) const SEEN: usize = RETURNS + 8;
/// Not zero where this side shows its counters; they follow.
pub(crate) const COUNTERS: usize = RETURNS + SPACING;
/// How many there are, each a word: those of [`Stats`](crate::Stats), in its order.
pub(crate) const COUNTS: usize = 20;
/// Where the frame ring starts.
pub(crate) const RING: usize = 1024;

/// Where the counter of this number stands.
pub(crate) const fn counter_at(number: usize) -> usize {
    COUNTERS + 8 * (1 + number)
}

/// Offsets in a frame header.
pub(crate) const COMMIT: usize = 0;
pub(crate) const TYPE_ID: usize = 4;
/// Length, kind and correlation id, read and written as one 64-bit word.
pub(crate) const REST: usize = 8;
/// Bytes of a frame header.
pub(crate) const HEADER: usize = 16;

/// Payload bytes that ride in a frame's first line.
pub(crate) const LINE_PAYLOAD: usize = LINE as usize - HEADER;

const LENGTH_BITS: u32 = 27;
/// The longest frame, header included: what 27 bits of length can say.
pub(crate) const FRAME_MAX: u64 = 1 << LENGTH_BITS;

pub(crate) const RING_MIN: u64 = 4 * LINE;
/// Commit words are the low half of a position, so two positions a ring apart must differ there.
pub(crate) const RING_MAX: u64 = 1 << 30;

const _: () = {
    assert!(counter_at(COUNTS) <= RING);
    assert!(CLOSE + 8 <= PARKED + LINE as usize);
    assert!((RING as u64).is_multiple_of(LINE) && RING.is_multiple_of(SPACING));
    assert!(REST + 8 == HEADER);
    assert!(RING_MAX < 1 << 32);
};

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
#[non_exhaustive]
pub enum SessionKind {
    /// Frames from the connecting to the listening end.
    Bus = 1,
    /// Calls both ways.
    Rpc = 2,
}

/// What a frame is, apart from how long: a kind, and how its payload comes.
///
/// ```text
///   bit 4    bit 3    bits 2..0
///   block    timed    1 data  2 pad  3 request  4 reply  5 note  6 cancel  7 error
/// ```
///
/// *Block*: the frame ends with a [`Descriptor`], which says where the payload stands: in a block of the sender's arena, or, in a
/// frame that also names shared objects, in the frame itself. *Timed*: 8 bytes of deadline come first, the sender's monotonic
/// clock in nanoseconds; only requests have one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form(u8);

impl Form {
    pub(crate) const DATA: Self = Self(1);
    /// Fills the ring to its end, because a frame never wraps.
    pub(crate) const PAD: Self = Self(2);
    /// Asks for exactly one reply or error with the same correlation id.
    pub(crate) const REQUEST: Self = Self(3);
    pub(crate) const REPLY: Self = Self(4);
    /// As a request of which nobody awaits the reply; the library's own, empty reply gives its place back.
    pub(crate) const NOTE: Self = Self(5);
    /// The reply to a request is no longer awaited. It comes all the same.
    pub(crate) const CANCEL: Self = Self(6);
    /// A reply that says why there is none; the type id is the reason's number.
    pub(crate) const ERROR: Self = Self(7);

    const KIND: u8 = 7;
    const TIMED: u8 = 8;
    const BLOCK: u8 = 16;

    /// A bit for each form that there is.
    const POSSIBLE: u32 = {
        let short = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << (3 | Self::TIMED);
        let long = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << (3 | Self::TIMED);
        short | long << Self::BLOCK
    };

    #[inline]
    fn decode(bits: u32) -> Option<Self> {
        (Self::POSSIBLE >> bits & 1 == 1).then_some(Self(bits as u8))
    }

    /// The same with its payload in a block.
    #[inline]
    pub(crate) fn in_block(self) -> Self {
        Self(self.0 | Self::BLOCK)
    }

    /// The same with a deadline in front.
    #[inline]
    pub(crate) fn timed(self) -> Self {
        Self(self.0 | Self::TIMED)
    }

    /// Without what says how the payload comes.
    #[inline]
    pub(crate) fn kind(self) -> Self {
        Self(self.0 & Self::KIND)
    }

    #[inline]
    pub(crate) fn is_in_block(self) -> bool {
        self.0 & Self::BLOCK != 0
    }

    #[inline]
    pub(crate) fn is_timed(self) -> bool {
        self.0 & Self::TIMED != 0
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = ["none", "data", "pad", "request", "reply", "note", "cancel", "error"][usize::from(self.kind().0)];
        let timed = if self.is_timed() { ", timed" } else { "" };
        let block = if self.is_in_block() { ", in a block" } else { "" };
        write!(f, "{kind}{timed}{block}")
    }
}

/// The checked content of a frame header behind the type id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rest {
    pub(crate) form: Form,
    /// Payload bytes; of no meaning for a pad, whose length the reader computes.
    pub(crate) len: u32,
    pub(crate) correlation: u32,
}

impl Rest {
    pub(crate) fn new(form: Form, len: u32, correlation: u32) -> Self {
        debug_assert!(u64::from(len) < FRAME_MAX);
        Self { form, len, correlation }
    }

    #[cfg(test)]
    pub(crate) fn data(len: u32, correlation: u32) -> Self {
        Self::new(Form::DATA, len, correlation)
    }

    pub(crate) fn pad() -> Self {
        Self { form: Form::PAD, len: 0, correlation: 0 }
    }

    #[inline]
    pub(crate) fn encode(self) -> u64 {
        u64::from(self.len) | u64::from(self.form.0) << LENGTH_BITS | u64::from(self.correlation) << 32
    }

    /// Decodes what a peer wrote; only the kind can be wrong here, the length is judged where the ring is known.
    #[inline]
    pub(crate) fn decode(word: u64) -> Result<Self, Violation> {
        let form = Form::decode((word as u32) >> LENGTH_BITS).ok_or(Violation::FrameKind)?;
        Ok(Self { form, len: word as u32 & ((1 << LENGTH_BITS) - 1), correlation: (word >> 32) as u32 })
    }
}

/// The commit word of the frame that starts at `position`: odd, so never the zero that means "nothing here yet".
#[inline]
pub(crate) fn commit_word(position: u64) -> u32 {
    debug_assert!(position.is_multiple_of(LINE));
    position as u32 | 1
}

/// Bytes that a frame with a payload of `len` bytes takes: whole lines.
#[inline]
pub(crate) const fn frame_bytes(len: usize) -> u64 {
    (len as u64 + HEADER as u64 + (LINE - 1)) & !(LINE - 1)
}

/// The size of a frame ring that has passed the checks: a power of two between [`RING_MIN`] and [`RING_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RingSize(u64);

impl RingSize {
    pub(crate) fn new(bytes: u64) -> Option<Self> {
        (bytes.is_power_of_two() && (RING_MIN..=RING_MAX).contains(&bytes)).then_some(Self(bytes))
    }

    #[inline]
    pub(crate) fn bytes(self) -> u64 {
        self.0
    }

    /// Where in a ring of this size `position` stands.
    #[inline]
    pub(crate) fn index(self, position: u64) -> usize {
        (position & (self.0 - 1)) as usize
    }

    /// Where in a ring of this size the line of `position` starts.
    #[inline]
    pub(crate) fn line(self, position: u64) -> usize {
        (position & (self.0 - LINE)) as usize
    }

    /// How many bytes there are from `position` to the end of the ring.
    #[inline]
    pub(crate) fn to_end(self, position: u64) -> u64 {
        self.0 - self.index(position) as u64
    }

    /// The longest frame: half the ring, so that pad, frame and spare line always fit into an empty one.
    pub(crate) fn frame_max(self) -> u64 {
        (self.0 / 2).min(FRAME_MAX)
    }

    /// The longest payload that a frame of this ring can carry.
    pub(crate) fn payload_max(self) -> usize {
        (self.frame_max() as usize - HEADER).min((1 << LENGTH_BITS) - 1)
    }

    /// How much is read before the writer is told without being asked: an eighth, and at least a line.
    pub(crate) fn credit_step(self) -> u64 {
        (self.0 / 8).max(LINE)
    }
}

/// Bytes of a deadline, which stands before the payload of a timed request.
pub(crate) const DEADLINE: usize = 8;

/// What requests leave free in a ring, so that `calls` replies of up to `inline` bytes always find room: as many as can be
/// under way, the one that is being read, the longest pad, the credit that may lag behind, and the spare line.
pub(crate) fn kept_for_replies(ring: RingSize, calls: u32, inline: usize) -> u64 {
    (u64::from(calls) + 2) * frame_bytes(reply_max(inline)) + ring.credit_step() + LINE
}

/// The most that the frame of a reply may hold where payloads of up to `inline` bytes ride in the ring: at least a line.
pub(crate) fn reply_max(inline: usize) -> usize {
    frame_bytes(inline.max(DEADLINE + Descriptor::BYTES)) as usize - HEADER
}

/// Whether a ring bears so many calls of that size: what is kept for replies is at most half of it, and beside that two of
/// the longest requests find room.
pub(crate) fn calls_fit(ring: RingSize, calls: u32, inline: usize) -> bool {
    let kept = kept_for_replies(ring, calls, inline);
    kept <= ring.bytes() / 2 && 2 * frame_bytes(inline + DEADLINE) <= ring.bytes() - kept
}

/// The most shared objects that one frame names.
pub(crate) const NAMES_MAX: usize = 8;

/// The most shared objects that a side may have announced and not taken back.
pub(crate) const OBJECTS_MAX: usize = 256;

/// Where a payload stands, and how many shared objects come with it: what a frame that is [in a block](Form::in_block) ends
/// with. The numbers of the objects stand right before it, 8 bytes each.
///
/// ```text
///  0        4                        8            16          24
///  ┌────────┬────────────────────────┬────────────┬───────────┐
///  │ region │ generation 28, names 4 │ offset     │ length    │
///  └────────┴────────────────────────┴────────────┴───────────┘
/// ```
///
/// No block has the generation 0. With objects it says that the payload stands in the frame, before the numbers; region and
/// offset are zero then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) region: u32,
    pub(crate) generation: u32,
    /// Bytes from the start of the region.
    pub(crate) offset: u64,
    /// Bytes of payload.
    pub(crate) len: u64,
    /// How many objects the frame names.
    pub(crate) names: usize,
}

/// Bits of the word that generation and number of names share.
const GENERATION_BITS: u32 = 28;

impl Descriptor {
    pub(crate) const BYTES: usize = 24;

    /// Of a payload of `len` bytes in the frame itself, beside `names` objects.
    pub(crate) fn in_frame(len: usize, names: usize) -> Self {
        Self { region: 0, generation: 0, offset: 0, len: len as u64, names }
    }

    /// Whether it says that the payload stands in the frame.
    pub(crate) fn is_in_frame(self) -> bool {
        self.generation == 0 && self.names > 0
    }

    pub(crate) fn encode(self) -> [u8; Self::BYTES] {
        debug_assert!(self.names <= NAMES_MAX && self.generation < 1 << GENERATION_BITS);
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.region.to_le_bytes());
        bytes[4..8].copy_from_slice(&(self.generation | (self.names as u32) << GENERATION_BITS).to_le_bytes());
        bytes[8..16].copy_from_slice(&self.offset.to_le_bytes());
        bytes[16..].copy_from_slice(&self.len.to_le_bytes());
        bytes
    }

    /// Takes apart what a peer wrote at the end of a frame of `frame_len` bytes, in which `head` bytes stand before the payload.
    /// Whether the block is one is judged where the regions are known.
    ///
    /// # Errors
    /// [`Violation::Descriptor`] for more names than a frame has, or a frame in which names and payload do not just fit.
    pub(crate) fn decode(bytes: [u8; Self::BYTES], frame_len: usize, head: usize) -> Result<Self, Violation> {
        let half = |at: usize| u32::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte]));
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte]));
        let (generation, names) = (half(4) & ((1 << GENERATION_BITS) - 1), (half(4) >> GENERATION_BITS) as usize);
        let told = Self { region: half(0), generation, offset: word(8), len: word(16), names };
        let before = frame_len.checked_sub(head + names * Names::EACH + Self::BYTES).ok_or(Violation::Descriptor)?;
        let in_frame = (told.region, told.offset, told.len) == (0, 0, before as u64);
        if names <= NAMES_MAX && (in_frame || !told.is_in_frame()) { Ok(told) } else { Err(Violation::Descriptor) }
    }
}

/// The numbers of the shared objects that come with one payload, as they stand in the frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names {
    bytes: [u8; NAMES_MAX * Self::EACH],
    count: usize,
}

impl Names {
    /// Bytes of one number.
    pub(crate) const EACH: usize = 8;

    /// Room for `count` numbers, which are no more than a frame has.
    pub(crate) fn of(count: usize) -> Self {
        debug_assert!(count <= NAMES_MAX);
        Self { bytes: [0; NAMES_MAX * Self::EACH], count }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.count * Self::EACH]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.count * Self::EACH]
    }

    pub(crate) fn set(&mut self, at: usize, number: u64) {
        self.bytes_mut()[at * Self::EACH..][..Self::EACH].copy_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn numbers(&self) -> impl ExactSizeIterator<Item = u64> {
        self.bytes().as_chunks().0.iter().map(|number| u64::from_le_bytes(*number))
    }
}

/// Where the pieces of an outbox stand: header, ring, return ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) ring: RingSize,
    /// Entries of the return ring: a power of two.
    returns: u32,
}

/// The most entries of a return ring, and so the most blocks that a side can have out.
pub(crate) const RETURNS_MAX: u32 = 1 << 16;

impl Geometry {
    pub(crate) fn new(ring: RingSize, returns: u32) -> Option<Self> {
        let possible = returns.is_power_of_two() && returns <= RETURNS_MAX;
        possible.then_some(Self { ring, returns })
    }

    pub(crate) fn returns(self) -> u32 {
        self.returns
    }

    /// Where the return ring starts.
    pub(crate) fn returns_at(self) -> usize {
        RING + self.ring.bytes() as usize
    }

    /// Bytes of the return ring.
    pub(crate) fn returns_bytes(self) -> usize {
        self.returns as usize * 8
    }

    /// Bytes of the outbox, before rounding up to pages.
    pub(crate) fn bytes(self) -> usize {
        self.returns_at() + self.returns_bytes()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_encoding() {
        let rest = Rest::data((1 << LENGTH_BITS) - 1, u32::MAX);
        assert_eq!(Rest::decode(rest.encode()), Ok(rest));
        assert_eq!(Rest::decode(Rest::pad().encode()), Ok(Rest::pad()));
        assert_eq!(Rest::decode(0), Err(Violation::FrameKind));
        for form in [2 | 16, 6 | 16, 8, 1 | 8, 2 | 8, 4 | 8, 5 | 8, 6 | 8, 7 | 8, 31] {
            assert_eq!(Rest::decode(form << LENGTH_BITS), Err(Violation::FrameKind), "form {form}");
        }
        for form in [Form::DATA.in_block(), Form::REQUEST.timed(), Form::REQUEST.timed().in_block(), Form::CANCEL] {
            let rest = Rest::new(form, 8, 9);
            assert_eq!(Rest::decode(rest.encode()), Ok(rest));
        }
    }

    #[test]
    fn a_descriptor_survives_encoding_and_its_frame_is_just_as_long_as_it_says() {
        let block = Descriptor { region: 7, generation: (1 << 20) - 1, offset: 1 << 31, len: 1 << 32, names: 0 };
        for told in [block, Descriptor { names: NAMES_MAX, ..block }, Descriptor::in_frame(5, 1)] {
            let len = told.names * Names::EACH + Descriptor::BYTES + if told.is_in_frame() { 5 } else { 0 };
            assert_eq!(Descriptor::decode(told.encode(), len, 0), Ok(told));
            assert_eq!(Descriptor::decode(told.encode(), len + 8, 8), Ok(told));
            assert_eq!(Descriptor::decode(told.encode(), len - 1, 0), Err(Violation::Descriptor));
        }
        let in_frame = Descriptor::in_frame(5, 1);
        for wrong in [Descriptor { region: 1, ..in_frame }, Descriptor { offset: 256, ..in_frame }, in_frame] {
            assert_eq!(Descriptor::decode(wrong.encode(), 5 + 8 + 24 + 1, 0), Err(Violation::Descriptor), "{wrong:?}");
        }
        let mut many = in_frame.encode();
        many[7] = (NAMES_MAX as u8 + 1) << 4;
        assert_eq!(Descriptor::decode(many, 5 + 72 + 24, 0), Err(Violation::Descriptor));
    }

    #[test]
    fn names_are_as_many_as_were_set() {
        let mut names = Names::of(2);
        names.set(0, 3);
        names.set(1, u64::MAX);
        assert_eq!((names.count(), names.bytes().len()), (2, 16));
        assert!(names.numbers().eq([3, u64::MAX]));
    }

    #[test]
    fn forty_eight_bytes_take_one_line_and_forty_nine_take_two() {
        assert_eq!(frame_bytes(0), 64);
        assert_eq!(frame_bytes(48), 64);
        assert_eq!(frame_bytes(49), 128);
    }

    #[test]
    fn only_powers_of_two_in_range_are_ring_sizes() {
        for bytes in [0, 1, 64, 128, 255, 257, 384, RING_MAX + 1, RING_MAX * 2, u64::MAX] {
            assert_eq!(RingSize::new(bytes), None, "{bytes}");
        }
        for bits in 8..=30 {
            let size = RingSize::new(1 << bits).expect("a power of two in range");
            assert!(frame_bytes(size.payload_max()) <= size.frame_max());
            assert!(size.credit_step() >= LINE);
        }
    }
}
