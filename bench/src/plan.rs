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

/// How a wake-up is kept from getting lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fence {
    /// By the sleeper's `membarrier`, where there is one.
    Auto,
    /// By a fence after every store.
    Always,
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
    pub(crate) trust: Trust,
    pub(crate) fence: Fence,
    /// Bytes of the frame ring.
    pub(crate) ring: usize,
    /// Longest payload that rides in it.
    pub(crate) inline: usize,
}

/// The library's default ring.
pub(crate) const DEFAULT_RING: usize = 1 << 20;
/// The library's default inline limit.
pub(crate) const DEFAULT_INLINE: usize = 1 << 10;
/// The smallest and the largest ring that the library makes.
const RINGS: std::ops::RangeInclusive<usize> = 256..=1 << 30;
/// Bytes of a frame's header, which count toward the half of the ring that a frame may fill.
const FRAME_HEADER: usize = 16;
/// The longest frame in any ring.
const LONGEST_FRAME: usize = 128 << 20;
/// A ring that is not asked for holds at least this many of the payloads it is to carry, so that a stream can flow.
const PAYLOADS_IN_RING: usize = 8;

/// Ring and inline limit for `payload`: those asked for, checked, or else the defaults, raised until the payload fits.
pub(crate) fn geometry(payload: usize, ring: Option<usize>, inline: Option<usize>) -> Result<(usize, usize), Fault> {
    let usage = |why: String| Err(Fault::Usage(why));
    let ring = match ring {
        Some(bytes) if !bytes.is_power_of_two() || !RINGS.contains(&bytes) => {
            return usage(format!(
                "--ring {bytes}: a power of two from {} to {} is needed",
                RINGS.start(),
                RINGS.end()
            ));
        }
        Some(bytes) => bytes,
        None => payload
            .saturating_mul(PAYLOADS_IN_RING)
            .checked_next_power_of_two()
            .map_or(DEFAULT_RING, |bytes| bytes.clamp(DEFAULT_RING, *RINGS.end())),
    };
    let most = (ring / 2).min(LONGEST_FRAME) - FRAME_HEADER;
    let inline = inline.unwrap_or(payload.max(DEFAULT_INLINE)).min(most);
    if payload > inline {
        return usage(format!(
            "--payload {payload}: at most {inline} bytes ride in a ring of {ring} bytes here; raise --inline or --ring"
        ));
    }
    Ok((ring, inline))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_grow_with_the_payload() {
        assert_eq!(geometry(32, None, None), Ok((DEFAULT_RING, DEFAULT_INLINE)));
        assert_eq!(geometry(4096, None, None), Ok((DEFAULT_RING, 4096)));
        assert_eq!(geometry(1 << 20, None, None), Ok((8 << 20, 1 << 20)));
    }

    #[test]
    fn what_does_not_fit_is_a_usage_error() {
        for (payload, ring, inline) in [(2048, None, Some(1024)), (200, Some(256), None), (1 << 30, None, None)] {
            assert!(matches!(geometry(payload, ring, inline), Err(Fault::Usage(_))), "{payload}");
        }
        for ring in [0, 128, 300, 1 << 31] {
            assert!(matches!(geometry(8, Some(ring), None), Err(Fault::Usage(_))), "{ring}");
        }
        assert_eq!(geometry(112, Some(256), None), Ok((256, 112)));
    }

    #[test]
    fn words_are_those_of_the_command_line() {
        assert_eq!(word(Trust::SameUser), "same-user");
        assert_eq!(word(Wait::Adaptive), "adaptive");
    }
}
