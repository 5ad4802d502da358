//! Where memory and threads stand: what was asked for, and what was got.
//!
//! Asking is never worth a session. What the kernel, a container or a limit refuses is told, with its cause, and the memory is as
//! good as any other. Only what can be right nowhere on this machine is an error.

use crate::error::{Cause, Error};
use crate::options::Backend;
use crate::shm::placed::{Found, Premises};
use crate::sys::affinity::{self, NotPinned};
use crate::sys::huge;
use crate::sys::place::{self, Refusals, Wishes};
use std::collections::BTreeMap;
use std::fmt;
use std::io;

/// Where the memory of an end stands: its outbox, and the regions that it made for long payloads, without those in a
/// [spill directory](crate::Options::spill_dir).
///
/// Looked up in the pages at the moment of asking. Regions come and go, and a kernel may move pages.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Placement {
    /// All its bytes.
    pub bytes: u64,
    /// What became of [`Options::numa_node`](crate::Options::numa_node), or of the last `set_numa_node`. Memory counts as got
    /// where the kernel took the wish, and the pages are there.
    pub numa_node: Asked,
    /// On which nodes its pages are, with how many bytes of them. Empty where the kernel knows no nodes.
    pub nodes: BTreeMap<u32, u64>,
    /// What became of [`Options::huge_pages`](crate::Options::huge_pages), of as much memory as there is room in for whole huge
    /// pages.
    pub huge_pages: Asked,
    /// How many bytes are in huge pages, whether or not anybody asked.
    pub huge_bytes: u64,
    /// What became of [`Options::lock_memory`](crate::Options::lock_memory).
    pub lock_memory: Asked,
    /// How many bytes are locked.
    pub locked_bytes: u64,
}

/// What became of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Asked {
    /// Nobody asked.
    No,
    /// It is so for all of the memory.
    Got,
    /// It is so for some of the memory.
    Partly {
        /// For how many bytes.
        bytes: u64,
        /// Of how many.
        of: u64,
        /// Why not for the others.
        why: Lack,
    },
    /// It is so for none of it.
    Refused(Lack),
}

/// Why something could not be had. Shown, it is a text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    text: String,
    errno: Option<i32>,
}

impl Lack {
    /// The number of the operating system's error, if it was one.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        self.errno
    }

    fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), errno: None }
    }

    fn system(text: impl Into<String>, errno: i32) -> Self {
        Self { text: text.into(), errno: Some(errno) }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errno {
            Some(errno) => write!(f, "{}: {}", self.text, io::Error::from_raw_os_error(errno)),
            None => f.write_str(&self.text),
        }
    }
}

/// Looks where the memory of an end is, and compares that with what was wished for it.
pub(crate) fn look(premises: &Premises, wishes: Wishes, backend: Backend) -> Placement {
    let found = premises.look();
    let sum = |of: &dyn Fn(&Found) -> u64| found.iter().map(of).sum::<u64>();
    let bytes = sum(&|segment| segment.bytes);
    let mut nodes = BTreeMap::new();
    for (&node, &bytes) in found.iter().filter_map(|segment| segment.standing.as_ref()).flat_map(|at| &at.nodes) {
        *nodes.entry(node).or_default() += bytes;
    }
    let room = sum(&|segment| segment.huge_room);
    let huge_bytes = sum(&|segment| segment.standing.as_ref().map_or(0, |at| at.huge));
    let locked_bytes = sum(&|segment| segment.standing.as_ref().map_or(0, |at| at.locked));
    let on_node = sum(&|segment| wishes.node.map_or(0, |node| bytes_on(segment, node)));
    Placement {
        bytes,
        numa_node: outcome(wishes.node.is_some(), on_node, bytes, || why_not_there(&found)),
        nodes,
        huge_pages: outcome(wishes.huge, huge_bytes, room, || why_not_huge(&found, room, backend)),
        huge_bytes,
        lock_memory: outcome(wishes.locked, locked_bytes, bytes, || why_not_locked(&found)),
        locked_bytes,
    }
}

fn outcome(asked: bool, bytes: u64, of: u64, why: impl FnOnce() -> Lack) -> Asked {
    match bytes {
        _ if !asked => Asked::No,
        0 => Asked::Refused(why()),
        bytes if bytes >= of => Asked::Got,
        bytes => Asked::Partly { bytes, of, why: why() },
    }
}

/// The bytes of a segment that came to `node` because they were asked to.
fn bytes_on(segment: &Found, node: u32) -> u64 {
    let standing = segment.standing.as_ref().filter(|_| segment.refusals.node.is_none());
    standing.and_then(|at| at.nodes.get(&node)).copied().unwrap_or(0)
}

/// The first refusal of a kind.
fn refused(found: &[Found], of: impl Fn(&Refusals) -> Option<i32>) -> Option<i32> {
    found.iter().find_map(|segment| of(&segment.refusals))
}

/// What is said where the kernel does not say where pages are.
fn unseen(found: &[Found]) -> Option<Lack> {
    let unseen = found.iter().any(|segment| segment.standing.is_none());
    unseen.then(|| Lack::of("the kernel does not say (/proc/self/smaps cannot be read)"))
}

fn why_not_there(found: &[Found]) -> Lack {
    if let Some(errno) = refused(found, |refusals| refusals.node) {
        return Lack::system("the kernel refused to place memory (mbind)", errno);
    }
    unseen(found).unwrap_or_else(|| {
        Lack::of("the other pages are elsewhere: that node had none left, or the peer has them mapped (CAP_SYS_NICE)")
    })
}

fn why_not_huge(found: &[Found], room: u64, backend: Backend) -> Lack {
    if room == 0 {
        return Lack::of(format!("no outbox or region is as long as a huge page, which has {} bytes", huge::page()));
    }
    if let Some(errno) = refused(found, |refusals| refusals.huge) {
        return Lack::system("the kernel refused huge pages (madvise)", errno);
    }
    if let Some(lack) = unseen(found) {
        return lack;
    }
    let may = found.iter().filter_map(|segment| segment.standing.as_ref()).any(|at| at.may_be_huge);
    match (backend, huge::setting_against()) {
        (Backend::Memfd, Some(setting)) => Lack::of(format!("{setting}, where \"advise\" would do")),
        (Backend::Posix, _) if !may => {
            Lack::of("/dev/shm is mounted without them, where the option huge=advise would do")
        }
        _ => Lack::of("no huge page was free when the memory was made"),
    }
}

fn why_not_locked(found: &[Found]) -> Lack {
    if let Some(errno) = refused(found, |refusals| refusals.locked) {
        let limit = place::lock_limit().map_or_else(|| "none".to_owned(), |bytes| format!("{bytes} bytes"));
        return Lack::system(format!("the kernel refused to lock memory (RLIMIT_MEMLOCK: {limit})"), errno);
    }
    unseen(found).unwrap_or_else(|| Lack::of("the kernel did not keep it locked"))
}

/// A node that there is, while `tried`.
///
/// # Errors
/// [`Cause::InvalidArgument`], with the nodes that there are.
pub(crate) fn check_node(node: u32, tried: &str) -> Result<(), Error> {
    let nodes = place::nodes();
    if nodes.contains(&node) {
        return Ok(());
    }
    let which = "a NUMA node must be one of this machine that has memory";
    Err(Error::new(Cause::InvalidArgument { which }, format!("{tried} {node}, where there is {}", listed(&nodes))))
}

/// Where the calling thread may run, now and before.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pinned {
    /// The processors on which it may run now, as the kernel says, in order.
    pub cpus: Vec<u32>,
    /// Those on which it might run before; pinning it to these undoes it.
    pub before: Vec<u32>,
}

/// Has the calling thread run on these processors alone, by their numbers, and threads that it makes later too.
///
/// Do so *before* you open an end: two ends whose threads are pinned to the same single processor tell each other at the
/// handshake, and then neither spins, because a spinning side keeps the other from running. Pinning later changes nothing of
/// that: an end that was opened on one processor goes on as it is.
///
/// # Errors
/// [`Cause::InvalidArgument`] for an empty list, a processor that is not switched on, and one that a control group keeps from
/// this process, with those that there are; [`Cause::System`] where the kernel refuses, with its error. The thread is then as
/// it was.
pub fn pin_thread(cpus: &[u32]) -> Result<Pinned, Error> {
    let tried = || format!("pin a thread to {}", listed(cpus));
    let invalid = |which, found: String| Error::new(Cause::InvalidArgument { which }, format!("{}: {found}", tried()));
    if cpus.is_empty() {
        return Err(invalid("name at least one processor", "none was named".to_owned()));
    }
    let pinned = affinity::pin(cpus).and_then(|before| Ok(Pinned { cpus: affinity::allowed()?, before }));
    pinned.map_err(|not| match not {
        NotPinned::Absent(cpu, online) => {
            invalid("no such processor", format!("{cpu} is not among {}", listed(&online)))
        }
        NotPinned::Forbidden(cpu, left) => {
            invalid("a control group keeps this processor from us", format!("{cpu} is not among {}", listed(&left)))
        }
        NotPinned::System(refused) => Error::system(tried(), refused),
    })
}

/// Numbers for people.
fn listed(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::standing::Standing;

    fn segment(bytes: u64, on: &[(u32, u64)], refusals: Refusals) -> Found {
        let standing = Standing { nodes: on.iter().copied().collect(), ..Standing::default() };
        Found { bytes, huge_room: 0, refusals, standing: Some(standing) }
    }

    #[test]
    fn a_wish_is_got_whole_in_part_or_not_at_all() {
        let lack = || Lack::of("there is none");
        assert_eq!(outcome(false, 5, 5, lack), Asked::No);
        assert_eq!(outcome(true, 5, 5, lack), Asked::Got);
        assert_eq!(outcome(true, 4, 5, lack), Asked::Partly { bytes: 4, of: 5, why: lack() });
        assert_eq!(outcome(true, 0, 5, lack), Asked::Refused(lack()));
    }

    #[test]
    fn pages_count_for_a_node_only_where_the_kernel_took_the_wish() {
        let taken = segment(12, &[(0, 4), (1, 8)], Refusals::default());
        assert_eq!((bytes_on(&taken, 1), bytes_on(&taken, 2)), (8, 0));
        let refusals = Refusals { node: Some(libc::EPERM), ..Refusals::default() };
        let refused = segment(12, &[(1, 12)], refusals);
        assert_eq!(bytes_on(&refused, 1), 0);
        let why = why_not_there(&[taken, refused]);
        assert_eq!(why.raw_os_error(), Some(libc::EPERM));
        assert!(why.to_string().contains("mbind") && why.to_string().contains("not permitted"), "{why}");
    }

    #[test]
    fn what_cannot_be_seen_is_said() {
        let unseen = Found { standing: None, ..segment(12, &[], Refusals::default()) };
        for why in [why_not_there, why_not_locked] {
            assert!(why(std::slice::from_ref(&unseen)).to_string().contains("/proc/self/smaps"));
        }
    }

    #[test]
    fn a_node_that_no_machine_has_is_an_error_that_lists_those_that_there_are() {
        let error = check_node(4_000_000, "open on NUMA node").expect_err("no such node");
        assert!(matches!(error.cause(), Cause::InvalidArgument { .. }), "{error}");
        assert!(error.to_string().contains("4000000, where there is 0"), "{error}");
        check_node(place::nodes()[0], "open on NUMA node").expect("one that there is");
    }
}
