//! The board of a listener: what its sessions have counted, for processes of the same user to look at.
//!
//! Each session has a [`Seat`] there, into which it copies its counters at its calm moments. As long as nobody ever asked that is
//! private memory. The first observer has the board drawn: a segment that this process alone writes, and observers map read-only,
//! in which each seat has a slot. From then on a seat copies every entry there. Nothing here waits for an observer, or knows that
//! there still is one: one that hangs, dies or means harm has a map that it can read, and nothing else.
//!
//! - A slot is written under the lock of its seat, so by one thread at a time; readers take [whole entries](entry) without locks.
//! - The counts of the whole listener are written under the lock of the book. Whoever needs both locks takes that one first.
//! - Only slots that exist are written. A session beyond [`SLOTS`], or without memory for its slot, is counted and not shown.

pub(crate) mod entry;

use crate::error::Error;
use crate::layout::board::{
    BYTES, MAGIC, OPEN, OPENED, SLOT, SLOTS, SLOTS_AT, UNSHOWN, USED, VERSION_AT, WORDS, slot_at,
};
use crate::layout::{SessionKind, VERSION};
use crate::observe::Counts;
use crate::shm::OwnSegment;
use crate::span::WriteTable;
use crate::sync::AtomicU32;
use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::sys;
use crate::sys::fork::Birth;
use crate::sys::socket::Credentials;
use entry::Entry;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// A listener's board.
#[derive(Debug, Default)]
pub(crate) struct Board {
    sheet: Arc<Sheet>,
    /// The memory that observers see, and how many bytes of it exist; once there was an observer.
    drawn: Option<(OwnSegment, usize)>,
}

/// What a board and its seats share.
#[derive(Debug, Default)]
struct Sheet {
    /// What observers see, once there was one.
    words: OnceLock<WriteTable>,
    /// Slots before this one exist.
    exist: AtomicU32,
    book: Mutex<Book>,
}

/// Who is there.
#[derive(Debug, Default)]
struct Book {
    opened: u64,
    open: u64,
    /// By slot.
    seats: Vec<Option<Arc<Seat>>>,
    /// Slots whose sessions have ended, each with the last generation of its entries.
    free: Vec<(u32, u64)>,
    /// Sessions for which there was no slot left.
    seatless: u64,
}

impl Board {
    /// A session has begun.
    pub(crate) fn enter(&mut self, kind: SessionKind, peer: Credentials, birth: Birth) -> Place {
        let sheet = Arc::clone(&self.sheet);
        let mut book = locked(&sheet.book);
        book.opened += 1;
        book.open += 1;
        let (number, kind, time) = (book.opened, kind as u64, sys::monotonic_ns());
        let entry = Entry { number, kind, pid: peer.pid, uid: peer.uid, time, ..Entry::default() };
        let seat = book.take_slot().map(|(slot, generation)| {
            let seat = Arc::new(Seat { slot, last: Mutex::new(Last { generation, entry }) });
            book.seats[slot as usize] = Some(Arc::clone(&seat));
            seat
        });
        book.seatless += u64::from(seat.is_none());
        self.make_slots(book.seats.len());
        if let Some(seat) = &seat {
            seat.copy_to(&sheet);
        }
        sheet.show(&book);
        drop(book);
        Place { sheet, seat, birth }
    }

    /// Gives `send` a descriptor of what observers see. One that can only be read, or, where that cannot be had, the one that there
    /// is: sealed against writing.
    ///
    /// # Errors
    /// As for any segment of ours, if it is the first.
    pub(crate) fn with_fd<T>(&mut self, send: impl FnOnce(BorrowedFd<'_>) -> T) -> Result<T, Error> {
        let (segment, _) = match &mut self.drawn {
            Some(drawn) => drawn,
            None => self.draw()?,
        };
        Ok(match segment.read_only() {
            Ok(fd) => send(fd.as_fd()),
            Err(_) => send(segment.fd().expect("a board keeps its descriptor")),
        })
    }

    /// Makes what observers see, and puts into it who is there.
    fn draw(&mut self) -> Result<&mut (OwnSegment, usize), Error> {
        let segment = OwnSegment::create_empty("slipring-board", BYTES)?;
        let words = WriteTable::new(segment.span(), WORDS);
        segment.extend(0, sys::page_size())?;
        words.store(VERSION_AT, VERSION.into(), Relaxed);
        words.store(SLOTS_AT, SLOTS.into(), Relaxed);
        words.store(0, MAGIC, Release);
        self.drawn = Some((segment, sys::page_size()));
        let sheet = Arc::clone(&self.sheet);
        let book = locked(&sheet.book);
        self.make_slots(book.seats.len());
        // From here on each seat copies what it has next, and behind this all have copied what they had.
        let first = sheet.words.set(words);
        debug_assert!(first.is_ok(), "a board is drawn once");
        book.seats.iter().flatten().for_each(|seat| seat.copy_to(&sheet));
        sheet.show(&book);
        Ok(self.drawn.as_mut().expect("it was just made"))
    }

    /// Makes so many slots exist, if there is memory for them.
    fn make_slots(&mut self, slots: usize) {
        let Some((segment, exist)) = &mut self.drawn else { return };
        while *exist < BYTES.min((SLOT as usize * 8) * (1 + slots)) {
            let more = (*exist).min(BYTES - *exist);
            if let Err(error) = segment.extend(*exist, more) {
                tracing::debug!(%error, "sessions are not shown");
                break;
            }
            *exist += more;
        }
        self.sheet.exist.store((*exist / (SLOT as usize * 8)) as u32 - 1, Release);
    }
}

impl Book {
    /// A slot that is nobody's, and the generation of its last entry.
    fn take_slot(&mut self) -> Option<(u32, u64)> {
        self.free.pop().or_else(|| {
            let slot = self.seats.len() as u32;
            (slot < SLOTS).then(|| {
                self.seats.push(None);
                (slot, 0)
            })
        })
    }
}

impl Sheet {
    /// Shows the counts of the listener.
    fn show(&self, book: &Book) {
        let Some(words) = self.words.get() else { return };
        let exist = self.exist.load(Acquire);
        let hidden = book.seats.iter().skip(exist as usize).flatten().count() as u64;
        words.store(OPENED, book.opened, Relaxed);
        words.store(OPEN, book.open, Relaxed);
        words.store(UNSHOWN, book.seatless + hidden, Relaxed);
        // SYNC used: release, behind the first entry of each slot.
        words.store(USED, book.seats.len().min(exist as usize) as u64, Release);
    }
}

/// Whatever a lock of this file guards is whole at every step.
fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a session has of a slot.
#[derive(Debug)]
struct Seat {
    slot: u32,
    last: Mutex<Last>,
}

/// What was entered last.
#[derive(Debug)]
struct Last {
    generation: u64,
    entry: Entry,
}

impl Seat {
    /// Copies the last entry to where observers see it, if there is such a place.
    fn copy_to(&self, sheet: &Sheet) {
        self.copy(sheet, &mut locked(&self.last));
    }

    fn copy(&self, sheet: &Sheet, last: &mut Last) {
        if let Some(words) = sheet.words.get()
            && self.slot < sheet.exist.load(Acquire)
        {
            last.generation = last.entry.write(words, slot_at(self.slot), last.generation);
        }
    }
}

/// The place of a session on the board, with a seat if there was one left. Dropping it gives the seat back.
#[derive(Debug)]
pub(crate) struct Place {
    sheet: Arc<Sheet>,
    seat: Option<Arc<Seat>>,
    birth: Birth,
}

impl Place {
    /// Shows what was counted up to now. Not in a forked child, for which the lock may be held by a thread that it has not.
    pub(crate) fn note(&self, counts: &Counts) {
        let Some(seat) = &self.seat else { return };
        let mut last = locked(&seat.last);
        last.entry.time = sys::monotonic_ns();
        last.entry.ours = counts.ours.to_words();
        last.entry.theirs = counts.theirs.map(|theirs| theirs.to_words());
        seat.copy(&self.sheet, &mut last);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A forked child has neither the board nor, maybe, the threads that hold the locks.
        if !self.birth.is_ours() {
            return;
        }
        let mut book = locked(&self.sheet.book);
        book.open -= 1;
        match &self.seat {
            Some(seat) => {
                let mut last = locked(&seat.last);
                last.entry = Entry::default();
                seat.copy(&self.sheet, &mut last);
                book.seats[seat.slot as usize] = None;
                book.free.push((seat.slot, last.generation));
            }
            None => book.seatless -= 1,
        }
        self.sheet.show(&book);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::Deadline;
    use crate::observe::Stats;
    use crate::session::board::entry::Page;
    use crate::shm::PeerSegment;
    use crate::sys::fork::Fd;
    use crate::sys::place::Wishes;

    const PEER: Credentials = Credentials { pid: 7, uid: 8, gid: 9 };

    fn birth() -> Birth {
        Birth::now().expect("a birth")
    }

    fn page_of(board: &mut Board) -> Page {
        let fd = board.with_fd(|fd| Fd::make(|| fd.try_clone_to_owned()).expect("a copy")).expect("a board");
        Page::new(&PeerSegment::attach_begun(fd, BYTES as u64).expect("a board")).expect("a board")
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri maps no memfd")]
    fn sessions_come_and_go_and_their_places_are_used_again() {
        let mut board = Board::default();
        let page = page_of(&mut board);
        let mut places: Vec<_> = (0..3).map(|_| board.enter(SessionKind::Bus, PEER, birth())).collect();
        places.remove(1);
        let number = |slot| page.entry(slot).expect("nobody writes").map(|entry| entry.number);
        assert_eq!([number(0), number(1), number(2)], [Some(1), None, Some(3)]);
        assert_eq!((page.opened(), page.open(), page.used()), (3, 2, 3));
        places.push(board.enter(SessionKind::Rpc, PEER, birth()));
        assert_eq!((number(1), page.opened(), page.used()), (Some(4), 4, 3));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri maps no memfd")]
    fn who_came_and_counted_before_anybody_asked_is_seen_too() {
        let mut board = Board::default();
        let places: Vec<_> = (0..20).map(|_| board.enter(SessionKind::Bus, PEER, birth())).collect();
        let counts = Counts { ours: Stats { parks: 9, ..Stats::default() }, theirs: None };
        places[17].note(&counts);
        let page = page_of(&mut board);
        assert_eq!((page.opened(), page.open(), page.unshown(), page.used()), (20, 20, 0, 20));
        let parks = |slot| page.entry(slot).expect("nobody writes").map(|entry| Stats::from_words(entry.ours).parks);
        assert_eq!([parks(16), parks(17)], [Some(0), Some(9)]);
        places[16].note(&counts);
        assert_eq!(parks(16), Some(9));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri maps no memfd")]
    fn beyond_the_last_slot_sessions_are_counted_and_not_shown() {
        let mut board = Board::default();
        let page = page_of(&mut board);
        let places: Vec<_> = (0..SLOTS + 2).map(|_| board.enter(SessionKind::Bus, PEER, birth())).collect();
        assert_eq!((page.open(), page.unshown(), page.used()), (u64::from(SLOTS) + 2, 2, SLOTS));
        assert!(matches!(page.entry(SLOTS - 1), Ok(Some(entry)) if entry.number == u64::from(SLOTS)));
        drop(places);
        assert_eq!((page.open(), page.unshown(), page.used()), (0, 0, SLOTS));
        assert!((0..SLOTS).all(|slot| page.entry(slot) == Ok(None)));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri maps no memfd")]
    fn only_what_is_used_exists() {
        let mut board = Board::default();
        let blocks =
            |board: &mut Board| board.with_fd(|fd| sys::memory::size_and_blocks(fd).expect("stat").1).expect("drawn");
        let _page = page_of(&mut board);
        assert_eq!(blocks(&mut board), sys::page_size() as u64);
        let _places: Vec<_> = (0..20).map(|_| board.enter(SessionKind::Bus, PEER, birth())).collect();
        assert!(blocks(&mut board) < BYTES as u64 / 4 || sys::page_size() > 1 << 14);
        let whole = OwnSegment::create("slipring-test", BYTES, Wishes::default(), Deadline::NEVER).expect("a segment");
        let told = whole.len() as u64;
        let copy = Fd::make(|| whole.fd().expect("not forgotten").try_clone_to_owned()).expect("a copy");
        let not_a_board = PeerSegment::attach_begun(copy, told).expect("it is sealed, and as long");
        assert!(Page::new(&not_a_board).is_none(), "it does not say that it is one");
    }
}
