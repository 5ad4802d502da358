//! Outboxes that no reader must map, each with what is wrong with it.

use super::memory::{SEALS, Segment};
use rustix::fs::SealFlags;
use slipring::Violation;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// A bad outbox, to be sent in an offer or an accept.
#[derive(Debug)]
pub struct BadOutbox {
    /// For people.
    pub what: &'static str,
    /// How large the message says it is.
    pub told: u64,
    /// What its reader must find.
    pub violation: Violation,
    sent: Sent,
}

#[derive(Debug)]
enum Sent {
    Segments(Vec<Segment>),
    File(File),
    Socket(UnixStream),
}

impl BadOutbox {
    /// The descriptors to send along.
    #[must_use]
    pub fn fds(&self) -> Vec<BorrowedFd<'_>> {
        match &self.sent {
            Sent::Segments(segments) => segments.iter().map(Segment::fd).collect(),
            Sent::File(file) => vec![file.as_fd()],
            Sent::Socket(socket) => vec![socket.as_fd()],
        }
    }
}

/// Whatever must not be mapped where an outbox of `len` bytes is expected.
///
/// # Panics
/// If the system refuses to make one of them.
#[must_use]
pub fn bad_outboxes(len: usize) -> Vec<BadOutbox> {
    let told = len as u64;
    let numbers = [
        ("no descriptor", 0),
        ("two descriptors", 2),
        ("as many descriptors as a message of ours has room for", 4),
        ("more descriptors than that", 100),
    ];
    let number = |(what, count)| {
        let segments = (0..count).map(|_| whole(len).sealed(SEALS)).collect();
        BadOutbox { what, told, violation: Violation::Descriptors, sent: Sent::Segments(segments) }
    };
    numbers.into_iter().map(number).chain(other_files(told)).chain(unsealed(len)).chain(missized(len)).collect()
}

fn whole(len: usize) -> Segment {
    Segment::new(len).reserved()
}

/// Descriptors of what is no memfd.
fn other_files(told: u64) -> impl Iterator<Item = BadOutbox> {
    let files = [("a device", "/dev/null"), ("a directory", "/"), ("a file of a file system", "/proc/self/exe")];
    let files = files.map(|(what, path)| (what, Sent::File(File::open(path).expect("every system has it"))));
    let (socket, _) = UnixStream::pair().expect("a pair");
    let all = files.into_iter().chain([("a socket", Sent::Socket(socket))]);
    all.map(move |(what, sent)| BadOutbox { what, told, violation: Violation::Seals, sent })
}

/// Segments that somebody could still change, and one that has no memory behind it.
fn unsealed(len: usize) -> impl Iterator<Item = BadOutbox> {
    let all_but = |seal| whole(len).sealed(SEALS.difference(seal));
    let segments = [
        ("no seals", Violation::Seals, whole(len)),
        ("no seal against shrinking", Violation::Seals, all_but(SealFlags::SHRINK)),
        ("no seal against growing", Violation::Seals, all_but(SealFlags::GROW)),
        ("no seal against other writers", Violation::Seals, all_but(SealFlags::FUTURE_WRITE)),
        ("no seal against more seals", Violation::Seals, all_but(SealFlags::SEAL)),
        ("nothing but holes", Violation::Sparse, Segment::new(len).sealed(SEALS)),
    ];
    segments.into_iter().map(move |(what, violation, segment)| one(what, len as u64, violation, segment))
}

/// Sealed segments that are not as large as told, or not as large as agreed.
fn missized(len: usize) -> impl Iterator<Item = BadOutbox> {
    let page = rustix::param::page_size();
    let told = len as u64;
    let segments = [
        ("a tiny file, told true", page as u64 / 2, page / 2),
        ("a tiny file, told as agreed", told, page / 2),
        ("a tiny file, told to be huge", 1 << 50, page),
        ("a page more, told true", told + page as u64, len + page),
        ("a page more, told as agreed", told, len + page),
        ("as agreed, told to be a byte smaller", told - 1, len),
        ("as agreed, told to be nothing", 0, len),
    ];
    let segments = segments.map(|(what, told, len)| (what, told, whole(len)));
    let huge = [("a huge file of holes, told true", 1 << 40), ("a huge file of holes, told as agreed", told)];
    let huge = huge.map(|(what, told)| (what, told, Segment::new(1 << 40)));
    let all = segments.into_iter().chain(huge);
    all.map(|(what, told, segment)| one(what, told, Violation::SegmentSize, segment.sealed(SEALS)))
}

fn one(what: &'static str, told: u64, violation: Violation, segment: Segment) -> BadOutbox {
    BadOutbox { what, told, violation, sent: Sent::Segments(vec![segment]) }
}
