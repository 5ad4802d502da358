//! Segments of a hostile peer: sealed or not, whole or with holes, of any size, and written at any time.

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// The seals that a segment must have.
pub const SEALS: SealFlags =
    SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::FUTURE_WRITE).union(SealFlags::SEAL);

/// A memfd that this side made and has mapped for writing.
#[derive(Debug)]
pub struct Segment {
    map: Map,
    fd: OwnedFd,
}

impl Segment {
    /// A memfd of `len` bytes: no seals, and no page of it exists.
    ///
    /// # Panics
    /// If the system refuses.
    #[must_use]
    pub fn new(len: usize) -> Self {
        let fd = memfd_create("slipring-hostile", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("a memfd");
        ftruncate(&fd, len as u64).expect("a size");
        Self { map: Map::new(&fd, len, ProtFlags::READ | ProtFlags::WRITE), fd }
    }

    /// Makes every page exist.
    ///
    /// # Panics
    /// If the system refuses.
    #[must_use]
    pub fn reserved(self) -> Self {
        fallocate(&self.fd, FallocateFlags::empty(), 0, self.map.len as u64).expect("a few pages");
        self
    }

    /// Adds seals.
    ///
    /// # Panics
    /// If the system refuses.
    #[must_use]
    pub fn sealed(self, seals: SealFlags) -> Self {
        fcntl_add_seals(&self.fd, seals).expect("seals");
        self
    }

    /// An outbox with a ring of `ring` bytes and `returns` entries for returns, as it should be.
    #[must_use]
    pub fn outbox(ring: u64, returns: u64) -> Self {
        Self::new(outbox_len(ring, returns)).reserved().sealed(SEALS)
    }

    /// A region of `len` bytes, as it should be.
    #[must_use]
    pub fn region(len: usize) -> Self {
        Self::new(len).reserved().sealed(SEALS)
    }

    /// A memfd of whole pages that begins with `bytes`, without seals.
    ///
    /// # Panics
    /// If the system refuses.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let segment = Self::new(bytes.len().max(1).next_multiple_of(rustix::param::page_size())).reserved();
        segment.write(0, bytes);
        segment
    }

    /// Takes the writable map away and seals the bytes for good. What is written to it after that ends the process.
    ///
    /// # Panics
    /// If the system refuses.
    #[must_use]
    pub fn sealed_finally(self) -> Self {
        let Self { map, fd } = self;
        let len = map.len;
        drop(map);
        fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL).expect("seals");
        // Before Linux 6.7 no shared map of it can be had.
        Self { map: Map::of_kind(&fd, len, ProtFlags::READ, MapFlags::PRIVATE), fd }
    }

    /// Its descriptor, for sending.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len
    }

    /// Whether it has no byte at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.len == 0
    }

    /// Stores a word, after everything that was stored before.
    pub fn store_u32(&self, at: usize, word: u32) {
        let place = self.map.place::<AtomicU32>(at);
        // SAFETY: `place` has checked range and alignment, the map is writable and lives as long as `self`, and every
        // access to it is atomic.
        unsafe { &*place }.store(word, Ordering::Release);
    }

    /// Stores a word, after everything that was stored before.
    pub fn store_u64(&self, at: usize, word: u64) {
        let place = self.map.place::<AtomicU64>(at);
        // SAFETY: as in `store_u32`.
        unsafe { &*place }.store(word, Ordering::Release);
    }

    /// Writes bytes, in no order that anybody could rely on.
    pub fn write(&self, at: usize, bytes: &[u8]) {
        for (offset, &byte) in bytes.iter().enumerate() {
            let place = self.map.place::<AtomicU8>(at + offset);
            // SAFETY: as in `store_u32`.
            unsafe { &*place }.store(byte, Ordering::Relaxed);
        }
    }
}

/// Bytes of an outbox: 1024 of header, then the ring, then 8 for each return, in whole pages.
#[must_use]
pub fn outbox_len(ring: u64, returns: u64) -> usize {
    (1024 + ring as usize + returns as usize * 8).next_multiple_of(rustix::param::page_size())
}

/// The other side's segment, mapped for reading.
#[derive(Debug)]
pub struct View(Map);

impl View {
    /// Maps all of what was received.
    ///
    /// # Panics
    /// If the system refuses.
    #[must_use]
    pub fn of(fd: OwnedFd) -> Self {
        let len = rustix::fs::fstat(&fd).expect("a file").st_size;
        Self(Map::new(&fd, usize::try_from(len).expect("a size is not negative"), ProtFlags::READ))
    }

    /// Loads a word.
    #[must_use]
    pub fn load_u64(&self, at: usize) -> u64 {
        let place = self.0.place::<AtomicU64>(at);
        // SAFETY: `place` has checked range and alignment, the map lives as long as `self`, and it is loaded atomically.
        unsafe { &*place }.load(Ordering::Acquire)
    }

    /// Loads a word.
    #[must_use]
    pub fn load_u32(&self, at: usize) -> u32 {
        let place = self.0.place::<AtomicU32>(at);
        // SAFETY: as in `load_u64`.
        unsafe { &*place }.load(Ordering::Acquire)
    }

    /// Reads bytes.
    #[must_use]
    pub fn read(&self, at: usize, len: usize) -> Vec<u8> {
        let load = |at| {
            let place = self.0.place::<AtomicU8>(at);
            // SAFETY: as in `load_u64`.
            unsafe { &*place }.load(Ordering::Relaxed)
        };
        (at..at + len).map(load).collect()
    }
}

/// A shared map of a file, unmapped on drop.
#[derive(Debug)]
struct Map {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the address means the same in every thread, and all access through it is atomic.
unsafe impl Send for Map {}
// SAFETY: as for `Send`.
unsafe impl Sync for Map {}

impl Map {
    fn new(fd: &OwnedFd, len: usize, prot: ProtFlags) -> Self {
        Self::of_kind(fd, len, prot, MapFlags::SHARED)
    }

    fn of_kind(fd: &OwnedFd, len: usize, prot: ProtFlags, kind: MapFlags) -> Self {
        // SAFETY: a new map at an address of the kernel's choice touches no memory that exists.
        let base = unsafe { mmap(ptr::null_mut(), len, prot, kind, fd, 0) }.expect("a map");
        Self { base: NonNull::new(base.cast()).expect("the kernel maps nothing at zero"), len }
    }

    /// The `T` at `at`, which must lie within the map and be aligned.
    fn place<T>(&self, at: usize) -> *const T {
        assert!(at.is_multiple_of(align_of::<T>()) && at + size_of::<T>() <= self.len, "offset {at} of {}", self.len);
        // SAFETY: within the map, by the assertion.
        unsafe { self.base.as_ptr().add(at) }.cast()
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the map is ours, and no pointer into it outlives a call of this file.
        unsafe { munmap(self.base.as_ptr().cast(), self.len) }.expect("a map of ours");
    }
}
