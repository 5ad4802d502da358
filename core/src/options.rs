//! What a user may choose when opening an end, and how explicit options, environment and defaults are put in order.

use crate::blocks::Limits;
use crate::error::{Cause, Error};
use crate::layout::{RING_MAX, RING_MIN, RingSize, SessionKind as Kind};
use crate::placement::check_node;
use crate::sys::place::Wishes;
use crate::sys::{self, unnamed};
use crate::wait::Wait;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Whether the peer is only guarded against as faulty, or also as hostile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Trust {
    /// Only processes of this user may connect. Frames are read where they stand; a faulty peer cannot corrupt this process,
    /// but it can change bytes while they are looked at. The default.
    #[default]
    SameUser,
    /// Whoever the file system lets connect. Every payload is copied before anyone sees it, and no wake-up depends on the
    /// peer's co-operation with `membarrier`: both sides fence.
    Untrusted,
}

/// How a wake-up is kept from being lost between a store and a sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Fence {
    /// The sleeper issues a `membarrier` after a nap, so that messages cost no fence; fences where it cannot be had.
    #[default]
    Auto,
    /// Both sides fence after every store that could end a sleep, as on a kernel without `membarrier`.
    Always,
}

/// What an end's memory is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Backend {
    /// Anonymous files, sealed: the kernel lets no other process write them, or make them shorter. The default.
    #[default]
    Memfd,
    /// POSIX shared memory, which shows as `/dev/shm/…` in `/proc/<pid>/maps` and is counted and limited there. It has no seals:
    /// a process of the same user could write or shorten it, and a peer that is read while its memory is made shorter ends its
    /// reader with `SIGBUS`. So only ends with [`Trust::SameUser`] make it or take it.
    Posix,
}

/// How an end is to be opened.
///
/// Every setting that is not made here comes from the environment (`SLIPRING_WAIT`, `SLIPRING_TRUST`, `SLIPRING_BACKEND`, …), and from the default
/// where that is silent. Nothing is checked before the options are used; an unusable value is then an error that says what
/// would be right.
///
/// ```
/// use slipring::{Options, Wait};
/// let options = Options::default().capacity(64 << 10).wait(Wait::Park);
/// # let _ = options;
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Options {
    capacity: Option<usize>,
    capacity_reverse: Option<usize>,
    inline_limit: Option<usize>,
    max_message: Option<u64>,
    memory_limit: Option<u64>,
    shared_limit: Option<u64>,
    wait: Option<Wait>,
    trust: Option<Trust>,
    backend: Option<Backend>,
    spill_dir: Option<PathBuf>,
    fence: Fence,
    in_flight: Option<u32>,
    serves: Option<bool>,
    pending_limit: Option<usize>,
    handshake_timeout: Option<Duration>,
    wishes: Wishes,
    uncounted: bool,
}

/// Default size of a `Bus`'s frame ring: large enough that lines do not come back while they still sit in the reader's
/// cache (a 64 KiB ring streams at a fifth of the rate of this one).
const CAPACITY: usize = 1 << 20;
/// Default size of each ring of an `RpcBus`.
const RPC_CAPACITY: usize = 256 << 10;
/// Size of each ring for an end among many: with both rings, headers and return rings 200 KiB a session for calls.
const SMALL: usize = 64 << 10;
/// The smallest ring of an `RpcBus`: a request, and the replies that must find room.
const RPC_RING_MIN: u64 = 1 << 10;
/// Default number of calls in flight.
const IN_FLIGHT: u32 = 64;
const IN_FLIGHT_MAX: u32 = 4096;
/// Default longest payload that rides in the ring.
const INLINE_LIMIT: usize = 1 << 10;
/// Default longest payload.
const MAX_MESSAGE: u64 = 16 << 30;
/// How many regions of the peer's are mapped at most.
pub(crate) const REGIONS: u32 = 1024;
/// Default number of handshakes that a listener has under way at once.
const PENDING: usize = 64;
/// Default time that one handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

impl Options {
    /// The default options but for rings of 64 KiB in either direction: for ends of which there are many, and whose messages are
    /// short. What is set after this goes before it.
    pub fn small() -> Self {
        Self::default().or_small()
    }

    /// These options, with small rings where none were asked for.
    pub(crate) fn or_small(mut self) -> Self {
        self.capacity.get_or_insert(SMALL);
        self.capacity_reverse.get_or_insert(SMALL);
        self
    }

    /// The size in bytes of the ring from the connecting to the listening end: a power of two from 256, for calls from 1024, to 2^30.
    /// The listening end decides for both. Default 1 MiB, for calls 256 KiB.
    pub fn capacity(mut self, bytes: usize) -> Self {
        self.capacity = Some(bytes);
        self
    }

    /// The size in bytes of the ring from the listening to the connecting end of an [`RpcBus`](crate::RpcBus): a power of two from
    /// 1024 to 2^30. [`capacity`](Self::capacity) is that of the other direction. The listening end decides. Default 256 KiB each.
    pub fn capacity_reverse(mut self, bytes: usize) -> Self {
        self.capacity_reverse = Some(bytes);
        self
    }

    /// How many calls each way an [`RpcBus`](crate::RpcBus) may have in flight: from 1 to 4096. The smaller of both ends' values
    /// counts, and rings that are too small for so many replies lower it. Default 64.
    pub fn in_flight(mut self, calls: u32) -> Self {
        self.in_flight = Some(calls);
        self
    }

    /// Whether this end of an [`RpcBus`](crate::RpcBus) answers calls. An end that does not answers each at once with
    /// [`Cause::NotFound`]. Default: the listening end does, the connecting end does not.
    pub fn serves(mut self, serves: bool) -> Self {
        self.serves = Some(serves);
        self
    }

    /// The longest payload, in bytes, that this end puts into the ring itself. A frame takes at most half the ring, so the
    /// smaller of the two counts. For calls the smaller of both ends' values counts, and rings that are too small for so many
    /// replies lower it ([`RpcBus::inline_limit`](crate::RpcBus::inline_limit) says to what). Default 1 KiB.
    pub fn inline_limit(mut self, bytes: usize) -> Self {
        self.inline_limit = Some(bytes);
        self
    }

    /// The longest payload, in bytes, that this end sends or accepts. The smaller of both ends' values counts. Default 16 GiB,
    /// or what `SLIPRING_MAX_MESSAGE` says.
    pub fn max_message(mut self, bytes: u64) -> Self {
        self.max_message = Some(bytes);
        self
    }

    /// How many bytes of memory the payloads of one direction may take beside the ring; it is made as it is needed. The smaller
    /// of both ends' values counts. Files in a [spill directory](Self::spill_dir) are no part of it. Default half of the machine's
    /// memory, or of what the control groups allow, or what `SLIPRING_MEMORY_LIMIT` says.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// How many bytes of the shared objects that one session brought stay mapped while nobody here looks at them, so that the next
    /// message that names one finds it. Beyond it they are mapped anew. Those that are looked at, or kept, count, but stay. Default
    /// half of the machine's memory, or of what the control groups allow.
    pub fn shared_limit(mut self, bytes: u64) -> Self {
        self.shared_limit = Some(bytes);
        self
    }

    /// How this end waits. Default [`Wait::Adaptive`], or what `SLIPRING_WAIT` says (`spin`, `park`, `adaptive`).
    pub fn wait(mut self, wait: Wait) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Whom this end trusts. Default [`Trust::SameUser`], or what `SLIPRING_TRUST` says (`same-user`, `untrusted`).
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = Some(trust);
        self
    }

    /// What this end's memory is made of. Default [`Backend::Memfd`], or what `SLIPRING_BACKEND` says (`memfd`, `posix`). The two
    /// ends may differ. [`Backend::Posix`] with [`Trust::Untrusted`] is a [`Cause::Config`] error, and where the peer does not trust
    /// this end it is [`Cause::Refused`].
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = Some(backend);
        self
    }

    /// A directory in which this end may have payloads that there is no memory for, in files that have no name and go with the
    /// last who maps them. [`max_message`](Self::max_message) alone then bounds a payload. Default none, or what `SLIPRING_SPILL_DIR` says. A directory that cannot be used for it is a [`Cause::Config`] error.
    /// Whether an open end can do it is one of its [`Capabilities`](crate::Capabilities): the peer must trust this end, and this
    /// end the peer.
    pub fn spill_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.spill_dir = Some(directory.into());
        self
    }

    /// The NUMA node on which this end's memory should be, counted from 0: its outbox, and the regions that it makes for long
    /// payloads. A node without a free page is passed over. What was got is in the end's `placement`; a node that this machine
    /// does not have is [`Cause::InvalidArgument`]. Default: where the kernel puts it.
    pub fn numa_node(mut self, node: u32) -> Self {
        self.wishes.node = Some(node);
        self
    }

    /// Whether this end's outbox and regions should be in huge pages, of 2 MiB on most machines. What is shorter than one stays
    /// in small ones, a default outbox too. Memfds have them where `/sys/kernel/mm/transparent_hugepage/shmem_enabled` is at
    /// least `advise`, POSIX shared memory where `/dev/shm` is mounted with `huge=`. What was got is in the end's `placement`.
    /// Default: no.
    pub fn huge_pages(mut self, huge: bool) -> Self {
        self.wishes.huge = huge;
        self
    }

    /// Whether this end's outbox and regions should be locked, so that they are never written to swap. Counts against
    /// `RLIMIT_MEMLOCK`, but for processes with `CAP_IPC_LOCK`. What was got is in the end's `placement`. Default: no.
    pub fn lock_memory(mut self, locked: bool) -> Self {
        self.wishes.locked = locked;
        self
    }

    /// Whether to fence even where `membarrier` would do. Default [`Fence::Auto`].
    pub fn fence(mut self, fence: Fence) -> Self {
        self.fence = fence;
        self
    }

    /// How many handshakes a listener has under way at once. Default 64.
    pub fn pending_limit(mut self, handshakes: usize) -> Self {
        self.pending_limit = Some(handshakes);
        self
    }

    /// How long one handshake may take. Default 5 s.
    pub fn handshake_timeout(mut self, time: Duration) -> Self {
        self.handshake_timeout = Some(time);
        self
    }

    /// Whether this end shows its counters: to its peer ([`Bus::peer_stats`](crate::Bus::peer_stats)), and, where it listens, to
    /// [observers](crate::Observer). They cost no message anything that could be measured. Default true.
    pub fn counters(mut self, shown: bool) -> Self {
        self.uncounted = !shown;
        self
    }

    /// What may be sent outside the ring.
    fn limits(&self) -> Result<Limits, Error> {
        let message = match self.max_message {
            Some(bytes) => bytes,
            None => bytes_from_environment("SLIPRING_MAX_MESSAGE")?.unwrap_or(MAX_MESSAGE),
        };
        let memory = match self.memory_limit {
            Some(bytes) => bytes,
            None => bytes_from_environment("SLIPRING_MEMORY_LIMIT")?.unwrap_or_else(|| sys::memory_there_is() / 2),
        };
        Ok(Limits { message, memory, region: memory, regions: REGIONS })
    }

    /// Puts options, environment and defaults in order, and checks them.
    pub(crate) fn settle(&self, kind: Kind) -> Result<Settings, Error> {
        let ring = |capacity: usize, least: u64, which| {
            let size = RingSize::new(capacity as u64).filter(|size| size.bytes() >= least);
            size.ok_or_else(|| {
                Error::new(Cause::InvalidArgument { which }, format!("open with a capacity of {capacity}"))
            })
        };
        const { assert!(RING_MIN == 256 && RING_MAX == 1 << 30, "the texts name the limits") };
        let bus = "capacity must be a power of two from 256 to 1073741824 bytes";
        let rpc = "capacities for calls must be powers of two from 1024 to 1073741824 bytes";
        let rings = match kind {
            Kind::Bus => (ring(self.capacity.unwrap_or(CAPACITY), RING_MIN, bus)?, ring(RING_MIN as usize, 0, bus)?),
            Kind::Rpc => (
                ring(self.capacity.unwrap_or(RPC_CAPACITY), RPC_RING_MIN, rpc)?,
                ring(self.capacity_reverse.unwrap_or(RPC_CAPACITY), RPC_RING_MIN, rpc)?,
            ),
        };
        let in_flight = self.in_flight.unwrap_or(IN_FLIGHT);
        if !(1..=IN_FLIGHT_MAX).contains(&in_flight) {
            let which = "in_flight must be from 1 to 4096";
            return Err(Error::new(Cause::InvalidArgument { which }, format!("open for {in_flight} calls in flight")));
        }
        let pending_limit = self.pending_limit.unwrap_or(PENDING);
        if pending_limit == 0 {
            let which = "pending_limit must be at least 1";
            return Err(Error::new(Cause::InvalidArgument { which }, "open with a pending_limit of 0"));
        }
        self.wishes.node.map_or(Ok(()), |node| check_node(node, "open on NUMA node"))?;
        let trust = match self.trust {
            Some(trust) => trust,
            None => from_environment("SLIPRING_TRUST", &TRUSTS)?,
        };
        Ok(Settings {
            kind,
            client_ring: rings.0,
            server_ring: rings.1,
            in_flight,
            serves: self.serves,
            inline_limit: self.inline_limit.unwrap_or(INLINE_LIMIT),
            limits: self.limits()?,
            shared_limit: self.shared_limit.unwrap_or_else(|| sys::memory_there_is() / 2),
            wait: match self.wait {
                Some(wait) => wait,
                None => from_environment("SLIPRING_WAIT", &WAITS)?,
            },
            trust,
            backend: self.settle_backend(trust)?,
            spill_dir: self.settle_spill_dir()?,
            fence: self.fence,
            pending_limit,
            handshake_timeout: self.handshake_timeout.unwrap_or(HANDSHAKE),
            wishes: self.wishes,
            counters: !self.uncounted,
        })
    }
}

impl Options {
    /// What this end's memory is made of, which has to go with whom it trusts.
    fn settle_backend(&self, trust: Trust) -> Result<Backend, Error> {
        let backend = match self.backend {
            Some(backend) => backend,
            None => from_environment("SLIPRING_BACKEND", &BACKENDS)?,
        };
        if backend == Backend::Posix && trust == Trust::Untrusted {
            let tried = "open an untrusting end with memory that has no seals: use Backend::Memfd, or Trust::SameUser";
            return Err(Error::new(Cause::Config, tried));
        }
        Ok(backend)
    }

    /// The spill directory, from its root on and tried out.
    fn settle_spill_dir(&self) -> Result<Option<Arc<Path>>, Error> {
        let told = self.spill_dir.clone().or_else(|| std::env::var_os("SLIPRING_SPILL_DIR").map(PathBuf::from));
        let Some(told) = told else { return Ok(None) };
        let tried = || format!("use the spill directory {:?}", told.display().to_string());
        let whole = std::path::absolute(&told).map_err(|refused| Error::os(Cause::Config, tried(), refused))?;
        match unnamed::try_out(&whole) {
            Ok(()) => Ok(Some(whole.into())),
            Err(refused) if unnamed::is_unknown_to_the_file_system(&refused) => {
                let why = "its file system has no files without a name (O_TMPFILE), or cannot reserve space";
                Err(Error::os(Cause::Config, format!("{}: {why}", tried()), refused))
            }
            Err(refused) => Err(Error::os(Cause::Config, tried(), refused)),
        }
    }
}

/// Options with every question answered.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) kind: Kind,
    /// The rings of the connecting and of the listening end, if this one listens.
    pub(crate) client_ring: RingSize,
    pub(crate) server_ring: RingSize,
    pub(crate) in_flight: u32,
    pub(crate) serves: Option<bool>,
    pub(crate) inline_limit: usize,
    pub(crate) limits: Limits,
    pub(crate) shared_limit: u64,
    pub(crate) wait: Wait,
    pub(crate) trust: Trust,
    pub(crate) backend: Backend,
    /// A directory that was tried out.
    pub(crate) spill_dir: Option<Arc<Path>>,
    pub(crate) fence: Fence,
    pub(crate) pending_limit: usize,
    pub(crate) handshake_timeout: Duration,
    /// Where this end's memory is to be.
    pub(crate) wishes: Wishes,
    /// Whether this end shows what it counts.
    pub(crate) counters: bool,
}

const WAITS: [(&str, Wait); 3] = [("adaptive", Wait::Adaptive), ("spin", Wait::Spin), ("park", Wait::Park)];
const TRUSTS: [(&str, Trust); 2] = [("same-user", Trust::SameUser), ("untrusted", Trust::Untrusted)];
const BACKENDS: [(&str, Backend); 2] = [("memfd", Backend::Memfd), ("posix", Backend::Posix)];

fn from_environment<T: Copy + Default>(variable: &str, words: &[(&str, T)]) -> Result<T, Error> {
    match std::env::var_os(variable) {
        None => Ok(T::default()),
        Some(value) => parse_word(variable, &value.to_string_lossy(), words),
    }
}

/// The most bytes of shared memory that this process may have made at once: rings and regions of all its sessions together, and
/// [shared objects](crate::SharedBuffer) that it built, as long as it has them; 0 is nothing. Default half of what the machine and the
/// control groups above this process allow. What exists already stays. What would need more is answered [`Cause::OutOfMemory`], or
/// goes to the [spill directory](Options::spill_dir), whose files do not count. May be called on any thread, at any time.
pub fn limit_memory(bytes: u64) {
    sys::share::set_limit(bytes);
}

/// How many bytes of that this process has now.
#[must_use]
pub fn memory_taken() -> u64 {
    sys::share::taken()
}

/// A number of bytes, plain or with `K`, `M` or `G` behind it for powers of 1024.
fn bytes_from_environment(variable: &str) -> Result<Option<u64>, Error> {
    match std::env::var_os(variable) {
        None => Ok(None),
        Some(value) => parse_bytes(variable, &value.to_string_lossy()).map(Some),
    }
}

fn parse_bytes(variable: &str, value: &str) -> Result<u64, Error> {
    let (digits, shift) = match value.char_indices().last() {
        Some((at, 'K' | 'k')) => (&value[..at], 10),
        Some((at, 'M' | 'm')) => (&value[..at], 20),
        Some((at, 'G' | 'g')) => (&value[..at], 30),
        _ => (value, 0),
    };
    let number = digits.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    number.ok_or_else(|| {
        Error::new(
            Cause::Config,
            format!("{variable}={value:?} is no number of bytes, such as 1048576, 512K, 64M or 2G"),
        )
    })
}

fn parse_word<T: Copy>(variable: &str, value: &str, words: &[(&str, T)]) -> Result<T, Error> {
    match words.iter().find(|(word, _)| *word == value) {
        Some((_, meaning)) => Ok(*meaning),
        None => {
            let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            Err(Error::new(Cause::Config, format!("{variable}={value:?} is none of {}", known.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capacity_that_is_no_power_of_two_in_range_is_an_error_that_names_the_range() {
        for capacity in [0, 128, 300, 1 << 31] {
            let error = Options::default().capacity(capacity).settle(Kind::Bus).expect_err("out of range");
            assert!(matches!(error.cause(), Cause::InvalidArgument { .. }), "{error}");
            assert!(error.to_string().contains("256 to 1073741824"), "{error}");
        }
    }

    #[test]
    fn bytes_are_plain_or_in_powers_of_1024_and_anything_else_is_an_error_that_says_so() {
        for (text, bytes) in [("0", 0), ("1048576", 1 << 20), ("512K", 512 << 10), ("64m", 64 << 20), ("2G", 2 << 30)] {
            assert_eq!(parse_bytes("SLIPRING_MEMORY_LIMIT", text).expect("a number"), bytes);
        }
        for text in ["", "G", "-1", "1.5G", "12Q", "99999999999999999999", "18446744073709551615G"] {
            let error = parse_bytes("SLIPRING_MEMORY_LIMIT", text).expect_err("no number");
            assert_eq!(error.cause(), Cause::Config);
            assert!(error.to_string().contains("512K"), "{error}");
        }
    }

    #[test]
    fn memory_without_seals_is_nothing_for_an_end_that_trusts_nobody() {
        let posix = Options::default().backend(Backend::Posix).memory_limit(1 << 20);
        let settings = posix.clone().trust(Trust::SameUser).settle(Kind::Bus).expect("a trusting end");
        assert_eq!(settings.backend, Backend::Posix);
        let error = posix.trust(Trust::Untrusted).settle(Kind::Bus).expect_err("an untrusting end");
        assert_eq!(error.cause(), Cause::Config);
        assert!(error.to_string().contains("use Backend::Memfd, or Trust::SameUser"), "{error}");
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri makes no files without a name")]
    fn a_spill_directory_that_cannot_be_used_is_an_error_that_names_it() {
        // Who is not root is told first that he may not write there.
        let unknown = if sys::effective_uid() == 0 { "O_TMPFILE" } else { "denied" };
        for (directory, why) in
            [("/missing/directory", "No such file"), ("/proc/self/exe", "Not a dir"), ("/proc", unknown)]
        {
            let error = Options::default().spill_dir(directory).settle(Kind::Bus).expect_err("unusable");
            assert_eq!(error.cause(), Cause::Config);
            assert!(error.to_string().contains(directory) && error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn an_unknown_word_in_the_environment_is_an_error_that_lists_the_known_ones() {
        assert_eq!(parse_word("SLIPRING_WAIT", "park", &WAITS).expect("a known word"), Wait::Park);
        let error = parse_word("SLIPRING_WAIT", "nap", &WAITS).expect_err("an unknown word");
        assert_eq!(error.cause(), Cause::Config);
        assert!(error.to_string().contains("adaptive, spin, park"), "{error}");
    }
}
