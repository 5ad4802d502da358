//! The messages of the handshake, byte by byte. No socket and no decision here.
//!
//! ```text
//!  offset  every message starts with           then, as 64-bit words
//!  ------  -----------------------------       ---------------------------------------------------------
//!       0  magic "SLIP"           u32          hello    kind trust flags cpu clock limits(4) calls+inline_limit
//!       4  layout version         u32          offer    the same, then client_ring client_returns server_ring
//!                                                       server_returns segment                                       + 1 fd
//!       8  kind of message        u32          accept   segment                                                      + 1 fd
//!      12  bytes that follow      u32          settled  (nothing)
//!                                              refusal  reason, then the reason as text
//!                                              observe  (nothing)
//!                                              board    bytes                                                        + 1 fd
//! ```
//!
//! The first 16 bytes never change, so that any two versions can tell each other which they are.

use crate::blocks::Limits;
use crate::error::{Refusal, Violation};
use crate::layout::{self, Geometry, RingSize, SessionKind as Kind};
use crate::options::Trust;

const MAGIC: u32 = u32::from_le_bytes(*b"SLIP");
pub(crate) const PREFIX: usize = 16;
/// No message of this version is longer; what is behind the prefix of a longer one is not read.
pub(crate) const BODY_MAX: usize = 256;
const NO_CPU: u64 = u64::MAX;

/// Bits of an introduction's flags.
const BARRIER: u64 = 1;
const UNSEALED: u64 = 1 << 1;
const TAKES_UNSEALED: u64 = 1 << 2;
const TAKES_SPILL: u64 = 1 << 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Tag {
    Hello = 1,
    Offer = 2,
    Accept = 3,
    Settled = 4,
    Refusal = 5,
    Observe = 6,
    Board = 7,
}

/// What a side tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Introduction {
    pub(crate) kind: Kind,
    pub(crate) trust: Trust,
    /// The side is registered for `membarrier` and can issue it.
    pub(crate) barrier: bool,
    pub(crate) memory: MemoryTerms,
    /// The one processor that the side may run on, if it is one.
    pub(crate) cpu: Option<u32>,
    /// The side's monotonic clock, in nanoseconds, when this was written.
    pub(crate) clock: u64,
    /// What the side accepts outside the ring.
    pub(crate) limits: Limits,
    /// How many calls each way it wants to have in flight, and the longest payload that it wants in the ring; in an offer, what
    /// was agreed.
    pub(crate) calls: u32,
    pub(crate) inline_limit: u32,
}

/// What a side tells of its memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemoryTerms {
    /// Its outbox and regions are without seals.
    pub(crate) unsealed: bool,
    /// It maps such ones of its peer's.
    pub(crate) takes_unsealed: bool,
    /// It maps regions in files.
    pub(crate) takes_spill: bool,
}

/// The listener's answer: what it is, and what is to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) about: Introduction,
    /// The outbox that the client is to make.
    pub(crate) client: Geometry,
    /// The outbox in the segment that comes with this.
    pub(crate) server: Geometry,
    /// Bytes of that segment.
    pub(crate) segment: u64,
}

/// A message, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Hello(Introduction),
    Offer(Offer),
    /// Bytes of the client's segment, which comes with this.
    Accept(u64),
    Settled,
    Refusal {
        why: Refusal,
        text: String,
    },
    /// The client wants no session, but to see what the listener's sessions count.
    Observe,
    /// Bytes of the board, which comes with this.
    Board(u64),
}

/// The first bytes of a message, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) version: u32,
    tag: u32,
    pub(crate) body: usize,
}

impl Prefix {
    pub(crate) fn decode(bytes: &[u8; PREFIX]) -> Result<Self, Violation> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if word(0) != MAGIC {
            return Err(Violation::Handshake);
        }
        Ok(Self { version: word(4), tag: word(8), body: word(12) as usize })
    }

    pub(crate) fn decode_body(self, body: &[u8]) -> Result<Message, Violation> {
        let mut words = Words(body);
        let message = match self.tag {
            tag if tag == Tag::Hello as u32 => Message::Hello(words.introduction()?),
            tag if tag == Tag::Offer as u32 => Message::Offer(Offer {
                about: words.introduction()?,
                client: words.geometry()?,
                server: words.geometry()?,
                segment: words.next()?,
            }),
            tag if tag == Tag::Accept as u32 => Message::Accept(words.next()?),
            tag if tag == Tag::Settled as u32 => Message::Settled,
            tag if tag == Tag::Refusal as u32 => {
                let why = refusal_of(words.next()?);
                let text = String::from_utf8_lossy(words.0).into_owned();
                words.0 = &[];
                Message::Refusal { why, text }
            }
            tag if tag == Tag::Observe as u32 => Message::Observe,
            tag if tag == Tag::Board as u32 => Message::Board(words.next()?),
            _ => return Err(Violation::Handshake),
        };
        if words.0.is_empty() { Ok(message) } else { Err(Violation::Handshake) }
    }
}

impl Message {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; PREFIX];
        let mut put = |word: u64| out.extend_from_slice(&word.to_le_bytes());
        let tag = match self {
            Self::Hello(about) => {
                about.encode(&mut put);
                Tag::Hello
            }
            Self::Offer(offer) => {
                offer.about.encode(&mut put);
                for outbox in [offer.client, offer.server] {
                    put(outbox.ring.bytes());
                    put(u64::from(outbox.returns()));
                }
                put(offer.segment);
                Tag::Offer
            }
            Self::Accept(segment) => {
                put(*segment);
                Tag::Accept
            }
            Self::Settled => Tag::Settled,
            Self::Refusal { why, text } => {
                put(refusal_number(*why));
                out.extend_from_slice(&text.as_bytes()[..text.len().min(BODY_MAX - 8)]);
                Tag::Refusal
            }
            Self::Observe => Tag::Observe,
            Self::Board(bytes) => {
                put(*bytes);
                Tag::Board
            }
        };
        let body = (out.len() - PREFIX) as u32;
        let prefix = [MAGIC, layout::VERSION, tag as u32, body];
        for (at, word) in prefix.into_iter().enumerate() {
            out[at * 4..at * 4 + 4].copy_from_slice(&word.to_le_bytes());
        }
        out
    }
}

impl Introduction {
    fn encode(&self, put: &mut impl FnMut(u64)) {
        put(self.kind as u64);
        put(match self.trust {
            Trust::SameUser => 0,
            Trust::Untrusted => 1,
        });
        let MemoryTerms { unsealed, takes_unsealed, takes_spill } = self.memory;
        let flags = [
            (BARRIER, self.barrier),
            (UNSEALED, unsealed),
            (TAKES_UNSEALED, takes_unsealed),
            (TAKES_SPILL, takes_spill),
        ];
        put(flags.iter().filter(|(_, set)| *set).map(|(bit, _)| bit).sum());
        put(self.cpu.map_or(NO_CPU, u64::from));
        put(self.clock);
        let Limits { message, memory, region, regions } = self.limits;
        let in_flight = u64::from(self.calls) | u64::from(self.inline_limit) << 32;
        [message, memory, region, u64::from(regions), in_flight].into_iter().for_each(put);
    }
}

/// What is left of a body.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn next(&mut self) -> Result<u64, Violation> {
        let (word, rest) = self.0.split_first_chunk::<8>().ok_or(Violation::Handshake)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*word))
    }

    fn introduction(&mut self) -> Result<Introduction, Violation> {
        let kind = match self.next()? {
            1 => Kind::Bus,
            2 => Kind::Rpc,
            _ => return Err(Violation::Handshake),
        };
        let trust = match self.next()? {
            0 => Trust::SameUser,
            1 => Trust::Untrusted,
            _ => return Err(Violation::Handshake),
        };
        let flags = self.next()?;
        let is_set = |bit| flags & bit != 0;
        let barrier = is_set(BARRIER);
        let memory = MemoryTerms {
            unsealed: is_set(UNSEALED),
            takes_unsealed: is_set(TAKES_UNSEALED),
            takes_spill: is_set(TAKES_SPILL),
        };
        let cpu = self.next()?;
        let cpu = if cpu == NO_CPU { None } else { Some(u32::try_from(cpu).map_err(|_| Violation::Handshake)?) };
        let clock = self.next()?;
        let limits = Limits {
            message: self.next()?,
            memory: self.next()?,
            region: self.next()?,
            regions: u32::try_from(self.next()?).map_err(|_| Violation::Handshake)?,
        };
        let in_flight = self.next()?;
        let (calls, inline_limit) = (in_flight as u32, (in_flight >> 32) as u32);
        Ok(Introduction { kind, trust, barrier, memory, cpu, clock, limits, calls, inline_limit })
    }

    fn geometry(&mut self) -> Result<Geometry, Violation> {
        let ring = RingSize::new(self.next()?).ok_or(Violation::Geometry)?;
        let returns = u32::try_from(self.next()?).map_err(|_| Violation::Geometry)?;
        Geometry::new(ring, returns).ok_or(Violation::Geometry)
    }
}

fn refusal_number(why: Refusal) -> u64 {
    match why {
        Refusal::User => 1,
        Refusal::Kind => 2,
        Refusal::Busy => 3,
        Refusal::Version => 4,
        Refusal::Malformed => 5,
        Refusal::Segment => 6,
        Refusal::OutOfMemory => 7,
        Refusal::Slow => 8,
        Refusal::Closing => 9,
        Refusal::Unsealed => 10,
        Refusal::Unobserved => 11,
        Refusal::Other(number) => u64::from(number),
    }
}

fn refusal_of(number: u64) -> Refusal {
    match number {
        1 => Refusal::User,
        2 => Refusal::Kind,
        3 => Refusal::Busy,
        4 => Refusal::Version,
        5 => Refusal::Malformed,
        6 => Refusal::Segment,
        7 => Refusal::OutOfMemory,
        8 => Refusal::Slow,
        9 => Refusal::Closing,
        10 => Refusal::Unsealed,
        11 => Refusal::Unobserved,
        other => Refusal::Other(other as u32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<Message, Violation> {
        let (prefix, body) = bytes.split_first_chunk::<PREFIX>().ok_or(Violation::Handshake)?;
        Prefix::decode(prefix)?.decode_body(body)
    }

    fn geometry(ring: u64) -> Geometry {
        Geometry::new(RingSize::new(ring).expect("a ring size"), 64).expect("a geometry")
    }

    fn samples() -> Vec<Message> {
        let limits = Limits { message: 1 << 34, memory: 1 << 33, region: 1 << 32, regions: 77 };
        let about = Introduction {
            kind: Kind::Bus,
            trust: Trust::Untrusted,
            barrier: true,
            memory: MemoryTerms { unsealed: true, takes_unsealed: false, takes_spill: true },
            cpu: Some(3),
            clock: u64::MAX,
            limits,
            calls: 64,
            inline_limit: 1 << 20,
        };
        let outbox = geometry(1 << 20);
        let mut samples = vec![
            Message::Hello(about),
            Message::Hello(Introduction { cpu: None, trust: Trust::SameUser, barrier: false, ..about }),
            Message::Offer(Offer { about, client: outbox, server: outbox, segment: 4096 }),
            Message::Accept(1 << 40),
            Message::Settled,
            Message::Observe,
            Message::Board(1 << 19),
        ];
        samples.extend((0..13).map(|number| Message::Refusal { why: refusal_of(number), text: "why".into() }));
        samples
    }

    #[test]
    fn every_message_survives_the_wire() {
        for message in samples() {
            let bytes = message.encode();
            assert!(bytes.len() <= PREFIX + BODY_MAX);
            assert_eq!(decode(&bytes), Ok(message));
        }
    }

    #[test]
    fn a_message_that_is_too_short_or_too_long_is_malformed() {
        for message in samples().into_iter().take(7) {
            let mut bytes = message.encode();
            bytes.push(0);
            assert!(decode(&bytes).is_err(), "{message:?} with a byte too many");
            bytes.truncate(bytes.len() - 2);
            assert!(decode(&bytes).is_err(), "{message:?} with a byte too few");
        }
    }

    #[test]
    fn a_ring_size_that_is_none_is_refused_before_anything_is_built() {
        let Some(Message::Offer(offer)) = samples().into_iter().nth(2) else { panic!("the third is an offer") };
        let offer = Message::Offer(Offer { client: geometry(256), ..offer }).encode();
        // The client's ring follows the ten words of the introduction, its return ring that.
        for (word, wrong) in [(10, 300_u64), (10, 0), (11, 3), (11, u64::MAX), (11, 1 << 17)] {
            let mut bytes = offer.clone();
            bytes[PREFIX + word * 8..][..8].copy_from_slice(&wrong.to_le_bytes());
            assert_eq!(decode(&bytes), Err(Violation::Geometry), "word {word} as {wrong}");
        }
    }

    #[test]
    fn a_long_refusal_is_cut_to_what_a_message_holds() {
        let bytes = Message::Refusal { why: Refusal::Busy, text: "x".repeat(1000) }.encode();
        assert_eq!(bytes.len(), PREFIX + BODY_MAX);
        assert!(decode(&bytes).is_ok());
    }
}
