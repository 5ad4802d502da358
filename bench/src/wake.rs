//! `wake`: round trips that each find the other side asleep for good.
//!
//! A side that sleeps first naps for up to a millisecond and only then issues its barrier and sleeps without a limit.
//! With three milliseconds between two messages the answering side is always past that, so a round trip holds one
//! wake-up from a long sleep and one from a nap. The floor W keeps the same distance, because a CPU that has been idle
//! wakes more slowly.

use anyhow::Result;

use crate::cli::EchoArgs;
use crate::plan::Wait;
use crate::rtt;

/// Three naps.
const GAP_NS: u64 = 3_000_000;

pub(crate) fn measure(args: &EchoArgs) -> Result<()> {
    rtt::measure_as("wake", args, Wait::Park, GAP_NS)
}
