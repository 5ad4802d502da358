//! Messages and calls between two processes of one host, through shared memory that each side alone writes.
//!
//! A [`Bus`] is one end of a one-way stream of frames: the end that listens receives, the end that connects sends. An
//! [`RpcBus`] is one end of a session for calls: both ends may call, and both may serve. Each side writes into memory of its
//! own, which the other can only read. A small message moves in one cache line, a long one is read where it was written, a side
//! with nothing to do sleeps, and the death of a peer is an error, after everything that it had sent.
//!
//! ```
//! use slipring::{Bus, Cause, Deadline, Error, Options};
//! use std::time::Duration;
//!
//! const SOON: Duration = Duration::from_secs(5);
//!
//! /// The one program listens, and receives.
//! fn receive(name: &str) -> Result<(), Error> {
//!     let mut bus = Bus::listen_until(name, &Options::default(), Deadline::after(SOON))?;
//!     let frame = bus.recv()?;
//!     assert_eq!((frame.type_id(), &frame[..]), (7, &b"hello"[..]));
//!     drop(frame); // gives it back
//!     assert_eq!(bus.recv().err(), Some(Cause::Closed));
//!     Ok(())
//! }
//!
//! /// The other connects, and sends.
//! fn send(name: &str) -> Result<(), Error> {
//!     let mut bus = Bus::connect_until(name, &Options::default(), Deadline::after(SOON))?;
//!     bus.publish(7, b"hello")?;
//!     bus.close(SOON)?; // after all was read
//!     Ok(())
//! }
//!
//! # fn main() -> Result<(), Error> {
//! # let name = format!("crate-doc-{}", std::process::id());
//! # std::thread::scope(|scope| {
//! #     let receiver = scope.spawn(|| receive(&name));
//! #     send(&name)?;
//! #     receiver.join().expect("the receiver does not panic")
//! # })
//! # }
//! ```
//!
//! # When not to use it
//!
//! A session has two ends, on one host, under Linux: there is no broadcast, and no queue that many read from.
//! A payload of up to 32 MiB takes a power of two of memory. Low latency is paid for with spinning. Nothing is
//! kept for a peer that is not there.
//!
//! # Long payloads
//!
//! Payloads up to the inline limit ([`Options::inline_limit`], 1 KiB by default) ride in the ring. Longer ones go into blocks of
//! shared memory, which is made as it is needed and bounded by [`Options::memory_limit`]; sender and receiver use the same calls
//! for both. A received payload is looked at in place, until the next receive; [`Lease::keep`] makes it a [`Message`], which
//! belongs to its holder for as long as he likes, on whatever thread, past the end of the session. Then a block goes back to its
//! owner, without a copy, when the last clone of the message drops. Where too much is kept, the sender waits.
//!
//! # Shared objects
//!
//! What many processes are to read is made once: a [`SharedBuffer`] is written in place, [sealed](SharedBuilder::seal) for good, and
//! attached to messages ([`Bus::publish_shared`]), calls ([`RpcBus::call_shared`]) and replies ([`RpcBus::reply_shared`]) of any number
//! of sessions. Receivers read the very same memory ([`Lease::shared`]), keep it for as long as they like, and pass it on.
//!
//! # Calls
//!
//! Every call gets exactly one reply or error, in whatever order; the number in flight is agreed when the session is opened
//! ([`Options::in_flight`]). Whoever waits goes on reading, and serves what arrives if it has a
//! [handler](RpcBus::on_request); a reply never waits for room, because requests leave it. So two ends that call each other with
//! full rings, or out of each other's handlers, do not lock each other up. A call's deadline travels with it. One that is given
//! up ([`RpcBus::cancel`], or a deadline) keeps its place until its reply has come, and that reply is dropped.
//!
//! # Waiting
//!
//! Every call that may have to wait comes in three forms:
//!
//! | form | waits | answers, if it comes to nothing |
//! |---|---|---|
//! | `recv`, `publish`, `claim`, `call`, `wait`, … | for as long as it takes | only what ends every wait |
//! | `recv_until`, … | until a [`Deadline`] | [`Cause::Timeout`] |
//! | `try_recv`, … | never | [`Cause::Empty`] or [`Cause::Full`] |
//!
//! Every wait ends when the peer closes, dies or breaks the protocol, and with [`Cause::Interrupted`] when a signal
//! handler runs while it sleeps. How a wait passes its time is its [`Wait`] strategy; none of them changes what a call
//! answers. For event loops, [`Bus`], [`RpcBus`], [`Listener`] and [`Poller`] have a descriptor: right after adding it, and when it is
//! readable, call the `try_` form until it answers [`Cause::Empty`] (or [`Cause::Full`]): that answer arms it.
//!
//! # Many sessions
//!
//! A [`Poller`] owns any number of sessions and [listeners](Listener), waits for all of them in one thread, and says by [`Key`]
//! which have something to do. Those that were busy a moment ago are looked at in memory, the others sleep together, so that a
//! thousand idle ones cost no processor. A [`Server`] is the loop around it that most want: it accepts, gives each session its
//! turn, and calls a handler, in one thread or with workers. For ends of which there are many, [`Options::small`] has small rings,
//! and [`raise_descriptor_limit`] makes room for their descriptors.
//!
//! # Memory and processors
//!
//! The memory of an end can be asked to be on a NUMA node ([`Options::numa_node`]), in huge pages ([`Options::huge_pages`]) and
//! never in swap ([`Options::lock_memory`]); [`Bus::placement`] and [`RpcBus::placement`] say what was got, and why not more. None of
//! it can keep a session from being opened. [`pin_thread`] has a thread run on chosen processors; call it before you open an end.
//!
//! # Counters
//!
//! Both ends of a session count what they do ([`Stats`]), and show it to each other ([`Bus::peer_stats`], [`RpcBus::peer_stats`]).
//! An [`Observer`] sees the counters of all sessions of a [`Listener`] or [`Server`] of the same user, from any process, without
//! being noticed. Counters are written at calm moments and cost no message anything; [`Options::counters`] turns them off.
//!
//! # Ends
//!
//! [`Cause::Closed`] is a peer that said goodbye, [`Cause::PeerDied`] one that did not. Both come after everything that
//! the peer had committed, and every later call answers the same. [`Cause::Corrupt`] is a peer that broke the protocol;
//! it ends the session at once. A peer that is only stopped is none of these: whoever must not wait for it gives a
//! deadline.
//!
//! # Threads
//!
//! An end belongs to one thread at a time, and may move between threads between calls: it is [`Send`] and not [`Sync`]. A
//! [`Message`] belongs to whoever has it. There is no thread, no timer and no signal handler behind any of them; a handler for
//! calls runs in the thread that waits. Only a [`Server`] that is asked for [workers](Server::workers) makes threads, for as
//! long as it runs.
//!
//! # Fork
//!
//! A child of `fork` owns none of its parent's ends. Its copies answer [`Cause::Forked`], dropping them does nothing,
//! and their descriptors are closed in it. The parent's sessions do not notice. A child may open ends of its own.
//!
//! # Errors
//!
//! Calls on an open end answer a [`Cause`], which is small and `Copy`. Opening one answers an [`Error`]: the cause,
//! what was tried on what, and the system's own error beneath. A call that fails has changed nothing. Nothing here
//! panics on what a peer or a user does; leaking a [`Claim`] or a [`Lease`] is safe, and costs at most progress.
#![deny(rustdoc::broken_intra_doc_links)]
#![cfg_attr(loom, expect(dead_code, reason = "a model has no kernel, no segment and no handshake"))]

/// The examples of the README, which have to compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// The examples of the guide, which have to compile, and to say the truth about sizes.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../docs/guide/src/sizing.md")]
    struct Sizing;
    #[doc = include_str!("../../docs/guide/src/waiting.md")]
    struct Waiting;
    #[doc = include_str!("../../docs/guide/src/long-payloads.md")]
    struct LongPayloads;
    #[doc = include_str!("../../docs/guide/src/many-clients.md")]
    struct ManyClients;
    #[doc = include_str!("../../docs/guide/src/trouble.md")]
    struct Trouble;
}

// Floor 0: causes, time, atomics, bytes; the kernel and its memory.
mod deadline;
mod error;
mod layout;
#[cfg(not(loom))]
mod shm;
mod span;
mod sync;
#[cfg(not(loom))]
mod sys;

// Floor 1: protocols over spans, which know no file and no process.
mod arena;
mod park;
mod returns;
mod ring;

// Floor 2: how a side idles, publishes and receives.
mod blocks;
mod consumer;
#[cfg(not(loom))]
mod drafts;
mod observe;
mod producer;
mod side;
mod wait;

#[cfg(all(test, loom))]
mod models;

// Floor 3: two processes.
#[cfg(not(loom))]
mod capabilities;
#[cfg(not(loom))]
mod options;
#[cfg(not(loom))]
mod placement;
#[cfg(not(loom))]
mod session;

// Floor 4: what users of the transport touch.
#[cfg(not(loom))]
mod bus;
#[cfg(not(loom))]
mod listener;
#[cfg(not(loom))]
mod observer;
#[cfg(not(loom))]
mod poller;
#[cfg(not(loom))]
mod rpc;
#[cfg(not(loom))]
mod server;
#[cfg(not(loom))]
mod shared;

#[cfg(all(feature = "internals", not(loom)))]
#[doc(hidden)]
pub mod internals;

#[cfg(not(loom))]
pub use bus::{
    Batch, Bus, Claim, ClaimTicket, CommitError, Frame, Lease, LeaseTicket, Message, OwnedClaim, OwnedClaimError,
    SentClaim,
};
#[cfg(not(loom))]
pub use capabilities::Capabilities;
pub use deadline::Deadline;
pub use error::{Cause, Error, Refusal, Violation};
pub use layout::SessionKind;
#[cfg(not(loom))]
pub use listener::Listener;
pub use observe::{State, Stats};
#[cfg(not(loom))]
pub use observer::{Observation, Observed, Observer};
#[cfg(not(loom))]
pub use options::{Backend, Fence, Options, Trust, limit_memory, memory_taken};
#[cfg(not(loom))]
pub use placement::{Asked, Lack, Pinned, Placement, pin_thread};
#[cfg(not(loom))]
pub use poller::{AddError, Key, Notifier, Poller, PollerStats, Source, raise_descriptor_limit};
#[cfg(not(loom))]
pub use rpc::{CallClaim, CallClaimTicket, CallCommitError, CallError, CallId, Reply, Request, RequestTicket, RpcBus};
#[cfg(not(loom))]
pub use server::{Server, Stopper};
#[cfg(not(loom))]
pub use shared::{SharedBuffer, SharedBuilder};
pub use wait::Wait;

/// The version of the layout of shared memory. Two processes join only if theirs are the same.
pub const LAYOUT_VERSION: u32 = layout::VERSION;
