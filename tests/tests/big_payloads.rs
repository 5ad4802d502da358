//! Payloads of 4 GiB and a byte up to as much as the machine has, by memory and by spill directory: `make big`.
//!
//! Each payload is written and read in full, word by word. CI sends one of them (`long_payloads`); these take minutes.

use slipring::{Bus, Options, limit_memory};
use slipring_tests::pair::bus_pair;
use slipring_tests::proc::available_memory;
use slipring_tests::watchdog::watchdog_for;
use std::time::{Duration, Instant};

const GIB: u64 = 1 << 30;
/// What stays free for others, beside a payload.
const MARGIN: u64 = 2 * GIB;
/// The patience with one payload.
const PATIENCE: Duration = Duration::from_secs(1200);
/// Says that it is wanted, and the most to send, in GiB.
const WANTED: &str = "SLIPRING_BIG_GIB";
/// Where payloads are spilled to, instead of the folder for temporary files.
const PLACE: &str = "SLIPRING_SPILL_DIR";
/// The distance between two words: odd, so that every word differs from every other.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// The lengths to send: nothing unless wanted.
fn lengths() -> Vec<u64> {
    let Some(most) = std::env::var(WANTED).ok() else {
        eprintln!("skipped: it takes minutes and all memory; `make big` sends them");
        return Vec::new();
    };
    let most: u64 = most.parse().expect("a number of GiB");
    let doubled = (3..).map(|power| GIB << power).take_while(|&len| len <= most.saturating_mul(GIB));
    [4 * GIB + 1].into_iter().chain(doubled).collect()
}

/// Every word is its place's, so that one that was lost, repeated or moved is found.
fn fill(bytes: &mut [u8], seed: u64) {
    let (words, tail) = bytes.as_chunks_mut::<8>();
    let mut value = seed;
    for word in words {
        *word = value.to_le_bytes();
        value = value.wrapping_add(STEP);
    }
    tail.fill(seed as u8);
}

fn is_filled(bytes: &[u8], seed: u64) -> bool {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut value = seed;
    let right = words.iter().all(|word| {
        let right = *word == value.to_le_bytes();
        value = value.wrapping_add(STEP);
        right
    });
    right && tail.iter().all(|&byte| byte == seed as u8)
}

/// Sends `len` bytes by claim, and reads them.
fn send((sends, receives): &mut (Bus, Bus), len: u64, what: &str) {
    let (begin, len) = (Instant::now(), usize::try_from(len).expect("a 64-bit machine"));
    let mut claim = sends.claim(len).expect("a block");
    let reserved = begin.elapsed();
    fill(&mut claim, len as u64);
    claim.commit(1, len).expect("an open claim");
    let lease = receives.recv().expect("a frame");
    assert_eq!(lease.len(), len);
    assert!(is_filled(&lease, len as u64), "{len} bytes, {what}");
    eprintln!("{len} bytes arrived {what}: {:.1?}, {reserved:.1?} of it to reserve them", begin.elapsed());
}

#[test]
fn by_memory_as_long_as_memory_lasts() {
    let _watchdog = watchdog_for("payloads by memory", PATIENCE);
    for len in lengths() {
        let available = available_memory();
        if available < len + MARGIN {
            eprintln!(
                "skipped: {len} bytes of memory, of which {available} are available and {MARGIN} are left to others"
            );
            continue;
        }
        limit_memory(len + MARGIN);
        let limits = Options::default().memory_limit(len + MARGIN).max_message(len);
        send(&mut bus_pair(&limits, &limits), len, "by memory");
    }
}

#[test]
fn by_spill_directory_as_long_as_it_has_room() {
    let _watchdog = watchdog_for("spilled payloads", PATIENCE);
    let place = std::env::var_os(PLACE).map_or_else(std::env::temp_dir, Into::into);
    for len in lengths() {
        let free = rustix::fs::statvfs(&place).map(|stat| stat.f_bavail * stat.f_frsize).expect("a folder");
        if free < len + MARGIN {
            eprintln!(
                "skipped: {len} bytes in {}, where {free} are free and {MARGIN} are left to others",
                place.display()
            );
            continue;
        }
        let limits = Options::default().memory_limit(8 << 20).max_message(len).spill_dir(&place);
        let mut pair = bus_pair(&limits, &Options::default().max_message(len));
        assert!(pair.0.capabilities().spill, "it can be spilled to {}", place.display());
        send(&mut pair, len, "by spill directory");
        assert!(pair.0.stats().region_bytes >= len);
    }
}
