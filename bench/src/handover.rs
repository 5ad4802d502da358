//! Handing over a shared object that the other side has mapped already: round trips and streams of short messages to each of
//! which the same object is attached.
//!
//! The object is written in full before the first message and read in full by the one that receives it, which then keeps it. At
//! every later message it looks at one of the places that it remembers, so that a wrong object is found and the bytes are not what
//! is measured.

use anyhow::{Context, Result};
use slipring::{Bus, SharedBuffer};

use crate::bus::{DATA, END, Sender, connect, fault, listen};
use crate::echo::{Echo, check};
use crate::fault::Fault;
use crate::floor::LINE_PAYLOAD;
use crate::flow::Flow;
use crate::link::Side;
use crate::payload::{expected, fill, sum};
use crate::plan::{Api, BusPlan};

/// Bytes of the messages that objects come with.
pub(crate) const MESSAGE: usize = LINE_PAYLOAD;
/// What the object of a lane is filled with, on both sides.
const SEED: u64 = 7;
/// Messages that are taken at once.
const AT_ONCE: usize = 1024;
/// Places of an object that are remembered; a power of two, so that choosing one is no division.
const PLACES: usize = 64;
/// Bytes of a place.
const PLACE: usize = 8;

/// An object of `len` bytes with the pattern of `seed`.
pub(crate) fn make_object(len: usize, seed: u64) -> Result<SharedBuffer> {
    let mut built = SharedBuffer::build(len).context("build a shared object")?;
    fill(&mut built, seed);
    built.seal().context("seal a shared object")
}

/// A sending end and the object that it attaches.
pub(crate) struct Giver {
    bus: Bus,
    object: SharedBuffer,
    buffer: [u8; MESSAGE],
}

impl Giver {
    fn new(bus: Bus, len: usize) -> Result<Self> {
        Ok(Self { bus, object: make_object(len, SEED)?, buffer: [0; MESSAGE] })
    }

    #[inline]
    fn put(&mut self, seed: u64) -> Result<()> {
        fill(&mut self.buffer, seed);
        self.bus.publish_shared(DATA, &self.buffer, &[&self.object]).map_err(fault)
    }

    fn end(&mut self) -> Result<()> {
        self.bus.publish(END, &[]).map_err(fault)
    }
}

/// What the receiving side has of the object.
pub(crate) struct Seen {
    len: usize,
    object: Option<SharedBuffer>,
    places: Vec<(usize, [u8; PLACE])>,
    looks: usize,
}

impl Seen {
    fn new(len: usize) -> Self {
        Self { len, object: None, places: Vec::new(), looks: 0 }
    }

    /// Looks at what came with a message: all of it the first time, later one place.
    #[inline]
    fn look(&mut self, came: &[SharedBuffer]) -> Result<()> {
        let [object] = came else { return Err(wrong()) };
        let Some(first) = &self.object else { return self.read(object) };
        self.looks += 1;
        let (at, right) = self.places[self.looks % PLACES];
        if object.as_ptr() == first.as_ptr() && object.len() == self.len && object[at..at + PLACE] == right {
            Ok(())
        } else {
            Err(wrong())
        }
    }

    #[cold]
    fn read(&mut self, object: &SharedBuffer) -> Result<()> {
        if object.len() != self.len {
            return Err(wrong());
        }
        check("object", 1, sum(object), expected(SEED, self.len))?;
        let place = |number: usize| (object.len() - PLACE) / (PLACES - 1) * number;
        let remember = |at: usize| object[at..].first_chunk().map(|bytes| (at, *bytes));
        self.places = (0..PLACES).filter_map(|number| remember(place(number))).collect();
        self.object = Some(object.clone());
        Ok(())
    }
}

#[cold]
fn wrong() -> anyhow::Error {
    Fault::Damaged(
        "a message came with another object than was attached to it: the right one is lost or damaged".into(),
    )
    .into()
}

/// Round trips: the object goes there, a plain message comes back.
pub(crate) enum SharedEcho {
    Asking(Giver, Bus),
    Answering(Sender, Bus, Seen),
}

impl SharedEcho {
    pub(crate) fn open(side: Side, name: &str, plan: &BusPlan, len: usize) -> Result<Self> {
        let (there, back) = (format!("{name}-there"), format!("{name}-back"));
        Ok(match side {
            Side::Lead => {
                let out = connect(&there, plan)?;
                let back = listen(&back, plan)?;
                Self::Asking(Giver::new(out, len)?, back)
            }
            Side::Follow => {
                let requests = listen(&there, plan)?;
                let replies = Sender::new(connect(&back, plan)?, Api::Copy, MESSAGE);
                Self::Answering(replies, requests, Seen::new(len))
            }
        })
    }
}

/// The side that a line is opened for decides what is called on it.
const WRONG_END: &str = "a line's leading side only gives and its following side only takes";

impl Echo for SharedEcho {
    #[inline]
    fn ask(&mut self, seed: u64) -> Result<u64> {
        let Self::Asking(out, back) = self else { anyhow::bail!(WRONG_END) };
        out.put(seed)?;
        let reply = back.recv().map_err(fault)?;
        Ok(sum(&reply))
    }

    #[inline]
    fn answer(&mut self) -> Result<Option<u64>> {
        let Self::Answering(out, requests, seen) = self else { anyhow::bail!(WRONG_END) };
        let request = requests.recv().map_err(fault)?;
        if request.type_id() == END {
            return Ok(None);
        }
        seen.look(request.shared())?;
        let found = sum(&request);
        drop(request);
        out.put(found)?;
        Ok(Some(found))
    }

    fn end(&mut self) -> Result<()> {
        let Self::Asking(out, _) = self else { anyhow::bail!(WRONG_END) };
        out.end()
    }
}

/// A stream of messages that each come with the object.
pub(crate) enum SharedFlow {
    Giving(Giver),
    Taking(Bus, Seen),
}

impl SharedFlow {
    pub(crate) fn open(side: Side, name: &str, plan: &BusPlan, len: usize) -> Result<Self> {
        Ok(match side {
            Side::Lead => Self::Giving(Giver::new(connect(name, plan)?, len)?),
            Side::Follow => Self::Taking(listen(name, plan)?, Seen::new(len)),
        })
    }
}

impl Flow for SharedFlow {
    #[inline]
    fn send(&mut self, seed: u64) -> Result<()> {
        let Self::Giving(out) = self else { anyhow::bail!(WRONG_END) };
        out.put(seed)
    }

    fn receive(&mut self, each: &mut impl FnMut(u64) -> Result<()>) -> Result<bool> {
        let Self::Taking(bus, seen) = self else { anyhow::bail!(WRONG_END) };
        let (mut more, mut checked) = (true, Ok(()));
        bus.poll(AT_ONCE, |frame| {
            if frame.type_id() == END {
                more = false;
            } else if checked.is_ok() {
                checked = seen.look(frame.shared()).and_then(|()| each(sum(&frame)));
            }
        })
        .map_err(fault)?;
        checked.map(|()| more)
    }

    fn end(&mut self) -> Result<()> {
        let Self::Giving(out) = self else { anyhow::bail!(WRONG_END) };
        out.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_object_is_found_at_once_and_the_right_one_never() {
        let (right, other) = (make_object(1000, SEED).unwrap(), make_object(1000, SEED + 1).unwrap());
        let mut seen = Seen::new(1000);
        for _ in 0..2 * PLACES {
            seen.look(std::slice::from_ref(&right)).unwrap();
        }
        for wrong in [&[][..], std::slice::from_ref(&other), &[right.clone(), right.clone()]] {
            assert_eq!(Fault::code_of(&seen.look(wrong).unwrap_err()), 3);
        }
        assert!(Seen::new(1000).look(&[other]).is_err(), "the first one is read in full");
        assert!(Seen::new(999).look(&[right]).is_err());
    }
}
