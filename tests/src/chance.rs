//! Random numbers that can be had again: a failing test prints the seed it ran with.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of numbers, from one seed.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The numbers that follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From the seed in the environment (`SLIPRING_TEST_SEED`), or from the clock. Prints which.
    #[must_use]
    pub fn of_today() -> Self {
        let told = std::env::var("SLIPRING_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = told
            .unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64));
        println!("SLIPRING_TEST_SEED={seed}");
        Self::new(seed)
    }

    /// The next number (splitmix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    /// A time of at most `longest`.
    pub fn time(&mut self, longest: Duration) -> Duration {
        Duration::from_nanos(self.number() % (longest.as_nanos() as u64 + 1))
    }
}
