//! The words of a board: where a listening process shows what its sessions have counted.
//!
//! ```text
//!  word     what                                                    written
//!  ----     ------------------------------------------------        --------------------
//!     0     "SLIPBORD", layout version, number of slots             once
//!     8     sessions opened, open, open and not shown, slots used   a session begins, ends
//!    64     slot 0                                                  calm moments
//!   128     slot 1, and so on
//!
//!  a slot:
//!     0     generation: odd while the slot is being written
//!     1     number of the session (0: nobody's), kind, pid and uid of the peer, time, flags
//!     8     what the listening side has counted
//!    32     what the connecting side has
//! ```
//!
//! All of it is sixty-four thousand words, so that no access can be outside. Pages exist up to the last slot that is used.

use super::COUNTS;

/// First word, "SLIPBORD" as bytes.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"SLIPBORD");

/// Words of a board: a power of two.
pub(crate) const WORDS: u32 = 1 << 16;
pub(crate) const BYTES: usize = WORDS as usize * 8;

pub(crate) const VERSION_AT: u64 = 1;
pub(crate) const SLOTS_AT: u64 = 2;
/// How many sessions there were, and how many there are.
pub(crate) const OPENED: u64 = 8;
pub(crate) const OPEN: u64 = 9;
/// How many of those have no slot.
pub(crate) const UNSHOWN: u64 = 10;
/// Slots before this one exist.
pub(crate) const USED: u64 = 11;

/// Words of a slot: 512 bytes, so that two sessions that are busy at the same time share no pair of lines.
pub(crate) const SLOT: u64 = 64;
/// How many sessions are shown at a time: what fits.
pub(crate) const SLOTS: u32 = WORDS / SLOT as u32 - 1;

/// In a slot.
pub(crate) const GENERATION: u64 = 0;
pub(crate) const NUMBER: u64 = 1;
pub(crate) const KIND: u64 = 2;
/// `uid << 32 | pid`.
pub(crate) const PEER: u64 = 3;
/// The monotonic clock when the entry was made, in nanoseconds.
pub(crate) const TIME: u64 = 4;
/// Bit 0: the peer shows its counters.
pub(crate) const FLAGS: u64 = 5;
pub(crate) const OURS: u64 = 8;
pub(crate) const THEIRS: u64 = 32;

const _: () = assert!(OURS + COUNTS as u64 <= THEIRS && THEIRS + COUNTS as u64 <= SLOT);

/// The first word of a slot.
pub(crate) fn slot_at(slot: u32) -> u64 {
    SLOT * (1 + u64::from(slot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_is_as_the_layout_page_has_it() {
        assert_eq!((BYTES, SLOTS), (524_288, 1023));
        assert_eq!([OPENED, OPEN, UNSHOWN, USED].map(|word| word * 8), [64, 72, 80, 88]);
        assert_eq!([slot_at(0), slot_at(1), slot_at(SLOTS)].map(|word| word * 8), [512, 1024, BYTES as u64]);
        assert_eq!([NUMBER, KIND, PEER, TIME, FLAGS, OURS, THEIRS].map(|word| word * 8), [8, 16, 24, 32, 40, 64, 256]);
    }
}
