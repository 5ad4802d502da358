//! Both ends of a session in one process, for tests that look at both at once.

use crate::scratch::Scratch;
use slipring::{Bus, Listener, Options, RpcBus};
use std::thread;

/// The sending and the receiving end of a session.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn bus_pair(sends: &Options, receives: &Options) -> (Bus, Bus) {
    join(
        receives,
        |address| Bus::connect(address, sends).expect("a session"),
        |mut listener| listener.accept_bus().expect("a client"),
    )
}

/// The connecting and the listening end of a session for calls.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn rpc_pair(connects: &Options, listens: &Options) -> (RpcBus, RpcBus) {
    join(
        listens,
        |address| RpcBus::connect(address, connects).expect("a session"),
        |mut listener| listener.accept_rpc().expect("a client"),
    )
}

fn join<T: Send>(
    options: &Options,
    connect: impl FnOnce(&str) -> T + Send,
    accept: impl FnOnce(Listener) -> T,
) -> (T, T) {
    let scratch = Scratch::new();
    let address = scratch.path("pair");
    let listener = Listener::bind(&address, options).expect("a name");
    thread::scope(|scope| {
        let client = scope.spawn(|| connect(&address));
        let accepted = accept(listener);
        (client.join().expect("no panic"), accepted)
    })
}
