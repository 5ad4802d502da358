//! Orders of which many run at once: racing for a name, and coming and going.

use super::{Outcome, Stop, counted};
use rustix::fs::{FlockOperation, flock};
use slipring::{Bus, Cause, Deadline, Listener, Options};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::time::Duration;

/// Takes and gives back the name `address` until it has been taken `rounds` times by all racers together.
///
/// The holder proves that it is the only one by a lock on the file `witness` that is not tried twice, and counts there.
/// Where racers are killed it waits for that lock: the kernel takes a dead process down in an order of its own, and may
/// close its listening socket before it lets go of its lock. Answers how often it held the name.
pub(super) fn race(address: &str, witness: &str, rounds: u64, some_are_killed: bool) -> Outcome {
    let lock = if some_are_killed { FlockOperation::LockExclusive } else { FlockOperation::NonBlockingLockExclusive };
    let broken = |why: String| Stop { after: 0, why };
    let mut witness = File::options().read(true).write(true).open(witness).expect("the test made the file");
    let mut held = 0;
    loop {
        let listener = match Listener::bind(address, &Options::default()) {
            Ok(listener) => Some(listener),
            Err(error) if matches!(error.cause(), Cause::AddressInUse | Cause::Timeout) => None,
            Err(error) => return Err(broken(error.to_string())),
        };
        if listener.is_some() && flock(&witness, lock).is_err() {
            return Err(broken("two hold the name".to_owned()));
        }
        let count = read_count(&mut witness);
        if listener.is_none() {
            if count >= rounds {
                return Ok(Some(held));
            }
            continue;
        }
        if count < rounds {
            held += 1;
            // By one write, because a racer may be killed at any moment.
            let text = format!("{:020}", count + 1);
            witness.seek(SeekFrom::Start(0)).and_then(|_| witness.write_all(text.as_bytes())).expect("count");
        }
        flock(&witness, FlockOperation::Unlock).expect("unlock");
        drop(listener);
        if count >= rounds {
            return Ok(Some(held));
        }
    }
}

/// What the file says: twenty digits, or nothing yet. Somebody else may be writing; any answer near the truth will do then.
fn read_count(file: &mut File) -> u64 {
    let mut text = String::new();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut text));
    read.expect("read the count");
    text.parse().unwrap_or(0)
}

/// Connects to `address`, says one thing and closes, `count` times.
pub(super) fn churn(address: &str, count: u64) -> Outcome {
    for done in 0..count {
        let patience = Deadline::after(Duration::from_secs(5));
        let once = Bus::connect_until(address, &Options::default(), patience).map_err(|error| error.to_string());
        let once = once.and_then(|mut bus| {
            bus.publish(0, b"here").and_then(|()| bus.close(Duration::from_secs(5))).map_err(|cause| cause.to_string())
        });
        if let Err(why) = once {
            return counted(done, count, Some(why));
        }
    }
    Ok(Some(count))
}
