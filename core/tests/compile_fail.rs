//! Programs that must not compile: aliasing claims, leases that escape, one end in two threads.
//!
//! The expected messages (`compile_fail/*.stderr`) are those of the compiler that CI runs. Where another words them
//! differently, `TRYBUILD=overwrite` writes them anew; what matters is the error's number.

#![cfg(not(loom))]

#[test]
fn what_would_break_a_lease_or_a_claim_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}

/// Compiles only for types that are not `Sync`: for others it is ambiguous which of the two is meant.
trait UnlessSync<Which> {
    fn holds() {}
}

impl<T: ?Sized> UnlessSync<()> for T {}

struct ButIsSync;

impl<T: ?Sized + Sync> UnlessSync<ButIsSync> for T {}

#[test]
fn an_end_may_move_between_threads_but_not_be_shared_by_them() {
    fn may_move<T: Send>() {}
    may_move::<slipring::Bus>();
    <slipring::Bus as UnlessSync<_>>::holds();
}
