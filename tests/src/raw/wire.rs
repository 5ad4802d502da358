//! The messages of the handshake, as `docs/PROTOCOL.md` describes them, written and read by code of our own.
//!
//! Sixteen bytes (magic, layout version, kind of message, bytes that follow; 32 bits each), then 64-bit words, then, in a
//! refusal, text. All little-endian. Every field can be set to what it must not be.

/// The first four bytes of every message.
pub const MAGIC: u32 = u32::from_le_bytes(*b"SLIP");
/// The version of layout and handshake that these tests were written for.
pub const VERSION: u32 = 4;
/// Bytes before the words.
pub const PREFIX: usize = 16;

/// Kind of message: a client introduces itself.
pub const HELLO: u32 = 1;
/// Kind of message: a listener says what to build and sends its outbox.
pub const OFFER: u32 = 2;
/// Kind of message: a client sends its outbox.
pub const ACCEPT: u32 = 3;
/// Kind of message: a listener has taken it.
pub const SETTLED: u32 = 4;
/// Kind of message: a listener will have none of it.
pub const REFUSAL: u32 = 5;

/// Kind of message: a client wants no session, but to see what others count.
pub const OBSERVE: u32 = 6;
/// Kind of message: a listener sends its board.
pub const BOARD: u32 = 7;
/// Bytes of a board.
pub const BOARD_BYTES: u64 = 1 << 19;

/// Kind of session: frames one way.
pub const BUS: u64 = 1;
/// Kind of session: calls both ways.
pub const RPC: u64 = 2;
/// The ring of a side that only receives.
pub const RECEIVING_RING: u64 = 256;
/// Entries of the return ring of a side that is sent blocks.
pub const RETURNS: u64 = 4096;
/// Entries of that of a side that is sent none.
pub const NO_RETURNS: u64 = 1;
/// What our side says that it takes outside the ring: the longest payload, the sum of all regions, the longest of them, and
/// how many there may be.
pub const LIMITS: [u64; 4] = [16 << 20, 64 << 20, 32 << 20, 64];
/// Where those stand among the words of an introduction.
pub const LIMITS_AT: usize = 5;
/// Where the flags stand there: bit 0 `membarrier`, bit 1 unsealed memory, bit 2 takes such, bit 3 takes spill regions.
pub const FLAGS_AT: usize = 2;
/// Where the number of calls in flight and, above it, the inline limit stand there.
pub const CALLS_AT: usize = 9;
/// How many calls in flight our side proposes, and its inline limit.
pub const CALLS: u64 = 8 | 256 << 32;
/// Where the geometry stands in an offer: ring and returns of the client, then of the listener.
pub const GEOMETRY_AT: usize = 10;
/// Any processor.
const ANY_CPU: u64 = u64::MAX;

/// One message, right or wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// [`MAGIC`], if it is right.
    pub magic: u32,
    /// [`VERSION`], if it is right.
    pub version: u32,
    /// What kind of message.
    pub tag: u32,
    /// The words that follow.
    pub words: Vec<u64>,
    /// What stands behind the last whole word, or behind the number of a refusal.
    pub text: Vec<u8>,
    /// How many bytes it says that follow; `None`: the truth.
    pub told: Option<u32>,
}

impl Message {
    fn new(tag: u32, words: &[u64]) -> Self {
        Self { magic: MAGIC, version: VERSION, tag, words: words.to_vec(), text: Vec::new(), told: None }
    }

    /// As it goes over the socket.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut body: Vec<u8> = self.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        body.extend_from_slice(&self.text);
        let told = self.told.unwrap_or(body.len() as u32);
        let prefix = [self.magic, self.version, self.tag, told];
        prefix.iter().flat_map(|word| word.to_le_bytes()).chain(body).collect()
    }

    /// Reads prefix and body back.
    #[must_use]
    pub fn parse(prefix: &[u8; PREFIX], body: &[u8]) -> Self {
        let [magic, version, tag, _] = words_of(prefix);
        let whole = if tag == REFUSAL { body.len().min(8) } else { body.len() / 8 * 8 };
        let words = body[..whole].chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")));
        Self { magic, version, tag, words: words.collect(), text: body[whole..].to_vec(), told: None }
    }

    /// How many bytes a prefix says that follow.
    #[must_use]
    pub fn body_len(prefix: &[u8; PREFIX]) -> usize {
        words_of(prefix)[3] as usize
    }

    /// In an offer: the size of the ring that the client is to make.
    ///
    /// # Panics
    /// If it is no offer.
    #[must_use]
    pub fn client_ring(&self) -> u64 {
        self.geometry()[0]
    }

    /// In an offer: ring and returns of the client, then of the listener.
    ///
    /// # Panics
    /// If it is no offer.
    #[must_use]
    pub fn geometry(&self) -> [u64; 4] {
        assert_eq!(self.tag, OFFER, "{self:?}");
        self.words[GEOMETRY_AT..GEOMETRY_AT + 4].try_into().expect("an offer has all its words")
    }

    /// The same introduction, for calls.
    #[must_use]
    pub fn for_calls(mut self) -> Self {
        self.words[0] = RPC;
        self
    }

    /// The same introduction with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: [u64; 4]) -> Self {
        self.words[LIMITS_AT..LIMITS_AT + 4].copy_from_slice(&limits);
        self
    }

    /// In a refusal: the number of the reason.
    ///
    /// # Panics
    /// If it is no refusal.
    #[must_use]
    pub fn reason(&self) -> u64 {
        assert_eq!(self.tag, REFUSAL, "{self:?}");
        self.words[0]
    }
}

fn words_of(prefix: &[u8; PREFIX]) -> [u32; 4] {
    let word = |at: usize| u32::from_le_bytes(prefix[at..at + 4].try_into().expect("four bytes"));
    [word(0), word(4), word(8), word(12)]
}

/// kind, trust (same user), flags (no `membarrier`), processor, clock; the limits of what we receive; calls and inline limit.
fn introduction() -> Vec<u64> {
    [&[BUS, 0, 0, ANY_CPU, 0][..], &LIMITS, &[CALLS]].concat()
}

/// An introduction, for frames one way.
#[must_use]
pub fn hello() -> Message {
    Message::new(HELLO, &introduction())
}

/// The same introduction; then ring and returns that the client is to make and that the listener has made, and the size of
/// the segment that comes along.
#[must_use]
pub fn offer(client: [u64; 2], server: [u64; 2], segment: u64) -> Message {
    Message::new(OFFER, &[&introduction()[..], &client, &server, &[segment]].concat())
}

/// The size of the segment that comes along.
#[must_use]
pub fn accept(segment: u64) -> Message {
    Message::new(ACCEPT, &[segment])
}

/// Nothing more.
#[must_use]
pub fn settled() -> Message {
    Message::new(SETTLED, &[])
}

/// A reason, by number and in words.
#[must_use]
pub fn refusal(reason: u64, text: &str) -> Message {
    Message { text: text.as_bytes().to_vec(), ..Message::new(REFUSAL, &[reason]) }
}

/// What an observer says.
#[must_use]
pub fn observe() -> Message {
    Message::new(OBSERVE, &[])
}

/// The size of the board that comes along.
#[must_use]
pub fn board(bytes: u64) -> Message {
    Message::new(BOARD, &[bytes])
}
