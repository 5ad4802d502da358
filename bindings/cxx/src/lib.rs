//! The ends of `slipring` for C++ that is built together with Rust, by [cxx](https://cxx.rs).
//!
//! The idea: C++ checks no lifetimes, so what it is given has none. What is received is kept at once ([`Lease`]), and room to write in
//! place is an owned claim ([`Claim`]): both are their holder's own, on any thread, past the end of the session. So everything here is
//! safe whatever C++ does with it, within the rules of cxx, and slices lead to the memory in which payloads stand.
//!
//! Nothing is decided here: each method calls one of `slipring`. What fails throws `rust::Error`, and [`last_status`] has its cause.
//! Timeouts are in nanoseconds: 0 tries, a positive one is a time, -1 is for as long as it takes. An end belongs to one thread at a
//! time. A panic, which would be a fault of this library's, ends the process; so does reading or writing a payload in a forked child.

#![expect(unused_qualifications, reason = "cxx names our types by their whole path")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "in what cxx generates; there is no other unsafe code")]

mod bus;
mod calls;
mod failure;
mod options;
mod payload;

use bus::{connect_bus, listen_bus};
use calls::{connect_rpc, listen_rpc};
use failure::{last_remote_code, last_status};
use payload::build_shared;

pub use bus::Bus;
pub use calls::RpcBus;
pub use ffi::{Options, Status, WaitStrategy};
pub use payload::{Claim, Lease, SharedBuffer, SharedBuilder};

/// What C++ sees. Its manual is here: cxx copies these comments into the header.
#[cxx::bridge(namespace = "slipring::cxx")]
mod ffi {
    /// What came of a call; the numbers are those of `slipring.h`. Take an unknown one for `System`.
    #[derive(Debug)]
    #[repr(i32)]
    enum Status {
        /// Nothing has failed yet in this thread.
        Ok = 0,
        /// No room has been seen free. Only where the timeout is 0.
        Full = 1,
        /// Nothing has arrived yet. Only where the timeout is 0.
        Empty = 2,
        /// The timeout passed.
        Timeout = 3,
        /// The peer said goodbye, and everything that it had sent was delivered.
        Closed = 4,
        /// The peer ended without a goodbye; everything that it had sent was delivered.
        PeerDied = 5,
        /// The peer broke the protocol. The session is over.
        Corrupt = 6,
        /// The payload is longer than what fits.
        TooLarge = 7,
        /// The listener turned the connection down.
        Refused = 8,
        /// The two sides have different versions of the memory's layout.
        VersionMismatch = 9,
        /// Nobody listens there; of a call: the peer serves no calls.
        NotFound = 10,
        /// A living listener has the address.
        AddressInUse = 11,
        /// Memory, or a descriptor, could not be had.
        OutOfMemory = 12,
        /// A signal handler ran during the wait.
        Interrupted = 13,
        /// Calls are nested too deeply.
        Overloaded = 14,
        /// The call was given up before it was served.
        Cancelled = 15,
        /// The peer answered the call with an error: see `last_remote_code`.
        Remote = 16,
        /// An argument can never be right.
        InvalidArgument = 17,
        /// The platform, or the peer, cannot do this.
        Unsupported = 18,
        /// A setting is not usable.
        Config = 19,
        /// The end belongs to the process that forked this one.
        Forked = 20,
        /// The operating system refused.
        System = 21,
        /// This end was closed here.
        UseAfterClose = 68,
    }

    /// How a wait passes its time.
    #[derive(Debug)]
    enum WaitStrategy {
        /// What the environment says, or else `Adaptive`.
        Default,
        /// Spins for some 40 us and then sleeps.
        Adaptive,
        /// Spins, and takes a whole processor.
        Spin,
        /// Sleeps at once.
        Park,
    }

    /// How an end is to be opened. `Options{}` is all defaults: a number of 0 is what the environment says, or else the default.
    #[derive(Debug)]
    struct Options {
        /// The ring from the connecting to the listening end, in bytes.
        capacity: usize,
        /// For calls: the ring from the listening to the connecting end.
        capacity_reverse: usize,
        /// The longest payload that goes into the ring itself.
        inline_limit: usize,
        /// The longest payload that this end sends or takes.
        max_message: u64,
        /// Bytes of memory for long payloads of one direction.
        memory_limit: u64,
        /// For calls: how many may be in flight each way.
        in_flight: u32,
        /// How a wait passes its time.
        wait: WaitStrategy,
        /// Whether the peer may be hostile: payloads are copied before anyone sees them.
        untrusted: bool,
    }

    extern "Rust" {
        /// The cause of the last failure of this thread.
        fn last_status() -> Status;
        /// The number that the peer gave with its error, if the last failure of this thread was `Remote`; else 0.
        fn last_remote_code() -> u32;

        /// One end of a one-way stream of messages: the end that listens receives, the end that connects sends.
        type Bus;
        /// Listens for one peer, and receives from it.
        fn listen_bus(address: &str, timeout_ns: i64, options: &Options) -> Result<Box<Bus>>;
        /// Connects, to send. The timeout is for the listener to appear.
        fn connect_bus(address: &str, timeout_ns: i64, options: &Options) -> Result<Box<Bus>>;
        /// Copies a message and sends it, waiting for room.
        fn send(self: &mut Bus, type_id: u32, payload: &[u8], timeout_ns: i64) -> Result<()>;
        /// The same, and with it goes a shared object.
        fn send_shared(
            self: &mut Bus,
            type_id: u32,
            payload: &[u8],
            shared: &SharedBuffer,
            timeout_ns: i64,
        ) -> Result<()>;
        /// A block for a message that is written in place, and then sent by `send_claim`: any number at a time, on any thread.
        fn claim(self: &mut Bus, len: usize, timeout_ns: i64) -> Result<Box<Claim>>;
        /// Sends the first `used` bytes. Where it fails the claim is still there; afterwards it is empty.
        fn send_claim(self: &mut Bus, type_id: u32, claim: &mut Claim, used: usize) -> Result<()>;
        /// Waits for the next message: whether there is one, or else the peer has said goodbye.
        fn more(self: &mut Bus, timeout_ns: i64) -> Result<bool>;
        /// The next message, waiting for it.
        fn recv(self: &mut Bus, timeout_ns: i64) -> Result<Box<Lease>>;
        /// Says goodbye, after waiting at most so long until all was read. It is closed whatever came of it.
        fn close(self: &mut Bus, linger_ns: i64) -> Result<()>;
        /// A descriptor for an event loop; it is the library's.
        fn fd(self: &Bus) -> Result<i32>;

        /// One end of a session for calls: both ends may call, and both may serve.
        type RpcBus;
        /// Listens for one peer. This end answers calls.
        fn listen_rpc(address: &str, timeout_ns: i64, options: &Options) -> Result<Box<RpcBus>>;
        /// Connects. The timeout is for the listener to appear.
        fn connect_rpc(address: &str, timeout_ns: i64, options: &Options) -> Result<Box<RpcBus>>;
        /// Sends a request, and gives the number by which `wait` finds the reply. A positive timeout travels with it.
        fn call(self: &mut RpcBus, type_id: u32, payload: &[u8], timeout_ns: i64) -> Result<u32>;
        /// Room for a request or a reply that is written in place, and then sent by `call_claim` or `reply_claim`.
        fn claim(self: &mut RpcBus, len: usize, timeout_ns: i64) -> Result<Box<Claim>>;
        /// As `call`, of the first `used` bytes of a claim. Where it fails the claim is still there; afterwards it is empty.
        fn call_claim(self: &mut RpcBus, type_id: u32, claim: &mut Claim, used: usize, timeout_ns: i64) -> Result<u32>;
        /// The reply to a call. After a timeout the call is still in flight.
        fn wait(self: &mut RpcBus, id: u32, timeout_ns: i64) -> Result<Box<Lease>>;
        /// A call and the wait for its reply.
        fn request(self: &mut RpcBus, type_id: u32, payload: &[u8], timeout_ns: i64) -> Result<Box<Lease>>;
        /// Gives a call up.
        fn cancel(self: &mut RpcBus, id: u32) -> Result<()>;
        /// Waits for the next request: whether there is one, or else the peer has said goodbye.
        fn more(self: &mut RpcBus, timeout_ns: i64) -> Result<bool>;
        /// The next request, which stays open until its `id` is replied to, at once or later.
        fn serve(self: &mut RpcBus, timeout_ns: i64) -> Result<Box<Lease>>;
        /// Replies to the request `id`.
        fn reply(self: &mut RpcBus, id: u32, type_id: u32, payload: &[u8]) -> Result<()>;
        /// The same, and with it goes a shared object.
        fn reply_shared(self: &mut RpcBus, id: u32, type_id: u32, payload: &[u8], shared: &SharedBuffer) -> Result<()>;
        /// Replies with the first `used` bytes of a claim. Where it fails the claim is still there; afterwards it is empty.
        fn reply_claim(self: &mut RpcBus, id: u32, type_id: u32, claim: &mut Claim, used: usize) -> Result<()>;
        /// Replies with an error: a number below 2^31, and a text.
        fn reply_error(self: &mut RpcBus, id: u32, code: u32, text: &str) -> Result<()>;
        /// Says goodbye, as that of a `Bus`.
        fn close(self: &mut RpcBus, linger_ns: i64) -> Result<()>;
        /// A descriptor for an event loop; it is the library's.
        fn fd(self: &RpcBus) -> Result<i32>;

        /// A message, a request or a reply. It is its holder's own, on any thread, past the end of the session.
        type Lease;
        /// The payload, where it stands.
        fn bytes(self: &Lease) -> &[u8];
        /// The sender's type id.
        fn type_id(self: &Lease) -> u32;
        /// Of a request: what `reply` is to be given. Of a reply: the call that it answers.
        fn id(self: &Lease) -> u32;
        /// How many shared objects came with it.
        fn shared_count(self: &Lease) -> usize;
        /// The shared object number `index` of those.
        fn shared(self: &Lease, index: usize) -> Result<Box<SharedBuffer>>;

        /// Room that is written in place. Dropped, it is given up.
        type Claim;
        /// Where to write. Empty after it was sent.
        fn room(self: &mut Claim) -> &mut [u8];

        /// A shared object that is being written.
        type SharedBuilder;
        /// Begins one of `len` bytes, all zero. The timeout is for the memory to be had.
        fn build_shared(len: usize, timeout_ns: i64) -> Result<Box<SharedBuilder>>;
        /// Where to write. Empty after it was sealed.
        fn room(self: &mut SharedBuilder) -> &mut [u8];
        /// Ends the writing, for good.
        fn seal(self: &mut SharedBuilder) -> Result<Box<SharedBuffer>>;

        /// Memory that never changes, read in place by any number of processes.
        type SharedBuffer;
        /// Its bytes.
        fn bytes(self: &SharedBuffer) -> &[u8];
        /// The number by which the kernel knows the memory, the same in every process.
        fn id(self: &SharedBuffer) -> u64;
        /// One more handle of the same memory.
        fn share(self: &SharedBuffer) -> Box<SharedBuffer>;
    }
}
