//! What the tests of two processes share: a second process to talk to, to stop and to kill, and hostile peers.
//!
//! A test plays one side itself and starts the other as a [`peer::Peer`], which obeys lines of text ([`script`]). What has
//! to change its own process (limits, signals, forks) or to count what it has open runs its body in a process of its own
//! ([`alone`]). Hostile peers ([`raw`]) speak the protocol by code of their own, so that they can break it. Every wait
//! stands under a [`watchdog`].

pub mod across;
pub mod alarm;
pub mod alone;
pub mod backend;
pub mod c;
pub mod cgroup;
pub mod chance;
pub mod frames;
pub mod hostile;
pub mod limits;
pub mod meanwhile;
pub mod mounts;
pub mod objects;
pub mod pair;
pub mod peer;
pub mod proc;
pub mod raw;
pub mod scratch;
pub mod script;
pub mod seccomp;
pub mod serving;
pub mod watchdog;
