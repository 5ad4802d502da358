//! Orders for sessions of calls. Calls are numbered as frames are; an honest server sends back what came.
//!
//! ```text
//! accept-rpc                     the next session        connect-rpc ADDRESS [OPTION..]   a session
//! serve COUNT                    requests, echoed        take COUNT                requests, left open
//! reply                          to all that are open, the last first
//! run MS                         serve by a handler      call COUNT LEN            a request and its reply, again and again
//! begin COUNT LEN                calls, not waited for   finish                    wait for all of them
//! flood LEN                      call until it is full, and note that
//! ```

use super::{Order, Outcome, Script, Stop, counted, number};
use crate::frames;
use slipring::{CallId, Cause, Deadline, Request, RpcBus};
use std::time::Duration;

/// What stands between two orders.
#[derive(Default)]
pub(super) struct Calls {
    begun: Vec<(CallId, u64, usize)>,
    open: Vec<(u32, u32, Vec<u8>)>,
}

/// Sends back what came.
fn echo(request: Request<'_>) {
    let (type_id, payload) = (request.type_id(), request.to_vec());
    // A caller that is gone needs no reply.
    let _ = request.reply(type_id, &payload);
}

impl Script {
    pub(super) fn obey_for_calls(&mut self, order: &Order<'_>) -> Outcome {
        match order.verb {
            "accept-rpc" => {
                let listener = self.listener.as_mut().expect("a listener");
                self.rpc = Some(listener.accept_rpc_until(order.deadline())?);
                return Ok(None);
            }
            "connect-rpc" => {
                let waits = order.settings.iter().any(|(name, _)| *name == "within");
                let deadline = if waits { order.deadline() } else { Deadline::NOW };
                self.rpc = Some(RpcBus::connect_until(order.word(0), &order.options(), deadline)?);
                return Ok(None);
            }
            "run" => {
                let rpc = self.rpc.as_mut().expect("a session");
                rpc.on_request(echo);
                rpc.run_until(Deadline::after(Duration::from_millis(order.number(0))))?;
                return Ok(None);
            }
            "finish" => return self.finish(order.deadline()),
            "reply" => return self.reply_to_all(),
            _ => {}
        }
        let count = if order.verb == "flood" { u64::MAX } else { order.number(0) };
        for done in 0..count {
            match self.one(order) {
                Ok(()) => {}
                Err(why) if order.verb == "flood" && why == "Full" => return Ok(Some(done)),
                Err(why) => return counted(done, count, Some(why)),
            }
        }
        Ok(Some(count))
    }

    /// One request or reply.
    fn one(&mut self, order: &Order<'_>) -> Result<(), String> {
        let rpc = self.rpc.as_mut().expect("a session");
        let len = || number(order.word(if order.verb == "flood" { 0 } else { 1 })) as usize;
        let this = self.sent;
        match order.verb {
            "serve" => {
                let request = rpc.serve_until(order.deadline()).map_err(text)?;
                let (type_id, payload) = (request.type_id(), request.to_vec());
                request.reply(type_id, &payload).map_err(text)
            }
            "take" => {
                let request = rpc.serve_until(order.deadline()).map_err(text)?;
                self.calls.open.push((request.id(), request.type_id(), request.to_vec()));
                Ok(())
            }
            "call" => {
                self.sent += 1;
                let payload = frames::payload(this, len());
                let reply = rpc.request_until(frames::type_id(this), &payload, order.deadline());
                let reply = reply.map_err(|error| text(error.cause()))?;
                check(this, payload.len(), reply.type_id(), &reply)
            }
            "begin" => {
                self.sent += 1;
                let payload = frames::payload(this, len());
                let call = rpc.call_until(frames::type_id(this), &payload, order.deadline()).map_err(text)?;
                self.calls.begun.push((call, this, payload.len()));
                Ok(())
            }
            "flood" => {
                let payload = frames::payload(this, len());
                let call = rpc.try_call(frames::type_id(this), &payload).map_err(text)?;
                self.sent += 1;
                self.calls.begun.push((call, this, payload.len()));
                Ok(())
            }
            verb => panic!("an unknown order {verb}"),
        }
    }

    fn finish(&mut self, deadline: Deadline) -> Outcome {
        let rpc = self.rpc.as_mut().expect("a session");
        let begun = std::mem::take(&mut self.calls.begun);
        let count = begun.len() as u64;
        for (done, (call, this, len)) in begun.into_iter().enumerate() {
            let reply = rpc.wait_until(call, deadline);
            let reply = reply.map_err(|error| Stop { after: done as u64, ..error.cause().into() })?;
            check(this, len, reply.type_id(), &reply).map_err(|why| Stop { after: done as u64, why })?;
        }
        Ok(Some(count))
    }

    fn reply_to_all(&mut self) -> Outcome {
        let rpc = self.rpc.as_mut().expect("a session");
        let open = std::mem::take(&mut self.calls.open);
        let count = open.len() as u64;
        for (id, type_id, payload) in open.into_iter().rev() {
            rpc.reply(id, type_id, &payload)?;
        }
        Ok(Some(count))
    }
}

fn text(cause: Cause) -> String {
    format!("{cause:?}")
}

/// Whether the echo of call `number` is what was sent.
pub(super) fn check(number: u64, len: usize, type_id: u32, reply: &[u8]) -> Result<(), String> {
    if reply.len() == len && frames::is(number, type_id, reply) {
        return Ok(());
    }
    Err(format!("call {number} was answered by {type_id} with {} bytes", reply.len()))
}
