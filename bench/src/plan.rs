//! Plans: what is measured, in words that a command line and a message to a worker process can both carry.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;

/// How an end passes the time of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Wait {
    /// Look without a pause; one CPU each.
    Spin,
    /// Sleep at once.
    Park,
    /// Spin for about a wake-up's cost, then sleep.
    Adaptive,
}

/// How a payload gets into the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Api {
    /// Written into a buffer and copied in by `publish`.
    Copy,
    /// Written in place, between `claim` and `commit`.
    Claim,
}

/// Whom the ends trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Trust {
    /// Processes of this user.
    SameUser,
    /// Nobody.
    Untrusted,
}

/// What the memory of the ends is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Backend {
    /// Sealed anonymous files.
    Memfd,
    /// POSIX shared memory, without seals.
    Posix,
}

/// How a wake-up is kept from getting lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fence {
    /// By the sleeper's `membarrier`, where there is one.
    Auto,
    /// By a fence after every store.
    Always,
}

/// Whether the ends show their counters to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Counters {
    /// As by default.
    On,
    /// They count for themselves only.
    Off,
}

/// What the survivor does while its peer is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum While {
    /// It sleeps in a receive.
    Park,
    /// It spins in a receive.
    Spin,
    /// It sends and never receives.
    Send,
    /// It only tries to receive, over and over.
    Try,
}

impl While {
    pub(crate) const ALL: [Self; 4] = [Self::Park, Self::Spin, Self::Send, Self::Try];
}

/// The word that a command line and a record have for a value.
pub(crate) fn word(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// How the `Bus`es of a measurement are opened and used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BusPlan {
    pub(crate) wait: Wait,
    pub(crate) api: Api,
    pub(crate) backend: Backend,
    pub(crate) trust: Trust,
    pub(crate) fence: Fence,
    pub(crate) counters: Counters,
    /// Bytes of the frame ring.
    pub(crate) ring: usize,
    /// Longest payload that rides in it.
    pub(crate) inline: usize,
}

impl BusPlan {
    /// Whether both ends fence after every store: because they were told to, or because they trust nobody.
    pub(crate) fn fences(&self) -> Fence {
        if self.trust == Trust::Untrusted { Fence::Always } else { self.fence }
    }
}

/// How the two ends of a stream are opened and used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FlowPlan {
    pub(crate) bus: BusPlan,
    /// How many messages the receiving side keeps while it reads on.
    pub(crate) hold: usize,
}

/// How the two ends of an `RpcBus` are opened and used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RpcPlan {
    /// The ring is that of either direction.
    pub(crate) bus: BusPlan,
    /// Bytes of a reply.
    pub(crate) reply: usize,
    /// How many calls are kept in flight.
    pub(crate) inflight: u32,
}

/// The library's default ring.
pub(crate) const DEFAULT_RING: usize = 1 << 20;
/// The library's default ring of either direction of an `RpcBus`.
pub(crate) const DEFAULT_RPC_RING: usize = 256 << 10;
/// The ring of either direction that a `Server` has by default, for sessions of which there are many.
pub(crate) const SMALL_RING: usize = 64 << 10;
/// The library's default inline limit.
pub(crate) const DEFAULT_INLINE: usize = 1 << 10;
/// The library's default number of calls in flight.
pub(crate) const DEFAULT_CALLS: u32 = 64;
/// The smallest ring of a `Bus` and of an `RpcBus`, and the largest that the library makes.
const RING_MIN: usize = 256;
const RPC_RING_MIN: usize = 1 << 10;
const RING_MAX: usize = 1 << 30;
/// Bytes of a frame's header, which count toward the half of the ring that a frame may fill.
const FRAME_HEADER: usize = 16;
/// Frames take whole lines.
const LINE: usize = 64;
/// The longest frame in any ring.
const LONGEST_FRAME: usize = 128 << 20;
/// A ring that is not asked for holds at least this many of the longest payloads that ride in it, so that a stream can
/// flow.
const PAYLOADS_IN_RING: usize = 8;
/// A ring for calls that is not asked for holds this many times the replies that can be under way: requests leave them
/// room, of which the library grants at most half a ring, with some of it for credit.
const REPLIES_IN_RING: usize = 3;

/// Ring and inline limit for a `Bus`: those asked for, checked, or else the defaults, the ring raised until payloads that
/// ride in it flow. What is longer than the inline limit goes into blocks.
pub(crate) fn geometry(ring: Option<usize>, inline: Option<usize>) -> Result<(usize, usize), Fault> {
    let room = inline.unwrap_or(DEFAULT_INLINE).saturating_mul(PAYLOADS_IN_RING);
    ring_for(room, ring, inline, (RING_MIN, DEFAULT_RING))
}

/// Ring (of either direction) and inline limit for an `RpcBus` with `inflight` calls in flight: those asked for, checked, or
/// else the defaults, the ring raised until it bears so many calls.
pub(crate) fn rpc_geometry(inflight: u32, ring: Option<usize>, inline: Option<usize>) -> Result<(usize, usize), Fault> {
    let calls = inflight.max(DEFAULT_CALLS) as usize + 2;
    let frame = inline.unwrap_or(DEFAULT_INLINE).saturating_add(FRAME_HEADER).div_ceil(LINE) * LINE;
    let room = calls.saturating_mul(frame).saturating_mul(REPLIES_IN_RING);
    ring_for(room, ring, inline, (RPC_RING_MIN, DEFAULT_RPC_RING))
}

fn ring_for(
    room: usize,
    ring: Option<usize>,
    inline: Option<usize>,
    (least, default): (usize, usize),
) -> Result<(usize, usize), Fault> {
    let ring = match ring {
        Some(bytes) if !bytes.is_power_of_two() || !(least..=RING_MAX).contains(&bytes) => {
            let why = format!("--ring {bytes}: a power of two from {least} to {RING_MAX} is needed");
            return Err(Fault::Usage(why));
        }
        Some(bytes) => bytes,
        None => room.checked_next_power_of_two().unwrap_or(RING_MAX).clamp(default, RING_MAX),
    };
    let most = (ring / 2).min(LONGEST_FRAME) - FRAME_HEADER;
    Ok((ring, inline.unwrap_or(DEFAULT_INLINE).min(most)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_library_s_and_rings_grow_with_what_rides_in_them() {
        assert_eq!(geometry(None, None), Ok((DEFAULT_RING, DEFAULT_INLINE)));
        assert_eq!(geometry(None, Some(4096)), Ok((DEFAULT_RING, 4096)));
        assert_eq!(geometry(None, Some(1 << 20)), Ok((8 << 20, 1 << 20)));
        assert_eq!(rpc_geometry(1, None, None), Ok((DEFAULT_RPC_RING, DEFAULT_INLINE)));
        assert_eq!(rpc_geometry(64, None, None), rpc_geometry(1, None, None));
        assert_eq!(rpc_geometry(4096, None, None), Ok((16 << 20, DEFAULT_INLINE)));
    }

    #[test]
    fn a_small_ring_bounds_the_inline_limit() {
        assert_eq!(geometry(Some(256), None), Ok((256, 112)));
        assert_eq!(rpc_geometry(1, Some(1024), None), Ok((1024, 496)));
        assert_eq!(geometry(None, Some(usize::MAX)), Ok((1 << 30, (128 << 20) - 16)));
    }

    #[test]
    fn a_ring_that_cannot_be_is_a_usage_error() {
        for ring in [0, 128, 300, 1 << 31] {
            assert!(matches!(geometry(Some(ring), None), Err(Fault::Usage(_))), "{ring}");
            assert!(matches!(rpc_geometry(1, Some(ring), None), Err(Fault::Usage(_))), "{ring}");
        }
        assert!(matches!(rpc_geometry(1, Some(512), None), Err(Fault::Usage(_))), "calls need more");
    }

    #[test]
    fn ends_that_trust_nobody_fence() {
        let (ring, inline) = geometry(None, None).unwrap();
        let (wait, api, backend) = (Wait::Spin, Api::Copy, Backend::Memfd);
        let counters = Counters::On;
        let plan = |trust, fence| BusPlan { wait, api, backend, trust, fence, counters, ring, inline };
        assert_eq!(plan(Trust::Untrusted, Fence::Auto).fences(), Fence::Always);
        assert_eq!(plan(Trust::SameUser, Fence::Auto).fences(), Fence::Auto);
        assert_eq!(plan(Trust::SameUser, Fence::Always).fences(), Fence::Always);
    }

    #[test]
    fn words_are_those_of_the_command_line() {
        assert_eq!(word(Trust::SameUser), "same-user");
        assert_eq!(word(Wait::Adaptive), "adaptive");
    }
}
