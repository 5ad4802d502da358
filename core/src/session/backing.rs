//! Backing: what the segments of a session are made of, on either side.
//!
//! Each side says in its hello whether its memory has seals, and whether it takes memory that has none. It is the *reader* who
//! runs the risk, so it is the reader who decides: a side that does not trust its peer takes sealed memory only. Where one side
//! makes what the other does not take there is no session, and both learn why. What was said once holds: later a region of
//! another kind is a breach of the protocol.
//!
//! Spill regions are a kind of their own. A side that takes none is never sent one.

use std::path::Path;
use std::sync::Arc;

use crate::capabilities::Capabilities;
use crate::deadline::Deadline;
use crate::error::{Cause, Error, Violation};
use crate::options::{Backend, Settings, Trust};
use crate::session::wire::MemoryTerms;
use crate::shm::{OwnSegment, SegmentKind};
use crate::side::RegionKind;
use crate::sys::place::Wishes;

/// What both sides' segments are made of.
#[derive(Clone, Debug)]
pub(crate) struct Backing {
    backend: Backend,
    /// Where this side may make spill regions: it has a place, and the peer takes them.
    spill_dir: Option<Arc<Path>>,
    /// What the peer may send.
    peer_unsealed: bool,
    peer_spills: bool,
    /// Where our segments in memory are to be.
    pub(super) wishes: Wishes,
}

/// What this side says of its memory.
pub(super) fn introduce(settings: &Settings) -> MemoryTerms {
    // Unsealed memory can be shortened under its reader, and written by whoever may open it.
    let takes = settings.trust == Trust::SameUser;
    MemoryTerms { unsealed: settings.backend == Backend::Posix, takes_unsealed: takes, takes_spill: takes }
}

impl Backing {
    /// What two sides that introduced themselves so can have together; or why they can have nothing.
    pub(super) fn agree(settings: &Settings, us: MemoryTerms, them: MemoryTerms) -> Result<Self, &'static str> {
        if them.unsealed && !us.takes_unsealed {
            return Err(THEIRS_UNSEALED);
        }
        if us.unsealed && !them.takes_unsealed {
            return Err(OURS_UNSEALED);
        }
        let may_spill = settings.trust == Trust::SameUser && them.takes_spill;
        Ok(Self {
            backend: settings.backend,
            spill_dir: settings.spill_dir.clone().filter(|_| may_spill),
            peer_unsealed: them.unsealed,
            peer_spills: us.takes_spill,
            wishes: settings.wishes,
        })
    }

    /// A new segment of ours that is no spill region.
    pub(super) fn segment(&self, label: &str, len: usize, deadline: Deadline) -> Result<OwnSegment, Error> {
        match self.backend {
            Backend::Memfd => OwnSegment::create(label, len, self.wishes, deadline),
            Backend::Posix => OwnSegment::create_posix(len, self.wishes, deadline),
        }
    }

    /// A new region of ours.
    ///
    /// # Errors
    /// As for [`segment`](Self::segment); [`Cause::Unsupported`] for a spill region where there can be none.
    pub(super) fn region(&self, kind: RegionKind, len: usize, deadline: Deadline) -> Result<OwnSegment, Error> {
        match (kind, &self.spill_dir) {
            (RegionKind::Memory, _) => self.segment("slipring-region", len, deadline),
            (RegionKind::Spill, Some(directory)) => OwnSegment::create_spill(directory, len, deadline),
            (RegionKind::Spill, None) => Err(Error::new(NO_SPILL, format!("make a spill region of {len} bytes"))),
        }
    }

    /// What a region of ours is made of.
    pub(super) fn kind_of(&self, kind: RegionKind) -> SegmentKind {
        match (kind, self.backend) {
            (RegionKind::Spill, _) => SegmentKind::Spill,
            (RegionKind::Memory, Backend::Memfd) => SegmentKind::Sealed,
            (RegionKind::Memory, Backend::Posix) => SegmentKind::Posix,
        }
    }

    /// What the peer's outbox is made of.
    pub(super) fn peer_kind(&self) -> SegmentKind {
        if self.peer_unsealed { SegmentKind::Posix } else { SegmentKind::Sealed }
    }

    /// Whether the peer may announce a region of this kind.
    pub(super) fn check(&self, kind: SegmentKind) -> Result<(), Violation> {
        let agreed = match kind {
            SegmentKind::Sealed => true,
            SegmentKind::Posix => self.peer_unsealed,
            SegmentKind::Spill => self.peer_spills,
        };
        if agreed { Ok(()) } else { Err(Violation::Backing) }
    }

    /// What a user may know of it.
    pub(crate) fn capabilities(&self) -> Capabilities {
        Capabilities {
            backend: self.backend,
            sealed: self.backend == Backend::Memfd,
            peer_sealed: !self.peer_unsealed,
            spill: self.spill_dir.is_some(),
        }
    }
}

const THEIRS_UNSEALED: &str = "the other end makes memory without seals (Backend::Posix), and this end is \
                               Trust::Untrusted, which takes sealed memory only";
const OURS_UNSEALED: &str = "this end makes memory without seals (Backend::Posix), and the other end takes sealed \
                             memory only (Trust::Untrusted)";

/// Why a side has no place for spill regions.
const NO_SPILL: Cause = Cause::Unsupported { what: "spill regions: no spill directory is set, or the peer takes none" };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::SessionKind;
    use crate::options::Options;

    fn settings(options: Options) -> Settings {
        options.settle(SessionKind::Bus).expect("usable options")
    }

    fn sides() -> [Settings; 3] {
        let with = |backend| Options::default().trust(Trust::SameUser).backend(backend);
        let untrusting = with(Backend::Memfd).trust(Trust::Untrusted);
        [with(Backend::Memfd), with(Backend::Posix), untrusting].map(settings)
    }

    fn agree(us: &Settings, them: &Settings) -> Result<Backing, &'static str> {
        Backing::agree(us, introduce(us), introduce(them))
    }

    #[test]
    fn sides_of_one_user_take_what_the_other_makes() {
        let [memfd, posix, _] = sides();
        for (us, them) in [(&memfd, &memfd), (&memfd, &posix), (&posix, &memfd), (&posix, &posix)] {
            let backing = agree(us, them).expect("agreed");
            let found = backing.capabilities();
            assert_eq!((found.backend, found.sealed), (us.backend, us.backend == Backend::Memfd));
            assert_eq!(found.peer_sealed, them.backend == Backend::Memfd);
            assert_eq!(backing.check(SegmentKind::Posix).is_ok(), them.backend == Backend::Posix);
            assert_eq!(backing.check(SegmentKind::Spill), Ok(()));
        }
    }

    #[test]
    fn a_side_that_trusts_nobody_takes_sealed_memory_only_and_both_sides_know_why() {
        let [memfd, posix, untrusting] = sides();
        assert_eq!(agree(&untrusting, &posix).expect_err("unsealed"), THEIRS_UNSEALED);
        assert_eq!(agree(&posix, &untrusting).expect_err("unsealed"), OURS_UNSEALED);
        let backing = agree(&untrusting, &memfd).expect("sealed");
        for kind in [SegmentKind::Posix, SegmentKind::Spill] {
            assert_eq!(backing.check(kind), Err(Violation::Backing));
        }
    }

    #[test]
    fn spill_regions_are_made_only_where_the_peer_takes_them() {
        let [memfd, _, untrusting] = sides();
        let place = std::env::temp_dir();
        let spills = settings(Options::default().trust(Trust::SameUser).spill_dir(&place));
        assert!(agree(&spills, &memfd).expect("agreed").capabilities().spill);
        assert!(!agree(&memfd, &spills).expect("agreed").capabilities().spill, "no directory");
        let untaken = agree(&spills, &untrusting).expect("agreed");
        assert!(!untaken.capabilities().spill);
        let refused = untaken.region(RegionKind::Spill, 4096, Deadline::NEVER).expect_err("not taken");
        assert_eq!(refused.cause(), NO_SPILL);
        let hides = settings(Options::default().trust(Trust::Untrusted).spill_dir(&place));
        assert!(!agree(&hides, &memfd).expect("agreed").capabilities().spill, "an untrusted peer could write there");
    }
}
