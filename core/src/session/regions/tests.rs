//! Regions of every kind between two links: made, announced, checked and mapped; and what a breach of the agreement is.

use super::*;
use crate::layout::SessionKind;
use crate::options::{Backend, Options, Settings, Trust};
use crate::session::backing::introduce;
use crate::session::link::Link;
use crate::session::name::tests::Scratch;
use crate::side::{Channel, News};
use crate::span::ReadSpan;
use crate::sync::Ordering;
use crate::sys::fork::Birth;
use crate::sys::place::Wishes;
use crate::sys::{page_size, socket};
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

const LIMITS: Limits = Limits { message: 1 << 20, memory: 1 << 17, region: 1 << 16, regions: 8 };

/// The length of a small region: a power of two, in whole pages wherever pages are not larger than 64 KiB.
const LEN: u64 = 1 << 16;

fn options(backend: Backend) -> Options {
    Options::default().trust(Trust::SameUser).backend(backend)
}

fn settings(options: Options) -> Settings {
    options.settle(SessionKind::Bus).expect("usable options")
}

fn backing(us: &Settings, them: &Settings) -> Backing {
    Backing::agree(us, introduce(us), introduce(them)).expect("agreed")
}

/// The links of two sides that told each other [`LIMITS`].
fn links(one: &Settings, other: &Settings) -> (Link, Link) {
    let (near, far) = socket::pair().expect("a pair");
    let birth = Birth::now().expect("a process");
    let link = |socket, us, them| Link::new(socket, birth, false, Regions::new(LIMITS, backing(us, them)), 0);
    (link(near, one, other), link(far, other, one))
}

fn spilling(place: &Path) -> Settings {
    settings(options(Backend::Memfd).spill_dir(place))
}

fn make(link: &mut Link, id: u32, bytes: u64, kind: RegionKind) -> Result<WriteSpan, Cause> {
    link.make_region(id, bytes, kind, Deadline::NEVER).map(|made| made.expect("the socket has room"))
}

/// The regions that a link hears of.
fn heard(link: &mut Link) -> Result<Vec<ReadSpan>, Violation> {
    let heard = link.hear();
    if let Some(violation) = heard.violation {
        return Err(violation);
    }
    let mut spans = Vec::new();
    while let Some(News::Region { span, .. }) = link.news() {
        spans.push(span);
    }
    Ok(spans)
}

/// Sends an announcement that no honest side sends.
fn announce(link: &Link, id: u32, kind: SegmentKind, segment: &OwnSegment) {
    let mut room = [0; crate::session::record::LEN];
    let record = Record::Announce { region: id, bytes: segment.len() as u64, kind };
    let fd = segment.fd().expect("not forgotten");
    socket::send(link.fd(), record.encode(&mut room), &[fd], false).expect("room");
}

#[test]
fn regions_of_every_kind_are_written_here_and_read_there() {
    let scratch = Scratch::new();
    let memfd = settings(options(Backend::Memfd));
    let posix = settings(options(Backend::Posix));
    let ours = [
        (memfd.clone(), RegionKind::Memory, "/memfd:slipring-region".to_owned()),
        (posix, RegionKind::Memory, "/dev/shm/".to_owned()),
        (spilling(scratch.path()), RegionKind::Spill, scratch.path().display().to_string()),
    ];
    for (us, kind, place) in ours {
        let (mut near, mut far) = links(&us, &memfd);
        let write = make(&mut near, 0, LEN, kind).expect("a region");
        let spans = heard(&mut far).expect("an honest announcement");
        write.store_u64(4096, 7, Ordering::Release);
        let mut word = [0; 8];
        spans[0].read(4096, &mut word);
        assert_eq!(u64::from_le_bytes(word), 7, "{kind:?}");
        let maps = fs::read_to_string("/proc/self/maps").expect("our own maps");
        assert!(maps.contains(&place), "{place} is not in {maps}");
    }
    assert_eq!(fs::read_dir(scratch.path()).expect("a directory").count(), 0, "spill files have no name");
}

#[test]
fn spill_regions_do_not_count_as_memory_and_may_be_as_long_as_a_payload() {
    let scratch = Scratch::new();
    let us = spilling(scratch.path());
    let (mut near, mut far) = links(&us, &us);
    for id in 0..2 {
        make(&mut near, id, LEN, RegionKind::Memory).expect("memory");
    }
    make(&mut near, 2, LIMITS.message, RegionKind::Spill).expect("a file");
    assert_eq!(heard(&mut far).expect("within the limits").len(), 3);
    make(&mut near, 3, LIMITS.message * 2, RegionKind::Spill).expect("a file");
    assert_eq!(heard(&mut far).expect_err("longer than any payload"), Violation::SegmentSize);
    let (mut near, mut far) = links(&us, &us);
    for id in 0..3 {
        make(&mut near, id, LEN, RegionKind::Memory).expect("memory");
    }
    assert_eq!(heard(&mut far).expect_err("more memory than was told"), Violation::SegmentSize);
}

#[test]
fn a_region_of_a_kind_that_was_not_agreed_on_is_corrupt() {
    let scratch = Scratch::new();
    let memfd = settings(options(Backend::Memfd));
    let untrusting = settings(options(Backend::Memfd).trust(Trust::Untrusted));
    let posix = OwnSegment::create_posix(page_size(), Wishes::default(), Deadline::NEVER).expect("POSIX shared memory");
    let spill = OwnSegment::create_spill(scratch.path(), page_size(), Deadline::NEVER).expect("a file");
    let breaches = [
        (&memfd, SegmentKind::Posix, &posix, Violation::Backing),
        (&memfd, SegmentKind::Sealed, &posix, Violation::Seals),
        (&memfd, SegmentKind::Sealed, &spill, Violation::Seals),
        (&untrusting, SegmentKind::Posix, &posix, Violation::Backing),
        (&untrusting, SegmentKind::Spill, &spill, Violation::Backing),
    ];
    for (reader, kind, segment, violation) in breaches {
        let (near, mut far) = links(&memfd, reader);
        announce(&near, 0, kind, segment);
        assert_eq!(heard(&mut far).expect_err("a breach"), violation, "{kind:?}");
    }
}

#[test]
fn a_spill_region_that_cannot_be_is_an_error_and_the_next_region_is_made() {
    let memfd = settings(options(Backend::Memfd));
    let (mut near, mut far) = links(&memfd, &memfd);
    let refused = make(&mut near, 0, LEN, RegionKind::Spill).expect_err("no directory");
    assert!(matches!(refused, Cause::Unsupported { .. }), "{refused}");
    let scratch = Scratch::new();
    let gone = spilling(scratch.path());
    drop(scratch);
    let (mut spills, _far) = links(&gone, &memfd);
    assert_eq!(make(&mut spills, 0, LEN, RegionKind::Spill).err(), Some(Cause::System), "the directory is gone");
    make(&mut near, 0, LEN, RegionKind::Memory).expect("memory");
    assert_eq!(heard(&mut far).expect("an honest announcement").len(), 1);
}

#[test]
fn a_region_that_could_not_be_announced_is_not_announced_as_another_kind() {
    let scratch = Scratch::new();
    let us = spilling(scratch.path());
    let (near, far) = socket::pair().expect("a pair");
    let near = Line::new(near);
    while socket::send(near.fd(), &[0; 4096], &[], false).is_ok() {}
    let mut regions = Regions::new(LIMITS, backing(&us, &us));
    let waits = regions.make(&near, 0, LEN, RegionKind::Spill, Deadline::NEVER).expect("made");
    assert!(waits.is_none(), "the socket is full");
    let mut bells = [0; 4096];
    while socket::receive(far.as_fd(), &mut bells, false).is_ok_and(|received| received.bytes > 0) {}
    let made = regions.make(&near, 0, LEN, RegionKind::Memory, Deadline::NEVER).expect("made");
    assert!(made.is_some());
    let received = socket::receive(far.as_fd(), &mut bells, false).expect("the announcement");
    let record = Record::decode(&bells[..received.bytes]).expect("a record");
    let told = Record::Announce { region: 0, bytes: LEN, kind: SegmentKind::Sealed };
    assert_eq!(record, Some((told, received.bytes)));
}
