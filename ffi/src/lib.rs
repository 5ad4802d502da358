//! slipring for programs that know nothing of Rust: the functions behind `include/slipring/slipring.h`.
//!
//! Nothing is decided here. A function checks what C gave it, calls the one function of the transport that does the work, and
//! translates the answer. What stands in the way of that is in five files: `boundary` (no unwinding gets out, every failure
//! becomes a status and a text), `handle` (what C holds, told when it is freed), `given` (pointers and texts of C's), `patience`
//! (timeouts), `sized` (structs that grow). The others have the functions, in the order in which the header tells of them.
//!
//! The header is made of this crate by `make header`: what is said above a function is its manual.
#![expect(non_camel_case_types, reason = "types have the names that C sees")]
#![expect(clippy::missing_safety_doc, reason = "the header says once, under Pointers, what every caller promises")]
#![expect(
    missing_debug_implementations,
    reason = "what a handle leads to is for no one outside to look at, in Rust neither"
)]

mod boundary;
mod given;
mod handle;
mod home;
mod patience;
mod sized;

pub mod version;

pub mod status;

pub mod config;

pub mod bus;
pub mod bus_send;

pub mod lease;

pub mod bus_recv;

pub mod bus_claim;
pub mod claim;

pub mod rpc;
pub mod rpc_call;
pub mod rpc_serve;

pub mod rpc_claim;
pub mod rpc_handler;

pub mod shared;
pub mod shared_send;

pub mod listener;

pub mod poller;

pub mod server;

pub mod observe;

pub mod stats;

pub mod observer;

pub mod placement;

pub mod limits;
