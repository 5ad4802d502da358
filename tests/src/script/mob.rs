//! Many sessions of one process, at two servers at once: opened, used and dropped at random, for ever, by a process that is there
//! to be killed in the middle of it; and many that all do the same, by one that is there to be stopped.
//!
//! ```text
//! mob FRAMES CALLS SEED [OPTION..]   sessions at both addresses, used at random until it is killed; says when it has some
//! crowd ADDRESS COUNT [OPTION..]     so many sessions for calls, at once
//! rounds COUNT LEN                   a request on each of them and then all replies, again and again
//! ```

use super::{Order, Outcome, Script, Stop, counted, say};
use crate::chance::Chance;
use crate::frames;
use crate::objects::object;
use slipring::{Bus, CallId, Cause, Deadline, Error, Message, Options, OwnedClaim, RpcBus, SharedBuffer};
use std::time::Duration;

/// Sessions that a process of the mob has at the most.
const MOST: usize = 24;
/// Of what it holds on to (claims, kept replies, calls that nobody waits for), how much a session has at the most.
const HELD: usize = 6;
/// Lengths of payloads: in the ring, and in blocks. All that one session can hold fits into a mebibyte at either end.
const LENGTHS: [usize; 6] = [0, 40, 900, 1025, 5000, 20_000];
/// Bytes of the objects that it shares.
const OBJECT: usize = 30_000;

/// One session, and what it has open.
enum Member {
    Frames { bus: Bus, sent: u64, claims: Vec<OwnedClaim> },
    Calls { rpc: RpcBus, begun: Vec<CallId>, kept: Vec<Message> },
}

struct Mob<'a> {
    chance: Chance,
    addresses: [&'a str; 2],
    options: Options,
    objects: Vec<SharedBuffer>,
    members: Vec<Member>,
}

/// Uses sessions at random, and says `ok` when it has its first ones. Ends only when something is wrong.
pub(super) fn mob(order: &Order<'_>) -> Outcome {
    let mut chance = Chance::new(order.number(2));
    let first = 2 + chance.below(MOST - 2);
    let mut mob = Mob {
        objects: (0..3).map(|number| object(number, OBJECT)).collect(),
        addresses: [order.word(0), order.word(1)],
        options: order.options(),
        members: Vec::new(),
        chance,
    };
    for _ in 0..first {
        mob.open()?;
    }
    say("ok");
    loop {
        mob.step().map_err(|why| Stop { after: mob.members.len() as u64, why })?;
    }
}

impl Mob<'_> {
    fn open(&mut self) -> Result<(), Error> {
        let soon = Deadline::after(Duration::from_secs(10));
        let kind = self.chance.below(2);
        let address = self.addresses[kind];
        let member = if kind == 0 {
            Member::Frames { bus: Bus::connect_until(address, &self.options, soon)?, sent: 0, claims: Vec::new() }
        } else {
            let rpc = RpcBus::connect_until(address, &self.options, soon)?;
            Member::Calls { rpc, begun: Vec::new(), kept: Vec::new() }
        };
        self.members.push(member);
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        let roll = self.chance.below(40);
        if self.members.is_empty() || (roll == 0 && self.members.len() < MOST) {
            return self.open().map_err(|error| error.to_string());
        }
        let at = self.chance.below(self.members.len());
        if roll == 1 {
            drop(self.members.swap_remove(at));
            return Ok(());
        }
        if roll == 2 {
            let number = self.chance.below(self.objects.len());
            // Whoever was told of the old one is told that it goes.
            self.objects[number] = object(number as u64, OBJECT);
        }
        let len = LENGTHS[self.chance.below(LENGTHS.len())];
        let done = match &mut self.members[at] {
            Member::Frames { bus, sent, claims } => frame(bus, sent, claims, len, &self.objects, &mut self.chance),
            Member::Calls { rpc, begun, kept } => call(rpc, begun, kept, len, &self.objects, &mut self.chance),
        };
        match done {
            Ok(()) | Err(Cause::Full | Cause::Timeout | Cause::Empty) => Ok(()),
            Err(cause) => Err(format!("{cause:?}")),
        }
    }
}

/// One thing on a session of frames.
fn frame(
    bus: &mut Bus,
    sent: &mut u64,
    claims: &mut Vec<OwnedClaim>,
    len: usize,
    objects: &[SharedBuffer],
    chance: &mut Chance,
) -> Result<(), Cause> {
    let payload = frames::payload(*sent, len);
    match chance.below(8) {
        0 if claims.len() < HELD => return bus.try_claim_owned(len).map(|claim| claims.push(claim)),
        1 => {
            claims.pop();
            return Ok(());
        }
        2 => bus.try_publish_shared(frames::type_id(*sent), &payload, &[&objects[chance.below(objects.len())]])?,
        _ => bus.try_publish(frames::type_id(*sent), &payload)?,
    }
    *sent += 1;
    Ok(())
}

/// One thing on a session of calls.
fn call(
    rpc: &mut RpcBus,
    begun: &mut Vec<CallId>,
    kept: &mut Vec<Message>,
    len: usize,
    objects: &[SharedBuffer],
    chance: &mut Chance,
) -> Result<(), Cause> {
    let soon = Deadline::after(Duration::from_secs(10));
    let number = chance.number() % 1000;
    let (type_id, payload) = (frames::type_id(number), frames::payload(number, len));
    let reply = match chance.below(8) {
        0 if begun.len() < HELD => return rpc.try_call(type_id, &payload).map(|call| begun.push(call)),
        1 => {
            let cancelled = begun.pop().map(|call| rpc.cancel(call));
            return cancelled.ok_or(Cause::Empty);
        }
        2 => {
            kept.clear();
            return Ok(());
        }
        3 => rpc.request_shared_until(type_id, &payload, &[&objects[chance.below(objects.len())]], soon),
        _ => rpc.request_until(type_id, &payload, soon),
    };
    let reply = reply.map_err(|error| error.cause())?;
    assert!(reply.len() == len && frames::is(number, reply.type_id(), &reply), "a damaged reply to {number}");
    if kept.len() < HELD && chance.below(3) == 0 {
        kept.push(reply.keep());
    }
    Ok(())
}

impl Script {
    /// Opens many sessions for calls.
    pub(super) fn crowd(&mut self, order: &Order<'_>) -> Outcome {
        for _ in 0..order.number(1) {
            self.crowd.push(RpcBus::connect_until(order.word(0), &order.options(), order.deadline())?);
        }
        Ok(Some(self.crowd.len() as u64))
    }

    /// Has all of them ask, and then looks at all the answers.
    pub(super) fn rounds(&mut self, order: &Order<'_>) -> Outcome {
        let (count, len) = (order.number(0), order.number(1) as usize);
        for done in 0..count {
            if let Err(why) = self.round(len, order.deadline()) {
                return counted(done, count, Some(why));
            }
        }
        Ok(Some(count))
    }

    fn round(&mut self, len: usize, deadline: Deadline) -> Result<(), String> {
        let why = |cause: Cause| format!("{cause:?}");
        let mut calls = Vec::new();
        for (number, rpc) in (0..).zip(&mut self.crowd) {
            let call = rpc.call_until(frames::type_id(number), &frames::payload(number, len), deadline).map_err(why)?;
            calls.push(call);
        }
        for ((number, rpc), call) in (0..).zip(&mut self.crowd).zip(calls) {
            let reply = rpc.wait_until(call, deadline).map_err(|error| why(error.cause()))?;
            super::calls::check(number, len, reply.type_id(), &reply)?;
        }
        Ok(())
    }
}
