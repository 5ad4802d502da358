//! Sessions: two processes, joined by a handshake, that have each other's outbox and one socket.
//!
//! [`name`] finds and takes addresses, [`wire`] is the handshake's bytes, [`handshake`] its steps, [`terms`] and [`backing`] what
//! is agreed on, [`connect`] one of them, and [`listener`] any number of them side by side, and [`link`] is what remains
//! afterwards: the socket that carries bells, [`record`]s of [`regions`], close and death.

mod backing;
pub(crate) mod connect;
pub(crate) mod handshake;
pub(crate) mod link;
pub(crate) mod listener;
pub(crate) mod name;
pub(crate) mod record;
pub(crate) mod regions;
mod terms;
pub(crate) mod wire;
