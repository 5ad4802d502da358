//! Sessions: two processes, joined by a handshake, that have each other's outbox and one socket.
//!
//! [`name`] finds and takes addresses, [`wire`] is the handshake's bytes, [`handshake`] its steps, [`connect`] one of them, and [`listener`] any number of
//! them side by side, and [`link`] is what remains afterwards: the socket that carries [`record`]s, close and death.

pub(crate) mod connect;
pub(crate) mod handshake;
pub(crate) mod link;
pub(crate) mod listener;
pub(crate) mod name;
#[cfg_attr(not(test), expect(dead_code, reason = "the link knows bells only"))]
pub(crate) mod record;
pub(crate) mod wire;
