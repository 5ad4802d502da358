//! Orders about shared objects. They are numbered, and hold the bytes of the frame with their number.
//!
//! ```text
//! share NUMBER LEN COUNT         publish it in COUNT messages, made first if it is not there
//! unshare                        let go of all that were made
//! get COUNT                      receive, check and keep the object of each message
//! pass COUNT                     send kept objects on, one a message
//! inspect                        check all that are kept; how many
//! ```

use super::{Order, Outcome, Script, Stop, counted};
use crate::frames;
use slipring::{Cause, SharedBuffer};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// What stands between two orders.
#[derive(Default)]
pub(super) struct Objects {
    made: BTreeMap<u64, SharedBuffer>,
    kept: Vec<(u32, SharedBuffer)>,
}

impl Objects {
    pub(super) fn let_go(&mut self) {
        self.kept.clear();
    }
}

fn is_whole((number, shared): &(u32, SharedBuffer)) -> bool {
    frames::is((*number).into(), *number, shared)
}

impl Script {
    pub(super) fn obey_for_objects(&mut self, order: &Order<'_>) -> Outcome {
        match order.verb {
            "share" => self.share(order),
            "unshare" => {
                self.objects.made.clear();
                Ok(None)
            }
            "get" => self.get(order),
            "pass" => {
                let bus = self.sends.as_mut().expect("a session");
                for (done, (number, shared)) in self.objects.kept.iter().take(order.number(0) as usize).enumerate() {
                    let sent = bus.publish_shared_until(*number, b"", &[shared], order.deadline());
                    sent.map_err(|cause| Stop { after: done as u64, ..cause.into() })?;
                }
                Ok(None)
            }
            "inspect" => {
                let whole = self.objects.kept.iter().filter(|kept| is_whole(kept)).count();
                counted(whole as u64, self.objects.kept.len() as u64, Some("damaged".to_owned()))
            }
            verb => panic!("an unknown order {verb}"),
        }
    }

    fn share(&mut self, order: &Order<'_>) -> Outcome {
        let (number, len, count) = (order.number(0), order.number(1) as usize, order.number(2));
        let shared = match self.objects.made.entry(number) {
            Entry::Occupied(made) => made.into_mut(),
            Entry::Vacant(place) => {
                let mut built = SharedBuffer::build(len)?;
                frames::fill(number, &mut built);
                place.insert(built.seal()?)
            }
        };
        let bus = self.sends.as_mut().expect("a session");
        for done in 0..count {
            if let Err(cause) = bus.publish_shared_until(frames::type_id(number), b"", &[shared], order.deadline()) {
                return counted(done, count, Some(format!("{cause:?}")));
            }
        }
        Ok(Some(count))
    }

    fn get(&mut self, order: &Order<'_>) -> Outcome {
        let bus = self.receives.as_mut().expect("a session");
        let count = order.number(0);
        for done in 0..count {
            let got: Result<_, Cause> =
                bus.recv_until(order.deadline()).map(|lease| (lease.type_id(), lease.shared()[0].clone()));
            match got {
                Ok(kept) if is_whole(&kept) => self.objects.kept.push(kept),
                Ok(_) => return counted(done, count, Some("damaged".to_owned())),
                Err(cause) => return counted(done, count, Some(format!("{cause:?}"))),
            }
        }
        Ok(Some(count))
    }
}
