//! What the ends of a run have their memory made of, and what of a test that leaves out.
//!
//! Ends that are opened without a word about it take what `SLIPRING_BACKEND` says, so one run of the same tests in another
//! environment tries another backend. A test that needs what only one of them has says so here, and skips itself where it is not
//! to be had, for all to see.

use slipring::Trust;

/// Whether the ends of this run have sealed memory. Without seals nobody can be distrusted: that, and the hostile peers of
/// [`raw`](crate::raw), which take and make sealed memory only, are for other runs.
#[must_use]
pub fn is_sealed() -> bool {
    std::env::var("SLIPRING_BACKEND").as_deref() != Ok("posix")
}

/// Whether the ends of this run have sealed memory, which `test` needs; says that it is skipped if not.
#[must_use]
pub fn has_seals(test: &str) -> bool {
    if !is_sealed() {
        skip(test, "it needs sealed memory");
    }
    is_sealed()
}

/// Whom an end of this run can trust: for tests that go through all of them.
#[must_use]
pub fn trusts(test: &str) -> &'static [Trust] {
    if has_seals(&format!("{test}, as far as it trusts nobody")) {
        &[Trust::SameUser, Trust::Untrusted]
    } else {
        &[Trust::SameUser]
    }
}

/// Says that a test, or a part of one, is skipped, and why.
pub fn skip(test: &str, why: &str) {
    // Straight to the descriptor: the harness captures what `eprintln` says of tests that pass.
    let _ = rustix::io::write(std::io::stderr(), format!("\nskipped: {test}: {why}\n").as_bytes());
}
