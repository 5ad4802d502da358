//! Pinning: which two CPUs a measurement runs on.
//!
//! Latency between two processes is a matter of which two cores they run on, so each gets one of its own. Where this
//! process may use one CPU only, the measurement still runs, unpinned, and says so: its numbers are those of a
//! scheduler.

use std::sync::OnceLock;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::fault::Fault;

/// The two CPUs of a measurement, or none where only one is available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cpus(pub(crate) Option<[usize; 2]>);

impl Cpus {
    /// Those asked for, else the first two that this process may use. Says on standard error when there is only one.
    pub(crate) fn choose(asked: Option<[usize; 2]>) -> Result<Self> {
        let allowed = allowed()?;
        if let Some(asked) = asked {
            if let Some(cpu) = asked.iter().find(|cpu| !allowed.contains(cpu)) {
                let why = format!("--cpus: CPU {cpu} is not one of those this process may use ({allowed:?})");
                return Err(Fault::Usage(why).into());
            }
            return Ok(Self(Some(asked)));
        }
        let chosen = Self(allowed.first_chunk::<2>().copied());
        if chosen.0.is_none() {
            eprintln!(
                "slipring-bench: error: only one CPU is available ({allowed:?}), two are needed; the processes run \
                 unpinned and take turns on it, and their times are the scheduler's"
            );
        }
        Ok(chosen)
    }

    /// The CPU of the leading (0) or the following (1) process.
    pub(crate) fn of(self, side: usize) -> Option<usize> {
        self.0.map(|cpus| cpus[side])
    }

    /// As records show them: "0,1".
    pub(crate) fn label(self) -> Option<String> {
        self.0.map(|[lead, follow]| format!("{lead},{follow}"))
    }
}

/// The CPUs that this process might use before it was pinned.
static BEFORE: OnceLock<Vec<usize>> = OnceLock::new();

/// Binds the calling thread to `cpu`.
pub(crate) fn pin(cpu: usize) -> Result<()> {
    let before = allowed()?;
    pin_to(&[cpu])?;
    BEFORE.get_or_init(|| before);
    Ok(())
}

/// Binds the calling thread to `cpus`.
pub(crate) fn pin_to(cpus: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    cpus.iter().for_each(|&cpu| set.set(cpu));
    sched_setaffinity(None, &set).with_context(|| format!("pin to CPUs {cpus:?}"))
}

/// The CPUs that are left beside those `taken`, of all that this process might use before it was pinned; all of them where none
/// is left.
pub(crate) fn others(taken: Option<[usize; 2]>) -> Result<Vec<usize>> {
    let all = BEFORE.get().map_or_else(allowed, |before| Ok(before.clone()))?;
    let left: Vec<_> = all.iter().copied().filter(|cpu| !taken.is_some_and(|taken| taken.contains(cpu))).collect();
    Ok(if left.is_empty() { all } else { left })
}

/// The CPUs that this process may use, in their order.
pub(crate) fn allowed() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None).context("ask for the CPUs that this process may use")?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// Reads `A,B`, the value of `--cpus`.
pub(crate) fn parse_pair(text: &str) -> Result<[usize; 2], String> {
    let wrong = || format!("'{text}' is not two CPU numbers as in 0,1");
    let (lead, follow) = text.split_once(',').ok_or_else(wrong)?;
    let number = |text: &str| text.trim().parse::<usize>().ok().filter(|&cpu| cpu < CpuSet::MAX_CPU).ok_or_else(wrong);
    Ok([number(lead)?, number(follow)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_two_numbers_and_nothing_else() {
        assert_eq!(parse_pair("0,1"), Ok([0, 1]));
        assert_eq!(parse_pair("3,2"), Ok([3, 2]));
        for wrong in ["", "0", "0,1,2", "a,b", "0,-1", "0,99999999"] {
            assert!(parse_pair(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_cpu_that_is_not_allowed_is_a_usage_error() {
        let error = Cpus::choose(Some([0, CpuSet::MAX_CPU - 1])).unwrap_err();
        assert_eq!(Fault::code_of(&error), 2);
    }
}
