//! The messages of the handshake, as `docs/PROTOCOL.md` describes them, written and read by code of our own.
//!
//! Sixteen bytes (magic, layout version, kind of message, bytes that follow; 32 bits each), then 64-bit words, then, in a
//! refusal, text. All little-endian. Every field can be set to what it must not be.

/// The first four bytes of every message.
pub const MAGIC: u32 = u32::from_le_bytes(*b"SLIP");
/// The version of layout and handshake that these tests were written for.
pub const VERSION: u32 = 1;
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

/// The kind of session that there is.
pub const BUS: u64 = 1;
/// The ring of a side that only receives.
pub const RECEIVING_RING: u64 = 256;
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
        assert_eq!(self.tag, OFFER, "{self:?}");
        self.words[5]
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

/// kind, trust (same user), flags (no `membarrier`), processor, clock; then the limits of what we receive.
#[must_use]
pub fn hello() -> Message {
    Message::new(HELLO, &[BUS, 0, 0, ANY_CPU, 0, 0, 0])
}

/// The same introduction; then the rings that the client is to make and that the listener has made, and the size of the
/// segment that comes along.
#[must_use]
pub fn offer(client_ring: u64, server_ring: u64, segment: u64) -> Message {
    Message::new(OFFER, &[BUS, 0, 0, ANY_CPU, 0, client_ring, server_ring, segment])
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
