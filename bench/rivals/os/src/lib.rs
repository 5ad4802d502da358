//! What the rivals of the operating system share: each of them is a program of its own in this package.
//!
//! From the bottom up: `kernel` is what is asked of the kernel and how its errors are told apart, `inbox` takes messages out
//! of a stream of bytes, `bytes` is an end over such a stream, `crowd` serves many of them, and `socket` opens either over a
//! kind of socket.
//!
//! A wait sleeps in the kernel (`park`), or looks without a pause at something that does not block (`spin`). The kernel has
//! nothing in between, so `adaptive` is what it does unless told otherwise: it sleeps. All messages of a job have the same length, so a stream of bytes needs no frames.

pub mod bytes;
pub mod crowd;
mod inbox;
pub mod kernel;
pub mod socket;
