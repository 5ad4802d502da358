//! The operating system, behind plain functions: the one folder that makes system calls.
//!
//! Everything above talks about descriptors, maps and sockets by the names of this folder, so that another platform is
//! another arm here and nothing elsewhere. Nothing here knows a ring, a frame or a session.
//!
//! Two habits hold throughout. Every descriptor is born close-on-exec and registered for the fork handlers
//! ([`fork::Fd`]); and nothing blocks except [`poll_readable`], [`pause`] and [`epoll::Epoll::wait`], which all say when a signal
//! came.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

pub(crate) mod affinity;
pub(crate) mod barrier;
mod budget;
pub(crate) mod epoll;
pub(crate) mod fork;
pub(crate) mod huge;
pub(crate) mod memory;
pub(crate) mod place;
pub(crate) mod share;
pub(crate) mod socket;
pub(crate) mod standing;
pub(crate) mod unnamed;

/// Size of a memory page, in bytes: a power of two.
pub(crate) fn page_size() -> usize {
    rustix::param::page_size()
}

/// The smallest multiple of the page size that is not below `len`.
///
/// Saturates at the largest multiple there is, which no allocation can have.
pub(crate) fn round_to_page(len: usize) -> usize {
    let mask = page_size() - 1;
    len.saturating_add(mask) & !mask
}

/// The monotonic clock in nanoseconds, the same for every process of this boot.
pub(crate) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // The monotonic clock starts at boot and is never negative; 584 years fit.
    (now.tv_sec as u64) * 1_000_000_000 + now.tv_nsec as u64
}

/// How many processors are online in this machine, whether or not this thread may run on all of them.
pub(crate) fn cpus_online() -> usize {
    // SAFETY: `sysconf` takes no pointer and any name is allowed; unknown ones answer -1.
    let online = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    usize::try_from(online).unwrap_or(1).max(1)
}

/// The one processor that this thread may run on, if its mask names exactly one.
pub(crate) fn only_cpu() -> Option<u32> {
    // A kernel with more processors than the mask has bits refuses the call; such a thread is not confined by this mask.
    let mask = rustix::thread::sched_getaffinity(None).ok()?;
    if mask.count() != 1 {
        return None;
    }
    (0..rustix::thread::CpuSet::MAX_CPU).find(|&cpu| mask.is_set(cpu)).and_then(|cpu| u32::try_from(cpu).ok())
}

/// The memory that this process could have at the most, in bytes: the machine's, or what a control group above it allows. Read
/// once, because it hardly changes and every session asks.
pub(crate) fn memory_there_is() -> u64 {
    static KNOWN: OnceLock<u64> = OnceLock::new();
    *KNOWN.get_or_init(budget::memory_there_is)
}

/// How much memory a stream of blocks should move through: about four times the second cache. Blocks that come back then sit
/// in the outer cache and no longer in the reader's own, from which the writer would have to take them (measured: reusing the
/// newest block costs 1.6 to 3 times as much as the oldest of such a window; twice as much again beyond the outer cache).
pub(crate) fn working_window() -> u64 {
    static KNOWN: OnceLock<u64> = OnceLock::new();
    *KNOWN.get_or_init(|| 4 * second_cache().unwrap_or(1 << 20).clamp(256 << 10, 16 << 20))
}

/// Bytes of the first processor's second-level cache.
fn second_cache() -> Option<u64> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/cpu0/cache/index2/size").ok()?;
    text.trim().strip_suffix('K')?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Raises the number of descriptors that this process may have open to the most that it may allow itself, and says how many
/// that is.
pub(crate) fn raise_descriptor_limit() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    }
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// The numbers of a list as the kernel writes it, such as `0-2,5`; what is none is left out.
fn numbers_listed(text: &str) -> Vec<u32> {
    let ranges = text.trim().split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?)
    });
    ranges.flatten().collect()
}

/// The user that this process acts as.
pub(crate) fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Waits until `fd` is readable or hung up (true), or until `timeout` has passed (false); `None` waits for ever.
///
/// # Errors
/// A signal handler that ran comes out as [`io::ErrorKind::Interrupted`]; it is the caller who knows its deadline.
pub(crate) fn poll_readable(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    poll(&mut fds, timeout.and_then(timespec).as_ref())?;
    let events = fds[0].revents();
    if events.contains(PollFlags::NVAL) {
        return Err(rustix::io::Errno::BADF.into());
    }
    Ok(!events.is_empty())
}

/// Sleeps for `time`.
///
/// # Errors
/// A signal handler that ran comes out as [`io::ErrorKind::Interrupted`].
pub(crate) fn pause(time: Duration) -> io::Result<()> {
    poll(&mut [], timespec(time).as_ref())?;
    Ok(())
}

/// `None` for a time that is too long for the kernel to count, which is for ever.
fn timespec(time: Duration) -> Option<Timespec> {
    let tv_sec = i64::try_from(time.as_secs()).ok()?;
    Some(Timespec { tv_sec, tv_nsec: time.subsec_nanos().into() })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn sizes_round_up_to_whole_pages() {
        let page = page_size();
        assert!(page.is_power_of_two());
        assert_eq!(round_to_page(0), 0);
        assert_eq!(round_to_page(1), page);
        assert_eq!(round_to_page(page), page);
        assert_eq!(round_to_page(page + 1), 2 * page);
        assert_eq!(round_to_page(usize::MAX) % page, 0);
    }

    #[test]
    fn the_clock_goes_on_while_we_pause() {
        let before = monotonic_ns();
        pause(Duration::from_millis(2)).expect("no signal is sent to this thread");
        assert!(monotonic_ns() - before >= 2_000_000);
    }

    #[test]
    fn a_thread_confined_to_one_processor_knows_it() {
        std::thread::spawn(|| {
            let all = rustix::thread::sched_getaffinity(None).expect("the mask can be read");
            let first = (0..rustix::thread::CpuSet::MAX_CPU).find(|&cpu| all.is_set(cpu)).expect("we run somewhere");
            let mut one = rustix::thread::CpuSet::new();
            one.set(first);
            rustix::thread::sched_setaffinity(None, &one).expect("a smaller mask is always allowed");
            assert_eq!(only_cpu(), Some(u32::try_from(first).expect("the mask is short")));
        })
        .join()
        .expect("the thread ran");
        assert!(cpus_online() >= 1);
    }

    #[test]
    fn lists_of_the_kernel_are_single_numbers_and_ranges() {
        assert_eq!(numbers_listed("0-2,5\n"), [0, 1, 2, 5]);
        assert_eq!(numbers_listed("3"), [3]);
        assert!(numbers_listed("\n").is_empty());
    }

    #[test]
    fn polling_tells_silence_from_bytes_and_from_the_hang_up() {
        let (ours, theirs) = socket::pair().expect("a socket pair");
        let soon = Some(Duration::from_nanos(1));
        assert!(!poll_readable(ours.as_fd(), soon).expect("poll"));
        socket::ring(theirs.as_fd()).expect("one byte goes out");
        assert!(poll_readable(ours.as_fd(), None).expect("poll"));
        let mut byte = [0];
        socket::receive(ours.as_fd(), &mut byte, false).expect("the byte");
        assert!(!poll_readable(ours.as_fd(), soon).expect("poll"));
        drop(theirs);
        assert!(poll_readable(ours.as_fd(), Some(Duration::MAX)).expect("poll"));
    }
}
