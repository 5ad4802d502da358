//! Sending and receiving shared objects: how a side sees to it that the peer knows what a frame names, and finds what the
//! peer's frames name.
//!
//! An object is announced once a session, before the first frame that names it. Announcing may have to wait, as a block may, until
//! the peer has read its socket or passed earlier frames.

use crate::error::{Cause, Error};
use crate::layout::{Descriptor, Names};
use crate::ring::Taken;
use crate::session::link::Link;
use crate::session::objects::{Answer, Object};
use crate::side::{Patience, Side, Want};
use std::sync::Arc;

/// Sending.
impl Side<Link> {
    /// Sees to it that the peer knows all of `objects`, which are no more than a frame names. Their numbers.
    pub(crate) fn introduce<'a>(
        &mut self,
        objects: impl ExactSizeIterator<Item = &'a Arc<Object>>,
        patience: Patience,
    ) -> Result<Names, Cause> {
        self.check_sendable(0)?;
        let mut names = Names::of(objects.len());
        for (at, object) in objects.enumerate() {
            if !object.is_ours() {
                return Err(Cause::Forked);
            }
            let number = match self.channel().told.number(object) {
                Some(number) => number,
                None => self.announce(object, patience)?,
            };
            names.set(at, number);
        }
        Ok(names)
    }

    /// The frame that was just published names `objects`.
    pub(crate) fn named<'a>(&mut self, objects: impl Iterator<Item = &'a Arc<Object>>) {
        let end = self.writer.tail();
        for object in objects {
            self.channel().told.named(object, end);
        }
    }

    /// What cannot be sent now is tried again when the peer has read something, and every so often.
    #[cold]
    fn announce(&mut self, object: &Object, patience: Patience) -> Result<u64, Cause> {
        loop {
            self.take_block_news()?;
            let seen = self.peer_seen();
            if !self.may_announce(seen)? {
                self.wait_for_socket(patience)?;
                continue;
            }
            // Looks how far the peer has read.
            self.is_read(0)?;
            let read = self.writer.seen_read();
            match self.channel().told.introduce(object, read) {
                Ok(Answer::New(number)) => {
                    self.announced();
                    return Ok(number);
                }
                Ok(Answer::NotNow) => {
                    self.announce_later(seen)?;
                    self.wait_for_socket(patience)?;
                }
                Ok(Answer::Crowded(position)) => self.wait_for_reading(position, patience)?,
                Err(refused) => {
                    let error = Error::system("announce a shared object", refused);
                    tracing::debug!(%error, "an object could not be announced");
                    return Err(error.cause());
                }
            }
        }
    }

    fn wait_for_socket(&mut self, patience: Patience) -> Result<(), Cause> {
        // The peer may be asleep for what it has not been shown.
        self.flush()?;
        match patience {
            Patience::None | Patience::OnlyToMake(_) => self.answer_no_block(),
            Patience::Until(deadline) => self.wait(Want::Block, deadline),
        }
    }

    fn wait_for_reading(&mut self, position: u64, patience: Patience) -> Result<(), Cause> {
        self.flush()?;
        match patience {
            Patience::None | Patience::OnlyToMake(_) => self.answer_unread(position),
            Patience::Until(deadline) => self.wait(Want::Read(position), deadline),
        }
    }
}

/// Receiving.
impl Side<Link> {
    /// The objects that a frame names. Where one cannot be mapped, or not even its descriptor taken, the frame is not lost: the
    /// next call finds it again.
    pub(crate) fn objects(&mut self, frame: Taken, told: Descriptor) -> Result<Vec<Arc<Object>>, Cause> {
        let names = self.told_names(frame, told);
        if !names.numbers().all(|number| self.channel().known.was_announced(number)) {
            self.learn_for(frame)?;
        }
        // Nothing was taken behind this frame.
        let end = self.reader.head();
        let known = &mut self.channel_mut().known;
        let found: Result<Vec<_>, _> = names.numbers().map(|number| known.find(number, end)).collect();
        found.map_err(|error| match error.cause() {
            Cause::Corrupt(violation) => self.corrupt(violation),
            _ => {
                tracing::debug!(%error, "a shared object could not be mapped");
                self.unresolved = Some(frame);
                Cause::OutOfMemory
            }
        })
    }
}
