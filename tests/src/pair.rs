//! Both ends of a session in one process, for tests that look at both at once.

use crate::frames;
use crate::scratch::Scratch;
use slipring::{Bus, Deadline, Listener, Message, Options, RpcBus};
use std::thread;
use std::time::Duration;

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

/// A deadline that a test waits for.
#[must_use]
pub fn in_a_moment() -> Deadline {
    Deadline::after(Duration::from_millis(20))
}

/// The watchdog of a wait that is expected to end well.
#[must_use]
pub fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(10))
}

/// Sends `count` numbered payloads of `len` bytes and keeps them all.
///
/// # Panics
/// If one does not arrive.
#[must_use]
pub fn keep_many(sends: &mut Bus, receives: &mut Bus, count: u64, len: usize) -> Vec<Message> {
    (0..count)
        .map(|number| {
            sends.publish(frames::type_id(number), &frames::payload(number, len)).expect("room");
            receives.recv().expect("a frame").keep()
        })
        .collect()
}

/// # Panics
/// If a kept payload is not what was sent under its number.
pub fn assert_whole(messages: &[Message]) {
    for message in messages {
        assert!(frames::is(message.type_id().into(), message.type_id(), message), "message {}", message.type_id());
    }
}
