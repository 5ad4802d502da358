//! The ids of calls, past the end of their range: of its 32 bits an id has 16 for how often its place was taken, so that one
//! place has the same id again after 65,535 calls. Every reply still belongs to its call.

use slipring::{CallId, Cause, Deadline, Options, Request, RpcBus};
use slipring_tests::frames;
use slipring_tests::pair::{rpc_pair, soon};
use slipring_tests::peer;
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog_for;
use std::thread;
use std::time::Duration;

/// How many ids a place has: 2^16 less the one that would be zero.
const IDS: u64 = 65_535;
/// More than twice around.
const CALLS: u64 = 2 * IDS + 200;
/// Once around.
const ONCE: u64 = IDS + 200;
/// So near to the last id or the first, calls are given up.
const NEAR: u64 = 20;
/// A type id that no numbered call has: the reply to it waits until the call has been given up.
const LATE: u32 = u32::MAX;
/// For more than a hundred thousand calls, some of which sleep.
const PATIENCE: Duration = Duration::from_secs(300);

fn one_at_a_time() -> Options {
    Options::default().in_flight(1)
}

/// The turn that call `number` of a place must have.
fn turn(number: u64) -> u32 {
    (number % IDS) as u32 + 1
}

fn is_near_the_end(number: u64) -> bool {
    let turn = u64::from(turn(number));
    turn <= NEAR || turn > IDS - NEAR
}

/// Makes call `number`, and checks its id and its reply.
fn call(bus: &mut RpcBus, number: u64) -> CallId {
    let call = bus.call_until(frames::type_id(number), &frames::payload(number, 12), soon()).expect("a place");
    assert_eq!(call.number(), turn(number) << 16, "call {number}");
    let reply = bus.wait_until(call, soon()).unwrap_or_else(|error| panic!("call {number}: {error}"));
    assert!(reply.call() == call && frames::is(number, reply.type_id(), &reply), "call {number}");
    call
}

/// Makes call `number` and gives it up: before it is served, or by a deadline that passes while it is.
fn abandon(bus: &mut RpcBus, number: u64) -> CallId {
    let late = bus.stats().late_replies;
    let call = bus.call_until(LATE, b"late", soon()).expect("a place");
    assert_eq!(call.number(), turn(number) << 16, "call {number}");
    if number.is_multiple_of(2) {
        let waited = bus.wait_until(call, Deadline::NOW).map(drop).map_err(|error| error.cause());
        assert_eq!(waited, Err(Cause::Timeout), "call {number} is replied to when it has been given up");
    }
    bus.cancel(call);
    // It keeps its only place, and its id, until the reply has come.
    while bus.in_flight() > 0 {
        assert_eq!(bus.serve_until(Deadline::after(Duration::from_millis(1))).err(), Some(Cause::Timeout));
    }
    assert_eq!(bus.stats().late_replies, late + 1, "call {number}");
    call
}

/// Replies with what came, to [`LATE`] calls only once they were cancelled.
fn serve(mut request: Request<'_>) {
    while request.type_id() == LATE && !request.is_cancelled() {
        // Whoever looks for requests reads the cancel; there is no place for another one.
        assert_eq!(request.bus().try_serve().err(), Some(Cause::Empty));
    }
    let (type_id, payload) = (request.type_id(), request.to_vec());
    request.reply(type_id, &payload).expect("room");
}

#[test]
fn every_reply_belongs_to_its_call_past_the_end_of_the_ids() {
    let _watchdog = watchdog_for("more calls than ids", PATIENCE);
    let (mut client, mut server) = rpc_pair(&one_at_a_time(), &Options::default());
    let server = thread::spawn(move || {
        loop {
            match server.serve() {
                Ok(request) => serve(request),
                Err(cause) => break cause,
            }
        }
    });
    let mut before = None;
    for number in 0..CALLS {
        let call = if is_near_the_end(number) && number % 3 > 0 {
            abandon(&mut client, number)
        } else {
            call(&mut client, number)
        };
        assert_ne!(Some(call), before, "no two calls in a row have the same id");
        // Whatever is over is not found by its id, nor does giving it up concern the one that comes.
        client.cancel(call);
        let waited = client.try_wait(call).map(drop).map_err(|error| error.cause());
        assert!(matches!(waited, Err(Cause::InvalidArgument { .. })), "call {number}: {waited:?}");
        before = Some(call);
    }
    assert!(client.stats().late_replies > 4 * NEAR / 2);
    drop(client);
    assert_eq!(server.join().expect("no panic"), Cause::Closed);
}

#[test]
fn notes_take_ids_as_calls_do_and_bring_no_reply_past_their_end() {
    let _watchdog = watchdog_for("more notes than ids", PATIENCE);
    let (mut client, mut server) = rpc_pair(&one_at_a_time(), &Options::default());
    for number in 0..ONCE {
        let (type_id, payload) = (frames::type_id(number), frames::payload(number, 7));
        let call = if number.is_multiple_of(3) {
            Some(client.call_until(type_id, &payload, soon()).expect("a place"))
        } else {
            client.note_until(type_id, &payload, soon()).expect("a place");
            None
        };
        let request = server.serve_until(soon()).expect("a note or a request");
        assert!(frames::is(number, request.type_id(), &request), "call {number}");
        assert_eq!((request.id(), request.is_note()), (turn(number) << 16, call.is_none()));
        if let Some(call) = call {
            serve(request);
            let reply = client.wait_until(call, soon()).expect("a reply");
            assert!(frames::is(number, reply.type_id(), &reply), "call {number}");
        }
    }
}

#[test]
fn two_processes_call_past_the_end_of_the_ids() {
    let _watchdog = watchdog_for("more calls than ids, of another process", PATIENCE);
    let scratch = Scratch::new();
    let mut server = slipring::Listener::bind(&scratch.path("rpc"), &Options::default()).expect("a name");
    let mut client = peer!();
    client.tell(&format!("connect-rpc {} in-flight=1 within=10000", scratch.path("rpc")));
    let mut bus = server.accept_rpc_until(soon()).expect("a client");
    assert_eq!(client.answer(), "ok");
    client.tell(&format!("call {ONCE} 12"));
    for number in 0..ONCE {
        let request = bus.serve_until(soon()).expect("a request");
        assert_eq!((request.id(), request.type_id()), (turn(number) << 16, frames::type_id(number)));
        serve(request);
    }
    assert_eq!(client.answer(), format!("ok {ONCE}"), "each was answered with what it had said");
}
