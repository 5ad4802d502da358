//! Limits of this process, for tests that run in one of their own.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;

/// Runs `work` with no descriptor to be had.
///
/// # Panics
/// If the limit cannot be set.
pub fn without_descriptors<T>(work: impl FnOnce() -> T) -> T {
    let free = (0..).find(|number| fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_err());
    let before = getrlimit(Resource::Nofile);
    let limit = Rlimit { current: free, maximum: before.maximum };
    setrlimit(Resource::Nofile, limit).expect("less is always allowed");
    let done = work();
    setrlimit(Resource::Nofile, before).expect("back to what was allowed");
    done
}

/// Runs `work` with hardly more address space than is in use.
///
/// # Panics
/// If the limit cannot be set.
pub fn without_memory<T>(work: impl FnOnce() -> T) -> T {
    let status = fs::read_to_string("/proc/self/statm").expect("every process has it");
    let pages: u64 = status.split(' ').next().and_then(|word| word.parse().ok()).expect("a number of pages");
    let before = getrlimit(Resource::As);
    let limit =
        Rlimit { current: Some(pages * rustix::param::page_size() as u64 + (1 << 20)), maximum: before.maximum };
    setrlimit(Resource::As, limit).expect("less is always allowed");
    let done = work();
    setrlimit(Resource::As, before).expect("back to what was allowed");
    done
}

/// Allows this process so many descriptors, as far as it may.
///
/// # Panics
/// If the limit cannot be set.
pub fn allow_descriptors(count: u64) {
    let before = getrlimit(Resource::Nofile);
    let most = before.maximum.unwrap_or(u64::MAX).min(count);
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..before }).expect("up to the maximum");
}
