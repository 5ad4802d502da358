//! The objects of which one session's peer was told: their numbers, and where the last frame that names each ends.
//!
//! A peer keeps a descriptor for each, so there are at most [`OBJECTS_MAX`] at a time. For one more, the one that was named
//! longest ago is taken back; should it be named again it gets a new number. A number that was taken back counts until the peer
//! has read past the last frame that names it.

use super::Object;
use crate::layout::OBJECTS_MAX;
use crate::session::line::{Line, must_wait};
use crate::session::record::Record;
use crate::sys::fork::Birth;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What one session has told its peer. Objects know it too, and keep no session open by that.
#[derive(Debug)]
pub(crate) struct Told {
    line: Weak<Line>,
    birth: Birth,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// By the keys of the objects.
    objects: BTreeMap<u64, Entry>,
    /// The number of the next one; none is used twice.
    next: u64,
    /// Counts how often one was named.
    turn: u64,
    /// Of those that were taken back: where the last frame that names each ends, if the peer may not have read so far.
    leaving: Vec<u64>,
    /// What could not be sent.
    unsaid: VecDeque<Record>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    number: u64,
    /// Behind the last frame that names it.
    position: u64,
    /// When it was named last.
    turn: u64,
}

/// What became of an object's introduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The peer was told of it now.
    New(u64),
    /// Nothing can be sent now.
    NotNow,
    /// The peer has to read up to this position first, so that there is a place.
    Crowded(u64),
}

impl Told {
    pub(crate) fn new(line: Weak<Line>, birth: Birth) -> Self {
        Self { line, birth, book: Mutex::default() }
    }

    /// How many objects the peer was told of, less those that were taken back.
    pub(crate) fn count(&self) -> u32 {
        // In a forked child the lock may be held by a thread that it has not.
        if self.birth.is_ours() { self.lock().objects.len() as u32 } else { 0 }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        // The book is whole at every step.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of an object that the peer knows, which is about to be named.
    pub(crate) fn number(&self, object: &Object) -> Option<u64> {
        self.lock().touch(object.key)
    }

    /// Tells the peer, which has read up to `read`, of an object that it does not know.
    ///
    /// # Errors
    /// What the socket says if it will never take the record.
    pub(crate) fn introduce(self: &Arc<Self>, object: &Object, read: u64) -> io::Result<Answer> {
        let Some(line) = self.line.upgrade() else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let mut book = self.lock();
        book.leaving.retain(|&position| position > read);
        if book.is_crowded() && book.leaving.is_empty() {
            book.take_back_oldest(read);
        }
        if book.is_crowded() {
            let first = book.leaving.iter().min().copied();
            book.say(&line);
            return Ok(Answer::Crowded(first.unwrap_or(read)));
        }
        // What the peer is to take back goes first: it counts there, too.
        if !book.say(&line) {
            return Ok(Answer::NotNow);
        }
        let (number, file) = (book.next, object.file());
        match line.say(Record::Object { number, bytes: file.len() as u64 }, Some(file.fd())) {
            Ok(()) => {}
            Err(error) if must_wait(&error) => return Ok(Answer::NotNow),
            Err(error) => return Err(error),
        }
        book.next += 1;
        book.objects.insert(object.key, Entry { number, position: 0, turn: 0 });
        book.touch(object.key);
        drop(book);
        object.is_known_by(self);
        Ok(Answer::New(number))
    }

    /// A frame that names the object ends at `position`.
    pub(crate) fn named(&self, object: &Object, position: u64) {
        if let Some(entry) = self.lock().objects.get_mut(&object.key) {
            entry.position = position;
        }
    }

    /// Nobody here has the object with this key any more.
    pub(super) fn take_back(&self, key: u64) {
        let mut book = self.lock();
        book.take_back(key, 0);
        if let Some(line) = self.line.upgrade() {
            book.say(&line);
        }
    }

    /// Sends what could not be sent before.
    pub(crate) fn say_unsaid(&self) {
        let mut book = self.lock();
        if !book.unsaid.is_empty()
            && let Some(line) = self.line.upgrade()
        {
            book.say(&line);
        }
    }
}

impl Book {
    fn touch(&mut self, key: u64) -> Option<u64> {
        self.turn += 1;
        let entry = self.objects.get_mut(&key)?;
        entry.turn = self.turn;
        Some(entry.number)
    }

    /// Whether there is no place for one more at the peer.
    fn is_crowded(&self) -> bool {
        self.objects.len() + self.leaving.len() >= OBJECTS_MAX
    }

    fn take_back_oldest(&mut self, read: u64) {
        if let Some((&key, _)) = self.objects.iter().min_by_key(|(_, entry)| entry.turn) {
            self.take_back(key, read);
        }
    }

    /// Takes an object back from a peer that has read up to `read` for sure.
    fn take_back(&mut self, key: u64, read: u64) {
        let Some(Entry { number, position, .. }) = self.objects.remove(&key) else { return };
        self.unsaid.push_back(Record::TakeBack { number, position });
        if position > read {
            self.leaving.push(position);
        }
    }

    /// Sends what is to be said. Whether all of it is said.
    fn say(&mut self, line: &Line) -> bool {
        while let Some(&record) = self.unsaid.front() {
            match line.say(record, None) {
                Err(error) if must_wait(&error) => return false,
                // What can never be said need not be.
                _ => drop(self.unsaid.pop_front()),
            }
        }
        true
    }
}
