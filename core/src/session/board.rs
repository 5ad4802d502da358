//! The board of a listener: what its sessions have counted, for processes of the same user to look at.
//!
//! The listening process makes it with its first session or observer, and alone writes it; observers map it read-only. A session
//! has a [`Slot`], into which it copies its counters at its calm moments. Nothing here waits for an observer, or knows that there
//! is one: one that hangs, dies or means harm has a map that it can read, and nothing else.
//!
//! An [entry](entry) is written and read without locks, and never half of it. The counts of the whole listener change under a
//! lock, when a session begins or ends. Without memory for one more slot, or beyond [`SLOTS`], a session is counted, not shown.

pub(crate) mod entry;

use crate::error::Error;
use crate::layout::board::{
    BYTES, MAGIC, OPEN, OPENED, SLOT, SLOTS, SLOTS_AT, UNSHOWN, USED, VERSION_AT, WORDS, slot_at,
};
use crate::layout::{SessionKind, VERSION};
use crate::observe::Counts;
use crate::shm::OwnSegment;
use crate::span::WriteTable;
use crate::sync::Ordering::{Relaxed, Release};
use crate::sys;
use crate::sys::fork::Birth;
use crate::sys::socket::Credentials;
use entry::Entry;
use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A listener's board.
#[derive(Debug)]
pub(crate) struct Board {
    segment: OwnSegment,
    /// How many bytes of it exist.
    exist: usize,
    sheet: Arc<Sheet>,
}

/// What a board and its slots share.
#[derive(Debug)]
struct Sheet {
    words: WriteTable,
    book: Mutex<Book>,
}

/// Who is there.
#[derive(Debug, Default)]
struct Book {
    opened: u64,
    open: u64,
    unshown: u64,
    used: u32,
    /// Slots whose sessions have ended, each with the last generation of its entries.
    free: Vec<(u32, u64)>,
}

impl Board {
    /// An empty board.
    ///
    /// # Errors
    /// As for any segment of ours.
    pub(crate) fn make() -> Result<Self, Error> {
        let segment = OwnSegment::create_empty("slipring-board", BYTES)?;
        let words = WriteTable::new(segment.span(), WORDS);
        let exist = sys::page_size();
        segment.extend(0, exist)?;
        words.store(VERSION_AT, VERSION.into(), Relaxed);
        words.store(SLOTS_AT, SLOTS.into(), Relaxed);
        words.store(0, MAGIC, Release);
        Ok(Self { segment, exist, sheet: Arc::new(Sheet { words, book: Mutex::default() }) })
    }

    /// A descriptor that can only be read, or, where that cannot be had, the one that there is: sealed against writing.
    pub(crate) fn with_fd<T>(&self, send: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
        match self.segment.read_only() {
            Ok(fd) => send(fd.as_fd()),
            Err(_) => send(self.segment.fd().expect("a board keeps its descriptor")),
        }
    }

    /// A session has begun.
    pub(crate) fn enter(&mut self, kind: SessionKind, peer: Credentials, birth: Birth) -> Slot {
        let sheet = Arc::clone(&self.sheet);
        let mut book = sheet.lock();
        book.opened += 1;
        book.open += 1;
        let place = book.free.pop().or_else(|| (book.used < SLOTS).then_some((book.used, 0)));
        let place = place.filter(|&(slot, _)| self.exists(slot));
        match place {
            Some((slot, _)) => book.used = book.used.max(slot + 1),
            None => book.unshown += 1,
        }
        let about = Entry { number: book.opened, kind: kind as u64, pid: peer.pid, uid: peer.uid, ..Entry::default() };
        let place = place.map(|(slot, generation)| Place { slot, generation: Cell::new(generation) });
        let slot = Slot { sheet: Arc::clone(&sheet), place, about, birth };
        // Before it is counted as used.
        slot.write(&Entry { time: sys::monotonic_ns(), ..about });
        sheet.show(&book);
        slot
    }

    /// Whether a slot is in memory that exists; more of it is made if there is.
    fn exists(&mut self, slot: u32) -> bool {
        let end = (slot_at(slot) + SLOT) as usize * 8;
        while self.exist < end {
            let more = self.exist.min(BYTES - self.exist);
            if let Err(error) = self.segment.extend(self.exist, more) {
                tracing::debug!(%error, "a session is not shown");
                return false;
            }
            self.exist += more;
        }
        true
    }
}

impl Sheet {
    fn lock(&self) -> MutexGuard<'_, Book> {
        // The book is whole at every step.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the counts of the listener. The lock makes it one writer at a time.
    fn show(&self, book: &Book) {
        self.words.store(OPENED, book.opened, Relaxed);
        self.words.store(OPEN, book.open, Relaxed);
        self.words.store(UNSHOWN, book.unshown, Relaxed);
        // SYNC used: release, behind the first entry of the slot.
        self.words.store(USED, book.used.into(), Release);
    }
}

/// The place of a session on the board, if there is one left for it. Free again when this drops.
#[derive(Debug)]
pub(crate) struct Slot {
    sheet: Arc<Sheet>,
    place: Option<Place>,
    /// What stays the same of its entries.
    about: Entry,
    birth: Birth,
}

#[derive(Debug)]
struct Place {
    slot: u32,
    generation: Cell<u64>,
}

impl Slot {
    /// Shows what was counted up to now.
    pub(crate) fn note(&self, counts: &Counts) {
        if self.place.is_some() {
            let (ours, theirs) = (counts.ours.to_words(), counts.theirs.map(|theirs| theirs.to_words()));
            self.write(&Entry { time: sys::monotonic_ns(), ours, theirs, ..self.about });
        }
    }

    fn write(&self, entry: &Entry) {
        if let Some(Place { slot, generation }) = &self.place {
            generation.set(entry.write(&self.sheet.words, slot_at(*slot), generation.get()));
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // In a forked child the board is not there, and the lock may be held by a thread that it has not.
        if !self.birth.is_ours() {
            return;
        }
        self.write(&Entry::default());
        let mut book = self.sheet.lock();
        book.open -= 1;
        match self.place.take() {
            Some(Place { slot, generation }) => book.free.push((slot, generation.get())),
            None => book.unshown -= 1,
        }
        self.sheet.show(&book);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::Deadline;
    use crate::session::board::entry::Page;
    use crate::shm::PeerSegment;
    use crate::sys::fork::Fd;

    const PEER: Credentials = Credentials { pid: 7, uid: 8, gid: 9 };

    fn birth() -> Birth {
        Birth::now().expect("a birth")
    }

    fn page_of(board: &Board) -> Page {
        let fd = board.with_fd(|fd| Fd::make(|| fd.try_clone_to_owned()).expect("a copy"));
        Page::new(&PeerSegment::attach_begun(fd, BYTES as u64).expect("a board")).expect("a board")
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri maps no memfd")]
    fn sessions_come_and_go_and_their_slots_are_used_again() {
        let mut board = Board::make().expect("a board");
        let page = page_of(&board);
        let mut slots: Vec<_> = (0..3).map(|_| board.enter(SessionKind::Bus, PEER, birth())).collect();
        slots.remove(1);
        let number = |slot| page.entry(slot).expect("nobody writes").map(|entry| entry.number);
        assert_eq!([number(0), number(1), number(2)], [Some(1), None, Some(3)]);
        assert_eq!((page.opened(), page.open(), page.used()), (3, 2, 3));
        slots.push(board.enter(SessionKind::Rpc, PEER, birth()));
        assert_eq!((number(1), page.opened(), page.used()), (Some(4), 4, 3));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri maps no memfd")]
    fn beyond_the_last_slot_sessions_are_counted_and_not_shown() {
        let mut board = Board::make().expect("a board");
        let page = page_of(&board);
        let slots: Vec<_> = (0..SLOTS + 2).map(|_| board.enter(SessionKind::Bus, PEER, birth())).collect();
        assert_eq!((page.open(), page.unshown(), page.used()), (u64::from(SLOTS) + 2, 2, SLOTS));
        assert!(matches!(page.entry(SLOTS - 1), Ok(Some(entry)) if entry.number == u64::from(SLOTS)));
        drop(slots);
        assert_eq!((page.open(), page.unshown(), page.used()), (0, 0, SLOTS));
        assert!((0..SLOTS).all(|slot| page.entry(slot) == Ok(None)));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri maps no memfd")]
    fn only_what_is_used_exists() {
        let mut board = Board::make().expect("a board");
        let blocks = |board: &Board| board.with_fd(|fd| sys::memory::size_and_blocks(fd).expect("stat").1);
        let _page = page_of(&board);
        assert_eq!(blocks(&board), sys::page_size() as u64);
        let _slots: Vec<_> = (0..20).map(|_| board.enter(SessionKind::Bus, PEER, birth())).collect();
        assert!(blocks(&board) < BYTES as u64 / 4 || sys::page_size() > 1 << 14);
        let whole = OwnSegment::create("slipring-test", BYTES, Deadline::NEVER).expect("a segment");
        let told = whole.len() as u64;
        let copy = Fd::make(|| whole.fd().expect("not forgotten").try_clone_to_owned()).expect("a copy");
        let not_a_board = PeerSegment::attach_begun(copy, told).expect("it is sealed, and as long");
        assert!(Page::new(&not_a_board).is_none(), "it does not say that it is one");
    }
}
