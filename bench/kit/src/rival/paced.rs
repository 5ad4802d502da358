//! Traffic at a pace: latency in an open loop, from the intended send to the end of the read.
//!
//! Each message carries the time at which it was to go out, on the clock that both processes read. A sender that falls
//! behind sends what is due without a pause, and what that costs each message counts: nothing is left out because the system
//! was busy. Without a pace the messages go out as fast as there is room, which tells the capacity of the same loop.

use std::time::Instant;

use anyhow::Result;

use super::drive::{LAST, check_last};
use super::{Block, End, Job};
use crate::clock::{between, monotonic_ns};
use crate::echo::check;
use crate::fault::Fault;
use crate::flow::Moved;
use crate::payload::{expected, fill, seed_of, sum};
use crate::tally::Tally;

/// The sending side. It spins to each start on a CPU of its own: what a timer adds would be counted as latency.
pub(super) fn send_paced<E: End>(end: &mut E, job: &Job, block: &Block, seed: &mut u64) -> Result<Moved> {
    let (gap, span) = (block.gap.as_nanos() as u64, block.span.as_nanos() as u64);
    let (begin, from) = (Instant::now(), monotonic_ns() + gap);
    let mut messages = 0;
    while messages < block.count {
        let due = if gap == 0 { monotonic_ns() } else { from + messages * gap };
        if due - from.min(due) >= span {
            break;
        }
        if monotonic_ns() < due {
            end.flush()?;
            while monotonic_ns() < due {
                std::hint::spin_loop();
            }
        }
        *seed += 1;
        messages += 1;
        let spoiled = u64::from(*seed == job.damage);
        end.send(job.payload, |bytes| {
            fill(bytes, due);
            // Not of the first word, which says when: damage must be found by the sum.
            bytes[job.payload - 1] ^= spoiled as u8;
        })?;
    }
    end.send(job.payload, |bytes| fill(bytes, LAST))?;
    end.flush()?;
    Ok(Moved { messages, time: begin.elapsed() })
}

/// The receiving side. That none is missing or out of turn follows from the times that they carry, which lie one gap apart;
/// without a gap from their number, which both sides tell.
pub(super) fn receive_paced<E: End>(end: &mut E, job: &Job, block: &Block, tally: &mut Tally) -> Result<Moved> {
    let gap = block.gap.as_nanos() as u64;
    let (mut messages, mut before, mut begin) = (0u64, 0u64, None);
    loop {
        let (mut more, mut checked) = (true, Ok(()));
        end.receive_some(&mut |bytes| {
            if checked.is_err() {
                return;
            }
            let found = sum(bytes);
            let due = seed_of(bytes).unwrap_or_default();
            if due == LAST {
                more = false;
                checked = check_last(found, job.payload);
                return;
            }
            let now = monotonic_ns();
            begin.get_or_insert_with(Instant::now);
            messages += 1;
            tally.record(between(due, now));
            checked = check("message", messages, found, expected(due, job.payload))
                .and_then(|()| check_turn(messages, gap, before, due));
            before = due;
        })?;
        checked?;
        if !more {
            let time = begin.map_or(Default::default(), |begin: Instant| begin.elapsed());
            return Ok(Moved { messages, time });
        }
    }
}

fn check_turn(number: u64, gap: u64, before: u64, due: u64) -> Result<()> {
    let in_turn = number == 1 || if gap == 0 { due >= before } else { due == before + gap };
    if in_turn {
        return Ok(());
    }
    Err(Fault::Damaged(format!("message {number} is lost or out of turn: due at {due}, after {before}")).into())
}
