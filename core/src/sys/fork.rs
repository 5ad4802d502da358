//! Fork: what a forked child must not keep, and how it finds out that it is one.
//!
//! A child that kept its parent's sockets would hide the parent's death and hold its names, so every descriptor of ours is
//! registered ([`Fd`]) and the child's `pthread_atfork` handler closes all of them. Everything else notices by itself:
//! a [`Birth`] remembers in which process it was taken.
//!
//! Both rest on one page that the kernel wipes in a child (`MADV_WIPEONFORK`). On it stand
//! - `generation`: a number for this process, never zero once anything was born here. Zero means "a fork happened": the
//!   first lock taken then mints a number larger than all that could have been inherited. Because the kernel wipes it, a
//!   raw `clone` that runs no handlers is told too.
//! - `lock`: the one lock under which descriptors are made, registered and closed. The prepare handler takes it, so no
//!   fork falls between making and registering; the parent's handler releases it. In the child it is wiped, which is to
//!   say free, whoever held it and whether or not handlers ran.
//!
//! The table of open descriptors is ordinary memory behind that lock. The child handler may only do what is safe in the
//! child of a threaded process: it calls `close` and makes plain stores.

use std::cell::UnsafeCell;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr::{self, NonNull};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use rustix::thread::futex;

use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::sys::page_size;

/// In which process something was made. Copied into everything that a forked child must not use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Birth {
    page: &'static Page,
    generation: u64,
}

impl Birth {
    /// Here and now. Mints a generation in a process that has none yet.
    ///
    /// # Errors
    /// What the kernel says if it cannot give a page that is wiped on fork, or the C library if it cannot take the handlers.
    pub(crate) fn now() -> io::Result<Self> {
        let page = Page::get()?;
        let generation = page.generation.load(Ordering::Relaxed);
        if generation != 0 {
            return Ok(Self { page, generation });
        }
        let guard = lock()?;
        Ok(guard.birth())
    }

    /// Whether this is still the process of birth, not a child of it. One relaxed load.
    #[inline]
    pub(crate) fn is_ours(self) -> bool {
        self.page.generation.load(Ordering::Relaxed) == self.generation
    }

    /// The number of the process of birth: never zero, and never again that of another in the same line of forks.
    pub(crate) fn generation(self) -> u64 {
        self.generation
    }
}

/// A descriptor of ours: registered, so that a forked child closes it before it can do harm.
///
/// In the child the object stays but owns nothing: the number may be somebody else's by then. Ask [`Birth::is_ours`]
/// before using one that may have been inherited.
#[derive(Debug)]
pub(crate) struct Fd {
    fd: ManuallyDrop<OwnedFd>,
    birth: Birth,
}

impl Fd {
    /// Runs `make`, which must not block, and registers what it made before a fork can happen.
    pub(crate) fn make(make: impl FnOnce() -> io::Result<OwnedFd>) -> io::Result<Self> {
        make_many(|registry| make().map(|fd| registry.adopt(fd)))
    }
}

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        if !self.birth.is_ours() {
            return;
        }
        // The page exists and the handlers are installed, or this descriptor could not have been made.
        let Ok(mut guard) = lock() else { return };
        guard.table().forget(self.fd.as_raw_fd());
        // SAFETY: taken once, here; nothing uses the field after drop.
        let fd = unsafe { ManuallyDrop::take(&mut self.fd) };
        // Closed while the lock is held: otherwise the number could be given out and registered again in between.
        drop(fd);
        drop(guard);
    }
}

/// Runs `make`, which must not block nor drop an [`Fd`], with the fork lock held, for calls that make any number of
/// descriptors: each is to be handed to [`Registry::adopt`].
pub(crate) fn make_many<T>(make: impl FnOnce(&mut Registry) -> io::Result<T>) -> io::Result<T> {
    make(&mut Registry(lock()?))
}

/// Runs `work`, which must not block nor make or drop an [`Fd`], at a time when no fork happens.
pub(crate) fn without_forks<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let _guard = lock()?;
    work()
}

/// The right to register descriptors: the fork lock, held.
pub(crate) struct Registry(Guard);

impl Registry {
    /// Registers a descriptor that was made since the lock was taken.
    pub(crate) fn adopt(&mut self, fd: OwnedFd) -> Fd {
        self.0.table().remember(fd.as_raw_fd());
        Fd { fd: ManuallyDrop::new(fd), birth: self.0.birth() }
    }
}

/// What stands on the page that the kernel wipes in a forked child.
#[repr(C)]
#[derive(Debug)]
struct Page {
    generation: AtomicU64,
    lock: AtomicU32,
}

/// Address of the page, zero until it is made. The same in every child, and never unmapped.
static PAGE: AtomicU64 = AtomicU64::new(0);

/// The lock word: nobody holds it; somebody does; somebody does and others sleep for it.
const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;

impl Page {
    /// The page, made by whoever comes first. Without a lock, so that no fork can leave one behind.
    fn get() -> io::Result<&'static Self> {
        let known = PAGE.load(Ordering::Acquire);
        if known != 0 {
            return Ok(Self::at(known));
        }
        let base = Self::map()?;
        let address = base.as_ptr().expose_provenance() as u64;
        match PAGE.compare_exchange(0, address, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(Self::at(address)),
            Err(others) => {
                // SAFETY: `map` gave this page to us alone, and nobody has learnt its address.
                let unmapped = unsafe { munmap(base.as_ptr().cast(), page_size()) };
                debug_assert!(unmapped.is_ok(), "a page of ours can be unmapped");
                Ok(Self::at(others))
            }
        }
    }

    /// The page at an address that `PAGE` holds.
    fn at(address: u64) -> &'static Self {
        let page = ptr::with_exposed_provenance::<Self>(address as usize);
        // SAFETY: `PAGE` only ever holds the address of a page that `map` made and nobody unmaps. It is zeroed or holds
        // what was stored through these atomics, and any bits are valid for them.
        unsafe { &*page }
    }

    /// A fresh zeroed page that will be zeroed again in a child.
    fn map() -> io::Result<NonNull<Self>> {
        const { assert!(size_of::<Page>() <= 4096, "no system has smaller pages") };
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a new anonymous map at an address of the kernel's choice touches no memory that exists.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), page_size(), prot, flags) }?;
        // SAFETY: the advice changes what a child sees of the page just mapped, which nobody else knows.
        if let Err(refused) = unsafe { madvise(base, page_size(), Advice::LinuxWipeOnFork) } {
            // SAFETY: as above: nobody else knows the page.
            let unmapped = unsafe { munmap(base, page_size()) };
            debug_assert!(unmapped.is_ok(), "a page of ours can be unmapped");
            return Err(refused.into());
        }
        NonNull::new(base.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))
    }

    fn acquire(&self) {
        if self.lock.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            return;
        }
        while self.lock.swap(CONTENDED, Ordering::Acquire) != FREE {
            // Every way in which the wait can end, a signal included, is answered by looking again.
            let _ = futex::wait(&self.lock, futex::Flags::PRIVATE, CONTENDED, None);
        }
    }

    fn release(&self) {
        if self.lock.swap(FREE, Ordering::Release) == CONTENDED {
            // The address is valid, so the call cannot fail.
            let _ = futex::wake(&self.lock, futex::Flags::PRIVATE, 1);
        }
    }
}

/// The fork lock, held, in a process that has a generation and handlers.
struct Guard {
    page: &'static Page,
}

/// Takes the fork lock. The first in a process, and the first after a fork, makes the process ready.
fn lock() -> io::Result<Guard> {
    let page = Page::get()?;
    page.acquire();
    let mut guard = Guard { page };
    if page.generation.load(Ordering::Relaxed) == 0 {
        guard.table().begin()?;
        page.generation.store(guard.table().last_generation, Ordering::Relaxed);
    }
    Ok(guard)
}

impl Guard {
    fn table(&mut self) -> &mut Table {
        // SAFETY: the lock is held as long as the guard lives, only its holder and the handlers (which run with it held,
        // or in a child that has one thread) touch the table, and the borrow of the guard keeps this reference unique.
        unsafe { &mut *TABLE.0.get() }
    }

    fn birth(&self) -> Birth {
        Birth { page: self.page, generation: self.page.generation.load(Ordering::Relaxed) }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.page.release();
    }
}

/// What the lock protects. Ordinary memory: a child gets a copy.
struct Table {
    /// One bit a descriptor number, 64 a word: so the child handler needs no more than to walk it.
    open: Vec<u64>,
    /// The largest generation ever minted in this process or the ones it descends from.
    last_generation: u64,
    /// Whether the handlers are with the C library. Children inherit them.
    installed: bool,
}

struct TableCell(UnsafeCell<Table>);

// SAFETY: reached only through `Guard::table`, whose lock makes the accesses of threads exclude each other, and by the
// child handler, in a process that has one thread.
unsafe impl Sync for TableCell {}

static TABLE: TableCell = TableCell(UnsafeCell::new(Table { open: Vec::new(), last_generation: 0, installed: false }));

impl Table {
    /// Makes a process that has no generation ready: it was just started, or just forked.
    fn begin(&mut self) -> io::Result<()> {
        self.disown();
        if !self.installed {
            // Before the call: a fork in another thread right now then finds no second set of handlers to install.
            self.installed = true;
            // SAFETY: the three functions live as long as the program text and are safe to call around a fork.
            let failed =
                unsafe { libc::pthread_atfork(Some(before_fork), Some(after_in_parent), Some(after_in_child)) };
            if failed != 0 {
                self.installed = false;
                return Err(io::Error::from_raw_os_error(failed));
            }
        }
        self.last_generation += 1;
        Ok(())
    }

    /// Empties the table without closing anything. After a fork the handler has emptied it already; after a raw `clone` it
    /// may be torn, and its numbers may be anybody's by now, so it is neither read nor freed.
    fn disown(&mut self) {
        std::mem::forget(std::mem::take(&mut self.open));
    }

    fn remember(&mut self, fd: RawFd) {
        let (word, bit) = place(fd);
        if self.open.len() <= word {
            self.open.resize(word + 1, 0);
        }
        self.open[word] |= bit;
    }

    fn forget(&mut self, fd: RawFd) {
        let (word, bit) = place(fd);
        self.open[word] &= !bit;
    }
}

/// Word and bit of a descriptor number, which is never negative.
fn place(fd: RawFd) -> (usize, u64) {
    let number = fd.unsigned_abs();
    (number as usize / 64, 1 << (number % 64))
}

/// In the thread that forks, before: waits until nobody is between making a descriptor and registering it.
extern "C" fn before_fork() {
    let Ok(page) = Page::get() else { return };
    page.acquire();
    let mut guard = ManuallyDrop::new(Guard { page });
    if page.generation.load(Ordering::Relaxed) == 0 {
        // The child of a raw `clone` forks before it used anything of ours: what the table says is its parent's.
        guard.table().disown();
    }
}

/// In the parent, after, whether or not the fork worked.
extern "C" fn after_in_parent() {
    if let Ok(page) = Page::get() {
        page.release();
    }
}

/// In the child: closes (never shuts down: that would reach the parent's peers) every descriptor that came along.
extern "C" fn after_in_child() {
    // SAFETY: `before_fork` held the lock, so the copy of the table is whole, and this is the child's only thread.
    let table = unsafe { &mut *TABLE.0.get() };
    for (index, word) in table.open.iter_mut().enumerate() {
        while *word != 0 {
            let number = index * 64 + word.trailing_zeros() as usize;
            *word &= *word - 1;
            // SAFETY: the number was registered by its one owner, whose copy in this process no longer closes it.
            unsafe { libc::close(number as RawFd) };
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::fd::FromRawFd;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// Runs `work` in a forked child and gives the exit code that it returned. 255: it panicked; negative: a signal.
    ///
    /// `work` runs in the child of a process with threads: it may use what `fork` makes safe (system calls, and the
    /// allocator of glibc), and an alarm ends it if that was too much.
    pub(crate) fn in_child(work: impl FnOnce() -> i32) -> i32 {
        // SAFETY: the child runs `work` under the terms above and leaves by `_exit`.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork failed: {}", io::Error::last_os_error());
        if pid == 0 {
            run_and_exit(work);
        }
        exit_code_of(pid)
    }

    fn run_and_exit(work: impl FnOnce() -> i32) -> ! {
        // SAFETY: takes a number.
        unsafe { libc::alarm(10) };
        let code = catch_unwind(AssertUnwindSafe(work)).unwrap_or(255);
        // SAFETY: ends the process without running anything of the parent's.
        unsafe { libc::_exit(code) }
    }

    fn exit_code_of(pid: libc::pid_t) -> i32 {
        let mut status = 0;
        // SAFETY: `pid` is a child of ours that nobody else waits for, and `status` a place for its answer.
        let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        assert_eq!(waited, pid);
        if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -libc::WTERMSIG(status) }
    }

    fn pipe_ends() -> (Fd, Fd) {
        make_many(|registry| {
            let (read, write) = io::pipe()?;
            Ok((registry.adopt(read.into()), registry.adopt(write.into())))
        })
        .expect("a pipe")
    }

    fn is_open(fd: RawFd) -> bool {
        // SAFETY: asks about a number; any is allowed.
        unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
    }

    #[test]
    fn a_forked_child_finds_every_descriptor_closed() {
        let (read, write) = pipe_ends();
        let numbers = [read.as_fd().as_raw_fd(), write.as_fd().as_raw_fd()];
        let code = in_child(|| numbers.iter().filter(|&&fd| is_open(fd)).count() as i32);
        assert_eq!(code, 0, "as many stayed open");
        assert!(numbers.iter().all(|&fd| is_open(fd)), "the parent keeps its own");
    }

    #[test]
    fn a_number_that_was_given_back_is_nobodys_business() {
        let null = std::fs::File::open("/dev/null").expect("/dev/null");
        // Far from the numbers that other tests are given meanwhile.
        let far = 700;
        let ours = Fd::make(|| {
            // SAFETY: duplicates a descriptor of ours onto the first free number from `far` up.
            let copy = unsafe { libc::fcntl(null.as_raw_fd(), libc::F_DUPFD_CLOEXEC, far) };
            // SAFETY: just made; nobody else knows it.
            Ok(unsafe { OwnedFd::from_raw_fd(copy) })
        })
        .expect("a copy");
        let far = ours.as_fd().as_raw_fd();
        drop(ours);
        // SAFETY: duplicates a descriptor onto a number that was free a moment ago.
        assert_eq!(unsafe { libc::dup2(null.as_raw_fd(), far) }, far);
        let code = in_child(|| i32::from(!is_open(far)));
        // SAFETY: made by the line above, and used by nobody else.
        drop(unsafe { OwnedFd::from_raw_fd(far) });
        assert_eq!(code, 0, "the child closed a descriptor that is not ours any more");
    }

    #[test]
    fn a_forked_child_is_told_and_a_drop_there_closes_nothing() {
        let (read, write) = pipe_ends();
        let birth = Birth::now().expect("birth");
        let number = write.as_fd().as_raw_fd();
        let code = in_child(move || {
            if birth.is_ours() {
                return 1;
            }
            // The number is free in the child; somebody else takes it, and the inherited object must leave it alone.
            // SAFETY: duplicates standard error onto a number that is free in this process.
            let taken = unsafe { libc::dup2(2, number) };
            drop((read, write));
            i32::from(taken != number) << 1 | i32::from(!is_open(number)) << 2
        });
        assert_eq!(code, 0, "bit 0: birth still ours, bit 1: no dup, bit 2: closed somebody else's");
        assert!(birth.is_ours());
    }

    #[test]
    fn a_child_uses_the_library_for_itself_and_so_does_its_child() {
        let inherited = Birth::now().expect("birth");
        let code = in_child(move || {
            let (read, _write) = pipe_ends();
            let born = Birth::now().expect("birth");
            let number = read.as_fd().as_raw_fd();
            let in_grandchild = in_child(|| {
                i32::from(is_open(number)) | i32::from(born.is_ours()) << 1 | i32::from(inherited.is_ours()) << 2
            });
            drop(read);
            let fresh = born.is_ours() && born.generation() > inherited.generation();
            in_grandchild | i32::from(!fresh) << 3 | i32::from(is_open(number)) << 4
        });
        assert_eq!(code, 0, "bits: grandchild 0 open 1 its parent's birth 2 ours; child 3 no fresh birth 4 not closed");
    }

    #[test]
    fn a_raw_clone_that_runs_no_handlers_is_told_too() {
        let (read, _write) = pipe_ends();
        let birth = Birth::now().expect("birth");
        // SAFETY: `clone` with no flags and no stack of its own is a fork that the C library does not know of.
        let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) } as libc::pid_t;
        assert!(pid >= 0, "clone failed: {}", io::Error::last_os_error());
        if pid == 0 {
            run_and_exit(move || {
                let inherited = birth.is_ours();
                let number = read.as_fd().as_raw_fd();
                drop(read);
                let born = Birth::now().expect("birth");
                i32::from(inherited) | i32::from(!is_open(number)) << 1 | i32::from(!born.is_ours()) << 2
            });
        }
        assert_eq!(exit_code_of(pid), 0, "bit 0: not told, bit 1: closed, bit 2: no birth of its own");
    }

    #[test]
    fn forks_and_descriptors_of_many_threads_do_not_meet() {
        let stop = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while stop.load(Ordering::Relaxed) == 0 {
                        drop(pipe_ends());
                    }
                });
            }
            for _ in 0..50 {
                let code = in_child(|| {
                    let left = pipe_ends();
                    let number = left.0.as_fd().as_raw_fd();
                    drop(left);
                    i32::from(is_open(number))
                });
                assert_eq!(code, 0);
            }
            stop.store(1, Ordering::Relaxed);
        });
    }
}
