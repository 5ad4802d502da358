//! Busy processes: what stands beside a measurement on a machine that has other things to do.

use std::process::{Child, Command, ExitCode, Stdio};

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::pin::{Cpus, pin};

/// The argument that makes this program one of them.
const BUSY_ARGUMENT: &str = "busy";
/// How many there are on each CPU.
const EACH: usize = 2;

/// Processes that compute, until it is dropped.
pub(super) struct Busy(Vec<Child>);

impl Busy {
    pub(super) fn start(cpus: Cpus) -> Self {
        let cpus = cpus.0.unwrap_or_default();
        let start = |cpu: &usize| {
            let mut command = Command::new("/proc/self/exe");
            command.arg(BUSY_ARGUMENT).arg(cpu.to_string()).stdin(Stdio::null()).stdout(Stdio::null());
            command.spawn()
        };
        // Fewer of them make it easier for every system alike.
        Self(cpus.iter().cycle().take(cpus.len() * EACH).filter_map(|cpu| start(cpu).ok()).collect())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Both fail only for a process that is over.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Computes on `cpu` until it is killed, at the latest with its parent.
pub(crate) fn compute(cpu: usize) -> ExitCode {
    if set_parent_process_death_signal(Some(Signal::KILL)).is_err() || pin(cpu).is_err() {
        return ExitCode::FAILURE;
    }
    let mut value = 1u64;
    loop {
        value = std::hint::black_box(value.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1));
    }
}
