//! Hostile peers: both sides of a session, by code of their own, so that they can break every rule of it.
//!
//! [`wire`] says and understands the handshake's messages, [`socket`] moves them with whatever descriptors one likes, and
//! [`memory`] makes segments that need not be sealed, whole or true. [`outboxes`] and [`records`] list what must be refused. [`End`] is one side of a finished session: it
//! behaves until it is told to write something else.

pub mod memory;
pub mod outboxes;
pub mod records;
pub mod socket;
pub mod wire;

use memory::{Segment, View};
use slipring::{Bus, Cause, Options};
use socket::{Socket, SocketListener};
use std::thread;
use wire::{Message, RECEIVING_RING};

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
    /// In a parked word: waits for frames.
    pub const FOR_DATA: u64 = 1 << 1;
    /// In a parked word: waits for room.
    pub const FOR_ROOM: u64 = 1 << 2;

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
    /// Our outbox, which we can write.
    pub mine: Segment,
    /// The other side's.
    pub theirs: View,
    /// Bytes of the ring in our outbox.
    pub ring: u64,
    /// Where our next frame starts.
    pub tail: u64,
}

impl End {
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
        let start = self.tail;
        self.tail += (payload.len() as u64 + layout::HEADER as u64).next_multiple_of(layout::LINE);
        self.mine.store_u32(self.at(self.tail), 0);
        self.write_frame(start, layout::DATA, payload.len() as u64, type_id, payload);
        self.commit(start);
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
pub fn client_of(listener: &mut slipring::Listener) -> (End, Bus) {
    let socket = Socket::connect(&listener.address());
    assert!(socket.send(&wire::hello().bytes()));
    assert_eq!(listener.try_accept_bus().expect_err("half a handshake").cause(), Cause::Empty);
    let client = Joining::answer_offer(socket);
    let bus = listener.try_accept_bus().expect("a session");
    (client.settle(), bus)
}

/// The same as a client of a listener in another process, which accepts meanwhile.
///
/// # Panics
/// If the listener does anything unexpected.
#[must_use]
pub fn client_of_another_process(address: &str) -> End {
    let socket = Socket::connect(address);
    assert!(socket.send(&wire::hello().bytes()));
    Joining::answer_offer(socket).settle()
}

/// A client that has both outboxes and waits for the acknowledgement.
struct Joining(End);

impl Joining {
    fn answer_offer(socket: Socket) -> Self {
        let mut offer = socket.receive().expect("an offer");
        let ring = offer.message.client_ring();
        let theirs = View::of(offer.fds.pop().expect("the listener's outbox"));
        let mine = Segment::outbox(ring);
        assert!(socket.send_with(&wire::accept(mine.len() as u64).bytes(), &[mine.fd()]));
        Self(End { socket, mine, theirs, ring, tail: 0 })
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
    let listener = SocketListener::bind(address);
    thread::scope(|scope| {
        let bus = scope.spawn(|| Bus::connect(address, options));
        let end = serve(&listener, ring);
        (end, bus.join().expect("no panic").expect("a session"))
    })
}

/// The same for a client in another process, which is told to `connect` when somebody listens.
///
/// # Panics
/// If the client does anything unexpected.
pub fn listener_for_another_process(address: &str, ring: u64, connect: impl FnOnce()) -> End {
    let listener = SocketListener::bind(address);
    connect();
    serve(&listener, ring)
}

fn serve(listener: &SocketListener, ring: u64) -> End {
    let socket = listener.accept();
    assert_eq!(socket.receive().expect("a hello").message.tag, wire::HELLO);
    let mine = Segment::outbox(RECEIVING_RING);
    let offer = wire::offer(ring, RECEIVING_RING, mine.len() as u64);
    assert!(socket.send_with(&offer.bytes(), &[mine.fd()]));
    let mut accept = socket.receive().expect("an accept");
    let theirs = View::of(accept.fds.pop().expect("the client's outbox"));
    assert!(socket.send(&wire::settled().bytes()));
    End { socket, mine, theirs, ring: RECEIVING_RING, tail: 0 }
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
    let mine = Segment::outbox(offer.client_ring());
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
    let mine = Segment::outbox(RECEIVING_RING);
    let offer = wire::offer(RECEIVING_RING, RECEIVING_RING, mine.len() as u64).bytes();
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
