//! Shared objects: bytes that are written once, and then read by any number of processes where they are.
//!
//! What a user holds is one type, whoever made the object: a [`SharedBuffer`] that was received is as good as one of one's own,
//! and can be passed on. How it reaches a peer is for the sessions.

use crate::deadline::Deadline;
use crate::error::{Cause, Error};
use crate::layout::NAMES_MAX;
use crate::session::objects::Object;
use crate::shm::object::{Blank, SealedFile};
use crate::sys::fork::Fd;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Bytes that never change, in memory that any number of processes read in place. Dereferences to them.
///
/// It is [built](Self::build) and written once, then [sealed](SharedBuilder::seal): from then on the kernel lets nobody write to
/// it. It can be attached to any number of messages in any number of sessions ([`Bus::publish_shared`](crate::Bus::publish_shared),
/// [`RpcBus::call_shared`](crate::RpcBus::call_shared), [`RpcBus::reply_shared`](crate::RpcBus::reply_shared)); each receiver maps it
/// once, and what it gets ([`Lease::shared`](crate::Lease::shared)) is a `SharedBuffer` too, which it may keep, clone, send to other
/// threads, and pass on. Nothing is ever copied, whomever the receiver trusts: what nobody can change need not be.
///
/// The memory is free when the last holder anywhere has dropped it or died. A process that has one keeps a descriptor for it. Towards
/// its own [limit](crate::limit_memory) counts what it built, as long as it has it itself.
///
/// ```
/// use slipring::SharedBuffer;
///
/// let mut table = SharedBuffer::build(1 << 20)?;
/// table[..5].copy_from_slice(b"hello");
/// let table = table.seal()?;
/// let same = table.clone();
/// assert_eq!((&same[..5], same.len()), (&b"hello"[..], 1 << 20));
/// assert_eq!(same.as_ptr(), table.as_ptr());
/// # Ok::<(), slipring::Error>(())
/// ```
#[derive(Clone)]
pub struct SharedBuffer(Arc<Object>);

impl SharedBuffer {
    /// How many can come with one message.
    pub const MOST_PER_MESSAGE: usize = NAMES_MAX;

    /// Memory for `len` bytes, all zero, to be written in place and then [sealed](SharedBuilder::seal). All of it is reserved now,
    /// so that writing it cannot fail.
    ///
    /// # Errors
    /// [`Cause::OutOfMemory`] where memory, what this process [may take](crate::limit_memory), or descriptors run out, with the
    /// numbers; [`Cause::Interrupted`] by a signal handler;
    /// [`Cause::Unsupported`] where the kernel cannot seal memory.
    pub fn build(len: usize) -> Result<SharedBuilder, Error> {
        Self::build_until(len, Deadline::NEVER)
    }

    /// As [`build`](Self::build), until `deadline`, then [`Cause::Timeout`]. Reserving takes some 0.7 s a GiB; the deadline is looked
    /// at every 2 MiB.
    ///
    /// # Errors
    /// As for [`build`](Self::build).
    pub fn build_until(len: usize, deadline: Deadline) -> Result<SharedBuilder, Error> {
        Blank::create(len, deadline).map(SharedBuilder)
    }

    /// A copy of `bytes`, to be shared.
    ///
    /// # Errors
    /// As for [`build`](Self::build) and [`seal`](SharedBuilder::seal).
    pub fn from_slice(bytes: &[u8]) -> Result<Self, Error> {
        let mut built = Self::build(bytes.len())?;
        built.copy_from_slice(bytes);
        built.seal()
    }

    /// The object of `len` bytes behind a descriptor that came by another way than a message of this library's: from a parent, or
    /// over a socket of one's own. The counterpart of [`as_fd`](Self::as_fd).
    ///
    /// # Errors
    /// [`Cause::Corrupt`] for what is no sealed object of that length; [`Cause::OutOfMemory`] where it cannot be mapped.
    pub fn attach(fd: OwnedFd, len: usize) -> Result<Self, Error> {
        let fd = Fd::make(|| Ok(fd)).map_err(|error| Error::system("take a descriptor", error))?;
        Self::map(SealedFile::check(fd, len as u64)?)
    }

    fn map(file: SealedFile) -> Result<Self, Error> {
        Object::new(Arc::new(file)).map(Self)
    }

    /// The number by which the kernel knows the memory: the same in every process, as long as anybody has it. Two that differ are
    /// two objects.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.file().number()
    }

    pub(crate) fn new(object: Arc<Object>) -> Self {
        Self(object)
    }

    pub(crate) fn object(&self) -> &Arc<Object> {
        &self.0
    }
}

/// Whether so many can come with one message.
pub(crate) fn check_count(shared: &[&SharedBuffer]) -> Result<(), Cause> {
    const { assert!(NAMES_MAX == 8, "the text names the limit") };
    let which = "at most 8 shared objects can come with one message";
    if shared.len() <= NAMES_MAX { Ok(()) } else { Err(Cause::InvalidArgument { which }) }
}

impl Deref for SharedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl AsRef<[u8]> for SharedBuffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// The descriptor of the memory, to be handed to another process by whatever way. In a forked child it is closed.
impl AsFd for SharedBuffer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.file().fd()
    }
}

impl fmt::Debug for SharedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBuffer").field("id", &self.id()).field("len", &self.len()).finish_non_exhaustive()
    }
}

/// A shared object that is being written, by its holder alone. Dereferences to its bytes, zero at first.
///
/// Dropping it gives the memory back; nobody ever learns of it.
#[must_use = "an object that is not sealed is shared with nobody"]
pub struct SharedBuilder(Blank);

impl SharedBuilder {
    /// Ends the writing, for good: the writable map goes, and the kernel is made to refuse every other one.
    ///
    /// # Errors
    /// [`Cause::System`] where another process of this user has found the memory and mapped it for writing;
    /// [`Cause::Unsupported`] where the kernel does not do what it says; [`Cause::OutOfMemory`] where no map for reading can be
    /// had; [`Cause::Forked`]. What was written is lost then.
    pub fn seal(self) -> Result<SharedBuffer, Error> {
        SharedBuffer::map(self.0.seal()?)
    }
}

/// # Panics
/// In a forked child, which has no part in what its parent is writing.
impl Deref for SharedBuilder {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// # Panics
/// In a forked child.
impl DerefMut for SharedBuilder {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.bytes_mut()
    }
}

impl fmt::Debug for SharedBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBuilder").finish_non_exhaustive()
    }
}
