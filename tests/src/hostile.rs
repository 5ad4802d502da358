//! What the tests of hostile peers share: in how many ways an end can be used, and that each of them finds the same fault.

use crate::raw::{self, End};
use crate::scratch::Scratch;
use slipring::{Bus, Cause, Deadline, Listener, Options, State, Trust, Violation, Wait};
use std::time::Duration;

/// Bytes of the ring in a session of [`receiver`] and of [`sender`].
const RING: u64 = 4096;

/// The kinds of ends that must find a fault: waiting and trust change what they look at, and when.
pub fn ways() -> [Options; 3] {
    let options = Options::default;
    [options().wait(Wait::Park), options().wait(Wait::Spin), options().trust(Trust::Untrusted)]
}

/// A hostile sender, and who receives from it.
///
/// # Panics
/// If there is no session.
#[must_use]
pub fn receiver(options: Options) -> (Scratch, End, Bus) {
    let scratch = Scratch::new();
    let mut listener = Listener::bind(&scratch.path("bus"), &options.capacity(RING as usize)).expect("a name");
    let (end, bus) = raw::client_of(&mut listener);
    (scratch, end, bus)
}

/// A hostile receiver, and who sends to it.
#[must_use]
pub fn sender(options: &Options) -> (Scratch, End, Bus) {
    let scratch = Scratch::new();
    let (end, bus) = raw::listener_for(&scratch.path("bus"), RING, options);
    (scratch, end, bus)
}

/// A call that receives, answering how many frames it got.
pub type Receive = fn(&mut Bus) -> Result<usize, Cause>;

/// One of each kind.
pub const RECEIVES: [Receive; 5] = [
    |bus| bus.recv().map(|_| 1),
    |bus| bus.try_recv().map(|_| 1),
    |bus| bus.recv_until(Deadline::after(Duration::from_secs(60))).map(|_| 1),
    |bus| bus.poll(9, |_| ()),
    |bus| bus.try_drain(9).map(|batch| batch.len()),
];

/// Every such call of every such end: what to call it when it fails, the call, and the options.
pub fn receivers() -> impl Iterator<Item = (String, Receive, Options)> {
    let named = RECEIVES.into_iter().enumerate();
    named.flat_map(|(index, call)| ways().map(|options| (format!("call {index} of {options:?}"), call, options)))
}

/// Receives until there is no more: nothing may come but the violation, which is the answer to everything from then on.
///
/// # Panics
/// If it is otherwise; `what` says of what.
pub fn assert_corrupt(bus: &mut Bus, call: Receive, violation: Violation, what: &str) {
    let cause = loop {
        match call(bus) {
            Ok(frames) => panic!("{what}: {frames} frames"),
            Err(Cause::Empty) => {}
            Err(cause) => break cause,
        }
    };
    assert_eq!(cause, Cause::Corrupt(violation), "{what}");
    assert_eq!((call(bus), bus.state()), (Err(cause), State::Corrupt), "{what}");
}
