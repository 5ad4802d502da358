//! The heavy half of the asymmetric barrier: one call that orders memory on every registered process's processors.
//!
//! The hot side of a session stores and loads without a fence; the side that goes to sleep pays for both with
//! `membarrier(GLOBAL_EXPEDITED)`. That reaches only processes that have registered, so each registers once, outside any
//! handshake: in a process with threads it waits for the scheduler and took 9-19 ms.
//!
//! A kernel without the call, and a seccomp filter that answers `EPERM` or `ENOSYS`, are the same thing here: no
//! barrier. The sessions then agree on fences instead. A refusal that comes later, from a filter installed after we
//! registered, shows in [`heavy`].

use rustix::thread::{MembarrierCommand, membarrier, membarrier_query};

use crate::sync::{AtomicU64, Ordering};
use crate::sys::fork::Birth;

/// What registering gave, and for which process: twice the generation of [`Birth`], plus one if it worked. Zero is no
/// process's. A forked child therefore asks again.
static REGISTERED: AtomicU64 = AtomicU64::new(0);

/// Registers this process for the barrier, the first time it is called. True if other processes' barriers reach us now.
pub(crate) fn register() -> bool {
    let Ok(birth) = Birth::now() else { return false };
    let remembered = REGISTERED.load(Ordering::Relaxed);
    if remembered >> 1 == birth.generation() {
        return remembered & 1 == 1;
    }
    // Two threads may both get here; registering twice is harmless and gives both the same answer.
    let done = kernel_knows() && membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok();
    REGISTERED.store(birth.generation() << 1 | u64::from(done), Ordering::Relaxed);
    done
}

/// Orders every access of this thread before the call against every access after it of every thread of every registered
/// process. False if the kernel refused, in which case nothing is ordered.
pub(crate) fn heavy() -> bool {
    membarrier(MembarrierCommand::GlobalExpedited).is_ok()
}

/// Whether the kernel lists both commands. A filter that refuses the question knows neither.
fn kernel_knows() -> bool {
    let known = membarrier_query();
    known.contains_command(MembarrierCommand::GlobalExpedited)
        && known.contains_command(MembarrierCommand::RegisterGlobalExpedited)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fork::tests::in_child;

    #[test]
    fn registering_is_remembered_and_agrees_with_the_kernel() {
        let first = register();
        assert_eq!(first, kernel_knows(), "registering worked where the kernel lists the commands");
        assert_eq!(register(), first);
        if first {
            assert!(heavy());
        }
    }

    #[test]
    fn a_filter_that_refuses_the_call_means_no_barrier() {
        for refusal in [libc::EPERM, libc::ENOSYS] {
            let code = in_child(move || {
                refuse_membarrier(refusal);
                i32::from(register()) | i32::from(heavy()) << 1
            });
            assert_eq!(code, 0, "bit 0: registered, bit 1: heavy worked");
        }
    }

    #[test]
    fn a_filter_that_comes_later_shows_in_the_barrier_itself() {
        let code = in_child(|| {
            let registered = register();
            refuse_membarrier(libc::EPERM);
            i32::from(register() != registered) | i32::from(heavy()) << 1
        });
        assert_eq!(code, 0, "bit 0: forgot the registration, bit 1: heavy worked");
    }

    /// Installs a seccomp filter that answers `refusal` to every `membarrier` of this process.
    fn refuse_membarrier(refusal: i32) {
        let load_number = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
        let jump_equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
        let answer = libc::BPF_RET | libc::BPF_K;
        let op = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
        let mut program = [
            op(load_number, 0, 0, 0),
            op(jump_equal, 0, 1, libc::SYS_membarrier as u32),
            op(answer, 0, 0, libc::SECCOMP_RET_ERRNO | refusal as u32),
            op(answer, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
        // SAFETY: the option takes four plain numbers.
        let unprivileged = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        assert_eq!(unprivileged, 0);
        // SAFETY: `filter` names `program`, and both outlive the call, which copies them.
        let installed = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) };
        assert_eq!(installed, 0);
    }
}
