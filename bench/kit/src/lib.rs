//! The kit of `slipring-bench`: what every measured system shares, ours and the neighbours' alike.
//!
//! From the bottom up: `payload` is what is sent and checked, `clock`, `tally` and `meter` are what is told of it, `pin` is
//! where it runs, `patience` is how systems wait that cannot themselves, `echo`, `inflight` and `flow` are the patterns of
//! traffic, and [`rival`] is the interface between the harness and a system to compare with. Whoever is measured through it
//! is driven by the very same code; nothing here knows any system.

pub mod clock;
pub mod echo;
pub mod fault;
pub mod flow;
pub mod inflight;
pub mod meter;
pub mod patience;
pub mod payload;
pub mod pin;
pub mod rival;
pub mod tally;
