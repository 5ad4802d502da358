//! A kernel that refuses `membarrier`, played by a seccomp filter.

/// From now on every `membarrier` of the calling thread, and of threads and processes it makes, fails with `errno`.
pub fn refuse_membarrier(errno: i32) {
    let load_number = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let jump_if_equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let answer = libc::BPF_RET | libc::BPF_K;
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut program = [
        // The number of the system call stands at the start of what a filter is shown (seccomp(2)).
        step(load_number, 0, 0, 0),
        step(jump_if_equal, 0, 1, libc::SYS_membarrier as u32),
        step(answer, 0, 0, libc::SECCOMP_RET_ERRNO | errno.unsigned_abs()),
        step(answer, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the option takes four plain numbers.
    let unprivileged = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(unprivileged, 0, "give up privileges, without which a filter is refused");
    // SAFETY: `filter` names `program`, and both outlive the call, which copies them.
    let installed = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) };
    assert_eq!(installed, 0, "install a filter: {}", std::io::Error::last_os_error());
}
