//! The peer's objects that one session knows: their descriptors, and their maps as long as there is room for those.
//!
//! A descriptor stays until the peer takes the object back *and* this side has read past the last frame that names it. A map is
//! made at the first frame that names the object, and kept for the next ones within a limit of this side's own; beyond it, maps
//! that nobody looks at go, the one that was named longest ago first. So the number of maps is this side's affair, and the
//! number of descriptors has a limit that both know.

use super::Object;
use crate::error::{Cause, Error, Violation};
use crate::layout::OBJECTS_MAX;
use crate::shm::object::SealedFile;
use crate::sys::fork::Fd;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

#[derive(Debug)]
pub(crate) struct Known {
    objects: BTreeMap<u64, Entry>,
    /// The number of the next announcement.
    next: u64,
    /// How many bytes stay mapped while nobody looks at them.
    limit: u64,
    /// Bytes of the maps that are kept.
    kept: u64,
    /// Counts how often one was named.
    turn: u64,
    /// Before this nobody looks at frames any more.
    passed: u64,
    /// How many are taken back, but may still be named by a frame that is to be read.
    leaving: usize,
}

#[derive(Debug)]
struct Entry {
    file: Arc<SealedFile>,
    /// The map, as long as anybody has it.
    map: Weak<Object>,
    /// The same, kept for the next frame.
    kept: Option<Arc<Object>>,
    /// No frame that ends behind this names it any more.
    until: Option<u64>,
    /// When it was named last.
    turn: u64,
}

impl Known {
    pub(crate) fn new(limit: u64) -> Self {
        Self { objects: BTreeMap::new(), next: 0, limit, kept: 0, turn: 0, passed: 0, leaving: 0 }
    }

    /// How many there are, and the bytes of them that are kept mapped.
    pub(crate) fn count(&self) -> (u32, u64) {
        (self.objects.len() as u32, self.kept)
    }

    /// Takes an announcement.
    ///
    /// # Errors
    /// [`Cause::Corrupt`] for a number out of turn, more than there may be, or an object that fails its checks.
    pub(crate) fn announce(&mut self, number: u64, bytes: u64, fd: Fd) -> Result<(), Error> {
        if number != self.next || self.objects.len() >= OBJECTS_MAX {
            let tried = format!("take object {number} beside {}, where {} is next", self.objects.len(), self.next);
            return Err(Error::new(Cause::Corrupt(Violation::Object), tried));
        }
        let file = Arc::new(SealedFile::check(fd, bytes)?);
        self.next += 1;
        self.objects.insert(number, Entry { file, map: Weak::new(), kept: None, until: None, turn: 0 });
        Ok(())
    }

    /// The peer takes an object back: no frame that ends behind `position` names it.
    ///
    /// # Errors
    /// [`Violation::Object`] for one that is not there, or was taken back before.
    pub(crate) fn take_back(&mut self, number: u64, position: u64) -> Result<(), Violation> {
        let entry = self.objects.get_mut(&number).filter(|entry| entry.until.is_none()).ok_or(Violation::Object)?;
        entry.until = Some(position);
        self.leaving += 1;
        self.drop_passed();
        Ok(())
    }

    /// Nobody looks at frames before `position` any more. (The peer may not know that yet, and then counts more objects than there
    /// are.)
    pub(crate) fn passed(&mut self, position: u64) {
        self.passed = position;
        if self.leaving > 0 {
            self.drop_passed();
        }
    }

    fn drop_passed(&mut self) {
        let (passed, kept, leaving) = (self.passed, &mut self.kept, &mut self.leaving);
        self.objects.retain(|_, entry| {
            let stays = entry.until.is_none_or(|until| until > passed);
            if !stays {
                (*kept, *leaving) = (*kept - entry.kept_bytes(), *leaving - 1);
            }
            stays
        });
    }

    /// Nothing more is to be read.
    pub(crate) fn clear(&mut self) {
        self.objects.clear();
        (self.kept, self.leaving) = (0, 0);
    }

    /// Whether the peer has announced this number, as far as is known.
    pub(crate) fn was_announced(&self, number: u64) -> bool {
        number < self.next
    }

    /// The object that a frame names which ends at `end`.
    ///
    /// # Errors
    /// [`Cause::Corrupt`] for one that is not there, or was taken back before that frame; [`Cause::OutOfMemory`] where no map can
    /// be had.
    pub(crate) fn find(&mut self, number: u64, end: u64) -> Result<Arc<Object>, Error> {
        let Some(entry) = self.objects.get_mut(&number).filter(|entry| entry.until.is_none_or(|until| end <= until))
        else {
            return Err(Error::new(Cause::Corrupt(Violation::Object), format!("look for object {number}")));
        };
        self.turn += 1;
        entry.turn = self.turn;
        let object = match entry.map.upgrade() {
            Some(object) => object,
            None => Object::new(Arc::clone(&entry.file))?,
        };
        entry.map = Arc::downgrade(&object);
        if entry.kept.is_none() && self.make_room(object.bytes().len() as u64) {
            self.kept += object.bytes().len() as u64;
            self.objects.entry(number).and_modify(|entry| entry.kept = Some(Arc::clone(&object)));
        }
        Ok(object)
    }

    /// Lets go of maps that nobody looks at until `bytes` more may be kept. Whether they may.
    fn make_room(&mut self, bytes: u64) -> bool {
        if bytes > self.limit {
            return false;
        }
        while self.kept > self.limit - bytes {
            let idle = self.objects.values_mut().filter(|entry| entry.is_idle());
            let Some(oldest) = idle.min_by_key(|entry| entry.turn) else { return false };
            self.kept -= oldest.kept_bytes();
            oldest.kept = None;
        }
        true
    }
}

impl Entry {
    fn kept_bytes(&self) -> u64 {
        self.kept.as_ref().map_or(0, |object| object.bytes().len() as u64)
    }

    /// Whether a map is kept that nobody else has.
    fn is_idle(&self) -> bool {
        self.kept.as_ref().is_some_and(|object| Arc::strong_count(object) == 1)
    }
}
