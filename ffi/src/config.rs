//! How an end is to be opened, as a struct that can grow at its end.
//!
//! Its first field says how much of it there is. A program that was built with an older header has less of it: what is missing has
//! its default. One that was built with a newer header has more: as long as that part is zero, which is the default of all fields
//! that are added, it is of no account; else the program asks for something that this library cannot do, and is told so.

use crate::boundary::{Failure, boundary, invalid};
use crate::given::text;
use crate::status::slipring_status_t;
use std::ffi::c_char;
use std::time::Duration;
use transport::{Backend, Fence, Options, Trust, Wait};

/// In a number of slipring_config_t: what the environment says, or else the default.
pub const SLIPRING_DEFAULT: u64 = u64::MAX;
/// In a choice of slipring_config_t: what the environment says, or else the default.
pub const SLIPRING_UNSET: i32 = -1;
/// Spins for some 40 us and then sleeps, and learns when spinning does not pay. The default.
pub const SLIPRING_WAIT_ADAPTIVE: i32 = 0;
/// Spins, and takes a whole processor.
pub const SLIPRING_WAIT_SPIN: i32 = 1;
/// Sleeps at once.
pub const SLIPRING_WAIT_PARK: i32 = 2;
/// Only processes of this user may be peers; payloads are read where they stand. The default.
pub const SLIPRING_TRUST_SAME_USER: i32 = 0;
/// The peer may be hostile: payloads are copied before anyone sees them.
pub const SLIPRING_TRUST_UNTRUSTED: i32 = 1;
/// Memory in sealed anonymous files. The default.
pub const SLIPRING_BACKEND_MEMFD: i32 = 0;
/// POSIX shared memory, which has no seals: only between ends of the same user.
pub const SLIPRING_BACKEND_POSIX: i32 = 1;
/// This end of an RpcBus answers no calls: each gets SLIPRING_NOT_FOUND.
pub const SLIPRING_SERVES_NO: i32 = 0;
/// This end of an RpcBus answers calls.
pub const SLIPRING_SERVES_YES: i32 = 1;
/// No fences where the kernel has membarrier. The default.
pub const SLIPRING_FENCE_AUTO: i32 = 0;
/// Fences, as without membarrier.
pub const SLIPRING_FENCE_ALWAYS: i32 = 1;

/// How an end is to be opened. Always begin with slipring_config_init. Where a function takes a config it may be NULL: all defaults.
/// The function copies what it needs; the config and its texts remain the caller's.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_config_t {
    /// Bytes of this struct, as slipring_config_init sets it.
    pub size: usize,
    /// The ring from the connecting to the listening end, in bytes: a power of two from 256 (1024 for calls) to 2^30. The listening
    /// end decides. Default 1 MiB; 256 KiB for calls.
    pub capacity: u64,
    /// For calls: the ring from the listening to the connecting end. Default 256 KiB.
    pub capacity_reverse: u64,
    /// The longest payload that goes into the ring itself, in bytes. Default 1024.
    pub inline_limit: u64,
    /// The longest payload that this end sends or takes, in bytes. The smaller of both ends' counts. Default 16 GiB.
    pub max_message: u64,
    /// Bytes of memory for long payloads of one direction, all together. Default half of what there is.
    pub memory_limit: u64,
    /// For calls: how many may be in flight each way, 1 to 4096. UINT32_MAX: the default, 64.
    pub in_flight: u32,
    /// SLIPRING_WAIT_...
    pub wait: i32,
    /// SLIPRING_TRUST_...
    pub trust: i32,
    /// SLIPRING_BACKEND_...
    pub backend: i32,
    /// SLIPRING_SERVES_... Default: the listening end does.
    pub serves: i32,
    /// SLIPRING_FENCE_...
    pub fence: i32,
    /// A directory for payloads that memory has no room for. NULL: none, or what the environment says.
    pub spill_dir: *const c_char,
    /// Bytes of shared objects of the peer's that stay mapped while nobody looks at them. Default half of the memory there is.
    pub shared_limit: u64,
    /// How many handshakes a listener has under way at once. Default 64.
    pub pending_limit: u64,
    /// How long a handshake may take. -1: the default, 5 s.
    pub handshake_timeout_ns: i64,
    /// The NUMA node on which this end's memory should be. Default: where the kernel puts it. Of this and the next two,
    /// slipring_bus_placement says what was got.
    pub numa_node: i32,
    /// Whether this end's memory should be in huge pages: 1, or 0, the default.
    pub huge_pages: i32,
    /// Whether this end's memory should be locked, so that it is never written to swap: 1, or 0, the default.
    pub lock_memory: i32,
    /// Whether this end shows its counters, to its peer and to observers: 1, the default, or 0.
    pub counters: i32,
}

/// The sizes that this struct had in released versions, the newest last.
const SIZES: [usize; 1] = [size_of::<slipring_config_t>()];

/// Where a program was built with a newer header than this library's: no struct is longer than this.
const SIZE_MAX: usize = 4096;

const DEFAULT: slipring_config_t = slipring_config_t {
    size: size_of::<slipring_config_t>(),
    capacity: SLIPRING_DEFAULT,
    capacity_reverse: SLIPRING_DEFAULT,
    inline_limit: SLIPRING_DEFAULT,
    max_message: SLIPRING_DEFAULT,
    memory_limit: SLIPRING_DEFAULT,
    in_flight: u32::MAX,
    wait: SLIPRING_UNSET,
    trust: SLIPRING_UNSET,
    backend: SLIPRING_UNSET,
    serves: SLIPRING_UNSET,
    fence: SLIPRING_UNSET,
    spill_dir: std::ptr::null(),
    shared_limit: SLIPRING_DEFAULT,
    pending_limit: SLIPRING_DEFAULT,
    handshake_timeout_ns: -1,
    numa_node: SLIPRING_UNSET,
    huge_pages: SLIPRING_UNSET,
    lock_memory: SLIPRING_UNSET,
    counters: SLIPRING_UNSET,
};

fn check_size(size: usize) -> Result<(), Failure> {
    let newest = size_of::<slipring_config_t>();
    if SIZES.contains(&size)
        || (newest..=SIZE_MAX).contains(&size) && size.is_multiple_of(align_of::<slipring_config_t>())
    {
        return Ok(());
    }
    let text = "config.size is of no version of this struct: begin with slipring_config_init";
    Err(Failure::Here(slipring_status_t::SLIPRING_STRUCT_SIZE, text))
}

/// Fills a config of `size` bytes with the defaults. Call it as slipring_config_init(&config), which gives the size that the
/// program was built with.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn slipring_config_init_sized(config: *mut slipring_config_t, size: usize) -> slipring_status_t {
    boundary(|| {
        check_size(size)?;
        if config.is_null() || !config.is_aligned() {
            return Err(invalid("config is null, or not aligned"));
        }
        let mut default = DEFAULT;
        default.size = size;
        let bytes = config.cast::<u8>();
        // SAFETY: the caller has `size` bytes there. What a newer header has behind our end is zero by default.
        unsafe { bytes.write_bytes(0, size) };
        let known = size.min(size_of::<slipring_config_t>());
        // SAFETY: `known` is at most what the caller has, and at most what we have.
        unsafe { std::ptr::from_ref(&default).cast::<u8>().copy_to_nonoverlapping(bytes, known) };
        Ok(())
    })
}

/// A config of ours with what the caller's says, as far as both reach.
///
/// # Safety
/// - `config` leads to a `usize`, and to as many bytes as that says.
unsafe fn read(config: *const slipring_config_t) -> Result<slipring_config_t, Failure> {
    // SAFETY: what our caller promises.
    let size = unsafe { config.cast::<usize>().read() };
    check_size(size)?;
    let mut ours = DEFAULT;
    let known = size.min(size_of::<slipring_config_t>());
    // SAFETY: `known` is at most what the caller has, and at most what we have, and any bytes are a config.
    unsafe { std::ptr::from_mut(&mut ours).cast::<u8>().copy_from_nonoverlapping(config.cast(), known) };
    let tail = config.cast::<u8>().wrapping_add(known);
    // SAFETY: the rest of what the caller has.
    let tail = unsafe { std::slice::from_raw_parts(tail, size - known) };
    if tail.iter().any(|&byte| byte != 0) {
        let text = "the config asks for something that this library is too old for: the header is newer";
        return Err(Failure::Here(slipring_status_t::SLIPRING_STRUCT_SIZE, text));
    }
    Ok(ours)
}

/// The options that a config asks for; the defaults where there is none.
///
/// # Safety
/// - `config` is null, or leads to a `usize` and to as many bytes as that says, whose texts end with a NUL.
pub(crate) unsafe fn options(config: *const slipring_config_t) -> Result<Options, Failure> {
    if config.is_null() {
        return Ok(Options::default());
    }
    if !config.is_aligned() {
        return Err(invalid("config is not aligned"));
    }
    // SAFETY: what our caller promises.
    let config = unsafe { read(config) }?;
    let options = placed(choices(numbers(Options::default(), &config)?, &config)?, &config)?;
    if config.spill_dir.is_null() {
        return Ok(options);
    }
    // SAFETY: what our caller promises.
    Ok(options.spill_dir(unsafe { text(config.spill_dir, "spill_dir is null") }?))
}

fn numbers(mut options: Options, config: &slipring_config_t) -> Result<Options, Failure> {
    let told = |number: u64| (number != SLIPRING_DEFAULT).then_some(number);
    let size = |number: u64| told(number).map(|number| usize::try_from(number).unwrap_or(usize::MAX));
    if let Some(bytes) = size(config.capacity) {
        options = options.capacity(bytes);
    }
    if let Some(bytes) = size(config.capacity_reverse) {
        options = options.capacity_reverse(bytes);
    }
    if let Some(bytes) = size(config.inline_limit) {
        options = options.inline_limit(bytes);
    }
    if let Some(bytes) = told(config.max_message) {
        options = options.max_message(bytes);
    }
    if let Some(bytes) = told(config.memory_limit) {
        options = options.memory_limit(bytes);
    }
    if let Some(bytes) = told(config.shared_limit) {
        options = options.shared_limit(bytes);
    }
    if let Some(handshakes) = size(config.pending_limit) {
        options = options.pending_limit(handshakes);
    }
    if config.in_flight != u32::MAX {
        options = options.in_flight(config.in_flight);
    }
    match config.handshake_timeout_ns {
        -1 => Ok(options),
        time if time > 0 => Ok(options.handshake_timeout(Duration::from_nanos(time.unsigned_abs()))),
        _ => Err(invalid("handshake_timeout_ns must be positive, or -1 for the default")),
    }
}

fn choices(mut options: Options, config: &slipring_config_t) -> Result<Options, Failure> {
    if config.wait != SLIPRING_UNSET {
        options = options.wait(strategy(config.wait)?);
    }
    options = match config.trust {
        SLIPRING_UNSET => options,
        SLIPRING_TRUST_SAME_USER => options.trust(Trust::SameUser),
        SLIPRING_TRUST_UNTRUSTED => options.trust(Trust::Untrusted),
        _ => return Err(invalid("trust must be one of SLIPRING_TRUST_SAME_USER, _UNTRUSTED, or SLIPRING_UNSET")),
    };
    options = match config.backend {
        SLIPRING_UNSET => options,
        SLIPRING_BACKEND_MEMFD => options.backend(Backend::Memfd),
        SLIPRING_BACKEND_POSIX => options.backend(Backend::Posix),
        _ => return Err(invalid("backend must be one of SLIPRING_BACKEND_MEMFD, _POSIX, or SLIPRING_UNSET")),
    };
    options = match config.serves {
        SLIPRING_UNSET => options,
        SLIPRING_SERVES_NO => options.serves(false),
        SLIPRING_SERVES_YES => options.serves(true),
        _ => return Err(invalid("serves must be one of SLIPRING_SERVES_NO, _YES, or SLIPRING_UNSET")),
    };
    match config.fence {
        SLIPRING_UNSET | SLIPRING_FENCE_AUTO => Ok(options),
        SLIPRING_FENCE_ALWAYS => Ok(options.fence(Fence::Always)),
        _ => Err(invalid("fence must be one of SLIPRING_FENCE_AUTO, _ALWAYS, or SLIPRING_UNSET")),
    }
}

/// A strategy by its number.
pub(crate) fn strategy(wait: i32) -> Result<Wait, Failure> {
    match wait {
        SLIPRING_WAIT_ADAPTIVE => Ok(Wait::Adaptive),
        SLIPRING_WAIT_SPIN => Ok(Wait::Spin),
        SLIPRING_WAIT_PARK => Ok(Wait::Park),
        _ => Err(invalid("wait must be one of SLIPRING_WAIT_ADAPTIVE, _SPIN, _PARK; or, in a config, SLIPRING_UNSET")),
    }
}

/// Where memory is asked to be, and whether counters are shown.
fn placed(mut options: Options, config: &slipring_config_t) -> Result<Options, Failure> {
    if config.numa_node != SLIPRING_UNSET {
        let node = u32::try_from(config.numa_node);
        options = options.numa_node(node.map_err(|_| invalid("numa_node must be a node's number, or SLIPRING_UNSET"))?);
    }
    if let Some(huge) = yes_or_no(config.huge_pages, "huge_pages must be 0, 1 or SLIPRING_UNSET")? {
        options = options.huge_pages(huge);
    }
    if let Some(locked) = yes_or_no(config.lock_memory, "lock_memory must be 0, 1 or SLIPRING_UNSET")? {
        options = options.lock_memory(locked);
    }
    if let Some(shown) = yes_or_no(config.counters, "counters must be 0, 1 or SLIPRING_UNSET")? {
        options = options.counters(shown);
    }
    Ok(options)
}

fn yes_or_no(choice: i32, rule: &'static str) -> Result<Option<bool>, Failure> {
    match choice {
        SLIPRING_UNSET => Ok(None),
        0 => Ok(Some(false)),
        1 => Ok(Some(true)),
        _ => Err(invalid(rule)),
    }
}
