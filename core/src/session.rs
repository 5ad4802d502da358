//! Sessions: two processes, joined by a handshake, that have each other's outbox and one socket.
//!
//! [`name`] finds and takes addresses, [`wire`] is the handshake's bytes, [`handshake`] its steps, [`terms`] and [`backing`] what
//! is agreed on, [`connect`] one of them, and [`listener`] any number of them side by side. [`link`] is what remains
//! afterwards: the socket ([`line`]) that carries bells, [`record`]s of [`regions`] and [`objects`], close and death. [`sharing`]
//! is how a side sends and receives objects over it. [`board`] is what a listener shows of its sessions.

mod backing;
pub(crate) mod board;
pub(crate) mod connect;
pub(crate) mod handshake;
pub(crate) mod line;
pub(crate) mod link;
pub(crate) mod listener;
pub(crate) mod name;
pub(crate) mod objects;
pub(crate) mod record;
pub(crate) mod regions;
pub(crate) mod sharing;
mod terms;
pub(crate) mod wire;
