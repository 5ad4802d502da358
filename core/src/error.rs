//! Causes: why a call could not do what it was asked, the same set in every language.
//!
//! Two shapes, by temperature. [`Cause`] is small and `Copy`; the calls of the hot path return it as it is. [`Error`] is
//! what setting something up returns: the cause, what was tried on what, and the operating system's own error beneath.
//! Nothing here knows a ring, a socket or a segment.

use std::fmt;
use std::io;

/// Why a call failed. Each variant is one cause, whatever language the caller speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The peer has not been seen to free enough room. Only calls that do not wait answer this.
    #[error("the ring is full")]
    Full,
    /// Nothing has been committed yet. Only calls that do not wait answer this.
    #[error("nothing has arrived")]
    Empty,
    /// The deadline passed.
    #[error("the deadline passed")]
    Timeout,
    /// The peer said goodbye, and everything that it committed before has been delivered.
    #[error("the peer has closed the session")]
    Closed,
    /// The peer ended without a goodbye; everything that it committed before has been delivered.
    #[error("the peer died")]
    PeerDied,
    /// The peer broke the protocol. The session is over; this process was not touched.
    #[error("the peer broke the protocol: {0}")]
    Corrupt(Violation),
    /// The payload does not fit where it was to go.
    #[error("a payload of {len} bytes is larger than the {max} bytes that fit here")]
    TooLarge {
        /// Length of what was offered, in bytes.
        len: u64,
        /// The longest that would have been accepted, in bytes.
        max: u64,
    },
    /// The listener turned the connection down.
    #[error("refused: {why}")]
    Refused {
        /// The reason that the listener gave.
        why: Refusal,
    },
    /// The two sides speak different versions of the segment layout and handshake.
    #[error("layout version {ours} here, {theirs} at the peer")]
    Version {
        /// The version that this process speaks.
        ours: u32,
        /// The version that the peer speaks.
        theirs: u32,
    },
    /// Nobody listens at the address; of a call: the peer serves none.
    #[error("nobody listens there")]
    NotFound,
    /// A living listener, or something that is no socket, holds the address.
    #[error("the address is in use")]
    AddressInUse,
    /// Memory, a map, a descriptor, or space in the spill directory could not be had; or this process may have
    /// [no more](crate::limit_memory). What was sent to this end, and could not be taken for this, is not lost.
    #[error("out of memory or descriptors")]
    OutOfMemory,
    /// A signal handler ran during the wait. Call again to go on waiting.
    #[error("interrupted by a signal")]
    Interrupted,
    /// The peer has more to do than it takes on: calls are nested too deeply.
    #[error("the peer is overloaded")]
    Overloaded,
    /// The call was given up before it was served.
    #[error("the call was cancelled")]
    Cancelled,
    /// The peer answered the call with an error. What it said is in the [`CallError`](crate::CallError).
    #[error("the peer answered with error {code}")]
    Remote {
        /// The number that the handler gave; from 2^31 on the library's: the handler panicked, or ended without a reply.
        code: u32,
    },
    /// An argument can never be right, whatever the state of the session.
    #[error("invalid argument: {which}")]
    InvalidArgument {
        /// What was wrong and what would be right.
        which: &'static str,
    },
    /// The platform, or the peer, cannot do this.
    #[error("unsupported: {what}")]
    Unsupported {
        /// What is missing.
        what: &'static str,
    },
    /// A setting, from the environment or from an option, is not usable.
    #[error("unusable configuration")]
    Config,
    /// The object was made by this process's parent, before the fork; the child owns none of it.
    #[error("this end belongs to the process that forked")]
    Forked,
    /// The operating system refused a call for a reason that has no cause of its own here.
    #[error("the operating system refused")]
    System,
}

/// How a peer broke the protocol. For people who look for the fault; programs decide by [`Cause::Corrupt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A commit word is neither zero nor the one value that belongs to its position.
    #[error("a commit word that belongs to no frame")]
    CommitWord,
    /// A frame is longer than a frame may be, or runs past the end of the ring.
    #[error("a frame length out of range")]
    FrameLength,
    /// A frame of a kind that this layout version does not have.
    #[error("an unknown kind of frame")]
    FrameKind,
    /// A pad at the start of the ring, where nothing can need one.
    #[error("a pad at the start of the ring")]
    Pad,
    /// A read position that went back, overtook what was written, or is no multiple of a line.
    #[error("an impossible read position")]
    ReadPosition,
    /// A return tail that went back, or that counts more returns than there can be.
    #[error("an impossible return tail")]
    Returns,
    /// A parked word with an impossible epoch.
    #[error("an impossible parked word")]
    Parked,
    /// A close word that disagrees with the frames before it.
    #[error("a close word that disagrees with the frames before it")]
    CloseWord,
    /// More bells than there were sleeps to end.
    #[error("more bells than sleeps")]
    Bells,
    /// A record on the session socket of a form that this layout version does not have.
    #[error("an unknown record on the session socket")]
    Record,
    /// A descriptor where none belongs, none where one belongs, or too many.
    #[error("unexpected file descriptors")]
    Descriptors,
    /// A segment without the seals that make it safe to map.
    #[error("a segment that is not sealed as it must be")]
    Seals,
    /// A segment of a kind that was not agreed on, or that is not what its kind is made of.
    #[error("a segment of another kind than was agreed")]
    Backing,
    /// A segment whose size is not the one that was told.
    #[error("a segment of another size than was told")]
    SegmentSize,
    /// A segment with holes: reading it could fail for want of memory.
    #[error("a segment with holes")]
    Sparse,
    /// A region that was never announced, was announced twice, or is forgotten; or more of them seen than there are.
    #[error("a region that is not there")]
    Region,
    /// A frame that names no block: outside its region, between blocks, or longer than was agreed.
    #[error("a descriptor that names no block")]
    Descriptor,
    /// A shared object that was never announced, was announced out of turn, or is taken back; or more of them than there may be.
    #[error("a shared object that is not there")]
    Object,
    /// A request or reply with an id that cannot be: more calls than agreed, or a reply to nothing.
    #[error("a call id that cannot be")]
    Correlation,
    /// A reply finds no room: the peer has more of them unread than it may have calls in flight.
    #[error("no room for a reply where it was agreed")]
    Reserve,
    /// A handshake message that cannot be understood.
    #[error("a malformed handshake")]
    Handshake,
    /// Geometry outside what this layout version allows.
    #[error("geometry out of range")]
    Geometry,
    /// A return of a block that is not out, or of a region that is not to be given up.
    #[error("a returned block that is not out")]
    Return,
}

/// Why a listener turned a connection down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The listener takes only its own user's processes.
    #[error("another user's process; the listener accepts only its own user (Trust::SameUser)")]
    User,
    /// The listener offers another kind of session at this address.
    #[error("the listener offers another kind of session")]
    Kind,
    /// Too many handshakes are under way, or the listener has no descriptor left.
    #[error("the listener is busy; try again")]
    Busy,
    /// The listener speaks another layout version.
    #[error("the listener speaks another layout version")]
    Version,
    /// What was sent is no handshake, or a broken one.
    #[error("the handshake was malformed")]
    Malformed,
    /// The segment that was offered failed its checks.
    #[error("the offered segment failed its checks")]
    Segment,
    /// The listener could not make its own segment.
    #[error("the listener is out of memory or descriptors")]
    OutOfMemory,
    /// The handshake took too long.
    #[error("the handshake took too long")]
    Slow,
    /// The listener is closing.
    #[error("the listener is closing")]
    Closing,
    /// One side makes memory without seals, and the other does not take it.
    #[error(
        "one side makes memory without seals (Backend::Posix), which an untrusting side does not take; use Backend::Memfd on \
         both, or Trust::SameUser"
    )]
    Unsealed,
    /// The listener shows no counters to observers ([`Options::counters`](crate::Options::counters)).
    #[error("the listener shows no counters to observers (Options::counters, or a name for one session only)")]
    Unobserved,
    /// A reason that this version does not know, by its number.
    #[error("reason number {0}, which this version does not know")]
    Other(u32),
}

/// What setting something up returns when it fails: what was tried, on what, why, and the system's error beneath.
///
/// Match on [`Error::cause`]; print the error for people.
#[derive(Debug)]
pub struct Error {
    cause: Cause,
    tried: String,
    source: Option<io::Error>,
}

impl Error {
    /// An error by `cause`, while `tried` (for example "connect to /run/x/name.sock").
    pub(crate) fn new(cause: Cause, tried: impl Into<String>) -> Self {
        Self { cause, tried: tried.into(), source: None }
    }

    /// The same, with the operating system's error beneath.
    pub(crate) fn os(cause: Cause, tried: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self { cause, tried: tried.into(), source: Some(source.into()) }
    }

    /// An error by what the operating system said: [`Cause::OutOfMemory`] where it has no memory or descriptor left,
    /// [`Cause::Interrupted`] for a signal, [`Cause::System`] for the rest.
    pub(crate) fn system(tried: impl Into<String>, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        let cause = match source.raw_os_error() {
            Some(
                libc::ENOMEM | libc::EMFILE | libc::ENFILE | libc::ENOSPC | libc::EDQUOT | libc::ENOBUFS | libc::EFBIG,
            ) => Cause::OutOfMemory,
            Some(libc::EINTR) => Cause::Interrupted,
            _ => Cause::System,
        };
        Self { cause, tried: tried.into(), source: Some(source) }
    }

    /// Why it failed.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.cause
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tried.is_empty() {
            write!(f, "{}", self.cause)?;
        } else {
            write!(f, "{}: {}", self.tried, self.cause)?;
        }
        match &self.source {
            Some(source) => write!(f, " ({source})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

impl From<Cause> for Error {
    fn from(cause: Cause) -> Self {
        Self::new(cause, "")
    }
}
