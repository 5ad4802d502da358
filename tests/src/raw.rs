//! Hostile peers: both sides of a session, by code of their own, so that they can break every rule of it.
//!
//! [`wire`] says and understands the handshake's messages, [`socket`] moves them with whatever descriptors one likes, and
//! [`memory`] makes segments that need not be sealed, whole or true. [`outboxes`] and [`records`] list what must be refused.
//! [`End`] is one side of a finished session: it behaves until it is told to write something else ([`blocks`] are its
//! arena, [`objects`] what it shares). [`talk`] uses one as an honest process would, while [`scribble`] writes over what it
//! says.

pub mod blocks;
pub mod memory;
pub mod objects;
pub mod outboxes;
pub mod records;
pub mod scribble;
pub mod socket;
pub mod talk;
pub mod wire;

use memory::{Segment, View};
use slipring::{Bus, Cause, Error, Listener, Options, RpcBus};
use socket::{Socket, SocketListener};
use std::sync::Arc;
use std::thread;
use wire::{Message, NO_RETURNS, RECEIVING_RING, RETURNS};

/// Where words stand in an outbox, as `docs/LAYOUT.md` has them.
pub mod layout {
    /// Epoch, reasons, and the bit that says asleep.
    pub const PARKED: usize = 128;
    /// Not zero while the writer waits for room.
    pub const STARVING: usize = 136;
    /// The goodbye.
    pub const CLOSE: usize = 144;
    /// How far this side has read.
    pub const READ: usize = 256;
    /// How many blocks this side has given back.
    pub const RETURNS: usize = 384;
    /// How many of the other side's records, bells aside, this side has taken.
    pub const SEEN: usize = 392;
    /// Not zero where this side shows its counters; twenty words of them follow.
    pub const COUNTERS: usize = 512;
    /// The start of the ring.
    pub const RING: usize = 1024;
    /// Bytes of a line, the unit of the ring.
    pub const LINE: u64 = 64;
    /// Bytes of a frame header.
    pub const HEADER: usize = 16;
    /// Kind of a frame that carries a payload.
    pub const DATA: u64 = 1;
    /// Kind of a frame that fills the ring to its end.
    pub const PAD: u64 = 2;
    /// Kind of a frame that asks for a reply.
    pub const REQUEST: u64 = 3;
    /// Kind of a frame that replies.
    pub const REPLY: u64 = 4;
    /// Kind of a frame that asks, and awaits no reply.
    pub const NOTE: u64 = 5;
    /// Kind of a frame that says that a reply is no longer awaited.
    pub const CANCEL: u64 = 6;
    /// Kind of a frame that replies with an error.
    pub const ERROR: u64 = 7;
    /// Bit of a kind: a deadline comes first.
    pub const TIMED: u64 = 8;
    /// Bit of a kind: a descriptor comes last, and the payload stands in the block that it names.
    pub const BLOCK: u64 = 16;
    /// In a parked word: waits for frames.
    pub const FOR_DATA: u64 = 1 << 1;
    /// In a parked word: waits for room.
    pub const FOR_ROOM: u64 = 1 << 2;
    /// In a parked word: waits for blocks.
    pub const FOR_BLOCKS: u64 = 1 << 3;

    /// The commit word that belongs to a position.
    #[must_use]
    pub fn commit_word(position: u64) -> u32 {
        position as u32 | 1
    }

    /// A parked word that says: asleep in this epoch, for this.
    #[must_use]
    pub fn asleep(epoch: u64, reasons: u64) -> u64 {
        epoch << 8 | reasons | 1
    }
}

/// One side of a session, which the process under test takes for an honest peer.
#[derive(Debug)]
pub struct End {
    /// The session socket.
    pub socket: Socket,
    /// Our outbox, which we can write, from more than one thread.
    pub mine: Arc<Segment>,
    /// The other side's.
    pub theirs: View,
    /// Bytes of the ring in our outbox.
    pub ring: u64,
    /// Where our next frame starts.
    pub tail: u64,
    /// Bytes of the ring in the other side's.
    pub their_ring: u64,
    /// Where its next frame starts.
    pub head: u64,
    /// Entries of the return ring in our outbox.
    pub returns: u64,
    /// How many blocks we have given back.
    pub returned: u64,
    /// Entries of the return ring in the other side's outbox.
    pub their_returns: u64,
}

/// A frame of the other side's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Kind, with its bits.
    pub kind: u64,
    /// Its type id.
    pub type_id: u32,
    /// Its correlation id.
    pub correlation: u32,
    /// What stands in the ring.
    pub bytes: Vec<u8>,
}

impl End {
    fn new(socket: Socket, mine: Segment, theirs: View, geometry: [u64; 4]) -> Self {
        let [ring, returns, their_ring, their_returns] = geometry;
        let mine = Arc::new(mine);
        Self { socket, mine, theirs, ring, tail: 0, their_ring, head: 0, returns, returned: 0, their_returns }
    }

    /// Index of a position in the whole outbox.
    #[must_use]
    pub fn at(&self, position: u64) -> usize {
        layout::RING + (position % self.ring) as usize
    }

    /// Stores the commit word that belongs to `position`.
    pub fn commit(&self, position: u64) {
        self.mine.store_u32(self.at(position), layout::commit_word(position));
    }

    /// Writes all of a frame at `position` but its commit word.
    pub fn write_frame(&self, position: u64, kind: u64, len: u64, type_id: u32, payload: &[u8]) {
        let at = self.at(position);
        self.mine.store_u32(at + 4, type_id);
        self.mine.store_u64(at + 8, len | kind << 27);
        self.mine.write(at + layout::HEADER, payload);
    }

    /// Publishes an honest frame. The caller sees to it that there is room, and that it need not wrap.
    pub fn publish(&mut self, type_id: u32, payload: &[u8]) {
        self.say(layout::DATA, type_id, 0, payload);
    }

    /// Publishes a frame of any kind, as [`publish`](Self::publish) does.
    pub fn say(&mut self, kind: u64, type_id: u32, correlation: u32, payload: &[u8]) {
        let start = self.tail;
        self.tail += (payload.len() as u64 + layout::HEADER as u64).next_multiple_of(layout::LINE);
        self.mine.store_u32(self.at(self.tail), 0);
        self.write_frame(start, kind, payload.len() as u64, type_id, payload);
        self.mine.store_u32(self.at(start) + 12, correlation);
        self.commit(start);
    }

    /// The next frame of the other side's, if it is there; it is read, and that is said.
    pub fn try_hear(&mut self) -> Option<Said> {
        loop {
            let at = layout::RING + (self.head % self.their_ring) as usize;
            if self.theirs.load_u32(at) != layout::commit_word(self.head) {
                return None;
            }
            let (type_id, rest) = (self.theirs.load_u32(at + 4), self.theirs.load_u64(at + 8));
            let (len, kind) = ((rest & ((1 << 27) - 1)) as usize, rest as u32 >> 27);
            if u64::from(kind) == layout::PAD {
                self.head = (self.head / self.their_ring + 1) * self.their_ring;
                continue;
            }
            let bytes = self.theirs.read(at + layout::HEADER, len);
            self.head += (len as u64 + layout::HEADER as u64).next_multiple_of(layout::LINE);
            self.read_up_to(self.head);
            return Some(Said { kind: kind.into(), type_id, correlation: (rest >> 32) as u32, bytes });
        }
    }

    /// The same, waiting for it.
    pub fn hear(&mut self) -> Said {
        loop {
            match self.try_hear() {
                Some(said) => return said,
                None => thread::yield_now(),
            }
        }
    }

    /// Says how far we have read.
    pub fn read_up_to(&self, position: u64) {
        self.mine.store_u64(layout::READ, position);
    }

    /// Leaves `word` as the goodbye and hangs up.
    pub fn close_with(&self, word: u64) {
        self.mine.store_u64(layout::CLOSE, word);
        self.socket.hang_up();
    }
}

/// An honest handshake as a client of `listener`, which answers with the other end of the session.
///
/// # Panics
/// If the listener does anything unexpected.
pub fn client_of(listener: &mut Listener) -> (End, Bus) {
    client_by(listener, &wire::hello(), Listener::try_accept_bus)
}

/// The same for calls.
///
/// # Panics
/// If the listener does anything unexpected.
pub fn caller_of(listener: &mut Listener) -> (End, RpcBus) {
    client_by(listener, &wire::hello().for_calls(), Listener::try_accept_rpc)
}

/// The same for any session, introduced by `hello`.
///
/// # Panics
/// If the listener does anything unexpected.
pub fn client_by<T>(
    listener: &mut Listener,
    hello: &Message,
    try_accept: fn(&mut Listener) -> Result<T, Error>,
) -> (End, T) {
    let socket = Socket::connect(&listener.address());
    assert!(socket.send(&hello.bytes()));
    assert_eq!(try_accept(listener).err().expect("half a handshake").cause(), Cause::Empty);
    let client = Joining::answer_offer(socket);
    let session = try_accept(listener).unwrap_or_else(|error| panic!("no session: {error}"));
    (client.settle(), session)
}

/// The same as a client of a listener in another process, which accepts meanwhile.
///
/// # Panics
/// If the listener does anything unexpected.
#[must_use]
pub fn client_of_another_process(address: &str) -> End {
    client_of_another_process_by(address, &wire::hello())
}

/// The same for any session, introduced by `hello`.
///
/// # Panics
/// If the listener does anything unexpected.
#[must_use]
pub fn client_of_another_process_by(address: &str, hello: &Message) -> End {
    let socket = Socket::connect(address);
    assert!(socket.send(&hello.bytes()));
    Joining::answer_offer(socket).settle()
}

/// A client that has both outboxes and waits for the acknowledgement.
struct Joining(End);

impl Joining {
    fn answer_offer(socket: Socket) -> Self {
        let mut offer = socket.receive().expect("an offer");
        let geometry = offer.message.geometry();
        let theirs = View::of(offer.fds.pop().expect("the listener's outbox"));
        let mine = Segment::outbox(geometry[0], geometry[1]);
        assert!(socket.send_with(&wire::accept(mine.len() as u64).bytes(), &[mine.fd()]));
        Self(End::new(socket, mine, theirs, geometry))
    }

    fn settle(self) -> End {
        assert_eq!(self.0.socket.receive().expect("an acknowledgement").message.tag, wire::SETTLED);
        self.0
    }
}

/// An honest handshake as a listener, at `address`, for a bus that connects with `options`.
///
/// # Panics
/// If the bus does anything unexpected.
pub fn listener_for(address: &str, ring: u64, options: &Options) -> (End, Bus) {
    listener_by(address, &receiving(ring), || Bus::connect(address, options))
}

/// The same for calls, with rings of `ring` bytes both ways.
///
/// # Panics
/// If the bus does anything unexpected.
pub fn callee_for(address: &str, ring: u64, options: &Options) -> (End, RpcBus) {
    listener_by(address, &answering(ring), || RpcBus::connect(address, options))
}

/// The same for any session, with that offer; the size of the segment is put in.
///
/// # Panics
/// If the client does anything unexpected.
pub fn listener_by<T: Send>(
    address: &str,
    offer: &Message,
    connect: impl FnOnce() -> Result<T, Error> + Send,
) -> (End, T) {
    let listener = SocketListener::bind(address);
    thread::scope(|scope| {
        let client = scope.spawn(connect);
        let end = serve(&listener, offer.clone());
        (end, client.join().expect("no panic").unwrap_or_else(|error| panic!("no session: {error}")))
    })
}

/// The same for a client in another process, which is told to `connect` when somebody listens.
///
/// # Panics
/// If the client does anything unexpected.
pub fn listener_for_another_process(address: &str, ring: u64, connect: impl FnOnce()) -> End {
    listener_for_another_process_by(address, receiving(ring), connect)
}

/// The same for any session, with that offer; the size of the segment is put in.
///
/// # Panics
/// If the client does anything unexpected.
pub fn listener_for_another_process_by(address: &str, offer: Message, connect: impl FnOnce()) -> End {
    let listener = SocketListener::bind(address);
    connect();
    serve(&listener, offer)
}

/// The offer of a listener that receives.
#[must_use]
pub fn receiving(ring: u64) -> Message {
    wire::offer([ring, NO_RETURNS], [RECEIVING_RING, RETURNS], 0)
}

/// The offer of a listener for calls, with rings of `ring` bytes both ways.
#[must_use]
pub fn answering(ring: u64) -> Message {
    wire::offer([ring, RETURNS], [ring, RETURNS], 0).for_calls()
}

fn serve(listener: &SocketListener, mut offer: Message) -> End {
    let socket = listener.accept();
    assert_eq!(socket.receive().expect("a hello").message.tag, wire::HELLO);
    let [their_ring, their_returns, ring, returns] = offer.geometry();
    let mine = Segment::outbox(ring, returns);
    *offer.words.last_mut().expect("an offer has words") = mine.len() as u64;
    assert!(socket.send_with(&offer.bytes(), &[mine.fd()]));
    let mut accept = socket.receive().expect("an accept");
    let theirs = View::of(accept.fds.pop().expect("the client's outbox"));
    assert!(socket.send(&wire::settled().bytes()));
    End::new(socket, mine, theirs, [ring, returns, their_ring, their_returns])
}

/// What a handshake that stopped half-way holds on to.
#[derive(Debug)]
pub struct Holding {
    _socket: Socket,
    _mine: Option<Segment>,
}

/// As a client of `address`, goes through the handshake as far as `stage` and no further: `connected`, `half-hello`,
/// `hello`, `offered`, `half-accept`, `accepted`.
///
/// # Panics
/// If the stage is unknown or cannot be reached.
#[must_use]
pub fn knock(address: &str, stage: &str) -> Holding {
    let socket = Socket::connect(address);
    let hello = wire::hello().bytes();
    let sent = match stage {
        "connected" => &hello[..0],
        "half-hello" => &hello[..hello.len() / 2],
        _ => &hello[..],
    };
    assert!(sent.is_empty() || socket.send(sent));
    if matches!(stage, "connected" | "half-hello" | "hello") {
        return Holding { _socket: socket, _mine: None };
    }
    let offer: Message = socket.receive().expect("an offer").message;
    let [ring, returns, ..] = offer.geometry();
    let mine = Segment::outbox(ring, returns);
    let accept = wire::accept(mine.len() as u64).bytes();
    match stage {
        "offered" => {}
        "half-accept" => assert!(socket.send_with(&accept[..7], &[mine.fd()])),
        "accepted" => assert!(socket.send_with(&accept, &[mine.fd()])),
        other => panic!("an unknown stage {other}"),
    }
    Holding { _socket: socket, _mine: Some(mine) }
}

/// As a listener at `address`, says so by `bound`, and serves one client as far as `stage` and no further: `connected`,
/// `heard`, `half-offer`, `offered`, `taken`.
///
/// # Panics
/// If the stage is unknown or cannot be reached.
#[must_use]
pub fn pose(address: &str, stage: &str, bound: impl FnOnce()) -> Holding {
    let listener = SocketListener::bind(address);
    bound();
    let socket = listener.accept();
    if stage == "connected" {
        return Holding { _socket: socket, _mine: None };
    }
    assert_eq!(socket.receive().expect("a hello").message.tag, wire::HELLO);
    let mine = Segment::outbox(RECEIVING_RING, RETURNS);
    let offer = wire::offer([RECEIVING_RING, NO_RETURNS], [RECEIVING_RING, RETURNS], mine.len() as u64).bytes();
    match stage {
        "heard" => {}
        "half-offer" => assert!(socket.send_with(&offer[..20], &[mine.fd()])),
        "offered" | "taken" => assert!(socket.send_with(&offer, &[mine.fd()])),
        other => panic!("an unknown stage {other}"),
    }
    if stage == "taken" {
        assert_eq!(socket.receive().expect("the client's outbox").message.tag, wire::ACCEPT);
    }
    Holding { _socket: socket, _mine: Some(mine) }
}
