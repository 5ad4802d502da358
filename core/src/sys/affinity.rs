//! Which processors a thread may run on.

use std::fs;
use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::sys::numbers_listed;

/// Processors that are switched on (Documentation/ABI/testing/sysfs-devices-system-cpu).
const ONLINE: &str = "/sys/devices/system/cpu/online";

/// Why a thread was not pinned.
#[derive(Debug)]
pub(crate) enum NotPinned {
    /// This one is not switched on; these are.
    Absent(u32, Vec<u32>),
    /// A control group keeps this one from us; these it leaves.
    Forbidden(u32, Vec<u32>),
    /// The system refused.
    System(io::Error),
}

/// Has the calling thread run on `cpus` alone, of which there is at least one. Where it might run before. A thread that could
/// not be pinned to all of them is left as it was.
pub(crate) fn pin(cpus: &[u32]) -> Result<Vec<u32>, NotPinned> {
    let before = mask()?;
    let online = online();
    let mut wanted = CpuSet::new();
    for &cpu in cpus {
        if !online.contains(&cpu) || cpu as usize >= CpuSet::MAX_CPU {
            return Err(NotPinned::Absent(cpu, online));
        }
        wanted.set(cpu as usize);
    }
    match set(&wanted) {
        Ok(()) => {}
        // None of them is left to us by the control groups (sched_setaffinity(2)).
        Err(NotPinned::System(refused)) if refused.kind() == io::ErrorKind::InvalidInput => {}
        Err(refused) => return Err(refused),
    }
    // The kernel leaves out, without a word, what a control group keeps from us.
    let got = mask()?;
    match cpus.iter().find(|&&cpu| !got.is_set(cpu as usize)) {
        None => Ok(numbers_in(&before)),
        Some(&cpu) => {
            let left = left_to_us(&online);
            set(&before)?;
            Err(NotPinned::Forbidden(cpu, left?))
        }
    }
}

/// Where the calling thread may run now.
pub(crate) fn allowed() -> Result<Vec<u32>, NotPinned> {
    Ok(numbers_in(&mask()?))
}

/// What of all processors the control groups leave to the calling thread, whose mask this changes.
fn left_to_us(online: &[u32]) -> Result<Vec<u32>, NotPinned> {
    let mut all = CpuSet::new();
    for &cpu in online.iter().filter(|&&cpu| (cpu as usize) < CpuSet::MAX_CPU) {
        all.set(cpu as usize);
    }
    set(&all)?;
    Ok(numbers_in(&mask()?))
}

/// The processors that are switched on. Where the kernel does not say, those of the mask.
fn online() -> Vec<u32> {
    let told = numbers_listed(&fs::read_to_string(ONLINE).unwrap_or_default());
    if told.is_empty() { mask().map(|mask| numbers_in(&mask)).unwrap_or_default() } else { told }
}

fn mask() -> Result<CpuSet, NotPinned> {
    sched_getaffinity(None).map_err(|refused| NotPinned::System(refused.into()))
}

fn set(mask: &CpuSet) -> Result<(), NotPinned> {
    sched_setaffinity(None, mask).map_err(|refused| NotPinned::System(refused.into()))
}

fn numbers_in(mask: &CpuSet) -> Vec<u32> {
    // A mask has some thousand bits at the most.
    (0..CpuSet::MAX_CPU).filter(|&cpu| mask.is_set(cpu)).map(|cpu| cpu as u32).collect()
}
