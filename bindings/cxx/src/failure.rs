//! Failures: their text goes over as an exception, and their cause is kept for whoever asks in the same thread.

use crate::Status;
use slipring::{CallError, Cause, Error};
use std::cell::Cell;
use std::fmt;

thread_local! {
    static LAST: Cell<(Status, u32)> = const { Cell::new((Status::Ok, 0)) };
}

/// Why a call failed. It is made only where one does, and is then the last failure of its thread.
#[derive(Debug)]
pub(crate) struct Failure(String);

/// The result of everything that C++ calls.
pub(crate) type Outcome<T> = Result<T, Failure>;

impl Failure {
    fn new(cause: Cause, text: String) -> Self {
        let code = if let Cause::Remote { code } = cause { code } else { 0 };
        LAST.set((status_of(cause), code));
        Self(text)
    }

    /// An end that was closed is used.
    pub(crate) fn closed_here() -> Self {
        LAST.set((Status::UseAfterClose, 0));
        Self("this end was closed here".to_owned())
    }

    /// An argument can never be right.
    pub(crate) fn invalid(which: &'static str) -> Self {
        Cause::InvalidArgument { which }.into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        Self::new(cause, cause.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(error.cause(), error.to_string())
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::new(error.cause(), error.to_string())
    }
}

/// The cause of the last failure of this thread.
pub(crate) fn last_status() -> Status {
    LAST.get().0
}

/// The number that the peer gave with it.
pub(crate) fn last_remote_code() -> u32 {
    LAST.get().1
}

/// The number of a cause.
fn status_of(cause: Cause) -> Status {
    match cause {
        Cause::Full => Status::Full,
        Cause::Empty => Status::Empty,
        Cause::Timeout => Status::Timeout,
        Cause::Closed => Status::Closed,
        Cause::PeerDied => Status::PeerDied,
        Cause::Corrupt(_) => Status::Corrupt,
        Cause::TooLarge { .. } => Status::TooLarge,
        Cause::Refused { .. } => Status::Refused,
        Cause::Version { .. } => Status::VersionMismatch,
        Cause::NotFound => Status::NotFound,
        Cause::AddressInUse => Status::AddressInUse,
        Cause::OutOfMemory => Status::OutOfMemory,
        Cause::Interrupted => Status::Interrupted,
        Cause::Overloaded => Status::Overloaded,
        Cause::Cancelled => Status::Cancelled,
        Cause::Remote { .. } => Status::Remote,
        Cause::InvalidArgument { .. } => Status::InvalidArgument,
        Cause::Unsupported { .. } => Status::Unsupported,
        Cause::Config => Status::Config,
        Cause::Forked => Status::Forked,
        _ => Status::System,
    }
}
