//! Tallies: every sample of a latency, and what is told of them.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The longest latency told apart; whatever takes longer counts as this long.
const LONGEST_NS: u64 = 60_000_000_000;

/// Significant digits kept: three are an error of at most one in a thousand.
const DIGITS: u8 = 3;

/// All samples of one row.
#[derive(Debug)]
pub struct Tally(Histogram<u64>);

impl Tally {
    /// One without samples.
    pub fn new() -> Self {
        Self(
            Histogram::new_with_bounds(1, LONGEST_NS, DIGITS)
                .expect("the bounds are constants that the library allows"),
        )
    }

    /// Counts one sample.
    #[inline]
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(latency.as_nanos() as u64);
    }

    /// Forgets all samples: those of a warm-up, for instance.
    pub fn reset(&mut self) {
        self.0.reset();
    }

    /// Every value that was counted and how often: what another process needs to [`add`](Self::add) it.
    pub fn counts(&self) -> Vec<(u64, u64)> {
        self.0.iter_recorded().map(|found| (found.value_iterated_to(), found.count_at_value())).collect()
    }

    /// Adds what another tally has counted.
    pub fn add(&mut self, counts: &[(u64, u64)]) {
        for &(value, count) in counts {
            self.0.saturating_record_n(value, count);
        }
    }

    /// What the `quantile`th part of the samples, from 0 to 1, took at most, in nanoseconds.
    pub fn quantile(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile)
    }

    /// The percentiles, or `None` without a sample.
    pub fn summary(&self) -> Option<Summary> {
        if self.0.is_empty() {
            return None;
        }
        let at = |quantile| self.0.value_at_quantile(quantile);
        Some(Summary {
            samples: self.0.len(),
            p50_ns: at(0.5),
            p90_ns: at(0.9),
            p99_ns: at(0.99),
            p999_ns: at(0.999),
            p9999_ns: at(0.9999),
            max_ns: self.0.max(),
            octaves: self.octaves(),
        })
    }

    /// How many samples lie in each octave, from the first that holds any to the last.
    fn octaves(&self) -> Vec<Octave> {
        let mut octaves: Vec<Octave> = Vec::new();
        for found in self.0.iter_recorded() {
            let from_ns = 1 << found.value_iterated_to().max(1).ilog2();
            match octaves.last_mut() {
                Some(last) if last.from_ns == from_ns => last.count += found.count_at_value(),
                _ => octaves.push(Octave { from_ns, count: found.count_at_value() }),
            }
        }
        octaves
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

/// What is told of a tally.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// How many there are.
    pub samples: u64,
    /// Half of them took at most this long, in nanoseconds.
    pub p50_ns: u64,
    /// Of ten, nine.
    pub p90_ns: u64,
    /// Of a hundred, all but one.
    pub p99_ns: u64,
    /// Of a thousand, all but one.
    pub p999_ns: u64,
    /// Of ten thousand, all but one.
    pub p9999_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// The shape, for people. Octaves without a sample are left out.
    pub octaves: Vec<Octave>,
}

/// The samples from one power of two to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Octave {
    /// The shortest latency that belongs to it.
    pub from_ns: u64,
    /// Samples in it.
    pub count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_octaves_count_every_sample() {
        let mut tally = Tally::new();
        for ns in 1..=1000 {
            tally.record(Duration::from_nanos(ns));
        }
        let summary = tally.summary().expect("there are samples");
        assert_eq!(summary.samples, 1000);
        assert_eq!(summary.p50_ns, 500);
        assert_eq!(summary.max_ns, 1000);
        assert_eq!(summary.octaves.iter().map(|octave| octave.count).sum::<u64>(), 1000);
        assert!(summary.octaves.is_sorted_by_key(|octave| octave.from_ns));
        tally.reset();
        assert!(tally.summary().is_none());
    }

    #[test]
    fn what_was_added_counts_as_if_it_had_been_seen_here() {
        let (mut first, mut second, mut both) = (Tally::new(), Tally::new(), Tally::new());
        for ns in [1, 500, 70_000, 12_345_678] {
            first.record(Duration::from_nanos(ns));
            second.record(Duration::from_nanos(ns * 3));
            both.record(Duration::from_nanos(ns));
            both.record(Duration::from_nanos(ns * 3));
        }
        first.add(&second.counts());
        assert_eq!(first.counts(), both.counts());
        assert_eq!(first.summary().map(|found| found.p99_ns), both.summary().map(|found| found.p99_ns));
    }

    #[test]
    fn a_sample_out_of_range_counts_as_the_longest() {
        let mut tally = Tally::new();
        tally.record(Duration::from_secs(3600));
        assert_eq!(tally.summary().expect("one sample").samples, 1);
    }
}
