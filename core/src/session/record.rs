//! The records of the session socket, byte by byte: what two sides tell each other beside what stands in their memory.
//!
//! A record is sent by one `sendmsg` and means something only as a whole. Its first byte says what it is, and by that how
//! long; each has one spelling, so everything that is kept is zero.
//!
//! ```text
//!  offset  bytes   bell   announce              forget    object                take back
//!  ------  -----   ----   -------------------   -------   -------------------   ---------------------------
//!       0      1      0   1                     2         3                     4
//!       1      1          kind of its memory    zero      zero                  zero
//!       2      2          zero                  zero      zero                  zero
//!       4      4          region                region    zero                  zero
//!       8      8          bytes of its memory   zero      bytes that it holds   position behind the last frame
//!      16      8          zero, kept            zero      number                number
//! ```
//!
//! The kind is 0 for a sealed memfd, 1 for POSIX shared memory, 2 for a spill file. All numbers are little-endian.
//! Announcements of regions and of shared objects come with the one descriptor of what they announce. This file knows no socket
//! and judges no number: what may be announced or forgotten is for those who keep it.

use crate::error::Violation;
use crate::shm::SegmentKind;

/// A bell, which is its first byte and nothing else.
pub(crate) const BELL: u8 = 0;

/// Bytes of every record but the bell.
pub(crate) const LEN: usize = 24;

/// The kinds of memory, each at its number.
const KINDS: [SegmentKind; 3] = [SegmentKind::Sealed, SegmentKind::Posix, SegmentKind::Spill];

const ANNOUNCE: u8 = 1;
const FORGET: u8 = 2;
const OBJECT: u8 = 3;
const TAKE_BACK: u8 = 4;

/// What one side tells the other over the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// Look again.
    Bell,
    /// A region of so many bytes is there; its descriptor comes along.
    Announce { region: u32, bytes: u64, kind: SegmentKind },
    /// No block of the region is handed out any more.
    Forget { region: u32 },
    /// A shared object that holds so many bytes has a number in this session; its descriptor comes along.
    Object { number: u64, bytes: u64 },
    /// No frame that starts at `position` or behind it names the object.
    TakeBack { number: u64, position: u64 },
}

impl Record {
    /// The bytes of this record, for which `room` is room enough.
    pub(crate) fn encode(self, room: &mut [u8; LEN]) -> &[u8] {
        let head = |name: u8, kind: u8, region: u32| u64::from(region) << 32 | u64::from(kind) << 8 | u64::from(name);
        let record = match self {
            Self::Bell => return &[BELL],
            Self::Announce { region, bytes, kind } => [head(ANNOUNCE, number_of(kind), region), bytes, 0],
            Self::Forget { region } => [head(FORGET, 0, region), 0, 0],
            Self::Object { number, bytes } => [head(OBJECT, 0, 0), bytes, number],
            Self::TakeBack { number, position } => [head(TAKE_BACK, 0, 0), position, number],
        };
        let (words, _) = room.as_chunks_mut::<8>();
        for (to, word) in words.iter_mut().zip(record) {
            *to = word.to_le_bytes();
        }
        room
    }

    /// Splits off the first whole record, with its length. `None`: the bytes end before it does.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, Violation> {
        let Some(&name) = bytes.first() else { return Ok(None) };
        match name {
            BELL => return Ok(Some((Self::Bell, 1))),
            ANNOUNCE | FORGET | OBJECT | TAKE_BACK => {}
            _ => return Err(Violation::Record),
        }
        let Some(record) = bytes.first_chunk::<LEN>() else { return Ok(None) };
        let [head, middle, last] = [0, 8, 16].map(|at| word(record, at));
        // The low half is the first byte, the number of a kind where the record has one, and behind that two of zero.
        let [_, number, 0, 0] = (head as u32).to_le_bytes() else { return Err(Violation::Record) };
        let record = match (name, number, (head >> 32) as u32, middle, last) {
            (ANNOUNCE, number, region, bytes, 0) => {
                let &kind = KINDS.get(usize::from(number)).ok_or(Violation::Record)?;
                Self::Announce { region, bytes, kind }
            }
            (FORGET, 0, region, 0, 0) => Self::Forget { region },
            (OBJECT, 0, 0, bytes, number) => Self::Object { number, bytes },
            (TAKE_BACK, 0, 0, position, number) => Self::TakeBack { number, position },
            _ => return Err(Violation::Record),
        };
        Ok(Some((record, LEN)))
    }
}

/// The number of a kind in [`KINDS`].
fn number_of(kind: SegmentKind) -> u8 {
    match kind {
        SegmentKind::Sealed => 0,
        SegmentKind::Posix => 1,
        SegmentKind::Spill => 2,
    }
}

fn word(record: &[u8; LEN], at: usize) -> u64 {
    u64::from_le_bytes(record[at..at + 8].try_into().expect("eight bytes are eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLES: [Record; 9] = [
        Record::Announce { region: 1, bytes: 4096, kind: SegmentKind::Sealed },
        Record::Announce { region: u32::MAX, bytes: u64::MAX, kind: SegmentKind::Posix },
        Record::Announce { region: 0, bytes: 0, kind: SegmentKind::Spill },
        Record::Forget { region: 7 },
        Record::Forget { region: u32::MAX },
        Record::Object { number: 0, bytes: 0 },
        Record::Object { number: u64::MAX, bytes: 1 },
        Record::TakeBack { number: 7, position: 4096 },
        Record::TakeBack { number: u64::MAX, position: u64::MAX },
    ];

    fn encoded(record: Record) -> [u8; LEN] {
        // Bytes that were there before are no part of a record.
        let mut room = [0xFF; LEN];
        assert_eq!(record.encode(&mut room).len(), LEN);
        room
    }

    #[test]
    fn every_record_survives_the_wire_with_whatever_follows_it() {
        let mut room = [0xFF; LEN];
        assert_eq!(Record::Bell.encode(&mut room), [BELL]);
        assert_eq!(Record::decode(&[BELL, 0xEE]), Ok(Some((Record::Bell, 1))));
        for record in SAMPLES {
            let mut bytes = encoded(record).to_vec();
            assert_eq!(Record::decode(&bytes), Ok(Some((record, LEN))));
            bytes.push(0xEE);
            assert_eq!(Record::decode(&bytes), Ok(Some((record, LEN))));
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_drawing() {
        for (number, kind) in (0..).zip(KINDS) {
            let announce = encoded(Record::Announce { region: 0x0403_0201, bytes: 0x0807_0605_0403_0201, kind });
            let drawn = [1, number, 0, 0, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
            assert_eq!(announce, drawn);
        }
        let forget = encoded(Record::Forget { region: 0x0403_0201 });
        assert_eq!(forget[..8], [2, 0, 0, 0, 1, 2, 3, 4]);
        assert_eq!(forget[8..], [0; 16]);
        let object = encoded(Record::Object { number: 0x0807_0605_0403_0201, bytes: 9 });
        assert_eq!(object, [3, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        let back = encoded(Record::TakeBack { number: 9, position: 0x0807_0605_0403_0201 });
        assert_eq!(back, [4, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_record_that_is_cut_short_is_none_yet() {
        assert_eq!(Record::decode(&[]), Ok(None));
        for record in SAMPLES {
            let bytes = encoded(record);
            for len in 1..LEN {
                assert_eq!(Record::decode(&bytes[..len]), Ok(None), "{record:?}, {len} bytes");
            }
        }
    }

    #[test]
    fn a_first_byte_that_names_no_record_is_corrupt_however_little_follows() {
        for name in 5..=u8::MAX {
            assert_eq!(Record::decode(&[name]), Err(Violation::Record), "{name}");
            assert_eq!(Record::decode(&[name; LEN]), Err(Violation::Record), "{name}");
        }
    }

    #[test]
    fn a_kind_that_does_not_exist_is_corrupt() {
        let mut bytes = encoded(SAMPLES[0]);
        for number in 3..=u8::MAX {
            bytes[1] = number;
            assert_eq!(Record::decode(&bytes), Err(Violation::Record), "{number}");
        }
    }

    #[test]
    fn bytes_that_are_kept_must_be_zero() {
        for record in SAMPLES {
            let kept = match record {
                Record::Announce { .. } => [2..4, 16..24],
                Record::Object { .. } | Record::TakeBack { .. } => [1..4, 4..8],
                _ => [1..4, 8..24],
            };
            for (at, bit) in kept.into_iter().flatten().flat_map(|at| (0..8).map(move |bit| (at, bit))) {
                let mut bytes = encoded(record);
                bytes[at] |= 1 << bit;
                assert_eq!(Record::decode(&bytes), Err(Violation::Record), "{record:?}, bit {bit} of byte {at}");
            }
        }
    }
}
