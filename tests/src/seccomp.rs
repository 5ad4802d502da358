//! A kernel that refuses system calls, played by a seccomp filter.

/// From now on every `membarrier` of the calling thread, and of threads and processes it makes, fails with `errno`.
pub fn refuse_membarrier(errno: i32) {
    refuse(libc::SYS_membarrier, errno);
}

/// From now on every system call number `call` of the calling thread, and of threads and processes it makes, fails with
/// `errno`.
pub fn refuse(call: libc::c_long, errno: i32) {
    install(&mut [
        load(NUMBER),
        unless(call as u32, 1),
        answer(libc::SECCOMP_RET_ERRNO | errno.unsigned_abs()),
        answer(libc::SECCOMP_RET_ALLOW),
    ]);
}

/// The same, for calls whose third argument is `third` and no others.
pub fn refuse_third(call: libc::c_long, third: i32, errno: i32) {
    install(&mut [
        load(NUMBER),
        unless(call as u32, 3),
        load(THIRD),
        unless(third.cast_unsigned(), 1),
        answer(libc::SECCOMP_RET_ERRNO | errno.unsigned_abs()),
        answer(libc::SECCOMP_RET_ALLOW),
    ]);
}

/// Where the number of the system call stands in what a filter is shown (seccomp(2)).
const NUMBER: u32 = 0;

/// Where the lower half of the third argument stands: behind two numbers of four bytes, an address, and two arguments.
const THIRD: u32 = 16 + 2 * 8 + if cfg!(target_endian = "big") { 4 } else { 0 };

fn step(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

fn load(at: u32) -> libc::sock_filter {
    step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at)
}

/// Skips so many steps unless what was loaded is `value`.
fn unless(value: u32, steps: u8) -> libc::sock_filter {
    step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, steps, value)
}

fn answer(with: u32) -> libc::sock_filter {
    step(libc::BPF_RET | libc::BPF_K, 0, 0, with)
}

fn install(program: &mut [libc::sock_filter]) {
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the option takes four plain numbers.
    let unprivileged = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(unprivileged, 0, "give up privileges, without which a filter is refused");
    // SAFETY: `filter` names `program`, and both outlive the call, which copies them.
    let installed = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) };
    assert_eq!(installed, 0, "install a filter: {}", std::io::Error::last_os_error());
}
