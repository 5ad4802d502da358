//! The boundary: no panic gets out, and every failure becomes a status for the program and a text for people.
//!
//! The text is not made when the failure happens, but when somebody asks for it: `EMPTY` in a loop costs no formatting. What is
//! kept until then belongs to the thread. A call that succeeds leaves it alone, as with `errno`.

use crate::status::slipring_status_t;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use transport::{CallError, Cause, Error};

/// Why a function failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A cause of the transport's.
    Cause(Cause),
    /// The same, with what was tried and what the system said.
    Whole(Box<Error>),
    /// The same, with what the peer said.
    Call(CallError),
    /// What only a caller without a type system can do.
    Here(slipring_status_t, &'static str),
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        Self::Cause(cause)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Whole(Box::new(error))
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        if error.text().is_empty() { Self::Cause(error.cause()) } else { Self::Call(error) }
    }
}

/// An argument that can never be right.
pub(crate) const fn invalid(which: &'static str) -> Failure {
    Failure::Cause(Cause::InvalidArgument { which })
}

#[derive(Clone, Copy)]
enum Last {
    Nothing,
    Cause(Cause),
    Here(&'static str),
    /// The text is in `TEXT`.
    Text {
        remote: u32,
    },
}

thread_local! {
    static LAST: Cell<Last> = const { Cell::new(Last::Nothing) };
    static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs what a function does, and answers with its status.
#[inline(always)]
pub(crate) fn boundary(call: impl FnOnce() -> Result<(), Failure>) -> slipring_status_t {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(())) => slipring_status_t::SLIPRING_OK,
        Ok(Err(failure)) => note(failure),
        Err(panic) => note_panic(panic),
    }
}

/// The same for functions that answer with something else than a status: `otherwise` is the answer to a failure.
#[inline(always)]
pub(crate) fn boundary_or<T>(otherwise: T, call: impl FnOnce() -> Result<T, Failure>) -> T {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(answer)) => return answer,
        Ok(Err(failure)) => note(failure),
        Err(panic) => note_panic(panic),
    };
    otherwise
}

#[inline(never)]
fn note(failure: Failure) -> slipring_status_t {
    let (status, last) = match failure {
        Failure::Cause(cause) => (slipring_status_t::of(cause), Last::Cause(cause)),
        Failure::Here(status, text) => (status, Last::Here(text)),
        Failure::Whole(error) => (slipring_status_t::of(error.cause()), keep_text(error.to_string(), error.cause())),
        Failure::Call(error) => (slipring_status_t::of(error.cause()), keep_text(error.to_string(), error.cause())),
    };
    // A thread that is ending keeps nothing any more; then there is no text.
    let _ = LAST.try_with(|kept| kept.set(last));
    status
}

fn keep_text(text: String, cause: Cause) -> Last {
    match TEXT.try_with(|kept| *kept.borrow_mut() = text) {
        Ok(()) => Last::Text { remote: remote_code(cause) },
        Err(_) => Last::Cause(cause),
    }
}

#[cold]
fn note_panic(panic: Box<dyn Any + Send>) -> slipring_status_t {
    let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = format!("a fault of the library's own: {}", said.unwrap_or("it does not say more"));
    let _ = TEXT.try_with(|kept| *kept.borrow_mut() = text);
    let _ = LAST.try_with(|kept| kept.set(Last::Text { remote: 0 }));
    // Dropping what was thrown could throw again.
    std::mem::forget(panic);
    slipring_status_t::SLIPRING_PANIC
}

fn remote_code(cause: Cause) -> u32 {
    match cause {
        Cause::Remote { code } => code,
        _ => 0,
    }
}

/// What the last failure of this thread was, in words.
pub(crate) fn last_text() -> String {
    match LAST.try_with(Cell::get) {
        Ok(Last::Cause(cause)) => cause.to_string(),
        Ok(Last::Here(text)) => text.to_owned(),
        Ok(Last::Text { .. }) => TEXT.try_with(|kept| kept.borrow().clone()).unwrap_or_default(),
        Ok(Last::Nothing) | Err(_) => String::new(),
    }
}

/// The number that the peer gave with its error, if the last failure of this thread was one.
pub(crate) fn last_remote_code() -> u32 {
    match LAST.try_with(Cell::get) {
        Ok(Last::Cause(cause)) => remote_code(cause),
        Ok(Last::Text { remote }) => remote,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_status_and_a_text() {
        std::panic::set_hook(Box::new(|_| {}));
        assert_eq!(boundary(|| panic!("two and {}", 2)), slipring_status_t::SLIPRING_PANIC);
        assert!(last_text().ends_with("two and 2"), "{}", last_text());
        assert!(boundary_or(std::ptr::null(), || -> Result<*const u8, Failure> { panic!("again") }).is_null());
        assert!(last_text().ends_with("again"), "{}", last_text());
    }

    #[test]
    fn a_success_leaves_the_last_error_alone() {
        assert_eq!(boundary(|| Err(Cause::Remote { code: 7 }.into())), slipring_status_t::SLIPRING_REMOTE);
        assert_eq!(boundary(|| Ok(())), slipring_status_t::SLIPRING_OK);
        assert_eq!((last_remote_code(), last_text().as_str()), (7, "the peer answered with error 7"));
    }
}
