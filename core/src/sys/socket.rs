//! Unix stream sockets: one descriptor that carries the handshake, bells, descriptors, close and death.
//!
//! Every socket is close-on-exec and non-blocking, and every call also says `MSG_DONTWAIT`: a peer that shares the
//! description cannot make us wait. Every descriptor that arrives is registered ([`Fd`]) in the same breath as the call
//! that received it, so a fork cannot copy it unseen and no path of a caller can lose it.
//!
//! A `recv` without room for descriptors destroys those that come with the bytes. Where some may be among what waits, it is
//! first looked at ([`peek`]), and then exactly what was understood is taken ([`consume`]).
//!
//! Control messages are read by hand: a peer in another pid namespace has the pid 0, which the wrapper's types exclude.

use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use rustix::cmsg_space;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, SocketAddrUnix,
    SocketFlags, SocketType,
};

use crate::sys::fork::{self, Fd};

/// The most descriptors that one message of ours carries; a message with more is told as truncated.
pub(crate) const MOST_FDS: usize = 4;

/// The longest file name of a socket. `sun_path` has 108 bytes (unix(7)), and every address of ours is
/// `/proc/self/fd/<number>/<file>`, whose first part takes 14 bytes and whose number and separator at most 11.
pub(crate) const LONGEST_FILE_NAME: usize = 108 - "/proc/self/fd/".len() - 11;

/// Connections that wait to be accepted before connecting says `EAGAIN`. The kernel lowers it to its own limit.
const BACKLOG: i32 = 1024;

/// How many bytes one call consumes at most. Records are a few dozen bytes long.
const SCRATCH: usize = 256;

const NON_BLOCKING: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// Who is at the other end, as the kernel tells it. The pid is for people; nothing acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) pid: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl From<libc::ucred> for Credentials {
    fn from(told: libc::ucred) -> Self {
        Self { pid: told.pid.unsigned_abs(), uid: told.uid, gid: told.gid }
    }
}

/// What one `recvmsg` gave.
#[derive(Debug)]
pub(crate) struct Received {
    /// How many bytes came; zero is the end of the stream.
    pub(crate) bytes: usize,
    /// The descriptors that came along, at most [`MOST_FDS`].
    pub(crate) fds: Vec<Fd>,
    /// Who sent it, if that was asked for and came along.
    pub(crate) credentials: Option<Credentials>,
    /// More descriptors were sent than a message of ours has. The surplus is closed.
    pub(crate) truncated: bool,
    /// Descriptors were sent that this process could not take, because it has no more.
    pub(crate) starved: bool,
}

/// A new socket bound to `file` in `dir`; nobody can connect yet.
pub(crate) fn bind(dir: BorrowedFd<'_>, file: &OsStr) -> io::Result<Fd> {
    let socket = stream()?;
    rustix::net::bind(&socket, &address(dir, file)?)?;
    Ok(socket)
}

/// Lets others connect to a bound socket.
pub(crate) fn listen(socket: &Fd) -> io::Result<()> {
    Ok(rustix::net::listen(socket, BACKLOG)?)
}

/// A socket connected to `file` in `dir`. Does not wait: a listener whose queue is full is
/// [`io::ErrorKind::WouldBlock`].
pub(crate) fn connect(dir: BorrowedFd<'_>, file: &OsStr) -> io::Result<Fd> {
    let socket = stream()?;
    rustix::net::connect(&socket, &address(dir, file)?)?;
    Ok(socket)
}

/// The next connection; [`io::ErrorKind::WouldBlock`] when none waits.
pub(crate) fn accept(listener: &Fd) -> io::Result<Fd> {
    Fd::make(|| Ok(rustix::net::accept_with(listener, NON_BLOCKING)?))
}

/// A socket that is connected to nothing.
pub(crate) fn unconnected() -> io::Result<Fd> {
    stream()
}

/// Two sockets connected to each other.
#[cfg(test)]
pub(crate) fn pair() -> io::Result<(Fd, Fd)> {
    fork::make_many(|registry| {
        let (one, other) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, NON_BLOCKING, None)?;
        Ok((registry.adopt(one), registry.adopt(other)))
    })
}

/// Who made the socket at the other end: whoever called `connect`, or `listen`.
pub(crate) fn peer_credentials(socket: BorrowedFd<'_>) -> io::Result<Credentials> {
    let mut told = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
    // SAFETY: `told` has room for `len` bytes and any bytes are a valid `ucred`; both outlive the call.
    let failed = unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, (&raw mut told).cast(), &raw mut len) };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(told.into())
}

/// Asks the kernel to add the sender's credentials to what arrives from now on.
pub(crate) fn enable_passcred(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_passcred(socket, true)?)
}

/// Sends `bytes`, with `fds` and on wish this process's credentials, by one `sendmsg`. Gives how many bytes went out;
/// the descriptors went with the first of them. A full buffer is [`io::ErrorKind::WouldBlock`].
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    with_credentials: bool,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_FDS), ScmCredentials(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && (fds.len() > MOST_FDS || !control.push(SendAncillaryMessage::ScmRights(fds))) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if with_credentials {
        let ours = rustix::net::UCred {
            pid: rustix::process::getpid(),
            uid: rustix::process::geteuid(),
            gid: rustix::process::getegid(),
        };
        let pushed = control.push(SendAncillaryMessage::ScmCredentials(ours));
        debug_assert!(pushed, "the space was measured for both");
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    Ok(rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags)?)
}

/// Takes what waits, by one `recvmsg` that does not wait: [`io::ErrorKind::WouldBlock`] when nothing does.
pub(crate) fn receive(socket: BorrowedFd<'_>, buf: &mut [u8], want_credentials: bool) -> io::Result<Received> {
    receive_by(socket, buf, want_credentials, 0)
}

/// Shows what waits and leaves it there; [`io::ErrorKind::WouldBlock`] when nothing does. The descriptors are copies, each
/// time new ones, and belong to the last of the bytes: the kernel shows nothing behind a message that carries some. But where
/// `buf` is full they may belong to a message further on (seen with Linux 6.18, which looks on for them at no bytes). A peek
/// that is starved has destroyed nothing, and can be repeated once a descriptor is free.
pub(crate) fn peek(socket: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<Received> {
    receive_by(socket, buf, false, libc::MSG_PEEK)
}

/// Takes exactly `bytes` bytes that [`peek`] has shown, up to the end of a message. There is no room for control messages,
/// so the kernel drops the descriptors that came along instead of installing them a second time.
///
/// # Errors
/// Where there are fewer bytes, which nothing that was peeked can lead to: [`io::ErrorKind::WouldBlock`], or at the end of
/// the stream [`io::ErrorKind::UnexpectedEof`].
pub(crate) fn consume(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let mut scratch = [0; SCRATCH];
    let mut left = bytes;
    while left > 0 {
        // One call may take less: it ends behind a message with descriptors.
        let (taken, _) = rustix::net::recv(socket, &mut scratch[..left.min(SCRATCH)], RecvFlags::DONTWAIT)?;
        if taken == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left -= taken;
    }
    Ok(())
}

/// One `recvmsg` that does not wait, with `flags` beside those that every call has. The fork lock is held from the call until
/// every descriptor is registered.
fn receive_by(
    socket: BorrowedFd<'_>,
    buf: &mut [u8],
    want_credentials: bool,
    flags: libc::c_int,
) -> io::Result<Received> {
    fork::make_many(|registry| {
        let mut control = Control([0; CONTROL]);
        let mut piece = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
        // SAFETY: a message header is plain numbers and pointers, for which zero is a valid value.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &raw mut piece;
        header.msg_iovlen = 1;
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = CONTROL as _;
        let flags = flags | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        // SAFETY: the header names `buf` and `control` with their true lengths, and both outlive the call.
        let bytes = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
        let bytes = usize::try_from(bytes).map_err(|_| io::Error::last_os_error())?;
        let mut received = Received { bytes, fds: Vec::new(), credentials: None, truncated: false, starved: false };
        let written: usize = header.msg_controllen as _;
        read_control(&control.0[..written], registry, &mut received);
        if header.msg_flags & libc::MSG_CTRUNC != 0 {
            // There was room for all that a message of ours has: fewer came only if we could not take them.
            received.starved = received.fds.len() < MOST_FDS;
            received.truncated |= !received.starved;
        }
        if !want_credentials {
            received.credentials = None;
        }
        Ok(received)
    })
}

/// Rings the peer's bell: one zero byte. A full buffer is success, because then it already rings.
pub(crate) fn ring(socket: BorrowedFd<'_>) -> io::Result<()> {
    match rustix::net::send(socket, &[0], SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
        Err(refused) => Err(refused.into()),
    }
}

/// Hangs up, in both directions. A peer that was faster has done the same, so there is nothing to report.
pub(crate) fn shutdown(socket: BorrowedFd<'_>) {
    let _ = rustix::net::shutdown(socket, Shutdown::Both);
}

fn stream() -> io::Result<Fd> {
    Fd::make(|| Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, NON_BLOCKING, None)?))
}

/// The address of `file` in `dir`, however long the path of `dir` is.
fn address(dir: BorrowedFd<'_>, file: &OsStr) -> io::Result<SocketAddrUnix> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    path.extend_from_slice(file.as_bytes());
    Ok(SocketAddrUnix::new(path)?)
}

/// Room for the control messages of one `recvmsg`, aligned as their headers must be.
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// The space of one message with [`MOST_FDS`] descriptors and one with credentials.
const CONTROL: usize = {
    // SAFETY: only computes a number.
    let fds = unsafe { libc::CMSG_SPACE((MOST_FDS * size_of::<RawFd>()) as u32) };
    // SAFETY: only computes a number.
    let credentials = unsafe { libc::CMSG_SPACE(size_of::<libc::ucred>() as u32) };
    (fds + credentials) as usize
};
const _: () = assert!(align_of::<Control>() >= align_of::<libc::cmsghdr>());

/// Walks the control messages that the kernel wrote.
fn read_control(mut control: &[u8], registry: &mut fork::Registry, received: &mut Received) {
    // SAFETY: only computes a number.
    let header_len = unsafe { libc::CMSG_LEN(0) } as usize;
    while control.len() >= header_len {
        // SAFETY: there are at least the bytes of a header, and any bytes are a valid one.
        let header = unsafe { control.as_ptr().cast::<libc::cmsghdr>().read_unaligned() };
        // The kernel wrote the lengths; clamping costs nothing and keeps the walk inside whatever they say.
        let len: usize = header.cmsg_len as _;
        let len = len.clamp(header_len, control.len());
        let payload = &control[header_len..len];
        match (header.cmsg_level, header.cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => take_fds(payload, registry, received),
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if payload.len() >= size_of::<libc::ucred>() => {
                // SAFETY: there are enough bytes, and any bytes are a valid `ucred`.
                let told = unsafe { payload.as_ptr().cast::<libc::ucred>().read_unaligned() };
                received.credentials = Some(told.into());
            }
            _ => {}
        }
        control = &control[len.next_multiple_of(align_of::<libc::cmsghdr>()).min(control.len())..];
    }
}

/// Registers the descriptors of one control message; beyond [`MOST_FDS`] they are closed on the spot.
fn take_fds(payload: &[u8], registry: &mut fork::Registry, received: &mut Received) {
    for number in payload.chunks_exact(size_of::<RawFd>()) {
        let number = RawFd::from_ne_bytes(number.try_into().expect("a chunk has the length that was asked for"));
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows its number.
        let fd = unsafe { OwnedFd::from_raw_fd(number) };
        if received.fds.len() < MOST_FDS {
            received.fds.push(registry.adopt(fd));
        } else {
            received.truncated = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::time::Duration;

    use rustix::process::{Resource, Rlimit};

    use super::*;
    use crate::sys::fork::tests::in_child;
    use crate::sys::poll_readable;

    fn null() -> OwnedFd {
        std::fs::File::open("/dev/null").expect("/dev/null").into()
    }

    fn flags_of(fd: &Fd) -> (bool, bool) {
        let close_on_exec = rustix::io::fcntl_getfd(fd).expect("fcntl").contains(rustix::io::FdFlags::CLOEXEC);
        let non_blocking = rustix::fs::fcntl_getfl(fd).expect("fcntl").contains(rustix::fs::OFlags::NONBLOCK);
        (close_on_exec, non_blocking)
    }

    /// A socket listening in a directory of its own, and what connects to it needs.
    fn listener() -> (crate::session::name::tests::Scratch, Fd, Fd) {
        let scratch = crate::session::name::tests::Scratch::new();
        let dir = Fd::make(|| Ok(std::fs::File::open(scratch.path())?.into())).expect("the directory opens");
        let socket = bind(dir.as_fd(), OsStr::new("x.sock")).expect("bind");
        listen(&socket).expect("listen");
        (scratch, dir, socket)
    }

    #[test]
    fn every_socket_is_close_on_exec_and_non_blocking() {
        let (_scratch, dir, listener) = listener();
        let client = connect(dir.as_fd(), OsStr::new("x.sock")).expect("connect");
        let server = accept(&listener).expect("accept");
        for socket in [&listener, &client, &server] {
            assert_eq!(flags_of(socket), (true, true));
        }
        assert_eq!(accept(&listener).expect_err("no other connection").kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn credentials_are_those_of_this_process() {
        let (one, other) = pair().expect("pair");
        let ours = Credentials {
            pid: std::process::id(),
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        };
        assert_eq!(peer_credentials(one.as_fd()).expect("peer"), ours);
        enable_passcred(one.as_fd()).expect("passcred");
        assert_eq!(send(other.as_fd(), b"hello", &[], true).expect("send"), 5);
        let mut buf = [0; 8];
        let received = receive(one.as_fd(), &mut buf, true).expect("receive");
        assert_eq!((&buf[..received.bytes], received.credentials), (&b"hello"[..], Some(ours)));
        assert_eq!(receive(one.as_fd(), &mut buf, true).expect_err("nothing left").kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn descriptors_arrive_close_on_exec_with_their_bytes() {
        let (one, other) = pair().expect("pair");
        let nulls: Vec<_> = (0..MOST_FDS).map(|_| null()).collect();
        let lent: Vec<_> = nulls.iter().map(AsFd::as_fd).collect();
        send(other.as_fd(), b"x", &lent, false).expect("send");
        let mut byte = [0];
        let received = receive(one.as_fd(), &mut byte, false).expect("receive");
        assert_eq!((received.fds.len(), received.truncated), (MOST_FDS, false));
        assert!(received.fds.iter().all(|fd| flags_of(fd).0));
        assert!(receive(one.as_fd(), &mut byte, false).is_err(), "taken once");
    }

    #[test]
    fn more_descriptors_than_a_message_has_are_closed_and_told() {
        // The kernel drops what the space does not hold; the space holds more than a message of ours has.
        more_descriptors(20);
        more_descriptors(MOST_FDS + 1);
    }

    fn more_descriptors(number: usize) {
        let (one, other) = pair().expect("pair");
        let nulls: Vec<_> = (0..number).map(|_| null()).collect();
        let lent: Vec<_> = nulls.iter().map(AsFd::as_fd).collect();
        assert!(send(other.as_fd(), b"x", &lent, false).is_err(), "we never send so many");
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(20))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&lent)));
        rustix::net::sendmsg(&other, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).expect("send");
        let received = receive(one.as_fd(), &mut [0], false).expect("receive");
        assert!(received.truncated);
        assert_eq!(received.fds.len(), MOST_FDS);
    }

    /// The reading end of a pipe, and the writing end, to be passed on.
    fn pipe() -> (Fd, Fd) {
        fork::make_many(|registry| {
            let (read, write) = io::pipe()?;
            Ok((registry.adopt(read.into()), registry.adopt(write.into())))
        })
        .expect("a pipe")
    }

    /// Whether no descriptor of the writing end is left anywhere. A child that another test forked just now may have some;
    /// they are gone in a moment.
    fn all_closed(read: &Fd) -> bool {
        poll_readable(read.as_fd(), Some(Duration::from_secs(10))).expect("poll")
    }

    #[test]
    fn a_peek_leaves_bytes_and_descriptors_where_they_are() {
        let (one, other) = pair().expect("pair");
        let (read, write) = pipe();
        ring(other.as_fd()).expect("ring");
        send(other.as_fd(), b"first", &[write.as_fd()], false).expect("send");
        drop(write);
        send(other.as_fd(), b"second", &[], false).expect("send");
        let mut buf = [9; 32];
        for _ in 0..2 {
            let seen = peek(one.as_fd(), &mut buf).expect("peek");
            assert_eq!(&buf[..seen.bytes], b"\0first", "up to the message with the descriptor");
            assert_eq!((seen.fds.len(), seen.truncated, seen.starved), (1, false, false));
            assert!(flags_of(&seen.fds[0]).0, "close-on-exec");
        }
        let seen = peek(one.as_fd(), &mut buf).expect("peek");
        consume(one.as_fd(), seen.bytes).expect("what was seen is there");
        rustix::io::write(&seen.fds[0], b"x").expect("a peeked descriptor outlives its message");
        rustix::io::read(&read, &mut buf[..1]).expect("what was written");
        drop(seen);
        assert!(all_closed(&read), "each peeked descriptor was ours, and consuming made no other");
        let seen = peek(one.as_fd(), &mut buf).expect("the next message");
        assert_eq!((&buf[..seen.bytes], seen.fds.len()), (&b"second"[..], 0));
        consume(one.as_fd(), seen.bytes).expect("what was seen is there");
        assert_eq!(peek(one.as_fd(), &mut buf).expect_err("nothing left").kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn as_many_bytes_are_consumed_as_was_said_whatever_comes_with_them() {
        let (one, other) = pair().expect("pair");
        let (read, write) = pipe();
        let long = [7; SCRATCH + 1];
        for bytes in [&b"abc"[..], b"def", &long] {
            send(other.as_fd(), bytes, &[write.as_fd()], false).expect("send");
        }
        drop(write);
        consume(one.as_fd(), 6 + SCRATCH).expect("there is one more");
        assert!(all_closed(&read), "nobody took the descriptors");
        let mut buf = [0; 4];
        assert_eq!(receive(one.as_fd(), &mut buf, false).expect("the last byte").bytes, 1);
        consume(one.as_fd(), 0).expect("nothing is always there");
        assert_eq!(consume(one.as_fd(), 1).expect_err("nothing left").kind(), io::ErrorKind::WouldBlock);
        ring(other.as_fd()).expect("ring");
        shutdown(other.as_fd());
        assert_eq!(consume(one.as_fd(), 2).expect_err("only one").kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_peek_without_a_descriptor_to_spare_destroys_nothing() {
        let code = in_child(|| {
            let (one, other) = pair().expect("pair");
            send(other.as_fd(), b"x", &[null().as_fd()], false).expect("send");
            // The lowest free number: as long as it is taken, this limit leaves none.
            let spare = null();
            let limit = Some(u64::from(spare.as_raw_fd().unsigned_abs()) + 1);
            let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
            rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit, maximum }).expect("a lower limit");
            let mut byte = [0];
            let seen = peek(one.as_fd(), &mut byte).expect("peek");
            let starved = (seen.bytes, seen.fds.len(), seen.starved, seen.truncated) == (1, 0, true, false);
            drop((seen, spare));
            let seen = peek(one.as_fd(), &mut byte).expect("peek");
            let taken = (seen.bytes, seen.fds.len(), seen.starved, seen.truncated) == (1, 1, false, false);
            let consumed = consume(one.as_fd(), 1).is_ok() && peek(one.as_fd(), &mut byte).is_err();
            i32::from(!starved) | i32::from(!(taken && byte == *b"x")) << 1 | i32::from(!consumed) << 2
        });
        assert_eq!(code, 0, "bit 0: not starved, bit 1: not shown again, bit 2: not consumed");
    }

    #[test]
    fn a_bell_that_already_rings_is_no_error_and_a_dead_peer_is() {
        let (one, other) = pair().expect("pair");
        while send(one.as_fd(), &[1; 4096], &[], false).is_ok() {}
        ring(one.as_fd()).expect("a full buffer already rings");
        drop(other);
        // A child that another test forked just now may have a copy of the other end; it is gone in a moment.
        poll_readable(one.as_fd(), None).expect("the hang-up");
        assert!(ring(one.as_fd()).is_err(), "nobody hears it");
    }

    #[test]
    fn a_shutdown_ends_the_stream_behind_the_last_byte() {
        let (one, other) = pair().expect("pair");
        ring(one.as_fd()).expect("ring");
        shutdown(one.as_fd());
        let mut buf = [9; 4];
        assert_eq!(receive(other.as_fd(), &mut buf, false).expect("the bell").bytes, 1);
        assert_eq!(buf[0], 0);
        assert_eq!(receive(other.as_fd(), &mut buf, false).expect("the end").bytes, 0);
    }
}
