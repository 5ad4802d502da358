//! What `/proc` tells about a process: how much it has open, and in what it waits.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Duration;

/// What must not grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// Open descriptors.
    pub fds: usize,
    /// Mapped areas of memory, of whatever kind. The allocator and the stacks of threads come and go by a few.
    pub maps: usize,
    /// Mapped segments: areas of a memfd or of POSIX shared memory. These are nobody's but ours.
    pub segments: usize,
    /// Threads.
    pub threads: usize,
    /// Resident memory, in KiB.
    pub rss: u64,
}

/// What process `pid` has now.
#[must_use]
pub fn holdings(pid: u32) -> Holdings {
    let maps = read(pid, "maps");
    Holdings {
        fds: count(pid, "fd"),
        maps: maps.lines().count(),
        segments: maps.lines().filter(|line| line.contains("/memfd:") || line.contains("/dev/shm/")).count(),
        threads: count(pid, "task"),
        rss: resident_kib(pid),
    }
}

/// Which page of the machine's memory stands behind an address of this process: its number in `/proc/self/pagemap`
/// (Documentation/admin-guide/mm/pagemap.rst). Where that is not told to us, the same answer for all.
#[must_use]
pub fn page_frame(byte: &u8) -> u64 {
    // Reading it puts the page into our tables.
    let address = std::ptr::from_ref(std::hint::black_box(byte));
    let _ = std::hint::black_box(*byte);
    let pagemap = fs::File::open("/proc/self/pagemap").expect("every process has it");
    let mut entry = [0; 8];
    let at = address.addr() / rustix::param::page_size() * entry.len();
    pagemap.read_exact_at(&mut entry, at as u64).expect("an entry for each page");
    u64::from_le_bytes(entry) & ((1 << 55) - 1)
}

/// What the open descriptors of process `pid` lead to.
#[must_use]
pub fn open_files(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("look at the descriptors of a process of ours");
    // One may be closed between listing and reading.
    let targets = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets.map(|target| target.to_string_lossy().into_owned()).collect()
}

/// What the segments that process `pid` has mapped are called: `/memfd:…` or `/dev/shm/…`.
#[must_use]
pub fn segment_names(pid: u32) -> Vec<String> {
    let maps = read(pid, "maps");
    let names = maps.lines().filter_map(|line| line.find('/').map(|at| line[at..].to_owned()));
    names.filter(|name| name.starts_with("/memfd:") || name.starts_with("/dev/shm/")).collect()
}

/// A piece of the address space of this process, as `/proc/self/maps` tells of it.
#[derive(Clone, Debug)]
pub struct Area {
    /// Its addresses.
    pub range: Range<usize>,
    /// What may be done to it: `r--s` is read-only memory that others share.
    pub rights: String,
    /// The number of the file that it shows; 0 for none.
    pub inode: u64,
    /// The path of that file, what the kernel calls the area instead, or nothing.
    pub name: String,
}

/// All of them, in the order of their addresses.
#[must_use]
pub fn areas() -> Vec<Area> {
    let of = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (from, to) = words.next()?.split_once('-')?;
        let range = usize::from_str_radix(from, 16).ok()?..usize::from_str_radix(to, 16).ok()?;
        let rights = words.next()?.to_owned();
        let inode = words.nth(2)?.parse().ok()?;
        Some(Area { range, rights, inode, name: words.collect::<Vec<_>>().join(" ") })
    };
    read(std::process::id(), "maps").lines().filter_map(of).collect()
}

/// The one in which a byte lies.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn area_of(byte: &u8) -> Area {
    let address = std::ptr::from_ref(byte).addr();
    areas().into_iter().find(|area| area.range.contains(&address)).expect("what can be read is mapped")
}

/// Whether process `pid` runs the program called `name`.
#[must_use]
pub fn is_program(pid: u32, name: &str) -> bool {
    read(pid, "comm").trim_end() == name
}

/// Waits until process `pid` sleeps in `poll(2)`, which is where a parked end sleeps.
pub fn await_parked(pid: u32) {
    await_that(|| is_parked(pid));
}

/// Whether the main thread of process `pid` sleeps in `poll(2)` now.
#[must_use]
pub fn is_parked(pid: u32) -> bool {
    // The first word is the number of the system call, or "running".
    let call = read(pid, "syscall");
    let number = call.split(' ').next().and_then(|word| word.parse::<i64>().ok());
    number == Some(libc::SYS_ppoll)
}

/// Waits until process `pid` has kept a processor busy for 3 ms, which nothing but spinning does here.
pub fn await_spinning(pid: u32) {
    let start = nanoseconds_run(pid);
    await_that(|| nanoseconds_run(pid) - start > 3_000_000);
}

/// How long process `pid` has run on a processor. First number of `schedstat` (Documentation/scheduler/sched-stats).
fn nanoseconds_run(pid: u32) -> u64 {
    let stat = read(pid, "schedstat");
    stat.split(' ').next().and_then(|word| word.parse().ok()).expect("the kernel writes a number")
}

/// Waits until process `pid` is in state `state`, as the third field of `/proc/<pid>/stat` names it.
pub fn await_state(pid: u32, state: char) {
    await_that(|| read(pid, "stat").rsplit(") ").next().is_some_and(|rest| rest.starts_with(state)));
}

/// Waits until `what` is so, for as long as it takes: the watchdog bounds it.
pub fn await_that(mut what: impl FnMut() -> bool) {
    while !what() {
        thread::sleep(Duration::from_micros(500));
    }
}

fn count(pid: u32, directory: &str) -> usize {
    fs::read_dir(format!("/proc/{pid}/{directory}")).expect("look at a process of ours").count()
}

fn read(pid: u32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).expect("look at a process of ours")
}

fn resident_kib(pid: u32) -> u64 {
    kib(pid, "VmRSS:")
}

/// The most memory that process `pid` ever had, in KiB: resident, and address space, as `/proc/<pid>/status` names them.
#[must_use]
pub fn peaks_kib(pid: u32) -> (u64, u64) {
    (kib(pid, "VmHWM:"), kib(pid, "VmPeak:"))
}

fn kib(pid: u32, name: &str) -> u64 {
    let status = read(pid, "status");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a living process has memory");
    line.trim().trim_end_matches(" kB").parse().expect("the kernel writes a number")
}

/// Bytes of memory that the machine has to spare.
///
/// # Panics
/// If `/proc` does not say.
#[must_use]
pub fn available_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").expect("/proc is there");
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).expect("a line for it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}
