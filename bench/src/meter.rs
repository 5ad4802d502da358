//! Meters: what a measurement cost in processor time, wake-ups and memory, and what the host took away meanwhile.
//!
//! A process meters itself where it runs, with the precise clock of its processor time; one that sleeps is metered from
//! outside through `/proc`, where its numbers are exact because it does not run.

use std::fs;
use std::ops::AddAssign;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Processor time and wake-ups of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Used {
    pub(crate) cpu: Duration,
    /// How often it gave up its CPU of its own accord: each was followed by a wake-up.
    pub(crate) wakeups: u64,
}

impl Used {
    /// What this process has used so far.
    pub(crate) fn by_self() -> Result<Self> {
        let spent = clock_gettime(ClockId::ProcessCPUTime);
        let cpu = Duration::new(spent.tv_sec.unsigned_abs(), spent.tv_nsec.unsigned_abs() as u32);
        Ok(Self { cpu, wakeups: switches("self")? })
    }

    /// What process `pid`, of one thread, had used when it last gave up its CPU.
    pub(crate) fn by(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/schedstat");
        let stat = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let ns = stat.split_whitespace().next().and_then(|word| word.parse().ok()).context("no time in schedstat")?;
        Ok(Self { cpu: Duration::from_nanos(ns), wakeups: switches(&pid.to_string())? })
    }

    /// The difference to an earlier reading.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self { cpu: self.cpu.saturating_sub(earlier.cpu), wakeups: self.wakeups.saturating_sub(earlier.wakeups) }
    }

    /// The busier of two, in each of the two numbers.
    pub(crate) fn busier(self, other: Self) -> Self {
        Self { cpu: self.cpu.max(other.cpu), wakeups: self.wakeups.max(other.wakeups) }
    }
}

impl AddAssign for Used {
    fn add_assign(&mut self, more: Self) {
        self.cpu += more.cpu;
        self.wakeups += more.wakeups;
    }
}

fn switches(process: &str) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    field(&status, "voluntary_ctxt_switches:").context("no voluntary_ctxt_switches in status")
}

/// Resident memory of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// All resident pages.
    pub(crate) rss: u64,
    /// The same, with each shared page divided by the number of its users.
    pub(crate) pss: u64,
}

impl Memory {
    /// That of this process.
    pub(crate) fn of_self() -> Result<Self> {
        Self::of(std::process::id())
    }

    /// That of process `pid`.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let kib = |name| field(&text, name).with_context(|| format!("no {name} in {path}"));
        Ok(Self { rss: kib("Rss:")? * 1024, pss: kib("Pss:")? * 1024 })
    }

    /// That of the pages of one file, known by its number, in process `pid`.
    pub(crate) fn of_file(pid: u32, number: u64) -> Result<Self> {
        let path = format!("/proc/{pid}/smaps");
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        Ok(file_memory(&text, number))
    }
}

/// Adds up what a text of `smaps` says of the maps of the file with this number.
fn file_memory(smaps: &str, number: u64) -> Memory {
    // Of proc_pid_smaps(5): a map begins with its line of `maps`, whose fifth word is the file's number; lines with a name and a
    // colon follow.
    let (mut memory, mut wanted) = (Memory::default(), false);
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let (first, second) = (words.next().unwrap_or_default(), words.next());
        let kib = || second.and_then(|word| word.parse::<u64>().ok()).unwrap_or_default();
        match first {
            "Rss:" if wanted => memory.rss += kib() * 1024,
            "Pss:" if wanted => memory.pss += kib() * 1024,
            name if name.ends_with(':') => {}
            _ => wanted = words.nth(2).and_then(|word| word.parse().ok()) == Some(number),
        }
    }
    memory
}

/// The first number after `name` in lines of the form "name: number".
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How much of the measurement's CPUs the hypervisor gave to others.
#[derive(Clone, Debug)]
pub(crate) struct Steal {
    cpus: Vec<usize>,
    before: Option<Ticks>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ticks {
    stolen: u64,
    all: u64,
}

impl Steal {
    /// Starts watching `cpus`; none means all.
    pub(crate) fn watch(cpus: Option<[usize; 2]>) -> Self {
        let cpus = cpus.map(Vec::from).unwrap_or_default();
        let before = ticks_now(&cpus);
        Self { cpus, before }
    }

    /// Stolen time since then, in percent; `None` where the kernel does not tell.
    pub(crate) fn percent(&self) -> Option<f64> {
        let (before, now) = (self.before?, ticks_now(&self.cpus)?);
        let all = now.all.saturating_sub(before.all);
        let stolen = now.stolen.saturating_sub(before.stolen);
        (all > 0).then(|| (stolen as f64 / all as f64 * 10_000.0).round() / 100.0)
    }
}

fn ticks_now(cpus: &[usize]) -> Option<Ticks> {
    ticks(&fs::read_to_string("/proc/stat").ok()?, cpus)
}

/// Adds up the lines of `cpus` in the text of `/proc/stat`, or takes the line of all.
fn ticks(stat: &str, cpus: &[usize]) -> Option<Ticks> {
    // Of proc_stat(5): user nice system idle iowait irq softirq steal; the two that follow are contained in the first
    // two.
    const STEAL: usize = 7;
    let mut total = Ticks::default();
    for line in stat.lines() {
        let mut words = line.split_whitespace();
        let wanted = match words.next()?.strip_prefix("cpu") {
            None => break,
            Some("") => cpus.is_empty(),
            Some(number) => number.parse().is_ok_and(|number| cpus.contains(&number)),
        };
        if wanted {
            let counts: Vec<u64> = words.take(STEAL + 1).map_while(|word| word.parse().ok()).collect();
            total.stolen += counts.get(STEAL)?;
            total.all += counts.iter().sum::<u64>();
        }
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "cpu  10 0 10 70 0 0 0 10 0 0\ncpu0 5 0 5 40 0 0 0 0 0 0\ncpu1 5 0 5 30 0 0 0 10 0 0\nintr 5 0\n";

    #[test]
    fn steal_is_that_of_the_cpus_in_use() {
        assert_eq!(ticks(STAT, &[]), Some(Ticks { stolen: 10, all: 100 }));
        assert_eq!(ticks(STAT, &[0]), Some(Ticks { stolen: 0, all: 50 }));
        assert_eq!(ticks(STAT, &[0, 1]), Some(Ticks { stolen: 10, all: 100 }));
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let status = "nonvoluntary_ctxt_switches:\t7\nvoluntary_ctxt_switches:\t42\n";
        assert_eq!(field(status, "voluntary_ctxt_switches:"), Some(42));
        assert_eq!(field(status, "missing:"), None);
    }

    #[test]
    fn the_memory_of_one_file_is_told_from_that_of_others() {
        let smaps = "7f00-7f01 r--p 00000000 00:01 42 /memfd:a (deleted)\nSize: 8 kB\nRss: 8 kB\nPss: 4 kB\n\
                     7f01-7f02 r--p 00000000 00:01 43 /memfd:b (deleted)\nRss: 16 kB\nPss: 16 kB\n\
                     7f02-7f03 r--p 00000000 00:01 42 /memfd:a (deleted)\nRss: 1 kB\nPss: 1 kB\n";
        assert_eq!(file_memory(smaps, 42), Memory { rss: 9 << 10, pss: 5 << 10 });
        assert_eq!(file_memory(smaps, 44), Memory::default());
    }

    #[test]
    fn work_is_seen() {
        let before = Used::by_self().unwrap();
        std::thread::sleep(Duration::from_millis(1));
        let used = Used::by_self().unwrap().since(before);
        assert!(used.cpu > Duration::ZERO);
        assert!(Memory::of_self().unwrap().rss > 0);
    }
}
